//! The coordinator as a daemon: what of its command line is the daemon's.

use clap::{ArgMatches, CommandFactory};
use std::path::{Path, PathBuf};
use std::time::Duration;
use url::Url;
use vertigo_daemon::command::{InstallArgs, OF_INSTALLATION, Wanted, installed, wanted};
use vertigo_daemon::installation::InstallError;
use vertigo_daemon::{Name, ThisMachine, arguments};

/// It ends once its last commit is on the disk, which a busy disk may keep waiting.
pub(crate) const EXIT_TIMEOUT: Duration = Duration::from_secs(60);

/// Installs the coordinator with the options that `install` was given, and says what was done. `is_reached`: by other machines.
pub(crate) fn install<C: CommandFactory>(
    matches: &ArgMatches,
    args: &InstallArgs,
    state: Option<PathBuf>,
    store: Option<&Url>,
    is_reached: bool,
) -> Result<String, InstallError> {
    let mut command = C::command();
    command.build();
    // Both are there: this is called where the subcommand was.
    let given = command.find_subcommand("install").zip(matches.subcommand_matches("install"));
    let given =
        given.map(|(command, matches)| arguments::given(command, matches, &OF_INSTALLATION)).unwrap_or_default();
    let folder = store.filter(|url| url.scheme() == "file").and_then(|url| url.to_file_path().ok());
    let coordinator = Wanted {
        name: Name::Coordinator,
        arguments: given,
        state,
        writes: folder.into_iter().collect(),
        exit_timeout: EXIT_TIMEOUT,
    };
    let daemon = wanted(coordinator, args, &ThisMachine)?;
    let text = installed(&daemon, args)?;
    Ok(if is_reached { format!("{text}\n{}", next(&daemon.state)) } else { text })
}

/// What a person does next where other machines reach the coordinator.
fn next(state: &Path) -> String {
    format!(
        "next, here: sudo cat {}/access/admin-token | vertigo login\n\
         then, for each Mac that is to work: vertigo token create --role worker\n\
         and there: sudo vertigo-worker join",
        state.display()
    )
}
