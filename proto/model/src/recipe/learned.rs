//! What of its examples a recipe learns from, and how long.
//!
//! The defaults are what mlx-lm does with the same file; each choice says in which cases that is not what one might think.

use serde::{Deserialize, Serialize};

/// What becomes of an example with more tokens than `max_seq_length`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Overlength {
    /// The run is refused, and the examples named.
    Error,
    /// It is left out.
    Drop,
    /// Its end is cut off, as mlx-lm does. A turn that loses its end so is not learned, which mlx-lm does not mind: it would teach an
    /// answer that does not stop. Under [`Mask::Last`] such an example is left out.
    #[default]
    Cut,
    /// A conversation is taken apart at its turns into examples that fit, each with the system's messages; a text into pieces of
    /// `max_seq_length` tokens.
    Split,
}

/// Which turns of a conversation are learned. A text, which has no turns, is learned whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mask {
    /// The last turn: mlx-lm's `mask_prompt: true`.
    Last,
    /// Every turn of the assistant.
    Assistant,
    /// Everything: mlx-lm's `mask_prompt: false`.
    #[default]
    None,
}

/// What becomes of what a model thinks before it answers: in `<think>` marks, or in a message's `reasoning_content`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Thinking {
    /// Thoughts are learned. The empty one that Qwen's template writes before an answer that has none is not.
    Keep,
    /// Thoughts are taken out before the template sees them, and the empty one that it writes instead is not learned.
    Strip,
    /// As mlx-lm does: whatever the template writes is learned, an empty thought too.
    #[default]
    EmptyOk,
}

/// How long a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum RunLength {
    /// This many micro-batches.
    Iters(u64),
    /// This many passes over the data.
    Epochs {
        /// How many.
        epochs: u64,
    },
}

impl RunLength {
    /// Micro-batches in a run that steps after every `accumulated` of them, where the first passes over the data, as many as it is asked,
    /// have `in_passes`. The same data gives the same number.
    ///
    /// After the last pass a run goes on until its last optimizer step is a whole one: every example is learned from as often as was
    /// asked for, and a few are once more.
    pub fn iters(self, in_passes: impl FnOnce(u64) -> u64, accumulated: u64) -> u64 {
        match self {
            RunLength::Iters(iters) => iters,
            RunLength::Epochs { epochs } => {
                // Saturating: nobody lives to see the end of such a run.
                let whole = in_passes(epochs).div_ceil(accumulated.max(1));
                whole.saturating_mul(accumulated.max(1))
            }
        }
    }
}

/// A mask as recipes have always been told apart by it: mlx-lm's `mask_prompt`, and a word for what that cannot say.
pub(super) mod as_mask_prompt {
    use super::Mask;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Serialize, Deserialize)]
    #[serde(untagged)]
    enum Written {
        Prompt(bool),
        Word(Mask),
    }

    pub(in crate::recipe) fn serialize<S: Serializer>(mask: &Mask, serializer: S) -> Result<S::Ok, S::Error> {
        let written = match mask {
            Mask::Last => Written::Prompt(true),
            Mask::None => Written::Prompt(false),
            Mask::Assistant => Written::Word(Mask::Assistant),
        };
        written.serialize(serializer)
    }

    pub(in crate::recipe) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Mask, D::Error> {
        Ok(match Written::deserialize(deserializer)? {
            Written::Prompt(true) => Mask::Last,
            Written::Prompt(false) => Mask::None,
            Written::Word(mask) => mask,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn epochs_learn_from_everything_as_often_as_asked_in_whole_steps(
            epochs in 1u64..50, in_a_pass in 1u64..5000, accumulated in 1u64..64,
        ) {
            let in_passes = |passes| passes * in_a_pass;
            let iters = RunLength::Epochs { epochs }.iters(in_passes, accumulated);
            prop_assert!(iters.is_multiple_of(accumulated));
            prop_assert!(iters >= epochs * in_a_pass && iters < epochs * in_a_pass + accumulated);
            prop_assert_eq!(RunLength::Iters(epochs).iters(in_passes, accumulated), epochs);
        }
    }
}
