//! `--set key=value`: a recipe's file with some of its keys changed.

use crate::error::{CliError, Exit, Result};
use crate::recipes::RecipeOnDisk;
use serde_json::{Map, Value};
use std::str::FromStr;
use vertigo_model::recipe::Recipe;

/// A key and what it is set to.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Setting {
    /// With dots where it lies deeper: `lora_parameters.rank`.
    pub(crate) key: String,
    /// As YAML reads it.
    pub(crate) value: Value,
}

impl FromStr for Setting {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Setting, String> {
        let wrong = || format!("`{text}` is no setting; write KEY=VALUE, such as iters=200");
        let (key, value) = text.split_once('=').filter(|(key, _)| !key.is_empty()).ok_or_else(wrong)?;
        let value = serde_saphyr::from_str(value).map_err(|_| wrong())?;
        Ok(Setting { key: key.to_owned(), value })
    }
}

/// A key and the values that it takes one after another.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Values {
    pub(crate) key: String,
    /// At least one.
    pub(crate) values: Vec<Value>,
}

impl FromStr for Values {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Values, String> {
        let wrong = || {
            format!(
                "`{text}` is no list of values; write KEY=VALUE,VALUE, such as seed=1,2,3; a value with commas stands in quotes, or is a list in brackets"
            )
        };
        let (key, values) = text.split_once('=').ok_or_else(wrong)?;
        // Commas part values as they do in a YAML list, so that one may be a list itself, or have commas within quotes.
        let list = serde_saphyr::from_str(&format!("[{values}]")).map_err(|_| wrong())?;
        let Value::Array(list) = list else { return Err(wrong()) };
        // A list of YAML may end with a comma; here it may be that a value was forgotten.
        if key.is_empty() || list.is_empty() || values.trim_end().ends_with(',') {
            return Err(wrong());
        }
        Ok(Values { key: key.to_owned(), values: list })
    }
}

/// The recipe as it is where nothing is set, to the letter.
pub(crate) fn apply_to_own(recipe: &RecipeOnDisk, settings: &[Setting]) -> Result<RecipeOnDisk> {
    if settings.is_empty() { Ok(recipe.clone()) } else { apply(recipe, settings) }
}

/// The recipe with its keys set, checked as if it had been written so. Comments of the file are lost.
pub(crate) fn apply(recipe: &RecipeOnDisk, settings: &[Setting]) -> Result<RecipeOnDisk> {
    let name = recipe.name.clone();
    let refused = |problem: String| CliError::refused(format!("recipe `{name}` with what was set: {problem}"));
    let file: Value = serde_saphyr::from_str(&recipe.yaml).map_err(|e| refused(e.to_string()))?;
    let Value::Object(mut file) = file else { return Err(refused("it is no mapping".to_owned())) };
    for setting in settings {
        set(&mut file, &setting.key, &setting.value)
            .map_err(|problem| CliError::new(Exit::Usage, format!("--set {}: {problem}", setting.key)))?;
    }
    // JSON is YAML too, and this is read by one key a line.
    let lines = file.iter().map(|(key, value)| format!("{key}: {value}\n"));
    let yaml: String = lines.collect();
    let parsed = Recipe::parse(&name, &yaml).map_err(|e| refused(e.to_string()))?;
    Ok(RecipeOnDisk { name, yaml, recipe: parsed })
}

fn set(file: &mut Map<String, Value>, key: &str, value: &Value) -> std::result::Result<(), String> {
    let Some((outer, inner)) = key.split_once('.') else {
        file.insert(key.to_owned(), value.clone());
        return Ok(());
    };
    match file.entry(outer).or_insert_with(|| Value::Object(Map::new())) {
        Value::Object(below) => set(below, inner, value),
        _ => Err(format!("`{outer}` is one value and has no `{inner}`")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use vertigo_model::recipe::RunLength;

    fn recipe(yaml: &str) -> RecipeOnDisk {
        RecipeOnDisk { name: "a".to_owned(), yaml: yaml.to_owned(), recipe: Recipe::parse("a", yaml).unwrap() }
    }

    #[test]
    fn values_are_parted_as_in_a_list_of_yaml() {
        let values = |text: &str| text.parse::<Values>().map(|it| Value::Array(it.values)).map_err(|_| ());
        assert_eq!(values("seed=1,2,3"), Ok(json!([1, 2, 3])));
        assert_eq!(values("learning_rate=1e-6, 2.5e-6"), Ok(json!([1e-6, 2.5e-6])));
        assert_eq!(values("model=org/a-4bit,b"), Ok(json!(["org/a-4bit", "b"])));
        assert_eq!(
            values("lora_parameters.keys=[mlp.up, mlp.down],[mlp.up]"),
            Ok(json!([["mlp.up", "mlp.down"], ["mlp.up"]]))
        );
        assert_eq!(
            values("lr_schedule={name: cosine_decay, arguments: [1e-5, 9]}"),
            Ok(json!([{"name": "cosine_decay", "arguments": [1e-5, 9]}]))
        );
        assert_eq!(values("model='a,b',\"c,d\""), Ok(json!(["a,b", "c,d"])));
        for wrong in ["seed=", "seed=1,", "seed=1,,2", "seed=,1", "seed=1],[2", "seed=[1", "=1", "seed", "seed=1]"] {
            assert_eq!(values(wrong), Err(()), "{wrong}");
        }
    }

    #[test]
    fn keys_are_set_at_any_depth_and_checked() {
        let before = recipe("# mine\nmodel: m\niters: 3\nlora_parameters: {rank: 4, scale: 2.0, dropout: 0.0}\n");
        let set: Vec<Setting> =
            ["iters=20", "learning_rate=2e-6", "lora_parameters.rank=16"].map(|text| text.parse().unwrap()).into();
        let after = apply(&before, &set).unwrap();
        assert_eq!(after.recipe, Recipe::parse("a", &after.yaml).unwrap());
        assert_eq!(after.recipe.length, RunLength::Iters(20));
        assert!(after.yaml.contains("\"rank\":16") && after.yaml.contains("\"scale\":2.0"), "{}", after.yaml);
        let wrong = apply(&before, &["itters=3".parse().unwrap()]).unwrap_err();
        assert!(wrong.message.contains("`a`") && wrong.message.contains("iters"), "{}", wrong.message);
        let deep = apply(&before, &["iters.x=3".parse().unwrap()]).unwrap_err();
        assert!(deep.message.contains("--set iters.x"), "{}", deep.message);
        assert!("iters".parse::<Setting>().is_err() && "=3".parse::<Setting>().is_err());
    }
}
