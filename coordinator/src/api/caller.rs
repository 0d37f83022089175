//! Who asks: known before a use case begins, from the connection that the request came on.

pub use crate::access::DEFAULT_NAMESPACE;
use std::fmt::Display;
use vertigo::api_error::{ApiError, ErrorCode};
use vertigo::id::{PrincipalId, WorkerId};
use vertigo::principal::{PrincipalName, Role};

/// Who asks, and what it may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// What its certificate says; `None` for whoever has none.
    pub principal: Option<PrincipalId>,
    /// Its name, which is kept with what it does.
    pub name: PrincipalName,
    /// What it may do.
    pub role: Role,
    /// Of a worker: the one id that it speaks as.
    pub worker: Option<WorkerId>,
    /// Whose artifacts and jobs it sees.
    pub namespace: String,
}

impl Caller {
    /// Whoever speaks from the coordinator's own machine, without a certificate: it may do everything, since a process there can anyway.
    pub fn local() -> Caller {
        Caller {
            principal: None,
            name: PrincipalName::local(),
            role: Role::Admin,
            worker: None,
            namespace: DEFAULT_NAMESPACE.to_owned(),
        }
    }

    /// It may not do what it asks. `what` is that, behind "may not".
    pub(crate) fn may_not(&self, what: impl Display) -> ApiError {
        let (name, role) = (&self.name, self.role);
        ApiError::new(ErrorCode::Denied, format!("`{name}` has the role {role}, and may not {what}"))
    }

    /// Whether it sees what is in a namespace.
    pub fn sees(&self, namespace: &str) -> bool {
        self.namespace == namespace
    }
}
