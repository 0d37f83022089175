//! Adam and AdamW, as MLX computes them, and the global norm that gradients are clipped to.
//!
//! Whatever dtype the weights have, the arithmetic is in f32 and moments are f32: in bf16 β₂ = 0.999 is 1, and most updates are smaller
//! than half a step of the weight. What a 16-bit weight cannot show of its value is kept beside it ([`Adam::low`]).

use crate::error::{EngineError, Result};
use crate::master::{joined, parted, untrained};
use crate::model::Parameters;
use mlx_rs::ops::zeros_dtype;
use mlx_rs::transforms::eval;
use mlx_rs::{Array, Dtype};
use vertigo_model::recipe::Optimizer;

/// Adam's moments, by parameter.
#[derive(Debug, Clone, Default)]
pub struct Adam {
    /// First moments, f32.
    pub m: Parameters,
    /// Second moments, f32.
    pub v: Parameters,
    /// Of each 16-bit parameter, what rounding has left of its f32 value: as large as the parameter.
    pub low: Parameters,
    /// Steps taken.
    pub step: u64,
}

impl Adam {
    /// Moments of zero for `parameters`.
    ///
    /// # Errors
    /// MLX's.
    pub fn new(parameters: &Parameters) -> Result<Adam> {
        let zeros = || -> Result<Parameters> {
            let zeros = |x: &Array| zeros_dtype(x.shape(), Dtype::Float32);
            parameters.iter().map(|(name, x)| Ok((name.clone(), zeros(x)?))).collect()
        };
        Ok(Adam { m: zeros()?, v: zeros()?, low: untrained(parameters)?, step: 0 })
    }

    /// The f32 value of the parameter `x`, which this optimizer has trained by this name: all that was learned, also what its dtype
    /// cannot show.
    ///
    /// # Errors
    /// MLX's.
    pub fn exact(&self, name: &str, x: &Array) -> Result<Array> {
        joined(x, self.low.get(name))
    }

    /// One step: `m ← β₁m + (1−β₁)g; v ← β₂v + (1−β₂)g²; p ← p − lr·(m/(√v + eps) + decay·p)`; with bias correction m is divided
    /// by 1 − β₁ᵗ and v by 1 − β₂ᵗ. All in f32.
    ///
    /// # Errors
    /// MLX's; a gradient without its parameter.
    pub fn update(
        &mut self,
        constants: &Optimizer,
        learning_rate: f64,
        parameters: &mut Parameters,
        gradients: &Parameters,
    ) -> Result<()> {
        self.step += 1;
        let (b1, b2) = constants.betas;
        let correction = |beta: f64| if constants.bias_correction { 1.0 - beta.powf(self.step as f64) } else { 1.0 };
        let (c1, c2) = (correction(b1), correction(b2));
        let times = |x: &Array, factor: f64| x.multiply(Array::from_f32(factor as f32));
        let (mut waiting, mut bytes) = (Vec::new(), 0);
        for (name, g) in gradients {
            let orphan = || EngineError::input(format!("gradient of `{name}`, which is not trained"));
            let high = parameters.get_mut(name).ok_or_else(orphan)?;
            let (m, v) = (self.m.get_mut(name).ok_or_else(orphan)?, self.v.get_mut(name).ok_or_else(orphan)?);
            let p = joined(high, self.low.get(name))?;
            let g = g.as_dtype(Dtype::Float32)?;
            *m = times(m, b1)?.add(times(&g, 1.0 - b1)?)?;
            *v = times(v, b2)?.add(times(&g.square()?, 1.0 - b2)?)?;
            let root = times(&v.sqrt()?, c2.powf(-0.5))?.add(Array::from_f32(constants.eps as f32))?;
            let mut change = times(m, learning_rate / c1)?.divide(root)?;
            if constants.weight_decay > 0.0 {
                // Added to the change, where it is seen: p·(1 − lr·decay) is p wherever lr·decay is below 3e-8.
                change = change.add(times(&p, learning_rate * constants.weight_decay)?)?;
            }
            let (new, low) = parted(&p.subtract(change)?, high.dtype())?;
            *high = new;
            waiting.extend([high.clone(), m.clone(), v.clone()]);
            if let Some(low) = low {
                waiting.push(low.clone());
                self.low.insert(name.clone(), low);
            }
            bytes += m.nbytes();
            // Few large parameters at a time, for memory; many small ones, since each evaluation waits for the machine.
            if bytes >= EVALUATED_BYTES {
                eval(&waiting)?;
                waiting.clear();
                bytes = 0;
            }
        }
        Ok(eval(&waiting)?)
    }
}

/// Bytes of parameters, in the f32 that they are computed in, after which an update is evaluated.
const EVALUATED_BYTES: usize = 16 << 20;

/// √Σg² over all gradients, in f32.
///
/// MLX adds in the order in which values lie in memory. They are added row by row here, so that the norm, and with it the clipping,
/// is that of the values alone and not of how they came to be.
///
/// # Errors
/// MLX's.
pub fn global_norm(gradients: &Parameters) -> Result<f64> {
    let mut sum = Array::from_f32(0.0);
    for g in gradients.values() {
        sum = sum.add(g.as_dtype(Dtype::Float32)?.reshape(&[-1])?.square()?.sum(None)?)?;
    }
    Ok(f64::from(sum.sqrt()?.item_cast::<f32>()))
}

/// Every array times `factor` in f32, evaluated.
///
/// # Errors
/// MLX's.
pub fn scaled(arrays: Parameters, factor: f64) -> Result<Parameters> {
    let scale = |(name, x): (String, Array)| -> Result<(String, Array)> {
        let y = x.multiply(Array::from_f32(factor as f32))?.as_dtype(x.dtype())?;
        Ok((name, y))
    };
    // MLX works in place where nothing else holds an array, and here nothing does.
    let scaled: Parameters = arrays.into_iter().map(scale).collect::<Result<_>>()?;
    eval(scaled.values())?;
    Ok(scaled)
}

/// `sum + terms`, evaluated and laid out row by row.
///
/// A gradient of a weight is a transposed view as it leaves MLX's backward pass. A sum that is read from a checkpoint is not, and what
/// is made of the two must not differ in layout, since the order in which MLX adds, and its choice of a matrix product, follow it.
///
/// # Errors
/// MLX's.
pub fn accumulate(sum: Option<Parameters>, terms: Parameters) -> Result<Parameters> {
    let Some(mut sum) = sum else {
        let by_rows = |(name, term): (String, Array)| -> Result<(String, Array)> { Ok((name, term.contiguous()?)) };
        let first: Parameters = terms.into_iter().map(by_rows).collect::<Result<_>>()?;
        eval(first.values())?;
        return Ok(first);
    };
    for (name, term) in terms {
        let total = match sum.remove(&name) {
            Some(x) => x.add(term)?.contiguous()?,
            None => term.contiguous()?,
        };
        sum.insert(name, total);
    }
    eval(sum.values())?;
    Ok(sum)
}

#[cfg(test)]
mod tests {
    use super::*;
    use mlx_rs::ops::select;
    use mlx_rs::random;

    /// MLX's Adam and AdamW (mlx/optimizers/optimizers.py), one value in f64.
    fn reference(o: &Optimizer, rate: f64, mut p: f64, gradients: &[f64]) -> f64 {
        let (mut m, mut v) = (0.0, 0.0);
        for (step, g) in (1..).zip(gradients) {
            p *= 1.0 - rate * o.weight_decay;
            m = o.betas.0 * m + (1.0 - o.betas.0) * g;
            v = o.betas.1 * v + (1.0 - o.betas.1) * g * g;
            p -= if o.bias_correction {
                let c1 = rate / (1.0 - o.betas.0.powi(step));
                c1 * m / (v.sqrt() / (1.0 - o.betas.1.powi(step)).sqrt() + o.eps)
            } else {
                rate * m / (v.sqrt() + o.eps)
            };
        }
        p
    }

    #[test]
    fn updates_are_mlx_adam_and_adamw() {
        let gradients = [[0.5, -2.0, 1e-9], [0.1, 0.3, 0.0], [-4.0, 1.0, 1e-3]];
        let start = [1.0, -0.2, 0.0];
        for (bias_correction, weight_decay) in [(false, 0.0), (true, 0.0), (false, 0.1), (true, 0.1)] {
            let constants = Optimizer { betas: (0.8, 0.95), eps: 1e-6, bias_correction, weight_decay };
            let array = |x: &[f64; 3]| Array::from_slice(&x.map(|x| x as f32), &[3]);
            let mut parameters = Parameters::from([("p".to_owned(), array(&start))]);
            let mut adam = Adam::new(&parameters).unwrap();
            for g in &gradients {
                adam.update(&constants, 0.01, &mut parameters, &Parameters::from([("p".to_owned(), array(g))]))
                    .unwrap();
            }
            let values = parameters["p"].as_slice::<f32>();
            for (i, &value) in values.iter().enumerate() {
                let expected = reference(&constants, 0.01, start[i], &gradients.map(|g| g[i]));
                assert!((f64::from(value) - expected).abs() < 1e-6, "{constants:?}, value {i}: {value} {expected}");
            }
        }
    }

    /// 4,096 values that bf16 and f16 have exactly: weights of ±0.01 to ±0.12, and from there up to 1 as in a norm.
    fn weights() -> Array {
        let x = random::normal::<f32>(&[64, 64], None, Some(0.05), &random::key(1).unwrap()).unwrap();
        let norm = random::uniform::<_, f32>(0.5, 1.5, &[64, 64], &random::key(2).unwrap()).unwrap();
        let is_norm = random::bernoulli(&Array::from_f32(0.1), &[64, 64], &random::key(3).unwrap()).unwrap();
        let x = select(is_norm, norm, x).unwrap().as_dtype(Dtype::Bfloat16).unwrap().as_dtype(Dtype::Float16).unwrap();
        x.as_dtype(Dtype::Float32).unwrap()
    }

    /// What 100 steps of AdamW change in [`weights`] of `dtype`. A gradient is a direction of its value's own and as much noise.
    fn change(dtype: Dtype, rate: f64) -> Array {
        let constants = Optimizer { betas: (0.9, 0.999), eps: 1e-8, bias_correction: false, weight_decay: 0.1 };
        let normal = |n| random::normal::<f32>(&[64, 64], None, Some(1e-3), &random::key(n).unwrap()).unwrap();
        let mut parameters = Parameters::from([("w".to_owned(), weights().as_dtype(dtype).unwrap())]);
        let mut adam = Adam::new(&parameters).unwrap();
        for step in 0..100 {
            let g = normal(100).add(normal(200 + step)).unwrap();
            adam.update(&constants, rate, &mut parameters, &Parameters::from([("w".to_owned(), g)])).unwrap();
        }
        assert_eq!(parameters["w"].dtype(), dtype);
        adam.exact("w", &parameters["w"]).unwrap().subtract(weights()).unwrap()
    }

    #[test]
    fn weights_of_16_bits_learn_what_f32_learns() {
        let rms = |x: &Array| x.square().unwrap().mean(None).unwrap().sqrt().unwrap().item_cast::<f32>();
        for rate in [1e-6, 1e-5, 1e-4] {
            let expected = change(Dtype::Float32, rate);
            for dtype in [Dtype::Bfloat16, Dtype::Float16] {
                let off = rms(&change(dtype, rate).subtract(&expected).unwrap()) / rms(&expected);
                println!("{dtype:?} at {rate}: {off}");
                assert!(off <= 0.05, "{dtype:?} at rate {rate}: the change is {:.1} % off f32's", 100.0 * off);
            }
        }
    }

    /// At the rate that people fine-tune all weights with, 1 − rate·decay is 1 in f32.
    #[test]
    fn a_decay_is_not_rounded_away() {
        let constants = Optimizer { betas: (0.9, 0.999), eps: 1e-8, bias_correction: false, weight_decay: 0.01 };
        let rate = 2e-6;
        let start: Vec<f32> = (0..4096).map(|n| 0.01 + n as f32 * 5e-6).collect();
        // No mean: what all values have in common is the decay.
        let gradients: Vec<Vec<f32>> = (0..100)
            .map(|step| (0..4096).map(|n| [1e-3, -1e-3][(n + step) % 2] * (1 + n % 7) as f32).collect())
            .collect();
        let mut parameters = Parameters::from([("p".to_owned(), Array::from_slice(&start, &[4096]))]);
        let mut adam = Adam::new(&parameters).unwrap();
        for g in &gradients {
            let g = Parameters::from([("p".to_owned(), Array::from_slice(g, &[4096]))]);
            adam.update(&constants, rate, &mut parameters, &g).unwrap();
        }
        let mean_off = |decay: f64, ours: &dyn Fn(usize) -> f64| {
            let constants = Optimizer { weight_decay: decay, ..constants.clone() };
            let of = |n: usize| gradients.iter().map(|g| f64::from(g[n])).collect::<Vec<_>>();
            let off = |n: usize| ours(n) - reference(&constants, rate, f64::from(start[n]), &of(n));
            (0..4096).map(off).sum::<f64>() / 4096.0
        };
        let values = parameters["p"].as_slice::<f32>();
        let ours = |n: usize| f64::from(values[n]);
        let (off, of_decay) = (mean_off(0.01, &ours), mean_off(0.0, &ours));
        assert!(of_decay < -1e-8, "{of_decay}");
        assert!(off.abs() < 0.25 * of_decay.abs(), "the mean is off by {off}; the decay makes {of_decay}");
    }

    #[test]
    fn a_gradient_without_its_parameter_is_an_error() {
        let stray = Parameters::from([("x".to_owned(), Array::from_f32(1.0))]);
        let constants = Optimizer { betas: (0.9, 0.999), eps: 1e-8, bias_correction: false, weight_decay: 0.0 };
        let error = Adam::default().update(&constants, 0.1, &mut Parameters::new(), &stray).unwrap_err();
        assert!(error.to_string().contains("`x`"), "{error}");
    }

    /// A weight's gradient as the backward pass leaves it, a transposed view, and a copy of it by rows: the same values.
    fn laid_out_twice() -> [Parameters; 2] {
        let values: Vec<f32> = (0..37 * 53).map(|n| ((n * 7919) % 1013) as f32 * 1e-3 + 0.1).collect();
        let view = Array::from_slice(&values, &[37, 53]).transpose().unwrap();
        let copy = view.contiguous().unwrap();
        eval([&view, &copy]).unwrap();
        assert_ne!(view.strides(), copy.strides());
        [view, copy].map(|x| Parameters::from([("w".to_owned(), x)]))
    }

    #[test]
    fn a_norm_does_not_depend_on_how_an_array_lies_in_memory() {
        let [view, copy] = laid_out_twice().map(|gradients| global_norm(&gradients).unwrap());
        assert_eq!(view.to_bits(), copy.to_bits());
    }

    /// So that a run that goes on from a checkpoint, whose arrays lie by rows, works on arrays like those of one that never stopped.
    #[test]
    fn sums_lie_in_memory_by_rows() {
        let [view, copy] = laid_out_twice();
        for (sum, terms) in
            [(None, &view), (None, &copy), (Some(&view), &view), (Some(&copy), &view), (Some(&view), &copy)]
        {
            let sum = accumulate(sum.cloned(), terms.clone()).unwrap();
            assert_eq!((sum["w"].shape(), sum["w"].strides()), (&[53, 37][..], &[37, 1][..]));
        }
    }

    #[test]
    fn norms_sums_and_factors_go_over_all_arrays() {
        let two = |a: f32, b: f32| {
            Parameters::from([("a".to_owned(), Array::from_f32(a)), ("b".to_owned(), Array::from_f32(b))])
        };
        assert_eq!(global_norm(&two(3.0, -4.0)).unwrap(), 5.0);
        let sum = accumulate(accumulate(None, two(1.0, 2.0)).unwrap().into(), two(10.0, 20.0)).unwrap();
        let sum = scaled(sum, 0.5).unwrap();
        assert_eq!((sum["a"].item_cast::<f32>(), sum["b"].item_cast::<f32>()), (5.5, 11.0));
    }
}
