//! Which rows are trained on, which validate, which are held back.
//!
//! Rows that belong together go to one side: those that share [`TOGETHER_JACCARD`] of their shingles, or less where the curation's own
//! threshold is lower; those whose first user turn is the same, so that no conversation is parted from its longer and shorter forms;
//! those that are equal up to their last answer; those that were made of one line.
//!
//! Each such cluster is drawn by itself: a number from 0 to 1 from the digest of the seed and the cluster's smallest id. Below `valid` it
//! validates, below `valid + test` it is held back, else it is trained on. So a cluster stays where it is whatever rows come or go, and
//! shares of rows are met as chance meets them. A cluster larger than half of a side's share of all rows is trained on, or it would be
//! that side. Where nothing is left to train on, the largest cluster is. Where a side that was asked for got no row of at least
//! [`CLUSTERS_MIN`] clusters, it gets the one that was nearest to it.
//!
//! Promise: no row is as near one of another side as the leak check forbids. Rows are met by MinHash first, which overlooks some by chance;
//! the exact check looks at what came of it, and clusters that it finds are drawn again as one, until it finds nothing.

use crate::arrange::arrange;
use crate::book::{Book, Side};
use crate::config::Split as Asked;
use crate::duplicates::clusters::Joined;
use crate::duplicates::near::{self, After};
use crate::duplicates::shingles::{Kept, push_message};
use crate::leak::{self, Plain};
use crate::parallel;
use crate::row::{Body, Role, Row, RowId};
use std::collections::BTreeMap;
use vertigo::id::Digest;
use vertigo_evaluation::contamination::mixed;

/// From which Jaccard index on rows are kept together: well below what may not be on two sides.
pub const TOGETHER_JACCARD: f64 = 0.7;

/// Clusters from which on no side that was asked for is empty.
pub const CLUSTERS_MIN: usize = 20;

/// Rows that share so much are nearly one: whoever is like the one is like the other, and only one of them has to be met.
const NEARLY_ONE_JACCARD: f64 = 0.9;

/// What keys are made with; another than that of the duplicates.
const SEED: u64 = 2;

/// The rows of each side, in the order of their ids.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Sides {
    /// Trained on.
    pub train: Vec<Row>,
    /// Validated with.
    pub valid: Vec<Row>,
    /// Held back.
    pub test: Vec<Row>,
    /// Groups of rows that went to a side together, those of one row among them.
    pub clusters: usize,
    /// Rows of the largest.
    pub largest: usize,
}

impl Sides {
    /// As the leak check takes them.
    pub fn plain(&self) -> Plain<'_> {
        Plain {
            train: self.train.iter().map(|row| &row.body).collect(),
            valid: self.valid.iter().map(|row| &row.body).collect(),
            test: self.test.iter().map(|row| &row.body).collect(),
        }
    }
}

/// Puts each row on a side, and says so in the book. `near` is the curation's own threshold of near duplicates.
pub fn run(mut rows: Vec<Row>, asked: &Asked, near: Option<f64>, book: &mut Book) -> Sides {
    // Who meets whom depends on their order, and that is to depend on what they say alone.
    let unsorted = parallel::map(&rows, |row| row.body.id());
    let mut order: Vec<u32> = (0..rows.len() as u32).collect();
    order.sort_by_key(|at| (unsorted[*at as usize], rows[*at as usize].entry));
    let ids: Vec<RowId> = order.iter().map(|at| unsorted[*at as usize]).collect();
    arrange(&mut rows, order);
    let bodies: Vec<&Body> = rows.iter().map(|row| &row.body).collect();
    let mut joined = Joined::new(rows.len());
    join_made_of_one(&rows, &mut joined);
    join_equal(ids.iter().map(|id| Some(halves(id))).collect(), &mut joined);
    join_beginnings(&bodies, &mut joined);
    join_near(&bodies, leak::threshold(near).min(TOGETHER_JACCARD), &mut joined);
    let (sides, clusters) = loop {
        let clusters = clusters(&ids, joined.clone());
        let sides = draw(&clusters, rows.len(), asked);
        let found = across(&bodies, &sides, leak::threshold(near));
        if found.is_empty() {
            break (sides, clusters);
        }
        found.into_iter().for_each(|(one, other)| joined.join(one, other));
    };
    let mut made = Sides {
        clusters: clusters.len(),
        largest: clusters.iter().map(|cluster| cluster.rows.len()).max().unwrap_or_default(),
        ..Sides::default()
    };
    for (row, side) in rows.into_iter().zip(sides) {
        book.entry_mut(row.entry).side = Some(side);
        match side {
            Side::Train => made.train.push(row),
            Side::Valid => made.valid.push(row),
            Side::Test => made.test.push(row),
        }
    }
    made
}

/// Rows that were made of one line, which was too long.
fn join_made_of_one(rows: &[Row], joined: &mut Joined) {
    join_equal(rows.iter().map(|row| Some((u64::from(row.entry), 0))).collect(), joined);
}

/// As much of an id as keys hold: more than any chance.
fn halves(id: &RowId) -> leak::Words {
    let half = |from: usize| id.0.as_bytes()[from..from + 8].iter().fold(0, |all, byte| all << 8 | u64::from(*byte));
    (half(0), half(8))
}

/// Rows whose first user turn is the same word by word, or all that comes before the last answer.
fn join_beginnings(bodies: &[&Body], joined: &mut Joined) {
    join_equal(parallel::map(bodies, |body| first_asked(body)), joined);
    join_equal(parallel::map(bodies, |body| leak::prompt(body)), joined);
}

fn first_asked(body: &Body) -> Option<leak::Words> {
    let first = body.messages().iter().find(|message| message.role == Role::User)?;
    let mut words = Vec::new();
    push_message(first, &mut words);
    if words.is_empty() {
        words.push(leak::wordless(first.text()));
    }
    let fold = |begin: u64| words.iter().fold(begin, |hash, word| mixed(hash.rotate_left(23) ^ *word));
    Some((fold(1), fold(2)))
}

fn join_equal(keys: Vec<Option<leak::Words>>, joined: &mut Joined) {
    let mut keyed: Vec<(leak::Words, u32)> =
        keys.into_iter().zip(0u32..).filter_map(|(key, at)| Some((key?, at))).collect();
    keyed.sort_unstable();
    for pair in keyed.windows(2).filter(|pair| pair[0].0 == pair[1].0) {
        joined.join(pair[0].1, pair[1].1);
    }
}

fn join_near(bodies: &[&Body], threshold: f64, joined: &mut Joined) {
    let mut kept = Kept::new(bodies);
    near::meet(bodies, threshold, SEED, |row, earlier| {
        if joined.first(row) == joined.first(earlier) {
            return After::Stays;
        }
        let jaccard = kept.jaccard(row, earlier);
        if jaccard >= threshold {
            joined.join(row, earlier);
        }
        if jaccard >= NEARLY_ONE_JACCARD { After::Goes } else { After::Stays }
    });
}

/// Rows that go to a side together.
struct Cluster {
    /// What it is drawn by.
    id: RowId,
    /// By their places.
    rows: Vec<u32>,
}

fn clusters(ids: &[RowId], joined: Joined) -> Vec<Cluster> {
    let mut clusters: BTreeMap<u32, Cluster> = BTreeMap::new();
    for (row, first) in (0u32..).zip(joined.firsts()) {
        let id = ids[row as usize];
        let cluster = clusters.entry(first).or_insert(Cluster { id, rows: Vec::new() });
        cluster.id = id.min(cluster.id);
        cluster.rows.push(row);
    }
    clusters.into_values().collect()
}

/// Where a cluster falls between 0 and 1.
fn drawn(id: RowId, seed: u64) -> f64 {
    let digest = Digest::of(format!("{seed} {id}").as_bytes()).hex();
    // A float holds 53 bits, which is 13 digits of four and a little.
    u64::from_str_radix(&digest[..13], 16).unwrap_or_default() as f64 / (1u64 << 52) as f64
}

/// Each row's side.
fn draw(clusters: &[Cluster], rows: usize, asked: &Asked) -> Vec<Side> {
    let shares = [(Side::Valid, 0.0, asked.valid), (Side::Test, asked.valid, asked.valid + asked.test)];
    let fits = |cluster: &Cluster, (_, from, to): (Side, f64, f64)| {
        cluster.rows.len() <= (((to - from) * rows as f64 / 2.0) as usize).max(1)
    };
    let at: Vec<f64> = clusters.iter().map(|cluster| drawn(cluster.id, asked.seed)).collect();
    let falls = |n: usize| {
        let share = shares.into_iter().find(|(_, from, to)| at[n] >= *from && at[n] < *to);
        share.filter(|share| fits(&clusters[n], *share)).map_or(Side::Train, |(side, ..)| side)
    };
    let mut sides: Vec<Side> = (0..clusters.len()).map(falls).collect();
    for share in shares.into_iter().filter(|(_, from, to)| to > from && clusters.len() >= CLUSTERS_MIN) {
        let (side, from, to) = share;
        if sides.contains(&side) {
            continue;
        }
        let distance = |n: usize| if at[n] < from { from - at[n] } else { (at[n] - to).max(0.0) };
        let free = (0..clusters.len()).filter(|n| sides[*n] == Side::Train && fits(&clusters[*n], share));
        let nearest = free.min_by(|one, other| {
            distance(*one).total_cmp(&distance(*other)).then(clusters[*one].id.cmp(&clusters[*other].id))
        });
        if let Some(nearest) = nearest {
            sides[nearest] = side;
        }
    }
    // Something is trained on wherever there is something.
    if !sides.contains(&Side::Train) {
        let largest = (0..clusters.len()).max_by_key(|n| (clusters[*n].rows.len(), std::cmp::Reverse(clusters[*n].id)));
        largest.into_iter().for_each(|n| sides[n] = Side::Train);
    }
    let mut of_rows = vec![Side::Train; rows];
    for (cluster, side) in clusters.iter().zip(sides) {
        cluster.rows.iter().for_each(|row| of_rows[*row as usize] = side);
    }
    of_rows
}

/// Rows of two sides that may not be on two.
fn across(bodies: &[&Body], sides: &[Side], threshold: f64) -> Vec<(u32, u32)> {
    let of = |wanted: &[Side]| -> Vec<u32> {
        (0..bodies.len() as u32).filter(|row| wanted.contains(&sides[*row as usize])).collect()
    };
    let look = |rows: Vec<u32>, others: Vec<u32>| {
        let at = |rows: &[u32]| -> Vec<&Body> { rows.iter().map(|row| bodies[*row as usize]).collect() };
        let found = leak::near(&at(&rows), &at(&others), threshold);
        found.into_iter().map(|(row, other)| (rows[row as usize], others[other as usize])).collect::<Vec<_>>()
    };
    let mut found = look(of(&[Side::Valid, Side::Test]), of(&[Side::Train]));
    found.extend(look(of(&[Side::Test]), of(&[Side::Valid])));
    found
}

#[cfg(test)]
mod tests;
