//! Where the coordinator is.
//!
//! Promise: nothing of Vertigo talks in the clear to an address that another machine could listen in on. An [`Endpoint`] without TLS is a
//! loopback address, or it does not exist; with it, any host's. Whether there is a certificate to speak TLS with is for whoever connects.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;
use std::time::Duration;

/// The port that the coordinator listens on unless told otherwise.
pub const DEFAULT_PORT: u16 = 7420;

/// The longest that a worker whose connection was lost waits before it dials again. Leases have to be longer.
pub const REDIAL_MAX: Duration = Duration::from_secs(5);

/// Characters of a host's name, as DNS has it.
const NAME_CHARS_MAX: usize = 253;

/// A coordinator's address, checked.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Endpoint {
    url: String,
    is_tls: bool,
}

/// What is wrong with a coordinator's address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// Not a URL of a form that is read.
    #[error(
        "`{0}` is not a coordinator's address: write https://HOST:PORT, or on its own machine http://127.0.0.1:{DEFAULT_PORT}"
    )]
    Form(String),
    /// Another machine, or an address that other machines reach, without TLS.
    #[error(
        "`{0}` is not on this machine, and without certificates Vertigo speaks on loopback only. Another machine is reached by \
         https://HOST:PORT, once this one has a certificate of its coordinator's: `vertigo login`, or `vertigo-worker join` for a worker, \
         takes the line that `vertigo token create` prints there"
    )]
    NotLoopback(String),
}

impl Endpoint {
    /// `http://HOST:PORT` or `https://HOST:PORT`, without a slash at the end.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Whether TLS is spoken there: `https://`.
    pub fn is_tls(&self) -> bool {
        self.is_tls
    }

    /// `HOST:PORT`, with brackets about an address of IPv6.
    pub fn authority(&self) -> &str {
        self.url.split_once("://").map_or(self.url.as_str(), |(_, authority)| authority)
    }

    /// A host's name or address, without brackets.
    pub fn host(&self) -> &str {
        let host = self.authority().rsplit_once(':').map_or(self.authority(), |(host, _)| host);
        host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
    }
}

impl Default for Endpoint {
    fn default() -> Endpoint {
        Endpoint { url: format!("http://127.0.0.1:{DEFAULT_PORT}"), is_tls: false }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.url)
    }
}

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let form = || EndpointError::Form(text.to_owned());
        let (is_tls, authority) = match text.split_once("://") {
            None => (false, text),
            Some(("http", rest)) => (false, rest),
            Some(("https", rest)) => (true, rest),
            Some(_) => return Err(form()),
        };
        let authority = authority.strip_suffix('/').unwrap_or(authority);
        let is_loopback = match authority.parse::<SocketAddr>() {
            // No URL has the number of an interface in it.
            Ok(SocketAddr::V6(address)) if address.scope_id() != 0 => return Err(form()),
            Ok(address) => address.ip().is_loopback(),
            Err(_) => is_loopback_name(authority).ok_or_else(form)?,
        };
        if !is_tls && !is_loopback {
            return Err(EndpointError::NotLoopback(text.to_owned()));
        }
        let scheme = if is_tls { "https" } else { "http" };
        Ok(Endpoint { url: format!("{scheme}://{authority}"), is_tls })
    }
}

/// Whether `NAME:PORT` is this machine by name; `None` where it is no name and port.
fn is_loopback_name(authority: &str) -> Option<bool> {
    let (host, port) = authority.rsplit_once(':')?;
    port.parse::<u16>().ok().filter(|port| *port > 0)?;
    let is_word = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.chars().all(is_word)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    // What ends in a number is an address of IPv4 or nothing, and every such address was read already.
    let is_name = host.len() <= NAME_CHARS_MAX && host.split('.').all(is_label);
    let ends_in_number = host.rsplit('.').next().is_some_and(|last| last.chars().all(|c| c.is_ascii_digit()));
    (is_name && !ends_in_number).then_some(host == "localhost")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn loopback_addresses_are_taken() {
        for text in ["http://127.0.0.1:7420", "127.0.0.1:7420", "http://localhost:80/", "http://[::1]:7420"] {
            let endpoint: Endpoint = text.parse().unwrap();
            assert!(endpoint.url().starts_with("http://") && !endpoint.url().ends_with('/'), "{text}");
            assert_eq!(endpoint.url().parse::<Endpoint>().unwrap(), endpoint);
        }
        assert_eq!(Endpoint::default(), "127.0.0.1:7420".parse().unwrap());
    }

    #[test]
    fn other_machines_are_refused_without_tls_and_with_a_way_out() {
        for text in ["http://10.0.0.1:7420", "http://coordinator:7420", "http://[2001:db8::1]:7420", "0.0.0.0:7420"] {
            let error = text.parse::<Endpoint>().unwrap_err();
            assert_eq!(error, EndpointError::NotLoopback(text.to_owned()));
            let words = error.to_string();
            assert!(
                ["https://", "vertigo login", "vertigo-worker join"].iter().all(|it| words.contains(it)),
                "{words}"
            );
        }
    }

    #[test]
    fn with_tls_any_host_is_taken() {
        for (text, host) in [
            ("https://mini.local:7420", "mini.local"),
            ("https://mini:7420/", "mini"),
            ("https://10.0.0.1:7420", "10.0.0.1"),
            ("https://[2001:db8::1]:7420", "2001:db8::1"),
            ("https://127.0.0.1:1", "127.0.0.1"),
            ("https://localhost:65535", "localhost"),
        ] {
            let endpoint: Endpoint = text.parse().unwrap();
            assert_eq!((endpoint.is_tls(), endpoint.host()), (true, host));
            assert_eq!(endpoint.url(), text.trim_end_matches('/'));
            assert_eq!(endpoint.url(), format!("https://{}", endpoint.authority()));
            assert_eq!(endpoint.url().parse::<Endpoint>().unwrap(), endpoint);
        }
        assert!(!"127.0.0.1:7420".parse::<Endpoint>().unwrap().is_tls());
    }

    proptest! {
        #[test]
        fn whatever_is_read_is_one_host_and_one_port(text in "(https?://)?[a-z0-9.:\\[\\]%@/_-]{0,24}(:[0-9]{1,6})?/?") {
            if let Ok(endpoint) = text.parse::<Endpoint>() {
                let port = endpoint.authority().rsplit_once(':').unwrap().1;
                prop_assert!(port.parse::<u16>().is_ok());
                let host = endpoint.host();
                prop_assert!(!host.is_empty() && !host.contains(['/', '@', '[', ']', '%']), "{}", host);
                prop_assert!(!host.contains(':') || host.parse::<std::net::Ipv6Addr>().is_ok(), "{}", host);
                prop_assert_eq!(endpoint.url().parse::<Endpoint>().unwrap(), endpoint);
            }
        }
    }

    #[test]
    fn what_is_no_address_is_said_to_be_none() {
        for text in [
            "",
            "http://",
            "ftp://127.0.0.1:1",
            "127.0.0.1",
            "localhost",
            "localhost:x",
            "a b:1",
            "http://127.0.0.1:7420/x",
            "https://mini",
            "https://:7420",
            "https://mini:0",
            "https://mini:7420/x",
            "https://2001:db8::1:7420",
            "https://[fe80::1%3]:7420",
            "http://[::1%1]:7420",
            "https://someone@mini:7420",
            "https://mini..local:7420",
            "https://-mini:7420",
            "https://10.0.0.256:7420",
            "https://1:7420",
            "HTTPS://mini:7420",
        ] {
            assert_eq!(text.parse::<Endpoint>(), Err(EndpointError::Form(text.to_owned())), "{text}");
        }
    }
}
