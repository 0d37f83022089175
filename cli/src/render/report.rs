//! A report of an evaluation, for people: what the model is worth, how sure that is, and how much to believe it.

mod answers;
mod roblox;

pub(crate) use answers::render_task;

use crate::render::output::{Hue, bold, pairs, short_id, style, table, wrap};
use crate::render::safe;
use vertigo_evaluation::contamination::Likeness;
use vertigo_evaluation::nonsense::Nonsense;
use vertigo_evaluation::report::{Contaminated, Figure, Figures, Model, NonsenseScore, Report, Tally, TaskReport};
use vertigo_evaluation::score::Standing;
use vertigo_evaluation::statistics::Interval;

/// Tasks that are listed as the worst.
const WORST_MAX: usize = 10;

/// What of a report is listed below its figures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Listed {
    /// The tasks with the lowest scores.
    Worst,
    /// Every task with an answer that did not pass, and why.
    Failed,
}

/// The whole report in lines of at most 80 columns. Without figures, of which the error says why, all else is there.
pub(crate) fn render(name: &str, report: &Report, figures: Result<&Figures, &str>, listed: Listed) -> String {
    let mut text = format!("{}\n{}", bold(name), pairs(about(report, figures)));
    if let Ok(figures) = figures {
        text += &format!("\n{}", categories(figures));
    }
    text += &format!("\n{}", nonsense(report));
    text += &contamination(report);
    text += &roblox::render(report);
    match listed {
        Listed::Worst => text += &format!("\n{}", worst(report)),
        Listed::Failed => text += &format!("\n{}", failed(report)),
    }
    text
}

fn about<'a>(report: &Report, figures: Result<&Figures, &str>) -> Vec<(&'a str, String)> {
    let (facts, overall) = (&report.facts, &report.overall);
    let sampling = facts.sampling;
    // What it can be found by, where that is known.
    let found = facts.suite_artifact.unwrap_or(facts.suite_digest);
    let suite = format!("{} (sha256:{}), {}", facts.suite, found.short(), some(report.tasks.len(), "task"))
        + &if facts.only.is_empty() { String::new() } else { format!(": only {}", facts.only.join(", ")) };
    let asked = format!(
        "{} at temperature {}, seed {}{}",
        some(sampling.samples as usize, "sample"),
        sampling.temperature,
        sampling.seed,
        if facts.room.is_empty() { String::new() } else { format!(", judged in {}", facts.room) }
    );
    let engine = if facts.engine.is_empty() { String::new() } else { format!(", by {}", facts.engine) };
    let mut rows = vec![("suite", suite), ("model", model(&facts.model) + &engine), ("asked", asked)];
    match figures {
        Ok(figures) => {
            rows.push(("score", scored(&figures.overall)));
            rows.push(("passed", passed(&figures.overall, overall)));
            if !figures.left_out.is_empty() {
                let left_out = format!(
                    "{} of no answer that counts: {}",
                    some(figures.left_out.len(), "task"),
                    figures.left_out.join(", ")
                );
                rows.push(("left out", left_out));
            }
        }
        Err(why) => rows.push(("score", format!("none: {why}"))),
    }
    rows.push(("endings", endings(overall)));
    rows.push(("apart", apart(overall)));
    if let Some(benchmark) = &report.benchmark_v2 {
        rows.push(("as before", format!("{:.1} by the pipeline's benchmark v2, a pattern match", benchmark.overall)));
    }
    rows
}

/// Who answered.
pub(crate) fn model(model: &Model) -> String {
    let of = |digest: &vertigo::id::Digest| format!("sha256:{}", digest.short());
    match model {
        Model::Base { base, .. } => format!("base {}", of(base)),
        Model::Adapted { base, adapter, .. } => format!("adapter {} over base {}", of(adapter), of(base)),
        Model::Fused { model, .. } => format!("fused model {}", of(model)),
        Model::Api { url, model } => format!("{model} at {url}"),
    }
}

fn scored(figure: &Figure) -> String {
    format!("{} of 100 (95 %: {})", points(figure.means.score), span(figure.score_interval))
}

fn passed(figure: &Figure, overall: &Tally) -> String {
    match figure.means.passed {
        None => "no check passes or fails".to_owned(),
        Some((rate, interval)) => {
            let (passed, decided) = (overall.passed, overall.decided);
            format!("{} % (95 %: {}): {passed} of {decided} answers", points(rate), span(interval))
        }
    }
}

fn endings(tally: &Tally) -> String {
    use vertigo_evaluation::answer::Ending;
    let named = [
        (Ending::Answered, "whole"),
        (Ending::Cut, "cut"),
        (Ending::TimedOut, "out of time"),
        (Ending::ApiError, "errors of the API"),
    ];
    let count = |ending| tally.endings.get(&ending).copied().unwrap_or_default();
    named.map(|(ending, word)| format!("{} {word}", count(ending))).join(", ")
}

/// What is not held against the model.
fn apart(tally: &Tally) -> String {
    let counts = [
        (tally.unsupported, "use what the room has not"),
        (tally.broken, "met a check that failed itself"),
        (tally.unjudged, "are not judged yet"),
    ];
    let some = counts.into_iter().filter(|(count, _)| *count > 0);
    some.map(|(count, what)| format!("{count} {what}")).collect::<Vec<_>>().join(", ")
}

fn categories(figures: &Figures) -> String {
    let row = |(name, figure): &(String, Figure)| {
        let (rate, between) = match figure.means.passed {
            Some((rate, interval)) => (points(rate), span(interval)),
            None => ("–".to_owned(), String::new()),
        };
        let (score, interval) = (points(figure.means.score), span(figure.score_interval));
        [name.clone(), figure.means.tasks.to_string(), score, interval, rate, between]
    };
    let rows = figures.categories.iter().map(row).collect();
    table(["CATEGORY", "TASKS", "SCORE", "95 %", "PASSED", "95 %"], &[1, 2, 3, 4, 5], rows)
}

/// What answers that answer nothing score; red where that says that the figures say little.
fn nonsense(report: &Report) -> String {
    if report.nonsense.is_empty() {
        return wrap("What answers of nonsense score in this suite is not known.", 0);
    }
    let score = |it: &NonsenseScore| it.score.map_or_else(|| "–".to_owned(), points);
    let all = report.nonsense.iter().map(|it| format!("{} {}", called(it.kind), score(it))).collect::<Vec<_>>();
    let mut text = wrap(&format!("Nonsense scores: {}.", all.join(", ")), 0);
    for it in report.nonsense.iter().filter(|it| it.is_alarming()) {
        let checks: Vec<&str> = it.red.iter().map(|check| check.as_str()).collect();
        let mut why = Vec::new();
        if !checks.is_empty() {
            why.push(format!("does well in {}", checks.join(", ")));
        }
        if !it.passes.is_empty() {
            why.push(format!("passes {} of {}", it.passes.len(), some(it.tasks as usize, "task")));
        }
        text += &red(&wrap(
            &format!("{} {}: this says little of a model.", capital(called(it.kind)), why.join(" and ")),
            0,
        ));
    }
    text
}

fn called(kind: Nonsense) -> &'static str {
    match kind {
        Nonsense::Empty => "an empty answer",
        Nonsense::Echo => "an echo of the prompt",
        Nonsense::EchoWithConventions => "an echo with a line of conventions",
    }
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// What of the suite the model has seen in training.
fn contamination(report: &Report) -> String {
    let Some(Contaminated { contamination, inside, outside }) = &report.contamination else {
        return wrap("Nobody knows which of these tasks the model has seen in training.", 0);
    };
    let (found, examples) = (&contamination.found, contamination.examples);
    if found.is_empty() {
        return wrap(&format!("None of these tasks is in the training data ({examples} examples)."), 0);
    }
    let exact = found.values().filter(|it| it.likeness == Likeness::Exact).count();
    let score = |tally: &Tally| tally.score.map_or_else(|| "no score".to_owned(), points);
    let said = format!(
        "In the training data ({examples} examples): {} of {}, {exact} of them word for word. In these the model has {}, in the others {}.",
        found.len(),
        some(report.tasks.len(), "task"),
        score(inside),
        score(outside)
    );
    red(&wrap(&said, 0))
}

fn worst(report: &Report) -> String {
    let key = |task: &TaskReport| task.tally.score.unwrap_or(1.0);
    let mut tasks: Vec<&TaskReport> = report.tasks.iter().filter(|task| key(task) < 1.0).collect();
    tasks.sort_by(|a, b| key(a).total_cmp(&key(b)).then_with(|| a.task.cmp(&b.task)));
    let row = |task: &&TaskReport| {
        let (tally, score) = (&task.tally, points(key(task)));
        [task.task.clone(), task.category.clone(), score, format!("{}/{}", tally.passed, tally.decided), why(task)]
    };
    let rows: Vec<[String; 5]> = tasks.iter().take(WORST_MAX).map(row).collect();
    if rows.is_empty() {
        return "no task has less than the whole score\n".to_owned();
    }
    let next = "\nsee a task's answers: vertigo report REPORT --task ID\n";
    table(["WORST TASKS", "CATEGORY", "SCORE", "PASSED", "WHY"], &[2, 3], rows) + next
}

fn failed(report: &Report) -> String {
    let row = |task: &TaskReport| {
        let tally = &task.tally;
        [task.task.clone(), task.category.clone(), format!("{}/{}", tally.passed, tally.decided), why(task)]
    };
    let rows: Vec<[String; 4]> = report.tasks.iter().filter(|task| has_failed(task)).map(row).collect();
    if rows.is_empty() {
        return "every answer passed\n".to_owned();
    }
    table(["FAILED", "CATEGORY", "PASSED", "WHY"], &[2], rows)
}

/// Whether an answer to a task did not pass.
pub(crate) fn has_failed(task: &TaskReport) -> bool {
    task.answers.iter().any(answers::has_failed)
}

/// What the first answer that failed failed by.
fn why(task: &TaskReport) -> String {
    let verdicts = task.answers.iter().filter(|answer| answers::has_failed(answer)).flat_map(|answer| &answer.verdicts);
    let failed = verdicts.filter(|verdict| verdict.decides).find(|verdict| verdict.standing == Standing::Failed);
    let remark = |remarks: &[String]| remarks.first().and_then(|it| it.lines().next()).unwrap_or_default().to_owned();
    failed.map_or_else(String::new, |it| {
        let said = remark(&it.remarks);
        let check = it.check.as_str();
        let whole = if said.is_empty() { check.to_owned() } else { format!("{check}: {said}") };
        vertigo::bounds::shorten(&whole, 60).into_owned()
    })
}

/// Text in red. Each line by itself, so that a style never goes on where a line ends.
pub(crate) fn red(text: &str) -> String {
    let red = style(Hue::Red);
    let line = |line: &str| if line.is_empty() { String::new() } else { format!("{red}{}{red:#}", safe::text(line)) };
    text.split('\n').map(line).collect::<Vec<_>>().join("\n")
}

/// A share in points of 100.
fn points(share: f64) -> String {
    format!("{:.1}", 100.0 * share)
}

fn span(interval: Interval) -> String {
    format!("{} to {}", points(interval.low), points(interval.high))
}

fn some(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// A report's artifact in few letters, or the folder that it lies in.
pub(crate) fn title(name: &str, digest: Option<vertigo::id::Digest>) -> String {
    let digest = digest.map(|digest| digest.to_string());
    match digest {
        Some(digest) if !digest.starts_with(name) => format!("{name} sha256:{}", short_id(&digest)),
        _ => name.to_owned(),
    }
}

#[cfg(test)]
pub(crate) mod tests;
