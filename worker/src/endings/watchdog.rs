//! How much work a child hands to the GPU at a time.
//!
//! macOS ends a process whose work keeps the GPU from drawing the screen ("Impacting Interactivity"). MLX gathers operations into command
//! buffers, and its two limits on them can be set in the environment of a process. So an attempt at a job that was ended for that gets
//! shorter ones, the shorter the more often it happened. The arithmetic is the same however it is cut up, and so are the bits.

use std::fmt;
use vertigo_host::buffers::{MEGABYTES, OPERATIONS};

/// MLX's limits on a command buffer: it is handed over when it is past either.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BufferLimits {
    /// Operations.
    pub operations: u32,
    /// Megabytes that they read.
    pub megabytes: u32,
}

/// From long to short. By itself MLX takes 40 of each on most Macs, and 50 on a Max or an Ultra.
const LIMITS: [BufferLimits; 3] = [
    BufferLimits { operations: 16, megabytes: 20 },
    BufferLimits { operations: 4, megabytes: 8 },
    BufferLimits { operations: 1, megabytes: 1 },
];

impl fmt::Display for BufferLimits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} operations or {} MB at a time", self.operations, self.megabytes)
    }
}

/// The limits of the next attempt at a job that has so often kept the GPU too long here. `None`: MLX's own.
pub fn limits(times: u32) -> Option<BufferLimits> {
    let index = (times as usize).min(LIMITS.len()).checked_sub(1)?;
    Some(LIMITS[index])
}

/// How many of those times it had the shortest there are.
pub fn times_at_the_shortest(times: u32) -> u32 {
    times.saturating_sub(LIMITS.len() as u32)
}

impl BufferLimits {
    /// The shorter of both, in each respect.
    pub fn and(self, other: BufferLimits) -> BufferLimits {
        BufferLimits {
            operations: self.operations.min(other.operations),
            megabytes: self.megabytes.min(other.megabytes),
        }
    }

    /// What to set in a child's environment. What a person has set for the worker stays where that is shorter; `own` looks it up.
    pub fn environment(self, own: impl Fn(&str) -> Option<String>) -> [(&'static str, String); 2] {
        let shorter = |name: &'static str, limit: u32| {
            let set = own(name).and_then(|text| text.trim().parse::<u32>().ok());
            (name, set.map_or(limit, |set| set.min(limit)).to_string())
        };
        [shorter(OPERATIONS, self.operations), shorter(MEGABYTES, self.megabytes)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_run_that_was_never_too_long_has_mlxs_own_limits() {
        assert_eq!((limits(0), times_at_the_shortest(0)), (None, 0));
        assert_eq!(limits(1).unwrap().to_string(), "16 operations or 20 MB at a time");
    }

    #[test]
    fn what_a_person_has_set_stays_where_it_is_shorter() {
        let own = |name: &str| match name {
            OPERATIONS => Some("2".to_owned()),
            _ => Some("none".to_owned()),
        };
        let set = limits(1).unwrap().environment(own);
        assert_eq!(set, [(OPERATIONS, "2".to_owned()), (MEGABYTES, "20".to_owned())]);
    }

    proptest! {
        /// Each time they are shorter in both respects, until they are the shortest; and the shortest are met before it is said that
        /// nothing shorter can be had.
        #[test]
        fn each_time_they_are_shorter_until_they_are_the_shortest(times in 1u32..100) {
            let (now, next) = (limits(times).unwrap(), limits(times + 1).unwrap());
            prop_assert!(now.operations > 0 && now.megabytes > 0, "none at all would be MLX's own");
            if now.operations == 1 {
                prop_assert_eq!((now, times_at_the_shortest(times + 1)), (next, times_at_the_shortest(times) + 1));
            } else {
                prop_assert!(next.operations < now.operations && next.megabytes < now.megabytes);
                prop_assert_eq!(times_at_the_shortest(times + 1), 0);
            }
            prop_assert_eq!(now.and(next), next);
        }
    }
}
