//! Which of two models or more is better on a suite, by how much, how sure that is, and how many tasks it would take to be sure.
//!
//! Promises: only what was asked alike is compared, and what was not is named; a comparison the other way round has the same
//! figures with their signs turned; better is said only where the chance of seeing so much between models that are alike is
//! below 5 %, counted over all pairs that were looked at.

mod compared;
mod said;
mod side;
#[cfg(test)]
mod tests;

pub use compared::{CategoryDifference, Comparison, Needed, PairDifference, SIDES_MAX, Standing, Verdict, compare};
pub use said::{said, sentences};
pub use side::{CompareError, Conditions, Side, SideError, Unlike, alike};
