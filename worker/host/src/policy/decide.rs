//! What a policy comes to over facts, some of which may not be known, and why.
//!
//! The reason of a closed policy names what of it does not hold, in terms that change only when that does: "nobody may have used it for
//! 15m" and not for how long somebody has. Whoever is told each change is told each once.

use super::{Comparison, Condition, Policy, Rule, write};
use crate::facts::{Battery, Clock, Facts, Lid, Power};

/// What a policy comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// The machine takes part.
    Open,
    /// It does not.
    Closed {
        /// Why, in plain English: a clause about the machine, such as "it runs on battery".
        reason: String,
    },
}

/// What a battery holds that is not there: it never runs out.
const NO_BATTERY_PERCENT: u8 = 100;

impl Policy {
    /// What the policy comes to. Closed only where it is so whatever the facts are that are not known.
    pub fn decide(&self, facts: &Facts) -> Decision {
        match self.0.holds(facts) {
            Some(false) => Decision::Closed { reason: clauses(self.0.because(facts, false)) },
            Some(true) | None => Decision::Open,
        }
    }

    /// What the policy asks of and the machine does not say, as it is written: what a person should hear, because it closes nothing.
    pub fn unknown(&self, facts: &Facts) -> Vec<String> {
        let mut unknown = Vec::new();
        self.0.gather_unknown(facts, &mut unknown);
        unknown
    }
}

impl Rule {
    /// Whether it holds; `None` where that depends on what is not known.
    fn holds(&self, facts: &Facts) -> Option<bool> {
        match self {
            Rule::Is(condition) => condition.holds(facts),
            Rule::Not(rule) => rule.holds(facts).map(|holds| !holds),
            Rule::All(rules) => settled(rules, facts, false),
            Rule::Any(rules) => settled(rules, facts, true),
        }
    }

    /// The clauses that make it be what it is, `is`.
    fn because(&self, facts: &Facts, is: bool) -> Vec<String> {
        match self {
            Rule::Is(condition) => vec![condition.clause(facts, is)],
            Rule::Not(rule) => rule.because(facts, !is),
            Rule::All(rules) | Rule::Any(rules) => {
                let which = rules.iter().filter(|rule| rule.holds(facts) == Some(is));
                which.flat_map(|rule| rule.because(facts, is)).collect()
            }
        }
    }

    fn gather_unknown(&self, facts: &Facts, unknown: &mut Vec<String>) {
        match self {
            Rule::Is(condition) if condition.holds(facts).is_none() => unknown.push(condition.to_string()),
            Rule::Is(_) => {}
            Rule::Not(rule) => rule.gather_unknown(facts, unknown),
            Rule::All(rules) | Rule::Any(rules) => rules.iter().for_each(|rule| rule.gather_unknown(facts, unknown)),
        }
    }
}

/// `by` where one of `rules` is so; else unknown where one is; else its opposite.
fn settled(rules: &[Rule], facts: &Facts, by: bool) -> Option<bool> {
    let mut all_known = true;
    for rule in rules {
        match rule.holds(facts) {
            Some(holds) if holds == by => return Some(by),
            Some(_) => {}
            None => all_known = false,
        }
    }
    all_known.then_some(!by)
}

fn clauses(mut clauses: Vec<String>) -> String {
    // The same may have several causes in a policy, and is said once.
    let mut said: Vec<String> = Vec::new();
    clauses.retain(|clause| {
        let is_new = !said.contains(clause);
        said.push(clause.clone());
        is_new
    });
    clauses.join(", and ")
}

impl Condition {
    fn holds(&self, facts: &Facts) -> Option<bool> {
        match *self {
            Condition::Always => Some(true),
            Condition::Never => Some(false),
            Condition::OnAc => facts.power.map(|power| power == Power::Mains),
            Condition::OnBattery => facts.power.map(|power| power == Power::Battery),
            Condition::LidOpen => facts.lid.map(|lid| lid != Lid::Closed),
            Condition::LidClosed => facts.lid.map(|lid| lid == Lid::Closed),
            Condition::Battery(comparison, wanted) => facts.battery.map(|battery| {
                let percent = if let Battery::Percent(percent) = battery { percent } else { NO_BATTERY_PERCENT };
                comparison.holds(percent, wanted)
            }),
            Condition::Thermal(comparison, wanted) => facts.thermal.map(|is| comparison.holds(is, wanted)),
            Condition::Pressure(comparison, wanted) => facts.pressure.map(|is| comparison.holds(is, wanted)),
            Condition::Idle(comparison, wanted) => facts.idle.map(|is| comparison.holds(is, wanted)),
            Condition::Hours(from, to) => facts.clock.map(|clock| {
                let minute = clock.minute;
                if from < to { (from..to).contains(&minute) } else { minute >= from || minute < to }
            }),
            Condition::Days(from, to) => facts.clock.map(|Clock { weekday, .. }| {
                if from <= to { (from..=to).contains(&weekday) } else { weekday >= from || weekday <= to }
            }),
        }
    }

    /// That it is so, or is not.
    fn clause(&self, facts: &Facts, is: bool) -> String {
        let not = if is { "" } else { "not " };
        match self {
            Condition::Always => "the policy is `not always`".to_owned(),
            Condition::Never => "the policy is `never`".to_owned(),
            Condition::OnAc | Condition::OnBattery if facts.power == Some(Power::Battery) => {
                "it runs on battery".to_owned()
            }
            Condition::OnAc | Condition::OnBattery => "it runs on mains power".to_owned(),
            Condition::LidOpen | Condition::LidClosed if facts.lid == Some(Lid::Closed) => {
                "its lid is closed".to_owned()
            }
            Condition::LidOpen | Condition::LidClosed => "its lid is open".to_owned(),
            Condition::Battery(comparison, wanted) => match (comparison, is) {
                (Comparison::More, true) | (Comparison::AtMost, false) => format!("its battery is above {wanted}%"),
                (Comparison::More, false) | (Comparison::AtMost, true) => {
                    format!("its battery is at {wanted}% or less")
                }
                (Comparison::AtLeast, true) | (Comparison::Less, false) => {
                    format!("its battery is at {wanted}% or more")
                }
                (Comparison::AtLeast, false) | (Comparison::Less, true) => format!("its battery is below {wanted}%"),
            },
            Condition::Thermal(..) => {
                format!("its thermal state is {}", facts.thermal.map_or("unknown", |thermal| thermal.name()))
            }
            Condition::Pressure(..) => {
                format!("its memory pressure is {}", facts.pressure.map_or("unknown", |pressure| pressure.name()))
            }
            Condition::Idle(comparison, time) => {
                let is_idle = is == matches!(comparison, Comparison::More | Comparison::AtLeast);
                let (who, time) =
                    (if is_idle { "nobody has used it for" } else { "somebody used it within" }, write::span(*time));
                format!("{who} {time}")
            }
            Condition::Hours(..) => format!("the time is {not}within {self}"),
            Condition::Days(from, to) if from == to => format!("the day is {not}{self}"),
            Condition::Days(..) => format!("the day is {not}within {self}"),
        }
    }
}
