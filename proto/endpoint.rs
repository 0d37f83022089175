//! Where the coordinator is.
//!
//! Promise: until certificates come, nothing of Vertigo talks to an address that another machine could listen in on. An
//! [`Endpoint`] is a loopback address, or it does not exist.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::time::Duration;

/// The port that the coordinator listens on unless told otherwise.
pub const DEFAULT_PORT: u16 = 7420;

/// The longest that a worker whose connection was lost waits before it dials again. Leases have to be longer.
pub const REDIAL_MAX: Duration = Duration::from_secs(5);

/// A coordinator's address, checked.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Endpoint(String);

/// What is wrong with a coordinator's address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// Not a URL of the form that is read.
    #[error("`{0}` is not a coordinator's address: write http://HOST:PORT, such as http://127.0.0.1:{DEFAULT_PORT}")]
    Form(String),
    /// Another machine, or an address that other machines reach.
    #[error(
        "`{0}` is not on this machine. Without certificates Vertigo speaks on loopback only; reach another machine through a \
         tunnel (ssh -L {DEFAULT_PORT}:127.0.0.1:{DEFAULT_PORT} HOST) and use http://127.0.0.1:{DEFAULT_PORT}"
    )]
    NotLoopback(String),
}

impl Endpoint {
    /// `http://HOST:PORT`, without a slash at the end.
    pub fn url(&self) -> &str {
        &self.0
    }

    /// A channel to it that connects when it is first used, and again after the coordinator was away.
    #[cfg(feature = "rpc")]
    pub fn channel(&self) -> tonic::transport::Channel {
        tonic::transport::Endpoint::from_shared(self.0.clone())
            .expect("an Endpoint is a valid URL: parsing has checked its host and port")
            .connect_timeout(Duration::from_secs(5))
            // A connection whose other end is gone without a word is noticed in half a minute, not after TCP's hours.
            .http2_keep_alive_interval(Duration::from_secs(15))
            .keep_alive_timeout(Duration::from_secs(15))
            .keep_alive_while_idle(true)
            .connect_lazy()
    }
}

impl Default for Endpoint {
    fn default() -> Endpoint {
        Endpoint(format!("http://127.0.0.1:{DEFAULT_PORT}"))
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let form = || EndpointError::Form(text.to_owned());
        let authority = match text.split_once("://") {
            None => text,
            Some(("http", rest)) => rest,
            Some(("https", _)) => return Err(EndpointError::NotLoopback(text.to_owned())),
            Some(_) => return Err(form()),
        };
        let authority = authority.strip_suffix('/').unwrap_or(authority);
        let loopback = match authority.parse::<SocketAddr>() {
            Ok(address) => address.ip().is_loopback(),
            Err(_) => is_loopback_host(authority).ok_or_else(form)?,
        };
        if !loopback {
            return Err(EndpointError::NotLoopback(text.to_owned()));
        }
        Ok(Endpoint(format!("http://{authority}")))
    }
}

/// Whether `NAME:PORT` is this machine by name; `None` where it is no name and port.
fn is_loopback_host(authority: &str) -> Option<bool> {
    let (host, port) = authority.rsplit_once(':')?;
    port.parse::<u16>().ok().filter(|port| *port > 0)?;
    let named = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
    if host.is_empty() || !host.chars().all(named) {
        return None;
    }
    Some(host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback()))
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn other_machines_are_refused_with_a_way_out() {
        for text in ["http://10.0.0.1:7420", "http://coordinator:7420", "https://127.0.0.1:7420", "0.0.0.0:7420"] {
            let error = text.parse::<Endpoint>().unwrap_err();
            assert_eq!(error, EndpointError::NotLoopback(text.to_owned()));
            assert!(error.to_string().contains("ssh -L"));
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
        ] {
            assert_eq!(text.parse::<Endpoint>(), Err(EndpointError::Form(text.to_owned())), "{text}");
        }
    }
}
