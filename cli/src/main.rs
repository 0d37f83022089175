//! `vertigo`: queue, watch and fetch fine-tuning jobs.
//!
//! A thin shell: [`commands`] read files, call the coordinator and print. What they print is made by pure functions, in [`render`] where
//! several commands show it; where and how it is printed is [`render::output`]'s matter. Links neither MLX nor a database.

// Nothing is printed past `output`, which makes text from outside safe.
#![deny(clippy::print_stdout, clippy::print_stderr)]

mod access;
mod base;
mod bounded;
mod cli;
mod commands;
mod comparison;
mod coordinator;
mod curations;
mod datasets;
mod download;
mod error;
mod events;
mod follow;
mod promotion;
mod recipes;
mod render;
mod reports;
mod room;
mod settings;
mod submit;
mod suites;
mod tags;
mod tokenizers;
mod upload;

use clap::{CommandFactory, Parser};
use cli::{Cli, Command};
use coordinator::Coordinator;
use error::{CliError, Exit, Result};
use render::output::Output;
use std::process::ExitCode;
use tracing::Instrument;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(message) => return ExitCode::from(explain(&message) as u8),
    };
    if matches!(cli.command, cli::Command::LuauRoom) {
        // First of all, before anything opens a file or starts a thread. Whoever started it knows how it ends by what it says.
        let ended = vertigo_luau::child::main(std::io::stdin(), std::io::stdout());
        return ExitCode::from(u8::from(ended.is_err()));
    }
    let output = Output::new(cli.global.json, cli.global.color);
    let exit = match start(&cli, output) {
        Ok(()) => Exit::Done,
        Err(error) => {
            output.error(&error);
            error.exit
        }
    };
    ExitCode::from(exit as u8)
}

/// Shows what clap has to say: help and version as they are, and what is wrong with the command line, whose words are echoed, made safe.
fn explain(message: &clap::Error) -> Exit {
    // The command line could not be read, so what it asks for is looked up. What stands after `--` is no option.
    let json = std::env::args_os().take_while(|argument| argument != "--").any(|argument| argument == "--json");
    let output = Output::new(json, cli::Color::Auto);
    if !message.use_stderr() {
        output.styled(&message.render().ansi().to_string());
        return Exit::Done;
    }
    let said = message.render().to_string();
    let said = said.strip_prefix("error: ").unwrap_or(&said).trim_end();
    output.error(&CliError::new(Exit::Usage, said));
    Exit::Usage
}

fn start(cli: &Cli, output: Output) -> Result<()> {
    let runtime = tokio::runtime::Runtime::new().map_err(|e| CliError::refused(format!("cannot start: {e}")))?;
    runtime.block_on(async {
        // Results and errors are this program's output; a library's warnings are for whoever asks with RUST_LOG.
        let telemetry = vertigo_telemetry::init_with("vertigo", "error").map_err(CliError::refused)?;
        let result = run(cli, output).instrument(cli.command.span()).await;
        tokio::task::block_in_place(|| telemetry.shutdown());
        result
    })
}

async fn run(cli: &Cli, output: Output) -> Result<()> {
    // Without certificates yet: an address that needs one is refused with what to do.
    let contexts = access::contexts()?;
    match &cli.command {
        // Where nobody has logged in yet there is no coordinator to choose.
        Command::Login(args) => return commands::login::run(args, &contexts, output).await,
        Command::Context { command } => return commands::context::run(command.as_ref(), &contexts, output),
        Command::Completions { shell } => return completions(*shell, output),
        Command::Luau(command) => return commands::luau::run(command, output),
        Command::Doctor => return commands::doctor::run(output),
        Command::Man { dir } => {
            let failed = |error| CliError::refused(format!("{}: {error}", dir.display()));
            return clap_mangen::generate_to(Cli::command(), dir).map_err(failed);
        }
        _ => {}
    }
    let chosen = access::choose(&cli.global, &contexts)?;
    let coordinator = &Coordinator::new(chosen.access.clone());
    // Beside the command, which may follow a job for days.
    let (ran, ()) = tokio::join!(asked(cli, coordinator, output), chosen.renew(&contexts));
    ran
}

async fn asked(cli: &Cli, coordinator: &Coordinator, output: Output) -> Result<()> {
    match &cli.command {
        Command::Data(command) => commands::data::run(command, coordinator, output).await,
        Command::Curate(args) => commands::curate::run(args, coordinator, output).await,
        Command::Base(command) => commands::base::run(command, coordinator, output).await,
        Command::Plan(args) => commands::plan::run(args, coordinator, output).await,
        Command::Train(args) => commands::train::run(args, coordinator, output).await,
        Command::Fuse(args) => commands::fuse::run(args, coordinator, output).await,
        Command::Serve(args) => commands::serve::run(args, coordinator, output).await,
        Command::Chat(args) => commands::chat::run(args, coordinator, output).await,
        Command::Run(args) => commands::run::run(args, coordinator, output).await,
        Command::Sweep(args) => commands::sweep::run(args, coordinator, output).await,
        Command::Rerun(args) => commands::rerun::run(args, coordinator, output).await,
        Command::Suite(command) => commands::suite::run(command, coordinator, output).await,
        Command::LuauRoom => Err(CliError::refused("it is started by vertigo itself")),
        Command::Eval(args) => commands::eval::run(args, coordinator, output).await,
        Command::Report(args) => commands::report::run(args, coordinator, output).await,
        Command::Promote(args) => commands::promote::run(args, coordinator, output).await,
        Command::Compare(args) => commands::compare::run(args, coordinator, output).await,
        Command::Jobs(args) => commands::jobs::run(args, coordinator, output).await,
        Command::Job(args) => commands::job::run(args, coordinator, output).await,
        Command::Watch(args) => commands::watch::run(args, coordinator, output).await,
        Command::Logs(args) => commands::logs::run(args, coordinator, output).await,
        Command::Cancel(args) => commands::cancel::run(args, coordinator, output).await,
        Command::Workers(args) => commands::workers::run(args, coordinator, output).await,
        Command::Drain(args) => commands::drain::run(args, coordinator, output).await,
        Command::Worker(args) => commands::worker::run(args, coordinator, output).await,
        Command::Upgrade(args) => commands::upgrade::run(args, coordinator, output).await,
        Command::Resume(args) => commands::resume::run(args, coordinator, output).await,
        Command::Remove(args) => commands::remove::run(args, coordinator, output).await,
        Command::Artifacts(args) => commands::artifacts::run(args, coordinator, output).await,
        Command::Tag(args) => commands::tag::run(args, coordinator, output).await,
        Command::History(args) => commands::history::run(args, coordinator, output).await,
        Command::Rollback(args) => commands::rollback::run(args, coordinator, output).await,
        Command::Get(args) => commands::get::run(args, coordinator, output).await,
        Command::Storage => commands::storage::run(coordinator, output).await,
        Command::Gc(args) => commands::gc::run(args, coordinator, output).await,
        Command::Token(command) => commands::token::run(command, coordinator, output).await,
        Command::Principals => commands::principals::run(coordinator, output).await,
        Command::Revoke(args) => commands::revoke::run(args, coordinator, output).await,
        Command::Login(_)
        | Command::Context { .. }
        | Command::Completions { .. }
        | Command::Doctor
        | Command::Man { .. }
        | Command::Luau(_) => {
            unreachable!("these ask no coordinator, and have run")
        }
    }
}

fn completions(shell: clap_complete::Shell, output: Output) -> Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "vertigo", &mut script);
    output.line(&String::from_utf8_lossy(&script));
    Ok(())
}
