//! How often jobs met the same end on this machine, for as long as they are tried.
//!
//! Promise: [`Remembered::judge`] changes no more of a failure than whether, where and when it is tried again; what is remembered outlives
//! the daemon, is forgotten with a job's success, and never takes more than [`JOBS_MAX`] jobs. A file that cannot be read is begun anew: to
//! have forgotten costs a job some tries.

use crate::task::codes;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use vertigo::backoff::Backoff;
use vertigo::files::write_private;
use vertigo::id::JobId;
use vertigo::task::{Cure, Failure};
use vertigo_host::buffers::Length;

/// Jobs that are remembered: the newest ones.
const JOBS_MAX: usize = 200;

/// How long a job stays away from a machine whose person ended it or was disturbed by it: half an hour at first, and never longer than
/// four. Long enough that it does not come back before the person has gone, short enough for the same night.
const PERSON: Backoff = Backoff { first: Duration::from_secs(30 * 60), longest: Duration::from_secs(4 * 60 * 60) };

/// How often a job's attempts here ended so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Times {
    /// The GPU was kept too long: how far down the ladder of buffers the next attempt begins, and, past its end, how often it was kept too
    /// long from there.
    pub too_long: u32,
    /// Somebody ended the process.
    pub killed: u32,
}

/// What is remembered.
#[derive(Debug)]
pub struct Remembered {
    file: PathBuf,
    jobs: Mutex<BTreeMap<JobId, Times>>,
}

impl Remembered {
    /// Reads what was remembered in `file`.
    pub fn open(file: PathBuf) -> Remembered {
        let jobs = match fs::read_to_string(&file) {
            Ok(text) => serde_json::from_str(&text).unwrap_or_else(|error| {
                tracing::warn!(%error, file = %file.display(), "how jobs ended here cannot be read, and is begun anew");
                BTreeMap::new()
            }),
            Err(error) => {
                if error.kind() != io::ErrorKind::NotFound {
                    tracing::warn!(%error, file = %file.display(), "how jobs ended here cannot be read, and is begun anew");
                }
                BTreeMap::new()
            }
        };
        Remembered { file, jobs: Mutex::new(jobs) }
    }

    /// How often a job ended so here.
    pub fn times(&self, job: JobId) -> Times {
        self.lock().get(&job).copied().unwrap_or_default()
    }

    /// The longest buffers that the next attempt at a job may have.
    pub fn buffers(&self, job: JobId) -> Length {
        Length::after(self.times(job).too_long)
    }

    /// A failure of an attempt at `job` here, whose buffers were so long, in the light of what went before, which it is added to.
    pub fn judge(&self, job: JobId, had: Length, failure: Failure) -> Failure {
        let mut times = self.times(job);
        match failure.code.as_str() {
            // An attempt beside a person began further down than those before it had led.
            codes::GPU_TOO_LONG => times.too_long = times.too_long.max(had.steps()).saturating_add(1),
            codes::KILLED => times.killed = times.killed.saturating_add(1),
            _ => return failure,
        }
        self.change(|jobs| {
            jobs.insert(job, times);
        });
        judged(failure, times)
    }

    /// A job has got where it was to go.
    pub fn forget(&self, job: JobId) {
        if self.lock().contains_key(&job) {
            self.change(|jobs| {
                jobs.remove(&job);
            });
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<JobId, Times>> {
        // Nothing here is left half done by a panic.
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, act: impl FnOnce(&mut BTreeMap<JobId, Times>)) {
        let mut jobs = self.lock();
        act(&mut jobs);
        // Ids sort by time: the first is the oldest.
        while jobs.len() > JOBS_MAX {
            jobs.pop_first();
        }
        if let Err(error) = write(&self.file, &jobs) {
            tracing::warn!(%error, file = %self.file.display(), "how jobs ended here cannot be written down; a restart forgets it");
        }
    }
}

fn write(file: &Path, jobs: &BTreeMap<JobId, Times>) -> io::Result<()> {
    let text = serde_json::to_string(jobs).map_err(io::Error::from)?;
    write_private(file, text.as_bytes()).map_err(|error| error.error)
}

/// What follows from a failure that has happened so often, this time included.
fn judged(failure: Failure, times: Times) -> Failure {
    let Failure { cure, message, code, .. } = failure;
    match code.as_str() {
        codes::GPU_TOO_LONG => match times.too_long.saturating_sub(Length::Shortest.steps()) {
            0 => {
                let limits = Length::after(times.too_long).limits();
                let told =
                    limits.map_or_else(String::new, |limits| format!("; the next attempt here hands the GPU {limits}"));
                Failure::new(cure, code, format!("{message}{told}"))
            }
            over => {
                // Whoever looks at the screen has to go: the coordinator waits for that where this machine says it, and else for so long.
                let message = format!("{message}; less at a time cannot be handed to it");
                Failure::new(Cure::AnotherMachine, code, message).after(PERSON.wait(over))
            }
        },
        codes::KILLED => Failure::new(cure, code, message).after(PERSON.wait(times.killed)),
        _ => Failure::new(cure, code, message),
    }
}

#[cfg(test)]
mod tests;
