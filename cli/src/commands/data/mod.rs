//! `vertigo data`: datasets.

mod audit;
mod diff;
mod import;
mod report;
mod show;
mod summary;
mod why;

use crate::cli::DataCommand;
use crate::coordinator::Coordinator;
use crate::error::Result;
use crate::render::output::Output;

pub(crate) async fn run(command: &DataCommand, coordinator: &Coordinator, output: Output) -> Result<()> {
    match command {
        DataCommand::Import(args) => import::run(args, coordinator, output).await,
        DataCommand::Show(args) => match &args.recipe {
            Some(recipe) => show::run(args, recipe, coordinator, output).await,
            None => summary::run(&args.name, coordinator, output).await,
        },
        DataCommand::Diff(args) => diff::run(args, coordinator, output).await,
        DataCommand::Why(args) => why::run(args, coordinator, output).await,
        DataCommand::Audit(args) => audit::run(args, coordinator, output).await,
        DataCommand::Report(args) => report::run(args, coordinator, output).await,
    }
}
