//! What stays and what goes: checkpoints, unfinished uploads, blobs that nothing names, the detail of old jobs, workers that are gone.
//!
//! [`Keep`] is the operator's policy. [`decide`] says what goes by it: pure functions of rows. The [`Collector`] reads the rows beside the
//! writer, has the core let go of what may go ([`Forget`](crate::core::Forget)), and sweeps the blobs.
//!
//! Promises: nothing goes that a job, a tag, an artifact or a running upload names; what nobody names goes, each thing after its own time;
//! the writer is held for one small command at a time. A dry run counts what a run would take and takes nothing.

mod collector;
pub mod decide;
mod gate;
mod policy;
#[cfg(test)]
mod tests;

pub use collector::{CollectError, Collected, Collector, Mode};
pub use gate::Gate;
pub use policy::{Keep, KeepError};
