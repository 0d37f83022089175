//! One direction of a line: frames in order, late, and cut off after any byte.

use crate::chance::Chance;
use crate::network::{Gate, Open};
use http_body::Frame;
use std::any::Any;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tonic::Status;
use tonic::codegen::{Bytes, http};

/// What travels.
pub(crate) enum Item {
    Head(Box<http::response::Parts>),
    Frame(Frame<Bytes>),
    End,
    /// The other end has let go: the token ends what goes on here.
    Abort(CancellationToken),
}

#[derive(Clone)]
pub(crate) struct Sender(mpsc::UnboundedSender<Item>);

pub(crate) type Receiver = mpsc::UnboundedReceiver<Item>;

/// Sees bytes as they are delivered.
pub(crate) type Seen = Box<dyn Fn(&[u8]) + Send>;

/// A direction that delivers in order, each item after a delay and while it is open, until it is cut.
pub(crate) fn pipe(
    delay: Arc<dyn Fn() -> Duration + Send + Sync>,
    open: Arc<Gate>,
    is_open: fn(&Open) -> bool,
    cut: CancellationToken,
    chance: Chance,
    seen: Option<Seen>,
) -> (Sender, Receiver) {
    let (sender, mut sent) = mpsc::unbounded_channel::<Item>();
    let (stamped, mut queue) = mpsc::unbounded_channel();
    let (deliver, receiver) = mpsc::unbounded_channel();
    // Items are late by themselves, not by those before them: only their order is kept.
    tokio::spawn(async move {
        let mut latest = Instant::now();
        while let Some(item) = sent.recv().await {
            latest = latest.max(Instant::now() + delay());
            if stamped.send((latest, item)).is_err() {
                return;
            }
        }
    });
    tokio::spawn(async move {
        while let Some((at, item)) = queue.recv().await {
            let arrives = async {
                sleep_until(at).await;
                open.wait_for(is_open).await;
            };
            let is_whole = cut.run_until_cancelled(arrives).await.is_some();
            let item = if is_whole { item } else { torn(item, &chance) };
            if let (Item::Frame(frame), Some(seen)) = (&item, &seen)
                && let Some(data) = frame.data_ref()
            {
                seen(data);
            }
            match item {
                Item::Abort(ends) => ends.cancel(),
                item => {
                    if deliver.send(item).is_err() {
                        return;
                    }
                }
            }
            if !is_whole {
                // Held open and silent: the end hears of the cut in its own time.
                return deliver.closed().await;
            }
        }
    });
    (Sender(sender), receiver)
}

/// What arrives of an item that is cut off.
fn torn(item: Item, chance: &Chance) -> Item {
    match item {
        Item::Frame(frame) => match frame.into_data() {
            Ok(data) => {
                let bytes = chance.below(data.len() + 1);
                Item::Frame(Frame::data(data.slice(..bytes)))
            }
            Err(_) => Item::Frame(Frame::data(Bytes::new())),
        },
        _ => Item::Frame(Frame::data(Bytes::new())),
    }
}

impl Sender {
    pub(crate) fn send(&self, item: Item) {
        // Fails where nobody listens any more.
        let _ = self.0.send(item);
    }

    /// Sends all of a body, and its end unless it breaks off.
    pub(crate) async fn carry<B>(&self, body: B)
    where
        B: tonic::codegen::Body<Data = Bytes> + Send,
    {
        let mut body = pin!(body);
        while let Some(Ok(frame)) = poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
            self.send(Item::Frame(frame));
        }
        self.send(Item::End);
    }
}

/// The receiving end, as a body: an error once its `dead` token is cancelled.
pub(crate) struct Inbound {
    items: Receiver,
    dead: Pin<Box<WaitForCancellationFutureOwned>>,
    is_over: bool,
    /// Dropped with it.
    _farewell: Option<Box<dyn Any + Send>>,
}

impl Inbound {
    pub(crate) fn new(items: Receiver, dead: CancellationToken, farewell: Option<Box<dyn Any + Send>>) -> Inbound {
        Inbound { items, dead: Box::pin(dead.cancelled_owned()), is_over: false, _farewell: farewell }
    }

    fn poll_item(&mut self, cx: &mut Context<'_>) -> Poll<Result<Item, Status>> {
        if self.dead.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Err(Status::unavailable("the connection is broken")));
        }
        match self.items.poll_recv(cx) {
            Poll::Ready(Some(item)) => Poll::Ready(Ok(item)),
            Poll::Ready(None) => Poll::Ready(Err(Status::unavailable("the connection was closed"))),
            Poll::Pending => Poll::Pending,
        }
    }

    /// The head of an answer.
    pub(crate) async fn head(&mut self) -> Result<http::response::Parts, Status> {
        loop {
            match poll_fn(|cx| self.poll_item(cx)).await? {
                Item::Head(parts) => return Ok(*parts),
                Item::Frame(_) | Item::Abort(_) => {}
                Item::End => return Err(Status::unavailable("the connection was closed")),
            }
        }
    }
}

impl tonic::codegen::Body for Inbound {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if self.is_over {
            return Poll::Ready(None);
        }
        loop {
            let item = match self.poll_item(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(item)) => item,
                Poll::Ready(Err(status)) => {
                    self.is_over = true;
                    return Poll::Ready(Some(Err(status)));
                }
            };
            match item {
                Item::Frame(frame) => return Poll::Ready(Some(Ok(frame))),
                Item::End => {
                    self.is_over = true;
                    return Poll::Ready(None);
                }
                Item::Head(_) | Item::Abort(_) => {}
            }
        }
    }
}
