//! The one thread that changes things.

use super::StoreError;
use super::clock::Clock;
use super::durable::Durable;
use crate::core::{Archive, Command, Core, Kinds, Moment, Outgoing, Refusal, SessionId, Settings, Snapshot};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use tokio::runtime;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;
use vertigo::id::{AttemptId, Millis};

/// Called for each message to a worker, after the commit, in order. Must not block.
pub type Outbox = Box<dyn Fn(SessionId, Outgoing) + Send>;

/// Commands in a transaction.
const BATCH: usize = 256;

/// What waits for the writer.
pub(super) enum Request {
    Change(Box<dyn Change>),
    Read(Box<dyn FnOnce(&Core) + Send>),
    Stop,
}

/// A command that is made of the state that it changes, and an answer from the state after it.
pub(super) trait Change: Send {
    /// What to carry out, by the state as it is now; `None` where there is nothing to do.
    fn decide(&mut self, core: &Core) -> Option<Command>;

    /// Called once, when what it did is committed.
    fn answer(self: Box<Self>, core: &Core, outcome: Result<(), Refusal>);
}

/// The writer's thread.
#[derive(Debug)]
pub struct Writer {
    thread: JoinHandle<()>,
    ended: oneshot::Receiver<Result<(), StoreError>>,
}

impl Writer {
    /// Waits until the writer has ended: because it was told to, because nobody can ask it any more, or by an error, after which
    /// the process must not go on.
    ///
    /// # Errors
    /// A commit failed, or the thread panicked.
    pub async fn ended(self) -> Result<(), StoreError> {
        let outcome = self.ended.await.unwrap_or_else(|_| Err(StoreError::Writer("it panicked".to_owned())));
        // It is past its last statement, so this does not wait; afterwards the folder's lock is free.
        let _ = tokio::task::spawn_blocking(move || self.thread.join()).await;
        outcome
    }
}

/// What the core begins with.
pub(super) struct Beginning {
    pub(super) snapshot: Snapshot,
    pub(super) settings: Settings,
    pub(super) kinds: Box<dyn Kinds>,
    pub(super) archive: Arc<dyn Archive>,
}

/// What the writer takes from outside besides commands.
pub(super) struct Outside {
    pub(super) clock: Clock,
    /// Uniform in [0, 1).
    pub(super) jitter: Box<dyn FnMut() -> f64 + Send>,
    /// A name that no attempt had before.
    pub(super) name: Box<dyn FnMut() -> AttemptId + Send>,
}

impl Outside {
    fn real() -> Outside {
        Outside { clock: Clock::start(), jitter: Box::new(rand::random), name: Box::new(AttemptId::new) }
    }
}

/// Whom the writer tells.
pub(super) struct Told {
    /// The journal's last position.
    pub(super) announce: watch::Sender<u64>,
    pub(super) outbox: Outbox,
}

/// Starts the writer on a thread of its own.
pub(super) fn start(
    database: Box<dyn Durable>,
    beginning: Beginning,
    requests: mpsc::Receiver<Request>,
    told: Told,
) -> Result<Writer, StoreError> {
    let failed = |error: std::io::Error| StoreError::Writer(error.to_string());
    let runtime = runtime::Builder::new_current_thread().enable_time().build().map_err(failed)?;
    let (end, ended) = oneshot::channel();
    let run = move || {
        // The database is closed by then, and its folder is free.
        let outcome = runtime.block_on(run(database, beginning, Outside::real(), requests, told));
        // Nobody may be waiting.
        let _ = end.send(outcome);
    };
    let thread = thread::Builder::new().name("writer".to_owned()).spawn(run).map_err(failed)?;
    Ok(Writer { thread, ended })
}

/// Writes until it is told to stop or nobody can ask it any more.
pub(super) async fn run(
    database: Box<dyn Durable>,
    beginning: Beginning,
    outside: Outside,
    requests: mpsc::Receiver<Request>,
    told: Told,
) -> Result<(), StoreError> {
    let began = outside.clock.now();
    let Beginning { snapshot, settings, kinds, archive } = beginning;
    let core = Core::restore(settings, kinds, archive, snapshot, began);
    WriterState { database, core, outside, began, lease_ms: settings.lease_ms, told }.run(requests).await
}

struct WriterState {
    database: Box<dyn Durable>,
    core: Core,
    outside: Outside,
    /// When the last batch began.
    began: Millis,
    lease_ms: u64,
    told: Told,
}

impl WriterState {
    async fn run(mut self, mut requests: mpsc::Receiver<Request>) -> Result<(), StoreError> {
        let mut batch = Vec::new();
        // Jobs that were queued when the last process ended learn why they wait.
        self.batch(&mut batch)?;
        loop {
            let receive = requests.recv_many(&mut batch, BATCH);
            let closed = match self.core.next_deadline() {
                // Past the deadline there is an empty batch to carry out: time has passed. There is one in a third of a lease in
                // any case, so that a longer pause between two batches is known to be none of ours.
                Some(deadline) => {
                    let wake = deadline.min(self.began.plus(self.lease_ms / 3));
                    timeout(self.outside.clock.until(wake), receive).await == Ok(0)
                }
                None => receive.await == 0,
            };
            if closed || self.batch(&mut batch)? == Next::Stop {
                return Ok(());
            }
        }
    }

    /// Carries out what waits, commits, and only then answers.
    fn batch(&mut self, batch: &mut Vec<Request>) -> Result<Next, StoreError> {
        let moment = Moment { now: self.outside.clock.now(), jitter: (self.outside.jitter)() };
        let before = std::mem::replace(&mut self.began, moment.now);
        if moment.now > before.plus(self.lease_ms / 2) {
            // A disk that stood still, or a process that was stopped: heartbeats wait behind it.
            self.core.renew_all(moment.now);
        }
        let (mut answers, mut reads, mut next) = (Vec::new(), Vec::new(), Next::Continue);
        for request in batch.drain(..) {
            match request {
                Request::Change(mut change) => {
                    let outcome = self.change(moment, change.decide(&self.core));
                    answers.push((change, outcome));
                }
                Request::Read(look) => reads.push(look),
                Request::Stop => {
                    next = Next::Stop;
                    break;
                }
            }
        }
        self.core.tick(moment);
        self.core.place(moment.now, &mut std::iter::repeat_with(&mut self.outside.name));
        let effects = self.core.take_effects();
        if effects.is_durable() {
            self.database.commit(&self.core, &effects)?;
            self.core.let_go(&effects);
        }
        // First, so that a feed which is asked for after an answer begins behind what was answered.
        if let Some(last) = effects.journal.last() {
            self.told.announce.send_replace(last.seq);
        }
        for (session, message) in effects.outbox {
            (self.told.outbox)(session, message);
        }
        answers.into_iter().for_each(|(change, outcome)| change.answer(&self.core, outcome));
        for look in reads {
            look(&self.core);
        }
        Ok(next)
    }

    fn change(&mut self, moment: Moment, command: Option<Command>) -> Result<(), Refusal> {
        let Some(command) = command else { return Ok(()) };
        let name = command.name();
        let outcome = self.core.apply(moment, command);
        if let Err(refusal) = &outcome {
            tracing::debug!(command = name, %refusal, "refused");
        }
        outcome
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    Continue,
    Stop,
}
