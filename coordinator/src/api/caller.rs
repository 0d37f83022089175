//! Who asks: known before a use case begins, from the connection that the request came on.

use vertigo::id::WorkerId;
use vertigo::principal::{PrincipalName, Role};

/// The namespace of whoever has no other.
pub const DEFAULT_NAMESPACE: &str = "default";

/// Who asks, and what it may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
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
            name: PrincipalName::local(),
            role: Role::Admin,
            worker: None,
            namespace: DEFAULT_NAMESPACE.to_owned(),
        }
    }
}
