//! What goes wrong in each room, as the errors of the API.

use crate::blobs::BlobError;
use crate::core::{Ambiguous, ReferenceError, Refusal};
use crate::kinds::KindError;
use crate::store::{ApplyError, ChangeError, Stopped, StoreError};
use tokio::task::JoinError;
use vertigo::api_error::{ApiError, ErrorCode};

/// Where a person finds the jobs that there are.
pub(super) const LIST_JOBS: &str = "`vertigo jobs` lists them";

impl From<Stopped> for ApiError {
    fn from(stopped: Stopped) -> ApiError {
        ApiError::new(ErrorCode::Unavailable, stopped)
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> ApiError {
        tracing::error!(%error, "store");
        ApiError::internal(error)
    }
}

impl From<BlobError> for ApiError {
    fn from(error: BlobError) -> ApiError {
        tracing::error!(%error, "blobs");
        ApiError::new(ErrorCode::BlobsAway, error)
    }
}

impl From<Ambiguous> for ApiError {
    fn from(ambiguous: Ambiguous) -> ApiError {
        ReferenceError::from(ambiguous).into()
    }
}

impl From<ReferenceError> for ApiError {
    fn from(error: ReferenceError) -> ApiError {
        let code = match error {
            ReferenceError::Ambiguous(_) => ErrorCode::Ambiguous,
            ReferenceError::NoRole { .. } => ErrorCode::Invalid,
            ReferenceError::Archive(_) => ErrorCode::Internal,
        };
        ApiError::new(code, &error).with_hint(error.hint())
    }
}

impl From<KindError> for ApiError {
    fn from(error: KindError) -> ApiError {
        let code = match error {
            KindError::Invalid(_) => ErrorCode::Invalid,
            KindError::Missing { .. } => ErrorCode::NotFound,
        };
        match error {
            KindError::Invalid(message) => ApiError::new(code, message),
            KindError::Missing { message, hint: None } => ApiError::new(code, message),
            KindError::Missing { message, hint: Some(hint) } => ApiError::new(code, message).with_hint(hint),
        }
    }
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> ApiError {
        let code = match refusal {
            Refusal::NoJob(_) | Refusal::NoWorker(_) | Refusal::NoTag { .. } | Refusal::NoArtifact(_) => {
                ErrorCode::NotFound
            }
            Refusal::TagMoved { .. } => ErrorCode::TagMoved,
            Refusal::Ended { .. }
            | Refusal::TooLarge { .. }
            | Refusal::NoOutput { .. }
            | Refusal::WorkerThere { .. }
            | Refusal::WorkerNotThere(_)
            | Refusal::WorkerTooOld { .. }
            | Refusal::NoSuchOutput { .. }
            | Refusal::NothingBefore(_)
            | Refusal::OnItAlready { .. }
            | Refusal::NotOnTheWay { .. } => ErrorCode::Conflict,
            Refusal::NameTaken(_) => ErrorCode::NameTaken,
            Refusal::OtherInstallation(_) => ErrorCode::OtherInstallation,
            Refusal::OtherProcess { .. } => ErrorCode::OtherProcess,
            Refusal::NoSession => ErrorCode::SessionOver,
            Refusal::Archive(_) => ErrorCode::Internal,
        };
        let error = ApiError::new(code, &refusal);
        match refusal.hint() {
            Some(hint) => error.with_hint(hint),
            None => error,
        }
    }
}

impl From<ApplyError> for ApiError {
    fn from(error: ApplyError) -> ApiError {
        match error {
            ApplyError::Refused(refusal) => refusal.into(),
            ApplyError::Stopped(stopped) => stopped.into(),
        }
    }
}

impl From<ChangeError<ApiError>> for ApiError {
    fn from(error: ChangeError<ApiError>) -> ApiError {
        match error {
            ChangeError::Undecided(error) => error,
            ChangeError::Apply(error) => error.into(),
        }
    }
}

/// A computation beside the writer that panicked.
pub(super) fn broken(error: JoinError) -> ApiError {
    ApiError::internal(error)
}
