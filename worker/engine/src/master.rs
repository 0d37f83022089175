//! Trained weights of 16 bits as the f32 numbers that they stand for, kept in two parts of 16 bits each.
//!
//! An update is mostly smaller than half a step of bf16 or f16: added to the weight itself, it vanishes. So a trained weight is an f32
//! number. Its **high** part is the weight as the model has it, which the forward and backward passes use: the number rounded to the
//! weight's dtype. Its **low** part, which only the optimizer knows, is what the rounding left. Both together take what the f32 number
//! takes, and neither needs a random number.
//!
//! - bf16 is the upper half of f32's bits. The low part is the lower half, as the signed number of f32 steps that the value is above
//!   the high part (i16). Nothing is lost: training is that of f32 master weights, bit for bit.
//! - f16 has another exponent than f32. The low part is the remainder, scaled by 2¹¹ (f16): 22 bits of f32's 24.

use crate::error::Result;
use crate::model::Parameters;
use mlx_rs::ops::indexing::TryIndexOp;
use mlx_rs::ops::zeros_dtype;
use mlx_rs::{Array, Dtype};

/// The remainder of rounding to f16 is at most half a step, 2⁻¹¹ of the value. Scaled by this it is in f16's range wherever the value is.
const F16_REMAINDER_SCALE: f32 = 2048.0;

/// The dtype of the low part of a weight of `dtype`; `None` where the weight is no 16-bit number.
pub(crate) fn low_dtype(dtype: Dtype) -> Option<Dtype> {
    match dtype {
        Dtype::Bfloat16 => Some(Dtype::Int16),
        Dtype::Float16 => Some(Dtype::Float16),
        _ => None,
    }
}

/// The low parts of `weights` that nothing has trained yet: zeros.
pub(crate) fn untrained(weights: &Parameters) -> Result<Parameters> {
    let sixteen_bit = weights.iter().filter_map(|(name, x)| Some((name, x, low_dtype(x.dtype())?)));
    sixteen_bit.map(|(name, x, dtype)| Ok((name.clone(), zeros_dtype(x.shape(), dtype)?))).collect()
}

/// The f32 number that both parts stand for; without a low part, the weight in f32.
pub(crate) fn joined(high: &Array, low: Option<&Array>) -> Result<Array> {
    let value = high.as_dtype(Dtype::Float32)?;
    Ok(match low {
        None => value,
        Some(low) if high.dtype() == Dtype::Bfloat16 => {
            // Two's complement: the sum of the bits is right for negative remainders too.
            let steps = low.as_dtype(Dtype::Int32)?;
            value.view_dtype(Dtype::Int32)?.add(steps)?.view_dtype(Dtype::Float32)?
        }
        Some(low) => {
            let remainder = low.as_dtype(Dtype::Float32)?.multiply(Array::from_f32(1.0 / F16_REMAINDER_SCALE))?;
            value.add(remainder)?
        }
    })
}

/// The parts of the f32 array `value` for a weight of `dtype`.
pub(crate) fn parted(value: &Array, dtype: Dtype) -> Result<(Array, Option<Array>)> {
    match dtype {
        Dtype::Bfloat16 => {
            let half_step = Array::from_int(1 << 15);
            let rounded = value.view_dtype(Dtype::Int32)?.add(half_step)?;
            let high = sixteen_bits(&rounded, 1, Dtype::Bfloat16)?;
            Ok((high, Some(sixteen_bits(value, 0, Dtype::Int16)?)))
        }
        Dtype::Float16 => {
            let high = value.as_dtype(dtype)?;
            let remainder = value.subtract(high.as_dtype(Dtype::Float32)?)?;
            let low = remainder.multiply(Array::from_f32(F16_REMAINDER_SCALE))?.as_dtype(dtype)?;
            Ok((high, Some(low)))
        }
        _ => Ok((value.as_dtype(dtype)?, None)),
    }
}

/// The lower (0) or upper (1) 16 bits of each 32-bit value of `x`, taken as `dtype`.
fn sixteen_bits(x: &Array, upper: i32, dtype: Dtype) -> Result<Array> {
    // Every machine that MLX runs on stores the lower half first.
    let halves = x.reshape(&[-1, 1])?.view_dtype(dtype)?;
    // Copied, since a view would keep both halves in memory.
    Ok(halves.try_index((.., upper))?.reshape(x.shape())?.contiguous()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parts_of(value: f32, dtype: Dtype) -> (f32, f32) {
        // A row among others, as weights are.
        let (high, low) = parted(&Array::from_slice(&[1.0, value, -1.0, value], &[2, 2]), dtype).unwrap();
        assert_eq!((high.dtype(), high.shape(), low.as_ref().unwrap().shape()), (dtype, &[2, 2][..], &[2, 2][..]));
        let whole = joined(&high, low.as_ref()).unwrap();
        let high = high.as_dtype(Dtype::Float32).unwrap();
        (high.as_slice::<f32>()[1], whole.as_slice::<f32>()[1])
    }

    /// Values of every size that weights have, both signs.
    fn values() -> impl Strategy<Value = f32> {
        (-24i32..12, 1.0f32..2.0, any::<bool>()).prop_map(|(exponent, mantissa, minus)| {
            mantissa * (exponent as f32).exp2() * if minus { -1.0 } else { 1.0 }
        })
    }

    proptest! {
        #[test]
        fn a_bf16_weight_loses_nothing_of_its_f32_value(value in values()) {
            let (high, whole) = parts_of(value, Dtype::Bfloat16);
            prop_assert_eq!(whole.to_bits(), value.to_bits());
            prop_assert!((high - value).abs() <= value.abs() / 256.0, "{} is not the nearest bf16 to {}", high, value);
        }

        #[test]
        fn an_f16_weight_keeps_22_bits_of_its_f32_value(value in values()) {
            let (high, whole) = parts_of(value, Dtype::Float16);
            // Below 2⁻¹⁴ f16's steps are of one size.
            let size = value.abs().max((-14f32).exp2());
            prop_assert!((whole - value).abs() <= size / (1 << 22) as f32, "{} became {}", value, whole);
            prop_assert!((high - value).abs() <= size / 2048.0, "{} is not the nearest f16 to {}", high, value);
        }
    }

    #[test]
    fn values_between_two_bf16_and_zeros_are_kept() {
        for value in [0.0, -0.0, f32::from_bits(0x3f80_8000), f32::from_bits(0xbf81_8000), f32::from_bits(0x3fff_ffff)]
        {
            assert_eq!(parts_of(value, Dtype::Bfloat16).1.to_bits(), value.to_bits());
        }
    }

    #[test]
    fn an_untrained_weight_is_its_high_part() {
        let weight = Array::from_slice(&[0.1f32, -3.0, 1e-7], &[3]);
        let same = |x: &Array, y: &Array| x.dtype() == y.dtype() && x.eq_values(y).unwrap();
        for dtype in [Dtype::Bfloat16, Dtype::Float16, Dtype::Float32] {
            let weights = Parameters::from([("w".to_owned(), weight.as_dtype(dtype).unwrap())]);
            let low = untrained(&weights).unwrap();
            let low = low.get("w");
            assert_eq!(low.is_some(), dtype != Dtype::Float32);
            let (high, again) = parted(&joined(&weights["w"], low).unwrap(), dtype).unwrap();
            assert!(same(&high, &weights["w"]), "{high:?}");
            assert!(low.zip(again.as_ref()).is_none_or(|(low, again)| same(low, again)), "{again:?}");
        }
    }
}
