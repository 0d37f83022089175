//! What a machine is doing right now, as far as it says.
//!
//! Promise: what is not known is `None` and never a guess; what a machine does not have, such as a battery, is known to be absent.

use std::time::Duration;

/// What a machine is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Facts {
    /// Where its power comes from.
    pub power: Option<Power>,
    /// What its battery holds.
    pub battery: Option<Battery>,
    /// How hot it is.
    pub thermal: Option<Thermal>,
    /// How short of memory it is.
    pub pressure: Option<Pressure>,
    /// Its lid.
    pub lid: Option<Lid>,
    /// How long nobody has typed, clicked or touched anything.
    pub idle: Option<Duration>,
    /// Its screen.
    pub screen: Option<Screen>,
    /// What its clock shows.
    pub clock: Option<Clock>,
}

/// Where a machine's power comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Power {
    /// From the wall.
    Mains,
    /// From a battery, its own or one before it.
    Battery,
}

/// What a machine's battery holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Battery {
    /// It has none, and so never runs out.
    Absent,
    /// This many percent of it.
    Percent(u8),
}

/// How hot a machine is, in the steps that macOS knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Thermal {
    /// As it should be.
    Nominal,
    /// Warm: its fans may be heard.
    Fair,
    /// Hot: it slows down.
    Serious,
    /// So hot that it has to cool.
    Critical,
}

/// How short of memory a machine is, in the steps that macOS knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Pressure {
    /// There is enough.
    Normal,
    /// Memory is taken from what was not used lately.
    Warning,
    /// Programs wait for memory.
    Critical,
}

/// A machine's lid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lid {
    /// It has none, and so never closes it.
    Absent,
    /// It is open.
    Open,
    /// It is closed.
    Closed,
}

/// A machine's screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Screen {
    /// It sleeps or is locked, or there is none.
    Dark,
    /// It shows something.
    Lit,
}

/// How long nobody has touched a machine that does not say whether its screen sleeps, until nobody is taken to look at it.
const LEFT: Duration = Duration::from_secs(15 * 60);

/// The same of a machine whose screen is lit: somebody may look on for as long as a long film, and some screens never sleep.
const LEFT_LIT: Duration = Duration::from_secs(4 * 60 * 60);

impl Facts {
    /// Whether somebody may be looking at the machine's screen: by that, and where it is not known, by when somebody used the machine last.
    pub fn is_watched(&self) -> Option<bool> {
        match (self.screen, self.idle) {
            (Some(Screen::Dark), _) => Some(false),
            (Some(Screen::Lit), idle) => Some(idle.is_none_or(|idle| idle < LEFT_LIT)),
            (None, idle) => idle.map(|idle| idle < LEFT),
        }
    }
}

/// What a machine's clock shows where it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Clock {
    /// The day.
    pub weekday: Weekday,
    /// Minutes since midnight.
    pub minute: u16,
}

/// A day of the week.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Weekday {
    /// Monday.
    Monday,
    /// Tuesday.
    Tuesday,
    /// Wednesday.
    Wednesday,
    /// Thursday.
    Thursday,
    /// Friday.
    Friday,
    /// Saturday.
    Saturday,
    /// Sunday.
    Sunday,
}

impl Thermal {
    /// All of them, from cool to hot.
    pub const ALL: [Thermal; 4] = [Thermal::Nominal, Thermal::Fair, Thermal::Serious, Thermal::Critical];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Thermal::Nominal => "nominal",
            Thermal::Fair => "fair",
            Thermal::Serious => "serious",
            Thermal::Critical => "critical",
        }
    }
}

impl Pressure {
    /// All of them, from plenty to none.
    pub const ALL: [Pressure; 3] = [Pressure::Normal, Pressure::Warning, Pressure::Critical];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Pressure::Normal => "normal",
            Pressure::Warning => "warning",
            Pressure::Critical => "critical",
        }
    }
}

impl Weekday {
    /// All of them, in their order.
    pub const ALL: [Weekday; 7] = [
        Weekday::Monday,
        Weekday::Tuesday,
        Weekday::Wednesday,
        Weekday::Thursday,
        Weekday::Friday,
        Weekday::Saturday,
        Weekday::Sunday,
    ];

    /// Its name, in three letters.
    pub fn name(self) -> &'static str {
        ["mon", "tue", "wed", "thu", "fri", "sat", "sun"][self as usize]
    }
}

impl Clock {
    /// What the clock shows now, in the machine's own time zone.
    pub fn now() -> Clock {
        let now = jiff::ZonedDateTime::now();
        let weekday = Weekday::ALL[usize::from(now.weekday().to_monday_zero_offset().unsigned_abs()) % 7];
        let minute = u16::from(now.hour().unsigned_abs()) * 60 + u16::from(now.minute().unsigned_abs());
        Clock { weekday, minute }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn nobody_looks_at_a_dark_screen_nor_at_one_that_was_left() {
        let watched = |screen, minutes: Option<u64>| {
            let idle = minutes.map(|minutes| Duration::from_secs(60 * minutes));
            Facts { screen, idle, ..Facts::default() }.is_watched()
        };
        assert_eq!([None, Some(0), Some(600)].map(|idle| watched(Some(Screen::Dark), idle)), [Some(false); 3]);
        let lit = [None, Some(0), Some(120), Some(600)].map(|idle| watched(Some(Screen::Lit), idle));
        assert_eq!(lit, [Some(true), Some(true), Some(true), Some(false)]);
        assert_eq!([None, Some(5), Some(20)].map(|idle| watched(None, idle)), [None, Some(true), Some(false)]);
    }

    proptest! {
        /// Who stays away longer never comes to look by that, and a machine that says anything at all is not taken for one that does not.
        #[test]
        fn the_longer_nobody_was_there_the_less_it_is_watched(
            screen in prop::sample::select(vec![None, Some(Screen::Dark), Some(Screen::Lit)]),
            idle in 0u64..100_000,
            more in 0u64..100_000,
        ) {
            let watched = |idle| Facts { screen, idle: Some(Duration::from_secs(idle)), ..Facts::default() }.is_watched();
            prop_assert!(watched(idle + more) <= watched(idle));
            prop_assert!(watched(idle).is_some());
        }
    }

    #[test]
    fn the_clock_shows_a_minute_of_a_day() {
        let clock = Clock::now();
        assert!(clock.minute < 24 * 60 && Weekday::ALL.contains(&clock.weekday), "{clock:?}");
        assert_eq!(Weekday::ALL.map(Weekday::name), ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]);
    }
}
