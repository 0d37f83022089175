//! What has to be done for each tensor of a fused model: a function of the base's headers, the adapter's names and the bits asked for.

use super::Bits;
use super::files::Stored;
use safetensors::Dtype;
use std::collections::BTreeMap;
use std::ops::Range;
use vertigo_model::shape::{Packing, Shape};
use vertigo_model::tensors::{is_hugging_face, matrices, packing, vectors};

/// Weights of a group where the base does not say.
const GROUP_SIZE_DEFAULT: u64 = 64;

/// A tensor that is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tensor {
    pub(super) name: String,
    pub(super) dtype: Dtype,
    pub(super) shape: Vec<usize>,
}

impl Tensor {
    /// Its size.
    pub(super) fn bytes(&self) -> u64 {
        (self.shape.iter().product::<usize>() * self.dtype.bitsize() / 8) as u64
    }
}

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
pub(super) fn plan(shape: &Shape, stored: &BTreeMap<String, Stored>, changed: &Changed, bits: Bits) -> Plan {
    let (mut pieces, mut packings) = (Vec::new(), BTreeMap::new());
    for matrix in matrices(shape) {
        let weight = &stored[&format!("{}.weight", matrix.module)];
        let scales = stored.get(&format!("{}.scales", matrix.module));
        let from = scales.and(shape.quantization.as_ref()).and_then(|q| packing(q, &matrix.module));
        let changes = changed.modules.contains(&matrix.module);
        let to = target(from, changes, bits, default_packing(shape, bits), matrix.inputs);
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

/// How most matrices are packed where these bits are asked for.
pub(super) fn default_packing(shape: &Shape, bits: Bits) -> Option<Packing> {
    let own = shape.quantization.as_ref().map(|quantization| quantization.default);
    let group_size = own.map_or(GROUP_SIZE_DEFAULT, |packing| packing.group_size);
    match bits {
        Bits::Same => own,
        Bits::Four => Some(Packing { group_size, bits: 4 }),
        Bits::Eight => Some(Packing { group_size, bits: 8 }),
        Bits::Sixteen => None,
    }
}

/// How a matrix that was packed as `from` is packed afterwards. What nothing changes stays packed as it is, since other bits would
/// not make it any better; a matrix whose rows are no whole number of groups is not packed at all.
fn target(from: Option<Packing>, changed: bool, bits: Bits, default: Option<Packing>, inputs: u64) -> Option<Packing> {
    let wanted = match bits {
        Bits::Same => return from,
        Bits::Sixteen => return None,
        Bits::Four | Bits::Eight if from.is_some() && !changed => return from,
        Bits::Four | Bits::Eight => default,
    };
    let group_size = from.or(wanted)?.group_size;
    wanted.map(|packing| Packing { group_size, ..packing }).filter(|packing| inputs.is_multiple_of(packing.group_size))
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
