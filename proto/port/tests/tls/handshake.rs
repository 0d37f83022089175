//! Who is let in, and how the port sees them.

use crate::harness::{LIMITS, answer, ask, open, open_with, said};
use rustls::HandshakeKind;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use vertigo_testkit::authority::{Authority, Leaf};
use vertigo_testkit::waiting::soon;

#[tokio::test]
async fn every_request_says_who_is_at_the_other_end() {
    let port = open(LIMITS).await;
    let (ann, bob) = (port.authority.issue("ann"), port.authority.issue("bob"));
    for leaf in [Some(&ann), Some(&bob), None] {
        assert_eq!(soon("an answer", port.who(leaf)).await.unwrap(), said(leaf));
    }
    // On a connection that goes on, too.
    let mut stream = port.connect(Some(&ann)).await.unwrap();
    for _ in 0..3 {
        ask(&mut stream, "GET", "/who").await.unwrap();
        assert_eq!(soon("an answer", answer(&mut stream)).await.unwrap(), said(Some(&ann)));
    }
}

#[tokio::test]
async fn http_2_is_agreed_on_where_both_have_it() {
    let port = open(LIMITS).await;
    for (offered, agreed) in
        [(vec![&b"h2"[..], b"http/1.1"], Some(&b"h2"[..])), (vec![b"http/1.1"], Some(b"http/1.1")), (vec![], None)]
    {
        let mut config = port.authority.client(None);
        config.alpn_protocols = offered.into_iter().map(<[u8]>::to_vec).collect();
        let mut stream = port.connect_by(config).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), agreed);
        if agreed == Some(b"h2") {
            // The preface and empty settings, which are answered by settings.
            stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
            let mut frame = [0; 9];
            soon("settings", stream.read_exact(&mut frame)).await.unwrap();
            assert_eq!(frame[3], 4, "{frame:?}");
        }
    }
    let mut stranger = port.authority.client(None);
    stranger.alpn_protocols = vec![b"spdy/1".to_vec()];
    assert!(port.connect_by(stranger).await.is_err(), "what is spoken here is not what it speaks");
}

/// What a client whose certificate is refused hears, though it has asked already.
async fn refusal(leaf: &Leaf, port: &crate::harness::Open) -> String {
    let mut stream = port.connect(Some(leaf)).await.unwrap();
    // More than the port reads of a handshake, so that something is unread when it is about to close.
    let _ = stream.write_all(&[b'x'; 48 << 10]).await;
    let _ = stream.flush().await;
    let heard = soon("a refusal", stream.read_u8()).await.unwrap_err().to_string();
    // A connection that is reset loses, on some systems, what was said before.
    assert_eq!(soon("the end", stream.get_mut().0.read(&mut [0; 8])).await.unwrap(), 0, "it ends as others do");
    heard
}

#[tokio::test]
async fn whoever_is_not_of_the_authority_is_refused_and_hears_why() {
    let port = open(LIMITS).await;
    let stranger = Authority::new().issue("ann");
    let expired = port.authority.issue_for_years("ann", 2001, 2002);
    let early = port.authority.issue_for_years("ann", 3000, 3001);
    for _ in 0..20 {
        let heard = refusal(&stranger, &port).await;
        assert!(heard.contains("UnknownCA") || heard.contains("DecryptError"), "{heard}");
        let heard = refusal(&expired, &port).await;
        assert!(heard.contains("CertificateExpired"), "{heard}");
        let heard = refusal(&early, &port).await;
        assert!(heard.contains("BadCertificate") || heard.contains("CertificateExpired"), "{heard}");
    }
    assert_eq!(port.peers.count(), 0);
}

/// Shows what was put in last.
#[derive(Debug)]
struct Renewed(Mutex<Arc<CertifiedKey>>);

impl ResolvesServerCert for Renewed {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.lock().unwrap().clone())
    }
}

fn shown(leaf: &Leaf) -> Arc<CertifiedKey> {
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let key = provider.key_provider.load_private_key(leaf.key.clone_key()).unwrap();
    Arc::new(CertifiedKey::new(vec![leaf.certificate.clone()], key))
}

#[tokio::test]
async fn a_certificate_is_renewed_without_a_dropped_connection() {
    let mut kept = None;
    let port = open_with(LIMITS, |authority| {
        let first = authority.issue("first");
        let shows = Arc::new(Renewed(Mutex::new(shown(&first))));
        kept = Some((shows.clone(), first));
        authority.server_of(shows)
    })
    .await;
    let (shows, first) = kept.unwrap();
    let mut old = port.connect(None).await.unwrap();
    let second = port.authority.issue("second");
    *shows.0.lock().unwrap() = shown(&second);
    let new = port.connect(None).await.unwrap();
    assert_eq!(old.get_ref().1.peer_certificates().unwrap(), [first.certificate]);
    assert_eq!(new.get_ref().1.peer_certificates().unwrap(), [second.certificate]);
    ask(&mut old, "GET", "/who").await.unwrap();
    assert_eq!(soon("an answer", answer(&mut old)).await.unwrap(), said(None));
}

#[tokio::test]
async fn no_session_is_resumed_so_that_each_connection_is_verified() {
    let port = open_with(LIMITS, |authority| {
        // An owner that would have it otherwise.
        let mut config = authority.server(&authority.issue("server"));
        config.ticketer = rustls::crypto::aws_lc_rs::Ticketer::new().unwrap();
        (config.send_tls13_tickets, config.max_early_data_size) = (4, 1000);
        config
    })
    .await;
    let config = port.authority.client(Some(&port.authority.issue("ann")));
    for _ in 0..3 {
        let mut stream = port.connect_by(config.clone()).await.unwrap();
        ask(&mut stream, "GET", "/who").await.unwrap();
        soon("an answer", answer(&mut stream)).await.unwrap();
        let session = stream.get_ref().1;
        assert_eq!((session.handshake_kind(), session.tls13_tickets_received()), (Some(HandshakeKind::Full), 0));
    }
}
