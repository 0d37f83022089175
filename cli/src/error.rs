//! What goes wrong, as a person reads it: what it was, and what to do next. And the exit code, for scripts.

use serde_json::{Value, json};
use std::fmt::Display;
use tonic::{Code, Status};
use vertigo::api_error::{ApiError, ErrorCode};
use vertigo::endpoint::Endpoint;
use vertigo_client::{TransferError, trouble};

/// How a command ended, as the shell sees it. `--help` documents the numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Done.
    Done = 0,
    /// A job failed or was cancelled, or what was asked was refused.
    Refused = 1,
    /// The command line is wrong.
    Usage = 2,
    /// The coordinator cannot be reached.
    Unreachable = 3,
    /// No such job, artifact or tag.
    NotFound = 4,
    /// Ctrl-C.
    Interrupted = 130,
}

/// Why a command failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CliError {
    pub(crate) exit: Exit,
    pub(crate) message: String,
    /// What to do.
    pub(crate) hint: Option<String>,
    /// The coordinator's word for it, where the error is the coordinator's.
    pub(crate) code: Option<ErrorCode>,
}

pub(crate) type Result<T> = std::result::Result<T, CliError>;

impl CliError {
    pub(crate) fn new(exit: Exit, message: impl Into<String>) -> CliError {
        CliError { exit, message: message.into(), hint: None, code: None }
    }

    /// Input that is wrong, as its own error says.
    pub(crate) fn refused(error: impl Display) -> CliError {
        CliError::new(Exit::Refused, error.to_string())
    }

    pub(crate) fn hint(self, hint: impl Into<String>) -> CliError {
        CliError { hint: Some(hint.into()), ..self }
    }

    pub(crate) fn json(&self) -> Value {
        let code = self.code.map(ErrorCode::word);
        json!({"error": self.message, "hint": self.hint, "code": code, "exit_code": self.exit as i32})
    }
}

/// What a call was about: where to look when it is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Subject {
    Job,
    Artifact,
    Worker,
    /// The bases and the dataset of recipes.
    Inputs,
    Nothing,
}

impl Subject {
    fn hint(self) -> Option<&'static str> {
        match self {
            Subject::Job => Some("`vertigo jobs` lists the jobs"),
            Subject::Artifact => Some("`vertigo artifacts` lists what there is"),
            Subject::Worker => Some("`vertigo workers` lists the workers"),
            Subject::Inputs => Some(
                "import what is missing with `vertigo base import NAME DIR` or `vertigo data import NAME DIR`; \
                 `vertigo artifacts` lists what there is",
            ),
            Subject::Nothing => None,
        }
    }
}

/// Whether the connection was lost, or the coordinator is about to stop, and not the call refused: what the coordinator itself answers has
/// no cause on this side.
pub(crate) fn is_lost(status: &Status) -> bool {
    let is_away = status.code() == Code::Unavailable && ErrorCode::of(status) != Some(ErrorCode::BlobsAway);
    is_away || std::error::Error::source(status).is_some()
}

/// What a gRPC error means to a person.
pub(crate) fn from_status(status: &Status, endpoint: &Endpoint, subject: Subject) -> CliError {
    if let Some(error) = ApiError::of(status) {
        return from_api(error, subject);
    }
    if is_lost(status) {
        return match trouble(status) {
            None => unreachable(endpoint),
            // What it says names what to do.
            Some(problem) => CliError { hint: None, ..unreachable_for(endpoint, &problem) },
        };
    }
    let message = match status.message() {
        "" => format!("the coordinator answered {}", status.code().description()),
        message => message.to_owned(),
    };
    match status.code() {
        Code::Unimplemented => CliError::refused("the coordinator does not know this call")
            .hint("it is of another version; install `vertigo` and `vertigo-coordinator` from one release"),
        Code::Internal | Code::Unknown | Code::DataLoss => {
            CliError::refused(message).hint("the coordinator's log (its stderr) says more")
        }
        _ => CliError::refused(message),
    }
}

/// What the coordinator's own error means to a person. Where it says what to do, it knows better than a command.
fn from_api(error: ApiError, subject: Subject) -> CliError {
    let ApiError { code, message, hint } = error;
    let (exit, otherwise) = match code {
        ErrorCode::NotFound => (Exit::NotFound, subject.hint()),
        ErrorCode::Internal => (Exit::Refused, Some("the coordinator's log (its stderr) says more")),
        ErrorCode::BlobsAway => (Exit::Refused, Some(not_taken_hint(503))),
        ErrorCode::Unavailable => (Exit::Unreachable, None),
        _ => (Exit::Refused, None),
    };
    CliError { exit, message, hint: hint.or(otherwise.map(str::to_owned)), code: Some(code) }
}

/// The coordinator is not there.
pub(crate) fn unreachable(endpoint: &Endpoint) -> CliError {
    CliError::new(Exit::Unreachable, format!("cannot reach the coordinator at {endpoint}"))
        .hint("start it with `vertigo-coordinator`, or say where it is with --coordinator URL or VERTIGO_COORDINATOR")
}

/// The same, where it is known why.
fn unreachable_for(endpoint: &Endpoint, problem: &str) -> CliError {
    let error = unreachable(endpoint);
    CliError { message: format!("{}: {problem}", error.message), ..error }
}

/// What to do about a blob that the coordinator did not take, by HTTP's status.
fn not_taken_hint(status: u16) -> &'static str {
    match status {
        507 => {
            "make room where the coordinator keeps its blobs (its --store) and its uploads (its --state), then run the \
             command again: it goes on where it was cut off"
        }
        409 => "another upload of the same file runs: wait until it is done, or stop it, then run the command again",
        400 | 408 | 429 => "run the command again: it goes on where it was cut off",
        500.. => {
            "the coordinator's log (its stderr) says more; when its store takes blobs again, run the command again: it \
             goes on where it was cut off"
        }
        _ => {
            "is --coordinator the coordinator itself, without a proxy that refuses uploads? its log (stderr) says more"
        }
    }
}

/// What a transfer's error means to a person.
pub(crate) fn from_transfer(error: &TransferError, endpoint: &Endpoint) -> CliError {
    match error {
        TransferError::Missing { .. } => CliError::refused(error).hint(
            "`vertigo base import NAME DIR` and `vertigo data import NAME DIR` send what is missing, and nothing else; \
             the coordinator's log says what was damaged",
        ),
        TransferError::NotTaken { status, .. } => CliError::refused(error).hint(not_taken_hint(*status)),
        TransferError::Rpc(status) => from_status(status, endpoint, Subject::Artifact),
        TransferError::Connection { problem, .. } => {
            unreachable_for(endpoint, problem).hint("run the command again: it goes on where it was cut off")
        }
        TransferError::Refused { status, .. } if *status >= 500 => {
            CliError::refused(error).hint("run the command again: it goes on where it was cut off")
        }
        other => CliError::refused(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(status: Status, subject: Subject) -> CliError {
        from_status(&status, &Endpoint::default(), subject)
    }

    #[test]
    fn each_kind_of_failure_has_its_exit_code_and_its_way_out() {
        let away = told(Status::unavailable("tcp connect error"), Subject::Job);
        assert_eq!(away.exit, Exit::Unreachable);
        assert_eq!(away.message, "cannot reach the coordinator at http://127.0.0.1:7420");
        assert!(away.hint.unwrap().contains("vertigo-coordinator"));

        let missing = told(ApiError::not_found("no base `mini-4b`").into(), Subject::Inputs);
        assert_eq!((missing.exit, missing.message.as_str()), (Exit::NotFound, "no base `mini-4b`"));
        assert!(missing.hint.unwrap().contains("vertigo base import"));

        let knows_better = ApiError::not_found("no dataset `luau`").with_hint("`vertigo data import luau DIR`");
        let knows_better = told(knows_better.into(), Subject::Inputs);
        assert_eq!(knows_better.hint.as_deref(), Some("`vertigo data import luau DIR`"));
        assert_eq!((knows_better.exit, knows_better.json()["code"].as_str()), (Exit::NotFound, Some("not_found")));

        let refused = told(ApiError::invalid("recipe `x`: …").into(), Subject::Inputs);
        assert_eq!((refused.exit, refused.hint), (Exit::Refused, None));

        let without_blobs = told(ApiError::new(ErrorCode::BlobsAway, "no bucket").into(), Subject::Artifact);
        assert_eq!(without_blobs.exit, Exit::Refused, "the coordinator is there, and says what it cannot reach");
        assert!(without_blobs.hint.is_some());
        assert!(!told(Status::internal(""), Subject::Nothing).message.is_empty());
    }

    #[test]
    fn a_refused_upload_says_what_the_coordinator_said_and_what_to_do() {
        for status in 400..=599 {
            let digest = vertigo::id::Digest::of(b"");
            let error = TransferError::NotTaken { digest, status, message: "its own words".to_owned() };
            let told = from_transfer(&error, &Endpoint::default());
            assert_eq!(told.exit, Exit::Refused);
            assert!(told.message.contains(&status.to_string()) && told.message.contains("its own words"));
            assert!(told.hint.is_some(), "{status}");
        }
        assert!(not_taken_hint(507).contains("make room") && not_taken_hint(409).contains("another upload"));
    }

    #[test]
    fn a_broken_connection_is_told_from_an_answer() {
        let broken = Status::from_error(Box::new(std::io::Error::from(std::io::ErrorKind::ConnectionReset)));
        assert!(is_lost(&broken));
        assert!(!is_lost(&Status::internal("bug")));
        let lost = told(broken, Subject::Job);
        assert_eq!((lost.exit, lost.message.contains("TLS")), (Exit::Unreachable, false));
        assert!(lost.hint.is_some());
    }

    #[test]
    fn a_connection_that_tls_refused_is_unreachable_and_says_why() {
        let alert = rustls::Error::AlertReceived(rustls::AlertDescription::CertificateRevoked);
        let broken = Status::from_error(Box::new(std::io::Error::other(alert)));
        assert!(is_lost(&broken));
        let lost = told(broken, Subject::Job);
        assert_eq!(lost.exit, Exit::Unreachable);
        let words = "cannot reach the coordinator at http://127.0.0.1:7420: the coordinator refused our certificate";
        assert!(lost.message.starts_with(words) && lost.message.contains("vertigo login"), "{}", lost.message);
        assert_eq!(lost.hint, None, "starting another coordinator would not help");
    }
}
