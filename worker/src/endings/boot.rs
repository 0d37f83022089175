//! Which start of the machine this is, and whether the one before it ended in a panic.
//!
//! The system names each of its starts. A worker that finds another name than the one it wrote down knows that its machine went down
//! meanwhile, with everything that ran there. macOS reports a panic at the start after it, so a report that was written since this start
//! says why. The coordinator is told at each Hello until it has welcomed the worker once.
//!
//! Promise: a start is told once, whatever order crashes, restarts and connections come in; a system that does not name its starts, or a
//! file that cannot be read, tells nothing rather than something wrong.

use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, UNIX_EPOCH};
use tokio::time::{Instant, sleep};
use vertigo::files::write_private;
use vertigo::id::{AttemptId, Millis};
use vertigo::v1;
use vertigo_host::Boot;

/// Where macOS leaves what it has to say of a panic, at the start after it, and where it moves that when it has sent it to Apple.
const REPORTS: [&str; 2] = ["/Library/Logs/DiagnosticReports", "/Library/Logs/DiagnosticReports/Retired"];

/// How long after the machine's start a report of a panic is waited for. A program of the system's writes it then, as ours begins.
const REPORT_COMES: Duration = Duration::from_secs(45);

/// Between two looks for it.
const LOOK: Duration = Duration::from_millis(300);

/// Starts that wait to be told. More come only where the coordinator is away for as many: the oldest are let go.
const UNTOLD_MAX: usize = 8;

/// Bytes of a report's beginning in which its panic is looked for. What it says of it comes early; the rest are lists of what was loaded.
const REPORT_BYTES_MAX: u64 = 256 << 10;

/// Bytes of what a person is told of a panic.
const PANIC_BYTES_MAX: usize = 300;

/// What the system says of a panic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Panic {
    /// When its report was written.
    pub at: Millis,
    /// The panic's own words; empty where they are not found.
    pub words: String,
}

/// A start that came after one under which this worker ran.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reboot {
    /// What the system called the start that ended.
    pub ended: String,
    /// When the machine was up again, or when that was found.
    pub at: Millis,
    /// The panic's words, where it was one.
    pub panic: Option<String>,
    /// Attempts that it ended.
    pub attempts: Vec<AttemptId>,
}

/// What is written down.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Diary {
    /// The start under which this worker last ran; empty before the first.
    boot: String,
    /// What the coordinator has not been told.
    untold: Vec<Reboot>,
}

impl Diary {
    /// The diary of a worker that starts now: under `boot`, after `panics`, having found `cut_off` attempts without an end.
    pub fn turned(mut self, boot: &Boot, now: Millis, panics: &[Panic], cut_off: Vec<AttemptId>) -> Diary {
        if self.boot == boot.id {
            return self;
        }
        let ended = std::mem::replace(&mut self.boot, boot.id.clone());
        if !ended.is_empty() {
            self.untold.push(Reboot {
                ended,
                at: started(boot).min(now),
                panic: panic_before(boot, panics).map(|panic| panic.words.clone()),
                attempts: cut_off,
            });
            let old = self.untold.len().saturating_sub(UNTOLD_MAX);
            self.untold.drain(..old);
        }
        self
    }
}

fn started(boot: &Boot) -> Millis {
    Millis(boot.at_seconds.saturating_mul(1000))
}

/// The panic that came before a start, if one did: older reports are of panics before earlier starts.
fn panic_before<'a>(boot: &Boot, panics: &'a [Panic]) -> Option<&'a Panic> {
    panics.iter().filter(|panic| panic.at >= started(boot)).max_by_key(|panic| panic.at)
}

/// Whether a report may come still of what cut off attempts before a start. A machine that was restarted in order ended them in order.
fn may_come_still(boot: &Boot, now: Millis, panics: &[Panic], cut_off: &[AttemptId]) -> bool {
    let up = Duration::from_millis(now.0.saturating_sub(started(boot).0));
    !cut_off.is_empty() && up < REPORT_COMES && panic_before(boot, panics).is_none()
}

/// The diary in its file.
#[derive(Debug)]
pub struct Boots {
    file: PathBuf,
    diary: Mutex<Diary>,
}

impl Boots {
    /// Opens the diary in `file` at the worker's start under `boot`, as far as the system names it, having found `cut_off` attempts without
    /// an end. Where the system may be about to say why it went down, it is waited for.
    pub async fn open(file: PathBuf, boot: Option<Boot>, cut_off: Vec<AttemptId>) -> Boots {
        let before = kept(&file);
        let Some(boot) = boot else { return Boots { file, diary: Mutex::new(before) } };
        let is_another = !before.boot.is_empty() && before.boot != boot.id;
        let panics = if is_another {
            reported(&boot, &REPORTS.map(Path::new), &cut_off, REPORT_COMES).await
        } else {
            Vec::new()
        };
        Boots::turn(file, before, &boot, &panics, cut_off)
    }

    /// The same, after panics that are given.
    pub fn open_after(file: PathBuf, boot: &Boot, panics: &[Panic], cut_off: Vec<AttemptId>) -> Boots {
        let before = kept(&file);
        Boots::turn(file, before, boot, panics, cut_off)
    }

    fn turn(file: PathBuf, before: Diary, boot: &Boot, panics: &[Panic], cut_off: Vec<AttemptId>) -> Boots {
        let diary = before.clone().turned(boot, Millis::now(), panics, cut_off);
        let boots = Boots { file, diary: Mutex::new(diary) };
        if let Some(reboot) = boots.lock().untold.last().filter(|_| before.boot != boot.id) {
            let (attempts, panic) = (reboot.attempts.len(), reboot.panic.as_deref());
            tracing::warn!(attempts, panic, "the machine went down since this worker ran last");
        }
        if *boots.lock() != before {
            boots.write();
        }
        boots
    }

    /// What the coordinator is to be told, as Hello has it.
    pub fn untold(&self) -> Vec<v1::Reboot> {
        let told = |reboot: &Reboot| v1::Reboot {
            boot: reboot.ended.clone(),
            at_ms: reboot.at.0,
            panicked: reboot.panic.is_some(),
            panic: reboot.panic.clone().unwrap_or_default(),
            attempt_ids: reboot.attempts.iter().map(ToString::to_string).collect(),
        };
        self.lock().untold.iter().map(told).collect()
    }

    /// The coordinator has taken it.
    pub fn told(&self) {
        if !std::mem::take(&mut self.lock().untold).is_empty() {
            self.write();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Diary> {
        // Nothing here is left half done by a panic.
        self.diary.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) {
        let text = serde_json::to_string(&*self.lock()).map_err(io::Error::from);
        let written = text.and_then(|text| write_private(&self.file, text.as_bytes()).map_err(|error| error.error));
        if let Err(error) = written {
            tracing::warn!(%error, file = %self.file.display(), "cannot write down which start of the machine this is");
        }
    }
}

/// The panics that reports tell of, once there is none to wait for any more.
async fn reported(boot: &Boot, folders: &[&Path], cut_off: &[AttemptId], patience: Duration) -> Vec<Panic> {
    // Whatever the machine's clock does meanwhile.
    let end = Instant::now() + patience;
    loop {
        let panics: Vec<Panic> = folders.iter().flat_map(|folder| panics(folder)).collect();
        let comes =
            folders.iter().any(|folder| folder.is_dir()) && may_come_still(boot, Millis::now(), &panics, cut_off);
        if !comes || Instant::now() >= end {
            return panics;
        }
        sleep(LOOK).await;
    }
}

/// What was written down. What cannot be read is begun anew.
fn kept(file: &Path) -> Diary {
    fs::read_to_string(file).ok().and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default()
}

/// The panics that reports in `folder` tell of. Their time is their files': macOS writes each once.
pub fn panics(folder: &Path) -> Vec<Panic> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let of_panics = entries.map(|entry| entry.path()).filter(|path| is_panic_report(path));
    of_panics.filter_map(|path| panic_of(&path)).collect()
}

/// `panic-full-2025-11-28-021500.0002.panic`, or as it was called before: `Kernel_2021-11-28-021500_mac.panic`.
fn is_panic_report(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "panic")
}

fn panic_of(path: &Path) -> Option<Panic> {
    let written = fs::metadata(path).and_then(|file| file.modified()).ok()?;
    let at = Millis(u64::try_from(written.duration_since(UNIX_EPOCH).ok()?.as_millis()).ok()?);
    // One that only root may read still says that there was one.
    let mut bytes = Vec::new();
    let _ = File::open(path).and_then(|file| file.take(REPORT_BYTES_MAX).read_to_end(&mut bytes));
    Some(Panic { at, words: panic_words(&String::from_utf8_lossy(&bytes)) })
}

/// The words of the panic in a report: the line that begins with `panic(` in the `panicString` of its JSON, or of a plain report.
pub fn panic_words(report: &str) -> String {
    let in_json = report.split_once("\"panicString\"").and_then(|(_, after)| {
        let value = after.trim_start().strip_prefix(':')?;
        // What comes behind the string is none of its matter, and may be cut off.
        serde_json::Deserializer::from_str(value).into_iter::<String>().next()?.ok()
    });
    let text = in_json.as_deref().unwrap_or(report);
    let words = text.lines().find(|line| line.starts_with("panic(")).unwrap_or_default().trim();
    words[..words.floor_char_boundary(PANIC_BYTES_MAX)].to_owned()
}

#[cfg(test)]
mod tests;
