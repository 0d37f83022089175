//! What of a report counts, as statistics look at it: from answers with verdicts to outcomes.
//!
//! An answer whose deciding checks say nothing, because the room lacks what it uses or a check failed itself, counts neither for
//! the model nor against it, and a task without an answer that counts is left out and named. An answer that was cut scores nothing,
//! unless a scorer of the pipeline's, which knows no cut answer, has given it something: then it counts as that scorer has it.
//!
//! Promise: the mean over the outcomes is the report's own score.

use super::{AnswerReport, Report};
use crate::answer::Ending;
use crate::compare::{Conditions, Side, SideError};
use crate::gate;
use crate::score::{Score, Standing, Verdict};
use crate::statistics::{Outcomes, OutcomesError, SampleOutcome, Share, TaskId, TaskOutcomes};
use crate::suite::{CheckName, Thinking};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use thiserror::Error;
use vertigo::id::Digest;

/// Why a report has no outcomes.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CountError {
    /// It is of an eval that has not ended.
    #[error("{missing} answers are still to come and {unjudged} to be judged: wait until the eval has ended")]
    Unfinished {
        /// Answers that are not there.
        missing: u32,
        /// Answers without verdicts.
        unjudged: u32,
    },
    /// No task has an answer that counts.
    #[error(
        "no task has an answer that counts: checks that failed themselves, or that the room lacks something for, say nothing of a model"
    )]
    Nothing,
    /// Its tasks are none that statistics can look at.
    #[error(transparent)]
    Outcomes(#[from] OutcomesError),
    /// Its names cannot be shown.
    #[error(transparent)]
    Side(#[from] SideError),
}

/// What of a report counts.
#[derive(Debug, Clone, PartialEq)]
pub struct Counted {
    /// The outcomes of the tasks that count.
    pub outcomes: Outcomes,
    /// Tasks without an answer that counts.
    pub left_out: BTreeSet<TaskId>,
}

/// What an answer was given.
struct Given {
    score: Option<f64>,
    passed: Option<bool>,
}

/// The model's answers to one task: what each was given, and whether the task passes or fails.
struct Task<'r> {
    answers: Vec<(&'r AnswerReport, Given)>,
    decides: bool,
}

impl Report {
    /// What counts, by all checks together.
    ///
    /// # Errors
    /// The eval has not ended, or nothing counts.
    pub fn counted(&self) -> Result<Counted, CountError> {
        self.count(|answers| {
            let given = |answer: &AnswerReport| Given {
                score: answer.score.and_then(|score| score.score),
                passed: answer.score.and_then(|score| score.passed),
            };
            let decides = answers.iter().flat_map(|answer| &answer.verdicts).any(|verdict| verdict.decides);
            Some(Task { answers: answers.iter().map(|answer| (answer, given(answer))).collect(), decides })
        })
    }

    /// What counts by one check alone, over the tasks that have it.
    ///
    /// # Errors
    /// The eval has not ended, or nothing counts.
    pub fn counted_by(&self, check: CheckName) -> Result<Counted, CountError> {
        self.count(|answers| {
            let asked =
                |answer: &'_ AnswerReport| answer.verdicts.iter().find(|verdict| verdict.check == check).cloned();
            let verdicts: Vec<(&AnswerReport, Verdict)> =
                answers.iter().filter_map(|answer| Some((answer, asked(answer)?))).collect();
            let is_decided = |standing| matches!(standing, Standing::Passed | Standing::Failed);
            let decides = verdicts.iter().any(|(_, verdict)| is_decided(verdict.standing));
            let given = |verdict: &Verdict| {
                let says = !matches!(verdict.standing, Standing::Unsupported | Standing::Broken);
                let passed = is_decided(verdict.standing).then_some(verdict.standing == Standing::Passed);
                Given { score: says.then_some(verdict.score), passed }
            };
            let answers: Vec<_> = verdicts.iter().map(|(answer, verdict)| (*answer, given(verdict))).collect();
            (!answers.is_empty()).then_some(Task { answers, decides })
        })
    }

    /// `of` says what each answer to a task was given; `None` where the task is not asked about.
    fn count(&self, of: impl Fn(&[AnswerReport]) -> Option<Task<'_>>) -> Result<Counted, CountError> {
        let (missing, unjudged) = (self.missing, self.overall.unjudged);
        if missing > 0 || unjudged > 0 {
            return Err(CountError::Unfinished { missing, unjudged });
        }
        let (mut counted, mut left_out) = (Vec::new(), BTreeSet::new());
        for report in &self.tasks {
            let Some(task) = of(&report.answers) else { continue };
            let samples: Vec<SampleOutcome> =
                task.answers.iter().filter_map(|(answer, given)| sample(answer, given, task.decides)).collect();
            let id = TaskId(report.task.clone());
            if samples.is_empty() {
                left_out.insert(id);
            } else {
                let outcomes = TaskOutcomes::new(id, report.category.as_str(), samples)?;
                counted.push(if task.decides { outcomes.deciding() } else { outcomes });
            }
        }
        if counted.is_empty() {
            return Err(CountError::Nothing);
        }
        Ok(Counted { outcomes: Outcomes::new(counted)?, left_out })
    }

    /// The checks that its answers were asked.
    pub fn checks(&self) -> BTreeSet<CheckName> {
        let answers = self.tasks.iter().flat_map(|task| &task.answers);
        answers.flat_map(|answer| &answer.verdicts).map(|verdict| verdict.check).collect()
    }

    /// How the suite was asked, as far as two models must be asked alike to be compared. Seeds are not a part of it, because no
    /// answer of one model has anything to do with the other's of the same seed; nor are samples, of which either may have more.
    pub fn conditions(&self) -> Conditions {
        let mut conditions = Conditions::new();
        // Numbers always have a JSON.
        if let Ok(Value::Object(sampling)) = serde_json::to_value(self.facts.sampling) {
            let asked = sampling.into_iter().filter(|(name, _)| !["samples", "seed"].contains(&name.as_str()));
            conditions.extend(asked.map(|(name, value)| (name, value.to_string())));
        }
        if let Ok(Value::String(tools_in)) = serde_json::to_value(self.facts.tools_in) {
            conditions.insert("tools_in".to_owned(), tools_in);
        }
        if !self.facts.room.is_empty() {
            conditions.insert("room".to_owned(), self.facts.room.clone());
        }
        let prompts: Vec<_> = self.tasks.iter().filter_map(|task| task.prompt.as_ref()).collect();
        let thought = |thinking: Thinking| match thinking {
            Thinking::Off => 0,
            Thinking::Tokens(tokens) => tokens,
        };
        let mut span = |name: &str, values: Vec<u32>| {
            if let (Some(least), Some(most)) = (values.iter().min(), values.iter().max()) {
                let said = if least == most { least.to_string() } else { format!("{least} to {most}") };
                conditions.insert(name.to_owned(), said);
            }
        };
        span("tokens_max", prompts.iter().map(|prompt| prompt.tokens_max).collect());
        span("thinking_tokens_max", prompts.iter().map(|prompt| thought(prompt.thinking)).collect());
        let all: String = prompts.iter().map(|prompt| prompt.digest().to_string()).collect();
        conditions.insert("prompts".to_owned(), Digest::of(all.as_bytes()).short());
        conditions
    }

    /// The report as one side of a comparison, whose model is called `model`, and the tasks that are left out.
    ///
    /// # Errors
    /// The eval has not ended, nothing counts, or a name cannot be shown.
    pub fn side(&self, model: &str) -> Result<(Side, BTreeSet<TaskId>), CountError> {
        let Counted { outcomes, left_out } = self.counted()?;
        let side = Side {
            model: model.to_owned(),
            suite: self.facts.suite.clone(),
            digest: self.facts.suite_digest.to_string(),
            conditions: self.conditions(),
            outcomes,
        };
        Ok((side.checked()?, left_out))
    }

    /// What a gate knows by this report of a model that is called `model`.
    ///
    /// # Errors
    /// The eval has not ended, nothing counts, or a name cannot be shown.
    pub fn gate_facts(&self, model: &str, role: gate::Role) -> Result<gate::Facts, CountError> {
        match role {
            gate::Role::Candidate => self.with_unsupported_failed().facts_of(model),
            gate::Role::Present => self.facts_of(model),
        }
        .map(|facts| gate::Facts { unsupported: self.unsupported(), ..facts })
    }

    /// Answers that asked for what the room has not.
    fn unsupported(&self) -> u64 {
        let answers = self.tasks.iter().flat_map(|task| &task.answers);
        answers.filter(|answer| is_unsupported(answer)).count() as u64
    }

    /// The report in which every check that the room lacked something for has failed.
    fn with_unsupported_failed(&self) -> Report {
        let mut report = self.clone();
        for answer in report.tasks.iter_mut().flat_map(|task| &mut task.answers).filter(|answer| is_unsupported(answer))
        {
            for verdict in answer.verdicts.iter_mut().filter(|it| it.standing == Standing::Unsupported) {
                (verdict.standing, verdict.score) = (Standing::Failed, 0.0);
            }
            answer.score = answer.score.map(|_| Score::of(&answer.verdicts));
        }
        report
    }

    fn facts_of(&self, model: &str) -> Result<gate::Facts, CountError> {
        let (side, _) = self.side(model)?;
        let mut checks = BTreeMap::new();
        for check in self.checks() {
            match self.counted_by(check) {
                Ok(counted) => drop(checks.insert(check.as_str().to_owned(), counted.outcomes)),
                // A rule that asks for it then says that it is not there.
                Err(CountError::Nothing) => {}
                Err(error) => return Err(error),
            }
        }
        let nonsense = self.nonsense.iter().filter_map(|it| {
            let share = Share::new(it.score?.clamp(0.0, 1.0)).ok()?;
            Some((it.kind.as_str().to_owned(), share))
        });
        let contaminated = self.contamination.as_ref();
        let contaminated =
            contaminated.map(|it| it.contamination.found.keys().map(|task| TaskId(task.clone())).collect());
        Ok(gate::Facts { side, checks, nonsense: nonsense.collect(), contaminated, unsupported: 0 })
    }
}

/// Whether the room lacked something for one of an answer's checks.
fn is_unsupported(answer: &AnswerReport) -> bool {
    answer.verdicts.iter().any(|verdict| verdict.standing == Standing::Unsupported)
}

/// How an answer counts among its task's samples; `None`: not at all.
fn sample(answer: &AnswerReport, given: &Given, decides: bool) -> Option<SampleOutcome> {
    match answer.answer.ending {
        Ending::TimedOut => return Some(SampleOutcome::TimedOut),
        Ending::ApiError => return Some(SampleOutcome::ApiError),
        Ending::Cut if given.score.is_none_or(|score| score <= 0.0) => return Some(SampleOutcome::Cut),
        Ending::Cut | Ending::Answered => {}
    }
    if decides && given.passed.is_none() {
        return None;
    }
    let score = Share::new(given.score?.clamp(0.0, 1.0)).ok()?;
    Some(SampleOutcome::Answered { score, passed: given.passed })
}

/// Leaves out of the sides of one suite every task that is not in all of them: what a model's answers could not be judged in is
/// no task that it is compared in. Says which tasks those are.
pub fn alongside(sides: &mut [Side], digest: &str) -> BTreeSet<TaskId> {
    let here = |side: &&mut Side| side.digest == digest;
    restrict(sides.iter_mut().filter(here).map(|side| &mut side.outcomes).collect())
}

/// The same for what a gate knows of two models, in every check.
pub fn facts_alongside(first: &mut gate::Facts, second: &mut gate::Facts) -> BTreeSet<TaskId> {
    if first.side.digest != second.side.digest {
        return BTreeSet::new();
    }
    let mut left_out = restrict(vec![&mut first.side.outcomes, &mut second.side.outcomes]);
    for (check, outcomes) in &mut first.checks {
        if let Some(others) = second.checks.get_mut(check) {
            left_out.extend(restrict(vec![outcomes, others]));
        }
    }
    left_out
}

/// Where no task is in all of them they stay as they are, and whoever compares them says what is not alike.
fn restrict(all: Vec<&mut Outcomes>) -> BTreeSet<TaskId> {
    let tasks = |outcomes: &Outcomes| outcomes.tasks().iter().map(|task| task.task().clone()).collect::<BTreeSet<_>>();
    let each: Vec<BTreeSet<TaskId>> = all.iter().map(|outcomes| tasks(outcomes)).collect();
    let any: BTreeSet<TaskId> = each.iter().flatten().cloned().collect();
    let (in_all, left_out): (BTreeSet<_>, BTreeSet<_>) =
        any.into_iter().partition(|task| each.iter().all(|tasks| tasks.contains(task)));
    if in_all.is_empty() {
        return BTreeSet::new();
    }
    for outcomes in all {
        if let Some(left) = outcomes.only(|task| in_all.contains(task)) {
            *outcomes = left;
        }
    }
    left_out
}

#[cfg(test)]
mod tests;
