//! `vertigo watch` and `logs`: a job as it goes on.

mod narrator;

use crate::cli::{JobArgs, LogsArgs};
use crate::coordinator::Coordinator;
use crate::error::{CliError, Exit, Result, Subject};
use crate::events::{self, Feed};
use crate::output::{Output, bold, duration, pairs, short_id};
use crate::{artifacts, jobs, json, safe};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use narrator::{Narrator, Told};
use serde_json::json;
use std::time::Duration;
use vertigo::bytes::Bytes;
use vertigo::manifest::Manifest;
use vertigo::transfer::traced;
use vertigo::v1::{self, job_event::Event, report::Body};

/// Until the coordinator is asked again.
const AGAIN: Duration = Duration::from_secs(1);

pub(crate) async fn run(args: &JobArgs, coordinator: &Coordinator, output: Output) -> Result<()> {
    let job = jobs::get(&args.id, coordinator).await?;
    watch(&job, coordinator, output).await
}

pub(crate) async fn logs(args: &LogsArgs, coordinator: &Coordinator, output: Output) -> Result<()> {
    let feed = Feed::Logs { follow: args.follow };
    let print = |event: &v1::JobEvent| match &event.event {
        Some(Event::Report(v1::Report { body: Some(Body::Log(line)), .. })) if !output.is_json() => {
            output.line(&line.text)
        }
        Some(Event::Report(v1::Report { body: Some(Body::Log(_)), .. })) => output.json_line(&json::event(event)),
        _ => {}
    };
    let job = jobs::get(&args.id, coordinator).await?;
    events::follow(&job.id, feed, coordinator, |line| output.note(line), print).await
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
        match jobs::get(id, coordinator).await {
            // It went away after it had told of the end: the same patience as before it.
            Err(error) if error.exit == Exit::Unreachable => tokio::time::sleep(AGAIN).await,
            answered => break answered?,
        }
    };
    let artifact = match job.output_digest.as_str() {
        "" => None,
        digest => {
            let request = traced(v1::GetArtifactRequest { reference: digest.to_owned() });
            Some(coordinator.answer(coordinator.artifacts().get(request).await, Subject::Artifact)?)
        }
    };
    if output.is_json() {
        let artifact = artifact.as_ref().map(json::artifact);
        output.json_line(&json!({"event": "result", "job": json::job(&job), "artifact": artifact}));
    } else if job.state() == v1::JobState::Succeeded {
        output.styled(&render_outcome(&job, artifact.as_ref()));
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

fn render_outcome(job: &v1::Job, artifact: Option<&v1::Artifact>) -> String {
    let attempt = job.attempts.last().cloned().unwrap_or_default();
    let plan = job.plans.get(attempt.plan as usize).cloned().unwrap_or_default();
    let tag = artifact.and_then(|artifact| artifact.tags.first().cloned());
    let digest = format!("sha256:{}", short_id(&job.output_digest));
    let manifest = artifact.and_then(|artifact| Manifest::parse(&artifact.manifest_json).ok());
    let losses = manifest.as_ref().and_then(artifacts::losses);
    let rows = [
        ("recipe", format!("{} ({}) on {}", plan.recipe, plan.method, attempt.worker)),
        ("adapter", [tag.clone().unwrap_or_default(), digest.clone()].join(" ").trim().to_owned()),
        ("validation", losses.map(|(before, after)| format!("loss {before:.3} → {after:.3}")).unwrap_or_default()),
        ("peak", format!("{}, predicted {}", Bytes(attempt.peak_bytes), Bytes(plan.peak_bytes))),
        ("fetch it", format!("vertigo get {} DIR", tag.unwrap_or(digest))),
    ];
    let took = duration(job.ended_ms.saturating_sub(job.created_ms));
    format!("{} succeeded after {took}\n{}", bold(&jobs::title(job)), pairs(rows))
}

/// The terminal, or the pipe.
struct Screen {
    output: Output,
    bar: ProgressBar,
}

impl Screen {
    fn new(output: Output) -> Screen {
        if !output.is_live() {
            return Screen { output, bar: ProgressBar::hidden() };
        }
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        bar.set_style(ProgressStyle::default_spinner());
        bar.enable_steady_tick(Duration::from_millis(120));
        Screen { output, bar }
    }

    fn show(&self, told: Option<Told>) {
        match told {
            None => {}
            Some(Told::Line(line)) => self.line(&line),
            Some(Told::Waiting(line)) => {
                self.line(&line);
                self.bar.set_style(ProgressStyle::default_spinner());
                // What is waited for is in the first line.
                self.bar.set_message(safe::line(line.lines().next().unwrap_or_default()).into_owned());
            }
            Some(Told::Progress { iter, iters, text }) if self.output.is_live() => {
                let style = ProgressStyle::with_template("{bar:16} {pos}/{len} {msg}");
                self.bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("━╸─"));
                self.bar.set_length(iters);
                self.bar.set_position(iter);
                self.bar.set_message(safe::line(&text).into_owned());
            }
            Some(Told::Progress { iter, iters, text }) => self.output.line(&format!("iter {iter}/{iters}  {text}")),
        }
    }

    /// A line that stays, above the bar where there is one.
    fn line(&self, line: &str) {
        self.bar.suspend(|| self.output.line(line));
    }

    /// Something that is no event of the job, likewise.
    fn note(&self, line: &str) {
        self.bar.suspend(|| self.output.note(line));
    }

    fn clear(&self) {
        self.bar.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::plain;
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
        insta::assert_snapshot!(plain(&render_outcome(&job, Some(&artifact))), @r"
        luau-tutor 0190163d-8694 succeeded after 2m 0s
          recipe      4b-full (full) on book
          adapter     luau-tutor sha256:ab12cd34ef56
          validation  loss 7.701 → 5.200
          peak        310 MiB, predicted 400 MiB
          fetch it    vertigo get luau-tutor DIR
        ");
        let text = plain(&render_outcome(&job, None));
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
