//! `vertigo jobs`, `job` and `cancel`: jobs as they stand.

use crate::cli::{JobArgs, JobsArgs};
use crate::coordinator::Coordinator;
use crate::error::{Result, Subject};
use crate::json;
use crate::output::{Output, age, bold, duration, pairs, short_id, table, wrap};
use crate::pages::{self, Shown};
use vertigo::bytes::Bytes;
use vertigo::dataset::Caveats;
use vertigo::id::Millis;
use vertigo::transfer::traced;
use vertigo::v1;

pub(crate) async fn list(args: &JobsArgs, coordinator: &Coordinator, output: Output) -> Result<()> {
    let fetch = async |page_size, page_token| {
        let request = v1::ListJobsRequest { page_size, page_token, ..v1::ListJobsRequest::default() };
        let answer = coordinator.answer(coordinator.jobs().list(traced(request)).await, Subject::Job)?;
        Ok((answer.jobs, answer.next_page_token))
    };
    let table = Box::new(|jobs: &[v1::Job]| render_jobs(jobs, Millis::now().0));
    pages::show(output, Some(args.limit), fetch, Shown { json: json::job, table }).await
}

pub(crate) async fn show(args: &JobArgs, coordinator: &Coordinator, output: Output) -> Result<()> {
    let job = get(&args.id, coordinator).await?;
    output.show(|| json::job(&job), || render_job(&job, Millis::now().0));
    Ok(())
}

pub(crate) async fn cancel(args: &JobArgs, coordinator: &Coordinator, output: Output) -> Result<()> {
    let answer = coordinator.jobs().cancel(traced(v1::CancelJobRequest { id: args.id.clone() })).await;
    let job = coordinator.answer(answer, Subject::Job)?;
    let text = || format!("{} is {}\n", bold(&title(&job)), json::state(job.state()));
    output.show(|| json::job(&job), text);
    Ok(())
}

/// A job by id or by its beginning.
pub(crate) async fn get(id: &str, coordinator: &Coordinator) -> Result<v1::Job> {
    let answer = coordinator.jobs().get(traced(v1::GetJobRequest { id: id.to_owned() })).await;
    coordinator.answer(answer, Subject::Job)
}

/// What a line calls a job: its name and its short id, or the id alone where that is its name.
pub(crate) fn title(job: &v1::Job) -> String {
    let id = short_id(&job.id);
    if job.name.is_empty() || job.id.starts_with(&job.name) { id.to_owned() } else { format!("{} {id}", job.name) }
}

fn render_jobs(jobs: &[v1::Job], now: u64) -> String {
    if jobs.is_empty() {
        return "no jobs; `vertigo train RECIPE.yaml --data NAME` queues one\n".to_owned();
    }
    let row = |job: &v1::Job| {
        let attempt = job.attempts.last();
        let plan = attempt.and_then(|attempt| job.plans.get(attempt.plan as usize));
        let plans: Vec<&str> = job.plans.iter().map(|plan| plan.recipe.as_str()).collect();
        [
            short_id(&job.id).to_owned(),
            job.name.clone(),
            json::state(job.state()).to_owned(),
            plan.map_or_else(|| plans.join(" "), |plan| plan.recipe.clone()),
            attempt.map(|attempt| attempt.worker.clone()).unwrap_or_default(),
            age(now, job.created_ms),
        ]
    };
    table(["ID", "NAME", "STATE", "RECIPE", "WORKER", "AGE"], &[5], jobs.iter().map(row).collect())
}

fn render_job(job: &v1::Job, now: u64) -> String {
    let took = if job.ended_ms == 0 { String::new() } else { duration(job.ended_ms.saturating_sub(job.created_ms)) };
    let result = if job.output_digest.is_empty() { String::new() } else { short(&job.output_digest) };
    let rows = [
        ("id", job.id.clone()),
        ("state", json::state(job.state()).to_owned()),
        ("why", job.reason.clone()),
        ("priority", job.priority.to_string()),
        ("queued", format!("{} ago", age(now, job.created_ms))),
        ("took", took),
        ("data", short(&job.data_digest)),
        ("result", result),
    ];
    let mut text = format!("{}\n{}", bold(&title(job)), pairs(rows));
    if !job.plans.is_empty() {
        let row = |plan: &v1::Plan| {
            [plan.recipe.clone(), plan.model.clone(), plan.method.clone(), Bytes(plan.peak_bytes).to_string()]
        };
        let rows = job.plans.iter().map(row).collect();
        text += &format!("\n{}", table(["RECIPE", "MODEL", "METHOD", "PEAK"], &[3], rows));
        // Below the table and not in it, as the reasons below.
        for plan in &job.plans {
            for line in Caveats::from_message(plan.skipped_examples, plan.caveats.as_ref()).lines() {
                text += &wrap(&format!("{}: {line}", plan.recipe), 0);
            }
        }
    }
    if !job.attempts.is_empty() {
        let rows = job.attempts.iter().map(|attempt| attempt_row(job, attempt, now)).collect();
        text += &format!(
            "\n{}",
            table(["EPOCH", "WORKER", "RECIPE", "TIME", "PEAK", "RESERVED", "OUTCOME"], &[0, 4, 5], rows)
        );
        // Below the table and not in it: a reason needs more room than a column has.
        for attempt in &job.attempts {
            if let (_, Some(why)) = outcome(attempt) {
                text += &wrap(&format!("epoch {}: {why}", attempt.epoch), 0);
            }
        }
    }
    text + &next_command(job)
}

fn attempt_row(job: &v1::Job, attempt: &v1::Attempt, now: u64) -> [String; 7] {
    let until = if attempt.ended_ms == 0 { now } else { attempt.ended_ms };
    let peak = if attempt.peak_bytes == 0 { String::new() } else { Bytes(attempt.peak_bytes).to_string() };
    [
        attempt.epoch.to_string(),
        attempt.worker.clone(),
        job.plans.get(attempt.plan as usize).map(|plan| plan.recipe.clone()).unwrap_or_default(),
        duration(until.saturating_sub(attempt.started_ms)),
        peak,
        Bytes(attempt.reserved_bytes).to_string(),
        outcome(attempt).0.to_owned(),
    ]
}

/// What an attempt came to in a word, and why.
fn outcome(attempt: &v1::Attempt) -> (&str, Option<&str>) {
    match attempt.outcome.split_once(": ") {
        Some((word, why)) => (word, Some(why)),
        None => (&attempt.outcome, None),
    }
}

/// `sha256:` and 12 digits.
fn short(digest: &str) -> String {
    if digest.is_empty() { String::new() } else { format!("sha256:{}", short_id(digest)) }
}

fn next_command(job: &v1::Job) -> String {
    let id = short_id(&job.id);
    match job.state() {
        v1::JobState::Succeeded => format!("\nfetch it: vertigo get {} DIR\n", short(&job.output_digest)),
        v1::JobState::Failed => format!("\nread its log: vertigo logs {id}\n"),
        v1::JobState::Queued | v1::JobState::Backoff | v1::JobState::Leased => {
            format!("\nfollow it: vertigo watch {id}\n")
        }
        v1::JobState::Cancelled | v1::JobState::Unspecified => String::new(),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::output::plain;

    /// A job that was lost once and then succeeded.
    pub(crate) fn job() -> v1::Job {
        let plan = |recipe: &str, model: &str, method: &str, peak_bytes| v1::Plan {
            recipe: recipe.to_owned(),
            model: model.to_owned(),
            method: method.to_owned(),
            peak_bytes,
            ..Default::default()
        };
        let attempt = |epoch, worker: &str, outcome: &str, started_ms, ended_ms| v1::Attempt {
            epoch,
            worker: worker.to_owned(),
            plan: 1,
            reserved_bytes: 400 << 20,
            started_ms,
            ended_ms,
            outcome: outcome.to_owned(),
            peak_bytes: if outcome == "succeeded" { 310 << 20 } else { 0 },
            ..Default::default()
        };
        v1::Job {
            id: "0190163d-8694-739b-aea5-966c26f8ad91".to_owned(),
            name: "luau-tutor".to_owned(),
            state: v1::JobState::Succeeded.into(),
            created_ms: 1_000,
            ended_ms: 121_000,
            data_digest: format!("sha256:{:064x}", 0xda7a),
            output_digest: format!("sha256:{}", "ab12cd34ef56".repeat(6).split_at(64).0),
            plans: vec![
                plan("9b-qlora", "mini-9b-4bit", "QLoRA r16", 900 << 20),
                plan("4b-full", "mini-4b", "full", 400 << 20),
            ],
            attempts: vec![
                attempt(1, "studio", "lost: no heartbeat for 30s", 2_000, 40_000),
                attempt(2, "book", "succeeded", 41_000, 121_000),
            ],
            ..Default::default()
        }
    }

    #[test]
    fn jobs_are_a_table() {
        let queued = v1::Job {
            id: "0190163e-1111-739b-aea5-966c26f8ad91".to_owned(),
            name: "0190163e-1111".to_owned(),
            state: v1::JobState::Queued.into(),
            attempts: Vec::new(),
            created_ms: 60_000,
            ..job()
        };
        let text = plain(&render_jobs(&[queued, job()], 181_000));
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        insta::assert_snapshot!(text, @r"
        ID             NAME           STATE      RECIPE            WORKER    AGE
        0190163e-1111  0190163e-1111  queued     9b-qlora 4b-full          2m 1s
        0190163d-8694  luau-tutor     succeeded  4b-full           book    3m 0s
        ");
        assert!(render_jobs(&[], 0).contains("vertigo train"));
    }

    #[test]
    fn a_job_shows_its_plans_and_attempts() {
        let text = plain(&render_job(&job(), 181_000));
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        insta::assert_snapshot!(text, @r"
        luau-tutor 0190163d-8694
          id        0190163d-8694-739b-aea5-966c26f8ad91
          state     succeeded
          priority  0
          queued    3m 0s ago
          took      2m 0s
          data      sha256:000000000000
          result    sha256:ab12cd34ef56

        RECIPE    MODEL         METHOD        PEAK
        9b-qlora  mini-9b-4bit  QLoRA r16  900 MiB
        4b-full   mini-4b       full       400 MiB

        EPOCH  WORKER  RECIPE   TIME       PEAK  RESERVED  OUTCOME
            1  studio  4b-full  38s               400 MiB  lost
            2  book    4b-full  1m 20s  310 MiB   400 MiB  succeeded
        epoch 1: no heartbeat for 30s

        fetch it: vertigo get sha256:ab12cd34ef56 DIR
        ");
    }

    #[test]
    fn a_job_shows_what_of_its_examples_is_not_learned_as_it_was_written() {
        let mut job = job();
        job.plans[1].skipped_examples = 2;
        job.plans[1].caveats = Some(v1::Caveats { unanswered_examples: 1, unshared_prompts: 5, ..Default::default() });
        let text = plain(&render_job(&job, 181_000));
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        let told: Vec<_> = text.lines().skip_while(|line| !line.starts_with("4b-full: ")).take(5).collect();
        insta::assert_snapshot!(told.join("\n"), @r"
        4b-full: 2 examples left out: no token to learn from
        4b-full: 1 conversation without the assistant's turn at the end: another's is
        learned
        4b-full: 5 prompts not the beginning of the conversation in tokens: masked as
        far as shared
        ");
    }

    #[test]
    fn a_job_without_a_name_is_called_by_its_id() {
        assert_eq!(title(&job()), "luau-tutor 0190163d-8694");
        for name in ["", "0190163d-8694", "0190163d"] {
            assert_eq!(title(&v1::Job { name: name.to_owned(), ..job() }), "0190163d-8694");
        }
    }
}
