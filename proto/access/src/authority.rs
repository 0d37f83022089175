//! The coordinator's own certificate authority: made at its first start, kept in one file of its state folder.
//!
//! Promise: its key leaves the file for nobody. What it signs is named by the coordinator and never by whoever asks: of a request only the
//! key is taken, and that the one who asks holds it.

use crate::anchor::Anchor;
use crate::leaf::principal_uri;
use crate::life::{AUTHORITY_LIFE, Life, SKEW_MAX};
use crate::tls::{Held, HeldError};
use pem::Pem;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType, SerialNumber,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use time::OffsetDateTime;
use vertigo::files::{AtPath, FileError, write_private};
use vertigo::id::{Millis, PrincipalId};
use vertigo::principal::PrincipalName;

/// Bytes of a certificate request, at most. One with an elliptic key has a few hundred.
pub const REQUEST_BYTES_MAX: usize = 8 << 10;

/// Bytes of a serial number: random, so that none says how many there are.
const SERIAL_BYTES: usize = 16;

/// Why there is no authority, or no certificate.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// Its file.
    #[error(transparent)]
    File(#[from] FileError),
    /// Its file's contents.
    #[error(
        "{}: {problem}: restore it from a backup; or remove it, and every machine has to join again with a new token", path.display()
    )]
    Damaged {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// A request that is none, or that its sender could not have signed.
    #[error("this is no certificate request that its sender has signed")]
    Request,
    /// A name that a certificate cannot have.
    #[error("a certificate for {names}: {problem}")]
    Names {
        /// Which.
        names: String,
        /// What is wrong.
        problem: String,
    },
    /// The library that signs.
    #[error("cannot make a certificate: {0}")]
    Signing(String),
    /// The certificate and key that were made.
    #[error(transparent)]
    Held(#[from] HeldError),
}

fn signing(error: rcgen::Error) -> AuthorityError {
    AuthorityError::Signing(error.to_string())
}

/// What signs certificates.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Authority({})", self.anchor().fingerprint())
    }
}

impl Authority {
    /// The one in the file at `path`, which is made where there is none.
    ///
    /// # Errors
    /// The file cannot be read or written, or holds something else.
    pub fn open(path: &Path, now: Millis) -> Result<Authority, AuthorityError> {
        match std::fs::read(path) {
            Ok(text) => {
                Authority::read(&text).map_err(|problem| AuthorityError::Damaged { path: path.to_owned(), problem })
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let (authority, text) = Authority::make(now)?;
                write_private(path, text.as_bytes())?;
                Ok(authority)
            }
            Err(error) => Err(error).at(path).map_err(Into::into),
        }
    }

    /// A new one, and what its file holds.
    fn make(now: Millis) -> Result<(Authority, String), AuthorityError> {
        let key = KeyPair::generate().map_err(signing)?;
        let mut params = params(Life::from(now, AUTHORITY_LIFE))?;
        // The name tells two coordinators' authorities apart where a program shows both.
        let name = format!("Vertigo coordinator {}", hex::encode(rand::random::<[u8; 4]>()));
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        let certificate = params.self_signed(&key).map_err(signing)?.der().clone();
        let parts = [Pem::new("PRIVATE KEY", key.serialized_der()), Pem::new("CERTIFICATE", certificate.to_vec())];
        Ok((Authority { issuer: Issuer::new(params, key), certificate }, pem::encode_many(&parts)))
    }

    fn read(text: &[u8]) -> Result<Authority, String> {
        let no_key = |_| "there is no private key in it".to_owned();
        let key = PrivateKeyDer::from_pem_slice(text).map_err(no_key)?;
        let key = KeyPair::try_from(&key).map_err(|error| format!("its private key: {error}"))?;
        let certificate =
            CertificateDer::from_pem_slice(text).map_err(|_| "there is no certificate in it".to_owned())?;
        let issuer =
            Issuer::from_ca_cert_der(&certificate, key).map_err(|error| format!("its certificate: {error}"))?;
        Ok(Authority { issuer, certificate })
    }

    /// What its certificates lead to.
    pub fn anchor(&self) -> Anchor {
        Anchor(self.certificate.clone())
    }

    /// A certificate for the coordinator itself, by the names and addresses at which machines reach it.
    ///
    /// # Errors
    /// A name that a certificate cannot have.
    pub fn for_server(&self, names: &[String], life: Life) -> Result<Held, AuthorityError> {
        let key = KeyPair::generate().map_err(signing)?;
        let mut params = params(life)?;
        let refused = |problem: String| AuthorityError::Names { names: names.join(", "), problem };
        let named = CertificateParams::new(names).map_err(|error| refused(error.to_string()))?;
        params.subject_alt_names = named.subject_alt_names;
        params.distinguished_name.push(DnType::CommonName, "vertigo-coordinator");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let leaf = params.signed_by(&key, &self.issuer).map_err(signing)?.der().clone();
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        Ok(Held::new(vec![leaf, self.certificate.clone()], key)?)
    }

    /// A certificate for a principal, over the key of its request: the certificate, then the authority's.
    ///
    /// # Errors
    /// [`AuthorityError::Request`].
    pub fn for_principal(
        &self,
        request: &[u8],
        id: PrincipalId,
        name: &PrincipalName,
        life: Life,
    ) -> Result<Vec<CertificateDer<'static>>, AuthorityError> {
        if request.len() > REQUEST_BYTES_MAX {
            return Err(AuthorityError::Request);
        }
        let request =
            CertificateSigningRequestParams::from_der(&request.into()).map_err(|_| AuthorityError::Request)?;
        let mut params = params(life)?;
        let uri = principal_uri(id).try_into().map_err(signing)?;
        params.subject_alt_names = vec![SanType::URI(uri)];
        params.distinguished_name.push(DnType::CommonName, name.as_str());
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let leaf = params.signed_by(&request.public_key, &self.issuer).map_err(signing)?.der().clone();
        Ok(vec![leaf, self.certificate.clone()])
    }
}

/// What all certificates have in common.
fn params(life: Life) -> Result<CertificateParams, AuthorityError> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.not_before = moment(Millis(life.made.0.saturating_sub(SKEW_MAX.as_millis() as u64)))?;
    params.not_after = moment(life.ends)?;
    params.serial_number = Some(SerialNumber::from_slice(&rand::random::<[u8; SERIAL_BYTES]>()));
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

fn moment(at: Millis) -> Result<OffsetDateTime, AuthorityError> {
    let seconds = i64::try_from(at.0 / 1000).unwrap_or(i64::MAX);
    OffsetDateTime::from_unix_timestamp(seconds)
        .map_err(|error| AuthorityError::Signing(format!("this machine's clock: {error}")))
}

#[cfg(test)]
pub(crate) mod tests;
