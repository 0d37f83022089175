//! `GET /v1/events`: what happens, as server-sent events.
//!
//! Each event's `id` is its position in the journal and its `data` a view as JSON. With `job=JOB` it is all that happened to that job and
//! then what happens, until the job has ended, when `event: end` says that no more will come; without, it is what happens to all jobs
//! from now on, without an end. `after=SEQ`, or the `Last-Event-ID` that browsers send when they connect again, goes on behind an event.
//! `event: failed` carries an error as JSON, and is the last.

use super::{Refused, query};
use crate::api::Api;
use crate::serve::traced;
use axum::extract::{RawQuery, State};
use axum::http::HeaderMap;
use axum::response::IntoResponse;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures::{StreamExt, stream};
use query::Query;
use std::convert::Infallible;
use tracing::{Instrument, info_span};
use vertigo::api_error::ApiError;
use vertigo::v1::JobEvent;

pub(super) async fn stream(
    State(api): State<Api>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Result<impl IntoResponse, Refused> {
    let mut query = Query::read(query.as_deref());
    let (job, after) = (query.text("job")?, query.maybe_number("after")?);
    query.end()?;
    let seen = headers.get("last-event-id").and_then(|value| value.to_str().ok());
    let request = query::watch(job, query::after(seen, after)?);
    let events = api.watch(request).instrument(traced(&headers, info_span!("events"))).await?;
    // An error is the feed's last item: then nothing says that the job has ended.
    let told = events.map(Some).chain(stream::iter([None])).scan(false, |failed, item| {
        let event = match item {
            Some(Ok(event)) => Some(happened(&event)),
            Some(Err(error)) => {
                *failed = true;
                Some(broken(error))
            }
            None => (!*failed).then(|| Event::default().event("end").data("{}")),
        };
        std::future::ready(event.map(Ok::<_, Infallible>))
    });
    Ok(Sse::new(told).keep_alive(KeepAlive::default()))
}

fn happened(event: &JobEvent) -> Event {
    let told = Event::default().id(event.seq.to_string());
    told.json_data(vertigo_view::Event::from(event)).unwrap_or_else(|error| broken(ApiError::internal(error)))
}

fn broken(error: ApiError) -> Event {
    // A JSON text has no line breaks of its own.
    Event::default().event("failed").data(Refused(error).json().to_string())
}
