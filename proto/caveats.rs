//! What of a run's examples is not learned as it was written: reasons, counts, and the words for them.

use serde::{Deserialize, Serialize};
use std::ops::Add;

/// Why an example is not learned as it was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// No token to learn from within `max_seq_length`: left out.
    Skipped,
    /// Longer than `max_seq_length`: its end is cut off.
    Cut,
    /// A conversation whose last turn is not the assistant's. Where prompts are masked, that turn is what is learned.
    Unanswered,
    /// An answer without a word, a thought or a call.
    EmptyAnswer,
    /// A prompt whose tokens are not the beginning of the conversation's: masked as far as both are the same.
    UnsharedPrompt,
}

impl Reason {
    /// All of them, as they are told.
    pub const ALL: [Reason; 5] =
        [Reason::Skipped, Reason::Cut, Reason::Unanswered, Reason::EmptyAnswer, Reason::UnsharedPrompt];
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
    /// Cut examples whose end of turn is among those tokens, so that they do not teach to stop.
    pub cut_ends: u64,
    /// Examples of [`Reason::Unanswered`].
    pub unanswered_examples: u64,
    /// Examples of [`Reason::EmptyAnswer`].
    pub empty_answers: u64,
    /// Examples of [`Reason::UnsharedPrompt`].
    pub unshared_prompts: u64,
    /// Micro-batches at the end of the run that fill no accumulation, so that no optimizer step follows them.
    pub leftover_micro_batches: u64,
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
        }
    }

    /// What `reason` comes to, for a person; `None` where nothing counts for it.
    pub fn told(&self, reason: Reason) -> Option<String> {
        let examples = Some(self.count(reason)).filter(|count| *count > 0)?;
        Some(match reason {
            Reason::Skipped => format!("{} left out: no token to learn from", number(examples, "example")),
            Reason::Cut => {
                let ends = match self.cut_ends {
                    0 => String::new(),
                    ends => format!(", the end of turn in {ends}"),
                };
                let tokens = number(self.cut_tokens, "token");
                format!("{} cut at max_seq_length: {tokens} lost{ends}", number(examples, "example"))
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
        };
        assert_eq!(
            all.lines(),
            [
                "1 example left out: no token to learn from",
                "12 examples cut at max_seq_length: 840 tokens lost, the end of turn in 10",
                "3 conversations without the assistant's turn at the end: another's is learned",
                "1 empty answer",
                "98 prompts not the beginning of the conversation in tokens: masked as far as shared",
                "the last 2 micro-batches of the run: no optimizer step follows",
            ]
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
        };
        assert_eq!(Caveats::from_message(1, Some(&some.into())), some);
        assert_eq!(Caveats::from_message(9, None), Caveats { skipped_examples: 9, ..Caveats::default() });
    }
}
