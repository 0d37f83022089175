//! How e^x is made. Training takes MLX's own operation, answers on the processor in f32 take powers of two.
//!
//! MLX's exp and what it makes of it (sigmoid, softmax) go over a processor's numbers one at a time, with a function call for each step of
//! the polynomial: 20 ns a number. Its power is the C library's, which takes 8 ns and is rounded better. On a GPU nothing is to be gained.
//!
//! Promise: both ways agree up to rounding. The first has the bits of MLX's operations.

use crate::error::Result;
use mlx_rs::ops::sigmoid;
use mlx_rs::{Array, Device, Dtype};

/// Which of MLX's operations makes e^x.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Exponent {
    /// The one that is called so.
    #[default]
    Own,
    /// 2^(x·log₂ e), of values in f32; others take their own.
    PowerOfTwo,
}

impl Exponent {
    /// The quicker one on this device.
    pub(crate) fn quicker() -> Result<Exponent> {
        Ok(if Device::try_default()? == Device::cpu() { Exponent::PowerOfTwo } else { Exponent::Own })
    }

    /// Whether values of `dtype` take powers of two.
    pub(crate) fn is_power(self, dtype: Dtype) -> bool {
        self == Exponent::PowerOfTwo && dtype == Dtype::Float32
    }

    /// 1/(1 + e⁻ˣ)
    pub(crate) fn sigmoid(self, x: &Array) -> Result<Array> {
        if self.is_power(x.dtype()) { Ok(self.one_and_opposite(x)?.reciprocal()?) } else { Ok(sigmoid(x)?) }
    }

    /// x·sigmoid(x)
    pub(crate) fn silu(self, x: &Array) -> Result<Array> {
        if self.is_power(x.dtype()) {
            // Where e⁻ˣ is infinite, x over it is the zero that it should be.
            return Ok(x.divide(self.one_and_opposite(x)?)?);
        }
        Ok(x.multiply(sigmoid(x)?)?)
    }

    /// 1 + e⁻ˣ
    fn one_and_opposite(self, x: &Array) -> Result<Array> {
        let opposite = power_of_two(&x.multiply(Array::from_f32(-std::f32::consts::LOG2_E))?)?;
        Ok(opposite.add(Array::from_f32(1.0))?)
    }
}

/// 2ˣ of f32.
pub(crate) fn power_of_two(x: &Array) -> Result<Array> {
    Ok(Array::from_f32(2.0).power(x)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn powers_of_two_give_what_mlxs_own_operations_give() {
        let values: Vec<f32> = (-1000..=1000).map(|n| n as f32 * 0.1).chain([-1e4, 1e4]).collect();
        let x = Array::from_slice(&values, &[values.len() as i32]);
        let (own, power) = (Exponent::Own, Exponent::PowerOfTwo);
        for (name, theirs, ours) in [
            ("sigmoid", own.sigmoid(&x).unwrap(), power.sigmoid(&x).unwrap()),
            ("silu", own.silu(&x).unwrap(), power.silu(&x).unwrap()),
        ] {
            let pairs = theirs.as_slice::<f32>().iter().zip(ours.as_slice::<f32>());
            for ((theirs, ours), x) in pairs.zip(&values) {
                // An exponent is rounded to its own size before it is one.
                let off = (theirs - ours).abs() / theirs.abs().max(1e-30);
                assert!(off < 1e-5, "{name}({x}) is {theirs}, and by powers {ours}");
            }
        }
    }

    #[test]
    fn sixteen_bits_take_their_own_operation() {
        let x = Array::from_slice(&[-3.0f32, 0.3, 5.0], &[3]).as_dtype(Dtype::Bfloat16).unwrap();
        let (ours, theirs) = (Exponent::PowerOfTwo.silu(&x).unwrap(), Exponent::Own.silu(&x).unwrap());
        assert!(ours.eq_values(&theirs).unwrap());
    }
}
