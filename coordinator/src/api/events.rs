//! The journal's events as the protocol shows them. The way back, from a worker's report to the core's, is in `reports`.

use crate::core::{Made, Report, ReportBody, Serving, Started, State, Step};
use crate::store::{Event, EventBody};
use vertigo::id::{Digest, WorkerId};
use vertigo::v1::{self, finished, job_event, report};

/// A state as the protocol names it.
pub(super) fn state(state: State) -> v1::JobState {
    match state {
        State::Blocked => v1::JobState::Blocked,
        State::Queued => v1::JobState::Queued,
        State::Backoff { .. } => v1::JobState::Backoff,
        State::Leased { .. } => v1::JobState::Leased,
        State::Succeeded => v1::JobState::Succeeded,
        State::Failed => v1::JobState::Failed,
        State::Cancelled => v1::JobState::Cancelled,
    }
}

/// The name that the core has for a state of the protocol.
pub(super) fn state_name(state: v1::JobState) -> Option<&'static str> {
    match state {
        v1::JobState::Unspecified => None,
        v1::JobState::Blocked => Some("blocked"),
        v1::JobState::Queued => Some("queued"),
        v1::JobState::Backoff => Some("backoff"),
        v1::JobState::Leased => Some("leased"),
        v1::JobState::Succeeded => Some("succeeded"),
        v1::JobState::Failed => Some("failed"),
        v1::JobState::Cancelled => Some("cancelled"),
    }
}

/// An event as people see it.
pub(super) fn event(event: Event) -> v1::JobEvent {
    let Event { seq, at, job, epoch, body } = event;
    let (body, why, by) = match body {
        EventBody::State { state: to, reason, by } => (job_event::Event::State(state(to).into()), reason, by),
        EventBody::Placed { worker, variant, reason } => {
            let placed = v1::Placement { worker, variant: variant as u32, reason };
            (job_event::Event::Placed(placed), String::new(), None)
        }
        EventBody::Report(report) => (job_event::Event::Report(self::report(report)), String::new(), None),
        EventBody::Held { worker, name, by, reason } => {
            (acted(worker, name, v1::WorkerAct::Held), reason, by.person().cloned())
        }
        EventBody::Resumed { worker, name, by } => {
            (acted(worker, name, v1::WorkerAct::Resumed), String::new(), Some(by))
        }
        EventBody::Removed { worker, name, by } => {
            (acted(worker, name, v1::WorkerAct::Removed), String::new(), Some(by))
        }
        EventBody::Set { worker, name, by, when } => (acted(worker, name, v1::WorkerAct::Set), when, Some(by)),
        EventBody::StartedAnew { worker, name, by } => {
            (acted(worker, name, v1::WorkerAct::StartedAnew), String::new(), Some(by))
        }
    };
    v1::JobEvent {
        seq,
        at_ms: at.0,
        epoch: epoch.0,
        event: Some(body),
        reason: why,
        job_id: job.map(|job| job.to_string()).unwrap_or_default(),
        by: by.map(String::from).unwrap_or_default(),
    }
}

fn acted(worker: WorkerId, name: String, act: v1::WorkerAct) -> job_event::Event {
    job_event::Event::Worker(v1::WorkerEvent { worker_id: worker.to_string(), worker: name, act: act.into() })
}

/// A report as people see it: manifests come with their artifacts.
fn report(report: Report<Digest>) -> v1::Report {
    let Report { number, at, body } = report;
    let body = match body {
        ReportBody::Started(it) => Some(report::Body::Started(started(&it))),
        ReportBody::Step(it) => Some(report::Body::Step(step(&it))),
        ReportBody::Validation(it) => {
            Some(report::Body::Validation(v1::Validation { iter: it.iter, loss: it.loss, tokens: it.tokens }))
        }
        ReportBody::Progress(it) => {
            let peak_bytes = it.peak.0;
            Some(report::Body::Progress(v1::Progress { done: it.done, total: it.total, unit: it.unit, peak_bytes }))
        }
        ReportBody::Measured(it) => Some(report::Body::Measured(v1::Measured { name: it.name, value: it.value })),
        ReportBody::Serving(it) => Some(report::Body::Serving(serving(it))),
        ReportBody::Log(text) => Some(report::Body::Log(v1::LogLine { text })),
        ReportBody::Warning(text) => Some(report::Body::Warning(v1::Warning { text })),
        ReportBody::Checkpoint { iter, artifact: _ } => {
            Some(report::Body::Checkpoint(v1::Checkpoint { iter, manifest_json: String::new() }))
        }
        ReportBody::Finished { peak, outcome } => {
            let outcome = match outcome {
                Ok(made) => finished::Outcome::Outputs(outputs(made)),
                Err(failure) => finished::Outcome::Failure(failure.into()),
            };
            Some(report::Body::Finished(v1::Finished { peak_bytes: peak.0, outcome: Some(outcome) }))
        }
        ReportBody::Unknown => None,
    };
    v1::Report { number, at_ms: at.0, body }
}

fn started(it: &Started) -> v1::Started {
    v1::Started {
        trainable_parameters: it.trainable_parameters,
        train_examples: it.train_examples,
        valid_examples: it.valid_examples,
        skipped_examples: it.skipped_examples,
        resumed_at: it.resumed_at,
        iters: it.iters,
        caveats: it.caveats.map(Into::into),
    }
}

fn step(it: &Step) -> v1::Step {
    v1::Step {
        iter: it.iter,
        iters: it.iters,
        loss: it.loss,
        learning_rate: it.learning_rate,
        tokens_per_second: it.tokens_per_second,
        trained_tokens: it.trained_tokens,
        peak_bytes: it.peak.0,
        grad_norm: it.grad_norm,
    }
}

/// Where a service answers.
pub(super) fn serving(it: Serving) -> v1::Serving {
    v1::Serving { url: it.url, models: it.models }
}

fn outputs(made: Made<Digest>) -> v1::Outputs {
    let bare = |(role, _)| v1::Made { role, manifest_json: String::new() };
    v1::Outputs { made: made.outputs.into_iter().map(bare).collect(), remark: made.remark }
}

#[cfg(test)]
mod tests;
