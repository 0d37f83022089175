//! `vertigo report`: what an evaluation found.

use crate::cli::ReportArgs;
use crate::coordinator::Coordinator;
use crate::error::{CliError, Exit, Result};
use crate::render::output::Output;
use crate::render::report::{self, Listed};
use crate::reports::{self, Named};
use serde_json::{Value, json};
use std::path::Path;
use vertigo_evaluation::page::page;
use vertigo_evaluation::report::{Figures, Report, TaskReport};
use vertigo_evaluation::statistics::Resampling;

pub(crate) async fn run(args: &ReportArgs, coordinator: &Coordinator, output: Output) -> Result<()> {
    let named = reports::named(&args.report, coordinator, output).await?;
    if let Some(id) = &args.task {
        let task = task(&named.report, id)?;
        output.show(|| json!(task), || report::render_task(task, args.failed));
        return Ok(());
    }
    if let Some(file) = &args.html {
        return write_page(args, &named, file, coordinator, output).await;
    }
    let figures = Figures::of(&named.report, Resampling::default()).map_err(|e| e.to_string());
    let listed = if args.failed { Listed::Failed } else { Listed::Worst };
    let title = report::title(&named.name, named.digest);
    let text = || report::render(&title, &named.report, figures.as_ref().map_err(String::as_str), listed);
    output.show(|| document(&named, figures.as_ref().ok(), args.failed), text);
    Ok(())
}

async fn write_page(
    args: &ReportArgs,
    named: &Named,
    file: &Path,
    coordinator: &Coordinator,
    output: Output,
) -> Result<()> {
    let other = match &args.beside {
        Some(name) => Some(reports::named(name, coordinator, output).await?),
        None => None,
    };
    let suite = |named: &Named| named.report.facts.suite_digest;
    if let Some(other) = other.as_ref().filter(|other| suite(other) != suite(named)) {
        let message = format!("{} and {} are reports of different suites", named.name, other.name);
        return Err(CliError::refused(message).hint("evaluate both models with the same suite and the same --tasks"));
    }
    let reports: Vec<&Report> = [named].into_iter().chain(&other).map(|named| &named.report).collect();
    let written = std::fs::write(file, page(&reports));
    written.map_err(|error| CliError::refused(format!("cannot write {}: {error}", file.display())))?;
    output.show(|| json!({"page": file}), || format!("the page is in {}\n", file.display()));
    Ok(())
}

/// The task of an id.
fn task<'r>(report: &'r Report, id: &str) -> Result<&'r TaskReport> {
    let found = report.tasks.iter().find(|task| task.task == id);
    found.ok_or_else(|| {
        let near = vertigo::spelling::nearest(id, report.tasks.iter().map(|task| task.task.as_str()));
        let error = CliError::new(Exit::NotFound, format!("the report has no task `{id}`"));
        match near {
            Some(near) => error.hint(format!("did you mean `{near}`?")),
            None => error.hint("without --task the report lists the worst ones, with --failed all that did not pass"),
        }
    })
}

/// All of it for scripts.
fn document(named: &Named, figures: Option<&Figures>, only_failed: bool) -> Value {
    let mut report = named.report.clone();
    if only_failed {
        report.tasks.retain(report::has_failed);
    }
    json!({"name": named.name, "digest": named.digest, "figures": figures, "report": report})
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::report::tests::report;

    #[test]
    fn scripts_get_figures_and_answers_and_a_task_that_is_not_there_is_named() {
        let named = Named { name: "eval".to_owned(), digest: None, report: report() };
        let figures = Figures::of(&named.report, Resampling { draws: 50, seed: 0 }).unwrap();
        let all = document(&named, Some(&figures), false);
        assert_eq!(all["figures"]["overall"]["tasks"], json!(named.report.tasks.len()));
        let failed = document(&named, None, true);
        assert!(failed["report"]["tasks"].as_array().unwrap().len() < named.report.tasks.len());
        let id = named.report.tasks[0].task.clone();
        let error = task(&named.report, &format!("{id}x")).unwrap_err();
        assert!(error.exit == Exit::NotFound && error.hint.unwrap().contains(&id));
    }
}
