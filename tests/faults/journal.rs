//! The laws of a job's journal, held against events that were read from outside: a pure function.

use crate::load::has_ended;
use std::collections::BTreeMap;
use vertigo::v1::job_event::Event;
use vertigo::v1::report::Body;
use vertigo::v1::{JobEvent, JobState};

/// What of the journal is against the law: positions that do not rise, a job that has ended twice or not at all or goes on after its end,
/// epochs that fall or are given twice, reports that come twice or in another order.
pub(crate) fn broken_laws(events: &[JobEvent]) -> Vec<String> {
    let mut broken = Vec::new();
    let mut of_jobs: BTreeMap<&str, Vec<&JobEvent>> = BTreeMap::new();
    let mut last = 0;
    for event in events {
        if event.seq <= last {
            broken.push(format!("journal: event {} comes after {last}", event.seq));
        }
        last = event.seq;
        of_jobs.entry(&event.job_id).or_default().push(event);
    }
    for (job, events) in of_jobs {
        broken.extend(of_job(&events).into_iter().map(|law| format!("job {job}: {law}")));
    }
    broken
}

fn of_job(events: &[&JobEvent]) -> Vec<String> {
    let mut broken = Vec::new();
    let ends = events.iter().filter(|event| is_end(event)).count();
    if ends != 1 {
        broken.push(format!("its journal has {ends} ends"));
    }
    if ends > 0 && !events.last().is_some_and(|event| is_end(event)) {
        broken.push("its journal goes on after its end".to_owned());
    }
    let (mut epoch, mut placed, mut number, mut iter) = (0, 0, 0, 0);
    for event in events {
        if event.epoch < epoch {
            broken.push(format!("event {}: epoch {} after {epoch}", event.seq, event.epoch));
        }
        if event.epoch > epoch {
            (epoch, number, iter) = (event.epoch, 0, 0);
        }
        match &event.event {
            // Without a worker it is the reason why a job waits.
            Some(Event::Placed(placement)) if placement.worker.is_empty() => {}
            Some(Event::Placed(_)) if event.epoch <= placed => {
                broken.push(format!("event {}: epoch {} is given twice", event.seq, event.epoch));
            }
            Some(Event::Placed(_)) => placed = event.epoch,
            Some(Event::Report(report)) => {
                if event.epoch != placed {
                    broken.push(format!(
                        "event {}: a report of epoch {}, and {placed} was given",
                        event.seq, event.epoch
                    ));
                }
                if report.number <= number {
                    broken.push(format!("event {}: report {} after {number}", event.seq, report.number));
                }
                number = report.number;
                if let Some(Body::Step(step)) = &report.body {
                    if step.iter <= iter {
                        broken.push(format!("event {}: iteration {} after {iter}", event.seq, step.iter));
                    }
                    iter = step.iter;
                }
            }
            _ => {}
        }
    }
    broken
}

fn is_end(event: &JobEvent) -> bool {
    matches!(event.event, Some(Event::State(state)) if JobState::try_from(state).is_ok_and(has_ended))
}

#[cfg(test)]
mod tests {
    use super::*;
    use vertigo::v1::{Placement, Report, Step};

    /// A job's life in order.
    fn life() -> Vec<JobEvent> {
        let state = |state: JobState| Event::State(state.into());
        let step = |number, iter| {
            let body = Some(Body::Step(Step { iter, ..Step::default() }));
            Event::Report(Report { number, body, ..Report::default() })
        };
        let placed = || Event::Placed(Placement { worker: "first".to_owned(), ..Placement::default() });
        let told = [
            (0, state(JobState::Queued)),
            (1, placed()),
            (1, step(1, 1)),
            (1, step(2, 2)),
            (1, state(JobState::Backoff)),
            (2, placed()),
            (2, step(1, 2)),
            (2, state(JobState::Succeeded)),
        ];
        let event = |(n, (epoch, event)): (usize, (u64, Event))| JobEvent {
            seq: n as u64 + 1,
            epoch,
            event: Some(event),
            job_id: "a".to_owned(),
            ..JobEvent::default()
        };
        told.into_iter().enumerate().map(event).collect()
    }

    #[test]
    fn a_life_in_order_breaks_no_law_and_each_other_order_does() {
        assert_eq!(broken_laws(&life()), Vec::<String>::new());
        let events = life().len();
        // Any two neighbours changed for one another, but for their positions.
        for at in 0..events - 1 {
            let mut events = life();
            let (a, b) = (events[at].clone(), events[at + 1].clone());
            (events[at], events[at + 1]) = (JobEvent { seq: a.seq, ..b }, JobEvent { seq: a.seq + 1, ..a });
            // Who waits in the state that comes before the placing of the next epoch is of the epoch before.
            assert!(!broken_laws(&events).is_empty() || at == 3, "{at}");
        }
        // Any event twice, but for one that says only that the job waits.
        for at in [1, 2, 3, 5, 6, 7] {
            let mut events = life();
            let again = events[at].clone();
            events.insert(at + 1, again);
            (1..).zip(&mut events).for_each(|(seq, event)| event.seq = seq);
            assert!(!broken_laws(&events).is_empty(), "{at}");
        }
        let mut events = life();
        events.pop();
        assert_eq!(broken_laws(&events), ["job a: its journal has 0 ends"]);
    }
}
