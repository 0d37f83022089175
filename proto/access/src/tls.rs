//! TLS 1.3 made of certificates: a server's side, a client's side, and the side of a client that has only a fingerprint yet.

use crate::anchor::{Anchor, Fingerprint};
use crate::life::Life;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::{ClientHello, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::version::TLS13;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, PeerMisbehaved, RootCertStore, ServerConfig,
    SignatureScheme, client, server,
};
use std::fmt;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::Duration;
use vertigo::id::Millis;
use x509_parser::prelude::{FromDer, X509Certificate};

/// What both sides speak inside: gRPC over HTTP/2, blobs and reads over HTTP/1.1.
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// A certificate, or a key, of which TLS cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a certificate with its key: {0}")]
pub struct HeldError(String);

impl From<Error> for HeldError {
    fn from(error: Error) -> HeldError {
        HeldError(error.to_string())
    }
}

/// A certificate with the key that belongs to it.
#[derive(Clone)]
pub struct Held(Arc<CertifiedKey>);

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Held").field(&self.anchor()).finish_non_exhaustive()
    }
}

impl Held {
    /// A chain, the holder's own certificate first, and its key.
    ///
    /// # Errors
    /// The key is of a kind that is not known, or another certificate's; the chain is too short to lead anywhere.
    pub fn new(chain: Vec<CertificateDer<'static>>, key: PrivateKeyDer<'static>) -> Result<Held, HeldError> {
        if chain.len() < 2 {
            let problem = "it has to come with its issuer's certificate behind it, which machines that join compare by its fingerprint";
            return Err(HeldError(problem.to_owned()));
        }
        Ok(Held(Arc::new(CertifiedKey::from_der(chain, key, &provider())?)))
    }

    /// What it leads to: the last certificate of its chain.
    pub fn anchor(&self) -> Anchor {
        // `new` has seen that there are two.
        Anchor(self.0.cert.last().cloned().unwrap_or_else(|| CertificateDer::from(Vec::new())))
    }

    /// From when to when the holder's own certificate can be used.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn life(&self) -> Result<Life, HeldError> {
        let failed = |problem: &str| HeldError(problem.to_owned());
        // `new` has seen that there are two.
        let leaf = self.0.cert.first().ok_or_else(|| failed("there is no certificate"))?;
        let (_, parsed) = X509Certificate::from_der(leaf).map_err(|_| failed("the certificate cannot be read"))?;
        let millis = |seconds: i64| Millis(u64::try_from(seconds).unwrap_or_default().saturating_mul(1000));
        let validity = parsed.validity();
        Ok(Life { made: millis(validity.not_before.timestamp()), ends: millis(validity.not_after.timestamp()) })
    }

    /// Whether whoever trusts `anchor` takes it for the server called `name`; `anchor` has to be in the chain, where those look for it who
    /// join by its fingerprint.
    ///
    /// # Errors
    /// What such a client would say of it at that time.
    pub fn serves(&self, anchor: &Anchor, name: &str, at: Millis) -> Result<(), HeldError> {
        if !self.0.cert.contains(&anchor.0) {
            let problem = "its chain does not have the issuer that the machines trust which have joined";
            return Err(HeldError(problem.to_owned()));
        }
        let verifier = WebPkiServerVerifier::builder_with_provider(roots(&anchor.0)?, provider())
            .build()
            .map_err(|error| HeldError(error.to_string()))?;
        let name = ServerName::try_from(name).map_err(|error| HeldError(format!("`{name}`: {error}")))?;
        // `new` has seen that there are two.
        let (leaf, issuers) = self.0.cert.split_first().ok_or_else(|| HeldError("there is none".to_owned()))?;
        let at = UnixTime::since_unix_epoch(Duration::from_millis(at.0));
        Ok(verifier.verify_server_cert(leaf, issuers, &name, &[], at).map(drop)?)
    }
}

/// What a side shows of itself: a certificate that can be replaced while connections live. Clones share it.
#[derive(Debug, Clone)]
pub struct Shown(Arc<RwLock<Held>>);

impl Shown {
    /// At first this one.
    pub fn new(held: Held) -> Shown {
        Shown(Arc::new(RwLock::new(held)))
    }

    /// From the next handshake on, this one.
    pub fn replace(&self, held: Held) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = held;
    }

    fn now(&self) -> Arc<CertifiedKey> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).0.clone()
    }
}

impl server::ResolvesServerCert for Shown {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.now())
    }
}

impl client::ResolvesClientCert for Shown {
    fn resolve(&self, _issuers: &[&[u8]], _schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(self.now())
    }

    fn has_certs(&self) -> bool {
        true
    }
}

fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    PROVIDER.get_or_init(|| Arc::new(aws_lc_rs::default_provider())).clone()
}

fn roots(anchor: &CertificateDer<'_>) -> Result<Arc<RootCertStore>, HeldError> {
    let mut roots = RootCertStore::empty();
    roots.add(anchor.clone().into_owned())?;
    Ok(Arc::new(roots))
}

/// A server's side, which shows `shown`. A client may show a certificate that leads to `clients`, and is refused with any other; one
/// without any is let in, for whoever joins has none: what it may ask is decided above.
///
/// # Errors
/// `clients` is no certificate.
pub fn server(shown: &Shown, clients: &Anchor) -> Result<ServerConfig, HeldError> {
    let verifier = WebPkiClientVerifier::builder_with_provider(roots(&clients.0)?, provider())
        .allow_unauthenticated()
        .build()
        .map_err(|error| HeldError(error.to_string()))?;
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(Arc::new(shown.clone()));
    config.alpn_protocols = protocols();
    Ok(config)
}

/// A client's side: it shows `shown`, and trusts what leads to `anchor` and nothing else.
///
/// # Errors
/// `anchor` is no certificate.
pub fn client(shown: &Shown, anchor: &Anchor) -> Result<ClientConfig, HeldError> {
    let verifier = WebPkiServerVerifier::builder_with_provider(roots(&anchor.0)?, provider())
        .build()
        .map_err(|error| HeldError(error.to_string()))?;
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])?
        .with_webpki_verifier(verifier)
        .with_client_cert_resolver(Arc::new(shown.clone()));
    config.alpn_protocols = protocols();
    Ok(config)
}

fn protocols() -> Vec<Vec<u8>> {
    PROTOCOLS.map(<[u8]>::to_vec).to_vec()
}

/// A client that is to join: it knows the fingerprint of what the coordinator's certificate leads to, and shows nothing.
#[derive(Debug)]
pub struct Joining {
    fingerprint: Fingerprint,
    met: OnceLock<Anchor>,
}

impl Joining {
    /// By what a token says.
    pub fn new(fingerprint: Fingerprint) -> Arc<Joining> {
        Arc::new(Joining { fingerprint, met: OnceLock::new() })
    }

    /// The certificate of that fingerprint, once a coordinator has shown it.
    pub fn met(&self) -> Option<Anchor> {
        self.met.get().cloned()
    }

    /// TLS that goes on where the fingerprint is met, and nowhere else.
    ///
    /// # Errors
    /// The provider knows no TLS 1.3.
    pub fn config(self: &Arc<Joining>) -> Result<ClientConfig, HeldError> {
        let mut config = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&TLS13])?
            .dangerous()
            .with_custom_certificate_verifier(self.clone())
            .with_no_client_auth();
        config.alpn_protocols = protocols();
        Ok(config)
    }
}

impl ServerCertVerifier for Joining {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        issuers: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let met = issuers.iter().find(|issuer| Fingerprint::of(issuer) == self.fingerprint);
        let met = met.ok_or(CertificateError::UnknownIssuer)?;
        let roots = roots(met).map_err(|error| Error::General(error.to_string()))?;
        let verifier = WebPkiServerVerifier::builder_with_provider(roots, provider())
            .build()
            .map_err(|error| Error::General(error.to_string()))?;
        let verified = verifier.verify_server_cert(leaf, issuers, name, ocsp, now)?;
        // A second connection meets the same certificate, or was refused above.
        let _ = self.met.set(Anchor(met.clone().into_owned()));
        Ok(verified)
    }

    /// Not reached: nothing below TLS 1.3 is spoken.
    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(PeerMisbehaved::SelectedUnofferedCipherSuite.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &provider().signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider().signature_verification_algorithms.supported_schemes()
    }
}
