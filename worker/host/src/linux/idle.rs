//! How long nobody has used a machine: by its terminals, which the kernel marks when they are typed into, and by what a desktop tells logind.

use std::time::{Duration, SystemTime};

/// By when terminals were last typed into. With none open, nobody has used the machine since it began.
pub(super) fn by_terminals(
    typed: &Option<Vec<SystemTime>>,
    uptime: Option<Duration>,
    now: SystemTime,
) -> Option<Duration> {
    // A time in the future is a clock that was set back: somebody may be there.
    let since = |at: &SystemTime| now.duration_since(*at).unwrap_or_default();
    typed.as_ref()?.iter().map(since).min().or(uptime)
}

/// With what `loginctl show-seat` says of who sits at the machine. A seat without a session has nobody.
pub(super) fn with_seat(by_terminals: Option<Duration>, seat: Option<&str>, now: SystemTime) -> Option<Duration> {
    let Some(seat) = seat else { return by_terminals };
    let value = |name: &str| seat.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
    if value("Sessions").is_none_or(|sessions| sessions.trim().is_empty()) {
        return by_terminals;
    }
    let at_seat = match (value("IdleHint"), value("IdleSinceHint").and_then(|it| it.parse::<u64>().ok())) {
        (Some("no"), _) => Some(Duration::ZERO),
        (Some("yes"), Some(micros)) => {
            let since = SystemTime::UNIX_EPOCH.checked_add(Duration::from_micros(micros));
            since.map(|since| now.duration_since(since).unwrap_or_default())
        }
        _ => None,
    };
    [by_terminals, at_seat].into_iter().flatten().min()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn minutes(minutes: u64) -> Duration {
        Duration::from_secs(60 * minutes)
    }

    #[test]
    fn whoever_used_it_last_counts() {
        let now = SystemTime::UNIX_EPOCH + minutes(1_000_000);
        let typed = Some(vec![now - minutes(30), now - minutes(7), now - minutes(99)]);
        assert_eq!(by_terminals(&typed, None, now), Some(minutes(7)));
        assert_eq!(by_terminals(&Some(Vec::new()), Some(minutes(600)), now), Some(minutes(600)), "nobody is logged in");
        assert_eq!(by_terminals(&None, Some(minutes(600)), now), None, "terminals cannot be listed");
        assert_eq!(by_terminals(&Some(vec![now + minutes(5)]), None, now), Some(Duration::ZERO));
        let seat = |hint: &str, since: Duration| {
            format!("IdleHint={hint}\nIdleSinceHint={}\nSessions=2\n", (minutes(1_000_000) - since).as_micros())
        };
        assert_eq!(with_seat(Some(minutes(30)), Some(&seat("no", minutes(0))), now), Some(Duration::ZERO));
        assert_eq!(with_seat(Some(minutes(30)), Some(&seat("yes", minutes(10))), now), Some(minutes(10)));
        assert_eq!(with_seat(Some(minutes(3)), Some(&seat("yes", minutes(10))), now), Some(minutes(3)));
        assert_eq!(
            with_seat(Some(minutes(3)), Some("IdleHint=no\nIdleSinceHint=0\nSessions=\n"), now),
            Some(minutes(3))
        );
        assert_eq!(with_seat(None, None, now), None);
    }

    proptest! {
        #[test]
        fn no_text_panics(seat in "((IdleHint|IdleSinceHint|Sessions)=[a-z0-9-]{0,22}\n?){0,5}|.{0,60}", at in any::<u32>()) {
            let now = SystemTime::UNIX_EPOCH + Duration::from_secs(u64::from(at));
            let idle = with_seat(Some(minutes(3)), Some(&seat), now);
            prop_assert!(idle.is_some_and(|idle| idle <= minutes(3)));
        }
    }
}
