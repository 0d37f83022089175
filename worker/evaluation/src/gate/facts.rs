//! What a gate knows of a model: facts of its reports, one for each suite.

use crate::compare::Side;
use crate::statistics::{Outcomes, Share, TaskId};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// What one report says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Facts {
    /// The model, the suite, how it was asked, and what came of it by all checks together.
    pub side: Side,
    /// What came of it by one check alone, by the check's name.
    pub checks: BTreeMap<String, Outcomes>,
    /// What answers of nonsense score on the suite, by their names: an echo, an empty answer.
    pub nonsense: BTreeMap<String, Share>,
    /// Tasks that the model's training data contains; none where nobody knows what it was trained on.
    pub contaminated: Option<BTreeSet<TaskId>>,
    /// Answers that asked for what the room has not. The outcomes here have them as [`Role`] says.
    #[serde(default)]
    pub unsupported: u64,
}

/// Whose facts they are, which decides what an answer counts that asked for what the room has not.
///
/// Nobody knows whether such an answer is right, so a report leaves it out of every mean. A gate that did the same would pay for
/// it: a model whose wrong answers all ask for physics would have a better mean than one that is wrong in plain sight. So a tag
/// moves only where it would also move if every such answer were wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The model that the tag is to move to: they count as failures, so that nothing is gained by one.
    Candidate,
    /// The model that the tag is at: they are left out, so that the candidate gains nothing by them either.
    Present,
}
