//! What is SQLite's alone: pragmas, constraints, plans of queries.

use super::super::durable::Which;
use super::super::listing::JobFilter;
use super::super::tests::{SETTINGS, submit};
use super::*;
use crate::core::{Command, Connect, EventBody, Machine, Moment, NoArchive, Report, ReportBody, SessionId};
use crate::kinds::Catalog;
use crate::store::StoreError;
use rusqlite::params;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use tempfile::TempDir;
use vertigo::bytes::Bytes;
use vertigo::id::{AttemptId, Epoch, JobId, Millis, ProcessId, WorkerId};
use vertigo::secret::Secret;
use vertigo::task::{Cure, Failure, TaskKind};

#[test]
fn a_lease_follows_another_in_one_batch_whatever_their_ids() {
    let folder = tempfile::tempdir().unwrap();
    let mut database = Sqlite::open(&folder.path().join("vertigo.db"), None).unwrap();
    let at = |ms| Moment { now: Millis(ms), jitter: 0.5 };
    // The second attempt has the smaller id, as after a restart with the clock set back.
    let [second, first] = ["01900000-0000-7000-8000-000000000001", "01900000-0000-7000-8000-000000000002"];
    let mut ids = [first, second].map(|id| id.parse::<AttemptId>().unwrap()).into_iter();
    let mut core = Core::restore(SETTINGS, Box::new(Catalog), Arc::new(NoArchive), Snapshot::default(), Millis(1));
    let (session, worker, job) = (SessionId(1), WorkerId::new(), JobId::new());
    let machine = Machine { usable: Bytes(100), gpu_slots: 1, ..Machine::default() };
    let (secret, process, name) = (Secret::from([1; 32]).hash(), ProcessId::new(), "mac".to_owned());
    let hello = Connect {
        session,
        worker,
        secret,
        process,
        name,
        machine,
        held: Vec::new(),
        away: None,
        conditions: Default::default(),
        reboots: Vec::new(),
    };
    core.apply(at(1), Command::Connect(hello)).unwrap();
    core.apply(at(1), submit(job, None)).unwrap();
    core.place(Millis(1), &mut ids);
    let effects = core.take_effects();
    database.commit(&core, &effects).unwrap();

    let attempt = core.job(job).unwrap().attempts[0];
    let failure = Failure::new(Cure::MoreMemory, "", "no memory");
    let body = ReportBody::Finished { peak: Bytes(20), outcome: Err(failure) };
    let reports = vec![Report { number: 1, body, at: Millis(7) }];
    core.apply(at(2), Command::Reports { session, attempt, epoch: Epoch(1), reports }).unwrap();
    core.place(Millis(2), &mut ids);
    let effects = core.take_effects();
    database.commit(&core, &effects).unwrap();
    let attempts = database.load().unwrap().attempts;
    assert_eq!(attempts.iter().map(|a| a.id.to_string()).collect::<Vec<_>>(), [first, second]);
}

#[test]
fn a_commit_is_on_the_disk_and_not_in_a_cache() {
    let folder = tempfile::tempdir().unwrap();
    let database = Sqlite::open(&folder.path().join("vertigo.db"), None).unwrap();
    let set = |pragma: &str| database.connection.pragma_query_value(None, pragma, |row| row.get::<_, i64>(0)).unwrap();
    // 2 is FULL.
    assert_eq!(["synchronous", "fullfsync", "checkpoint_fullfsync"].map(set), [2, 1, 1]);
}

/// Two jobs of a database, and an event of each.
fn with_events(database: &mut Sqlite) -> [JobId; 2] {
    let mut core = Core::restore(SETTINGS, Box::new(Catalog), Arc::new(NoArchive), Snapshot::default(), Millis(1));
    let ids = [JobId::new(), JobId::new()];
    for id in ids {
        core.apply(Moment { now: Millis(1), jitter: 0.5 }, submit(id, None)).unwrap();
    }
    let effects = core.take_effects();
    database.commit(&core, &effects).unwrap();
    ids
}

#[test]
fn no_page_walks_over_events_that_it_does_not_show() {
    let folder = tempfile::tempdir().unwrap();
    let database = Sqlite::open(&folder.path().join("vertigo.db"), None).unwrap();
    for (of_job, which, walked) in [
        (true, Which::All, "journal_of_job (job=? AND seq>?)"),
        (true, Which::Logs, "lines_of_job (job=? AND seq>?)"),
        (false, Which::All, "INTEGER PRIMARY KEY (rowid>?)"),
        (false, Which::Logs, "lines (kind=? AND seq>?)"),
    ] {
        let plan = plan(&database, journal::query(of_job, which), params![of_job.then_some([1_u8; 16]), 0, 10]);
        assert!(plan.len() == 1 && plan[0].starts_with("SEARCH") && plan[0].ends_with(walked), "{which:?}: {plan:?}");
    }
}

/// How SQLite goes about a query.
fn plan(database: &Sqlite, query: &str, values: impl rusqlite::Params) -> Vec<String> {
    let mut statement = database.connection.prepare(&format!("EXPLAIN QUERY PLAN {query}")).unwrap();
    statement.query_map(values, |row| row.get("detail")).unwrap().collect::<Result<_, _>>().unwrap()
}

#[test]
fn a_page_of_jobs_begins_where_the_last_one_ended_and_sorts_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let database = Sqlite::open(&folder.path().join("vertigo.db"), None).unwrap();
    let labels = |value: &str| [("group".to_owned(), value.to_owned())].into();
    let by = |states: &[&'static str], kind, labels| JobFilter {
        states: states.iter().copied().collect(),
        kind,
        labels,
        since: Millis(5),
    };
    let range = "created_ms>? AND (created_ms,id)<(?,?))";
    let (none, train) = (BTreeMap::new(), Some(TaskKind::Train));
    for (filter, walked) in [
        (by(&[], None, none.clone()), format!("SEARCH jobs USING COVERING INDEX jobs_by_age ({range}")),
        (by(&["queued", "failed"], None, none.clone()), format!("jobs_by_state (state=? AND {range}")),
        (by(&["queued"], train, none.clone()), format!("jobs_by_state (state=? AND {range}")),
        (by(&[], train, none), format!("jobs_by_kind (kind=? AND {range}")),
        (by(&[], None, labels("")), format!("jobs_by_age ({range}")),
        (
            by(&["queued"], train, labels("v")),
            "PRIMARY KEY (key=? AND value=? AND created_ms>? AND (created_ms,job)<(?,?))".to_owned(),
        ),
    ] {
        for query in pages::Query::all(&filter, None, 10) {
            let plan = plan(&database, &query.text, rusqlite::params_from_iter(query.values));
            assert!(plan[0].starts_with("SEARCH") && plan[0].contains(&walked), "{filter:?}: {plan:?}");
            assert!(plan.iter().all(|step| !step.contains("TEMP B-TREE") && !step.starts_with("SCAN ")), "{plan:?}");
        }
    }
}

#[test]
fn what_has_ended_is_looked_up_and_not_looked_for() {
    let folder = tempfile::tempdir().unwrap();
    let database = Sqlite::open(&folder.path().join("vertigo.db"), None).unwrap();
    for (query, walked) in [
        ("SELECT * FROM attempts WHERE id = x'00'", "sqlite_autoindex_attempts_1 (id=?)"),
        ("SELECT * FROM attempts WHERE job = x'00' ORDER BY epoch", "sqlite_autoindex_attempts_2 (job=?)"),
        ("SELECT * FROM labels WHERE job = x'00'", "labels_of_job (job=?)"),
        (jobs::NEWEST_NAMED, "jobs_by_name (name=?)"),
        (jobs::BEGINNING, "sqlite_autoindex_jobs_1 (id>? AND id<?)"),
        (moves::PAGE, "sqlite_autoindex_moves_2 (tag=? AND number<?)"),
        (moves::ONE, "sqlite_autoindex_moves_1 (id=?)"),
    ] {
        let values = vec![0; query.matches('?').count()];
        let plan = plan(&database, query, rusqlite::params_from_iter(values));
        assert!(plan.len() == 1 && plan[0].starts_with("SEARCH") && plan[0].ends_with(walked), "{query}: {plan:?}");
    }
}

#[test]
fn an_event_that_a_later_version_wrote_is_named_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let mut database = Sqlite::open(&folder.path().join("vertigo.db"), None).unwrap();
    let [job, other] = with_events(&mut database);
    let change = "UPDATE journal SET event = ?1 WHERE job = ?2";
    let later = r#"{"v":3,"happened":[]}"#;
    database.connection.execute(change, params![later, job.0.into_bytes()]).unwrap();
    let error = database.records().events(None, 0, Which::All, 10).unwrap_err();
    assert!(matches!(error, StoreError::NewerEvent { seq: 1, found: 3, known: 2 }), "{error}");
    assert!(error.to_string().contains("run a newer vertigo-coordinator"), "{error}");
    let of_other = database.records().events(Some(other), 0, Which::All, 10).unwrap();
    assert!(matches!(&of_other[..], [event] if matches!(event.body, EventBody::State { .. })), "{of_other:?}");
    database.connection.execute(change, params!["{}", job.0.into_bytes()]).unwrap();
    let error = database.records().events(Some(job), 0, Which::All, 10).unwrap_err();
    assert!(matches!(error, StoreError::Corrupt { table: "journal", .. }), "{error}");
}

/// What a process leaves that is killed, or loses its power, when `bytes` of its log have reached the disk.
fn cut_off(folder: &Path, bytes: usize) -> TempDir {
    let left = tempfile::tempdir().unwrap();
    fs::copy(folder.join("vertigo.db"), left.path().join("vertigo.db")).unwrap();
    let log = fs::read(folder.join("vertigo.db-wal")).unwrap();
    fs::write(left.path().join("vertigo.db-wal"), &log[..bytes]).unwrap();
    left
}

#[test]
fn a_commit_that_was_cut_off_anywhere_took_nothing_and_the_one_before_it_is_whole() {
    let folder = tempfile::tempdir().unwrap();
    let mut database = Sqlite::open(&folder.path().join("vertigo.db"), None).unwrap();
    let log = || fs::metadata(folder.path().join("vertigo.db-wal")).unwrap().len() as usize;
    let [first, second] = [JobId::new(), JobId::new()];
    let mut core = Core::restore(SETTINGS, Box::new(Catalog), Arc::new(NoArchive), Snapshot::default(), Millis(1));
    let mut ends = Vec::new();
    for id in [first, second] {
        core.apply(Moment { now: Millis(1), jitter: 0.5 }, submit(id, None)).unwrap();
        let effects = core.take_effects();
        database.commit(&core, &effects).unwrap();
        ends.push(log());
    }
    assert!(ends[0] < ends[1], "the log has not begun anew");
    let step = (ends[1] - ends[0]) / 40;
    let cuts = (ends[0]..ends[1]).step_by(step.max(1)).chain([ends[1] - 1, ends[1]]);
    for cut in cuts {
        let left = cut_off(folder.path(), cut);
        let mut found = Sqlite::open(&left.path().join("vertigo.db"), None).unwrap();
        let jobs: Vec<JobId> = found.load().unwrap().jobs.into_iter().map(|job| job.id).collect();
        let told: Vec<JobId> = found
            .records()
            .events(None, 0, Which::All, 10)
            .unwrap()
            .into_iter()
            .filter_map(|event| event.job)
            .collect();
        let expected = if cut < ends[1] { vec![first] } else { vec![first, second] };
        assert_eq!((jobs, told), (expected.clone(), expected), "{cut} of {ends:?}");
    }
}

#[test]
fn a_commit_that_fails_in_its_last_statement_took_none_of_those_before() {
    let folder = tempfile::tempdir().unwrap();
    let mut database = Sqlite::open(&folder.path().join("vertigo.db"), None).unwrap();
    let [known, _] = with_events(&mut database);
    let before = database.load().unwrap();
    let mut core = Core::restore(SETTINGS, Box::new(Catalog), Arc::new(NoArchive), Snapshot::default(), Millis(1));
    // Its position in the journal is taken, which shows when the job is written already.
    core.apply(Moment { now: Millis(1), jitter: 0.5 }, submit(JobId::new(), None)).unwrap();
    let effects = core.take_effects();
    assert!(matches!(database.commit(&core, &effects), Err(StoreError::Sqlite(_))));
    assert_eq!(database.load().unwrap(), before);
    assert_eq!(database.records().events(Some(known), 0, Which::All, 10).unwrap().len(), 1);
}
