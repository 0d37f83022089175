//! Curations in the terminal: the funnel, what a dataset has, and what happened to a line.

use super::output::{Hue, bold, dimmed, pairs, short_id, style, table, wrap};
use super::safe;
use std::collections::BTreeMap;
use vertigo_curation::audit::{Audit, Task};
use vertigo_curation::book::Effect;
use vertigo_curation::provenance::{Line, Touched};
use vertigo_curation::report::{Applied, Category, Passage, Report};
use vertigo_curation::rights::License;

/// Categories that a summary names.
const CATEGORIES_MAX: usize = 8;

/// What a dataset has and what was left out, in a screen.
pub(crate) fn render(name: &str, report: &Report) -> String {
    let read: u64 = report.files.iter().map(|file| file.rows).sum();
    let sides = report.sides;
    let made = format!("{} to train on, {} to validate with, {} held back", sides.train, sides.valid, sides.test);
    let facts = [
        ("rows", made),
        ("made of", format!("{read} lines, files: {}", report.files.len())),
        ("mix", report.mix.clone()),
        ("licences", licenses(report)),
        (&*report.by, categories(report)),
        ("suites", audits(report)),
        ("leak", leak(report)),
        ("lengths", lengths(report)),
    ];
    let stages = report.funnel.iter().map(|passage| {
        let gone = passage.entered - passage.left;
        let gone = if gone == 0 { String::new() } else { gone.to_string() };
        [passage.stage.as_str().to_owned(), passage.left.to_string(), gone, by(passage)]
    });
    let funnel = table(["AFTER", "ROWS", "GONE", "BY"], &[1, 2], stages.collect());
    let remarks: String = report.remarks.iter().map(|remark| wrap(&format!("note: {remark}"), 0)).collect();
    format!("{}\n{}\n{funnel}{remarks}", bold(name), pairs(facts))
}

/// The same, with what each rule did and examples of it.
pub(crate) fn render_whole(name: &str, report: &Report) -> String {
    let mut text = render(name, report);
    for passage in report.funnel.iter().filter(|passage| !passage.rules.is_empty()) {
        text += &format!("\n{}\n", bold(passage.stage.as_str()));
        text.extend(passage.rules.iter().map(rule));
    }
    text
}

/// The rules of a stage that took rows out, and how many.
fn by(passage: &Passage) -> String {
    let ends = passage.rules.iter().filter(|rule| rule.effect.ends());
    ends.map(|rule| format!("{} {}", rule.rule, rule.rows)).collect::<Vec<_>>().join(", ")
}

fn rule(applied: &Applied) -> String {
    let mut text = format!("  {} {} {}\n", effect(applied.effect), applied.rows, safe::line(&applied.rule));
    text += &wrap(&applied.says, 4);
    for example in &applied.examples {
        let about = [example.detail.as_str(), example.begins.as_str()];
        let about: Vec<&str> = about.into_iter().filter(|text| !text.is_empty()).collect();
        text += &dimmed(&wrap(&format!("{}  {}", example.origin, about.join(": ")), 6));
    }
    text
}

/// What happened to a line: where it stood, its rights, each rule, and where it is now.
pub(crate) fn render_line(line: &Line, meanings: &BTreeMap<String, String>) -> String {
    let rights = [
        line.rights.license.as_deref().map(str::to_owned),
        line.rights.basis.as_deref().map(|basis| format!("basis {basis}")),
        line.rights.attribution.as_deref().map(|name| format!("by {name}")),
        line.rights.assumed.as_deref().map(|reason| format!("assumed: {reason}")),
    ];
    let rights: Vec<String> = rights.into_iter().flatten().collect();
    let now = match side(line) {
        Some(side) => format!("in {side}"),
        None => "left out".to_owned(),
    };
    let rows: Vec<&str> = line.made.iter().map(|id| short_id(id)).collect();
    let facts = [
        ("row", line.id.as_deref().map(|id| short_id(id).to_owned()).unwrap_or_default()),
        ("rights", if rights.is_empty() { "none said".to_owned() } else { rights.join(", ") }),
        ("now", now),
        ("became", rows.join(", ")),
        ("like", line.cluster.as_deref().map(|id| format!("the rows around {}", short_id(id))).unwrap_or_default()),
    ];
    let mut text = format!("{}\n{}", bold(&format!("{}:{}", line.file, line.line)), pairs(facts));
    for touched in &line.touched {
        let says = meanings.get(&touched.rule).map(|says| format!(": {says}")).unwrap_or_default();
        let detail = if touched.detail.is_empty() { String::new() } else { format!(" ({})", touched.detail) };
        text += &wrap(&format!("{} {} by {}{says}{detail}", touched.stage, word(touched.effect), touched.rule), 2);
    }
    if line.touched.is_empty() {
        text += "  no rule touched it\n";
    }
    text
}

/// What ended a line, in a few words.
pub(crate) fn render_end(end: &Touched) -> String {
    let detail = if end.detail.is_empty() { String::new() } else { format!(" ({})", end.detail) };
    format!("{} by {}{detail}", word(end.effect), end.rule)
}

/// The side that a line's rows are on; `None` of one that was left out.
pub(crate) fn side(line: &Line) -> Option<&'static str> {
    line.side.map(|side| side.as_str())
}

fn word(effect: Effect) -> &'static str {
    match effect {
        Effect::Rejected => "rejected",
        Effect::Quarantined => "quarantined",
        Effect::Dropped => "dropped",
        Effect::Repaired => "repaired",
        Effect::Noted => "noted",
    }
}

fn effect(effect: Effect) -> String {
    let colour = match effect {
        Effect::Rejected | Effect::Quarantined | Effect::Dropped => Hue::Red,
        Effect::Repaired => Hue::Yellow,
        Effect::Noted => Hue::Cyan,
    };
    format!("{0}{1}{0:#}", style(colour), word(effect))
}

fn categories(report: &Report) -> String {
    let mut kept: Vec<_> = report.categories.iter().filter(|it| it.train > 0).collect();
    kept.sort_by_key(|it| std::cmp::Reverse(it.train));
    let named = |it: &&Category| format!("{} {}", if it.name.is_empty() { "none said" } else { &it.name }, it.train);
    let mut named: Vec<String> = kept.iter().take(CATEGORIES_MAX).map(named).collect();
    if kept.len() > CATEGORIES_MAX {
        named.push(format!("{} more", kept.len() - CATEGORIES_MAX));
    }
    named.join(", ")
}

fn licenses(report: &Report) -> String {
    let of = |it: &License| {
        let name = it.license.as_deref().unwrap_or("none said");
        let waiting = if it.quarantined > 0 { format!(" ({} quarantined)", it.quarantined) } else { String::new() };
        format!("{name} {}{waiting}", it.kept)
    };
    let mut licenses: Vec<&License> = report.rights.licenses.iter().collect();
    licenses.sort_by_key(|it| std::cmp::Reverse(it.kept));
    licenses.into_iter().map(of).collect::<Vec<_>>().join(", ")
}

fn audits(report: &Report) -> String {
    let of = |audit: &Audit| match audit.found.len() {
        0 => format!("nothing of the {} tasks of {}", audit.tasks, audit.suite),
        found => format!("{found} of the {} tasks of {}, in {} rows", audit.tasks, audit.suite, audit.rows_found),
    };
    match &report.audits[..] {
        [] => "held against none".to_owned(),
        audits => audits.iter().map(of).collect::<Vec<_>>().join("; "),
    }
}

fn leak(report: &Report) -> String {
    if report.leak.is_none() {
        return format!(
            "none: no side has a row, a prompt or {:.2} of a row's words of another",
            report.leak.threshold
        );
    }
    let found = report.leak.crossings.iter().filter(|it| it.equal + it.prompts + it.near > 0).map(|it| {
        let (of, on) = (it.of.as_str(), it.on.as_str());
        format!(
            "of {} rows of {of}, {} are in {on} too, {} by their prompt, {} nearly",
            it.rows, it.equal, it.prompts, it.near
        )
    });
    found.collect::<Vec<_>>().join("; ")
}

fn lengths(report: &Report) -> String {
    let Some(lengths) = &report.lengths else { return String::new() };
    let it = &lengths.after;
    let cuts = it.cuts.iter().filter(|cut| cut.rows > 0).map(|cut| format!("{} cuts {}", cut.max_seq_length, cut.rows));
    let cuts = cuts.collect::<Vec<_>>().join(", ");
    let cuts = if cuts.is_empty() { cuts } else { format!("; a max_seq_length of {cuts}") };
    format!("half have up to {} tokens, 9 of 10 up to {}, the longest {}{cuts}", it.p50, it.p90, it.max)
}

/// Which tasks of a suite a dataset has, and where each is first.
pub(crate) fn render_audit(name: &str, audit: &Audit) -> String {
    if audit.is_clean() {
        let (tasks, suite, rows) = (audit.tasks, safe::line(&audit.suite), audit.rows);
        return format!("{}: nothing of the {tasks} tasks of {suite} is in its {rows} rows\n", bold(name));
    }
    let (found, rows) = (audit.found.len(), audit.rows_found);
    let facts = [
        ("tasks", format!("{found} of {} of {}", audit.tasks, audit.suite)),
        ("rows", format!("{rows} of {}", audit.rows)),
        ("in", audit.files.iter().map(|(file, it)| format!("{file} {}", it.rows)).collect::<Vec<_>>().join(", ")),
    ];
    let row = |(task, it): (&String, &Task)| {
        let first = it.rows.first().map(|row| format!("{}:{}", row.file, row.line)).unwrap_or_default();
        [task.clone(), it.prompt.to_string(), it.near_prompt.to_string(), it.overlap.to_string(), first]
    };
    let header = ["TASK", "WHOLE QUESTION", "HALF OF IT", "ITS ANSWER", "FIRST AT"];
    format!("{}\n{}\n{}", bold(name), pairs(facts), table(header, &[1, 2, 3], audit.found.iter().map(row).collect()))
}

#[cfg(test)]
mod tests;
