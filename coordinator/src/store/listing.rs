//! Lists of jobs: which ones are shown, and in which order.

use crate::core::Job;
use std::collections::{BTreeMap, BTreeSet};
use vertigo::id::{JobId, Millis};
use vertigo::task::TaskKind;

/// What has to hold for a job to be listed. The default lets all through.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct JobFilter {
    /// Any of these, by [`State::name`](crate::core::State::name); empty for all.
    pub states: BTreeSet<&'static str>,
    /// Its kind.
    pub kind: Option<TaskKind>,
    /// All of these labels. An empty value stands for any.
    pub labels: BTreeMap<String, String>,
    /// Queued at this time or later.
    pub since: Millis,
}

/// A job's place in a list. Lists go from the newest to the oldest; what comes meanwhile is on none of the pages that follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Listed {
    /// When it was queued.
    pub created: Millis,
    /// Which it is.
    pub id: JobId,
}

impl Listed {
    /// Where a job stands.
    pub fn of(job: &Job) -> Listed {
        Listed { created: job.created, id: job.id }
    }
}

impl JobFilter {
    /// Whether it lets the job through.
    pub fn fits(&self, job: &Job) -> bool {
        let has =
            |(key, value): (&String, &String)| job.labels.get(key).is_some_and(|v| value.is_empty() || v == value);
        (self.states.is_empty() || self.states.contains(job.state.name()))
            && self.kind.is_none_or(|kind| job.kind() == Some(kind))
            && self.labels.iter().all(has)
            && job.created >= self.since
    }
}
