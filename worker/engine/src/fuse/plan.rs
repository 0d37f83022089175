//! What has to be done for each tensor of a fused model: a function of the base's headers, the adapter's names and the bits asked for.

use super::Width;
use crate::tensor_files::{Stored, Tensor};
use safetensors::Dtype;
use std::collections::BTreeMap;
use std::ops::Range;
use vertigo_model::fusing::{default_packing, packing_after};
use vertigo_model::shape::{Packing, Shape};
use vertigo_model::tensors::{is_hugging_face, matrices, packing, vectors};

/// How a piece is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Work {
    /// The base's bytes.
    Copy { name: String },
    /// The base's tensor, from Hugging Face's layout to MLX's.
    Convert { name: String },
    /// The adapter's tensor, in the base's dtype.
    Replace { name: String },
    /// The base's matrix, unpacked, changed where the adapter changes it, and packed.
    Matrix { module: String, from: Option<Packing>, to: Option<Packing>, changed: bool },
}

/// Tensors that are made together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) work: Work,
    pub(super) tensors: Vec<Tensor>,
}

impl Piece {
    /// Their size.
    pub(super) fn bytes(&self) -> u64 {
        self.tensors.iter().map(Tensor::bytes).sum()
    }
}

/// How a fused model comes about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Plan {
    /// In the order in which they are written.
    pub(super) pieces: Vec<Piece>,
    /// How each matrix is packed afterwards, by module.
    pub(super) packings: BTreeMap<String, Option<Packing>>,
    /// Matrices that the adapter changes.
    pub(super) changed: usize,
}

/// What an adapter changes, by MLX's names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Changed {
    /// Modules of matrices.
    pub(super) modules: Vec<String>,
    /// Other tensors, replaced.
    pub(super) vectors: Vec<String>,
}

/// The way from the base `stored` to the fused model. The base has been checked against `shape`.
pub(super) fn plan(shape: &Shape, stored: &BTreeMap<String, Stored>, changed: &Changed, width: Width) -> Plan {
    let (mut pieces, mut packings) = (Vec::new(), BTreeMap::new());
    for matrix in matrices(shape) {
        let weight = &stored[&format!("{}.weight", matrix.module)];
        let scales = stored.get(&format!("{}.scales", matrix.module));
        let from = scales.and(shape.quantization.as_ref()).and_then(|q| packing(q, &matrix.module));
        let changes = changed.modules.contains(&matrix.module);
        let to = packing_after(from, changes, width, default_packing(shape, width), matrix.inputs);
        let values = scales.unwrap_or(weight).dtype;
        let tensor = |suffix: &str, dtype, shape: &[u64]| Tensor {
            name: format!("{}.{suffix}", matrix.module),
            dtype,
            shape: shape.iter().map(|&n| n as usize).collect(),
        };
        let tensors = match to {
            None => vec![tensor("weight", values, &[matrix.outputs, matrix.inputs])],
            Some(packing) => {
                let [(_, weight), (_, scales), (_, biases)] = matrix.packed(packing);
                vec![
                    tensor("weight", Dtype::U32, &weight),
                    tensor("scales", values, &scales),
                    tensor("biases", values, &biases),
                ]
            }
        };
        if changes || from != to {
            let work = Work::Matrix { module: matrix.module.clone(), from, to, changed: changes };
            pieces.push(Piece { work, tensors });
        } else {
            pieces.extend(tensors.into_iter().map(copy));
        }
        packings.insert(matrix.module, to);
    }
    let sizes = stored.iter().map(|(name, x)| (name.clone(), x.shape.iter().map(|&n| n as u64).collect())).collect();
    let from_hugging_face = is_hugging_face(&sizes);
    for (name, shape) in vectors(shape) {
        let shape = shape.iter().map(|&n| n as usize).collect();
        let tensor = Tensor { name: name.clone(), dtype: stored[&name].dtype, shape };
        let work = match () {
            () if changed.vectors.contains(&name) => Work::Replace { name },
            () if from_hugging_face => Work::Convert { name },
            () => Work::Copy { name },
        };
        pieces.push(Piece { work, tensors: vec![tensor] });
    }
    Plan { pieces, packings, changed: changed.modules.len() }
}

fn copy(tensor: Tensor) -> Piece {
    Piece { work: Work::Copy { name: tensor.name.clone() }, tensors: vec![tensor] }
}

/// Pieces of each shard: as many as its bytes allow, at least one.
pub(super) fn shards(pieces: &[Piece], bytes_max: u64) -> Vec<Range<usize>> {
    let (mut shards, mut start, mut bytes) = (Vec::new(), 0, 0);
    for (index, piece) in pieces.iter().enumerate() {
        if index > start && bytes + piece.bytes() > bytes_max {
            shards.push(start..index);
            (start, bytes) = (index, 0);
        }
        bytes += piece.bytes();
    }
    shards.push(start..pieces.len());
    shards
}

#[cfg(test)]
mod tests;
