//! What ends that mean harm, or do not know what they speak to, achieve: an alert, or the connection's end.

use crate::harness::{LIMITS, Open, open, said};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use vertigo_port::Limits;
use vertigo_testkit::skipped;
use vertigo_testkit::waiting::{eventually, soon};

/// A ClientHello as clients sent it before TLS 1.3: a suite, a curve, a signature, and no list of versions.
fn tls_1_2_hello() -> Vec<u8> {
    let extensions = [0, 10, 0, 4, 0, 2, 0, 23, 0, 13, 0, 4, 0, 2, 4, 3];
    let mut body = vec![3, 3];
    // What is random.
    body.extend([7; 32]);
    // No session, one suite behind its length, and one compression, which is none.
    body.extend([0, 0, 2, 0xc0, 0x2b, 1, 0]);
    body.extend([0, extensions.len() as u8]);
    body.extend(extensions);
    let mut hello = vec![22, 3, 1, 0, 4 + body.len() as u8, 1, 0, 0, body.len() as u8];
    hello.extend(body);
    hello
}

/// Everything that the port answers, until it closes.
async fn answered(mut stream: TcpStream) -> Vec<u8> {
    let mut all = Vec::new();
    // A reset ends it as well.
    let _ = soon("the connection's end", stream.read_to_end(&mut all)).await;
    all
}

async fn says(port: &Open, bytes: &[u8]) -> Vec<u8> {
    let mut stream = port.socket().await;
    let _ = stream.write_all(bytes).await;
    answered(stream).await
}

/// Whether it is an alert, alone, and which; or nothing at all.
fn alert(bytes: &[u8]) -> Option<u8> {
    match bytes {
        [] => None,
        [21, 3, _, 0, 2, 2, which] => Some(*which),
        other => panic!("more than an alert: {other:?}"),
    }
}

#[tokio::test]
async fn whatever_is_no_tls_1_3_is_answered_by_an_alert_alone() {
    let port = open(LIMITS).await;
    let protocol_version = 70;
    assert_eq!(alert(&says(&port, &tls_1_2_hello()).await), Some(protocol_version));
    for other in [
        &b"GET /who HTTP/1.1\r\nhost: localhost\r\n\r\n"[..],
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.9\r\n",
        // SSL 2's hello, an alert, application data, and a record of no kind.
        &[0x80, 0x2e, 1, 0, 2, 0, 0x15, 0, 0, 0, 0x10],
        &[21, 3, 3, 0, 2, 2, 40],
        &[23, 3, 3, 0, 4, 1, 2, 3, 4],
        &[0; 4096],
        &[0xff; 4096],
    ] {
        alert(&says(&port, other).await);
    }
    assert_eq!(port.peers.count(), 0);
    assert_eq!(port.who(None).await.unwrap(), said(None));
}

#[tokio::test]
async fn a_handshake_that_takes_too_long_is_ended_however_it_dawdles() {
    let port = open(Limits { first_request: Duration::from_millis(500), ..LIMITS }).await;
    let begun = Instant::now();
    assert_eq!(alert(&answered(port.socket().await).await), None, "one that says nothing");
    let mut slow = port.socket().await;
    let dawdles = async {
        for byte in [22, 3, 1, 2, 0, 1, 0, 1, 0xfc].into_iter().chain(std::iter::repeat(0)) {
            if slow.write_all(&[byte]).await.is_err() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    soon("the end of one that says a byte now and then", dawdles).await;
    // One that has shaken hands and then asks nothing.
    let mut silent = port.connect(None).await.unwrap();
    assert!(!matches!(soon("its end", silent.read(&mut [0; 8])).await, Ok(1..)));
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_handshake_is_ended_by_its_bytes_and_not_kept_until_it_is_whole() {
    let port = open(LIMITS).await;
    let begun = Instant::now();
    // As long as a message may be, and more than any of ours is.
    let mut hello = vec![1, 0, 0xea, 0x60];
    hello.resize(40_000, 7);
    let records = hello.chunks(10_000).flat_map(|part| [&[22, 3, 1, 0x27, 0x10], part].concat());
    assert_eq!(alert(&says(&port, &records.collect::<Vec<u8>>()).await), None);
    assert!(begun.elapsed() < LIMITS.first_request / 2, "ended by time: {:?}", begun.elapsed());
}

#[tokio::test]
async fn a_flood_is_not_read() {
    let port = open(LIMITS).await;
    let mut stream = port.socket().await;
    // A hello that says it is 16 MiB long, in records of 16 KiB.
    let mut record = vec![22, 3, 1, 0x40, 0];
    record.extend([1, 0xff, 0xff, 0xff]);
    record.resize(5 + (16 << 10), 0);
    let mut sent = 0;
    let floods = async {
        while stream.write_all(&record).await.is_ok() {
            sent += record.len();
            record[5..9].fill(0);
        }
    };
    soon("its end", floods).await;
    // What the sockets' buffers hold is sent and never read.
    assert!(sent < 16 << 20, "{sent}");
    assert_eq!(port.who(None).await.unwrap(), said(None));
}

/// Bytes of memory that this process has, where the system says.
fn resident() -> Option<u64> {
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    Some(statm.split(' ').nth(1)?.parse::<u64>().ok()? * 4096)
}

/// One hostile end; `n` says which.
async fn hostile(port: &Open, n: u64) {
    // A generator of bytes that needs no crate: the same for the same `n`.
    let mut state = n.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let Ok(mut stream) = TcpStream::connect(port.address).await else { return };
    let mut hello = tls_1_2_hello();
    match n % 5 {
        0 => hello.clear(),
        1 => hello.truncate(next() as usize % hello.len()),
        2 => {
            let at = next() as usize % hello.len();
            hello[at] = next() as u8;
        }
        3 => hello = (0..next() % 2000).map(|_| next() as u8).collect(),
        _ => {
            // One that begins rightly and then breaks off or goes on with garbage.
            let config = Arc::new(port.authority.client(None));
            let name = rustls::pki_types::ServerName::from(port.address.ip());
            let mut client = rustls::ClientConnection::new(config, name).unwrap();
            hello.clear();
            client.write_tls(&mut hello).unwrap();
            let _ = stream.write_all(&hello).await;
            let _ = stream.read(&mut [0; 1024]).await;
            hello = (0..next() % 200).map(|_| next() as u8).collect();
        }
    }
    let _ = stream.write_all(&hello).await;
    if next() % 2 == 0 {
        let _ = stream.shutdown().await;
        let mut all = Vec::new();
        let _ = tokio::time::timeout(Duration::from_secs(5), stream.read_to_end(&mut all)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_hostile_handshakes_cost_nothing_that_stays() {
    const HOSTILE: u64 = 10_000;
    let panics = Arc::new(AtomicUsize::new(0));
    let (counted, usual) = (panics.clone(), std::panic::take_hook());
    std::panic::set_hook(Box::new(move |panic| {
        // Those of the other tests are not on such a thread.
        let is_task = std::thread::current().name().is_some_and(|name| name.starts_with("tokio-"));
        counted.fetch_add(usize::from(is_task), Ordering::SeqCst);
        usual(panic);
    }));
    let port = Arc::new(open(LIMITS).await);
    let ann = port.authority.issue("ann");
    let mut before = None;
    for round in 0..HOSTILE / 50 {
        let all = (0..50).map(|n| hostile(&port, round * 50 + n));
        futures::future::join_all(all).await;
        if round % 10 == 0 {
            assert_eq!(soon("an answer", port.who(Some(&ann))).await.unwrap(), said(Some(&ann)));
            // The first thousand fill what allocators keep.
            before = before.filter(|_| round > 20).or_else(resident);
        }
    }
    eventually("the end of all", || (port.peers.count() == 0).then_some(())).await;
    assert_eq!(panics.load(Ordering::SeqCst), 0);
    match (before, resident()) {
        (Some(before), Some(after)) => {
            let grown = after.saturating_sub(before);
            println!("{grown} bytes more than the {before} after the first thousand");
            assert!(grown < 16 << 20, "{grown} bytes more than after the first thousand");
        }
        _ => skipped("the system does not say how much memory a process has"),
    }
}

/// What `openssl s_client` makes of the port; `None` where it is not there.
async fn s_client(port: &Open, arguments: &[&str]) -> Option<(bool, String)> {
    let mut command = Command::new("openssl");
    command.args(["s_client", "-connect", &port.address.to_string(), "-brief"]).args(arguments);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().ok()?;
    Some((output.status.success(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()))
}

#[tokio::test]
async fn another_implementation_gets_in_by_tls_1_3_alone() {
    let port = open(LIMITS).await;
    let Some((connects, said)) = soon("openssl", s_client(&port, &["-tls1_3", "-alpn", "h2"])).await else {
        return skipped("openssl is not there");
    };
    assert!(connects && said.contains("TLSv1.3"), "{said}");
    for older in ["-tls1_2", "-tls1_1", "-tls1"] {
        let (connects, said) = soon("openssl", s_client(&port, &[older])).await.unwrap();
        assert!(!connects, "{older}: {said}");
    }
}
