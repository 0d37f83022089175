//! What fusing an adapter into its base takes: memory and disk.

use super::Estimate;
use super::vertigo::forward_pass;
use crate::shape::{Quantization, Shape};
use crate::tensors::{matrices, split_name};
use ::vertigo::bytes::Bytes;
use ::vertigo::task::Bits;

/// Group size where the base does not say.
const GROUP_SIZE: u64 = 64;

/// Bytes of a value while a matrix is computed.
const VALUE_BYTES: u64 = 4;

/// The largest matrix is there as the base has it, unpacked, as its change, as their sum, and packed again; and a little more.
const COPIES: f64 = 4.5;

/// Tokens of an example that is measured at the most.
pub const MEASURED_TOKENS_MAX: u64 = 1024;

/// Tokens whose distributions over the vocabulary are compared at a time.
pub const COMPARED_TOKENS: u64 = 64;

/// Arrays of a token's whole vocabulary that are there at once while two distributions are compared.
const DISTRIBUTIONS: f64 = 5.0;

/// MLX's peak of fusing an adapter of `adapter` bytes into a base of `shape`, and of measuring the result where that is wanted: the base
/// with its adapter and the fused model are then there at once, and of one example a forward pass or, after it, the distributions.
pub fn fuse(shape: &Shape, adapter: Bytes, bits: Bits, measured: bool) -> Estimate {
    let matrix = largest(shape, bits) * VALUE_BYTES as f64 * COPIES;
    if !measured {
        return Estimate::new([("matrix", matrix)]);
    }
    let (base, fused) = (shape.weight_bytes().0 as f64, fused_bytes(shape, bits).0 as f64);
    let models = base + adapter.0 as f64 + fused;
    let compared = COMPARED_TOKENS as f64 * shape.vocab as f64 * VALUE_BYTES as f64 * DISTRIBUTIONS;
    let work = forward_pass(shape, MEASURED_TOKENS_MAX - 1).max(compared);
    // Fusing is over by then. Only of a model of one large matrix is it the larger moment.
    let work = work.max(matrix - models);
    Estimate::new([("base", base), ("adapter", adapter.0 as f64), ("fused model", fused), ("working set", work)])
}

/// Values of the largest matrix that is worked on: those of layers, which adapters change, and all where the packing of those outside
/// changes.
fn largest(shape: &Shape, bits: Bits) -> f64 {
    let repacks = match bits {
        Bits::Same => false,
        Bits::Four | Bits::Eight => shape.quantization.is_none(),
        Bits::Sixteen => shape.quantization.is_some(),
    };
    let all = matrices(shape);
    let worked_on = all.iter().filter(|matrix| repacks || split_name(&matrix.module).is_some());
    worked_on.map(|matrix| matrix.outputs.saturating_mul(matrix.inputs)).max().unwrap_or(0) as f64
}

/// Bytes of the fused model's files, which its worker writes.
pub fn fused_bytes(shape: &Shape, bits: Bits) -> Bytes {
    let packing = |bits| {
        let group_size = shape.quantization.as_ref().map_or(GROUP_SIZE, |packed| packed.default.group_size);
        Some(Quantization { default: crate::shape::Packing { group_size, bits }, overrides: Default::default() })
    };
    let quantization = match bits {
        Bits::Same => shape.quantization.clone(),
        Bits::Four => packing(4),
        Bits::Eight => packing(8),
        Bits::Sixteen => None,
    };
    Shape { quantization, ..shape.clone() }.weight_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn measuring_holds_both_models_and_fusing_alone_a_matrix() {
        let shape = Shape::named("mlx-community/Qwen3.5-4B-4bit").unwrap().shape;
        let adapter = Bytes::mib(40);
        let alone = fuse(&shape, adapter, Bits::Same, false).total();
        assert!(alone < shape.weight_bytes(), "{alone}");
        let measured = fuse(&shape, adapter, Bits::Eight, true).total();
        assert!(measured > shape.weight_bytes() + fused_bytes(&shape, Bits::Eight), "{measured}");
        assert!(fused_bytes(&shape, Bits::Four) < fused_bytes(&shape, Bits::Eight));
        assert!(fused_bytes(&shape, Bits::Eight) < fused_bytes(&shape, Bits::Sixteen));
        assert_eq!(fused_bytes(&shape, Bits::Same), shape.weight_bytes());
    }
}
