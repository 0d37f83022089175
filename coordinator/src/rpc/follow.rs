//! A job's events as a stream: from the journal, then as they are committed, until the job has ended.

use super::{events, stopped, store_failed};
use crate::store::{Store, Which};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;
use vertigo::id::JobId;
use vertigo::v1::JobEvent;

/// Events that are read at a time.
const PAGE: usize = 256;

/// Events that wait for a slow reader; the rest waits in the journal.
const AHEAD: usize = 16;

/// What a call streams.
pub(super) type Events = ReceiverStream<Result<JobEvent, Status>>;

/// Events of `job` after `after`; with `on`, also those that come, until the job has ended.
pub(super) fn follow(store: Store, job: JobId, after: u64, which: Which, on: bool) -> Events {
    let (sender, receiver) = mpsc::channel(AHEAD);
    tokio::spawn(async move {
        if let Err(status) = send(&store, job, after, which, on, &sender).await {
            // Fails where the reader has gone.
            let _ = sender.send(Err(status)).await;
        }
    });
    ReceiverStream::new(receiver)
}

async fn send(
    store: &Store,
    job: JobId,
    mut after: u64,
    which: Which,
    on: bool,
    sender: &mpsc::Sender<Result<JobEvent, Status>>,
) -> Result<(), Status> {
    let mut committed = store.committed();
    loop {
        // Both before reading, so that what comes meanwhile is read now or in the next round.
        committed.borrow_and_update();
        let ended =
            store.read(move |core| core.job(job).is_none_or(|job| job.state.is_terminal())).await.map_err(stopped)?;
        loop {
            let page = store.events(Some(job), after, which, PAGE).await.map_err(store_failed)?;
            let last = page.len() < PAGE;
            for event in page {
                after = event.seq;
                if sender.send(Ok(events::event(event))).await.is_err() {
                    return Ok(());
                }
            }
            if last {
                break;
            }
        }
        if ended || !on {
            return Ok(());
        }
        tokio::select! {
            changed = committed.changed() => changed.map_err(|_| stopped(crate::store::Stopped))?,
            () = sender.closed() => return Ok(()),
        }
    }
}
