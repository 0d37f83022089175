//! What gives away a request that a page in a browser made.
//!
//! A page that is open in a browser on this machine, or at the end of a tunnel to it, can send requests to loopback. What a
//! browser adds to them, or cannot change, gives them away:
//!
//! - it names the host that the page asked for, which is the page's own name where that name was pointed at loopback after the
//!   page was loaded (DNS rebinding): only [`Hosts`] that are ours are answered;
//! - it names the page's origin on everything but plain reads, and how that relates to us in `Sec-Fetch-Site`.

use axum::http::header::{HOST, ORIGIN};
use axum::http::request::Parts;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderName};
use std::collections::BTreeSet;
use std::net::IpAddr;

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// The hosts that requests may name: this machine's own addresses, with any port, since a tunnel may end at another one than
/// ours; and names that were given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hosts {
    names: BTreeSet<String>,
    addresses: BTreeSet<IpAddr>,
}

impl Hosts {
    /// Loopback: 127.0.0.0/8, `[::1]` and `localhost`.
    pub fn loopback() -> Hosts {
        Hosts { names: BTreeSet::from(["localhost".to_owned()]), addresses: BTreeSet::new() }
    }

    /// These too, each a name or an address.
    #[must_use]
    pub fn and<'a>(mut self, hosts: impl IntoIterator<Item = &'a str>) -> Hosts {
        for host in hosts {
            match host.parse() {
                Ok(address) => self.addresses.insert(address),
                Err(_) => self.names.insert(host.to_ascii_lowercase()),
            };
        }
        self
    }

    /// Whether `authority`, as in `Host` or `:authority`, is one of them.
    pub fn allow(&self, authority: &str) -> bool {
        let Ok(parsed) = authority.parse::<Authority>() else { return false };
        // What stands before an `@` is a user's name, and no request of ours has one.
        if authority.contains('@') {
            return false;
        }
        let host = parsed.host();
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        match bare.parse::<IpAddr>() {
            Ok(ip) => ip.is_loopback() || self.addresses.contains(&ip),
            Err(_) => self.names.contains(&host.to_ascii_lowercase()),
        }
    }
}

/// Why a request is not one of a program on this machine.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Foreign {
    /// It names no host, or another than ours.
    #[error("the request is for host `{0}`, and only loopback is answered for (127.0.0.1, [::1], localhost)")]
    Host(String),
    /// A page of another site made it.
    #[error("the request comes from a page of {0}; Vertigo takes none from browsers")]
    Page(String),
}

/// Whether a request names only hosts that are ours, and comes from no page.
///
/// # Errors
/// What gives it away.
pub fn check(hosts: &Hosts, request: &Parts) -> Result<(), Foreign> {
    check_host(hosts, request)?;
    check_page(&request.headers)
}

/// Every host that the request names, in `Host` and in the URI, is one of ours, and it names one.
fn check_host(hosts: &Hosts, request: &Parts) -> Result<(), Foreign> {
    let headers = request.headers.get_all(HOST).iter().map(|value| value.as_bytes());
    let mut named = false;
    for authority in headers.chain(request.uri.authority().map(|authority| authority.as_str().as_bytes())) {
        named = true;
        if !std::str::from_utf8(authority).is_ok_and(|authority| hosts.allow(authority)) {
            return Err(Foreign::Host(shown(authority)));
        }
    }
    if named { Ok(()) } else { Err(Foreign::Host(String::new())) }
}

/// No page made the request. Ours are programs and name no origin; the one page that could be of our own origin would be one
/// that we served, and we serve none.
fn check_page(headers: &HeaderMap) -> Result<(), Foreign> {
    if let Some(origin) = headers.get(ORIGIN) {
        return Err(Foreign::Page(format!("origin `{}`", shown(origin.as_bytes()))));
    }
    let foreign = |site: &[u8]| site != b"none" && site != b"same-origin";
    match headers.get_all(SEC_FETCH_SITE).iter().find(|site| foreign(site.as_bytes())) {
        Some(site) => Err(Foreign::Page(format!("another site (Sec-Fetch-Site `{}`)", shown(site.as_bytes())))),
        None => Ok(()),
    }
}

/// The beginning of what was sent, safe to show.
pub fn shown(bytes: &[u8]) -> String {
    const SHOWN_CHARS_MAX: usize = 100;
    String::from_utf8_lossy(bytes).chars().take(SHOWN_CHARS_MAX).flat_map(char::escape_default).collect()
}
