//! The child's side: one attempt in a process of its own, so that a crash or an out-of-memory kill is an outcome and not an outage.
//!
//! It reads a [`Spec`], does its task, and writes one JSON object a line to stdout: the task's events, and last `finished` or
//! [`failed`](End::Failed). Its stderr is its log.
//!
//! Promise: it never outlives the daemon. The daemon holds the other end of its stdin, writes nothing, and cannot die
//! without closing it; the child then ends at once, on macOS as on Linux.

use crate::task::{Event, Spec, codes, of_engine};
use nix::sys::signal::{Signal, raise};
use serde::{Deserialize, Serialize};
use std::io::{self, Read, Write};
use std::path::Path;
use std::process::ExitCode;
use vertigo::task::{Cure, Failure, Slot};
use vertigo_engine::device;

/// A line of the child's stdout.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Said {
    /// What the task said.
    Event(Event),
    /// The last word of a run that came to nothing.
    End(End),
}

/// The last word of a run that came to nothing, beside the task's events.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum End {
    /// It failed.
    Failed(Failure),
}

/// The child's main: does what the spec says. The code is 0 only after `finished`.
pub fn run(path: &Path) -> ExitCode {
    end_with_stdin();
    let failed = match Spec::load(path) {
        Err(message) => Failure::new(Cure::Never, codes::BAD_INPUT, message),
        Ok(spec) => match traced(&spec) {
            Ok(()) => return ExitCode::SUCCESS,
            Err(failed) => failed,
        },
    };
    say(&Said::End(End::Failed(failed)));
    ExitCode::FAILURE
}

/// Does the work within the trace that the daemon handed over.
fn traced(spec: &Spec) -> Result<(), Failure> {
    let here = |message: String| Failure::new(Cure::AnotherMachine, codes::THIS_MACHINE, message);
    // For the exporter of traces alone; the work stays on this thread, where MLX's streams are.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .map_err(|e| here(e.to_string()))?;
    let _inside = runtime.enter();
    let telemetry = vertigo_telemetry::init("vertigo-attempt").map_err(|e| here(e.to_string()))?;
    let parent = std::env::var(vertigo_telemetry::ENVIRONMENT).ok();
    let on_its_device = match spec.slot {
        Slot::Gpu | Slot::Service => Ok(()),
        // The GPU is another attempt's.
        Slot::Cpu => device::use_cpu(),
    };
    let result = on_its_device
        .and_then(|()| device::limit_memory(spec.reserved))
        .and_then(|()| spec.task.run(spec, parent.as_deref(), &mut |event| say(&Said::Event(event))));
    telemetry.shutdown();
    result.map_err(|error| of_engine(&error))
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
        let failed = Failure::new(Cure::MoreMemory, codes::OUT_OF_MEMORY, "MLX".to_owned());
        let said = Said::End(End::Failed(failed));
        let line = serde_json::to_string(&said).unwrap();
        assert_eq!(line, r#"{"event":"failed","cure":"more_memory","message":"MLX","code":"out_of_memory"}"#);
        assert_eq!(serde_json::from_str::<Said>(&line).unwrap(), said);
        let event = Said::Event(Event::Validation { iter: 1, loss: 0.5, tokens: 7 });
        let line = serde_json::to_string(&event).unwrap();
        assert_eq!(line, r#"{"event":"validation","iter":1,"loss":0.5,"tokens":7}"#);
        assert_eq!(serde_json::from_str::<Said>(&line).unwrap(), event);
        assert!(serde_json::from_str::<Said>(r#"{"event":"unheard of"}"#).is_err());
    }
}
