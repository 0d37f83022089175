//! How long MLX's command buffers are, which the GPU runs without a break: a screen that somebody looks at waits for the end of each.
//!
//! MLX reads both limits from its environment when its device is made, so they hold for a process's whole life. They change when work is
//! handed to the GPU and never what is computed.

use crate::facts::Facts;
use crate::policy::{Decision, Policy};
use std::time::Duration;

/// Operations of a buffer, as MLX calls it.
pub const OPERATIONS: &str = "MLX_MAX_OPS_PER_BUFFER";

/// Megabytes that a buffer's operations touch, as MLX calls it.
pub const MEGABYTES: &str = "MLX_MAX_MB_PER_BUFFER";

/// How long a process's buffers are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Length {
    /// So that a watchdog that ended longer ones leaves these alone.
    Shortest,
    /// So that a screen stays smooth.
    Short,
    /// As MLX chooses for the chip: the fastest.
    Usual,
}

/// A machine that nobody has used for so long has nobody who works on it in the hours that a process lives.
const DESERTED: Duration = Duration::from_secs(8 * 60 * 60);

impl Length {
    /// For a process that begins now: short where somebody may come to use the machine while the policy lets the process go on. That is so
    /// by a policy that does not ask whether the machine is idle, on one that somebody has used of late.
    pub fn beside_a_person(policy: &Policy, facts: &Facts) -> Length {
        let is_deserted = facts.idle.is_none_or(|idle| idle >= DESERTED);
        let used = Facts { idle: Some(Duration::ZERO), ..*facts };
        let goes_on = policy.decide(&used) == Decision::Open;
        if goes_on && !is_deserted { Length::Short } else { Length::Usual }
    }

    /// What a process's environment says for it, by name. MLX's own choice says nothing: 40 to 50 of both, by the chip.
    pub fn environment(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Length::Usual => &[],
            Length::Short => &[(OPERATIONS, "10"), (MEGABYTES, "20")],
            Length::Shortest => &[(OPERATIONS, "2"), (MEGABYTES, "5")],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn shorter_buffers_have_lower_limits_and_mlx_is_left_alone_otherwise() {
        let limits = |length: Length| -> Vec<u32> {
            length.environment().iter().map(|(_, value)| value.parse().unwrap()).collect()
        };
        assert!(limits(Length::Usual).is_empty());
        let both = limits(Length::Short).into_iter().zip(limits(Length::Shortest));
        assert_eq!(both.clone().count(), 2);
        assert!(both.into_iter().all(|(short, shortest)| shortest < short && short < 40));
    }
}
