//! `Fleet`: workers' sessions, who there is, and what people do with them.

use super::sessions::{Opened, Sent};
use super::{Context, caller, traced};
use crate::api::reports::Holding;
use crate::api::{Caller, bounds, reports};
use crate::core::{Command, Conditions, Connect, Core, Machine, Reboot, disk_free};
use std::fmt::Display;
use std::str::FromStr;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};
use tracing::{Instrument, info_span};
use vertigo::api_error::ApiError;
use vertigo::bytes::Bytes;
use vertigo::id::{AttemptId, Epoch, Millis, ProcessId, WorkerId};
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
        let caller = caller(&request)?;
        let (opened, receiver) = self.0.sessions.open();
        let (context, inbound) = (self.0.clone(), request.into_inner());
        // The stream is answered at once and refusals go through it: a worker may wait for the answer before it says Hello.
        tokio::spawn(async move {
            let (id, sender) = (opened.id, opened.sender.clone());
            if let Err(status) = run(&context, &caller, opened, inbound).await {
                // Fails where the worker does not read; it learns when the stream ends.
                let _ = sender.try_send(Err(status));
            }
            context.sessions.close(id);
            // Fails where the coordinator stops; then nobody is connected anyway.
            let _ = context.api.apply(Command::Disconnect { session: id }).await;
        });
        Ok(Response::new(ReceiverStream::new(receiver)))
    }

    async fn list_workers(
        &self,
        request: Request<v1::ListWorkersRequest>,
    ) -> Result<Response<v1::ListWorkersResponse>, Status> {
        let span = traced(request.metadata(), info_span!("list workers"));
        Ok(Response::new(self.0.api.workers(request.into_inner()).instrument(span).await?))
    }

    async fn drain_worker(&self, request: Request<v1::DrainWorkerRequest>) -> Result<Response<v1::Worker>, Status> {
        let (caller, span) = (caller(&request)?, traced(request.metadata(), info_span!("drain worker")));
        Ok(Response::new(self.0.api.drain_worker(&caller, request.into_inner()).instrument(span).await?))
    }

    async fn resume_worker(&self, request: Request<v1::ResumeWorkerRequest>) -> Result<Response<v1::Worker>, Status> {
        let (caller, span) = (caller(&request)?, traced(request.metadata(), info_span!("resume worker")));
        Ok(Response::new(self.0.api.resume_worker(&caller, request.into_inner()).instrument(span).await?))
    }

    async fn set_worker(&self, request: Request<v1::SetWorkerRequest>) -> Result<Response<v1::Worker>, Status> {
        let (caller, span) = (caller(&request)?, traced(request.metadata(), info_span!("set worker")));
        Ok(Response::new(self.0.api.set_worker(&caller, request.into_inner()).instrument(span).await?))
    }

    async fn upgrade_worker(&self, request: Request<v1::UpgradeWorkerRequest>) -> Result<Response<v1::Worker>, Status> {
        let (caller, span) = (caller(&request)?, traced(request.metadata(), info_span!("upgrade worker")));
        Ok(Response::new(self.0.api.upgrade_worker(&caller, request.into_inner()).instrument(span).await?))
    }

    async fn remove_worker(&self, request: Request<v1::RemoveWorkerRequest>) -> Result<Response<v1::Worker>, Status> {
        let (caller, span) = (caller(&request)?, traced(request.metadata(), info_span!("remove worker")));
        Ok(Response::new(self.0.api.remove_worker(&caller, request.into_inner()).instrument(span).await?))
    }
}

/// A session from Hello to its end.
async fn run(
    context: &Context,
    caller: &Caller,
    opened: Opened,
    mut inbound: Streaming<v1::WorkerMessage>,
) -> Result<(), Status> {
    let first = timeout(HELLO, inbound.message()).await.map_err(|_| Status::deadline_exceeded("no Hello came"))??;
    let Some(v1::WorkerMessage { message: Some(Message::Hello(hello)) }) = first else {
        return Err(Status::invalid_argument("a session begins with Hello"));
    };
    let hello = connect(&opened, hello)?;
    // Over TLS a worker is who its certificate says, before it is who holds its secret.
    if caller.worker.is_some_and(|id| id != hello.worker) {
        return Err(caller.may_not("speak as another worker than the one that joined").into());
    }
    let (name, said) = (hello.name.clone(), (hello.away.clone(), hello.conditions));
    context.api.apply(Command::Connect(hello)).await?;
    tracing::info!(worker = name, "connected");
    let ended = talk(context, &opened, inbound, said).await;
    match &ended {
        Ok(()) => tracing::info!(worker = name, "disconnected"),
        Err(status) => tracing::info!(worker = name, reason = status.message(), "disconnected"),
    }
    ended
}

async fn talk(
    context: &Context,
    opened: &Opened,
    inbound: Streaming<v1::WorkerMessage>,
    said: (Option<String>, Conditions),
) -> Result<(), Status> {
    let (batches, waiting) = mpsc::channel(WAITING);
    // Reports wait for the store of blobs, which may be slow. Heartbeats must not wait behind them, or the lease of an attempt that
    // is well would end. What is not taken when the session ends comes again with the next.
    tokio::select! {
        biased;
        ended = take_batches(context, opened, waiting) => ended,
        ended = listen(context, opened, inbound, batches, said) => ended,
    }
}

async fn listen(
    context: &Context,
    opened: &Opened,
    mut inbound: Streaming<v1::WorkerMessage>,
    batches: mpsc::Sender<v1::ReportBatch>,
    (mut away, mut conditions): (Option<String>, Conditions),
) -> Result<(), Status> {
    loop {
        let message = tokio::select! {
            // What comes on a session that is over is not taken.
            biased;
            () = opened.over.cancelled() => return Ok(()),
            () = opened.sender.closed() => return Ok(()),
            // Longer than a lease without a word: nobody is there, whatever TCP thinks.
            message = timeout(context.lease, inbound.message()) => {
                message.map_err(|_| Status::deadline_exceeded("no heartbeat came for the length of a lease"))?
            }
        };
        // An error is the worker's connection that broke: nobody is left to be told.
        let Ok(Some(message)) = message else { return Ok(()) };
        let session = opened.id;
        let command = match message.message {
            Some(Message::Hello(_)) => return Err(Status::invalid_argument("Hello comes once")),
            Some(Message::Heartbeat(mut heartbeat)) => {
                bounds::heartbeat(&mut heartbeat)?;
                let says = Some(heartbeat.away).filter(|reason| !reason.is_empty());
                if says != away {
                    away.clone_from(&says);
                    context.api.apply(Command::Away { session, reason: says }).await?;
                }
                let says = self::conditions(heartbeat.conditions);
                if says != conditions {
                    conditions = says;
                    context.api.apply(Command::Conditions { session, conditions }).await?;
                }
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
        context.api.apply(command).await?;
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

async fn take_reports(context: &Context, opened: &Opened, batch: v1::ReportBatch) -> Result<(), ApiError> {
    let attempt: AttemptId = parse(&batch.attempt_id)?;
    let ends = batch.reports.iter().any(|report| matches!(report.body, Some(report::Body::Finished(_))));
    let take = async {
        let mut reports = Vec::with_capacity(batch.reports.len());
        let mut blobs = Holding::new(context.api.blobs());
        for report in batch.reports {
            reports.push(reports::read(report, &mut blobs).await?);
        }
        let command = Command::Reports { session: opened.id, attempt, epoch: Epoch(batch.epoch), reports };
        context.api.apply_holding(command, blobs.into_held()).await
    };
    if !ends {
        return take.await;
    }
    // The end of an attempt, in its job's trace.
    let job = move |core: &Core| core.attempt(attempt).and_then(|a| core.job(a.job)).map(|j| j.traceparent.clone());
    let span = info_span!("finish", %attempt, epoch = batch.epoch);
    if let Some(parent) = context.api.look(move |core| Ok(job(core))).await? {
        vertigo_telemetry::set_parent(&span, &parent);
    }
    take.instrument(span).await
}

fn parse<T: FromStr<Err: Display>>(text: &str) -> Result<T, ApiError> {
    text.parse().map_err(|error: T::Err| ApiError::invalid(error))
}

fn held(held: Vec<v1::Held>) -> Result<Vec<(AttemptId, Epoch)>, ApiError> {
    held.into_iter().map(|held| Ok((parse(&held.attempt_id)?, Epoch(held.epoch)))).collect()
}

fn connect(opened: &Opened, mut hello: v1::Hello) -> Result<Connect, ApiError> {
    bounds::hello(&mut hello)?;
    let secret = Secret::try_from(&hello.secret[..]).map_err(|error| {
        ApiError::invalid(format!("{error}: this worker is of another version than the coordinator"))
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
            service_slots: machine.service_slots,
            edition: machine.edition,
        },
        held: held(hello.held)?,
        away: Some(hello.away).filter(|reason| !reason.is_empty()),
        conditions: conditions(hello.conditions),
        reboots: hello.reboots.into_iter().map(reboot).collect::<Result<_, _>>()?,
    })
}

fn conditions(said: Option<v1::Conditions>) -> Conditions {
    let Some(said) = said else { return Conditions::default() };
    let is_watched = match said.screen() {
        v1::Screen::Unspecified => None,
        v1::Screen::Watched => Some(true),
        v1::Screen::Unwatched => Some(false),
    };
    Conditions { is_watched, withheld: Bytes(said.withheld_bytes) }
}

fn reboot(it: v1::Reboot) -> Result<Reboot, ApiError> {
    Ok(Reboot {
        boot: it.boot,
        at: Millis(it.at_ms),
        panic: it.panicked.then_some(it.panic),
        attempts: it.attempt_ids.iter().map(|id| parse(id)).collect::<Result<_, _>>()?,
    })
}

#[cfg(test)]
mod tests;
