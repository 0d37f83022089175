//! A job's events as they come, over connections that are lost and made again.
//!
//! Promise: every event once, in order, whatever happens to the coordinator in between; the journal's numbers say where to go on.

use crate::coordinator::Coordinator;
use crate::error::{CliError, Exit, Result, Subject, is_lost};
use std::time::Duration;
use tonic::Status;
use vertigo::api_error::ErrorCode;
use vertigo::backoff::Backoff;
use vertigo::feed;
use vertigo::v1::{self, JobEvent, job_event::Event};
use vertigo_client::traced;

/// Waits between tries: doubled up to the last, which goes on until Ctrl-C. The job needs nobody to watch it.
const BACKOFF: Backoff = Backoff { first: Duration::from_millis(250), longest: Duration::from_secs(5) };

/// Which of a job's streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Feed {
    /// All that happens, until the job has ended.
    Watch,
    /// What attempts wrote, up to now or until the job has ended.
    Logs { follow: bool },
}

/// Gives every event of `feed` to `take`, until the feed has ended. Of a job that the coordinator was just asked about: a coordinator
/// that cannot be reached is one that went away; `note` is told of that, and of its return.
pub(crate) async fn follow(
    id: &str,
    feed: Feed,
    coordinator: &Coordinator,
    note: impl Fn(&str),
    mut take: impl FnMut(&JobEvent),
) -> Result<()> {
    let mut after = 0;
    let mut ended = false;
    let mut outage = Outage::default();
    loop {
        let cut = read(id, feed, after, coordinator, |event| {
            if let Some(line) = outage.over() {
                note(line);
            }
            after = event.seq;
            ended |= has_ended(event);
            take(event);
        })
        .await;
        match cut {
            Ok(()) if ended || feed == (Feed::Logs { follow: false }) => return Ok(()),
            // A stream that ends before its job was cut off by a coordinator that went down in good order.
            Ok(()) if feed == Feed::Watch => {}
            // Lines alone do not say that the job has ended.
            Ok(()) => match coordinator.job(id).await {
                Ok(job) if is_terminal(job.state()) => {
                    // What it wrote between the cut and its end.
                    ended = true;
                    continue;
                }
                Err(error) if error.exit != Exit::Unreachable => return Err(error),
                Ok(_) | Err(_) => {}
            },
            Err(status) if is_passing(&status) => {}
            Err(status) => return Err(coordinator.error(&status, Subject::Job)),
        }
        if let Some(line) = outage.begins() {
            note(line);
        }
        tokio::time::sleep(outage.wait()).await;
    }
}

/// Gives what happens to all jobs, from now on, to `take`: without an end, but for an error. `note` is told when it begins, and of a
/// coordinator that goes away and comes back; one that cannot be reached at first is an error.
pub(crate) async fn follow_all(
    coordinator: &Coordinator,
    note: impl Fn(&str),
    mut take: impl AsyncFnMut(&JobEvent) -> Result<()>,
) -> Result<()> {
    let mut all = All { after: None, outage: Outage::default() };
    loop {
        match all.read(coordinator, &note, &mut take).await {
            Err(Cut::Ended(error)) => return Err(error),
            // Nothing has been reached yet.
            Err(Cut::Lost(error)) if all.after.is_none() => return Err(error),
            // The database is another one than before: what there is of it now is shown.
            Err(Cut::Elsewhere(error)) => {
                note(&format!("{}; going on with what happens from now on", error.message));
                all.after = None;
                continue;
            }
            Ok(()) | Err(Cut::Lost(_)) => {}
        }
        if let Some(line) = all.outage.begins() {
            note(line);
        }
        tokio::time::sleep(all.outage.wait()).await;
    }
}

/// Why a connection gives no more events.
enum Cut {
    /// It broke, or the coordinator is not there, or has no room.
    Lost(CliError),
    /// The coordinator's journal ends before the position to go on from.
    Elsewhere(CliError),
    /// Something is wrong that another connection does not cure.
    Ended(CliError),
}

/// The feed of all jobs.
struct All {
    /// The position behind which it goes on; `None` before it was begun.
    after: Option<u64>,
    outage: Outage,
}

impl All {
    async fn read(
        &mut self,
        coordinator: &Coordinator,
        note: &impl Fn(&str),
        take: &mut impl AsyncFnMut(&JobEvent) -> Result<()>,
    ) -> std::result::Result<(), Cut> {
        let is_begun = self.after.is_some();
        let cut = |status: Status| {
            let error = coordinator.error(&status, Subject::Nothing);
            match ErrorCode::of(&status) {
                Some(ErrorCode::Conflict) if is_begun => Cut::Elsewhere(error),
                _ if is_passing(&status) => Cut::Lost(error),
                _ => Cut::Ended(error),
            }
        };
        let after = self.after.unwrap_or_default();
        let request = v1::WatchRequest { id: String::new(), after, only_new: !is_begun };
        let answer = coordinator.jobs().watch(traced(request)).await.map_err(cut)?;
        if !is_begun {
            note("what happens to all jobs, from now on; Ctrl-C ends this, and no job");
            self.after = feed::told(answer.metadata());
        }
        if let Some(line) = self.outage.over() {
            note(line);
        }
        let mut stream = answer.into_inner();
        while let Some(event) = stream.message().await.map_err(cut)? {
            match take(&event).await {
                Ok(()) => self.after = Some(event.seq),
                // It went away between the event and what was asked about it: the event comes again.
                Err(error) if error.exit == Exit::Unreachable => return Err(Cut::Lost(error)),
                Err(error) => return Err(Cut::Ended(error)),
            }
        }
        Ok(())
    }
}

/// Whether the same call may succeed in a while: a lost connection, or a coordinator without room.
fn is_passing(status: &Status) -> bool {
    is_lost(status) || ErrorCode::of(status) == Some(ErrorCode::Busy)
}

/// Reads one connection to its end.
async fn read(
    id: &str,
    feed: Feed,
    after: u64,
    coordinator: &Coordinator,
    mut take: impl FnMut(&JobEvent),
) -> std::result::Result<(), Status> {
    let (mut jobs, id) = (coordinator.jobs(), id.to_owned());
    let answer = match feed {
        Feed::Watch => jobs.watch(traced(v1::WatchRequest { id, after, only_new: false })).await?,
        Feed::Logs { follow } => jobs.logs(traced(v1::LogsRequest { id, after, follow })).await?,
    };
    let mut stream = answer.into_inner();
    while let Some(event) = stream.message().await? {
        take(&event);
    }
    Ok(())
}

/// Whether this event is a job's last.
pub(crate) fn has_ended(event: &JobEvent) -> bool {
    matches!(event.event, Some(Event::State(state)) if is_terminal(v1::JobState::try_from(state).unwrap_or_default()))
}

/// Whether a job in this state stays in it.
pub(crate) fn is_terminal(state: v1::JobState) -> bool {
    use v1::JobState::{Cancelled, Failed, Succeeded};
    matches!(state, Succeeded | Failed | Cancelled)
}

/// A time without the coordinator: said once when it begins and once when it is over.
#[derive(Debug, Default)]
struct Outage {
    tries: u32,
}

impl Outage {
    fn begins(&self) -> Option<&'static str> {
        (self.tries == 0).then_some("lost the coordinator; the job goes on, and so does this once it is back")
    }

    fn over(&mut self) -> Option<&'static str> {
        let was = std::mem::take(&mut self.tries);
        (was > 0).then_some("the coordinator is back")
    }

    /// How long to wait before the next try.
    fn wait(&mut self) -> Duration {
        self.tries = self.tries.saturating_add(1);
        BACKOFF.wait(self.tries)
    }
}

#[cfg(test)]
mod tests;
