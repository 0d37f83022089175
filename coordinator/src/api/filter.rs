//! Which jobs a list shows, as it is asked for.

use super::events::state_name;
use crate::store::JobFilter;
use vertigo::api_error::ApiError;
use vertigo::id::Millis;
use vertigo::task::ParseTaskKindError;
use vertigo::v1;

/// Reads a request.
///
/// # Errors
/// A state or a kind that there is none of.
pub(super) fn read(request: &v1::ListJobsRequest) -> Result<JobFilter, ApiError> {
    let state = |number: &i32| {
        let known = v1::JobState::try_from(*number).ok().and_then(state_name);
        known.ok_or_else(|| ApiError::invalid(format!("{number} is no state of a job")))
    };
    let kind = Some(&request.kind).filter(|kind| !kind.is_empty());
    Ok(JobFilter {
        states: request.states.iter().map(state).collect::<Result<_, ApiError>>()?,
        kind: kind
            .map(|kind| kind.parse())
            .transpose()
            .map_err(|error: ParseTaskKindError| ApiError::invalid(error))?,
        labels: request.labels.iter().map(|(key, value)| (key.clone(), value.clone())).collect(),
        since: Millis(request.since_ms),
    })
}
