//! What is trained, and the files it is kept in: mlx-lm's `adapters.safetensors` and `adapter_config.json`.

use crate::error::{EngineError, Result};
use crate::fault::Fault;
use crate::folder::whole;
use crate::model::{Model, Parameters, layer_prefix};
use crate::optimizer::Adam;
use crate::tensor_files::{Tensor, TensorWriter};
use mlx_rs::error::IoError;
use mlx_rs::{Array, random};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use vertigo::files::{AtPath, FileError};
use vertigo_model::estimate::fit;
use vertigo_model::recipe::{Layers, LoraParameters, Mask, Method, Overlength, Recipe, RunLength, Thinking};

/// The file of an adapter's tensors.
pub(crate) const WEIGHTS: &str = "adapters.safetensors";

/// The factor on adapters' outputs under a recipe.
pub fn lora_scale(recipe: &Recipe) -> f64 {
    match &recipe.method {
        Method::Lora(lora) => lora.scale,
        Method::Full => 1.0,
    }
}

/// The parameters that a fresh run of `recipe` trains. Adapters start as mlx-lm's do, A ~ U(±1/√in) and B = 0, drawn from the
/// recipe's seed and each adapter's name.
///
/// # Errors
/// [`EngineError::Input`] where the recipe does not [`fit`] the model.
pub fn initial(model: &Model, recipe: &Recipe) -> Result<Parameters> {
    fit(model.shape(), recipe).map_err(|e| EngineError::input(e.to_string()))?;
    let layers = model.shape().layers;
    let first = (layers - recipe.layers.of(layers)) as usize;
    let mut parameters = Parameters::new();
    for index in first..layers as usize {
        match &recipe.method {
            Method::Lora(lora) => add_adapters(model, index, lora, recipe.seed, &mut parameters)?,
            Method::Full => add_weights(model, index, &mut parameters)?,
        }
    }
    Ok(parameters)
}

fn add_adapters(model: &Model, index: usize, lora: &LoraParameters, seed: u64, into: &mut Parameters) -> Result<()> {
    let shape = model.shape();
    for linear in shape.linears(shape.mixer(index as u64)) {
        if lora.keys.as_ref().is_some_and(|keys| !keys.iter().any(|key| key == linear.path)) {
            continue;
        }
        let name = format!("{}{}", layer_prefix(index), linear.path);
        let bound = (linear.inputs as f32).powf(-0.5);
        let salt = name.bytes().fold(seed, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
        let key = random::key(salt)?;
        let size = [linear.inputs as i32, lora.rank as i32];
        let a = random::uniform::<_, f32>(-bound, bound, &size, &key)?;
        let b = Array::zeros::<f32>(&[lora.rank as i32, linear.outputs as i32])?;
        a.eval()?;
        into.insert(format!("{name}.lora_a"), a);
        into.insert(format!("{name}.lora_b"), b);
    }
    Ok(())
}

fn add_weights(model: &Model, index: usize, into: &mut Parameters) -> Result<()> {
    for path in model.layer_paths(index) {
        let weight = model.layer_tensor(index, path).unwrap_or_else(|| unreachable!("the path is the layer's own"));
        into.insert(format!("{}{path}", layer_prefix(index)), weight.clone());
    }
    Ok(())
}

/// Writes an adapter's folder, whole or not at all.
///
/// # Errors
/// [`EngineError::File`] where the folder cannot be written.
pub fn save(folder: &Path, parameters: &Parameters, recipe: &Recipe) -> Result<()> {
    whole(folder, |folder| write(folder, parameters, recipe))
}

/// Writes the folder of an adapter that `adam` has trained, in f32 with all that was learned. Memory holds one more tensor for it, not
/// one more of each.
pub(crate) fn save_trained(folder: &Path, parameters: &Parameters, adam: &Adam, recipe: &Recipe) -> Result<()> {
    whole(folder, |folder| {
        let tensor = |(name, x): (&String, &Array)| Tensor {
            name: name.clone(),
            dtype: safetensors::Dtype::F32,
            shape: x.shape().iter().map(|&n| n as usize).collect(),
        };
        let tensors: Vec<Tensor> = parameters.iter().map(tensor).collect();
        let mut file = TensorWriter::create(&folder.join(WEIGHTS), tensors.iter())?;
        for (name, x) in parameters {
            file.write(&adam.exact(name, x)?)?;
        }
        file.finish()?;
        write_config(folder, recipe)
    })
}

/// Writes both files into `folder`, which is there.
pub(crate) fn write(folder: &Path, parameters: &Parameters, recipe: &Recipe) -> Result<()> {
    save_arrays(&folder.join(WEIGHTS), parameters)?;
    write_config(folder, recipe)
}

/// Writes `adapter_config.json` into `folder`.
pub(crate) fn write_config(folder: &Path, recipe: &Recipe) -> Result<()> {
    let layers: i64 = match recipe.layers {
        Layers::All => -1,
        Layers::Last(n) => n as i64,
    };
    let mut config = json!({
        "fine_tune_type": "full", "model": recipe.model, "num_layers": layers, "mask_prompt": recipe.mask != Mask::None
    });
    // What mlx-lm has no word for, and passes over.
    let words = [
        ("mask", json!(recipe.mask), recipe.mask == Mask::Assistant),
        ("overlength", json!(recipe.overlength), recipe.overlength != Overlength::default()),
        ("thinking", json!(recipe.thinking), recipe.thinking != Thinking::default()),
    ];
    for (key, word, _) in words.into_iter().filter(|(_, _, is_ours)| *is_ours) {
        config[key] = word;
    }
    if let RunLength::Epochs { epochs } = recipe.length {
        config["epochs"] = json!(epochs);
    }
    if let Method::Lora(lora) = &recipe.method {
        config["fine_tune_type"] = json!("lora");
        config["lora_parameters"] = json!({"rank": lora.rank, "scale": lora.scale, "dropout": lora.dropout});
        if let Some(keys) = &lora.keys {
            config["lora_parameters"]["keys"] = json!(keys);
        }
    }
    let path = folder.join("adapter_config.json");
    let text = serde_json::to_string_pretty::<Value>(&config).map_err(|e| EngineError::input(e.to_string()))?;
    Ok(fs::write(&path, text).at(&path)?)
}

/// Reads `adapters.safetensors` from `folder`, ours or mlx-lm's.
///
/// # Errors
/// [`EngineError::Input`] where it is missing or no safetensors.
pub fn load(folder: &Path) -> Result<Parameters> {
    load_arrays(&folder.join(WEIGHTS))
}

pub(crate) fn save_arrays(path: &Path, arrays: &Parameters) -> Result<()> {
    Array::save_safetensors(arrays.iter().map(|(name, x)| (name.as_str(), x)), None, path).map_err(
        |error| match error {
            // The values are computed on the way; that they could not be says nothing of the file.
            IoError::Exception(exception) if Fault::of(exception.what()).is_some() => EngineError::Mlx(exception),
            error => FileError { path: path.to_owned(), error: std::io::Error::other(error.to_string()) }.into(),
        },
    )
}

pub(crate) fn load_arrays(path: &Path) -> Result<Parameters> {
    let arrays = Array::load_safetensors(path)
        .map_err(|e| EngineError::input(format!("{} cannot be read: {e}", path.display())))?;
    Ok(arrays.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(recipe: &str) -> String {
        let dir = tempfile::tempdir().unwrap();
        write_config(dir.path(), &Recipe::parse("r", &format!("{{model: m, {recipe}}}")).unwrap()).unwrap();
        let text = fs::read_to_string(dir.path().join("adapter_config.json")).unwrap();
        text.split_whitespace().collect()
    }

    #[test]
    fn the_config_says_what_was_learned_in_mlx_lms_words_and_in_ours_where_it_has_none() {
        let before = r#"{"fine_tune_type":"full","model":"m","num_layers":16,"mask_prompt":true}"#;
        assert_eq!(config("fine_tune_type: full, mask_prompt: true"), before);
        assert_eq!(config("fine_tune_type: full, mask: last, overlength: cut, thinking: empty-ok, iters: 3"), before);
        let ours = config("fine_tune_type: full, mask: assistant, overlength: split, thinking: keep, epochs: 3");
        let words = r#","mask":"assistant","overlength":"split","thinking":"keep","epochs":3}"#;
        assert_eq!(ours, before.replace('}', words));
        assert!(config("mask: none").contains(r#""mask_prompt":false"#));
    }
}
