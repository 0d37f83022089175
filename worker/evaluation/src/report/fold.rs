//! The fold from an eval's lines to its report.

use super::lines::{AnswerLine, FILE_BYTES_MAX, Kept};
use super::{
    AnswerReport, BenchmarkV2, Contaminated, FORMAT, Facts, NonsenseScore, Report, RobloxReport, Tally, TaskReport,
};
use crate::contamination::Contamination;
use crate::nonsense::Nonsense;
use crate::score::{Score, Standing, Verdict, benchmark_v2, opengameeval};
use crate::suite::{CheckName, Suite, What};
use serde::Deserialize;
use std::collections::BTreeMap;
use thiserror::Error;

/// From this mean on nonsense does well in a check.
const WELL: f64 = 0.5;

/// Why there is no report.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ReportError {
    /// The lines are of another eval.
    #[error("the answers are of suite {kept}, and this is {asked}; ask anew, or name the suite that they are of")]
    OtherSuite {
        /// The suite's digest in the lines.
        kept: String,
        /// That of the suite at hand.
        asked: String,
    },
    /// The lines are of the same suite, and another model or another way to ask.
    #[error("the answers are of another model, or were drawn in another way; keep each eval's in a file of its own")]
    OtherFacts,
    /// An answer to a task that the suite has not.
    #[error("there is an answer to `{0}`, which is no task of the suite")]
    Stranger(String),
    /// A report that is none.
    #[error("this is no report: {0}")]
    Malformed(String),
    /// A report of a later version.
    #[error("this report has format {0}, and this version reads up to {FORMAT}; take the newer version")]
    Later(u32),
}

pub(super) fn report(
    suite: &Suite,
    facts: &Facts,
    kept: &Kept,
    contamination: Option<&Contamination>,
) -> Result<Report, ReportError> {
    let asked = suite.digest();
    if let Some(digest) =
        kept.facts.iter().chain([facts]).map(|facts| facts.suite_digest).find(|digest| *digest != asked)
    {
        return Err(ReportError::OtherSuite { kept: digest.short(), asked: asked.short() });
    }
    if kept.facts.as_ref().is_some_and(|known| known != facts) {
        return Err(ReportError::OtherFacts);
    }
    let names = kept.answers.keys().map(|(task, _)| task).chain(kept.nonsense.keys().map(|(_, task)| task));
    if let Some(stranger) = names.chain(kept.prompts.keys()).find(|name| suite.task(name).is_none()) {
        return Err(ReportError::Stranger(stranger.clone()));
    }
    let tasks: Vec<TaskReport> = suite.tasks.iter().map(|task| task_report(task, kept)).collect();
    let mut by_category: BTreeMap<String, Vec<&TaskReport>> = BTreeMap::new();
    for task in &tasks {
        by_category.entry(task.category.clone()).or_default().push(task);
    }
    let contamination = contamination.map(|contamination| {
        let (inside, outside) =
            tasks.iter().partition::<Vec<_>, _>(|task| contamination.found.contains_key(&task.task));
        Contaminated { contamination: contamination.clone(), inside: tally(&inside), outside: tally(&outside) }
    });
    let wanted = u64::from(facts.sampling.samples) * suite.tasks.len() as u64;
    let there = kept.answers.keys().filter(|(_, sample)| *sample < facts.sampling.samples).count() as u64;
    Ok(Report {
        facts: facts.clone(),
        pattern_matches: pattern_matches(suite),
        overall: tally(&tasks.iter().collect::<Vec<_>>()),
        categories: by_category.iter().map(|(name, tasks)| (name.clone(), tally(tasks))).collect(),
        benchmark_v2: benchmark(&tasks),
        nonsense: Nonsense::ALL.into_iter().filter_map(|kind| nonsense(kind, kept)).collect(),
        contamination,
        // At most 10,000 tasks of 1,000 samples.
        missing: u32::try_from(wanted.saturating_sub(there)).unwrap_or(u32::MAX),
        roblox: RobloxReport::of(suite, facts, kept),
        tasks,
    })
}

fn pattern_matches(suite: &Suite) -> BTreeMap<CheckName, String> {
    let whats = suite.tasks.iter().flat_map(|task| &task.checks).map(|check| &check.what);
    let method = |what: &What| match what {
        What::BenchmarkV2 { .. } => Some(benchmark_v2::METHOD),
        What::OpenGameEvalDryRun => Some(opengameeval::METHOD),
        What::Patterns { .. } => Some("pattern match"),
        _ => None,
    };
    whats.filter_map(|what| method(what).map(|method| (what.name(), method.to_owned()))).collect()
}

fn task_report(task: &crate::suite::Task, kept: &Kept) -> TaskReport {
    let lines = kept.answers.range((task.id.clone(), 0)..=(task.id.clone(), u32::MAX));
    let answers: Vec<AnswerReport> = lines.map(|(_, line)| answer_report(line, kept)).collect();
    let mut report = TaskReport {
        task: task.id.clone(),
        category: task.category.clone(),
        difficulty: task.difficulty,
        prompt: kept.prompts.get(&task.id).cloned(),
        tally: Tally::default(),
        answers,
    };
    report.tally = tally(&[&report]);
    report
}

fn answer_report(line: &AnswerLine, kept: &Kept) -> AnswerReport {
    let verdicts = kept.verdicts_of(line);
    AnswerReport {
        sample: line.sample,
        seed: line.seed,
        prompt: line.prompt,
        tokens: line.tokens,
        answer: line.answer.clone(),
        score: verdicts.map(Score::of),
        verdicts: verdicts.unwrap_or_default().to_vec(),
    }
}

fn mean(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    let (sum, count) = values.into_iter().fold((0.0, 0u32), |(sum, count), value| (sum + value, count + 1));
    (count > 0).then(|| sum / f64::from(count))
}

/// Whether an answer's score counts. One whose deciding checks say nothing, because the room lacks something or a check failed itself,
/// would be worth what its other checks happen to say.
fn counts(answer: &AnswerReport) -> bool {
    let decides = answer.verdicts.iter().any(|verdict| verdict.decides);
    !decides || answer.score.is_some_and(|score| score.passed.is_some())
}

fn tally(tasks: &[&TaskReport]) -> Tally {
    let mut tally = Tally::default();
    let mut means = Vec::new();
    for task in tasks {
        let scores = task.answers.iter().filter(|answer| counts(answer));
        let scores = scores.filter_map(|answer| answer.score.and_then(|score| score.score));
        means.extend(mean(scores));
        for answer in &task.answers {
            let has =
                |standing: Standing| u32::from(answer.verdicts.iter().any(|verdict| verdict.standing == standing));
            tally.answers += 1;
            *tally.endings.entry(answer.answer.ending).or_default() += 1;
            tally.unsupported += has(Standing::Unsupported);
            tally.broken += has(Standing::Broken);
            let passed = answer.score.and_then(|score| score.passed);
            tally.unjudged += u32::from(answer.score.is_none());
            tally.decided += u32::from(passed.is_some());
            tally.passed += u32::from(passed == Some(true));
        }
    }
    // At most 10,000.
    tally.tasks = means.len() as u32;
    tally.score = mean(means);
    tally
}

/// The pipeline's figures: the overall scores of all answers, in the order of the tasks.
fn benchmark(tasks: &[TaskReport]) -> Option<BenchmarkV2> {
    let mut categories: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for task in tasks {
        let verdicts = task.answers.iter().flat_map(|answer| &answer.verdicts);
        let scores =
            verdicts.filter(|verdict| verdict.check == CheckName::BenchmarkV2 && verdict.standing != Standing::Broken);
        categories.entry(task.category.clone()).or_default().extend(scores.map(|verdict| verdict.score));
    }
    categories.retain(|_, scores| !scores.is_empty());
    let all: Vec<f64> = categories.values().flatten().copied().collect();
    (!all.is_empty()).then(|| BenchmarkV2 {
        overall: benchmark_v2::mean(&all),
        categories: categories.iter().map(|(name, scores)| (name.clone(), benchmark_v2::mean(scores))).collect(),
    })
}

fn nonsense(kind: Nonsense, kept: &Kept) -> Option<NonsenseScore> {
    let rows: Vec<(&str, &[Verdict])> = kept
        .nonsense
        .iter()
        .filter(|((of, _), _)| *of == kind)
        .map(|((_, task), verdicts)| (task.as_str(), verdicts.as_slice()))
        .collect();
    let mut checks: BTreeMap<CheckName, Vec<&Verdict>> = BTreeMap::new();
    for verdict in rows.iter().flat_map(|(_, verdicts)| *verdicts) {
        if !matches!(verdict.standing, Standing::Unsupported | Standing::Broken) {
            checks.entry(verdict.check).or_default().push(verdict);
        }
    }
    let does_well = |verdict: &&&Verdict| match verdict.standing {
        Standing::Passed => true,
        Standing::Scored => verdict.score >= WELL,
        _ => false,
    };
    let is_red = |verdicts: &[&Verdict]| 2 * verdicts.iter().filter(does_well).count() >= verdicts.len();
    let passes = rows.iter().filter(|(_, verdicts)| Score::of(verdicts).passed == Some(true));
    (!rows.is_empty()).then(|| NonsenseScore {
        kind,
        // At most 10,000.
        tasks: rows.len() as u32,
        score: mean(rows.iter().filter_map(|(_, verdicts)| Score::of(verdicts).score)),
        passes: passes.map(|(task, _)| (*task).to_owned()).collect(),
        red: checks.iter().filter(|(_, verdicts)| is_red(verdicts)).map(|(name, _)| *name).collect(),
        checks: checks
            .iter()
            .filter_map(|(name, verdicts)| Some((*name, mean(verdicts.iter().map(|verdict| verdict.score))?)))
            .collect(),
    })
}

pub(super) fn parse(text: &str) -> Result<Report, ReportError> {
    #[derive(Deserialize)]
    struct Begins {
        facts: Numbered,
    }
    #[derive(Deserialize)]
    struct Numbered {
        format: u32,
    }
    if text.len() > FILE_BYTES_MAX {
        return Err(ReportError::Malformed(format!(
            "it has {} bytes, and at most {FILE_BYTES_MAX} are read",
            text.len()
        )));
    }
    let malformed = |error: serde_json::Error| ReportError::Malformed(error.to_string());
    let begins: Begins = serde_json::from_str(text).map_err(malformed)?;
    if begins.facts.format > FORMAT {
        return Err(ReportError::Later(begins.facts.format));
    }
    serde_json::from_str(text).map_err(malformed)
}
