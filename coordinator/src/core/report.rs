//! What an attempt has to say, as far as the core decides by it.

use vertigo::bytes::Bytes;
use vertigo::dataset::Caveats;
use vertigo::manifest::Manifest;
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
        /// What of its examples is not learned as it was written.
        caveats: Caveats,
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
        /// The output, whose blobs the store has, or why there is none.
        outcome: Result<Manifest, Failure>,
    },
}

/// Why an attempt has no output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// What kind, which decides whether another try can help.
    pub kind: FailureKind,
    /// For a person.
    pub message: String,
}

/// Kinds of failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureKind {
    /// The same input fails anywhere.
    BadInput,
    /// Out of memory, or past what the worker offers.
    OutOfMemory,
    /// The loss became NaN or infinite.
    Diverged,
    /// The child ended without a word.
    Crashed,
    /// The machine or the network failed.
    Transient,
}
