//! Who may speak to a coordinator.

use crate::{known, text};
use serde::Serialize;
use vertigo::v1;

/// Somebody who has joined.
#[derive(Debug, Serialize)]
#[expect(missing_docs, reason = "the fields are the protocol's, and told there")]
pub struct Principal {
    pub name: String,
    pub role: String,
    pub joined_ms: Option<u64>,
    pub revoked_ms: Option<u64>,
    pub ends_ms: Option<u64>,
    pub worker_id: Option<String>,
    pub namespace: String,
}

/// A token, without its secret.
#[derive(Debug, Serialize)]
#[expect(missing_docs, reason = "the fields are the protocol's, and told there")]
pub struct Token {
    pub id: String,
    pub role: String,
    pub created_ms: u64,
    pub ends_ms: u64,
    pub uses_left: u32,
    pub name: Option<String>,
    pub made_by: String,
    pub namespace: String,
}

impl From<&v1::Principal> for Principal {
    fn from(it: &v1::Principal) -> Principal {
        Principal {
            name: it.name.clone(),
            role: it.role.clone(),
            joined_ms: known(it.joined_ms),
            revoked_ms: known(it.revoked_ms),
            ends_ms: known(it.ends_ms),
            worker_id: text(&it.worker_id),
            namespace: it.namespace.clone(),
        }
    }
}

impl From<&v1::Token> for Token {
    fn from(it: &v1::Token) -> Token {
        Token {
            id: it.id.clone(),
            role: it.role.clone(),
            created_ms: it.created_ms,
            ends_ms: it.ends_ms,
            uses_left: it.uses_left,
            name: text(&it.name),
            made_by: it.made_by.clone(),
            namespace: it.namespace.clone(),
        }
    }
}
