//! What a coordinator is called on its network: what stands in its certificate and in tokens.

use nix::ifaddrs::getifaddrs;
use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use vertigo::endpoint::Endpoint;

/// Names and addresses, at most: a machine with many networks is reached over the first of them.
const NAMES_MAX: usize = 32;

/// The names of a coordinator that listens at `listen`, the best first: those that the operator gave, or else what the machine calls
/// itself and the addresses that it has; and loopback in any case, for programs on the machine itself.
pub fn of(listen: SocketAddr, given: &[String], host: Option<&str>, addresses: &[IpAddr]) -> Vec<String> {
    let mut names: Vec<String> = given.iter().map(|name| name.to_ascii_lowercase()).collect();
    if names.is_empty() {
        let host = host.map(str::to_ascii_lowercase).filter(|host| is_host(host) && host != "localhost");
        // A bare name is known to its own machine; with `.local`, Bonjour finds it.
        let host = host.filter(|_| !listen.ip().is_loopback());
        names.extend(host.iter().filter(|host| host.contains('.')).cloned());
        let own = |address: &&IpAddr| !address.is_loopback() && !is_link_local(address);
        match listen.ip() {
            ip if ip.is_unspecified() => names.extend(addresses.iter().filter(own).map(ToString::to_string)),
            ip => names.push(ip.to_string()),
        }
        names.extend(host.filter(|host| !host.contains('.')).map(|host| format!("{host}.local")));
    }
    names.extend(["localhost", "127.0.0.1", "::1"].map(str::to_owned));
    let mut seen = BTreeSet::new();
    names.retain(|name| seen.insert(name.clone()));
    names.truncate(NAMES_MAX);
    names
}

/// An address that is of use to nobody who does not say over which wire.
fn is_link_local(address: &IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    }
}

fn is_host(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "-.".contains(c))
}

/// Addresses that the machine has now.
pub fn of_this_machine() -> Vec<IpAddr> {
    let all = match getifaddrs() {
        Ok(all) => all,
        Err(error) => {
            tracing::warn!(%error, "this machine does not say which addresses it has; name one with --host");
            return Vec::new();
        }
    };
    let ip = |address: nix::sys::socket::SockaddrStorage| {
        let v4 = address.as_sockaddr_in().map(|it| IpAddr::V4(it.ip()));
        v4.or_else(|| address.as_sockaddr_in6().map(|it| IpAddr::V6(it.ip())))
    };
    all.filter_map(|it| it.address).filter_map(ip).collect()
}

/// Whether a name is of the machine that says it, whichever that is.
pub fn is_loopback(name: &str) -> bool {
    name == "localhost" || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// Where a name is reached; `None` where it is none.
pub fn endpoint(name: &str, port: u16) -> Option<Endpoint> {
    let host = match name.parse::<IpAddr>() {
        Ok(IpAddr::V6(v6)) => format!("[{v6}]"),
        _ => name.to_owned(),
    };
    format!("https://{host}:{port}").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn what_others_reach_comes_first_and_loopback_last() {
        let addresses = [ip("127.0.0.1"), ip("192.168.1.7"), ip("fe80::1"), ip("169.254.3.3"), ip("fd00::7")];
        let names = of("0.0.0.0:7420".parse().unwrap(), &[], Some("Studio"), &addresses);
        assert_eq!(names, ["192.168.1.7", "fd00::7", "studio.local", "localhost", "127.0.0.1", "::1"]);
        let one = of("10.0.0.5:7420".parse().unwrap(), &[], Some("mini.example.org"), &addresses);
        assert_eq!(one, ["mini.example.org", "10.0.0.5", "localhost", "127.0.0.1", "::1"]);
        let given = of("0.0.0.0:7420".parse().unwrap(), &["Train.example.org".to_owned()], Some("x"), &addresses);
        assert_eq!(given, ["train.example.org", "localhost", "127.0.0.1", "::1"]);
        // Nobody else reaches it, whatever the machine is called.
        let alone = of("127.0.0.1:7420".parse().unwrap(), &[], Some("studio.example.org"), &addresses);
        assert_eq!(alone, ["127.0.0.1", "localhost", "::1"]);
    }

    #[test]
    fn this_machine_has_addresses() {
        assert!(of_this_machine().contains(&ip("127.0.0.1")));
    }

    #[test]
    fn a_name_becomes_an_address_to_dial() {
        for (name, url) in [("10.0.0.5", "https://10.0.0.5:7420"), ("::1", "https://[::1]:7420")] {
            assert_eq!(endpoint(name, 7420).unwrap().url(), url);
        }
        assert_eq!(endpoint("a b", 7420), None);
    }
}
