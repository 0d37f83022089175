//! The child: one attempt in a process of its own, so that a crash or an out-of-memory kill is an outcome and not an outage.
//!
//! It reads a [`Spec`], does the job, and writes one JSON object a line to stdout: the engine's events, and last `finished` or
//! [`failed`](End::Failed). Its stderr is its log.
//!
//! Promise: it never outlives the daemon. The daemon holds the other end of its stdin, writes nothing, and cannot die
//! without closing it; the child then ends at once, on macOS as on Linux.

use crate::train;
use nix::sys::signal::{Signal, raise};
use serde::{Deserialize, Serialize};
use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use vertigo::bytes::Bytes;
use vertigo::id::{AttemptId, Epoch, JobId};
use vertigo::telemetry;
use vertigo_engine::{EngineError, Event, Fault, device};

/// What the child is to do. Paths are absolute.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// Whose attempt it is.
    pub job: JobId,
    /// The attempt.
    pub attempt: AttemptId,
    /// Its epoch.
    pub epoch: Epoch,
    /// What the plan may use.
    pub reserved: Bytes,
    /// The recipe's name.
    pub recipe: String,
    /// The recipe's text.
    pub yaml: String,
    /// The base's folder.
    pub base: PathBuf,
    /// The dataset's folder.
    pub data: PathBuf,
    /// The folder of the checkpoint to go on from.
    pub checkpoint: Option<PathBuf>,
    /// Where checkpoints and the adapter go.
    pub out: PathBuf,
}

/// A line of the child's stdout.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Said {
    /// What the engine said.
    Event(Event),
    /// The last word of a run that came to nothing.
    End(End),
}

/// The last word of a run that came to nothing, beside the engine's events.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum End {
    /// It failed.
    Failed(Failed),
}

/// Why a run came to nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failed {
    /// What can be done about it.
    pub kind: Reason,
    /// For a person.
    pub message: String,
}

/// Why a run came to nothing, by what can be done about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The same input fails anywhere.
    BadInput,
    /// MLX could not allocate.
    OutOfMemory,
    /// The loss became NaN or infinite.
    Diverged,
    /// MLX refused an operation, or the process can go no further: only a new process may.
    Crashed,
    /// The machine failed, such as a full disk.
    Transient,
}

impl From<&EngineError> for Failed {
    fn from(error: &EngineError) -> Failed {
        let kind = match error {
            EngineError::Input(_) => Reason::BadInput,
            EngineError::Diverged { .. } => Reason::Diverged,
            // Inputs are whole by their digests: a file that is not there is none of the artifact's.
            EngineError::File { error, .. } if error.kind() == io::ErrorKind::NotFound => Reason::BadInput,
            EngineError::File { .. } => Reason::Transient,
            EngineError::Mlx(_) if error.fault() == Some(Fault::OutOfMemory) => Reason::OutOfMemory,
            EngineError::Mlx(_) => Reason::Crashed,
        };
        Failed { kind, message: error.to_string() }
    }
}

impl Spec {
    /// Writes it for the child.
    ///
    /// # Errors
    /// The file's.
    pub fn save(&self, path: &Path) -> io::Result<()> {
        fs::write(path, serde_json::to_vec_pretty(self)?)
    }

    /// Reads it.
    ///
    /// # Errors
    /// Says what is wrong with the file.
    pub fn load(path: &Path) -> Result<Spec, String> {
        let text = fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?;
        serde_json::from_str(&text).map_err(|e| format!("{}: {e}", path.display()))
    }
}

/// The child's main: does what the spec says. The code is 0 only after `finished`.
pub fn run(path: &Path) -> ExitCode {
    end_with_stdin();
    let failed = match Spec::load(path) {
        Err(message) => Failed { kind: Reason::BadInput, message },
        Ok(spec) => match traced(&spec) {
            Ok(()) => return ExitCode::SUCCESS,
            Err(failed) => failed,
        },
    };
    say(&Said::End(End::Failed(failed)));
    ExitCode::FAILURE
}

/// Does the work within the trace that the daemon handed over.
fn traced(spec: &Spec) -> Result<(), Failed> {
    let transient = |message: String| Failed { kind: Reason::Transient, message };
    // For the exporter of traces alone; the work stays on this thread, where MLX's streams are.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .map_err(|e| transient(e.to_string()))?;
    let _inside = runtime.enter();
    let telemetry = telemetry::init("vertigo-attempt").map_err(|e| transient(e.to_string()))?;
    let parent = std::env::var(telemetry::ENVIRONMENT).ok();
    let result = device::limit_memory(spec.reserved)
        .and_then(|()| train::run(spec, parent.as_deref(), &mut |event| say(&Said::Event(event))));
    telemetry.shutdown();
    result.map_err(|error| Failed::from(&error))
}

/// Ends this process when its stdin closes.
fn end_with_stdin() {
    std::thread::spawn(|| {
        let mut stdin = io::stdin().lock();
        let mut buffer = [0; 64];
        loop {
            match stdin.read(&mut buffer) {
                Ok(0) => break,
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        // By signal, not by exit: an exit would run MLX's destructors beside a thread that is using MLX.
        let _ = raise(Signal::SIGTERM);
        std::process::exit(1);
    });
}

/// One line to the daemon. Where nobody listens any more, stdin has closed too.
fn say(said: &Said) {
    let mut stdout = io::stdout().lock();
    if let Ok(line) = serde_json::to_string(said) {
        let _ = writeln!(stdout, "{line}").and_then(|()| stdout.flush());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_read_back_as_they_were_said() {
        let failed = Failed { kind: Reason::OutOfMemory, message: "MLX".to_owned() };
        let said = Said::End(End::Failed(failed));
        let line = serde_json::to_string(&said).unwrap();
        assert_eq!(line, r#"{"event":"failed","kind":"out_of_memory","message":"MLX"}"#);
        assert_eq!(serde_json::from_str::<Said>(&line).unwrap(), said);
        let event = Said::Event(Event::Validation { iter: 1, loss: 0.5, tokens: 7 });
        let line = serde_json::to_string(&event).unwrap();
        assert_eq!(line, r#"{"event":"validation","iter":1,"loss":0.5,"tokens":7}"#);
        assert_eq!(serde_json::from_str::<Said>(&line).unwrap(), event);
        assert!(serde_json::from_str::<Said>(r#"{"event":"unheard of"}"#).is_err());
    }
}
