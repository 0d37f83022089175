//! What macOS's commands print, read.

use crate::facts::{Battery, Lid, Power, Pressure, Screen, Thermal};
use crate::host::Boot;
use std::time::Duration;

/// Percent of its speed below which a Mac with Intel's processor is warm, hot, and too hot.
const WARM_PERCENT: u32 = 100;
const HOT_PERCENT: u32 = 80;
const TOO_HOT_PERCENT: u32 = 50;

/// `pmset -g batt`. A Mac without a battery lists none, and one behind a UPS lists that.
pub(super) fn power(text: &str) -> (Option<Power>, Option<Battery>) {
    let source = text.lines().find_map(|line| line.split_once("Now drawing from '")?.1.split('\'').next());
    let power = match source {
        Some("AC Power") => Some(Power::Mains),
        Some("Battery Power" | "UPS Power") => Some(Power::Battery),
        _ => None,
    };
    // Of all batteries the emptiest: what runs out first.
    let supplies = || text.lines().filter(|line| line.trim_start().starts_with('-'));
    let battery = match supplies().filter_map(percent).min() {
        Some(percent) => Some(Battery::Percent(percent)),
        None => power.filter(|_| supplies().next().is_none()).map(|_| Battery::Absent),
    };
    (power, battery)
}

/// The number before the first `%`.
fn percent(line: &str) -> Option<u8> {
    let before = line.split_once('%')?.0;
    let digits = before.rsplit(|c: char| !c.is_ascii_digit()).next()?;
    digits.parse().ok().filter(|percent| *percent <= 100)
}

/// `pmset -g therm`, where it lists how much of their speed the processors may use, as it does on Intel's.
pub(super) fn speed_limit(text: &str) -> Option<Thermal> {
    let value = |line: &str| {
        let (name, value) = line.split_once('=')?;
        (name.trim() == "CPU_Speed_Limit").then(|| value.trim().parse::<u32>().ok())?
    };
    text.lines().find_map(value).map(|percent| match percent {
        WARM_PERCENT.. => Thermal::Nominal,
        HOT_PERCENT.. => Thermal::Fair,
        TOO_HOT_PERCENT.. => Thermal::Serious,
        _ => Thermal::Critical,
    })
}

/// `notifyutil -g com.apple.system.thermalpressurelevel`: nominal, moderate, heavy, trapping, sleeping, from 0.
pub(super) fn thermal_level(text: &str) -> Option<Thermal> {
    match text.split_whitespace().last()?.parse::<u64>().ok()? {
        0 => Some(Thermal::Nominal),
        1 => Some(Thermal::Fair),
        2 => Some(Thermal::Serious),
        3 | 4 => Some(Thermal::Critical),
        _ => None,
    }
}

/// `sysctl -n kern.memorystatus_vm_pressure_level`: the bits of dispatch's memory pressure.
pub(super) fn pressure(text: &str) -> Option<Pressure> {
    match text.trim() {
        "1" => Some(Pressure::Normal),
        "2" => Some(Pressure::Warning),
        "4" => Some(Pressure::Critical),
        _ => None,
    }
}

/// `ioreg -c IOHIDSystem`: nanoseconds since anything was typed, clicked or touched.
pub(super) fn idle(text: &str) -> Option<Duration> {
    let nanos = text.lines().find_map(|line| property(line, "HIDIdleTime")?.parse::<u64>().ok())?;
    Some(Duration::from_nanos(nanos))
}

/// What powerd says of the people at a machine, by bits: somebody uses it and its display is on, and a program keeps the display on.
const PRESENT_ACTIVE: u64 = 1;
const PRESENT_PASSIVE: u64 = 2;

/// How long powerd takes somebody who has touched nothing to be there still.
const ACTIVE: Duration = Duration::from_secs(5 * 60);

/// `notifyutil -g com.apple.system.powermanagement.useractivity2`, `ioreg -n Root`, which lists who is logged in and whether they locked
/// the screen, and how long nobody has touched anything. Nobody before a display that is on is as good as a dark one. A system on which
/// powerd does not say it answers 0 too, as is seen when somebody is there; then it is not known.
pub(super) fn screen(present: Option<&str>, root: Option<&str>, idle: Option<Duration>) -> Option<Screen> {
    let is_locked = root.is_some_and(|text| {
        text.lines().any(|line| {
            line.contains("\"CGSSessionScreenIsLocked\"=Yes") || line.contains("\"CGSSessionScreenIsLocked\" = Yes")
        })
    });
    if is_locked {
        return Some(Screen::Dark);
    }
    let bits = present?.split_whitespace().last()?.parse::<u64>().ok()?;
    match bits & (PRESENT_ACTIVE | PRESENT_PASSIVE) {
        0 => idle.is_some_and(|idle| idle > ACTIVE).then_some(Screen::Dark),
        _ => Some(Screen::Lit),
    }
}

/// `ioreg -r -k AppleClamshellState`, which prints nothing on a Mac without a lid.
pub(super) fn lid(text: &str) -> Option<Lid> {
    match text.lines().find_map(|line| property(line, "AppleClamshellState")) {
        Some("Yes") => Some(Lid::Closed),
        Some("No") => Some(Lid::Open),
        Some(_) => None,
        None => Some(Lid::Absent),
    }
}

/// The value in a line such as `    | |   "HIDIdleTime" = 5417`.
fn property<'t>(line: &'t str, name: &str) -> Option<&'t str> {
    let (_, after) = line.split_once('"')?;
    let (found, value) = after.split_once("\" = ")?;
    (found == name).then(|| value.trim())
}

/// `sysctl -n kern.bootsessionuuid`, and `sysctl -n kern.boottime` as `{ sec = 1732000000, usec = 12 } Tue Nov 19 08:06:40 2024`.
pub(super) fn boot(id: &str, time: &str) -> Option<Boot> {
    let id = id.trim();
    let (_, after) = time.split_once("sec = ")?;
    let digits = after.split(|c: char| !c.is_ascii_digit()).next()?;
    (!id.is_empty()).then(|| Some(Boot { id: id.to_owned(), at_seconds: digits.parse().ok()? }))?
}

#[cfg(test)]
mod tests;
