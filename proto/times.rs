//! Times as people write them, in options and policies: one set of units, read in one way, and one error.
//!
//! Promise: what [`shown`] writes, [`read`] reads back. A day is 24 hours and a week seven of these, for nothing here goes by a calendar.

use crate::id::Millis;
use jiff::{SignedDuration, Span, SpanRelativeTo, Timestamp};
use std::time::Duration;

/// A text that is no time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no time: write a number and a unit, such as 500ms, 90s, 15m, 12h, 7d or 2w, or several, such as 1h30m"
)]
pub struct TimeError(String);

/// What a text says.
///
/// # Errors
/// [`TimeError`]; also of a time before zero, and of months and years, which are not all as long.
pub fn read(text: &str) -> Result<Duration, TimeError> {
    let wrong = || TimeError(text.to_owned());
    let span: Span = text.trim().parse().map_err(|_| wrong())?;
    let time: SignedDuration = span.to_duration(SpanRelativeTo::days_are_24_hours()).map_err(|_| wrong())?;
    Duration::try_from(time).map_err(|_| wrong())
}

/// A time in the largest unit that says it exactly, to the millisecond.
pub fn shown(time: Duration) -> String {
    let ms = time.as_millis();
    let units = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1_000, "s")];
    match units.into_iter().find(|(unit, _)| ms > 0 && ms.is_multiple_of(*unit)) {
        Some((unit, name)) => format!("{}{name}", ms / unit),
        None if ms == 0 => "0s".to_owned(),
        None => format!("{ms}ms"),
    }
}

/// A moment to the minute, in the one zone that all machines share.
pub fn moment(at: Millis) -> String {
    let at = i64::try_from(at.0).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
    at.map_or_else(|| "a time far off".to_owned(), |at| at.strftime("%Y-%m-%d %H:%M UTC").to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_shown_is_read_back(ms in prop_oneof![0u64..100_000, 0u64..10_000_000_000], scale in prop::sample::select(vec![1u64, 1_000, 60_000, 86_400_000])) {
            let time = Duration::from_millis(ms / scale * scale);
            prop_assert_eq!(read(&shown(time)), Ok(time));
        }

        #[test]
        fn a_number_and_a_unit_are_that_many_of_it(number in 0u64..100_000) {
            let units = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000), ("w", 604_800_000)];
            for (unit, ms) in units {
                prop_assert_eq!(read(&format!("{number}{unit}")), Ok(Duration::from_millis(number * ms)));
            }
        }

        #[test]
        fn no_text_does_harm(text in any::<String>()) {
            let _ = read(&text);
        }
    }

    #[test]
    fn several_units_add_up_and_what_is_no_time_is_said_in_one_way() {
        assert_eq!(read("1h30m"), Ok(Duration::from_secs(5400)));
        assert_eq!(read(" 2d 12h "), Ok(Duration::from_secs(60 * 3600)));
        for text in ["", "7", "-1s", "1y", "3mo", "x", "1h30", "99999999999d", "٣s"] {
            let error = read(text).unwrap_err().to_string();
            assert_eq!(
                error,
                format!(
                    "`{text}` is no time: write a number and a unit, such as 500ms, 90s, 15m, 12h, 7d or 2w, or several, such as 1h30m"
                )
            );
        }
    }

    #[test]
    fn a_moment_is_told_to_the_minute() {
        assert_eq!(moment(Millis(1_795_879_259_000)), "2026-11-28 15:20 UTC");
        assert_eq!(moment(Millis(u64::MAX)), "a time far off");
    }
}
