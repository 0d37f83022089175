//! Who is at the other ends.
//!
//! Promise: [`Peers::close_where`] ends what it is told to at once, whatever is in flight: sockets are closed, uploads and streams cut,
//! and the requests' own work dropped. A connection is known here before its first request is read, so whoever first refuses a peer's
//! new requests and then closes its connections leaves none of it behind.

use rustls::pki_types::CertificateDer;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio_util::sync::CancellationToken;

/// The other end of a connection. Every request has it as an extension.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Peer {
    /// The certificate with which it proved itself, where it did: its own, without those that vouch for it.
    pub certificate: Option<CertificateDer<'static>>,
    /// What the port's owner knows whoever has that certificate by ([`Rules::known_as`](crate::Rules)): read once a connection, and not at
    /// each request. Whether it is welcome still is asked each time.
    pub known_as: Option<u128>,
    /// Whether the connection is TLS.
    pub is_tls: bool,
    /// Where it is, as far as the system says: the end of a tunnel or a proxy where there is one.
    pub address: Option<IpAddr>,
}

/// The other ends of all connections of the ports that have it. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Peers {
    all: Arc<Mutex<All>>,
}

#[derive(Debug, Default)]
struct All {
    next: u64,
    open: HashMap<u64, (Arc<Peer>, CancellationToken)>,
}

impl Peers {
    /// Of no connection yet.
    pub fn new() -> Peers {
        Peers::default()
    }

    fn all(&self) -> MutexGuard<'_, All> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends every connection whose other end is meant. Gives how many these were.
    pub fn close_where(&self, is_meant: impl Fn(&Peer) -> bool) -> usize {
        // Asked outside the lock: it may take its time, and may ask us.
        let open: Vec<_> = self.all().open.values().cloned().collect();
        let meant = open.iter().filter(|(peer, _)| is_meant(peer));
        meant.map(|(_, cut)| cut.cancel()).count()
    }

    /// How many connections there are whose handshake is done.
    pub fn count(&self) -> usize {
        self.all().open.len()
    }

    /// Knows of a connection for as long as what it gives lives.
    pub(crate) fn enlist(&self, peer: Peer) -> Enlisted {
        let cut = CancellationToken::new();
        let mut all = self.all();
        let key = all.next;
        all.next += 1;
        all.open.insert(key, (Arc::new(peer), cut.clone()));
        drop(all);
        Enlisted { peers: self.clone(), key, cut }
    }
}

/// A connection that [`Peers`] knows of.
#[derive(Debug)]
pub(crate) struct Enlisted {
    peers: Peers,
    key: u64,
    cut: CancellationToken,
}

impl Enlisted {
    /// Ends when the connection is to.
    pub(crate) async fn cut(&self) {
        self.cut.cancelled().await;
    }
}

impl Drop for Enlisted {
    fn drop(&mut self) {
        self.peers.all().open.remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn peer(name: u8) -> Peer {
        Peer { certificate: Some(CertificateDer::from(vec![name])), is_tls: true, ..Peer::default() }
    }

    proptest! {
        #[test]
        fn all_that_are_meant_and_open_are_cut_and_no_others(
            names in proptest::collection::vec((0u8..4, any::<bool>()), 0..40), meant in 0u8..4,
        ) {
            let peers = Peers::new();
            let mut open: Vec<_> = names.iter().map(|(name, stays)| (*name, *stays, peers.enlist(peer(*name)))).collect();
            open.retain(|(_, stays, _)| *stays);
            prop_assert_eq!(peers.count(), open.len());
            let expected = open.iter().filter(|(name, ..)| *name == meant).count();
            prop_assert_eq!(peers.close_where(|it| *it == peer(meant)), expected);
            for (name, _, enlisted) in &open {
                prop_assert_eq!(enlisted.cut.is_cancelled(), *name == meant);
            }
            drop(open);
            prop_assert_eq!(peers.count(), 0);
        }
    }

    #[test]
    fn whoever_judges_may_ask_how_many_there_are() {
        let peers = Peers::new();
        let _one = peers.enlist(Peer::default());
        assert_eq!(peers.close_where(|_| peers.count() == 1), 1);
    }
}
