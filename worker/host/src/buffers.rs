//! How long MLX's command buffers are, which the GPU runs without a break: a screen that somebody looks at waits for the end of each, and
//! macOS ends a process whose work keeps it waiting too long ("Impacting Interactivity").
//!
//! There is one ladder of lengths. A process begins on its first rung; on the second where somebody may come to look at the screen; and
//! one further down than it was where it was ended for that. MLX reads its two limits from its environment when its device is made, so they
//! hold for a process's whole life. They change when work is handed to the GPU and never what is computed.

use crate::facts::Facts;
use crate::policy::{Decision, Policy};
use std::fmt;
use std::time::Duration;

/// Operations of a buffer, as MLX calls it.
pub const OPERATIONS: &str = "MLX_MAX_OPS_PER_BUFFER";

/// Megabytes that a buffer's operations touch, as MLX calls it.
pub const MEGABYTES: &str = "MLX_MAX_MB_PER_BUFFER";

/// MLX's limits on a command buffer: it is handed over when it is past either.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Operations.
    pub operations: u32,
    /// Megabytes that they read.
    pub megabytes: u32,
}

impl fmt::Display for Limits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let operations = if self.operations == 1 { "operation" } else { "operations" };
        write!(f, "{} {operations} or {} MB at a time", self.operations, self.megabytes)
    }
}

/// How long a process's buffers are: a rung of the ladder, the longest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Length {
    /// As MLX chooses for the chip: the fastest.
    #[default]
    Usual,
    /// So that a screen stays smooth.
    Short,
    /// Where those were too long.
    Shorter,
    /// One operation at a time: nothing shorter can be had.
    Shortest,
}

/// A machine that nobody has used for so long has nobody who works on it in the hours that a process lives.
const DESERTED: Duration = Duration::from_secs(8 * 60 * 60);

impl Length {
    /// The ladder, from long to short.
    pub const ALL: [Length; 4] = [Length::Usual, Length::Short, Length::Shorter, Length::Shortest];

    /// For a process that begins now: short where somebody may come to use the machine while the policy lets the process go on. That is so
    /// by a policy that does not ask whether the machine is idle, on one that somebody has used of late.
    pub fn beside_a_person(policy: &Policy, facts: &Facts) -> Length {
        let is_deserted = facts.idle.is_none_or(|idle| idle >= DESERTED);
        let used = Facts { idle: Some(Duration::ZERO), ..*facts };
        let goes_on = policy.decide(&used) == Decision::Open;
        if goes_on && !is_deserted { Length::Short } else { Length::Usual }
    }

    /// The rung so many steps down the ladder; its end where that is beyond.
    pub fn after(steps: u32) -> Length {
        Length::ALL.get(steps as usize).copied().unwrap_or(Length::Shortest)
    }

    /// How many steps down the ladder it is.
    pub fn steps(self) -> u32 {
        self as u32
    }

    /// What MLX is told. `None`: nothing, and its own choice is 40 to 50 of both, by the chip.
    pub fn limits(self) -> Option<Limits> {
        let (operations, megabytes) = match self {
            Length::Usual => return None,
            Length::Short => (10, 20),
            Length::Shorter => (4, 8),
            Length::Shortest => (1, 1),
        };
        Some(Limits { operations, megabytes })
    }

    /// What a process's environment says for it, by name. What a person has `set` there for the worker stays where it is shorter, or where
    /// nothing is said for it.
    pub fn environment(self, set: impl Fn(&str) -> Option<String>) -> Vec<(&'static str, String)> {
        let Some(Limits { operations, megabytes }) = self.limits() else { return Vec::new() };
        let shorter = |(name, limit): (&'static str, u32)| {
            let set = set(name).and_then(|text| text.trim().parse::<u32>().ok());
            (name, set.map_or(limit, |set| set.min(limit)).to_string())
        };
        [(OPERATIONS, operations), (MEGABYTES, megabytes)].map(shorter).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    #[test]
    fn buffers_are_short_where_somebody_may_come_to_look_at_the_screen() {
        let length = |policy: &str, idle: Option<u64>| {
            let facts = Facts { idle: idle.map(Duration::from_secs), ..Facts::default() };
            Length::beside_a_person(&policy.parse().unwrap(), &facts)
        };
        assert_eq!(length("on-ac", Some(5)), Length::Short);
        assert_eq!(length("on-ac", Some(3600)), Length::Short, "somebody at lunch comes back");
        assert_eq!(length("on-ac", Some(24 * 3600)), Length::Usual);
        assert_eq!(length("on-ac", None), Length::Usual, "a machine that has no screen");
        assert_eq!(length("idle > 15m", Some(3600)), Length::Usual, "whoever comes pauses it");
        assert_eq!(length("idle > 15m or on-ac or always", Some(3600)), Length::Short);
    }

    #[test]
    fn each_rung_is_shorter_in_both_respects_and_mlx_is_left_alone_on_the_first() {
        let limits: Vec<Limits> = Length::ALL.into_iter().filter_map(Length::limits).collect();
        assert_eq!((Length::Usual.limits(), limits.len()), (None, 3));
        assert!(limits[0].operations < 40 && limits[0].megabytes < 40, "shorter than MLX's own");
        let is_shorter =
            |pair: &[Limits]| pair[1].operations < pair[0].operations && pair[1].megabytes < pair[0].megabytes;
        assert!(limits.windows(2).all(is_shorter));
        assert_eq!(limits[0].to_string(), "10 operations or 20 MB at a time");
        let steps: Vec<Length> = (0..6).map(Length::after).collect();
        assert_eq!((&steps[..4], &steps[4..]), (&Length::ALL[..], &[Length::Shortest; 2][..]));
        assert!(Length::ALL.into_iter().all(|length| Length::after(length.steps()) == length));
    }

    proptest! {
        /// In each respect the child has the shorter of what the ladder and the person say, never something else, and never more further
        /// down; what is no number says nothing.
        #[test]
        fn what_a_person_has_set_stays_where_it_is_shorter(
            of_person in prop::collection::btree_map(
                prop::sample::select(vec![OPERATIONS, MEGABYTES]),
                prop_oneof![(0u32..60).prop_map(|set| set.to_string()), "[a-z ]{0,3}", Just(" 3 ".to_owned())],
                0..=2,
            ),
            steps in 0u32..3,
        ) {
            let child = |length: Length| -> BTreeMap<&str, String> {
                let mut all = of_person.clone();
                all.extend(length.environment(|name| of_person.get(name).cloned()));
                all
            };
            let number = |all: &BTreeMap<&str, String>, name: &str| all.get(name).and_then(|it| it.trim().parse::<u32>().ok());
            prop_assert_eq!(&child(Length::Usual), &of_person);
            for name in [OPERATIONS, MEGABYTES] {
                let set = number(&of_person, name);
                let limits = Length::after(steps).limits();
                let limit = limits.map(|it| if name == OPERATIONS { it.operations } else { it.megabytes });
                let (now, next) = (number(&child(Length::after(steps)), name), number(&child(Length::after(steps + 1)), name));
                prop_assert_eq!(now, [set, limit].into_iter().flatten().min());
                prop_assert!(next.is_some() && now.is_none_or(|now| next <= Some(now)));
            }
        }
    }
}
