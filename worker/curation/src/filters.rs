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
        let mut goes_on = true;
        for (rule, act, detail) in seen(row, filters, &canned) {
            let effect = if act == Act::Drop { Effect::Dropped } else { Effect::Noted };
            book.touch(row.entry, rule, effect, detail);
            if act == Act::Drop {
                goes_on = false;
                break;
            }
        }
        if goes_on && filters.loose_code == LooseCode::Repair {
            let repaired = loose_code::repair(&mut row.body);
            if let Some(detail) = repaired {
                book.touch(row.entry, LOOSE_CODE, Effect::Repaired, detail);
            }
        }
        goes_on
    });
    rows
}

/// What the rules that are on see in a row, in their order, each looked for when the one before did not drop it.
fn seen<'a>(
    row: &'a Row,
    filters: &'a Filters,
    canned: &'a Canned,
) -> impl Iterator<Item = (Rule, Act, String)> + use<'a> {
    type Look<'a> = Box<dyn Fn(&[Turn<'_>]) -> Option<String> + 'a>;
    let loose = match filters.loose_code {
        LooseCode::Act(act) => act,
        LooseCode::Repair => Act::Off,
    };
    let few = |least: u32| move |_: &[Turn<'_>]| code_lines::fewer_than(least, &row.body);
    let lines: Look<'a> = match filters.code_lines_min {
        Some(least) => Box::new(few(least)),
        None => Box::new(|_| None),
    };
    let rules: [(Rule, Act, Look<'a>); 8] = [
        (FEW_CODE_LINES, Act::Drop, lines),
        (UNCLOSED_FENCE, filters.unclosed_fence, Box::new(|turns| unclosed_fence::seen(turns))),
        (CUT_ANSWER, filters.cut_answer, Box::new(|turns| cut_answer::seen(turns))),
        (LEAKED_THINKING, filters.leaked_thinking, Box::new(|turns| thinking::seen(turns))),
        (CANNED_THOUGHT, filters.leaked_thinking, Box::new(|turns| canned.seen(turns))),
        (REFUSAL, filters.refusal, Box::new(|turns| refusal::seen(turns))),
        (ECHO, filters.echo, Box::new(|turns| echo::seen(&row.body, turns))),
        (LOOSE_CODE, loose, Box::new(|turns| loose_code::seen(turns))),
    ];
    let turns = speech::turns(&row.body);
    rules
        .into_iter()
        .filter(|(_, act, _)| *act != Act::Off)
        .filter_map(move |(rule, act, look)| look(&turns).map(|detail| (rule, act, detail)))
}

#[cfg(test)]
mod tests;
