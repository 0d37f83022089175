//! What makes the core's decisions durable: a database behind [`Durable`], and one thread that owns both.
//!
//! Commands wait in a bounded channel. The writer takes all that wait, lets the core carry them out, writes what changed in
//! one transaction, and only then answers and sends messages to workers (group commit). State that people read is the
//! core's, asked between two batches; what happened to jobs is read from the journal, beside the writer.
//!
//! It promises: what was answered or sent is committed, by the laws of [`Durable`]; a process that stops anywhere comes back
//! with exactly what was committed; memory never runs ahead of disk, since a commit that fails ends the writer; and a
//! state folder has one coordinator.

mod clock;
#[cfg(test)]
mod conformance;
mod durable;
mod journal;
mod listing;
#[cfg(any(test, feature = "simulation"))]
mod memory;
mod rows;
#[cfg(feature = "simulation")]
pub mod simulation;
mod sqlite;
mod writer;

pub use crate::core::{Event, EventBody};
pub use durable::Which;
pub use listing::{JobFilter, Listed};
pub use rows::{CheckpointRow, DatabaseSize, EndedRow, SeeArtifact};
pub use sqlite::copies::copy as copy_database;
pub use writer::{Outbox, Writer};

use crate::core::{Attempt, Command, Core, Job, Kinds, Move, Refusal, Settings};
use crate::private;
use durable::{Durable, Records};
use rows::Rows;
use sqlite::{Sqlite, schema};
use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use vertigo::files::{AtPath, FileError, FolderLock};
use vertigo::id::{Digest, JobId, Millis, MoveId};
use vertigo::manifest::Manifest;
use writer::{Beginning, Change, Request, Told};

/// Commands that may wait for the writer before their senders do.
const WAITING: usize = 1024;

/// Threads that read records at a time. SQLite keeps a connection for each, of two descriptors, for as long as the process lives.
const READERS_MAX: usize = 8;

/// What is wrong with the store. All of these end the process.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another coordinator has the folder.
    #[error("{} belongs to a coordinator that runs already; stop it, or choose another folder with --state", .0.display())]
    Locked(PathBuf),
    /// A file or folder.
    #[error(transparent)]
    File(#[from] FileError),
    /// The database was written by a newer version.
    #[error("{} has schema {found}, and this version knows {known}: run a newer vertigo-coordinator", path.display())]
    Newer {
        /// The database.
        path: PathBuf,
        /// Its schema.
        found: i64,
        /// The newest schema that is known.
        known: i64,
    },
    /// The database was written before jobs were tasks.
    #[error(
        "{} has schema {found}, of a version whose jobs this one cannot read. Finish its jobs with that version, fetch what \
         you want to keep with `vertigo get`, then start this one in another folder (--state) and import bases and data again",
        path.display()
    )]
    Older {
        /// The database.
        path: PathBuf,
        /// Its schema.
        found: i64,
    },
    /// An event was written by a newer version.
    #[error(
        "event {seq} of the journal is written in format {found}, and this version reads up to {known}: run a newer \
         vertigo-coordinator"
    )]
    NewerEvent {
        /// The event's position.
        seq: u64,
        /// Its format.
        found: u32,
        /// The newest format that is known.
        known: u32,
    },
    /// A row that does not read back.
    #[error("table {table}: {problem}; restore the database from a backup")]
    Corrupt {
        /// The table.
        table: &'static str,
        /// What is wrong.
        problem: String,
    },
    /// SQLite.
    #[error("the database: {0}")]
    Sqlite(#[from] rusqlite::Error),
    /// The writer could not be started, or ended by a panic.
    #[error("the writer: {0}")]
    Writer(String),
}

/// The coordinator is stopping: ask again when it is back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the coordinator is stopping; try again when it is back")]
pub struct Stopped;

/// Why a command has no effect.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ApplyError {
    /// The core refused it.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The writer is gone. Whether the command was carried out is not known.
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

/// Why a change has no effect.
#[derive(Debug)]
pub enum ChangeError<E> {
    /// Nothing could be made of the state.
    Undecided(E),
    /// What was made of it was not carried out.
    Apply(ApplyError),
}

/// A change as the writer has it.
struct Deciding<D, E, L, T> {
    decide: Option<D>,
    undecided: Option<E>,
    look: L,
    answer: oneshot::Sender<Result<T, ChangeError<E>>>,
}

impl<D, E, L, T> Change for Deciding<D, E, L, T>
where
    D: FnOnce(&Core) -> Result<Command, E> + Send,
    E: Send,
    L: FnOnce(&Core) -> T + Send,
    T: Send,
{
    fn decide(&mut self, core: &Core) -> Option<Command> {
        match self.decide.take()?(core) {
            Ok(command) => Some(command),
            Err(error) => {
                self.undecided = Some(error);
                None
            }
        }
    }

    fn answer(self: Box<Self>, core: &Core, outcome: Result<(), Refusal>) {
        let answer = match (self.undecided, outcome) {
            (Some(error), _) => Err(ChangeError::Undecided(error)),
            (None, Err(refusal)) => Err(ChangeError::Apply(refusal.into())),
            (None, Ok(())) => Ok((self.look)(core)),
        };
        // Fails where nobody waits for it any more.
        let _ = self.answer.send(answer);
    }
}

/// A handle on the writer and the journal. Clones share them.
#[derive(Debug, Clone)]
pub struct Store {
    requests: mpsc::Sender<Request>,
    committed: watch::Receiver<u64>,
    records: Arc<dyn Records>,
    rows: Arc<dyn Rows>,
    /// Turns at reading beside the writer, of which there are [`READERS_MAX`].
    turns: Arc<Semaphore>,
}

/// A folder of a coordinator's state that this process has to itself, and that nobody else on the machine can look into.
#[derive(Debug)]
pub struct StateFolder {
    path: PathBuf,
    lock: FolderLock,
}

impl StateFolder {
    /// Takes the folder at `path`, which is made if need be.
    ///
    /// # Errors
    /// It belongs to another coordinator, or cannot be written.
    pub fn take(path: &Path) -> Result<StateFolder, StoreError> {
        private::folder(path).at(path)?;
        // The lock goes with the process, whatever ends that.
        let lock = FolderLock::take(path)?.ok_or_else(|| StoreError::Locked(path.to_owned()))?;
        Ok(StateFolder { lock, path: path.to_owned() })
    }

    /// The database.
    pub fn database(&self) -> PathBuf {
        self.path.join("vertigo.db")
    }

    /// Whether there is no database yet. Leaves everything as it is.
    ///
    /// # Errors
    /// The database cannot be read.
    pub fn is_new(&self) -> Result<bool, StoreError> {
        schema::is_new(&self.database())
    }

    /// Opens the state and starts its writer. `outbox` is called after a commit for each message to a worker, in order; it must
    /// not block.
    ///
    /// # Errors
    /// The state cannot be written, or does not read back.
    pub fn open(
        self,
        settings: Settings,
        kinds: Box<dyn Kinds>,
        outbox: Outbox,
    ) -> Result<(Store, Writer), StoreError> {
        let path = self.database();
        // What SQLite puts beside the database has the database's mode.
        private::file(&path).at(&path)?;
        for beside in ["vertigo.db-wal", "vertigo.db-shm"] {
            private::narrow(&self.path.join(beside)).at(&path)?;
        }
        Store::start(Box::new(Sqlite::open(&path, Some(self.lock))?), settings, kinds, outbox)
    }
}

impl Store {
    /// Takes `folder` and opens the state in it: [`StateFolder::take`] and [`StateFolder::open`].
    ///
    /// # Errors
    /// The folder belongs to another coordinator, cannot be written, or does not read back.
    pub fn open(
        folder: &Path,
        settings: Settings,
        kinds: Box<dyn Kinds>,
        outbox: Outbox,
    ) -> Result<(Store, Writer), StoreError> {
        StateFolder::take(folder)?.open(settings, kinds, outbox)
    }

    /// A state in memory, which goes with its last handle.
    #[cfg(test)]
    pub(crate) fn in_memory(settings: Settings, kinds: Box<dyn Kinds>) -> Result<(Store, Writer), StoreError> {
        Store::start(Box::new(memory::Memory::default()), settings, kinds, Box::new(|_, _| {}))
    }

    /// Starts the writer of a database.
    fn start(
        mut database: Box<dyn Durable>,
        settings: Settings,
        kinds: Box<dyn Kinds>,
        outbox: Outbox,
    ) -> Result<(Store, Writer), StoreError> {
        let snapshot = database.load()?;
        let (store, waiting, announce) = Store::of(&*database, snapshot.last_seq);
        let beginning = Beginning { snapshot, settings, kinds, archive: Arc::clone(&store.records) as _ };
        let writer = writer::start(database, beginning, waiting, Told { announce, outbox })?;
        Ok((store, writer))
    }

    /// A handle on a database whose journal has reached `last_seq`, and the ends that its writer has.
    fn of(database: &dyn Durable, last_seq: u64) -> (Store, mpsc::Receiver<Request>, watch::Sender<u64>) {
        let (requests, waiting) = mpsc::channel(WAITING);
        let (announce, committed) = watch::channel(last_seq);
        let turns = Arc::new(Semaphore::new(READERS_MAX));
        let (records, rows) = (database.records(), database.rows());
        (Store { requests, committed, records, rows, turns }, waiting, announce)
    }

    /// Has a command carried out. When this returns, what it did is on disk.
    ///
    /// # Errors
    /// The core refused it, or the writer is gone.
    pub async fn apply(&self, command: Command) -> Result<(), ApplyError> {
        self.apply_with(command, None).await
    }

    /// The same, with something that lives until the commit, also where nobody waits for the answer any more.
    ///
    /// # Errors
    /// As [`apply`](Store::apply).
    pub async fn apply_with(&self, command: Command, guard: Option<Box<dyn Send>>) -> Result<(), ApplyError> {
        match self.change(|_| Ok::<_, Infallible>(command), move |_| drop(guard)).await {
            Ok(()) => Ok(()),
            Err(ChangeError::Apply(error)) => Err(error),
            Err(ChangeError::Undecided(never)) => match never {},
        }
    }

    /// Has `decide` make a command of the state, carries it out on that same state, and when what it did is on disk, looks at the state
    /// after it. Both run on the writer's thread: see [`read`](Self::read).
    ///
    /// # Errors
    /// What `decide` found wrong; then nothing has changed. The core refused the command, or the writer is gone.
    pub async fn change<E: Send + 'static, T: Send + 'static>(
        &self,
        decide: impl FnOnce(&Core) -> Result<Command, E> + Send + 'static,
        look: impl FnOnce(&Core) -> T + Send + 'static,
    ) -> Result<T, ChangeError<E>> {
        let (answer, answered) = oneshot::channel();
        let change = Deciding { decide: Some(decide), undecided: None, look, answer };
        let gone = || ChangeError::Apply(ApplyError::Stopped(Stopped));
        self.requests.send(Request::Change(Box::new(change))).await.map_err(|_| gone())?;
        answered.await.map_err(|_| gone())?
    }

    /// Looks at the committed state. `look` runs on the writer's thread, where everybody waits for it: it looks things up and computes
    /// nothing that grows with what a request says.
    ///
    /// # Errors
    /// The writer is gone.
    pub async fn read<T: Send + 'static>(&self, look: impl FnOnce(&Core) -> T + Send + 'static) -> Result<T, Stopped> {
        let (answer, answered) = oneshot::channel();
        // Nobody waits for the answer any more where sending fails.
        let look = Box::new(move |core: &Core| drop(answer.send(look(core))));
        self.requests.send(Request::Read(look)).await.map_err(|_| Stopped)?;
        answered.await.map_err(|_| Stopped)
    }

    /// Events of one job, or of all, oldest first, at most `limit` of them: the first ones whose position is above `after`. Fewer than
    /// `limit` means that there were no more. Costs what the page has, however long the journal is.
    ///
    /// # Errors
    /// The database, or an event that was written by a later version.
    pub async fn events(
        &self,
        job: Option<JobId>,
        after: u64,
        which: Which,
        limit: usize,
    ) -> Result<Vec<Event>, StoreError> {
        self.recall(move |records| records.events(job, after, which, limit)).await
    }

    /// A page of the jobs that `filter` lets through: see [`Records::list`].
    ///
    /// # Errors
    /// The database.
    pub async fn list(
        &self,
        filter: JobFilter,
        after: Option<Listed>,
        limit: usize,
    ) -> Result<Vec<Listed>, StoreError> {
        self.recall(move |records| records.list(&filter, after, limit)).await
    }

    /// Those of `ids` that there are as they were committed, in their order, each with its attempts, oldest first.
    ///
    /// # Errors
    /// The database.
    pub async fn jobs(&self, ids: Vec<JobId>) -> Result<Vec<(Job, Vec<Attempt>)>, StoreError> {
        self.recall(move |records| records.jobs(&ids)).await
    }

    /// A page of a tag's moves: see [`Records::moves`].
    ///
    /// # Errors
    /// The database.
    pub async fn moves(&self, tag: String, before: Option<u64>, limit: usize) -> Result<Vec<Move>, StoreError> {
        self.recall(move |records| records.moves(&tag, before, limit)).await
    }

    /// The move of an id.
    ///
    /// # Errors
    /// The database.
    pub async fn one_move(&self, id: MoveId) -> Result<Option<Move>, StoreError> {
        self.recall(move |records| records.one_move(id)).await
    }

    /// Checkpoints that jobs have made, by job, beginning behind `after`: those of as many whole jobs as are `jobs`.
    ///
    /// # Errors
    /// The database.
    pub async fn checkpoints(&self, after: Option<JobId>, jobs: usize) -> Result<Vec<CheckpointRow>, StoreError> {
        let rows = Arc::clone(&self.rows);
        self.beside(move || rows.checkpoints(after, jobs)).await
    }

    /// Jobs that ended behind `after`, in the order in which they did, at most `limit`.
    ///
    /// # Errors
    /// The database.
    pub async fn ended(&self, after: (Millis, JobId), limit: usize) -> Result<Vec<EndedRow>, StoreError> {
        let rows = Arc::clone(&self.rows);
        self.beside(move || rows.ended(after, limit)).await
    }

    /// Looks at all artifacts of one state of the database, one after another, and gives back what `begin` has become.
    ///
    /// # Errors
    /// The database.
    pub async fn artifacts<T: Send + 'static>(
        &self,
        begin: T,
        mut see: impl FnMut(&mut T, Digest, Manifest, Option<JobId>) + Send + 'static,
    ) -> Result<T, StoreError> {
        let (rows, mut seen) = (Arc::clone(&self.rows), begin);
        let read = move || {
            rows.artifacts(&mut |digest, manifest, job| see(&mut seen, digest, manifest, job))?;
            Ok(seen)
        };
        self.beside(read).await
    }

    /// How large the database is.
    ///
    /// # Errors
    /// The database.
    pub async fn size(&self) -> Result<DatabaseSize, StoreError> {
        let rows = Arc::clone(&self.rows);
        self.beside(move || rows.size()).await
    }

    /// Reads what was committed, beside the writer.
    async fn recall<T: Send + 'static>(
        &self,
        read: impl FnOnce(&dyn Records) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        if !self.records.waits() {
            return read(&*self.records);
        }
        let records = Arc::clone(&self.records);
        self.beside(move || read(&*records)).await
    }

    /// Reads on another thread than the writer's, when there is one to be had.
    async fn beside<T: Send + 'static>(
        &self,
        read: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let turn = Arc::clone(&self.turns).acquire_owned().await;
        let read = tokio::task::spawn_blocking(move || {
            // Given back when the reading is done, also where nobody waits for it any more.
            let _turn = turn;
            read()
        });
        read.await.map_err(|error| StoreError::Writer(error.to_string()))?
    }

    /// The journal's last position; changes after each commit that journalled something.
    pub fn committed(&self) -> watch::Receiver<u64> {
        self.committed.clone()
    }

    /// Has the writer end once what was sent before this is carried out. What waits behind it is not.
    pub async fn stop(&self) {
        // Fails where it has ended already.
        let _ = self.requests.send(Request::Stop).await;
    }
}

#[cfg(test)]
pub(crate) mod tests;
