//! Learning rates as functions of the optimizer's step: MLX's schedules, joined as mlx-lm joins them.

use serde::{Deserialize, Serialize};

/// The learning rate as a function of the optimizer's step: linear warmup, then a decay.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LearningRate {
    /// Steps of linear warmup from [`warmup_init`](Self::warmup_init) to the decay's first value; 0 for none.
    pub warmup: u64,
    /// The rate at step 0 of the warmup.
    pub warmup_init: f64,
    /// What follows the warmup. Its own step 0 is the run's step `warmup + 1`, or 0 without warmup.
    pub decay: Decay,
}

/// A schedule of `mlx.optimizers.schedulers`; the doc of each is its formula at step `t`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decay {
    /// `init`
    Constant {
        /// The rate.
        init: f64,
    },
    /// `end + (init − end) · ½(1 + cos(π·min(t, steps)/steps))`
    Cosine {
        /// The first rate.
        init: f64,
        /// Steps to the end.
        steps: u64,
        /// The last rate.
        end: f64,
    },
    /// `init + min(t, steps) · (end − init)/steps`
    Linear {
        /// The first rate.
        init: f64,
        /// The last rate.
        end: f64,
        /// Steps to the end.
        steps: u64,
    },
    /// `init · rateᵗ`
    Exponential {
        /// The first rate.
        init: f64,
        /// The factor of each step.
        rate: f64,
    },
    /// `init · rate^⌊t/every⌋`
    Step {
        /// The first rate.
        init: f64,
        /// The factor of each drop.
        rate: f64,
        /// Steps between drops.
        every: u64,
    },
}

impl Decay {
    fn init(&self) -> f64 {
        match *self {
            Decay::Constant { init }
            | Decay::Cosine { init, .. }
            | Decay::Linear { init, .. }
            | Decay::Exponential { init, .. }
            | Decay::Step { init, .. } => init,
        }
    }

    fn at(&self, t: u64) -> f64 {
        let progress = |steps: u64| t.min(steps) as f64 / steps as f64;
        match *self {
            Decay::Constant { init } => init,
            Decay::Cosine { init, steps, end } => {
                end + (init - end) * 0.5 * (1.0 + (std::f64::consts::PI * progress(steps)).cos())
            }
            Decay::Linear { init, end, steps } => init + progress(steps) * (end - init),
            Decay::Exponential { init, rate } => init * rate.powf(t as f64),
            Decay::Step { init, rate, every } => init * rate.powf((t / every) as f64),
        }
    }
}

impl LearningRate {
    /// The same rate at every step.
    pub fn constant(rate: f64) -> LearningRate {
        LearningRate { warmup: 0, warmup_init: 0.0, decay: Decay::Constant { init: rate } }
    }

    /// The rate that optimizer step `step` (from 0) uses.
    pub fn at(&self, step: u64) -> f64 {
        if self.warmup == 0 {
            return self.decay.at(step);
        }
        // mlx-lm joins the two at warmup + 1, so the decay starts one step after the warmup has reached its end.
        let boundary = self.warmup + 1;
        if step < boundary {
            let warmup = Decay::Linear { init: self.warmup_init, end: self.decay.init(), steps: self.warmup };
            warmup.at(step)
        } else {
            self.decay.at(step - boundary)
        }
    }
}
