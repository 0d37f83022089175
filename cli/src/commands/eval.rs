//! `vertigo eval`: asks models the tasks of suites, a job for each model and suite.

use crate::cli::{EvalArgs, RobloxJudge, Switch};
use crate::comparison;
use crate::coordinator::Coordinator;
use crate::error::{CliError, Exit, Result};
use crate::follow;
use crate::render::output::{Output, wrap};
use crate::render::{jobs as shown, json, suite as asked};
use crate::reports;
use crate::submit::{self, Answering};
use crate::suites;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use vertigo::server_key::KeyPlace;
use vertigo::task::role;
use vertigo::v1;
use vertigo_evaluation::compare::SIDES_MAX;
use vertigo_evaluation::statistics::Reach;
use vertigo_evaluation::suite::Suite;

/// Jobs of one call.
const JOBS_MAX: usize = 64;

/// A model that is asked a suite.
struct Eval {
    model: String,
    suite: String,
    job: v1::NewJob,
}

/// What a suite can show, as it is asked.
struct Shows {
    suite: String,
    reach: Reach,
}

pub(crate) async fn run(args: &EvalArgs, coordinator: &Coordinator, output: Output) -> Result<()> {
    // What is wrong with the command line is said before anything is fetched.
    let evals = evals(args)?;
    let shows = shows(args, coordinator, output).await?;
    for it in &shows {
        if output.is_json() && args.follow {
            output.json_line(&json!({"event": "reach", "suite": it.suite, "reach": it.reach}));
        } else {
            output.note(&it.said());
        }
    }
    let jobs = evals.iter().map(|eval| eval.job.clone()).collect();
    let queued = submit::submit(coordinator, jobs).await?;
    if args.follow {
        follow::follow_queued(&queued, coordinator, output).await?;
        return compare(args, &evals, &queued, coordinator, output).await;
    }
    if output.is_json() {
        output.show(|| document(&shows, &queued), String::new);
    } else {
        shown::show_queued(&queued, output);
    }
    Ok(())
}

impl Shows {
    fn said(&self) -> String {
        wrap(&format!("suite {}: {}", self.suite, self.reach), 0)
    }
}

fn document(shows: &[Shows], queued: &[v1::Job]) -> Value {
    let suites: Vec<Value> = shows.iter().map(|it| json!({"suite": it.suite, "reach": it.reach})).collect();
    json!({"suites": suites, "jobs": queued.iter().map(json::job).collect::<Vec<_>>()})
}

/// What the run can show, suite by suite. Each is read, so that a pattern that no task has is named before a model is asked.
async fn shows(args: &EvalArgs, coordinator: &Coordinator, output: Output) -> Result<Vec<Shows>> {
    let scratch =
        tempfile::tempdir().map_err(|e| CliError::refused(format!("cannot make a folder to work in: {e}")))?;
    let mut shows = Vec::new();
    for name in &args.suite {
        let suite = suites::kept(name, scratch.path(), coordinator, output).await?;
        shows.push(Shows { suite: name.clone(), reach: reach(args, suite)? });
    }
    Ok(shows)
}

fn reach(args: &EvalArgs, suite: Suite) -> Result<Reach> {
    let suite = suite.only(&args.tasks).map_err(|problem| {
        CliError::refused(problem).hint("`vertigo suite show SUITE --json` says what a suite has; * is any text")
    })?;
    if args.roblox.is_some() && suite.tasks.iter().all(|task| task.roblox.is_none()) {
        let name = &suite.about.name;
        return Err(CliError::refused(format!(
            "no task of the suite {name} is an eval of OpenGameEval, and --roblox judges those"
        ))
        .hint("`vertigo suite import NAME PATH` takes a checkout of OpenGameEval"));
    }
    Ok(asked::reach(&suite, args.samples.unwrap_or(suite.about.defaults.samples)))
}

/// A job for each model and suite; the baseline is asked as the others are.
fn evals(args: &EvalArgs) -> Result<Vec<Eval>> {
    let usage = |message: String| CliError::new(Exit::Usage, message);
    let baseline = args.baseline.iter().filter(|baseline| !args.models.contains(baseline));
    let models: Vec<&String> = args.models.iter().chain(baseline).collect();
    for (what, all) in [("model", models.clone()), ("suite", args.suite.iter().collect())] {
        if let Some(twice) = all.iter().enumerate().find(|(n, name)| all[..*n].contains(name)) {
            return Err(usage(format!("{what} `{}` is given twice", twice.1)));
        }
    }
    if models.len() * args.suite.len() > JOBS_MAX {
        return Err(usage(format!("these are more than {JOBS_MAX} jobs")).hint("ask fewer models or suites at a time"));
    }
    if args.baseline.is_some() && args.follow && !(2..=SIDES_MAX).contains(&models.len()) {
        return Err(usage(format!("{} models with the baseline: compare 2 to {SIDES_MAX}", models.len())));
    }
    let key = args.key.as_deref().unwrap_or_default();
    if args.key.is_some() && !["env:", "file:"].iter().any(|way| key.len() > way.len() && key.starts_with(way)) {
        // What stands there may be the key itself, so it is not said.
        return Err(usage(
            "--key says where the worker finds the key, and not the key: env:NAME or file:PATH".to_owned(),
        ));
    }
    real_roblox(args)?;
    let mut evals = Vec::new();
    for model in &models {
        for suite in &args.suite {
            let name = args.name.as_ref().map(|name| {
                let model = (models.len() > 1).then(|| word(model));
                let suite = (args.suite.len() > 1).then(|| word(suite));
                [Some(name.clone()), model, suite].into_iter().flatten().collect::<Vec<_>>().join("-")
            });
            let job = job(args, model, suite, key, name.as_deref())?;
            evals.push(Eval { model: (*model).clone(), suite: suite.clone(), job });
        }
    }
    let names: BTreeSet<&str> = evals.iter().map(|eval| eval.job.name.as_str()).collect();
    if args.name.is_some() && names.len() < evals.len() {
        return Err(usage("two of these jobs would have one name".to_owned())
            .hint("queue them one by one, each with its --name"));
    }
    let is_server = |eval: &Eval| eval.model.contains("://");
    if args.key.is_some() && !evals.iter().any(is_server) {
        return Err(usage("--key is for a server's model, and none of these is one".to_owned())
            .hint("a server's model is https://host/v1#MODEL"));
    }
    Ok(evals)
}

fn job(args: &EvalArgs, model: &str, suite: &str, key: &str, name: Option<&str>) -> Result<v1::NewJob> {
    let answering = Answering::parse(model, key).map_err(|problem| CliError::new(Exit::Usage, problem))?;
    let (server, mut inputs) = answering.into_parts();
    inputs.insert(0, submit::artifact(role::SUITE, suite));
    inputs.extend(args.data.iter().map(|data| submit::artifact(role::DATA, data)));
    let task = v1::Eval {
        samples: args.samples.unwrap_or_default(),
        seed: args.seed,
        temperature: args.temperature,
        thinking: args.thinking.map(|switch| switch == Switch::On),
        tokens_max: args.tokens_max.unwrap_or_default(),
        tasks: args.tasks.clone(),
        server,
        roblox: real_roblox(args)?,
        ..v1::Eval::default()
    };
    Ok(submit::job(name, args.priority, vec![submit::eval(task, inputs)]))
}

/// Who judges beside the room.
fn real_roblox(args: &EvalArgs) -> Result<Option<v1::RealRoblox>> {
    let usage = |message: &str| Err(CliError::new(Exit::Usage, message.to_owned()));
    let key = args.roblox_key.clone();
    let judge = match (args.roblox, &key) {
        (None, _) => return Ok(None),
        (Some(RobloxJudge::Cloud), None) => {
            return usage(
                "--roblox cloud needs --roblox-key: env:NAME or file:PATH on the worker, where Open Cloud's key is",
            );
        }
        // What stands there may be the key itself, so it is not said.
        (Some(RobloxJudge::Cloud), Some(key)) if key.parse::<KeyPlace>().is_err() => {
            return usage("--roblox-key says where the worker finds the key, and not the key: env:NAME or file:PATH");
        }
        (Some(RobloxJudge::Studio), Some(_)) => {
            return usage("--roblox-key is for --roblox cloud: a Studio has no key");
        }
        (Some(RobloxJudge::Cloud), Some(_)) => v1::RobloxJudge::Cloud,
        (Some(RobloxJudge::Studio), None) => v1::RobloxJudge::Studio,
    };
    Ok(Some(v1::RealRoblox { judge: judge.into(), key: key.unwrap_or_default() }))
}

/// A model or a suite as a part of a job's name, which is a tag. Of a server's address the model is enough.
fn word(name: &str) -> String {
    let name = name.rsplit_once('#').map_or(name, |(_, model)| model);
    let fits = |c: char| if c.is_ascii_alphanumeric() || ".-_".contains(c) { c } else { '_' };
    name.chars().map(fits).collect()
}

/// The models beside the baseline, suite by suite, once all have ended well.
async fn compare(
    args: &EvalArgs,
    evals: &[Eval],
    queued: &[v1::Job],
    coordinator: &Coordinator,
    output: Output,
) -> Result<()> {
    if args.baseline.is_none() {
        return Ok(());
    }
    for suite in &args.suite {
        let mut found = Vec::new();
        for (eval, job) in evals.iter().zip(queued).filter(|(eval, _)| eval.suite == *suite) {
            found.push((eval.model.as_str(), reports::named(&job.id, coordinator, output).await?));
        }
        let sides: Vec<_> = found.iter().map(|(model, named)| (*model, &named.report)).collect();
        let compared = comparison::compared(&sides)?;
        if output.is_json() {
            output.json_line(&json!({"event": "compared", "suite": suite, "result": compared.json()}));
        } else {
            output.styled(&format!("\n{}", compared.render()));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Cli, Command};
    use clap::Parser;
    use vertigo::v1::task;

    fn args(line: &str) -> EvalArgs {
        match Cli::try_parse_from(format!("vertigo eval {line}").split(' ')).unwrap().command {
            Command::Eval(args) => args,
            other => panic!("{other:?}"),
        }
    }

    fn task(eval: &Eval) -> v1::Eval {
        match eval.job.variants[0].task.clone().unwrap().kind {
            Some(task::Kind::Eval(task)) => task,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn there_is_a_job_for_each_model_and_suite_and_the_baseline_is_one_of_them() {
        let line = "tutor base@tutor --suite luau --suite v2 --baseline base --name e --samples 3 --seed 9 --thinking off \
                    --tasks a* --data luau --priority 2";
        let evals = evals(&args(&line.split_whitespace().collect::<Vec<_>>().join(" "))).unwrap();
        let names: Vec<&str> = evals.iter().map(|eval| eval.job.name.as_str()).collect();
        let wanted = ["e-tutor-luau", "e-tutor-v2", "e-base_tutor-luau", "e-base_tutor-v2", "e-base-luau", "e-base-v2"];
        assert_eq!(names, wanted);
        let roles: Vec<&str> = evals[2].job.variants[0].inputs.iter().map(|input| input.role.as_str()).collect();
        assert_eq!(roles, ["suite", "model", "base", "data"]);
        let task = task(&evals[0]);
        assert_eq!((task.samples, task.seed, task.thinking, task.tokens_max), (3, 9, Some(false), 0));
        assert_eq!((task.temperature, task.tasks, evals[0].job.priority), (None, vec!["a*".to_owned()], 2));
    }

    #[test]
    fn a_servers_key_is_a_place_and_never_the_key() {
        let url = "https://host/v1#big";
        let evals_of = |line: &str| evals(&args(line));
        let server = task(&evals_of(&format!("{url} --suite luau --key env:KEY")).unwrap()[0]).server.unwrap();
        assert_eq!(
            (server.url.as_str(), server.model.as_str(), server.key.as_str()),
            ("https://host/v1", "big", "env:KEY")
        );
        let refused = |line: &str| evals_of(line).err().unwrap().message;
        let secret = refused(&format!("{url} --suite luau --key sk-secret"));
        assert!(secret.contains("env:NAME") && !secret.contains("sk-secret"), "{secret}");
        assert!(refused("m --suite luau --key env:KEY").contains("none of these is one"));
        assert!(refused("https://host/v1 --suite luau").contains("#MODEL"));
        assert!(refused("m m --suite luau").contains("model `m` is given twice"));
        assert!(refused("a/b a_b --suite luau --name e").contains("one name"));
        assert!(refused("m --suite luau --baseline m --follow").contains("compare 2 to 8"));
        assert!(refused("a b c d e f g h --suite luau --baseline i --follow").contains("9 models"));
    }

    #[test]
    fn a_real_roblox_is_asked_about_tasks_that_are_its_own_and_its_key_is_a_place() {
        let evals_of = |line: &str| evals(&args(line));
        let roblox = |line: &str| task(&evals_of(line).unwrap()[0]).roblox;
        let cloud = roblox("m --suite ogv --roblox cloud --roblox-key env:KEY").unwrap();
        assert_eq!((cloud.judge(), cloud.key.as_str()), (v1::RobloxJudge::Cloud, "env:KEY"));
        assert_eq!(roblox("m --suite ogv --roblox studio").unwrap().judge(), v1::RobloxJudge::Studio);
        assert_eq!(roblox("m --suite ogv"), None);
        let refused = |line: &str| evals_of(line).err().unwrap().message;
        assert!(refused("m --suite ogv --roblox cloud").contains("--roblox-key"));
        let secret = refused("m --suite ogv --roblox cloud --roblox-key sk-secret");
        assert!(secret.contains("env:NAME") && !secret.contains("sk-secret"), "{secret}");
        assert!(refused("m --suite ogv --roblox studio --roblox-key env:KEY").contains("no key"));
        let none = reach(&args("m --suite luau --roblox studio"), suites::ours().unwrap()).unwrap_err();
        assert!(none.message.contains("no task of the suite luau is an eval"), "{}", none.message);
    }

    #[test]
    fn what_a_run_can_show_is_said_of_the_tasks_and_samples_that_are_asked() {
        let suite = suites::ours().unwrap();
        let (first, tasks) = (suite.tasks[0].id.clone(), suite.tasks.len() as u64);
        let all = reach(&args("m --suite luau"), suite.clone()).unwrap();
        assert_eq!((all.design.tasks, all.design.samples), (tasks, u64::from(suite.about.defaults.samples)));
        let one = reach(&args(&format!("m --suite luau --samples 2 --tasks {first}")), suite.clone()).unwrap();
        assert_eq!((one.design.tasks, one.design.samples, one.ever), (1, 2, None));
        let said = Shows { suite: "luau".to_owned(), reach: one }.said();
        assert_eq!(said, "suite luau: 1 task at 2 samples cannot show that one model is better than\nanother\n");
        assert!(
            reach(&args("m --suite luau --tasks none"), suite).unwrap_err().message.contains("no task of the suite")
        );
    }
}
