//! Rows that a suite asks for, or that give its answers away.
//!
//! A row is looked at turn by turn, but for the system's: its words are compared with each suite's questions, references and tests as
//! [`vertigo_evaluation::contamination`] compares them, which is how an evaluation says what its model saw.
//!
//! Promise: whether a row is found depends on the row and the suites alone. The time grows with the rows' words, however many tasks there
//! are.

use crate::book::{Book, Effect};
use crate::duplicates::shingles::push_message;
use crate::parallel;
use crate::row::{Body, Role, Row};
use crate::rule::{Rule, Stage};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use vertigo_evaluation::contamination::{Index, Likeness, PASSAGE_WORDS, Part, Passages, words};
use vertigo_evaluation::suite::Suite;

/// A turn has a task's whole question.
pub const PROMPT: Rule =
    Rule::new(Stage::Contamination, "suite_prompt", "a turn has a question of a suite, word by word");

/// A turn has half of a task's question.
pub const NEAR_PROMPT: Rule =
    Rule::new(Stage::Contamination, "near_suite_prompt", "the row has at least half of a suite's question");

/// An answer has passages of what judges a task.
pub const OVERLAP: Rule =
    Rule::new(Stage::Contamination, "suite_answer", "an answer shares passages with a suite's reference or test");

/// Tasks that a detail names.
const NAMED_MAX: usize = 3;

/// How a row has a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum How {
    /// A turn has the whole question.
    Prompt,
    /// The row has at least half of it.
    NearPrompt,
    /// An answer shares passages with what judges the task.
    Overlap,
}

impl How {
    /// The rule that says so.
    pub fn rule(self) -> Rule {
        match self {
            How::Prompt => PROMPT,
            How::NearPrompt => NEAR_PROMPT,
            How::Overlap => OVERLAP,
        }
    }
}

/// A suite, ready to be looked for.
#[derive(Debug)]
pub struct Sought<'a> {
    suite: &'a Suite,
    index: Index,
    passages: Passages,
}

impl<'a> Sought<'a> {
    /// Of this suite.
    pub fn of(suite: &'a Suite) -> Sought<'a> {
        Sought { suite, index: Index::of(suite), passages: Passages::of(suite) }
    }

    /// The suite.
    pub fn suite(&self) -> &'a Suite {
        self.suite
    }

    /// The tasks that a row has, each in the plainest way in which it has it.
    pub fn look(&self, body: &Body) -> BTreeMap<&str, How> {
        let mut found: BTreeMap<&str, How> = BTreeMap::new();
        let mut keep = |task, how: How| {
            found.entry(task).and_modify(|kept| *kept = how.min(*kept)).or_insert(how);
        };
        let (turns, answers) = turns(body);
        for hit in self.index.hits(&turns) {
            keep(
                hit.task,
                match (hit.part, hit.likeness) {
                    (Part::Question, Likeness::Exact) => How::Prompt,
                    (Part::Question, Likeness::Near) => How::NearPrompt,
                    (Part::Reference, _) => How::Overlap,
                },
            );
        }
        // One passage is enough: in 1,804 rows of the pipeline, two of Vertigo's own suite are there by chance at most.
        for task in self.passages.look(&answers).into_keys() {
            keep(task, How::Overlap);
        }
        found
    }
}

/// The words of all turns but the system's, and of those that the model says; both of a text are all of it.
fn turns(body: &Body) -> (Vec<Vec<u64>>, Vec<Vec<u64>>) {
    if let Body::Text(text) = body {
        return (vec![words(text)], vec![words(text)]);
    }
    let (mut turns, mut answers) = (Vec::new(), Vec::new());
    for message in body.messages().iter().filter(|message| message.role != Role::System) {
        let mut words = Vec::new();
        push_message(message, &mut words);
        if message.role == Role::Assistant {
            answers.push(words.clone());
        }
        turns.push(words);
    }
    (turns, answers)
}

/// Leaves out, or notes, every row that has a task of any of the suites.
pub fn run(rows: Vec<Row>, suites: &[Suite], effect: Effect, book: &mut Book) -> Vec<Row> {
    let sought: Vec<Sought> = suites.iter().map(Sought::of).collect();
    let found = parallel::map(&rows, |row| found(&row.body, &sought));
    let mut left = Vec::with_capacity(rows.len());
    for (row, found) in rows.into_iter().zip(found) {
        let Some((how, detail)) = found else {
            left.push(row);
            continue;
        };
        book.touch(row.entry, how.rule(), effect, detail);
        if !effect.ends() {
            left.push(row);
        }
    }
    left
}

/// The plainest way in which a row has tasks, and which ones.
fn found(body: &Body, sought: &[Sought]) -> Option<(How, String)> {
    let mut all: Vec<(How, String)> = Vec::new();
    for sought in sought {
        let name = &sought.suite.about.name;
        all.extend(sought.look(body).into_iter().map(|(task, how)| (how, format!("{name}/{task}"))));
    }
    let plainest = all.iter().map(|(how, _)| *how).min()?;
    let tasks: Vec<String> = all.into_iter().filter(|(how, _)| *how == plainest).map(|(_, task)| task).collect();
    let mut detail = tasks[..tasks.len().min(NAMED_MAX)].join(", ");
    if tasks.len() > NAMED_MAX {
        detail += &format!(" and {} more", tasks.len() - NAMED_MAX);
    }
    if plainest == How::Overlap {
        detail = format!("{PASSAGE_WORDS} words in a row of {detail}");
    }
    Some((plainest, detail))
}

#[cfg(test)]
mod tests;
