//! A comparison in plain words, for a terminal of 80 columns.

use super::{Comparison, Needed, PairDifference, Verdict};
use std::fmt::Write;

/// Columns of a terminal.
const COLUMNS: usize = 80;

/// Columns that a name may take in a table.
const NAME_COLUMNS: usize = 28;

/// The comparison as text, in lines of at most 80 columns.
pub fn said(comparison: &Comparison) -> String {
    let mut text = String::new();
    paragraph(&mut text, &format!("Suite {}: {}. Scores in points of 100.", comparison.suite, comparison.reach));
    text.push('\n');
    standings(&mut text, comparison);
    for pair in &comparison.pairs {
        text.push('\n');
        paragraph(&mut text, &sentences(comparison, pair));
        text.push('\n');
        categories(&mut text, pair);
    }
    text
}

fn standings(text: &mut String, comparison: &Comparison) {
    let heads = ["score", "passed", "cut", "late", "errors"];
    line(text, "model", heads.map(str::to_owned));
    for standing in &comparison.standings {
        let (means, endings) = (&standing.means, &standing.means.endings);
        let passed = means.passed.map_or("-".to_owned(), |(rate, _)| points(rate));
        let counts = [endings.cut, endings.timed_out, endings.api_errors].map(|count| count.to_string());
        let [cut, late, errors] = counts;
        line(text, &standing.model, [points(means.score), passed, cut, late, errors]);
    }
}

fn categories(text: &mut String, pair: &PairDifference) {
    let heads = ["tasks", "by", "95 % from", "to", "p (Holm)"];
    line(text, "category", heads.map(str::to_owned));
    for category in &pair.categories {
        let interval = category.interval;
        let figures = [category.difference, interval.low, interval.high].map(signed);
        let [by, low, high] = figures;
        line(text, &category.category, [category.tasks.to_string(), by, low, high, chance(category.p_holm)]);
    }
}

fn line<const N: usize>(text: &mut String, name: &str, figures: [String; N]) {
    let mut name: String = name.chars().take(NAME_COLUMNS).collect();
    name.extend(std::iter::repeat_n(' ', NAME_COLUMNS - name.chars().count()));
    text.push_str(&name);
    for figure in figures {
        // Writing to a string does not fail.
        let _ = write!(text, "{figure:>10}");
    }
    text.push('\n');
}

/// What is to be said of one pair of a comparison.
pub fn sentences(comparison: &Comparison, pair: &PairDifference) -> String {
    let model = |at: usize| comparison.standings[at].model.as_str();
    let (first, second, by) = (model(pair.first), model(pair.second), pair.difference);
    let mut said = match pair.verdict {
        Verdict::First => format!("{first} is better than {second} by {} points", points(by)),
        Verdict::Second => format!("{first} is worse than {second} by {} points", points(-by)),
        Verdict::Unsure => {
            format!("It is not sure which is better, {first} or {second}: the first has {} points", signed(by))
        }
    };
    let interval = pair.interval;
    said += &format!(
        " (95 %: {} to {}, p {}). The probability that {first} is better {}.",
        signed(interval.low),
        signed(interval.high),
        equals(pair.p_holm),
        is(pair.probability)
    );
    if let (Some(tasks), Some(p)) = (pair.discordant, pair.mcnemar) {
        let (one, other) = (tasks.first, tasks.second);
        said += &format!(" {first} alone passes {one} tasks, {second} alone {other} (McNemar: p {}).", equals(p));
    }
    match pair.needed {
        Some(needed) => said + " " + &takes(needed),
        None => said + " There is no difference to be sure of.",
    }
}

fn takes(needed: Needed) -> String {
    let of_tasks = needed.tasks.map(|tasks| format!("{tasks} tasks like these"));
    let plural = |count: u64| if count == 1 { "" } else { "s" };
    let of_samples = needed.samples.map(|samples| format!("{samples} sample{} of each task", plural(samples)));
    let enough: Vec<String> = of_tasks.into_iter().chain(of_samples).collect();
    if enough.is_empty() {
        return "No suite is large enough to be sure of so small a difference.".to_owned();
    }
    format!("To be sure of such a difference four times of five takes {}.", enough.join(", or "))
}

fn points(share: f64) -> String {
    format!("{:.1}", 100.0 * share)
}

fn signed(share: f64) -> String {
    let text = format!("{:+.1}", 100.0 * share);
    if text == "-0.0" { "+0.0".to_owned() } else { text }
}

/// A probability, never as 0 or 1 where it is neither.
fn chance(p: f64) -> String {
    match p {
        p if p > 0.0 && p < 0.001 => "<0.001".to_owned(),
        p if p < 1.0 && p > 0.999 => ">0.999".to_owned(),
        p => format!("{p:.3}"),
    }
}

/// What stands after a p-value's name.
fn equals(p: f64) -> String {
    let text = chance(p);
    match text.strip_prefix(['<', '>']) {
        Some(bound) => format!("{} {bound}", &text[..1]),
        None => format!("= {text}"),
    }
}

/// What stands after a probability's name.
fn is(p: f64) -> String {
    let text = chance(p);
    match text.strip_prefix('<') {
        Some(bound) => format!("is below {bound}"),
        None => text.strip_prefix('>').map_or(format!("is {text}"), |bound| format!("is above {bound}")),
    }
}

/// Appends words in lines of at most 80 columns; a word that is longer is broken.
fn paragraph(text: &mut String, words: &str) {
    let mut column = 0;
    for word in words.split(' ') {
        let length = word.chars().count();
        if column > 0 && column + 1 + length <= COLUMNS {
            text.push(' ');
            column += 1;
        } else if column > 0 {
            text.push('\n');
            column = 0;
        }
        for c in word.chars() {
            if column == COLUMNS {
                text.push('\n');
                column = 0;
            }
            text.push(c);
            column += 1;
        }
    }
    text.push('\n');
}
