//! Which tensors a base must have: their names, whoever wrote them, and their sizes.
//!
//! Whoever reads a base checks it here: the CLI before it uploads gigabytes, by the headers of the files alone; the engine when it
//! loads them. So a base that was imported is a base that loads.
//!
//! Promise: [`check`] passes just where every tensor that the shape asks for is there in its size, and no other.

pub use crate::shape::LAYERS;
use crate::shape::{Mixer, Packing, Quantization, Shape};
use std::collections::BTreeMap;

/// Sizes of tensors, by MLX's names.
pub type Sizes = BTreeMap<String, Vec<u64>>;

/// A tensor that is missing, extra or misshapen.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TensorError {
    /// Not there.
    #[error("tensor `{0}` is missing")]
    Missing(String),
    /// There in another size.
    #[error("tensor `{name}` is {found:?}; it must be {expected:?}")]
    Size {
        /// MLX's name.
        name: String,
        /// Its size.
        found: Vec<u64>,
        /// What config.json asks for.
        expected: Vec<u64>,
    },
    /// Packed, where config.json's `quantization` says that it is not, or does not say how.
    #[error("`{0}` is packed, and config.json's `quantization` does not say how")]
    Packed(String),
    /// There without need.
    #[error("tensor `{0}` is none of this architecture's")]
    Extra(String),
}

/// MLX's name of a tensor, or `None` for one that is not the text model's: of the vision tower, of multi-token prediction, or a
/// head that is the embedding once more.
pub fn canonical_name(name: &str, tied: bool) -> Option<String> {
    let foreign = ["vision_tower", "model.visual", "visual", "mtp.", "model.mtp"];
    if foreign.iter().any(|prefix| name.starts_with(prefix)) {
        return None;
    }
    let name = match name.strip_prefix("model.language_model.") {
        Some(rest) => format!("language_model.model.{rest}"),
        None if name.starts_with("language_model.") => name.to_owned(),
        None => format!("language_model.{name}"),
    };
    (!(tied && name == "language_model.lm_head.weight")).then_some(name)
}

/// Whether tensors are laid out as Hugging Face keeps them: convolutions as [channels, 1, kernel] where MLX has
/// [channels, kernel, 1], and norms less 1.
pub fn is_hugging_face(sizes: &Sizes) -> bool {
    sizes.iter().any(|(name, size)| name.ends_with("conv1d.weight") && size.last() != Some(&1))
}

/// The sizes that these tensors have in MLX's layout.
pub fn in_mlx_layout(mut sizes: Sizes) -> Sizes {
    if is_hugging_face(&sizes) {
        for (_, size) in sizes.iter_mut().filter(|(name, size)| name.ends_with("conv1d.weight") && size.len() == 3) {
            size.swap(1, 2);
        }
    }
    sizes
}

/// The layer of a tensor, and its path within the layer; `None` for one outside the layers.
pub fn split_name(name: &str) -> Option<(usize, &str)> {
    let (index, path) = name.strip_prefix(LAYERS)?.split_once('.')?;
    Some((index.parse().ok()?, path))
}

/// Checks tensors, by MLX's names and in MLX's layout, against a shape.
///
/// # Errors
/// The first tensor that is missing, of another size, or not the architecture's.
pub fn check(shape: &Shape, sizes: &Sizes) -> Result<(), TensorError> {
    let mut expected = Sizes::new();
    for matrix in matrices(shape) {
        expected.extend(matrix.tensors(shape.quantization.as_ref(), sizes)?);
    }
    expected.extend(vectors(shape));
    for (name, size) in &expected {
        match sizes.get(name) {
            None => return Err(TensorError::Missing(name.clone())),
            Some(found) if found != size => {
                let (name, found, expected) = (name.clone(), found.clone(), size.clone());
                return Err(TensorError::Size { name, found, expected });
            }
            Some(_) => {}
        }
    }
    match sizes.keys().find(|name| !expected.contains_key(*name)) {
        Some(extra) => Err(TensorError::Extra(extra.clone())),
        None => Ok(()),
    }
}

/// A weight matrix: what quantisation can pack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Matrix {
    /// The module's name; its tensors are `{module}.weight` and, where it is packed, `.scales` and `.biases`.
    pub module: String,
    /// Rows.
    pub outputs: u64,
    /// Columns.
    pub inputs: u64,
}

impl Matrix {
    /// Name and size of each tensor of this matrix where it is packed so.
    ///
    /// `weight` holds `32 / bits` codes in each 32-bit word; a group of codes shares one scale and one bias.
    pub fn packed(&self, packing: Packing) -> [(String, Vec<u64>); 3] {
        let Packing { group_size, bits } = packing;
        let tensor = |suffix: &str, columns| (format!("{}.{suffix}", self.module), vec![self.outputs, columns]);
        let groups = self.inputs / group_size;
        [tensor("weight", self.inputs * bits / 32), tensor("scales", groups), tensor("biases", groups)]
    }

    /// What is expected, given what is there: a matrix with scales is packed, one without is not.
    fn tensors(
        &self,
        quantization: Option<&Quantization>,
        found: &Sizes,
    ) -> Result<Vec<(String, Vec<u64>)>, TensorError> {
        if !found.contains_key(&format!("{}.scales", self.module)) {
            return Ok(vec![(format!("{}.weight", self.module), vec![self.outputs, self.inputs])]);
        }
        let packing = quantization.and_then(|quantization| packing(quantization, &self.module));
        let packing = packing.ok_or_else(|| TensorError::Packed(self.module.clone()))?;
        Ok(self.packed(packing).into())
    }
}

/// How config.json says that a module is packed. Its overrides may have any of the names that [`canonical_name`] knows.
pub fn packing(quantization: &Quantization, module: &str) -> Option<Packing> {
    let is_module = |path: &str| canonical_name(path, false).is_some_and(|name| name == module);
    let named = quantization.overrides.iter().find(|(path, _)| is_module(path));
    named.map_or(Some(quantization.default), |(_, packing)| *packing)
}

/// Every weight matrix of a dense model, by MLX's names.
pub fn matrices(shape: &Shape) -> Vec<Matrix> {
    let matrix = |module: String, outputs, inputs| Matrix { module, outputs, inputs };
    let mut all = vec![matrix("language_model.model.embed_tokens".to_owned(), shape.vocab, shape.hidden)];
    if !shape.tied {
        all.push(matrix("language_model.lm_head".to_owned(), shape.vocab, shape.hidden));
    }
    for index in 0..shape.layers {
        for linear in shape.linears(shape.mixer(index)) {
            all.push(matrix(format!("{LAYERS}{index}.{}", linear.path), linear.outputs, linear.inputs));
        }
    }
    all
}

/// Every other tensor of a dense model, by MLX's names: norms, convolutions and gates' constants, which are never packed.
pub fn vectors(shape: &Shape) -> Vec<(String, Vec<u64>)> {
    let mut all = vec![("language_model.model.norm.weight".to_owned(), vec![shape.hidden])];
    for index in 0..shape.layers {
        let of_layer = layer_vectors(shape, shape.mixer(index));
        all.extend(of_layer.into_iter().map(|(path, size)| (format!("{LAYERS}{index}.{path}"), size)));
    }
    all
}

fn layer_vectors(shape: &Shape, mixer: Mixer) -> Vec<(&'static str, Vec<u64>)> {
    let (h, a, l) = (shape.hidden, &shape.attention, &shape.linear);
    let mut all = vec![("input_layernorm.weight", vec![h]), ("post_attention_layernorm.weight", vec![h])];
    match mixer {
        Mixer::Full => {
            all.extend([("self_attn.q_norm.weight", vec![a.head_dim]), ("self_attn.k_norm.weight", vec![a.head_dim])])
        }
        Mixer::Linear => all.extend([
            ("linear_attn.conv1d.weight", vec![l.conv_channels(), l.conv_kernel, 1]),
            ("linear_attn.A_log", vec![l.value_heads]),
            ("linear_attn.dt_bias", vec![l.value_heads]),
            ("linear_attn.norm.weight", vec![l.value_dim]),
        ]),
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shape(name: &str) -> Shape {
        Shape::named(name).unwrap().shape
    }

    /// A sound base of this shape, packed as its quantisation says.
    fn sizes(shape: &Shape) -> Sizes {
        let mut sizes: Sizes = vectors(shape).into_iter().collect();
        for matrix in matrices(shape) {
            match &shape.quantization {
                Some(q) => sizes.extend(matrix.packed(q.default)),
                None => {
                    sizes.insert(format!("{}.weight", matrix.module), vec![matrix.outputs, matrix.inputs]);
                }
            }
        }
        sizes
    }

    #[test]
    fn names_are_mlx_names_whoever_wrote_them() {
        let name = |text| canonical_name(text, true);
        for text in ["model.language_model.norm.weight", "model.norm.weight", "language_model.model.norm.weight"] {
            assert_eq!(name(text).unwrap(), "language_model.model.norm.weight");
        }
        for foreign in ["vision_tower.x", "model.visual.blocks.0", "mtp.layers.0.weight", "lm_head.weight"] {
            assert_eq!(name(foreign), None, "{foreign}");
        }
        assert!(canonical_name("lm_head.weight", false).is_some());
        assert_eq!(split_name("language_model.model.layers.12.mlp.up_proj.weight"), Some((12, "mlp.up_proj.weight")));
        assert_eq!(split_name("language_model.model.norm.weight"), None);
    }

    #[test]
    fn the_tensors_hold_as_many_values_as_the_shape_says() {
        for name in ["qwen3.5-4b", "qwen3.5-9b", "qwen3.5-27b"] {
            let shape = shape(name);
            let values: u64 = sizes(&shape).values().map(|size| size.iter().product::<u64>()).sum();
            assert_eq!(values, shape.parameters(), "{name}");
        }
    }

    #[test]
    fn hugging_faces_convolution_is_turned_and_nothing_else() {
        let shape = shape("qwen3.5-4b");
        let mlx = sizes(&shape);
        let mut hugging_face = mlx.clone();
        for (_, size) in hugging_face.iter_mut().filter(|(name, _)| name.ends_with("conv1d.weight")) {
            size.swap(1, 2);
        }
        assert!(is_hugging_face(&hugging_face) && !is_hugging_face(&mlx));
        assert!(matches!(check(&shape, &hugging_face), Err(TensorError::Size { .. })));
        assert_eq!(in_mlx_layout(hugging_face), mlx);
        assert_eq!(in_mlx_layout(mlx.clone()), mlx);
    }

    #[test]
    fn packing_follows_the_config_and_its_overrides() {
        let mut shape = shape("qwen3.5-4b-4bit");
        let mut sizes = sizes(&shape);
        assert_eq!(check(&shape, &sizes), Ok(()));
        let gate = matrices(&shape).into_iter().find(|m| m.module.ends_with("layers.3.mlp.gate_proj")).unwrap();
        sizes.extend(gate.packed(Packing { group_size: 32, bits: 8 }));
        assert!(matches!(check(&shape, &sizes), Err(TensorError::Size { .. })));
        let overrides = &mut shape.quantization.as_mut().unwrap().overrides;
        // As Hugging Face would name it.
        overrides.insert("model.layers.3.mlp.gate_proj".to_owned(), Some(Packing { group_size: 32, bits: 8 }));
        assert_eq!(check(&shape, &sizes), Ok(()));
        shape.quantization = None;
        assert!(matches!(check(&shape, &sizes), Err(TensorError::Packed(_))));
    }

    proptest! {
        #[test]
        fn a_tensor_that_is_missing_extra_or_misshapen_is_named(pick in 0usize..10_000, packed: bool) {
            let shape = shape(if packed { "qwen3.5-4b-4bit" } else { "qwen3.5-4b" });
            let sound = sizes(&shape);
            prop_assert_eq!(check(&shape, &sound), Ok(()));
            let name = sound.keys().nth(pick % sound.len()).unwrap().clone();

            let mut missing = sound.clone();
            missing.remove(&name);
            let error = check(&shape, &missing).unwrap_err().to_string();
            let module = name.rsplit_once('.').map_or(name.as_str(), |(module, _)| module);
            prop_assert!(error.contains(module), "{}: {}", name, error);

            let mut misshapen = sound.clone();
            misshapen.get_mut(&name).unwrap()[0] += 1;
            let error = check(&shape, &misshapen).unwrap_err().to_string();
            prop_assert!(error.contains(&name), "{}: {}", name, error);

            let mut extra = sound;
            extra.insert(format!("{name}.more"), vec![1]);
            prop_assert_eq!(check(&shape, &extra), Err(TensorError::Extra(format!("{name}.more"))));
        }
    }
}
