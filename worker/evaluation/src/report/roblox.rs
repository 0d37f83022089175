//! What a real Roblox said of an eval's answers: kept line by line as it comes, and a section of the report that no score knows of.

use super::facts::Facts;
use super::lines::Kept;
use crate::roblox::{Outcome, Roblox, Verdict};
use crate::statistics::{Interval, Share, wilson};
use crate::suite::Suite;
use serde::{Deserialize, Serialize};
use vertigo::id::Digest;

/// What became of asking a real Roblox about an answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RobloxLine {
    /// The task.
    pub task: String,
    /// Which of the answers to it.
    pub sample: u32,
    /// Of which answer, by [`super::AnswerLine::digest`].
    pub answer: Digest,
    /// What is new.
    pub said: RobloxSaid,
}

/// What is new of an answer that a real Roblox was asked about.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RobloxSaid {
    /// It is being judged: nobody has to ask, and pay, again.
    Job(RobloxJob),
    /// It was judged.
    Verdict(Verdict),
}

/// A judgement that is under way at Roblox.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RobloxJob {
    /// When it was sent, in milliseconds since 1970.
    pub at_ms: u64,
    /// What Roblox calls it.
    pub job: String,
}

/// What is known of an answer that a real Roblox was asked about.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct RobloxAsked {
    /// The newest judgement that was under way.
    pub job: Option<RobloxJob>,
    /// What came of it. Of several the one whose text comes first, so that the order of lines says nothing.
    pub verdict: Option<Verdict>,
}

impl RobloxAsked {
    pub(super) fn take(&mut self, said: RobloxSaid) {
        match said {
            RobloxSaid::Job(job) => self.job = self.job.take().max(Some(job)),
            RobloxSaid::Verdict(verdict) => {
                let text = |verdict: &Verdict| super::lines::text_of(verdict);
                if self.verdict.as_ref().is_none_or(|known| text(&verdict) < text(known)) {
                    self.verdict = Some(verdict);
                }
            }
        }
    }
}

/// What a real Roblox said of the answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RobloxReport {
    /// Which one.
    pub by: Roblox,
    /// What it comes to.
    pub tally: RobloxTally,
    /// The tasks that have an eval of OpenGameEval.
    pub tasks: Vec<RobloxTask>,
}

/// What verdicts of a real Roblox come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RobloxTally {
    /// Answers to tasks that have an eval.
    pub answers: u32,
    /// Answers that passed.
    pub passed: u32,
    /// Answers that did not, those without a program among them.
    pub failed: u32,
    /// Answers without a program that could be sent.
    pub no_program: u32,
    /// Answers of which Roblox said nothing. They count neither for the model nor against it.
    pub no_verdict: u32,
    /// Answers whose verdicts are to come.
    pub to_come: u32,
}

/// A task with what a real Roblox says of its answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RobloxTask {
    /// The task.
    pub task: String,
    /// By sample.
    pub answers: Vec<RobloxAnswer>,
}

/// What a real Roblox says of an answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RobloxAnswer {
    /// Which of the answers to the task, from 0.
    pub sample: u32,
    /// What it is called at Roblox, where it was sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<String>,
    /// `None` before there is any.
    pub verdict: Option<Verdict>,
}

impl RobloxReport {
    /// What was said of what an eval has so far; `None` where nobody asked a real Roblox.
    pub(super) fn of(suite: &Suite, facts: &Facts, kept: &Kept) -> Option<RobloxReport> {
        let by = facts.roblox?;
        let with_eval = suite.tasks.iter().filter(|task| task.roblox.is_some());
        let tasks: Vec<RobloxTask> = with_eval.map(|task| of_task(&task.id, kept)).collect();
        let mut tally = RobloxTally::default();
        for answer in tasks.iter().flat_map(|task| &task.answers) {
            tally.count(answer.verdict.as_ref());
        }
        Some(RobloxReport { by, tally, tasks })
    }

    /// The mean over tasks of the share of their answers that passed, with Wilson's interval at 95 %, over tasks; `None` where no answer
    /// passed or failed.
    pub fn passed(&self) -> Option<(f64, Interval)> {
        let rates: Vec<f64> = self.tasks.iter().filter_map(RobloxTask::passed).collect();
        let rate = (rates.iter().sum::<f64>() / rates.len() as f64).clamp(0.0, 1.0);
        // Without a task the rate is no number, and so no share.
        let share = Share::new(rate).ok()?;
        Some((rate, wilson(share, rates.len() as u64, Share::LEVEL)))
    }
}

impl RobloxTask {
    /// The share of the answers that passed, of those that passed or failed.
    fn passed(&self) -> Option<f64> {
        let mut tally = RobloxTally::default();
        self.answers.iter().for_each(|answer| tally.count(answer.verdict.as_ref()));
        let decided = tally.passed + tally.failed;
        (decided > 0).then(|| f64::from(tally.passed) / f64::from(decided))
    }
}

impl RobloxTally {
    fn count(&mut self, verdict: Option<&Verdict>) {
        self.answers += 1;
        match verdict.map(|verdict| verdict.outcome) {
            None => self.to_come += 1,
            Some(Outcome::Passed) => self.passed += 1,
            Some(Outcome::Failed) => self.failed += 1,
            Some(Outcome::NoProgram) => (self.failed, self.no_program) = (self.failed + 1, self.no_program + 1),
            Some(Outcome::NoVerdict) => self.no_verdict += 1,
        }
    }
}

fn of_task(task: &str, kept: &Kept) -> RobloxTask {
    let lines = kept.answers.range((task.to_owned(), 0)..=(task.to_owned(), u32::MAX));
    let answer = |((_, sample), line): (&(String, u32), &super::AnswerLine)| {
        let asked = kept.roblox_of(line);
        let job = asked.and_then(|asked| asked.job.as_ref()).map(|job| job.job.clone());
        RobloxAnswer { sample: *sample, job, verdict: asked.and_then(|asked| asked.verdict.clone()) }
    };
    RobloxTask { task: task.to_owned(), answers: lines.map(answer).collect() }
}
