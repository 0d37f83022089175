//! `vertigo run`: a pipeline file's jobs, queued together.

mod file;
mod places;

use crate::bounded;
use crate::cli::RunArgs;
use crate::coordinator::Coordinator;
use crate::curations;
use crate::error::{CliError, Exit, Result};
use crate::follow;
use crate::recipes::{RecipeOnDisk, read_recipe};
use crate::render::jobs;
use crate::render::json;
use crate::render::output::{Output, bold, short_id, wrap};
use crate::settings;
use crate::settings::Setting;
use crate::submit::{self, ServeOptions};
use file::{Job, Kind, Pipeline, Source};
use serde_json::json;
use std::collections::BTreeMap;
use std::path::Path;
use vertigo::id::JobId;
use vertigo::task::{numbered, role};
use vertigo::v1;

/// The largest pipeline file.
const FILE_BYTES_MAX: u64 = 256 << 10;

pub(crate) async fn run(args: &RunArgs, coordinator: &Coordinator, output: Output) -> Result<()> {
    let pipeline = read(&args.file)?;
    let folder = args.file.parent().unwrap_or(Path::new(""));
    let (name, jobs) = new_jobs(&pipeline, folder, &args.set)?;
    let queued = submit::submit(coordinator, jobs).await?;
    if args.follow {
        if output.is_json() {
            output.json_line(&json!({"event": "pipeline", "name": name}));
        } else {
            output.styled(&render(&name, &queued));
        }
        return follow::watch_all(&queued, coordinator, output).await;
    }
    let document = || json!({"pipeline": name, "jobs": queued.iter().map(json::job).collect::<Vec<_>>()});
    output.show(document, || {
        let next = format!("see how it gets on: vertigo jobs --pipeline {name}\n");
        render(&name, &queued) + &next
    });
    Ok(())
}

fn read(path: &Path) -> Result<Pipeline> {
    let refused = |problem: String| CliError::refused(format!("{}: {problem}", path.display()));
    let unreadable = |e: std::io::Error| {
        CliError::new(Exit::Usage, format!("cannot read the pipeline {}: {e}", path.display()))
            .hint("name a pipeline file; `vertigo run --help` shows one")
    };
    let text = bounded::read(path, FILE_BYTES_MAX).map_err(unreadable)?;
    Pipeline::parse(&text).map_err(|error| refused(error.to_string()))
}

/// The jobs as they are sent, each after those that it reads, and the name of this run of the pipeline.
fn new_jobs(pipeline: &Pipeline, folder: &Path, set: &[Setting]) -> Result<(String, Vec<v1::NewJob>)> {
    let ids: BTreeMap<&str, String> =
        pipeline.jobs.iter().map(|job| (job.key.as_str(), JobId::new().to_string())).collect();
    let first = pipeline.jobs.first().map(|job| short_id(&ids[job.key.as_str()])).unwrap_or_default();
    let name = format!("{}-{first}", pipeline.name);
    let jobs = pipeline.jobs.iter().map(|job| new_job(job, &ids, &name, folder, set)).collect::<Result<Vec<_>>>()?;
    check_settings(pipeline, set)?;
    Ok((name, jobs))
}

fn new_job(
    job: &Job,
    ids: &BTreeMap<&str, String>,
    pipeline: &str,
    folder: &Path,
    set: &[Setting],
) -> Result<v1::NewJob> {
    let input = |(role, source): (&String, &Source)| match source {
        Source::Artifact(reference) => submit::artifact(role, reference),
        Source::Output { job, role: output } => submit::output_of(role, &ids[job.as_str()], output),
    };
    let inputs: Vec<v1::Input> = job.inputs.iter().map(input).collect();
    let variants = match &job.kind {
        Kind::Train { recipes } => {
            let read = |path: &String| {
                let recipe = read_recipe(&folder.join(path))?;
                Ok(submit::train(&with_settings(recipe, &job.key, set)?, inputs.clone()))
            };
            recipes.iter().map(read).collect::<Result<Vec<_>>>()?
        }
        Kind::Fuse { bits, is_measured } => vec![submit::fuse(*bits, *is_measured, inputs)],
        Kind::Serve { names, cache } => {
            let options = ServeOptions { cache: *cache, listen: None };
            vec![submit::serve_with(served(job, names), &options, inputs)]
        }
        Kind::Eval(eval) => vec![submit::eval(eval.as_ref().clone(), inputs)],
        Kind::Curate { config } => vec![submit::curate(&curations::read_config(&folder.join(config))?, inputs)],
    };
    let name = job.name.as_deref().unwrap_or(&job.key);
    let labels = [("pipeline".to_owned(), pipeline.to_owned()), ("job".to_owned(), job.key.clone())].into();
    let id = ids[job.key.as_str()].clone();
    Ok(v1::NewJob { id, labels, ..submit::job(Some(name), job.priority, variants) })
}

/// A service's models, with what they follow: what another job of the pipeline makes stays what it is.
fn served(job: &Job, names: &[String]) -> Vec<v1::ServedModel> {
    let followed = |role: String| match job.inputs.get(&role) {
        Some(Source::Artifact(reference)) => reference.clone(),
        Some(Source::Output { .. }) | None => String::new(),
    };
    let model = |(n, name): (usize, &String)| v1::ServedModel {
        name: name.clone(),
        model: followed(numbered(role::MODEL, n + 1)),
        base: followed(numbered(role::BASE, n + 1)),
    };
    names.iter().enumerate().map(model).collect()
}

/// A recipe with the keys that were set for all recipes (`recipe.KEY`) or for its job's (`JOB.KEY`).
fn with_settings(recipe: RecipeOnDisk, job: &str, set: &[Setting]) -> Result<RecipeOnDisk> {
    let meant = set.iter().filter_map(|setting| {
        let (of, key) = setting.key.split_once('.')?;
        (of == "recipe" || of == job).then(|| Setting { key: key.to_owned(), value: setting.value.clone() })
    });
    let meant: Vec<Setting> = meant.collect();
    settings::apply_to_own(&recipe, &meant)
}

/// Refuses settings that mean no job.
fn check_settings(pipeline: &Pipeline, set: &[Setting]) -> Result<()> {
    let trains = |of: &str| pipeline.jobs.iter().any(|job| job.key == of && matches!(job.kind, Kind::Train { .. }));
    match set.iter().find(|it| it.key.split_once('.').is_none_or(|(of, _)| of != "recipe" && !trains(of))) {
        None => Ok(()),
        Some(odd) => {
            let message = format!("--set {}: names no training job of the pipeline", odd.key);
            Err(CliError::new(Exit::Usage, message).hint(
                "write recipe.KEY=VALUE for all recipes, or JOB.KEY=VALUE for those of one job; the rest is the file's",
            ))
        }
    }
}

/// The jobs as a tree: each below the last of those that it waits for.
fn render(name: &str, jobs: &[v1::Job]) -> String {
    let mut tree = Tree { jobs, shown: Vec::new(), text: format!("queued pipeline {}\n", bold(name)) };
    for job in jobs {
        if tree.sources(job).is_empty() {
            tree.show(job, 0);
        }
    }
    tree.text
}

struct Tree<'a> {
    jobs: &'a [v1::Job],
    /// Ids of those that are in the text.
    shown: Vec<&'a str>,
    text: String,
}

impl<'a> Tree<'a> {
    /// The jobs of the pipeline that one waits for.
    fn sources(&self, job: &v1::Job) -> Vec<&'a v1::Job> {
        self.jobs.iter().filter(|source| job.waits_for.contains(&source.id)).collect()
    }

    /// Adds a job and, below it, those that wait for nothing that is not shown by now. Sources are older, so this ends.
    fn show(&mut self, job: &'a v1::Job, depth: usize) {
        let sources: Vec<&str> = self.sources(job).iter().map(|source| source.name.as_str()).collect();
        let about = if sources.is_empty() { as_what(job) } else { format!("waits for {}", sources.join(" and ")) };
        let line = format!("{}{}: {about}", if depth > 0 { "└ " } else { "" }, jobs::title(job));
        self.text += &wrap(&line, 2 + 2 * depth);
        self.shown.push(&job.id);
        for reader in self.jobs {
            let is_below = self.sources(reader).iter().any(|source| source.id == job.id);
            let is_next =
                is_below && self.sources(reader).iter().all(|source| self.shown.contains(&source.id.as_str()));
            if is_next && !self.shown.contains(&reader.id.as_str()) {
                self.show(reader, depth + 1);
            }
        }
    }
}

/// How a job stands, and what it runs as or may run as.
fn as_what(job: &v1::Job) -> String {
    let given = job.attempts.last().and_then(|attempt| job.variants.get(attempt.variant as usize));
    let names: Vec<&str> = job.variants.iter().map(|it| it.name.as_str()).collect();
    format!("{} as {}", json::state(job.state()), given.map_or_else(|| names.join(", "), |it| it.name.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::output::plain;
    use std::fs;
    use vertigo::v1::{input, task};

    fn folder() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for name in ["9b", "4b"] {
            fs::write(dir.path().join(format!("{name}.yaml")), "model: mini\niters: 5\n").unwrap();
        }
        dir
    }

    const TEXT: &str = "name: luau\njobs:\n  fuse: {kind: fuse, adapter: ${{ train }}, bits: 8}\n  \
         train: {kind: train, recipes: [9b.yaml, 4b.yaml], data: luau, name: tutor}\n";

    #[test]
    fn a_file_becomes_jobs_that_read_one_another() {
        let dir = folder();
        let pipeline = Pipeline::parse(TEXT).unwrap();
        let set = ["recipe.iters=20".parse().unwrap(), "train.seed=7".parse().unwrap()];
        let (name, jobs) = new_jobs(&pipeline, dir.path(), &set).unwrap();
        let [trains, fuses] = &jobs[..] else { panic!("{jobs:?}") };
        assert!(name.starts_with("luau-") && trains.labels["pipeline"] == name && fuses.labels["job"] == "fuse");
        assert_eq!((trains.name.as_str(), fuses.name.as_str()), ("tutor", "fuse"));
        let names: Vec<_> = trains.variants.iter().map(|it| it.name.as_str()).collect();
        assert_eq!(names, ["9b", "4b"]);
        let Some(task::Kind::Train(first)) = trains.variants[0].task.clone().unwrap().kind else { panic!() };
        assert!(first.yaml.contains("iters: 20") && first.yaml.contains("seed: 7"), "{}", first.yaml);
        let Some(input::Source::Output(output)) = &fuses.variants[0].inputs[0].source else { panic!("{fuses:?}") };
        assert_eq!(output.job, trains.id);

        let odd = new_jobs(&pipeline, dir.path(), &["fuse.iters=2".parse().unwrap()]).unwrap_err();
        assert!(odd.message.contains("fuse.iters"), "{}", odd.message);
        let wrong = new_jobs(&pipeline, dir.path(), &["recipe.itters=2".parse().unwrap()]).unwrap_err();
        assert!(wrong.message.contains("iters"), "{}", wrong.message);
        fs::remove_file(dir.path().join("4b.yaml")).unwrap();
        let missing = new_jobs(&pipeline, dir.path(), &[]).unwrap_err();
        assert!(missing.message.contains("4b.yaml"), "{}", missing.message);
    }

    #[test]
    fn a_pipeline_is_a_tree() {
        let trains = v1::Job { state: v1::JobState::Queued.into(), attempts: Vec::new(), ..jobs::tests::job() };
        let other = v1::Job { id: "0190163d-9999-739b".to_owned(), name: "other".to_owned(), ..trains.clone() };
        let both = v1::Job {
            id: "0190163f-3333-739b".to_owned(),
            name: "both".to_owned(),
            waits_for: vec![other.id.clone(), jobs::tests::reader().id],
            ..jobs::tests::reader()
        };
        let text = plain(&render("luau-1", &[trains, other, jobs::tests::reader(), both]));
        insta::assert_snapshot!(text, @r"
        queued pipeline luau-1
          luau-tutor 0190163d-8694: queued as 9b-qlora, 4b-full
            └ luau-tutor-fused 0190163f-2222: waits for luau-tutor
          other 0190163d-9999: queued as 9b-qlora, 4b-full
            └ both 0190163f-3333: waits for other and luau-tutor-fused
        ");
    }
}
