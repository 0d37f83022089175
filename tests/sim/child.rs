//! Attempts' children, played over the product's table of attempts: the supervisor's promises, without a process.

use crate::chance::Chance;
use crate::coordinator::BLOB;
use crate::witness::Witness;
use crate::worker::is_calm;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;
use vertigo::bytes::Bytes;
use vertigo::id::{Digest, Epoch};
use vertigo::manifest::{FileEntry, Kind, Manifest};
use vertigo::task::{Cure, Failure, GIVEN_BACK, Slot, TaskKind, role};
use vertigo::v1::report::Body;
use vertigo::v1::{self, Assignment, Checkpoint, Finished, LogLine, Made, Outputs, Started, finished};
use vertigo_host::presence::Presence;
use vertigo_worker::held::{Attempt, Attempts};
use vertigo_worker::supervisor::{self, Halt, Slots, unless_stopped};

/// What the attempts of a process share.
pub(crate) struct Children {
    pub(crate) process: String,
    pub(crate) chance: Chance,
    pub(crate) witness: Witness,
    pub(crate) calm: Arc<AtomicBool>,
    pub(crate) usable: Bytes,
    pub(crate) slots: Slots,
    pub(crate) attempts: Arc<Attempts>,
    pub(crate) alive: CancellationToken,
    /// Whether the machine's owner lets it take part.
    pub(crate) presence: watch::Receiver<Presence>,
}

/// An artifact of a name of its own.
pub(crate) fn artifact(kind: Kind, name: &str, facts: Value) -> Manifest {
    let file = FileEntry { path: name.to_owned(), digest: Digest::of(BLOB), bytes: Bytes(BLOB.len() as u64) };
    let facts: BTreeMap<String, Value> = match facts {
        Value::Object(facts) => facts.into_iter().collect(),
        _ => BTreeMap::new(),
    };
    Manifest::new(kind, vec![file], facts).expect("one file with a plain name is an artifact")
}

/// Takes an assignment, as the product's supervisor does.
pub(crate) fn take(children: &Arc<Children>, assignment: Assignment) {
    let id = assignment.attempt_id.parse().expect("the coordinator names an attempt");
    let begun = children.attempts.begin(id, Epoch(assignment.epoch)).expect("the history's folder can be written");
    let Some(attempt) = begun else { return };
    check_room(children, &assignment);
    let (children, alive) = (children.clone(), children.alive.clone());
    tokio::spawn(async move {
        let work = async {
            let result = Child { children: &children, attempt: &attempt, given: &assignment }.work().await;
            if let Ok(finished) = &result {
                children.witness.said(&assignment.attempt_id, &Body::Finished(finished.clone()));
            } else if let Err(Halt::Failed { failure, .. }) = &result
                && !attempt.is_over()
            {
                let failed = finished::Outcome::Failure(failure.clone().into());
                let finished = Finished { peak_bytes: 0, outcome: Some(failed) };
                children.witness.said(&assignment.attempt_id, &Body::Finished(finished));
            }
            supervisor::end(&children.attempts, &attempt, result);
            children.witness.note(format!("{} is gone", assignment.attempt_id));
        };
        let _ = alive.run_until_cancelled(work).await;
    });
}

/// Promise 4: what runs here and was not told to stop fits, with what comes now.
fn check_room(children: &Children, given: &Assignment) {
    let seen = children.witness.seen();
    let (mut reserved, mut in_slot) = (0, 0);
    for attempt in children.attempts.all() {
        let id = attempt.id().to_string();
        let has_ended = seen.said.get(&id).and_then(|said| said.last()).is_some_and(|last| last.starts_with('f'));
        if attempt.stop_reason().is_some() || has_ended {
            continue;
        }
        let Some(other) = seen.given.values().find(|it| it.attempt == id) else { continue };
        reserved += other.assignment.reserved_bytes;
        in_slot += usize::from(other.assignment.slot == given.slot);
    }
    drop(seen);
    let slots = if given.slot() == v1::Slot::Gpu { 1 } else { 2 };
    if reserved > children.usable.0 || in_slot > slots {
        let process = &children.process;
        let problem = format!("promise 4: {process} has {in_slot} attempts in a slot and {reserved} bytes reserved");
        children.witness.violation(problem);
    }
}

struct Child<'a> {
    children: &'a Children,
    attempt: &'a Attempt,
    given: &'a Assignment,
}

impl Child<'_> {
    fn say(&self, body: Body) {
        if !self.attempt.is_over() {
            self.children.witness.said(&self.given.attempt_id, &body);
            self.attempt.mention(body);
        }
    }

    fn name(&self, what: &str) -> String {
        format!("{}-{}-{what}", self.given.job_id, self.given.epoch)
    }

    fn make(&self, kind: Kind, what: &str, facts: Value) -> Manifest {
        let manifest = artifact(kind, &self.name(what), facts);
        let mut seen = self.children.witness.seen();
        seen.made.insert(manifest.digest().to_string(), self.given.attempt_id.clone());
        drop(seen);
        manifest
    }

    /// A pause of the work; a stop that comes meanwhile takes the child as long as it likes, within the grace. Where the worker is away
    /// it is given back, with a checkpoint or without.
    async fn pause(&self, from: u64, to: u64) -> Result<(), Halt> {
        let (chance, presence) = (&self.children.chance, &self.children.presence);
        let end = Instant::now() + chance.millis(from, to);
        // Looked at: who of several waits for a change hears of it first is no seed's.
        let work = async {
            while Instant::now() < end {
                if matches!(*presence.borrow(), Presence::Away { .. }) {
                    return true;
                }
                sleep_until(end.min(Instant::now() + LOOK)).await;
            }
            false
        };
        let is_away = match unless_stopped(self.attempt, work).await {
            Ok(is_away) => is_away,
            Err(stopped) => {
                sleep(chance.millis(1, 5_000)).await;
                return Err(stopped);
            }
        };
        if !is_away {
            return Ok(());
        }
        unless_stopped(self.attempt, sleep(chance.millis(1, 40_000))).await?;
        if chance.happens(0.7) {
            let iter = self.given.epoch * 10 + 9;
            let manifest = self.make(Kind::Checkpoint, "at-its-leaving", json!({"iter": iter}));
            self.say(Body::Checkpoint(Checkpoint { iter, manifest_json: manifest.to_json() }));
        }
        let failure = Failure::new(Cure::Later, GIVEN_BACK, "its lid is closed");
        Err(Halt::Failed { failure, peak: Bytes::ZERO })
    }

    async fn work(&self) -> Result<Finished, Halt> {
        let (children, chance) = (self.children, &self.children.chance);
        self.pause(1, 2_000).await?;
        let slot = if self.given.slot() == v1::Slot::Gpu { Slot::Gpu } else { Slot::Cpu };
        let _turn = unless_stopped(self.attempt, children.slots.of(slot).acquire()).await?;
        let resumed_at = if self.given.checkpoint_digest.is_empty() { 0 } else { 1 };
        self.say(Body::Started(Started { resumed_at, iters: 100, ..Started::default() }));
        for step in 0..1 + chance.below(6) {
            self.pause(100, 8_000).await?;
            self.say(Body::Log(LogLine { text: self.name(&format!("step-{step}")) }));
            if chance.happens(0.3) {
                let iter = self.given.epoch * 10 + step as u64;
                let manifest = self.make(Kind::Checkpoint, &format!("at-{step}"), json!({"iter": iter}));
                self.say(Body::Checkpoint(Checkpoint { iter, manifest_json: manifest.to_json() }));
            }
        }
        if is_calm(&children.calm) || chance.happens(0.6) {
            return Ok(self.finish());
        }
        self.fail().await
    }

    fn finish(&self) -> Finished {
        let kind = match self.given.task.as_ref().and_then(|task| task.kind.as_ref()) {
            Some(v1::task::Kind::Fuse(_)) => TaskKind::Fuse,
            _ => TaskKind::Train,
        };
        let input = |role: &str| {
            let found = self.given.inputs.iter().find(|given| given.role == role);
            found.map_or(Value::Null, |given| given.digest.clone().into())
        };
        let made = |output: &vertigo::task::OutputRole| {
            let facts = match output.kind {
                Kind::Model => json!({"config": vertigo_testkit::base::text_config()}),
                _ => json!({"base": input(role::BASE), "data": input(role::DATA)}),
            };
            let manifest_json = self.make(output.kind, output.role, facts).to_json();
            Made { role: output.role.to_owned(), manifest_json }
        };
        let outputs = Outputs { made: kind.outputs().iter().map(made).collect(), remark: String::new() };
        Finished { peak_bytes: 0, outcome: Some(finished::Outcome::Outputs(outputs)) }
    }

    async fn fail(&self) -> Result<Finished, Halt> {
        let chance = &self.children.chance;
        let cures = [Cure::Never, Cure::MoreMemory, Cure::AnotherMachine, Cure::Later, Cure::FreshProcess];
        let cure = match chance.below(8) {
            n @ 0..5 => cures[n],
            5 => Cure::Later,
            // It hangs until the worker has had enough.
            _ => {
                self.pause(30_000, 200_000).await?;
                Cure::FreshProcess
            }
        };
        let failure = Failure::new(cure, "played", format!("it is played: {cure:?}"));
        Err(Halt::Failed { failure, peak: Bytes::ZERO })
    }
}

/// Between two looks at whether the worker is away.
const LOOK: Duration = Duration::from_millis(300);

/// How long a child takes at most to be gone once it was told to stop.
pub(crate) const GRACE: Duration = Duration::from_secs(5);
