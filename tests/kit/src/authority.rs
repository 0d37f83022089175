//! An authority for certificates, played by a test: what it gives is valid on loopback and nowhere else.

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, ServerConfig};
use std::fmt;
use vertigo_access::anchor::Anchor;
use vertigo_access::tls::{self, Held, Joining, Shown};

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
#[derive(Debug, Clone)]
pub struct Leaf {
    /// What is shown.
    pub certificate: CertificateDer<'static>,
    /// With what proves that it is ours.
    pub held: Held,
    /// It and its issuer's, PEM.
    pub chain_pem: String,
    /// Its key, PEM.
    pub key_pem: String,
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
        let (chain_pem, key_pem) = (certificate.pem() + &self.issuer.pem(), key.serialize_pem());
        let key = PrivateKeyDer::try_from(key.serialize_der()).expect("a key that was just written");
        let certificate = certificate.der().clone();
        let chain = vec![certificate.clone(), self.issuer.der().clone()];
        let held = Held::new(chain, key).expect("a certificate and a key of ours");
        Leaf { certificate, held, chain_pem, key_pem }
    }

    /// What whoever trusts it has.
    pub fn anchor(&self) -> Anchor {
        Anchor(self.issuer.der().clone())
    }

    /// A server that shows `leaf`. It asks for a certificate of this authority, and lets in whoever shows none.
    ///
    /// # Panics
    /// Never.
    pub fn server(&self, leaf: &Leaf) -> ServerConfig {
        self.server_of(&Shown::new(leaf.held.clone()))
    }

    /// The same, whose certificate may be replaced.
    ///
    /// # Panics
    /// Never.
    pub fn server_of(&self, shown: &Shown) -> ServerConfig {
        tls::server(shown, &self.anchor()).expect("an authority that was just made")
    }

    /// A client that trusts this authority alone, and shows `leaf` where there is one.
    ///
    /// # Panics
    /// Never.
    pub fn client(&self, leaf: Option<&Leaf>) -> ClientConfig {
        let anchor = self.anchor();
        let config = match leaf {
            None => Joining::new(anchor.fingerprint()).config(),
            Some(leaf) => tls::client(&Shown::new(leaf.held.clone()), &anchor),
        };
        config.expect("an authority that was just made")
    }
}
