//! What fusing an adapter into its base takes: memory and disk.

use super::Estimate;
use super::vertigo::forward_passes;
use crate::fusing::{Width, default_packing, is_calibrated, packing_after, tries};
use crate::shape::{Mixer, Packing, Shape};
use ::vertigo::bytes::Bytes;
use ::vertigo::task::Bits;

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

/// Arrays of the size of Σ x xᵀ that are there at once while it is damped and taken apart.
const PRODUCTS: f64 = 5.0;

/// Arrays of the size of a matrix that are there at once while it is rounded by what its inputs say.
const MATRICES: f64 = 6.0;

/// What an adapter has of each matrix that it changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rank {
    /// Two factors of low rank.
    Low,
    /// The matrix itself, in f32 as training leaves it.
    Full,
}

impl Rank {
    /// Both.
    pub const ALL: [Rank; 2] = [Rank::Low, Rank::Full];

    /// As an adapter's manifest has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Rank::Low => "low",
            Rank::Full => "full",
        }
    }

    /// Reads [`as_str`](Self::as_str).
    pub fn parse(text: &str) -> Option<Rank> {
        Rank::ALL.into_iter().find(|rank| rank.as_str() == text)
    }
}

/// Examples that rounding is calibrated by at the most: spread over all where there are more.
pub const CALIBRATED_EXAMPLES_MAX: u64 = 64;

/// Tokens of each of them at the most.
pub const CALIBRATED_TOKENS_MAX: u64 = 512;

/// MLX's peak of fusing an adapter of this rank and of `adapter` bytes into a base of `shape`, and of measuring the result where
/// that is wanted: the base with its adapter and the fused model are then there at once, and of one example a forward pass or,
/// after it, the distributions. Where several widths are tried it is the peak of the largest.
pub fn fuse(shape: &Shape, (rank, adapter): (Rank, Bytes), bits: Bits, measured: bool) -> Estimate {
    let widths = tries(bits, shape, measured);
    let matrix = widths.iter().map(|width| largest(shape, *width)).fold(0.0, f64::max) * VALUE_BYTES as f64 * COPIES;
    if !measured {
        return Estimate::new([("matrix", matrix)]);
    }
    let calibrates = widths.iter().any(|width| calibrates(shape, *width));
    let matrix = if calibrates { matrix.max(calibration(shape, (rank, adapter))) } else { matrix };
    let fused = widths.iter().map(|width| fused_bytes(shape, *width).0).max().unwrap_or(0) as f64;
    let base = shape.weight_bytes().0 as f64;
    let models = base + adapter.0 as f64 + fused;
    let compared = COMPARED_TOKENS as f64 * shape.vocab as f64 * VALUE_BYTES as f64 * DISTRIBUTIONS;
    let work = forward_passes(shape, MEASURED_TOKENS_MAX - 1, rank).max(compared);
    // Fusing is over by then. Only of a model of one large matrix is it the larger moment.
    let work = work.max(matrix - models);
    Estimate::new([("base", base), ("adapter", adapter.0 as f64), ("fused model", fused), ("working set", work)])
}

/// Values of the largest matrix that is worked on: those of layers, which adapters change, and all where the packing of those outside
/// changes.
fn largest(shape: &Shape, width: Width) -> f64 {
    let repacks = match width {
        Width::Same | Width::ChangedEight | Width::ChangedSixteen => false,
        Width::Four | Width::Eight => shape.quantization.is_none(),
        Width::Sixteen => shape.quantization.is_some(),
    };
    let layers =
        [Mixer::Full, Mixer::Linear].into_iter().filter(|mixer| shape.layers_with(*mixer, 0..shape.layers) > 0);
    let of_layers = layers.flat_map(|mixer| shape.linears(mixer)).map(|linear| linear.values());
    let embedding = repacks.then(|| shape.vocab.saturating_mul(shape.hidden));
    of_layers.chain(embedding).max().unwrap_or(0) as f64
}

/// Whether matrices that are stored in this width are rounded by what their inputs say.
fn calibrates(shape: &Shape, width: Width) -> bool {
    let default = default_packing(shape, width);
    let own = shape.quantization.as_ref();
    let overrides = own.into_iter().flat_map(|own| own.overrides.values().copied());
    let mut from = overrides.chain([own.map(|own| own.default)]);
    from.any(|from| packing_after(from, true, width, default, 0).is_some_and(is_calibrated))
}

/// MLX's peak of fusing with calibrated rounding: the residual streams of all examples, and beside them first one example's forward pass
/// with the products of its inputs, then a matrix and the factors of those products.
fn calibration(shape: &Shape, (rank, adapter): (Rank, Bytes)) -> f64 {
    let value = VALUE_BYTES as f64;
    let streams =
        (CALIBRATED_EXAMPLES_MAX * CALIBRATED_TOKENS_MAX) as f64 * shape.hidden as f64 * shape.dtype.size() as f64;
    let mixers = [Mixer::Full, Mixer::Linear];
    let linears = || mixers.into_iter().flat_map(|mixer| shape.linears(mixer));
    let rounding = linears().map(|linear| {
        let (inputs, outputs) = (linear.inputs as f64, linear.outputs as f64);
        (inputs * inputs * PRODUCTS + inputs * outputs * MATRICES) * value
    });
    // A half has matrices of two kinds of inputs, of which one is the residual stream.
    let widest = linears().map(|linear| linear.inputs).max().unwrap_or(0) as f64;
    let products = (shape.hidden as f64 * shape.hidden as f64 + widest * widest) * value;
    let forward = forward_passes(shape, CALIBRATED_TOKENS_MAX, rank) + products;
    streams + adapter.0 as f64 + rounding.fold(forward, f64::max)
}

/// Bytes of the fused model's files in this width, which its worker writes: whichever matrices of the layers the adapter changes, at most
/// so many.
pub fn fused_bytes(shape: &Shape, width: Width) -> Bytes {
    let default = default_packing(shape, width);
    shape.bytes_packed(&|from, is_of_layer, inputs| {
        let after = |changed| packing_after(from, changed, width, default, inputs);
        if is_of_layer { larger(after(true), after(false)) } else { after(false) }
    })
}

/// Of two packings, in groups of one size, the one that takes more. What is not packed takes the most.
fn larger(one: Option<Packing>, other: Option<Packing>) -> Option<Packing> {
    one.zip(other).map(|(one, other)| if one.bits > other.bits { one } else { other })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn measuring_holds_both_models_and_fusing_alone_a_matrix() {
        let shape = Shape::named("mlx-community/Qwen3.5-4B-4bit").unwrap().shape;
        let adapter = (Rank::Low, Bytes::mib(40));
        let alone = fuse(&shape, adapter, Bits::Same, false).total();
        assert!(alone < shape.weight_bytes(), "{alone}");
        let measured = fuse(&shape, adapter, Bits::Eight, true).total();
        assert!(measured > shape.weight_bytes() + fused_bytes(&shape, Width::Eight), "{measured}");
        assert!(fused_bytes(&shape, Width::Four) < fused_bytes(&shape, Width::Eight));
        // What an adapter leaves alone keeps its 8 bits, and nobody knows yet what that is.
        let eight = Shape::named("mlx-community/Qwen3.5-4B-8bit").unwrap().shape;
        assert_eq!(fused_bytes(&eight, Width::Four), eight.weight_bytes());
        assert!(fused_bytes(&shape, Width::Eight) < fused_bytes(&shape, Width::Sixteen));
        assert_eq!(fused_bytes(&shape, Width::Same), shape.weight_bytes());
    }
}
