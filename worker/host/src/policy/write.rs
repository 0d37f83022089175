//! A policy as text, in its one form.

use super::{Condition, Policy, Rule};
use std::fmt::{self, Display, Formatter};
use std::time::Duration;

impl Display for Policy {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Display for Rule {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Rule::Is(condition) => condition.fmt(f),
            Rule::Not(rule) => {
                f.write_str("not ")?;
                rule.within(f)
            }
            Rule::All(rules) => joined(rules, " and ", f),
            Rule::Any(rules) => joined(rules, " or ", f),
        }
    }
}

impl Rule {
    /// As a part of another rule. All in parentheses that has parts itself: nobody has to know what binds more tightly.
    fn within(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if matches!(self, Rule::All(_) | Rule::Any(_)) { write!(f, "({self})") } else { self.fmt(f) }
    }
}

fn joined(rules: &[Rule], by: &str, f: &mut Formatter<'_>) -> fmt::Result {
    for (n, rule) in rules.iter().enumerate() {
        if n > 0 {
            f.write_str(by)?;
        }
        rule.within(f)?;
    }
    Ok(())
}

impl Display for Condition {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Condition::Always => f.write_str("always"),
            Condition::Never => f.write_str("never"),
            Condition::OnAc => f.write_str("on-ac"),
            Condition::OnBattery => f.write_str("on-battery"),
            Condition::LidOpen => f.write_str("lid-open"),
            Condition::LidClosed => f.write_str("lid-closed"),
            Condition::Battery(comparison, percent) => write!(f, "battery {} {percent}%", comparison.sign()),
            Condition::Thermal(comparison, thermal) => write!(f, "thermal {} {}", comparison.sign(), thermal.name()),
            Condition::Pressure(comparison, pressure) => {
                write!(f, "pressure {} {}", comparison.sign(), pressure.name())
            }
            Condition::Idle(comparison, time) => write!(f, "idle {} {}", comparison.sign(), span(*time)),
            Condition::Hours(from, to) => write!(f, "{}-{}", time_of_day(*from), time_of_day(*to)),
            Condition::Days(from, to) if from == to => f.write_str(from.name()),
            Condition::Days(from, to) => write!(f, "{}-{}", from.name(), to.name()),
        }
    }
}

/// A time in the largest unit that holds it whole.
pub(super) fn span(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0 => "0s".to_owned(),
        _ if seconds.is_multiple_of(3600) => format!("{}h", seconds / 3600),
        _ if seconds.is_multiple_of(60) => format!("{}m", seconds / 60),
        _ => format!("{seconds}s"),
    }
}

fn time_of_day(minute: u16) -> String {
    format!("{:02}:{:02}", minute / 60, minute % 60)
}
