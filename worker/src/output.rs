//! What children have finished and the coordinator has not taken yet.
//!
//! ```text
//! attempts/ATTEMPT/output/   record.json, ROLE/ for each output: while its attempt is held
//! attempts/kept/JOB/         the same, once the attempt is over
//! ```
//!
//! Promise: hours of work are not lost because their result could not be sent. An output stays on this machine through the
//! end of its lease and through a restart, and is sent when the job is leased to this worker again, instead of working again: the same
//! task gives the same bits. It is used for exactly the same work only (job, variant, task, inputs), and only where its files are
//! still what they were. It goes when the coordinator has taken it from here. Where another worker finishes the job, nobody asks for
//! it any more: then it goes by age, or before newer ones where there are more than [`KEPT_MAX`] or
//! [`KEPT_BYTES_MAX`].
//!
//! An output lies in one place at a time and moves by a rename, so that it is there whole or not at all.

use crate::job::Job;
use crate::task::Task;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};
use vertigo::bytes::Bytes;
use vertigo::id::{Digest, JobId};
use vertigo::manifest::Manifest;

/// Outputs that are kept beyond their attempts.
pub const KEPT_MAX: usize = 8;

/// Bytes that they may take together. The newest stays, however large.
pub const KEPT_BYTES_MAX: Bytes = Bytes::gib(64);

/// How long one is kept.
pub const KEPT_DAYS_MAX: u64 = 14;

/// What was done: an output is for this and nothing else. The checkpoint that a run went on from is no part of it: it does not change
/// the bits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Work {
    job: JobId,
    variant: String,
    task: Task,
    inputs: BTreeMap<String, Digest>,
}

impl Work {
    /// A job's.
    pub fn of(job: &Job) -> Work {
        let (variant, task, inputs) = (job.variant.clone(), job.task.clone(), job.inputs.clone());
        Work { job: job.id, variant, task, inputs }
    }
}

/// `record.json`.
#[derive(Debug, Serialize, Deserialize)]
struct Record {
    work: Work,
    remark: String,
    peak: Bytes,
    /// Role and manifest.
    outputs: Vec<(String, String)>,
}

/// What a child has finished.
#[derive(Debug, Clone, PartialEq)]
pub struct Output {
    /// The kind's outputs in their order.
    pub parts: Vec<Part>,
    /// What a person has to know of them; empty for nothing.
    pub remark: String,
    /// MLX's peak memory.
    pub peak: Bytes,
}

/// An output that is finished.
#[derive(Debug, Clone, PartialEq)]
pub struct Part {
    /// What the kind calls it.
    pub role: String,
    /// Where its files are.
    pub folder: PathBuf,
    /// Its files as they were when the child had finished, and its facts.
    pub manifest: Manifest,
}

fn output_of(attempt: &Path) -> PathBuf {
    attempt.join("output")
}

impl Output {
    /// Writes down in the folder of `attempt` what its child has finished, and moves the files there.
    ///
    /// # Errors
    /// Where that cannot be written, such as on a full disk; then `self` says where the files are.
    pub fn record(&mut self, attempt: &Path, work: Work) -> io::Result<()> {
        let (unfinished, folder) = (attempt.join("output.part"), output_of(attempt));
        fs::create_dir_all(&unfinished)?;
        let outputs = self.parts.iter().map(|part| (part.role.clone(), part.manifest.to_json())).collect();
        let record = Record { work, remark: self.remark.clone(), peak: self.peak, outputs };
        let mut file = File::create(unfinished.join(RECORD))?;
        file.write_all(&serde_json::to_vec(&record)?)?;
        file.sync_all()?;
        for part in &mut self.parts {
            let to = unfinished.join(&part.role);
            fs::rename(&part.folder, &to)?;
            part.folder = to;
        }
        File::open(&unfinished)?.sync_all()?;
        // Only under this name is it an output.
        fs::rename(&unfinished, &folder)?;
        for part in &mut self.parts {
            part.folder = folder.join(&part.role);
        }
        File::open(attempt)?.sync_all()
    }

    /// The output in `folder`, where it is of `work`.
    fn read(folder: &Path, work: &Work) -> Option<Output> {
        let record: Record = serde_json::from_slice(&fs::read(folder.join(RECORD)).ok()?).ok()?;
        let part = |(role, manifest): (String, String)| {
            let (manifest, folder) = (Manifest::parse(&manifest).ok()?, folder.join(&role));
            folder.is_dir().then_some(Part { role, folder, manifest })
        };
        let parts = record.outputs.into_iter().map(part).collect::<Option<Vec<_>>>()?;
        (record.work == *work).then_some(Output { parts, remark: record.remark, peak: record.peak })
    }
}

/// The file that says what an output is.
const RECORD: &str = "record.json";

/// Outputs that are kept beyond their attempts, by job.
#[derive(Debug)]
pub struct Kept {
    folder: PathBuf,
}

impl Kept {
    /// Those in `folder`, which is made when the first comes.
    pub fn new(folder: PathBuf) -> Kept {
        Kept { folder }
    }

    /// Keeps the output of an attempt that is over, if it has one, in place of an older one of the same job.
    ///
    /// # Errors
    /// The disk's.
    pub fn keep(&self, attempt: &Path) -> io::Result<()> {
        let output = output_of(attempt);
        let record = fs::read(output.join(RECORD)).ok();
        let Some(record) = record.and_then(|bytes| serde_json::from_slice::<Record>(&bytes).ok()) else {
            return Ok(());
        };
        fs::create_dir_all(&self.folder)?;
        let kept = self.folder.join(record.work.job.to_string());
        if kept.exists() {
            fs::remove_dir_all(&kept)?;
        }
        fs::rename(&output, &kept)?;
        tracing::info!(job = %record.work.job, folder = %kept.display(), "what was finished is kept until it can be sent");
        self.tidy(SystemTime::now())
    }

    /// Moves the output of `work` into the folder of `attempt`, if one is kept. One of other work of the same job is of no use and goes.
    ///
    /// # Errors
    /// The disk's.
    pub fn take(&self, work: &Work, attempt: &Path) -> io::Result<Option<Output>> {
        let kept = self.folder.join(work.job.to_string());
        if !kept.exists() {
            return Ok(None);
        }
        if Output::read(&kept, work).is_none() {
            fs::remove_dir_all(&kept)?;
            return Ok(None);
        }
        let output = output_of(attempt);
        fs::rename(&kept, &output)?;
        Ok(Output::read(&output, work))
    }

    /// Removes what is too old or too much at `now`.
    ///
    /// # Errors
    /// The disk's.
    pub fn tidy(&self, now: SystemTime) -> io::Result<()> {
        if !self.folder.exists() {
            return Ok(());
        }
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let path = entry?.path();
            found.push(Found { finished: fs::metadata(&path)?.modified()?, bytes: size(&path)?, path });
        }
        for old in surplus(found, now) {
            tracing::warn!(folder = %old.path.display(), size = %Bytes(old.bytes), "a kept output that nobody asked for is removed");
            fs::remove_dir_all(&old.path)?;
        }
        Ok(())
    }
}

/// A kept output on the disk.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Found {
    path: PathBuf,
    bytes: u64,
    finished: SystemTime,
}

/// What goes at `now`: all that is too old, and the oldest beyond the number and the bytes that are kept. The newest stays unless it
/// is too old.
fn surplus(mut found: Vec<Found>, now: SystemTime) -> Vec<Found> {
    found.sort_by_key(|output| std::cmp::Reverse(output.finished));
    let (mut number, mut bytes) = (0, 0u64);
    found.retain(|output| {
        let age = now.duration_since(output.finished).unwrap_or_default();
        let fits = number == 0 || (number < KEPT_MAX && bytes.saturating_add(output.bytes) <= KEPT_BYTES_MAX.0);
        let stays = age <= Duration::from_secs(KEPT_DAYS_MAX * 24 * 60 * 60) && fits;
        if stays {
            number += 1;
            bytes = bytes.saturating_add(output.bytes);
        }
        !stays
    });
    found
}

/// Bytes of all files below `path`.
fn size(path: &Path) -> io::Result<u64> {
    let metadata = fs::symlink_metadata(path)?;
    if !metadata.is_dir() {
        return Ok(metadata.len());
    }
    fs::read_dir(path)?.try_fold(0, |sum: u64, entry| Ok(sum.saturating_add(size(&entry?.path())?)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use vertigo::manifest::{FileEntry, Kind};

    fn work() -> Work {
        Work {
            job: JobId::new(),
            variant: "4b".to_owned(),
            task: Task::Train { recipe: "4b".to_owned(), yaml: "iters: 3".to_owned() },
            inputs: [("base".to_owned(), Digest::of(b"base")), ("data".to_owned(), Digest::of(b"data"))].into(),
        }
    }

    /// An attempt's folder with two finished outputs in it.
    fn finished(attempt: &Path, work: &Work) -> Output {
        let part = |role: &str| {
            let folder = attempt.join("out").join(role);
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join("adapters.safetensors"), "weights").unwrap();
            let path = "adapters.safetensors".to_owned();
            let file = FileEntry { path, digest: Digest::of(b"weights"), bytes: Bytes(7) };
            let manifest = Manifest::new(Kind::Adapter, vec![file], Default::default()).unwrap();
            Part { role: role.to_owned(), folder, manifest }
        };
        let parts = vec![part("adapter"), part("best")];
        let mut output = Output { parts, remark: "so it is".to_owned(), peak: Bytes(7) };
        output.record(attempt, work.clone()).unwrap();
        output
    }

    #[test]
    fn an_output_outlives_its_attempt_and_is_used_for_the_same_work_only() {
        let dir = tempfile::tempdir().unwrap();
        let (kept, work) = (Kept::new(dir.path().join("kept")), work());
        let attempt = |n: u32| dir.path().join(n.to_string());
        let first = finished(&attempt(1), &work);
        let folder = &first.parts[0].folder;
        assert!(folder.starts_with(attempt(1).join("output")) && !attempt(1).join("out/adapter").exists());
        kept.keep(&attempt(1)).unwrap();
        assert!(!folder.exists());
        fs::create_dir(attempt(2)).unwrap();
        let second = kept.take(&work, &attempt(2)).unwrap().unwrap();
        assert_eq!((&second.remark, second.peak, second.parts.len()), (&first.remark, first.peak, 2));
        for (part, before) in second.parts.iter().zip(&first.parts) {
            assert_eq!((&part.role, &part.manifest), (&before.role, &before.manifest));
            assert_eq!(fs::read(part.folder.join("adapters.safetensors")).unwrap(), b"weights");
        }
        assert_eq!(kept.take(&work, &attempt(2)).unwrap(), None, "it lies in one place");
        // Kept once more, and asked for by each thing that is not the same work.
        let others: [fn(&mut Work); 5] = [
            |work| work.variant.push('x'),
            |work| work.task = Task::Train { recipe: "4b".to_owned(), yaml: "iters: 4".to_owned() },
            |work| work.inputs.extend([("base".to_owned(), Digest::of(b"x"))]),
            |work| work.inputs.retain(|role, _| role != "data"),
            |work| work.job = JobId::new(),
        ];
        for other in others {
            kept.keep(&attempt(2)).unwrap();
            let mut asked = work.clone();
            other(&mut asked);
            assert_eq!(kept.take(&asked, &attempt(3)).unwrap(), None);
            fs::remove_dir_all(attempt(2)).unwrap();
            finished(&attempt(2), &work);
        }
    }

    #[test]
    fn what_was_only_half_written_down_is_no_output() {
        let dir = tempfile::tempdir().unwrap();
        let (kept, work, attempt) = (Kept::new(dir.path().join("kept")), work(), dir.path().join("1"));
        kept.keep(&attempt).unwrap();
        let output = finished(&attempt, &work);
        fs::rename(&output.parts[1].folder, attempt.join("elsewhere")).unwrap();
        kept.keep(&attempt).unwrap();
        assert_eq!(kept.take(&work, &attempt).unwrap(), None);
        finished(&attempt, &work);
        fs::rename(attempt.join("output"), attempt.join("output.part")).unwrap();
        kept.keep(&attempt).unwrap();
        assert_eq!(kept.take(&work, &attempt).unwrap(), None);
    }

    #[test]
    fn old_outputs_are_removed_from_the_disk() {
        let dir = tempfile::tempdir().unwrap();
        let kept = Kept::new(dir.path().join("kept"));
        let works: Vec<Work> = (0..KEPT_MAX + 2).map(|_| work()).collect();
        for (n, work) in works.iter().enumerate() {
            let attempt = dir.path().join(n.to_string());
            finished(&attempt, work);
            let at = SystemTime::now() - Duration::from_secs((works.len() - n) as u64);
            File::open(attempt.join("output")).unwrap().set_modified(at).unwrap();
            kept.keep(&attempt).unwrap();
        }
        let there = |work: &Work| dir.path().join("kept").join(work.job.to_string()).exists();
        assert_eq!(works.iter().map(there).collect::<Vec<_>>(), [vec![false; 2], vec![true; KEPT_MAX]].concat());
        kept.tidy(SystemTime::now() + Duration::from_secs((KEPT_DAYS_MAX + 1) * 24 * 60 * 60)).unwrap();
        assert!(!works.iter().any(there));
    }

    proptest! {
        #[test]
        fn what_stays_is_the_newest_within_bounds(outputs in prop::collection::vec((0u64..20, 0u64..40 << 30), 0..20)) {
            let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1 << 30);
            let day = Duration::from_secs(24 * 60 * 60);
            let all: Vec<Found> = outputs.iter().enumerate().map(|(n, (age, bytes))| {
                Found { path: n.to_string().into(), bytes: *bytes, finished: now - day * *age as u32 }
            }).collect();
            let gone = surplus(all.clone(), now);
            let stays: Vec<&Found> = all.iter().filter(|found| !gone.contains(found)).collect();
            let bytes: u64 = stays.iter().map(|found| found.bytes).sum();
            prop_assert!(stays.len() <= KEPT_MAX && (bytes <= KEPT_BYTES_MAX.0 || stays.len() == 1));
            prop_assert!(stays.iter().all(|found| now - day * KEPT_DAYS_MAX as u32 <= found.finished));
            let newest = all.iter().map(|found| found.finished).max();
            let too_old = newest.is_some_and(|newest| newest < now - day * KEPT_DAYS_MAX as u32);
            prop_assert!(all.is_empty() || too_old || stays.iter().any(|found| Some(found.finished) == newest));
        }
    }
}
