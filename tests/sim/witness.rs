//! What is seen from outside while a history goes on: what the network delivered to workers, what played children did, what
//! clients were answered. What contradicts a promise at once is noted at once; the rest is compared at the end.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::time::Instant;
use vertigo::id::Digest;
use vertigo::v1::{self, JobState, report::Body};

/// What was seen. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Witness(Arc<Mutex<Seen>>);

#[derive(Debug)]
pub(crate) struct Seen {
    began: Instant,
    trace: Vec<String>,
    pub(crate) violations: Vec<String>,
    /// Which attempt an epoch of a job is, and which process was given it.
    pub(crate) given: BTreeMap<(String, u64), Given>,
    /// What each attempt has said, in order: its spool's numbers are 1, 2, 3, ….
    pub(crate) said: BTreeMap<String, Vec<String>>,
    /// Up to which report each attempt was told that all is taken.
    pub(crate) acked: BTreeMap<String, u64>,
    /// Which attempt made an artifact.
    pub(crate) made: BTreeMap<String, String>,
    /// Names of machines that were set up anew.
    pub(crate) anew: BTreeSet<String>,
    /// Jobs that a client has tried to submit.
    pub(crate) asked: BTreeSet<String>,
    /// Jobs of which a client was told that they are queued.
    pub(crate) queued: BTreeSet<String>,
    /// The final state in which each job was first seen.
    pub(crate) ended: BTreeMap<String, JobState>,
    /// Inputs as they were first resolved: job, variant and role.
    inputs: BTreeMap<(String, usize, String), String>,
}

/// An assignment as it was delivered.
#[derive(Debug, Clone)]
pub(crate) struct Given {
    pub(crate) attempt: String,
    pub(crate) process: String,
    pub(crate) assignment: v1::Assignment,
}

pub(crate) fn is_final(state: JobState) -> bool {
    matches!(state, JobState::Succeeded | JobState::Failed | JobState::Cancelled)
}

/// What a report says, but for the time, in a form in which the child's and the journal's are the same.
pub(crate) fn words(body: &Body) -> String {
    match body {
        Body::Log(line) => format!("log {}", line.text),
        Body::Started(it) => format!("started at {}", it.resumed_at),
        Body::Checkpoint(it) => format!("checkpoint {}", it.iter),
        Body::Finished(it) => match &it.outcome {
            Some(v1::finished::Outcome::Outputs(outputs)) => format!("finished {} outputs", outputs.made.len()),
            Some(v1::finished::Outcome::Failure(failure)) => format!("failed {:?}", failure.cure()),
            None => "finished without an outcome".to_owned(),
        },
        other => format!("{other:?}"),
    }
}

impl Witness {
    pub(crate) fn new() -> Witness {
        Witness(Arc::new(Mutex::new(Seen {
            began: Instant::now(),
            trace: Vec::new(),
            violations: Vec::new(),
            given: BTreeMap::new(),
            said: BTreeMap::new(),
            acked: BTreeMap::new(),
            made: BTreeMap::new(),
            anew: BTreeSet::new(),
            asked: BTreeSet::new(),
            queued: BTreeSet::new(),
            ended: BTreeMap::new(),
            inputs: BTreeMap::new(),
        })))
    }

    pub(crate) fn seen(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a line to the history.
    pub(crate) fn note(&self, line: impl Into<String>) {
        self.seen().note(line.into());
    }

    pub(crate) fn violation(&self, problem: String) {
        self.seen().violation(problem);
    }

    /// What the network delivered to a worker's process.
    pub(crate) fn delivered(&self, process: &str, message: v1::CoordinatorMessage) {
        use v1::coordinator_message::Message;
        let mut seen = self.seen();
        match message.message {
            Some(Message::Welcome(welcome)) => {
                let acks: Vec<_> = welcome.acks.iter().map(|ack| (&*ack.attempt_id, ack.number)).collect();
                seen.note(format!("{process} is welcomed {acks:?}"));
                welcome.acks.iter().for_each(|ack| seen.acknowledge(ack));
            }
            Some(Message::Ack(ack)) => {
                seen.note(format!("{process} ack {} {}", ack.attempt_id, ack.number));
                seen.acknowledge(&ack);
            }
            Some(Message::Stop(stop)) => seen.note(format!("{process} stop {} {}", stop.attempt_id, stop.reason)),
            Some(Message::StartAnew(_)) => seen.note(format!("{process} is to start anew")),
            Some(Message::Policy(policy)) => seen.note(format!("{process} policy {policy:?}")),
            Some(Message::Assignment(assignment)) => seen.assigned(process, assignment),
            None => seen.violation(format!("{process} was sent an empty message")),
        }
    }

    /// An attempt has written a report down.
    pub(crate) fn said(&self, attempt: &str, body: &Body) {
        let mut seen = self.seen();
        let words = words(body);
        seen.note(format!("{attempt} says {words}"));
        seen.said.entry(attempt.to_owned()).or_default().push(words);
    }

    /// Which jobs were seen to have ended, before somebody asks.
    pub(crate) fn ended(&self) -> BTreeMap<String, JobState> {
        self.seen().ended.clone()
    }

    /// A job as a client was shown it, who asked when `ended` had been seen to have ended: answers overtake one another.
    pub(crate) fn shown(&self, job: &v1::Job, ended: &BTreeMap<String, JobState>) {
        let mut seen = self.seen();
        let state = job.state();
        seen.note(format!("shown {} {state:?} {}", job.id, job.attempts.len()));
        let known = if is_final(state) { seen.ended.get(&job.id).copied() } else { ended.get(&job.id).copied() };
        if let Some(before) = known.filter(|before| *before != state) {
            seen.violation(format!("promise 2: job {} was {before:?} and is {state:?}", job.id));
        }
        if is_final(state) {
            seen.ended.entry(job.id.clone()).or_insert(state);
        }
        let running = job.attempts.iter().filter(|it| it.state() == v1::AttemptState::Running).count();
        if running > 1 || (running == 1) != (state == JobState::Leased) {
            seen.violation(format!("promise 1: job {} is {state:?} with {running} running attempts", job.id));
        }
        if state == JobState::Blocked && job.waits_for.is_empty() {
            seen.violation(format!("promise 8: job {} is blocked and names nobody", job.id));
        }
        for (n, variant) in job.variants.iter().enumerate() {
            for input in variant.inputs.iter().filter(|input| !input.digest.is_empty()) {
                let key = (job.id.clone(), n, input.role.clone());
                let before = seen.inputs.entry(key).or_insert_with(|| input.digest.clone()).clone();
                if before != input.digest {
                    seen.violation(format!("promise 10: input {} of job {} has changed", input.role, job.id));
                }
            }
        }
    }

    /// All jobs, as a client was shown them in one answer; `queued_before` were answered before it asked.
    pub(crate) fn listed(
        &self,
        jobs: &[v1::Job],
        (queued_before, ended): (&BTreeSet<String>, &BTreeMap<String, JobState>),
    ) {
        let states: BTreeMap<&str, JobState> = jobs.iter().map(|job| (&*job.id, job.state())).collect();
        for job in jobs {
            self.shown(job, ended);
            let waits_for_nobody = job.waits_for.iter().all(|id| states.get(&**id).is_none_or(|it| is_final(*it)));
            if job.state() == JobState::Blocked && waits_for_nobody {
                self.violation(format!("promise 8: job {} waits for {:?}, which have ended", job.id, job.waits_for));
            }
        }
        let mut seen = self.seen();
        let lost: Vec<String> = queued_before.iter().filter(|id| !states.contains_key(&***id)).cloned().collect();
        lost.iter().for_each(|id| seen.violation(format!("promise 5: job {id} was queued and is not there")));
        let foreign: Vec<_> = states.keys().filter(|id| !seen.asked.contains(**id)).map(|id| id.to_string()).collect();
        foreign.iter().for_each(|id| seen.violation(format!("job {id} is there and nobody has submitted it")));
    }

    /// The history's name: the same for the same history.
    pub(crate) fn hash(&self) -> String {
        Digest::of(self.seen().trace.join("\n").as_bytes()).to_string()
    }

    /// The history, for people.
    pub(crate) fn trace(&self) -> Vec<String> {
        self.seen().trace.clone()
    }
}

impl Seen {
    fn note(&mut self, line: String) {
        let ms = self.began.elapsed().as_millis();
        self.trace.push(format!("{ms:>8} {line}"));
    }

    fn violation(&mut self, problem: String) {
        self.note(format!("VIOLATION {problem}"));
        self.violations.push(problem);
    }

    fn acknowledge(&mut self, ack: &v1::Ack) {
        let said = self.said.get(&ack.attempt_id).map_or(0, |said| said.len() as u64);
        if ack.number > said {
            self.violation(format!("{} is acknowledged up to {} and has said {said}", ack.attempt_id, ack.number));
        }
        let acked = self.acked.entry(ack.attempt_id.clone()).or_default();
        *acked = (*acked).max(ack.number);
    }

    fn assigned(&mut self, process: &str, assignment: v1::Assignment) {
        let key = (assignment.job_id.clone(), assignment.epoch);
        self.note(format!("{process} is given {} epoch {} {}", key.0, key.1, assignment.attempt_id));
        if let Some(before) = self.given.get(&key) {
            let problem =
                format!("promise 1: epoch {} of job {} was given to {} and {process}", key.1, key.0, before.process);
            self.violation(problem);
        }
        let attempt = assignment.attempt_id.clone();
        if self.given.values().any(|given| given.attempt == attempt) {
            self.violation(format!("promise 1: attempt {attempt} is given twice"));
        }
        let digest = &assignment.checkpoint_digest;
        if !digest.is_empty() {
            let maker = self.made.get(digest).and_then(|it| self.given.values().find(|given| given.attempt == *it));
            if !maker.is_some_and(|it| it.assignment.job_id == key.0 && it.assignment.epoch < key.1) {
                self.violation(format!(
                    "attempt {attempt} is given a checkpoint that no earlier attempt of its job made"
                ));
            }
        }
        self.given.insert(key, Given { attempt, process: process.to_owned(), assignment });
    }
}
