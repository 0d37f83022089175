//! `vertigo rerun`: a job queued anew, as it was or with some keys of its recipes changed.

use crate::cli::RerunArgs;
use crate::coordinator::Coordinator;
use crate::error::{CliError, Exit, Result};
use crate::follow;
use crate::recipes::RecipeOnDisk;
use crate::render::jobs;
use crate::render::output::Output;
use crate::settings;
use crate::settings::Setting;
use crate::submit;
use vertigo::task::role;
use vertigo::v1::{self, task};
use vertigo_model::recipe::Recipe;

pub(crate) async fn run(args: &RerunArgs, coordinator: &Coordinator, output: Output) -> Result<()> {
    let before = coordinator.job(&args.id).await?;
    let job = again(&before, args.name.as_deref(), &args.set)?;
    let queued = submit::submit(coordinator, vec![job]).await?;
    if args.follow {
        return follow::follow_queued(&queued, coordinator, output).await;
    }
    jobs::show_queued(&queued, output);
    Ok(())
}

/// The same job once more: its tasks, its inputs as they were, its group.
pub(crate) fn again(before: &v1::Job, name: Option<&str>, set: &[Setting]) -> Result<v1::NewJob> {
    let variants = before.variants.iter().map(|variant| again_variant(variant, set)).collect::<Result<Vec<_>>>()?;
    let own = Some(before.name.as_str()).filter(|name| !name.is_empty());
    // It is no part of the pipeline that it was of: whoever cancels that means the jobs that it began with.
    let of_pipeline = |key: &String| key == "pipeline" || key == "job";
    let labels = before.labels.clone().into_iter().filter(|(key, _)| !of_pipeline(key)).collect();
    Ok(v1::NewJob { labels, ..submit::job(name.or(own), before.priority, variants) })
}

fn again_variant(variant: &v1::Variant, set: &[Setting]) -> Result<v1::NewVariant> {
    // Another model is another base, which the recipe finds; else what was read is read again.
    let is_other = |input: &v1::JobInput| input.role == role::BASE && set.iter().any(|setting| setting.key == "model");
    let inputs = variant.inputs.iter().filter(|input| !is_other(input)).map(|input| {
        match (input.digest.as_str(), input.job.as_str()) {
            // What is not there yet comes from where it came from.
            ("", job) => submit::output_of(&input.role, job, &input.output),
            (digest, _) => submit::artifact(&input.role, digest),
        }
    });
    let inputs = inputs.collect();
    match variant.task.as_ref().and_then(|task| task.kind.as_ref()) {
        Some(task::Kind::Train(train)) => {
            let recipe = settings::apply_to_own(&recipe(train)?, set)?;
            Ok(v1::NewVariant { name: variant.name.clone(), ..submit::train(&recipe, inputs) })
        }
        Some(task::Kind::Fuse(_) | task::Kind::Serve(_) | task::Kind::Eval(_) | task::Kind::Curate(_))
            if !set.is_empty() =>
        {
            let message = format!("`{}` is a {} job and has no recipe to set keys of", variant.name, variant.kind);
            Err(CliError::new(Exit::Usage, message)
                .hint(format!("`vertigo {} --help` says what can be set", variant.kind)))
        }
        Some(task::Kind::Fuse(_) | task::Kind::Serve(_) | task::Kind::Eval(_) | task::Kind::Curate(_)) => {
            Ok(v1::NewVariant { name: variant.name.clone(), task: variant.task.clone(), inputs })
        }
        None => Err(CliError::refused(format!("`{}` is of a kind that this vertigo does not know", variant.name))),
    }
}

fn recipe(train: &v1::Train) -> Result<RecipeOnDisk> {
    let v1::Train { recipe: name, yaml } = train;
    let recipe = Recipe::parse(name, yaml).map_err(CliError::refused)?;
    Ok(RecipeOnDisk { name: name.clone(), yaml: yaml.clone(), recipe })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trained() -> v1::Job {
        let train = v1::Train { recipe: "4b".to_owned(), yaml: "model: mini\niters: 3\n".to_owned() };
        let mut job = jobs::tests::job();
        job.labels.insert("group".to_owned(), "rates".to_owned());
        job.variants.truncate(1);
        job.variants[0].task = Some(v1::Task { kind: Some(task::Kind::Train(train)) });
        let base = v1::JobInput { role: "base".to_owned(), digest: "sha256:ba5e".to_owned(), ..Default::default() };
        job.variants[0].inputs.push(base);
        job
    }

    #[test]
    fn a_job_is_queued_as_it_was_or_with_keys_changed() {
        let same = again(&trained(), None, &[]).unwrap();
        assert_ne!(same.id, trained().id);
        assert_eq!((same.name.as_str(), &same.labels), ("luau-tutor", &trained().labels));
        let [variant] = &same.variants[..] else { panic!("{same:?}") };
        assert_eq!(variant.task, trained().variants[0].task, "to the letter, comments and all");
        let roles: Vec<_> = variant.inputs.iter().map(|input| input.role.as_str()).collect();
        assert_eq!(roles, ["data", "base"], "the same base, whatever the recipe's name for it means by now");
        let other = again(&trained(), None, &["model=mini-9b".parse().unwrap()]).unwrap();
        let roles: Vec<_> = other.variants[0].inputs.iter().map(|input| input.role.as_str()).collect();
        assert_eq!(roles, ["data"], "the recipe finds its base");
        let changed = again(&trained(), Some("other"), &["iters=9".parse().unwrap()]).unwrap();
        let Some(task::Kind::Train(train)) = changed.variants[0].task.clone().unwrap().kind else { panic!() };
        assert!(changed.name == "other" && train.yaml.contains("iters: 9"), "{}", train.yaml);
        let wrong = again(&trained(), None, &["itters=9".parse().unwrap()]).unwrap_err();
        assert!(wrong.message.contains("iters"), "{}", wrong.message);
    }

    #[test]
    fn what_was_not_there_comes_from_the_same_job_again() {
        let mut reader = jobs::tests::reader();
        reader.variants[0].task = submit::fuse(vertigo::task::Bits::Same, true, Vec::new()).task;
        let again = again(&reader, None, &[]).unwrap();
        let source = again.variants[0].inputs[0].source.clone();
        assert!(again.labels.is_empty(), "it is not of the pipeline any more: {:?}", again.labels);
        assert!(matches!(source, Some(v1::input::Source::Output(output)) if output.job == jobs::tests::job().id));
    }
}
