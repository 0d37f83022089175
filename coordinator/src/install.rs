//! The coordinator as a daemon: what of its command line is the daemon's, and what follows once it runs.
//!
//! Where other machines reach it, whoever had it installed becomes its administrator, through the program `vertigo` and as themselves, and
//! is told what the next Mac joins with.

mod administrator;
mod person;
mod program;

use administrator::{OPENS_MAX, by_hand, offered, token_in, worker_token};
use clap::{ArgMatches, CommandFactory};
use person::{Asker, NoAccount};
use program::{CallError, Program};
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use tokio::time::Instant;
use url::Url;
use vertigo_access::token::Token;
use vertigo_coordinator::access;
use vertigo_daemon::command::{InstallArgs, OF_INSTALLATION, Wanted, installed, wanted};
use vertigo_daemon::facts::Facts;
use vertigo_daemon::installation::InstallError;
use vertigo_daemon::places::Os;
use vertigo_daemon::{Commands, Daemon, Name, Refused, ThisMachine, arguments};

/// What came of an installation.
#[derive(Debug)]
pub(crate) struct Done {
    /// What a person is told.
    pub(crate) text: String,
    /// Why whoever had it installed is not its administrator, where that was tried.
    pub(crate) failed: Option<AdministratorError>,
}

/// Why whoever had the coordinator installed is not its administrator.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AdministratorError {
    /// Who that is.
    #[error(transparent)]
    NoAccount(#[from] NoAccount),
    /// It does not listen.
    #[error(
        "the coordinator is installed, and nobody can join it after {} s: {} is not there. `vertigo-coordinator status` says more",
        OPENS_MAX.as_secs(), .0.display()
    )]
    NotOpen(PathBuf),
    /// `vertigo`.
    #[error("the coordinator runs, and you are not logged in to it: {0}")]
    Login(CallError),
    /// The administrator is one, and can make no token.
    #[error("you are logged in to the coordinator, and have no token for a worker: {0}")]
    Token(CallError),
}

/// Installs the coordinator with the options that `install` was given, and says what was done. `is_reached`: by other machines.
pub(crate) async fn install<C: CommandFactory>(
    matches: &ArgMatches,
    args: &InstallArgs,
    state: Option<PathBuf>,
    store: Option<&Url>,
    is_reached: bool,
) -> Result<Done, InstallError> {
    let daemon = described::<C>(matches, args, state, store)?;
    let facts = ThisMachine.facts();
    let path = access::administrator_path_in(&daemon.state);
    let before = token_in(&path);
    let text = installed(&daemon, args)?;
    if !is_reached {
        return Ok(Done { text, failed: None });
    }
    let by_hand = by_hand(&path, facts.is_root);
    let program = program::find(&daemon.program, std::env::var_os("PATH").as_deref(), Path::is_file);
    let done = match program.filter(|_| !args.dry_run) {
        None => Done { text: by_hand, failed: None },
        Some(program) => {
            let done = administrate(program, facts, &path, before.as_ref()).await;
            done.unwrap_or_else(|error| Done { text: by_hand, failed: Some(error) })
        }
    };
    Ok(Done { text: format!("{text}\n{}", done.text), ..done })
}

/// The daemon that `install` is asked for.
fn described<C: CommandFactory>(
    matches: &ArgMatches,
    args: &InstallArgs,
    state: Option<PathBuf>,
    store: Option<&Url>,
) -> Result<Daemon, InstallError> {
    may_keep(store, Os::THIS)?;
    let folder = store.filter(|url| url.scheme() == "file").and_then(|url| url.to_file_path().ok());
    let coordinator = Wanted {
        name: Name::Coordinator,
        arguments: arguments::of_subcommand(C::command(), matches, "install", &OF_INSTALLATION),
        state,
        writes: folder.into_iter().collect(),
        exit_timeout: Name::Coordinator.exit_timeout(),
    };
    wanted(coordinator, args, &ThisMachine)
}

/// Makes whoever asked the administrator of the coordinator that was just started, and says so. `path` is where it offers a token for one,
/// and `before` the token that was there before its start.
async fn administrate(
    program: PathBuf,
    facts: Facts,
    path: &Path,
    before: Option<&Token>,
) -> Result<Done, AdministratorError> {
    let asker = Asker::of(&facts, |name| ThisMachine.person(name))?;
    let token = offered(path, before, Instant::now() + OPENS_MAX).await;
    let token = token.ok_or_else(|| AdministratorError::NotOpen(path.to_owned()))?;
    let this = nix::unistd::User::from_uid(nix::unistd::geteuid()).ok().flatten().map(|user| user.name);
    let host = nix::unistd::gethostname().ok().and_then(|host| host.into_string().ok());
    let another = asker.another_name(this.as_deref(), host.as_deref());
    let vertigo = Program { path: program, asker, facts };
    let it = administrator::administrator(&vertigo, &token, another.as_ref());
    let it = it.await.map_err(AdministratorError::Login)?;
    // What no person reads somebody keeps: a log, the record of a pipeline.
    if !std::io::stdout().is_terminal() {
        return Ok(Done { text: administrator::said(&it, None), failed: None });
    }
    let (token, failed) = match worker_token(&vertigo, &it).await {
        Ok(token) => (Some(token), None),
        Err(error) => (None, Some(AdministratorError::Token(error))),
    };
    Ok(Done { text: administrator::said(&it, token.as_deref()), failed })
}

/// Whether a daemon of this system can be given what its store needs.
fn may_keep(store: Option<&Url>, os: Os) -> Result<(), Refused> {
    match store {
        Some(url) if url.scheme() != "file" && os == Os::MacOs => Err(Refused::Keys(url.to_string())),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_whose_keys_everybody_could_read_is_refused() {
        let (bucket, folder) = (Url::parse("s3://weights/vertigo").unwrap(), Url::parse("file:///srv/blobs").unwrap());
        assert!(may_keep(Some(&bucket), Os::MacOs).unwrap_err().to_string().contains("s3://weights/vertigo"));
        for (store, os) in [(Some(&bucket), Os::Linux), (Some(&folder), Os::MacOs), (None, Os::MacOs)] {
            assert_eq!(may_keep(store, os), Ok(()));
        }
    }
}
