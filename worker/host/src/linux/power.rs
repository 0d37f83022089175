//! Power and battery, by the supplies that the kernel lists.

use crate::facts::{Battery, Power};

/// A supply in `/sys/class/power_supply`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Supply {
    /// `Mains`, `Battery`, `UPS`, `USB`.
    pub(super) kind: String,
    /// `Device` for one that feeds something else, such as a mouse.
    pub(super) scope: String,
    /// `Charging`, `Discharging`, …
    pub(super) status: String,
    /// Whether it feeds.
    pub(super) online: Option<bool>,
    /// Percent.
    pub(super) capacity: Option<u8>,
}

/// Where the power of a machine with these supplies comes from, and what its batteries hold together. One that lists nothing runs, so
/// it is at the wall.
pub(super) fn of(supplies: &[Supply]) -> (Power, Battery) {
    let own = || supplies.iter().filter(|supply| supply.scope != "Device");
    let batteries = || own().filter(|supply| matches!(supply.kind.as_str(), "Battery" | "UPS"));
    let feeds = own().any(|supply| matches!(supply.kind.as_str(), "Mains" | "USB") && supply.online == Some(true));
    let drains = batteries().any(|battery| battery.status == "Discharging");
    let power = if drains && !feeds { Power::Battery } else { Power::Mains };
    let held: Vec<u64> = batteries().filter_map(|battery| battery.capacity).map(|it| u64::from(it.min(100))).collect();
    let battery = match held.len() as u64 {
        0 => Battery::Absent,
        count => Battery::Percent((held.iter().sum::<u64>() / count) as u8),
    };
    (power, battery)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn supply(kind: &str, status: &str, online: Option<bool>, capacity: Option<u8>) -> Supply {
        Supply { kind: kind.to_owned(), scope: String::new(), status: status.to_owned(), online, capacity }
    }

    #[test]
    fn power_is_where_it_comes_from() {
        let mains = |online| supply("Mains", "", Some(online), None);
        let battery = |status: &str, percent| supply("Battery", status, None, Some(percent));
        assert_eq!(of(&[]), (Power::Mains, Battery::Absent));
        assert_eq!(of(&[mains(true), battery("Charging", 63)]), (Power::Mains, Battery::Percent(63)));
        assert_eq!(of(&[mains(false), battery("Discharging", 63)]), (Power::Battery, Battery::Percent(63)));
        // Two batteries, of which one is used up first.
        let two = [mains(false), battery("Not charging", 100), battery("Discharging", 20)];
        assert_eq!(of(&two), (Power::Battery, Battery::Percent(60)));
        // One that is too weak a charger still feeds; a charge that drops at the wall is no battery run.
        assert_eq!(of(&[mains(true), battery("Discharging", 80)]).0, Power::Mains);
        let mouse = Supply { scope: "Device".to_owned(), ..battery("Discharging", 5) };
        assert_eq!(of(&[mouse]), (Power::Mains, Battery::Absent));
        // A desktop whose UPS has lost the wall.
        assert_eq!(of(&[supply("UPS", "Discharging", None, Some(50))]), (Power::Battery, Battery::Percent(50)));
    }

    proptest! {
        #[test]
        fn a_charge_is_a_percentage(held in prop::collection::vec(any::<u8>(), 0..6)) {
            let all: Vec<Supply> = held.iter().map(|it| supply("Battery", "Full", None, Some(*it))).collect();
            match of(&all).1 {
                Battery::Absent => prop_assert!(held.is_empty()),
                Battery::Percent(percent) => prop_assert!(percent <= 100),
            }
        }
    }
}
