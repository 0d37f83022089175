//! Figures as words and as bars. A bar shows nothing that does not stand beside it as text.

use crate::report::{Tally, TaskReport};
use crate::statistics::{Interval, Share, wilson};
use maud::{Markup, html};

/// A share as points of a hundred.
pub(super) fn percent(share: f64) -> String {
    format!("{:.1}", 100.0 * share)
}

/// A difference of shares, with its sign.
pub(super) fn signed(share: f64) -> String {
    let text = format!("{:+.1}", 100.0 * share);
    if text == "-0.0" { "+0.0".to_owned() } else { text }
}

/// An interval of shares in points of a hundred.
pub(super) fn range(interval: Interval) -> String {
    format!("{} to {}", percent(interval.low), percent(interval.high))
}

/// So many of something.
pub(super) fn count(of: usize, what: &str) -> String {
    if of == 1 { format!("1 {what}") } else { format!("{of} {what}s") }
}

/// How often tasks pass.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Passing {
    /// The mean over tasks of the share of their answers that passed.
    pub(super) rate: f64,
    /// Wilson's interval at 95 %, over tasks: the answers to one task are not independent.
    pub(super) interval: Interval,
    /// Tasks with an answer that passes or fails.
    pub(super) tasks: usize,
}

/// The share of the answers that passed, of those that do or do not.
pub(super) fn passed_share(tally: &Tally) -> Option<f64> {
    (tally.decided > 0).then(|| f64::from(tally.passed) / f64::from(tally.decided))
}

/// How often these tasks pass; `None` where none passes or fails.
pub(super) fn passing<'t>(tasks: impl IntoIterator<Item = &'t TaskReport>) -> Option<Passing> {
    let deciding = tasks.into_iter().map(|task| passed_share(&task.tally));
    let rates: Vec<f64> = deciding.flatten().collect();
    let tasks = rates.len();
    // A mean of rates leaves 0 to 1 by no more than rounding.
    let rate = (rates.iter().sum::<f64>() / tasks as f64).clamp(0.0, 1.0);
    // Without a task the rate is no number, and so no share.
    let share = Share::new(rate).ok()?;
    Some(Passing { rate, interval: wilson(share, tasks as u64, Share::LEVEL), tasks })
}

/// A bar from 0 to 1, with the whiskers of an interval.
pub(super) fn bar(share: f64, interval: Option<Interval>, side: &str) -> Markup {
    let x = |share: f64| format!("{:.2}", 100.0 * share.clamp(0.0, 1.0));
    html! {
        svg.bar viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden="true" focusable="false" {
            rect.track x="0" y="0" width="100" height="8" {}
            rect.(side) x="0" y="0" width=(x(share)) height="8" {}
            @if let Some(Interval { low, high, .. }) = interval {
                rect.whisker x=(x(low)) y="3.2" width=(x(high - low)) height="1.6" {}
                @for end in [low, high] {
                    rect.whisker x=(x((end - 0.0025).clamp(0.0, 0.995))) y="1" width="0.5" height="6" {}
                }
            }
        }
    }
}

/// Whether an answer passed, as a word in its colour: not judged, undecided, passed, failed.
pub(super) fn sign(passed: Option<Option<bool>>) -> Markup {
    let (class, word) = match passed {
        None => ("plain", "not judged yet"),
        Some(None) => ("plain", "undecided"),
        Some(Some(true)) => ("good", "passed"),
        Some(Some(false)) => ("bad", "failed"),
    };
    html! { span.tag.(class) { (word) } }
}
