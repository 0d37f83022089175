//! What must be true of a history as it is read afterwards: the journal beside what the played children said.

use crate::client::Client;
use crate::witness::{Seen, Witness, is_final, words};
use std::collections::{BTreeMap, BTreeSet};
use vertigo::v1::job_event::Event;
use vertigo::v1::{self, JobState};

/// A job's journal, read by its rules.
#[derive(Debug, Default)]
struct Reading {
    state: Option<JobState>,
    epoch: u64,
    /// By epoch: what was journalled of its attempt, in order.
    reports: BTreeMap<u64, Vec<String>>,
    problems: Vec<String>,
}

/// Checks a history whose jobs have ended. Gives how many jobs and attempts there were.
pub(crate) async fn check(operator: &Client, witness: &Witness) -> (usize, usize) {
    let mut journals = BTreeMap::new();
    let mut jobs = BTreeMap::new();
    for job in operator.list().await {
        let job = operator.get(&job.id).await;
        if is_final(job.state()) {
            journals.insert(job.id.clone(), operator.journal(&job.id).await);
        }
        jobs.insert(job.id.clone(), job);
    }
    let artifacts = operator.artifacts().await;
    let whole = operator.whole_journal().await;
    let mut problems = Vec::new();
    {
        let seen = witness.seen();
        for (id, journal) in &journals {
            let reading = read(journal);
            problems.extend(reading.problems.iter().map(|problem| format!("{problem} (job {id})")));
            problems.extend(compare(&jobs[id], &reading, &seen));
        }
        problems.extend(jobs.values().flat_map(|job| graph(job, &jobs)));
        problems.extend(visible(&artifacts, &jobs, &seen));
        problems.extend(order(&journals, &jobs));
        problems.extend(held(&whole, &seen));
    }
    for event in journals.values().flatten() {
        witness.note(format!("journal {}", told(event)));
    }
    let attempts = jobs.values().map(|job| job.attempts.len()).sum();
    problems.into_iter().for_each(|problem| witness.violation(problem));
    (jobs.len(), attempts)
}

fn told(event: &v1::JobEvent) -> String {
    let what = match &event.event {
        Some(Event::State(_) | Event::Worker(_)) => format!("{:?}", event.event),
        Some(Event::Placed(placed)) => format!("placed on {}", placed.worker),
        Some(Event::Report(report)) => {
            format!("{} {}", report.number, report.body.as_ref().map_or_else(String::new, words))
        }
        None => "nothing".to_owned(),
    };
    format!("{} {} epoch {}: {what} {}", event.seq, event.job_id, event.epoch, event.reason)
}

/// Promises 1, 2 and 3, and that reports are journalled once and in order.
fn read(journal: &[v1::JobEvent]) -> Reading {
    let (mut reading, mut before) = (Reading::default(), 0);
    for event in journal {
        let mut problem = |text: String| reading.problems.push(format!("{text}: {}", told(event)));
        if event.seq <= before {
            problem("the journal is out of order".to_owned());
        }
        before = event.seq;
        if reading.state.is_some_and(is_final) {
            problem("promise 2: something happens to a job that has ended".to_owned());
        }
        match &event.event {
            Some(Event::State(state)) => {
                let state = JobState::try_from(*state).unwrap_or_default();
                if reading.state == Some(JobState::Leased) && state == JobState::Leased {
                    problem("promise 1: leased twice".to_owned());
                }
                reading.state = Some(state);
            }
            Some(Event::Placed(_)) => {
                if event.epoch != reading.epoch + 1 {
                    problem(format!("promise 1: after epoch {}", reading.epoch));
                }
                reading.epoch = event.epoch;
            }
            Some(Event::Report(report)) => {
                if event.epoch != reading.epoch || reading.state != Some(JobState::Leased) {
                    problem(format!("promise 3: in epoch {} and state {:?}", reading.epoch, reading.state));
                }
                let reports = reading.reports.entry(event.epoch).or_default();
                let is_next = report.number == reports.len() as u64 + 1;
                reports.push(report.body.as_ref().map_or_else(String::new, words));
                if !is_next {
                    reading.problems.push(format!("a report is journalled out of turn: {}", told(event)));
                }
            }
            Some(Event::Worker(_)) => problem("what befell a worker is in a job's journal".to_owned()),
            None => problem("an empty event".to_owned()),
        }
    }
    reading
}

/// The journal beside what children said, workers were told and clients were shown.
fn compare(job: &v1::Job, reading: &Reading, seen: &Seen) -> Vec<String> {
    let (id, mut problems) = (&job.id, Vec::new());
    if reading.state != Some(job.state()) {
        problems.push(format!("job {id} is {:?}, and its journal ends with {:?}", job.state(), reading.state));
    }
    for (epoch, journalled) in &reading.reports {
        let Some(given) = seen.given.get(&(id.clone(), *epoch)) else {
            problems.push(format!("promise 3: job {id} has reports of epoch {epoch}, which nobody was given"));
            continue;
        };
        let said = seen.said.get(&given.attempt).cloned().unwrap_or_default();
        if !said.starts_with(journalled) {
            problems.push(format!("attempt {} said {said:?}, and the journal has {journalled:?}", given.attempt));
        }
    }
    for ((_, epoch), given) in seen.given.iter().filter(|((of, _), _)| of == id) {
        let (acked, kept) = (seen.acked.get(&given.attempt), reading.reports.get(epoch).map_or(0, Vec::len));
        if acked.is_some_and(|acked| *acked > kept as u64) {
            problems.push(format!("{} was told that {acked:?} reports are taken, and {kept} are", given.attempt));
        }
        if *epoch > reading.epoch {
            problems.push(format!("{} was given epoch {epoch} of job {id}, and there is none", given.process));
        }
    }
    let last = reading.reports.get(&reading.epoch).and_then(|reports| reports.last());
    let has_finished = last.is_some_and(|last| last.starts_with("finished"));
    if (job.state() == JobState::Succeeded) != has_finished {
        problems.push(format!("job {id} is {:?}, and the last of its reports is {last:?}", job.state()));
    }
    let maker = seen.given.get(&(id.clone(), reading.epoch)).map(|given| &given.attempt);
    for output in job.outputs.iter().filter(|output| seen.made.get(&output.digest) != maker) {
        problems.push(format!("promise 6: output {} of job {id} is not what its last attempt made", output.role));
    }
    problems
}

/// Promises 9 and 11, and that an attempt was given what its sources made.
fn graph(job: &v1::Job, jobs: &BTreeMap<String, v1::Job>) -> Vec<String> {
    let mut problems = Vec::new();
    for input in job.variants.iter().flat_map(|variant| &variant.inputs).filter(|input| !input.job.is_empty()) {
        let (id, source) = (&job.id, &input.job);
        // Ids count up as jobs are submitted.
        if source >= id {
            problems.push(format!("promise 9: job {id} reads {source}, which is not older"));
        }
        let Some(source) = jobs.get(source) else {
            problems.push(format!("promise 9: job {id} reads {source}, which is not there"));
            continue;
        };
        let is_made = source.state() == JobState::Succeeded;
        if !is_made && is_final(source.state()) && (job.state() == JobState::Succeeded || !job.attempts.is_empty()) {
            problems.push(format!("promise 11: job {id} is {:?} without what it reads", job.state()));
        }
        let made = source.outputs.first().map(|output| &output.digest);
        if !input.digest.is_empty() && made != Some(&input.digest) {
            problems.push(format!("promise 10: job {id} reads another {} than its source made", input.role));
        }
    }
    problems
}

/// Promise 6: what there is was made by a success, or is a checkpoint that was journalled; and no success lacks what it made.
fn visible(artifacts: &[v1::Artifact], jobs: &BTreeMap<String, v1::Job>, seen: &Seen) -> Vec<String> {
    let mut problems = Vec::new();
    let outputs: BTreeSet<&str> = jobs.values().flat_map(|job| &job.outputs).map(|output| &*output.digest).collect();
    let there: BTreeSet<&str> = artifacts.iter().map(|artifact| &*artifact.digest).collect();
    problems.extend(outputs.difference(&there).map(|digest| format!("promise 6: output {digest} is not there")));
    for artifact in artifacts {
        let is_output = matches!(&*artifact.kind, "adapter" | "model");
        if is_output && !outputs.contains(&*artifact.digest) {
            problems.push(format!("promise 6: {} {} is there without a success", artifact.kind, artifact.digest));
        }
        if artifact.kind == "checkpoint" && !seen.made.contains_key(&artifact.digest) {
            problems.push(format!("promise 6: checkpoint {} was made by nobody", artifact.digest));
        }
    }
    for job in jobs.values().filter(|job| job.state() == JobState::Succeeded && job.outputs.is_empty()) {
        problems.push(format!("promise 6: job {} has succeeded with nothing", job.id));
    }
    problems
}

/// Promise 16: nothing is placed on a worker that a person holds. Of a machine that was set up anew the journal has two workers by one
/// name.
fn held(journal: &[v1::JobEvent], seen: &Seen) -> Vec<String> {
    let (mut held, mut problems): (BTreeSet<&str>, _) = (BTreeSet::new(), Vec::new());
    for event in journal {
        match &event.event {
            Some(Event::Worker(it)) if it.act() == v1::WorkerAct::Held && !event.by.is_empty() => {
                held.insert(&it.worker);
            }
            Some(Event::Worker(it)) => drop(held.remove(&*it.worker)),
            Some(Event::Placed(it)) if held.contains(&*it.worker) && !seen.anew.contains(&it.worker) => {
                problems.push(format!("promise 16: {} is held, and is given job {}", it.worker, event.job_id));
            }
            _ => {}
        }
    }
    problems
}

/// Promise 7, of what can be told from outside: of fresh jobs of one recipe and one priority, none overtakes an older one.
fn order(journals: &BTreeMap<String, Vec<v1::JobEvent>>, jobs: &BTreeMap<String, v1::Job>) -> Vec<String> {
    let mut events: Vec<&v1::JobEvent> = journals.values().flatten().collect();
    events.sort_by_key(|event| event.seq);
    let is_plain = |job: &v1::Job| {
        job.variants.iter().all(|it| it.name == "small" && it.inputs.iter().all(|input| input.job.is_empty()))
    };
    // By priority: fresh jobs that wait, by age.
    let mut waiting: BTreeMap<i32, BTreeSet<(u64, &str)>> = BTreeMap::new();
    let mut problems = Vec::new();
    for event in events {
        let Some(job) = jobs.get(&event.job_id).filter(|job| is_plain(job)) else { continue };
        let (waiting, age) = (waiting.entry(job.priority).or_default(), (job.created_ms, &*job.id));
        match &event.event {
            Some(Event::State(state)) if *state == i32::from(JobState::Queued) && event.epoch == 0 => {
                waiting.insert(age);
            }
            Some(Event::Placed(_)) if event.epoch == 1 => {
                if let Some(older) = waiting.first().filter(|older| **older < age) {
                    problems.push(format!("promise 7: job {} overtakes {}", job.id, older.1));
                }
                waiting.remove(&age);
            }
            Some(Event::State(_)) => drop(waiting.remove(&age)),
            _ => {}
        }
    }
    problems
}
