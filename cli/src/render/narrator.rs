//! What a job's events say to a person. Pure: events in, lines out, and the only clock is the events' own.

use crate::render::json;
use crate::render::output::{count, duration, loss};
use crate::render::who;
use vertigo::bytes::Bytes;
use vertigo::caveats::Caveats;
use vertigo::task::GIVEN_BACK;
use vertigo::v1::{self, JobEvent, job_event::Event, report::Body};

/// Something to show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Told {
    /// A line that stays.
    Line(String),
    /// A line that stays, and what is waited for from now on.
    Waiting(String),
    /// How far the run is.
    Progress { at: Position, text: String },
}

impl Told {
    /// The same as lines of text.
    pub(crate) fn line(&self) -> String {
        match self {
            Told::Line(line) | Told::Waiting(line) => line.clone(),
            Told::Progress { at, text } => format!("{at}  {text}"),
        }
    }
}

/// How far a run is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Position {
    pub(crate) done: u64,
    pub(crate) total: u64,
    /// What is counted: "iter", or another word.
    pub(crate) unit: String,
}

impl std::fmt::Display for Position {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Position { done, total, unit } = self;
        match unit.as_str() {
            "bytes" => write!(f, "{} of {}", Bytes(*done), Bytes(*total)),
            "iter" => write!(f, "iter {done}/{total}"),
            unit => write!(f, "{done}/{total} {unit}"),
        }
    }
}

/// Tells a job's events as they come.
#[derive(Debug)]
pub(crate) struct Narrator {
    /// Names of the variants, in their order.
    variants: Vec<String>,
    /// Iteration and time of the running attempt's start.
    started: Option<(u64, u64)>,
    /// The last validation loss.
    validation: Option<f64>,
}

impl Narrator {
    pub(crate) fn new(job: &v1::Job) -> Narrator {
        let variants = job.variants.iter().map(|variant| variant.name.clone()).collect();
        Narrator { variants, started: None, validation: None }
    }

    /// What an event says; `None` where it says nothing worth a line.
    pub(crate) fn tell(&mut self, event: &JobEvent) -> Option<Told> {
        match event.event.as_ref()? {
            Event::State(state) => {
                let state = v1::JobState::try_from(*state).unwrap_or_default();
                // The reason of one that was cancelled says by whom.
                let is_told = state == v1::JobState::Cancelled;
                let by = if is_told { String::new() } else { who::told_by(&event.by) };
                let line = with_reason(&(json::state(state).to_owned() + &by), &event.reason);
                Some(match state {
                    // What it runs as is told when it is placed.
                    v1::JobState::Leased => return None,
                    v1::JobState::Blocked | v1::JobState::Queued | v1::JobState::Backoff => Told::Waiting(line),
                    _ => Told::Line(line),
                })
            }
            Event::Placed(placed) => Some(self.placed(placed)),
            // Of no job: whoever follows all of them tells it by `told_of_worker`.
            Event::Worker(_) => None,
            Event::Report(report) => self.report(event.at_ms, report.body.as_ref()?),
        }
    }

    fn placed(&self, placed: &v1::Placement) -> Told {
        if placed.worker.is_empty() {
            return Told::Waiting(format!("waits: {}", placed.reason));
        }
        let variant = self.variants.get(placed.variant as usize).map_or("?", String::as_str);
        Told::Waiting(format!("placed on {} as {variant}: {}", placed.worker, placed.reason))
    }

    fn report(&mut self, at_ms: u64, body: &Body) -> Option<Told> {
        match body {
            Body::Started(started) => {
                self.started = Some((started.resumed_at, at_ms));
                Some(Told::Waiting(render_started(started)))
            }
            Body::Step(step) => Some(Told::Progress {
                at: Position { done: step.iter, total: step.iters, unit: "iter".to_owned() },
                text: render_step(step, self.eta_ms(at_ms, step.iter, step.iters)),
            }),
            Body::Validation(validation) => {
                let before = self.validation.replace(validation.loss);
                let was = before.map(|before| format!(" (was {})", loss(before))).unwrap_or_default();
                Some(Told::Line(format!("validation at {}: loss {}{was}", validation.iter, loss(validation.loss))))
            }
            // A service's, which comes to no end.
            Body::Progress(it) if it.total == 0 => {
                Some(Told::Line(format!("{} {} answered, peak {}", count(it.done), it.unit, Bytes(it.peak_bytes))))
            }
            Body::Progress(it) => Some(Told::Progress {
                at: Position { done: it.done, total: it.total, unit: it.unit.clone() },
                text: Bytes(it.peak_bytes).to_string(),
            }),
            Body::Measured(measured) => Some(Told::Line(measured_line(measured))),
            Body::Serving(it) => Some(Told::Line(format!("answers at {} as {}", it.url, it.models.join(", ")))),
            Body::Checkpoint(checkpoint) => Some(Told::Line(format!("checkpoint at {}", checkpoint.iter))),
            Body::Finished(finished) => finished_line(finished).map(Told::Line),
            Body::Warning(warning) => Some(Told::Line(format!("warning: {}", warning.text))),
            // `vertigo logs` has them.
            Body::Log(_) => None,
        }
    }

    /// Milliseconds to the end at the pace since the attempt began, validations and all.
    fn eta_ms(&self, at_ms: u64, iter: u64, iters: u64) -> Option<u64> {
        let (from, since) = self.started?;
        let done = iter.checked_sub(from).filter(|&done| done > 0)?;
        let spent = u128::from(at_ms.saturating_sub(since));
        u64::try_from(spent * u128::from(iters.saturating_sub(iter)) / u128::from(done)).ok()
    }
}

/// A state and why, where the reason says more than the state.
pub(crate) fn with_reason(state: &str, reason: &str) -> String {
    match reason.strip_prefix(state) {
        _ if reason.is_empty() => state.to_owned(),
        // "cancelled by mac-laptop" says the state itself.
        Some(rest) if rest.is_empty() || rest.starts_with(" by ") => reason.to_owned(),
        _ => format!("{state}: {reason}"),
    }
}

/// What somebody did with a worker, and its name, where the event says that.
pub(crate) fn told_of_worker(event: &JobEvent) -> Option<(&str, String)> {
    let Some(Event::Worker(of)) = &event.event else { return None };
    let by = who::told_by(&event.by);
    let line = match of.act() {
        v1::WorkerAct::Unspecified => return None,
        v1::WorkerAct::Held => with_reason(&format!("held{by}"), &event.reason),
        v1::WorkerAct::Resumed => format!("takes work again, resumed{by}"),
        v1::WorkerAct::Removed => format!("removed{by}"),
        v1::WorkerAct::Set => with_reason(&format!("told its policy{by}"), &event.reason),
        v1::WorkerAct::StartedAnew => format!("told to start anew{by}"),
    };
    Some((&of.worker, line))
}

/// A number that was measured, as precise as it is large.
fn measured_line(measured: &v1::Measured) -> String {
    let (name, value) = (measured.name.replace('_', " "), measured.value);
    // What is counted has no decimals.
    if name.starts_with("rows ") { format!("{name}: {value}") } else { format!("{name}: {value:.4}") }
}

fn render_started(started: &v1::Started) -> String {
    if started.iters == 0 {
        // Nothing is trained.
        return "begun: its inputs are there".to_owned();
    }
    let mut text = format!(
        "training {} parameters on {} examples, {} held out",
        count(started.trainable_parameters),
        started.train_examples,
        started.valid_examples
    );
    if started.skipped_examples > 0 {
        text += &format!(", {} skipped", started.skipped_examples);
    }
    if started.resumed_at > 0 {
        text += &format!("; goes on after iteration {}", started.resumed_at);
    }
    // Those left out are counted in the line above; why they are is told where there is more to say.
    let is_overlong = started.caveats.is_some_and(|caveats| caveats.overlong_examples > 0);
    let skipped = if is_overlong { started.skipped_examples } else { 0 };
    for line in Caveats::from_message(skipped, started.caveats.as_ref()).lines() {
        text += &format!("\n  {line}");
    }
    text
}

fn render_step(step: &v1::Step, eta_ms: Option<u64>) -> String {
    let mut text = format!("loss {}  {:.0} tok/s  {}", loss(step.loss), step.tokens_per_second, Bytes(step.peak_bytes));
    if let Some(ms) = eta_ms.filter(|_| step.iter < step.iters) {
        text += &format!("  {} left", duration(ms));
    }
    text
}

/// Success is told by the job's own end.
fn finished_line(finished: &v1::Finished) -> Option<String> {
    let Some(v1::finished::Outcome::Failure(failure)) = &finished.outcome else { return None };
    if failure.code == GIVEN_BACK {
        // What follows from it says the rest.
        return None;
    }
    Some(format!("the attempt failed ({}): {}", failure.code.replace('_', " "), failure.message))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::jobs;

    fn report(seq: u64, at_ms: u64, body: Body) -> JobEvent {
        let report = v1::Report { number: seq, at_ms, body: Some(body) };
        JobEvent { seq, at_ms, epoch: 1, event: Some(Event::Report(report)), ..Default::default() }
    }

    fn state(seq: u64, state: v1::JobState, reason: &str) -> JobEvent {
        JobEvent { seq, event: Some(Event::State(state.into())), reason: reason.to_owned(), ..Default::default() }
    }

    fn step(iter: u64, loss: f64) -> Body {
        Body::Step(v1::Step {
            iter,
            iters: 60,
            loss,
            tokens_per_second: 431.7,
            peak_bytes: 310 << 20,
            ..Default::default()
        })
    }

    /// All that a pipe would show.
    fn told(events: &[JobEvent]) -> String {
        let mut narrator = Narrator::new(&jobs::tests::job());
        events.iter().filter_map(|event| narrator.tell(event)).map(|told| told.line() + "\n").collect()
    }

    #[test]
    fn who_asked_is_said_where_it_is_another_machine() {
        let by = |state: v1::JobState, by: &str, reason: &str| JobEvent {
            event: Some(Event::State(state.into())),
            by: by.to_owned(),
            reason: reason.to_owned(),
            ..Default::default()
        };
        let events = [
            by(v1::JobState::Queued, "local", ""),
            by(v1::JobState::Queued, "mac-laptop", ""),
            by(v1::JobState::Blocked, "mac-laptop", "waits for luau"),
            by(v1::JobState::Cancelled, "phone", "cancelled by phone"),
            by(v1::JobState::Cancelled, "local", "cancelled"),
        ];
        insta::assert_snapshot!(told(&events), @r"
        queued
        queued by mac-laptop
        blocked by mac-laptop: waits for luau
        cancelled by phone
        cancelled
        ");
    }

    #[test]
    fn what_is_done_with_a_worker_is_told_of_no_job() {
        let done = |act: v1::WorkerAct, by: &str, reason: &str| {
            let of = v1::WorkerEvent { worker: "studio".to_owned(), act: act.into(), ..Default::default() };
            let (event, by, reason) = (Some(Event::Worker(of)), by.to_owned(), reason.to_owned());
            let event = JobEvent { event, by, reason, ..Default::default() };
            assert_eq!(told(std::slice::from_ref(&event)), "");
            told_of_worker(&event).map(|(worker, line)| format!("{worker}: {line}"))
        };
        let held = done(v1::WorkerAct::Held, "mac-laptop", "a new disk");
        assert_eq!(held.as_deref(), Some("studio: held by mac-laptop: a new disk"));
        let resumed = done(v1::WorkerAct::Resumed, "phone", "");
        assert_eq!(resumed.as_deref(), Some("studio: takes work again, resumed by phone"));
        assert_eq!(done(v1::WorkerAct::Removed, "local", "").as_deref(), Some("studio: removed"));
        let set = done(v1::WorkerAct::Set, "mac-laptop", "on-ac and idle > 15m");
        assert_eq!(set.as_deref(), Some("studio: told its policy by mac-laptop: on-ac and idle > 15m"));
        assert_eq!(
            done(v1::WorkerAct::StartedAnew, "phone", "").as_deref(),
            Some("studio: told to start anew by phone")
        );
        assert_eq!(done(v1::WorkerAct::Unspecified, "local", ""), None);
    }

    #[test]
    fn a_job_that_is_lost_and_goes_on_reads_as_what_happened() {
        let placed = |worker: &str, reason: &str| JobEvent {
            event: Some(Event::Placed(v1::Placement {
                worker: worker.to_owned(),
                variant: 1,
                reason: reason.to_owned(),
            })),
            ..Default::default()
        };
        let started = |resumed_at, skipped_examples| {
            Body::Started(v1::Started {
                trainable_parameters: 2_880_000,
                train_examples: 97,
                valid_examples: 8,
                skipped_examples,
                resumed_at,
                iters: 60,
                caveats: Some(v1::Caveats {
                    cut_examples: skipped_examples * 4,
                    cut_tokens: skipped_examples * 280,
                    cut_ends: skipped_examples * 3,
                    leftover_micro_batches: skipped_examples,
                    ..Default::default()
                }),
            })
        };
        let failure = v1::Failure {
            cure: v1::Cure::MoreMemory.into(),
            message: "MLX asked for 40 GiB".to_owned(),
            code: "out_of_memory".to_owned(),
            ..v1::Failure::default()
        };
        let events = [
            state(1, v1::JobState::Queued, ""),
            placed("studio", "4b-full needs 400 MiB and fits studio, which has 1.0 GiB free"),
            state(3, v1::JobState::Leased, ""),
            report(4, 10_000, started(0, 3)),
            report(5, 10_000, Body::Validation(v1::Validation { iter: 0, loss: 7.7012, tokens: 900 })),
            report(6, 20_000, step(10, 7.1)),
            report(7, 20_500, Body::Log(v1::LogLine { text: "not shown".to_owned() })),
            report(8, 31_000, Body::Checkpoint(v1::Checkpoint { iter: 20, ..Default::default() })),
            report(8, 32_000, Body::Warning(v1::Warning { text: "no checkpoint at 30: disk full".to_owned() })),
            state(9, v1::JobState::Queued, "attempt 1 lost: no heartbeat for 30s"),
            placed("", "4b-full (400 MiB) fits book, but book is busy"),
            placed("book", "4b-full needs 400 MiB and fits book, which has 600 MiB free"),
            report(12, 60_000, started(20, 0)),
            report(13, 70_000, step(40, 5.9)),
            report(14, 80_000, step(60, 5.5)),
            report(15, 81_000, Body::Validation(v1::Validation { iter: 60, loss: 5.2, tokens: 900 })),
            report(
                16,
                82_000,
                Body::Finished(v1::Finished {
                    outcome: Some(v1::finished::Outcome::Failure(failure)),
                    ..Default::default()
                }),
            ),
            state(17, v1::JobState::Succeeded, ""),
        ];
        insta::assert_snapshot!(told(&events), @r"
        queued
        placed on studio as 4b-full: 4b-full needs 400 MiB and fits studio, which has 1.0 GiB free
        training 2.9 M parameters on 97 examples, 8 held out, 3 skipped
          12 examples cut at max_seq_length: 840 tokens lost; a turn that lost its end in 9, not learned
          the last 3 micro-batches of the run: no optimizer step follows
        validation at 0: loss 7.701
        iter 10/60  loss 7.100  432 tok/s  310 MiB  50s left
        checkpoint at 20
        warning: no checkpoint at 30: disk full
        queued: attempt 1 lost: no heartbeat for 30s
        waits: 4b-full (400 MiB) fits book, but book is busy
        placed on book as 4b-full: 4b-full needs 400 MiB and fits book, which has 600 MiB free
        training 2.9 M parameters on 97 examples, 8 held out; goes on after iteration 20
        iter 40/60  loss 5.900  432 tok/s  310 MiB  10s left
        iter 60/60  loss 5.500  432 tok/s  310 MiB
        validation at 60: loss 5.200 (was 7.701)
        the attempt failed (out of memory): MLX asked for 40 GiB
        succeeded
        ");
    }

    #[test]
    fn what_is_left_is_reckoned_from_this_attempts_pace() {
        let mut narrator = Narrator::new(&v1::Job::default());
        assert_eq!(narrator.eta_ms(0, 10, 60), None);
        narrator.started = Some((20, 1_000));
        assert_eq!(narrator.eta_ms(11_000, 40, 60), Some(10_000));
        assert_eq!(narrator.eta_ms(11_000, 20, 60), None, "nothing is done yet");
        assert_eq!(narrator.eta_ms(0, 40, 60), Some(0), "a clock that went back");
    }

    #[test]
    fn a_bar_with_its_text_fits_eighty_columns() {
        let step = v1::Step {
            iter: 10_000,
            iters: 99_999,
            loss: 12.345,
            tokens_per_second: 12_345.6,
            peak_bytes: 27_300_000_000,
            ..Default::default()
        };
        let text =
            format!("{} {}/{} {}", "━".repeat(16), step.iter, step.iters, render_step(&step, Some(86_400_000 * 3)));
        assert!(text.chars().count() <= 80, "{text}");
    }
}
