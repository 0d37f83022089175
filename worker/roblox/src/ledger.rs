//! What one key has used up, and which jobs it got for that: a file on the machine that has the key.
//!
//! Promise: what was sent is written before it is sent, and what was got for it before anything else is done, so that a process that is
//! killed anywhere neither forgets what it used nor pays for a job twice. Several evaluations that have one key share one file, and
//! decide one at a time.

use crate::pace::{Limit, Turn, turn};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use vertigo::files::{AtPath, FileError};

/// From this size on lines that nobody needs any more go.
const BYTES_DUE: u64 = 1 << 20;

/// A file of this size is none of ours.
const BYTES_MAX: u64 = 64 << 20;

/// Lines older than this are not needed: two of the longest spans.
const KEPT_MS: u64 = 48 * 3_600_000;

/// A line of the file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    /// Something is about to be sent.
    Sent { at_ms: u64, of: String },
    /// It was not taken, and so is not counted.
    Refused { at_ms: u64, of: String },
    /// A job that was got for it.
    Job { at_ms: u64, of: String, job: String },
}

/// The file.
#[derive(Debug)]
pub struct Ledger {
    path: PathBuf,
}

/// What is read of it.
#[derive(Debug, Default, PartialEq)]
struct Entries {
    /// When something was sent that counts.
    sent: BTreeSet<(u64, String)>,
    /// The newest job of each thing.
    jobs: BTreeMap<String, (u64, String)>,
}

impl Ledger {
    /// The ledger of a key, in a folder of ledgers. `key` is a name for the key and not the key itself.
    ///
    /// # Errors
    /// The folder cannot be made.
    pub fn open(folder: &Path, key: &str) -> Result<Ledger, FileError> {
        fs::create_dir_all(folder).at(folder)?;
        Ok(Ledger { path: folder.join(format!("{key}.jsonl")) })
    }

    /// Takes a turn at sending `of`, where it is time by `limits`. What was used at `elsewhere_ms`, on another machine, counts too.
    ///
    /// # Errors
    /// The file's.
    pub fn reserve(
        &self,
        limits: &[Limit],
        elsewhere_ms: &[u64],
        of: &str,
        not_before_ms: u64,
        now_ms: u64,
    ) -> Result<Turn, FileError> {
        let mut file = self.locked()?;
        let entries = self.entries(&mut file)?;
        let here = entries.sent.iter().map(|(at, _)| *at);
        let used: BTreeSet<u64> = elsewhere_ms.iter().copied().collect();
        // A send of ours stands in both.
        let used: Vec<u64> =
            here.clone().chain(used.into_iter().filter(|at| !here.clone().any(|it| it == *at))).collect();
        let turn = turn(limits, &used, not_before_ms, now_ms);
        if turn == Turn::Now {
            self.append(&mut file, &Line::Sent { at_ms: now_ms, of: of.to_owned() })?;
        }
        Ok(turn)
    }

    /// The newest job of each thing, and when that was sent.
    ///
    /// # Errors
    /// The file's.
    pub fn jobs(&self) -> Result<BTreeMap<String, (u64, String)>, FileError> {
        let mut file = self.locked()?;
        Ok(self.entries(&mut file)?.jobs)
    }

    /// What was sent at `at_ms` was not taken.
    ///
    /// # Errors
    /// The file's.
    pub fn refused(&self, of: &str, at_ms: u64) -> Result<(), FileError> {
        let mut file = self.locked()?;
        self.append(&mut file, &Line::Refused { at_ms, of: of.to_owned() })
    }

    /// A job was got for what was sent at `at_ms`.
    ///
    /// # Errors
    /// The file's.
    pub fn got(&self, of: &str, job: &str, at_ms: u64) -> Result<(), FileError> {
        let mut file = self.locked()?;
        self.append(&mut file, &Line::Job { at_ms, of: of.to_owned(), job: job.to_owned() })?;
        file.sync_data().at(&self.path)
    }

    /// The file, which nobody else has until this is dropped.
    fn locked(&self) -> Result<File, FileError> {
        let open = || {
            let file = OpenOptions::new().create(true).truncate(false).read(true).write(true).open(&self.path)?;
            file.lock()?;
            Ok(file)
        };
        open().at(&self.path)
    }

    fn entries(&self, file: &mut File) -> Result<Entries, FileError> {
        let mut text = String::new();
        let mut read = || {
            file.seek(SeekFrom::Start(0))?;
            let mut bytes = Vec::new();
            Read::by_ref(file).take(BYTES_MAX).read_to_end(&mut bytes)?;
            text = String::from_utf8_lossy(&bytes).into_owned();
            Ok(())
        };
        read().at(&self.path)?;
        Ok(Entries::of(&lines(&text)))
    }

    fn append(&self, file: &mut File, line: &Line) -> Result<(), FileError> {
        let mut write = || {
            let end = file.seek(SeekFrom::End(0))?;
            if end > BYTES_DUE {
                prune(file, line.at_ms())?;
            } else if end > 0 {
                // A line that a process died over has no end.
                file.seek(SeekFrom::End(-1))?;
                let mut last = [0];
                file.read_exact(&mut last)?;
                if last != *b"\n" {
                    file.write_all(b"\n")?;
                }
            }
            file.write_all(line.to_text().as_bytes())
        };
        write().at(&self.path)
    }
}

/// Drops what is old. A process that dies over it forgets at most what it used, and the service says then that it is too much.
fn prune(file: &mut File, now_ms: u64) -> std::io::Result<()> {
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(0))?;
    Read::by_ref(file).take(BYTES_MAX).read_to_end(&mut bytes)?;
    let kept = lines(&String::from_utf8_lossy(&bytes)).into_iter().filter(|line| line.at_ms() + KEPT_MS > now_ms);
    let text: String = kept.map(|line| line.to_text()).collect();
    file.set_len(0)?;
    file.seek(SeekFrom::Start(0))?;
    file.write_all(text.as_bytes())
}

/// The lines of a file that are any.
fn lines(text: &str) -> Vec<Line> {
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

impl Line {
    fn at_ms(&self) -> u64 {
        match self {
            Line::Sent { at_ms, .. } | Line::Refused { at_ms, .. } | Line::Job { at_ms, .. } => *at_ms,
        }
    }

    fn to_text(&self) -> String {
        // Numbers and texts always have a JSON.
        serde_json::to_string(self).unwrap_or_default() + "\n"
    }
}

impl Entries {
    fn of(lines: &[Line]) -> Entries {
        let mut entries = Entries::default();
        for line in lines.iter().cloned() {
            match line {
                Line::Sent { at_ms, of } => drop(entries.sent.insert((at_ms, of))),
                Line::Refused { at_ms, of } => drop(entries.sent.remove(&(at_ms, of))),
                Line::Job { at_ms, of, job } => drop(entries.jobs.insert(of, (at_ms, job))),
            }
        }
        entries
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TWO: [Limit; 1] = [Limit { most: 2, span_ms: 1000, span: "in a while" }];

    #[test]
    fn what_was_used_up_and_got_outlives_the_process() {
        let dir = tempfile::tempdir().unwrap();
        let open = || Ledger::open(dir.path(), "k").unwrap();
        assert_eq!(open().reserve(&TWO, &[], "a", 0, 10).unwrap(), Turn::Now);
        open().got("a", "job-a", 10).unwrap();
        assert_eq!(open().reserve(&TWO, &[], "b", 0, 20).unwrap(), Turn::Now);
        let Turn::Wait(wait) = open().reserve(&TWO, &[], "c", 0, 30).unwrap() else { panic!("a third in the span") };
        assert_eq!((wait.until_ms, wait.used), (1010, Some((2, TWO[0]))));
        assert_eq!(open().jobs().unwrap(), BTreeMap::from([("a".to_owned(), (10, "job-a".to_owned()))]));
        // What the service did not take is not counted.
        open().refused("b", 20).unwrap();
        assert_eq!(open().reserve(&TWO, &[], "c", 0, 30).unwrap(), Turn::Now);
        // Another key's is another's, and what another machine used counts, once.
        let other = Ledger::open(dir.path(), "l").unwrap();
        assert!(matches!(other.reserve(&TWO, &[5, 6], "a", 0, 40).unwrap(), Turn::Wait(_)));
        assert_eq!(other.reserve(&TWO, &[5], "a", 0, 40).unwrap(), Turn::Now);
        assert!(matches!(other.reserve(&TWO, &[5, 40], "b", 0, 50).unwrap(), Turn::Wait(_)));
    }

    #[test]
    fn a_file_that_grows_loses_what_is_old() {
        let dir = tempfile::tempdir().unwrap();
        let ledger = Ledger::open(dir.path(), "k").unwrap();
        let old = Line::Job { at_ms: 1, of: "old".to_owned(), job: "x".repeat(200) }.to_text();
        fs::write(&ledger.path, old.repeat((BYTES_DUE as usize / old.len()) + 2)).unwrap();
        assert_eq!(ledger.reserve(&TWO, &[], "new", 0, KEPT_MS + 2).unwrap(), Turn::Now);
        assert!(fs::metadata(&ledger.path).unwrap().len() < 200);
        assert!(ledger.jobs().unwrap().is_empty());
        assert_eq!(ledger.reserve(&TWO, &[], "newer", 0, KEPT_MS + 3).unwrap(), Turn::Now);
        assert!(matches!(ledger.reserve(&TWO, &[], "newest", 0, KEPT_MS + 4).unwrap(), Turn::Wait(_)));
    }

    proptest! {
        /// A process that dies in the middle of a line loses that line, and nothing that is written after it.
        #[test]
        fn a_torn_line_takes_no_other_with_it(cut in 0usize..400) {
            let dir = tempfile::tempdir().unwrap();
            let ledger = Ledger::open(dir.path(), "k").unwrap();
            for at in 0..4u64 {
                ledger.got(&format!("w{at}"), "job", at).unwrap();
            }
            let whole = fs::read(&ledger.path).unwrap();
            let cut = cut % (whole.len() + 1);
            fs::write(&ledger.path, &whole[..cut]).unwrap();
            let before = whole[..cut].iter().filter(|byte| **byte == b'\n').count();
            ledger.got("after", "job", 9).unwrap();
            let jobs = ledger.jobs().unwrap();
            prop_assert!(jobs.contains_key("after"));
            prop_assert!(jobs.len() > before, "{jobs:?} of {before}");
        }
    }
}
