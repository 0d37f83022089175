//! What a run learns from an example: tokens, and which of them.
//!
//! Promise: the learned columns are ascending, apart from one another and within the tokens. Pure: it knows neither text nor turns.

use crate::tokenizer::Tokens;
use std::ops::Range;
use vertigo_model::recipe::{Mask, Overlength, Recipe, Thinking};

/// What a recipe says of its examples.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// Which turns are learned.
    pub mask: Mask,
    /// What becomes of an example of more than [`tokens_max`](Self::tokens_max).
    pub overlength: Overlength,
    /// What becomes of thoughts.
    pub thinking: Thinking,
    /// Tokens that are trained on at a time.
    pub tokens_max: usize,
}

impl Rules {
    /// A recipe's.
    pub fn of(recipe: &Recipe) -> Rules {
        Rules {
            mask: recipe.mask,
            overlength: recipe.overlength,
            thinking: recipe.thinking,
            tokens_max: usize::try_from(recipe.max_seq_length).unwrap_or(usize::MAX),
        }
    }
}

/// Tokens, and which of them are learned.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Lesson {
    /// The tokens.
    pub ids: Vec<u32>,
    /// The columns that are learned. The first token never is, whether or not it is among them: nothing comes before it to foretell it.
    pub learned: Vec<Range<usize>>,
}

impl Lesson {
    /// All of the tokens.
    pub(crate) fn whole(ids: Vec<u32>) -> Lesson {
        Lesson::from(Tokens { ids, prompt: 0 })
    }

    /// Whether there is a token to learn.
    pub fn teaches(&self) -> bool {
        self.learned.iter().any(|columns| columns.end > columns.start.max(1))
    }

    /// Tokens that are learned.
    pub fn learned_tokens(&self) -> usize {
        self.learned.iter().map(|columns| columns.end.saturating_sub(columns.start.max(1))).sum()
    }

    /// The same, of the first `end` tokens.
    pub fn up_to(mut self, end: usize) -> Lesson {
        self.ids.truncate(end);
        for columns in &mut self.learned {
            columns.end = columns.end.min(end);
        }
        self.learned.retain(|columns| !columns.is_empty());
        self
    }

    /// The same, without learning `left_out`.
    pub(crate) fn without(mut self, left_out: &Range<usize>) -> Lesson {
        let apart = |columns: Range<usize>| {
            [columns.start..columns.end.min(left_out.start), columns.start.max(left_out.end)..columns.end]
        };
        self.learned = self.learned.into_iter().flat_map(apart).filter(|columns| !columns.is_empty()).collect();
        self
    }
}

impl From<Tokens> for Lesson {
    /// All that comes after the prompt.
    fn from(tokens: Tokens) -> Lesson {
        let columns = tokens.prompt..tokens.ids.len();
        let learned = if columns.is_empty() { Vec::new() } else { vec![columns] };
        Lesson { ids: tokens.ids, learned }
    }
}

/// How many of the first `tokens_max` tokens may be learned where the turn in the columns `turn` goes on after them: those before it, where
/// `end`, which ends a turn, is among what is cut off; all, where the turn has ended and only what follows its end is lost.
pub(crate) fn whole_turns(ids: &[u32], turn: Range<usize>, tokens_max: usize, end: u32) -> usize {
    if turn.start >= tokens_max || turn.end <= tokens_max {
        return tokens_max;
    }
    let has_end = |columns: Range<usize>| ids[columns].contains(&end);
    let is_whole = has_end(turn.start..tokens_max) && !has_end(tokens_max..turn.end);
    if is_whole { tokens_max } else { turn.start }
}

/// A text's tokens in pieces of at most `tokens_max`. Each begins with the token that the one before ended with, so that every token but
/// the first is learned once.
pub(crate) fn pieces_of_text(ids: &[u32], tokens_max: usize) -> Vec<Lesson> {
    let step = tokens_max.saturating_sub(1).max(1);
    let begins = (0..ids.len().saturating_sub(1)).step_by(step);
    let piece = |begin: usize| ids[begin..ids.len().min(begin + tokens_max)].to_vec();
    begins.map(piece).map(Lesson::whole).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const END: u32 = 0;

    #[test]
    fn a_turn_that_loses_its_end_is_not_learned() {
        let ids = [1, 1, 1, 2, 2, END, 9];
        let kept = |max| whole_turns(&ids, 3..7, max, END);
        assert_eq!([3, 4, 5].map(kept), [3, 3, 3], "nothing of it is");
        assert_eq!([6, 7].map(kept), [6, 7], "it has its end, and loses what the template writes after it");
        assert_eq!(whole_turns(&[1, 1, 2, 2], 2..4, 3, END), 2, "a turn without an end has one where the next begins");
    }

    proptest! {
        #[test]
        fn every_token_of_a_text_but_the_first_is_learned_once(length in 0u32..200, max in 2usize..40) {
            let ids: Vec<u32> = (0..length).collect();
            let pieces = pieces_of_text(&ids, max);
            prop_assert!(pieces.iter().all(|piece| piece.ids.len() <= max && piece.teaches()));
            let learned: Vec<u32> = pieces.iter().flat_map(|piece| piece.ids[1..].to_vec()).collect();
            prop_assert_eq!(learned, ids.get(1..).unwrap_or_default().to_vec());
        }

        #[test]
        fn what_is_left_out_or_cut_off_is_not_learned_and_all_else_is(
            length in 0usize..60, prompt in 0usize..60, (from, to) in (0usize..60, 0usize..60), end in 0usize..70,
        ) {
            let whole = Lesson::from(Tokens { ids: vec![7; length], prompt });
            let learned = |lesson: &Lesson| {
                assert!(lesson.learned.iter().all(|columns| !columns.is_empty() && columns.end <= lesson.ids.len()));
                assert!(lesson.learned.windows(2).all(|pair| pair[0].end <= pair[1].start));
                lesson.learned.iter().cloned().flatten().collect::<Vec<_>>()
            };
            let left_out = from.min(to)..from.max(to);
            let expected: Vec<_> = (prompt..length).filter(|column| !left_out.contains(column) && *column < end).collect();
            let lesson = whole.without(&left_out).up_to(end);
            prop_assert_eq!(&learned(&lesson), &expected);
            prop_assert_eq!(lesson.learned_tokens(), expected.iter().filter(|column| **column > 0).count());
            prop_assert_eq!(lesson.teaches(), lesson.learned_tokens() > 0);
        }
    }
}
