//! The process `vertigo-coordinator`: options, signals, and the one line that says where it listens.

mod certificates;
mod install;

use certificates::CertificateOptions;
use clap::{CommandFactory, FromArgMatches, Parser};
use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use url::Url;
use vertigo::bytes::Bytes;
use vertigo::endpoint::REDIAL_MAX;
use vertigo::printable;
use vertigo::times;
use vertigo_coordinator::access::brought::BroughtError;
use vertigo_coordinator::backup::{BackupError, Done, backup, restore};
use vertigo_coordinator::keep::Keep;
use vertigo_coordinator::serve::connections::{DescriptorError, Limits};
use vertigo_coordinator::server::{Config, Server, ServerError};
use vertigo_daemon::command::{InstallArgs, said as how_it_is, uninstalled};
use vertigo_daemon::installation::InstallError;
use vertigo_daemon::{Name, life, places};

const EXAMPLES: &str = "\
Examples:
  vertigo-coordinator
  vertigo-coordinator --listen 0.0.0.0:7420
  vertigo-coordinator --store s3://weights/vertigo --keep checkpoints=3d,journal=forever
  sudo vertigo-coordinator install --keep checkpoints=3d
  vertigo-coordinator status
  vertigo-coordinator backup /mnt/backup/vertigo
  vertigo-coordinator restore /mnt/backup/vertigo --state ~/.vertigo/coordinator";

/// What else it does than to serve.
#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Copy the database and all blobs that it names into a folder, while the coordinator runs. What the folder has of them already is not
    /// copied again
    Backup {
        /// Made if need be
        dir: PathBuf,
    },
    /// Make of a backup a new state, on which a coordinator goes on where the backup was made
    Restore {
        /// What `backup` has made
        dir: PathBuf,
    },
    /// Have the coordinator start with this machine, with these options, and start it now. Where it is installed already it is started anew
    #[command(after_help = INSTALL_EXAMPLES)]
    Install {
        #[command(flatten)]
        install: InstallArgs,
        #[command(flatten)]
        serving: Box<Serving>,
    },
    /// End the coordinator and have it start with this machine no more; its state stays
    Uninstall,
    /// Say whether the coordinator is installed and runs; the exit code is 0 where it does
    Status,
    /// Write man pages into a folder
    #[command(hide = true)]
    Man {
        /// Which is there
        dir: PathBuf,
    },
    /// Print a completion script
    #[command(hide = true)]
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

const INSTALL_EXAMPLES: &str = "\
Keys of a bucket (--store s3://…) do not belong into its file, which everybody may read: on Linux they stand in
/etc/vertigo/vertigo-coordinator.env, which is root's alone, as AWS_ACCESS_KEY_ID=… and so on.

Examples:
  sudo vertigo-coordinator install
  sudo vertigo-coordinator install --state /srv/vertigo --keep checkpoints=3d --dry-run";

/// Queues training jobs, hands them to workers, and keeps artifacts.
#[derive(Debug, Parser)]
#[command(name = "vertigo-coordinator", version, after_help = EXAMPLES)]
struct Options {
    #[command(subcommand)]
    command: Option<Command>,
    /// Folder of the database and of unfinished uploads [default: ~/.vertigo/coordinator where ~/.vertigo is there, else coordinator in
    /// Library/Application Support/Vertigo or $XDG_STATE_HOME/vertigo; for a daemon of the machine /var/lib/vertigo or /Library]
    #[arg(long, global = true)]
    state: Option<PathBuf>,
    /// Where blobs lie: file:///FOLDER, or s3://BUCKET/PREFIX configured by AWS_* [default: STATE/blobs]
    #[arg(long, value_name = "URL", global = true)]
    store: Option<Url>,
    #[command(flatten)]
    serving: Serving,
}

/// How it serves.
#[derive(Debug, clap::Args)]
struct Serving {
    /// Where to listen: gRPC and HTTP. On loopback as it is; where other machines reach it over TLS 1.3, and whoever speaks needs a
    /// certificate. Port 0 takes any that is free.
    #[arg(long, default_value = "127.0.0.1:7420")]
    listen: SocketAddr,
    #[command(flatten)]
    certificates: CertificateOptions,
    /// A worker's lease ends this long after its last heartbeat.
    #[arg(long, default_value = "30s", value_parser = lease)]
    lease: Duration,
    /// What stays free for the database, on the disk of the state and of a store that is a folder: uploads that would take of it are
    /// refused as if the disk were full [default: 1GiB, or a twentieth of the disk where that is less]
    #[arg(long, value_name = "BYTES")]
    reserve: Option<Bytes>,
    /// For how long what is kept: KEY=VALUE,… of checkpoints (the best and the last of a job, from its end on), uploads (partial ones),
    /// blobs (that no artifact names: longer than the longest import takes), steps (all of a job's, then as many as a curve needs),
    /// journal (all but a job's states) and workers (that are away); a time such as 12h or 7d, or `forever`. What is not named is as in
    /// the default
    #[arg(long, value_name = "KEY=VALUE,…", default_value_t = Keep::default())]
    keep: Keep,
    /// How often what is not kept is collected; `vertigo gc` does so at once.
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = pace)]
    collect_every: Duration,
    /// Begin with a new database although the store holds blobs. Changes nothing where there is a database.
    #[arg(long)]
    new: bool,
}

/// The shortest lease: a worker whose connection was lost has waited up to [`REDIAL_MAX`] when it dials again, and its last
/// heartbeat was up to a third of the lease before; what is left is for the dial itself.
const LEASE_MIN: Duration = REDIAL_MAX.saturating_mul(2);

/// The longest lease: a job waits for as long when its worker is gone.
const LEASE_MAX: Duration = Duration::from_secs(24 * 60 * 60);

fn lease(text: &str) -> Result<Duration, String> {
    let lease = times::read(text).map_err(|error| error.to_string())?;
    if lease < LEASE_MIN {
        let (wait, least) = (REDIAL_MAX.as_secs(), LEASE_MIN.as_secs());
        return Err(format!(
            "too short: a worker whose connection was lost may wait {wait}s before it dials again, and would lose its job each time; \
             write {least}s or more"
        ));
    }
    if lease > LEASE_MAX {
        return Err("too long: a job whose worker is gone would wait for more than a day; write 24h or less".to_owned());
    }
    Ok(lease)
}

/// What collects more often than this finds nothing new.
const PACE_MIN: Duration = Duration::from_millis(100);

fn pace(text: &str) -> Result<Duration, String> {
    let pace = times::read(text).map_err(|error| error.to_string())?;
    if pace < PACE_MIN { Err("too often: write 100ms or more".to_owned()) } else { Ok(pace) }
}

#[tokio::main]
async fn main() -> ExitCode {
    let matches = Options::command().get_matches();
    // What clap let through has this form.
    let options = Options::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    match asked_once(&matches, &options) {
        Some(Ok((text, exit))) => {
            let _ = writeln!(std::io::stdout(), "{}", printable::text(&text));
            return exit;
        }
        Some(Err(error)) => return failed(&error),
        None => {}
    }
    let telemetry = match vertigo_telemetry::init("vertigo-coordinator") {
        Ok(telemetry) => telemetry,
        Err(error) => return failed(&error),
    };
    let outcome = run(options).await;
    tokio::task::block_in_place(|| telemetry.shutdown());
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error),
    }
}

fn failed(error: &dyn std::error::Error) -> ExitCode {
    eprintln!("vertigo-coordinator: {}", printable::text(&error.to_string()));
    ExitCode::FAILURE
}

/// What is answered without state: `None` where something else was asked.
fn asked_once(matches: &clap::ArgMatches, options: &Options) -> Option<Result<(String, ExitCode), Failure>> {
    let text = match options.command.as_ref()? {
        Command::Install { install, serving } => {
            // What was brought is looked at now, and not when the machine starts the next time.
            serving.certificates.chosen(serving.listen).map_err(Failure::from).and_then(|certificates| {
                let (state, store) = (options.state.clone(), options.store.as_ref());
                Ok(install::install::<Options>(matches, install, state, store, certificates.is_some())?)
            })
        }
        Command::Uninstall => uninstalled(Name::Coordinator, install::EXIT_TIMEOUT).map_err(Failure::from),
        Command::Status => {
            let exit = |is_up| if is_up { ExitCode::SUCCESS } else { ExitCode::FAILURE };
            let said = how_it_is(Name::Coordinator).map(|(text, is_up)| (text, exit(is_up)));
            return Some(said.map_err(Failure::from));
        }
        Command::Man { dir } => {
            clap_mangen::generate_to(Options::command(), dir).map(|()| String::new()).map_err(Failure::Man)
        }
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut Options::command(), Name::Coordinator.word(), &mut script);
            Ok(String::from_utf8_lossy(&script).into_owned())
        }
        Command::Backup { .. } | Command::Restore { .. } => return None,
    };
    Some(text.map(|text| (text, ExitCode::SUCCESS)))
}

/// Prints what was copied.
fn said(done: Result<Done, BackupError>) -> Result<(), Failure> {
    let _ = writeln!(std::io::stdout(), "{}", printable::text(&done?.to_string()));
    Ok(())
}

/// Why the process ends.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Server(#[from] ServerError),
    #[error(transparent)]
    Descriptors(#[from] DescriptorError),
    #[error(transparent)]
    Backup(#[from] BackupError),
    #[error(transparent)]
    Brought(#[from] BroughtError),
    #[error(transparent)]
    Install(#[from] InstallError),
    #[error("cannot write the man pages: {0}")]
    Man(std::io::Error),
}

async fn run(options: Options) -> Result<(), Failure> {
    let usual = || places::own_folder(Name::Coordinator.part());
    let state = options.state.or_else(usual).ok_or(ServerError::NoHome)?;
    match options.command {
        Some(Command::Backup { dir }) => return said(backup(&state, options.store.as_ref(), &dir).await),
        Some(Command::Restore { dir }) => return said(restore(&dir, &state, options.store.as_ref()).await),
        _ => {}
    }
    let serving = options.serving;
    let limits = Limits::of_process()?;
    let config = Config {
        listen: serving.listen,
        state,
        store: options.store,
        lease: serving.lease,
        anew: serving.new,
        keep: serving.keep,
        reserve: serving.reserve,
        collect_every: serving.collect_every,
        limits,
        certificates: serving.certificates.chosen(serving.listen)?,
    };
    let server = Server::start(config).await?;
    // Whoever started us may have closed our stdout; that is no reason not to serve.
    let _ = writeln!(std::io::stdout(), "vertigo-coordinator listening on {}", server.url());
    if let Some(path) = server.administrator_path() {
        tracing::info!("an administrator logs in on this machine with: vertigo login < {}", path.display());
    }
    life::does(&format!("listening on {}", server.url()));
    life::ready();
    let told = async {
        stop().await;
        life::stopping();
    };
    Ok(life::beside(server.run(told)).await?)
}

/// SIGINT or SIGTERM.
async fn stop() {
    let (Ok(mut interrupt), Ok(mut terminate)) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        // Without handlers, the signals' own effect is to end the process, which is safe at any time.
        return std::future::pending().await;
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}
