//! What a task's inputs are named by, and what those names stand for as time goes on.
//!
//! A task may follow names (see [`Task::followed`]): before its child starts they are looked up at the coordinator, and while it runs again
//! and again. When one has moved, what it stands for now is fetched, and the child is told where it lies.
//!
//! Promise: a child learns of a move within [`PACE`] and the time of the fetch, for as long as the coordinator can be reached; what cannot
//! be looked up or fetched stays what it was.

use super::{Supervisor, input_of};
use crate::cache::{CacheError, Entry, Kinds};
use crate::child::process::News;
use crate::held::Attempt;
use crate::job::Job;
use crate::task::{Followed, Input, Task};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::task::AbortOnDropHandle;
use vertigo::id::Digest;
use vertigo::manifest::{Kind, Manifest};
use vertigo::task::{TaskKind, role};
use vertigo::v1::LogLine;
use vertigo::v1::report::Body;
use vertigo_client::TransferError;

/// Between two looks at what names stand for.
const PACE: Duration = Duration::from_secs(3);

/// Why a name cannot be followed now.
#[derive(Debug, thiserror::Error)]
enum NameError {
    #[error("{0}")]
    Lookup(#[from] TransferError),
    #[error("`{reference}` is a {kind} by now, which a {task} job does not read there")]
    Kind { reference: String, kind: Kind, task: TaskKind },
    #[error("the adapter `{0}` does not say its base")]
    NoBase(String),
    #[error("{0}")]
    Fetch(#[from] CacheError),
}

impl Supervisor {
    /// A task's inputs by what their names stand for now; as they were assigned where nothing is followed or it cannot be looked up.
    pub(super) async fn named_now(&self, task: &Task, assigned: &BTreeMap<String, Digest>) -> BTreeMap<String, Digest> {
        let mut inputs = assigned.clone();
        for followed in task.followed() {
            match self.stands_for(task.kind(), &followed).await {
                Ok(meant) => put(&mut inputs, &followed, meant),
                Err(error) => tracing::debug!(%error, "a name cannot be looked up; its input stays what it is"),
            }
        }
        inputs
    }

    /// What a name stands for: its digest, and its base's where it is an adapter.
    async fn stands_for(&self, task: TaskKind, followed: &Followed) -> Result<(Digest, Option<Digest>), NameError> {
        let Followed { role: model_role, reference, base_role, base } = followed;
        let checked = |role: &str, reference: &str, manifest: &Manifest| {
            let (kind, takes) = (manifest.kind(), task.input(role).map_or(&[][..], |input| input.takes));
            let reference = reference.to_owned();
            takes.contains(&kind).then_some(()).ok_or(NameError::Kind { reference, kind, task })
        };
        let (digest, manifest) = self.transfer.manifest(reference).await?;
        checked(model_role, reference, &manifest)?;
        if manifest.kind() != Kind::Adapter {
            return Ok((digest, None));
        }
        if !base.is_empty() {
            let (digest_of_base, of_base) = self.transfer.manifest(base).await?;
            checked(base_role, base, &of_base)?;
            return Ok((digest, Some(digest_of_base)));
        }
        let own = manifest.fact(role::BASE).and_then(Value::as_str).and_then(|text| text.parse().ok());
        Ok((digest, Some(own.ok_or_else(|| NameError::NoBase(reference.clone()))?)))
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
        let (mut told, mut before) = (Vec::new(), Vec::new());
        loop {
            look.tick().await;
            let meant = self.named_now(&job.task, &inputs).await;
            if meant == inputs {
                continue;
            }
            match self.fetch_named(&job.task, &meant).await {
                Err(error) => {
                    tracing::warn!(%error, attempt = %attempt.id(), "a name has moved to what cannot be fetched")
                }
                Ok((line, entries)) => {
                    for (role, digest) in meant.iter().filter(|(role, digest)| inputs.get(*role) != Some(*digest)) {
                        let text = format!("`{role}` is {} from now on", digest.short());
                        attempt.mention(Body::Log(LogLine { text }));
                    }
                    if news.send(line).await.is_err() {
                        return;
                    }
                    drop(std::mem::replace(&mut before, std::mem::replace(&mut told, entries)));
                    inputs = meant;
                }
            }
        }
    }

    /// The inputs that names stand for, fetched: the line that tells a child of them, and what holds them in the cache.
    async fn fetch_named(
        &self,
        task: &Task,
        meant: &BTreeMap<String, Digest>,
    ) -> Result<(String, Vec<Entry>), NameError> {
        let (mut inputs, mut entries) = (BTreeMap::<String, Input>::new(), Vec::new());
        for (role, digest) in meant {
            let kinds = Kinds(task.kind().input(role).map_or(&[], |input| input.takes));
            let entry = self.cache.get(kinds, *digest).await?;
            inputs.insert(role.clone(), input_of(*digest, &entry));
            entries.push(entry);
        }
        Ok((
            serde_json::to_string(&inputs).expect("inputs are names, paths and facts, which have a JSON form"),
            entries,
        ))
    }
}

/// Has the inputs of a followed name be what it stands for. Only an adapter has a base of its own.
fn put(inputs: &mut BTreeMap<String, Digest>, followed: &Followed, (digest, base): (Digest, Option<Digest>)) {
    inputs.insert(followed.role.clone(), digest);
    match base {
        Some(base) => drop(inputs.insert(followed.base_role.clone(), base)),
        None => drop(inputs.remove(&followed.base_role)),
    }
}

/// Following, for as long as this is kept.
pub(super) struct Follows {
    _entries: Vec<Entry>,
    _task: Option<AbortOnDropHandle<()>>,
}
