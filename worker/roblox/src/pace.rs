//! How often a service may be asked: a pure function of when it was.
//!
//! Promise: who asks only when it is their [`Turn`] never passes a limit in any span of its length, however the service counts: by the
//! clock's hours and days, or by the last so many minutes. A wait is never longer than the longest span, whatever clocks have done.

/// At most so many in any span of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// How many.
    pub most: usize,
    /// In how many milliseconds.
    pub span_ms: u64,
    /// What a person calls the span.
    pub span: &'static str,
}

/// An hour.
const HOUR_MS: u64 = 3_600_000;

/// Scripts that Open Cloud takes of one key.
pub const SENDS: [Limit; 2] = [
    Limit { most: 50, span_ms: HOUR_MS, span: "in an hour" },
    Limit { most: 100, span_ms: 24 * HOUR_MS, span: "in a day" },
];

/// Looks at records that Open Cloud answers for one key.
pub const LOOKS: Limit = Limit { most: 60, span_ms: 60_000, span: "in a minute" };

/// Whether it is time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// It is.
    Now,
    /// It is not yet.
    Wait(Wait),
}

/// When it is time, and what is in the way until then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wait {
    /// From when on, in milliseconds since 1970.
    pub until_ms: u64,
    /// The limit that is used up, and how much of it is; `None` where the service itself said when to come again.
    pub used: Option<(usize, Limit)>,
}

/// Whether the service may be asked at `now_ms`, where it was asked at each of `used_ms`, in whatever order, and has said not to be asked
/// before `not_before_ms`. All are milliseconds since 1970; a time that is still to come, by a clock that was set back, counts as now.
pub fn turn(limits: &[Limit], used_ms: &[u64], not_before_ms: u64, now_ms: u64) -> Turn {
    let of_limit = |limit: &Limit| {
        let mut within: Vec<u64> =
            used_ms.iter().map(|at| *at.min(&now_ms)).filter(|at| now_ms - at < limit.span_ms).collect();
        // One more has room once all but the newest `most - 1` are out of the span.
        let over = within.len().checked_sub(limit.most)?;
        within.sort_unstable();
        Some(Wait { until_ms: within[over] + limit.span_ms, used: Some((within.len(), *limit)) })
    };
    let told = (not_before_ms > now_ms).then_some(Wait { until_ms: not_before_ms, used: None });
    match limits.iter().filter_map(of_limit).chain(told).max_by_key(|wait| wait.until_ms) {
        None => Turn::Now,
        Some(wait) => Turn::Wait(wait),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SMALL: [Limit; 2] =
        [Limit { most: 3, span_ms: 100, span: "in a moment" }, Limit { most: 7, span_ms: 1000, span: "in a while" }];

    #[test]
    fn the_limit_that_holds_longest_is_the_one_that_is_told() {
        assert_eq!(turn(&SMALL, &[], 0, 5), Turn::Now);
        assert_eq!(turn(&SMALL, &[10, 30, 20], 0, 30), Turn::Wait(Wait { until_ms: 110, used: Some((3, SMALL[0])) }));
        assert_eq!(turn(&SMALL, &[10, 20, 30], 0, 110), Turn::Now);
        let seven = [0, 0, 0, 200, 200, 200, 400];
        assert_eq!(turn(&SMALL, &seven, 0, 500), Turn::Wait(Wait { until_ms: 1000, used: Some((7, SMALL[1])) }));
        assert_eq!(turn(&SMALL, &seven, 5000, 500), Turn::Wait(Wait { until_ms: 5000, used: None }));
        let fifty: Vec<u64> = (0..50).collect();
        assert_eq!(turn(&SENDS, &fifty, 0, 50), Turn::Wait(Wait { until_ms: HOUR_MS, used: Some((50, SENDS[0])) }));
    }

    proptest! {
        /// Somebody who wants to ask at every time drawn, and asks when it is their turn.
        #[test]
        fn no_span_ever_has_more_than_its_limit(steps in prop::collection::vec(0u64..60, 1..400)) {
            let (mut now, mut used) = (0, Vec::new());
            for step in steps {
                now += step;
                match turn(&SMALL, &used, 0, now) {
                    Turn::Now => used.push(now),
                    Turn::Wait(wait) => {
                        prop_assert!(wait.until_ms > now && wait.until_ms <= now + 1000);
                        prop_assert_eq!(turn(&SMALL, &used, 0, wait.until_ms), Turn::Now, "a wait is long enough");
                        let before = turn(&SMALL, &used, 0, wait.until_ms - 1);
                        prop_assert!(matches!(before, Turn::Wait(_)), "and no longer than it has to be");
                    }
                }
            }
            for limit in SMALL {
                for (n, from) in used.iter().enumerate() {
                    let within = used[n..].iter().filter(|at| **at - from < limit.span_ms).count();
                    prop_assert!(within <= limit.most, "{within} in a span of {}", limit.span_ms);
                }
            }
        }

        #[test]
        fn clocks_that_jump_make_nobody_wait_longer_than_a_span(
            used in prop::collection::vec(0u64..100_000, 0..40), now in 0u64..100_000,
        ) {
            match turn(&SMALL, &used, 0, now) {
                Turn::Now => {
                    let recent = used.iter().filter(|at| now.saturating_sub(**at) < 100).count();
                    prop_assert!(recent < 3);
                }
                Turn::Wait(wait) => prop_assert!(wait.until_ms > now && wait.until_ms <= now + 1000),
            }
        }
    }
}
