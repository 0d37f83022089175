//! `vertigo watch`: a job as it goes on, or all of them.

use crate::cli::WatchArgs;
use crate::coordinator::Coordinator;
use crate::error::{CliError, Exit, Result};
use crate::render::narrator::{self, Narrator};
use crate::render::output::Output;
use crate::render::{jobs, json};
use crate::{events, follow};
use std::collections::BTreeMap;
use vertigo::v1;

pub(crate) async fn run(args: &WatchArgs, coordinator: &Coordinator, output: Output) -> Result<()> {
    match &args.id {
        Some(id) => follow::watch(&coordinator.job(id).await?, coordinator, output).await,
        None => watch_all_jobs(coordinator, output).await,
    }
}

/// Shows what happens to all jobs, each line with the name of its job, until Ctrl-C.
async fn watch_all_jobs(coordinator: &Coordinator, output: Output) -> Result<()> {
    let mut known: BTreeMap<String, (String, Narrator)> = BTreeMap::new();
    let show = async |event: &v1::JobEvent| {
        if output.is_json() {
            output.json_line(&json::event(event));
            return Ok(());
        }
        if event.job_id.is_empty() {
            if let Some((worker, line)) = narrator::told_of_worker(event) {
                output.line(&format!("{worker}  {line}"));
            }
            return Ok(());
        }
        if !known.contains_key(&event.job_id) {
            let job = coordinator.job(&event.job_id).await?;
            known.insert(event.job_id.clone(), (jobs::title(&job), Narrator::new(&job)));
        }
        if let Some((title, narrator)) = known.get_mut(&event.job_id)
            && let Some(told) = narrator.tell(event)
        {
            told.line().lines().for_each(|line| output.line(&format!("{title}  {line}")));
        }
        // An ended job says no more, and a feed without an end must not remember them all.
        if events::has_ended(event) {
            known.remove(&event.job_id);
        }
        Ok(())
    };
    tokio::select! {
        ended = events::follow_all(coordinator, |line| output.note(line), show) => ended,
        interrupt = tokio::signal::ctrl_c() => {
            interrupt.map_err(CliError::refused)?;
            Err(CliError::new(Exit::Interrupted, "not watched any more; the jobs go on"))
        }
    }
}
