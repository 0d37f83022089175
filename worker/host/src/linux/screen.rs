//! Whether a machine's screens show anything: by what the kernel's graphics says of each of their connectors.

use crate::facts::Screen;

/// A connector that a screen may hang on.
pub(super) struct Connector {
    /// `connected`, `disconnected` or `unknown`.
    pub(super) status: String,
    /// `On`, `Standby`, `Suspend` or `Off`.
    pub(super) power: String,
}

/// By all of them. A machine without a screen has none that is lit; of one whose screens say nothing that is known, nothing is.
pub(super) fn of(connectors: &[Connector]) -> Option<Screen> {
    let screens = || connectors.iter().filter(|it| it.status == "connected");
    let is_dark = |it: &Connector| matches!(it.power.as_str(), "Standby" | "Suspend" | "Off");
    if screens().any(|it| it.power == "On") {
        return Some(Screen::Lit);
    }
    let all_are_known = connectors.iter().all(|it| matches!(it.status.as_str(), "connected" | "disconnected"));
    (all_are_known && screens().all(is_dark)).then_some(Screen::Dark)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn connectors(all: &[(&str, &str)]) -> Option<Screen> {
        let one =
            |(status, power): &(&str, &str)| Connector { status: (*status).to_owned(), power: (*power).to_owned() };
        of(&all.iter().map(one).collect::<Vec<_>>())
    }

    #[test]
    fn a_screen_is_lit_where_one_is_and_dark_where_all_are_or_there_is_none() {
        assert_eq!(connectors(&[]), Some(Screen::Dark));
        assert_eq!(connectors(&[("disconnected", "Off"), ("disconnected", "On")]), Some(Screen::Dark));
        assert_eq!(connectors(&[("connected", "Off"), ("connected", "On")]), Some(Screen::Lit));
        assert_eq!(
            connectors(&[("connected", "Off"), ("connected", "Standby"), ("disconnected", "On")]),
            Some(Screen::Dark)
        );
        assert_eq!(connectors(&[("connected", "")]), None, "one that does not say");
        assert_eq!(connectors(&[("connected", "Off"), ("unknown", "On")]), None, "there may be a screen");
    }

    proptest! {
        /// The order says nothing, and one that is lit outdoes all others.
        #[test]
        fn the_order_says_nothing(
            all in prop::collection::vec(("(connected|disconnected|unknown|[a-z]{0,3})", "(On|Off|Standby|[A-Z]{0,2})"), 0..5),
            turn in any::<usize>(),
        ) {
            let mut all: Vec<(&str, &str)> = all.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
            let found = connectors(&all);
            let middle = turn % all.len().max(1);
            all.rotate_left(middle);
            prop_assert_eq!(connectors(&all), found);
            all.push(("connected", "On"));
            prop_assert_eq!(connectors(&all), Some(Screen::Lit));
        }
    }
}
