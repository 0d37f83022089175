//! What every database has to keep, whichever it is: the laws of [`Durable`], over random histories of the core and by hand.
//!
//! A database that is added stands in [`databases`], and nothing else here changes.

use super::durable::{Durable, Records, Which};
use super::listing::{JobFilter, Listed};
use super::memory::Memory;
use super::rows::Rows;
use super::sqlite::Sqlite;
use super::tests::{SETTINGS, kinds, submit};
use crate::core::tests::invariants::{Step, World, hold, step};
use crate::core::tests::{Keeper, LEASE_MS};
use crate::core::{
    Attempt, Command, Connect, Core, Effects, Event, EventBody, Job, Machine, Moment, Move, Mover, NoArchive,
    ReportBody, SessionId, Settings, Snapshot,
};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tempfile::TempDir;
use vertigo::id::{AttemptId, JobId, Millis, MoveId, ProcessId, WorkerId};
use vertigo::manifest::Kind;
use vertigo::principal::PrincipalName;
use vertigo::secret::Secret;
use vertigo::task::TaskKind;

/// Where a database lies.
trait Place {
    /// Opens it for the first time, or as it is found after its process was killed between two commits: whoever had it open has not
    /// closed it.
    fn open(&mut self) -> Box<dyn Durable>;
}

/// A place of each kind, with nothing in it.
fn databases() -> [Box<dyn Place>; 2] {
    [Box::new(Memory::default()), Box::new(Folder::default())]
}

impl Place for Memory {
    fn open(&mut self) -> Box<dyn Durable> {
        Box::new(self.clone())
    }
}

/// Where SQLite's files lie, and where they lay before. What a process that was killed has left is what is on the disk while it lives.
#[derive(Default)]
struct Folder(Vec<TempDir>);

impl Place for Folder {
    fn open(&mut self) -> Box<dyn Durable> {
        let folder = tempfile::tempdir().unwrap();
        if let Some(left) = self.0.last() {
            for file in ["vertigo.db", "vertigo.db-wal"] {
                fs::copy(left.path().join(file), folder.path().join(file)).unwrap();
            }
        }
        let database = Sqlite::open(&folder.path().join("vertigo.db"), None).unwrap();
        self.0.push(folder);
        Box::new(database)
    }
}

/// A database that keeps what a random history does, and is killed at every restart.
struct Kept {
    place: Box<dyn Place>,
    database: Box<dyn Durable>,
    /// All that was committed to its journal.
    journal: Vec<Event>,
    /// All moves of tags that were committed.
    moves: Vec<Move>,
    /// Every job that was committed, as it was last, and the attempts at it.
    jobs: BTreeMap<JobId, (Job, Vec<Attempt>)>,
}

impl Kept {
    fn new(mut place: Box<dyn Place>) -> Kept {
        Kept { database: place.open(), place, journal: Vec::new(), moves: Vec::new(), jobs: BTreeMap::new() }
    }

    /// Reads every journal in pages of `limit` and compares it with what was committed.
    fn check_pages(&self, limit: usize) {
        let jobs: BTreeSet<JobId> = self.journal.iter().filter_map(|event| event.job).collect();
        for job in jobs.into_iter().map(Some).chain([None]) {
            for which in [Which::All, Which::Logs] {
                let is_meant = |event: &&Event| {
                    job.is_none_or(|job| event.job == Some(job)) && (which == Which::All || is_line(&event.body))
                };
                let expected: Vec<Event> = self.journal.iter().filter(is_meant).cloned().collect();
                assert_eq!(pages(&*self.database.records(), job, which, limit), expected, "{job:?} {which:?}");
            }
        }
    }
}

impl Kept {
    /// Reads the history of each tag in pages of `limit`, and each move by its id.
    fn check_moves(&self, limit: usize) {
        let records = self.database.records();
        let tags: BTreeSet<&str> = self.moves.iter().map(|moved| moved.tag.as_str()).collect();
        for tag in tags.into_iter().chain(["nobody's"]) {
            let expected: Vec<&Move> = self.moves.iter().rev().filter(|moved| moved.tag == tag).collect();
            let mut all: Vec<Move> = Vec::new();
            loop {
                let page = records.moves(tag, all.last().map(|last| last.number), limit).unwrap();
                let is_last = page.len() < limit;
                all.extend(page);
                if is_last {
                    break;
                }
            }
            assert_eq!(all.iter().collect::<Vec<_>>(), expected, "{tag}");
        }
        for (id, moved) in self.moves.iter().filter_map(|moved| Some((moved.id?, moved))) {
            assert_eq!(records.one_move(id).unwrap().as_ref(), Some(moved));
            assert_eq!(records.has_move(id), Ok(true));
        }
        assert_eq!((records.one_move(MoveId::new()).unwrap(), records.has_move(MoveId::new())), (None, Ok(false)));
    }

    /// Looks up everything that was committed, whether it has ended or not, and something that was not.
    fn check_archive(&self) {
        let records = self.database.records();
        let ids: Vec<JobId> = self.jobs.keys().copied().chain([JobId::new()]).collect();
        let all: Vec<_> = self.jobs.values().cloned().collect();
        assert_eq!(records.jobs(&ids).unwrap(), all);
        for id in ids {
            let job = self.jobs.get(&id).map(|(job, _)| job.clone());
            assert_eq!(records.has_job(id), Ok(job.is_some()));
            assert_eq!(records.job(id), Ok(job));
        }
        for attempt in all.iter().flat_map(|(_, attempts)| attempts) {
            assert_eq!(records.attempt(attempt.id).as_ref(), Ok(&Some(attempt.clone())));
        }
        assert_eq!(records.attempt(AttemptId::new()), Ok(None));
        let names: BTreeSet<&str> = all.iter().filter_map(|(job, _)| job.name.as_deref()).collect();
        for name in names {
            let newest = all.iter().filter(|(job, _)| job.name.as_deref() == Some(name)).map(|(job, _)| job.id).max();
            assert_eq!(records.named(name), Ok(newest));
        }
        assert_eq!(records.named("nobody's name"), Ok(None));
    }
}

/// A list from its beginning to its end, page by page.
fn listed(records: &dyn Records, filter: &JobFilter, limit: usize) -> Vec<Listed> {
    let mut all: Vec<Listed> = Vec::new();
    loop {
        let page = records.list(filter, all.last().copied(), limit).unwrap();
        assert!(page.len() <= limit);
        let is_last = page.len() < limit;
        all.extend(page);
        if is_last {
            return all;
        }
    }
}

/// A filter of any form.
fn filter() -> impl Strategy<Value = JobFilter> {
    let states =
        prop::collection::btree_set(prop::sample::select(vec!["blocked", "queued", "cancelled", "failed"]), 0..3);
    let kind = prop::option::of(prop::sample::select(TaskKind::ALL.to_vec()));
    let value = prop::sample::select(vec!["", "1", "2"]).prop_map(str::to_owned);
    let labels = prop::collection::btree_map(prop::sample::select(vec!["a", "b"]).prop_map(str::to_owned), value, 0..3);
    (states, kind, labels, 0u64..8).prop_map(|(states, kind, labels, since)| JobFilter {
        states,
        kind,
        labels,
        since: Millis(since),
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    /// Jobs of two kinds, any labels and several times of queueing, some of them cancelled: each list has what its filter lets through,
    /// newest first, however long its pages are.
    #[test]
    fn a_list_has_what_its_filter_lets_through(
        jobs in prop::collection::vec((0u64..8, 0usize..3, 0usize..3, any::<bool>(), any::<bool>()), 0..40),
        filters in prop::collection::vec(filter(), 1..12),
        limit in 1usize..9,
    ) {
        for mut place in databases() {
            let (mut database, mut core) = (place.open(), core());
            let mut rows: Vec<Job> = Vec::new();
            for (ms, a, b, fuses, is_cancelled) in &jobs {
                let at = Moment { now: Millis(*ms), jitter: 0.5 };
                let id = JobId::new();
                let Command::Submit(mut submits) = submit(id, None) else { unreachable!("it queues a job") };
                let label = |key: &str, n: usize| (n > 0).then(|| (key.to_owned(), n.to_string()));
                submits[0].labels = [label("a", *a), label("b", *b)].into_iter().flatten().collect();
                if *fuses {
                    submits[0].variants[0].task.kind = TaskKind::Fuse;
                }
                core.apply(at, Command::Submit(submits)).unwrap();
                if *is_cancelled {
                    core.apply(at, Command::Cancel { job: id, by: PrincipalName::local() }).unwrap();
                }
                let effects = core.take_effects();
                database.commit(&core, &effects).unwrap();
                rows.push(core.job(id).unwrap().clone());
                core.let_go(&effects);
            }
            for filter in &filters {
                let mut expected: Vec<Listed> = rows.iter().filter(|job| filter.fits(job)).map(Listed::of).collect();
                expected.sort_unstable_by(|a, b| b.cmp(a));
                prop_assert_eq!(listed(&*database.records(), filter, limit), expected, "{:?}", filter);
            }
        }
    }
}

fn is_line(body: &EventBody) -> bool {
    matches!(body, EventBody::Report(report) if matches!(report.body, ReportBody::Log(_)))
}

/// A journal from its beginning to its end, page by page.
fn pages(journal: &dyn Records, job: Option<JobId>, which: Which, limit: usize) -> Vec<Event> {
    let mut all: Vec<Event> = Vec::new();
    loop {
        let after = all.last().map_or(0, |event| event.seq);
        let page = journal.events(job, after, which, limit).unwrap();
        assert!(page.len() <= limit);
        let is_last = page.len() < limit;
        all.extend(page);
        if is_last {
            return all;
        }
    }
}

impl Keeper for Kept {
    fn commit(&mut self, core: &Core, effects: &Effects) -> Snapshot {
        if effects.is_durable() {
            self.database.commit(core, effects).unwrap();
            check_rows(&*self.database.rows(), core);
            self.journal.retain(|event| !effects.forgotten.events.contains(&event.seq));
            self.journal.extend(effects.journal.iter().cloned());
            self.moves.extend(effects.moves.iter().cloned());
            let changed = effects.attempts.iter().filter_map(|id| core.attempt(*id)).map(|attempt| attempt.job);
            for job in changed.chain(effects.jobs.iter().copied()).filter_map(|id| core.job(id)) {
                let attempts = job.attempts.iter().filter_map(|id| core.attempt(*id)).cloned().collect();
                self.jobs.insert(job.id, (job.clone(), attempts));
            }
        }
        self.database.load().unwrap()
    }

    fn restart(&mut self) -> Snapshot {
        self.database = self.place.open();
        self.check_pages(1 + self.journal.len() / 3);
        self.check_moves(1 + self.moves.len() / 5);
        self.check_archive();
        self.database.load().unwrap()
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn after_any_history_a_killed_process_finds_exactly_what_it_had_committed(steps in prop::collection::vec(step(), 1..60)) {
        for place in databases() {
            // The core's own promises are checked after each step, over a core that every restart reads back from the database.
            let again = steps.iter().cloned().chain([Step::Restart]);
            hold(World::kept_by(Box::new(Kept::new(place))), again);
        }
    }
}

/// A core without a past, for what a test commits by hand.
fn core() -> Core {
    Core::restore(Settings { lease_ms: LEASE_MS }, kinds(), Arc::new(NoArchive), Snapshot::default(), Millis(1))
}

/// Queues jobs in one batch, and commits that.
fn queue(core: &mut Core, database: &mut dyn Durable, jobs: &[JobId]) -> Effects {
    let at = Moment { now: Millis(5), jitter: 0.5 };
    jobs.iter().for_each(|id| core.apply(at, submit(*id, None)).unwrap());
    core.place(at.now, &mut std::iter::repeat_with(AttemptId::new));
    let effects = core.take_effects();
    database.commit(core, &effects).unwrap();
    effects
}

#[test]
fn a_new_database_is_empty_and_its_journal_too() {
    for mut place in databases() {
        let mut database = place.open();
        assert_eq!(database.load().unwrap(), Snapshot::default());
        for which in [Which::All, Which::Logs] {
            assert_eq!(database.records().events(None, 0, which, 10).unwrap(), []);
            assert_eq!(database.records().events(Some(JobId::new()), 0, which, 10).unwrap(), []);
        }
    }
}

#[test]
fn a_worker_that_another_installation_of_its_name_replaced_is_there_no_more_and_its_id_stays_its_own() {
    for mut place in databases() {
        let mut database = place.open();
        let mut core = core();
        let [former, now] = [WorkerId::new(), WorkerId::new()];
        for (worker, session) in [(former, SessionId(1)), (now, SessionId(2))] {
            let at = Moment { now: Millis(5), jitter: 0.5 };
            core.apply(at, Command::Connect(hello(worker, session))).unwrap();
            core.apply(at, Command::Disconnect { session }).unwrap();
            let effects = core.take_effects();
            database.commit(&core, &effects).unwrap();
        }
        let found = place.open().load().unwrap();
        assert_eq!(found.workers.iter().map(|worker| worker.id).collect::<Vec<_>>(), [now]);
        assert_eq!(found.installations.keys().copied().collect::<Vec<_>>(), [former, now]);
    }
}

fn hello(worker: WorkerId, session: SessionId) -> Connect {
    let (secret, process) = (Secret::from([1; 32]).hash(), ProcessId::new());
    Connect {
        session,
        worker,
        secret,
        process,
        name: "mac".to_owned(),
        machine: Machine::default(),
        held: Vec::new(),
        reboots: Vec::new(),
        away: None,
        conditions: Default::default(),
    }
}

#[test]
fn a_page_begins_behind_any_position_and_none_is_too_high() {
    for mut place in databases() {
        let mut database = place.open();
        let (mut core, first, second) = (core(), JobId::new(), JobId::new());
        let events = queue(&mut core, &mut *database, &[first, second]).journal;
        let journal = database.records();
        let page = |job, after, limit| journal.events(job, after, Which::All, limit).unwrap();
        assert!(events.len() >= 4 && page(None, 0, usize::MAX) == events);
        assert_eq!(page(None, events[1].seq, 2), events[2..4]);
        assert_eq!(page(None, 0, 0), []);
        for after in [events[events.len() - 1].seq, i64::MAX as u64, u64::MAX] {
            assert_eq!(page(None, after, 10), []);
            assert_eq!(page(Some(first), after, 10), []);
        }
        assert!(page(Some(second), 0, 10).iter().all(|event| event.job == Some(second)));
    }
}

#[test]
fn an_artifact_that_is_there_stays_as_it_is_and_a_tag_goes_where_it_was_moved_last() {
    let [one, other] = ["one", "other"].map(crate::core::tests::dataset);
    for mut place in databases() {
        let mut database = place.open();
        let mut core = core();
        let at = |ms| Moment { now: Millis(ms), jitter: 0.5 };
        for (ms, manifest) in [(5, &one), (6, &other), (7, &one)] {
            let (manifest, tags, by) = (manifest.clone(), vec!["data".to_owned()], PrincipalName::local());
            core.apply(at(ms), Command::Register { manifest, tags, by }).unwrap();
            let effects = core.take_effects();
            database.commit(&core, &effects).unwrap();
        }
        let index = place.open().load().unwrap().index;
        assert_eq!(index.tagged("data"), Some(one.digest()));
        assert_eq!(index.get(&one.digest()).unwrap().created, Millis(5));
        assert_eq!(&index, core.index());
        let moves = database.records().moves("data", None, 10).unwrap();
        let told: Vec<_> = moves.iter().map(|moved| (moved.number, moved.at, moved.from, moved.to)).collect();
        let (at, [one, other]) = (|ms| Some(Millis(ms)), [&one, &other].map(|manifest| manifest.digest()));
        assert_eq!(told, [(3, at(7), Some(other), one), (2, at(6), Some(one), other), (1, at(5), None, one)]);
        assert!(moves.iter().all(|moved| moved.by == Mover::Import && moved.id.is_none()));
    }
}

/// Rows as they are read beside the writer, page by page, against what the core has.
fn check_rows(rows: &dyn Rows, core: &Core) {
    let (mut ended, mut behind) = (Vec::new(), (Millis(0), JobId(Default::default())));
    while let Some(row) = rows.ended(behind, 1).unwrap().first().copied() {
        behind = (row.ended, row.job);
        ended.push(behind);
    }
    let expected: BTreeSet<_> = core.jobs().filter_map(|job| Some((job.ended?, job.id))).collect();
    assert_eq!(ended, expected.into_iter().collect::<Vec<_>>());
    let (mut made, mut behind) = (BTreeSet::new(), None);
    loop {
        let page = rows.checkpoints(behind, 2).unwrap();
        let jobs: BTreeSet<JobId> = page.iter().map(|row| row.job).collect();
        assert!(jobs.len() <= 2 && jobs.iter().all(|job| behind.is_none_or(|behind| *job > behind)));
        for row in &page {
            assert_eq!(row.manifest.digest(), row.digest);
            assert_eq!(row.ended, core.job(row.job).unwrap().ended);
            made.insert((row.digest, row.created, Some(row.job)));
        }
        let Some(last) = page.last() else { break };
        behind = Some(last.job);
    }
    let all = core.index().list(Some(Kind::Checkpoint), None);
    let of_jobs = all.filter(|(_, artifact)| artifact.job().is_some());
    assert_eq!(made, of_jobs.map(|(digest, artifact)| (digest, artifact.created, artifact.job())).collect());
    let mut seen = BTreeSet::new();
    rows.artifacts(&mut |digest, manifest, job| seen.extend([(digest, manifest.digest(), job)])).unwrap();
    let all = core.index().list(None, None);
    assert_eq!(seen, all.map(|(digest, artifact)| (digest, digest, artifact.job())).collect());
}

#[test]
fn who_reads_while_the_writer_writes_sees_whole_commits_in_their_order() {
    const COMMITS: usize = 60;
    for mut place in databases() {
        let mut database = place.open();
        let journal = database.records();
        let is_over = AtomicBool::new(false);
        let (ends, seen) = std::thread::scope(|scope| {
            let reader = scope.spawn(|| {
                let mut seen = Vec::new();
                while !is_over.load(Ordering::Acquire) {
                    seen.push(journal.events(None, 0, Which::All, usize::MAX).unwrap());
                }
                seen
            });
            let mut core = core();
            let mut ends = vec![0];
            for _ in 0..COMMITS {
                let jobs: [JobId; 3] = std::array::from_fn(|_| JobId::new());
                let effects = queue(&mut core, &mut *database, &jobs);
                ends.push(ends[ends.len() - 1] + effects.journal.len());
                // What has returned is seen by the next who asks.
                assert_eq!(journal.events(None, 0, Which::All, usize::MAX).unwrap().len(), ends[ends.len() - 1]);
            }
            is_over.store(true, Ordering::Release);
            (ends, reader.join().unwrap())
        });
        let lengths: Vec<usize> = seen.iter().map(Vec::len).collect();
        assert!(lengths.iter().all(|length| ends.contains(length)), "{lengths:?} of {ends:?}");
        assert!(lengths.is_sorted());
    }
}

#[tokio::test]
async fn the_writer_goes_on_from_whatever_database_it_is_given() {
    for mut place in databases() {
        let start = |database| super::Store::start(database, SETTINGS, kinds(), Box::new(|_, _| {})).unwrap();
        let (store, writer) = start(place.open());
        let ids = super::tests::busy(&store).await;
        let before = super::tests::everything(&store).await;
        let events = store.events(None, 0, Which::All, 1000).await.unwrap();
        store.stop().await;
        writer.ended().await.unwrap();
        let (store, _writer) = start(place.open());
        // The one in backoff may have gone on by now.
        let settled = |mut all: super::tests::Everything| {
            all.jobs.retain(|job| job.id != ids[2]);
            all.last_seq = 0;
            all
        };
        assert_eq!(settled(super::tests::everything(&store).await), settled(before));
        assert_eq!(store.events(None, 0, Which::All, events.len()).await.unwrap(), events);
    }
}
