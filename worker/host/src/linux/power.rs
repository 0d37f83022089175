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

/// What supplies may be, beside USB's many kinds.
const KINDS: [&str; 6] = ["Mains", "Battery", "UPS", "Wireless", "BrickID", "Unknown"];

/// What batteries say that are not what the machine runs on.
const AT_REST: [&str; 3] = ["Charging", "Full", "Not charging"];

/// Where the power of a machine with these supplies comes from, and what its batteries hold together, as far as they say it. One that
/// lists nothing runs, so it is at the wall.
pub(super) fn of(supplies: &[Supply]) -> (Option<Power>, Option<Battery>) {
    let own = || supplies.iter().filter(|supply| supply.scope != "Device");
    let batteries = || own().filter(|supply| matches!(supply.kind.as_str(), "Battery" | "UPS"));
    let feeds = own().any(|supply| matches!(supply.kind.as_str(), "Mains" | "USB") && supply.online == Some(true));
    let drains = batteries().any(|battery| battery.status == "Discharging");
    // Some batteries never say that they are what feeds; the plug says that it is not.
    let is_unplugged = own().any(|supply| supply.kind == "Mains" && supply.online == Some(false));
    let is_plain = own().all(|supply| KINDS.contains(&supply.kind.as_str()) || supply.kind.starts_with("USB"));
    let at_rest = batteries().all(|battery| AT_REST.contains(&battery.status.as_str()));
    let power = match batteries().next().is_some() {
        _ if feeds => Some(Power::Mains),
        true if drains || is_unplugged => Some(Power::Battery),
        _ => (is_plain && at_rest).then_some(Power::Mains),
    };
    let held: Vec<u64> = batteries().filter_map(|battery| battery.capacity).map(|it| u64::from(it.min(100))).collect();
    let battery = match held.len() as u64 {
        0 => (is_plain && batteries().next().is_none()).then_some(Battery::Absent),
        count => Some(Battery::Percent((held.iter().sum::<u64>() / count) as u8)),
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
        let of = |supplies: &[Supply]| {
            let (power, battery) = super::of(supplies);
            (power.unwrap(), battery.unwrap())
        };
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

    #[test]
    fn what_is_not_said_is_not_known() {
        let mains = |online| supply("Mains", "", online, None);
        let battery = |status: &str, percent| supply("Battery", status, None, percent);
        assert_eq!(of(&[battery("Unknown", Some(50))]).0, None);
        assert_eq!(of(&[mains(None), battery("", Some(50))]).0, None);
        assert_eq!(of(&[mains(Some(false)), battery("Unknown", Some(50))]).0, Some(Power::Battery));
        assert_eq!(of(&[mains(Some(true)), battery("Full", None)]), (Some(Power::Mains), None), "it has one");
        assert_eq!(of(&[supply("", "", None, None)]), (None, None));
    }

    proptest! {
        #[test]
        fn a_charge_is_a_percentage(held in prop::collection::vec(any::<u8>(), 0..6)) {
            let all: Vec<Supply> = held.iter().map(|it| supply("Battery", "Full", None, Some(*it))).collect();
            match of(&all).1 {
                Some(Battery::Absent) => prop_assert!(held.is_empty()),
                Some(Battery::Percent(percent)) => prop_assert!(percent <= 100),
                None => prop_assert!(false),
            }
        }
    }
}
