//! A real coordinator's process, and thousands that mean it no good: it neither panics nor grows, and answers all the while.
//!
//! `tests/bench/hostile_tls.sh` sends a hundred thousand, and says what they cost.

use super::frames::{PREFACE, frame, head};
use super::{Somebody, ask, foreigner};
use crate::harness::soon;
use crate::process::{Process, state};
use futures::{StreamExt, stream};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection};
use std::fmt::Write as _;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use vertigo::v1::{self, access_client::AccessClient, jobs_client::JobsClient};
use vertigo_access::tls::Joining;
use vertigo_access::token::Token;
use vertigo_client::Access;

/// How many there are, unless the environment says otherwise.
const ATTEMPTS: usize = 2_000;

/// At a time.
const AT_ONCE: usize = 48;

/// Connections that send a byte now and then, all the while.
const SLOW: usize = 200;

/// How long one listens for an answer.
const PATIENCE: Duration = Duration::from_millis(200);

/// What the process may have grown by when it is over: what the allocator keeps, and 4,096 connections of some KiB each at a time.
const GROWTH_KIB_MAX: u64 = 128 << 10;

const CALLS: [&str; 9] = [
    "/vertigo.v1.Access/Join",
    "/vertigo.v1.Access/CreateToken",
    "/vertigo.v1.Access/Renew",
    "/vertigo.v1.Jobs/Submit",
    "/vertigo.v1.Jobs/Watch",
    "/vertigo.v1.Fleet/Session",
    "/vertigo.v1.Artifacts/Register",
    "/vertigo.v1.Storage/Collect",
    "/vertigo.v1.Tags/MoveTag",
];

/// Whoever attacks.
#[derive(Clone)]
struct Attacker {
    address: SocketAddr,
    /// Of a client without a certificate.
    stranger: Arc<ClientConfig>,
    /// Of one with a certificate of another authority.
    foreigner: Access,
    /// Attempts that came as far as to say what they meant to.
    said: Arc<AtomicUsize>,
}

impl Attacker {
    /// From an address of its own where loopback has many, so that no address is out of ports.
    async fn dial(&self, n: usize) -> Option<TcpStream> {
        let socket = TcpSocket::new_v4().ok()?;
        if cfg!(target_os = "linux") {
            let own = Ipv4Addr::new(127, 0, 1 + (n / 250 % 250) as u8, 1 + (n % 250) as u8);
            socket.bind((own, 0).into()).ok()?;
        }
        socket.connect(self.address).await.ok()
    }

    /// The bytes of a client's hello.
    fn hello(&self) -> Vec<u8> {
        let name = ServerName::try_from("127.0.0.1").unwrap();
        let mut client = ClientConnection::new(self.stranger.clone(), name).unwrap();
        let mut hello = Vec::new();
        client.write_tls(&mut hello).unwrap();
        hello
    }

    async fn shaken(&self, n: usize, protocol: &[u8]) -> Option<impl AsyncRead + AsyncWrite + Unpin + use<>> {
        let mut config = ClientConfig::clone(&self.stranger);
        config.alpn_protocols = vec![protocol.to_vec()];
        let stream = self.dial(n).await?;
        TlsConnector::from(Arc::new(config)).connect(ServerName::try_from("127.0.0.1").unwrap(), stream).await.ok()
    }

    /// One attempt, as its number says.
    async fn attempt(&self, n: usize) {
        let mut random = StdRng::seed_from_u64(n as u64);
        let mut noise = |bytes: usize| -> Vec<u8> { (0..bytes).map(|_| random.random()).collect() };
        match n % 12 {
            0 => self.send(n, &noise(1 + n % 4096)).await,
            1 => self.send(n, &old_hello(0x0301 + (n / 12 % 3) as u16)).await,
            2 => {
                let hello = self.hello();
                self.send(n, &hello[..n / 12 % hello.len()]).await;
            }
            3 => {
                let mut hello = self.hello();
                for byte in noise(4) {
                    let at = 5 + (usize::from(byte) * 7 + n) % (hello.len() - 5);
                    hello[at] ^= byte | 1;
                }
                self.send(n, &hello).await;
            }
            // A record that announces as much as there can be, and hellos after hellos.
            4 => self.send(n, &[&[22, 3, 3, 0xff, 0xff][..], &noise(40_000)].concat()).await,
            5 => self.send(n, b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n").await,
            6 => {
                let junk = noise(2_000);
                let frames: Vec<u8> =
                    junk.chunks(50).flat_map(|it| frame(it[0] % 12, it[1], u32::from(it[2]), &it[3..])).collect();
                self.within(n, b"h2", &[PREFACE, &frame(4, 0, 0, &[]), &frames].concat()).await;
            }
            7 => {
                // A head of as many fields as fit, and more; then of one that never ends.
                let filler = [&[0, 1, b'a', 120][..], &[b'x'; 120]].concat().repeat(120);
                let mut sends = [PREFACE, &frame(4, 0, 0, &[]), &frame(1, 0, 1, &filler)].concat();
                (0..20).for_each(|_| sends.extend(frame(9, 0, 1, &filler)));
                self.within(n, b"h2", &sends).await;
            }
            8 => {
                let mut text = "GET /health HTTP/1.1\r\nHost: localhost\r\n".to_owned();
                (0..2_000).for_each(|n| write!(text, "x-{n}: {}\r\n", "y".repeat(60)).unwrap());
                self.within(n, b"http/1.1", text.as_bytes()).await;
            }
            9 => {
                let mut sends = [PREFACE, &frame(4, 0, 0, &[])].concat();
                for (at, call) in CALLS.iter().enumerate() {
                    let stream = 2 * at as u32 + 1;
                    sends.extend(frame(1, 4, stream, &head("POST", call, true)));
                    // A message of noise, and one that announces four gigabytes.
                    let announced = if at % 2 == 0 { [0, 0, 0, 0, 100] } else { [0, 255, 255, 255, 255] };
                    sends.extend(frame(0, 1, stream, &[&announced[..], &noise(100)].concat()));
                    // And never mind.
                    sends.extend(frame(3, 0, stream, &[0, 0, 0, 8]));
                }
                self.within(n, b"h2", &sends).await;
            }
            10 => {
                let put = "PUT /v1/blobs/sha256:00 HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n";
                self.within(n, b"http/1.1", &[put.as_bytes(), b"fffffffffffffffff\r\n", &noise(500)].concat()).await;
            }
            _ => {
                let refused = ask(&self.foreigner, CALLS[n / 12 % CALLS.len()]).await;
                assert!(refused.is_err(), "a certificate of another authority opens nothing");
                self.said.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    async fn send(&self, n: usize, bytes: &[u8]) {
        if let Some(stream) = self.dial(n).await {
            self.said.fetch_add(1, Ordering::Relaxed);
            say(stream, bytes).await;
        }
    }

    async fn within(&self, n: usize, protocol: &[u8], bytes: &[u8]) {
        if let Some(stream) = self.shaken(n, protocol).await {
            self.said.fetch_add(1, Ordering::Relaxed);
            say(stream, bytes).await;
        }
    }

    /// Sends a hello byte by byte, or asks something so, again whenever it is cut.
    async fn dawdle(self, n: usize) {
        loop {
            let text = b"POST /vertigo.v1.Access/Join HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n";
            if n.is_multiple_of(2) {
                let Some(stream) = self.dial(n).await else { continue };
                drip(stream, &self.hello()).await;
            } else if let Some(stream) = self.shaken(n, b"http/1.1").await {
                drip(stream, text).await;
            }
        }
    }
}

/// Says it, hears the beginning of an answer, and is gone.
async fn say(mut stream: impl AsyncRead + AsyncWrite + Unpin, bytes: &[u8]) {
    let mut answer = [0; 1024];
    // Who is cut off in the middle of it has been refused.
    let _ = timeout(PATIENCE, async {
        stream.write_all(bytes).await?;
        stream.read(&mut answer).await
    })
    .await;
}

/// A byte every so often.
async fn drip(mut stream: impl AsyncRead + AsyncWrite + Unpin, bytes: &[u8]) {
    for byte in bytes {
        if stream.write_all(&[*byte]).await.is_err() || stream.flush().await.is_err() {
            return;
        }
        tokio::time::sleep(PATIENCE).await;
    }
}

/// The hello of a client that knows no TLS 1.3.
pub(super) fn old_hello(version: u16) -> Vec<u8> {
    let ciphers = [0xc02f_u16, 0xc030, 0xc02b, 0xc02c, 0x009c, 0x002f, 0x000a].map(u16::to_be_bytes).concat();
    let mut body = version.to_be_bytes().to_vec();
    body.extend([7; 32]);
    body.push(0);
    body.extend((ciphers.len() as u16).to_be_bytes());
    body.extend(ciphers);
    body.extend([1, 0]);
    let mut hello = vec![22, 3, 1];
    hello.extend((body.len() as u16 + 4).to_be_bytes());
    hello.extend([1, 0]);
    hello.extend((body.len() as u16).to_be_bytes());
    hello.extend(body);
    hello
}

/// KiB of memory that a process has; `None` where the system does not say.
fn resident_kib(id: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{id}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB")?.parse().ok())
}

#[tokio::test(flavor = "multi_thread")]
async fn thousands_that_mean_it_no_good_neither_end_it_nor_fill_it_nor_keep_anybody_out() {
    let attempts = std::env::var("VERTIGO_HOSTILE").map_or(ATTEMPTS, |text| text.parse().unwrap());
    let (folder, state) = state();
    let log = folder.path().join("log");
    let shell = format!("exec 2>'{}'", log.display());
    let process = Process::start(&state, &shell, &["--host", "127.0.0.1"]).await.unwrap();
    let line = fs::read_to_string(state.join("access/admin-token")).unwrap();
    let token: Token = line.parse().unwrap();
    let admin = Somebody::with(&token, "administrator").await.unwrap();
    let stranger = Joining::new(token.anchor).config().unwrap();
    let address = process.url.strip_prefix("https://").unwrap().parse().unwrap();
    let (stranger, foreigner, said) = (Arc::new(stranger), foreigner(&admin.identity), Arc::default());
    let attacker = Attacker { address, stranger, foreigner, said };

    // What is there at all, once every kind has been there.
    stream::iter(0..240).for_each_concurrent(AT_ONCE, |n| attacker.attempt(n)).await;
    let before = resident_kib(process.id());
    attacker.said.store(0, Ordering::Relaxed);
    let begun = Instant::now();
    let slow: Vec<_> = (0..SLOW).map(|n| tokio::spawn(attacker.clone().dawdle(n))).collect();
    let mut answered = 0;
    for from in (0..attempts).step_by(1_000) {
        let these = stream::iter(from..attempts.min(from + 1_000));
        these.for_each_concurrent(AT_ONCE, |n| attacker.attempt(n)).await;
        // Somebody who has joined, on a connection that there is and on a new one, and somebody who looks whether anybody is there.
        let again = super::reached(&admin.identity);
        for access in [&admin.access, &again] {
            let list = JobsClient::new(access.channel()).list(v1::ListJobsRequest::default()).await;
            list.unwrap_or_else(|refused| panic!("after {from}: {refused}"));
        }
        let health = again.http().build().unwrap().get(format!("{}/health", process.url)).send();
        assert_eq!(soon("health", health).await.unwrap().status(), 200, "after {from}");
        answered += 1;
    }
    let took = begun.elapsed();
    slow.iter().for_each(tokio::task::JoinHandle::abort);
    // Who holds a token gets in when it is over.
    let request = v1::CreateTokenRequest { role: "read".to_owned(), ttl_ms: 600_000, uses: 1, ..Default::default() };
    let made = AccessClient::new(admin.access.channel()).create_token(request).await.unwrap().into_inner();
    Somebody::with(&made.line.parse().unwrap(), "late").await.unwrap();
    let after = resident_kib(process.id());
    let told = fs::read_to_string(&log).unwrap();
    assert!(!told.contains("panicked"), "{told}");
    let said = attacker.said.load(Ordering::Relaxed);
    assert!(said * 100 >= attempts * 95, "{said} of {attempts} reached it");
    println!(
        "{said} of {attempts} hostile connections and {SLOW} slow ones in {took:.1?}, {:.0} a second; whoever has joined was answered all \
         {answered} times meanwhile; memory {before:?} KiB before and {after:?} KiB after; the log has {} lines",
        attempts as f64 / took.as_secs_f64(),
        told.lines().count(),
    );
    if let Some((before, after)) = before.zip(after) {
        assert!(after < before + GROWTH_KIB_MAX, "{before} KiB before, {after} KiB after");
    }
    process.kill().await;
}
