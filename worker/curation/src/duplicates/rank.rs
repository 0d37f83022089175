//! Which of rows that say the same thing stays.
//!
//! The best; of equally good ones the oldest, for later ones were made after it; then what their contents decide. The name of the file that
//! a row came from decides only between rows that are the same in everything.

use crate::row::{Row, RowId};
use serde_json::Value;
use std::cmp::{Ordering, Reverse};
use vertigo::id::Digest;

/// The fields that say when a row was made, the surest first; at the top of a row or in its `provenance`.
const TIMES: [&str; 3] = ["timestamp", "generated_at", "freshness_date"];

/// Numbers from here on are milliseconds and not seconds since 1970.
const MILLISECONDS_FROM: f64 = 1e11;

/// What decides, before the facts are looked at.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rank {
    quality: f64,
    /// In milliseconds since 1970.
    made: Option<i64>,
    pub(crate) id: RowId,
}

impl Rank {
    pub(crate) fn of(row: &Row, id: RowId, quality: f64) -> Rank {
        // No number is a quality of none.
        let quality = if quality.is_nan() { f64::NEG_INFINITY } else { quality };
        Rank { quality, made: made(row), id }
    }

    fn key(&self) -> (Reverse<Total>, bool, Option<i64>, RowId) {
        (Reverse(Total(self.quality)), self.made.is_none(), self.made, self.id)
    }
}

/// Which of two rows stays: the lesser one.
pub(crate) fn compare((row, rank): (&Row, &Rank), (other, theirs): (&Row, &Rank)) -> Ordering {
    let facts = |row: &Row| Digest::of(facts_text(row).as_bytes());
    let by_facts = || facts(row).cmp(&facts(other)).then(row.entry.cmp(&other.entry));
    rank.key().cmp(&theirs.key()).then_with(by_facts)
}

/// The facts in the order of their names: how a line was written decides nothing.
fn facts_text(row: &Row) -> String {
    let mut facts: Vec<_> = row.facts.iter().map(|(key, value)| format!("{key}\u{0}{value}")).collect();
    facts.sort_unstable();
    facts.join("\u{0}")
}

/// Floats in the order of numbers.
#[derive(PartialEq)]
struct Total(f64);

impl Eq for Total {}

impl PartialOrd for Total {
    fn partial_cmp(&self, other: &Total) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Total {
    fn cmp(&self, other: &Total) -> Ordering {
        self.0.total_cmp(&other.0)
    }
}

/// When a row was made, in milliseconds since 1970, as the first field says it that says a time.
fn made(row: &Row) -> Option<i64> {
    let provenance = row.facts.get("provenance");
    TIMES.iter().find_map(|key| time(row.facts.get(*key)).or_else(|| time(provenance?.get(*key))))
}

fn time(value: Option<&Value>) -> Option<i64> {
    match value? {
        Value::Number(number) => {
            let number = number.as_f64()?;
            Some(if number.abs() < MILLISECONDS_FROM { number * 1000.0 } else { number } as i64)
        }
        Value::String(text) => {
            // What names no zone is taken for UTC, and a day for its beginning.
            let written = [text.clone(), format!("{text}Z"), format!("{text}T00:00:00Z")];
            let parsed = written.iter().find_map(|text| text.parse::<jiff::Timestamp>().ok());
            parsed.map(jiff::Timestamp::as_millisecond)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::row::Body;
    use serde_json::json;

    fn row(facts: Value) -> Row {
        let Value::Object(facts) = facts else { panic!("{facts}") };
        Row { entry: 0, body: Body::Text("x".to_owned()), facts }
    }

    fn stays(one: &Row, quality: f64, other: &Row, theirs: f64) -> Ordering {
        let rank = |row: &Row, quality| Rank::of(row, row.body.id(), quality);
        compare((one, &rank(one, quality)), (other, &rank(other, theirs)))
    }

    #[test]
    fn a_time_is_read_however_it_is_written() {
        let at = |facts| made(&row(facts));
        let noon = Some(1_773_576_000_000);
        assert_eq!(at(json!({"timestamp": "2026-03-15T12:00:00"})), noon);
        assert_eq!(at(json!({"generated_at": "2026-03-15T13:00:00.000+01:00"})), noon);
        assert_eq!(at(json!({"provenance": {"freshness_date": 1_773_576_000}})), noon);
        assert_eq!(at(json!({"timestamp": 1_773_576_000_000i64})), noon);
        assert_eq!(at(json!({"freshness_date": "2026-03-15"})), Some(1_773_532_800_000));
        assert_eq!(at(json!({"timestamp": "yesterday", "generated_at": "2026-03-15"})), Some(1_773_532_800_000));
        assert_eq!(at(json!({"timestamp": null, "provenance": "x"})), None);
    }

    #[test]
    fn the_best_stays_then_the_oldest_and_one_of_no_age_after_all_that_have_one() {
        let (old, new, none) = (row(json!({"timestamp": 1})), row(json!({"timestamp": 2})), row(json!({})));
        assert_eq!(stays(&new, 0.9, &old, 0.1), Ordering::Less);
        assert_eq!(stays(&old, 0.5, &new, 0.5), Ordering::Less);
        assert_eq!(stays(&new, 0.5, &none, 0.5), Ordering::Less);
        assert_eq!(stays(&old, f64::NAN, &none, -5.0), Ordering::Greater);
    }

    #[test]
    fn the_order_in_which_facts_were_written_decides_nothing() {
        let (one, other) = (row(json!({"a": 1, "b": 2})), row(json!({"b": 2, "a": 1})));
        assert_eq!(stays(&one, 0.0, &other, 0.0), Ordering::Equal);
        assert_ne!(stays(&one, 0.0, &row(json!({"a": 2})), 0.0), Ordering::Equal);
    }
}
