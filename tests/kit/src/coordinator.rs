//! The coordinator's part, played by a test: it takes each session as a [`Call`] and has every blob already.

use crate::waiting::soon;
use std::net::Ipv4Addr;
use std::pin::Pin;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::transport::Server;
use tonic::transport::server::Router;
use tonic::{Request, Response, Status, Streaming};
use vertigo::endpoint::Endpoint;
use vertigo::v1::artifacts_server::{Artifacts, ArtifactsServer};
use vertigo::v1::coordinator_message::Message as ToWorker;
use vertigo::v1::fleet_server::{Fleet, FleetServer};
use vertigo::v1::worker_message::Message as FromWorker;
use vertigo::v1::{
    Ack, Artifact, CoordinatorMessage, DrainWorkerRequest, GetArtifactRequest, Hello, ListArtifactsRequest,
    ListArtifactsResponse, ListWorkersRequest, ListWorkersResponse, MissingBlobsRequest, MissingBlobsResponse,
    RegisterArtifactRequest, RemoveWorkerRequest, Report, ResumeWorkerRequest, SetWorkerRequest, UpgradeWorkerRequest,
    Welcome, Worker, WorkerMessage,
};

/// An address of this machine that nobody else has, and who listens there.
///
/// # Panics
/// Where the system has none.
pub async fn listen() -> (TcpListener, Endpoint) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("loopback has a free port");
    let address = listener.local_addr().expect("a listener has an address");
    (listener, address.to_string().parse().expect("loopback is an endpoint"))
}

/// Serves gRPC for as long as the test runs.
///
/// # Panics
/// As [`listen`].
pub async fn serve(services: Router) -> Endpoint {
    let (listener, endpoint) = listen().await;
    tokio::spawn(services.serve_with_incoming(TcpListenerStream::new(listener)));
    endpoint
}

/// A coordinator, and the sessions that are dialled.
#[derive(Debug)]
pub struct Coordinator {
    /// Where it is.
    pub endpoint: Endpoint,
    calls: mpsc::Receiver<Call>,
}

/// One session, as the coordinator sees it.
#[derive(Debug)]
pub struct Call {
    inbound: Streaming<WorkerMessage>,
    outbound: mpsc::Sender<Result<CoordinatorMessage, Status>>,
}

impl Coordinator {
    /// Begins to listen.
    ///
    /// # Panics
    /// As [`listen`].
    pub async fn new() -> Coordinator {
        let (sender, calls) = mpsc::channel(4);
        let services =
            Server::builder().add_service(FleetServer::new(Played(sender))).add_service(ArtifactsServer::new(HasAll));
        Coordinator { endpoint: serve(services).await, calls }
    }

    /// The next session.
    ///
    /// # Panics
    /// Where none is dialled.
    pub async fn call(&mut self) -> Call {
        soon("a call", self.calls.recv()).await.expect("it listens for as long as this is there")
    }

    /// The next session, welcomed.
    ///
    /// # Panics
    /// As [`call`](Coordinator::call).
    pub async fn welcomed(&mut self, acks: Vec<Ack>) -> (Call, Hello) {
        let mut call = self.call().await;
        let hello = call.hello().await;
        call.welcome(acks).await;
        (call, hello)
    }
}

impl Call {
    /// What the worker says next.
    ///
    /// # Panics
    /// Where it says nothing, or is gone.
    pub async fn next(&mut self) -> FromWorker {
        let next = soon("a message", self.inbound.message()).await.expect("a connection").expect("a message");
        next.message.expect("one that says something")
    }

    /// Its first words.
    ///
    /// # Panics
    /// Where it begins otherwise.
    pub async fn hello(&mut self) -> Hello {
        match self.next().await {
            FromWorker::Hello(hello) => hello,
            other => panic!("it began with {other:?}"),
        }
    }

    /// Says something to the worker.
    ///
    /// # Panics
    /// Where it is gone.
    pub async fn say(&self, message: ToWorker) {
        self.outbound.send(Ok(CoordinatorMessage { message: Some(message) })).await.expect("the worker is there");
    }

    /// Ends the session.
    ///
    /// # Panics
    /// As [`say`](Call::say).
    pub async fn refuse(&self, status: Status) {
        self.outbound.send(Err(status)).await.expect("the worker is there");
    }

    /// Lets the worker begin.
    ///
    /// # Panics
    /// As [`say`](Call::say).
    pub async fn welcome(&self, acks: Vec<Ack>) {
        self.say(ToWorker::Welcome(Welcome { lease_ms: 30_000, heartbeat_ms: 20, acks })).await;
    }

    /// Reports up to the first that `is_last`.
    ///
    /// # Panics
    /// As [`next`](Call::next).
    pub async fn reports(&mut self, is_last: impl Fn(&Report) -> bool) -> Vec<Report> {
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

    async fn drain_worker(&self, _: Request<DrainWorkerRequest>) -> Result<Response<Worker>, Status> {
        Err(Status::unimplemented("not asked here"))
    }

    async fn resume_worker(&self, _: Request<ResumeWorkerRequest>) -> Result<Response<Worker>, Status> {
        Err(Status::unimplemented("not asked here"))
    }

    async fn set_worker(&self, _: Request<SetWorkerRequest>) -> Result<Response<Worker>, Status> {
        Err(Status::unimplemented("not asked here"))
    }

    async fn upgrade_worker(&self, _: Request<UpgradeWorkerRequest>) -> Result<Response<Worker>, Status> {
        Err(Status::unimplemented("not asked here"))
    }

    async fn remove_worker(&self, _: Request<RemoveWorkerRequest>) -> Result<Response<Worker>, Status> {
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
