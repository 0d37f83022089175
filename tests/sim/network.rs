//! The network between hosts and the coordinator, played: streams of HTTP frames that are late, cut off, and lost.
//!
//! Above it everything is real: tonic's clients, its services, its codec. Below it there is no TCP and no HTTP/2: a line is two
//! queues of frames. Each direction keeps its order and has delays of its own, so that what an old connection still carries
//! arrives behind the first words of a new one. A line breaks after any byte; its ends hear of that at different times, or, where
//! the other machine is gone without a word, when the keepalive of half a minute has passed.

use crate::chance::Chance;
use crate::pipe::{Inbound, Item, pipe};
use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::{BoxFuture, Service, http};

/// A line whose other end does not answer is given up.
const KEEPALIVE: Duration = Duration::from_secs(30);

/// How long a client waits for a connection.
const CONNECT: Duration = Duration::from_secs(5);

pub(crate) type Request = http::Request<Body>;
pub(crate) type Response = http::Response<Body>;

/// What answers at the coordinator's address.
pub(crate) type Services = Arc<dyn Fn(Request) -> Pin<Box<dyn Future<Output = Response> + Send>> + Send + Sync>;

/// Sees what the network delivers to a client, byte by byte.
pub(crate) type Tap = Arc<dyn Fn(u64, &[u8]) + Send + Sync>;

/// Which directions between a host and the coordinator are open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Open {
    pub(crate) up: bool,
    pub(crate) down: bool,
}

impl Open {
    pub(crate) const BOTH: Open = Open { up: true, down: true };
}

/// Whether a host is reached. Who waits is woken in the order of waiting, which tokio's `watch` does not promise.
#[derive(Debug)]
pub(crate) struct Gate {
    open: Mutex<Open>,
    changed: Notify,
}

impl Default for Gate {
    fn default() -> Gate {
        Gate { open: Mutex::new(Open::BOTH), changed: Notify::new() }
    }
}

impl Gate {
    fn set(&self, open: Open) {
        *lock(&self.open) = open;
        self.changed.notify_waiters();
    }

    pub(crate) async fn wait_for(&self, is_meant: impl Fn(&Open) -> bool) {
        loop {
            let mut changed = pin!(self.changed.notified());
            changed.as_mut().enable();
            if is_meant(&lock(&self.open)) {
                return;
            }
            changed.await;
        }
    }
}

#[derive(Clone)]
pub(crate) struct Network(Arc<Inner>);

struct Inner {
    chance: Chance,
    site: Mutex<Option<Site>>,
    hosts: Mutex<BTreeMap<String, Arc<Gate>>>,
    lines: Mutex<BTreeMap<u64, Line>>,
    next: Mutex<u64>,
    /// The longest usual delay of a frame, in milliseconds.
    delay_ms: Mutex<u64>,
}

/// A process that listens at the coordinator's address.
#[derive(Clone)]
struct Site {
    services: Services,
    alive: CancellationToken,
}

/// A connection.
#[derive(Clone)]
struct Line {
    host: String,
    /// Carries nothing any more.
    cut: CancellationToken,
    /// An end that has heard of it.
    client: CancellationToken,
    server: CancellationToken,
}

/// A client's way to the coordinator, from one host.
#[derive(Clone)]
pub(crate) struct Channel {
    network: Network,
    host: String,
    /// Cancelled when the machine is gone without a word: then its lines say nothing of their end.
    lost: CancellationToken,
    tap: Tap,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Network {
    pub(crate) fn new(chance: Chance) -> Network {
        let (site, hosts, lines, next) = Default::default();
        Network(Arc::new(Inner { chance, site, hosts, lines, next, delay_ms: Mutex::new(20) }))
    }

    /// Has `services` answer until `alive` is cancelled.
    pub(crate) fn listen(&self, services: Services, alive: CancellationToken) {
        *lock(&self.0.site) = Some(Site { services, alive });
    }

    fn host(&self, host: &str) -> Arc<Gate> {
        lock(&self.0.hosts).entry(host.to_owned()).or_default().clone()
    }

    /// Opens or closes the directions of a host. What is on its way waits.
    pub(crate) fn set(&self, host: &str, open: Open) {
        self.host(host).set(open);
    }

    /// Opens everything.
    pub(crate) fn heal(&self) {
        lock(&self.0.hosts).values().for_each(|host| host.set(Open::BOTH));
    }

    pub(crate) fn set_delay(&self, delay_ms: u64) {
        *lock(&self.0.delay_ms) = delay_ms;
    }

    /// Breaks the lines of a host, each after any byte of what it carries.
    pub(crate) fn cut(&self, host: &str) {
        let lines: Vec<Line> = lock(&self.0.lines).values().filter(|line| line.host == host).cloned().collect();
        for line in lines {
            self.break_off(&line);
        }
    }

    /// Carries nothing more on a line, and lets its ends know in their time.
    fn break_off(&self, line: &Line) {
        line.cut.cancel();
        for end in [line.client.clone(), line.server.clone()] {
            let wait = self.0.chance.millis(0, 3_000);
            tokio::spawn(async move {
                sleep(wait).await;
                end.cancel();
            });
        }
    }

    fn delay(&self) -> Duration {
        let usual = *lock(&self.0.delay_ms);
        // One frame in fifty is late, past a lease at worst.
        let is_late = usual > 20 && self.0.chance.happens(0.02);
        self.0.chance.millis(1, if is_late { 18_000 } else { usual.max(2) })
    }

    pub(crate) fn channel(&self, host: &str, lost: CancellationToken, tap: Tap) -> Channel {
        Channel { network: self.clone(), host: host.to_owned(), lost, tap }
    }
}

impl fmt::Debug for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Channel").field("host", &self.host).finish_non_exhaustive()
    }
}

impl Service<Request> for Channel {
    type Response = Response;
    type Error = Status;
    type Future = BoxFuture<Response, Status>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Self::Future {
        Box::pin(self.clone().begin(request))
    }
}

impl Channel {
    /// Opens a line and waits for the head of the answer.
    async fn begin(self, request: Request) -> Result<Response, Status> {
        let network = &self.network;
        let open = network.host(&self.host);
        sleep(network.delay()).await;
        if tokio::time::timeout(CONNECT, open.wait_for(|open| *open == Open::BOTH)).await.is_err() {
            return Err(Status::unavailable("no connection in time"));
        }
        let site = lock(&network.0.site).clone().filter(|site| !site.alive.is_cancelled());
        let Some(site) = site else { return Err(Status::unavailable("connection refused")) };
        let id = {
            let mut next = lock(&network.0.next);
            *next += 1;
            *next
        };
        let line = Line {
            host: self.host.clone(),
            cut: CancellationToken::new(),
            client: CancellationToken::new(),
            server: site.alive.child_token(),
        };
        lock(&network.0.lines).insert(id, line.clone());
        self.watch(id, line.clone(), site.clone(), open.clone());

        let (parts, body) = request.into_parts();
        let delays = network.clone();
        let delay = Arc::new(move || delays.delay());
        let cut_at = network.0.chance.clone();
        let (up, arrived) = pipe(delay.clone(), open.clone(), |open| open.up, line.cut.clone(), cut_at.clone(), None);
        let tap = self.tap.clone();
        let seen: crate::pipe::Seen = Box::new(move |bytes| tap(id, bytes));
        let (down, answered) = pipe(delay, open, |open| open.down, line.cut.clone(), cut_at, Some(seen));
        // The client's words, until it has no more or is gone.
        let farewell = Farewell { up: up.clone(), lost: self.lost.clone(), line: line.clone() };
        tokio::spawn({
            let gone = line.client.clone();
            async move {
                gone.run_until_cancelled(up.carry(body)).await;
            }
        });
        // The coordinator's, for as long as its process and the line live.
        let request = http::Request::from_parts(parts, Body::new(Inbound::new(arrived, line.server.clone(), None)));
        let (server, lines) = (line.server.clone(), network.clone());
        tokio::spawn(async move {
            let work = async {
                let response = (site.services)(request).await;
                let (parts, body) = response.into_parts();
                down.send(Item::Head(Box::new(parts)));
                down.carry(body).await;
                down.send(Item::End);
            };
            let _ = server.run_until_cancelled(work).await;
            lock(&lines.0.lines).remove(&id);
        });
        let mut inbound = Inbound::new(answered, line.client.clone(), Some(Box::new(farewell)));
        let head = inbound.head().await?;
        Ok(http::Response::from_parts(head, Body::new(inbound)))
    }

    /// Ends a line whose other end is gone: at once where that said so, else when the keepalive is missed.
    fn watch(&self, id: u64, line: Line, site: Site, open: Arc<Gate>) {
        let (network, is_told) = (self.network.clone(), self.network.0.chance.happens(0.7));
        let over = line.client.clone();
        let watch = async move {
            let silent = async {
                loop {
                    open.wait_for(|open| *open != Open::BOTH).await;
                    let healed = open.wait_for(|open| *open == Open::BOTH);
                    if tokio::time::timeout(KEEPALIVE, healed).await.is_err() {
                        return;
                    }
                }
            };
            tokio::select! {
                biased;
                () = site.alive.cancelled() => {
                    line.cut.cancel();
                    sleep(if is_told { network.delay() } else { KEEPALIVE }).await;
                }
                () = line.cut.cancelled() => sleep(KEEPALIVE).await,
                () = silent => {}
            }
            line.cut.cancel();
            line.client.cancel();
            lock(&network.0.lines).remove(&id);
        };
        tokio::spawn(async move {
            over.run_until_cancelled(watch).await;
        });
    }
}

/// What the other end is told when a client lets go of a line.
struct Farewell {
    up: crate::pipe::Sender,
    lost: CancellationToken,
    line: Line,
}

impl Drop for Farewell {
    fn drop(&mut self) {
        self.line.client.cancel();
        if self.lost.is_cancelled() {
            self.line.cut.cancel();
        } else {
            let server = self.line.server.clone();
            self.up.send(Item::Abort(server));
        }
    }
}
