//! The connection to the coordinator: dialled from here, for ever, through every kind of absence.
//!
//! Promise: while an attempt is held, each of its reports reaches the coordinator at least once and in order, and each heartbeat
//! names it; a lost connection costs nothing but time. Reports go again from the last that `Welcome` acknowledges. An attempt
//! that `Welcome` does not name may not go on, and is stopped.

use crate::backoff;
use crate::child::process::GRACE;
use crate::held::{Attempts, Stop};
use crate::machine::{Offer, told};
use crate::manners::Conditions;
use crate::spool::Cursor;
use crate::state::Identity;
use futures::future::BoxFuture;
use std::collections::{HashMap, VecDeque};
use std::io;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, Interval, MissedTickBehavior};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};
use vertigo::api_error::{ApiError, ErrorCode};
use vertigo::bounds::{AWAY_BYTES_MAX, shorten};
use vertigo::endpoint::Endpoint;
use vertigo::id::{AttemptId, ProcessId};
use vertigo::v1::coordinator_message::Message as FromCoordinator;
use vertigo::v1::fleet_client::FleetClient;
use vertigo::v1::worker_message::Message as FromWorker;
use vertigo::v1::{self, Assignment, CoordinatorMessage, Drain, Heartbeat, Hello, ReportBatch, Welcome, WorkerMessage};
use vertigo_client::{Access, trouble};
use vertigo_host::presence::Presence;
use vertigo_host::shortage::withheld_bytes;

/// How long the coordinator may take to say `Welcome`.
const WELCOME: Duration = Duration::from_secs(10);

/// Heartbeats neither flood the coordinator nor stay away, whatever it asks for.
const BEAT_MIN: Duration = Duration::from_millis(10);
const BEAT_MAX: Duration = Duration::from_secs(60 * 60);

/// How long a worker that leaves at once waits for its last reports to be taken.
const LEAVE: Duration = GRACE.saturating_add(Duration::from_secs(2));

/// What the daemon is about to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Takes attempts.
    Serving,
    /// Takes no more, and goes when nothing is held.
    Draining,
    /// Goes at once.
    Leaving,
}

/// The coordinator will not have this worker, however often it asks: another one of its name is connected, or its id is another
/// installation's.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Refused(
    /// The coordinator's words: why, and what to do.
    pub String,
);

/// What a worker says on a stream.
pub type Outbound = ReceiverStream<WorkerMessage>;

/// A stream that is being begun.
pub type Dialled = BoxFuture<'static, Result<Streaming<CoordinatorMessage>, Status>>;

/// Begins a stream to the coordinator that is reached by `access`.
pub fn dial(access: &Access, outbound: Outbound) -> Dialled {
    let channel = access.channel();
    Box::pin(async move { Ok(FleetClient::new(channel).session(outbound).await?.into_inner()) })
}

/// A worker as the coordinator knows it.
pub struct Session<'a> {
    /// The installation.
    pub identity: &'a Identity,
    /// This start of the daemon.
    pub process: ProcessId,
    /// What people call it.
    pub name: &'a str,
    /// Where the coordinator is.
    pub endpoint: &'a Endpoint,
    /// Begins a stream to it: [`dial`], but in a simulation.
    pub dial: &'a (dyn Fn(Outbound) -> Dialled + Send + Sync),
    /// Draws uniformly from [0, 1), to spread what a fleet does at once.
    pub jitter: &'a (dyn Fn() -> f64 + Send + Sync),
    /// What this machine offers.
    pub machine: &'a dyn Offer,
    /// Whether it takes part, by the policy of its owner.
    pub presence: watch::Receiver<Presence>,
    /// What else its machine is doing.
    pub conditions: watch::Receiver<Conditions>,
    /// What is held.
    pub attempts: &'a Attempts,
    /// What became of the machine since the coordinator welcomed this worker last.
    pub reboots: &'a (dyn Fn() -> Vec<v1::Reboot> + Send + Sync),
    /// Takes a policy of the machine's owner.
    pub set_policy: &'a (dyn Fn(&str) + Send + Sync),
    /// Has what runs saved and given back, and the daemon start anew.
    pub start_anew: &'a (dyn Fn() + Send + Sync),
    /// Takes an assignment.
    pub take: &'a (dyn Fn(Assignment) + Send + Sync),
    /// Called at each `Welcome`.
    pub welcomed: &'a (dyn Fn() + Send + Sync),
}

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
enum Lost {
    #[error(transparent)]
    Refused(Refused),
    /// Another process has this worker's session: the coordinator's words.
    #[error("{0}")]
    OtherProcess(String),
    #[error("{}", trouble(.0.as_ref()).unwrap_or_else(|| .0.message().to_owned()))]
    Status(Box<Status>),
    #[error("the coordinator {0}")]
    Protocol(&'static str),
    #[error("cannot read an attempt's reports: {0}")]
    Spool(#[from] io::Error),
}

impl Session<'_> {
    /// Serves until the daemon is to go and nothing is held, or, where it leaves at once, until its last reports were taken or
    /// seven seconds have passed.
    ///
    /// # Errors
    /// [`Refused`]. Everything else is tried again.
    pub async fn run(&self, phase: watch::Receiver<Phase>) -> Result<(), Refused> {
        tokio::select! {
            biased;
            taken = self.dial_for_ever(phase.clone()) => Err(taken),
            () = self.may_go(phase) => Ok(()),
        }
    }

    async fn dial_for_ever(&self, phase: watch::Receiver<Phase>) -> Refused {
        let mut failures = 0;
        loop {
            let mut welcomed = None;
            let lost = match self.connection(phase.clone(), &mut welcomed).await {
                Lost::Refused(taken) => return taken,
                lost => lost,
            };
            failures = backoff::one_more(failures, welcomed.map_or(Duration::ZERO, |at: Instant| at.elapsed()));
            if let Lost::OtherProcess(reason) = lost {
                let wait = backoff::delay(failures, (self.jitter)(), backoff::LONGEST_REFUSED);
                tracing::warn!(?wait, "not let in, asking again: {reason}");
                tokio::time::sleep(wait).await;
                continue;
            }
            let wait = backoff::delay(failures, (self.jitter)(), backoff::LONGEST);
            if failures == 1 {
                tracing::warn!(
                    "no connection to the coordinator at {}: {lost}; dialling again until there is one",
                    self.endpoint
                );
            } else {
                tracing::debug!(failures, ?wait, "no connection to the coordinator: {lost}");
            }
            tokio::time::sleep(wait).await;
        }
    }

    async fn may_go(&self, mut phase: watch::Receiver<Phase>) {
        let mut news = self.attempts.news();
        // The sender lives as long as the daemon; without it there is nothing to wait for.
        let _ = phase.wait_for(|phase| *phase != Phase::Serving).await;
        let late = async {
            let _ = phase.wait_for(|phase| *phase == Phase::Leaving).await;
            tokio::time::sleep(LEAVE).await;
        };
        let empty = async {
            while !self.attempts.is_empty() {
                let _ = news.changed().await;
            }
        };
        tokio::select! {
            biased;
            () = late => {}
            () = empty => {}
        }
    }

    /// One connection, to its end. `welcomed` is when it was.
    async fn connection(&self, phase: watch::Receiver<Phase>, welcomed: &mut Option<Instant>) -> Lost {
        // Few, so that a slow coordinator slows the sending and nothing piles up here.
        let (sender, receiver) = mpsc::channel(4);
        let hello = self.hello();
        let named: Vec<AttemptId> = hello.held.iter().filter_map(|held| held.attempt_id.parse().ok()).collect();
        let opened = async {
            let _ = sender.send(message(FromWorker::Hello(hello))).await;
            let mut inbound = (self.dial)(ReceiverStream::new(receiver)).await?;
            let first = inbound.message().await?;
            Ok::<_, Status>((inbound, first))
        };
        let (inbound, welcome) = match tokio::time::timeout(WELCOME, opened).await {
            Err(_) => return Lost::Protocol("did not answer in time"),
            Ok(Err(status)) => return self.lost(status),
            Ok(Ok((inbound, Some(CoordinatorMessage { message: Some(FromCoordinator::Welcome(welcome)) })))) => {
                (inbound, welcome)
            }
            Ok(Ok(_)) => return Lost::Protocol("did not begin with Welcome"),
        };
        *welcomed = Some(Instant::now());
        (self.welcomed)();
        let cursors = match self.go_on(&named, &welcome) {
            Ok(cursors) => cursors,
            Err(error) => return error.into(),
        };
        let mut heartbeat =
            tokio::time::interval(Duration::from_millis(welcome.heartbeat_ms).clamp(BEAT_MIN, BEAT_MAX));
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Connection { session: self, sender, inbound, heartbeat, phase, outbox: VecDeque::new(), cursors }.serve().await
    }

    fn hello(&self) -> Hello {
        Hello {
            worker_id: self.identity.id.to_string(),
            name: self.name.to_owned(),
            machine: Some(self.machine.describe()),
            held: self.attempts.named(),
            secret: self.identity.secret.to_bytes(),
            process: self.process.to_string(),
            reboots: (self.reboots)(),
            away: self.away(),
            conditions: Some(self.told_conditions()),
        }
    }

    /// What the coordinator is told of the machine beside.
    fn told_conditions(&self) -> v1::Conditions {
        let Conditions { is_watched, memory } = *self.conditions.borrow();
        let screen = match is_watched {
            None => v1::Screen::Unspecified,
            Some(true) => v1::Screen::Watched,
            Some(false) => v1::Screen::Unwatched,
        };
        v1::Conditions { screen: screen.into(), withheld_bytes: withheld_bytes(memory, self.machine.usable().0) }
    }

    /// Why no attempt is to be given to this worker; empty where one may be.
    fn away(&self) -> String {
        let presence = self.presence.borrow();
        presence.reason().map(|reason| shorten(reason, AWAY_BYTES_MAX).into_owned()).unwrap_or_default()
    }

    fn heartbeat(&self) -> FromWorker {
        FromWorker::Heartbeat(Heartbeat {
            free_bytes: self.machine.free().0,
            disk_free_bytes: told(self.machine.disk_free()),
            held: self.attempts.named(),
            away: self.away(),
            conditions: Some(self.told_conditions()),
        })
    }

    /// Where sending goes on, of the attempts that may go on. The others are stopped.
    fn go_on(&self, named: &[AttemptId], welcome: &Welcome) -> io::Result<HashMap<AttemptId, Cursor>> {
        let acks: HashMap<AttemptId, u64> =
            welcome.acks.iter().filter_map(|ack| Some((ack.attempt_id.parse().ok()?, ack.number))).collect();
        let mut cursors = HashMap::new();
        for id in named {
            match acks.get(id) {
                None => self.attempts.stop(*id, Stop::LeaseOver("the coordinator has given it up".to_owned())),
                Some(number) => self.attempts.acknowledged(*id, *number),
            }
        }
        for attempt in self.attempts.all() {
            if let Some(number) = acks.get(&attempt.id()) {
                cursors.insert(attempt.id(), attempt.after(*number)?);
            }
        }
        Ok(cursors)
    }

    fn lost(&self, status: Status) -> Lost {
        match ErrorCode::of(&status) {
            Some(ErrorCode::NameTaken | ErrorCode::OtherInstallation) => {
                Lost::Refused(Refused(status.message().to_owned()))
            }
            // It was revoked, or another worker has joined in its place: it would be refused for ever.
            Some(ErrorCode::Stranger) => Lost::Refused(Refused(ApiError::words(&status))),
            Some(ErrorCode::OtherProcess) => Lost::OtherProcess(status.message().to_owned()),
            _ => Lost::Status(Box::new(status)),
        }
    }
}

/// A connection that was welcomed.
struct Connection<'a> {
    session: &'a Session<'a>,
    sender: mpsc::Sender<WorkerMessage>,
    inbound: Streaming<CoordinatorMessage>,
    heartbeat: Interval,
    phase: watch::Receiver<Phase>,
    /// Messages that go before reports.
    outbox: VecDeque<FromWorker>,
    /// How far each attempt's reports were sent.
    cursors: HashMap<AttemptId, Cursor>,
}

impl Connection<'_> {
    async fn serve(mut self) -> Lost {
        let attempts = self.session.attempts;
        let (mut news, sender) = (attempts.news(), self.sender.clone());
        let mut presence = self.session.presence.clone();
        let mut conditions = self.session.conditions.clone();
        let mut unsent = true;
        if *self.phase.borrow_and_update() != Phase::Serving {
            self.outbox.push_back(FromWorker::Drain(Drain {}));
        }
        loop {
            // Sending waits in its own branch: a coordinator that reads slowly is still listened to.
            // What comes rarely goes first, and reports last, of which there may be any number.
            tokio::select! {
                biased;
                received = self.inbound.message() => match received {
                    Ok(Some(received)) => self.receive(received),
                    Ok(None) => return Lost::Protocol("closed the connection"),
                    Err(status) => return self.session.lost(status),
                },
                _ = news.changed() => unsent = true,
                _ = self.heartbeat.tick() => {
                    if !self.outbox.iter().any(|queued| matches!(queued, FromWorker::Heartbeat(_))) {
                        self.outbox.push_back(self.session.heartbeat());
                    }
                }
                // At once: whatever is assigned to a worker that goes has to come back.
                Ok(()) = presence.changed() => self.beat_at_once(),
                Ok(()) = conditions.changed() => self.beat_at_once(),
                Ok(()) = self.phase.changed() => {
                    if *self.phase.borrow_and_update() == Phase::Draining {
                        self.outbox.push_back(FromWorker::Drain(Drain {}));
                    }
                }
                permit = sender.reserve(), if unsent || !self.outbox.is_empty() => {
                    let Ok(permit) = permit else { return Lost::Protocol("closed the connection") };
                    match self.next_message() {
                        Ok(Some(next)) => permit.send(message(next)),
                        Ok(None) => unsent = false,
                        Err(error) => return error.into(),
                    }
                }
            }
        }
    }

    fn beat_at_once(&mut self) {
        self.outbox.retain(|queued| !matches!(queued, FromWorker::Heartbeat(_)));
        self.outbox.push_back(self.session.heartbeat());
    }

    fn receive(&mut self, received: CoordinatorMessage) {
        let attempts = self.session.attempts;
        let (id, act): (String, Box<dyn FnOnce(AttemptId)>) = match received.message {
            Some(FromCoordinator::Assignment(assignment)) => return (self.session.take)(assignment),
            Some(FromCoordinator::Policy(policy)) => return (self.session.set_policy)(&policy.when),
            Some(FromCoordinator::StartAnew(_)) => return (self.session.start_anew)(),
            Some(FromCoordinator::Ack(ack)) => {
                (ack.attempt_id, Box::new(move |id| attempts.acknowledged(id, ack.number)))
            }
            Some(FromCoordinator::Stop(stop)) => {
                (stop.attempt_id, Box::new(move |id| attempts.stop(id, Stop::LeaseOver(stop.reason))))
            }
            Some(FromCoordinator::Welcome(_)) | None => return,
        };
        match id.parse() {
            Ok(id) => act(id),
            Err(error) => tracing::warn!(%error, "the coordinator named no attempt"),
        }
    }

    /// What to send next: what is in the outbox, then the reports that were not sent on this connection.
    fn next_message(&mut self) -> io::Result<Option<FromWorker>> {
        if let Some(next) = self.outbox.pop_front() {
            return Ok(Some(next));
        }
        for attempt in self.session.attempts.all().iter().filter(|attempt| !attempt.is_over()) {
            let cursor = self.cursors.entry(attempt.id()).or_insert(Cursor::START);
            let reports = attempt.read(cursor)?;
            if !reports.is_empty() {
                let (attempt_id, epoch) = (attempt.id().to_string(), attempt.epoch().0);
                return Ok(Some(FromWorker::Reports(ReportBatch { attempt_id, epoch, reports })));
            }
        }
        Ok(None)
    }
}

fn message(message: FromWorker) -> WorkerMessage {
    WorkerMessage { message: Some(message) }
}
