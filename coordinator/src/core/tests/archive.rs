//! A core that lets go of what has ended beside one that keeps everything: both say and do the same, whatever comes.

use super::*;
use std::sync::{Mutex, MutexGuard};
use vertigo::id::MoveId;

/// What was written, as the archive of both cores.
#[derive(Debug, Clone, Default)]
pub(super) struct Disk {
    rows: Arc<Mutex<Snapshot>>,
    moves: Arc<Mutex<Vec<Move>>>,
}

impl Disk {
    pub(super) fn rows(&self) -> MutexGuard<'_, Snapshot> {
        self.rows.lock().unwrap()
    }

    /// All moves of tags that were ever made, in order.
    pub(super) fn moves(&self) -> MutexGuard<'_, Vec<Move>> {
        self.moves.lock().unwrap()
    }

    pub(super) fn archive(&self) -> Arc<dyn Archive> {
        Arc::new(self.clone())
    }
}

impl Archive for Disk {
    fn job(&self, id: JobId) -> Result<Option<Job>, ArchiveError> {
        Ok(self.rows().jobs.iter().find(|job| job.id == id).cloned())
    }

    fn has_job(&self, id: JobId) -> Result<bool, ArchiveError> {
        Ok(self.job(id)?.is_some())
    }

    fn attempt(&self, id: AttemptId) -> Result<Option<Attempt>, ArchiveError> {
        Ok(self.rows().attempts.iter().find(|attempt| attempt.id == id).cloned())
    }

    fn named(&self, name: &str) -> Result<Option<JobId>, ArchiveError> {
        Ok(self.rows().jobs.iter().filter(|job| job.name.as_deref() == Some(name)).map(|job| job.id).max())
    }

    fn beginning_with(&self, prefix: &str, limit: usize) -> Result<Vec<JobId>, ArchiveError> {
        let rows = self.rows();
        let fits = |job: &&Job| !prefix.is_empty() && job.id.to_string().starts_with(prefix);
        let mut ids: Vec<JobId> = rows.jobs.iter().filter(fits).map(|job| job.id).collect();
        ids.sort_unstable();
        ids.truncate(limit);
        Ok(ids)
    }

    fn has_move(&self, id: MoveId) -> Result<bool, ArchiveError> {
        Ok(self.moves().iter().any(|moved| moved.id == Some(id)))
    }
}

/// What of a snapshot a database gives back at a restart.
pub(super) fn unended(mut all: Snapshot) -> Snapshot {
    all.jobs.retain(|job| !job.state.is_terminal());
    let live: BTreeSet<JobId> = all.jobs.iter().map(|job| job.id).collect();
    all.attempts.retain(|attempt| live.contains(&attempt.job));
    all
}

/// Takes the twin through what its core has just done, and lets go. `effects` are written.
pub(super) fn keep_up(twin: &mut Core, moment: Moment, effects: &Effects) {
    let given = effects.outbox.iter().filter_map(|(_, message)| match message {
        Outgoing::Assignment(assignment) => Some(assignment.attempt),
        _ => None,
    });
    twin.tick(moment);
    twin.place(moment.now, &mut given.collect::<Vec<_>>().into_iter());
    assert_eq!(&twin.take_effects(), effects, "what has ended changes nothing");
    twin.let_go(effects);
    assert!(twin.jobs.values().all(|job| !job.state.is_terminal()), "what has ended is gone");
    assert!(twin.attempts.values().all(|attempt| twin.jobs.contains_key(&attempt.job)), "and what was tried for it");
}

#[test]
fn what_has_ended_is_still_refused_acknowledged_and_read() {
    let mut bench = Bench::new();
    let worker = WorkerId::new();
    let session = bench.connect(worker, "studio", 100, &[]).unwrap();
    let job = bench.submit(Some("first"), &[("r", 50)]);
    let attempt = bench.live(job);
    bench.report(session, attempt, success("a")).unwrap();
    let twin = bench.twin.as_ref().unwrap();
    assert!(twin.job(job).is_none() && twin.attempt(attempt).is_none());
    // Found by what people call it, and queued once.
    let found = twin.find_job("first").unwrap().map(|job| job.state.name());
    assert_eq!((found, twin.knows_job(job)), (Some("succeeded"), Ok(true)));
    bench.submit_as(job, Some("first"), 0, &[("r", 50)]).unwrap();
    assert_eq!(bench.apply(Command::Cancel { job, by: person() }), Err(Refusal::Ended { id: job, state: "succeeded" }));
    // Its reader has what it made at once.
    let reader = bench.submit_reader(job).unwrap();
    assert_eq!(bench.twin.as_ref().unwrap().job(reader).unwrap().waits_for(), BTreeSet::new());
    // Its worker has not heard yet, and says it again.
    bench.sent();
    let again = vec![report(1, success("a"))];
    bench.apply(Command::Reports { session, attempt, epoch: Epoch(1), reports: again }).unwrap();
    bench.heartbeat(session, &[attempt]).unwrap();
    let acks = bench.sent().into_iter().filter(|message| !matches!(message, Outgoing::Assignment(_)));
    assert_eq!(acks.collect::<Vec<_>>(), [Outgoing::Ack { attempt, number: 1 }]);
}
