//! The names that a task follows: looked up before its child starts, and while it runs again and again. When one has moved, what it stands
//! for now is fetched, and the child is told where it lies.
//!
//! Promise: a child learns of a move within [`PACE`] and the time of the fetch, for as long as the coordinator can be reached; what cannot
//! be looked up or fetched stays what it was.

use super::Supervisor;
use crate::cache::Entry;
use crate::child::process::News;
use crate::held::Attempt;
use crate::job::Job;
use crate::names::Lookup;
use crate::task::Task;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::task::AbortOnDropHandle;
use vertigo::id::Digest;
use vertigo::v1::LogLine;
use vertigo::v1::report::Body;

/// Between two looks at what names stand for.
const PACE: Duration = Duration::from_secs(3);

impl Supervisor {
    fn lookup(&self) -> Lookup<'_> {
        Lookup { transfer: &self.transfer, cache: &self.cache }
    }

    /// A task's inputs by what their names stand for now; as they were assigned where nothing is followed or it cannot be looked up.
    pub(super) async fn named_now(&self, task: &Task, assigned: &BTreeMap<String, Digest>) -> BTreeMap<String, Digest> {
        let mut inputs = assigned.clone();
        for followed in task.followed() {
            if let Err(error) = self.lookup().renew(task.kind(), &followed, &mut inputs).await {
                tracing::debug!(%error, "a name cannot be looked up; its input stays what it is");
            }
        }
        inputs
    }

    /// Follows the names of a job's task for as long as what it gives is kept: the child's news. `entries` are what the child has begun
    /// with; they stay in the cache, as does what it is told of later.
    pub(super) fn follow(
        self: &Arc<Self>,
        job: &Arc<Job>,
        attempt: &Arc<Attempt>,
        inputs: BTreeMap<String, Digest>,
        entries: Vec<Entry>,
    ) -> (News, Follows) {
        let (sender, news) = mpsc::channel(1);
        if job.task.followed().is_empty() {
            return (news, Follows { _entries: entries, _task: None });
        }
        let (worker, job, attempt) = (self.clone(), job.clone(), attempt.clone());
        let task = tokio::spawn(async move { worker.follow_for_ever(&job, &attempt, inputs, &sender).await });
        (news, Follows { _entries: entries, _task: Some(AbortOnDropHandle::new(task)) })
    }

    async fn follow_for_ever(
        &self,
        job: &Job,
        attempt: &Attempt,
        mut inputs: BTreeMap<String, Digest>,
        news: &mpsc::Sender<String>,
    ) {
        let mut look = interval(PACE);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // What the child was told of last, and what it was told of before, on which answers may still end.
        let mut held = [Vec::new(), Vec::new()];
        loop {
            look.tick().await;
            let meant = self.named_now(&job.task, &inputs).await;
            if meant == inputs {
                continue;
            }
            let (here, entries) = match self.lookup().fetch(job.task.kind(), &meant).await {
                Ok(fetched) => fetched,
                Err(error) => {
                    tracing::warn!(%error, attempt = %attempt.id(), "a name has moved to what cannot be fetched");
                    continue;
                }
            };
            for (role, digest) in meant.iter().filter(|(role, digest)| inputs.get(*role) != Some(*digest)) {
                let text = format!("`{role}` is {} from now on", digest.short());
                attempt.mention(Body::Log(LogLine { text }));
            }
            let line = serde_json::to_string(&here).expect("inputs are names, paths and facts, which have a JSON form");
            if news.send(line).await.is_err() {
                return;
            }
            held.rotate_left(1);
            held[1] = entries;
            inputs = meant;
        }
    }
}

/// Following, for as long as this is kept.
pub(super) struct Follows {
    _entries: Vec<Entry>,
    _task: Option<AbortOnDropHandle<()>>,
}
