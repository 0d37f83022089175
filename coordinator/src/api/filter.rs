//! Which jobs a list shows.

use super::events::state;
use crate::core::Job;
use std::collections::HashMap;
use vertigo::api_error::ApiError;
use vertigo::id::Millis;
use vertigo::task::{ParseTaskKindError, TaskKind};
use vertigo::v1;

/// What has to hold for a job to be shown.
pub(super) struct Filter {
    /// Any of these; empty for all.
    states: Vec<v1::JobState>,
    kind: Option<TaskKind>,
    /// All of these. An empty value stands for any.
    labels: HashMap<String, String>,
    since: Millis,
}

impl Filter {
    /// Reads a request.
    ///
    /// # Errors
    /// A state or a kind that there is none of.
    pub(super) fn read(request: &v1::ListJobsRequest) -> Result<Filter, ApiError> {
        let state = |number: &i32| {
            let known = v1::JobState::try_from(*number).ok().filter(|state| *state != v1::JobState::Unspecified);
            known.ok_or_else(|| ApiError::invalid(format!("{number} is no state of a job")))
        };
        let kind = Some(&request.kind).filter(|kind| !kind.is_empty());
        Ok(Filter {
            states: request.states.iter().map(state).collect::<Result<_, ApiError>>()?,
            kind: kind
                .map(|kind| kind.parse())
                .transpose()
                .map_err(|error: ParseTaskKindError| ApiError::invalid(error))?,
            labels: request.labels.clone(),
            since: Millis(request.since_ms),
        })
    }

    /// Whether jobs as old as this one, or older, can be shown at all. Lists go from the newest to the oldest.
    pub(super) fn is_reached(&self, job: &Job) -> bool {
        job.created >= self.since
    }

    pub(super) fn fits(&self, job: &Job) -> bool {
        let has =
            |(key, value): (&String, &String)| job.labels.get(key).is_some_and(|v| value.is_empty() || v == value);
        (self.states.is_empty() || self.states.contains(&state(job.state)))
            && self.kind.is_none_or(|kind| job.variants.iter().any(|variant| variant.task.kind == kind))
            && self.labels.iter().all(has)
    }
}
