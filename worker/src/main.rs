//! `vertigo-worker`: the daemon; as `vertigo-worker attempt`, its child; as `vertigo-worker serve`, models for OpenAI's clients.

use clap::{ArgMatches, Args, CommandFactory, FromArgMatches, Parser, Subcommand};
use std::io::{self, IsTerminal, Write};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{self, ExitCode};
use std::time::Duration;
use vertigo::bounds::SERVED_MAX;
use vertigo::bytes::Bytes;
use vertigo::endpoint::Endpoint;
use vertigo::principal::{PrincipalName, Role};
use vertigo::printable;
use vertigo::server_key::KeyPlace;
use vertigo::times;
use vertigo_access::contexts::Contexts;
use vertigo_access::identity::Identity;
use vertigo_access::token::Token;
use vertigo_client::Access;
use vertigo_daemon::command::{DaemonCommand, InstallArgs, OF_INSTALLATION, Wanted, installed, wanted};
use vertigo_daemon::installation::ready;
use vertigo_daemon::plan::shell;
use vertigo_daemon::{Name, ThisMachine, arguments, places};
use vertigo_host::policy::Policy;
use vertigo_host::presence::Terms;
use vertigo_worker::child;
use vertigo_worker::daemon::{self, End, Settings};
use vertigo_worker::membership;
use vertigo_worker::serve::{self, Asked};
use vertigo_worker::state::State;

/// Runs training jobs on this machine for a Vertigo coordinator.
///
/// SIGTERM or Ctrl-C drains: no job is taken any more, and the worker goes when the running one has ended. A second one, or the end of
/// --drain, has it saved and given back: it goes on elsewhere, or here later. A third one stops it.
#[derive(Debug, Parser)]
#[command(name = "vertigo-worker", version, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    daemon: Daemon,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// One attempt: what the daemon runs as its child.
    #[command(hide = true)]
    Attempt {
        /// What to do.
        #[arg(long)]
        spec: PathBuf,
    },
    /// A process in which an evaluation runs Luau that a model wrote.
    #[command(hide = true, name = vertigo_luau::child::COMMAND)]
    LuauRoom,
    /// Serve models to OpenAI's clients, until SIGTERM or Ctrl-C.
    Serve(Serve),
    /// Join a coordinator on another machine with a token, which is read from stdin, and have the worker start with this machine.
    #[command(after_help = JOIN_EXAMPLES)]
    Join {
        #[command(flatten)]
        install: InstallArgs,
        #[command(flatten)]
        daemon: Daemon,
        /// Only get the certificate: the worker is started in another way.
        #[arg(long)]
        no_install: bool,
    },
    /// Have the worker start with this machine, with these options, and start it now. Where it is installed already it is started anew.
    #[command(after_help = INSTALL_EXAMPLES)]
    Install {
        #[command(flatten)]
        install: InstallArgs,
        #[command(flatten)]
        daemon: Daemon,
    },
    #[command(flatten)]
    Daemon(DaemonCommand),
}

const JOIN_EXAMPLES: &str = "\
The token comes from `vertigo token create --role worker`, by whoever administers the coordinator. It is read from stdin, so that it stands
in no list of processes and in no shell's history.

Examples:
  sudo vertigo-worker join
  ssh mini vertigo token create --role worker | sudo vertigo-worker join --name mac-36gb";

const INSTALL_EXAMPLES: &str = "\
What is asked to go drains for half a minute and then stops what still runs, unless --drain says otherwise.

Examples:
  sudo vertigo-worker install
  sudo vertigo-worker install --name mac-36gb --cache 50GiB --dry-run";

/// Options that are of joining, and none of the daemon's own: what it joined as it knows.
const OF_JOINING: [&str; 5] = ["user", "dry_run", "state", "no_install", "name"];

#[derive(Debug, Args)]
struct Serve {
    /// FOLDER of a base or a fused model, FOLDER@ADAPTER_FOLDER, or NAME=… of either; or what a name at the coordinator stands for: a tag,
    /// a digest, what a job made, or BASE@ADAPTER. Names are followed when they move. Adapters over one base share it in memory.
    #[arg(required = true, value_name = "MODEL", num_args = 1..=SERVED_MAX)]
    models: Vec<Asked>,
    /// Where to listen, on loopback. Port 0 takes any that is free.
    #[arg(long, default_value = "127.0.0.1:7430")]
    listen: SocketAddr,
    /// Where the coordinator is that knows the names [default: that of the context in use, or http://127.0.0.1:7420].
    #[arg(long, env = "VERTIGO_COORDINATOR")]
    coordinator: Option<Endpoint>,
    /// Where what names stand for is kept [default: `serve` beside the worker's folder].
    #[arg(long)]
    state: Option<PathBuf>,
    /// Disk that this may take.
    #[arg(long, default_value = "100GiB", value_name = "SIZE")]
    cache: Bytes,
    /// What weights, caches and arithmetic may use at most, such as 36GiB [default: all that the GPU may hold].
    #[arg(long, value_name = "SIZE")]
    memory: Option<Bytes>,
}

#[derive(Debug, Args)]
struct Daemon {
    /// Where the coordinator is [default: the one that this worker joined, or http://127.0.0.1:7420].
    #[arg(long, env = "VERTIGO_COORDINATOR")]
    coordinator: Option<Endpoint>,
    /// What people call this worker [default: what it joined as, or the machine's host name].
    #[arg(long)]
    name: Option<String>,
    /// A key on this machine that jobs may have sent to the server that they name: env:NAME or file:PATH. May be given more than once
    /// [default: of a worker that joined another machine's coordinator none, else any].
    #[arg(long, value_name = "PLACE")]
    allow_key: Vec<KeyPlace>,
    /// What jobs may use at most, such as 36GiB [default: all that the GPU may hold].
    #[arg(long)]
    memory: Option<Bytes>,
    /// The worker's folder: id, cache, attempts [default: ~/.vertigo/worker where ~/.vertigo is there, else worker in
    /// Library/Application Support/Vertigo or $XDG_STATE_HOME/vertigo; for a daemon of the machine /var/lib/vertigo or /Library].
    #[arg(long)]
    state: Option<PathBuf>,
    /// Disk that bases and other inputs may take. Those of running jobs stay; the others go, the longest unused first.
    #[arg(long, default_value = "100GiB", value_name = "SIZE")]
    cache: Bytes,
    /// When this machine takes part, such as "on-ac and (22:00-08:00 or idle > 15m)".
    ///
    /// Conditions are on-ac, on-battery, battery > 40%, thermal < serious (nominal, fair, serious, critical), pressure < warning (normal,
    /// warning, critical), lid-open, lid-closed, idle > 15m, 22:00-08:00, mon-fri, always and never, joined by and, or, not and
    /// parentheses. What does not hold any more pauses the running job, and gives it back after --grace. What the machine does not say
    /// closes nothing. It is kept in the worker's folder [default: on-ac and thermal < serious and pressure < critical].
    #[arg(long, value_name = "POLICY")]
    when: Option<Policy>,
    /// How long a job stays paused before it is checkpointed and given back, such as 90s.
    #[arg(long, default_value = "5m", value_name = "TIME", value_parser = times::read)]
    grace: Duration,
    /// How long the policy has to be open again without a break before the machine takes part.
    #[arg(long, default_value = "30s", value_name = "TIME", value_parser = times::read, hide = true)]
    settle: Duration,
    /// A folder with the files of a Linux that is played, for tests.
    #[arg(long, value_name = "FOLDER", hide = true)]
    host_root: Option<PathBuf>,
    /// How long it waits for what runs when it is told to go, such as 10m, before that is saved and given back [default: until it ended].
    #[arg(long, value_name = "TIME", value_parser = times::read)]
    drain: Option<Duration>,
}

fn main() -> ExitCode {
    let matches = Cli::command().get_matches();
    // What clap let through has this form.
    let cli = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    match cli.command {
        Some(Command::Attempt { spec }) => child::main::run(&spec),
        // First of all, before anything opens a file.
        Some(Command::LuauRoom) => ended(vertigo_luau::child::main(io::stdin(), io::stdout()).map_err(Into::into)),
        Some(Command::Serve(args)) => {
            ended(serve_settings(args).and_then(|settings| within("vertigo-worker serve", serve::run(settings))))
        }
        Some(Command::Install { install, daemon }) => told(install_worker(&matches, &install, daemon)),
        Some(Command::Join { install, daemon, no_install }) => told(join(&matches, &install, daemon, no_install)),
        Some(Command::Daemon(command)) => match command.done(Name::Worker, Cli::command()) {
            Ok((text, is_good)) => {
                told(Ok(text));
                if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
            }
            Err(error) => ended(Err(error.into())),
        },
        None => run_daemon(cli.daemon),
    }
}

/// Runs the daemon, and where it is told to start anew, the program that lies where this one did.
fn run_daemon(args: Daemon) -> ExitCode {
    let run = || {
        let settings = daemon_settings(args)?;
        let program = settings.executable.clone();
        Ok((within("vertigo-worker", daemon::run(settings))?, program))
    };
    match run() {
        Ok((End::Gone, _)) => ExitCode::SUCCESS,
        // The process stays, and with it what its init knows of it; all files are closed on the way.
        Ok((End::Anew, program)) => {
            let error = process::Command::new(&program).args(std::env::args_os().skip(1)).exec();
            ended(Err(format!("{} does not start: {error}", program.display()).into()))
        }
        Err(error) => ended(Err(error)),
    }
}

fn ended(result: Result<(), Box<dyn std::error::Error>>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("vertigo-worker: {}", printable::text(&error.to_string()));
            ExitCode::FAILURE
        }
    }
}

/// Prints what came of it.
fn told(result: Result<String, Box<dyn std::error::Error>>) -> ExitCode {
    ended(result.map(|text| {
        // Whoever does not listen any more needs no answer.
        let _ = writeln!(io::stdout(), "{}", printable::text(&text));
    }))
}

/// Installs the worker with the options that `install` was given.
fn install_worker(
    matches: &ArgMatches,
    install: &InstallArgs,
    daemon: Daemon,
) -> Result<String, Box<dyn std::error::Error>> {
    Ok(installed(&wanted_worker("install", &OF_INSTALLATION, matches, install, daemon)?, install)?)
}

/// Joins, and installs the worker with the options that `join` was given.
fn join(
    matches: &ArgMatches,
    install: &InstallArgs,
    daemon: Daemon,
    no_install: bool,
) -> Result<String, Box<dyn std::error::Error>> {
    let name = daemon.name.as_deref().map(PrincipalName::of_certificate).transpose()?;
    // Most likely of the environment: it would be asked for ever instead of the one that was joined, which speaks TLS alone.
    if let Some(plain) = daemon.coordinator.as_ref().filter(|endpoint| !no_install && !endpoint.is_tls()) {
        return Err(format!(
            "--coordinator {plain}: a worker that joins speaks to the coordinator that it joins; leave it out, \
             and unset VERTIGO_COORDINATOR where it comes from there"
        )
        .into());
    }
    let (folder, wanted) = if no_install {
        (daemon.state.map_or_else(|| default_state("worker"), Ok)?, None)
    } else {
        // Before anything is asked of the coordinator: what cannot be installed needs no token.
        let wanted = wanted_worker("join", &OF_JOINING, matches, install, daemon)?;
        if install.dry_run {
            return Ok(installed(&wanted, install)?);
        }
        ready(&wanted, &ThisMachine)?;
        (wanted.state.clone(), Some(wanted))
    };
    let identity = joined(&folder, name)?;
    let joined = format!("joined {} as {}", identity.coordinator, identity.principal);
    match wanted {
        None => {
            let next = ["vertigo-worker".to_owned(), "--state".to_owned(), folder.display().to_string()];
            Ok(format!("{joined}\nnext: {}", shell(&next)))
        }
        // The token is used: what is missing is not another one.
        Some(wanted) => match installed(&wanted, install) {
            Ok(said) => Ok(format!("{joined}\n{said}")),
            Err(error) => Err(format!(
                "{joined}, and is not installed: {error}. Then run `vertigo-worker install` with the same options; no token is needed"
            )
            .into()),
        },
    }
}

/// Gets a certificate for the token on stdin.
fn joined(folder: &Path, name: Option<PrincipalName>) -> Result<Identity, Box<dyn std::error::Error>> {
    if io::stdin().is_terminal() {
        eprintln!("paste the token that `vertigo token create --role worker` printed, and press return:");
    }
    let token = Token::read(&mut io::stdin().lock())?;
    if token.role != Role::Worker {
        return Err(
            "this token is for a person: `vertigo login` takes it, and a worker needs one of --role worker".into()
        );
    }
    let host = sysinfo::System::host_name().ok().and_then(|host| PrincipalName::like(&host));
    let worker = State::installed(folder)?;
    let runtime = tokio::runtime::Runtime::new()?;
    Ok(runtime.block_on(membership::join(folder, worker, &token, name, host))?)
}

/// The daemon that a subcommand's options describe; those in `besides` are of the subcommand alone.
fn wanted_worker(
    subcommand: &str,
    besides: &[&str],
    matches: &ArgMatches,
    install: &InstallArgs,
    daemon: Daemon,
) -> Result<vertigo_daemon::Daemon, Box<dyn std::error::Error>> {
    let mut words = arguments::of_subcommand(Cli::command(), matches, subcommand, besides);
    if daemon.drain.is_none() {
        words.extend(Name::Worker.own_options().iter().map(|word| (*word).to_owned()));
    }
    let exit_timeout = Name::Worker.exit_timeout() + daemon.drain.unwrap_or_default();
    let worker = Wanted { name: Name::Worker, arguments: words, state: daemon.state, writes: Vec::new(), exit_timeout };
    Ok(wanted(worker, install, &ThisMachine)?)
}

/// Runs `work` with logs, and traces where a collector is named. `service` is the process's name in them.
fn within<T, E: std::error::Error + 'static>(
    service: &'static str,
    work: impl Future<Output = Result<T, E>>,
) -> Result<T, Box<dyn std::error::Error>> {
    let runtime = tokio::runtime::Runtime::new()?;
    let _inside = runtime.enter();
    let telemetry = vertigo_telemetry::init(service)?;
    let result = runtime.block_on(work);
    telemetry.shutdown();
    Ok(result?)
}

fn serve_settings(args: Serve) -> Result<serve::Settings, Box<dyn std::error::Error>> {
    Ok(serve::Settings {
        models: args.models,
        listen: args.listen,
        memory: args.memory,
        coordinator: chosen(args.coordinator.as_ref())?,
        state: args.state.map_or_else(|| default_state("serve"), Ok)?,
        cache: args.cache,
    })
}

fn daemon_settings(args: Daemon) -> Result<Settings, Box<dyn std::error::Error>> {
    Ok(Settings {
        coordinator: args.coordinator,
        name: args.name,
        memory: args.memory,
        state: args.state.map_or_else(|| default_state("worker"), Ok)?,
        cache: args.cache,
        drain: args.drain,
        keys: args.allow_key.into_iter().collect(),
        executable: std::env::current_exe()?,
        when: args.when,
        terms: Terms { grace: args.grace, settle: args.settle },
        host_root: args.host_root,
    })
}

/// The coordinator that a person at this machine means.
fn chosen(endpoint: Option<&Endpoint>) -> Result<Access, Box<dyn std::error::Error>> {
    Ok(vertigo_client::chosen::choose(endpoint, None, &Contexts::at(places::contexts()?))?.access)
}

fn default_state(whose: &str) -> Result<PathBuf, &'static str> {
    places::own_folder(whose).ok_or("there is no home folder; give the worker a folder with --state")
}
