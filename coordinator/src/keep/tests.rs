//! Collection over random histories of uploads, artifacts, tags and jobs, with nothing kept a moment longer than it is named.

use super::*;
use crate::blobs::{Amount, Blobs, Extent, Hold, Start, Uploaded};
use crate::core::{
    Command, Connect, Core, Expected, Grounds, Machine, MoveTag, Outcome, Progress, REMEMBERED, Refusal, Report,
    ReportBody, SessionId, Settings, Step, Target, Validation,
};
use crate::kinds::Catalog;
use crate::store::tests::submit;
use crate::store::{ApplyError, EventBody, Store, Which, Writer};
use bytes::Bytes as Chunk;
use object_store::memory::InMemory;
use object_store::path::Path as Key;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use vertigo::bytes::Bytes;
use vertigo::id::{Digest, JobId, Millis, MoveId, ProcessId, WorkerId};
use vertigo::manifest::{FileEntry, Kind, Manifest};
use vertigo::principal::PrincipalName;
use vertigo::secret::Secret;

const NOTHING: Keep = Keep {
    checkpoints: Some(Duration::ZERO),
    uploads: Some(Duration::ZERO),
    blobs: Some(Duration::ZERO),
    steps: Some(Duration::ZERO),
    journal: None,
    workers: Some(Duration::ZERO),
};

/// What happens. Contents are few, so that the same ones come again and again.
#[derive(Debug, Clone)]
enum Act {
    /// A blob arrives that nothing names.
    Put(u8),
    /// An upload begins, and goes on meanwhile.
    Begin(u8),
    /// It ends.
    End(u8),
    /// A part of a blob arrives, and no more.
    Part(u8),
    /// Somebody looks for blobs and takes time to name them.
    Look(Vec<u8>),
    /// And does so, or not.
    Name {
        tag: Option<u8>,
    },
    /// A person moves a tag so often, each time to the next of the checkpoints that there are.
    Move {
        tag: u8,
        times: usize,
    },
    /// And back.
    Back {
        tag: u8,
    },
    /// A job is queued, and there is a worker for it.
    Submit,
    /// A live job saves a checkpoint of these contents.
    Checkpoint {
        job: usize,
        content: u8,
    },
    /// A live job begins anew.
    Anew {
        job: usize,
    },
    Cancel {
        job: usize,
    },
    Collect,
}

fn act() -> impl Strategy<Value = Act> {
    let content = 0u8..6;
    prop_oneof![
        3 => content.clone().prop_map(Act::Put),
        2 => content.clone().prop_map(Act::Begin),
        2 => content.clone().prop_map(Act::End),
        1 => content.clone().prop_map(Act::Part),
        3 => prop::collection::vec(content.clone(), 1..4).prop_map(Act::Look),
        3 => prop::option::of(0u8..3).prop_map(|tag| Act::Name { tag }),
        2 => (0u8..3, 1usize..30).prop_map(|(tag, times)| Act::Move { tag, times }),
        1 => (0u8..3).prop_map(|tag| Act::Back { tag }),
        2 => Just(Act::Submit),
        6 => (0usize..3, content).prop_map(|(job, content)| Act::Checkpoint { job, content }),
        1 => (0usize..3).prop_map(|job| Act::Anew { job }),
        1 => (0usize..3).prop_map(|job| Act::Cancel { job }),
        6 => Just(Act::Collect),
    ]
}

fn bytes(content: u8) -> Vec<u8> {
    vec![content; 64]
}

fn digest(content: u8) -> Digest {
    Digest::of(&bytes(content))
}

fn manifest(kind: Kind, contents: &[u8], iter: u64) -> Manifest {
    let contents: BTreeSet<u8> = contents.iter().copied().collect();
    let file = |n: u8| FileEntry { path: n.to_string(), digest: digest(n), bytes: Bytes(64) };
    Manifest::new(kind, contents.into_iter().map(file).collect(), [("iter".to_owned(), iter.into())].into()).unwrap()
}

struct World {
    store: Store,
    _writer: Writer,
    blobs: Blobs,
    collector: Collector,
    _staging: TempDir,
    session: SessionId,
    running: BTreeMap<u8, (oneshot::Sender<()>, JoinHandle<Uploaded>)>,
    looked: Option<(Hold, Vec<u8>)>,
    iter: u64,
}

impl World {
    async fn new(keep: Keep) -> World {
        let (store, _writer) = Store::in_memory(Settings { lease_ms: 600_000 }, Box::new(Catalog)).unwrap();
        let _staging = tempfile::tempdir().unwrap();
        let blobs = Blobs::new(Arc::new(InMemory::new()), Key::from("p"), _staging.path()).unwrap();
        let session = SessionId(1);
        let machine = Machine { usable: Bytes(1 << 40), gpu_slots: 1000, ..Machine::default() };
        let (secret, process, name) = (Secret::from([1; 32]).hash(), ProcessId::new(), "mac".to_owned());
        let hello = Connect {
            session,
            worker: WorkerId::new(),
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
        let collector = Collector::new(store.clone(), blobs.clone(), keep);
        let (running, looked, iter) = Default::default();
        World { store, _writer, blobs, collector, _staging, session, running, looked, iter }
    }

    async fn put(&self, content: u8) {
        let whole = Extent { start: Start::Anew, end: Some(64), total: Some(64) };
        let body = futures::stream::iter([Ok::<_, Infallible>(Chunk::from(bytes(content)))]);
        // Refused while an upload of it runs.
        let _ = self.blobs.upload(digest(content), whole, body).await;
    }

    /// Jobs that hold a lease.
    async fn live(&self) -> Vec<JobId> {
        let look = |core: &Core| core.jobs().filter(|job| !job.state.is_terminal()).map(|job| job.id).collect();
        self.store.read(look).await.unwrap()
    }

    async fn say(&self, job: JobId, body: ReportBody) {
        let look = move |core: &Core| {
            let mut attempts = core.job(job).unwrap().attempts.iter().filter_map(|id| core.attempt(*id));
            attempts.next_back().filter(|attempt| attempt.outcome == Outcome::Running).cloned()
        };
        let Some(attempt) = self.store.read(look).await.unwrap() else { return };
        let reports = vec![Report { number: attempt.last_report + 1, at: Millis(1), body }];
        let (session, epoch, attempt) = (self.session, attempt.epoch, attempt.id);
        self.store.apply(Command::Reports { session, attempt, epoch, reports }).await.unwrap();
    }

    async fn take(&mut self, act: Act) {
        match act {
            Act::Put(content) => self.put(content).await,
            Act::Begin(content) => self.begin(content).await,
            Act::End(content) => self.end(content).await,
            Act::Part(content) => {
                let part = Extent { start: Start::Anew, end: Some(32), total: Some(64) };
                let body = futures::stream::iter([Ok::<_, Infallible>(Chunk::from(bytes(content)[..32].to_vec()))]);
                let _ = self.blobs.upload(digest(content), part, body).await;
            }
            Act::Look(contents) => {
                let mut hold = self.blobs.hold();
                hold.add(contents.iter().map(|content| digest(*content))).await;
                let missing = self.blobs.missing(contents.iter().map(|content| digest(*content)).collect()).await;
                if missing.unwrap().is_empty() {
                    self.looked = Some((hold, contents));
                }
            }
            Act::Name { tag } => {
                let Some((hold, contents)) = self.looked.take() else { return };
                let tags = tag.map(|tag| format!("t{tag}")).into_iter().collect();
                let (manifest, by) = (manifest(Kind::Dataset, &contents, 0), PrincipalName::local());
                let command = Command::Register { manifest, tags, by };
                self.store.apply_with(command, Some(Box::new(hold.is_there()))).await.unwrap();
            }
            Act::Move { tag, times } => self.move_tag(tag, times).await,
            Act::Back { tag } => self.back(tag).await,
            Act::Submit => self.store.apply(submit(JobId::new(), None)).await.unwrap(),
            Act::Checkpoint { job, content } => {
                let Some(job) = self.live().await.get(job).copied() else { return };
                self.iter += 1;
                let mut hold = self.blobs.hold();
                hold.add([digest(content)]).await;
                self.put(content).await;
                if self.blobs.size(digest(content)).await.unwrap().is_some() {
                    // Jobs of one recipe save the same checkpoints.
                    let artifact = manifest(Kind::Checkpoint, &[content], self.iter % 3);
                    self.say(job, ReportBody::Checkpoint { iter: self.iter, artifact }).await;
                }
            }
            Act::Anew { job } => {
                if let Some(job) = self.live().await.get(job).copied() {
                    self.say(job, ReportBody::Started(Default::default())).await;
                }
            }
            Act::Cancel { job } => {
                if let Some(job) = self.live().await.get(job).copied() {
                    self.store.apply(Command::Cancel { job, by: PrincipalName::local() }).await.unwrap();
                }
            }
            Act::Collect => self.collect().await,
        }
    }

    async fn move_tag(&self, tag: u8, times: usize) {
        let all = |core: &Core| core.index().list(Some(Kind::Checkpoint), None).map(|(digest, _)| digest).collect();
        let checkpoints: Vec<Digest> = self.store.read(all).await.unwrap();
        for checkpoint in checkpoints.iter().cycle().take(if checkpoints.is_empty() { 0 } else { times }) {
            self.ask(tag, Target::To(*checkpoint)).await.unwrap();
        }
    }

    /// A tag that can go back goes to something that is there.
    async fn back(&self, tag: u8) {
        match self.ask(tag, Target::Back).await {
            Ok(()) | Err(ApplyError::Refused(Refusal::NoTag { .. } | Refusal::NothingBefore(_))) => {}
            Err(other) => panic!("{other}"),
        }
    }

    async fn ask(&self, tag: u8, target: Target) -> Result<(), ApplyError> {
        let (tag, expected, grounds) = (format!("t{tag}"), Expected::Whatever, Grounds::default());
        let (id, by) = (MoveId::new(), PrincipalName::local());
        self.store.apply(Command::MoveTag(MoveTag { id, tag, target, expected, grounds, by })).await
    }

    /// What the newest moves of all tags name, as whoever reads the history sees them.
    async fn named_by_tags(&self) -> BTreeSet<Digest> {
        let mut named = BTreeSet::new();
        for tag in 0..3 {
            for moved in self.store.moves(format!("t{tag}"), None, REMEMBERED).await.unwrap() {
                named.extend(moved.from.into_iter().chain([moved.to]));
            }
        }
        named
    }

    async fn begin(&mut self, content: u8) {
        if self.running.contains_key(&content) {
            return;
        }
        let (go, gone) = oneshot::channel::<()>();
        let (begun, has_begun) = oneshot::channel::<()>();
        let blobs = self.blobs.clone();
        let body = futures::stream::unfold((0, Some((gone, begun))), move |(n, wait)| async move {
            match (n, wait) {
                (0, wait) => Some((Ok::<_, Infallible>(Chunk::from(bytes(content)[..32].to_vec())), (1, wait))),
                (1, Some((gone, begun))) => {
                    let _ = begun.send(());
                    let _ = gone.await;
                    Some((Ok(Chunk::from(bytes(content)[32..].to_vec())), (2, None)))
                }
                _ => None,
            }
        });
        let whole = Extent { start: Start::Anew, end: Some(64), total: Some(64) };
        let upload = async move { blobs.upload(digest(content), whole, Box::pin(body)).await.unwrap() };
        let task = tokio::spawn(upload);
        // Fails where the blob is there, and the upload has ended.
        let _ = has_begun.await;
        self.running.insert(content, (go, task));
    }

    /// An upload that ran while everything was collected has kept its bytes.
    async fn end(&mut self, content: u8) {
        if let Some((go, task)) = self.running.remove(&content) {
            let _ = go.send(());
            assert!(matches!(task.await.unwrap(), Uploaded::Created | Uploaded::Existed));
        }
    }

    /// A dry run says what a run takes; and whatever is named is there.
    async fn collect(&mut self) {
        let expected = self.collector.collect(Mode::Count).await.unwrap();
        let gone = self.collector.collect(Mode::Remove).await.unwrap();
        assert_eq!(gone, expected);
        self.check().await;
    }

    async fn check(&self) {
        let look = |core: &Core| {
            let jobs = core.jobs().filter(|job| !job.state.is_terminal());
            let resumes = jobs.flat_map(|job| job.variants.iter()).filter_map(|variant| variant.resume);
            let resumes: Vec<Digest> = resumes.map(|resume| resume.checkpoint).collect();
            let manifests = core.index().list(None, None);
            (
                manifests
                    .map(|(digest, artifact)| (digest, Arc::clone(&artifact.manifest)))
                    .collect::<BTreeMap<_, _>>(),
                resumes,
            )
        };
        let (artifacts, resumes) = self.store.read(look).await.unwrap();
        assert!(resumes.iter().all(|digest| artifacts.contains_key(digest)), "a job lost what it goes on from");
        let named = self.named_by_tags().await;
        assert!(named.iter().all(|digest| artifacts.contains_key(digest)), "a tag lost what it may go back to");
        let held = self.looked.iter().flat_map(|(_, contents)| contents).map(|content| digest(*content));
        let named = artifacts.values().flat_map(|manifest| manifest.files()).map(|file| file.digest);
        for blob in held.chain(named) {
            assert_eq!(self.blobs.size(blob).await.unwrap(), Some(64), "{blob} is named and gone");
        }
    }
}

fn block_on(future: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    #[test]
    fn nothing_goes_that_anything_names_and_in_the_end_all_that_nothing_names(acts in prop::collection::vec(act(), 1..80)) {
        block_on(async {
            let mut world = World::new(NOTHING).await;
            let mut registered = HashSet::new();
            for act in acts {
                if let (Act::Name { .. }, Some((_, contents))) = (&act, &world.looked) {
                    registered.extend(contents.iter().map(|content| digest(*content)));
                }
                world.take(act).await;
                world.check().await;
            }
            // Everything comes to its end.
            for content in 0..6 {
                world.end(content).await;
            }
            world.looked = None;
            for job in world.live().await {
                world.store.apply(Command::Cancel { job, by: PrincipalName::local() }).await.unwrap();
            }
            world.collect().await;
            assert_eq!(world.collector.collect(Mode::Remove).await.unwrap(), Collected::default());
            let left = |core: &Core| {
                let checkpoints = core.index().list(Some(Kind::Checkpoint), None);
                checkpoints.map(|(digest, artifact)| (digest, Arc::clone(&artifact.manifest))).collect::<Vec<_>>()
            };
            let named = world.named_by_tags().await;
            for (checkpoint, manifest) in world.store.read(left).await.unwrap() {
                assert!(named.contains(&checkpoint), "no job and no tag names {checkpoint}");
                registered.extend(manifest.files().iter().map(|file| file.digest));
            }
            let stock = world.blobs.stock(&registered).await.unwrap();
            assert_eq!(stock.unnamed, Amount::default());
            assert_eq!(stock.blobs.count as usize, registered.len());
            assert_eq!(world.blobs.uploads().await.unwrap(), Amount::default());
        });
    }
}

#[test]
fn of_an_old_job_the_curve_stays_then_its_states_alone() {
    block_on(async {
        let world = World::new(NOTHING).await;
        let job = JobId::new();
        world.store.apply(submit(job, None)).await.unwrap();
        for iter in 1..=2000 {
            world.say(job, ReportBody::Step(Step { iter, ..Step::default() })).await;
            if iter % 500 == 0 {
                world.say(job, ReportBody::Validation(Validation { iter, ..Validation::default() })).await;
                world.say(job, ReportBody::Progress(Progress::default())).await;
            }
        }
        let all = world.store.events(Some(job), 0, Which::All, 10_000).await.unwrap().len() as u64;
        assert_eq!(world.collector.collect(Mode::Remove).await.unwrap().events, 0, "the job runs");
        world.store.apply(Command::Cancel { job, by: PrincipalName::local() }).await.unwrap();
        let steps = |events: &[crate::store::Event]| {
            let is_step =
                |body: &EventBody| matches!(body, EventBody::Report(it) if matches!(it.body, ReportBody::Step(_)));
            events.iter().filter(|event| is_step(&event.body)).count()
        };
        soon_over(&world, |gone| gone.events > 1000).await;
        let left = world.store.events(Some(job), 0, Which::All, 10_000).await.unwrap();
        assert!((100..=512).contains(&steps(&left)), "{}", steps(&left));
        let validations =
            |body: &EventBody| matches!(body, EventBody::Report(it) if matches!(it.body, ReportBody::Validation(_)));
        assert_eq!(left.iter().filter(|event| validations(&event.body)).count(), 4);
        assert!((left.len() as u64) < all);

        let forgetful = Keep { journal: Some(Duration::ZERO), ..NOTHING };
        let collector = Collector::new(world.store.clone(), world.blobs.clone(), forgetful);
        assert!(collector.collect(Mode::Count).await.unwrap().events > 100);
        collector.collect(Mode::Remove).await.unwrap();
        let left = world.store.events(Some(job), 0, Which::All, 10_000).await.unwrap();
        assert!(!left.is_empty() && left.iter().all(|event| matches!(event.body, EventBody::State { .. })), "{left:?}");
    });
}

/// Collects until a run has taken so much: what ended in this very millisecond is left to the next.
async fn soon_over(world: &World, is_enough: impl Fn(&Collected) -> bool) {
    let collect = async { while !is_enough(&world.collector.collect(Mode::Remove).await.unwrap()) {} };
    tokio::time::timeout(Duration::from_secs(60), collect).await.unwrap();
}
