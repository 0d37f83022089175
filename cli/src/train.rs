//! `vertigo train`.

use crate::cli::TrainArgs;
use crate::coordinator::Coordinator;
use crate::error::{CliError, Exit, Result, Subject, is_lost};
use crate::output::{Output, bold, short_id, wrap};
use crate::{jobs, json, safe, watch};
use serde_json::json;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tonic::{Response, Status};
use vertigo::bytes::Bytes;
use vertigo::id::JobId;
use vertigo::recipe::Recipe;
use vertigo::transfer::traced;
use vertigo::v1;

/// Until a call that broke off is made again.
const AGAIN: Duration = Duration::from_secs(1);

pub(crate) async fn run(args: &TrainArgs, coordinator: &Coordinator, output: Output) -> Result<()> {
    let recipes = read_recipes(&args.recipes)?;
    let request = v1::SubmitTrainRequest {
        recipes: recipes.into_iter().map(|recipe| recipe.file).collect(),
        data: args.data.clone(),
        name: args.name.clone().unwrap_or_default(),
        priority: args.priority,
        id: JobId::new().to_string(),
    };
    let job = coordinator.answer(submit(coordinator, request).await, Subject::Inputs)?;
    if !args.follow {
        output.show(|| json::job(&job), || render_queued(&job));
        return Ok(());
    }
    if output.is_json() {
        output.json_line(&json!({"event": "submitted", "job": json::job(&job)}));
    } else {
        output.styled(&render_plans(&job));
    }
    watch::watch(&job, coordinator, output).await
}

/// Queues the job. A call that broke off is made again under the same id, so that it is never queued twice.
async fn submit(
    coordinator: &Coordinator,
    request: v1::SubmitTrainRequest,
) -> std::result::Result<Response<v1::Job>, Status> {
    let first = coordinator.jobs().submit_train(traced(request.clone())).await;
    match first {
        Err(status) if is_lost(&status) => {
            tokio::time::sleep(AGAIN).await;
            coordinator.jobs().submit_train(traced(request)).await
        }
        answered => answered,
    }
}

/// A recipe's file and what it says.
#[derive(Debug)]
pub(crate) struct RecipeOnDisk {
    pub(crate) file: v1::RecipeFile,
    pub(crate) recipe: Recipe,
}

/// Reads recipes, so that a wrong key is named before anything is asked of the coordinator.
pub(crate) fn read_recipes(paths: &[PathBuf]) -> Result<Vec<RecipeOnDisk>> {
    let recipes: Vec<RecipeOnDisk> = paths.iter().map(|path| read_recipe(path)).collect::<Result<_>>()?;
    for (n, one) in recipes.iter().enumerate() {
        if recipes[..n].iter().any(|other| other.file.name == one.file.name) {
            let message = format!("two recipes are called `{}`", one.file.name);
            return Err(CliError::new(Exit::Usage, message).hint("a recipe is called by its file's name; rename one"));
        }
    }
    Ok(recipes)
}

fn read_recipe(path: &Path) -> Result<RecipeOnDisk> {
    let unreadable = |e: &dyn std::fmt::Display| {
        CliError::new(Exit::Usage, format!("cannot read recipe {}: {e}", path.display()))
            .hint("name one or more recipe files: mlx-lm's LoRA YAML")
    };
    let yaml = fs::read_to_string(path).map_err(|e| unreadable(&e))?;
    let name = path.file_stem().and_then(|stem| stem.to_str()).ok_or_else(|| unreadable(&"its name is not UTF-8"))?;
    let recipe = Recipe::parse(name, &yaml).map_err(|e| CliError::refused(format!("{}: {e}", path.display())))?;
    Ok(RecipeOnDisk { file: v1::RecipeFile { name: name.to_owned(), yaml }, recipe })
}

fn render_plans(job: &v1::Job) -> String {
    let plan = |plan: &v1::Plan| {
        let line = format!("{}: {} of {}, {}", plan.recipe, plan.method, plan.model, Bytes(plan.peak_bytes));
        format!("  {}\n", safe::line(&line))
    };
    let plans: String = job.plans.iter().map(plan).collect();
    format!("queued {} to run as the first of these that fits:\n{plans}", bold(&jobs::title(job)))
}

fn render_queued(job: &v1::Job) -> String {
    let why = if job.reason.is_empty() { String::new() } else { wrap(&format!("it waits: {}", job.reason), 0) };
    format!("{}{why}follow it: vertigo watch {}\n", render_plans(job), short_id(&job.id))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::plain;

    #[test]
    fn a_queued_job_shows_its_plans_and_how_to_follow_it() {
        let job = v1::Job {
            reason: "too large for every worker: book offers the most, 256 MiB".to_owned(),
            ..jobs::tests::job()
        };
        insta::assert_snapshot!(plain(&render_queued(&job)), @r"
        queued luau-tutor 0190163d-8694 to run as the first of these that fits:
          9b-qlora: QLoRA r16 of mini-9b-4bit, 900 MiB
          4b-full: full of mini-4b, 400 MiB
        it waits: too large for every worker: book offers the most, 256 MiB
        follow it: vertigo watch 0190163d-8694
        ");
    }

    #[test]
    fn a_wrong_recipe_is_named_with_its_file_and_key() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.yaml");
        fs::write(&path, "model: m\nlerning_rate: 1e-4\n").unwrap();
        let error = read_recipes(std::slice::from_ref(&path)).unwrap_err();
        assert_eq!(error.exit, Exit::Refused);
        assert!(error.message.contains("a.yaml") && error.message.contains("learning_rate"), "{}", error.message);
        let missing = read_recipes(&[dir.path().join("b.yaml")]).unwrap_err();
        assert_eq!(missing.exit, Exit::Usage);
        fs::write(&path, "model: m\n").unwrap();
        let twice = read_recipes(&[path.clone(), path]).unwrap_err();
        assert!(twice.message.contains("`a`"), "{}", twice.message);
    }
}
