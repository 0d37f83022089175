//! What some of a task's samples come to: one that passes, most, all.

use super::TaskOutcomes;
use statrs::distribution::{DiscreteCDF, Hypergeometric};

/// The chance that of `k` samples, drawn without replacement from `samples` of which `passed` passed, at least `least` passed:
/// the unbiased estimate of what `k` new samples would come to (Chen et al. 2021, eq. 1, for one; the upper tail of the
/// hypergeometric distribution in general). None where there are fewer than `k` samples.
pub fn at_least(samples: u64, passed: u64, k: u64, least: u64) -> Option<f64> {
    let drawn = Hypergeometric::new(samples, passed, k).ok()?;
    Some(least.checked_sub(1).map_or(1.0, |below| drawn.sf(below).clamp(0.0, 1.0)))
}

/// pass@k: at least one of `k` samples passes.
pub fn pass_at(samples: u64, passed: u64, k: u64) -> Option<f64> {
    at_least(samples, passed, k, 1)
}

/// pass^k: all of `k` samples pass (Yao et al. 2024), which OpenGameEval calls All@k.
pub fn pass_every(samples: u64, passed: u64, k: u64) -> Option<f64> {
    at_least(samples, passed, k, k)
}

/// Consistency at `k`: more than half of `k` samples pass, as OpenGameEval's Cons@5 asks for 3 of 5.
pub fn majority(samples: u64, passed: u64, k: u64) -> Option<f64> {
    at_least(samples, passed, k, k / 2 + 1)
}

/// The mean over tasks of one of the estimates above; none where a task has fewer samples than it takes, or there is no task.
pub fn passes_with(tasks: &[&TaskOutcomes], k: u64, estimate: fn(u64, u64, u64) -> Option<f64>) -> Option<f64> {
    let each = |task: &&TaskOutcomes| estimate(task.samples().len() as u64, task.passed() as u64, k);
    let total: f64 = tasks.iter().map(each).sum::<Option<f64>>()?;
    (!tasks.is_empty()).then(|| total / tasks.len() as f64)
}
