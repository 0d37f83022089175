//! The core's things as the protocol shows them.

use super::events::{serving, state};
use crate::core::{
    Artifact, Attempt, Conditions, Core, Hold, Input, Job, Machine, MemoryPart, Move, Mover, Outcome, Reasons, Source,
    Variant, Worker,
};
use crate::kinds;
use serde_json::Value;
use vertigo::id::{AttemptId, Digest, Millis};
use vertigo::manifest::Manifest;
use vertigo::placement::Placement;
use vertigo::v1;

/// Attempts of a job that are shown. One that goes on for months may have thousands.
const ATTEMPTS_SHOWN_MAX: usize = 200;

/// Tags of an artifact that are shown. Any number of them may be moved to one.
const TAGS_SHOWN_MAX: usize = 100;

/// Facts of an artifact that a list shows, and how long the name or the text of one may be.
const FACTS_SHOWN_MAX: usize = 32;
const FACT_BYTES_MAX: usize = 200;

fn ms(time: Option<Millis>) -> u64 {
    time.map_or(0, |time| time.0)
}

/// How much of a job is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Detail {
    /// All but its tasks, whose recipes may be long.
    List,
    /// All.
    All,
}

/// A job that has not ended, with why it waits by `reasons`, which a list shares among its items.
pub(super) fn live_job(reasons: &Reasons<'_>, job: &Job, detail: Detail) -> v1::Job {
    let attempts: Vec<_> = newest(&job.attempts).iter().filter_map(|id| reasons.core().attempt(*id)).collect();
    self::job(job, reasons.of(job), attempts.into_iter(), detail)
}

/// A job that has ended, and the attempts at it.
pub(super) fn ended_job((job, attempts): &(Job, Vec<Attempt>), detail: Detail) -> v1::Job {
    self::job(job, job.reason.clone(), newest(attempts).iter(), detail)
}

/// The last of a job's attempts, as many as are shown.
fn newest<T>(attempts: &[T]) -> &[T] {
    &attempts[attempts.len().saturating_sub(ATTEMPTS_SHOWN_MAX)..]
}

fn job<'a>(job: &Job, reason: String, attempts: impl Iterator<Item = &'a Attempt>, detail: Detail) -> v1::Job {
    let output = |(role, digest): &(String, Digest)| v1::JobOutput { role: role.clone(), digest: digest.to_string() };
    v1::Job {
        id: job.id.to_string(),
        name: job.name.clone().unwrap_or_default(),
        state: state(job.state).into(),
        reason,
        priority: job.priority,
        created_ms: job.created.0,
        ended_ms: ms(job.ended),
        labels: job.labels.iter().map(|(key, value)| (key.clone(), value.clone())).collect(),
        variants: job.variants.iter().map(|it| variant(it, detail)).collect(),
        attempts: attempts.map(attempt).collect(),
        outputs: job.outputs.iter().map(output).collect(),
        waits_for: job.waits_for().iter().map(ToString::to_string).collect(),
        by: job.by.to_string(),
    }
}

pub(super) fn variant(variant: &Variant, detail: Detail) -> v1::Variant {
    let part = |part: &MemoryPart| v1::MemoryPart { name: part.name.clone(), bytes: part.bytes.0 };
    let need = variant.need.as_ref();
    v1::Variant {
        name: variant.name.clone(),
        kind: variant.task.kind.to_string(),
        model: variant.model.clone(),
        method: need.map(|need| need.method.clone()).unwrap_or_default(),
        peak_bytes: variant.peak().0,
        parts: need.map(|need| need.parts.iter().map(part).collect()).unwrap_or_default(),
        factor: need.map_or(1.0, |need| need.factor),
        caveats: variant.caveats.map(Into::into),
        skipped_examples: variant.caveats.map_or(0, |caveats| caveats.skipped_examples),
        slot: need.map_or(v1::Slot::Unspecified, |need| need.slot.into()).into(),
        inputs: variant.inputs.iter().map(input).collect(),
        task: (detail == Detail::All).then(|| kinds::message(&variant.task)),
    }
}

fn input(input: &Input) -> v1::JobInput {
    let (job, output) = match &input.source {
        Source::Artifact => (String::new(), String::new()),
        Source::Output { job, role } => (job.to_string(), role.clone()),
    };
    let digest = input.artifact.map(|found| found.digest.to_string()).unwrap_or_default();
    v1::JobInput { role: input.role.clone(), digest, job, output }
}

fn attempt(attempt: &Attempt) -> v1::Attempt {
    let (state, reason, failed) = match &attempt.outcome {
        Outcome::Running => (v1::AttemptState::Running, "", None),
        Outcome::Succeeded => (v1::AttemptState::Succeeded, "", None),
        Outcome::Failed { message, cure, code } => (v1::AttemptState::Failed, message.as_str(), Some((*cure, code))),
        Outcome::Lost(why) => (v1::AttemptState::Lost, why.as_str(), None),
        Outcome::Cancelled => (v1::AttemptState::Cancelled, "", None),
    };
    let is_up = attempt.outcome == Outcome::Running;
    let service = attempt.service.as_ref().filter(|_| is_up);
    v1::Attempt {
        id: attempt.id.to_string(),
        epoch: attempt.epoch.0,
        worker: attempt.worker_name.clone(),
        variant: attempt.variant as u32,
        reserved_bytes: attempt.reserved.0,
        started_ms: attempt.started.0,
        ended_ms: ms(attempt.ended),
        state: state.into(),
        peak_bytes: attempt.peak.0,
        reason: reason.to_owned(),
        cure: failed.map_or(v1::Cure::Unspecified, |(cure, _)| cure.into()).into(),
        code: failed.map(|(_, code)| code.clone()).unwrap_or_default(),
        serving: service.map(|service| serving(service.serving.clone())),
    }
}

pub(super) fn worker(core: &Core, worker: &Worker) -> v1::Worker {
    let job = |id: &AttemptId| core.attempt(*id).map(|attempt| attempt.job.to_string());
    v1::Worker {
        id: worker.id.to_string(),
        name: worker.name.clone(),
        machine: Some(machine(&worker.machine)),
        connected: worker.session.is_some(),
        // Numbers begin with 0, which is none on the wire.
        connection: worker.session.map_or(0, |session| session.0.saturating_add(1)),
        draining: worker.draining,
        last_seen_ms: worker.last_seen.0,
        reserved_bytes: worker.reserved().0,
        job_ids: worker.leases.keys().filter_map(job).collect(),
        away: worker.away.clone().unwrap_or_default(),
        conditions: Some(conditions(worker.conditions)),
        hold: worker.told_hold().as_ref().map(hold),
    }
}

fn conditions(conditions: Conditions) -> v1::Conditions {
    let screen = match conditions.is_watched {
        None => v1::Screen::Unspecified,
        Some(true) => v1::Screen::Watched,
        Some(false) => v1::Screen::Unwatched,
    };
    v1::Conditions { screen: screen.into(), withheld_bytes: conditions.withheld.0 }
}

fn hold(hold: &Hold) -> v1::Hold {
    let by = hold.by.person().map(ToString::to_string).unwrap_or_default();
    v1::Hold { by, since_ms: hold.since.0, reason: hold.reason.clone() }
}

fn machine(machine: &Machine) -> v1::Machine {
    v1::Machine {
        chip: machine.chip.clone(),
        os: machine.os.clone(),
        memory_bytes: machine.memory.0,
        gpu_limit_bytes: machine.gpu_limit.0,
        usable_bytes: machine.usable.0,
        free_bytes: machine.free.0,
        version: machine.version.clone(),
        disk_free_bytes: machine.disk_free.unwrap_or_default().0,
        gpu_slots: machine.gpu_slots,
        cpu_slots: machine.cpu_slots,
        service_slots: machine.service_slots,
        edition: machine.edition,
    }
}

/// An artifact without its manifest, as a list shows it.
pub(super) fn artifact(core: &Core, digest: Digest, artifact: &Artifact) -> v1::Artifact {
    v1::Artifact {
        digest: digest.to_string(),
        kind: artifact.manifest.kind().to_string(),
        manifest_json: String::new(),
        bytes: artifact.manifest.bytes().0,
        tags: core.index().tags_of(digest).take(TAGS_SHOWN_MAX).map(str::to_owned).collect(),
        created_ms: artifact.created.0,
        job_id: artifact.job().map(|job| job.to_string()).unwrap_or_default(),
        files: artifact.manifest.files().len() as u64,
        facts_json: facts(&artifact.manifest),
        by: artifact.origin.person().map(ToString::to_string).unwrap_or_default(),
    }
}

/// A move of a tag.
pub(super) fn tag_move(moved: &Move) -> v1::TagMove {
    let (by, job) = match moved.by {
        Mover::Earlier => (v1::TagMover::Earlier, None),
        Mover::Person => (v1::TagMover::Person, None),
        Mover::Rollback => (v1::TagMover::Rollback, None),
        Mover::Job(job) => (v1::TagMover::Job, Some(job)),
        Mover::Import => (v1::TagMover::Import, None),
    };
    v1::TagMove {
        tag: moved.tag.clone(),
        number: moved.number,
        id: moved.id.map(|id| id.to_string()).unwrap_or_default(),
        at_ms: ms(moved.at),
        from: moved.from.map(|from| from.to_string()).unwrap_or_default(),
        to: moved.to.to_string(),
        by: by.into(),
        job_id: job.map(|job| job.to_string()).unwrap_or_default(),
        reason: moved.grounds.reason.clone(),
        forced: moved.grounds.is_forced,
        evidence: moved.grounds.evidence.iter().map(Digest::to_string).collect(),
        decision_json: moved.grounds.decision.clone().unwrap_or_default(),
        by_name: moved.person.as_ref().map(ToString::to_string).unwrap_or_default(),
    }
}

/// The facts that fit into a line of a list, as JSON.
fn facts(manifest: &Manifest) -> String {
    let fits = |value: &Value| match value {
        Value::Bool(_) | Value::Number(_) => true,
        Value::String(text) => text.len() <= FACT_BYTES_MAX,
        Value::Null | Value::Array(_) | Value::Object(_) => false,
    };
    let small = manifest.facts().filter(|(key, value)| key.len() <= FACT_BYTES_MAX && fits(value));
    let small = small.take(FACTS_SHOWN_MAX).map(|(key, value)| (key.to_owned(), value.clone()));
    Value::Object(small.collect()).to_string()
}

/// A placement, given the names of the workers that it counts.
pub(super) fn placement(placement: Placement, workers: &[String]) -> v1::Placement {
    match placement {
        Placement::On { variant, worker, reason } => {
            v1::Placement { worker: workers[worker].clone(), variant: variant as u32, reason }
        }
        Placement::Wait { reason } => v1::Placement { worker: String::new(), variant: 0, reason },
    }
}
