//! The child's side: one attempt in a process of its own, so that a crash or an out-of-memory kill is an outcome and not an outage.
//!
//! It reads a [`Spec`], does its task, and writes one JSON object a line to stdout: the task's events, and last `finished` or
//! [`failed`](End::Failed). Its stderr is its log.
//!
//! Promise: it never outlives the daemon. The daemon holds the other end of its stdin, writes orders for all tasks and news for those that
//! follow names, and cannot die without closing it; the child then ends at once, on macOS as on Linux.

use crate::task::{Event, Gate, News, Order, Spec, Thrift, codes, of_engine};
use nix::sys::signal::{Signal, raise};
use serde::{Deserialize, Serialize};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver};
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

/// All that a daemon ever tells a child: a line of some KiB each time that a name moves, and a word each time that it pauses.
const NEWS_BYTES_MAX: u64 = 1 << 30;

/// What is logged unless RUST_LOG says otherwise. What a service says of each request would fill the journal.
const LOGGED: &str = "warn,vertigo=info,vertigo_serving=warn";

/// The child's main: does what the spec says. The code is 0 only after `finished`, or where it was told to leave.
pub fn run(path: &Path) -> ExitCode {
    let (news, gate) = end_with_stdin();
    let failed = match Spec::load(path) {
        Err(message) => Failure::new(Cure::Never, codes::BAD_INPUT, message),
        Ok(spec) => match traced(&spec, news, gate) {
            Ok(()) => return ExitCode::SUCCESS,
            Err(failed) => failed,
        },
    };
    say(&Said::End(End::Failed(failed)));
    ExitCode::FAILURE
}

/// Does the work within the trace that the daemon handed over.
fn traced(spec: &Spec, news: Receiver<News>, gate: Arc<Gate>) -> Result<(), Failure> {
    let here = |message: String| Failure::new(Cure::AnotherMachine, codes::THIS_MACHINE, message);
    // For the exporter of traces alone; the work stays on this thread, where MLX's streams are.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .map_err(|e| here(e.to_string()))?;
    let _inside = runtime.enter();
    let telemetry = vertigo_telemetry::init_with("vertigo-attempt", LOGGED).map_err(|e| here(e.to_string()))?;
    let parent = std::env::var(vertigo_telemetry::ENVIRONMENT).ok();
    let on_its_device = match spec.slot {
        // A service shares the GPU, on which it waits most of the time.
        Slot::Gpu | Slot::Service => Ok(()),
        // The GPU is another attempt's.
        Slot::Cpu => device::use_cpu(),
    };
    let result = on_its_device
        .and_then(|()| device::limit_memory(spec.reserved))
        .map_err(|error| of_engine(&error))
        .and_then(|()| spec.task.run(spec, news, gate, parent.as_deref(), &mut |event| say(&Said::Event(event))));
    telemetry.shutdown();
    result
}

/// Ends this process when its stdin closes. Gives what comes on it until then, news and orders; anything else is passed over.
fn end_with_stdin() -> (Receiver<News>, Arc<Gate>) {
    let (sender, news) = mpsc::channel();
    let gate = Arc::new(Gate::default());
    let told = gate.clone();
    std::thread::spawn(move || {
        let lines = BufReader::new(io::stdin().lock().take(NEWS_BYTES_MAX)).lines();
        for line in lines.map_while(Result::ok) {
            if let Ok(order) = serde_json::from_str::<Order>(&line) {
                told.told(order);
            } else if let Ok(thrift) = serde_json::from_str::<Thrift>(&line) {
                thrift.obey();
            } else if let Ok(inputs) = serde_json::from_str(&line) {
                // A task that follows nothing does not listen.
                let _ = sender.send(News { inputs });
            }
        }
        // By signal, not by exit: an exit would run MLX's destructors beside a thread that is using MLX. A service would end its answers
        // first, and nobody waits for them any more.
        let _ = raise(Signal::SIGKILL);
    });
    (news, gate)
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
