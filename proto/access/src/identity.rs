//! Who a machine is to a coordinator: certificate, key and what it trusts, in one file that is its owner's alone.

use crate::anchor::Anchor;
use crate::life::Life;
use crate::tls::{self, Held, HeldError, Shown};
use base64::prelude::{BASE64_STANDARD, Engine};
use rcgen::{CertificateParams, KeyPair};
use rustls::ClientConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use vertigo::endpoint::Endpoint;
use vertigo::files::{AtPath, FileError, write_private};
use vertigo::id::Millis;
use vertigo::principal::{PrincipalName, Role};

/// The format that is written.
const FORMAT: u32 = 1;

/// Bytes of an identity's file, at most.
const FILE_BYTES_MAX: u64 = 256 << 10;

/// Why there is no identity.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// Its file.
    #[error(transparent)]
    File(#[from] FileError),
    /// Its file's contents.
    #[error("{}: {problem}: remove it and join again with a new token", path.display())]
    Damaged {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// A key could not be made.
    #[error("cannot make a key: {0}")]
    Key(String),
    /// Certificate and key.
    #[error(transparent)]
    Held(#[from] HeldError),
}

/// A new key, and the request for a certificate over it.
pub struct Request {
    key: KeyPair,
    /// PKCS #10, DER.
    pub der: Vec<u8>,
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request").finish_non_exhaustive()
    }
}

impl Request {
    /// With a key of its own.
    ///
    /// # Errors
    /// [`IdentityError::Key`].
    pub fn new() -> Result<Request, IdentityError> {
        let failed = |error: rcgen::Error| IdentityError::Key(error.to_string());
        let key = KeyPair::generate().map_err(failed)?;
        // It asks for no name: the coordinator gives one.
        let request = CertificateParams::default().serialize_request(&key).map_err(failed)?;
        Ok(Request { key, der: request.der().to_vec() })
    }
}

/// What a coordinator answered to a request.
#[derive(Debug, Clone)]
pub struct Granted {
    /// The certificate, then the authority's.
    pub chain: Vec<Vec<u8>>,
    /// Whose it is.
    pub principal: PrincipalName,
    /// What it may do.
    pub role: Role,
    /// How long it can be used, by this machine's clock.
    pub life: Life,
}

/// Who this machine is to one coordinator.
#[derive(Clone)]
pub struct Identity {
    /// Where that is.
    pub coordinator: Endpoint,
    /// What the coordinator calls it.
    pub principal: PrincipalName,
    /// What it may do there.
    pub role: Role,
    /// Of its certificate.
    pub life: Life,
    /// What it trusts.
    pub anchor: Anchor,
    chain: Vec<Vec<u8>>,
    key: Vec<u8>,
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity")
            .field("coordinator", &self.coordinator)
            .field("principal", &self.principal)
            .field("role", &self.role)
            .field("life", &self.life)
            .finish_non_exhaustive()
    }
}

/// The file.
#[derive(Serialize, Deserialize)]
struct OnDisk {
    format: u32,
    coordinator: String,
    principal: PrincipalName,
    role: Role,
    made_ms: u64,
    ends_ms: u64,
    anchor: String,
    chain: Vec<String>,
    key: String,
}

impl Identity {
    /// Of a request that was granted by a coordinator that showed `anchor`.
    ///
    /// # Errors
    /// What was granted is no certificate over the request's key.
    pub fn new(
        request: &Request,
        granted: Granted,
        coordinator: Endpoint,
        anchor: Anchor,
    ) -> Result<Identity, IdentityError> {
        let Granted { chain, principal, role, life } = granted;
        let key = request.key.serialize_der();
        let identity = Identity { coordinator, principal, role, life, anchor, chain, key };
        identity.held()?;
        Ok(identity)
    }

    /// The same machine with its next certificate.
    ///
    /// # Errors
    /// As [`new`](Identity::new).
    pub fn renewed(&self, request: &Request, granted: Granted) -> Result<Identity, IdentityError> {
        Identity::new(request, granted, self.coordinator.clone(), self.anchor.clone())
    }

    /// Certificate and key.
    ///
    /// # Errors
    /// They do not belong together.
    pub fn held(&self) -> Result<Held, IdentityError> {
        let chain = self.chain.iter().map(|der| CertificateDer::from(der.clone())).collect();
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(self.key.clone()));
        Ok(Held::new(chain, key)?)
    }

    /// TLS to its coordinator, and what is to be told of its next certificate.
    ///
    /// # Errors
    /// Certificate and key do not belong together.
    pub fn tls(&self) -> Result<(Arc<ClientConfig>, Shown), IdentityError> {
        let shown = Shown::new(self.held()?);
        Ok((Arc::new(tls::client(&shown, &self.anchor)?), shown))
    }

    /// The one in a file; `None` where there is no file.
    ///
    /// # Errors
    /// The file cannot be read, or holds something else.
    pub fn read(path: &Path) -> Result<Option<Identity>, IdentityError> {
        match fs::metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            found if found.as_ref().is_ok_and(|it| it.len() > FILE_BYTES_MAX) => {
                return Err(IdentityError::Damaged { path: path.to_owned(), problem: "it is too long".to_owned() });
            }
            found => found.at(path)?,
        };
        let text = fs::read(path).at(path)?;
        let damaged = |problem: String| IdentityError::Damaged { path: path.to_owned(), problem };
        let on_disk: OnDisk = serde_json::from_slice(&text).map_err(|error| damaged(error.to_string()))?;
        let identity = Identity::of(on_disk).map_err(damaged)?;
        identity.held().map_err(|error| damaged(error.to_string()))?;
        Ok(Some(identity))
    }

    fn of(it: OnDisk) -> Result<Identity, String> {
        if it.format != FORMAT {
            return Err(format!("its format is {}, and this version reads {FORMAT}", it.format));
        }
        let bytes = |text: &str| BASE64_STANDARD.decode(text).map_err(|_| "a part of it is no base64".to_owned());
        Ok(Identity {
            coordinator: it.coordinator.parse().map_err(|error| format!("{error}"))?,
            principal: it.principal,
            role: it.role,
            life: Life { made: Millis(it.made_ms), ends: Millis(it.ends_ms) },
            anchor: Anchor(bytes(&it.anchor)?.into()),
            chain: it.chain.iter().map(|text| bytes(text)).collect::<Result<_, _>>()?,
            key: bytes(&it.key)?,
        })
    }

    /// Writes its file, which is its owner's alone and there whole or as it was before.
    ///
    /// # Errors
    /// The file's.
    pub fn write(&self, path: &Path) -> Result<(), FileError> {
        let on_disk = OnDisk {
            format: FORMAT,
            coordinator: self.coordinator.to_string(),
            principal: self.principal.clone(),
            role: self.role,
            made_ms: self.life.made.0,
            ends_ms: self.life.ends.0,
            anchor: BASE64_STANDARD.encode(&self.anchor.0),
            chain: self.chain.iter().map(|der| BASE64_STANDARD.encode(der)).collect(),
            key: BASE64_STANDARD.encode(&self.key),
        };
        let text = serde_json::to_vec_pretty(&on_disk).expect("strings and numbers are JSON");
        write_private(path, &text)
    }
}
