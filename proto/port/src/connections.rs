//! Connections taken, counted and closed.
//!
//! What is closed for what, the table decides. Here are the sockets and their timers.

use crate::peers::{Peer, Peers};
use crate::table::{Admission, ConnectionId, Limits, NotBegun, Table, Work};
use crate::wire::{self, Acceptor, Wire};
use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::{Extension, Router};
use http_body::{Frame, SizeHint};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use rustls::pki_types::CertificateDer;
use std::collections::HashMap;
use std::convert::Infallible;
use std::io;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};
use tokio_util::task::TaskTracker;

/// How long a head may take on a connection that was used before; hyper counts the time between two requests too.
const NEXT_HEAD_SECONDS_MAX: u64 = 30;

/// The other end of an HTTP/2 connection is asked this often whether it is there, and may take as long to answer.
const PING_SECONDS: u64 = 20;

/// Requests of an HTTP/2 connection at a time.
const STREAMS_MAX: u32 = 128;

/// Bytes of a request's headers.
const HEAD_BYTES_MAX: u32 = 16 << 10;

/// Bytes of HTTP/1.1 that are buffered, a head among them.
const BUFFER_BYTES_MAX: usize = 64 << 10;

/// How long a connection that is closed for its age has to say goodbye.
const GOODBYE: Duration = Duration::from_secs(1);

/// The pause after the system refused a connection, which it goes on doing until a descriptor is free.
const PAUSE: Duration = Duration::from_millis(100);

/// What a port's owner says of requests, and of who makes them.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    /// What whoever has a certificate is known by, where it is somebody: asked once a connection.
    pub known_as: fn(&CertificateDer<'_>) -> Option<u128>,
    /// What a request is, by its head.
    pub work: fn(&Parts) -> Work,
    /// The answer to a request that is not begun.
    pub refuse: fn(&Parts, NotBegun) -> Response,
}

/// What there is of a port besides its socket and its routes.
#[derive(Debug, Clone)]
pub struct Port {
    /// How much at a time, and for how long.
    pub limits: Limits,
    /// What its owner says of requests.
    pub rules: Rules,
    /// What requests come over.
    pub wire: Wire,
    /// Where its connections are known, for whoever has to end some of them.
    pub peers: Peers,
}

/// How a connection is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Close {
    /// Its descriptor is needed.
    AtOnce,
    /// With a word to the other end, so that it asks again elsewhere. What is in flight may take so long.
    Gently(Duration),
}

/// What is open. Clones share it.
#[derive(Clone)]
struct Connections {
    open: Arc<Mutex<Open>>,
    limits: Limits,
    rules: Rules,
    acceptor: Acceptor,
    peers: Peers,
    tasks: TaskTracker,
}

#[derive(Debug)]
struct Open {
    table: Table,
    lines: HashMap<ConnectionId, oneshot::Sender<Close>>,
}

impl Open {
    fn close(&mut self, id: ConnectionId, how: Close) {
        if let Some(line) = self.lines.remove(&id) {
            // Fails where it has ended by itself.
            let _ = line.send(how);
        }
    }
}

/// Takes connections for ever and has `routes` answer them.
pub async fn serve(listener: TcpListener, routes: Router, port: Port) -> Infallible {
    Connections::new(port).accept(&listener, &routes).await
}

/// The same until `stop`. Then no connection is taken any more, idle ones are closed, and what is in flight has `patience` to end.
pub async fn serve_until(
    listener: TcpListener,
    routes: Router,
    port: Port,
    stop: impl Future<Output = ()>,
    patience: Duration,
) {
    let connections = Connections::new(port);
    tokio::select! {
        never = connections.accept(&listener, &routes) => match never {},
        () = stop => {}
    }
    drop(listener);
    connections.end(patience).await;
}

impl Connections {
    fn new(Port { limits, rules, wire, peers }: Port) -> Connections {
        let open = Open { table: Table::new(limits), lines: HashMap::new() };
        let (open, acceptor) = (Arc::new(Mutex::new(open)), Acceptor::new(wire));
        Connections { open, limits, rules, acceptor, peers, tasks: TaskTracker::new() }
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn accept(&self, listener: &TcpListener, routes: &Router) -> Infallible {
        let limits = self.limits;
        // A connection is late by a tenth at most.
        let mut sweep = interval((limits.first_request.min(limits.idle) / 10).max(Duration::from_millis(10)));
        sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) => self.take(stream, routes),
                    Err(error) => self.accept_failed(&error).await,
                },
                _ = sweep.tick() => self.close_overdue(),
            }
        }
    }

    /// Closes every connection as soon as nothing is in flight on it, and all of them after `patience`.
    async fn end(&self, patience: Duration) {
        {
            let mut open = self.open();
            let all: Vec<ConnectionId> = open.lines.keys().copied().collect();
            for id in all {
                open.close(id, Close::Gently(patience));
            }
        }
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// Serves a new connection, or closes it where all others have something in flight.
    fn take(&self, stream: TcpStream, routes: &Router) {
        let (line, closed) = oneshot::channel();
        let id = {
            let mut open = self.open();
            let Admission::Open { id, closes } = open.table.open(Instant::now()) else {
                tracing::debug!("a connection is refused: all others have requests in flight");
                return;
            };
            if let Some(idle) = closes {
                open.close(idle, Close::AtOnce);
            }
            open.lines.insert(id, line);
            id
        };
        // Small messages go at once instead of waiting for more. Fails where the connection is gone already.
        let _ = stream.set_nodelay(true);
        let routes = routes.clone().layer(middleware::from_fn_with_state((self.clone(), id), count));
        let connections = self.clone();
        self.tasks.spawn(async move {
            connections.connection(stream, routes, closed).await;
            let mut open = connections.open();
            open.table.ended(id);
            open.lines.remove(&id);
        });
    }

    /// Goes on after an error of `accept`. Most are of the one connection that was to be accepted; the others are a lack of
    /// descriptors or memory, which the connection that is idle the longest gives back.
    async fn accept_failed(&self, error: &io::Error) {
        use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
        if matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted) {
            return;
        }
        tracing::warn!(%error, "cannot take a connection; trying again");
        {
            let mut open = self.open();
            if let Some(idle) = open.table.close_idlest() {
                open.close(idle, Close::AtOnce);
            }
        }
        sleep(PAUSE).await;
    }

    fn close_overdue(&self) {
        let mut open = self.open();
        for id in open.table.close_overdue(Instant::now()) {
            open.close(id, Close::Gently(GOODBYE));
        }
    }

    /// A connection from its first byte to its end. One that shakes hands has nothing in flight: it is closed at once, whatever for.
    async fn connection(&self, stream: TcpStream, routes: Router, mut closed: oneshot::Receiver<Close>) {
        let acceptor = match &self.acceptor {
            Acceptor::Plain => {
                let peer = Peer { address: wire::address_of(&stream), ..Peer::default() };
                let mut stream = wire::bounded(stream);
                stream.inner().lift();
                return self.requests(stream, peer, routes, closed).await;
            }
            Acceptor::Tls(acceptor) => acceptor,
        };
        let shaken = tokio::select! {
            shaken = wire::shake(acceptor, stream) => shaken,
            _ = &mut closed => return,
        };
        match shaken {
            Ok((stream, peer)) => self.requests(stream, peer, routes, closed).await,
            Err(error) => tracing::debug!(%error, "a handshake failed"),
        }
    }

    /// What is asked on a connection, until its end.
    async fn requests<S>(&self, stream: S, mut peer: Peer, routes: Router, closed: oneshot::Receiver<Close>)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        peer.known_as = peer.certificate.as_ref().and_then(self.rules.known_as);
        let enlisted = self.peers.enlist(peer.clone());
        let protocol = protocol();
        let routes = TowerToHyperService::new(routes.layer(Extension(peer)));
        let mut served = pin!(protocol.serve_connection(TokioIo::new(stream), routes));
        let how = tokio::select! {
            ended = served.as_mut() => return note(ended),
            how = closed => how,
            () = enlisted.cut() => return,
        };
        if let Ok(Close::Gently(patience)) = how {
            served.as_mut().graceful_shutdown();
            tokio::select! {
                // It is dropped where the other end does not read the goodbye.
                _ = timeout(patience, served) => {}
                () = enlisted.cut() => {}
            }
        }
    }
}

/// HTTP of both versions, with its bounds.
fn protocol() -> auto::Builder<TokioExecutor> {
    let mut protocol = auto::Builder::new(TokioExecutor::new());
    let mut http1 = protocol.http1();
    http1.timer(TokioTimer::new()).header_read_timeout(Duration::from_secs(NEXT_HEAD_SECONDS_MAX));
    http1.max_buf_size(BUFFER_BYTES_MAX);
    let mut http2 = protocol.http2();
    http2.timer(TokioTimer::new()).keep_alive_interval(Duration::from_secs(PING_SECONDS));
    http2.keep_alive_timeout(Duration::from_secs(PING_SECONDS));
    http2.max_concurrent_streams(STREAMS_MAX).max_header_list_size(HEAD_BYTES_MAX);
    protocol
}

fn note(ended: Result<(), Box<dyn std::error::Error + Send + Sync>>) {
    if let Err(error) = ended {
        // The other end went away, or spoke no HTTP.
        tracing::debug!(%error, "a connection ended");
    }
}

/// Counts a request from here until its answer has gone, or answers that there is no room.
async fn count(State((connections, id)): State<(Connections, ConnectionId)>, request: Request, next: Next) -> Response {
    let (head, body) = request.into_parts();
    let work = (connections.rules.work)(&head);
    let begun = connections.open().table.begin(id, work);
    if let Err(error) = begun {
        return (connections.rules.refuse)(&head, error);
    }
    let counted = Counted { connections, id, work };
    let answer = next.run(Request::from_parts(head, body)).await;
    answer.map(|body| Body::new(CountedBody { body, _counted: counted }))
}

/// A request that is in flight until this is dropped.
struct Counted {
    connections: Connections,
    id: ConnectionId,
    work: Work,
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.connections.open().table.end(self.id, self.work, Instant::now());
    }
}

/// An answer's body, whose request ends with it.
struct CountedBody {
    body: Body,
    _counted: Counted,
}

impl HttpBody for CountedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
