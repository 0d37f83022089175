//! Connections that break, against a real gRPC server.

use super::*;
use std::sync::{Arc, Mutex};
use tonic::transport::Server;
use tonic::{Request, Response};
use vertigo::api_error::ApiError;
use vertigo::v1::jobs_server::{Jobs, JobsServer};
use vertigo_client::Access;
use vertigo_testkit::coordinator::serve;

/// A coordinator whose journal has five events, and whose connections break after two until the last is out. Its job ends when the
/// lines were asked for twice.
#[derive(Clone, Default)]
struct Breaking {
    asked_after: Arc<Mutex<Vec<u64>>>,
}

/// Asked for what is new.
const NEW: u64 = u64::MAX;

type Events = std::pin::Pin<Box<dyn futures::Stream<Item = std::result::Result<JobEvent, Status>> + Send>>;

#[tonic::async_trait]
impl Jobs for Breaking {
    type WatchStream = Events;
    type LogsStream = Events;

    async fn watch(&self, request: Request<v1::WatchRequest>) -> std::result::Result<Response<Events>, Status> {
        let request = request.into_inner();
        if request.only_new {
            self.asked_after.lock().unwrap().push(NEW);
            let events = (1..=2).map(|seq| Ok(JobEvent { seq, ..Default::default() }));
            let mut answer = Response::new(Box::pin(tokio_stream::iter(events)) as Events);
            feed::tell(answer.metadata_mut(), 0);
            return Ok(answer);
        }
        if !["known", ""].contains(&&*request.id) {
            return Err(ApiError::not_found("no job `unknown`").into());
        }
        self.asked_after.lock().unwrap().push(request.after);
        let state = |seq| if seq == 5 { v1::JobState::Succeeded } else { v1::JobState::Queued };
        let event = move |seq| JobEvent { seq, event: Some(Event::State(state(seq).into())), ..Default::default() };
        let events: Vec<_> = (request.after + 1..=5).take(2).map(|seq| Ok(event(seq))).collect();
        let ended = request.after + 2 >= 5;
        // Every other time it goes down in good order, every other time it is gone in the middle of the stream.
        let broken = (!ended && request.after == 0).then(|| Err(Status::unavailable("shutting down")));
        Ok(Response::new(Box::pin(tokio_stream::iter(events.into_iter().chain(broken)))))
    }

    async fn logs(&self, request: Request<v1::LogsRequest>) -> std::result::Result<Response<Events>, Status> {
        let after = request.into_inner().after;
        self.asked_after.lock().unwrap().push(after);
        let event = |seq| JobEvent { seq, ..Default::default() };
        let events: Vec<_> = (after + 1..=5).take(2).map(|seq| Ok(event(seq))).collect();
        Ok(Response::new(Box::pin(tokio_stream::iter(events))))
    }

    async fn submit(&self, _: Request<v1::SubmitRequest>) -> std::result::Result<Response<v1::SubmitResponse>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn plan(&self, _: Request<v1::PlanRequest>) -> std::result::Result<Response<v1::PlanResponse>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn get(&self, _: Request<v1::GetJobRequest>) -> std::result::Result<Response<v1::Job>, Status> {
        let asked = self.asked_after.lock().unwrap().len();
        let state = if asked < 2 { v1::JobState::Leased } else { v1::JobState::Succeeded };
        Ok(Response::new(v1::Job { state: state.into(), ..Default::default() }))
    }

    async fn list(
        &self,
        _: Request<v1::ListJobsRequest>,
    ) -> std::result::Result<Response<v1::ListJobsResponse>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn cancel(&self, _: Request<v1::CancelRequest>) -> std::result::Result<Response<v1::CancelResponse>, Status> {
        Err(Status::unimplemented(""))
    }
}

async fn coordinator(jobs: Breaking) -> Coordinator {
    Coordinator::new(Access::plain(serve(Server::builder().add_service(JobsServer::new(jobs))).await).unwrap())
}

#[tokio::test]
async fn every_event_comes_once_over_connections_that_break() {
    let jobs = Breaking::default();
    let coordinator = coordinator(jobs.clone()).await;
    let (mut seen, notes) = (Vec::new(), Mutex::new(Vec::new()));
    let note = |line: &str| notes.lock().unwrap().push(line.to_owned());
    follow("known", Feed::Watch, &coordinator, note, |event| seen.push(event.seq)).await.unwrap();
    assert_eq!(seen, [1, 2, 3, 4, 5]);
    let notes = notes.into_inner().unwrap();
    assert_eq!(notes.len(), 4, "twice lost and twice back: {notes:?}");
    assert!(notes[0].starts_with("lost") && notes[1].contains("is back"), "{notes:?}");
    assert_eq!(*jobs.asked_after.lock().unwrap(), [0, 2, 4]);
}

#[tokio::test]
async fn following_lines_ends_with_the_job_not_with_the_connection() {
    for (follows, expected, asked) in [(true, vec![1, 2, 3, 4, 5], vec![0, 2, 4]), (false, vec![1, 2], vec![0])] {
        let jobs = Breaking::default();
        let coordinator = coordinator(jobs.clone()).await;
        let mut seen = Vec::new();
        let feed = Feed::Logs { follow: follows };
        follow("known", feed, &coordinator, |_| {}, |event| seen.push(event.seq)).await.unwrap();
        assert_eq!((seen, jobs.asked_after.lock().unwrap().clone()), (expected, asked));
    }
}

#[tokio::test]
async fn the_feed_of_all_jobs_goes_on_where_it_was_and_gives_again_what_was_not_taken() {
    let jobs = Breaking::default();
    let coordinator = coordinator(jobs.clone()).await;
    let (mut seen, mut refused) = (Vec::new(), std::collections::BTreeSet::new());
    let take = async |event: &JobEvent| {
        seen.push(event.seq);
        match event.seq {
            // The coordinator cannot be asked about these, the first time.
            1 | 3 if refused.insert(event.seq) => Err(CliError::new(Exit::Unreachable, "away")),
            5 => Err(CliError::refused("enough")),
            _ => Ok(()),
        }
    };
    let ended = follow_all(&coordinator, |_| {}, take).await.unwrap_err();
    assert_eq!(ended.message, "enough");
    assert_eq!(seen, [1, 1, 2, 3, 3, 4, 5]);
    assert_eq!(*jobs.asked_after.lock().unwrap(), [NEW, 0, 2, 2, 4]);
}

#[tokio::test]
async fn the_feed_of_all_jobs_of_a_coordinator_that_is_not_there_is_an_error() {
    let nowhere = Coordinator::new(Access::plain("http://127.0.0.1:9".parse().unwrap()).unwrap());
    let notes = Mutex::new(Vec::new());
    let note = |line: &str| notes.lock().unwrap().push(line.to_owned());
    let error = follow_all(&nowhere, note, async |_| Ok(())).await.unwrap_err();
    assert_eq!((error.exit, notes.into_inner().unwrap().len()), (Exit::Unreachable, 0));
}

#[tokio::test]
async fn a_refusal_is_no_outage() {
    let coordinator = coordinator(Breaking::default()).await;
    let error = follow("unknown", Feed::Watch, &coordinator, |_| {}, |_| {}).await.unwrap_err();
    assert_eq!((error.exit, error.message.as_str()), (crate::error::Exit::NotFound, "no job `unknown`"));
}

#[test]
fn an_outage_is_told_once_and_waits_grow_to_their_limit() {
    let mut outage = Outage::default();
    assert_eq!(outage.over(), None);
    assert!(outage.begins().is_some());
    let waits: Vec<u128> = (0..7).map(|_| outage.wait().as_millis()).collect();
    assert_eq!(waits, [250, 500, 1000, 2000, 4000, 5000, 5000]);
    assert_eq!(outage.begins(), None);
    assert!(outage.over().is_some());
    assert_eq!((outage.over(), outage.wait()), (None, BACKOFF.first));
}

#[test]
fn only_the_last_state_ends_a_job() {
    let event = |state: v1::JobState| JobEvent { event: Some(Event::State(state.into())), ..Default::default() };
    for state in [v1::JobState::Succeeded, v1::JobState::Failed, v1::JobState::Cancelled] {
        assert!(has_ended(&event(state)), "{state:?}");
    }
    for state in [v1::JobState::Queued, v1::JobState::Backoff, v1::JobState::Leased, v1::JobState::Unspecified] {
        assert!(!has_ended(&event(state)), "{state:?}");
    }
    assert!(!has_ended(&JobEvent::default()));
}
