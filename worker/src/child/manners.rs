//! How a child goes along with a worker that comes and goes, on a machine that may be short of memory: it is paused, goes on, and leaves;
//! it keeps no memory beyond its need, and keeps some again.
//!
//! Promise: it is told each of them once, and a person hears of it in the job's story.

use crate::held::Attempt;
use crate::manners::Conditions;
use crate::task::{Order, Thrift};
use serde::Serialize;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use vertigo::v1::report::Body;
use vertigo::v1::{LogLine, Warning};
use vertigo_host::presence::Presence;
use vertigo_host::shortage;

/// Orders that wait for a child that does not read.
const ORDERS: usize = 16;

/// How the child goes along with a worker that comes and goes.
#[derive(Debug)]
pub(super) struct Manners {
    presence: watch::Receiver<Presence>,
    conditions: watch::Receiver<Conditions>,
    /// Lines of JSON.
    orders: mpsc::Sender<String>,
    is_service: bool,
    /// Since when it waits.
    paused: Option<Instant>,
    /// Since when it keeps no memory beyond its need.
    spares: Option<Instant>,
}

/// What a child was told because of a change.
pub(super) enum Told {
    /// To wait or to go on, or nothing.
    Little,
    /// To leave, and why.
    ToLeave(String),
}

impl Manners {
    /// Those of a child that is told what it receives.
    pub(super) fn new(
        presence: watch::Receiver<Presence>,
        conditions: watch::Receiver<Conditions>,
        is_service: bool,
    ) -> (Manners, mpsc::Receiver<String>) {
        let (orders, told) = mpsc::channel(ORDERS);
        (Manners { presence, conditions, orders, is_service, paused: None, spares: None }, told)
    }

    /// Whether it waits.
    pub(super) fn is_paused(&self) -> bool {
        self.paused.is_some()
    }

    /// Whether it has clients: then it does not wait, and is ended where others leave.
    pub(super) fn is_of_service(&self) -> bool {
        self.is_service
    }

    /// Waits for the worker to come or go, or for memory to be short or not any more, and tells the child.
    pub(super) async fn change(&mut self, attempt: &Attempt) -> Told {
        // It is looked at first: it may have changed before the child was there.
        loop {
            self.spare_or_keep(attempt);
            let now = self.presence.borrow_and_update().clone();
            match now {
                Presence::Away { reason, .. } => {
                    self.order(Order::Leave);
                    return Told::ToLeave(reason);
                }
                Presence::Leaving { reason, .. } if self.paused.is_none() && !self.is_service => {
                    self.order(Order::Pause);
                    self.paused = Some(Instant::now());
                    let text = format!("paused: {reason}; unless that passes soon, the job goes elsewhere");
                    attempt.mention(Body::Warning(Warning { text }));
                    return Told::Little;
                }
                Presence::Present if self.paused.is_some() => {
                    self.order(Order::GoOn);
                    let paused = self.paused.take().map_or(Duration::ZERO, |since| since.elapsed());
                    attempt.mention(Body::Log(LogLine { text: format!("goes on after a pause of {paused:.0?}") }));
                    return Told::Little;
                }
                Presence::Leaving { .. } | Presence::Present => {}
            }
            tokio::select! {
                Ok(()) = self.presence.changed() => {}
                Ok(()) = self.conditions.changed() => {}
                // Nobody watches the machine any more: the daemon ends.
                else => std::future::pending::<()>().await,
            }
        }
    }

    fn spare_or_keep(&mut self, attempt: &Attempt) {
        let is_thrifty = shortage::is_thrifty(self.conditions.borrow_and_update().memory);
        match (is_thrifty, self.spares) {
            (true, None) => {
                self.order(Thrift::SpareMemory);
                self.spares = Some(Instant::now());
                let text = "memory is short on this machine: MLX's cache is given back, and kept empty until there has been enough for a while";
                attempt.mention(Body::Warning(Warning { text: text.to_owned() }));
            }
            (false, Some(since)) => {
                self.order(Thrift::KeepMemory);
                self.spares = None;
                let text =
                    format!("memory is short no longer: MLX keeps a cache again after {:.0?} without", since.elapsed());
                attempt.mention(Body::Log(LogLine { text }));
            }
            (true, Some(_)) | (false, None) => {}
        }
    }

    fn order(&self, order: impl Serialize) {
        let line = serde_json::to_string(&order).unwrap_or_default();
        // One that does not read is ended when it does not leave.
        if let Err(error) = self.orders.try_send(line) {
            tracing::warn!(%error, "a child is not told what to do");
        }
    }
}
