//! `GET /v1/events`: what happens, as server-sent events.
//!
//! Each event's `id` is its position in the journal and its `data` a view as JSON; the first block has an `id` alone, the position that the
//! feed begins behind. With `job=JOB` it is all that happened to that job and then what happens, until the job has ended, when
//! `event: end` says that no more will come; without, it is what happens to all jobs from now on, without an end. `after=SEQ`, or the
//! `Last-Event-ID` that browsers send when they connect again, goes on behind an event; where the job has ended and nothing is behind it,
//! the answer is 204, which tells a browser to stop. `event: failed` carries an error as JSON, and is the last; a stream that stops
//! without it or `end` was cut off.

use super::query::{self, Query};
use super::{Refused, text};
use crate::api::{Api, Told};
use crate::serve::traced;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures::{StreamExt, stream};
use std::convert::Infallible;
use std::pin::Pin;
use tracing::{Instrument, info_span};
use vertigo::api_error::ApiError;
use vertigo::printable;

pub(super) async fn stream(
    State(api): State<Api>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Result<Response, Refused> {
    let mut query = Query::read(query.as_deref());
    let (job, after) = (query.name("job")?, query.maybe_number("after")?);
    query.end()?;
    let after = query::after(&headers, after)?;
    let span = traced(&headers, info_span!("events"));
    // Before the feed is opened: what it ends with then is all there is.
    let is_over = match &job {
        Some(job) => api.has_ended(job.clone()).await?,
        None => false,
    };
    let events = api.watch(query::watch(job, after)).instrument(span).await?;
    let mut told = events.told.peekable();
    if is_over && after.is_some() && matches!(Pin::new(&mut told).peek().await, Some(Ok(Told::End))) {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let begin = stream::once(async move { Event::default().id(events.from.to_string()) });
    let told = begin.chain(told.map(written)).map(Ok::<_, Infallible>);
    Ok(Sse::new(told).keep_alive(KeepAlive::default()).into_response())
}

fn written(told: Result<Told, ApiError>) -> Event {
    match told {
        Ok(Told::Event(event)) => match text(&vertigo_view::Event::from(&*event)) {
            Ok(data) => Event::default().id(event.seq.to_string()).data(data),
            Err(error) => broken(&error),
        },
        Ok(Told::End) => Event::default().event("end").data("{}"),
        Err(error) => broken(&error),
    }
}

fn broken(error: &ApiError) -> Event {
    // JSON has no line breaks of its own.
    Event::default().event("failed").data(printable::json(&error.to_json().to_string()))
}
