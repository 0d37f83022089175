//! `vertigo-worker`: the daemon; as `vertigo-worker attempt`, its child; as `vertigo-worker serve`, models for OpenAI's clients.

use clap::{Args, Parser, Subcommand};
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use vertigo::bounds::SERVED_MAX;
use vertigo::bytes::Bytes;
use vertigo::endpoint::Endpoint;
use vertigo::printable;
use vertigo_client::Access;
use vertigo_worker::child;
use vertigo_worker::daemon::{self, Settings};
use vertigo_worker::serve::{self, Asked};

/// Runs training jobs on this machine for a Vertigo coordinator.
///
/// SIGTERM or Ctrl-C drains: no job is taken any more, and the worker goes when the running one has ended. A second one stops
/// it; the coordinator then tries it again elsewhere.
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
}

#[derive(Debug, Args)]
struct Serve {
    /// FOLDER of a base or a fused model, FOLDER@ADAPTER_FOLDER, or NAME=… of either; or what a name at the coordinator stands for: a tag,
    /// a digest, what a job made, or BASE@ADAPTER. Names are followed when they move. Adapters over one base share it in memory.
    #[arg(required = true, value_name = "MODEL", num_args = 1..=SERVED_MAX)]
    models: Vec<Asked>,
    /// Where to listen, on loopback. Port 0 takes any that is free.
    #[arg(long, default_value = "127.0.0.1:7430")]
    listen: SocketAddr,
    /// Where the coordinator is that knows the names.
    #[arg(long, env = "VERTIGO_COORDINATOR", default_value_t)]
    coordinator: Endpoint,
    /// Where what names stand for is kept [default: ~/.vertigo/serve].
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
    /// Where the coordinator is.
    #[arg(long, env = "VERTIGO_COORDINATOR", default_value_t)]
    coordinator: Endpoint,
    /// What people call this worker [default: the machine's host name].
    #[arg(long)]
    name: Option<String>,
    /// What jobs may use at most, such as 36GiB [default: all that the GPU may hold].
    #[arg(long)]
    memory: Option<Bytes>,
    /// The worker's folder: id, cache, attempts [default: ~/.vertigo/worker].
    #[arg(long)]
    state: Option<PathBuf>,
    /// Disk that bases and other inputs may take. Those of running jobs stay; the others go, the longest unused first.
    #[arg(long, default_value = "100GiB", value_name = "SIZE")]
    cache: Bytes,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    match cli.command {
        Some(Command::Attempt { spec }) => child::main::run(&spec),
        // First of all, before anything opens a file.
        Some(Command::LuauRoom) => ended(vertigo_luau::child::main(io::stdin(), io::stdout()).map_err(Into::into)),
        Some(Command::Serve(args)) => {
            ended(serve_settings(args).and_then(|settings| within("vertigo-worker serve", serve::run(settings))))
        }
        None => ended(daemon_settings(cli.daemon).and_then(|settings| within("vertigo-worker", daemon::run(settings)))),
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

/// Runs `work` with logs, and traces where a collector is named. `service` is the process's name in them.
fn within<E: std::error::Error + 'static>(
    service: &'static str,
    work: impl Future<Output = Result<(), E>>,
) -> Result<(), Box<dyn std::error::Error>> {
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
        coordinator: Access::plain(args.coordinator)?,
        state: args.state.map_or_else(|| default_state("serve"), Ok)?,
        cache: args.cache,
    })
}

fn daemon_settings(args: Daemon) -> Result<Settings, Box<dyn std::error::Error>> {
    Ok(Settings {
        coordinator: Access::plain(args.coordinator)?,
        name: args.name.map_or_else(host_name, Ok)?,
        memory: args.memory,
        state: args.state.map_or_else(|| default_state("worker"), Ok)?,
        cache: args.cache,
        executable: std::env::current_exe()?,
    })
}

fn host_name() -> Result<String, &'static str> {
    sysinfo::System::host_name().map_err(|_| "this machine has no host name; give the worker a name with --name")
}

fn default_state(whose: &str) -> Result<PathBuf, &'static str> {
    let home = std::env::home_dir().ok_or("there is no home folder; give the worker a folder with --state")?;
    Ok(home.join(".vertigo").join(whose))
}
