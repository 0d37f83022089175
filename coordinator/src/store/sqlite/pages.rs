//! Pages of lists of jobs.
//!
//! Each query walks one index that is in the order of the list, from where the page begins, and stops when the page is full. What the index
//! does not say is looked up for each job that is walked over.

use super::super::StoreError;
use super::super::listing::{JobFilter, Listed};
use super::columns::int;
use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};
use std::cmp::Reverse;
use uuid::Uuid;
use vertigo::id::{JobId, Millis};

/// A page behind `after`, newest first.
pub(super) fn page(
    connection: &Connection,
    filter: &JobFilter,
    after: Option<Listed>,
    limit: usize,
) -> Result<Vec<Listed>, StoreError> {
    let mut found = Vec::new();
    for query in Query::all(filter, after, limit) {
        let mut statement = connection.prepare_cached(&query.text)?;
        let listed = statement.query_map(params_from_iter(query.values), |row| {
            let created = row.get::<_, i64>(0)?;
            Ok(Listed { created: Millis(created as u64), id: JobId(Uuid::from_bytes(row.get(1)?)) })
        })?;
        found.extend(listed.collect::<Result<Vec<_>, _>>()?);
    }
    found.sort_unstable_by_key(|listed| Reverse(*listed));
    found.truncate(limit);
    Ok(found)
}

/// A query and its parameters, in order.
#[derive(Debug, Default)]
pub(super) struct Query {
    pub(super) text: String,
    pub(super) values: Vec<Value>,
}

impl Query {
    /// The queries whose first `limit` results together hold the page: one, or one for each state.
    pub(super) fn all(filter: &JobFilter, after: Option<Listed>, limit: usize) -> Vec<Query> {
        if filter.states.is_empty() || labelled(filter).is_some() {
            return vec![Query::new(filter, None, after, limit)];
        }
        filter.states.iter().map(|state| Query::new(filter, Some(state), after, limit)).collect()
    }

    fn new(filter: &JobFilter, state: Option<&str>, after: Option<Listed>, limit: usize) -> Query {
        let mut query = Query::default();
        let label = labelled(filter);
        let of_kind = filter.kind.filter(|_| state.is_none() && label.is_none());
        let (source, age, id) = match (label, state, of_kind) {
            (Some(_), ..) => ("labels CROSS JOIN jobs ON jobs.id = labels.job", "labels.created_ms", "labels.job"),
            (None, Some(_), _) => ("jobs INDEXED BY jobs_by_state", "created_ms", "id"),
            (None, None, Some(_)) => ("jobs INDEXED BY jobs_by_kind", "created_ms", "id"),
            (None, None, None) => ("jobs INDEXED BY jobs_by_age", "created_ms", "id"),
        };
        // Behind nothing: behind what is later than any time.
        let (before, than) = after.map_or((i64::MAX, [0; 16]), |it| (int(it.created.0), it.id.0.into_bytes()));
        query.text = format!("SELECT {age}, {id} FROM {source} WHERE ({age}, {id}) < (");
        query
            .value(before)
            .text(", ")
            .value(than.to_vec())
            .text(&format!(") AND {age} >= "))
            .value(int(filter.since.0));
        if let Some((key, value)) = label {
            query.text(" AND labels.key = ").value(key.clone()).text(" AND labels.value = ").value(value.clone());
        }
        query.states(filter, state);
        if let Some(kind) = filter.kind {
            query.text(" AND jobs.kind = ").value(kind.as_str().to_owned());
        }
        for (key, value) in filter.labels.iter().filter(|it| Some(*it) != label) {
            query
                .text(" AND EXISTS (SELECT 1 FROM labels AS it WHERE it.job = jobs.id AND it.key = ")
                .value(key.clone());
            if !value.is_empty() {
                query.text(" AND it.value = ").value(value.clone());
            }
            query.text(")");
        }
        query.text(&format!(" ORDER BY {age} DESC, {id} DESC LIMIT ")).value(int(limit as u64));
        query
    }

    /// The state whose index is walked, or where another index is, any of those that are asked for.
    fn states(&mut self, filter: &JobFilter, state: Option<&str>) {
        let states: Vec<&str> = state.map_or_else(|| filter.states.iter().copied().collect(), |state| vec![state]);
        if states.is_empty() {
            return;
        }
        self.text(" AND jobs.state IN (");
        for (n, state) in states.into_iter().enumerate() {
            self.text(if n == 0 { "" } else { ", " }).value(state.to_owned());
        }
        self.text(")");
    }

    fn text(&mut self, text: &str) -> &mut Query {
        self.text.push_str(text);
        self
    }

    fn value(&mut self, value: impl Into<Value>) -> &mut Query {
        self.text.push('?');
        self.values.push(value.into());
        self
    }
}

/// The label whose jobs are walked: the first that has a value, by which there is an index.
fn labelled(filter: &JobFilter) -> Option<(&String, &String)> {
    filter.labels.iter().find(|(_, value)| !value.is_empty())
}
