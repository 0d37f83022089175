//! The judge, who sees what anybody sees from outside: the list of jobs, the journal, artifacts; and knows what was asked and answered.

use crate::journal::broken_laws;
use crate::ledger::Submission;
use crate::load::{Load, has_ended};
use crate::made::{References, UNDISTURBED, difference, made, manifest, variant};
use crate::works::WORKS;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tokio_stream::StreamExt;
use vertigo::endpoint::Endpoint;
use vertigo::id::{Digest, JobId};
use vertigo::v1::job_event::Event;
use vertigo::v1::jobs_client::JobsClient;
use vertigo::v1::report::Body;
use vertigo::v1::{
    self, AttemptState, CancelRequest, GetJobRequest, JobEvent, JobState, ListJobsRequest, WatchRequest,
};
use vertigo_tests::channel;

/// How long the journal may take to be read.
const READ: Duration = Duration::from_secs(120);

/// Crashes in a row that fail a job: `CRASH_LIMIT` of the coordinator's core.
const CRASHES: usize = 3;

/// What was found.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    pub(crate) jobs: usize,
    pub(crate) succeeded: usize,
    pub(crate) cancelled: usize,
    /// Failed because the campaign killed their children too often in a row, as it should be.
    pub(crate) failed: usize,
    pub(crate) attempts: usize,
    /// Those that went on from a checkpoint.
    pub(crate) resumed: usize,
    pub(crate) lost: Vec<String>,
    pub(crate) doubled: Vec<String>,
    pub(crate) different: Vec<String>,
    pub(crate) problems: Vec<String>,
}

/// All jobs, newest first.
///
/// # Errors
/// That they cannot be listed.
pub(crate) async fn jobs(endpoint: &Endpoint) -> Result<Vec<v1::Job>, String> {
    let (mut client, mut jobs, mut token) = (JobsClient::new(channel(endpoint)), Vec::new(), String::new());
    loop {
        let request = ListJobsRequest { page_size: 500, page_token: token, ..ListJobsRequest::default() };
        let page = client.list(request).await.map_err(|status| status.to_string())?.into_inner();
        jobs.extend(page.jobs);
        token = page.next_page_token;
        if token.is_empty() {
            return Ok(jobs);
        }
    }
}

/// The whole journal: up to the end of a job that is queued and cancelled for that.
async fn journal(load: &Load) -> Result<(Vec<JobEvent>, String), String> {
    let told = |status: tonic::Status| format!("the journal: {status}");
    let mut client = JobsClient::new(channel(&load.direct));
    let id = JobId::new().to_string();
    let job = crate::load::training(&id, "the-last");
    client.submit(v1::SubmitRequest { jobs: vec![job] }).await.map_err(told)?;
    client.cancel(CancelRequest { id: id.clone(), ..CancelRequest::default() }).await.map_err(told)?;
    let request = WatchRequest::default();
    let mut stream = client.watch(request).await.map_err(told)?.into_inner();
    let mut events = Vec::new();
    while let Some(event) = stream.next().await {
        let event = event.map_err(told)?;
        let is_last = event.job_id == id
            && matches!(event.event, Some(Event::State(state)) if JobState::try_from(state).is_ok_and(has_ended));
        events.push(event);
        if is_last {
            return Ok((events, id));
        }
    }
    Err("the journal ended before its last job".to_owned())
}

/// Judges everything.
pub(crate) async fn judge(load: &Load, references: &References, killed: &BTreeSet<String>) -> Findings {
    let mut findings = Findings::default();
    let (events, last) = match tokio::time::timeout(READ, journal(load)).await {
        Ok(Ok(read)) => read,
        Ok(Err(problem)) => return Findings { problems: vec![problem], ..findings },
        Err(_) => return Findings { problems: vec![format!("the journal was not read in {READ:?}")], ..findings },
    };
    findings.problems.extend(broken_laws(&events));
    findings.resumed = events.iter().filter(|event| is_resumed(event)).count();
    let told: BTreeSet<&str> = events.iter().map(|event| event.job_id.as_str()).collect();
    let all = match jobs(&load.direct).await {
        Ok(all) => all.into_iter().filter(|job| job.id != last).collect::<Vec<_>>(),
        Err(problem) => return Findings { problems: vec![problem], ..findings },
    };
    findings.jobs = all.len();
    for job in all.iter().filter(|job| !told.contains(job.id.as_str())) {
        findings.lost.push(format!("job {} is listed and has no event", job.id));
    }
    let mut by_name: BTreeMap<&str, Vec<&v1::Job>> = BTreeMap::new();
    all.iter().for_each(|job| by_name.entry(&job.name).or_default().push(job));
    for (name, jobs) in by_name.iter().filter(|(_, jobs)| jobs.len() > 1) {
        findings.doubled.push(format!("{name} was queued {} times", jobs.len()));
    }
    let (submissions, imports) = {
        let entries = load.ledger.open();
        (entries.submissions.clone(), entries.imports.clone())
    };
    for submission in &submissions {
        let named = |key: &&'static str| by_name.get(format!("{}-{key}", submission.run).as_str()).map(|jobs| jobs[0]);
        let found: BTreeMap<&'static str, &v1::Job> =
            submission.keys.iter().filter_map(|key| Some((*key, named(key)?))).collect();
        is_there(submission, &found, &mut findings);
        outcome(load, submission, &found, references, killed, &mut findings).await;
    }
    let mut known: BTreeSet<String> = BTreeSet::new();
    for submission in &submissions {
        known.extend(submission.keys.iter().map(|key| format!("{}-{key}", submission.run)));
    }
    for job in all.iter().filter(|job| !known.contains(&job.name) && !job.name.starts_with(UNDISTURBED)) {
        findings.problems.push(format!("nobody has submitted {} ({})", job.name, job.id));
    }
    for import in imports {
        let problem = match manifest(&load.direct, &import.tag).await {
            Err(problem) => Some(problem),
            Ok(manifest) if manifest.digest().to_string() != import.digest => {
                Some(format!("tag {} names {} and not {}", import.tag, manifest.digest(), import.digest))
            }
            Ok(manifest) => manifest.files().iter().find_map(|file| {
                let bytes = std::fs::read(import.folder.join(file.path.as_str())).ok()?;
                (Digest::of(&bytes) != file.digest).then(|| format!("{}: {} is another file", import.tag, file.path))
            }),
        };
        findings.lost.extend(problem);
    }
    findings
}

/// Whether an attempt says that it goes on from a checkpoint.
fn is_resumed(event: &JobEvent) -> bool {
    matches!(vertigo_tests::said(event), Some(Body::Started(started)) if started.resumed_at > 0)
}

/// Whether what was answered is there, and what was not is there whole or not at all.
fn is_there(submission: &Submission, found: &BTreeMap<&'static str, &v1::Job>, findings: &mut Findings) {
    let run = &submission.run;
    for (key, id) in &submission.ids {
        match found.get(key) {
            None => findings.lost.push(format!("{run}-{key} was answered as {id} and is not there")),
            Some(job) if job.id != *id => {
                findings.doubled.push(format!("{run}-{key} was answered as {id} and is there as {}", job.id));
            }
            Some(_) => {}
        }
    }
    if !found.is_empty() && found.len() < submission.keys.len() {
        let keys: Vec<_> = found.keys().collect();
        findings.problems.push(format!("of {run} only {keys:?} were queued"));
    }
}

/// Whether each job of a submission ended as it should.
async fn outcome(
    load: &Load,
    submission: &Submission,
    found: &BTreeMap<&'static str, &v1::Job>,
    references: &References,
    killed: &BTreeSet<String>,
    findings: &mut Findings,
) {
    let mut client = JobsClient::new(channel(&load.direct));
    let (mut recipe, mut has_failed) = (String::new(), false);
    for key in &submission.keys {
        let Some(job) = found.get(key) else { continue };
        let job = match client.get(GetJobRequest { id: job.id.clone() }).await {
            Ok(job) => job.into_inner(),
            Err(status) => {
                findings.lost.push(format!("job {}: {status}", job.id));
                continue;
            }
        };
        let name = format!("{} ({} of {})", job.name, job.id, WORKS[submission.work].name);
        findings.attempts += job.attempts.len();
        findings.problems.extend(broken_attempts(&job).into_iter().map(|law| format!("{name}: {law}")));
        if *key == "train" {
            recipe = variant(&job);
        }
        match job.state() {
            JobState::Succeeded => {
                findings.succeeded += 1;
                let expected = references.get(&(submission.work, *key, recipe.clone()));
                let different = match (expected, made(&load.direct, &job).await) {
                    (Some(expected), Ok(found)) => difference(expected, &found),
                    (None, _) => Some(format!("nobody knows what it makes as `{recipe}`")),
                    (_, Err(problem)) => Some(problem),
                };
                findings.different.extend(different.map(|told| format!("{name} as {recipe}: {told}")));
            }
            JobState::Cancelled if submission.may_be_cancelled => findings.cancelled += 1,
            JobState::Failed if has_failed || is_explained(&job, killed) => {
                (has_failed, findings.failed) = (true, findings.failed + 1);
            }
            state => findings.problems.push(format!("{name}: {state:?}: {}", job.reason)),
        }
    }
}

/// Whether a job failed because its child was killed as often in a row as the coordinator bears.
fn is_explained(job: &v1::Job, killed: &BTreeSet<String>) -> bool {
    let crashed = job.attempts.iter().rev().filter(|attempt| attempt.state() == AttemptState::Failed);
    let crashed: Vec<_> = crashed.take(CRASHES).collect();
    crashed.len() == CRASHES && crashed.iter().all(|attempt| killed.contains(&attempt.id))
}

/// What of a job's attempts is against the law.
fn broken_attempts(job: &v1::Job) -> Vec<String> {
    let mut broken = Vec::new();
    let count = |state| job.attempts.iter().filter(|attempt| attempt.state() == state).count();
    let expected = usize::from(job.state() == JobState::Succeeded);
    if count(AttemptState::Succeeded) != expected {
        broken.push(format!("{} attempts succeeded", count(AttemptState::Succeeded)));
    }
    if has_ended(job.state()) && count(AttemptState::Running) > 0 {
        broken.push("an attempt runs on".to_owned());
    }
    if !job.attempts.windows(2).all(|pair| pair[0].epoch < pair[1].epoch) {
        broken.push(format!("epochs {:?}", job.attempts.iter().map(|attempt| attempt.epoch).collect::<Vec<_>>()));
    }
    broken
}
