//! What a machine that is short of memory keeps for whoever works on it, and for how long.
//!
//! ```text
//! normal ── at once ──▶ warning ── at once ──▶ critical
//!    ▲                     │ ▲                    │
//!    └──── after a calm ───┘ └─── after a calm ───┘
//! ```
//!
//! At a warning what runs gives back what it keeps beyond its need, and less is offered for what may come; where programs wait for memory
//! less still. Both come back a step at a time, each once the pressure has been lower without a break for as long as a calm: what is given
//! back at once is taken at once, and the machine would be short again.
//!
//! Promises, over any pressures and any clock that does not go back: the level is never below the pressure; it falls by one step at a time,
//! and only where every look for a whole calm found less; what the machine does not say raises nothing.

use crate::facts::Pressure;
use std::time::Duration;

/// How short of memory a machine has been of late.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shortage {
    level: Pressure,
    /// Since when the pressure has been below that without a break.
    below: Option<Duration>,
}

impl Default for Shortage {
    fn default() -> Shortage {
        Shortage { level: Pressure::Normal, below: None }
    }
}

impl Shortage {
    /// Where it goes on, by the pressure `now`, a time of a clock that never goes back.
    pub fn next(self, pressure: Option<Pressure>, now: Duration, calm: Duration) -> Shortage {
        let pressure = pressure.unwrap_or(Pressure::Normal);
        if pressure >= self.level {
            return Shortage { level: pressure, below: None };
        }
        let below = self.below.unwrap_or(now);
        if now.saturating_sub(below) < calm {
            return Shortage { below: Some(below), ..self };
        }
        let level = if self.level == Pressure::Critical { Pressure::Warning } else { Pressure::Normal };
        Shortage { level, below: (pressure < level).then_some(now) }
    }

    /// The level that what follows goes by.
    pub fn level(self) -> Pressure {
        self.level
    }
}

/// Whether what runs at this level gives back all memory that it does not need.
pub fn is_thrifty(level: Pressure) -> bool {
    level > Pressure::Normal
}

/// How much of `usable` bytes nobody new is offered at this level.
pub fn withheld_bytes(level: Pressure, usable: u64) -> u64 {
    match level {
        Pressure::Normal => 0,
        Pressure::Warning => usable / 4,
        Pressure::Critical => usable / 2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// The levels after looks at these seconds, with a calm of 300.
    fn levels(looks: &[(u64, Pressure)]) -> Vec<Pressure> {
        let mut shortage = Shortage::default();
        let mut level = |&(at, pressure): &(u64, Pressure)| {
            shortage = shortage.next(Some(pressure), seconds(at), seconds(300));
            shortage.level()
        };
        looks.iter().map(&mut level).collect()
    }

    #[test]
    fn it_rises_at_once_and_falls_a_step_after_each_calm() {
        use Pressure::{Critical, Normal, Warning};
        let looks =
            [(0, Normal), (5, Critical), (10, Normal), (309, Normal), (310, Normal), (609, Normal), (610, Normal)];
        assert_eq!(levels(&looks), [Normal, Critical, Critical, Critical, Warning, Warning, Normal]);
        let flaps = [(0, Warning), (10, Normal), (200, Warning), (310, Normal), (609, Normal), (610, Normal)];
        assert_eq!(
            levels(&flaps),
            [Warning, Warning, Warning, Warning, Warning, Normal],
            "a break begins the calm anew"
        );
        assert_eq!(Shortage::default().next(None, seconds(9), seconds(300)), Shortage::default());
    }

    #[test]
    fn the_shorter_memory_is_the_less_is_offered_and_never_nothing() {
        let withheld = Pressure::ALL.map(|level| withheld_bytes(level, 1000));
        assert_eq!(withheld, [0, 250, 500]);
        assert_eq!(Pressure::ALL.map(is_thrifty), [false, true, true]);
        assert!(Pressure::ALL.into_iter().all(|level| withheld_bytes(level, u64::MAX) < u64::MAX));
    }

    proptest! {
        #[test]
        fn it_keeps_its_promises_over_any_pressures_and_any_clock(
            looks in prop::collection::vec((0u64..200, prop::option::of(prop::sample::select(&Pressure::ALL[..]))), 1..80),
            calm in 0u64..400,
        ) {
            let (mut now, mut shortage) = (0, Shortage::default());
            let mut history: Vec<(u64, Pressure)> = Vec::new();
            for (passed, said) in looks {
                now += passed;
                let (before, pressure) = (shortage.level(), said.unwrap_or(Pressure::Normal));
                shortage = shortage.next(said, seconds(now), seconds(calm));
                history.push((now, pressure));
                let level = shortage.level();
                prop_assert!(level >= pressure);
                prop_assert!(level <= before.max(pressure));
                if level < before {
                    prop_assert_eq!(level as u8 + 1, before as u8, "a step at a time");
                    let first = history.iter().rposition(|(_, pressure)| *pressure >= before).map_or(0, |at| at + 1);
                    let since = history[first].0;
                    prop_assert!(now - since >= calm, "it falls after {}", now - since);
                }
            }
            // With enough of it nothing is held back for ever.
            for _ in 0..4 {
                now += calm;
                shortage = shortage.next(None, seconds(now), seconds(calm));
            }
            prop_assert_eq!(shortage.level(), Pressure::Normal);
        }
    }
}
