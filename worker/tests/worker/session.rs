//! The session against a coordinator that the test plays: what is sent again, what is not, and when it goes.

use crate::support::{DEADLINE, eventually};
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::transport::Server;
use tonic::{Request, Response, Status, Streaming};
use vertigo::bytes::Bytes;
use vertigo::id::{AttemptId, Epoch, WorkerId};
use vertigo::v1::coordinator_message::Message as ToWorker;
use vertigo::v1::fleet_server::{Fleet, FleetServer};
use vertigo::v1::report::Body;
use vertigo::v1::worker_message::Message as FromWorker;
use vertigo::v1::{
    Ack, Assignment, CoordinatorMessage, Finished, Hello, ListWorkersRequest, ListWorkersResponse, LogLine, Stop,
    Welcome, WorkerMessage,
};
use vertigo_worker::held::Attempts;
use vertigo_worker::machine::Machine;
use vertigo_worker::session::{NameTaken, Phase, Session};

type Outbound = mpsc::Sender<Result<CoordinatorMessage, Status>>;

/// One connection, as the coordinator sees it.
struct Call {
    inbound: Streaming<WorkerMessage>,
    outbound: Outbound,
}

struct Coordinator(mpsc::Sender<Call>);

#[tonic::async_trait]
impl Fleet for Coordinator {
    type SessionStream = Pin<Box<ReceiverStream<Result<CoordinatorMessage, Status>>>>;

    async fn session(
        &self,
        request: Request<Streaming<WorkerMessage>>,
    ) -> Result<Response<Self::SessionStream>, Status> {
        let (outbound, receiver) = mpsc::channel(16);
        let call = Call { inbound: request.into_inner(), outbound };
        self.0.send(call).await.map_err(|_| Status::unavailable("the test is over"))?;
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }

    async fn list_workers(&self, _: Request<ListWorkersRequest>) -> Result<Response<ListWorkersResponse>, Status> {
        Err(Status::unimplemented("not asked here"))
    }
}

impl Call {
    async fn next(&mut self) -> FromWorker {
        let next = tokio::time::timeout(DEADLINE, self.inbound.message()).await;
        next.expect("a message in time")
            .expect("a connection")
            .expect("a message")
            .message
            .expect("one that says something")
    }

    async fn hello(&mut self) -> Hello {
        match self.next().await {
            FromWorker::Hello(hello) => hello,
            other => panic!("it began with {other:?}"),
        }
    }

    async fn say(&self, message: ToWorker) {
        self.outbound.send(Ok(CoordinatorMessage { message: Some(message) })).await.unwrap();
    }

    async fn welcome(&self, acks: Vec<Ack>) {
        self.say(ToWorker::Welcome(Welcome { lease_ms: 30_000, heartbeat_ms: 20, acks })).await;
    }

    /// Numbers of reports, up to `last`.
    async fn reports(&mut self, last: u64) -> Vec<u64> {
        let mut numbers = Vec::new();
        while numbers.last() != Some(&last) {
            if let FromWorker::Reports(batch) = self.next().await {
                numbers.extend(batch.reports.iter().map(|report| report.number));
            }
        }
        numbers
    }
}

/// A worker's session in a task, and the coordinator's side of its connections.
struct Setup {
    attempts: Arc<Attempts>,
    phase: watch::Sender<Phase>,
    calls: mpsc::Receiver<Call>,
    session: JoinHandle<Result<(), NameTaken>>,
    welcomes: Arc<AtomicU64>,
    assigned: mpsc::UnboundedReceiver<Assignment>,
}

impl Setup {
    async fn new(folder: &Path) -> Setup {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        let (sender, calls) = mpsc::channel(4);
        let server = Server::builder().add_service(FleetServer::new(Coordinator(sender)));
        tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
        let attempts = Arc::new(Attempts::recover(folder).unwrap());
        let (phase, phases) = watch::channel(Phase::Serving);
        let welcomes = Arc::new(AtomicU64::new(0));
        let (take, assigned) = mpsc::unbounded_channel();
        let (held, counted) = (attempts.clone(), welcomes.clone());
        let session = tokio::spawn(async move {
            let machine = Machine::probe(Some(Bytes::gib(1))).unwrap();
            let session = Session {
                id: WorkerId::new(),
                name: "studio",
                endpoint: &endpoint,
                machine: &machine,
                attempts: &held,
                take: &move |assignment| take.send(assignment).unwrap(),
                welcomed: &move || {
                    counted.fetch_add(1, Ordering::Relaxed);
                },
            };
            session.run(phases).await
        });
        Setup { attempts, phase, calls, session, welcomes, assigned }
    }

    async fn call(&mut self) -> Call {
        tokio::time::timeout(DEADLINE, self.calls.recv()).await.expect("a call in time").expect("a call")
    }

    async fn ended(self) -> Result<(), NameTaken> {
        tokio::time::timeout(DEADLINE, self.session).await.expect("an end in time").unwrap()
    }
}

fn line(n: u64) -> Body {
    Body::Log(LogLine { text: n.to_string() })
}

fn ack(id: AttemptId, number: u64) -> Ack {
    Ack { attempt_id: id.to_string(), number }
}

#[tokio::test]
async fn after_a_lost_connection_exactly_what_was_not_taken_is_sent_again() {
    let dir = tempfile::tempdir().unwrap();
    let mut setup = Setup::new(dir.path()).await;
    let mut call = setup.call().await;
    assert_eq!(call.hello().await.name, "studio");
    call.welcome(vec![]).await;
    let id = AttemptId::new();
    let attempt = setup.attempts.begin(id, Epoch(4)).unwrap().unwrap();
    for n in 0..5 {
        attempt.report(line(n)).unwrap();
    }
    assert_eq!(call.reports(5).await, [1, 2, 3, 4, 5]);
    call.say(ToWorker::Ack(ack(id, 1))).await;
    drop(call);

    // While the coordinator is away the attempt goes on.
    attempt.report(line(5)).unwrap();
    let mut call = setup.call().await;
    let held = call.hello().await.held;
    assert_eq!((held.len(), held[0].attempt_id.as_str(), held[0].epoch), (1, id.to_string().as_str(), 4));
    call.welcome(vec![ack(id, 2)]).await;
    assert_eq!(call.reports(6).await, [3, 4, 5, 6]);
    attempt.report(Body::Finished(Finished::default())).unwrap();
    assert_eq!(call.reports(7).await, [7]);
    assert!(!setup.attempts.is_empty(), "held until its end is taken");
    call.say(ToWorker::Ack(ack(id, 7))).await;
    eventually("the attempt's end", || setup.attempts.is_empty().then_some(())).await;
    assert_eq!(setup.welcomes.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn heartbeats_name_what_is_held_and_stops_and_assignments_arrive() {
    let dir = tempfile::tempdir().unwrap();
    let mut setup = Setup::new(dir.path()).await;
    let mut call = setup.call().await;
    call.hello().await;
    call.welcome(vec![]).await;
    let id = AttemptId::new();
    call.say(ToWorker::Assignment(Assignment { attempt_id: id.to_string(), epoch: 2, ..Assignment::default() })).await;
    let assignment = setup.assigned.recv().await.unwrap();
    assert_eq!(assignment.attempt_id, id.to_string());
    let attempt = setup.attempts.begin(id, Epoch(2)).unwrap().unwrap();
    loop {
        if let FromWorker::Heartbeat(heartbeat) = call.next().await {
            assert!(heartbeat.free_bytes > 0);
            if heartbeat.held.iter().any(|held| held.attempt_id == id.to_string() && held.epoch == 2) {
                break;
            }
        }
    }
    call.say(ToWorker::Stop(Stop { attempt_id: id.to_string(), reason: "cancelled".to_owned() })).await;
    let stop = tokio::time::timeout(DEADLINE, attempt.stopped()).await.unwrap();
    assert_eq!(stop, vertigo_worker::held::Stop::LeaseOver("cancelled".to_owned()));
}

#[tokio::test]
async fn an_attempt_that_welcome_does_not_name_is_stopped_and_silent() {
    let dir = tempfile::tempdir().unwrap();
    let mut setup = Setup::new(dir.path()).await;
    let (old, live) = (AttemptId::new(), AttemptId::new());
    let old_attempt = setup.attempts.begin(old, Epoch(1)).unwrap().unwrap();
    old_attempt.report(line(1)).unwrap();
    // Names both only if it was dialled after both had begun; so the first connection is let go.
    setup.call().await;
    let attempt = setup.attempts.begin(live, Epoch(1)).unwrap().unwrap();
    let mut call = setup.call().await;
    while call.hello().await.held.len() < 2 {
        call = setup.call().await;
    }
    call.welcome(vec![ack(live, 0)]).await;
    tokio::time::timeout(DEADLINE, old_attempt.stopped()).await.unwrap();
    attempt.report(line(1)).unwrap();
    loop {
        if let FromWorker::Reports(batch) = call.next().await {
            assert_eq!(batch.attempt_id, live.to_string());
            break;
        }
    }
    assert_eq!(attempt.stop_reason(), None);
}

#[tokio::test]
async fn a_taken_name_ends_it_and_other_refusals_do_not() {
    let dir = tempfile::tempdir().unwrap();
    let mut setup = Setup::new(dir.path()).await;
    let call = setup.call().await;
    call.outbound.send(Err(Status::internal("a bad day"))).await.unwrap();
    let call = setup.call().await;
    call.outbound.send(Err(Status::already_exists("another worker named studio is connected"))).await.unwrap();
    let error = setup.ended().await.unwrap_err();
    assert_eq!(error.name, "studio");
    assert!(error.to_string().contains("--name"), "{error}");
}

#[tokio::test]
async fn draining_is_told_and_waits_for_the_running_attempt() {
    let dir = tempfile::tempdir().unwrap();
    let mut setup = Setup::new(dir.path()).await;
    let mut call = setup.call().await;
    call.hello().await;
    call.welcome(vec![]).await;
    let id = AttemptId::new();
    let attempt = setup.attempts.begin(id, Epoch(1)).unwrap().unwrap();
    setup.phase.send_replace(Phase::Draining);
    while !matches!(call.next().await, FromWorker::Drain(_)) {}
    assert!(!setup.session.is_finished());
    attempt.report(Body::Finished(Finished::default())).unwrap();
    call.reports(1).await;
    assert!(!setup.session.is_finished());
    call.say(ToWorker::Ack(ack(id, 1))).await;
    setup.ended().await.unwrap();
}

#[tokio::test]
async fn a_worker_that_holds_nothing_goes_although_the_coordinator_is_away() {
    let dir = tempfile::tempdir().unwrap();
    let setup = Setup::new(dir.path()).await;
    setup.phase.send_replace(Phase::Draining);
    tokio::time::timeout(Duration::from_secs(5), setup.ended()).await.expect("at once").unwrap();
}
