//! `vertigo data show`: what a recipe learns from a dataset's examples.
//!
//! Promise: what is shown is what the engine trains on: both are made by `vertigo-text`, of the same files.

use crate::cli::{ShowArgs, Which};
use crate::coordinator::Coordinator;
use crate::datasets;
use crate::error::{CliError, Exit, Result};
use crate::recipes::read_recipe;
use crate::render::output::{Hue, Output, bold, pairs, style};
use crate::render::safe;
use crate::tokenizers;
use anstyle::Style;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;
use vertigo::caveats::Reason;
use vertigo_model::dataset::{Dataset, Row, Weight};
use vertigo_text::{ChatTokenizer, Fate, Lesson, Reading, Rules};

pub(super) async fn run(args: &ShowArgs, recipe: &Path, coordinator: &Coordinator, output: Output) -> Result<()> {
    let recipe = read_recipe(recipe)?.recipe;
    let scratch = tempfile::tempdir().map_err(|e| CliError::refused(format!("no temporary folder: {e}")))?;
    let dataset = datasets::named(&args.name, "`vertigo data show`", scratch.path(), coordinator, output).await?;
    let base = match &args.base {
        Some(folder) => folder.clone(),
        None => tokenizers::fetch(&recipe.model, scratch.path(), coordinator, output).await?,
    };
    let tokenizer = ChatTokenizer::load(&base).map_err(CliError::refused)?;
    let examples = Examples::new(&dataset, &tokenizer, Rules::of(&recipe));
    if let Some(which) = &args.example {
        let shown = examples.find(which).and_then(|index| examples.read(index))?;
        output.show(|| shown.json(), || shown.render(&tokenizer, output.is_coloured()));
    } else {
        let skipped = examples.skipped()?;
        let document = || skipped.iter().map(Shown::json_in_short).collect();
        output.show(document, || render_skipped(&skipped, examples.rows.len()));
    }
    Ok(())
}

/// A dataset's examples in the order of their files and lines, and how they are read.
struct Examples<'a> {
    rows: Vec<(&'a Row, bool)>,
    tokenizer: &'a ChatTokenizer,
    rules: Rules,
}

/// An example that was read.
struct Shown<'a> {
    row: &'a Row,
    is_held_out: bool,
    number: usize,
    of: usize,
    reading: Reading,
}

impl<'a> Examples<'a> {
    fn new(dataset: &'a Dataset, tokenizer: &'a ChatTokenizer, rules: Rules) -> Examples<'a> {
        let train = dataset.train.iter().map(|row| (row, false));
        let mut rows: Vec<_> = train.chain(dataset.valid.iter().map(|row| (row, true))).collect();
        rows.sort_by(|(a, _), (b, _)| (&a.place.file, a.place.line).cmp(&(&b.place.file, b.place.line)));
        Examples { rows, tokenizer, rules }
    }

    fn find(&self, which: &Which) -> Result<usize> {
        let count = self.rows.len();
        let (found, what) = match which {
            Which::Number(number) => (Some(number - 1).filter(|index| *index < count), format!("example {number}")),
            Which::Place(file, line) => {
                let is_there = |(row, _): &(&Row, bool)| &*row.place.file == file.as_str() && row.place.line == *line;
                (self.rows.iter().position(is_there), format!("example at {file}:{line}"))
            }
        };
        found.ok_or_else(|| {
            let (last, _) = self.rows[count - 1];
            let message = format!("there is no {what}; there are {count}, the last at {}", last.place);
            CliError::new(Exit::NotFound, message).hint("a blank line is no example, and test.jsonl is not read")
        })
    }

    fn read(&self, index: usize) -> Result<Shown<'a>> {
        let (row, is_held_out) = self.rows[index];
        let reading = self.tokenizer.lessons(row, &self.rules).map_err(CliError::refused)?;
        Ok(Shown { row, is_held_out, number: index + 1, of: self.rows.len(), reading })
    }

    /// Those of which not everything is learned that the recipe means to.
    fn skipped(&self) -> Result<Vec<Shown<'a>>> {
        let all = (0..self.rows.len()).map(|index| self.read(index));
        all.filter(|shown| shown.as_ref().map_or(true, |shown| shown.reading.fate != Fate::Whole)).collect()
    }
}

impl Shown<'_> {
    fn json_in_short(&self) -> Value {
        let reasons: Vec<&str> = self.reading.reasons.iter().filter_map(|reason| words(*reason)).collect();
        json!({
            "place": self.row.place.to_string(),
            "number": self.number,
            "held_out": self.is_held_out,
            "weight": self.row.weight.get(),
            "tokens": self.reading.ids.len(),
            "learned_tokens": self.learned_tokens(),
            "fate": self.reading.fate.to_string(),
            "reasons": reasons,
        })
    }

    fn json(&self) -> Value {
        let mut document = self.json_in_short();
        let lesson = |lesson: &Lesson| {
            let learned: Vec<_> = lesson.learned.iter().map(|columns| [columns.start, columns.end]).collect();
            json!({"ids": lesson.ids, "learned": learned})
        };
        document["ids"] = json!(self.reading.ids);
        document["lessons"] = self.reading.lessons.iter().map(lesson).collect();
        document
    }

    fn learned_tokens(&self) -> usize {
        self.reading.lessons.iter().map(Lesson::learned_tokens).sum()
    }

    fn render(&self, tokenizer: &ChatTokenizer, is_coloured: bool) -> String {
        let held_out = if self.is_held_out { ", held out" } else { "" };
        let reasons: Vec<&str> = self.reading.reasons.iter().filter_map(|reason| words(*reason)).collect();
        let rows = [
            ("example", format!("{} of {}{held_out}", self.number, self.of)),
            ("weight", if self.row.weight == Weight::ONE { String::new() } else { self.row.weight.get().to_string() }),
            ("tokens", format!("{}, {} of them learned", self.reading.ids.len(), self.learned_tokens())),
            ("fate", self.reading.fate.to_string()),
            ("beside", reasons.join("; ")),
        ];
        let mut text = format!("{}\n{}", bold(&self.row.place.to_string()), pairs(rows));
        let shows = |ids: &[u32], state| marked(tokenizer, ids, state, is_coloured);
        let lessons = &self.reading.lessons;
        for (index, lesson) in lessons.iter().enumerate() {
            if let Fate::Split { .. } = self.reading.fate {
                text += &format!("\n{}", bold(&format!("piece {} of {}", index + 1, lessons.len())));
            }
            text.push('\n');
            let mut at = 0;
            for columns in &lesson.learned {
                // The first token is never learned.
                let begin = columns.start.max(1);
                text += &shows(&lesson.ids[at..begin], State::Context);
                text += &shows(&lesson.ids[begin..columns.end], State::Learned);
                at = columns.end;
            }
            text += &shows(&lesson.ids[at..], State::Context);
            if let Fate::Cut { .. } = self.reading.fate {
                text += &shows(&self.reading.ids[lesson.ids.len()..], State::Lost);
            }
        }
        if lessons.is_empty() {
            text += &format!("\n{}", shows(&self.reading.ids, State::Lost));
        }
        text
    }
}

/// What becomes of a run of tokens.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// They are read, and not learned.
    Context,
    Learned,
    /// They are cut off or left out.
    Lost,
}

fn marked(tokenizer: &ChatTokenizer, ids: &[u32], state: State, is_coloured: bool) -> String {
    if ids.is_empty() {
        return String::new();
    }
    let text = tokenizer.decode_all(ids).unwrap_or_else(|error| format!("({error})"));
    let text = safe::text(&text);
    match (state, is_coloured) {
        (State::Context, true) => format!("{0}{text}{0:#}", Style::new().dimmed()),
        (State::Learned, true) => format!("{0}{text}{0:#}", style(Hue::Green)),
        (State::Lost, true) => format!("{0}{text}{0:#}", style(Hue::Red)),
        (State::Context, false) => text.into_owned(),
        (State::Learned, false) => format!("⟦{text}⟧"),
        (State::Lost, false) => format!("⟪{text}⟫"),
    }
}

/// A reason in words for one example; what its fate says has none.
fn words(reason: Reason) -> Option<&'static str> {
    match reason {
        Reason::Skipped | Reason::Cut | Reason::Split => None,
        Reason::Unanswered => Some("its last turn is not the assistant's"),
        Reason::EmptyAnswer => Some("its answer is empty"),
        Reason::UnsharedPrompt => {
            Some("its prompt is not the beginning of the conversation in tokens: masked as far as shared")
        }
        Reason::Unlocated => Some("an answer cannot be located in the template's text"),
        Reason::EmptyThought => Some("it teaches the empty thought that the template writes"),
    }
}

fn render_skipped(skipped: &[Shown], examples: usize) -> String {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    let mut text = String::new();
    for shown in skipped {
        let Shown { row, reading, .. } = shown;
        let what = match reading.fate {
            Fate::Whole => continue,
            Fate::Cut { .. } => "cut",
            Fate::Split { .. } => "split",
            Fate::LeftOut(_) => "left out",
        };
        *counts.entry(what).or_default() += 1;
        text += &format!("{}  {} tokens  {}\n", safe::line(&row.place.to_string()), reading.ids.len(), reading.fate);
    }
    let told: Vec<String> = counts.iter().map(|(what, count)| format!("{count} {what}")).collect();
    let told = if told.is_empty() { "all learned whole".to_owned() } else { told.join(", ") };
    text + &format!("of {examples} examples: {told}\n")
}

#[cfg(test)]
mod tests;
