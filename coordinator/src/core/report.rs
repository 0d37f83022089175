//! What an attempt has to say, as far as the core decides by it.

use vertigo::bytes::Bytes;
use vertigo::caveats::Caveats;
use vertigo::manifest::Manifest;
use vertigo::task::Cure;
use vertigo::v1;

/// A report: what it means to the core, and the message as it is journalled for people.
#[derive(Debug, Clone)]
pub struct Report {
    /// 1, 2, 3, … within an attempt.
    pub number: u64,
    /// What it means.
    pub body: ReportBody,
    /// The message as it came.
    pub message: v1::Report,
}

/// What a report means to the core.
#[derive(Debug, Clone)]
pub enum ReportBody {
    /// The attempt runs, so its inputs are in the worker's cache.
    Started {
        /// What of its examples is not learned as it was written, where it reads examples.
        caveats: Option<Caveats>,
        /// Iterations done before, by the checkpoint that it goes on from; 0 where it began anew.
        resumed_at: u64,
    },
    /// Something for people to see.
    Progress {
        /// The most memory measured so far; 0 where it does not say.
        peak: Bytes,
    },
    /// A point to go on from, whose blobs the store has.
    Checkpoint {
        /// The iteration that it had reached.
        iter: u64,
        /// The checkpoint.
        manifest: Manifest,
    },
    /// The attempt has ended.
    Finished {
        /// The most memory measured.
        peak: Bytes,
        /// The outputs, whose blobs the store has, or why there are none.
        outcome: Result<Made, Failure>,
    },
}

/// What an attempt has made.
#[derive(Debug, Clone, PartialEq)]
pub struct Made {
    /// By role; the kind's first output first.
    pub outputs: Vec<(String, Manifest)>,
    /// What a person has to know of it; empty for nothing.
    pub remark: String,
}

/// Why an attempt has no output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// What cures it, which decides whether and where another try is made.
    pub cure: Cure,
    /// For a person.
    pub message: String,
    /// The kind's own word for it.
    pub code: String,
}
