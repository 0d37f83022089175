//! Who acts: a principal's name, and the role that says what it may do.
//!
//! A principal is what a certificate names, once somebody has joined with a token: a person's laptop, or a worker. Whoever speaks to a
//! coordinator over loopback without certificates is [`PrincipalName::local`], because a process on that machine can do all of it anyway.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Characters of a principal's name, at most. It stands in a certificate's common name, which has room for 64.
pub const PRINCIPAL_CHARS_MAX: usize = 63;

/// The name of whoever speaks over loopback without a certificate. No certificate has it.
const LOCAL: &str = "local";

/// What a principal may do. Each role says less than [`Role::Admin`], and none contains another but by the table of permissions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Looks at jobs, artifacts and workers.
    Read,
    /// Queues and cancels jobs, imports and reads artifacts, moves tags.
    Submit,
    /// Runs attempts. It reads and writes what these need.
    Worker,
    /// Everything that people do, tokens and principals among it. It runs no attempts.
    Admin,
}

impl Role {
    /// All of them.
    pub const ALL: [Role; 4] = [Role::Read, Role::Submit, Role::Worker, Role::Admin];

    /// Its word.
    pub fn word(self) -> &'static str {
        match self {
            Role::Read => "read",
            Role::Submit => "submit",
            Role::Worker => "worker",
            Role::Admin => "admin",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

/// A word that is no role.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no role: write read, submit, worker or admin")]
pub struct RoleError(String);

impl FromStr for Role {
    type Err = RoleError;
    fn from_str(text: &str) -> Result<Role, RoleError> {
        Role::ALL.into_iter().find(|role| role.word() == text).ok_or_else(|| RoleError(text.to_owned()))
    }
}

/// What a principal is called: letters, digits, `-`, `_` and `.`, beginning with a letter or digit.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PrincipalName(String);

/// A text that is no principal's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PrincipalNameError {
    /// Too long, empty, or with characters that it may not have.
    #[error(
        "`{0}` cannot name a principal: write 1 to {PRINCIPAL_CHARS_MAX} letters, digits, `-`, `_` or `.`, beginning with a letter or digit"
    )]
    Form(String),
    /// The name of whoever has no certificate.
    #[error("`{LOCAL}` is whoever speaks to a coordinator from its own machine, and no certificate may have that name")]
    Local,
}

impl PrincipalName {
    /// Whoever speaks over loopback without a certificate.
    pub fn local() -> PrincipalName {
        PrincipalName(LOCAL.to_owned())
    }

    /// What an administrator is called who says no other name.
    pub fn administrator() -> PrincipalName {
        PrincipalName("admin".to_owned())
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// A name that a certificate may have.
    ///
    /// # Errors
    /// [`PrincipalNameError`], [`PrincipalName::local`] among it.
    pub fn of_certificate(text: &str) -> Result<PrincipalName, PrincipalNameError> {
        match text.parse() {
            Ok(PrincipalName(name)) if name == LOCAL => Err(PrincipalNameError::Local),
            parsed => parsed,
        }
    }
}

impl PrincipalName {
    /// The name that comes nearest to what a machine or a person is called; `None` where nothing of that is left.
    pub fn like(text: &str) -> Option<PrincipalName> {
        let named = |c: char| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '-' };
        let name: String = text.chars().map(named).take(PRINCIPAL_CHARS_MAX).collect();
        let name = name.trim_start_matches(|c: char| !c.is_ascii_alphanumeric());
        PrincipalName::of_certificate(name).ok()
    }
}

/// Any name that is kept, [`PrincipalName::local`] too.
impl FromStr for PrincipalName {
    type Err = PrincipalNameError;
    fn from_str(text: &str) -> Result<PrincipalName, PrincipalNameError> {
        let named = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        let begins_well = text.starts_with(|c: char| c.is_ascii_alphanumeric());
        if text.len() > PRINCIPAL_CHARS_MAX || !begins_well || !text.chars().all(named) {
            let shown: String = text.chars().take(PRINCIPAL_CHARS_MAX).collect();
            return Err(PrincipalNameError::Form(shown));
        }
        Ok(PrincipalName(text.to_owned()))
    }
}

impl TryFrom<String> for PrincipalName {
    type Error = PrincipalNameError;
    fn try_from(text: String) -> Result<PrincipalName, PrincipalNameError> {
        text.parse()
    }
}

impl From<PrincipalName> for String {
    fn from(name: PrincipalName) -> String {
        name.0
    }
}

impl fmt::Display for PrincipalName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_name_reads_back_and_drives_nothing(text in any::<String>()) {
            if let Ok(name) = text.parse::<PrincipalName>() {
                prop_assert_eq!(name.to_string(), &text[..]);
                prop_assert!(text.len() <= PRINCIPAL_CHARS_MAX && text.chars().all(|c| c.is_ascii_graphic() && !"/=,+\"".contains(c)));
            }
        }
    }

    #[test]
    fn roles_have_words() {
        for role in Role::ALL {
            assert_eq!(role.word().parse(), Ok(role));
            assert_eq!(serde_json::to_value(role).unwrap(), role.word());
        }
        assert!("Admin".parse::<Role>().is_err());
    }

    #[test]
    fn names_are_parsed_and_local_is_nobodys() {
        for good in ["mac-36gb", "a", "9B.studio_1"] {
            assert_eq!(PrincipalName::of_certificate(good).unwrap().as_str(), good);
        }
        for bad in ["", "-a", "a b", "a/b", "ä", "a\n", &"a".repeat(64)] {
            assert!(matches!(bad.parse::<PrincipalName>(), Err(PrincipalNameError::Form(_))), "{bad:?}");
        }
        assert_eq!(PrincipalName::of_certificate("local"), Err(PrincipalNameError::Local));
        assert_eq!(PrincipalName::like("Ada's MacBook.local").unwrap().as_str(), "Ada-s-MacBook.local");
        assert_eq!((PrincipalName::like("…"), PrincipalName::like("")), (None, None));
        assert_eq!("local".parse(), Ok(PrincipalName::local()));
    }
}
