//! An example read by a recipe's rules: its lessons, and what became of it.
//!
//! Promise: where no example is too long and the rules are mlx-lm's, the lessons are the tokens and the mask of mlx-lm's datasets (but for
//! what [`ChatTokenizer`] names). Every lesson fits and has a token to learn; what is not learned as it was written has a reason.

use crate::error::{Result, TextError};
use crate::lesson::{Lesson, Rules, pieces_of_text, whole_turns};
use crate::pieces::apart;
use crate::thoughts;
use crate::tokenizer::{Chat, ChatTokenizer, conversation_of};
use crate::turns::Turns;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fmt;
use std::ops::Range;
use vertigo::caveats::Reason;
use vertigo_model::dataset::{Example, Row};
use vertigo_model::recipe::{Mask, Overlength, Thinking};

/// What becomes of an example.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It is learned whole.
    Whole,
    /// Its end is cut off.
    Cut {
        /// Tokens that are lost.
        tokens: usize,
        /// Whether a turn has lost its end so, and is not learned.
        ends: bool,
    },
    /// It is taken apart.
    Split {
        /// Examples that it is now.
        pieces: usize,
        /// Turns of the assistant that are in none of them: too long even alone.
        left_out: usize,
    },
    /// Nothing of it is learned.
    LeftOut(Why),
}

/// Why nothing of an example is learned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// The mask leaves no token.
    Nothing,
    /// What comes before the first token to learn is too long.
    Prompt,
    /// The turn to learn would lose its end.
    EndLost,
    /// It is too long, and the recipe leaves such examples out.
    Dropped,
    /// It is too long, and the recipe refuses such examples.
    Refused,
    /// No question fits together with its answer.
    Apart,
}

impl fmt::Display for Fate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fate::Whole => f.write_str("learned whole"),
            Fate::Cut { tokens, ends: false } => write!(f, "cut at max_seq_length: {tokens} tokens lost"),
            Fate::Cut { tokens, ends: true } => {
                write!(f, "cut at max_seq_length: {tokens} tokens lost, those of the turn that lost its end among them")
            }
            Fate::Split { pieces, left_out: 0 } => write!(f, "split at its turns: {pieces} pieces"),
            Fate::Split { pieces, left_out } => {
                write!(f, "split at its turns: {pieces} pieces; {left_out} of the assistant's turns too long for any")
            }
            Fate::LeftOut(why) => write!(f, "left out: {why}"),
        }
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Why::Nothing => "no token to learn from",
            Why::Prompt => "all of max_seq_length is before the first token to learn",
            Why::EndLost => "max_seq_length ends within the answer, which would be learned without its end",
            Why::Dropped => "longer than max_seq_length (overlength: drop)",
            Why::Refused => "longer than max_seq_length (overlength: error)",
            Why::Apart => "no question fits max_seq_length together with its answer",
        })
    }
}

/// An example, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    /// All of its tokens, those too that are cut off.
    pub ids: Vec<u32>,
    /// What is learned of it: one lesson, several where it is taken apart, none where it is left out.
    pub lessons: Vec<Lesson>,
    /// What becomes of it.
    pub fate: Fate,
    /// In what else it is not learned as it was written; what its fate says is not repeated.
    pub reasons: BTreeSet<Reason>,
}

/// A conversation's tokens, none of them cut off yet.
struct Draft {
    chat: Chat,
    lesson: Lesson,
    /// The columns of the turns that are learned, where there are some and they could be located.
    turns: Vec<Range<usize>>,
    reasons: BTreeSet<Reason>,
}

impl ChatTokenizer {
    /// Reads a dataset's line by `rules`.
    ///
    /// # Errors
    /// As [`render`](Self::render) and [`encode`](Self::encode), with the file and the line before what is wrong.
    pub fn lessons(&self, row: &Row, rules: &Rules) -> Result<Reading> {
        self.read_by(&row.example, rules).map_err(|error| match error {
            TextError::Input(problem) => TextError::Input(format!("{}: {problem}", row.place)),
            error => error,
        })
    }

    fn read_by(&self, example: &Example, rules: &Rules) -> Result<Reading> {
        match example {
            Example::Text(text) => Ok(read_text(self.encode_document(text)?, rules)),
            Example::Completion { prompt, completion } => {
                self.read_conversation(conversation_of(prompt, completion), None, rules)
            }
            Example::Chat { messages, tools } => self.read_conversation(messages.clone(), tools.clone(), rules),
        }
    }

    fn read_conversation(&self, messages: Vec<Value>, tools: Option<Value>, rules: &Rules) -> Result<Reading> {
        let messages = match rules.thinking {
            Thinking::Strip => thoughts::stripped(&messages),
            Thinking::Keep | Thinking::EmptyOk => messages,
        };
        let mut draft = self.draft(&messages, tools.as_ref(), rules)?;
        let ids = draft.lesson.ids.clone();
        let mut reasons = std::mem::take(&mut draft.reasons);
        let (lessons, fate) = if !draft.lesson.teaches() {
            (Vec::new(), Fate::LeftOut(Why::Nothing))
        } else if ids.len() <= rules.tokens_max {
            (vec![draft.lesson], Fate::Whole)
        } else {
            match rules.overlength {
                Overlength::Error => (Vec::new(), Fate::LeftOut(Why::Refused)),
                Overlength::Drop => (Vec::new(), Fate::LeftOut(Why::Dropped)),
                Overlength::Cut => self.cut(draft, &messages, tools.as_ref(), rules),
                Overlength::Split => self.split(&messages, tools.as_ref(), rules, &mut reasons)?,
            }
        };
        let example = Example::Chat { messages, tools };
        // Where only the assistant is learned from, nobody else's turn is in its place.
        if example.is_unanswered() && rules.mask != Mask::Assistant {
            reasons.insert(Reason::Unanswered);
        }
        if example.has_empty_answer() {
            reasons.insert(Reason::EmptyAnswer);
        }
        Ok(Reading { ids, lessons, fate, reasons })
    }

    /// A conversation by the rules, but for its length.
    fn draft(&self, messages: &[Value], tools: Option<&Value>, rules: &Rules) -> Result<Draft> {
        let chat = self.chat(messages, tools, rules.mask == Mask::Last)?;
        let mut draft = Draft {
            lesson: Lesson::from(chat.tokenized.tokens.clone()),
            chat,
            turns: Vec::new(),
            reasons: BTreeSet::new(),
        };
        if !draft.chat.tokenized.prompt_is_shared {
            draft.reasons.insert(Reason::UnsharedPrompt);
        }
        let may_be_empty = thoughts::has_empty(&draft.chat.text, self.thinking());
        match rules.mask {
            Mask::Last => {
                draft.turns = draft.lesson.learned.clone();
                let answers = messages.last().is_some_and(|last| last["role"] == "assistant");
                if may_be_empty && answers {
                    self.mind_empty_thought(&mut draft, rules);
                }
            }
            Mask::Assistant => {
                draft.lesson.learned.clear();
                self.learn_answers(&mut draft, messages, tools, rules);
            }
            Mask::None if may_be_empty => self.learn_answers(&mut draft, messages, tools, rules),
            Mask::None => {}
        }
        Ok(draft)
    }

    /// Where the last turn, which is the answer, begins with an empty thought.
    fn mind_empty_thought(&self, draft: &mut Draft, rules: &Rules) {
        let (content, end) = (draft.chat.content, draft.chat.text.len());
        self.mind_empty_thought_at(draft, content, end, rules);
    }

    fn mind_empty_thought_at(&self, draft: &mut Draft, content: usize, end: usize, rules: &Rules) {
        let Some(after) = thoughts::empty_at(&draft.chat.text, content, end, self.thinking()) else { return };
        match rules.thinking {
            Thinking::EmptyOk => {
                draft.reasons.insert(Reason::EmptyThought);
            }
            Thinking::Keep | Thinking::Strip => {
                let thought = draft.chat.column(content)..draft.chat.column(after);
                draft.lesson = std::mem::take(&mut draft.lesson).without(&thought);
            }
        }
    }

    /// Locates the assistant's turns. Where the mask is on them they are learned; where everything is, only their empty thoughts matter.
    fn learn_answers(&self, draft: &mut Draft, messages: &[Value], tools: Option<&Value>, rules: &Rules) {
        let text = std::mem::take(&mut draft.chat.text);
        let turns = Turns { tokenizer: self, messages, tools, text: &text };
        let answers: Vec<_> = turns.answers().collect();
        draft.chat.text = text;
        for answer in answers {
            let Some(answer) = answer else {
                draft.reasons.insert(Reason::Unlocated);
                continue;
            };
            let columns = draft.chat.column(answer.content)..draft.chat.column(answer.end);
            if rules.mask == Mask::Assistant && !columns.is_empty() {
                draft.lesson.learned.push(columns.clone());
                draft.turns.push(columns);
            }
            self.mind_empty_thought_at(draft, answer.content, answer.end, rules);
        }
    }

    fn cut(&self, draft: Draft, messages: &[Value], tools: Option<&Value>, rules: &Rules) -> (Vec<Lesson>, Fate) {
        let (ids, max) = (&draft.lesson.ids, rules.tokens_max);
        let turn = match rules.mask {
            Mask::None => self.turn_at(&draft.chat, messages, tools, max),
            Mask::Last | Mask::Assistant => {
                draft.turns.iter().find(|turn| turn.contains(&max)).cloned().unwrap_or(max..max)
            }
        };
        let kept = whole_turns(ids, turn, max, self.eos());
        let fate = Fate::Cut { tokens: ids.len() - kept, ends: kept < max };
        let begins = draft.lesson.learned.first().map_or(0, |columns| columns.start);
        let lesson = draft.lesson.up_to(kept);
        if lesson.teaches() {
            (vec![lesson], fate)
        } else {
            (Vec::new(), Fate::LeftOut(if begins < max { Why::EndLost } else { Why::Prompt }))
        }
    }

    /// The columns of the turn that token `at` is in, whoever's it is. Where its own borders cannot be located, those of the turns around
    /// it are taken.
    fn turn_at(&self, chat: &Chat, messages: &[Value], tools: Option<&Value>, at: usize) -> Range<usize> {
        let turns = Turns { tokenizer: self, messages, tools, text: &chat.text };
        let mut end = chat.ends.len();
        for index in (0..messages.len()).rev() {
            match turns.border(index).map(|byte| chat.column(byte)) {
                Some(begin) if begin <= at => return begin..end,
                Some(begin) => end = begin,
                None => {}
            }
        }
        0..end
    }

    fn split(
        &self,
        messages: &[Value],
        tools: Option<&Value>,
        rules: &Rules,
        reasons: &mut BTreeSet<Reason>,
    ) -> Result<(Vec<Lesson>, Fate)> {
        // What the template refuses is no piece.
        let fits = |piece: &[Value]| {
            let text = self.render(piece, tools, false);
            text.and_then(|text| self.encode(&text)).is_ok_and(|ids| ids.len() <= rules.tokens_max)
        };
        let apart = apart(messages, fits);
        let mut lessons = Vec::with_capacity(apart.pieces.len());
        for piece in &apart.pieces {
            let draft = self.draft(piece, tools, rules)?;
            reasons.extend(draft.reasons);
            lessons.extend(Some(draft.lesson).filter(Lesson::teaches));
        }
        let fate = match lessons.len() {
            0 => Fate::LeftOut(Why::Apart),
            pieces => Fate::Split { pieces, left_out: apart.left_out },
        };
        Ok((lessons, fate))
    }
}

/// A text, which has no turns: all of it is learned, and where it is cut it may well end.
fn read_text(ids: Vec<u32>, rules: &Rules) -> Reading {
    let whole = Lesson::whole(ids.clone());
    let (lessons, fate) = if !whole.teaches() {
        (Vec::new(), Fate::LeftOut(Why::Nothing))
    } else if ids.len() <= rules.tokens_max {
        (vec![whole], Fate::Whole)
    } else {
        match rules.overlength {
            Overlength::Error => (Vec::new(), Fate::LeftOut(Why::Refused)),
            Overlength::Drop => (Vec::new(), Fate::LeftOut(Why::Dropped)),
            Overlength::Cut => {
                let fate = Fate::Cut { tokens: ids.len() - rules.tokens_max, ends: false };
                (vec![whole.up_to(rules.tokens_max)], fate)
            }
            Overlength::Split => {
                let pieces = pieces_of_text(&ids, rules.tokens_max);
                let fate = Fate::Split { pieces: pieces.len(), left_out: 0 };
                (pieces, fate)
            }
        }
    };
    Reading { ids, lessons, fate, reasons: BTreeSet::new() }
}

#[cfg(test)]
mod tests;
