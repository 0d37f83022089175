//! What happened to a job, flat: `event` says what, and the other fields are its own.

use crate::{Caveats, Placement, Serving, cure, state, text, worker_act};
use serde::Serialize;
use vertigo::v1;

/// An event of a job or of a worker.
#[derive(Debug, Serialize)]
#[expect(missing_docs, reason = "the fields are the protocol's, and told there")]
pub struct Event {
    /// `null` of an event of a worker.
    pub job_id: Option<String>,
    pub seq: u64,
    pub at_ms: u64,
    pub epoch: u64,
    /// What happened.
    #[serde(flatten)]
    pub body: Body,
}

/// What happened.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
#[expect(missing_docs, reason = "the fields are the protocol's, and told there")]
pub enum Body {
    State {
        state: &'static str,
        reason: Option<String>,
        /// `null` where it followed by itself.
        by: Option<String>,
    },
    Placed(Placement),
    Started {
        trainable_parameters: u64,
        train_examples: u64,
        valid_examples: u64,
        skipped_examples: u64,
        resumed_at: u64,
        iters: u64,
        caveats: Option<Caveats>,
    },
    Step {
        iter: u64,
        iters: u64,
        loss: f64,
        learning_rate: f64,
        tokens_per_second: f64,
        trained_tokens: u64,
        peak_bytes: u64,
        grad_norm: f64,
    },
    Validation {
        iter: u64,
        loss: f64,
        tokens: u64,
    },
    Checkpoint {
        iter: u64,
    },
    Log {
        text: String,
    },
    Warning {
        text: String,
    },
    Progress {
        done: u64,
        total: u64,
        unit: String,
        peak_bytes: u64,
    },
    Measured {
        name: String,
        value: f64,
    },
    Serving(Serving),
    Finished {
        peak_bytes: u64,
        failure: Option<Failure>,
    },
    /// What somebody did with a worker.
    Worker {
        worker_id: String,
        worker: String,
        act: &'static str,
        reason: Option<String>,
        by: Option<String>,
    },
    /// Of a later version than this program.
    Unknown,
}

/// Why an attempt has no output.
#[derive(Debug, Serialize)]
#[expect(missing_docs, reason = "the fields are the protocol's, and told there")]
pub struct Failure {
    pub cure: Option<&'static str>,
    pub code: Option<String>,
    pub message: String,
}

impl From<&v1::JobEvent> for Event {
    fn from(event: &v1::JobEvent) -> Event {
        let body = match &event.event {
            Some(v1::job_event::Event::State(number)) => {
                let name = v1::JobState::try_from(*number).unwrap_or_default();
                Body::State { state: state(name), reason: text(&event.reason), by: text(&event.by) }
            }
            Some(v1::job_event::Event::Placed(placed)) => Body::Placed(placed.into()),
            Some(v1::job_event::Event::Worker(it)) => Body::Worker {
                worker_id: it.worker_id.clone(),
                worker: it.worker.clone(),
                act: worker_act(it.act()),
                reason: text(&event.reason),
                by: text(&event.by),
            },
            Some(v1::job_event::Event::Report(report)) => report.body.as_ref().map_or(Body::Unknown, Body::from),
            None => Body::Unknown,
        };
        Event { job_id: text(&event.job_id), seq: event.seq, at_ms: event.at_ms, epoch: event.epoch, body }
    }
}

impl From<&v1::report::Body> for Body {
    fn from(body: &v1::report::Body) -> Body {
        use v1::report::Body as Said;
        match body {
            Said::Started(it) => Body::Started {
                trainable_parameters: it.trainable_parameters,
                train_examples: it.train_examples,
                valid_examples: it.valid_examples,
                skipped_examples: it.skipped_examples,
                resumed_at: it.resumed_at,
                iters: it.iters,
                caveats: it.caveats.as_ref().map(Caveats::from),
            },
            Said::Step(it) => Body::Step {
                iter: it.iter,
                iters: it.iters,
                loss: it.loss,
                learning_rate: it.learning_rate,
                tokens_per_second: it.tokens_per_second,
                trained_tokens: it.trained_tokens,
                peak_bytes: it.peak_bytes,
                grad_norm: it.grad_norm,
            },
            Said::Validation(it) => Body::Validation { iter: it.iter, loss: it.loss, tokens: it.tokens },
            Said::Checkpoint(it) => Body::Checkpoint { iter: it.iter },
            Said::Log(it) => Body::Log { text: it.text.clone() },
            Said::Warning(it) => Body::Warning { text: it.text.clone() },
            Said::Progress(it) => {
                Body::Progress { done: it.done, total: it.total, unit: it.unit.clone(), peak_bytes: it.peak_bytes }
            }
            Said::Measured(it) => Body::Measured { name: it.name.clone(), value: it.value },
            Said::Serving(it) => Body::Serving(it.into()),
            Said::Finished(it) => Body::Finished { peak_bytes: it.peak_bytes, failure: failure(it) },
        }
    }
}

fn failure(finished: &v1::Finished) -> Option<Failure> {
    match &finished.outcome {
        Some(v1::finished::Outcome::Failure(it)) => {
            Some(Failure { cure: cure(it.cure()), code: text(&it.code), message: it.message.clone() })
        }
        Some(v1::finished::Outcome::Outputs(_)) | None => None,
    }
}
