//! `Fleet`: workers' sessions, and who there is.

use super::bounds::{self, invalid};
use super::sessions::{Opened, Sent};
use super::{Context, blobs_failed, not_applied, pages, reports, stopped, traced, view};
use crate::core::{Command, Connect, Machine, Worker, disk_free};
use std::fmt::Display;
use std::str::FromStr;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};
use tracing::{Instrument, info_span};
use vertigo::bytes::Bytes;
use vertigo::id::{AttemptId, Epoch, ProcessId, WorkerId};
use vertigo::secret::Secret;
use vertigo::v1::worker_message::Message;
use vertigo::v1::{self, report};

/// How long a worker may take to say who it is.
const HELLO: Duration = Duration::from_secs(10);

/// Batches of reports that wait behind one whose blobs are looked for. A worker that sends more has to connect again, which
/// renews its leases, and begins where it was acknowledged.
const WAITING: usize = 256;

pub(super) struct Fleet(pub(super) Context);

#[tonic::async_trait]
impl v1::fleet_server::Fleet for Fleet {
    type SessionStream = ReceiverStream<Sent>;

    async fn session(
        &self,
        request: Request<Streaming<v1::WorkerMessage>>,
    ) -> Result<Response<Self::SessionStream>, Status> {
        let (opened, receiver) = self.0.sessions.open();
        let (context, inbound) = (self.0.clone(), request.into_inner());
        // The stream is answered at once and refusals go through it: a worker may wait for the answer before it says Hello.
        tokio::spawn(async move {
            let (id, sender) = (opened.id, opened.sender.clone());
            if let Err(status) = run(&context, opened, inbound).await {
                // Fails where the worker does not read; it learns when the stream ends.
                let _ = sender.try_send(Err(status));
            }
            context.sessions.close(id);
            // Fails where the coordinator stops; then nobody is connected anyway.
            let _ = context.store.apply(Command::Disconnect { session: id }).await;
        });
        Ok(Response::new(ReceiverStream::new(receiver)))
    }

    async fn list_workers(
        &self,
        request: Request<v1::ListWorkersRequest>,
    ) -> Result<Response<v1::ListWorkersResponse>, Status> {
        let span = traced(request.metadata(), info_span!("list workers"));
        let request = request.into_inner();
        bounds::list_workers(&request)?;
        let (size, after) = (pages::size(request.page_size), after(&request.page_token)?);
        let look = self.0.store.read(move |core| {
            let mut workers: Vec<_> = core.workers().collect();
            workers.sort_by_key(|worker| (worker.name.as_str(), worker.id));
            let is_behind = |worker: &&Worker| {
                after.as_ref().is_none_or(|(name, id)| (worker.name.as_str(), worker.id) > (name, *id))
            };
            pages::page(workers.into_iter().filter(is_behind), size, |worker| view::worker(core, worker), |w| token(w))
        });
        let (workers, next_page_token) = look.instrument(span).await.map_err(stopped)?;
        Ok(Response::new(v1::ListWorkersResponse { workers, next_page_token }))
    }
}

/// Where the page behind this worker begins.
fn token(worker: &Worker) -> String {
    format!("{}.{}", worker.id, worker.name)
}

fn after(token: &str) -> Result<Option<(String, WorkerId)>, Status> {
    let read = |token: &str| {
        let (id, name) = token.split_once('.')?;
        Some((name.to_owned(), id.parse().ok()?))
    };
    match token {
        "" => Ok(None),
        token => read(token).map(Some).ok_or_else(|| invalid("page_token is not one that this list gave")),
    }
}

/// A session from Hello to its end.
async fn run(context: &Context, opened: Opened, mut inbound: Streaming<v1::WorkerMessage>) -> Result<(), Status> {
    let first = timeout(HELLO, inbound.message()).await.map_err(|_| Status::deadline_exceeded("no Hello came"))??;
    let Some(v1::WorkerMessage { message: Some(Message::Hello(hello)) }) = first else {
        return Err(Status::invalid_argument("a session begins with Hello"));
    };
    let hello = connect(&opened, hello)?;
    let name = hello.name.clone();
    context.store.apply(Command::Connect(hello)).await.map_err(not_applied)?;
    tracing::info!(worker = name, "connected");
    let ended = talk(context, &opened, inbound).await;
    match &ended {
        Ok(()) => tracing::info!(worker = name, "disconnected"),
        Err(status) => tracing::info!(worker = name, reason = status.message(), "disconnected"),
    }
    ended
}

async fn talk(context: &Context, opened: &Opened, inbound: Streaming<v1::WorkerMessage>) -> Result<(), Status> {
    let (batches, waiting) = mpsc::channel(WAITING);
    // Reports wait for the store of blobs, which may be slow. Heartbeats must not wait behind them, or the lease of an attempt that
    // is well would end. What is not taken when the session ends comes again with the next.
    tokio::select! {
        ended = take_batches(context, opened, waiting) => ended,
        ended = listen(context, opened, inbound, batches) => ended,
    }
}

async fn listen(
    context: &Context,
    opened: &Opened,
    mut inbound: Streaming<v1::WorkerMessage>,
    batches: mpsc::Sender<v1::ReportBatch>,
) -> Result<(), Status> {
    loop {
        let message = tokio::select! {
            // Longer than a lease without a word: nobody is there, whatever TCP thinks.
            message = timeout(context.lease, inbound.message()) => {
                message.map_err(|_| Status::deadline_exceeded("no heartbeat came for the length of a lease"))?
            }
            () = opened.over.cancelled() => return Ok(()),
            () = opened.sender.closed() => return Ok(()),
        };
        // An error is the worker's connection that broke: nobody is left to be told.
        let Ok(Some(message)) = message else { return Ok(()) };
        let session = opened.id;
        let command = match message.message {
            Some(Message::Hello(_)) => return Err(Status::invalid_argument("Hello comes once")),
            Some(Message::Heartbeat(mut heartbeat)) => {
                bounds::heartbeat(&mut heartbeat)?;
                let (free, disk_free) = (Bytes(heartbeat.free_bytes), disk_free(heartbeat.disk_free_bytes));
                Command::Heartbeat { session, free, disk_free, held: held(heartbeat.held)? }
            }
            Some(Message::Reports(mut batch)) => {
                bounds::reports(&mut batch)?;
                let behind = |_| Status::unavailable("the coordinator is behind with reports; connect again");
                batches.try_send(batch).map_err(behind)?;
                continue;
            }
            Some(Message::Drain(_)) => Command::Drain { session },
            // A message of a later version.
            None => continue,
        };
        context.store.apply(command).await.map_err(not_applied)?;
    }
}

/// In the order in which they came.
async fn take_batches(
    context: &Context,
    opened: &Opened,
    mut waiting: mpsc::Receiver<v1::ReportBatch>,
) -> Result<(), Status> {
    while let Some(batch) = waiting.recv().await {
        take_reports(context, opened, batch).await?;
    }
    Ok(())
}

async fn take_reports(context: &Context, opened: &Opened, batch: v1::ReportBatch) -> Result<(), Status> {
    let attempt: AttemptId = parse(&batch.attempt_id)?;
    let ends = batch.reports.iter().any(|report| matches!(report.body, Some(report::Body::Finished(_))));
    let take = async {
        let mut reports = Vec::with_capacity(batch.reports.len());
        for report in batch.reports {
            reports.push(reports::read(report, &context.blobs).await.map_err(blobs_failed)?);
        }
        let command = Command::Reports { session: opened.id, attempt, epoch: Epoch(batch.epoch), reports };
        context.store.apply(command).await.map_err(not_applied)
    };
    if !ends {
        return take.await;
    }
    // The end of an attempt, in its job's trace.
    let job = context
        .store
        .read(move |core| core.attempt(attempt).and_then(|a| core.job(a.job)).map(|j| j.traceparent.clone()));
    let span = info_span!("finish", %attempt, epoch = batch.epoch);
    if let Some(parent) = job.await.map_err(stopped)? {
        vertigo_telemetry::set_parent(&span, &parent);
    }
    take.instrument(span).await
}

fn parse<T: FromStr<Err: Display>>(text: &str) -> Result<T, Status> {
    text.parse().map_err(|error: T::Err| invalid(error))
}

fn held(held: Vec<v1::Held>) -> Result<Vec<(AttemptId, Epoch)>, Status> {
    held.into_iter().map(|held| Ok((parse(&held.attempt_id)?, Epoch(held.epoch)))).collect()
}

fn connect(opened: &Opened, mut hello: v1::Hello) -> Result<Connect, Status> {
    bounds::hello(&mut hello)?;
    let secret = Secret::try_from(&hello.secret[..]).map_err(|error| {
        Status::invalid_argument(format!("{error}: this worker is of another version than the coordinator"))
    })?;
    let machine = hello.machine.unwrap_or_default();
    Ok(Connect {
        session: opened.id,
        worker: parse::<WorkerId>(&hello.worker_id)?,
        secret: secret.hash(),
        process: parse::<ProcessId>(&hello.process)?,
        name: hello.name,
        machine: Machine {
            chip: machine.chip,
            os: machine.os,
            memory: Bytes(machine.memory_bytes),
            gpu_limit: Bytes(machine.gpu_limit_bytes),
            usable: Bytes(machine.usable_bytes),
            free: Bytes(machine.free_bytes),
            version: machine.version,
            disk_free: disk_free(machine.disk_free_bytes),
            gpu_slots: machine.gpu_slots,
            cpu_slots: machine.cpu_slots,
        },
        held: held(hello.held)?,
    })
}

#[cfg(test)]
mod tests;
