//! What the coordinator answers where it does not do what was asked: a code for programs, a message and a hint for people.
//!
//! Promise: all three reach who asked. Over gRPC the message is the status's, and code and hint stand in its metadata; over HTTP they are
//! the fields of one JSON object. A program decides by the code and never by the words.

use crate::bounds::shorten;
use std::fmt::Display;
use tonic::metadata::MetadataValue;
use tonic::{Code, Status};

/// Where the code stands in a status's metadata.
const CODE_KEY: &str = "vertigo-code";

/// Where the hint does: as bytes, since it may hold any letter.
const HINT_KEY: &str = "vertigo-hint-bin";

/// What a person is told, at most: it has to fit into a header. A message may repeat what was sent.
pub const MESSAGE_BYTES_MAX: usize = 2 << 10;

/// Why something is not done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorCode {
    /// The request is wrong in itself: the same one is refused at any time.
    Invalid,
    /// A name in it stands for several things.
    Ambiguous,
    /// A name in it stands for nothing.
    NotFound,
    /// What it names is not in a state for it.
    Conflict,
    /// The coordinator is stopping. The same request may succeed when it is back.
    Unavailable,
    /// The store of blobs is not there now, though the coordinator is.
    BlobsAway,
    /// The coordinator is at fault.
    Internal,
    /// To a worker: another installation of that name is connected. Waiting does not help.
    NameTaken,
    /// To a worker: its id belongs to an installation with another secret. Waiting does not help.
    OtherInstallation,
    /// To a worker: another process of the same installation has the session. It may be about to end.
    OtherProcess,
    /// To a worker: this session is over; it may connect again.
    SessionOver,
}

impl ErrorCode {
    const ALL: [(ErrorCode, &str, Code, u16); 11] = [
        (ErrorCode::Invalid, "invalid", Code::InvalidArgument, 400),
        (ErrorCode::Ambiguous, "ambiguous", Code::InvalidArgument, 400),
        (ErrorCode::NotFound, "not_found", Code::NotFound, 404),
        (ErrorCode::Conflict, "conflict", Code::FailedPrecondition, 409),
        (ErrorCode::Unavailable, "unavailable", Code::Unavailable, 503),
        (ErrorCode::BlobsAway, "blobs_away", Code::Unavailable, 503),
        (ErrorCode::Internal, "internal", Code::Internal, 500),
        (ErrorCode::NameTaken, "name_taken", Code::AlreadyExists, 409),
        (ErrorCode::OtherInstallation, "other_installation", Code::PermissionDenied, 403),
        (ErrorCode::OtherProcess, "other_process", Code::AlreadyExists, 409),
        (ErrorCode::SessionOver, "session_over", Code::Aborted, 409),
    ];

    fn row(self) -> (ErrorCode, &'static str, Code, u16) {
        // Every code has a row: a test walks them.
        ErrorCode::ALL.into_iter().find(|(code, ..)| *code == self).unwrap_or(ErrorCode::ALL[0])
    }

    /// The word that programs read.
    pub fn word(self) -> &'static str {
        self.row().1
    }

    /// gRPC's own code that comes nearest.
    pub fn grpc(self) -> Code {
        self.row().2
    }

    /// HTTP's status that comes nearest.
    pub fn http(self) -> u16 {
        self.row().3
    }

    /// The code of a status, where the coordinator gave it one.
    pub fn of(status: &Status) -> Option<ErrorCode> {
        let word = status.metadata().get(CODE_KEY)?.to_str().ok()?;
        ErrorCode::ALL.into_iter().find(|(_, known, ..)| *known == word).map(|(code, ..)| code)
    }
}

/// Why something is not done, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ApiError {
    /// For programs.
    pub code: ErrorCode,
    /// For a person: what is wrong, and where.
    pub message: String,
    /// For a person: what to do next; `None` where the message says all there is to say.
    pub hint: Option<String>,
}

impl ApiError {
    /// An error without a hint. What is too long for a header is cut.
    pub fn new(code: ErrorCode, message: impl Display) -> ApiError {
        let message = shorten(&message.to_string(), MESSAGE_BYTES_MAX).into_owned();
        ApiError { code, message, hint: None }
    }

    /// A request that is wrong in itself.
    pub fn invalid(message: impl Display) -> ApiError {
        ApiError::new(ErrorCode::Invalid, message)
    }

    /// A name that stands for nothing.
    pub fn not_found(message: impl Display) -> ApiError {
        ApiError::new(ErrorCode::NotFound, message)
    }

    /// What is named is not in a state for it.
    pub fn conflict(message: impl Display) -> ApiError {
        ApiError::new(ErrorCode::Conflict, message)
    }

    /// A fault of the coordinator's.
    pub fn internal(message: impl Display) -> ApiError {
        ApiError::new(ErrorCode::Internal, message)
    }

    /// The same with a hint.
    #[must_use]
    pub fn with_hint(self, hint: impl Display) -> ApiError {
        ApiError { hint: Some(shorten(&hint.to_string(), MESSAGE_BYTES_MAX).into_owned()), ..self }
    }

    /// The coordinator's error of a status; `None` where the status does not come from it.
    pub fn of(status: &Status) -> Option<ApiError> {
        let hint = status.metadata().get_bin(HINT_KEY).and_then(|hint| hint.to_bytes().ok());
        let hint = hint.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        Some(ApiError { code: ErrorCode::of(status)?, message: status.message().to_owned(), hint })
    }
}

impl From<ApiError> for Status {
    fn from(error: ApiError) -> Status {
        let mut status = Status::new(error.code.grpc(), error.message);
        status.metadata_mut().insert(CODE_KEY, MetadataValue::from_static(error.code.word()));
        if let Some(hint) = error.hint {
            status.metadata_mut().insert_bin(HINT_KEY, MetadataValue::from_bytes(hint.as_bytes()));
        }
        status
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_message_and_hint_are_read_back_from_a_status() {
        for (code, word, grpc, _) in ErrorCode::ALL {
            let error = ApiError::new(code, "„was“").with_hint("→ `vertigo jobs`");
            let status = Status::from(error.clone());
            assert_eq!((status.code(), code.word()), (grpc, word));
            // As it crosses a connection.
            let crossed = Status::from_header_map(&status.into_http::<()>().into_parts().0.headers).unwrap();
            assert_eq!(ApiError::of(&crossed), Some(error));
        }
        let plain = ApiError::invalid("why");
        assert_eq!(ApiError::of(&plain.clone().into()), Some(plain));
        assert_eq!(ApiError::of(&Status::unavailable("tcp connect error")), None);
    }

    #[test]
    fn what_is_repeated_fits_into_a_header() {
        let error = ApiError::not_found("ü".repeat(1 << 20)).with_hint("ü".repeat(1 << 20));
        assert!(error.message.len() <= MESSAGE_BYTES_MAX && error.hint.unwrap().len() <= MESSAGE_BYTES_MAX);
    }
}
