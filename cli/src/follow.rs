//! Jobs followed to their ends, for every command that queues some: what happens is shown, and a failed job is a failed command.

use crate::coordinator::Coordinator;
use crate::error::{CliError, Exit, Result, Subject};
use crate::events::{self, Feed};
use crate::render::findings;
use crate::render::jobs;
use crate::render::json;
use crate::render::narrator::{self, Narrator};
use crate::render::output::{Output, bold, duration, pairs, short_id, wrap};
use crate::render::screen::Screen;
use futures::future::try_join_all;
use serde_json::json;
use std::time::Duration;
use vertigo::bytes::Bytes;
use vertigo::manifest::Manifest;
use vertigo::v1;
use vertigo_client::traced;

/// Until the coordinator is asked again.
const AGAIN: Duration = Duration::from_secs(1);

/// Says what was queued, and follows it to its end: one job, or all of a call.
pub(crate) async fn follow_queued(queued: &[v1::Job], coordinator: &Coordinator, output: Output) -> Result<()> {
    for job in queued {
        if output.is_json() {
            output.json_line(&json!({"event": "submitted", "job": json::job(job)}));
        } else {
            output.styled(&jobs::render_queued(job));
        }
    }
    match queued {
        [job] => watch(job, coordinator, output).await,
        jobs => watch_all(jobs, coordinator, output).await,
    }
}

/// Shows several jobs side by side, each line with the name of its job, until all have ended. Those that ended badly are the
/// command's failure.
pub(crate) async fn watch_all(queued: &[v1::Job], coordinator: &Coordinator, output: Output) -> Result<()> {
    let width = queued.iter().map(|job| jobs::called(job).chars().count()).max().unwrap_or_default();
    let follow = async |job: &v1::Job| {
        let prefix = format!("{:width$}  ", jobs::called(job));
        let mut narrator = Narrator::new(job);
        let show = |event: &v1::JobEvent| match narrator.tell(event) {
            _ if output.is_json() => output.json_line(&json::event(event)),
            Some(told) => told.line().lines().for_each(|line| output.line(&format!("{prefix}{line}"))),
            None => {}
        };
        events::follow(&job.id, Feed::Watch, coordinator, |line| output.note(line), show).await
    };
    let all = async {
        try_join_all(queued.iter().map(follow)).await?;
        let mut bad = Vec::new();
        for job in queued {
            bad.extend(report_outcome(&job.id, coordinator, output).await.err());
        }
        match bad.len() {
            0 | 1 => bad.pop().map_or(Ok(()), Err),
            _ => {
                let messages: Vec<String> = bad.iter().map(|error| error.message.clone()).collect();
                Err(CliError::new(bad[0].exit, messages.join("\n")).hint("`vertigo job JOB` shows each"))
            }
        }
    };
    tokio::select! {
        ended = all => ended,
        interrupt = tokio::signal::ctrl_c() => {
            interrupt.map_err(CliError::refused)?;
            let left = format!("{} jobs go on without being watched", queued.len());
            Err(CliError::new(Exit::Interrupted, left).hint("`vertigo jobs` shows how they stand"))
        }
    }
}

/// Shows a job until it has ended. The error's exit code is the job's: a failed job is a failed command.
pub(crate) async fn watch(job: &v1::Job, coordinator: &Coordinator, output: Output) -> Result<()> {
    let screen = Screen::new(output);
    let mut narrator = Narrator::new(job);
    let show = |event: &v1::JobEvent| {
        if output.is_json() {
            output.json_line(&json::event(event));
        } else {
            screen.show(narrator.tell(event));
        }
    };
    let all = async {
        events::follow(&job.id, Feed::Watch, coordinator, |line| screen.note(line), show).await?;
        screen.clear();
        report_outcome(&job.id, coordinator, output).await
    };
    tokio::select! {
        ended = all => ended,
        interrupt = tokio::signal::ctrl_c() => {
            screen.clear();
            // Without a handler the signal would have ended the process anyway.
            interrupt.map_err(CliError::refused)?;
            Err(left_alone(job))
        }
    }
}

fn left_alone(job: &v1::Job) -> CliError {
    let id = short_id(&job.id);
    CliError::new(Exit::Interrupted, format!("{} goes on without being watched", jobs::title(job)))
        .hint(format!("come back with `vertigo watch {id}`, or end it with `vertigo cancel {id}`"))
}

async fn report_outcome(id: &str, coordinator: &Coordinator, output: Output) -> Result<()> {
    let job = loop {
        match coordinator.job(id).await {
            // It went away after it had told of the end: the same patience as before it.
            Err(error) if error.exit == Exit::Unreachable => tokio::time::sleep(AGAIN).await,
            answered => break answered?,
        }
    };
    let mut artifacts = Vec::new();
    for output in &job.outputs {
        let request = traced(v1::GetArtifactRequest { reference: output.digest.clone() });
        artifacts.push(coordinator.answer(coordinator.artifacts().get(request).await, Subject::Artifact)?);
    }
    if output.is_json() {
        let artifacts: Vec<_> = artifacts.iter().map(json::artifact).collect();
        output.json_line(&json!({"event": "result", "job": json::job(&job), "artifacts": artifacts}));
    } else if job.state() == v1::JobState::Succeeded {
        output.styled(&render_outcome(&job, &artifacts));
    }
    match job.state() {
        v1::JobState::Succeeded => Ok(()),
        state => Err(ended_badly(&job, json::state(state))),
    }
}

fn ended_badly(job: &v1::Job, state: &str) -> CliError {
    let error = CliError::refused(format!("{} {}", jobs::title(job), narrator::with_reason(state, &job.reason)));
    if job.state() == v1::JobState::Failed && !job.attempts.is_empty() {
        error.hint(format!("`vertigo logs {}` shows what it wrote", short_id(&job.id)))
    } else {
        error
    }
}

/// What success made; `artifacts` are its outputs in their order.
fn render_outcome(job: &v1::Job, artifacts: &[v1::Artifact]) -> String {
    let attempt = job.attempts.last().cloned().unwrap_or_default();
    let variant = job.variants.get(attempt.variant as usize).cloned().unwrap_or_default();
    let mut rows: Vec<(&str, String)> =
        vec![("run as", format!("{} ({}) on {}", variant.name, variant.method, attempt.worker))];
    let tag = |n: usize| artifacts.get(n).and_then(|artifact| artifact.tags.first().cloned()).unwrap_or_default();
    let findings = |n: usize| {
        let manifest = artifacts.get(n).and_then(|artifact| Manifest::parse(&artifact.manifest_json).ok());
        manifest.map(|manifest| findings::findings(&manifest)).unwrap_or_default()
    };
    for (n, output) in job.outputs.iter().enumerate() {
        let is_first_too = n > 0 && output.digest == job.outputs[0].digest;
        let said = if is_first_too { format!("the {}", job.outputs[0].role) } else { jobs::short(&output.digest) };
        let named = if is_first_too { said } else { [tag(n), said].join(" ").trim().to_owned() };
        // What is known of the first stands in rows of its own.
        let known = findings(n).into_iter().filter(|_| n > 0 && !is_first_too).map(|(_, text)| text);
        rows.push((&output.role, [named].into_iter().chain(known).collect::<Vec<_>>().join(", ")));
    }
    rows.extend(findings(0));
    rows.push(("peak", format!("{}, predicted {}", Bytes(attempt.peak_bytes), Bytes(variant.peak_bytes))));
    if let Some(first) = job.outputs.first() {
        let reference = Some(tag(0)).filter(|tag| !tag.is_empty()).unwrap_or_else(|| jobs::short(&first.digest));
        rows.push(("fetch it", format!("vertigo get {reference} DIR")));
    }
    let took = duration(job.ended_ms.saturating_sub(job.created_ms));
    let remark = if job.reason.is_empty() { String::new() } else { wrap(&format!("note: {}", job.reason), 2) };
    format!("{} succeeded after {took}\n{}{remark}", bold(&jobs::title(job)), pairs(rows))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::output::plain;
    use vertigo::id::Digest;
    use vertigo::manifest::{FileEntry, Kind};

    #[test]
    fn success_ends_with_what_was_made_and_how_to_fetch_it() {
        let job = jobs::tests::job();
        let file = FileEntry { path: "a".to_owned(), digest: Digest::of(b"a"), bytes: Bytes(1) };
        let facts = [("validation_before".to_owned(), json!(7.7012)), ("validation_after".to_owned(), json!(5.2))];
        let manifest = Manifest::new(Kind::Adapter, vec![file], facts.into()).unwrap();
        let artifact = v1::Artifact {
            manifest_json: manifest.to_json(),
            tags: vec!["luau-tutor".to_owned()],
            ..Default::default()
        };
        insta::assert_snapshot!(plain(&render_outcome(&job, std::slice::from_ref(&artifact))), @r"
        luau-tutor 0190163d-8694 succeeded after 2m 0s
          run as      4b-full (full) on book
          adapter     luau-tutor sha256:ab12cd34ef56
          validation  loss 7.701 → 5.200
          peak        310 MiB, predicted 400 MiB
          fetch it    vertigo get luau-tutor DIR
        ");
        // A second output: the same, or another one with what is known of it.
        let mut two = job.clone();
        two.outputs.push(v1::JobOutput { role: "best".to_owned(), ..two.outputs[0].clone() });
        let text = plain(&render_outcome(&two, &[artifact.clone(), artifact.clone()]));
        assert!(text.contains("best        the adapter\n") && text.matches("loss").count() == 1, "{text}");
        two.outputs[1].digest = Digest::of(b"best").to_string();
        let text = plain(&render_outcome(&two, &[artifact.clone(), v1::Artifact { tags: Vec::new(), ..artifact }]));
        let best = format!("best        sha256:{}, loss 7.701 → 5.200\n", Digest::of(b"best").short());
        assert!(text.contains(&best), "{text}");
        let text = plain(&render_outcome(&job, &[]));
        assert!(text.contains("vertigo get sha256:ab12cd34ef56 DIR") && !text.contains("validation"), "{text}");
    }

    #[test]
    fn a_failed_job_is_a_failed_command_that_points_to_its_log() {
        let job = v1::Job {
            state: v1::JobState::Failed.into(),
            reason: "loss became NaN at iteration 12".to_owned(),
            ..jobs::tests::job()
        };
        let error = ended_badly(&job, "failed");
        assert_eq!(error.exit, Exit::Refused);
        assert_eq!(error.message, "luau-tutor 0190163d-8694 failed: loss became NaN at iteration 12");
        assert_eq!(error.hint.unwrap(), "`vertigo logs 0190163d-8694` shows what it wrote");
        let cancelled = v1::Job { state: v1::JobState::Cancelled.into(), reason: "cancelled".to_owned(), ..job };
        let error = ended_badly(&cancelled, "cancelled");
        assert_eq!((error.message.as_str(), error.hint), ("luau-tutor 0190163d-8694 cancelled", None));
    }

    #[test]
    fn leaving_says_how_to_come_back() {
        let error = left_alone(&jobs::tests::job());
        assert_eq!(error.exit, Exit::Interrupted);
        assert!(error.hint.unwrap().contains("vertigo watch 0190163d-8694"));
    }
}
