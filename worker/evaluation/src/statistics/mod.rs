//! How sure a figure of an evaluation is, from outcomes alone: no I/O, no clock, and chance only by a seed.
//!
//! Promises: a figure depends on what was answered and not on the order of tasks; the same seed gives the same bits; what has a
//! closed form agrees with scipy or statsmodels (`tests/peer/statistics.py`), what is drawn agrees within the error of drawing.
//!
//! What the figures assume. A suite's tasks are drawn from tasks like them, independently; a task's samples are independent
//! given the task; two models answered the same tasks, and share nothing else. A model's score is the mean over tasks of the
//! mean over a task's samples, so a task counts once however often it was asked. Categories are strata: their sizes are part of
//! the suite, not chance.

mod alone;
mod bootstrap;
mod chance;
#[cfg(test)]
pub(crate) mod drawn;
mod flips;
mod holm;
mod interval;
mod mcnemar;
mod means;
mod outcomes;
mod pairs;
mod passes;
mod power;
mod share;
#[cfg(test)]
mod tests;

pub use alone::score_interval;
pub use bootstrap::{Bootstrap, Resampling};
pub(crate) use chance::normal_above;
pub use flips::flips;
pub use holm::holm;
pub use interval::{Interval, wilson};
pub use mcnemar::{Discordant, discordant};
pub use means::{Endings, Means, category_means, means};
pub use outcomes::{Outcomes, OutcomesError, SAMPLES_MAX, SampleOutcome, TASKS_MAX, TaskId, TaskOutcomes};
pub use pairs::{Pair, Pairs, Unpaired};
pub use passes::{at_least, majority, pass_at, pass_every, passes_with};
pub use power::{Demand, Design, Reach, Spread, TASKS_DIFFERING_MIN, mcnemar_detectable, mcnemar_power, mcnemar_tasks};
pub use share::{Share, ShareError};
