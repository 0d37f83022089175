//! `vertigo compare`: reports of evaluations, or else jobs, beside one another.

mod jobs;

use crate::cli::CompareArgs;
use crate::comparison;
use crate::coordinator::Coordinator;
use crate::error::{CliError, Exit, Result};
use crate::render::output::Output;
use crate::reports::{self, Named, Place};
use vertigo_evaluation::compare::SIDES_MAX;

pub(crate) async fn run(args: &CompareArgs, coordinator: &Coordinator, output: Output) -> Result<()> {
    let Some(places) = all_reports(args, coordinator).await? else {
        return jobs::run(args, coordinator, output).await;
    };
    // Before any of them is fetched.
    if !(2..=SIDES_MAX).contains(&places.len()) {
        let message = format!("{} reports: compare 2 to {SIDES_MAX}", places.len());
        return Err(CliError::new(Exit::Usage, message).hint("`vertigo report REPORT` shows one alone"));
    }
    let mut named: Vec<Named> = Vec::new();
    for (name, place) in args.jobs.iter().zip(&places) {
        named.push(reports::read(name, place, coordinator, output).await?);
    }
    let sides: Vec<_> = named.iter().map(|it| (it.name.as_str(), &it.report)).collect();
    comparison::compared(&sides)?.show(output);
    Ok(())
}

/// Where the reports are, if every name is that of one.
async fn all_reports(args: &CompareArgs, coordinator: &Coordinator) -> Result<Option<Vec<Place>>> {
    if args.group.is_some() {
        return Ok(None);
    }
    let mut places = Vec::new();
    for name in &args.jobs {
        match reports::find(name, coordinator).await? {
            Some(place) => places.push(place),
            None => return Ok(None),
        }
    }
    Ok(Some(places))
}
