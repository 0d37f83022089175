//! Whose a certificate is.

use rustls::pki_types::CertificateDer;
use vertigo::id::PrincipalId;
use vertigo::principal::PrincipalName;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

/// What a principal's id is written behind in its certificate.
const URI: &str = "urn:vertigo:principal:";

/// Whose a certificate is. That it may be used at all, TLS has found before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leaf {
    /// What it is known by.
    pub id: PrincipalId,
    /// What people call it.
    pub name: PrincipalName,
}

/// How a principal's id stands in its certificate.
pub(crate) fn principal_uri(id: PrincipalId) -> String {
    format!("{URI}{id}")
}

impl Leaf {
    /// Of a principal's certificate; `None` where it is another kind of certificate.
    pub fn of(certificate: &CertificateDer<'_>) -> Option<Leaf> {
        let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
        let name = parsed.subject().iter_common_name().next()?.as_str().ok()?.parse().ok()?;
        let names = parsed.subject_alternative_name().ok()??;
        let id = names.value.general_names.iter().find_map(|name| match name {
            GeneralName::URI(uri) => uri.strip_prefix(URI)?.parse().ok(),
            _ => None,
        })?;
        Some(Leaf { id, name })
    }
}
