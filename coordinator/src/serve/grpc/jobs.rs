//! `Jobs`: what people ask of the coordinator.

use super::{caller, traced};
use crate::api::{Api, Events, Told};
use futures::{Stream, StreamExt, stream};
use std::pin::Pin;
use tonic::{Request, Response, Status};
use tracing::{Instrument, info_span};
use vertigo::api_error::ApiError;
use vertigo::feed;
use vertigo::v1::{self, JobEvent};

pub(super) struct Jobs(pub(super) Api);

/// What a call streams.
type Streamed = Pin<Box<dyn Stream<Item = Result<JobEvent, Status>> + Send>>;

/// A feed as gRPC streams it: its end is the stream's, and a feed that was cut off is an error.
fn streamed(events: Events) -> Response<Streamed> {
    let cut_off = stream::once(async { Err(ApiError::internal("the feed was cut off")) });
    let told = events.told.chain(cut_off).scan(false, |is_over, item| {
        let event = match item {
            _ if *is_over => None,
            Ok(Told::Event(event)) => Some(Ok(*event)),
            Ok(Told::End) => None,
            Err(error) => {
                *is_over = true;
                Some(Err(Status::from(error)))
            }
        };
        std::future::ready(event)
    });
    let mut response = Response::new(Box::pin(told) as Streamed);
    feed::tell(response.metadata_mut(), events.from);
    response
}

#[tonic::async_trait]
impl v1::jobs_server::Jobs for Jobs {
    type WatchStream = Streamed;
    type LogsStream = Streamed;

    async fn submit(&self, request: Request<v1::SubmitRequest>) -> Result<Response<v1::SubmitResponse>, Status> {
        let span = traced(request.metadata(), info_span!("submit", job = tracing::field::Empty));
        let (parent, caller) = (vertigo_telemetry::parent_of(request.metadata()), caller(&request)?);
        async {
            // Where the coordinator does not export spans, what follows hangs on the caller's.
            let traceparent = vertigo_telemetry::traceparent().or(parent).unwrap_or_default();
            let queued = self.0.submit(&caller, request.into_inner(), traceparent).await?;
            if let [job] = &queued.jobs[..] {
                tracing::Span::current().record("job", &job.id);
            }
            Ok(Response::new(queued))
        }
        .instrument(span)
        .await
    }

    async fn plan(&self, request: Request<v1::PlanRequest>) -> Result<Response<v1::PlanResponse>, Status> {
        let span = traced(request.metadata(), info_span!("plan"));
        Ok(Response::new(self.0.plan(request.into_inner()).instrument(span).await?))
    }

    async fn get(&self, request: Request<v1::GetJobRequest>) -> Result<Response<v1::Job>, Status> {
        let span = traced(request.metadata(), info_span!("get job"));
        Ok(Response::new(self.0.job(request.into_inner()).instrument(span).await?))
    }

    async fn list(&self, request: Request<v1::ListJobsRequest>) -> Result<Response<v1::ListJobsResponse>, Status> {
        let span = traced(request.metadata(), info_span!("list jobs"));
        Ok(Response::new(self.0.jobs(request.into_inner()).instrument(span).await?))
    }

    async fn watch(&self, request: Request<v1::WatchRequest>) -> Result<Response<Streamed>, Status> {
        let span = traced(request.metadata(), info_span!("watch"));
        Ok(streamed(self.0.watch(request.into_inner()).instrument(span).await?))
    }

    async fn logs(&self, request: Request<v1::LogsRequest>) -> Result<Response<Streamed>, Status> {
        let span = traced(request.metadata(), info_span!("logs"));
        Ok(streamed(self.0.logs(request.into_inner()).instrument(span).await?))
    }

    async fn cancel(&self, request: Request<v1::CancelRequest>) -> Result<Response<v1::CancelResponse>, Status> {
        let caller = caller(&request)?;
        let span = traced(request.metadata(), info_span!("cancel"));
        Ok(Response::new(self.0.cancel(&caller, request.into_inner()).instrument(span).await?))
    }
}
