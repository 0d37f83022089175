//! The format beside its golden file, an event of every kind each.

use super::*;
use crate::core::{HeldBy, Made, Measured, Progress, Report, ReportBody, Serving, Started, State, Step, Validation};
use vertigo::bytes::Bytes;
use vertigo::caveats::Caveats;
use vertigo::id::{AttemptId, Digest, Millis, WorkerId};
use vertigo::principal::PrincipalName;
use vertigo::task::{Cure, Failure};

/// Events as format 1 had them, in the order of [`nobodys`].
const FIRST: &str = include_str!("format-1.jsonl");

/// Events as format 2 has them, in the order of [`samples`].
const SECOND: &str = include_str!("format-2.jsonl");

/// What a report of a running attempt says.
fn reports() -> Vec<ReportBody<Digest>> {
    let caveats = Caveats {
        skipped_examples: 1,
        cut_examples: 2,
        cut_tokens: 3,
        cut_ends: 4,
        unanswered_examples: 5,
        empty_answers: 6,
        unshared_prompts: 7,
        leftover_micro_batches: 8,
        // Newer than the format, which has them only where something counts for them.
        ..Caveats::default()
    };
    let started = Started {
        trainable_parameters: 2_359_296,
        train_examples: 900,
        valid_examples: 100,
        skipped_examples: 1,
        resumed_at: 40,
        iters: 600,
        caveats: Some(caveats),
    };
    let step = step();
    let odd = Step { loss: f64::NAN, grad_norm: f64::INFINITY, learning_rate: f64::NEG_INFINITY, ..step };
    let outputs = vec![("adapter".to_owned(), Digest::of(b"adapter")), ("report".to_owned(), Digest::of(b"report"))];
    let failure = |cure| Failure::new(cure, "diverged", "the loss is no number");
    let finished = |outcome| ReportBody::Finished { peak: Bytes(11_274_289_152), outcome };
    let mut all = vec![
        ReportBody::Started(started),
        ReportBody::Started(Started::default()),
        ReportBody::Step(step),
        ReportBody::Step(odd),
        ReportBody::Validation(Validation { iter: 50, loss: 1.25, tokens: 40_000 }),
        ReportBody::Progress(Progress { done: 3, total: 248, unit: "matrices".to_owned(), peak: Bytes(1 << 30) }),
        ReportBody::Measured(Measured { name: "loss_fused".to_owned(), value: 1.875 }),
        ReportBody::Serving(Serving {
            url: "http://127.0.0.1:8080".to_owned(),
            models: vec!["production".to_owned(), "mini@tutor".to_owned()],
        }),
        ReportBody::Log("a \"line\"\twith ünicode".to_owned()),
        ReportBody::Warning("a full disk did not take the checkpoint at 50".to_owned()),
        ReportBody::Checkpoint { iter: 50, artifact: Digest::of(b"checkpoint") },
        finished(Ok(Made { outputs, remark: "nobody measured it".to_owned() })),
        ReportBody::Unknown,
    ];
    let cures = [Cure::Never, Cure::MoreMemory, Cure::AnotherMachine, Cure::Later, Cure::FreshProcess];
    all.extend(cures.map(|cure| finished(Err(failure(cure)))));
    all
}

/// A step with numbers as long as a real one's.
pub(in crate::store) fn step() -> Step {
    Step {
        iter: 512,
        iters: 600,
        loss: f64::from(1.234_567_9_f32),
        learning_rate: 1e-5,
        tokens_per_second: 431.728_515_625,
        trained_tokens: 1_048_576,
        peak: Bytes(11_274_289_152),
        grad_norm: f64::from(0.765_432_1_f32),
    }
}

/// An event of every kind, and of every case within it.
fn samples() -> Vec<EventBody> {
    let by = |state, by: &str| EventBody::State { state, reason: String::new(), by: Some(by.parse().unwrap()) };
    let asked = [by(State::Queued, "local"), by(State::Cancelled, "mac-laptop")];
    let (worker, name) = ("01900000-0000-7000-8000-000000000002".parse::<WorkerId>().unwrap(), "studio".to_owned());
    let by: PrincipalName = "mac-laptop".parse().unwrap();
    let (held_by, reason) = (HeldBy::Person(by.clone()), "a new disk".to_owned());
    let done = [
        EventBody::Held { worker, name: name.clone(), by: held_by, reason },
        EventBody::Resumed { worker, name: name.clone(), by: by.clone() },
        EventBody::Removed { worker, name: name.clone(), by: by.clone() },
        EventBody::Held {
            worker,
            name: name.clone(),
            by: HeldBy::Coordinator,
            reason: "2 kernel panics within a day".to_owned(),
        },
        EventBody::Set { worker, name: name.clone(), by: by.clone(), when: "on-ac and idle > 15m".to_owned() },
        EventBody::StartedAnew { worker, name, by },
    ];
    nobodys().into_iter().chain(asked).chain(done).collect()
}

/// Those of which nobody knows who asked for them.
fn nobodys() -> Vec<EventBody> {
    let attempt: AttemptId = "01900000-0000-7000-8000-000000000001".parse().unwrap();
    let states = [
        State::Blocked,
        State::Queued,
        State::Backoff { until: Millis(1_764_179_000_000) },
        State::Leased { attempt },
        State::Succeeded,
        State::Failed,
        State::Cancelled,
    ];
    let state = |state| EventBody::State { state, reason: "why".to_owned(), by: None };
    let placed = EventBody::Placed { worker: "mac".to_owned(), variant: 2, reason: "it fits best".to_owned() };
    let report = |body| EventBody::Report(Report { number: 3, at: Millis(1_764_179_000_001), body });
    states.map(state).into_iter().chain([placed]).chain(reports().into_iter().map(report)).collect()
}

/// The name of a body's kind. Whoever adds a kind has to say here what it is called, and [`samples`] has to have one.
fn name(body: &EventBody) -> &'static str {
    match body {
        EventBody::State { state, .. } => state.name(),
        EventBody::Placed { .. } => "placed",
        EventBody::Report(report) => match &report.body {
            ReportBody::Started(_) => "started",
            ReportBody::Step(_) => "step",
            ReportBody::Validation(_) => "validation",
            ReportBody::Progress(_) => "progress",
            ReportBody::Measured(_) => "measured",
            ReportBody::Serving(_) => "serving",
            ReportBody::Log(_) => "log",
            ReportBody::Warning(_) => "warning",
            ReportBody::Checkpoint { .. } => "checkpoint",
            ReportBody::Finished { outcome: Ok(_), .. } => "outputs",
            ReportBody::Finished { outcome: Err(_), .. } => "failure",
            ReportBody::Unknown => "unknown",
        },
        EventBody::Held { .. } => "held",
        EventBody::Resumed { .. } => "resumed",
        EventBody::Removed { .. } => "removed",
        EventBody::Set { .. } => "set",
        EventBody::StartedAnew { .. } => "started_anew",
    }
}

const NAMES: [&str; 25] = [
    "blocked",
    "queued",
    "backoff",
    "leased",
    "succeeded",
    "failed",
    "cancelled",
    "placed",
    "started",
    "step",
    "validation",
    "progress",
    "measured",
    "serving",
    "log",
    "warning",
    "checkpoint",
    "outputs",
    "failure",
    "unknown",
    "held",
    "resumed",
    "removed",
    "set",
    "started_anew",
];

#[test]
fn an_event_of_every_kind_is_written_as_the_golden_file_has_it() {
    let written: Vec<String> = samples().iter().map(encode).collect();
    for name in NAMES {
        assert!(samples().iter().any(|body| super::tests::name(body) == name), "no sample of {name}");
    }
    let golden: Vec<&str> = SECOND.lines().collect();
    assert_eq!(written, golden, "a change of the format gets a new number and a golden file of its own");
}

#[test]
fn what_any_format_has_is_read() {
    check_read(FIRST, nobodys());
    check_read(SECOND, samples());
}

fn check_read(golden: &str, samples: Vec<EventBody>) {
    let lines: Vec<&str> = golden.lines().collect();
    assert_eq!(lines.len(), samples.len());
    for (line, sample) in lines.into_iter().zip(samples) {
        let read = decode(line).unwrap();
        // A loss that is no number equals nothing, itself included.
        assert!(read == sample || format!("{read:?}") == format!("{sample:?}"), "{line}");
    }
}

#[test]
fn an_event_of_a_later_format_says_so_and_no_event_says_what_it_is() {
    for later in [r#"{"v":3,"event":{"state":{"state":"queued","reason":""}}}"#, r#"{"v":3,"happened":["queued"]}"#] {
        let error = decode(later).unwrap_err();
        assert_eq!(error, FormatError::Newer { found: 3 });
        assert!(error.to_string().contains("newer vertigo-coordinator"), "{error}");
    }
    for none in ["", "{}", r#"{"v":1,"event":{"danced":{}}}"#, r#"{"v":"one"}"#] {
        assert!(matches!(decode(none), Err(FormatError::Unreadable(_))), "{none}");
    }
}
