//! For how long what is kept, as the operator says it.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;
use vertigo::times::{self, TimeError};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// For how long what is kept. `None` is for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keep {
    /// The best and the last checkpoint of a job, from its end on. Its others go when it ends.
    pub checkpoints: Option<Duration>,
    /// A partial upload, from its last byte on.
    pub uploads: Option<Duration>,
    /// A blob that no artifact names, from the last time that somebody was told that it is there.
    pub blobs: Option<Duration>,
    /// Every step of a job, from its end on; later as many of them as a curve needs.
    pub steps: Option<Duration>,
    /// What happened to a job besides its states, from its end on.
    pub journal: Option<Duration>,
    /// A worker that is not connected.
    pub workers: Option<Duration>,
}

impl Default for Keep {
    /// Checkpoints for a week, in which a person notices that a run should have gone on. Uploads and blobs for a day: longer than one
    /// import takes. Steps for a month, a job's story for half a year, and as long for a worker in a drawer.
    fn default() -> Keep {
        let days = |days| Some(DAY * days);
        Keep {
            checkpoints: days(7),
            uploads: days(1),
            blobs: days(1),
            steps: days(30),
            journal: days(180),
            workers: days(180),
        }
    }
}

/// What is wrong with a policy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeepError {
    /// Something else than KEY=VALUE.
    #[error("`{0}`: write KEY=VALUE, such as checkpoints=7d; the keys are {keys}", keys = KEYS.join(", "))]
    Pair(String),
    /// No such key.
    #[error("`{0}` is nothing that is kept; the keys are {keys}", keys = KEYS.join(", "))]
    Key(String),
    /// A key that stands twice.
    #[error("`{0}` stands twice")]
    Twice(String),
    /// A value that is no time.
    #[error("{key}: {error}; or `{FOREVER}`")]
    Time {
        /// The key.
        key: String,
        /// What was written.
        error: TimeError,
    },
}

/// The keys of a policy.
const KEYS: [&str; 6] = ["checkpoints", "uploads", "blobs", "steps", "journal", "workers"];

/// What is said for a thing that never goes.
const FOREVER: &str = "forever";

impl Keep {
    fn field(&mut self, key: &str) -> Option<&mut Option<Duration>> {
        Some(match key {
            "checkpoints" => &mut self.checkpoints,
            "uploads" => &mut self.uploads,
            "blobs" => &mut self.blobs,
            "steps" => &mut self.steps,
            "journal" => &mut self.journal,
            "workers" => &mut self.workers,
            _ => return None,
        })
    }
}

impl FromStr for Keep {
    type Err = KeepError;

    /// `checkpoints=7d,blobs=12h`; what is not named is as in [`Keep::default`].
    fn from_str(text: &str) -> Result<Keep, KeepError> {
        let (mut keep, mut seen) = (Keep::default(), Vec::new());
        for pair in text.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').ok_or_else(|| KeepError::Pair(pair.to_owned()))?;
            let (key, value) = (key.trim(), value.trim());
            let field = keep.field(key).ok_or_else(|| KeepError::Key(key.to_owned()))?;
            if seen.contains(&key) {
                return Err(KeepError::Twice(key.to_owned()));
            }
            seen.push(key);
            *field = time(value).map_err(|error| KeepError::Time { key: key.to_owned(), error })?;
        }
        Ok(keep)
    }
}

/// A time, or `None` for ever.
fn time(text: &str) -> Result<Option<Duration>, TimeError> {
    if text == FOREVER {
        return Ok(None);
    }
    times::read(text).map(Some)
}

impl fmt::Display for Keep {
    /// As it is written, every key with its value.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut keep = *self;
        for (n, key) in KEYS.into_iter().enumerate() {
            let value = keep.field(key).copied().flatten();
            let comma = if n > 0 { "," } else { "" };
            write!(f, "{comma}{key}={}", value.map_or_else(|| FOREVER.to_owned(), times::shown))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_policy_is_read_over_the_usual_one() {
        let keep: Keep = "checkpoints=0s, steps=forever,uploads=90m".parse().unwrap();
        assert_eq!((keep.checkpoints, keep.steps), (Some(Duration::ZERO), None));
        assert_eq!(keep.uploads, Some(Duration::from_secs(5400)));
        assert_eq!(keep.blobs, Keep::default().blobs);
        assert_eq!("".parse(), Ok(Keep::default()));
        let usual = "checkpoints=7d,uploads=1d,blobs=1d,steps=30d,journal=180d,workers=180d";
        assert_eq!(Keep::default().to_string(), usual);
    }

    #[test]
    fn what_is_wrong_with_a_policy_is_said_with_the_keys_that_there_are() {
        let error = |text: &str| text.parse::<Keep>().unwrap_err().to_string();
        for text in ["checkpoint=7d", "checkpoints"] {
            assert!(error(text).contains("checkpoints, uploads, blobs, steps, journal, workers"), "{}", error(text));
        }
        for text in ["blobs=7", "blobs=-1s", "blobs=", "blobs=1y2x", "blobs=4294967295999d"] {
            assert!(error(text).contains("is no time") && error(text).ends_with("; or `forever`"), "{}", error(text));
        }
        assert!(error("blobs=1d,blobs=2d").contains("twice"));
    }

    proptest! {
        #[test]
        fn what_is_shown_is_read_back(times in prop::collection::vec(prop::option::of(0u64..10_000_000_000), 6)) {
            let mut keep = Keep::default();
            for (key, time) in KEYS.into_iter().zip(times) {
                *keep.field(key).unwrap() = time.map(Duration::from_millis);
            }
            prop_assert_eq!(keep.to_string().parse(), Ok(keep));
        }
    }
}
