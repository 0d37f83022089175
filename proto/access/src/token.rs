//! The line that a person pastes on a machine that is to join.
//!
//! `vertigo1.` and base64 of JSON: where the coordinator is, the fingerprint of what its certificate leads to, a secret, the role that it
//! gives, and until when. The coordinator keeps the secret's SHA-256 only.
//!
//! Promise: a token is printed whole by [`Token::line`] and by nothing else; an error about a text that is none does not repeat it.

use crate::anchor::Fingerprint;
use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine};
use serde::{Deserialize, Serialize};
use std::io::{BufRead, Read as _};
use std::str::FromStr;
use vertigo::endpoint::Endpoint;
use vertigo::id::Millis;
use vertigo::principal::Role;
use vertigo::secret::Secret;

/// What a token of this version begins with.
const PREFIX: &str = "vertigo1.";

/// What tokens of every version begin with.
const FAMILY: &str = "vertigo";

/// Bytes of a line, at most.
pub const LINE_BYTES_MAX: usize = 4 << 10;

/// Addresses that a token may name.
pub const ADDRESSES_MAX: usize = 8;

/// A token, read.
#[derive(Debug, Clone)]
pub struct Token {
    /// Where the coordinator is: the first that answers is taken.
    pub addresses: Vec<Endpoint>,
    /// What its certificate leads to.
    pub anchor: Fingerprint,
    /// What proves that a person with the right to has made the token.
    pub secret: Secret,
    /// What the machine may do then.
    pub role: Role,
    /// Until when it can be used, by the coordinator's clock.
    pub ends: Millis,
}

/// A text that is no token. It does not say what it was instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Something else altogether, or cut off.
    #[error(
        "this is not a whole join token: paste the one line that begins with `{PREFIX}`, as `vertigo token create` printed it"
    )]
    Form,
    /// It does not come.
    #[error("the token cannot be read: {0}")]
    Read(std::io::ErrorKind),
    /// One of a later version.
    #[error("this join token is of another version: install the version of Vertigo that the coordinator has")]
    Version,
}

/// The JSON inside.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Inside {
    at: Vec<String>,
    anchor: String,
    secret: String,
    role: Role,
    ends_ms: u64,
}

impl Token {
    /// The token on the first line of what a person pastes or pipes.
    ///
    /// # Errors
    /// It is no token, or cannot be read.
    pub fn read(from: &mut impl BufRead) -> Result<Token, TokenError> {
        let mut line = String::new();
        // One more than fits, so that what is too long is no token.
        from.take(LINE_BYTES_MAX as u64 + 1).read_line(&mut line).map_err(|error| TokenError::Read(error.kind()))?;
        line.parse()
    }

    /// The line to paste.
    pub fn line(&self) -> String {
        let inside = Inside {
            at: self.addresses.iter().map(ToString::to_string).collect(),
            anchor: self.anchor.to_string(),
            secret: self.secret.to_hex(),
            role: self.role,
            ends_ms: self.ends.0,
        };
        let json = serde_json::to_vec(&inside).expect("strings and numbers are JSON");
        format!("{PREFIX}{}", BASE64_URL_SAFE_NO_PAD.encode(json))
    }
}

impl FromStr for Token {
    type Err = TokenError;

    fn from_str(text: &str) -> Result<Token, TokenError> {
        let text = text.trim();
        if text.len() > LINE_BYTES_MAX {
            return Err(TokenError::Form);
        }
        let Some(encoded) = text.strip_prefix(PREFIX) else {
            let is_later = text
                .strip_prefix(FAMILY)
                .and_then(|rest| rest.split_once('.'))
                .is_some_and(|(version, _)| !version.is_empty() && version.bytes().all(|byte| byte.is_ascii_digit()));
            return Err(if is_later { TokenError::Version } else { TokenError::Form });
        };
        let json = BASE64_URL_SAFE_NO_PAD.decode(encoded).map_err(|_| TokenError::Form)?;
        let inside: Inside = serde_json::from_slice(&json).map_err(|_| TokenError::Form)?;
        let addresses: Result<Vec<Endpoint>, _> = inside.at.iter().map(|text| text.parse()).collect();
        let addresses = addresses.map_err(|_| TokenError::Form)?;
        if addresses.is_empty() || addresses.len() > ADDRESSES_MAX {
            return Err(TokenError::Form);
        }
        Ok(Token {
            addresses,
            anchor: inside.anchor.parse().map_err(|_| TokenError::Form)?,
            secret: inside.secret.parse().map_err(|_| TokenError::Form)?,
            role: inside.role,
            ends: Millis(inside.ends_ms),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rustls::pki_types::CertificateDer;

    fn token(secret: [u8; 32]) -> Token {
        Token {
            addresses: vec!["http://127.0.0.1:7420".parse().unwrap()],
            anchor: Fingerprint::of(&CertificateDer::from(vec![7])),
            secret: Secret::from(secret),
            role: Role::Worker,
            ends: Millis(1_700_000_000_000),
        }
    }

    proptest! {
        #[test]
        fn no_text_panics_and_none_is_repeated(text in any::<String>(), tail in "[A-Za-z0-9_-]{0,200}") {
            for text in [text.clone(), format!("{PREFIX}{tail}"), format!("{PREFIX}{text}")] {
                if let Err(error) = text.parse::<Token>() {
                    prop_assert!(matches!(error, TokenError::Form | TokenError::Version));
                }
            }
        }

        #[test]
        fn a_token_reads_back_and_no_part_of_it_does(secret in any::<[u8; 32]>(), cut in 1usize..100) {
            let it = token(secret);
            let line = it.line();
            let back: Token = format!("  {line}\n").parse().unwrap();
            prop_assert_eq!(back.line(), &line[..]);
            prop_assert_eq!((back.role, back.ends, back.anchor), (it.role, it.ends, it.anchor));
            let shown = format!("{it:?}");
            prop_assert!(!shown.contains(&hex::encode(secret)));
            prop_assert!(line[..line.len() - cut].parse::<Token>().is_err());
        }
    }

    #[test]
    fn a_terminal_takes_the_longest_line() {
        // A terminal of macOS takes 1,024 bytes of a line.
        let far = "http://localhost:65535".parse::<Endpoint>().unwrap();
        let it = Token { addresses: vec![far; ADDRESSES_MAX], ..token([255; 32]) };
        assert!(it.line().len() < 900, "{}", it.line().len());
        assert!(it.line().parse::<Token>().is_ok());
    }

    #[test]
    fn a_later_version_is_said_to_be_one() {
        let line = token([3; 32]).line();
        assert_eq!(Token::read(&mut format!("{line}\nmore").as_bytes()).unwrap().line(), line);
        assert_eq!("vertigo2.abc".parse::<Token>().unwrap_err(), TokenError::Version);
        for other in ["", "vertigo.x", "vertigoX.y", "hello", "vertigo1."] {
            assert_eq!(other.parse::<Token>().unwrap_err(), TokenError::Form, "{other}");
        }
    }
}
