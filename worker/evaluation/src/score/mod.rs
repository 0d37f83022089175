//! What an answer is worth: the verdict of each of its task's checks, and what they come to.
//!
//! Checks that need Luau ask a [`Room`](crate::room::Room); all others are functions of the text. Two scorers of the pipeline are
//! kept exactly ([`benchmark_v2`], [`opengameeval`]), for comparison; reports call them what they are, pattern matches.
//! They are given answers without thoughts, as every check is; the pipeline left thoughts in.
//!
//! Promise: the same answer, task and room give the same verdicts. What is not the model's fault (a pattern that never ends, a
//! room that fails, a part of Roblox that the room has not) is said and counted apart, and never held against the answer.

pub mod benchmark_v2;
mod calls;
mod judge;
pub mod opengameeval;
mod verdict;

pub use judge::Judge;
pub use verdict::{Score, Standing, Verdict};

#[cfg(test)]
mod tests;
