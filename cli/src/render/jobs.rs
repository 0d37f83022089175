//! Jobs as they stand, for people: a line, a table, all of one.

use crate::render::json;
use crate::render::output::{Output, age, bold, duration, pairs, short_id, table, wrap};
use crate::render::safe;
use crate::render::who;
use vertigo::bytes::Bytes;
use vertigo::caveats::Caveats;
use vertigo::v1;

/// Shows jobs that were just queued: each with what it may run as, or what it waits for.
pub(crate) fn show_queued(jobs: &[v1::Job], output: Output) {
    let document = || match jobs {
        [job] => json::job(job),
        jobs => jobs.iter().map(json::job).collect(),
    };
    output.show(document, || {
        let follow = match jobs {
            [job] => format!("follow it: vertigo watch {}\n", short_id(&job.id)),
            _ => "see how they get on: vertigo jobs\n".to_owned(),
        };
        jobs.iter().map(render_queued).collect::<String>() + &follow
    });
}

/// A job that was just queued.
pub(crate) fn render_queued(job: &v1::Job) -> String {
    let title = bold(&title(job));
    if job.state() == v1::JobState::Blocked {
        return format!("queued {title}\n{}", wrap(&job.reason, 2));
    }
    let line = |it: &v1::Variant| {
        let of = if it.model.is_empty() { String::new() } else { format!(" of {}", it.model) };
        format!("  {}\n", safe::line(&format!("{}: {}{of}, {}", it.name, it.method, Bytes(it.peak_bytes))))
    };
    let as_what = if job.variants.len() > 1 { " to run as the first of these that fits" } else { "" };
    let variants: String = job.variants.iter().map(line).collect();
    let why = if job.reason.is_empty() { String::new() } else { wrap(&format!("it waits: {}", job.reason), 0) };
    format!("queued {title}{as_what}:\n{variants}{why}")
}

/// What a line calls a job: its name, where it has one, and its short id.
pub(crate) fn title(job: &v1::Job) -> String {
    let id = short_id(&job.id);
    if job.name.is_empty() { id.to_owned() } else { format!("{} {id}", job.name) }
}

/// What a column calls a job: its name, or its short id where nobody gave it one.
pub(crate) fn called(job: &v1::Job) -> &str {
    if job.name.is_empty() { short_id(&job.id) } else { &job.name }
}

pub(crate) fn render_jobs(jobs: &[v1::Job], is_narrowed: bool, now: u64) -> String {
    if jobs.is_empty() && is_narrowed {
        return "no such jobs; `vertigo jobs` lists all\n".to_owned();
    }
    if jobs.is_empty() {
        return "no jobs; `vertigo train RECIPE.yaml --data NAME` queues one\n".to_owned();
    }
    let row = |job: &v1::Job| {
        let attempt = job.attempts.last();
        let variant = attempt.and_then(|attempt| job.variants.get(attempt.variant as usize));
        let variants: Vec<&str> = job.variants.iter().map(|variant| variant.name.as_str()).collect();
        [
            short_id(&job.id).to_owned(),
            job.name.clone(),
            json::state(job.state()).to_owned(),
            variant.map_or_else(|| variants.join(" "), |variant| variant.name.clone()),
            attempt.map(|attempt| attempt.worker.clone()).unwrap_or_default(),
            age(now, job.created_ms),
        ]
    };
    let table = table(["ID", "NAME", "STATE", "VARIANT", "WORKER", "AGE"], &[5], jobs.iter().map(row).collect());
    let answers = |job: &v1::Job| Some(wrap(&format!("{} answers at {}", called(job), serving(job)?.url), 0));
    let addresses: String = jobs.iter().filter_map(answers).collect();
    // Below the table and not in it: an address needs more room than a column has.
    if addresses.is_empty() { table } else { format!("{table}\n{addresses}") }
}

/// Where a job's service answers now.
pub(crate) fn serving(job: &v1::Job) -> Option<&v1::Serving> {
    job.attempts.last().and_then(|attempt| attempt.serving.as_ref())
}

pub(crate) fn render_job(job: &v1::Job, now: u64) -> String {
    let took = if job.ended_ms == 0 { String::new() } else { duration(job.ended_ms.saturating_sub(job.created_ms)) };
    let waits_for: Vec<&str> = job.waits_for.iter().map(|id| short_id(id)).collect();
    let mut labels: Vec<String> = job.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    labels.sort();
    let mut rows = vec![
        ("id", job.id.clone()),
        ("state", json::state(job.state()).to_owned()),
        ("why", job.reason.clone()),
        ("waits for", waits_for.join(", ")),
        ("labels", labels.join(", ")),
        ("priority", job.priority.to_string()),
        ("queued", format!("{} ago", age(now, job.created_ms))),
        ("by", who::told(&job.by).to_owned()),
        ("took", took),
        ("answers at", serving(job).map(|it| it.url.clone()).unwrap_or_default()),
        ("as", serving(job).map(|it| it.models.join(", ")).unwrap_or_default()),
    ];
    rows.extend(shared_inputs(job));
    rows.extend(job.outputs.iter().map(|output| (output.role.as_str(), short(&output.digest))));
    let mut text = format!("{}\n{}", bold(&title(job)), pairs(rows));
    if !job.variants.is_empty() {
        let row = |it: &v1::Variant| [it.name.clone(), it.kind.clone(), it.model.clone(), it.method.clone(), peak(it)];
        let rows = job.variants.iter().map(row).collect();
        text += &format!("\n{}", table(["VARIANT", "KIND", "MODEL", "METHOD", "PEAK"], &[4], rows));
        // Below the table and not in it, as the reasons below.
        for variant in &job.variants {
            for line in Caveats::from_message(variant.skipped_examples, variant.caveats.as_ref()).lines() {
                text += &wrap(&format!("{}: {line}", variant.name), 0);
            }
        }
    }
    if !job.attempts.is_empty() {
        let rows = job.attempts.iter().map(|attempt| attempt_row(job, attempt, now)).collect();
        text += &format!(
            "\n{}",
            table(["EPOCH", "WORKER", "VARIANT", "TIME", "PEAK", "RESERVED", "OUTCOME"], &[0, 4, 5], rows)
        );
        // Below the table and not in it: a reason needs more room than a column has.
        for attempt in job.attempts.iter().filter(|attempt| !attempt.reason.is_empty()) {
            text += &wrap(&format!("epoch {}: {}", attempt.epoch, attempt.reason), 0);
        }
    }
    text + &next_command(job)
}

/// Inputs that all variants have alike: the others are told apart by their models.
fn shared_inputs(job: &v1::Job) -> Vec<(&str, String)> {
    let Some((first, rest)) = job.variants.split_first() else { return Vec::new() };
    let is_shared = |input: &&v1::JobInput| rest.iter().all(|variant| variant.inputs.contains(input));
    let from = |input: &v1::JobInput| match (input.digest.as_str(), input.job.as_str()) {
        ("", job) => format!("what {} makes", short_id(job)),
        (digest, "") => short(digest),
        (digest, job) => format!("{}, made by {}", short(digest), short_id(job)),
    };
    first.inputs.iter().filter(is_shared).map(|input| (input.role.as_str(), from(input))).collect()
}

/// A variant's predicted peak.
fn peak(variant: &v1::Variant) -> String {
    // It depends on an input that is not there.
    if variant.peak_bytes == 0 { "not known yet".to_owned() } else { Bytes(variant.peak_bytes).to_string() }
}

fn attempt_row(job: &v1::Job, attempt: &v1::Attempt, now: u64) -> [String; 7] {
    let until = if attempt.ended_ms == 0 { now } else { attempt.ended_ms };
    let peak = if attempt.peak_bytes == 0 { String::new() } else { Bytes(attempt.peak_bytes).to_string() };
    [
        attempt.epoch.to_string(),
        attempt.worker.clone(),
        job.variants.get(attempt.variant as usize).map(|variant| variant.name.clone()).unwrap_or_default(),
        duration(until.saturating_sub(attempt.started_ms)),
        peak,
        Bytes(attempt.reserved_bytes).to_string(),
        json::attempt_state(attempt.state()).to_owned(),
    ]
}

/// `sha256:` and 12 digits.
pub(crate) fn short(digest: &str) -> String {
    if digest.is_empty() { String::new() } else { format!("sha256:{}", short_id(digest)) }
}

fn next_command(job: &v1::Job) -> String {
    let id = short_id(&job.id);
    match job.state() {
        v1::JobState::Succeeded => match job.outputs.first() {
            Some(output) => format!("\nfetch it: vertigo get {} DIR\n", short(&output.digest)),
            None => String::new(),
        },
        v1::JobState::Failed if job.attempts.is_empty() => String::new(),
        v1::JobState::Failed => format!("\nread its log: vertigo logs {id}\n"),
        v1::JobState::Blocked | v1::JobState::Queued | v1::JobState::Backoff | v1::JobState::Leased => {
            format!("\nfollow it: vertigo watch {id}\n")
        }
        v1::JobState::Cancelled | v1::JobState::Unspecified => String::new(),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::render::output::plain;

    /// A job that was lost once and then succeeded.
    pub(crate) fn job() -> v1::Job {
        let data =
            v1::JobInput { role: "data".to_owned(), digest: format!("sha256:{:064x}", 0xda7a), ..Default::default() };
        let variant = |name: &str, model: &str, method: &str, peak_bytes| v1::Variant {
            name: name.to_owned(),
            kind: "train".to_owned(),
            inputs: vec![data.clone()],
            model: model.to_owned(),
            method: method.to_owned(),
            peak_bytes,
            ..Default::default()
        };
        let attempt = |epoch, worker: &str, state: v1::AttemptState, reason: &str, started_ms, ended_ms| v1::Attempt {
            epoch,
            worker: worker.to_owned(),
            variant: 1,
            reserved_bytes: 400 << 20,
            started_ms,
            ended_ms,
            state: state.into(),
            reason: reason.to_owned(),
            peak_bytes: if reason.is_empty() { 310 << 20 } else { 0 },
            ..Default::default()
        };
        v1::Job {
            id: "0190163d-8694-739b-aea5-966c26f8ad91".to_owned(),
            name: "luau-tutor".to_owned(),
            state: v1::JobState::Succeeded.into(),
            created_ms: 1_000,
            ended_ms: 121_000,
            outputs: vec![v1::JobOutput {
                role: "adapter".to_owned(),
                digest: format!("sha256:{}", "ab12cd34ef56".repeat(6).split_at(64).0),
            }],
            variants: vec![
                variant("9b-qlora", "mini-9b-4bit", "QLoRA r16", 900 << 20),
                variant("4b-full", "mini-4b", "full", 400 << 20),
            ],
            attempts: vec![
                attempt(1, "studio", v1::AttemptState::Lost, "no heartbeat for 30s", 2_000, 40_000),
                attempt(2, "book", v1::AttemptState::Succeeded, "", 41_000, 121_000),
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
        let text = plain(&render_jobs(&[queued, job()], false, 181_000));
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        insta::assert_snapshot!(text, @r"
        ID             NAME           STATE      VARIANT           WORKER    AGE
        0190163e-1111  0190163e-1111  queued     9b-qlora 4b-full          2m 1s
        0190163d-8694  luau-tutor     succeeded  4b-full           book    3m 0s
        ");
        assert!(
            render_jobs(&[], false, 0).contains("vertigo train") && render_jobs(&[], true, 0).contains("no such jobs")
        );
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
          adapter   sha256:ab12cd34ef56

        VARIANT   KIND   MODEL         METHOD        PEAK
        9b-qlora  train  mini-9b-4bit  QLoRA r16  900 MiB
        4b-full   train  mini-4b       full       400 MiB

        EPOCH  WORKER  VARIANT  TIME       PEAK  RESERVED  OUTCOME
            1  studio  4b-full  38s               400 MiB  lost
            2  book    4b-full  1m 20s  310 MiB   400 MiB  succeeded
        epoch 1: no heartbeat for 30s

        fetch it: vertigo get sha256:ab12cd34ef56 DIR
        ");
    }

    #[test]
    fn a_job_shows_who_queued_it_where_that_is_another_machine() {
        let by = |by: &str| plain(&render_job(&v1::Job { by: by.to_owned(), ..job() }, 181_000));
        assert!(by("mac-laptop").contains("\n  by        mac-laptop\n"), "{}", by("mac-laptop"));
        assert_eq!(by("local"), by(""));
    }

    #[test]
    fn a_job_shows_what_of_its_examples_is_not_learned_as_it_was_written() {
        let mut job = job();
        job.variants[1].skipped_examples = 2;
        job.variants[1].caveats =
            Some(v1::Caveats { unanswered_examples: 1, unshared_prompts: 5, ..Default::default() });
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

    /// One that waits for what [`job`] makes.
    pub(crate) fn reader() -> v1::Job {
        let adapter = v1::JobInput { role: "adapter".to_owned(), job: job().id, ..Default::default() };
        let fuse = v1::Variant {
            name: "fuse".to_owned(),
            kind: "fuse".to_owned(),
            inputs: vec![adapter],
            ..Default::default()
        };
        v1::Job {
            id: "0190163f-2222-739b-aea5-966c26f8ad91".to_owned(),
            name: "luau-tutor-fused".to_owned(),
            state: v1::JobState::Blocked.into(),
            reason: "waits for what luau-tutor (leased) makes".to_owned(),
            created_ms: 1_000,
            labels: [("pipeline".to_owned(), "luau-1".to_owned())].into(),
            waits_for: vec![job().id],
            variants: vec![fuse],
            ..Default::default()
        }
    }

    #[test]
    fn a_job_that_waits_for_another_shows_for_which_and_for_what() {
        insta::assert_snapshot!(plain(&render_job(&reader(), 181_000)), @r"
        luau-tutor-fused 0190163f-2222
          id         0190163f-2222-739b-aea5-966c26f8ad91
          state      blocked
          why        waits for what luau-tutor (leased) makes
          waits for  0190163d-8694
          labels     pipeline=luau-1
          priority   0
          queued     3m 0s ago
          adapter    what 0190163d-8694 makes

        VARIANT  KIND  MODEL  METHOD           PEAK
        fuse     fuse                 not known yet

        follow it: vertigo watch 0190163f-2222
        ");
    }

    #[test]
    fn a_queued_job_shows_what_it_may_run_as_or_what_it_waits_for() {
        let waiting = v1::Job {
            state: v1::JobState::Queued.into(),
            reason: "too large for every worker: book offers the most, 256 MiB".to_owned(),
            ..job()
        };
        let text = render_queued(&waiting) + &render_queued(&reader());
        insta::assert_snapshot!(plain(&text), @r"
        queued luau-tutor 0190163d-8694 to run as the first of these that fits:
          9b-qlora: QLoRA r16 of mini-9b-4bit, 900 MiB
          4b-full: full of mini-4b, 400 MiB
        it waits: too large for every worker: book offers the most, 256 MiB
        queued luau-tutor-fused 0190163f-2222
          waits for what luau-tutor (leased) makes
        ");
    }

    /// A service that is up.
    pub(crate) fn service() -> v1::Job {
        let serving = v1::Serving { url: "http://127.0.0.1:40123".to_owned(), models: vec!["production".to_owned()] };
        let attempt = v1::Attempt {
            epoch: 1,
            worker: "book".to_owned(),
            started_ms: 2_000,
            state: v1::AttemptState::Running.into(),
            reserved_bytes: 3 << 30,
            serving: Some(serving),
            ..Default::default()
        };
        let variant = v1::Variant {
            name: "serve".to_owned(),
            kind: "serve".to_owned(),
            model: "production".to_owned(),
            method: "serve".to_owned(),
            peak_bytes: 3 << 30,
            ..Default::default()
        };
        v1::Job {
            id: "01901640-4444-739b-aea5-966c26f8ad91".to_owned(),
            name: "api".to_owned(),
            state: v1::JobState::Leased.into(),
            created_ms: 1_000,
            variants: vec![variant],
            attempts: vec![attempt],
            ..Default::default()
        }
    }

    #[test]
    fn a_service_shows_where_it_answers() {
        let text = plain(&render_jobs(&[service()], false, 181_000));
        insta::assert_snapshot!(text + &plain(&render_job(&service(), 181_000)), @r"
        ID             NAME  STATE    VARIANT  WORKER    AGE
        01901640-4444  api   running  serve    book    3m 0s

        api answers at http://127.0.0.1:40123
        api 01901640-4444
          id          01901640-4444-739b-aea5-966c26f8ad91
          state       running
          priority    0
          queued      3m 0s ago
          answers at  http://127.0.0.1:40123
          as          production

        VARIANT  KIND   MODEL       METHOD     PEAK
        serve    serve  production  serve   3.0 GiB

        EPOCH  WORKER  VARIANT  TIME    PEAK  RESERVED  OUTCOME
            1  book    serve    2m 59s         3.0 GiB  running

        follow it: vertigo watch 01901640-4444
        ");
    }

    #[test]
    fn a_job_without_a_name_is_called_by_its_id() {
        assert_eq!(title(&job()), "luau-tutor 0190163d-8694");
        assert_eq!(called(&job()), "luau-tutor");
        let unnamed = v1::Job { name: String::new(), ..job() };
        assert_eq!((title(&unnamed).as_str(), called(&unnamed)), ("0190163d-8694", "0190163d-8694"));
    }
}
