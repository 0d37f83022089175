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
}
