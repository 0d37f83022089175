//! Recipes' files, read before anything is asked of the coordinator.

use crate::bounded;
use crate::error::{CliError, Exit, Result};
use std::path::{Path, PathBuf};
use vertigo::bounds::RECIPE_BYTES_MAX;
use vertigo_model::recipe::Recipe;

/// A recipe's file and what it says.
#[derive(Debug, Clone)]
pub(crate) struct RecipeOnDisk {
    /// The file's name without its ending.
    pub(crate) name: String,
    pub(crate) yaml: String,
    pub(crate) recipe: Recipe,
}

/// Reads recipes, so that a wrong key is named before anything is asked of the coordinator.
pub(crate) fn read_recipes(paths: &[PathBuf]) -> Result<Vec<RecipeOnDisk>> {
    let recipes: Vec<RecipeOnDisk> = paths.iter().map(|path| read_recipe(path)).collect::<Result<_>>()?;
    for (n, one) in recipes.iter().enumerate() {
        if recipes[..n].iter().any(|other| other.name == one.name) {
            let message = format!("two recipes are called `{}`", one.name);
            return Err(CliError::new(Exit::Usage, message).hint("a recipe is called by its file's name; rename one"));
        }
    }
    Ok(recipes)
}

pub(crate) fn read_recipe(path: &Path) -> Result<RecipeOnDisk> {
    let unreadable = |e: &dyn std::fmt::Display| {
        CliError::new(Exit::Usage, format!("cannot read recipe {}: {e}", path.display()))
            .hint("name one or more recipe files: mlx-lm's LoRA YAML")
    };
    let yaml = bounded::read(path, RECIPE_BYTES_MAX as u64).map_err(|e| unreadable(&e))?;
    let name = path.file_stem().and_then(|stem| stem.to_str()).ok_or_else(|| unreadable(&"its name is not UTF-8"))?;
    let recipe = Recipe::parse(name, &yaml).map_err(|e| CliError::refused(format!("{}: {e}", path.display())))?;
    Ok(RecipeOnDisk { name: name.to_owned(), yaml, recipe })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

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
