//! The decision: every rule of a gate held against the facts.

use super::{Better, Facts, Figures, Floors, Gate, NoWorse, SuiteRules};
use crate::compare::{Side, alike};
use crate::statistics::{
    Bootstrap, Demand, Design, Endings, Outcomes, Pairs, Resampling, Share, TaskId, category_means, means,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Figures that differ by less are the same: what rounding of a mean amounts to.
const ROUNDING: f64 = 1e-9;

/// Whether a tag may move, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// All rules held.
    pub held: bool,
    /// What became of each.
    pub reasons: Vec<Reason>,
}

/// What became of one rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    /// The rule by its place in the file: `luau.better`.
    pub rule: String,
    /// Whether it held.
    pub held: bool,
    /// What was asked and what was found, in plain words.
    pub said: String,
}

/// Decides by a gate whether a tag may move to a model, from what is known of it and of the model that the tag is at. A tag
/// that is at no model yet is judged by floors, contamination, nonsense and endings; where a suite has no floor there is
/// nothing to judge by.
pub fn judge(gate: &Gate, candidate: &[Facts], present: Option<&[Facts]>, how: Resampling) -> Decision {
    let mut reasons = Vec::new();
    for (suite, rules) in &gate.suites {
        let mut judging = Judging { gate, suite, rules, how, reasons: Vec::new() };
        judging.suite(candidate, present);
        reasons.append(&mut judging.reasons);
    }
    // A gate without rules, which no file makes, lets nothing through.
    Decision { held: !reasons.is_empty() && reasons.iter().all(|reason| reason.held), reasons }
}

/// The rules of one suite while they are judged.
struct Judging<'g> {
    gate: &'g Gate,
    suite: &'g str,
    rules: &'g SuiteRules,
    how: Resampling,
    reasons: Vec<Reason>,
}

/// What is known of the tag's model.
enum Present {
    /// The tag is at none.
    First,
    /// Its outcomes beside the candidate's.
    Beside(Pairs, Side),
    /// What they are not, for which a rule that asks for them does not hold.
    Unknown(String),
}

impl Judging<'_> {
    fn say(&mut self, rule: &str, held: bool, said: impl Into<String>) {
        let rule = if rule.is_empty() { self.suite.to_owned() } else { format!("{}.{rule}", self.suite) };
        self.reasons.push(Reason { rule, held, said: said.into() });
    }

    fn suite(&mut self, candidate: &[Facts], present: Option<&[Facts]>) {
        let Some(facts) = candidate.iter().find(|facts| facts.side.suite == self.suite) else {
            let said = format!("the candidate has no report of suite `{}`: run `vertigo eval` on it", self.suite);
            return self.say("", false, said);
        };
        let before = present.map(|all| all.iter().find(|facts| facts.side.suite == self.suite));
        self.contamination(facts);
        self.nonsense(facts);
        self.endings(&facts.side.outcomes);
        self.unsupported(facts);
        let left_out = self.left_out(facts, before.flatten());
        let Some(side) = self.side(facts, &left_out) else { return };
        self.floors(&side.outcomes);
        let present = self.present(&side, before, &left_out);
        if matches!(present, Present::First) {
            return self.first();
        }
        if let Some(better) = self.rules.better {
            self.better(better, &side, &present);
        }
        if let Some(no_worse) = self.rules.categories {
            self.no_worse(no_worse, &present, &side);
        }
    }

    /// The tasks that scores are taken without, of either model, because both answer for the same tasks. Where nobody knows
    /// what the tag's model was trained on, its score may be too high, which is to the candidate's cost and lets nothing
    /// through.
    fn left_out(&self, facts: &Facts, before: Option<&Facts>) -> BTreeSet<TaskId> {
        let is_asked = self.rules.contamination.is_some_and(|it| it.without);
        let known = [Some(facts), before].into_iter().flatten().filter_map(|facts| facts.contaminated.as_ref());
        if is_asked { known.flatten().cloned().collect() } else { BTreeSet::new() }
    }

    /// The candidate's side with the outcomes that the rules look at; where there are none, that is said.
    fn side(&mut self, facts: &Facts, left_out: &BTreeSet<TaskId>) -> Option<Side> {
        match looked_at(self.rules, facts, left_out) {
            Ok(side) => Some(side),
            Err(why) => {
                self.say("", false, format!("the candidate's report {why}"));
                None
            }
        }
    }

    fn present(&self, side: &Side, before: Option<Option<&Facts>>, left_out: &BTreeSet<TaskId>) -> Present {
        let Some(before) = before else { return Present::First };
        let Some(facts) = before else {
            return Present::Unknown(format!("the tag's model has no report of suite `{}`: run it too", self.suite));
        };
        let other = match looked_at(self.rules, facts, left_out) {
            Ok(other) => other,
            Err(why) => return Present::Unknown(format!("the report of the tag's model {why}")),
        };
        match alike(side, &other) {
            Ok(pairs) => Present::Beside(pairs, other),
            Err(why) => Present::Unknown(why.to_string()),
        }
    }

    fn first(&mut self) {
        if self.rules.better.is_none() && self.rules.categories.is_none() {
            return;
        }
        let (overall, categories) = (self.rules.floors.overall.is_some(), &self.rules.floors.categories);
        match overall || !categories.is_empty() {
            true => self.say("better", true, "the tag is at no model yet: the floors decide"),
            false => {
                self.say("better", false, "the tag is at no model yet, and there are no floors to judge by: write some")
            }
        }
    }

    fn contamination(&mut self, facts: &Facts) {
        let Some(asked) = self.rules.contamination else { return };
        let Some(contaminated) = &facts.contaminated else {
            return self.say("contamination", false, "nobody knows what the candidate's training data contains");
        };
        let tasks = facts.side.outcomes.tasks();
        let found = tasks.iter().filter(|task| contaminated.contains(task.task())).count();
        let percent = 100.0 * found as f64 / tasks.len() as f64;
        let said = format!("{found} of {} tasks are in the training data ({percent:.1} %)", tasks.len());
        match asked.most {
            None => self.say("contamination", true, said + ", and are left out"),
            Some(most) => {
                self.say(
                    "contamination",
                    percent <= most + ROUNDING,
                    said + &format!("; at most {most} % are let through"),
                );
            }
        }
    }

    fn nonsense(&mut self, facts: &Facts) {
        let Some(below) = self.rules.echo else { return };
        if facts.nonsense.is_empty() {
            return self.say("echo", false, "the report does not say what answers of nonsense score");
        }
        for (name, score) in &facts.nonsense {
            let score = self.figure(score.get());
            self.say(
                "echo",
                score < below,
                format!("the answer of nonsense `{name}` scores {score:.1}; below {below} is asked"),
            );
        }
    }

    fn endings(&mut self, outcomes: &Outcomes) {
        let (most, ended) = (self.rules.endings, Endings::of(outcomes.tasks()));
        let asked = [
            ("cut", "were cut", most.cut, ended.cut),
            ("timed_out", "took too long", most.timed_out, ended.timed_out),
            ("api_errors", "ended with an error of the API", most.api_errors, ended.api_errors),
        ];
        for (key, how, most, count) in asked {
            let Some(most) = most else { continue };
            let percent = 100.0 * count as f64 / ended.samples() as f64;
            let said = format!("{count} of {} samples {how} ({percent:.1} %); at most {most} % may", ended.samples());
            self.say(&format!("endings.{key}"), percent <= most + ROUNDING, said);
        }
    }

    /// Says how many of the candidate's answers nobody could judge, also where no rule asks, because the others count them as
    /// wrong.
    fn unsupported(&mut self, facts: &Facts) {
        let most = self.rules.endings.unsupported;
        if facts.unsupported == 0 && most.is_none() {
            return;
        }
        let samples = Endings::of(facts.side.outcomes.tasks()).samples().max(facts.unsupported);
        let percent = 100.0 * facts.unsupported as f64 / samples.max(1) as f64;
        let count = facts.unsupported;
        let said =
            format!("{count} of {samples} samples ask for what the room has not ({percent:.1} %) and count as wrong");
        match most {
            None => self.say("endings.unsupported", true, said),
            Some(most) => {
                self.say("endings.unsupported", percent <= most + ROUNDING, said + &format!("; at most {most} % may"))
            }
        }
    }

    fn floors(&mut self, outcomes: &Outcomes) {
        let Floors { overall, categories, skips_absent } = &self.rules.floors;
        if let Some(floor) = *overall {
            self.floor("floors.overall", means(outcomes).score, floor);
        }
        let scores = category_means(outcomes);
        for (category, floor) in categories {
            let rule = format!("floors.categories.{category}");
            match scores.iter().find(|(name, _)| name == category) {
                Some((_, means)) => self.floor(&rule, means.score, *floor),
                None if *skips_absent => self.say(&rule, true, "the report has no such category: passed over"),
                None => self.say(&rule, false, "the report has no such category"),
            }
        }
    }

    fn floor(&mut self, rule: &str, score: f64, floor: f64) {
        let figure = self.figure(score);
        let held = figure >= floor - self.rounding();
        self.say(rule, held, format!("{figure:.1} points; {floor:.1} are asked"));
    }

    /// A score as it is compared, in points.
    fn figure(&self, score: f64) -> f64 {
        match self.rules.figures {
            Figures::Exact => 100.0 * score,
            Figures::Tenths => tenths(score),
        }
    }

    fn rounding(&self) -> f64 {
        match self.rules.figures {
            Figures::Exact => ROUNDING,
            Figures::Tenths => 0.0,
        }
    }

    fn better(&mut self, better: Better, side: &Side, present: &Present) {
        let (pairs, other) = match present {
            Present::Beside(pairs, other) => (pairs, other),
            Present::Unknown(why) => return self.say("better", false, why.clone()),
            Present::First => return,
        };
        let (ours, theirs) = (self.figure(means(&side.outcomes).score), self.figure(means(&other.outcomes).score));
        let figures = format!("{ours:.1} points, where `{}` has {theirs:.1}", other.model);
        match better {
            Better::Seen => self.say("better", ours > theirs + self.rounding(), figures + "; more is asked"),
            Better::Likely { by, probability, expects } => {
                let found = Bootstrap::of(pairs, self.how).chance_above(by / 100.0);
                let (found_percent, asked) = (100.0 * found, 100.0 * probability.get());
                let said =
                    format!("{figures}; better by more than {by} with {found_percent:.1} %, {asked} % are asked");
                self.say("better", found >= probability.get(), said);
                self.power("better.power", design(pairs), (expects - by) / 100.0, probability, "an improvement");
            }
        }
    }

    fn no_worse(&mut self, no_worse: NoWorse, present: &Present, side: &Side) {
        let (pairs, other) = match present {
            Present::Beside(pairs, other) => (pairs, other),
            Present::Unknown(why) => return self.say("categories", false, why.clone()),
            Present::First => return,
        };
        let (ours, theirs) = (category_means(&side.outcomes), category_means(&other.outcomes));
        for ((category, our), (_, their)) in ours.iter().zip(&theirs) {
            // Sides that were asked alike have the same categories.
            let Some(here) = pairs.category(category) else { continue };
            let found = Bootstrap::of(&here, self.how).chance_above(-no_worse.by / 100.0);
            let rule = format!("categories.{category}");
            let said = format!(
                "{:.1} points, where `{}` has {:.1}; no worse by {} with {:.1} %, {} % are asked",
                self.figure(our.score),
                other.model,
                self.figure(their.score),
                no_worse.by,
                100.0 * found,
                100.0 * no_worse.probability.get()
            );
            self.say(&rule, found >= no_worse.probability.get(), said);
            let margin = no_worse.by / 100.0;
            self.power(&format!("{rule}.power"), design(&here), margin, no_worse.probability, "a margin");
        }
    }

    /// Whether a design can show what a rule asks for. It looks at the design and the assumed spread alone, so that no lucky
    /// result makes a small suite a large one.
    fn power(&mut self, rule: &str, design: Design, difference: f64, probability: Share, what: &str) {
        let (demand, spread) = (Demand::one_sided(probability, self.gate.power), self.gate.spread);
        let shown = demand.detectable(design, spread);
        let (shown_points, asked) = (100.0 * shown, 100.0 * difference);
        if shown <= difference + ROUNDING {
            return self.say(
                rule,
                true,
                format!("{design} show {what} of {shown_points:.1} points; {asked:.1} are asked"),
            );
        }
        let tasks = demand
            .tasks(difference, design.samples, spread)
            .map(|tasks| format!("{tasks} tasks ({} more)", tasks.saturating_sub(design.tasks)));
        let samples = demand
            .samples(difference, design.tasks, spread)
            .map(|samples| format!("{samples} samples of each task ({} more)", samples.saturating_sub(design.samples)));
        let enough: Vec<String> = tasks.into_iter().chain(samples).collect();
        let takes = if enough.is_empty() { "more than a suite can have".to_owned() } else { enough.join(" or ") };
        let said =
            format!("{design} show {what} of {shown_points:.1} points; {asked:.1} are asked, which takes {takes}");
        self.say(rule, false, said);
    }
}

/// The side of a report with the outcomes that rules look at.
///
/// # Errors
/// What is missing, after "the report".
fn looked_at(rules: &SuiteRules, facts: &Facts, left_out: &BTreeSet<TaskId>) -> Result<Side, String> {
    let outcomes = match &rules.check {
        None => &facts.side.outcomes,
        Some(check) => facts.checks.get(check).ok_or_else(|| {
            let known: Vec<String> = facts.checks.keys().map(|name| format!("`{name}`")).collect();
            format!("has no outcomes of check `{check}`; it has {}", known.join(", "))
        })?,
    };
    let left = outcomes.only(|task| !left_out.contains(task));
    let outcomes = left.ok_or("has no task that no training data contains")?;
    Ok(Side { outcomes, ..facts.side.clone() })
}

fn design(pairs: &Pairs) -> Design {
    let samples = pairs.iter().map(|pair| pair.a.len().min(pair.b.len())).min().unwrap_or(1);
    Design { tasks: pairs.iter().count() as u64, samples: samples as u64 }
}

/// A share in points, rounded to a tenth as Python's `round(100 * share, 1)`: by the exact value of the float, halves to the
/// even digit, which is how Rust prints it.
pub(super) fn tenths(share: f64) -> f64 {
    let points = 100.0 * share;
    // What was printed as a number is one.
    format!("{points:.1}").parse().unwrap_or(points)
}
