//! The core's things as the protocol shows them.

use crate::core::{Artifact, Attempt, Core, Job, Machine, Plan, Worker};
use crate::store;
use serde_json::Value;
use vertigo::id::{Digest, Millis};
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

pub(super) fn job(core: &Core, job: &Job) -> v1::Job {
    let attempts = &job.attempts[job.attempts.len().saturating_sub(ATTEMPTS_SHOWN_MAX)..];
    v1::Job {
        id: job.id.to_string(),
        name: job.title(),
        state: store::state(job.state).into(),
        reason: job.reason.clone(),
        priority: job.priority,
        created_ms: job.created.0,
        ended_ms: ms(job.ended),
        data_digest: job.data.to_string(),
        plans: job.plans.iter().map(plan).collect(),
        attempts: attempts.iter().filter_map(|id| core.attempt(*id)).map(attempt).collect(),
        output_digest: job.output().map(|digest| digest.to_string()).unwrap_or_default(),
    }
}

pub(super) fn plan(plan: &Plan) -> v1::Plan {
    v1::Plan {
        recipe: plan.recipe.clone(),
        model: plan.model.clone(),
        method: plan.method.clone(),
        peak_bytes: plan.need().0,
        parts: plan.parts.iter().map(|p| v1::MemoryPart { name: p.name.clone(), bytes: p.bytes.0 }).collect(),
        factor: plan.factor,
        caveats: plan.caveats.map(Into::into),
        skipped_examples: plan.caveats.map_or(0, |caveats| caveats.skipped_examples),
    }
}

fn attempt(attempt: &Attempt) -> v1::Attempt {
    v1::Attempt {
        id: attempt.id.to_string(),
        epoch: attempt.epoch.0,
        worker: attempt.worker_name.clone(),
        plan: attempt.plan as u32,
        reserved_bytes: attempt.reserved.0,
        started_ms: attempt.started.0,
        ended_ms: ms(attempt.ended),
        outcome: attempt.outcome.to_string(),
        peak_bytes: attempt.peak.0,
    }
}

pub(super) fn worker(core: &Core, worker: &Worker) -> v1::Worker {
    let job = worker.lease.and_then(|id| core.attempt(id)).map(|attempt| attempt.job.to_string());
    v1::Worker {
        id: worker.id.to_string(),
        name: worker.name.clone(),
        machine: Some(machine(&worker.machine)),
        connected: worker.session.is_some(),
        draining: worker.draining,
        last_seen_ms: worker.last_seen.0,
        reserved_bytes: core.reserved(worker).0,
        job_id: job.unwrap_or_default(),
    }
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
        job_id: artifact.job.map(|job| job.to_string()).unwrap_or_default(),
        files: artifact.manifest.files().len() as u64,
        facts_json: facts(&artifact.manifest),
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
        Placement::On { plan, worker, reason } => {
            v1::Placement { worker: workers[worker].clone(), plan: plan as u32, reason }
        }
        Placement::Wait { reason } => v1::Placement { worker: String::new(), plan: 0, reason },
    }
}
