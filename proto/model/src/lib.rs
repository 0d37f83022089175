//! What is known of models and data without running them.
//!
//! What a person writes ([`recipe`]), what a model is ([`shape`], [`tensors`]), what a run of it will need ([`estimate`]), and what a
//! training example is ([`dataset`]). The engine computes by these types and the coordinator plans by them, so that a prediction and
//! the run that it is about cannot mean two different things.
//!
//! Promise: everything here but reading a dataset's folder is a pure function of its arguments. Absent: MLX, the protocol, the clock.

pub mod dataset;
pub mod estimate;
pub mod fusing;
pub mod recipe;
pub mod shape;
pub mod tensors;
