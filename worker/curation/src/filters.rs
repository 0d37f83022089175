//! Stage Filters: what an honest reader would take out.
//!
//! Promise: each rule looks at what the model says and not at what it thinks, and is right rather than thorough: a good answer that is
//! dropped is lost, and a bad one that stays is one of many. What a rule saw it says with the turn. Secrets come first, so that no later
//! stage holds one.

mod canned;
mod code_lines;
mod cut_answer;
mod echo;
mod loose_code;
mod refusal;
mod speech;
mod thinking;
mod unclosed_fence;

pub use code_lines::code_lines;

use crate::book::{Book, Effect};
use crate::config::{Act, Filters, LooseCode};
use crate::row::Row;
use crate::rule::{Rule, Stage};
use crate::secrets;
use canned::Canned;
use speech::Turn;

/// Too little to learn programming from.
pub const FEW_CODE_LINES: Rule = Rule::new(
    Stage::Filters,
    "few_code_lines",
    "the model says fewer lines of Luau that compiles than the config asks for",
);
/// Where the code ends nobody knows.
pub const UNCLOSED_FENCE: Rule = Rule::new(Stage::Filters, "unclosed_fence", "a code fence is opened and never closed");
/// Learned from, it ends answers in the middle.
pub const CUT_ANSWER: Rule =
    Rule::new(Stage::Filters, "cut_answer", "an answer ends in the middle of its code or of a sentence");
/// Learned from, it thinks aloud.
pub const LEAKED_THINKING: Rule =
    Rule::new(Stage::Filters, "leaked_thinking", "thinking stands where the answer should, or never ends");
/// Learned from, it thinks nothing in many words.
pub const CANNED_THOUGHT: Rule =
    Rule::new(Stage::Filters, "canned_thought", "most of what is thought stands word for word in many other rows");
/// Learned from, it refuses.
pub const REFUSAL: Rule = Rule::new(Stage::Filters, "refusal", "an answer begins with a refusal");
/// Learned from, it repeats what it is asked.
pub const ECHO: Rule = Rule::new(Stage::Filters, "echo", "the answer says the question again and adds next to nothing");
/// Learned from, it writes code where nobody finds it.
pub const LOOSE_CODE: Rule = Rule::new(Stage::Filters, "loose_code", "Luau stands outside of a fence");

/// Applies all rules that the config wants, and gives the rows that go on.
pub fn apply(rows: Vec<Row>, filters: &Filters, book: &mut Book) -> Vec<Row> {
    let mut rows = secrets::apply(rows, filters.secrets, book);
    let canned = match filters.leaked_thinking {
        Act::Off => Canned::default(),
        Act::Drop | Act::Note => Canned::learn(&rows),
    };
    rows.retain_mut(|row| {
        let goes_on = look_at(row, filters, &canned, book);
        if goes_on
            && filters.loose_code == LooseCode::Repair
            && let Some(detail) = loose_code::repair(&mut row.body)
        {
            book.touch(row.entry, LOOSE_CODE, Effect::Repaired, detail);
        }
        goes_on
    });
    rows
}

/// What the rules look at.
struct Look<'a> {
    row: &'a Row,
    turns: Vec<Turn<'a>>,
    canned: &'a Canned,
    /// Lines of code that are asked for.
    code_lines_min: u32,
}

/// A rule, what the config wants of it, and what it sees.
type Filter = (Rule, fn(&Filters) -> Act, fn(&Look<'_>) -> Option<String>);

const FILTERS: [Filter; 8] = [
    (FEW_CODE_LINES, few_code_lines, |look| code_lines::fewer_than(look.code_lines_min, &look.row.body)),
    (UNCLOSED_FENCE, |filters| filters.unclosed_fence, |look| unclosed_fence::seen(&look.turns)),
    (CUT_ANSWER, |filters| filters.cut_answer, |look| cut_answer::seen(&look.turns)),
    (LEAKED_THINKING, |filters| filters.leaked_thinking, |look| thinking::seen(&look.turns)),
    (CANNED_THOUGHT, |filters| filters.leaked_thinking, |look| look.canned.seen(&look.turns)),
    (REFUSAL, |filters| filters.refusal, |look| refusal::seen(&look.turns)),
    (ECHO, |filters| filters.echo, |look| echo::seen(&look.row.body, &look.turns)),
    (LOOSE_CODE, loose_code, |look| loose_code::seen(&look.turns)),
];

fn few_code_lines(filters: &Filters) -> Act {
    if filters.code_lines_min.is_some() { Act::Drop } else { Act::Off }
}

fn loose_code(filters: &Filters) -> Act {
    match filters.loose_code {
        LooseCode::Act(act) => act,
        // Repairs come last.
        LooseCode::Repair => Act::Off,
    }
}

/// Touches a row by the rules that are on, up to the first that drops it, and says whether it goes on.
fn look_at(row: &Row, filters: &Filters, canned: &Canned, book: &mut Book) -> bool {
    let code_lines_min = filters.code_lines_min.unwrap_or(0);
    let look = Look { row, turns: speech::turns(&row.body), canned, code_lines_min };
    for (rule, act, sees) in FILTERS {
        let effect = match act(filters) {
            Act::Drop => Effect::Dropped,
            Act::Note => Effect::Noted,
            Act::Off => continue,
        };
        let Some(detail) = sees(&look) else { continue };
        book.touch(row.entry, rule, effect, detail);
        if effect.ends() {
            return false;
        }
    }
    true
}

#[cfg(test)]
mod tests;
