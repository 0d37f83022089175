//! The coordinator's part, played by the test: it takes each session as a [`Call`] and has every blob already.

use crate::support::DEADLINE;
use std::pin::Pin;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::transport::Server;
use tonic::{Request, Response, Status, Streaming};
use vertigo::endpoint::Endpoint;
use vertigo::v1::artifacts_server::{Artifacts, ArtifactsServer};
use vertigo::v1::coordinator_message::Message as ToWorker;
use vertigo::v1::fleet_server::{Fleet, FleetServer};
use vertigo::v1::worker_message::Message as FromWorker;
use vertigo::v1::{
    Ack, Artifact, CoordinatorMessage, GetArtifactRequest, Hello, ListArtifactsRequest, ListArtifactsResponse,
    ListWorkersRequest, ListWorkersResponse, MissingBlobsRequest, MissingBlobsResponse, RegisterArtifactRequest,
    Report, Welcome, WorkerMessage,
};

/// A coordinator, and the sessions that are dialled.
pub(crate) struct Coordinator {
    pub(crate) endpoint: Endpoint,
    calls: mpsc::Receiver<Call>,
}

/// One session, as the coordinator sees it.
pub(crate) struct Call {
    inbound: Streaming<WorkerMessage>,
    outbound: mpsc::Sender<Result<CoordinatorMessage, Status>>,
}

impl Coordinator {
    pub(crate) async fn new() -> Coordinator {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        let (sender, calls) = mpsc::channel(4);
        let server =
            Server::builder().add_service(FleetServer::new(Played(sender))).add_service(ArtifactsServer::new(HasAll));
        tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
        Coordinator { endpoint, calls }
    }

    /// The next session.
    pub(crate) async fn call(&mut self) -> Call {
        tokio::time::timeout(DEADLINE, self.calls.recv()).await.expect("a call in time").expect("a call")
    }

    /// The next session, welcomed.
    pub(crate) async fn welcomed(&mut self, acks: Vec<Ack>) -> (Call, Hello) {
        let mut call = self.call().await;
        let hello = call.hello().await;
        call.welcome(acks).await;
        (call, hello)
    }
}

impl Call {
    pub(crate) async fn next(&mut self) -> FromWorker {
        let next = tokio::time::timeout(DEADLINE, self.inbound.message()).await;
        next.expect("a message in time")
            .expect("a connection")
            .expect("a message")
            .message
            .expect("one that says something")
    }

    pub(crate) async fn hello(&mut self) -> Hello {
        match self.next().await {
            FromWorker::Hello(hello) => hello,
            other => panic!("it began with {other:?}"),
        }
    }

    pub(crate) async fn say(&self, message: ToWorker) {
        self.outbound.send(Ok(CoordinatorMessage { message: Some(message) })).await.unwrap();
    }

    pub(crate) async fn refuse(&self, status: Status) {
        self.outbound.send(Err(status)).await.unwrap();
    }

    pub(crate) async fn welcome(&self, acks: Vec<Ack>) {
        self.say(ToWorker::Welcome(Welcome { lease_ms: 30_000, heartbeat_ms: 20, acks })).await;
    }

    /// Reports up to the first that `is_last`.
    pub(crate) async fn reports(&mut self, is_last: impl Fn(&Report) -> bool) -> Vec<Report> {
        let mut reports: Vec<Report> = Vec::new();
        while !reports.iter().any(&is_last) {
            if let FromWorker::Reports(batch) = self.next().await {
                reports.extend(batch.reports);
            }
        }
        reports
    }
}

struct Played(mpsc::Sender<Call>);

#[tonic::async_trait]
impl Fleet for Played {
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

/// A store that has every blob, so that nothing needs to go.
struct HasAll;

#[tonic::async_trait]
impl Artifacts for HasAll {
    async fn missing_blobs(&self, _: Request<MissingBlobsRequest>) -> Result<Response<MissingBlobsResponse>, Status> {
        Ok(Response::new(MissingBlobsResponse::default()))
    }

    async fn register(&self, _: Request<RegisterArtifactRequest>) -> Result<Response<Artifact>, Status> {
        Err(Status::unimplemented("workers do not register"))
    }

    async fn get(&self, request: Request<GetArtifactRequest>) -> Result<Response<Artifact>, Status> {
        Err(Status::not_found(format!("there is no artifact `{}`", request.into_inner().reference)))
    }

    async fn list(&self, _: Request<ListArtifactsRequest>) -> Result<Response<ListArtifactsResponse>, Status> {
        Err(Status::unimplemented("not asked here"))
    }
}
