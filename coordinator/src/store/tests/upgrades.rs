//! Databases that earlier versions wrote: they go on, and are kept as they were.

use super::*;
use crate::core::{Mover, Snapshot};
use std::collections::BTreeSet;

/// Knows of nothing that befell machines, as schema 10 did.
fn to_schema_10(path: &Path) {
    let database = rusqlite::Connection::open(path).unwrap();
    database
        .execute_batch(
            "ALTER TABLE workers DROP COLUMN marks;
             ALTER TABLE jobs DROP COLUMN panics;
             PRAGMA user_version = 10;",
        )
        .unwrap();
}

/// Holds no worker, as schema 9 did: of workers there were no events.
fn to_schema_9(path: &Path) {
    to_schema_10(path);
    let database = rusqlite::Connection::open(path).unwrap();
    database
        .execute_batch(
            "ALTER TABLE workers DROP COLUMN hold;
             DELETE FROM journal WHERE kind = 'worker';
             PRAGMA user_version = 9;",
        )
        .unwrap();
}

/// Forgets who did what, as schema 8 did.
fn to_schema_8(path: &Path) {
    to_schema_9(path);
    let database = rusqlite::Connection::open(path).unwrap();
    for table in ["jobs", "artifacts", "moves"] {
        database.execute_batch(&format!("ALTER TABLE {table} DROP COLUMN principal;")).unwrap();
    }
    database.execute_batch("PRAGMA user_version = 8;").unwrap();
}

/// Forgets where tags have been, as schema 7 did.
fn to_schema_7(path: &Path) {
    to_schema_8(path);
    let database = rusqlite::Connection::open(path).unwrap();
    database
        .execute_batch(
            "CREATE TABLE tags (tag TEXT PRIMARY KEY NOT NULL, digest BLOB NOT NULL REFERENCES artifacts (digest)) STRICT;
             INSERT INTO tags SELECT tag, to_digest FROM moves GROUP BY tag HAVING number = max(number);
             DROP TABLE moves;
             PRAGMA user_version = 7;",
        )
        .unwrap();
}

/// That one database is what another was before its tags had a history: each tag is where it was, by a first move.
fn assert_same(now: Snapshot, before: Snapshot) {
    let tags = |snapshot: &Snapshot| {
        snapshot.index.tags().all().map(|(tag, digest)| (tag.to_owned(), digest)).collect::<Vec<_>>()
    };
    let artifacts = |snapshot: &Snapshot| {
        let all = snapshot.index.list(None, None);
        all.map(|(digest, artifact)| (digest, artifact.clone())).collect::<Vec<_>>()
    };
    assert!(!tags(&now).is_empty());
    assert_eq!((tags(&now), artifacts(&now)), (tags(&before), artifacts(&before)));
    for (tag, digest) in tags(&now) {
        let newest = now.index.tags().newest(&tag).unwrap();
        assert_eq!((newest.number, newest.from, newest.to), (1, None, digest));
    }
    let rest = |snapshot| Snapshot { index: Default::default(), ..snapshot };
    assert_eq!(rest(now), rest(before));
}

#[tokio::test]
async fn what_was_done_before_anybody_had_a_name_was_done_by_the_coordinator_s_own_machine() {
    let folder = tempfile::tempdir().unwrap();
    let (store, writer, _) = open(folder.path());
    busy(&store).await;
    let data = Command::Register { manifest: manifest(Kind::Dataset), tags: Vec::new(), by: "laptop".parse().unwrap() };
    store.apply(data).await.unwrap();
    store.stop().await;
    writer.ended().await.unwrap();
    to_schema_8(&folder.path().join("vertigo.db"));

    let (store, ..) = open(folder.path());
    let after = everything(&store).await;
    assert!(after.jobs.iter().all(|job| job.by == PrincipalName::local()));
    let moves: Vec<_> = after.moves.iter().map(|moved| (moved.by, moved.person.clone())).collect();
    let local = Some(PrincipalName::local());
    assert_eq!(moves[..2], [(Mover::Rollback, local.clone()), (Mover::Person, local.clone())]);
    assert!(matches!(moves[2], (Mover::Job(_), None)), "{moves:?}");
    let origins: Vec<_> =
        after.index.list(None, None).map(|(_, it)| (it.manifest.kind(), it.origin.person())).collect();
    assert!(origins.iter().all(|(kind, person)| person.is_some() == (*kind == Kind::Dataset)), "{origins:?}");
    assert!(origins.contains(&(Kind::Dataset, local.as_ref())));
    assert!(folder.path().join("vertigo.schema-8.db").exists());
}

#[tokio::test]
async fn a_tag_from_before_its_moves_were_kept_has_one_first_move_and_goes_on_from_there() {
    let folder = tempfile::tempdir().unwrap();
    let (store, writer, _) = open(folder.path());
    busy(&store).await;
    store.stop().await;
    writer.ended().await.unwrap();
    let path = folder.path().join("vertigo.db");
    let written = |path: &Path| Sqlite::open(path, None).unwrap().load().unwrap();
    let before = written(&path);
    to_schema_7(&path);
    assert_same(written(&path), before);
    assert!(folder.path().join("vertigo.schema-7.db").exists());

    let (store, ..) = open(folder.path());
    let checkpoint = manifest(Kind::Checkpoint).digest();
    let [there, back] = [Target::To(checkpoint), Target::Back].map(|target| {
        let (id, tag, expected) = (MoveId::new(), "mine".to_owned(), Expected::Whatever);
        Command::MoveTag(MoveTag { id, tag, target, expected, grounds: Grounds::default(), by: PrincipalName::local() })
    });
    store.apply(there).await.unwrap();
    store.apply(back.clone()).await.unwrap();
    let moves = store.moves("mine".to_owned(), None, 10).await.unwrap();
    let told: Vec<_> = moves.iter().map(|it| (it.number, it.by, it.to)).collect();
    let adapter = manifest(Kind::Adapter).digest();
    assert_eq!(told, [(3, Mover::Rollback, adapter), (2, Mover::Person, checkpoint), (1, Mover::Earlier, adapter)]);
    assert_eq!((moves[2].at, moves[2].from), (None, None));
    let Command::MoveTag(asked) = back else { unreachable!("it moves a tag") };
    let further = Command::MoveTag(MoveTag { id: MoveId::new(), ..asked });
    let refused = store.apply(further).await;
    assert!(matches!(refused, Err(ApplyError::Refused(Refusal::NothingBefore(_)))), "{refused:?}");
}

/// Makes ids and digests text, as they were in schema 4.
fn to_schema_4(path: &Path) {
    to_schema_7(path);
    let id = |column: &str| {
        let part = |first, length| format!("substr(lower(hex({column})), {first}, {length})");
        let parts = [(1, 8), (9, 4), (13, 4), (17, 4), (21, 12)].map(|(first, length)| part(first, length));
        format!("nullif({}, '----')", parts.join(" || '-' || "))
    };
    let digest = "'sha256:' || lower(hex(digest))";
    let labels = "coalesce((SELECT json_group_object(key, value) FROM labels WHERE labels.job = was_jobs.id), '{}')";
    let (of, job, worker) = (id("id"), id("job"), id("worker"));
    let (attempt, process) = (id("attempt"), id("process"));
    let rows = [
        (
            "jobs",
            format!(
                "{of}, name, state, until_ms, {attempt}, outputs, reason, priority, created_ms, ended_ms, {labels}, \
                 coalesce(own, (SELECT list FROM variants AS it WHERE it.id = shared)), epoch, \
                 crashes, retries, avoid, traceparent"
            ),
        ),
        (
            "attempts",
            format!(
                "{of}, {job}, epoch, {worker}, worker_name, variant, reserved, started_ms, ended_ms, outcome, peak, last_report"
            ),
        ),
        ("workers", format!("{of}, name, machine, last_seen_ms, cached")),
        ("installations", format!("{worker}, secret, {process}")),
        ("artifacts", format!("{digest}, kind, manifest, created_ms, {job}")),
        ("tags", format!("tag, {digest}")),
        ("journal", format!("seq, {job}, at_ms, epoch, kind, event")),
    ];
    let database = rusqlite::Connection::open(path).unwrap();
    database.pragma_update(None, "foreign_keys", false).unwrap();
    database.pragma_update(None, "legacy_alter_table", true).unwrap();
    let indexes = ["one_lease", "journal_of_job", "lines", "lines_of_job"];
    indexes.iter().for_each(|index| database.execute_batch(&format!("DROP INDEX {index}")).unwrap());
    for (table, _) in &rows {
        database.execute_batch(&format!("ALTER TABLE {table} RENAME TO was_{table}")).unwrap();
    }
    database.execute_batch("ALTER TABLE factors RENAME TO was_factors").unwrap();
    schema::STEPS[..2].iter().for_each(|step| database.execute_batch(step).unwrap());
    for (table, columns) in rows.iter().chain([&("factors", "*".to_owned())]) {
        database.execute_batch(&format!("INSERT INTO {table} SELECT {columns} FROM was_{table}")).unwrap();
        database.execute_batch(&format!("DROP TABLE was_{table}")).unwrap();
    }
    database.execute_batch("DROP TABLE labels; DROP TABLE variants; PRAGMA user_version = 4;").unwrap();
}

#[tokio::test]
async fn a_database_whose_ids_were_text_goes_on_and_lists_and_finds_what_it_had() {
    let folder = tempfile::tempdir().unwrap();
    let (store, writer, _) = open(folder.path());
    let ids = busy(&store).await;
    let before = everything(&store).await;
    let events = store.events(None, 0, Which::All, 1000).await.unwrap();
    store.stop().await;
    writer.ended().await.unwrap();
    let path = folder.path().join("vertigo.db");
    let written = |path: &Path| Sqlite::open(path, None).unwrap().load().unwrap();
    let snapshot = written(&path);
    to_schema_4(&path);
    assert_same(written(&path), snapshot);
    assert!(folder.path().join("vertigo.schema-4.db").exists());

    let (store, ..) = open(folder.path());
    assert_eq!(store.events(None, 0, Which::All, events.len()).await.unwrap(), events);
    let after = everything(&store).await;
    let ended = |all: Everything| all.jobs.into_iter().filter(|job| job.state.is_terminal()).collect::<Vec<_>>();
    assert_eq!(after.attempts.len(), before.attempts.len());
    assert_eq!(ended(after), ended(before));
    let labels = [("group".to_owned(), "g".to_owned())].into();
    let filter = JobFilter { labels, kind: Some(TaskKind::Train), ..JobFilter::default() };
    let listed = store.list(filter, None, 100).await.unwrap();
    assert_eq!(listed.iter().map(|listed| listed.id).collect::<BTreeSet<_>>(), ids.into());
    let named = store.read(|core| core.find_job("mine").unwrap().map(|job| job.id)).await.unwrap();
    assert_eq!(named, Some(ids[0]));
}

#[tokio::test]
async fn a_database_from_before_services_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let (store, writer, _) = open(folder.path());
    busy(&store).await;
    store.stop().await;
    writer.ended().await.unwrap();
    let path = folder.path().join("vertigo.db");
    let written = |path: &Path| Sqlite::open(path, None).unwrap().load().unwrap();
    let snapshot = written(&path);
    to_schema_7(&path);
    let database = rusqlite::Connection::open(&path).unwrap();
    database.execute_batch("ALTER TABLE attempts DROP COLUMN service; PRAGMA user_version = 6;").unwrap();
    drop(database);
    assert_same(written(&path), snapshot);
    assert!(folder.path().join("vertigo.schema-6.db").exists());
}

/// Makes the journal what it was in schema 3: a message of the protocol an event.
fn to_schema_3(path: &Path) {
    to_schema_4(path);
    let database = rusqlite::Connection::open(path).unwrap();
    database
        .execute_batch(
            "ALTER TABLE journal RENAME TO own_journal;
             DROP INDEX journal_of_job;
             CREATE TABLE journal (seq INTEGER PRIMARY KEY, job TEXT NOT NULL REFERENCES jobs (id), kind TEXT NOT NULL,
                                   event BLOB NOT NULL) STRICT;
             CREATE INDEX journal_of_job ON journal (job, seq);
             INSERT INTO journal SELECT seq, job, kind, x'0801' FROM own_journal;
             DROP TABLE own_journal;
             PRAGMA user_version = 3;",
        )
        .unwrap();
}

#[tokio::test]
async fn a_database_from_before_the_journal_s_own_format_goes_on_and_is_kept_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let (store, writer, _) = open(folder.path());
    let ids = busy(&store).await;
    store.stop().await;
    writer.ended().await.unwrap();
    let path = folder.path().join("vertigo.db");
    let written = |path: &Path| Sqlite::open(path, None).unwrap().load().unwrap();
    let before = written(&path);
    to_schema_3(&path);
    let copy = folder.path().join("vertigo.schema-3.db");
    // What an earlier try that was cut off has left.
    std::fs::write(&copy, "the beginning of a copy").unwrap();

    // Jobs, artifacts and the journal's position are what they were.
    assert_same(written(&path), before);
    let journal = Sqlite::open(&path, None).unwrap().records();
    for (job, _) in journal.jobs(&ids).unwrap() {
        let events = journal.events(Some(job.id), 0, Which::All, 10).unwrap();
        let standing = EventBody::State { state: job.state, reason: job.reason.clone(), by: None };
        assert_eq!(events.iter().map(|event| &event.body).collect::<Vec<_>>(), [&standing]);
        assert_eq!(events[0].epoch, job.epoch);
    }
    let kept = rusqlite::Connection::open(&copy).unwrap();
    let version: i64 = kept.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
    let lines: i64 = kept.query_row("SELECT count(*) FROM journal WHERE kind = 'log'", [], |row| row.get(0)).unwrap();
    assert_eq!((version, lines), (3, 1), "what was told before is still there");
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&copy).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    let (store, ..) = open(folder.path());
    assert!(matches!(store.read(move |core| core.job(ids[4]).unwrap().state.name()).await, Ok("leased")));
}

#[tokio::test]
async fn a_database_of_the_old_jobs_is_left_alone_and_says_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    for found in 1..=schema::BEFORE {
        let database = rusqlite::Connection::open(folder.path().join("vertigo.db")).unwrap();
        database.pragma_update(None, "user_version", found).unwrap();
        drop(database);
        let older = Store::open(folder.path(), SETTINGS, Box::new(Catalog), Box::new(|_, _| {})).err().unwrap();
        assert!(matches!(older, StoreError::Older { found: told, .. } if told == found), "{older}");
        assert!(older.to_string().contains("--state"), "{older}");
    }
}
