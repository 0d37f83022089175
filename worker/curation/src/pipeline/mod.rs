//! What the pipeline makes of rows that were read: its way with duplicates, and its two mixes. All of it for comparison.
//!
//! It is the pipeline's on purpose, with what is wrong in it: of two rows alike the one stays whose file's name comes first, long rows that
//! begin alike count as the same, rows are copied before they are split, so that copies fall on both sides. `duplicates`, `split` and `mix`
//! do better; who compares a new set with an old one needs both.

pub mod balanced;
pub mod dedup;
mod join;
mod mixed;
pub mod three_dataset;

pub use mixed::{MIXED_ROWS_MAX, MixError, Mixed};
