//! `vertigo upgrade`: a worker starts anew, as the version that is installed there now.

use crate::cli::UpgradeArgs;
use crate::coordinator::Coordinator;
use crate::error::{CliError, Result, Subject};
use crate::render::json;
use crate::render::output::{Output, bold};
use std::time::{Duration, Instant};
use tokio::time::sleep;
use vertigo::v1;
use vertigo_client::traced;

/// How long it is waited for while it saves what runs. The worker gives that an hour at most: a checkpoint may have 48 GB.
const SAVES: Duration = Duration::from_secs(65 * 60);

/// How long it is waited for once it is gone.
const COMES_BACK: Duration = Duration::from_secs(300);

/// How long a worker may take to begin. It asks the program that it is to become whether it starts, which it waits for thirty seconds, and
/// goes on as it is where that does not.
const BEGINS: Duration = Duration::from_secs(60);

/// Between two looks.
const LOOK: Duration = Duration::from_millis(500);

pub(crate) async fn run(args: &UpgradeArgs, coordinator: &Coordinator, output: Output) -> Result<()> {
    let request = v1::UpgradeWorkerRequest { worker: args.worker.clone() };
    let before = coordinator.answer(coordinator.fleet().upgrade_worker(traced(request)).await, Subject::Worker)?;
    output.note(&format!("{} saves what runs there, and starts anew", before.name));
    let after = back(&before, coordinator).await?;
    output.show(|| json::worker(&after), || render(&before, &after));
    Ok(())
}

/// The worker once it is connected again.
async fn back(before: &v1::Worker, coordinator: &Coordinator) -> Result<v1::Worker> {
    let (told, mut has_begun) = (Instant::now(), false);
    let mut seen = told;
    loop {
        let now = find(&before.id, coordinator).await?;
        has_begun |= now.as_ref().is_none_or(|now| begins(before, now));
        if now.as_ref().is_some_and(|now| now.connected) {
            seen = Instant::now();
        }
        if let Some(worker) = now.filter(|now| is_back(before, now)) {
            return Ok(worker);
        }
        if !has_begun && told.elapsed() > BEGINS {
            let error = CliError::refused(format!("{} goes on as it is", before.name));
            return Err(
                error.hint("the program that is installed there does not start: the worker's log has what it says")
            );
        }
        if seen.elapsed() > COMES_BACK || told.elapsed() > SAVES {
            let error = CliError::refused(format!("{} is not back yet", before.name));
            return Err(error.hint("`vertigo workers` shows when it is; its log on that machine says more"));
        }
        sleep(LOOK).await;
    }
}

/// Whether a worker is about to start anew, or has been cut off, so that nobody knows.
fn begins(before: &v1::Worker, now: &v1::Worker) -> bool {
    now.draining || !now.connected || now.connection != before.connection
}

/// Whether a worker has started anew. One that was cut off while it saves what runs comes back as it was: it drains still.
fn is_back(before: &v1::Worker, now: &v1::Worker) -> bool {
    now.connected && now.connection != before.connection && !now.draining
}

async fn find(id: &str, coordinator: &Coordinator) -> Result<Option<v1::Worker>> {
    let mut page_token = String::new();
    loop {
        let request = v1::ListWorkersRequest { page_token, ..Default::default() };
        let page = coordinator.answer(coordinator.fleet().list_workers(traced(request)).await, Subject::Worker)?;
        let found = page.workers.into_iter().find(|worker| worker.id == id);
        if found.is_some() || page.next_page_token.is_empty() {
            return Ok(found);
        }
        page_token = page.next_page_token;
    }
}

fn render(before: &v1::Worker, after: &v1::Worker) -> String {
    let version = |worker: &v1::Worker| worker.machine.as_ref().map(|it| it.version.clone()).unwrap_or_default();
    match (version(before), version(after)) {
        (before, now) if before == now => format!("{} is back, and runs {now} as before\n", bold(&after.name)),
        (before, now) => format!("{} is back, and runs {now} instead of {before}\n", bold(&after.name)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::output::plain;

    #[test]
    fn a_worker_that_was_only_cut_off_is_not_back() {
        let before = v1::Worker { connection: 7, connected: true, ..Default::default() };
        let now =
            |connection, connected, draining| v1::Worker { connection, connected, draining, ..Default::default() };
        assert!(is_back(&before, &now(8, true, false)));
        for not_yet in [now(7, true, true), now(7, true, false), now(8, false, false), now(8, true, true)] {
            assert!(!is_back(&before, &not_yet), "{not_yet:?}");
        }
    }

    #[test]
    fn a_worker_that_goes_on_as_it_is_has_not_begun() {
        let before = v1::Worker { connection: 7, connected: true, ..Default::default() };
        assert!(!begins(&before, &before));
        for now in [
            v1::Worker { draining: true, ..before.clone() },
            v1::Worker { connected: false, ..before.clone() },
            v1::Worker { connection: 8, ..before.clone() },
        ] {
            assert!(begins(&before, &now), "{now:?}");
        }
    }

    #[test]
    fn what_it_runs_now_is_said_beside_what_it_ran() {
        let worker = |version: &str| v1::Worker {
            name: "mac".to_owned(),
            machine: Some(v1::Machine { version: version.to_owned(), ..Default::default() }),
            ..Default::default()
        };
        let said = |before: &str, now: &str| plain(&render(&worker(before), &worker(now)));
        assert_eq!(said("0.1.0", "0.2.0"), "mac is back, and runs 0.2.0 instead of 0.1.0\n");
        assert_eq!(said("0.1.0", "0.1.0"), "mac is back, and runs 0.1.0 as before\n");
    }
}
