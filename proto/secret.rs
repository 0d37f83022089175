//! What proves that a worker is the installation that it says it is.
//!
//! Ids and epochs are listed to everyone who asks. A [`Secret`] is not: it is made at an installation's first start, lies in its folder,
//! and goes to the coordinator in each `Hello`; the coordinator keeps a [`SecretHash`], from which it cannot be found again.
//!
//! Promise: nothing here prints a secret but [`Secret::to_hex`], which is for the installation's own file.

use crate::id::WorkerId;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::fmt;
use std::str::FromStr;
use subtle::ConstantTimeEq;

/// Bytes of a secret.
pub const SECRET_BYTES: usize = 32;

/// An installation's secret.
#[derive(Clone)]
pub struct Secret([u8; SECRET_BYTES]);

/// Something that is no secret. It does not say what it was instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a worker's secret is {SECRET_BYTES} bytes ({} hexadecimal digits in its file)", 2 * SECRET_BYTES)]
pub struct SecretError;

/// The SHA-256 of a secret. A secret has 256 random bits, so it needs neither salt nor stretching.
#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SecretHash([u8; 32]);

/// An installation of a worker, as it proves itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Installed {
    /// Its id, which is listed and proves nothing.
    pub id: WorkerId,
    /// Of its secret.
    pub secret: SecretHash,
}

impl Secret {
    /// The form that its file has.
    pub fn to_hex(&self) -> String {
        hex::encode(self.0)
    }

    /// The form that `Hello` has.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.0.to_vec()
    }

    /// What the coordinator keeps of it.
    pub fn hash(&self) -> SecretHash {
        SecretHash(Sha256::digest(self.0).into())
    }
}

/// From bytes that somebody drew at random.
impl From<[u8; SECRET_BYTES]> for Secret {
    fn from(bytes: [u8; SECRET_BYTES]) -> Secret {
        Secret(bytes)
    }
}

/// From the form that `Hello` has.
impl TryFrom<&[u8]> for Secret {
    type Error = SecretError;
    fn try_from(bytes: &[u8]) -> Result<Secret, SecretError> {
        bytes.try_into().map(Secret).map_err(|_| SecretError)
    }
}

/// From the form that its file has.
impl FromStr for Secret {
    type Err = SecretError;
    fn from_str(hex: &str) -> Result<Secret, SecretError> {
        let mut bytes = [0; SECRET_BYTES];
        hex::decode_to_slice(hex, &mut bytes).map(|()| Secret(bytes)).map_err(|_| SecretError)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// In a time that does not depend on where the two differ.
impl PartialEq for SecretHash {
    fn eq(&self, other: &SecretHash) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for SecretHash {}

impl fmt::Display for SecretHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&hex::encode(self.0))
    }
}

impl fmt::Debug for SecretHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretHash(…)")
    }
}

/// From the form that the coordinator's database has.
impl FromStr for SecretHash {
    type Err = hex::FromHexError;
    fn from_str(text: &str) -> Result<SecretHash, hex::FromHexError> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).map(|()| SecretHash(bytes))
    }
}

impl TryFrom<String> for SecretHash {
    type Error = hex::FromHexError;
    fn try_from(text: String) -> Result<SecretHash, hex::FromHexError> {
        text.parse()
    }
}

impl From<SecretHash> for String {
    fn from(hash: SecretHash) -> String {
        hash.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_reads_back_and_is_told_from_others() {
        let secret = Secret::from([7; 32]);
        let (hex, bytes) = (secret.to_hex(), secret.to_bytes());
        assert_eq!(hex.parse::<Secret>().unwrap().hash(), secret.hash());
        assert_eq!(Secret::try_from(&bytes[..]).unwrap().hash(), secret.hash());
        assert_ne!(Secret::from([8; 32]).hash(), secret.hash());
        let kept = secret.hash().to_string();
        assert_eq!(kept.parse::<SecretHash>().unwrap(), secret.hash());
        assert!(!kept.contains(&hex));
    }

    #[test]
    fn what_is_no_secret_is_refused_without_a_word_of_it() {
        for wrong in ["", "07", &"0".repeat(63), &"g".repeat(64), &"0".repeat(66)] {
            assert!(wrong.parse::<Secret>().is_err(), "{wrong}");
        }
        assert!(Secret::try_from(&[0; 31][..]).is_err() && Secret::try_from(&[][..]).is_err());
        assert!(!"abcdef".parse::<Secret>().unwrap_err().to_string().contains("abcdef"));
    }

    #[cfg(feature = "rpc")]
    #[test]
    fn no_log_shows_one() {
        let secret = Secret::from([0xc5; 32]);
        let hello = crate::v1::Hello { name: "mac".to_owned(), secret: secret.to_bytes(), ..Default::default() };
        let message = crate::v1::WorkerMessage { message: Some(crate::v1::worker_message::Message::Hello(hello)) };
        for shown in [format!("{secret:?} {:?}", secret.hash()), format!("{message:?}"), format!("{message:#?}")] {
            assert!(!shown.contains("c5") && !shown.contains("197"), "{shown}");
        }
        assert!(format!("{message:?}").contains("mac"));
    }
}
