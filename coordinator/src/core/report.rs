//! What an attempt has to say, in the core's own words: the protocol's are read at the edge.
//!
//! The core decides by some of it, and all of it is journalled for people. A report arrives with the manifests of what was made; in
//! the journal their digests stand for them, since a manifest comes with its artifact and may be longer than everything else.

use super::float;
use serde::{Deserialize, Serialize};
use vertigo::bytes::Bytes;
use vertigo::caveats::Caveats;
use vertigo::id::{Digest, Millis};
use vertigo::manifest::Manifest;
use vertigo::task::Failure;

/// A report. `A` is how it has its artifacts: by their manifests as it arrives, by their digests once it is journalled.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report<A = Manifest> {
    /// 1, 2, 3, … within an attempt.
    pub number: u64,
    /// When it was made, by the worker's clock.
    pub at: Millis,
    /// What it says.
    pub body: ReportBody<A>,
}

/// What a report says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReportBody<A = Manifest> {
    /// The work begins, so the attempt's inputs are in the worker's cache.
    Started(Started),
    /// A step of training.
    Step(Step),
    /// A loss on examples that are held out.
    Validation(Validation),
    /// How far an attempt is that has no iterations.
    Progress(Progress),
    /// A number that was measured of what the attempt makes.
    Measured(Measured),
    /// A service answers requests from now on.
    Serving(Serving),
    /// A line that the attempt wrote.
    Log(String),
    /// What a person should know of while the attempt goes on.
    Warning(String),
    /// A point to go on from, whose blobs the store has.
    Checkpoint {
        /// The iteration that it had reached.
        iter: u64,
        /// The checkpoint.
        artifact: A,
    },
    /// The attempt has ended.
    Finished {
        /// The most memory measured.
        peak: Bytes,
        /// The outputs, whose blobs the store has, or why there are none.
        outcome: Result<Made<A>, Failure>,
    },
    /// What only a worker of a later version can say. It counts, so that those behind it are the next.
    Unknown,
}

/// What an attempt begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Started {
    /// Numbers that are trained.
    pub trainable_parameters: u64,
    /// Examples to learn from.
    pub train_examples: u64,
    /// Examples that are held out.
    pub valid_examples: u64,
    /// Examples that are left out, since no token of them is learned.
    pub skipped_examples: u64,
    /// The iteration that the checkpoint it goes on from had reached.
    pub resumed_at: u64,
    /// Iterations in all; 0 where it has none.
    pub iters: u64,
    /// What of its examples is not learned as it was written, where it reads examples.
    pub caveats: Option<Caveats>,
}

/// A step of training. Its numbers are whatever they became: a loss that is none is what a person has to see.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Step {
    /// The iteration.
    pub iter: u64,
    /// Iterations in all.
    pub iters: u64,
    /// The loss on what was learned from.
    #[serde(with = "float")]
    pub loss: f64,
    /// The learning rate.
    #[serde(with = "float")]
    pub learning_rate: f64,
    /// How fast it goes.
    #[serde(with = "float")]
    pub tokens_per_second: f64,
    /// Tokens that were learned from so far.
    pub trained_tokens: u64,
    /// The most memory measured so far; 0 where it does not say.
    pub peak: Bytes,
    /// The norm of the gradient.
    #[serde(with = "float")]
    pub grad_norm: f64,
}

/// A loss on examples that are held out.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Validation {
    /// The iteration.
    pub iter: u64,
    /// The loss.
    #[serde(with = "float")]
    pub loss: f64,
    /// Tokens that it was measured on.
    pub tokens: u64,
}

/// How far an attempt is that has no iterations.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Progress {
    /// How many of them are done.
    pub done: u64,
    /// How many there are.
    pub total: u64,
    /// What is counted, such as "matrices".
    pub unit: String,
    /// The most memory measured so far; 0 where it does not say.
    pub peak: Bytes,
}

/// A number that was measured of what an attempt makes.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Measured {
    /// Such as "loss_fused".
    pub name: String,
    /// The number.
    #[serde(with = "float")]
    pub value: f64,
}

/// Where a service answers requests.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Serving {
    /// `http://HOST:PORT`, as seen from its worker.
    pub url: String,
    /// What requests may call its models.
    pub models: Vec<String>,
}

/// What an attempt has made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Made<A = Manifest> {
    /// By role; the kind's first output first.
    pub outputs: Vec<(String, A)>,
    /// What a person has to know of it; empty for nothing.
    pub remark: String,
}

impl Report {
    /// The report as it is journalled.
    pub fn journalled(&self) -> Report<Digest> {
        Report { number: self.number, at: self.at, body: self.body.journalled() }
    }
}

impl ReportBody {
    fn journalled(&self) -> ReportBody<Digest> {
        match self {
            ReportBody::Started(started) => ReportBody::Started(*started),
            ReportBody::Step(step) => ReportBody::Step(*step),
            ReportBody::Validation(validation) => ReportBody::Validation(*validation),
            ReportBody::Progress(progress) => ReportBody::Progress(progress.clone()),
            ReportBody::Measured(measured) => ReportBody::Measured(measured.clone()),
            ReportBody::Serving(serving) => ReportBody::Serving(serving.clone()),
            ReportBody::Log(text) => ReportBody::Log(text.clone()),
            ReportBody::Warning(text) => ReportBody::Warning(text.clone()),
            ReportBody::Checkpoint { iter, artifact } => {
                ReportBody::Checkpoint { iter: *iter, artifact: artifact.digest() }
            }
            ReportBody::Finished { peak, outcome } => {
                let outcome = outcome.as_ref().map(Made::journalled).map_err(Failure::clone);
                ReportBody::Finished { peak: *peak, outcome }
            }
            ReportBody::Unknown => ReportBody::Unknown,
        }
    }
}

impl Made {
    fn journalled(&self) -> Made<Digest> {
        let outputs = self.outputs.iter().map(|(role, manifest)| (role.clone(), manifest.digest())).collect();
        Made { outputs, remark: self.remark.clone() }
    }
}
