//! `answers.jsonl`: what an eval has so far, a line for each thing that was learned, written as it comes.
//!
//! An eval that is killed goes on from the file: [`Kept::read`] says what is there, and how long the part of the file is that is
//! whole. A last line without its end was being written when the process died; it is dropped and named, and what it said is asked
//! again.
//!
//! Promise: every line has a bound, and a line that is none is an error with its number, except for that last one.

use super::facts::Facts;
use super::roblox::{RobloxAsked, RobloxLine};
use crate::answer::Answer;
use crate::nonsense::Nonsense;
use crate::prompt::Prompt;
use crate::score::Verdict;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use thiserror::Error;
use vertigo::bounds::shorten;
use vertigo::id::Digest;

/// The longest line, in bytes: an answer of a MiB whose every character is escaped, with its thoughts.
pub const LINE_BYTES_MAX: usize = 16 << 20;

/// The largest file, in bytes.
pub const FILE_BYTES_MAX: usize = 2 << 30;

/// What a line of the file says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "line", rename_all = "snake_case", deny_unknown_fields)]
pub enum Line {
    /// Of what all others are. The first line.
    Facts(Box<Facts>),
    /// What was sent for a task.
    Prompt(PromptLine),
    /// An answer as it came.
    Answer(Box<AnswerLine>),
    /// What the checks say of an answer.
    Verdicts(VerdictsLine),
    /// What they say of an answer that answers nothing.
    Nonsense(NonsenseLine),
    /// What became of asking a real Roblox about an answer.
    Roblox(RobloxLine),
}

/// What was sent for a task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PromptLine {
    /// The task.
    pub task: String,
    /// As it was sent.
    pub prompt: Prompt,
}

/// An answer as it came.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AnswerLine {
    /// The task.
    pub task: String,
    /// Which of the answers to it, from 0.
    pub sample: u32,
    /// What it was drawn by.
    pub seed: u64,
    /// Which prompt was sent.
    pub prompt: Digest,
    /// What came.
    pub answer: Answer,
    /// Its tokens.
    pub tokens: Tokens,
    /// Its time, which no report that is compared has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<Time>,
}

/// How many tokens an answer took.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Tokens {
    /// Of the prompt.
    pub prompt: u32,
    /// Of the thoughts.
    pub thinking: u32,
    /// Of the answer after them.
    pub answer: u32,
}

/// How long an answer took, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Time {
    /// From the question to the whole answer.
    pub whole_ms: u64,
}

/// What the checks say of an answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VerdictsLine {
    /// The task.
    pub task: String,
    /// Which of the answers to it.
    pub sample: u32,
    /// Of which answer, by [`AnswerLine::digest`]: verdicts of an answer that was asked again are not the new one's.
    pub answer: Digest,
    /// The verdicts, in the order of the task's checks.
    pub verdicts: Vec<Verdict>,
}

/// What the checks say of an answer that answers nothing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NonsenseLine {
    /// Which kind.
    pub kind: Nonsense,
    /// The task.
    pub task: String,
    /// The verdicts.
    pub verdicts: Vec<Verdict>,
}

impl AnswerLine {
    /// What names the answer: all of it but its time.
    pub fn digest(&self) -> Digest {
        Digest::of(text_of(&(&self.task, self.sample, self.seed, self.prompt, &self.answer, self.tokens)).as_bytes())
    }
}

impl Line {
    /// The line as it is written, with its end.
    pub fn to_text(&self) -> String {
        text_of(self) + "\n"
    }
}

/// What is written has texts, numbers and maps with text keys alone, which always have a JSON.
pub(super) fn text_of(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

/// What is wrong with the file.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum LinesError {
    /// A line is none, and not the last.
    #[error("answers.jsonl:{line}: {said}; take the line away, and what it said is asked again")]
    Line {
        /// Its number, from 1.
        line: usize,
        /// What is wrong.
        said: String,
    },
    /// The file is too large.
    #[error("answers.jsonl has {0} bytes, and at most {FILE_BYTES_MAX} are read")]
    Large(usize),
    /// Two lines say of what the answers are, and say different things.
    #[error(
        "answers.jsonl:{line}: these are answers of another eval than those above; keep each eval's in a file of its own"
    )]
    Mixed {
        /// The second one's number.
        line: usize,
    },
}

/// A last line that was being written when its process died.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Torn {
    /// Its number, from 1.
    pub line: usize,
    /// How it begins.
    pub begins: String,
}

/// What an eval has so far.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Kept {
    /// Of what the answers are.
    pub facts: Option<Facts>,
    /// What was sent, by task.
    pub prompts: BTreeMap<String, Prompt>,
    /// The answers, by task and sample. Of several the one whose text comes first, so that their order says nothing.
    pub answers: BTreeMap<(String, u32), AnswerLine>,
    /// The verdicts of answers, by task, sample and the answer's digest.
    pub verdicts: BTreeMap<(String, u32, Digest), Vec<Verdict>>,
    /// The verdicts of nonsense, by kind and task.
    pub nonsense: BTreeMap<(Nonsense, String), Vec<Verdict>>,
    /// What a real Roblox was asked and said, by task, sample and the answer's digest.
    pub roblox: BTreeMap<(String, u32, Digest), RobloxAsked>,
    /// The last line, where it was dropped.
    pub torn: Option<Torn>,
    /// Bytes of the file that are whole: where the next line goes.
    pub whole_bytes: usize,
}

impl Kept {
    /// Reads the file's text.
    ///
    /// # Errors
    /// Where a line before the last is none, or lines of two evals stand in one file.
    pub fn read(text: &str) -> Result<Kept, LinesError> {
        if text.len() > FILE_BYTES_MAX {
            return Err(LinesError::Large(text.len()));
        }
        let mut kept = Kept::default();
        for (n, written) in text.split_inclusive('\n').enumerate() {
            let line = n + 1;
            let Some(whole) = written.strip_suffix('\n') else {
                kept.torn = Some(Torn { line, begins: shorten(written, 80).into_owned() });
                break;
            };
            if whole.len() > LINE_BYTES_MAX {
                let said = format!("it has {} bytes, and at most {LINE_BYTES_MAX} are read", whole.len());
                return Err(LinesError::Line { line, said });
            }
            match serde_json::from_str(whole) {
                Ok(read) => kept.take(line, read)?,
                // The disk may have had room for the line's end and not for all before it.
                Err(_) if kept.whole_bytes + written.len() == text.len() => {
                    kept.torn = Some(Torn { line, begins: shorten(whole, 80).into_owned() });
                    break;
                }
                Err(error) => return Err(LinesError::Line { line, said: error.to_string() }),
            }
            kept.whole_bytes += written.len();
        }
        Ok(kept)
    }

    /// Takes a line that has just been written. What another one says stays, where two are of the same thing, as [`Kept::read`] has it.
    ///
    /// # Errors
    /// It says that the answers are of another eval.
    pub fn add(&mut self, line: Line) -> Result<(), LinesError> {
        self.take(0, line)
    }

    fn take(&mut self, line: usize, read: Line) -> Result<(), LinesError> {
        match read {
            Line::Facts(facts) => match &self.facts {
                Some(known) if *known != *facts => return Err(LinesError::Mixed { line }),
                _ => self.facts = Some(*facts),
            },
            Line::Prompt(read) => least(&mut self.prompts, read.task, read.prompt, text_of),
            Line::Answer(read) => {
                let key = (read.task.clone(), read.sample);
                least(&mut self.answers, key, *read, |line| {
                    text_of(&(&line.answer, line.seed, line.prompt, line.tokens))
                });
            }
            Line::Verdicts(read) => {
                least(&mut self.verdicts, (read.task, read.sample, read.answer), read.verdicts, text_of);
            }
            Line::Nonsense(read) => least(&mut self.nonsense, (read.kind, read.task), read.verdicts, text_of),
            Line::Roblox(read) => {
                self.roblox.entry((read.task, read.sample, read.answer)).or_default().take(read.said);
            }
        }
        Ok(())
    }

    /// The verdicts on an answer, where it has been judged.
    pub fn verdicts_of(&self, line: &AnswerLine) -> Option<&[Verdict]> {
        self.verdicts.get(&(line.task.clone(), line.sample, line.digest())).map(Vec::as_slice)
    }

    /// What a real Roblox was asked and said of an answer, where it was.
    pub fn roblox_of(&self, line: &AnswerLine) -> Option<&RobloxAsked> {
        self.roblox.get(&(line.task.clone(), line.sample, line.digest()))
    }
}

/// Keeps of two values under one key that whose text comes first: any order of the lines gives the same.
fn least<K: Ord, V>(all: &mut BTreeMap<K, V>, key: K, value: V, text: impl Fn(&V) -> String) {
    match all.get(&key) {
        Some(kept) if text(kept) <= text(&value) => {}
        _ => drop(all.insert(key, value)),
    }
}
