//! What of a run's examples is not learned as it was written: reasons, counts, and the words for them.

use serde::{Deserialize, Serialize};
use std::ops::Add;

/// Why an example is not learned as it was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// No token to learn from, or none within `max_seq_length`: left out.
    Skipped,
    /// Longer than `max_seq_length`: its end is cut off.
    Cut,
    /// Longer than `max_seq_length`: taken apart.
    Split,
    /// A conversation whose last turn is not the assistant's. Where prompts are masked, that turn is what is learned.
    Unanswered,
    /// An answer without a word, a thought or a call.
    EmptyAnswer,
    /// A prompt whose tokens are not the beginning of the conversation's: masked as far as both are the same.
    UnsharedPrompt,
    /// A turn of the assistant that the template does not let one locate: it is not learned where the mask is on such turns.
    Unlocated,
    /// An answer whose empty thought, which the template writes where there is none, is learned.
    EmptyThought,
}

impl Reason {
    /// All of them, as they are told.
    pub const ALL: [Reason; 8] = [
        Reason::Skipped,
        Reason::Cut,
        Reason::Split,
        Reason::Unanswered,
        Reason::EmptyAnswer,
        Reason::UnsharedPrompt,
        Reason::Unlocated,
        Reason::EmptyThought,
    ];
}

/// How much of a run's examples is not learned as it was written. An example may count for several reasons.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Caveats {
    /// Examples of [`Reason::Skipped`].
    pub skipped_examples: u64,
    /// Examples of [`Reason::Cut`].
    pub cut_examples: u64,
    /// Tokens cut off.
    pub cut_tokens: u64,
    /// Cut examples in which a turn lost its end so, and is not learned: it would teach not to stop.
    pub cut_ends: u64,
    /// Examples of [`Reason::Unanswered`].
    pub unanswered_examples: u64,
    /// Examples of [`Reason::EmptyAnswer`].
    pub empty_answers: u64,
    /// Examples of [`Reason::UnsharedPrompt`].
    pub unshared_prompts: u64,
    /// Micro-batches at the end of the run that fill no accumulation, so that no optimizer step follows them.
    pub leftover_micro_batches: u64,
    // Newer than the journal's format: where nothing counts for them they are not written, as they never were.
    /// Those of [`Reason::Skipped`] that are longer than `max_seq_length`.
    #[serde(skip_serializing_if = "is_zero")]
    pub overlong_examples: u64,
    /// Examples of [`Reason::Split`].
    #[serde(skip_serializing_if = "is_zero")]
    pub split_examples: u64,
    /// What they were taken apart into.
    #[serde(skip_serializing_if = "is_zero")]
    pub split_pieces: u64,
    /// Turns of the assistant in them that are too long for any piece, and so not learned.
    #[serde(skip_serializing_if = "is_zero")]
    pub overlong_turns: u64,
    /// Examples of [`Reason::Unlocated`].
    #[serde(skip_serializing_if = "is_zero")]
    pub unlocated_turns: u64,
    /// Examples of [`Reason::EmptyThought`].
    #[serde(skip_serializing_if = "is_zero")]
    pub empty_thoughts: u64,
}

fn is_zero(count: &u64) -> bool {
    *count == 0
}

impl Caveats {
    /// Examples that count for `reason`.
    pub fn count(&self, reason: Reason) -> u64 {
        match reason {
            Reason::Skipped => self.skipped_examples,
            Reason::Cut => self.cut_examples,
            Reason::Unanswered => self.unanswered_examples,
            Reason::EmptyAnswer => self.empty_answers,
            Reason::UnsharedPrompt => self.unshared_prompts,
            Reason::Split => self.split_examples,
            Reason::Unlocated => self.unlocated_turns,
            Reason::EmptyThought => self.empty_thoughts,
        }
    }

    /// What `reason` comes to, for a person; `None` where nothing counts for it.
    pub fn told(&self, reason: Reason) -> Option<String> {
        let examples = Some(self.count(reason)).filter(|count| *count > 0)?;
        Some(match reason {
            Reason::Skipped => {
                let nothing = examples.saturating_sub(self.overlong_examples);
                let why = match (self.overlong_examples, nothing) {
                    (0, _) => "no token to learn from".to_owned(),
                    (_, 0) => "longer than max_seq_length".to_owned(),
                    (long, nothing) => {
                        format!("{long} longer than max_seq_length, {nothing} without a token to learn from")
                    }
                };
                format!("{} left out: {why}", number(examples, "example"))
            }
            Reason::Cut => {
                let ends = match self.cut_ends {
                    0 => String::new(),
                    ends => format!("; a turn that lost its end in {ends}, not learned"),
                };
                let tokens = number(self.cut_tokens, "token");
                format!("{} cut at max_seq_length: {tokens} lost{ends}", number(examples, "example"))
            }
            Reason::Split => {
                let turns = match self.overlong_turns {
                    0 => String::new(),
                    turns => format!("; {} too long for any, not learned", number(turns, "answer")),
                };
                let pieces = number(self.split_pieces, "piece");
                format!("{} split at max_seq_length into {pieces}{turns}", number(examples, "example"))
            }
            Reason::Unlocated => {
                format!("{} with an answer that cannot be located: not masked as told", number(examples, "example"))
            }
            Reason::EmptyThought => {
                let answers = number(examples, "example");
                format!("{answers} teaching an empty thought, which the template writes: `thinking: keep` does not")
            }
            Reason::Unanswered => {
                let conversations = number(examples, "conversation");
                format!("{conversations} without the assistant's turn at the end: another's is learned")
            }
            Reason::EmptyAnswer => number(examples, "empty answer"),
            Reason::UnsharedPrompt => {
                format!(
                    "{} not the beginning of the conversation in tokens: masked as far as shared",
                    number(examples, "prompt")
                )
            }
        })
    }

    /// What micro-batches are left over, for a person; `None` where none are.
    pub fn told_leftover(&self) -> Option<String> {
        let left = Some(self.leftover_micro_batches).filter(|left| *left > 0)?;
        Some(format!("the last {} of the run: no optimizer step follows", number(left, "micro-batch")))
    }

    /// All of it for a person, a reason each.
    pub fn lines(&self) -> Vec<String> {
        Reason::ALL.into_iter().filter_map(|reason| self.told(reason)).chain(self.told_leftover()).collect()
    }
}

/// A count and its noun.
fn number(count: u64, noun: &str) -> String {
    let ending = match (count, noun.ends_with("ch")) {
        (1, _) => "",
        (_, true) => "es",
        (_, false) => "s",
    };
    format!("{count} {noun}{ending}")
}

impl Add for Caveats {
    type Output = Caveats;

    fn add(self, other: Caveats) -> Caveats {
        // Saturating: the counts may come from another machine.
        Caveats {
            skipped_examples: self.skipped_examples.saturating_add(other.skipped_examples),
            cut_examples: self.cut_examples.saturating_add(other.cut_examples),
            cut_tokens: self.cut_tokens.saturating_add(other.cut_tokens),
            cut_ends: self.cut_ends.saturating_add(other.cut_ends),
            unanswered_examples: self.unanswered_examples.saturating_add(other.unanswered_examples),
            empty_answers: self.empty_answers.saturating_add(other.empty_answers),
            unshared_prompts: self.unshared_prompts.saturating_add(other.unshared_prompts),
            leftover_micro_batches: self.leftover_micro_batches.saturating_add(other.leftover_micro_batches),
            overlong_examples: self.overlong_examples.saturating_add(other.overlong_examples),
            split_examples: self.split_examples.saturating_add(other.split_examples),
            split_pieces: self.split_pieces.saturating_add(other.split_pieces),
            overlong_turns: self.overlong_turns.saturating_add(other.overlong_turns),
            unlocated_turns: self.unlocated_turns.saturating_add(other.unlocated_turns),
            empty_thoughts: self.empty_thoughts.saturating_add(other.empty_thoughts),
        }
    }
}

#[cfg(feature = "rpc")]
impl From<Caveats> for crate::v1::Caveats {
    fn from(it: Caveats) -> crate::v1::Caveats {
        crate::v1::Caveats {
            cut_examples: it.cut_examples,
            cut_tokens: it.cut_tokens,
            cut_ends: it.cut_ends,
            unanswered_examples: it.unanswered_examples,
            empty_answers: it.empty_answers,
            unshared_prompts: it.unshared_prompts,
            leftover_micro_batches: it.leftover_micro_batches,
            overlong_examples: it.overlong_examples,
            split_examples: it.split_examples,
            split_pieces: it.split_pieces,
            overlong_turns: it.overlong_turns,
            unlocated_turns: it.unlocated_turns,
            empty_thoughts: it.empty_thoughts,
        }
    }
}

#[cfg(feature = "rpc")]
impl Caveats {
    /// From a message, and the examples that were left out, which the protocol counts beside it.
    pub fn from_message(skipped_examples: u64, message: Option<&crate::v1::Caveats>) -> Caveats {
        let it = message.copied().unwrap_or_default();
        Caveats {
            skipped_examples,
            cut_examples: it.cut_examples,
            cut_tokens: it.cut_tokens,
            cut_ends: it.cut_ends,
            unanswered_examples: it.unanswered_examples,
            empty_answers: it.empty_answers,
            unshared_prompts: it.unshared_prompts,
            leftover_micro_batches: it.leftover_micro_batches,
            overlong_examples: it.overlong_examples,
            split_examples: it.split_examples,
            split_pieces: it.split_pieces,
            overlong_turns: it.overlong_turns,
            unlocated_turns: it.unlocated_turns,
            empty_thoughts: it.empty_thoughts,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_is_told_in_its_own_words_and_none_where_all_is_well() {
        assert!(Caveats::default().lines().is_empty());
        let all = Caveats {
            skipped_examples: 1,
            cut_examples: 12,
            cut_tokens: 840,
            cut_ends: 10,
            unanswered_examples: 3,
            empty_answers: 1,
            unshared_prompts: 98,
            leftover_micro_batches: 2,
            overlong_examples: 1,
            split_examples: 2,
            split_pieces: 7,
            overlong_turns: 1,
            unlocated_turns: 3,
            empty_thoughts: 9,
        };
        assert_eq!(
            all.lines(),
            [
                "1 example left out: longer than max_seq_length",
                "12 examples cut at max_seq_length: 840 tokens lost; a turn that lost its end in 10, not learned",
                "2 examples split at max_seq_length into 7 pieces; 1 answer too long for any, not learned",
                "3 conversations without the assistant's turn at the end: another's is learned",
                "1 empty answer",
                "98 prompts not the beginning of the conversation in tokens: masked as far as shared",
                "3 examples with an answer that cannot be located: not masked as told",
                "9 examples teaching an empty thought, which the template writes: `thinking: keep` does not",
                "the last 2 micro-batches of the run: no optimizer step follows",
            ]
        );
        let skipped = |skipped_examples, overlong_examples| {
            Caveats { skipped_examples, overlong_examples, ..Caveats::default() }.lines()
        };
        assert_eq!(skipped(3, 0), ["3 examples left out: no token to learn from"]);
        assert_eq!(
            skipped(5, 3),
            ["5 examples left out: 3 longer than max_seq_length, 2 without a token to learn from"]
        );
        assert_eq!((all + all).count(Reason::Cut), 24);
        assert_eq!(all + Caveats::default(), all);
    }

    #[cfg(feature = "rpc")]
    #[test]
    fn a_message_carries_all_of_them() {
        let some = Caveats {
            skipped_examples: 1,
            cut_examples: 2,
            cut_tokens: 3,
            cut_ends: 4,
            unanswered_examples: 5,
            empty_answers: 6,
            unshared_prompts: 7,
            leftover_micro_batches: 8,
            overlong_examples: 9,
            split_examples: 10,
            split_pieces: 11,
            overlong_turns: 12,
            unlocated_turns: 13,
            empty_thoughts: 14,
        };
        assert_eq!(Caveats::from_message(1, Some(&some.into())), some);
        assert_eq!(Caveats::from_message(9, None), Caveats { skipped_examples: 9, ..Caveats::default() });
    }
}
