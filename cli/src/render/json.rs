//! The protocol's messages as JSON for scripts. These names are a contract: they may be added to, and never change.

use serde_json::{Map, Value, json};
use vertigo::v1;

/// The word for a job's state.
pub(crate) fn state(state: v1::JobState) -> &'static str {
    match state {
        v1::JobState::Unspecified => "unknown",
        v1::JobState::Blocked => "blocked",
        v1::JobState::Queued => "queued",
        v1::JobState::Backoff => "backoff",
        v1::JobState::Leased => "running",
        v1::JobState::Succeeded => "succeeded",
        v1::JobState::Failed => "failed",
        v1::JobState::Cancelled => "cancelled",
    }
}

/// The word for how an attempt stands.
pub(crate) fn attempt_state(state: v1::AttemptState) -> &'static str {
    match state {
        v1::AttemptState::Unspecified => "unknown",
        v1::AttemptState::Running => "running",
        v1::AttemptState::Succeeded => "succeeded",
        v1::AttemptState::Failed => "failed",
        v1::AttemptState::Lost => "lost",
        v1::AttemptState::Cancelled => "cancelled",
    }
}

/// The word for what cures a failure; `null` where there is none to cure.
pub(crate) fn cure(cure: v1::Cure) -> Value {
    match cure {
        v1::Cure::Unspecified => Value::Null,
        v1::Cure::Never => "never".into(),
        v1::Cure::MoreMemory => "more_memory".into(),
        v1::Cure::AnotherMachine => "another_machine".into(),
        v1::Cure::Later => "later".into(),
        v1::Cure::FreshProcess => "fresh_process".into(),
    }
}

/// `null` for an empty string: what the protocol leaves empty is not there.
fn text(value: &str) -> Value {
    if value.is_empty() { Value::Null } else { value.into() }
}

/// `null` for a time that has not come.
fn time(ms: u64) -> Value {
    if ms == 0 { Value::Null } else { ms.into() }
}

pub(crate) fn job(job: &v1::Job) -> Value {
    json!({
        "id": job.id,
        "name": job.name,
        "state": state(job.state()),
        "reason": text(&job.reason),
        "priority": job.priority,
        "created_ms": job.created_ms,
        "ended_ms": time(job.ended_ms),
        "labels": job.labels,
        "waits_for": job.waits_for,
        "outputs": job.outputs.iter().map(output).collect::<Vec<_>>(),
        "variants": job.variants.iter().map(variant).collect::<Vec<_>>(),
        "attempts": job.attempts.iter().map(attempt).collect::<Vec<_>>(),
    })
}

fn output(output: &v1::JobOutput) -> Value {
    json!({"role": output.role, "digest": output.digest})
}

fn input(input: &v1::JobInput) -> Value {
    let (job, output) = (text(&input.job), text(&input.output));
    json!({"role": input.role, "digest": text(&input.digest), "job": job, "output": output})
}

fn slot(slot: v1::Slot) -> Value {
    match slot {
        v1::Slot::Unspecified => Value::Null,
        v1::Slot::Gpu => "gpu".into(),
        v1::Slot::Cpu => "cpu".into(),
    }
}

/// What a task is asked to do; `null` in a list.
fn task(task: &v1::Task) -> Value {
    match &task.kind {
        Some(v1::task::Kind::Train(it)) => json!({"kind": "train", "recipe": it.recipe, "yaml": it.yaml}),
        Some(v1::task::Kind::Fuse(it)) => json!({"kind": "fuse", "bits": it.bits, "measured": !it.unmeasured}),
        None => Value::Null,
    }
}

pub(crate) fn variant(variant: &v1::Variant) -> Value {
    let part = |part: &v1::MemoryPart| json!({"name": part.name, "bytes": part.bytes});
    // 0: it depends on an input that is not there yet.
    let peak = Some(variant.peak_bytes).filter(|bytes| *bytes > 0);
    json!({
        "name": variant.name,
        "kind": variant.kind,
        "model": text(&variant.model),
        "method": text(&variant.method),
        "slot": slot(variant.slot()),
        "peak_bytes": peak,
        "factor": variant.factor,
        "parts": variant.parts.iter().map(part).collect::<Vec<_>>(),
        "inputs": variant.inputs.iter().map(input).collect::<Vec<_>>(),
        "skipped_examples": variant.caveats.as_ref().map(|_| variant.skipped_examples),
        "caveats": variant.caveats.as_ref().map(caveats),
        "task": variant.task.as_ref().map(task),
    })
}

fn caveats(it: &v1::Caveats) -> Value {
    json!({
        "cut_examples": it.cut_examples,
        "cut_tokens": it.cut_tokens,
        "cut_ends": it.cut_ends,
        "unanswered_examples": it.unanswered_examples,
        "empty_answers": it.empty_answers,
        "unshared_prompts": it.unshared_prompts,
        "leftover_micro_batches": it.leftover_micro_batches,
    })
}

fn attempt(attempt: &v1::Attempt) -> Value {
    json!({
        "id": attempt.id,
        "epoch": attempt.epoch,
        "worker": attempt.worker,
        "variant": attempt.variant,
        "reserved_bytes": attempt.reserved_bytes,
        "started_ms": attempt.started_ms,
        "ended_ms": time(attempt.ended_ms),
        "state": attempt_state(attempt.state()),
        "reason": text(&attempt.reason),
        "cure": cure(attempt.cure()),
        "code": text(&attempt.code),
        "peak_bytes": attempt.peak_bytes,
    })
}

pub(crate) fn placement(placement: &v1::Placement) -> Value {
    let waits = placement.worker.is_empty();
    json!({
        "worker": text(&placement.worker),
        "variant": if waits { Value::Null } else { placement.variant.into() },
        "reason": placement.reason,
    })
}

pub(crate) fn worker(worker: &v1::Worker) -> Value {
    let machine = worker.machine.clone().unwrap_or_default();
    json!({
        "id": worker.id,
        "name": worker.name,
        "connected": worker.connected,
        "draining": worker.draining,
        "last_seen_ms": worker.last_seen_ms,
        "reserved_bytes": worker.reserved_bytes,
        "job_ids": worker.job_ids,
        "chip": machine.chip,
        "os": machine.os,
        "memory_bytes": machine.memory_bytes,
        "gpu_limit_bytes": machine.gpu_limit_bytes,
        "usable_bytes": machine.usable_bytes,
        "free_bytes": machine.free_bytes,
        "disk_free_bytes": machine.disk_free_bytes,
        "gpu_slots": machine.gpu_slots,
        "cpu_slots": machine.cpu_slots,
        "version": machine.version,
    })
}

pub(crate) fn artifact(artifact: &v1::Artifact) -> Value {
    // The coordinator has checked them; what is not JSON is shown as it is. A list has no manifests.
    let parsed = |json: &str| serde_json::from_str(json).unwrap_or_else(|_| text(json));
    json!({
        "digest": artifact.digest,
        "kind": artifact.kind,
        "tags": artifact.tags,
        "bytes": artifact.bytes,
        "created_ms": artifact.created_ms,
        "job_id": text(&artifact.job_id),
        "files": artifact.files,
        "facts": parsed(&artifact.facts_json),
        "manifest": parsed(&artifact.manifest_json),
    })
}

/// An event of a job, flat: `event` says what happened.
pub(crate) fn event(job: &str, event: &v1::JobEvent) -> Value {
    let mut line = Map::from_iter([("job_id".to_owned(), job.into())]);
    for (key, number) in [("seq", event.seq), ("at_ms", event.at_ms), ("epoch", event.epoch)] {
        line.insert(key.to_owned(), number.into());
    }
    let body = match &event.event {
        Some(v1::job_event::Event::State(number)) => {
            let name = v1::JobState::try_from(*number).unwrap_or_default();
            json!({"event": "state", "state": state(name), "reason": text(&event.reason)})
        }
        Some(v1::job_event::Event::Placed(placed)) => with_event("placed", placement(placed)),
        Some(v1::job_event::Event::Report(sent)) => report(sent),
        None => json!({"event": "unknown"}),
    };
    if let Value::Object(body) = body {
        line.extend(body);
    }
    Value::Object(line)
}

fn with_event(name: &str, fields: Value) -> Value {
    let mut all = Map::from_iter([("event".to_owned(), name.into())]);
    if let Value::Object(fields) = fields {
        all.extend(fields);
    }
    Value::Object(all)
}

fn report(report: &v1::Report) -> Value {
    use v1::report::Body;
    match &report.body {
        Some(Body::Started(it)) => json!({
            "event": "started", "trainable_parameters": it.trainable_parameters, "train_examples": it.train_examples,
            "valid_examples": it.valid_examples, "skipped_examples": it.skipped_examples, "resumed_at": it.resumed_at,
            "iters": it.iters, "caveats": it.caveats.as_ref().map(caveats),
        }),
        Some(Body::Step(it)) => json!({
            "event": "step", "iter": it.iter, "iters": it.iters, "loss": it.loss, "learning_rate": it.learning_rate,
            "tokens_per_second": it.tokens_per_second, "trained_tokens": it.trained_tokens, "peak_bytes": it.peak_bytes,
            "grad_norm": it.grad_norm,
        }),
        Some(Body::Validation(it)) => {
            json!({"event": "validation", "iter": it.iter, "loss": it.loss, "tokens": it.tokens})
        }
        Some(Body::Checkpoint(it)) => json!({"event": "checkpoint", "iter": it.iter}),
        Some(Body::Log(it)) => json!({"event": "log", "text": it.text}),
        Some(Body::Warning(it)) => json!({"event": "warning", "text": it.text}),
        Some(Body::Progress(it)) => json!({
            "event": "progress", "done": it.done, "total": it.total, "unit": it.unit, "peak_bytes": it.peak_bytes,
        }),
        Some(Body::Measured(it)) => json!({"event": "measured", "name": it.name, "value": it.value}),
        Some(Body::Finished(it)) => finished(it),
        None => json!({"event": "unknown"}),
    }
}

fn finished(finished: &v1::Finished) -> Value {
    let failure = match &finished.outcome {
        Some(v1::finished::Outcome::Failure(it)) => {
            json!({"cure": cure(it.cure()), "code": text(&it.code), "message": it.message})
        }
        _ => Value::Null,
    };
    json!({"event": "finished", "peak_bytes": finished.peak_bytes, "failure": failure})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_one_flat_object() {
        let step = v1::Step { iter: 10, iters: 60, loss: 7.5, ..Default::default() };
        let report = v1::Report { number: 3, at_ms: 1, body: Some(v1::report::Body::Step(step)) };
        let line = event(
            "x",
            &v1::JobEvent {
                seq: 12,
                at_ms: 99,
                epoch: 1,
                event: Some(v1::job_event::Event::Report(report)),
                reason: String::new(),
            },
        );
        assert_eq!(line["event"], "step");
        assert_eq!((&line["seq"], &line["iter"], &line["loss"]), (&json!(12), &json!(10), &json!(7.5)));
    }

    #[test]
    fn a_number_that_is_none_is_null_and_leaves_the_line_json() {
        for odd in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            let step = v1::Step {
                loss: odd,
                learning_rate: odd,
                tokens_per_second: odd,
                grad_norm: odd,
                ..Default::default()
            };
            for body in [
                v1::report::Body::Step(step),
                v1::report::Body::Validation(v1::Validation { loss: odd, ..Default::default() }),
            ] {
                let report = v1::Report { number: 1, at_ms: 1, body: Some(body) };
                let line = report_line(report).to_string();
                assert!(serde_json::from_str::<Value>(&line).unwrap()["loss"].is_null(), "{line}");
            }
        }
    }

    fn report_line(report: v1::Report) -> Value {
        event("x", &v1::JobEvent { event: Some(v1::job_event::Event::Report(report)), ..Default::default() })
    }

    #[test]
    fn what_is_not_learned_as_it_was_written_is_there_for_scripts() {
        let caveats = v1::Caveats { cut_examples: 3, unshared_prompts: 2, ..Default::default() };
        let read = variant(&v1::Variant { caveats: Some(caveats), skipped_examples: 1, ..Default::default() });
        assert_eq!((&read["skipped_examples"], &read["caveats"]["cut_examples"]), (&json!(1), &json!(3)));
        let unread = variant(&v1::Variant::default());
        assert!(unread["caveats"].is_null() && unread["skipped_examples"].is_null(), "nobody has read the examples");
        let started = v1::Started { caveats: Some(caveats), ..Default::default() };
        let body = v1::report::Body::Started(started);
        let line = super::report(&v1::Report { body: Some(body), ..Default::default() });
        assert_eq!(line["caveats"]["unshared_prompts"], 2);
    }

    #[test]
    fn what_is_empty_in_the_protocol_is_null() {
        let value = job(&v1::Job { id: "x".to_owned(), state: v1::JobState::Leased.into(), ..Default::default() });
        assert_eq!(value["state"], "running");
        assert!(value["ended_ms"].is_null() && value["reason"].is_null());
        assert!(placement(&v1::Placement::default())["variant"].is_null());
    }

    #[test]
    fn every_name_is_snake_case() {
        fn check(value: &Value) {
            if let Value::Object(map) = value {
                for (key, value) in map {
                    assert!(key.chars().all(|c| c.is_ascii_lowercase() || c == '_'), "{key}");
                    check(value);
                }
            }
        }
        for value in [job(&v1::Job::default()), worker(&v1::Worker::default()), artifact(&v1::Artifact::default())] {
            check(&value);
        }
    }
}
