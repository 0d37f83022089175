//! Why commands are not carried out, in words for a person: what is wrong and what to do.

use super::{ArchiveError, REMEMBERED};
use vertigo::id::{Digest, JobId, Millis, WorkerId};

/// Why a command was not carried out. Nothing has changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No such job.
    #[error("there is no job {0}")]
    NoJob(JobId),
    /// The job has ended.
    #[error("job {id} has {state} already and cannot be cancelled")]
    Ended {
        /// The job.
        id: JobId,
        /// How it ended.
        state: &'static str,
    },
    /// A job that makes nothing any more.
    #[error("job {id} has {state}, so there is nothing to wait for")]
    NoOutput {
        /// The job.
        id: JobId,
        /// How it ended.
        state: &'static str,
    },
    /// A job that has made nothing of that role.
    #[error("job {id} has made no output `{role}`")]
    NoSuchOutput {
        /// The job.
        id: JobId,
        /// The role.
        role: String,
    },
    /// Another worker of that name is connected.
    #[error(
        "a worker named `{0}` is connected already, from another installation: give this one another name with --name, \
         or stop the other"
    )]
    NameTaken(String),
    /// The id is another installation's: the secret is not the one of its first Hello.
    #[error(
        "worker {0} is known with another secret, so this is not the installation that joined under that id; to join as a new \
         worker, stop this one, remove the file `worker-id` in its folder (--state) and start it again"
    )]
    OtherInstallation(WorkerId),
    /// Another process of the installation is there.
    #[error(
        "another process runs as this worker, on {place} since {}; its run is left alone. If this folder was copied, stop this \
         worker, remove the file `worker-id` in its folder (--state) and start it again: it joins as a new worker. If the \
         other process has died, this one gets in when it has been silent for {} s",
        utc(*since), silence_ms.div_ceil(1000)
    )]
    OtherProcess {
        /// Where it runs.
        place: String,
        /// When it connected.
        since: Millis,
        /// How long it has to be silent before it is taken for dead.
        silence_ms: u64,
    },
    /// No such worker.
    #[error("there is no worker {0}")]
    NoWorker(WorkerId),
    /// A worker that is not to be removed while it is there.
    #[error("{name} is connected{}, so it is not removed", if *is_held { " and still runs something" } else { "" })]
    WorkerThere {
        /// Its name.
        name: String,
        /// Whether somebody holds it.
        is_held: bool,
    },
    /// A worker that cannot be told anything.
    #[error("{0} is not connected, so it cannot be told")]
    WorkerNotThere(String),
    /// A worker that would pass over what it is told.
    #[error("{name} runs an earlier release ({version}) that does not understand this, so it was not told")]
    WorkerTooOld {
        /// Its name.
        name: String,
        /// What it runs.
        version: String,
    },
    /// No variant fits any worker that is known.
    #[error("no variant fits any known worker. Variants: {variants}. Workers: {workers}")]
    TooLarge {
        /// Each variant and its need.
        variants: String,
        /// Each worker and its offer.
        workers: String,
    },
    /// The session has been replaced or closed.
    #[error("this session is over: the worker has connected again, or the coordinator closed it")]
    NoSession,
    /// No such tag.
    #[error("there is no tag `{tag}`")]
    NoTag {
        /// The tag.
        tag: String,
        /// One that is spelt like it.
        near: Option<String>,
    },
    /// Somebody else has moved the tag.
    #[error("`{tag}` is on {} by now, so it was not moved", on.map_or_else(|| "nothing".to_owned(), |on| on.to_string()))]
    TagMoved {
        /// The tag.
        tag: String,
        /// What it is on.
        on: Option<Digest>,
    },
    /// A tag that was nowhere else.
    #[error("`{}` was on nothing else before, as far as its {} newest moves tell", .0, REMEMBERED)]
    NothingBefore(String),
    /// A rollback to where the tag did not come by.
    #[error("`{tag}` did not come by {digest}, as far as its {} newest moves tell", REMEMBERED)]
    NotOnTheWay {
        /// The tag.
        tag: String,
        /// Where it was to go back to.
        digest: Digest,
    },
    /// A rollback to where the tag is.
    #[error("`{tag}` is on {digest} already")]
    OnItAlready {
        /// The tag.
        tag: String,
        /// What it is on.
        digest: Digest,
    },
    /// A tag's move names an artifact that there is not.
    #[error("there is no artifact {0}")]
    NoArtifact(Digest),
    /// What it names has ended and cannot be read.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
}

impl Refusal {
    /// What a person can do about it, where the words do not say it already.
    pub fn hint(&self) -> Option<String> {
        match self {
            Refusal::NoJob(_) => Some("`vertigo jobs` lists them".to_owned()),
            Refusal::NoWorker(_) => Some("`vertigo workers` lists them".to_owned()),
            Refusal::WorkerThere { is_held: true, .. } => {
                Some("`vertigo workers` shows when its last job has ended; then remove it".to_owned())
            }
            Refusal::WorkerThere { name, is_held: false } => {
                Some(format!("stop its daemon, or `vertigo drain {name}` and wait until it is idle; then remove it"))
            }
            Refusal::WorkerNotThere(_) => {
                Some("try again when it is back; `vertigo-worker status` on its machine says how it is".to_owned())
            }
            Refusal::WorkerTooOld { .. } => Some(
                "install this release on its machine and start the worker anew there; from then on it can be told"
                    .to_owned(),
            ),
            Refusal::NoOutput { id, .. } => Some(format!("`vertigo rerun {id}` queues it anew")),
            Refusal::NoSuchOutput { id, .. } => Some(format!("`vertigo job {id}` shows what it has made")),
            Refusal::TooLarge { .. } => Some(
                "make one smaller (max_seq_length, batch_size, num_layers, a 4-bit base) or connect a larger worker"
                    .to_owned(),
            ),
            Refusal::NoTag { near: Some(near), .. } => Some(format!("did you mean `{near}`?")),
            Refusal::NoTag { .. } | Refusal::NoArtifact(_) => {
                Some("`vertigo artifacts` lists what there is, with the tags on it".to_owned())
            }
            Refusal::TagMoved { tag, .. } => Some(format!("`vertigo history {tag}` says who moved it, and why")),
            Refusal::OnItAlready { tag, .. } => Some(format!("`vertigo history {tag}` lists its moves")),
            Refusal::NothingBefore(tag) | Refusal::NotOnTheWay { tag, .. } => Some(format!(
                "`vertigo history {tag}` lists its moves; `vertigo tag MODEL {tag}` moves it to any artifact"
            )),
            Refusal::Ended { .. }
            | Refusal::NameTaken(_)
            | Refusal::OtherInstallation(_)
            | Refusal::OtherProcess { .. }
            | Refusal::NoSession
            | Refusal::Archive(_) => None,
        }
    }
}

/// A moment as a person reads it.
fn utc(at: Millis) -> String {
    let time = i64::try_from(at.0).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    time.map_or_else(|| format!("{} ms", at.0), |time| time.strftime("%Y-%m-%d %H:%M:%S UTC").to_string())
}
