//! What of raw examples may be trained on.
//!
//! [`row`] is an example in its one canonical form, [`book`] what happened to each line that was read, by which [`rule`]. The stages are
//! one module each, in the order in which they run: [`read`], [`rights`], [`tiers`], [`filters`] with [`secrets`], [`duplicates`],
//! [`contamination`], [`split`] with [`mix`], [`lengths`]; [`quality`] computes facts that they name.
//!
//! Promise: pure functions of files, suites, config and tokenizer. The same inputs give the same bytes on any machine, whatever the order
//! of the files. Every line that was read stands in the book exactly once, with all that befell it. Absent: jobs, the network, a clock.

mod arrange;
pub mod audit;
pub mod book;
pub mod config;
pub mod contamination;
pub mod curate;
pub mod duplicates;
pub mod filters;
pub mod glob;
pub mod leak;
pub mod lengths;
pub mod made;
pub mod mix;
pub mod page;
mod parallel;
pub mod pipeline;
pub mod provenance;
pub mod quality;
pub mod read;
pub mod report;
pub mod rights;
pub mod row;
pub mod rule;
pub mod secrets;
pub mod split;
pub mod tiers;
