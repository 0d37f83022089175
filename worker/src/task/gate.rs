//! Where a task waits while its machine is somebody's, and learns that it is to leave.
//!
//! Promise: what waits computes nothing, and goes on where it was. Training looks here between two iterations and leaves with a checkpoint.
//! Every other task that ends by itself looks here after each event that it says, and is ended there: what it had to keep it has said.
//! A service does not look: it has clients, who are told by its end.

use super::Event;
use nix::sys::signal::{Signal, raise};
use serde::{Deserialize, Serialize};
use std::sync::{Condvar, Mutex, PoisonError};
use vertigo_engine::device;

/// What the daemon wants of a child, as a line of JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// To wait, and hold what it holds.
    Pause,
    /// To go on.
    GoOn,
    /// To end, so that it goes on elsewhere.
    Leave,
}

/// What the daemon wants of a child's memory, as a line of JSON. It counts at once, wherever the task is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Thrift {
    /// To give back what it keeps beyond its need, and keep nothing more.
    SpareMemory,
    /// To keep again what makes it faster.
    KeepMemory,
}

impl Thrift {
    /// Does so. MLX's cache is all that a task keeps beyond its need.
    pub fn obey(self) {
        if let Err(error) = device::keep_cache(self == Thrift::KeepMemory) {
            tracing::warn!(%error, "MLX's cache stays as it is");
        }
    }
}

/// Where a task waits.
#[derive(Debug)]
pub struct Gate {
    order: Mutex<Order>,
    changed: Condvar,
}

impl Default for Gate {
    fn default() -> Gate {
        Gate { order: Mutex::new(Order::GoOn), changed: Condvar::new() }
    }
}

impl Gate {
    /// Takes an order. After [`Order::Leave`] there is no other.
    pub fn told(&self, order: Order) {
        let mut now = self.order.lock().unwrap_or_else(PoisonError::into_inner);
        if *now != Order::Leave {
            *now = order;
            self.changed.notify_all();
        }
    }

    /// Returns once there is something else to do than to wait: to go on, or to leave.
    pub fn pass(&self) -> Order {
        let now = self.order.lock().unwrap_or_else(PoisonError::into_inner);
        let passed = self.changed.wait_while(now, |order| *order == Order::Pause);
        *passed.unwrap_or_else(PoisonError::into_inner)
    }

    /// Says events, and waits or leaves after each but the last.
    pub(super) fn after(&self, say: &mut dyn FnMut(Event)) -> impl FnMut(Event) {
        move |event| {
            let is_last = matches!(event, Event::Finished(_));
            say(event);
            if !is_last && self.pass() == Order::Leave {
                // By signal, not by exit: an exit would run MLX's destructors beside threads that are using MLX.
                let _ = raise(Signal::SIGKILL);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::mpsc;
    use vertigo_testkit::waiting::DEADLINE;

    #[test]
    fn a_task_waits_for_as_long_as_it_is_to_and_leaves_once() {
        let gate = Arc::new(Gate::default());
        assert_eq!(gate.pass(), Order::GoOn);
        gate.told(Order::Pause);
        let (passed, passes) = mpsc::channel();
        let waiting = gate.clone();
        let waits = std::thread::spawn(move || passed.send(waiting.pass()).unwrap());
        gate.told(Order::Pause);
        assert!(passes.try_recv().is_err());
        gate.told(Order::GoOn);
        assert_eq!(passes.recv_timeout(DEADLINE), Ok(Order::GoOn));
        waits.join().unwrap();
        gate.told(Order::Leave);
        gate.told(Order::Pause);
        assert_eq!(gate.pass(), Order::Leave, "there is no way back");
    }

    #[test]
    fn an_order_is_a_line_that_is_no_news() {
        let lines = [Order::Pause, Order::GoOn, Order::Leave].map(|order| serde_json::to_string(&order).unwrap());
        assert_eq!(lines, [r#""pause""#, r#""go_on""#, r#""leave""#]);
        assert!(serde_json::from_str::<Order>("{}").is_err());
        let lines = [Thrift::SpareMemory, Thrift::KeepMemory].map(|thrift| serde_json::to_string(&thrift).unwrap());
        assert_eq!(lines, [r#""spare_memory""#, r#""keep_memory""#]);
        assert!(lines.iter().all(|line| serde_json::from_str::<Order>(line).is_err()));
    }

    #[test]
    fn events_are_said_before_the_gate_and_the_last_does_not_wait() {
        let (gate, mut said) = (Gate::default(), Vec::new());
        let mut say = |event: Event| said.push(event);
        let mut gated = gate.after(&mut say);
        gated(Event::Alive);
        gate.told(Order::Pause);
        let done = Event::Finished(super::super::Done { products: Vec::new(), remark: String::new(), peak_bytes: 7 });
        gated(done.clone());
        drop(gated);
        assert_eq!(said, [Event::Alive, done]);
    }
}
