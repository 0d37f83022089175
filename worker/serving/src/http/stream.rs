//! An answer as server-sent events.

use super::answering::Begun;
use crate::reply::Sent;
use axum::response::sse::{Event, KeepAlive};
use axum::response::{IntoResponse, Sse};
use futures::stream::unfold;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::time::Duration;

/// The last event, by which clients know that nothing is missing.
const DONE: &str = "[DONE]";

/// A line that says nothing is sent where nothing else was for so long, so that a client that has gone is noticed.
const PACE: Duration = Duration::from_secs(15);

/// What is sent of an answer.
struct Sending {
    begun: Begun,
    /// Of each of the answers.
    sent: Vec<Sent>,
    queue: VecDeque<String>,
    is_over: bool,
}

/// An answer as events. It is let go of where nobody reads them any more.
pub(super) fn of(begun: Begun) -> impl IntoResponse {
    let queue = (0..begun.choices()).filter_map(|index| begun.head().first(index)).collect();
    let sent = vec![Sent::default(); begun.choices()];
    let sending = Sending { begun, sent, queue, is_over: false };
    let events = unfold(sending, |mut sending| async {
        let text = sending.next().await?;
        Some((Ok::<_, Infallible>(Event::default().data(text)), sending))
    });
    Sse::new(events).keep_alive(KeepAlive::new().interval(PACE))
}

impl Sending {
    async fn next(&mut self) -> Option<String> {
        loop {
            if let Some(text) = self.queue.pop_front() {
                return Some(text);
            }
            if self.is_over {
                return None;
            }
            match self.begun.next().await {
                Some(Ok(delta)) => {
                    let sent = &mut self.sent[delta.index];
                    self.queue.extend(self.begun.head().next(delta, sent));
                }
                Some(Err(error)) => {
                    self.is_over = true;
                    self.queue.push_back(error.to_json().to_string());
                }
                None => {
                    self.is_over = true;
                    let usage = self.begun.usage();
                    self.queue.extend(self.begun.head().last(usage));
                    self.queue.push_back(DONE.to_owned());
                }
            }
        }
    }
}
