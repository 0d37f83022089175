//! Jobs, events, artifacts, moves of tags, workers and what is stored, as JSON.
//!
//! The protocol's messages are for programs that were built with it; these views are for all others. `vertigo --json` prints them, the
//! coordinator's HTTP routes answer with them, pages read them: one thing has one form, wherever it is met. A view is made of a message
//! and of nothing else, so that whoever has the message has the JSON.
//!
//! Promise: names are a contract. They may be added to, and never change. What the protocol leaves empty is `null`, and a number that
//! is none (a loss that became infinite) is `null` too, so that every line stays JSON.

mod access;
mod artifact;
mod event;
mod job;
mod storage;
mod tag;
mod words;
mod worker;

pub use access::{Principal, Token};
pub use artifact::Artifact;
pub use event::{Body, Event, Failure};
pub use job::{
    Attempt, Caveats, Eval, Input, Job, MemoryPart, ModelServer, Output, Placement, RealRoblox, ServedModel, Serving,
    Task, Variant,
};
pub use storage::{Amount, Collection, DiskStorage, JobStorage, KindStorage, Storage};
pub use tag::TagMove;
pub use words::{STATES, attempt_state, cure, slot, state, state_of, tag_mover, worker_act};
pub use worker::{Hold, Worker};

/// `null` for an empty string.
fn text(value: &str) -> Option<String> {
    (!value.is_empty()).then(|| value.to_owned())
}

/// `null` for a time that has not come, or an amount that is not known.
fn known(number: u64) -> Option<u64> {
    (number > 0).then_some(number)
}

#[cfg(test)]
mod tests;
