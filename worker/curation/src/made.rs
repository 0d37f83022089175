//! What a curation makes: rows on their sides, as files that mlx-lm and the engine read.
//!
//! Promise: rows stand in the order of their ids, so that the bytes depend on what is in the set and on nothing else.

use crate::book::Side;
use crate::row::{Row, RowId};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::collections::BTreeMap;
use std::io::{self, Write};

/// A row in a dataset.
#[derive(Debug, Clone, PartialEq)]
pub struct Placed {
    /// Its id now, after all that was done to it.
    pub id: RowId,
    /// The row.
    pub row: Row,
    /// How often it is drawn in training, where most rows are drawn once.
    pub weight: f64,
}

impl Placed {
    /// A row that is drawn as most are.
    pub fn new(row: Row) -> Placed {
        Placed { id: row.body.id(), row, weight: 1.0 }
    }
}

/// Rows on their sides.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Made {
    /// Trained on.
    pub train: Vec<Placed>,
    /// Validated with.
    pub valid: Vec<Placed>,
    /// Held back.
    pub test: Vec<Placed>,
}

/// Rows of each side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sides {
    /// To train on.
    pub train: u64,
    /// To validate with.
    pub valid: u64,
    /// Held back.
    pub test: u64,
}

impl Sides {
    /// Rows in all.
    pub fn total(self) -> u64 {
        self.train + self.valid + self.test
    }
}

impl Made {
    /// The rows of these sides, in order.
    pub fn of(mut train: Vec<Placed>, mut valid: Vec<Placed>, mut test: Vec<Placed>) -> Made {
        for side in [&mut train, &mut valid, &mut test] {
            // Rows of one id and entry are copies of one another.
            side.sort_by_key(|placed| (placed.id, placed.row.entry));
        }
        Made { train, valid, test }
    }

    /// The rows of a side.
    pub fn side(&self, side: Side) -> &[Placed] {
        match side {
            Side::Train => &self.train,
            Side::Valid => &self.valid,
            Side::Test => &self.test,
        }
    }

    /// All rows, each with its side.
    pub fn all(&self) -> impl Iterator<Item = (Side, &Placed)> {
        Side::ALL.into_iter().flat_map(|side| self.side(side).iter().map(move |placed| (side, placed)))
    }

    /// Rows of each side.
    pub fn counts(&self) -> Sides {
        let rows = |side| self.side(side).len() as u64;
        Sides { train: rows(Side::Train), valid: rows(Side::Valid), test: rows(Side::Test) }
    }

    /// How many draws a pass over the training side is, on average, to the sixth decimal; `None` where each row is drawn once.
    pub fn weights_sum(&self) -> Option<f64> {
        let is_weighted = self.train.iter().any(|placed| placed.weight != 1.0);
        is_weighted.then(|| (self.train.iter().map(|placed| placed.weight).sum::<f64>() * 1e6).round() / 1e6)
    }

    /// The ids of the rows by the entry that each was made of; copies of one row are named once.
    pub fn by_entry(&self) -> BTreeMap<u32, Vec<RowId>> {
        let mut made: BTreeMap<u32, Vec<RowId>> = BTreeMap::new();
        for (_, placed) in self.all() {
            let ids = made.entry(placed.row.entry).or_default();
            if !ids.contains(&placed.id) {
                ids.push(placed.id);
            }
        }
        made
    }

    /// Writes a side's rows, one a line. A weight stands where it is not 1.
    ///
    /// # Errors
    /// The writer's.
    pub fn write(&self, side: Side, out: &mut impl Write) -> io::Result<()> {
        for Placed { row, weight, .. } in self.side(side) {
            let mut value = row.body.to_value();
            if *weight != 1.0 {
                value["weight"] = json!(weight);
            }
            serde_json::to_writer(&mut *out, &value)?;
            out.write_all(b"\n")?;
        }
        Ok(())
    }
}
