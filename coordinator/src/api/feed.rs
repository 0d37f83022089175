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

/// An open feed.
pub(crate) struct Events {
    /// Everything behind this position comes, so that whoever loses it before the first event knows where to go on.
    pub(crate) from: u64,
    /// What comes, the oldest first. An error or an end is the last item; a stream that just ends was cut off.
    pub(crate) told: ReceiverStream<Result<Told, ApiError>>,
}

/// An item of a feed.
#[derive(Debug)]
pub(crate) enum Told {
    /// Something happened.
    Event(Box<JobEvent>),
    /// No more will come: the job has ended, or all that there was has been told.
    End,
}

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
        let last = send(&store, feed, &sender).await.map(|()| Told::End);
        // Fails where the reader has gone.
        let _ = sender.send(last).await;
    });
    Events { from: feed.after, told: ReceiverStream::new(receiver) }
}

async fn send(store: &Store, feed: Feed, sender: &mpsc::Sender<Result<Told, ApiError>>) -> Result<(), ApiError> {
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
                let event = Told::Event(Box::new(events::event(event)));
                if sender.send(Ok(event)).await.is_err() {
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
