//! What requests come over: bytes as they are, or TLS.
//!
//! Promise: over TLS nobody is answered who has not finished a handshake of TLS 1.3, in which [`rustls`] has verified what the owner's
//! config asks for; what a handshake may send is bounded, and it reads nothing else. No session is resumed, so that a certificate is
//! verified anew for each connection, and nothing of a request comes before that. Whoever fails hears TLS's own alert and nothing else.

use crate::measured::Measured;
use crate::peers::Peer;
use crate::progress::Progressing;
use rustls::server::NoServerSessionStorage;
use rustls::{ProtocolVersion, ServerConfig};
use std::fmt;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// Bytes that a handshake may send. A hello and a chain of certificates are a tenth of it.
const HANDSHAKE_BYTES_MAX: usize = 32 << 10;

/// Bytes that are read and thrown away of one whose handshake failed, so that it reads why before the connection is gone.
const FAREWELL_BYTES_MAX: usize = 64 << 10;

/// The protocols that are spoken within TLS, the wanted first.
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// How long the other end may take nothing of what is written to it. Whoever does not read would otherwise keep a place for ever.
const UNREAD: Duration = Duration::from_secs(60);

/// How long the other end has to read why its handshake failed.
const FAREWELL: Duration = Duration::from_secs(1);

/// What requests come over.
#[derive(Clone)]
pub enum Wire {
    /// Bytes as they are, which everybody on the way can read and change: for loopback.
    Plain,
    /// TLS 1.3, after the owner's config: whose certificates are asked for, and which is shown. One that is renewed while the port is open
    /// comes from the config's `ResolvesServerCert`, which is asked at each handshake. Its protocols and its memory of sessions are ours.
    Tls(Arc<ServerConfig>),
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Wire::Plain => "Plain",
            Wire::Tls(_) => "Tls",
        })
    }
}

/// A connection's bytes, with the bounds that it has over whatever wire.
pub(crate) type Bounded = Progressing<Measured<TcpStream>>;

pub(crate) fn bounded(stream: TcpStream) -> Bounded {
    Progressing::new(Measured::new(stream, HANDSHAKE_BYTES_MAX), UNREAD)
}

/// Takes the other end's part of a wire.
#[derive(Clone)]
pub(crate) enum Acceptor {
    Plain,
    Tls(TlsAcceptor),
}

impl Acceptor {
    pub(crate) fn new(wire: Wire) -> Acceptor {
        match wire {
            Wire::Plain => Acceptor::Plain,
            Wire::Tls(config) => Acceptor::Tls(Arc::new(ours(ServerConfig::clone(&config))).into()),
        }
    }
}

/// The owner's config with what every port keeps to.
fn ours(mut config: ServerConfig) -> ServerConfig {
    config.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).to_vec();
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.max_early_data_size = 0;
    config
}

/// Where the other end of a socket is.
pub(crate) fn address_of(stream: &TcpStream) -> Option<IpAddr> {
    stream.peer_addr().ok().map(|address| address.ip())
}

/// Shakes hands, and gives who the other end is. One that fails has read why, or has gone, when this ends.
pub(crate) async fn shake(acceptor: &TlsAcceptor, stream: TcpStream) -> io::Result<(TlsStream<Bounded>, Peer)> {
    let address = address_of(&stream);
    let mut stream = match acceptor.accept(bounded(stream)).into_fallible().await {
        Ok(stream) => stream,
        Err((error, stream)) => {
            let _ = timeout(FAREWELL, farewell(stream)).await;
            return Err(error);
        }
    };
    let (socket, session) = stream.get_mut();
    if session.protocol_version() != Some(ProtocolVersion::TLSv1_3) {
        return Err(io::Error::other("its config lets in less than TLS 1.3, and this port does not"));
    }
    let certificate = session.peer_certificates().and_then(|chain| chain.first());
    let peer =
        Peer { certificate: certificate.map(|leaf| leaf.clone().into_owned()), is_tls: true, address, known_as: None };
    socket.inner().lift();
    Ok((stream, peer))
}

/// Reads on for a moment: what is unread when a socket is closed makes the system forget the alert that is on its way.
async fn farewell(mut stream: impl AsyncRead + AsyncWrite + Unpin) {
    let _ = stream.shutdown().await;
    let (mut read, mut into) = (0, [0; 4 << 10]);
    while read < FAREWELL_BYTES_MAX {
        match stream.read(&mut into).await {
            Ok(0) | Err(_) => return,
            Ok(n) => read += n,
        }
    }
}
