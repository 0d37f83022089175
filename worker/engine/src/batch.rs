//! Micro-batches: examples of like length together, in an order that depends on the seed and a cursor alone.
//!
//! Promise: each example that can be learned from comes once an epoch, or as often as its weight says; an order resumed from a cursor goes
//! on as it would have.

use crate::draws::{Draws, dealt};
use crate::remarks::Remarks;
use crate::text::Lesson;
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use vertigo_model::dataset::Weight;

/// Widths are one more than a multiple of this, as in mlx-lm, so that few different shapes occur.
const PAD_TO: usize = 32;

/// A micro-batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// Tokens, rows × width, padded with 0.
    pub ids: Vec<i32>,
    /// Tokens of a row.
    pub width: usize,
    /// For each row, the first and the last column of each run of columns that are learned from.
    ///
    /// mlx-lm's `default_loss` learns the columns `prompt <= column <= length`. Its last one is one past the example: a padding
    /// token that its models learn to say after the end. Ours is the example's last token.
    pub spans: Vec<Vec<(usize, usize)>>,
}

impl Batch {
    /// Examples in it.
    pub fn rows(&self) -> usize {
        self.spans.len()
    }

    /// Tokens learned from.
    pub fn target_tokens(&self) -> u64 {
        self.spans.iter().flatten().map(|(first, last)| (last + 1 - first) as u64).sum()
    }
}

/// Where in the order of batches a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Cursor {
    /// Whole passes over the data.
    pub epoch: u64,
    /// Batches of this pass already given.
    pub position: u64,
}

/// Examples, and how they go together in batches.
#[derive(Debug, Clone)]
pub struct Batches {
    /// From short to long.
    lessons: Vec<Lesson>,
    draws: Draws,
    /// Examples in a batch.
    size: usize,
    seed: u64,
    /// Of the lessons that came, those with nothing to learn from.
    skipped: u64,
    remarks: Remarks,
    /// The batches of one epoch by the lessons in them, kept while it lasts.
    pass: Option<(u64, Vec<Vec<usize>>)>,
}

impl Batches {
    /// Of lessons that all come once an epoch.
    pub fn new<L: Into<Lesson>>(lessons: Vec<L>, batch_size: usize, max_length: usize, seed: u64) -> Batches {
        let weighted = lessons.into_iter().map(|lesson| (lesson.into(), Weight::ONE)).collect();
        Batches::weighted(weighted, batch_size, max_length, seed)
    }

    /// Orders lessons by their length in tokens. One that has nothing to learn from once it is cut to `max_length` is skipped and counted,
    /// so that no batch is ever averaged over no token.
    pub fn weighted(lessons: Vec<(Lesson, Weight)>, batch_size: usize, max_length: usize, seed: u64) -> Batches {
        let total = lessons.len();
        let cut = lessons.into_iter().map(|(lesson, weight)| (lesson.up_to(max_length), weight));
        let mut kept: Vec<(Lesson, Weight)> = cut.filter(|(lesson, _)| lesson.teaches()).collect();
        let skipped = (total - kept.len()) as u64;
        kept.sort_by_key(|(lesson, _)| lesson.ids.len());
        let (lessons, weights): (Vec<Lesson>, Vec<Weight>) = kept.into_iter().unzip();
        let draws = Draws::new(&weights, seed);
        Batches { lessons, draws, size: batch_size.max(1), seed, skipped, remarks: Remarks::default(), pass: None }
    }

    /// The same, with what is remarkable about the examples.
    pub(crate) fn remarked(self, remarks: Remarks) -> Batches {
        Batches { remarks, ..self }
    }

    /// What is remarkable about the examples, where they were read from files.
    pub fn remarks(&self) -> &Remarks {
        &self.remarks
    }

    /// Examples of which nothing is learned: those left out when they were read, and lessons without a token to learn from.
    pub fn skipped(&self) -> u64 {
        self.skipped + self.remarks.caveats().skipped_examples
    }

    /// Examples with something to learn from, each once, whatever its weight. One that was taken apart counts as what it was taken apart
    /// into.
    pub fn examples(&self) -> u64 {
        self.lessons.len() as u64
    }

    /// Those of them whose weight is not 1.
    pub fn weighted_examples(&self) -> u64 {
        self.draws.weighted()
    }

    /// The sum of their weights, which is what an epoch draws, on average; `None` where all are 1.
    pub fn weights_sum(&self) -> Option<f64> {
        (self.draws.weighted() > 0).then(|| self.draws.weights_sum())
    }

    /// Batches in the first `passes` passes over the data.
    pub fn in_passes(&self, passes: u64) -> u64 {
        self.draws.batches(passes, self.size)
    }

    /// Whether there is nothing to learn from at all.
    pub fn is_empty(&self) -> bool {
        self.lessons.is_empty()
    }

    /// The batch at `cursor`, which moves on. `None` where there are no batches.
    pub fn next(&mut self, cursor: &mut Cursor) -> Option<Batch> {
        if self.is_empty() {
            return None;
        }
        if cursor.position >= self.pass(cursor.epoch).len() as u64 {
            *cursor = Cursor { epoch: self.draws.next(cursor.epoch + 1), position: 0 };
        }
        let drawn = self.pass(cursor.epoch)[cursor.position as usize].clone();
        cursor.position += 1;
        Some(pad(drawn.iter().map(|&lesson| &self.lessons[lesson])))
    }

    /// `limit` batches (all for `None`) with each example once, from short to long and the same ones each time: for validation.
    pub fn in_order(&self, limit: Option<u64>) -> impl Iterator<Item = Batch> {
        // Spread over all lengths, so that a limited validation is not of short examples alone.
        let groups: Vec<&[Lesson]> = self.groups().collect();
        let n = groups.len();
        let count = limit.map_or(n, |limit| (limit as usize).min(n));
        (0..count).map(move |i| pad(groups[i * n / count].iter()))
    }

    /// Neighbours in length, each lesson once.
    fn groups(&self) -> impl ExactSizeIterator<Item = &[Lesson]> {
        self.lessons.chunks(self.size)
    }

    /// Feeds every group into a digest, and the weights where there are some.
    pub(crate) fn hash(&self, hasher: &mut Sha256) {
        hasher.update((self.groups().len() as u64).to_le_bytes());
        for group in self.groups() {
            hasher.update((group.len() as u64).to_le_bytes());
            for lesson in group {
                hasher.update((lesson.ids.len() as u64).to_le_bytes());
                match lesson.learned.as_slice() {
                    // All after a prompt, as every lesson once was: known again as what it was then.
                    [columns] if columns.end == lesson.ids.len() => hasher.update((columns.start as u64).to_le_bytes()),
                    runs => {
                        hasher.update(u64::MAX.to_le_bytes());
                        hasher.update((runs.len() as u64).to_le_bytes());
                        let borders = runs.iter().flat_map(|columns| [columns.start, columns.end]);
                        borders.for_each(|border| hasher.update((border as u64).to_le_bytes()));
                    }
                }
                lesson.ids.iter().for_each(|id| hasher.update(id.to_le_bytes()));
            }
        }
        if self.draws.weighted() > 0 {
            // No count of groups: what follows are weights.
            hasher.update(u64::MAX.to_le_bytes());
            self.draws.units().for_each(|units| hasher.update(units.to_le_bytes()));
        }
    }

    fn pass(&mut self, epoch: u64) -> &[Vec<usize>] {
        if self.pass.as_ref().is_none_or(|(of, _)| *of != epoch) {
            let mut batches = dealt(self.draws.within(epoch), self.size);
            let mut rng = ChaCha8Rng::seed_from_u64(self.seed ^ epoch.wrapping_mul(0x9e37_79b9_7f4a_7c15));
            batches.shuffle(&mut rng);
            self.pass = Some((epoch, batches));
        }
        self.pass.as_ref().map_or(&[], |(_, batches)| batches)
    }
}

fn pad<'a>(group: impl Iterator<Item = &'a Lesson> + Clone) -> Batch {
    let longest = group.clone().map(|lesson| lesson.ids.len()).max().unwrap_or(0);
    // The last column is only ever a target, so a width of 1 + n·32 makes inputs of n·32.
    let width = 1 + PAD_TO * (longest - 1).div_ceil(PAD_TO);
    let mut ids = Vec::with_capacity(group.clone().count() * width);
    for lesson in group.clone() {
        ids.extend(lesson.ids.iter().map(|&id| id as i32));
        ids.resize(ids.len() + width - lesson.ids.len(), 0);
    }
    let spans = |lesson: &Lesson| {
        let runs = lesson.learned.iter().map(|columns| columns.start.max(1)..columns.end);
        runs.filter(|columns| !columns.is_empty()).map(|columns| (columns.start, columns.end - 1)).collect()
    };
    Batch { ids, width, spans: group.map(spans).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::Tokens;
    use proptest::prelude::*;

    fn examples() -> impl Strategy<Value = Vec<Tokens>> {
        // The first token names the example, so that it can be found again.
        let one = (0usize..80, 0usize..90);
        prop::collection::vec(one, 0..40).prop_map(|sizes| {
            let tokens = |(n, (len, prompt)): (usize, (usize, usize))| Tokens { ids: vec![n as u32 + 1; len], prompt };
            sizes.into_iter().enumerate().map(tokens).collect()
        })
    }

    proptest! {
        #[test]
        fn every_learnable_example_comes_once_an_epoch(examples in examples(), size in 1usize..6, max in 2usize..70) {
            let learnable = |t: &&Tokens| t.prompt.max(1) < t.ids.len().min(max);
            let mut expected: Vec<i32> = examples.iter().filter(learnable).map(|t| t.ids[0] as i32).collect();
            let mut batches = Batches::new(examples.clone(), size, max, 7);
            prop_assert_eq!(batches.skipped() as usize, examples.len() - expected.len());
            let (mut cursor, mut seen) = (Cursor::default(), Vec::new());
            while cursor.epoch == 0 && seen.len() < expected.len() {
                let batch = batches.next(&mut cursor).unwrap();
                prop_assert_eq!(batch.width % PAD_TO, 1);
                prop_assert!(batch.target_tokens() > 0);
                for (row, spans) in batch.ids.chunks(batch.width).zip(&batch.spans) {
                    let [(first, last)] = spans[..] else { panic!("{spans:?}") };
                    prop_assert!(first >= 1 && first <= last && last < max);
                    prop_assert!(row[last] != 0 && row[last + 1..].iter().all(|&id| id == 0));
                    seen.push(row[0]);
                }
            }
            expected.sort_unstable();
            seen.sort_unstable();
            prop_assert_eq!(seen, expected);
        }

        #[test]
        fn padding_is_less_than_a_step_beyond_the_longest(examples in examples(), size in 1usize..6, max in 2usize..70) {
            for batch in Batches::new(examples, size, max, 7).in_order(None) {
                let longest = batch.spans.iter().flatten().map(|(_, last)| last + 1).max().unwrap();
                prop_assert!(batch.width >= longest && batch.width < longest + PAD_TO);
                prop_assert_eq!(batch.ids.len(), batch.rows() * batch.width);
                prop_assert!(batch.rows() <= size);
            }
        }

        #[test]
        fn validation_goes_from_short_to_long_and_is_the_same_each_time(examples in examples(), limit in 0u64..12) {
            let batches = Batches::new(examples, 3, 64, 7);
            let all: Vec<_> = batches.in_order(None).collect();
            prop_assert_eq!(all.iter().map(|batch| batch.rows() as u64).sum::<u64>(), batches.examples());
            prop_assert!(all.is_sorted_by_key(|batch| batch.width));
            let some: Vec<_> = batches.in_order(Some(limit)).collect();
            prop_assert_eq!(some.len(), all.len().min(limit as usize));
            prop_assert!(some.iter().all(|batch| all.contains(batch)));
            prop_assert_eq!(some, batches.in_order(Some(limit)).collect::<Vec<_>>());
        }

        #[test]
        fn an_order_resumed_from_a_cursor_goes_on(examples in examples(), taken in 0usize..30) {
            let mut one = Batches::new(examples, 2, 64, 3);
            prop_assume!(!one.is_empty());
            let mut cursor = Cursor::default();
            for _ in 0..taken {
                one.next(&mut cursor);
            }
            let mut other = Batches { pass: None, ..one.clone() };
            let mut resumed = cursor;
            for _ in 0..10 {
                prop_assert_eq!(one.next(&mut cursor), other.next(&mut resumed));
            }
        }
    }

    #[test]
    fn what_has_nothing_to_learn_is_skipped_and_counted() {
        let tokens = |len: usize, prompt: usize| Tokens { ids: vec![1; len], prompt };
        // Empty; one token; all prompt; all prompt once it is cut to 8; then two that can be learned from.
        let examples = vec![tokens(0, 0), tokens(1, 0), tokens(5, 5), tokens(20, 8), tokens(20, 7), tokens(2, 0)];
        let mut batches = Batches::new(examples, 4, 8, 1);
        assert_eq!((batches.skipped(), batches.examples(), batches.is_empty()), (4, 2, false));
        let batch = batches.next(&mut Cursor::default()).unwrap();
        assert_eq!((batch.spans.as_slice(), batch.target_tokens()), ([vec![(1, 1)], vec![(7, 7)]].as_slice(), 2));
        let mut none = Batches::new(vec![tokens(1, 0)], 4, 8, 1);
        assert!(none.is_empty() && none.next(&mut Cursor::default()).is_none() && none.in_order(None).next().is_none());
    }

    #[test]
    fn what_lies_between_is_not_learned_and_makes_other_data() {
        let lesson = |learned: &[(usize, usize)]| {
            let learned = learned.iter().map(|(start, end)| *start..*end).collect();
            Lesson { ids: vec![1; 8], learned }
        };
        let gaps = lesson(&[(0, 1), (2, 4), (6, 7)]);
        let mut batches = Batches::new(vec![gaps.clone()], 1, 64, 0);
        let batch = batches.next(&mut Cursor::default()).unwrap();
        assert_eq!((batch.spans.as_slice(), batch.target_tokens()), ([vec![(2, 3), (6, 6)]].as_slice(), 3));
        let digest = |lesson: &Lesson| {
            let mut hasher = Sha256::new();
            Batches::new(vec![lesson.clone()], 1, 64, 0).hash(&mut hasher);
            vertigo::id::Digest::from_hasher(hasher)
        };
        let all = [
            gaps,
            lesson(&[(2, 4), (6, 7)]),
            lesson(&[(2, 4)]),
            lesson(&[(2, 8)]),
            lesson(&[(0, 8)]),
            lesson(&[(1, 8)]),
        ];
        let digests: std::collections::BTreeSet<_> = all.iter().map(digest).map(|it| it.to_string()).collect();
        assert_eq!(digests.len(), all.len());
        // The digest that a run's data had before there were gaps: groups, examples, tokens, prompt, and the tokens.
        let mut before = Sha256::new();
        [1u64, 1, 8, 2].iter().for_each(|n| before.update(n.to_le_bytes()));
        [1u32; 8].iter().for_each(|id| before.update(id.to_le_bytes()));
        assert_eq!(digest(&lesson(&[(2, 8)])), vertigo::id::Digest::from_hasher(before));
    }

    #[test]
    fn epochs_and_seeds_have_orders_of_their_own() {
        let examples: Vec<_> = (1..60).map(|n| Tokens { ids: vec![n; n as usize + 1], prompt: 0 }).collect();
        let order = |seed, epoch| {
            let mut batches = Batches::new(examples.clone(), 1, 64, seed);
            let mut cursor = Cursor { epoch, position: 0 };
            (0..59).filter_map(|_| batches.next(&mut cursor)).map(|batch| batch.ids[0]).collect::<Vec<_>>()
        };
        assert_eq!(order(1, 0), order(1, 0));
        assert_ne!(order(1, 0), order(1, 1));
        assert_ne!(order(1, 0), order(2, 0));
    }

    /// Examples of all lengths, each with a first token of its own.
    fn of_all_lengths() -> Vec<Tokens> {
        let example = |n: u32| Tokens { ids: vec![n + 1; (n as usize * 37) % 61 + 2], prompt: n as usize % 3 };
        (0..101).map(example).collect()
    }

    #[test]
    fn where_all_weights_are_1_the_order_is_what_it_was_before_there_were_any() {
        let mut hasher = Sha256::new();
        for (size, seed) in [(1, 0), (4, 7), (8, 42)] {
            let mut batches = Batches::new(of_all_lengths(), size, 48, seed);
            let mut cursor = Cursor::default();
            while cursor.epoch < 3 {
                let batch = batches.next(&mut cursor).unwrap();
                batch.ids.iter().for_each(|id| hasher.update(id.to_le_bytes()));
                hasher.update(cursor.epoch.to_le_bytes());
                hasher.update(cursor.position.to_le_bytes());
            }
            batches.hash(&mut hasher);
        }
        // Made by the code of that time, of this test's loop.
        let before = "sha256:a3907a6ecdf75caed72697af9b8248d23718b0a924ce333b0f8befbad6cb1896";
        assert_eq!(vertigo::id::Digest::from_hasher(hasher).to_string(), before);
    }

    #[test]
    fn weighted_examples_come_as_often_as_they_weigh_wherever_the_order_is_taken_up() {
        let weight = |n: usize| [0.25, 1.0, 2.0, 3.5][n % 4];
        let lessons = of_all_lengths().into_iter().enumerate();
        let weighted = lessons.map(|(n, tokens)| (tokens.into(), Weight::new(weight(n)).unwrap())).collect();
        let mut batches = Batches::weighted(weighted, 4, 64, 5);
        assert_eq!((batches.examples(), batches.weighted_examples()), (101, 76));
        assert_eq!(batches.weights_sum(), Some(26.0 * 0.25 + 25.0 * (1.0 + 2.0 + 3.5)));
        let (mut cursor, mut taken, mut seen) = (Cursor::default(), 0, vec![0u32; 101]);
        for _ in 0..batches.in_passes(4) {
            let mut elsewhere = Batches { pass: None, ..batches.clone() };
            let mut resumed = cursor;
            let batch = batches.next(&mut cursor).unwrap();
            assert_eq!(elsewhere.next(&mut resumed).unwrap(), batch);
            assert_eq!(resumed, cursor);
            batch.ids.chunks(batch.width).for_each(|row| seen[row[0] as usize - 1] += 1);
            taken += 1;
        }
        // Four passes are whole for each of these weights, and all of them are over.
        assert!(seen.iter().enumerate().all(|(n, times)| f64::from(*times) == 4.0 * weight(n)), "{seen:?}");
        batches.next(&mut cursor);
        assert_eq!((cursor.epoch, cursor.position), (4, 1), "after {taken} batches");
        assert_eq!(
            batches.in_order(None).map(|batch| batch.rows()).sum::<usize>(),
            101,
            "for validation all are alike"
        );
    }

    #[test]
    fn passes_that_draw_nothing_are_passed_over() {
        let weight = Weight::new(0.01).unwrap();
        let lesson = Lesson::from(Tokens { ids: vec![1; 8], prompt: 0 });
        let mut batches = Batches::weighted(vec![(lesson, weight)], 4, 64, 5);
        let mut cursor = Cursor::default();
        let epochs: Vec<u64> = (0..3).map(|_| batches.next(&mut cursor).map(|_| cursor.epoch).unwrap()).collect();
        assert_eq!((epochs[1] - epochs[0], epochs[2] - epochs[1]), (100, 100));
        assert_eq!((batches.in_passes(epochs[0]), batches.in_passes(epochs[0] + 1)), (0, 1));
    }

    #[test]
    fn other_weights_are_other_data() {
        let digest = |weights: [f64; 2]| {
            let lessons = weights
                .map(|weight| (Lesson::from(Tokens { ids: vec![1; 8], prompt: 2 }), Weight::new(weight).unwrap()));
            let mut hasher = Sha256::new();
            Batches::weighted(lessons.into(), 1, 64, 0).hash(&mut hasher);
            vertigo::id::Digest::from_hasher(hasher).to_string()
        };
        let all = [[1.0, 1.0], [1.0, 2.0], [2.0, 1.0], [2.0, 2.0], [0.1, 1.0]].map(digest);
        assert_eq!(all.iter().collect::<std::collections::BTreeSet<_>>().len(), all.len());
    }
}
