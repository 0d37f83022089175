//! What each field of each request may hold, checked where it enters.
//!
//! What a person submits is refused with the field, its size and its bound. What a worker says about itself is cut instead: a Mac is not
//! locked out because its chip has a long name, nor is a run lost for a long line.
//!
//! Every function takes its message apart field by field, without `..`: a field that is added to the protocol does not compile before
//! it has a place here. `_` stands for a number that may be any number.

mod access;

pub(super) use access::{create_token, join, renew, revoke_principal, revoke_token};

use std::collections::HashMap;
use std::fmt::Display;
use vertigo::api_error::ApiError;
use vertigo::bounds::{
    AWAY_BYTES_MAX, CURATION_BYTES_MAX, DECISION_BYTES_MAX, EVIDENCE_MAX, MANIFEST_BYTES_MAX, REASON_CHARACTERS_MAX,
    RECIPE_BYTES_MAX, REFERENCE_BYTES_MAX, SERVED_MAX, SERVED_NAME_BYTES_MAX, URL_BYTES_MAX, shorten,
};
use vertigo::v1::{self, finished, input, report, task};

/// A UUID.
const ID_BYTES_MAX: usize = 64;
/// `sha256:` and 64 digits.
const DIGEST_BYTES_MAX: usize = 71;
/// Blobs that are asked for at once: more than a manifest can list.
const DIGESTS_MAX: usize = 300_000;
/// Tags that one registration moves.
const TAGS_MAX: usize = 64;
/// Where a page begins.
const PAGE_TOKEN_BYTES_MAX: usize = 300;
/// The name of a kind of artifact.
const KIND_BYTES_MAX: usize = 32;
/// Jobs of a call.
pub(super) const JOBS_MAX: usize = 1000;
/// Ways to do a job.
pub(super) const VARIANTS_MAX: usize = 16;
/// What a variant names to read.
const INPUTS_MAX: usize = 16;
/// The name of a role.
const ROLE_BYTES_MAX: usize = 64;
/// Labels of a job, and the name and the value of one.
const LABELS_MAX: usize = 32;
const LABEL_BYTES_MAX: usize = 200;
/// States that a list is asked for.
const STATES_MAX: usize = 16;
/// Answers to each task of a suite.
const SAMPLES_MAX: u32 = 1000;
/// Tokens of an answer: what a context can hold.
const ANSWER_TOKENS_MAX: u32 = 1 << 20;
/// Tasks that an evaluation names.
const EVAL_TASKS_MAX: usize = 1000;
/// A worker's name.
const WORKER_NAME_BYTES_MAX: usize = 200;
/// Chip, system and version: what a table shows of a machine.
const DESCRIPTION_BYTES_MAX: usize = 200;
/// Attempts that a worker holds: the running one, and those whose end was not taken yet.
const HELD_MAX: usize = 1024;

/// Starts of its machine that a worker tells at a time.
const REBOOTS_MAX: usize = 8;
/// Reports of a batch: a worker sends a quarter of a MiB of them, so of 16 bytes each.
const REPORTS_MAX: usize = 16_384;
/// A line of a log. Workers cut theirs at 2 KiB.
const LINE_BYTES_MAX: usize = 16 << 10;
/// Why an attempt failed: kept with the job, and shown in lists.
const FAILURE_BYTES_MAX: usize = 8 << 10;
/// Attempts that a machine may run at a time, by kind of slot.
const SLOTS_MAX: u32 = 1024;
/// An amount of memory: the largest that JSON's readers and SQLite keep exactly, 8 PiB.
const AMOUNT_MAX: u64 = 1 << 53;

fn text(field: impl Display, text: &str, bytes_max: usize) -> Result<(), ApiError> {
    match text.len() {
        bytes if bytes > bytes_max => {
            Err(ApiError::invalid(format!("{field} has {bytes} bytes, and at most {bytes_max} are taken")))
        }
        _ => Ok(()),
    }
}

fn reason(reason: &str) -> Result<(), ApiError> {
    match reason.chars().count() {
        characters if characters > REASON_CHARACTERS_MAX => Err(ApiError::invalid(format!(
            "the reason has {characters} characters, and at most {REASON_CHARACTERS_MAX} are taken"
        ))),
        _ => Ok(()),
    }
}

fn count<T>(field: &str, list: &[T], most: usize) -> Result<(), ApiError> {
    match list.len() {
        found if found > most => {
            Err(ApiError::invalid(format!("{field} has {found} entries, and at most {most} are taken")))
        }
        _ => Ok(()),
    }
}

pub(super) fn missing_blobs(request: &v1::MissingBlobsRequest) -> Result<(), ApiError> {
    let v1::MissingBlobsRequest { digests } = request;
    count("digests", digests, DIGESTS_MAX)?;
    digests.iter().try_for_each(|digest| text("a digest", digest, DIGEST_BYTES_MAX))
}

pub(super) fn register(request: &v1::RegisterArtifactRequest) -> Result<(), ApiError> {
    let v1::RegisterArtifactRequest { manifest_json, tags } = request;
    text("the manifest", manifest_json, MANIFEST_BYTES_MAX)?;
    count("tags", tags, TAGS_MAX)?;
    tags.iter().try_for_each(|tag| text("a tag", tag, REFERENCE_BYTES_MAX))
}

pub(super) fn get_artifact(request: &v1::GetArtifactRequest) -> Result<(), ApiError> {
    let v1::GetArtifactRequest { reference } = request;
    text("the artifact's name", reference, REFERENCE_BYTES_MAX)
}

pub(super) fn list_artifacts(request: &v1::ListArtifactsRequest) -> Result<(), ApiError> {
    let v1::ListArtifactsRequest { kind, page_size: _, page_token } = request;
    text("the kind", kind, KIND_BYTES_MAX)?;
    text("page_token", page_token, PAGE_TOKEN_BYTES_MAX)
}

pub(super) fn move_tag(request: &v1::MoveTagRequest) -> Result<(), ApiError> {
    let v1::MoveTagRequest { id, tag, reference, expected, back: _, reason, forced, evidence, decision_json } = request;
    text("the move's id", id, ID_BYTES_MAX)?;
    text("the tag", tag, REFERENCE_BYTES_MAX)?;
    text("the artifact's name", reference, REFERENCE_BYTES_MAX)?;
    text("what the tag is expected to be on", expected, DIGEST_BYTES_MAX)?;
    self::reason(reason)?;
    if *forced && reason.trim().is_empty() {
        return Err(ApiError::invalid("a forced move has no reason").with_hint("say why: it stands in the history"));
    }
    count("evidence", evidence, EVIDENCE_MAX)?;
    evidence.iter().try_for_each(|digest| text("a digest of the evidence", digest, DIGEST_BYTES_MAX))?;
    text("the decision", decision_json, DECISION_BYTES_MAX)
}

pub(super) fn tag_history(request: &v1::TagHistoryRequest) -> Result<(), ApiError> {
    let v1::TagHistoryRequest { tag, page_size: _, page_token } = request;
    text("the tag", tag, REFERENCE_BYTES_MAX)?;
    text("page_token", page_token, PAGE_TOKEN_BYTES_MAX)
}

pub(super) fn list_jobs(request: &v1::ListJobsRequest) -> Result<(), ApiError> {
    let v1::ListJobsRequest { states, kind, labels: asked, since_ms: _, page_size: _, page_token } = request;
    count("states", states, STATES_MAX)?;
    text("the kind", kind, KIND_BYTES_MAX)?;
    labels(asked)?;
    text("page_token", page_token, PAGE_TOKEN_BYTES_MAX)
}

fn labels(labels: &HashMap<String, String>) -> Result<(), ApiError> {
    match labels.len() {
        found if found > LABELS_MAX => {
            Err(ApiError::invalid(format!("labels has {found} entries, and at most {LABELS_MAX} are taken")))
        }
        _ => labels.iter().try_for_each(|(key, value)| {
            text("a label's name", key, LABEL_BYTES_MAX)?;
            text(format_args!("label `{key}`"), value, LABEL_BYTES_MAX)
        }),
    }
}

pub(super) fn list_workers(request: &v1::ListWorkersRequest) -> Result<(), ApiError> {
    let v1::ListWorkersRequest { page_size: _, page_token } = request;
    text("page_token", page_token, PAGE_TOKEN_BYTES_MAX)
}

pub(super) fn drain_worker(request: &v1::DrainWorkerRequest) -> Result<(), ApiError> {
    let v1::DrainWorkerRequest { worker, reason: given } = request;
    text("the worker's name", worker, WORKER_NAME_BYTES_MAX)?;
    reason(given)
}

pub(super) fn resume_worker(request: &v1::ResumeWorkerRequest) -> Result<(), ApiError> {
    let v1::ResumeWorkerRequest { worker } = request;
    text("the worker's name", worker, WORKER_NAME_BYTES_MAX)
}

pub(super) fn remove_worker(request: &v1::RemoveWorkerRequest) -> Result<(), ApiError> {
    let v1::RemoveWorkerRequest { worker } = request;
    text("the worker's name", worker, WORKER_NAME_BYTES_MAX)
}

pub(super) fn set_worker(request: &v1::SetWorkerRequest) -> Result<(), ApiError> {
    // How long a policy may be, its own type knows.
    let v1::SetWorkerRequest { worker, when: _ } = request;
    text("the worker's name", worker, WORKER_NAME_BYTES_MAX)
}

pub(super) fn upgrade_worker(request: &v1::UpgradeWorkerRequest) -> Result<(), ApiError> {
    let v1::UpgradeWorkerRequest { worker } = request;
    text("the worker's name", worker, WORKER_NAME_BYTES_MAX)
}

pub(super) fn get_job(request: &v1::GetJobRequest) -> Result<(), ApiError> {
    let v1::GetJobRequest { id } = request;
    text("the job's id", id, REFERENCE_BYTES_MAX)
}

pub(super) fn watch(request: &v1::WatchRequest) -> Result<(), ApiError> {
    let v1::WatchRequest { id, after: _, only_new: _ } = request;
    text("the job's id", id, REFERENCE_BYTES_MAX)
}

pub(super) fn logs(request: &v1::LogsRequest) -> Result<(), ApiError> {
    let v1::LogsRequest { id, after: _, follow: _ } = request;
    text("the job's id", id, REFERENCE_BYTES_MAX)
}

pub(super) fn cancel(request: &v1::CancelRequest) -> Result<(), ApiError> {
    let v1::CancelRequest { id, pipeline } = request;
    text("the job's id", id, REFERENCE_BYTES_MAX)?;
    text("the pipeline's name", pipeline, LABEL_BYTES_MAX)
}

pub(super) fn submit(request: &v1::SubmitRequest) -> Result<(), ApiError> {
    let v1::SubmitRequest { jobs } = request;
    count("jobs", jobs, JOBS_MAX)?;
    jobs.iter().try_for_each(|job| {
        let v1::NewJob { id, name, priority: _, labels: asked, variants } = job;
        text("the job's id", id, ID_BYTES_MAX)?;
        text("the job's name", name, REFERENCE_BYTES_MAX)?;
        labels(asked)?;
        self::variants(variants)
    })
}

pub(super) fn plan(request: &v1::PlanRequest) -> Result<(), ApiError> {
    let v1::PlanRequest { variants } = request;
    self::variants(variants)
}

fn variants(variants: &[v1::NewVariant]) -> Result<(), ApiError> {
    count("variants", variants, VARIANTS_MAX)?;
    for (n, v1::NewVariant { name, task, inputs }) in variants.iter().enumerate() {
        text("a variant's name", name, REFERENCE_BYTES_MAX)?;
        if variants[..n].iter().any(|other| other.name == *name) {
            return Err(ApiError::invalid(format!("two variants are called `{name}`; rename one")));
        }
        match task.as_ref().and_then(|v1::Task { kind }| kind.as_ref()) {
            Some(task::Kind::Train(v1::Train { recipe, yaml })) => {
                text("a recipe's name", recipe, REFERENCE_BYTES_MAX)?;
                text(format_args!("recipe `{recipe}`"), yaml, RECIPE_BYTES_MAX)?;
            }
            Some(task::Kind::Curate(v1::Curate { config, yaml })) => {
                text("a config's name", config, REFERENCE_BYTES_MAX)?;
                text(format_args!("config `{config}`"), yaml, CURATION_BYTES_MAX)?;
            }
            Some(task::Kind::Serve(serve)) => self::serve(serve)?,
            Some(task::Kind::Eval(eval)) => self::eval(eval)?,
            Some(task::Kind::Fuse(v1::Fuse { bits: _, unmeasured: _ })) | None => {}
        }
        count("inputs", inputs, INPUTS_MAX)?;
        inputs.iter().try_for_each(input)?;
    }
    Ok(())
}

fn serve(serve: &v1::Serve) -> Result<(), ApiError> {
    let v1::Serve { models, cache_bytes, listen } = serve;
    count("models", models, SERVED_MAX)?;
    for v1::ServedModel { name, model, base } in models {
        text("a model's name", name, SERVED_NAME_BYTES_MAX)?;
        text("a model", model, REFERENCE_BYTES_MAX)?;
        text("a model's base", base, REFERENCE_BYTES_MAX)?;
    }
    text("listen", listen, URL_BYTES_MAX)?;
    match *cache_bytes {
        bytes if bytes > AMOUNT_MAX => {
            Err(ApiError::invalid(format!("cache_bytes is {bytes}, and at most {AMOUNT_MAX} are taken")))
        }
        _ => Ok(()),
    }
}

fn eval(eval: &v1::Eval) -> Result<(), ApiError> {
    let v1::Eval {
        samples,
        seed: _,
        temperature: _,
        top_p: _,
        top_k: _,
        thinking: _,
        tokens_max,
        thinking_tokens_max,
        tasks,
        server,
        roblox,
    } = eval;
    let amounts = [
        ("samples", samples, SAMPLES_MAX),
        ("tokens_max", tokens_max, ANSWER_TOKENS_MAX),
        ("thinking_tokens_max", thinking_tokens_max, ANSWER_TOKENS_MAX),
    ];
    for (what, amount, most) in amounts {
        if *amount > most {
            return Err(ApiError::invalid(format!("{what} is {amount}, and at most {most} are taken")));
        }
    }
    count("tasks", tasks, EVAL_TASKS_MAX)?;
    tasks.iter().try_for_each(|task| text("a task's id", task, REFERENCE_BYTES_MAX))?;
    if let Some(v1::ModelServer { url, model, key }) = server {
        text("the server's address", url, URL_BYTES_MAX)?;
        text("the server's model", model, REFERENCE_BYTES_MAX)?;
        text("where the server's key is", key, URL_BYTES_MAX)?;
    }
    match roblox {
        Some(v1::RealRoblox { judge: _, key }) => text("where Open Cloud's key is", key, URL_BYTES_MAX),
        None => Ok(()),
    }
}

fn input(v1::Input { role, source }: &v1::Input) -> Result<(), ApiError> {
    text("an input's role", role, ROLE_BYTES_MAX)?;
    match source {
        Some(input::Source::Artifact(reference)) => text("an artifact's name", reference, REFERENCE_BYTES_MAX),
        Some(input::Source::Output(v1::OutputOf { job, role })) => {
            text("the job's id", job, REFERENCE_BYTES_MAX)?;
            text("an output's role", role, ROLE_BYTES_MAX)
        }
        None => Ok(()),
    }
}

pub(crate) fn hello(hello: &mut v1::Hello) -> Result<(), ApiError> {
    // What a secret is, its own type knows.
    let v1::Hello { worker_id, name, machine, held, secret: _, process, away, conditions, reboots } = hello;
    text("worker_id", worker_id, ID_BYTES_MAX)?;
    text("process", process, ID_BYTES_MAX)?;
    let trimmed = name.trim();
    if trimmed.is_empty() || trimmed.len() > WORKER_NAME_BYTES_MAX || trimmed.contains(char::is_control) {
        return Err(ApiError::invalid(format!(
            "a worker's name is 1 to {WORKER_NAME_BYTES_MAX} bytes without control characters; choose one with --name"
        )));
    }
    *name = trimmed.to_owned();
    cut(away, AWAY_BYTES_MAX);
    conditions.iter_mut().for_each(self::conditions);
    machine.iter_mut().for_each(self::machine);
    // The newest come last.
    reboots.drain(..reboots.len().saturating_sub(REBOOTS_MAX));
    for v1::Reboot { boot, at_ms: _, panicked: _, panic, attempt_ids } in reboots {
        text("a boot's name", boot, ID_BYTES_MAX)?;
        cut(panic, FAILURE_BYTES_MAX);
        attempt_ids.truncate(HELD_MAX);
        attempt_ids.iter().try_for_each(|id| text("attempt_id", id, ID_BYTES_MAX))?;
    }
    self::held(held)
}

fn machine(machine: &mut v1::Machine) {
    let v1::Machine {
        chip,
        os,
        memory_bytes,
        gpu_limit_bytes,
        usable_bytes,
        free_bytes,
        version,
        disk_free_bytes,
        gpu_slots,
        cpu_slots,
        service_slots,
        // A number that is compared.
        edition: _,
    } = machine;
    for said in [chip, os, version] {
        cut(said, DESCRIPTION_BYTES_MAX);
    }
    [memory_bytes, gpu_limit_bytes, usable_bytes, free_bytes, disk_free_bytes].into_iter().for_each(amount);
    [gpu_slots, cpu_slots, service_slots].into_iter().for_each(|slots| *slots = (*slots).min(SLOTS_MAX));
}

fn conditions(said: &mut v1::Conditions) {
    let v1::Conditions { screen: _, withheld_bytes } = said;
    amount(withheld_bytes);
}

fn held(list: &[v1::Held]) -> Result<(), ApiError> {
    count("held", list, HELD_MAX)?;
    list.iter().try_for_each(|v1::Held { attempt_id, epoch: _ }| text("attempt_id", attempt_id, ID_BYTES_MAX))
}

pub(crate) fn heartbeat(heartbeat: &mut v1::Heartbeat) -> Result<(), ApiError> {
    let v1::Heartbeat { free_bytes, held, disk_free_bytes, away, conditions } = heartbeat;
    cut(away, AWAY_BYTES_MAX);
    conditions.iter_mut().for_each(self::conditions);
    amount(free_bytes);
    amount(disk_free_bytes);
    self::held(held)
}

pub(crate) fn reports(batch: &mut v1::ReportBatch) -> Result<(), ApiError> {
    let v1::ReportBatch { attempt_id, epoch: _, reports } = batch;
    text("attempt_id", attempt_id, ID_BYTES_MAX)?;
    count("reports", reports, REPORTS_MAX)?;
    reports.iter_mut().for_each(report);
    Ok(())
}

/// Floats stay as they are: a loss that became infinite is what a person has to see, and JSON shows it as null. A manifest that is too long
/// is no artifact, which is the report's outcome and not the session's end.
fn report(report: &mut v1::Report) {
    let v1::Report { number: _, at_ms: _, body } = report;
    match body {
        Some(report::Body::Started(started)) => {
            let v1::Started {
                trainable_parameters: _,
                train_examples: _,
                valid_examples: _,
                skipped_examples: _,
                resumed_at: _,
                iters: _,
                caveats,
            } = started;
            if let Some(v1::Caveats {
                cut_examples: _,
                cut_tokens: _,
                cut_ends: _,
                unanswered_examples: _,
                empty_answers: _,
                unshared_prompts: _,
                leftover_micro_batches: _,
                overlong_examples: _,
                split_examples: _,
                split_pieces: _,
                overlong_turns: _,
                unlocated_turns: _,
                empty_thoughts: _,
            }) = caveats
            {}
        }
        Some(report::Body::Step(step)) => {
            let v1::Step {
                iter: _,
                iters: _,
                loss: _,
                learning_rate: _,
                tokens_per_second: _,
                trained_tokens: _,
                peak_bytes,
                grad_norm: _,
            } = step;
            amount(peak_bytes);
        }
        Some(report::Body::Validation(v1::Validation { iter: _, loss: _, tokens: _ })) => {}
        Some(report::Body::Checkpoint(v1::Checkpoint { iter: _, manifest_json: _ })) => {}
        Some(report::Body::Log(v1::LogLine { text }) | report::Body::Warning(v1::Warning { text })) => {
            cut(text, LINE_BYTES_MAX)
        }
        Some(report::Body::Finished(v1::Finished { peak_bytes, outcome })) => {
            amount(peak_bytes);
            match outcome {
                Some(finished::Outcome::Failure(v1::Failure { cure: _, message, code, pause_ms: _ })) => {
                    cut(message, FAILURE_BYTES_MAX);
                    cut(code, ROLE_BYTES_MAX);
                }
                Some(finished::Outcome::Outputs(v1::Outputs { made, remark })) => {
                    cut(remark, FAILURE_BYTES_MAX);
                    made.iter_mut().for_each(|v1::Made { role, manifest_json: _ }| cut(role, ROLE_BYTES_MAX));
                }
                None => {}
            }
        }
        Some(report::Body::Progress(v1::Progress { done: _, total: _, unit, peak_bytes })) => {
            cut(unit, ROLE_BYTES_MAX);
            amount(peak_bytes);
        }
        Some(report::Body::Measured(v1::Measured { name, value: _ })) => cut(name, ROLE_BYTES_MAX),
        Some(report::Body::Serving(v1::Serving { url, models })) => {
            cut(url, URL_BYTES_MAX);
            models.truncate(SERVED_MAX);
            models.iter_mut().for_each(|name| cut(name, SERVED_NAME_BYTES_MAX));
        }
        None => {}
    }
}

fn cut(text: &mut String, bytes_max: usize) {
    if text.len() > bytes_max {
        *text = shorten(text, bytes_max).into_owned();
    }
}

fn amount(bytes: &mut u64) {
    *bytes = (*bytes).min(AMOUNT_MAX);
}

#[cfg(test)]
mod tests;
