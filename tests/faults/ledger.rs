//! What was asked and what was answered: all that the judge may believe.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A pipeline, or a single job, that was submitted once.
#[derive(Debug, Clone)]
pub(crate) struct Submission {
    /// Its jobs are called `RUN-KEY`.
    pub(crate) run: String,
    /// The work that it is, as an index.
    pub(crate) work: usize,
    /// Its jobs' keys.
    pub(crate) keys: Vec<&'static str>,
    /// The ids that the answer named, by key. Empty where no answer came: then it is all there or not at all.
    pub(crate) ids: BTreeMap<&'static str, String>,
    /// Whether it was asked to be cancelled.
    pub(crate) may_be_cancelled: bool,
}

/// A folder that was imported, which the answer confirmed.
#[derive(Debug, Clone)]
pub(crate) struct Import {
    pub(crate) tag: String,
    pub(crate) folder: PathBuf,
    /// The artifact that the answer named.
    pub(crate) digest: String,
}

/// All that was asked.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    inner: Mutex<Entries>,
}

/// The ledger's pages.
#[derive(Debug, Default)]
pub(crate) struct Entries {
    pub(crate) submissions: Vec<Submission>,
    pub(crate) imports: Vec<Import>,
    /// Imports and submissions that were told to come again, as they may be while things break.
    pub(crate) refused: usize,
    /// Answers that nothing excuses.
    pub(crate) problems: Vec<String>,
}

impl Ledger {
    pub(crate) fn open(&self) -> MutexGuard<'_, Entries> {
        // A page is written whole or not at all.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn problem(&self, text: String) {
        self.open().problems.push(text);
    }
}
