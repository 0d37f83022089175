//! People and programs: they submit graphs of jobs, cancel, look, and ask again when an answer is lost.

use crate::chance::Chance;
use crate::child::artifact;
use crate::network::Channel;
use crate::witness::{Witness, is_final};
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::{sleep, timeout};
use tonic::{Code, Status};
use vertigo::manifest::Kind;
use vertigo::v1::artifacts_client::ArtifactsClient;
use vertigo::v1::fleet_client::FleetClient;
use vertigo::v1::jobs_client::JobsClient;
use vertigo::v1::{self, JobState};

/// How long an answer is waited for.
const PATIENCE: Duration = Duration::from_secs(10);

/// A recipe that trains on every machine.
const SMALL: &str = "model: tiny\nnum_layers: 2\niters: 10\nbatch_size: 1\nmax_seq_length: 64\nlearning_rate: 1e-3\n\
                     lora_parameters: {rank: 2, scale: 2.0, dropout: 0.0}\n";

/// One that needs more memory than any but the largest has.
const LARGE: &str = "model: tiny\nnum_layers: 2\niters: 10\nbatch_size: 64\nmax_seq_length: 4096\nlearning_rate: 1e-3\n\
                     lora_parameters: {rank: 2, scale: 2.0, dropout: 0.0}\n";

#[derive(Clone)]
pub(crate) struct Client {
    pub(crate) channel: Channel,
    pub(crate) chance: Chance,
    pub(crate) witness: Witness,
    /// Counts jobs, for all clients.
    pub(crate) jobs: Arc<AtomicU64>,
}

/// Whether the same request, asked again, would be answered alike.
fn is_definite(status: &Status) -> bool {
    use Code::{AlreadyExists, FailedPrecondition, InvalidArgument, NotFound};
    [InvalidArgument, FailedPrecondition, NotFound, AlreadyExists].contains(&status.code())
}

impl Client {
    fn api(&self) -> JobsClient<Channel> {
        JobsClient::new(self.channel.clone())
    }

    /// Asks until there is an answer that asking again would not change.
    async fn ask<T, F: Future<Output = Result<tonic::Response<T>, Status>>>(
        &self,
        call: impl Fn(JobsClient<Channel>) -> F,
    ) -> Result<T, Status> {
        loop {
            let mut client = self.api();
            client = client.max_decoding_message_size(64 << 20);
            match timeout(PATIENCE, call(client)).await {
                Ok(Ok(answer)) => return Ok(answer.into_inner()),
                Ok(Err(status)) if is_definite(&status) => return Err(status),
                Ok(Err(_)) | Err(_) => sleep(self.chance.millis(100, 3_000)).await,
            }
        }
    }

    /// Makes the base and the data that jobs read.
    pub(crate) async fn import(&self) {
        let base = artifact(Kind::Base, "weights", json!({"config": vertigo_testkit::base::text_config()}));
        let data = artifact(Kind::Dataset, "train.jsonl", json!({}));
        for (manifest, tag) in [(base, "tiny"), (data, "luau")] {
            let request = v1::RegisterArtifactRequest { manifest_json: manifest.to_json(), tags: vec![tag.to_owned()] };
            let register = ArtifactsClient::new(self.channel.clone()).register(request).await;
            register.expect("nothing is broken yet");
        }
    }

    fn job(&self, name: &str, task: v1::task::Kind, inputs: Vec<v1::Input>) -> v1::NewJob {
        let id = self.chance.id(self.jobs.fetch_add(1, Ordering::Relaxed));
        let task = v1::Task { kind: Some(task) };
        let variants = vec![v1::NewVariant { name: name.to_owned(), task: Some(task), inputs }];
        v1::NewJob { id, priority: self.chance.below(2) as i32, variants, ..v1::NewJob::default() }
    }

    fn train(&self, recipe: &str, yaml: &str, base: Option<String>) -> v1::NewJob {
        let train = v1::Train { recipe: recipe.to_owned(), yaml: yaml.to_owned() };
        let mut inputs = vec![named("data", "luau")];
        inputs.extend(base.map(|job| output("base", job)));
        self.job(recipe, v1::task::Kind::Train(train), inputs)
    }

    fn fuse(&self, adapter: String) -> v1::NewJob {
        let fuse = v1::Fuse { bits: 0, unmeasured: self.chance.happens(0.7) };
        self.job("fuse", v1::task::Kind::Fuse(fuse), vec![output("adapter", adapter)])
    }

    /// Queues a job that is too large for all but the largest machine.
    pub(crate) async fn submit_large(&self) {
        self.submit(vec![self.train("large", LARGE, None)]).await;
    }

    /// Queues one job, or several that read one another's outputs, in one call.
    pub(crate) async fn submit_some(&self) {
        let mut jobs = vec![self.train("small", SMALL, None)];
        for _ in 0..self.chance.below(4) {
            let before = jobs[self.chance.below(jobs.len())].clone();
            let is_fuse = before.variants.iter().any(|variant| variant.name == "fuse");
            jobs.push(match (is_fuse, self.chance.happens(0.2)) {
                (_, true) => self.train("small", SMALL, None),
                (true, false) => self.train("on", SMALL, Some(before.id)),
                (false, false) => self.fuse(before.id),
            });
        }
        self.submit(jobs).await;
    }

    async fn submit(&self, jobs: Vec<v1::NewJob>) {
        let ids: Vec<String> = jobs.iter().map(|job| job.id.clone()).collect();
        self.witness.seen().asked.extend(ids.iter().cloned());
        self.witness.note(format!("submits {ids:?}"));
        let ended = self.witness.ended();
        let request = v1::SubmitRequest { jobs };
        match self
            .ask(|mut api| {
                let request = request.clone();
                async move { api.submit(request).await }
            })
            .await
        {
            Ok(answer) => {
                self.witness.seen().queued.extend(ids.iter().cloned());
                let shown: Vec<&String> = answer.jobs.iter().map(|job| &job.id).collect();
                if shown != ids.iter().collect::<Vec<_>>() {
                    self.witness.violation(format!("submitted {ids:?} and was answered {shown:?}"));
                }
                answer.jobs.iter().for_each(|job| self.witness.shown(job, &ended));
            }
            Err(status) => self.witness.note(format!("{ids:?} are refused: {}", status.message())),
        }
    }

    /// Cancels any job that it knows of.
    pub(crate) async fn cancel_one(&self) {
        let known: Vec<String> = self.witness.seen().queued.iter().cloned().collect();
        if known.is_empty() {
            return;
        }
        let id = known[self.chance.below(known.len())].clone();
        self.witness.note(format!("cancels {id}"));
        let ended = self.witness.ended();
        let request = v1::CancelRequest { id, ..v1::CancelRequest::default() };
        // One that has ended is not cancelled.
        if let Ok(answer) = self
            .ask(|mut api| {
                let request = request.clone();
                async move { api.cancel(request).await }
            })
            .await
        {
            answer.jobs.iter().for_each(|job| self.witness.shown(job, &ended));
        }
    }

    /// Looks at all jobs.
    pub(crate) async fn list(&self) -> Vec<v1::Job> {
        let queued = self.witness.seen().queued.clone();
        let ended = self.witness.ended();
        let request = v1::ListJobsRequest { page_size: 1000, ..v1::ListJobsRequest::default() };
        let answer = self
            .ask(|mut api| {
                let request = request.clone();
                async move { api.list(request).await }
            })
            .await;
        let jobs = answer.expect("a list is refused by nobody").jobs;
        self.witness.listed(&jobs, (&queued, &ended));
        jobs
    }

    /// Looks at one job, with all that there is to see.
    pub(crate) async fn get(&self, id: &str) -> v1::Job {
        let (request, ended) = (v1::GetJobRequest { id: id.to_owned() }, self.witness.ended());
        let answer = self
            .ask(|mut api| {
                let request = request.clone();
                async move { api.get(request).await }
            })
            .await;
        let job = answer.expect("a job that was listed is there");
        self.witness.shown(&job, &ended);
        job
    }

    /// Does something, at some time.
    pub(crate) async fn act(&self) {
        sleep(self.chance.millis(10, 15_000)).await;
        match self.chance.below(10) {
            0..5 => self.submit_some().await,
            5 => self.cancel_one().await,
            _ => drop(self.list().await),
        }
    }

    /// Holds any worker that there is, or lets it work again.
    pub(crate) async fn hold_or_resume(&self) {
        let Some(workers) = self.workers().await.filter(|workers| !workers.is_empty()) else { return };
        let v1::Worker { id, name, .. } = &workers[self.chance.below(workers.len())];
        let mut fleet = FleetClient::new(self.channel.clone());
        let answer = if self.chance.happens(0.6) {
            let request = v1::DrainWorkerRequest { worker: id.clone(), reason: "a new disk".to_owned() };
            timeout(PATIENCE, fleet.drain_worker(request)).await
        } else {
            timeout(PATIENCE, fleet.resume_worker(v1::ResumeWorkerRequest { worker: id.clone() })).await
        };
        self.witness.note(format!("holds or resumes {name}: {}", matches!(answer, Ok(Ok(_)))));
    }

    /// Lets all work again that are held, whoever holds them.
    pub(crate) async fn resume_all(&self) {
        let workers = self.workers().await.unwrap_or_default();
        for v1::Worker { id, .. } in workers.into_iter().filter(|worker| worker.hold.is_some()) {
            let resume = FleetClient::new(self.channel.clone());
            // What is not answered now is asked again.
            let _ = timeout(PATIENCE, { resume }.resume_worker(v1::ResumeWorkerRequest { worker: id })).await;
        }
    }

    async fn workers(&self) -> Option<Vec<v1::Worker>> {
        let mut fleet = FleetClient::new(self.channel.clone());
        let listed = timeout(PATIENCE, fleet.list_workers(v1::ListWorkersRequest::default())).await;
        Some(listed.ok()?.ok()?.into_inner().workers)
    }

    /// The journal of everything, once nothing happens any more.
    pub(crate) async fn whole_journal(&self) -> Vec<v1::JobEvent> {
        let feed = self.api().watch(v1::WatchRequest::default()).await;
        let mut feed = feed.expect("nothing is broken any more").into_inner();
        let mut events = Vec::new();
        while let Ok(event) = timeout(PATIENCE, feed.message()).await {
            events.push(event.expect("nothing is broken any more").expect("a feed of everything has no end"));
        }
        events
    }

    /// The journal of a job that has ended.
    pub(crate) async fn journal(&self, id: &str) -> Vec<v1::JobEvent> {
        let request = v1::WatchRequest { id: id.to_owned(), ..v1::WatchRequest::default() };
        let mut feed = self.api().watch(request).await.expect("nothing is broken any more").into_inner();
        let mut events = Vec::new();
        while let Some(event) = feed.message().await.expect("nothing is broken any more") {
            events.push(event);
        }
        events
    }

    /// All artifacts.
    pub(crate) async fn artifacts(&self) -> Vec<v1::Artifact> {
        let (mut all, mut page_token) = (Vec::new(), String::new());
        loop {
            let request = v1::ListArtifactsRequest { page_size: 1000, page_token, ..Default::default() };
            let page = ArtifactsClient::new(self.channel.clone()).list(request).await;
            let page = page.expect("nothing is broken any more").into_inner();
            all.extend(page.artifacts);
            page_token = page.next_page_token;
            if page_token.is_empty() {
                return all;
            }
        }
    }
}

fn named(role: &str, artifact: &str) -> v1::Input {
    v1::Input { role: role.to_owned(), source: Some(v1::input::Source::Artifact(artifact.to_owned())) }
}

fn output(role: &str, job: String) -> v1::Input {
    let source = v1::input::Source::Output(v1::OutputOf { job, role: String::new() });
    v1::Input { role: role.to_owned(), source: Some(source) }
}

/// Whether a job waits with a reason that a person is told.
pub(crate) fn waits_with_a_reason(job: &v1::Job) -> bool {
    is_final(job.state()) || (matches!(job.state(), JobState::Queued | JobState::Blocked) && !job.reason.is_empty())
}
