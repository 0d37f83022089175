//! Who is connected, and how messages reach them.

use crate::core::{Assignment, Outgoing, SessionId};
use crate::kinds;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::mpsc::{self, error::TrySendError};
use tokio_util::sync::CancellationToken;
use tonic::Status;
use vertigo::api_error::{ApiError, ErrorCode};
use vertigo::v1::{self, coordinator_message::Message};

/// Messages that wait for a worker that reads slowly. One that lets more pile up is cut off: it does not live, or does not listen.
const UNREAD: usize = 1024;

/// What a session streams to its worker.
pub(super) type Sent = Result<v1::CoordinatorMessage, Status>;

/// Open sessions. Clones share them.
#[derive(Debug, Clone)]
pub struct Sessions {
    open: Arc<Mutex<HashMap<SessionId, Line>>>,
    next: Arc<AtomicU64>,
    heartbeat_ms: u64,
    lease_ms: u64,
}

#[derive(Debug)]
struct Line {
    sender: mpsc::Sender<Sent>,
    over: CancellationToken,
}

/// A session's own end.
pub(super) struct Opened {
    pub(super) id: SessionId,
    /// Cancelled when the coordinator ends the session.
    pub(super) over: CancellationToken,
    pub(super) sender: mpsc::Sender<Sent>,
}

impl Sessions {
    /// None yet. Workers are told to renew leases of `lease_ms` three times in their length.
    pub fn new(lease_ms: u64) -> Sessions {
        let heartbeat_ms = (lease_ms / 3).max(1);
        Sessions { open: Arc::default(), next: Arc::new(AtomicU64::new(1)), heartbeat_ms, lease_ms }
    }

    fn lines(&self) -> MutexGuard<'_, HashMap<SessionId, Line>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens a session, and gives what its worker reads.
    pub(super) fn open(&self) -> (Opened, mpsc::Receiver<Sent>) {
        let id = SessionId(self.next.fetch_add(1, Ordering::Relaxed));
        let (sender, receiver) = mpsc::channel(UNREAD);
        let over = CancellationToken::new();
        self.lines().insert(id, Line { sender: sender.clone(), over: over.clone() });
        (Opened { id, over, sender }, receiver)
    }

    pub(super) fn close(&self, id: SessionId) {
        if let Some(line) = self.lines().remove(&id) {
            line.over.cancel();
        }
    }

    /// Ends every session, because the coordinator stops.
    pub fn close_all(&self) {
        for (_, line) in self.lines().drain() {
            line.over.cancel();
        }
    }

    /// Sends a message, after the commit that it follows from. Does not wait: a worker that does not read is cut off.
    pub fn deliver(&self, id: SessionId, message: Outgoing) {
        let closes = matches!(message, Outgoing::Close { .. });
        let message = self.message(message);
        let mut lines = self.lines();
        let Some(line) = lines.get(&id) else { return };
        let full = matches!(line.sender.try_send(message), Err(TrySendError::Full(_)));
        if full {
            tracing::warn!(session = id.0, "a worker does not read what it is sent; its session is closed");
        }
        if full || closes {
            line.over.cancel();
            lines.remove(&id);
        }
    }

    fn message(&self, message: Outgoing) -> Sent {
        let message = match message {
            Outgoing::Welcome { acks } => {
                let acks =
                    acks.into_iter().map(|(id, number)| v1::Ack { attempt_id: id.to_string(), number }).collect();
                Message::Welcome(v1::Welcome { lease_ms: self.lease_ms, heartbeat_ms: self.heartbeat_ms, acks })
            }
            Outgoing::Assignment(given) => Message::Assignment(assignment(*given)),
            Outgoing::Ack { attempt, number } => Message::Ack(v1::Ack { attempt_id: attempt.to_string(), number }),
            Outgoing::Stop { attempt, reason } => Message::Stop(v1::Stop { attempt_id: attempt.to_string(), reason }),
            Outgoing::Policy { when } => Message::Policy(v1::Policy { when }),
            Outgoing::StartAnew => Message::StartAnew(v1::StartAnew {}),
            Outgoing::Close { reason } => return Err(ApiError::new(ErrorCode::SessionOver, reason).into()),
        };
        Ok(v1::CoordinatorMessage { message: Some(message) })
    }
}

fn assignment(given: Assignment) -> v1::Assignment {
    // The moment of placement, in the job's trace.
    let span = tracing::info_span!("place", job = %given.job, attempt = %given.attempt, variant = given.variant);
    vertigo_telemetry::set_parent(&span, &given.traceparent);
    span.in_scope(|| v1::Assignment {
        job_id: given.job.to_string(),
        attempt_id: given.attempt.to_string(),
        epoch: given.epoch.0,
        reserved_bytes: given.reserved.0,
        slot: v1::Slot::from(given.slot).into(),
        variant: given.variant,
        task: Some(kinds::message(&given.task)),
        inputs: given.inputs.into_iter().map(|(role, digest)| v1::Given { role, digest: digest.to_string() }).collect(),
        checkpoint_digest: given.checkpoint.map(|digest| digest.to_string()).unwrap_or_default(),
        traceparent: given.traceparent,
    })
}
