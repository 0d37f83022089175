//! An authority for certificates, played by a test: what it gives is valid on loopback and nowhere else.

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::sign::CertifiedKey;
use rustls::version::TLS13;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use std::fmt;
use std::sync::Arc;

/// What signs certificates.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority").finish_non_exhaustive()
    }
}

/// A certificate and its key.
#[derive(Debug)]
pub struct Leaf {
    /// What is shown.
    pub certificate: CertificateDer<'static>,
    /// What proves that it is ours.
    pub key: PrivateKeyDer<'static>,
}

impl Clone for Leaf {
    fn clone(&self) -> Leaf {
        Leaf { certificate: self.certificate.clone(), key: self.key.clone_key() }
    }
}

/// The provider that all of Vertigo builds.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

impl Authority {
    /// One that nobody else trusts.
    ///
    /// # Panics
    /// Where the system gives no random bytes.
    #[allow(clippy::new_without_default)] // No two are the same.
    pub fn new() -> Authority {
        let mut params = CertificateParams::new([]).expect("no name is no wrong name");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "an authority of a test");
        let key = KeyPair::generate().expect("a key");
        Authority { issuer: CertifiedIssuer::self_signed(params, key).expect("a certificate") }
    }

    /// A certificate of `name` that is good for both ends of a connection on loopback, for longer than anybody lives.
    ///
    /// # Panics
    /// As [`Authority::new`].
    pub fn issue(&self, name: &str) -> Leaf {
        self.issue_for_years(name, 1975, 4000)
    }

    /// The same, from the first day of one year to the first day of another.
    ///
    /// # Panics
    /// As [`Authority::new`].
    pub fn issue_for_years(&self, name: &str, from: i32, to: i32) -> Leaf {
        self.sign(name, &["localhost", "127.0.0.1", "::1"], from, to)
    }

    /// A certificate of `name` on another host.
    ///
    /// # Panics
    /// As [`Authority::new`].
    pub fn issue_on(&self, name: &str, host: &str) -> Leaf {
        self.sign(name, &[host], 1975, 4000)
    }

    fn sign(&self, name: &str, hosts: &[&str], from: i32, to: i32) -> Leaf {
        let hosts: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
        let mut params = CertificateParams::new(hosts).expect("names of hosts");
        params.distinguished_name.push(DnType::CommonName, name);
        params.not_before = rcgen::date_time_ymd(from, 1, 1);
        params.not_after = rcgen::date_time_ymd(to, 1, 1);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        let key = PrivateKeyDer::try_from(key.serialize_der()).expect("a key that was just written");
        Leaf { certificate: certificate.der().clone(), key }
    }

    fn roots(&self) -> Arc<RootCertStore> {
        let mut roots = RootCertStore::empty();
        roots.add(self.issuer.der().clone()).expect("a certificate that was just written");
        Arc::new(roots)
    }

    /// A server that shows `leaf`. It asks for a certificate of this authority, and lets in whoever shows none.
    ///
    /// # Panics
    /// Never with a leaf of ours.
    pub fn server(&self, leaf: &Leaf) -> ServerConfig {
        let signing = provider().key_provider.load_private_key(leaf.key.clone_key()).expect("a key of ours");
        let shown = CertifiedKey::new(vec![leaf.certificate.clone()], signing);
        self.server_of(Arc::new(rustls::sign::SingleCertAndKey::from(shown)))
    }

    /// The same, which asks `shows` at each handshake what to show.
    ///
    /// # Panics
    /// Never.
    pub fn server_of(&self, shows: Arc<dyn rustls::server::ResolvesServerCert>) -> ServerConfig {
        let asks = WebPkiClientVerifier::builder_with_provider(self.roots(), provider()).allow_unauthenticated();
        ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&TLS13])
            .expect("the provider has TLS 1.3")
            .with_client_cert_verifier(asks.build().expect("there is a root"))
            .with_cert_resolver(shows)
    }

    /// A client that trusts this authority alone, and shows `leaf` where there is one.
    ///
    /// # Panics
    /// Never with a leaf of ours.
    pub fn client(&self, leaf: Option<&Leaf>) -> ClientConfig {
        let builder = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&TLS13])
            .expect("the provider has TLS 1.3")
            .with_root_certificates(self.roots());
        match leaf {
            None => builder.with_no_client_auth(),
            Some(Leaf { certificate, key }) => builder
                .with_client_auth_cert(vec![certificate.clone()], key.clone_key())
                .expect("a certificate and a key of ours"),
        }
    }
}
