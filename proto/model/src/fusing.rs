//! How the matrices of a fused model are packed: said once, for the engine that packs them and the estimate of what they take.

use crate::shape::{Packing, Shape};
use std::fmt;
use vertigo::task::Bits;

/// Weights of a group where the base does not say.
const GROUP_SIZE_DEFAULT: u64 = 64;

/// Bits from which on packing is told to keep what was changed.
const BITS_EIGHT: u64 = 8;

/// Whether a matrix of a layer that is packed so is rounded by what its inputs say, where these are to be had. From 8 bits on the nearest
/// step of a grid is near enough.
pub fn is_calibrated(packing: Packing) -> bool {
    packing.bits < BITS_EIGHT
}

/// How the matrices of one fused model are stored. What a person asks for, [`Bits`], is one of the first four, or several of all to try.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Width {
    /// Each as the base has it.
    #[default]
    Same,
    /// Changed ones in 4 bits; of the others, those that were not packed too.
    Four,
    /// Changed ones in 8 bits; of the others, those that were not packed too.
    Eight,
    /// None packed.
    Sixteen,
    /// Changed ones that the base has in fewer than 8 bits in 8; all others as the base has them.
    ChangedEight,
    /// Changed ones not packed; all others as the base has them.
    ChangedSixteen,
}

impl fmt::Display for Width {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Width::Same => "same",
            Width::Four => "4",
            Width::Eight => "8",
            Width::Sixteen => "16",
            Width::ChangedEight => "8 where changed",
            Width::ChangedSixteen => "16 where changed",
        })
    }
}

/// What fusing into a base of `shape` tries where these bits are asked for, one after the other, the smallest first. The last is taken
/// whatever it keeps.
///
/// Auto needs a measurement to choose by. Where none is wanted (`is_measured`) or can be had, nothing shows that a packed matrix kept
/// its change, so it is stored in 16 bits, which round none away. A base that is not packed has nothing to choose.
pub fn tries(bits: Bits, shape: &Shape, is_measured: bool) -> Vec<Width> {
    let own = shape.quantization.as_ref().map(|quantization| quantization.default.bits);
    match (bits, own) {
        (Bits::Same, _) | (Bits::Auto, None) => vec![Width::Same],
        (Bits::Four, _) => vec![Width::Four],
        (Bits::Eight, _) => vec![Width::Eight],
        (Bits::Sixteen, _) => vec![Width::Sixteen],
        (Bits::Auto, Some(_)) if !is_measured => vec![Width::ChangedSixteen],
        (Bits::Auto, Some(own)) if own < BITS_EIGHT => vec![Width::Same, Width::ChangedEight, Width::ChangedSixteen],
        (Bits::Auto, Some(_)) => vec![Width::Same, Width::ChangedSixteen],
    }
}

/// How most matrices are packed where they are stored in this width.
pub fn default_packing(shape: &Shape, width: Width) -> Option<Packing> {
    let own = shape.quantization.as_ref().map(|quantization| quantization.default);
    let group_size = own.map_or(GROUP_SIZE_DEFAULT, |packing| packing.group_size);
    match width {
        Width::Same | Width::ChangedEight | Width::ChangedSixteen => own,
        Width::Four => Some(Packing { group_size, bits: 4 }),
        Width::Eight => Some(Packing { group_size, bits: BITS_EIGHT }),
        Width::Sixteen => None,
    }
}

/// How a matrix with rows of `inputs` that was packed as `from` is packed afterwards, where most are packed as `default`. What nothing
/// changes stays packed as it is, since other bits would not make it any better; a matrix whose rows are no whole number of groups is not
/// packed at all.
pub fn packing_after(
    from: Option<Packing>,
    changed: bool,
    width: Width,
    default: Option<Packing>,
    inputs: u64,
) -> Option<Packing> {
    let wanted = match width {
        Width::Same => return from,
        Width::Sixteen => return None,
        Width::ChangedSixteen => return from.filter(|_| !changed),
        Width::ChangedEight => {
            let is_coarse = |packing: &Packing| changed && packing.bits < BITS_EIGHT;
            return from.map(|own| if is_coarse(&own) { Packing { bits: BITS_EIGHT, ..own } } else { own });
        }
        Width::Four | Width::Eight if from.is_some() && !changed => return from,
        Width::Four | Width::Eight => default,
    };
    let group_size = from.or(wanted)?.group_size.max(1);
    wanted.map(|packing| Packing { group_size, ..packing }).filter(|packing| inputs.is_multiple_of(packing.group_size))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn auto_tries_the_bases_own_bits_first_and_only_what_is_wider_after_that() {
        let tried = |name: &str, is_measured| tries(Bits::Auto, &Shape::named(name).unwrap().shape, is_measured);
        let [four, eight, none] = ["qwen3.5-4b-4bit", "qwen3.5-4b-8bit", "qwen3.5-4b"];
        assert_eq!(tried(four, true), [Width::Same, Width::ChangedEight, Width::ChangedSixteen]);
        assert_eq!(tried(eight, true), [Width::Same, Width::ChangedSixteen]);
        assert_eq!((tried(none, true), tried(none, false)), (vec![Width::Same], vec![Width::Same]));
        assert_eq!(tried(four, false), [Width::ChangedSixteen], "without a measurement nothing may be rounded away");
        assert_eq!(tries(Bits::Four, &Shape::named(four).unwrap().shape, true), [Width::Four]);
    }

    #[test]
    fn what_nothing_changes_is_packed_as_in_the_base_whatever_auto_tries() {
        let packing = |bits| Some(Packing { group_size: 32, bits });
        for from in [None, packing(3), packing(4), packing(8)] {
            for width in [Width::Same, Width::ChangedEight, Width::ChangedSixteen] {
                assert_eq!(packing_after(from, false, width, packing(4), 64), from);
            }
        }
        let changed = |from, width| packing_after(from, true, width, packing(4), 64);
        assert_eq!(changed(packing(4), Width::ChangedEight), packing(8));
        assert_eq!((changed(None, Width::ChangedEight), changed(packing(8), Width::ChangedSixteen)), (None, None));
    }
}
