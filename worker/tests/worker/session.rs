//! The session: what is sent again, what is not, and when it goes.

use crate::coordinator::{Call, Coordinator};
use crate::support::{eventually, soon};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tonic::Status;
use vertigo::api_error::{ApiError, ErrorCode};
use vertigo::bytes::Bytes;
use vertigo::id::{AttemptId, Epoch, ProcessId, WorkerId};
use vertigo::secret::Secret;
use vertigo::v1::coordinator_message::Message as ToWorker;
use vertigo::v1::report::Body;
use vertigo::v1::worker_message::Message as FromWorker;
use vertigo::v1::{Ack, Assignment, Finished, LogLine};
use vertigo_client::Access;
use vertigo_host::presence::Presence;
use vertigo_worker::held::{Attempts, Stop};
use vertigo_worker::machine::Machine;
use vertigo_worker::manners::Conditions;
use vertigo_worker::session::{self, Phase, Refused, Session};
use vertigo_worker::state::Identity;

/// A worker's session in a task, and the coordinator that it dials.
struct Setup {
    attempts: Arc<Attempts>,
    phase: watch::Sender<Phase>,
    coordinator: Coordinator,
    session: JoinHandle<Result<(), Refused>>,
    welcomes: Arc<AtomicU64>,
    assigned: mpsc::UnboundedReceiver<Assignment>,
}

impl Setup {
    async fn new(folder: &Path) -> Setup {
        let coordinator = Coordinator::new().await;
        let attempts = Arc::new(Attempts::recover(folder).unwrap());
        let (phase, phases) = watch::channel(Phase::Serving);
        let welcomes = Arc::new(AtomicU64::new(0));
        let (take, assigned) = mpsc::unbounded_channel();
        let (held, counted) = (attempts.clone(), welcomes.clone());
        let access = Access::plain(coordinator.endpoint.clone()).unwrap();
        let session = tokio::spawn(async move {
            let machine = Machine::probe(Some(Bytes::gib(1))).unwrap();
            let session = Session {
                identity: &Identity { id: WorkerId::new(), secret: Secret::from([7; 32]) },
                process: ProcessId::new(),
                name: "studio",
                endpoint: access.endpoint(),
                dial: &|outbound| session::dial(&access, outbound),
                jitter: &rand::random,
                machine: &machine,
                presence: watch::channel(Presence::Present).1,
                conditions: watch::channel(Conditions::default()).1,
                set_policy: &|_| {},
                start_anew: &|| {},
                attempts: &held,
                reboots: &Vec::new,
                take: &move |assignment| take.send(assignment).unwrap(),
                welcomed: &move || {
                    counted.fetch_add(1, Ordering::Relaxed);
                },
            };
            session.run(phases).await
        });
        Setup { attempts, phase, coordinator, session, welcomes, assigned }
    }

    async fn ended(self) -> Result<(), Refused> {
        soon("the session's end", self.session).await.unwrap()
    }
}

/// Numbers of the reports that come, up to `last`.
async fn numbers(call: &mut Call, last: u64) -> Vec<u64> {
    call.reports(|report| report.number == last).await.iter().map(|report| report.number).collect()
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
    let (mut call, hello) = setup.coordinator.welcomed(vec![]).await;
    assert_eq!(hello.name, "studio");
    let id = AttemptId::new();
    let attempt = setup.attempts.begin(id, Epoch(4)).unwrap().unwrap();
    for n in 0..5 {
        attempt.report(line(n)).unwrap();
    }
    assert_eq!(numbers(&mut call, 5).await, [1, 2, 3, 4, 5]);
    call.say(ToWorker::Ack(ack(id, 1))).await;
    drop(call);

    // While the coordinator is away the attempt goes on.
    attempt.report(line(5)).unwrap();
    let (mut call, hello) = setup.coordinator.welcomed(vec![ack(id, 2)]).await;
    assert_eq!((hello.held.len(), hello.held[0].epoch), (1, 4));
    assert_eq!(hello.held[0].attempt_id, id.to_string());
    assert_eq!(numbers(&mut call, 6).await, [3, 4, 5, 6]);
    attempt.report(Body::Finished(Finished::default())).unwrap();
    assert_eq!(numbers(&mut call, 7).await, [7]);
    assert!(!setup.attempts.is_empty(), "held until its end is taken");
    call.say(ToWorker::Ack(ack(id, 7))).await;
    eventually("the attempt's end", || setup.attempts.is_empty().then_some(())).await;
    assert_eq!(setup.welcomes.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn heartbeats_name_what_is_held_and_stops_and_assignments_arrive() {
    let dir = tempfile::tempdir().unwrap();
    let mut setup = Setup::new(dir.path()).await;
    let (mut call, _) = setup.coordinator.welcomed(vec![]).await;
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
    let stop = vertigo::v1::Stop { attempt_id: id.to_string(), reason: "cancelled".to_owned() };
    call.say(ToWorker::Stop(stop)).await;
    let stop = soon("a stop", attempt.stopped()).await;
    assert_eq!(stop, Stop::LeaseOver("cancelled".to_owned()));
}

#[tokio::test]
async fn an_attempt_that_welcome_does_not_name_is_stopped_and_silent() {
    let dir = tempfile::tempdir().unwrap();
    let mut setup = Setup::new(dir.path()).await;
    let (old, live) = (AttemptId::new(), AttemptId::new());
    let old_attempt = setup.attempts.begin(old, Epoch(1)).unwrap().unwrap();
    old_attempt.report(line(1)).unwrap();
    let attempt = setup.attempts.begin(live, Epoch(1)).unwrap().unwrap();
    // A session that was dialled before both had begun is let go.
    let mut call = setup.coordinator.call().await;
    while call.hello().await.held.len() < 2 {
        call = setup.coordinator.call().await;
    }
    call.welcome(vec![ack(live, 0)]).await;
    soon("a stop", old_attempt.stopped()).await;
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
    setup.coordinator.call().await.refuse(Status::internal("a bad day")).await;
    let taken = ApiError::new(ErrorCode::NameTaken, "another worker named studio is connected").into();
    setup.coordinator.call().await.refuse(taken).await;
    assert_eq!(setup.ended().await.unwrap_err().to_string(), "another worker named studio is connected");
}

#[tokio::test]
async fn a_secret_that_is_not_the_one_ends_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut setup = Setup::new(dir.path()).await;
    let wrong = ApiError::new(ErrorCode::OtherInstallation, "remove worker-id").into();
    setup.coordinator.call().await.refuse(wrong).await;
    assert_eq!(setup.ended().await.unwrap_err(), Refused("remove worker-id".to_owned()));
}

#[tokio::test]
async fn a_worker_whose_session_another_process_has_asks_again_and_keeps_its_run() {
    let dir = tempfile::tempdir().unwrap();
    let mut setup = Setup::new(dir.path()).await;
    let attempt = setup.attempts.begin(AttemptId::new(), Epoch(1)).unwrap().unwrap();
    let mut hellos = Vec::new();
    for _ in 0..3 {
        let mut call = setup.coordinator.call().await;
        hellos.push(call.hello().await);
        call.refuse(ApiError::new(ErrorCode::OtherProcess, "another process runs as this worker, on studio").into())
            .await;
    }
    let (_call, hello) = setup.coordinator.welcomed(vec![ack(attempt.id(), 0)]).await;
    assert!(hellos.iter().all(|refused| (&refused.process, &refused.secret) == (&hello.process, &hello.secret)));
    assert_eq!((hello.secret, attempt.stop_reason()), (vec![7; 32], None));
}

#[tokio::test]
async fn other_words_of_already_exists_end_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut setup = Setup::new(dir.path()).await;
    setup.coordinator.call().await.refuse(Status::already_exists("a file")).await;
    setup.coordinator.welcomed(vec![]).await;
}

#[tokio::test]
async fn draining_is_told_and_waits_for_the_running_attempt() {
    let dir = tempfile::tempdir().unwrap();
    let mut setup = Setup::new(dir.path()).await;
    let (mut call, _) = setup.coordinator.welcomed(vec![]).await;
    let id = AttemptId::new();
    let attempt = setup.attempts.begin(id, Epoch(1)).unwrap().unwrap();
    setup.phase.send_replace(Phase::Draining);
    while !matches!(call.next().await, FromWorker::Drain(_)) {}
    assert!(!setup.session.is_finished());
    attempt.report(Body::Finished(Finished::default())).unwrap();
    assert_eq!(numbers(&mut call, 1).await, [1]);
    assert!(!setup.session.is_finished());
    call.say(ToWorker::Ack(ack(id, 1))).await;
    setup.ended().await.unwrap();
}

#[tokio::test]
async fn a_worker_that_holds_nothing_goes_although_the_coordinator_is_away() {
    let dir = tempfile::tempdir().unwrap();
    let mut setup = Setup::new(dir.path()).await;
    setup.coordinator.call().await.refuse(Status::unavailable("away")).await;
    setup.phase.send_replace(Phase::Draining);
    tokio::time::timeout(Duration::from_secs(5), setup.ended()).await.expect("at once").unwrap();
}
