//! The options about certificates.

use clap::Args;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;
use vertigo::bytes::Bytes;
use vertigo::times;
use vertigo_coordinator::access::brought::{Brought, BroughtError, Files};
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
    /// A certificate of another authority for this coordinator, with its issuers behind it, PEM. Renew it in its place: it is taken within a
    /// minute
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

fn life(text: &str) -> Result<Duration, String> {
    let life = times::read(text).map_err(|error| error.to_string())?;
    let (least, most) = (times::shown(LIFE_MIN), times::shown(LIFE_MAX));
    if (LIFE_MIN..=LIFE_MAX).contains(&life) { Ok(life) } else { Err(format!("write a time from {least} to {most}")) }
}

impl CertificateOptions {
    /// What of it holds for a coordinator that listens there.
    ///
    /// # Errors
    /// A file that was brought is none.
    pub(crate) fn chosen(&self, listen: SocketAddr) -> Result<Option<Certificates>, BroughtError> {
        let is_asked = self.certificates || self.certificate.is_some() || !self.host.is_empty();
        if listen.ip().is_loopback() && !is_asked {
            return Ok(None);
        }
        let files = self.certificate.clone().zip(self.key.clone());
        let brought = files.map(|(certificate, key)| Brought::read(Files { certificate, key })).transpose()?;
        Ok(Some(Certificates {
            names: self.host.clone(),
            life: self.certificate_life,
            upload_quota: self.upload_quota,
            brought,
        }))
    }
}
