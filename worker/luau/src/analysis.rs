//! What Luau's own lints and types say of a source, in this process.
//!
//! Promise: any source within bounds gets an answer in bounded time. An analysis that panics or takes too long is an answer
//! without findings that says [`Analysis::is_known`] is false, and the next one begins anew.
//!
//! The frontend is luau-analysis, a port of Luau's to Rust. Beside the C++ one (luau-analyze 0.0.1, Luau 0.710), over the 1,249
//! closed `lua` and `luau` fences of the real data, each made strict, without definitions, it agrees in 1,248 on whether there is
//! an error; the last one is a type error that 0.710 does not see. No panic, no timeout. The C++ ones (luau-analyzer-sys too)
//! hold a whole Luau of another version than the one that programs run in, under the same C names, and so cannot be in one
//! program with it. selene-lib was not measured: Luau's own lints come with the frontend, and its Roblox lints want a standard
//! library file that it does not bring. `cargo bench -p vertigo-luau -- blocks` measures the time.

mod definitions;
mod frontend;

pub use definitions::{Definitions, DefinitionsError};

use crate::compile::{SOURCE_BYTES_MAX, cut};
use frontend::Checker;
use serde::{Deserialize, Serialize};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

/// Findings of one source that are kept.
const FINDINGS_MAX: usize = 500;

/// Bytes of a finding's message that are kept: a type can be written at any length.
const MESSAGE_BYTES_MAX: usize = 2048;

/// How long one source may take. Types are inferred in time that has no bound in theory; real blocks take milliseconds,
/// and a busy machine stretches them.
const PATIENCE: Duration = Duration::from_secs(60);

/// The stack on which types are inferred, by recursion over what the source nests. Only what is used of it takes memory.
const STACK_BYTES: usize = 256 << 20;

/// Sources that one checker looks at, so that what it keeps of each stays small.
const SOURCES_PER_CHECKER: usize = 256;

/// What a finding is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Kind {
    /// It is no Luau.
    Syntax,
    /// A type does not fit.
    Type,
    /// It runs, and is likely not what was meant.
    Lint,
}

/// One thing that the analysis has to say.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Finding {
    /// Counted from 1.
    pub line: usize,
    /// In bytes, counted from 1.
    pub column: usize,
    /// What it is about.
    pub kind: Kind,
    /// A lint's name: `LocalUnused`.
    pub code: Option<String>,
    /// In Luau's words.
    pub message: String,
}

/// All that the analysis has to say of a source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Analysis {
    /// By place.
    pub findings: Vec<Finding>,
    /// False where the analysis came to no end, so that no findings mean nothing.
    pub is_known: bool,
}

impl Analysis {
    const UNKNOWN: Self = Self { findings: Vec::new(), is_known: false };
}

/// A source, and where what is found goes.
type Question = (String, SyncSender<Analysis>);

/// Analyses sources, one at a time; whoever has more processors opens more.
#[derive(Debug)]
pub struct Analyzer {
    definitions: Arc<str>,
    is_complete: bool,
    thread: Mutex<SyncSender<Question>>,
}

impl Analyzer {
    /// An analyser that knows what `definitions` say of the world around a source.
    ///
    /// # Errors
    ///
    /// The definitions are too long or no definitions, with the first complaint.
    pub fn new(definitions: &Definitions) -> Result<Self, DefinitionsError> {
        let (text, is_complete) = (definitions.text()?, definitions.are_complete());
        let (ready, outcome) = mpsc::sync_channel(1);
        let thread = Mutex::new(start(text.clone(), is_complete, Some(ready)));
        match outcome.recv() {
            Ok(Ok(())) => Ok(Self { definitions: text, is_complete, thread }),
            Ok(Err(complaint)) => Err(DefinitionsError::Broken(complaint)),
            Err(_) => Err(DefinitionsError::Broken("the analyser panicked over them".to_owned())),
        }
    }

    /// What Luau says of `source`.
    pub fn analyze(&self, source: &str) -> Analysis {
        if source.len() > SOURCE_BYTES_MAX {
            return Analysis::UNKNOWN;
        }
        let (answer, answered) = mpsc::sync_channel(1);
        let mut thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        let is_taken = thread.send((source.to_owned(), answer)).is_ok();
        match answered.recv_timeout(PATIENCE) {
            Ok(analysis) if is_taken => analysis,
            // The thread ends by itself when it comes to an end at all: nobody asks it any more.
            _ => {
                *thread = start(self.definitions.clone(), self.is_complete, None);
                Analysis::UNKNOWN
            }
        }
    }
}

/// Starts a thread that answers until nobody asks. Its first word is whether the definitions hold.
fn start(
    definitions: Arc<str>,
    is_complete: bool,
    ready: Option<SyncSender<Result<(), String>>>,
) -> SyncSender<Question> {
    let (questions, asked) = mpsc::sync_channel(1);
    let answer = move || answer(&definitions, is_complete, ready, &asked);
    // A machine that has no thread left has no answer either: the channel is closed, and every analysis unknown.
    let _ = thread::Builder::new().name("luau-analysis".to_owned()).stack_size(STACK_BYTES).spawn(answer);
    questions
}

fn answer(
    definitions: &str,
    is_complete: bool,
    mut ready: Option<SyncSender<Result<(), String>>>,
    asked: &Receiver<Question>,
) {
    loop {
        let made = Checker::new(definitions, is_complete);
        let (checker, said) = made.map_or_else(|complaint| (None, Err(complaint)), |checker| (Some(checker), Ok(())));
        let _ = ready.take().map(|ready| ready.send(said));
        let Some(mut checker) = checker else { return };
        for _ in 0..SOURCES_PER_CHECKER {
            let Ok((source, answer)) = asked.recv() else { return };
            let checked = catch_unwind(AssertUnwindSafe(|| checker.check(&source)));
            let is_whole = checked.is_ok();
            let _ = answer.send(checked.unwrap_or(Analysis::UNKNOWN));
            // What a panic left behind is not looked at again.
            if !is_whole {
                break;
            }
        }
    }
}

/// Findings in their order and with their bounds.
fn bound(mut findings: Vec<Finding>) -> Vec<Finding> {
    findings.sort();
    findings.dedup();
    findings.truncate(FINDINGS_MAX);
    for finding in &mut findings {
        finding.message = cut(&finding.message, MESSAGE_BYTES_MAX).to_owned();
    }
    findings
}
