//! A coordinator on a folder of its own, and what speaks to it.

pub(crate) use vertigo_testkit::base::text_config as config;
pub(crate) use vertigo_testkit::waiting::soon;

use reqwest::{Response, StatusCode};
use serde_json::json;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;
use tempfile::TempDir;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Status, Streaming};
use vertigo::api_error::ApiError;
use vertigo::bytes::Bytes;
use vertigo::endpoint::Endpoint;
use vertigo::id::{Digest, WorkerId};
use vertigo::manifest::{FileEntry, Kind, Manifest};
use vertigo::v1::artifacts_client::ArtifactsClient;
use vertigo::v1::coordinator_message::Message;
use vertigo::v1::fleet_client::FleetClient;
use vertigo::v1::jobs_client::JobsClient;
use vertigo::v1::storage_client::StorageClient;
use vertigo::v1::tags_client::TagsClient;
use vertigo::v1::{self, finished, input, job_event, report, task, worker_message};
use vertigo_client::Access;
use vertigo_client::joining::{self, Newcomer};
use vertigo_coordinator::keep::Keep;
use vertigo_coordinator::serve::connections::Limits;
use vertigo_coordinator::server::{Certificates, Config, Server, ServerError};

pub(crate) struct Coordinator {
    folder: TempDir,
    lease: Duration,
    limits: Limits,
    pub(crate) reserve: Option<Bytes>,
    keep: Keep,
    collect_every: Duration,
    certificates: Option<Certificates>,
    pub(crate) url: String,
    /// How it is reached; where it asks for certificates, as the administrator who read the token on its own machine.
    pub(crate) access: Access,
    stop: Option<oneshot::Sender<()>>,
    running: Option<JoinHandle<Result<(), ServerError>>>,
}

/// A coordinator at this URL, which is on this machine.
pub(crate) fn access(url: &str) -> Access {
    Access::plain(url.parse().unwrap()).unwrap()
}

fn server_port(url: &str) -> &str {
    url.rsplit_once(':').unwrap().1
}

impl Coordinator {
    /// With leases that outlast any test.
    pub(crate) async fn start() -> Coordinator {
        Coordinator::with_lease(Duration::from_secs(600)).await
    }

    pub(crate) async fn with_lease(lease: Duration) -> Coordinator {
        Coordinator::with(lease, Limits::of_descriptors(1024).unwrap(), None).await
    }

    pub(crate) async fn with_limits(limits: Limits) -> Coordinator {
        Coordinator::with(Duration::from_secs(600), limits, None).await
    }

    /// Over TLS, with leases that outlast any test.
    pub(crate) async fn with_certificates(certificates: Certificates, limits: Limits) -> Coordinator {
        Coordinator::with(Duration::from_secs(600), limits, Some(certificates)).await
    }

    async fn with(lease: Duration, limits: Limits, certificates: Option<Certificates>) -> Coordinator {
        let access = Access::plain(Endpoint::default()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let url = String::new();
        let (keep, collect_every, reserve) = (Keep::default(), Duration::from_secs(3600), None);
        let (stop, running) = (None, None);
        let mut coordinator = Coordinator {
            folder,
            lease,
            limits,
            reserve,
            keep,
            collect_every,
            certificates,
            url,
            access,
            stop,
            running,
        };
        coordinator.open().await;
        coordinator
    }

    /// The same, on a folder of its own, which collects by `keep` every so often.
    pub(crate) async fn collecting(keep: Keep, collect_every: Duration) -> Coordinator {
        let mut coordinator = Coordinator::start().await;
        (coordinator.keep, coordinator.collect_every) = (keep, collect_every);
        coordinator.restart().await;
        coordinator
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    pub(crate) async fn open(&mut self) {
        let listen = "127.0.0.1:0".parse().unwrap();
        let config = Config {
            listen,
            state: self.state(),
            store: None,
            lease: self.lease,
            anew: false,
            keep: self.keep,
            reserve: self.reserve,
            collect_every: self.collect_every,
            limits: self.limits,
            certificates: self.certificates.clone(),
        };
        let server = Server::start(config).await.unwrap();
        self.url = server.url();
        let administrator = server.administrator_path();
        let (stop, stopped) = oneshot::channel();
        self.stop = Some(stop);
        self.running = Some(tokio::spawn(server.run(async move {
            let _ = stopped.await;
        })));
        self.access = match administrator {
            None => access(&self.url),
            Some(path) => {
                let token = std::fs::read_to_string(path).unwrap().parse().unwrap();
                // One of before a restart has that name still.
                let name = format!("administrator-{}", server_port(&self.url)).parse().unwrap();
                let newcomer = Newcomer { name: Some(name), ..Default::default() };
                let identity = joining::join(&token, &newcomer).await.unwrap();
                Access::new(self.url.parse().unwrap(), Some(identity.tls().unwrap().0)).unwrap()
            }
        };
    }

    /// From the next start on, how long certificates can be used.
    pub(crate) fn change_life(&mut self, life: Duration) {
        self.certificates.as_mut().unwrap().life = life;
    }

    /// Ends it and starts it again on the same folder, at another port.
    pub(crate) async fn restart(&mut self) {
        self.stop().await;
        self.open().await;
    }

    /// Ends it as an operator does.
    pub(crate) async fn stop(&mut self) {
        self.stop.take().unwrap().send(()).unwrap();
        self.running.take().unwrap().await.unwrap().unwrap();
    }

    fn channel(&self) -> Channel {
        self.access.channel()
    }

    pub(crate) fn jobs(&self) -> JobsClient<Channel> {
        JobsClient::new(self.channel())
    }

    pub(crate) fn artifacts(&self) -> ArtifactsClient<Channel> {
        ArtifactsClient::new(self.channel())
    }

    pub(crate) fn fleet(&self) -> FleetClient<Channel> {
        FleetClient::new(self.channel())
    }

    pub(crate) fn storage(&self) -> StorageClient<Channel> {
        StorageClient::new(self.channel())
    }

    pub(crate) fn tags(&self) -> TagsClient<Channel> {
        TagsClient::new(self.channel())
    }

    pub(crate) fn http(&self) -> reqwest::Client {
        self.access.http().build().unwrap()
    }

    pub(crate) fn blob(&self, digest: Digest) -> String {
        format!("{}/v1/blobs/{digest}", self.url)
    }

    pub(crate) async fn put(&self, bytes: &[u8]) -> Response {
        let digest = Digest::of(bytes);
        self.http().put(self.blob(digest)).body(bytes.to_vec()).send().await.unwrap()
    }

    /// A manifest of one file, whose blob is uploaded.
    pub(crate) async fn upload(&self, kind: Kind, content: &str, facts: serde_json::Value) -> Manifest {
        assert!(self.put(content.as_bytes()).await.status().is_success());
        manifest(kind, content, facts)
    }

    pub(crate) async fn register(&self, manifest: &Manifest, tag: &str) -> v1::Artifact {
        let request = v1::RegisterArtifactRequest { manifest_json: manifest.to_json(), tags: vec![tag.to_owned()] };
        self.artifacts().register(request).await.unwrap().into_inner()
    }

    /// The base `mini` and the dataset `luau`.
    pub(crate) async fn import(&self) {
        let base = self.upload(Kind::Base, "weights", json!({"config": config()})).await;
        self.register(&base, "mini").await;
        let data = self.upload(Kind::Dataset, "{}", json!({"examples": 1})).await;
        self.register(&data, "luau").await;
    }

    pub(crate) async fn submit(&self, name: &str) -> v1::Job {
        self.queue(train(name)).await.unwrap()
    }

    /// Submits one job.
    pub(crate) async fn queue(&self, job: v1::NewJob) -> Result<v1::Job, Status> {
        Ok(self.queue_all(vec![job]).await?.remove(0))
    }

    pub(crate) async fn queue_all(&self, jobs: Vec<v1::NewJob>) -> Result<Vec<v1::Job>, Status> {
        Ok(self.jobs().submit(v1::SubmitRequest { jobs }).await?.into_inner().jobs)
    }

    pub(crate) async fn plan(&self, variants: Vec<v1::NewVariant>) -> Result<v1::PlanResponse, Status> {
        Ok(self.jobs().plan(v1::PlanRequest { variants }).await?.into_inner())
    }

    pub(crate) async fn cancel(&self, id: &str) -> Result<Vec<v1::Job>, Status> {
        let request = v1::CancelRequest { id: id.to_owned(), ..Default::default() };
        Ok(self.jobs().cancel(request).await?.into_inner().jobs)
    }

    pub(crate) async fn job(&self, id: &str) -> v1::Job {
        self.jobs().get(v1::GetJobRequest { id: id.to_owned() }).await.unwrap().into_inner()
    }

    pub(crate) async fn watch(&self, id: &str, after: u64) -> Streaming<v1::JobEvent> {
        self.jobs().watch(v1::WatchRequest { id: id.to_owned(), after, only_new: false }).await.unwrap().into_inner()
    }

    /// Waits until the job is, or was, in a state.
    pub(crate) async fn until(&self, id: &str, state: v1::JobState) {
        let mut events = self.watch(id, 0).await;
        let wait = async {
            while let Some(event) = events.message().await.unwrap() {
                if event.event == Some(job_event::Event::State(state.into())) {
                    return;
                }
            }
            panic!("the job ended without being {}", state.as_str_name());
        };
        soon(state.as_str_name(), wait).await;
    }

    pub(crate) async fn worker(&self, name: &str) -> Worker {
        Worker::connect(self, WorkerId::new(), name, &[]).await.unwrap()
    }

    pub(crate) async fn workers(&self) -> Vec<v1::Worker> {
        self.fleet().list_workers(v1::ListWorkersRequest::default()).await.unwrap().into_inner().workers
    }
}

pub(crate) fn manifest(kind: Kind, content: &str, facts: serde_json::Value) -> Manifest {
    let bytes = Bytes(content.len() as u64);
    let file = FileEntry { path: "file".to_owned(), digest: Digest::of(content.as_bytes()), bytes };
    let facts: BTreeMap<_, _> = facts.as_object().unwrap().clone().into_iter().collect();
    Manifest::new(kind, vec![file], facts).unwrap()
}

/// A way to train on the dataset `luau`.
pub(crate) fn recipe(name: &str, yaml: &str) -> v1::NewVariant {
    let train = v1::Train { recipe: name.to_owned(), yaml: yaml.to_owned() };
    let task = Some(v1::Task { kind: Some(task::Kind::Train(train)) });
    v1::NewVariant { name: name.to_owned(), task, inputs: vec![reads("data", "luau")] }
}

pub(crate) fn reads(role: &str, reference: &str) -> v1::Input {
    v1::Input { role: role.to_owned(), source: Some(input::Source::Artifact(reference.to_owned())) }
}

pub(crate) const SMALL: &str = "model: mini\nmax_seq_length: 256\nbatch_size: 1\n";

pub(crate) fn train(name: &str) -> v1::NewJob {
    v1::NewJob { name: name.to_owned(), variants: vec![recipe("small", SMALL)], ..Default::default() }
}

/// Fuses what another job makes.
pub(crate) fn fuse(name: &str, trained_by: &str) -> v1::NewJob {
    let output = v1::OutputOf { job: trained_by.to_owned(), role: String::new() };
    let adapter = v1::Input { role: "adapter".to_owned(), source: Some(input::Source::Output(output)) };
    let task = Some(v1::Task { kind: Some(task::Kind::Fuse(v1::Fuse { bits: 8, unmeasured: true })) });
    let variant = v1::NewVariant { name: "fuse".to_owned(), task, inputs: vec![adapter] };
    v1::NewJob { name: name.to_owned(), variants: vec![variant], ..Default::default() }
}

/// A worker's end of a session, driven by the test.
pub(crate) struct Worker {
    pub(crate) id: WorkerId,
    pub(crate) sender: mpsc::Sender<v1::WorkerMessage>,
    inbound: Streaming<v1::CoordinatorMessage>,
    pub(crate) welcome: v1::Welcome,
}

impl Worker {
    /// The worker's one process, with the secret of its installation.
    pub(crate) async fn connect(
        coordinator: &Coordinator,
        id: WorkerId,
        name: &str,
        held: &[v1::Held],
    ) -> Result<Worker, Status> {
        Worker::with_hello(coordinator, hello(id, name, held)).await
    }

    pub(crate) async fn with_hello(coordinator: &Coordinator, hello: v1::Hello) -> Result<Worker, Status> {
        Worker::over(coordinator.fleet(), hello).await
    }

    /// Over a connection that other workers may have as well.
    pub(crate) async fn over(mut fleet: FleetClient<Channel>, hello: v1::Hello) -> Result<Worker, Status> {
        let (sender, receiver) = mpsc::channel(8);
        let id = hello.worker_id.parse().unwrap();
        sender.send(message(worker_message::Message::Hello(hello))).await.unwrap();
        let mut inbound = fleet.session(ReceiverStream::new(receiver)).await?.into_inner();
        match soon("a welcome", inbound.message()).await?.and_then(|message| message.message) {
            Some(Message::Welcome(welcome)) => Ok(Worker { id, sender, inbound, welcome }),
            other => panic!("a session begins with Welcome, not {other:?}"),
        }
    }

    pub(crate) async fn next(&mut self) -> Result<Option<Message>, Status> {
        soon("a message", self.incoming()).await
    }

    /// What comes next, whenever that is.
    pub(crate) async fn incoming(&mut self) -> Result<Option<Message>, Status> {
        Ok(self.inbound.message().await?.and_then(|message| message.message))
    }

    pub(crate) async fn assignment(&mut self) -> v1::Assignment {
        match self.next().await {
            Ok(Some(Message::Assignment(assignment))) => assignment,
            other => panic!("not an assignment: {other:?}"),
        }
    }

    pub(crate) async fn stop(&mut self) -> v1::Stop {
        match self.next().await {
            Ok(Some(Message::Stop(stop))) => stop,
            other => panic!("not a stop: {other:?}"),
        }
    }

    pub(crate) async fn ack(&mut self) -> u64 {
        match self.next().await {
            Ok(Some(Message::Ack(ack))) => ack.number,
            other => panic!("not an ack: {other:?}"),
        }
    }

    pub(crate) async fn heartbeat(&self, held: &[v1::Held]) {
        let heartbeat = v1::Heartbeat { free_bytes: 1, held: held.to_vec(), ..Default::default() };
        self.sender.send(message(worker_message::Message::Heartbeat(heartbeat))).await.unwrap();
    }

    pub(crate) async fn report(&self, given: &v1::Assignment, number: u64, body: report::Body) {
        let reports = vec![v1::Report { number, at_ms: 1, body: Some(body) }];
        let batch = v1::ReportBatch { attempt_id: given.attempt_id.clone(), epoch: given.epoch, reports };
        self.sender.send(message(worker_message::Message::Reports(batch))).await.unwrap();
    }
}

/// What a worker's process says first: its secret and its process are its id again.
pub(crate) fn hello(id: WorkerId, name: &str, held: &[v1::Held]) -> v1::Hello {
    let machine = v1::Machine {
        usable_bytes: 1 << 30,
        memory_bytes: 2 << 30,
        gpu_slots: 1,
        cpu_slots: 1,
        edition: vertigo::EDITION,
        ..Default::default()
    };
    v1::Hello {
        worker_id: id.to_string(),
        name: name.to_owned(),
        machine: Some(machine),
        held: held.to_vec(),
        secret: id.0.as_bytes().repeat(2),
        process: id.to_string(),
        reboots: vec![],
        away: String::new(),
        conditions: None,
    }
}

/// Heartbeats that go on until this is dropped.
pub(crate) struct Heart {
    held: watch::Sender<Vec<v1::Held>>,
    beats: JoinHandle<()>,
}

impl Heart {
    pub(crate) fn of(worker: &Worker) -> Heart {
        let (held, named) = watch::channel(Vec::new());
        let sender = worker.sender.clone();
        let beats = tokio::spawn(async move {
            let mut pace = tokio::time::interval(Duration::from_millis(50));
            loop {
                pace.tick().await;
                let heartbeat = v1::Heartbeat { free_bytes: 1, held: named.borrow().clone(), ..Default::default() };
                let _ = sender.send(message(worker_message::Message::Heartbeat(heartbeat))).await;
            }
        });
        Heart { held, beats }
    }

    pub(crate) fn holds(&self, given: &v1::Assignment) {
        self.held.send_replace(holding(given));
    }
}

impl Drop for Heart {
    fn drop(&mut self) {
        self.beats.abort();
    }
}

pub(crate) fn message(message: worker_message::Message) -> v1::WorkerMessage {
    v1::WorkerMessage { message: Some(message) }
}

pub(crate) fn holding(given: &v1::Assignment) -> Vec<v1::Held> {
    vec![v1::Held { attempt_id: given.attempt_id.clone(), epoch: given.epoch }]
}

pub(crate) fn success(manifest: &Manifest) -> report::Body {
    success_with_best(manifest, manifest)
}

/// The same of a training run whose best adapter is another than its last.
pub(crate) fn success_with_best(manifest: &Manifest, best: &Manifest) -> report::Body {
    let made = |role: &str, manifest: &Manifest| v1::Made { role: role.to_owned(), manifest_json: manifest.to_json() };
    // The first output is called as the kind of artifact that it is.
    let mut outputs = vec![made(manifest.kind().as_str(), manifest)];
    if manifest.kind() == Kind::Adapter {
        outputs.push(made("best", best));
    }
    let outcome = Some(finished::Outcome::Outputs(v1::Outputs { made: outputs, remark: String::new() }));
    report::Body::Finished(v1::Finished { peak_bytes: 1 << 20, outcome })
}

pub(crate) fn log(text: &str) -> report::Body {
    report::Body::Log(v1::LogLine { text: text.to_owned() })
}

/// All that a refusal says to a person: what is wrong, and what to do.
pub(crate) fn told(status: &Status) -> String {
    let error = ApiError::of(status).unwrap_or_else(|| panic!("not the coordinator's own words: {status}"));
    format!("{}; {}", error.message, error.hint.unwrap_or_default())
}

pub(crate) fn assert_status(response: &Response, status: StatusCode) {
    assert_eq!(response.status(), status, "{}", response.url());
}
