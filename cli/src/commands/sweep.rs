//! `vertigo sweep`: a recipe once for each combination of some keys' values, queued together as a group.

use crate::cli::SweepArgs;
use crate::coordinator::Coordinator;
use crate::error::{CliError, Exit, Result};
use crate::recipes::{RecipeOnDisk, read_recipe};
use crate::render::jobs::called;
use crate::render::output::{Output, bold};
use crate::render::{json, safe};
use crate::settings::{self, Setting, Values};
use crate::submit;
use serde_json::{Value, json};
use vertigo::task::role;
use vertigo::v1;

/// Jobs of a sweep.
const JOBS_MAX: usize = 256;

pub(crate) async fn run(args: &SweepArgs, coordinator: &Coordinator, output: Output) -> Result<()> {
    let recipe = read_recipe(&args.recipe)?;
    let group = args.group.clone().unwrap_or_else(|| recipe.name.clone());
    let jobs = jobs(&recipe, &args.set, &args.data, &group, args.priority)?;
    let queued = submit::submit(coordinator, jobs).await?;
    let document = || json!({"group": group, "jobs": queued.iter().map(json::job).collect::<Vec<_>>()});
    output.show(document, || {
        let names: String = queued.iter().map(|job| format!("  {}\n", safe::line(called(job)))).collect();
        let next = format!(
            "see how they get on: vertigo jobs --group {group}\ncompare what came out: vertigo compare --group {group}\n"
        );
        format!("queued {} jobs as group {}:\n{names}{next}", queued.len(), bold(&group))
    });
    Ok(())
}

/// A job for each combination. All recipes are checked before anything is queued.
fn jobs(recipe: &RecipeOnDisk, set: &[Values], data: &str, group: &str, priority: i32) -> Result<Vec<v1::NewJob>> {
    for (n, Values { key, values }) in set.iter().enumerate() {
        let twice = |what: &str| Err(CliError::new(Exit::Usage, format!("--set {key}: {what} is given twice")));
        if set[..n].iter().any(|other| other.key == *key) {
            return twice("the key");
        }
        if let Some(value) = (0..values.len()).find(|&n| values[..n].contains(&values[n])).map(|n| &values[n]) {
            return twice(&format!("the value {value}"));
        }
    }
    let number = set.iter().map(|values| values.values.len()).try_fold(1usize, usize::checked_mul);
    if number.is_none_or(|number| number > JOBS_MAX) {
        let message = format!("these values make more than {JOBS_MAX} jobs");
        return Err(CliError::new(Exit::Usage, message).hint("sweep fewer keys or values at a time"));
    }
    let job = |settings: Vec<Setting>| {
        let changed = settings::apply(recipe, &settings)?;
        let variant = submit::train(&changed, vec![submit::artifact(role::DATA, data)]);
        let name = settings.iter().fold(group.to_owned(), |name, setting| name + "-" + &word(setting));
        let labels = [("group".to_owned(), group.to_owned())].into();
        Ok(v1::NewJob { labels, ..submit::job(Some(&name), priority, vec![variant]) })
    };
    combinations(set).into_iter().map(job).collect()
}

/// One value of each key, in every way; the last key changes first.
fn combinations(set: &[Values]) -> Vec<Vec<Setting>> {
    set.iter().fold(vec![Vec::new()], |before, Values { key, values }| {
        let with = |settings: &Vec<Setting>, value: &Value| {
            let setting = Setting { key: key.clone(), value: value.clone() };
            settings.iter().cloned().chain([setting]).collect()
        };
        before.iter().flat_map(|settings| values.iter().map(move |value| with(settings, value))).collect()
    })
}

/// A setting as a part of a job's name, which is a tag: `learning_rate1e-6`.
fn word(setting: &Setting) -> String {
    let key = setting.key.rsplit('.').next().unwrap_or(&setting.key);
    let fits = |c: char| if c.is_ascii_alphanumeric() || ".-_".contains(c) { c } else { '_' };
    format!("{key}{}", spoken(&setting.value)).chars().map(fits).collect()
}

/// A value without the signs that YAML writes around it and within.
fn spoken(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(spoken).collect::<Vec<_>>().join("-"),
        Value::Object(fields) => fields.values().map(spoken).collect::<Vec<_>>().join("-"),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vertigo::v1::task;
    use vertigo_model::recipe::Recipe;

    fn recipe() -> RecipeOnDisk {
        let yaml = "model: mini\niters: 3\n".to_owned();
        RecipeOnDisk { name: "4b".to_owned(), recipe: Recipe::parse("4b", &yaml).unwrap(), yaml }
    }

    fn values(texts: &[&str]) -> Vec<Values> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn a_sweep_is_the_product_of_its_values() {
        let set = values(&["learning_rate=1e-6,2e-6", "seed=1,2,3"]);
        let jobs = jobs(&recipe(), &set, "luau", "rates", 2).unwrap();
        let names: Vec<_> = jobs.iter().map(|job| job.name.as_str()).collect();
        assert_eq!(names[0], "rates-learning_rate1e-6-seed1");
        assert_eq!(names[5], "rates-learning_rate2e-6-seed3");
        assert_eq!(jobs.len(), 6);
        assert!(jobs.iter().all(|job| job.labels["group"] == "rates" && job.priority == 2));
        let yaml = |n: usize| match jobs[n].variants[0].task.clone().unwrap().kind {
            Some(task::Kind::Train(train)) => Recipe::parse("4b", &train.yaml).unwrap(),
            other => panic!("{other:?}"),
        };
        assert_eq!((yaml(0).seed, yaml(5).seed), (1, 3));
    }

    #[test]
    fn a_value_that_is_a_list_is_one_value_and_a_part_of_a_name() {
        let set = values(&[
            "lora_parameters={rank: 4, scale: 2.0, dropout: 0.0}",
            "lora_parameters.keys=[mlp.up_proj,mlp.gate_proj],[mlp.up_proj]",
        ]);
        let jobs = jobs(&recipe(), &set, "luau", "keys", 0).unwrap();
        let names: Vec<_> = jobs.iter().map(|job| job.name.as_str()).collect();
        let beginning = "keys-lora_parameters4-2.0-0.0-keysmlp.up_proj";
        assert_eq!(names, [format!("{beginning}-mlp.gate_proj"), beginning.to_owned()]);
    }

    #[test]
    fn what_is_wrong_is_said_before_anything_is_queued() {
        let of = |set: &[&str]| jobs(&recipe(), &values(set), "luau", "g", 0).unwrap_err();
        assert!(of(&["sed=1"]).message.contains("seed"));
        let many: Vec<String> = (0..300).map(|n| n.to_string()).collect();
        assert!(of(&[&format!("seed={}", many.join(","))]).message.contains("more than 256"));
        assert!(of(&["seed=1,2", "seed=3"]).message.contains("the key is given twice"));
        assert!(of(&["seed=1,2,1"]).message.contains("the value 1 is given twice"));
        assert!("seed=".parse::<Values>().is_err() && "seed".parse::<Values>().is_err());
    }
}
