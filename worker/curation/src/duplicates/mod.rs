//! The same thing again: rows that are equal, rows that are alike, rows whose code is the same.
//!
//! Rows are taken in the order of their [`rank`]: the best first. A row goes where one that stays is equal to it or alike, so that
//! whoever asks for a row that went is shown one that says the same; a chain of rows, each like the next and the last unlike the first,
//! keeps its ends.
//!
//! Promise: what stays depends on the rows alone, neither on the order of files nor on their names nor on the machine; what stayed once
//! stays again. Of rows that are alike at the threshold at least [`RECALL`](sketch::RECALL) are found, and more of those that are more
//! alike; none goes that is not alike, for every pair is compared by its true Jaccard index. The time grows with the rows ([`near`]).

pub mod clusters;
pub mod code;
pub(crate) mod join;
pub mod near;
mod rank;
pub mod shingles;
pub mod sketch;

use crate::arrange::arrange;
use crate::book::{Book, Effect};
use crate::config::{Act, Duplicates as Asked};
use crate::parallel;
use crate::row::{Body, Row, RowId};
use crate::rule::{Rule, Stage};
use clusters::{Clusters, Joined};
use near::After;
use rank::Rank;
use shingles::Kept;
use std::collections::BTreeMap;
use vertigo::id::Digest;

/// Equal rows.
pub const EXACT: Rule =
    Rule::new(Stage::Duplicates, "equal_row", "another row has the same conversation, tools and calls among it");

/// Rows that are alike.
pub const NEAR: Rule = Rule::new(Stage::Duplicates, "near_row", "another row has nearly the same words");

/// Rows with the same code.
pub const CODE: Rule =
    Rule::new(Stage::Duplicates, "same_code", "another row's code is the same but for names, numbers and texts");

/// What keys are made with. The split makes its own with another, so that what one overlooks by chance the other does not.
const SEED: u64 = 1;

/// What is left, and what belongs together.
#[derive(Debug, Clone, PartialEq)]
pub struct Deduplicated {
    /// The rows that go on, in the order of their ids.
    pub rows: Vec<Row>,
    /// Which rows were found to say the same, those among them that went.
    pub clusters: Clusters,
}

/// Leaves out what is there again. Where rows are the same, the one of the highest `quality` stays, then the oldest.
pub fn run(rows: Vec<Row>, asked: &Asked, quality: &dyn Fn(&Row) -> f64, book: &mut Book) -> Deduplicated {
    let mut stage = Duplicates::of(rows, quality);
    if asked.exact {
        stage.exact(book);
    }
    if let Some(threshold) = asked.near {
        stage.near(threshold, book);
    }
    match asked.code {
        Act::Off => {}
        Act::Note => stage.code(Effect::Noted, book),
        Act::Drop => stage.code(Effect::Dropped, book),
    }
    stage.end()
}

struct Duplicates {
    /// In the order of their ranks.
    rows: Vec<Row>,
    ids: Vec<RowId>,
    /// Those that stay so far, by their places.
    left: Vec<u32>,
    joined: Joined,
}

impl Duplicates {
    fn of(mut rows: Vec<Row>, quality: &dyn Fn(&Row) -> f64) -> Duplicates {
        let ids = parallel::map(&rows, |row| row.body.id());
        let mut ranked: Vec<(Rank, u32)> =
            rows.iter().zip(ids).zip(0u32..).map(|((row, id), at)| (Rank::of(row, id, quality(row)), at)).collect();
        let whole = |(rank, at): &(Rank, u32)| (&rows[*at as usize], *rank);
        ranked.sort_unstable_by(|one, other| {
            let ((row, rank), (their_row, theirs)) = (whole(one), whole(other));
            rank::compare((row, &rank), (their_row, &theirs))
        });
        let (ids, order): (Vec<RowId>, Vec<u32>) = ranked.into_iter().map(|(rank, at)| (rank.id, at)).unzip();
        arrange(&mut rows, order);
        Duplicates { left: (0..rows.len() as u32).collect(), joined: Joined::new(rows.len()), rows, ids }
    }

    /// Of equal rows the first stays.
    fn exact(&mut self, book: &mut Book) {
        let mut by_id: Vec<(RowId, u32)> = self.left.iter().map(|at| (self.ids[*at as usize], *at)).collect();
        by_id.sort_unstable();
        let mut like: BTreeMap<u32, u32> = BTreeMap::new();
        for equal in by_id.chunk_by(|one, other| one.0 == other.0) {
            like.extend(equal[1..].iter().map(|again| (again.1, equal[0].1)));
        }
        for (again, first) in &like {
            let detail = self.named(*first, book);
            self.touch(*again, *first, EXACT, Effect::Dropped, detail, book);
        }
        self.left.retain(|at| !like.contains_key(at));
    }

    /// A row goes where one before it that stays shares as much as the threshold says.
    fn near(&mut self, threshold: f64, book: &mut Book) {
        let bodies: Vec<&Body> = self.left.iter().map(|at| &self.rows[*at as usize].body).collect();
        let mut kept = Kept::new(&bodies);
        let mut like: Vec<(u32, u32, f64)> = Vec::new();
        near::meet(&bodies, threshold, SEED, |row, earlier| {
            let jaccard = kept.jaccard(row, earlier);
            if jaccard < threshold {
                return After::Stays;
            }
            like.push((row, earlier, jaccard));
            After::Goes
        });
        let mut is_left = vec![true; self.left.len()];
        for (row, earlier, jaccard) in like {
            is_left[row as usize] = false;
            let (row, earlier) = (self.left[row as usize], self.left[earlier as usize]);
            let detail = format!("{jaccard:.2} like {}", self.named(earlier, book));
            self.touch(row, earlier, NEAR, Effect::Dropped, detail, book);
        }
        let mut is_left = is_left.into_iter();
        self.left.retain(|_| is_left.next().unwrap_or(true));
    }

    /// Of rows with the same code the first stays as it is.
    fn code(&mut self, effect: Effect, book: &mut Book) {
        let bodies: Vec<&Body> = self.left.iter().map(|at| &self.rows[*at as usize].body).collect();
        let shapes = parallel::map(&bodies, |body| code::shape(body));
        let mut firsts: BTreeMap<Digest, u32> = BTreeMap::new();
        let mut is_left = vec![true; self.left.len()];
        for (n, shape) in shapes.into_iter().enumerate().filter_map(|(n, shape)| Some((n, shape?))) {
            let row = self.left[n];
            let first = *firsts.entry(shape).or_insert(row);
            if first != row {
                is_left[n] = !effect.ends();
                let detail = self.named(first, book);
                self.touch(row, first, CODE, effect, detail, book);
            }
        }
        let mut is_left = is_left.into_iter();
        self.left.retain(|_| is_left.next().unwrap_or(true));
    }

    /// A row as a person finds it.
    fn named(&self, at: u32, book: &Book) -> String {
        format!("{:.12} ({})", self.ids[at as usize], book.of(&self.rows[at as usize]).origin)
    }

    fn touch(&mut self, row: u32, first: u32, rule: Rule, effect: Effect, detail: String, book: &mut Book) {
        self.joined.join(row, first);
        book.touch(self.rows[row as usize].entry, rule, effect, detail);
    }

    fn end(self) -> Deduplicated {
        let Duplicates { mut rows, ids, left, joined } = self;
        let clusters = Clusters::from(joined, |at| (rows[at as usize].entry, ids[at as usize]));
        let mut is_left = vec![false; rows.len()];
        left.iter().for_each(|at| is_left[*at as usize] = true);
        let mut of_rows = is_left.iter();
        rows.retain(|_| of_rows.next().is_some_and(|is_left| *is_left));
        // Rows that are equal where nobody took them out keep their ranks' order.
        let mut by_id: Vec<(RowId, u32)> = left.iter().zip(0..).map(|(at, place)| (ids[*at as usize], place)).collect();
        by_id.sort_unstable();
        let order = by_id.into_iter().map(|(_, place)| place).collect();
        arrange(&mut rows, order);
        Deduplicated { rows, clusters }
    }
}

#[cfg(test)]
mod tests;
