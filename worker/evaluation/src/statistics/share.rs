//! A part of a whole: a score, a rate, a probability.

use serde::{Deserialize, Serialize};

/// A number from 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct Share(f64);

/// A number that is no share of anything.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[error("{0} is no share: write a number from 0 to 1")]
pub struct ShareError(f64);

impl Share {
    /// Nothing of it.
    pub const NONE: Share = Share(0.0);
    /// All of it.
    pub const ALL: Share = Share(1.0);
    /// How often a test may find a difference where there is none: 5 %, as everybody takes it.
    pub const ALPHA: Share = Share(0.05);
    /// How often a test ought to find a difference that is there: 80 % (Cohen 1988).
    pub const POWER: Share = Share(0.8);
    /// How sure an interval is: 95 %.
    pub const LEVEL: Share = Share(0.95);

    /// The number as a share.
    ///
    /// # Errors
    /// It is not from 0 to 1.
    pub fn new(value: f64) -> Result<Share, ShareError> {
        // Adding zero turns -0.0, which would sort below 0.0, into it.
        if (0.0..=1.0).contains(&value) { Ok(Share(value + 0.0)) } else { Err(ShareError(value)) }
    }

    /// The number, from 0 to 1.
    pub fn get(self) -> f64 {
        self.0
    }

    /// The share of a whole that another leaves.
    #[must_use]
    pub fn rest(self) -> Share {
        Share(1.0 - self.0)
    }
}

impl TryFrom<f64> for Share {
    type Error = ShareError;

    fn try_from(value: f64) -> Result<Share, ShareError> {
        Share::new(value)
    }
}

impl From<Share> for f64 {
    fn from(share: Share) -> f64 {
        share.0
    }
}
