//! Which sets are like an earlier one, exactly.
//!
//! A set is like another where the members that both have are more than a threshold of those that either has (Jaccard). Each set is asked,
//! in order, whether it is like one that was kept before it; if not, it is kept.
//!
//! Two sets that are alike have at least so many members in common that not all of them can be missing among the first few of either: so
//! members are ordered by how seldom they are, and only the first few of each kept set can be found again (a prefix filter). Who is found
//! there is counted to the end, or until it is clear that it is too little: a sketch of each set tells that of most pairs at once. No pair
//! that is alike is missed and none is taken for one.
//!
//! Promise: the same answer as by comparing every pair. Memory grows with the members of all sets. Where all sets are nearly alike and yet
//! not enough so, each pair is looked at once, as by the plain way: by its sketches, and where those are near, member by member.

/// Sets of numbers below a bound, one behind the other.
#[derive(Debug, Default)]
pub(super) struct Sets {
    members: Vec<u32>,
    ends: Vec<usize>,
}

impl Sets {
    /// Takes a set, of which members may come more than once and in any order. Gives it back empty.
    pub(super) fn push(&mut self, set: &mut Vec<u32>) {
        set.sort_unstable();
        set.dedup();
        self.members.append(set);
        self.ends.push(self.members.len());
    }

    fn of(&self, set: usize) -> &[u32] {
        let begin = if set == 0 { 0 } else { self.ends[set - 1] };
        &self.members[begin..self.ends[set]]
    }

    /// Names members by how seldom they are, the rarest by the smallest number, and sorts the sets by that. Says how many there are only
    /// once: nothing is ever found by those.
    fn rank(&mut self) -> u32 {
        let bound = self.members.iter().max().map_or(0, |max| *max as usize + 1);
        let mut counts = vec![0_u32; bound];
        self.members.iter().for_each(|member| counts[*member as usize] += 1);
        let mut by_count: Vec<u32> = (0..bound as u32).filter(|member| counts[*member as usize] > 0).collect();
        by_count.sort_by_key(|member| counts[*member as usize]);
        let once = by_count.partition_point(|member| counts[*member as usize] == 1);
        // The counts are not asked again, so their place is that of the ranks.
        let mut ranks = counts;
        by_count.iter().enumerate().for_each(|(rank, member)| ranks[*member as usize] = rank as u32);
        self.members.iter_mut().for_each(|member| *member = ranks[*member as usize]);
        let mut begin = 0;
        for end in &self.ends {
            self.members[begin..*end].sort_unstable();
            begin = *end;
        }
        once as u32
    }
}

/// That a set is like an earlier one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Like {
    /// The earlier one's number.
    pub(super) set: u32,
    /// How much.
    pub(super) jaccard: f64,
}

/// Words of a sketch.
const SKETCH_WORDS: usize = 16;

/// A bit for each of many heaps of members: whether the set has an odd number of them. Two sets whose sketches differ in so many bits
/// differ in at least so many members, however large they are.
type Sketch = [u64; SKETCH_WORDS];

fn sketch(set: &[u32]) -> Sketch {
    let mut sketch = Sketch::default();
    for member in set {
        // By the golden ratio, neighbours come to heaps far from each other.
        let heap = (member.wrapping_mul(0x9e37_79b9) >> 22) as usize;
        sketch[heap / 64] ^= 1 << (heap % 64);
    }
    sketch
}

/// In how many members two sets differ at least.
fn differ(a: &Sketch, b: &Sketch) -> usize {
    a.iter().zip(b).map(|(a, b)| (a ^ b).count_ones() as usize).sum()
}

/// Where in a kept set a member stands, and the next such place of the same member.
struct Place {
    set: u32,
    at: u32,
    next: u32,
}

/// No place.
const NONE: u32 = u32::MAX;

/// For each set a kept one before it that it is like, or `None`, whereupon it is kept itself. Empty sets are like none.
pub(super) fn like_earlier(mut sets: Sets, threshold: f64) -> Vec<Option<Like>> {
    let once = sets.rank();
    let bound = sets.members.iter().max().map_or(0, |max| *max as usize + 1);
    let mut first_place = vec![NONE; bound];
    let mut places: Vec<Place> = Vec::new();
    // For each set the last one that was compared with it: at most once for each pair.
    let mut compared_by = vec![NONE; sets.ends.len()];
    let mut found = Vec::with_capacity(sets.ends.len());
    let sketches: Vec<Sketch> = (0..sets.ends.len()).map(|number| sketch(sets.of(number))).collect();
    for number in 0..sets.ends.len() {
        let set = sets.of(number);
        let few = &set[..prefix(set.len(), threshold)];
        let mut like = None;
        // What is there only once is in front.
        let searched = few.partition_point(|member| *member < once);
        'search: for (at, member) in few.iter().enumerate().skip(searched) {
            let mut place = first_place[*member as usize];
            while place != NONE {
                let Place { set: other, at: other_at, next } = places[place as usize];
                place = next;
                if std::mem::replace(&mut compared_by[other as usize], number as u32) == number as u32 {
                    continue;
                }
                let differ = differ(&sketches[number], &sketches[other as usize]);
                // Nothing before these two places is in both, or the pair would have been found by it.
                let (own, others) = (set, sets.of(other as usize));
                if let Some(jaccard) = jaccard_above(threshold, differ, (own, at), (others, other_at as usize)) {
                    like = Some(Like { set: other, jaccard });
                    break 'search;
                }
            }
        }
        if like.is_none() {
            for (at, member) in few.iter().enumerate().skip(searched) {
                let first = &mut first_place[*member as usize];
                places.push(Place { set: number as u32, at: at as u32, next: *first });
                *first = (places.len() - 1) as u32;
            }
        }
        found.push(like);
    }
    found
}

/// How many of a set's rarest members have to be looked at: two sets that are alike have at least one of these in common.
fn prefix(len: usize, threshold: f64) -> usize {
    // Whoever it is like, their union is at least this set.
    let least = least_that(len, |both| both as f64 / len as f64 > threshold);
    least.map_or(0, |least| len - least + 1)
}

/// How much two sets have in common where that is above the threshold. They `differ` in at least so many members, and in all before the two
/// places.
fn jaccard_above(
    threshold: f64,
    differ: usize,
    (a, mut at_a): (&[u32], usize),
    (b, mut at_b): (&[u32], usize),
) -> Option<f64> {
    let (shorter, total) = (a.len().min(b.len()), a.len() + b.len());
    // Floats are divided as Python divides its whole numbers, so that what is equal to the threshold is so on both sides.
    let jaccard = |both: usize| both as f64 / (total - both) as f64;
    let least = least_that(shorter, |both| jaccard(both) > threshold)?;
    if total < 2 * least + differ {
        return None;
    }
    let mut both = 0;
    while at_a < a.len() && at_b < b.len() {
        if both + (a.len() - at_a).min(b.len() - at_b) < least {
            return None;
        }
        let (from_a, from_b) = (a[at_a], b[at_b]);
        both += usize::from(from_a == from_b);
        at_a += usize::from(from_a <= from_b);
        at_b += usize::from(from_b <= from_a);
    }
    (both >= least).then(|| jaccard(both))
}

/// The least number from 1 to `max` of which `holds`, which holds of all greater ones too.
fn least_that(max: usize, holds: impl Fn(usize) -> bool) -> Option<usize> {
    let (mut from, mut to) = (1, max + 1);
    while from < to {
        let middle = from + (to - from) / 2;
        if holds(middle) { to = middle } else { from = middle + 1 }
    }
    (from <= max).then_some(from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    /// Every pair, by the formula.
    fn plainly(sets: &[Vec<u32>], threshold: f64) -> Vec<bool> {
        let sets: Vec<BTreeSet<u32>> = sets.iter().map(|set| set.iter().copied().collect()).collect();
        let mut kept: Vec<&BTreeSet<u32>> = Vec::new();
        let mut found = Vec::new();
        for set in &sets {
            let jaccard = |other: &BTreeSet<u32>| match (set.intersection(other).count(), set.union(other).count()) {
                (_, 0) => 0.0,
                (both, either) => both as f64 / either as f64,
            };
            let is_like = kept.iter().any(|other| jaccard(other) > threshold);
            found.push(is_like);
            if !is_like {
                kept.push(set);
            }
        }
        found
    }

    fn fast(sets: &[Vec<u32>], threshold: f64) -> Vec<Option<Like>> {
        let mut all = Sets::default();
        sets.iter().for_each(|set| all.push(&mut set.clone()));
        like_earlier(all, threshold)
    }

    #[test]
    fn what_is_equal_to_the_threshold_is_not_above_it() {
        // 7 of 10: as floats, 0.7 is 0.7.
        let ten = (0..10).collect::<Vec<u32>>();
        assert_eq!(fast(&[ten.clone(), ten[..7].to_vec()], 0.7), [None, None]);
        let found = fast(&[ten.clone(), ten[..8].to_vec()], 0.7);
        assert_eq!(found, [None, Some(Like { set: 0, jaccard: 0.8 })]);
        assert_eq!(fast(&[vec![], vec![]], 0.0), [None, None]);
        assert_eq!(fast(&[ten.clone(), ten], 1.0), [None, None]);
    }

    #[test]
    fn a_set_is_compared_with_kept_ones_alone() {
        // Each is like the one before it, the third not like the first.
        let sets: Vec<Vec<u32>> = [0, 1, 2].iter().map(|from| (*from..from + 10).collect()).collect();
        let found: Vec<bool> = fast(&sets, 0.7).iter().map(Option::is_some).collect();
        assert_eq!(found, [false, true, false]);
    }

    fn drawn() -> impl Strategy<Value = Vec<Vec<u32>>> {
        // Of few members many sets are nearly alike; changes of one another are as rows are that were written from a pattern.
        let any = prop::collection::vec(prop::collection::vec(0_u32..40, 0..30), 0..40);
        let seldom = prop::collection::vec(prop::collection::vec(0_u32..4_000, 0..60), 0..20);
        let changed = (
            prop::collection::vec(0_u32..300, 1..80),
            prop::collection::vec((0_usize..80, 0_u32..300, 0_usize..20), 0..40),
        )
            .prop_map(|(pattern, changes)| {
                let change = |(at, to, cut): &(usize, u32, usize)| {
                    let mut set = pattern.clone();
                    let at = at % set.len();
                    set[at] = *to;
                    set.truncate(set.len().saturating_sub(*cut));
                    set
                };
                changes.iter().map(change).collect::<Vec<_>>()
            });
        prop_oneof![any, seldom, changed]
    }

    proptest! {
        #[test]
        fn the_answer_is_that_of_comparing_every_pair(
            sets in drawn(),
            threshold in prop_oneof![Just(0.7), Just(0.5), Just(0.0), Just(1.0), 0.0..1.0_f64],
        ) {
            let found = fast(&sets, threshold);
            let is_like: Vec<bool> = found.iter().map(Option::is_some).collect();
            prop_assert_eq!(&is_like, &plainly(&sets, threshold));
            for (number, like) in found.iter().enumerate().filter_map(|(number, like)| Some((number, (*like)?))) {
                prop_assert!(like.jaccard > threshold && (like.set as usize) < number && !is_like[like.set as usize]);
            }
        }

        #[test]
        fn what_was_kept_is_kept_again(sets in drawn()) {
            let found = fast(&sets, 0.7);
            let kept: Vec<Vec<u32>> =
                sets.iter().zip(found).filter(|(_, like)| like.is_none()).map(|(set, _)| set.clone()).collect();
            prop_assert!(fast(&kept, 0.7).iter().all(Option::is_none));
        }
    }
}
