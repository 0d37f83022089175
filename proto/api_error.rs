//! What the coordinator answers where it does not do what was asked: a code for programs, a message and a hint for people.
//!
//! Promise: all three reach who asked. Over gRPC the message is the status's, and code and hint stand in its metadata; over HTTP they are
//! the fields of one JSON object. A program decides by the code and never by the words.

use crate::bounds::shorten;
use serde_json::{Value, json};
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
    /// A tag is not on what whoever moves it took it to be on: somebody else has moved it. Look again before asking again.
    TagMoved,
    /// The coordinator is stopping. The same request may succeed when it is back.
    Unavailable,
    /// The coordinator has as much in flight as it has room for. The same request may succeed in a moment.
    Busy,
    /// The store of blobs is not there now, though the coordinator is.
    BlobsAway,
    /// The coordinator is at fault.
    Internal,
    /// Who asks may not: a page in a browser, or a request for another host.
    Denied,
    /// Who asks is not known: it shows no certificate, or one whose principal was revoked.
    Stranger,
    /// Who asks has sent as much as it may for now.
    Quota,
    /// What is asked for exists, and is not asked for in this way.
    Method,
    /// What is asked for is another protocol's.
    Protocol,
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
    /// All codes.
    pub const ALL: [ErrorCode; 18] = [
        ErrorCode::Invalid,
        ErrorCode::Ambiguous,
        ErrorCode::NotFound,
        ErrorCode::Conflict,
        ErrorCode::TagMoved,
        ErrorCode::Unavailable,
        ErrorCode::Busy,
        ErrorCode::BlobsAway,
        ErrorCode::Internal,
        ErrorCode::Denied,
        ErrorCode::Stranger,
        ErrorCode::Quota,
        ErrorCode::Method,
        ErrorCode::Protocol,
        ErrorCode::NameTaken,
        ErrorCode::OtherInstallation,
        ErrorCode::OtherProcess,
        ErrorCode::SessionOver,
    ];

    /// Its word, and gRPC's code and HTTP's status that come nearest.
    fn forms(self) -> (&'static str, Code, u16) {
        match self {
            ErrorCode::Invalid => ("invalid", Code::InvalidArgument, 400),
            ErrorCode::Ambiguous => ("ambiguous", Code::InvalidArgument, 400),
            ErrorCode::NotFound => ("not_found", Code::NotFound, 404),
            ErrorCode::Conflict => ("conflict", Code::FailedPrecondition, 409),
            ErrorCode::TagMoved => ("tag_moved", Code::Aborted, 409),
            ErrorCode::Unavailable => ("unavailable", Code::Unavailable, 503),
            ErrorCode::Busy => ("busy", Code::ResourceExhausted, 503),
            ErrorCode::BlobsAway => ("blobs_away", Code::Unavailable, 503),
            ErrorCode::Internal => ("internal", Code::Internal, 500),
            ErrorCode::Denied => ("denied", Code::PermissionDenied, 403),
            ErrorCode::Stranger => ("stranger", Code::Unauthenticated, 401),
            ErrorCode::Quota => ("quota", Code::ResourceExhausted, 429),
            ErrorCode::Method => ("method", Code::Unimplemented, 405),
            ErrorCode::Protocol => ("protocol", Code::Unimplemented, 415),
            ErrorCode::NameTaken => ("name_taken", Code::AlreadyExists, 409),
            ErrorCode::OtherInstallation => ("other_installation", Code::PermissionDenied, 403),
            ErrorCode::OtherProcess => ("other_process", Code::AlreadyExists, 409),
            ErrorCode::SessionOver => ("session_over", Code::Aborted, 409),
        }
    }

    /// The word that programs read.
    pub fn word(self) -> &'static str {
        self.forms().0
    }

    /// gRPC's own code that comes nearest.
    pub fn grpc(self) -> Code {
        self.forms().1
    }

    /// HTTP's status that comes nearest.
    pub fn http(self) -> u16 {
        self.forms().2
    }

    /// The code of a status, where the coordinator gave it one.
    pub fn of(status: &Status) -> Option<ErrorCode> {
        let word = status.metadata().get(CODE_KEY)?.to_str().ok()?;
        ErrorCode::ALL.into_iter().find(|code| code.word() == word)
    }
}

/// Why something is not done, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}{}", .hint.as_ref().map(|hint| format!("; {hint}")).unwrap_or_default())]
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

    /// As HTTP says it: `{"error": {"code": …, "message": …, "hint": …}}`.
    pub fn to_json(&self) -> Value {
        json!({"error": {"code": self.code.word(), "message": self.message, "hint": self.hint}})
    }

    /// Reads [`to_json`](Self::to_json); `None` for what is none of ours.
    pub fn from_json(text: &str) -> Option<ApiError> {
        let read: Value = serde_json::from_str(text).ok()?;
        let error = read.get("error")?;
        let field = |name: &str| error.get(name).and_then(Value::as_str);
        let code = ErrorCode::ALL.into_iter().find(|code| field("code") == Some(code.word()))?;
        Some(ApiError { code, message: field("message")?.to_owned(), hint: field("hint").map(str::to_owned) })
    }

    /// All that a status says to a person, whoever it comes from.
    pub fn words(status: &Status) -> String {
        ApiError::of(status).map_or_else(|| status.message().to_owned(), |error| error.to_string())
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
        for code in ErrorCode::ALL {
            let error = ApiError::new(code, "„was“").with_hint("→ `vertigo jobs`");
            let status = Status::from(error.clone());
            assert!(status.code() == code.grpc() && (400..600).contains(&code.http()), "{code:?}");
            // As it crosses a connection.
            let crossed = Status::from_header_map(&status.into_http::<()>().into_parts().0.headers).unwrap();
            assert_eq!(ApiError::words(&crossed), "„was“; → `vertigo jobs`");
            assert_eq!(ApiError::from_json(&error.to_json().to_string()), Some(error.clone()));
            assert_eq!(ApiError::of(&crossed), Some(error));
        }
        let plain = ApiError::invalid("why");
        assert_eq!(ApiError::of(&plain.clone().into()), Some(plain));
        assert_eq!(ApiError::of(&Status::unavailable("tcp connect error")), None);
        assert_eq!(ApiError::words(&Status::unavailable("tcp connect error")), "tcp connect error");
        assert!(["", "<html>", "{}", "{\"error\": \"no\"}"].iter().all(|text| ApiError::from_json(text).is_none()));
    }

    /// A code that stands in no list is read back as none, and two that share a word as one.
    #[test]
    fn each_code_has_a_word_of_its_own() {
        let words: std::collections::BTreeSet<_> = ErrorCode::ALL.into_iter().map(ErrorCode::word).collect();
        assert_eq!(words.len(), ErrorCode::ALL.len());
    }

    #[test]
    fn what_is_repeated_fits_into_a_header() {
        let error = ApiError::not_found("ü".repeat(1 << 20)).with_hint("ü".repeat(1 << 20));
        assert!(error.message.len() <= MESSAGE_BYTES_MAX && error.hint.unwrap().len() <= MESSAGE_BYTES_MAX);
    }
}
