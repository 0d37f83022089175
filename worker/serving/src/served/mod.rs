//! A model at work: one thread that owns what generates, requests in and tokens out by channels.
//!
//! MLX's arrays stay on the thread that made them, so the thread also makes the generator. Several models may share one: adapters
//! over one base.
//!
//! Promise: a request that nobody waits for any more is let go of; one whose reader does not keep up is dropped and holds nobody up; what
//! waits has a bound. Where MLX fails or the generator panics, those under way are told why; after a panic, or where step after step
//! fails, it is made anew. The thread ends when the last handle has gone.

mod thread;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::sync::{Arc, Mutex, PoisonError};
use thread::Thread;
use tokio::sync::mpsc as line;
use tokio::sync::{oneshot, watch};
use vertigo_engine::EngineError;
use vertigo_engine::generate::{Generate, Load, Produced, Request, RequestId};

/// Makes a generator, on the thread that is to own it; again where the one before has failed.
pub type Build = Box<dyn FnMut() -> Result<Box<dyn Generate>, EngineError> + Send>;

/// How much a model takes upon itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Requests that wait for room. One more is refused.
    pub waiting: usize,
    /// Tokens that a reader may be behind. One more, and its request is dropped.
    pub behind: usize,
}

impl Default for Bounds {
    fn default() -> Bounds {
        Bounds { waiting: 256, behind: 4096 }
    }
}

/// What comes of a request.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Event {
    /// It has been taken.
    Admitted,
    /// The generator's word. Nothing comes after its end.
    Produced(Produced),
    /// It can never be answered. Nothing comes after.
    Refused(String),
    /// The generator has failed while it did this request's work, as far as can be told; the same would fail again. Nothing comes after.
    Broken(String),
    /// The generator has failed, for whatever request. Nothing comes after.
    Failed(String),
}

/// Why a request is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotTaken {
    /// As many wait as may.
    #[error("{0} requests wait for this model, as many as may; try again in a moment")]
    LineIsFull(usize),
    /// The thread has gone.
    #[error("this model is not served any more; ask again")]
    Gone,
}

type Events = line::Sender<(RequestId, Event)>;

/// What is said to the thread.
enum Command {
    Ask(RequestId, Box<Request>, Events),
    Cancel(RequestId),
}

/// What thread and handles share.
#[derive(Debug, Default)]
struct Shared {
    /// Requests that were taken and are not read yet.
    waiting: AtomicUsize,
    load: Mutex<Load>,
}

/// A model at work.
#[derive(Debug)]
pub struct Served {
    name: String,
    commands: mpsc::Sender<Command>,
    shared: Arc<Shared>,
    bounds: Bounds,
    /// Closed once the thread has ended.
    thread: watch::Receiver<()>,
}

/// The name of the next request.
static NEXT: AtomicU64 = AtomicU64::new(0);

impl Served {
    /// Starts the thread, which makes its generator by `build`; comes back when that is there.
    ///
    /// # Errors
    /// Those of `build`, its panic, and of the system where it has no thread left.
    pub async fn start(name: &str, build: Build, bounds: Bounds) -> Result<Arc<Served>, ServedError> {
        let (commands, receiver) = mpsc::channel();
        let shared = Arc::new(Shared::default());
        let (sender, built) = oneshot::channel();
        let known = Arc::clone(&shared);
        let (alive, thread) = watch::channel(());
        std::thread::Builder::new().name(format!("serve {name}")).spawn(move || {
            // After the generator.
            let _alive = alive;
            Thread::new(build, receiver, known).run(sender);
        })?;
        match built.await {
            Ok(Ok(())) => Ok(Arc::new(Served { name: name.to_owned(), commands, shared, bounds, thread })),
            Ok(Err(problem)) => Err(ServedError::NotLoaded(problem)),
            Err(_) => Err(ServedError::NotLoaded("its thread ended".to_owned())),
        }
    }

    /// What people call it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Waits until the thread has ended, after the last handle has gone: then nothing of the model is computed any more, and it is not in
    /// memory. The wait itself holds no handle.
    pub fn ended(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut thread = self.thread.clone();
        async move { while thread.changed().await.is_ok() {} }
    }

    /// Hands requests over, all or none. What comes of them comes on one line, each with its request's name.
    pub(crate) fn ask(self: &Arc<Served>, requests: Vec<Request>) -> Result<Line, NotTaken> {
        let number = requests.len();
        let has_room = |waiting: usize| Some(waiting + number).filter(|all| *all <= self.bounds.waiting);
        let waiting = &self.shared.waiting;
        if waiting.fetch_update(Ordering::Relaxed, Ordering::Relaxed, has_room).is_err() {
            return Err(NotTaken::LineIsFull(waiting.load(Ordering::Relaxed)));
        }
        // A request that is behind fills no more than its own part.
        let (sender, events) = line::channel(self.bounds.behind.saturating_mul(number).max(1));
        let mut line = Line { served: Arc::clone(self), open: HashMap::new(), events };
        for (index, request) in requests.into_iter().enumerate() {
            let id = RequestId(NEXT.fetch_add(1, Ordering::Relaxed));
            line.open.insert(id, index);
            if self.commands.send(Command::Ask(id, Box::new(request), sender.clone())).is_err() {
                return Err(NotTaken::Gone);
            }
        }
        Ok(line)
    }

    /// What is in memory and under way. Requests that the thread has not seen yet are among those that wait.
    pub fn load(&self) -> Load {
        let load = *self.shared.load.lock().unwrap_or_else(PoisonError::into_inner);
        Load { waiting: self.shared.waiting.load(Ordering::Relaxed), ..load }
    }
}

/// Why a model is not served.
#[derive(Debug, thiserror::Error)]
pub enum ServedError {
    /// It could not be loaded.
    #[error("{0}")]
    NotLoaded(String),
    /// The system has no thread left.
    #[error("cannot start a thread: {0}")]
    Thread(#[from] std::io::Error),
}

/// Where the events of requests that belong together come. Dropping it lets go of those that have not ended.
#[derive(Debug)]
pub(crate) struct Line {
    served: Arc<Served>,
    /// The requests that have not ended, and which of those that were asked each is.
    open: HashMap<RequestId, usize>,
    events: line::Receiver<(RequestId, Event)>,
}

impl Line {
    /// The next event, with which of the requests it is of. `None` where all have ended, or the thread has dropped them.
    pub(crate) async fn next(&mut self) -> Option<(usize, Event)> {
        loop {
            if self.open.is_empty() {
                return None;
            }
            let (id, event) = self.events.recv().await?;
            let is_last =
                !matches!(event, Event::Admitted | Event::Produced(Produced::Read { .. } | Produced::Token(_)));
            let index = if is_last { self.open.remove(&id) } else { self.open.get(&id).copied() };
            // What comes of a request that was let go of meanwhile is nobody's.
            if let Some(index) = index {
                return Some((index, event));
            }
        }
    }

    /// Lets go of one of the requests.
    pub(crate) fn cancel(&mut self, index: usize) {
        let ids: Vec<RequestId> = self.open.iter().filter(|(_, it)| **it == index).map(|(id, _)| *id).collect();
        for id in ids {
            self.open.remove(&id);
            // Fails where the thread has gone, and the request with it.
            let _ = self.served.commands.send(Command::Cancel(id));
        }
    }

    /// Whether all requests have ended.
    pub(crate) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        for id in self.open.keys() {
            let _ = self.served.commands.send(Command::Cancel(*id));
        }
    }
}
