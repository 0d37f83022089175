//! Heat, by the trip points that the kernel itself acts on: passive is where it slows down, hot and critical where it gives up.

use crate::facts::Thermal;

/// Trip points of a zone that are looked at.
pub(super) const TRIPS_MAX: usize = 16;

/// Trip points below this, in thousandths of a degree, are of boards that fill in nothing of their own.
const TRIP_MIN: i64 = 40_000;

/// How far below the point at which the kernel slows down a machine is warm.
const WARM: i64 = 10_000;

/// How far below the point at which it is switched off a machine has to cool.
const DANGER: i64 = 5_000;

/// A zone in `/sys/class/thermal`. Thousandths of a degree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Zone {
    /// Now.
    pub(super) temperature: i64,
    /// Kinds, and where they begin.
    pub(super) trips: Vec<(String, i64)>,
}

/// The hottest of all zones. `None` where none says what is hot for it.
pub(super) fn of(zones: &[Zone]) -> Option<Thermal> {
    zones.iter().filter_map(Zone::state).max()
}

impl Zone {
    fn state(&self) -> Option<Thermal> {
        let first = |kind: &str| {
            let of_kind = self.trips.iter().filter(|(name, at)| name == kind && *at >= TRIP_MIN);
            of_kind.map(|(_, at)| *at).min()
        };
        let (passive, hot, critical) = (first("passive"), first("hot"), first("critical"));
        passive.or(hot).or(critical)?;
        // A trip point that is not there is never reached.
        let past = |point: Option<i64>, before: i64| point.is_some_and(|at| self.temperature >= at - before);
        Some(if past(hot, 0) || past(critical, DANGER) {
            Thermal::Critical
        } else if past(passive, 0) {
            Thermal::Serious
        } else if past(passive, WARM) {
            Thermal::Fair
        } else {
            Thermal::Nominal
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn zone(temperature: i64) -> Zone {
        let trip = |kind: &str, at: i64| (kind.to_owned(), at);
        Zone { temperature, trips: vec![trip("active", 50_000), trip("passive", 85_000), trip("critical", 105_000)] }
    }

    #[test]
    fn heat_is_measured_by_what_the_kernel_acts_on() {
        let state = |at: i64| of(&[zone(at)]).unwrap();
        assert_eq!(state(60_000), Thermal::Nominal);
        assert_eq!(state(75_000), Thermal::Fair);
        assert_eq!(state(85_000), Thermal::Serious);
        assert_eq!(state(100_000), Thermal::Critical);
        assert_eq!(of(&[zone(60_000), zone(90_000)]), Some(Thermal::Serious), "the hottest counts");
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[Zone { temperature: 99_000, trips: Vec::new() }]), None);
        let odd =
            Zone { temperature: 30_000, trips: vec![("passive".to_owned(), 0), ("critical".to_owned(), -274_000)] };
        assert_eq!(of(&[odd]), None);
    }

    proptest! {
        #[test]
        fn hotter_is_never_cooler(a in any::<i32>(), b in any::<i32>()) {
            let (cool, hot) = (i64::from(a.min(b)), i64::from(a.max(b)));
            prop_assert!(of(&[zone(cool)]) <= of(&[zone(hot)]));
        }
    }
}
