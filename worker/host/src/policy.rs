//! When a machine takes part, as the person who owns it says: the language of `--when`.
//!
//! ```text
//! on-ac and (22:00-08:00 or idle > 15m)
//! ```
//!
//! Promise: what is printed reads back as the same policy; [`Policy::decide`] is a pure function of facts. What a machine does not say
//! closes nothing: a policy is closed only where it is closed whatever the unknown facts are. A machine without a battery never runs out
//! of it, and one without a lid never closes it.

mod decide;
mod read;
#[cfg(test)]
mod tests;
mod write;

pub use decide::Decision;
pub use read::PolicyError;

use crate::facts::{Pressure, Thermal, Weekday};
use std::time::Duration;

/// Bytes of a policy's text.
pub const POLICY_BYTES_MAX: usize = 500;

/// Parentheses within parentheses.
const PARENTHESES_DEEP_MAX: usize = 20;

/// What a person would choose: on mains power, while the machine is neither hot nor out of memory.
pub const DEFAULT: &str = "on-ac and thermal < serious and pressure < critical";

/// When a machine takes part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy(Rule);

/// A part of a policy. Rules within rules of the same kind are one rule, so that a policy has one form.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Rule {
    All(Vec<Rule>),
    Any(Vec<Rule>),
    Not(Box<Rule>),
    Is(Condition),
}

/// One thing that is so or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Condition {
    Always,
    Never,
    OnAc,
    OnBattery,
    LidOpen,
    LidClosed,
    /// Percent of the battery.
    Battery(Comparison, u8),
    Thermal(Comparison, Thermal),
    Pressure(Comparison, Pressure),
    Idle(Comparison, Duration),
    /// From a minute of the day to the one before another, over midnight where that is earlier.
    Hours(u16, u16),
    /// From a day to another, both among them, over Sunday where that is earlier.
    Days(Weekday, Weekday),
}

/// How a fact is compared with what a person wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Comparison {
    Less,
    AtMost,
    More,
    AtLeast,
}

impl Comparison {
    /// All of them, those first whose sign begins as another's.
    const ALL: [Comparison; 4] = [Comparison::AtMost, Comparison::AtLeast, Comparison::Less, Comparison::More];

    fn sign(self) -> &'static str {
        match self {
            Comparison::Less => "<",
            Comparison::AtMost => "<=",
            Comparison::More => ">",
            Comparison::AtLeast => ">=",
        }
    }

    fn holds<T: PartialOrd>(self, fact: T, wanted: T) -> bool {
        match self {
            Comparison::Less => fact < wanted,
            Comparison::AtMost => fact <= wanted,
            Comparison::More => fact > wanted,
            Comparison::AtLeast => fact >= wanted,
        }
    }
}

impl Rule {
    /// What holds where all of `rules` hold.
    fn all(rules: Vec<Rule>) -> Rule {
        Rule::joined(rules, Rule::All, |rule| if let Rule::All(inner) = rule { Ok(inner) } else { Err(rule) })
    }

    /// What holds where one of `rules` does.
    fn any(rules: Vec<Rule>) -> Rule {
        Rule::joined(rules, Rule::Any, |rule| if let Rule::Any(inner) = rule { Ok(inner) } else { Err(rule) })
    }

    fn joined(rules: Vec<Rule>, join: fn(Vec<Rule>) -> Rule, open: fn(Rule) -> Result<Vec<Rule>, Rule>) -> Rule {
        let flat = rules.into_iter().flat_map(|rule| open(rule).unwrap_or_else(|rule| vec![rule]));
        let mut flat: Vec<Rule> = flat.collect();
        if flat.len() == 1 { flat.remove(0) } else { join(flat) }
    }

    /// What holds where `rule` does not. Twice that is the rule itself.
    fn not(rule: Rule) -> Rule {
        if let Rule::Not(inner) = rule { *inner } else { Rule::Not(Box::new(rule)) }
    }
}

impl Default for Policy {
    fn default() -> Policy {
        use Condition::{OnAc, Pressure as PressureIs, Thermal as ThermalIs};
        Policy(Rule::all(vec![
            Rule::Is(OnAc),
            Rule::Is(ThermalIs(Comparison::Less, Thermal::Serious)),
            Rule::Is(PressureIs(Comparison::Less, Pressure::Critical)),
        ]))
    }
}
