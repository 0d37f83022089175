//! The store on a real file.

mod upgrades;

use super::*;
use crate::core::{
    Connect, Expected, FactorKey, Found, Grounds, Input, Job, Machine, Made, MemoryPart, MoveTag, Need, Outgoing,
    Report, ReportBody, SessionId, Source, Started, Step, Submit, Target, Task, Variant,
};
use crate::kinds::Catalog;
use std::sync::Mutex;
use vertigo::bytes::Bytes;
use vertigo::caveats::Caveats;
use vertigo::id::{AttemptId, Digest, Epoch, Millis, MoveId, ProcessId, WorkerId};
use vertigo::manifest::{FileEntry, Kind, Manifest};
use vertigo::principal::PrincipalName;
use vertigo::secret::Secret;
use vertigo::task::{Cure, Failure, Slot, TaskKind};

pub(super) const SETTINGS: Settings = Settings { lease_ms: 60_000 };

type Sent = Arc<Mutex<Vec<(SessionId, Outgoing)>>>;

pub(super) fn open(folder: &Path) -> (Store, Writer, Sent) {
    let sent = Sent::default();
    let outbox = Arc::clone(&sent);
    let outbox: Outbox = Box::new(move |session, message| outbox.lock().unwrap().push((session, message)));
    let (store, writer) = Store::open(folder, SETTINGS, Box::new(Catalog), outbox).unwrap();
    (store, writer, sent)
}

/// The kinds that a coordinator knows.
pub(super) fn kinds() -> Box<dyn Kinds> {
    Box::new(Catalog)
}

/// A job of one variant, with all that a row of it holds.
pub(crate) fn submit(id: JobId, name: Option<&str>) -> Command {
    Command::Submit(vec![job(id, name, Some("data"))])
}

/// A job that reads what another makes.
fn submit_reader(id: JobId, source: JobId) -> Command {
    let mut reader = job(id, None, None);
    let source = Source::Output { job: source, role: "adapter".to_owned() };
    reader.variants[0].inputs.push(Input { role: "data".to_owned(), source, artifact: None });
    Command::Submit(vec![reader])
}

fn job(id: JobId, name: Option<&str>, data: Option<&str>) -> Submit {
    let input = |role: &str| Input {
        role: role.to_owned(),
        source: Source::Artifact,
        artifact: Some(Found { digest: Digest::of(role.as_bytes()), bytes: Bytes(1) }),
    };
    let need = Need {
        method: "full".to_owned(),
        engine: "1".to_owned(),
        parts: vec![MemoryPart { name: "weights".to_owned(), bytes: Bytes(10) }],
        factor: 1.0,
        disk: Bytes(7),
        slot: Slot::Gpu,
    };
    let variant = Variant {
        name: "r".to_owned(),
        task: Task { kind: TaskKind::Train, message: vec![1, 2, 255] },
        model: "m".to_owned(),
        inputs: ["base"].into_iter().chain(data).map(input).collect(),
        need: Some(need),
        raised: None,
        resume: None,
        began_anew: false,
        caveats: None,
    };
    Submit {
        id,
        name: name.map(str::to_owned),
        priority: 1,
        labels: [("group".to_owned(), "g".to_owned())].into(),
        variants: vec![variant],
        traceparent: "00-1-2-01".to_owned(),
        by: PrincipalName::local(),
    }
}

async fn connect(store: &Store, session: u64, name: &str) -> SessionId {
    let session = SessionId(session);
    let machine = Machine { usable: Bytes(100), chip: "M5 Max".to_owned(), gpu_slots: 1, ..Machine::default() };
    let (secret, process) = (Secret::from([1; 32]).hash(), ProcessId::new());
    let (worker, name) = (WorkerId::new(), name.to_owned());
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
    store.apply(Command::Connect(hello)).await.unwrap();
    session
}

fn manifest(kind: Kind) -> Manifest {
    let file = FileEntry { path: "f".to_owned(), digest: Digest::of(b"f"), bytes: Bytes(1) };
    Manifest::new(kind, vec![file], Default::default()).unwrap()
}

/// The job's live attempt says something.
async fn say(store: &Store, session: SessionId, job: JobId, body: ReportBody) -> AttemptId {
    let (attempt, epoch, number) = store
        .read(move |core| {
            let job = core.job(job).unwrap();
            let attempt = core.attempt(*job.attempts.last().unwrap()).unwrap();
            (attempt.id, attempt.epoch, attempt.last_report + 1)
        })
        .await
        .unwrap();
    let reports = vec![Report { number, at: Millis(7), body }];
    store.apply(Command::Reports { session, attempt, epoch, reports }).await.unwrap();
    attempt
}

#[derive(Debug, PartialEq)]
pub(super) struct Everything {
    pub(super) jobs: Vec<Job>,
    pub(super) attempts: Vec<String>,
    workers: Vec<(WorkerId, String, Machine)>,
    index: crate::core::Index,
    moves: Vec<Move>,
    factor: f64,
    pub(super) last_seq: u64,
}

pub(super) async fn everything(store: &Store) -> Everything {
    let listed = store.list(JobFilter::default(), None, usize::MAX).await.unwrap();
    let rows = store.jobs(listed.into_iter().map(|listed| listed.id).collect()).await.unwrap();
    let moves = store.moves("mine".to_owned(), None, usize::MAX).await.unwrap();
    store
        .read(|core| Everything {
            moves,
            attempts: rows.iter().flat_map(|(_, attempts)| attempts).map(|attempt| format!("{attempt:?}")).collect(),
            jobs: rows.into_iter().map(|(job, _)| Job { reason: String::new(), ..job }).collect(),
            workers: core.workers().map(|w| (w.id, w.name.clone(), w.machine.clone())).collect(),
            index: core.index().clone(),
            factor: core.factors().factor(&FactorKey { method: "full".to_owned(), engine: "1".to_owned() }),
            last_seq: core.last_seq(),
        })
        .await
        .unwrap()
}

/// Jobs in every state, a tag that a person has moved to a checkpoint and back, a learned factor.
pub(super) async fn busy(store: &Store) -> [JobId; 7] {
    let ids: [JobId; 7] = std::array::from_fn(|_| JobId::new());
    let session = connect(store, 1, "mac").await;
    let failure = |cure| {
        let failure = Failure::new(cure, "diverged", "it failed");
        ReportBody::Finished { peak: Bytes(3), outcome: Err(failure) }
    };
    // Succeeded.
    store.apply(submit(ids[0], Some("mine"))).await.unwrap();
    let caveats = Caveats { skipped_examples: 2, cut_tokens: u64::MAX, ..Caveats::default() };
    let started = Started { caveats: Some(caveats), ..Started::default() };
    say(store, session, ids[0], ReportBody::Started(started)).await;
    say(store, session, ids[0], ReportBody::Log("hello".to_owned())).await;
    say(store, session, ids[0], ReportBody::Step(Step { peak: Bytes(4), ..Step::default() })).await;
    say(store, session, ids[0], ReportBody::Checkpoint { iter: 3, artifact: manifest(Kind::Checkpoint) }).await;
    let output = |role: &str| (role.to_owned(), manifest(Kind::Adapter));
    let made = Made { outputs: vec![output("adapter"), output("best")], remark: String::new() };
    let success = ReportBody::Finished { peak: Bytes(12), outcome: Ok(made) };
    say(store, session, ids[0], success).await;
    let checkpoint = manifest(Kind::Checkpoint).digest();
    for target in [Target::To(checkpoint), Target::Back] {
        let (reason, decision) = ("because ü".to_owned(), Some("{\"holds\": false}".to_owned()));
        let grounds = Grounds { reason, is_forced: true, evidence: vec![checkpoint], decision };
        let (id, tag, expected) = (MoveId::new(), "mine".to_owned(), Expected::Whatever);
        store
            .apply(Command::MoveTag(MoveTag { id, tag, target, expected, grounds, by: PrincipalName::local() }))
            .await
            .unwrap();
    }
    // Failed, in backoff, cancelled, leased, queued, blocked.
    store.apply(submit(ids[1], None)).await.unwrap();
    say(store, session, ids[1], failure(Cure::Never)).await;
    store.apply(submit(ids[2], None)).await.unwrap();
    say(store, session, ids[2], failure(Cure::AnotherMachine)).await;
    store.apply(submit(ids[3], None)).await.unwrap();
    store.apply(Command::Cancel { job: ids[3], by: PrincipalName::local() }).await.unwrap();
    store.apply(Command::Heartbeat { session, free: Bytes::ZERO, disk_free: None, held: Vec::new() }).await.unwrap();
    store.apply(submit(ids[4], None)).await.unwrap();
    store.apply(submit(ids[5], None)).await.unwrap();
    store.apply(submit_reader(ids[6], ids[5])).await.unwrap();
    ids
}

#[tokio::test]
async fn what_was_answered_is_there_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let (store, writer, _) = open(folder.path());
    let ids = busy(&store).await;
    let before = everything(&store).await;
    let state = |id: JobId| before.jobs.iter().find(|job| job.id == id).unwrap().state.name();
    // The one in backoff may have gone on by now; any state comes back the same.
    let expected = ["succeeded", "failed", "cancelled", "leased", "queued", "blocked"];
    assert_eq!([0, 1, 3, 4, 5, 6].map(|n| state(ids[n])), expected);
    assert_eq!(before.factor, 1.2);
    store.stop().await;
    writer.ended().await.unwrap();
    assert_eq!(store.read(|_| ()).await, Err(Stopped));
    assert_eq!(store.apply(submit(JobId::new(), None)).await, Err(ApplyError::Stopped(Stopped)));

    let (store, writer, _) = open(folder.path());
    let after = everything(&store).await;
    // What is queued learns anew why it waits, which is an event; a backoff may have ended.
    assert!(after.last_seq >= before.last_seq);
    let settled = |all: Everything| Everything {
        jobs: all.jobs.into_iter().filter(|job| job.id != ids[2]).collect(),
        last_seq: 0,
        ..all
    };
    assert_eq!(settled(after), settled(before));
    store.stop().await;
    writer.ended().await.unwrap();
}

#[tokio::test]
async fn dropping_every_handle_ends_the_writer_and_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (store, writer, _) = open(folder.path());
    let ids: Vec<_> = (0..300).map(|_| JobId::new()).collect();
    let all = ids.iter().map(|id| store.apply(submit(*id, None)));
    assert!(futures::future::join_all(all).await.iter().all(Result::is_ok));
    drop(store);
    writer.ended().await.unwrap();
    let (store, ..) = open(folder.path());
    let found = store.read(|core| core.jobs().map(|job| job.id).collect::<Vec<_>>()).await.unwrap();
    let mut newest_first = ids;
    newest_first.sort_unstable_by(|a, b| b.cmp(a));
    assert_eq!(found, newest_first);
}

#[tokio::test]
async fn a_job_s_events_are_read_from_any_position_and_logs_by_themselves() {
    let folder = tempfile::tempdir().unwrap();
    let (store, ..) = open(folder.path());
    let ids = busy(&store).await;
    let all = store.events(Some(ids[0]), 0, Which::All, 1000).await.unwrap();
    assert!(all.windows(2).all(|pair| pair[0].seq < pair[1].seq));
    let states: Vec<_> = all
        .iter()
        .filter_map(|event| match event.body {
            EventBody::State { state, .. } => Some(state.name()),
            _ => None,
        })
        .collect();
    assert_eq!(states, ["queued", "leased", "succeeded"]);
    assert!(all.iter().any(|event| matches!(&event.body, EventBody::Placed { worker, .. } if worker == "mac")));
    let checkpoint = manifest(Kind::Checkpoint).digest();
    let names = |event: &Event| match &event.body {
        EventBody::Report(report) => report.body == ReportBody::Checkpoint { iter: 3, artifact: checkpoint },
        _ => false,
    };
    assert!(all.iter().any(names), "an event has the artifact's digest for its manifest");
    let rest = store.events(Some(ids[0]), all[2].seq, Which::All, 2).await.unwrap();
    assert_eq!(rest, all[3..5]);
    let logs = store.events(Some(ids[0]), 0, Which::Logs, 1000).await.unwrap();
    assert_eq!(logs.len(), 1);
    assert_eq!(store.events(Some(JobId::new()), 0, Which::All, 1000).await.unwrap(), []);
    assert!(*store.committed().borrow() >= all.last().unwrap().seq);
}

#[tokio::test]
async fn events_of_all_jobs_are_one_feed_in_the_order_of_their_positions() {
    let folder = tempfile::tempdir().unwrap();
    let (store, ..) = open(folder.path());
    let ids = busy(&store).await;
    let all = store.events(None, 0, Which::All, 1000).await.unwrap();
    assert!(all.windows(2).all(|pair| pair[0].seq < pair[1].seq));
    for id in ids {
        let of_job: Vec<_> = all.iter().filter(|event| event.job == Some(id)).cloned().collect();
        assert!(!of_job.is_empty());
        assert_eq!(store.events(Some(id), 0, Which::All, 1000).await.unwrap(), of_job);
    }
    let rest = store.events(None, all[2].seq, Which::All, 3).await.unwrap();
    assert_eq!(rest, all[3..6]);
    let logs = store.events(None, 0, Which::Logs, 1000).await.unwrap();
    assert_eq!(logs, store.events(Some(ids[0]), 0, Which::Logs, 1000).await.unwrap());
}

#[tokio::test]
async fn messages_go_after_the_commit_that_caused_them() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("vertigo.db");
    // Each message looks, as it goes, whether its attempt is on disk.
    let seen = Arc::new(Mutex::new(Vec::new()));
    let outbox: Outbox = Box::new({
        let seen = Arc::clone(&seen);
        move |_, message| {
            if let Outgoing::Assignment(assignment) = message {
                let reader = rusqlite::Connection::open(&path).unwrap();
                let query = "SELECT count(*) FROM attempts WHERE id = ?1";
                let there: i64 =
                    reader.query_row(query, [assignment.attempt.0.into_bytes()], |row| row.get(0)).unwrap();
                seen.lock().unwrap().push((there, assignment.epoch));
            }
        }
    });
    let (store, _writer) = Store::open(folder.path(), SETTINGS, Box::new(Catalog), outbox).unwrap();
    connect(&store, 1, "mac").await;
    store.apply(submit(JobId::new(), None)).await.unwrap();
    assert_eq!(*seen.lock().unwrap(), [(1, Epoch(1))]);
}

#[tokio::test]
async fn an_artifact_that_reads_back_as_another_is_not_taken_for_it() {
    let folder = tempfile::tempdir().unwrap();
    let (store, writer, _) = open(folder.path());
    store
        .apply(Command::Register { manifest: manifest(Kind::Dataset), tags: Vec::new(), by: PrincipalName::local() })
        .await
        .unwrap();
    store.stop().await;
    writer.ended().await.unwrap();
    let database = rusqlite::Connection::open(folder.path().join("vertigo.db")).unwrap();
    database.execute("UPDATE artifacts SET digest = ?1", [Digest::of(b"another").as_bytes()]).unwrap();
    drop(database);
    let corrupt = Store::open(folder.path(), SETTINGS, Box::new(Catalog), Box::new(|_, _| {})).err().unwrap();
    assert!(matches!(corrupt, StoreError::Corrupt { table: "artifacts", .. }), "{corrupt}");
}

#[tokio::test]
async fn a_manifest_that_would_not_be_taken_today_keeps_no_coordinator_from_starting() {
    let folder = tempfile::tempdir().unwrap();
    let (store, writer, _) = open(folder.path());
    let entry = |path: &str| format!(r#"{{"path":"{path}","digest":"{}","bytes":1}}"#, Digest::of(b"x"));
    let json = format!(r#"{{"kind":"dataset","files":[{},{}],"facts":{{}}}}"#, entry("a"), entry("a/b"));
    assert!(Manifest::parse(&json).is_err());
    let manifest = Manifest::parse_kept(&json).unwrap();
    let digest = manifest.digest();
    store
        .apply(Command::Register {
            manifest: manifest.clone(),
            tags: vec!["old".to_owned()],
            by: PrincipalName::local(),
        })
        .await
        .unwrap();
    store.stop().await;
    writer.ended().await.unwrap();
    let (store, ..) = open(folder.path());
    let look =
        move |core: &crate::core::Core| core.index().get(&digest).map(|artifact| artifact.manifest.as_ref().clone());
    assert_eq!(store.read(look).await.unwrap(), Some(manifest));
}

#[tokio::test]
async fn a_writer_that_stood_still_does_not_end_the_leases_that_nobody_could_renew() {
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings { lease_ms: 500 };
    let (store, _writer) = Store::open(folder.path(), settings, Box::new(Catalog), Box::new(|_, _| {})).unwrap();
    connect(&store, 1, "mac").await;
    let job = JobId::new();
    store.apply(submit(job, None)).await.unwrap();
    // On the writer's thread: as a disk that does not answer, for longer than a lease.
    store.read(|_| std::thread::sleep(std::time::Duration::from_millis(600))).await.unwrap();
    let state = store.read(move |core| core.job(job).unwrap().state.name()).await.unwrap();
    assert_eq!(state, "leased");
    // Once it goes on, a worker that says nothing loses its lease as ever.
    let lost = async {
        while store.read(move |core| core.job(job).unwrap().state.name()).await.unwrap() == "leased" {
            tokio::task::yield_now().await;
        }
    };
    vertigo_testkit::waiting::soon("the lease's end", lost).await;
}

#[tokio::test]
async fn a_folder_has_one_coordinator() {
    let folder = tempfile::tempdir().unwrap();
    let (store, writer, _) = open(folder.path());
    let second = Store::open(folder.path(), SETTINGS, Box::new(Catalog), Box::new(|_, _| {}));
    assert!(matches!(second, Err(StoreError::Locked(path)) if path == folder.path()));
    store.stop().await;
    writer.ended().await.unwrap();
    open(folder.path());
}

#[tokio::test]
async fn a_newer_database_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let (store, writer, _) = open(folder.path());
    store.stop().await;
    writer.ended().await.unwrap();
    let database = rusqlite::Connection::open(folder.path().join("vertigo.db")).unwrap();
    database.pragma_update(None, "user_version", 99).unwrap();
    drop(database);
    let newer = Store::open(folder.path(), SETTINGS, Box::new(Catalog), Box::new(|_, _| {}));
    assert!(matches!(newer, Err(StoreError::Newer { found: 99, .. })));
}

#[tokio::test]
async fn a_commit_that_fails_ends_the_writer_without_an_answer() {
    let folder = tempfile::tempdir().unwrap();
    let (store, writer, _) = open(folder.path());
    store.apply(submit(JobId::new(), None)).await.unwrap();
    let other = rusqlite::Connection::open(folder.path().join("vertigo.db")).unwrap();
    other.execute_batch("DROP TABLE journal").unwrap();
    assert_eq!(store.apply(submit(JobId::new(), None)).await, Err(ApplyError::Stopped(Stopped)));
    assert!(matches!(writer.ended().await, Err(StoreError::Sqlite(_))));
}
