//! Events as they come, of one job or of all: from the journal, then as they are committed.

use super::events;
use crate::store::{Stopped, Store, Which};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use vertigo::api_error::ApiError;
use vertigo::id::JobId;
use vertigo::v1::JobEvent;

/// Events that are read at a time.
const PAGE: usize = 256;

/// Events that wait for a slow reader; the rest waits in the journal.
const AHEAD: usize = 16;

/// Events, the oldest first. An error is the last item.
pub(crate) type Events = ReceiverStream<Result<JobEvent, ApiError>>;

/// Which events are read, and how long.
#[derive(Debug, Clone, Copy)]
pub(super) struct Feed {
    /// Those of one job, until it has ended; `None`: those of all jobs, without an end.
    pub(super) job: Option<JobId>,
    /// Those behind this position.
    pub(super) after: u64,
    /// All, or lines only.
    pub(super) which: Which,
    /// Also those that are still to come.
    pub(super) follows: bool,
}

/// Reads a feed for as long as somebody takes its events.
pub(super) fn open(store: Store, feed: Feed) -> Events {
    let (sender, receiver) = mpsc::channel(AHEAD);
    tokio::spawn(async move {
        if let Err(error) = send(&store, feed, &sender).await {
            // Fails where the reader has gone.
            let _ = sender.send(Err(error)).await;
        }
    });
    ReceiverStream::new(receiver)
}

async fn send(store: &Store, feed: Feed, sender: &mpsc::Sender<Result<JobEvent, ApiError>>) -> Result<(), ApiError> {
    let Feed { job, mut after, which, follows } = feed;
    let mut committed = store.committed();
    loop {
        // Both before reading, so that what comes meanwhile is read now or in the next round.
        committed.borrow_and_update();
        let ends = match job {
            Some(id) => store.read(move |core| core.job(id).is_none_or(|job| job.state.is_terminal())).await?,
            None => false,
        };
        loop {
            let page = store.events(job, after, which, PAGE).await?;
            let is_last = page.len() < PAGE;
            for event in page {
                after = event.seq;
                if sender.send(Ok(events::event(event))).await.is_err() {
                    return Ok(());
                }
            }
            if is_last {
                break;
            }
        }
        if ends || !follows {
            return Ok(());
        }
        tokio::select! {
            changed = committed.changed() => changed.map_err(|_| Stopped)?,
            () = sender.closed() => return Ok(()),
        }
    }
}
