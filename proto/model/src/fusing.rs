//! How the matrices of a fused model are packed: said once, for the engine that packs them and the estimate of what they take.

use crate::shape::{Packing, Shape};
use vertigo::task::Bits;

/// Weights of a group where the base does not say.
const GROUP_SIZE_DEFAULT: u64 = 64;

/// How most matrices are packed where these bits are asked for.
pub fn default_packing(shape: &Shape, bits: Bits) -> Option<Packing> {
    let own = shape.quantization.as_ref().map(|quantization| quantization.default);
    let group_size = own.map_or(GROUP_SIZE_DEFAULT, |packing| packing.group_size);
    match bits {
        Bits::Same => own,
        Bits::Four => Some(Packing { group_size, bits: 4 }),
        Bits::Eight => Some(Packing { group_size, bits: 8 }),
        Bits::Sixteen => None,
    }
}

/// How a matrix with rows of `inputs` that was packed as `from` is packed afterwards, where most are packed as `default`. What nothing
/// changes stays packed as it is, since other bits would not make it any better; a matrix whose rows are no whole number of groups is not
/// packed at all.
pub fn packing_after(
    from: Option<Packing>,
    changed: bool,
    bits: Bits,
    default: Option<Packing>,
    inputs: u64,
) -> Option<Packing> {
    let wanted = match bits {
        Bits::Same => return from,
        Bits::Sixteen => return None,
        Bits::Four | Bits::Eight if from.is_some() && !changed => return from,
        Bits::Four | Bits::Eight => default,
    };
    let group_size = from.or(wanted)?.group_size.max(1);
    wanted.map(|packing| Packing { group_size, ..packing }).filter(|packing| inputs.is_multiple_of(packing.group_size))
}
