//! The options about certificates, and a certificate that the operator brought.

use clap::Args;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;
use vertigo::bytes::Bytes;
use vertigo_access::tls::{Held, HeldError};
use vertigo_coordinator::server::Certificates;

/// The shortest life: less would be over before it is renewed.
const LIFE_MIN: Duration = Duration::from_secs(3);

/// The longest: a certificate that was stolen can be used for as long, unless its principal is revoked.
const LIFE_MAX: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// What the operator says about certificates.
#[derive(Debug, Args)]
pub(crate) struct CertificateOptions {
    /// Ask for certificates on loopback too, where a process needs none otherwise
    #[arg(long)]
    certificates: bool,
    /// A name or address at which other machines reach this one: for its certificate and for tokens. May be given more than once [default:
    /// what the machine calls itself, and the addresses that it has]
    #[arg(long, value_name = "NAME")]
    host: Vec<String>,
    /// A certificate of another authority for this coordinator, with its issuers behind it, PEM
    #[arg(long, value_name = "FILE", requires = "key")]
    certificate: Option<PathBuf>,
    /// Its key, PEM
    #[arg(long, value_name = "FILE", requires = "certificate")]
    key: Option<PathBuf>,
    /// How long the certificates that the coordinator makes can be used; they are renewed by themselves at two thirds of it
    #[arg(long, value_name = "TIME", default_value = "30d", value_parser = life)]
    certificate_life: Duration,
    /// How much one principal that is no worker may send within a day
    #[arg(long, value_name = "SIZE", default_value = "1TiB")]
    upload_quota: Bytes,
}

/// What is wrong with what was brought.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CertificatesError {
    /// A file cannot be read as what it should be.
    #[error("{}: {problem}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        problem: String,
    },
    /// The two do not belong together.
    #[error("--certificate and --key: {0}")]
    Held(#[from] HeldError),
}

fn life(text: &str) -> Result<Duration, String> {
    let days =
        |text: &str| Some(Duration::from_secs(text.strip_suffix('d')?.parse::<u64>().ok()?.checked_mul(86_400)?));
    let life = match days(text) {
        Some(life) => life,
        None => crate::duration(text)?,
    };
    if (LIFE_MIN..=LIFE_MAX).contains(&life) { Ok(life) } else { Err("write a time from 3s to 365d".to_owned()) }
}

impl CertificateOptions {
    /// What of it holds for a coordinator that listens there.
    ///
    /// # Errors
    /// A file that was brought is none.
    pub(crate) fn chosen(&self, listen: SocketAddr) -> Result<Option<Certificates>, CertificatesError> {
        let is_asked = self.certificates || self.certificate.is_some() || !self.host.is_empty();
        if listen.ip().is_loopback() && !is_asked {
            return Ok(None);
        }
        let files = self.certificate.as_ref().zip(self.key.as_ref());
        let brought = files.map(|(chain, key)| brought(chain, key)).transpose()?;
        Ok(Some(Certificates {
            names: self.host.clone(),
            life: self.certificate_life,
            upload_quota: self.upload_quota,
            brought,
        }))
    }
}

fn brought(chain: &Path, key: &Path) -> Result<Held, CertificatesError> {
    let failed = |path: &Path, error: rustls::pki_types::pem::Error| CertificatesError::File {
        path: path.to_owned(),
        problem: error.to_string(),
    };
    let certificates = CertificateDer::pem_file_iter(chain).map_err(|error| failed(chain, error))?;
    let certificates: Result<Vec<_>, _> = certificates.collect();
    let certificates = certificates.map_err(|error| failed(chain, error))?;
    let key = PrivateKeyDer::from_pem_file(key).map_err(|error| failed(key, error))?;
    Ok(Held::new(certificates, key)?)
}
