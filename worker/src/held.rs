//! The attempts that this worker holds: what each has to say, and whether it may go on.
//!
//! Between the session, which brings assignments, acknowledgements and stops, and the supervisors, which bring reports, this is
//! all that both touch.
//!
//! Promise: an attempt is held from its assignment until its `Finished` is acknowledged or its lease is over, through lost
//! connections; one that had finished is held through a restart too, so that its result is not lost. What is held is named in
//! every heartbeat; what is not held has no child. What a child has finished outlives its attempt: see [`output`].
//!
//! [`output`]: crate::output

use crate::output::{Kept, Output, Work};
use crate::spool::{Cursor, Spool};
use crate::state::StateError;
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use vertigo::files::AtPath;
use vertigo::id::{AttemptId, Epoch, Millis};
use vertigo::v1::report::Body;
use vertigo::v1::{self, Report};

/// Logs of ended attempts that are kept on this machine.
const KEPT_LOGS: usize = 20;

/// Why an attempt must stop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stop {
    /// Its lease is over: nothing that it says is taken any more.
    LeaseOver(String),
    /// The worker goes: its end is still to be reported.
    WorkerLeaves,
    /// The worker drains, and this would go on until somebody ends it: the coordinator takes its lease back, and nobody waits for its end.
    GivenBack,
}

/// An attempt that this worker holds.
#[derive(Debug)]
pub struct Attempt {
    id: AttemptId,
    epoch: Epoch,
    folder: PathBuf,
    inner: Mutex<Inner>,
    stopped: CancellationToken,
    news: watch::Sender<()>,
}

#[derive(Debug)]
struct Inner {
    spool: Spool,
    stop: Option<Stop>,
    /// Whether it was said that reports are lost.
    mute: bool,
}

/// The attempts that this worker holds.
#[derive(Debug)]
pub struct Attempts {
    folder: PathBuf,
    cut_off: Vec<AttemptId>,
    kept: Kept,
    held: Mutex<BTreeMap<AttemptId, Arc<Attempt>>>,
    news: watch::Sender<()>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing here is left half done by a panic.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Attempt {
    fn open(id: AttemptId, epoch: Epoch, folder: PathBuf, news: watch::Sender<()>) -> io::Result<Attempt> {
        let spool = Spool::open(&folder.join("reports"))?;
        let inner = Mutex::new(Inner { spool, stop: None, mute: false });
        Ok(Attempt { id, epoch, folder, inner, stopped: CancellationToken::new(), news })
    }

    /// Its id.
    pub fn id(&self) -> AttemptId {
        self.id
    }

    /// The epoch of its lease.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Where it keeps its files.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Adds a report, to be sent until it is acknowledged. Dropped where the lease is over or a `Finished` came before.
    ///
    /// # Errors
    /// Where it cannot be written down.
    pub fn report(&self, body: Body) -> io::Result<()> {
        let mut inner = lock(&self.inner);
        if !matches!(inner.stop, Some(Stop::LeaseOver(_))) {
            inner.spool.append(Millis::now(), body)?;
            self.news.send_replace(());
        }
        Ok(())
    }

    /// Adds a report that the run can do without: where it cannot be written down, such as on a full disk, it is dropped and that
    /// is said once. Hours of training are not ended for a line about them.
    pub fn mention(&self, body: Body) {
        if let Err(error) = self.report(body)
            && !std::mem::replace(&mut lock(&self.inner).mute, true)
        {
            tracing::warn!(%error, attempt = %self.id, "cannot write reports down; some are lost");
        }
    }

    /// Returns when the attempt must stop, saying why.
    pub async fn stopped(&self) -> Stop {
        self.stopped.cancelled().await;
        self.stop_reason().unwrap_or(Stop::WorkerLeaves)
    }

    /// Why it must stop, if it must.
    pub fn stop_reason(&self) -> Option<Stop> {
        lock(&self.inner).stop.clone()
    }

    /// Whether its lease is over, so that nothing it says is taken.
    pub fn is_over(&self) -> bool {
        matches!(self.stop_reason(), Some(Stop::LeaseOver(_)))
    }

    /// After report `number`.
    ///
    /// # Errors
    /// Where the reports cannot be read.
    pub fn after(&self, number: u64) -> io::Result<Cursor> {
        lock(&self.inner).spool.after(number)
    }

    /// The next reports after `cursor`, which moves behind them.
    ///
    /// # Errors
    /// Where the reports cannot be read.
    pub fn read(&self, cursor: &mut Cursor) -> io::Result<Vec<Report>> {
        lock(&self.inner).spool.read(cursor)
    }
}

impl Attempts {
    /// What is left in `folder` from before: attempts that had finished are held again, of all others only the log is kept, and the
    /// output where there is one.
    ///
    /// # Errors
    /// Where the folder cannot be read or cleaned.
    pub fn recover(folder: &Path) -> Result<Attempts, StateError> {
        let (news, mut held, mut ended) = (watch::Sender::new(()), BTreeMap::new(), Vec::new());
        let mut cut_off = Vec::new();
        for entry in fs::read_dir(folder).at(folder)? {
            let path = entry.at(folder)?.path();
            let Some(id) = path.file_name().and_then(|name| name.to_str()?.parse::<AttemptId>().ok()) else { continue };
            match recovered(id, &path, &news) {
                Some(attempt) => {
                    tracing::info!(attempt = %id, "finished before the restart; its result is still to be taken");
                    held.insert(id, Arc::new(attempt));
                }
                None => {
                    // Of one that was let go, only the log is left.
                    cut_off.extend(path.join("epoch").exists().then_some(id));
                    ended.push(path);
                }
            }
        }
        let kept = Kept::new(folder.join("kept"));
        kept.tidy(SystemTime::now()).at(folder)?;
        for path in &ended {
            kept.keep(path).at(path)?;
            clean(path).at(path)?;
        }
        remove_old_logs(ended).at(folder)?;
        Ok(Attempts { folder: folder.to_owned(), cut_off, kept, held: Mutex::new(held), news })
    }

    /// Attempts that were found without an end when this worker started.
    pub fn cut_off(&self) -> &[AttemptId] {
        &self.cut_off
    }

    /// Holds a new attempt. `None` where it is held already.
    ///
    /// # Errors
    /// Where its folder cannot be made.
    pub fn begin(&self, id: AttemptId, epoch: Epoch) -> io::Result<Option<Arc<Attempt>>> {
        let mut held = lock(&self.held);
        if held.contains_key(&id) {
            return Ok(None);
        }
        let folder = self.folder.join(id.to_string());
        let opened = fs::create_dir_all(&folder)
            .and_then(|()| fs::write(folder.join("epoch"), epoch.to_string()))
            .and_then(|()| Attempt::open(id, epoch, folder.clone(), self.news.clone()));
        let attempt = Arc::new(opened.inspect_err(|_| {
            // Nobody would ever let go of what is not held. Where even this fails, the next start cleans up.
            let _ = fs::remove_dir_all(&folder);
        })?);
        held.insert(id, attempt.clone());
        Ok(Some(attempt))
    }

    /// All that is held, by id.
    pub fn all(&self) -> Vec<Arc<Attempt>> {
        lock(&self.held).values().cloned().collect()
    }

    /// The same, as heartbeats name it. One that must stop is among them until its child is gone: its memory is not free before.
    pub fn named(&self) -> Vec<v1::Held> {
        let named = |attempt: Arc<Attempt>| v1::Held { attempt_id: attempt.id.to_string(), epoch: attempt.epoch.0 };
        self.all().into_iter().map(named).collect()
    }

    /// Whether nothing is held.
    pub fn is_empty(&self) -> bool {
        lock(&self.held).is_empty()
    }

    /// Changes when there are new reports, or fewer attempts.
    pub fn news(&self) -> watch::Receiver<()> {
        self.news.subscribe()
    }

    /// The coordinator has taken all up to report `number`. An attempt whose `Finished` is among them is let go.
    pub fn acknowledged(&self, id: AttemptId, number: u64) {
        let taken = |attempt: &Arc<Attempt>| {
            let spool = &lock(&attempt.inner).spool;
            spool.is_finished() && number >= spool.last()
        };
        if lock(&self.held).get(&id).is_some_and(taken) {
            self.let_go(id);
        }
    }

    /// The output that an earlier attempt has finished of `work` and could not send, moved to `attempt`.
    ///
    /// # Errors
    /// The disk's.
    pub fn take_output(&self, attempt: &Attempt, work: &Work) -> io::Result<Option<Output>> {
        self.kept.take(work, &attempt.folder)
    }

    /// Keeps the output of `attempt`, if it has one, beyond it.
    pub fn keep_output(&self, attempt: &Attempt) {
        if let Err(error) = self.kept.keep(&attempt.folder) {
            tracing::error!(%error, folder = %attempt.folder.display(), "cannot keep what was finished");
        }
    }

    /// The attempt must stop. One that has no child any more is let go at once where its lease is over; any other by its
    /// supervisor, when the child is gone.
    pub fn stop(&self, id: AttemptId, why: Stop) {
        let Some(attempt) = lock(&self.held).get(&id).cloned() else { return };
        let finished = {
            let mut inner = lock(&attempt.inner);
            // A lease that is over outdoes a worker that leaves, never the other way round.
            if !matches!(inner.stop, Some(Stop::LeaseOver(_))) {
                inner.stop = Some(why.clone());
            }
            inner.spool.is_finished()
        };
        attempt.stopped.cancel();
        if finished && matches!(why, Stop::LeaseOver(_)) {
            self.forget(id);
        }
    }

    /// Lets an attempt go whose end nobody has taken. Its log stays, and its output, if it has one.
    pub fn forget(&self, id: AttemptId) {
        if let Some(attempt) = lock(&self.held).get(&id).cloned() {
            self.keep_output(&attempt);
        }
        self.let_go(id);
    }

    /// Lets an attempt go, with all its files but the log.
    fn let_go(&self, id: AttemptId) {
        let Some(attempt) = lock(&self.held).remove(&id) else { return };
        if let Err(error) = clean(&attempt.folder) {
            tracing::warn!(%error, folder = %attempt.folder.display(), "cannot remove an ended attempt's files");
        }
        if let Err(error) = self.remove_old_logs() {
            tracing::warn!(%error, folder = %self.folder.display(), "cannot remove the logs of old attempts");
        }
        self.news.send_replace(());
    }

    fn remove_old_logs(&self) -> io::Result<()> {
        let held = lock(&self.held);
        let mut ended = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let path = entry?.path();
            let id = path.file_name().and_then(|name| name.to_str()?.parse::<AttemptId>().ok());
            if id.is_some_and(|id| !held.contains_key(&id)) {
                ended.push(path);
            }
        }
        remove_old_logs(ended)
    }
}

/// Removes the folders of ended attempts but for the newest [`KEPT_LOGS`]. Ids sort by time.
fn remove_old_logs(mut ended: Vec<PathBuf>) -> io::Result<()> {
    ended.sort();
    let old = ended.len().saturating_sub(KEPT_LOGS);
    ended[..old].iter().try_for_each(fs::remove_dir_all)
}

/// The attempt in `folder`, where it had finished.
fn recovered(id: AttemptId, folder: &Path, news: &watch::Sender<()>) -> Option<Attempt> {
    let epoch = fs::read_to_string(folder.join("epoch")).ok()?.trim().parse().ok()?;
    if !folder.join("reports").exists() {
        return None;
    }
    let attempt = Attempt::open(id, Epoch(epoch), folder.to_owned(), news.clone()).ok()?;
    let finished = lock(&attempt.inner).spool.is_finished();
    finished.then_some(attempt)
}

/// Removes all from an attempt's folder but its log.
fn clean(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            fs::remove_dir_all(&path)?;
        } else if path.file_name().is_none_or(|name| name != "log") {
            fs::remove_file(&path)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use vertigo::v1::{Finished, LogLine};

    fn log() -> Body {
        Body::Log(LogLine { text: "x".to_owned() })
    }

    fn finished() -> Body {
        Body::Finished(Finished::default())
    }

    #[test]
    fn an_attempt_is_held_until_its_end_is_taken() {
        let dir = tempfile::tempdir().unwrap();
        let attempts = Attempts::recover(dir.path()).unwrap();
        let id = AttemptId::new();
        let attempt = attempts.begin(id, Epoch(3)).unwrap().unwrap();
        assert!(attempts.begin(id, Epoch(3)).unwrap().is_none(), "the same assignment again");
        assert_eq!(attempts.named(), [v1::Held { attempt_id: id.to_string(), epoch: 3 }]);
        attempt.report(log()).unwrap();
        attempts.acknowledged(id, 1);
        attempt.report(finished()).unwrap();
        attempts.acknowledged(id, 1);
        assert!(!attempts.is_empty());
        attempts.acknowledged(id, 2);
        assert!(attempts.is_empty());
    }

    /// A disk without room fails it so: the folder is made, and nothing can be written into it.
    #[test]
    fn an_attempt_that_cannot_be_begun_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let attempts = Attempts::recover(dir.path()).unwrap();
        let id = AttemptId::new();
        let folder = dir.path().join(id.to_string());
        fs::create_dir_all(folder.join("epoch")).unwrap();
        attempts.begin(id, Epoch(1)).unwrap_err();
        assert!(!folder.exists() && attempts.is_empty());
    }

    #[test]
    fn a_lease_that_is_over_silences_an_attempt_until_its_supervisor_lets_it_go() {
        let dir = tempfile::tempdir().unwrap();
        let attempts = Attempts::recover(dir.path()).unwrap();
        let id = AttemptId::new();
        let attempt = attempts.begin(id, Epoch(1)).unwrap().unwrap();
        let over = Stop::LeaseOver("cancelled".to_owned());
        attempts.stop(id, over.clone());
        attempts.stop(id, Stop::WorkerLeaves);
        assert_eq!(attempt.stop_reason(), Some(over));
        assert_eq!(attempts.named().len(), 1, "its child may still be there");
        attempt.report(finished()).unwrap();
        assert_eq!(attempt.after(9).unwrap(), Cursor::START);
        attempts.forget(id);
        assert!(attempts.is_empty());
        // One that has finished has no supervisor, and goes at once.
        let attempt = attempts.begin(AttemptId::new(), Epoch(1)).unwrap().unwrap();
        attempt.report(finished()).unwrap();
        attempts.stop(attempt.id(), Stop::LeaseOver("old epoch".to_owned()));
        assert!(attempts.is_empty());
    }

    #[test]
    fn a_restart_holds_what_had_finished_and_keeps_the_logs_of_the_rest() {
        let dir = tempfile::tempdir().unwrap();
        let attempts = Attempts::recover(dir.path()).unwrap();
        let (done, cut) = (AttemptId::new(), AttemptId::new());
        let attempt = attempts.begin(done, Epoch(7)).unwrap().unwrap();
        attempt.report(log()).unwrap();
        attempt.report(finished()).unwrap();
        let attempt = attempts.begin(cut, Epoch(8)).unwrap().unwrap();
        attempt.report(log()).unwrap();
        fs::create_dir(attempt.folder().join("out")).unwrap();
        fs::write(attempt.folder().join("log"), "words").unwrap();
        drop(attempts);
        let attempts = Attempts::recover(dir.path()).unwrap();
        assert_eq!(attempts.named(), [v1::Held { attempt_id: done.to_string(), epoch: 7 }]);
        assert_eq!(attempts.cut_off(), [cut]);
        assert_eq!(Attempts::recover(dir.path()).unwrap().cut_off(), [], "it is cut off once");
        let left: Vec<_> = fs::read_dir(attempt.folder()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, ["log"]);
    }

    #[test]
    fn logs_do_not_pile_up() {
        let dir = tempfile::tempdir().unwrap();
        let ids: Vec<_> = (0..KEPT_LOGS + 3).map(|_| AttemptId::new().to_string()).collect();
        for id in &ids {
            fs::create_dir(dir.path().join(id)).unwrap();
            fs::write(dir.path().join(id).join("log"), "words").unwrap();
        }
        Attempts::recover(dir.path()).unwrap();
        let kept: Vec<_> = ids.iter().filter(|id| dir.path().join(id).exists()).collect();
        assert_eq!(kept, ids[3..].iter().collect::<Vec<_>>());
        // Nor do those of a daemon that is never started again.
        let attempts = Attempts::recover(dir.path()).unwrap();
        for _ in 0..3 {
            let id = AttemptId::new();
            attempts.begin(id, Epoch(1)).unwrap();
            assert!(dir.path().join(id.to_string()).exists());
            attempts.forget(id);
        }
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), KEPT_LOGS);
    }
}
