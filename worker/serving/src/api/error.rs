//! What is answered where a request is not: OpenAI's form, which its clients turn into typed errors.

use serde_json::{Value, json};

/// Why a request is not answered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub(crate) struct ApiError {
    /// HTTP's status.
    pub(crate) status: u16,
    /// What was wrong, and what to do.
    pub(crate) message: String,
    /// The field that was wrong, such as `messages[3].content`.
    pub(crate) param: Option<String>,
    /// A word for programs.
    pub(crate) code: Option<&'static str>,
}

impl ApiError {
    fn new(status: u16, message: impl Into<String>) -> ApiError {
        ApiError { status, message: message.into(), param: None, code: None }
    }

    /// A field is wrong.
    pub(crate) fn field(param: impl Into<String>, problem: impl std::fmt::Display) -> ApiError {
        let param = param.into();
        ApiError { param: Some(param.clone()), ..ApiError::new(400, format!("`{param}` {problem}")) }
    }

    /// The request is wrong as a whole.
    pub(crate) fn invalid(message: impl Into<String>) -> ApiError {
        ApiError::new(400, message)
    }

    /// The prompt is longer than the model reads.
    pub(crate) fn too_long(param: &str, message: impl Into<String>) -> ApiError {
        let code = Some("context_length_exceeded");
        ApiError { param: Some(param.to_owned()), code, ..ApiError::new(400, message) }
    }

    /// Who asks may not.
    pub(crate) fn denied(message: impl Into<String>) -> ApiError {
        ApiError::new(403, message)
    }

    /// No such route.
    pub(crate) fn no_route(message: impl Into<String>) -> ApiError {
        ApiError::new(404, message)
    }

    /// No such model; `names` are those that there are.
    pub(crate) fn no_model(name: &str, names: &[String]) -> ApiError {
        let there =
            if names.is_empty() { "there is none now".to_owned() } else { format!("there is {}", names.join(", ")) };
        let shown: String = name.chars().take(100).collect();
        let code = Some("model_not_found");
        ApiError {
            param: Some("model".to_owned()),
            code,
            ..ApiError::new(404, format!("there is no model `{shown}`: {there}"))
        }
    }

    /// Another method is meant.
    pub(crate) fn method(message: impl Into<String>) -> ApiError {
        ApiError::new(405, message)
    }

    /// The body did not come in time.
    pub(crate) fn too_slow(message: impl Into<String>) -> ApiError {
        ApiError::new(408, message)
    }

    /// The body is too large.
    pub(crate) fn too_large(message: impl Into<String>) -> ApiError {
        ApiError::new(413, message)
    }

    /// As many wait as may.
    pub(crate) fn line_is_full(message: impl Into<String>) -> ApiError {
        ApiError { code: Some("line_is_full"), ..ApiError::new(429, message) }
    }

    /// The server or the model has failed.
    pub(crate) fn failed(message: impl Into<String>) -> ApiError {
        ApiError::new(500, message)
    }

    /// Not now. The same request may succeed in a moment.
    pub(crate) fn unavailable(message: impl Into<String>) -> ApiError {
        ApiError::new(503, message)
    }

    fn kind(&self) -> &'static str {
        match self.status {
            403 => "permission_error",
            429 => "rate_limit_error",
            500.. => "server_error",
            _ => "invalid_request_error",
        }
    }

    /// As clients read it.
    pub(crate) fn to_json(&self) -> Value {
        json!({"error": {"message": self.message, "type": self.kind(), "param": self.param, "code": self.code}})
    }
}
