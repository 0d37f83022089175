//! gRPC as bytes: messages in a body, of which nobody here knows what they say.

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Request, Response};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use futures::StreamExt;
use futures::channel::mpsc;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tonic::client::GrpcService;
use tonic::transport::Channel;

/// What stands before a message: whether it is compressed, and its length.
const HEADER_BYTES: usize = 5;

/// The trailer, or the header, that says how a call ended.
pub(crate) const STATUS: &str = "grpc-status";

/// Messages, put together from a body's pieces.
#[derive(Debug, Default)]
pub(crate) struct Messages(BytesMut);

impl Messages {
    /// Those that are whole with this piece.
    pub(crate) fn after(&mut self, piece: &[u8]) -> Vec<Bytes> {
        self.0.put_slice(piece);
        let mut whole = Vec::new();
        while let Some(header) = self.0.first_chunk::<HEADER_BYTES>() {
            assert_eq!(header[0], 0, "nobody here was told that messages may be compressed");
            let length = u32::from_be_bytes([header[1], header[2], header[3], header[4]]) as usize;
            if self.0.len() < HEADER_BYTES + length {
                break;
            }
            self.0.advance(HEADER_BYTES);
            whole.push(self.0.split_to(length).freeze());
        }
        whole
    }
}

/// A message as it stands in a body.
fn framed(message: &[u8]) -> Bytes {
    let mut framed = BytesMut::with_capacity(HEADER_BYTES + message.len());
    framed.put_u8(0);
    framed.put_u32(u32::try_from(message.len()).expect("messages are short"));
    framed.put_slice(message);
    framed.freeze()
}

/// What one side of a call says: dropped, it has no more to say.
pub(crate) type Says = mpsc::UnboundedSender<Bytes>;

/// A body of the messages that will be said.
pub(crate) fn saying() -> (Says, Body) {
    let (says, messages) = mpsc::unbounded::<Bytes>();
    (says, Body::from_stream(messages.map(|message| Ok::<_, Infallible>(framed(&message)))))
}

/// A call under way, by whoever made it.
#[derive(Debug)]
pub(crate) struct Call {
    answer: Body,
    messages: Messages,
    whole: std::collections::VecDeque<Bytes>,
    status: Option<String>,
    /// The code by which programs tell refusals apart.
    code: String,
}

/// Calls `path` with the messages of `body`.
pub(crate) async fn call(mut channel: Channel, path: &str, body: Body) -> Call {
    let request = Request::post(path).header("content-type", "application/grpc").header("te", "trailers");
    let request = request.body(tonic::body::Body::new(body)).expect("a path is a URI");
    let answer = send(&mut channel, request).await;
    let (status, code) = (status(answer.headers()), code(answer.headers()));
    Call { answer: answer.into_body(), messages: Messages::default(), whole: Default::default(), status, code }
}

/// Sends a request that is one of gRPC's as it is.
pub(crate) async fn send(channel: &mut Channel, request: Request<tonic::body::Body>) -> Response<Body> {
    futures::future::poll_fn(|context| channel.poll_ready(context)).await.expect("a coordinator");
    channel.call(request).await.expect("an answer").map(Body::new)
}

/// How a call ended, as headers or trailers say it.
pub(crate) fn status(headers: &HeaderMap) -> Option<String> {
    headers.get(STATUS).and_then(|status| status.to_str().ok()).map(str::to_owned)
}

fn code(headers: &HeaderMap) -> String {
    headers.get("vertigo-code").and_then(|code| code.to_str().ok()).unwrap_or_default().to_owned()
}

impl Call {
    /// Why it was refused, where it was.
    pub(crate) fn code(&self) -> String {
        self.code.clone()
    }

    /// The next message, or how the call ended.
    pub(crate) async fn next(&mut self) -> Result<Bytes, String> {
        loop {
            if let Some(message) = self.whole.pop_front() {
                return Ok(message);
            }
            if let Some(status) = &self.status {
                return Err(status.clone());
            }
            match std::future::poll_fn(|context| http_body::Body::poll_frame(Pin::new(&mut self.answer), context)).await
            {
                None => self.status = Some("none".to_owned()),
                Some(Err(error)) => self.status = Some(error.to_string()),
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(piece) => self.whole.extend(self.messages.after(&piece)),
                    Err(frame) => {
                        let trailers = frame.into_trailers().unwrap_or_default();
                        (self.status, self.code) = (status(&trailers), code(&trailers));
                    }
                },
            }
        }
    }
}

/// A body on its way, which shows each frame to `seen`, and its end.
pub(crate) struct Passing<F> {
    body: Body,
    seen: F,
}

/// What is seen of a body on its way.
pub(crate) enum Seen<'a> {
    /// A piece of it.
    Piece(&'a Bytes),
    /// How the call ended.
    Trailers(&'a HeaderMap),
    /// No more comes.
    End,
}

impl<F: FnMut(Seen<'_>)> Passing<F> {
    /// The body, seen.
    pub(crate) fn new(body: Body, seen: F) -> Passing<F> {
        Passing { body, seen }
    }
}

impl<F: FnMut(Seen<'_>) + Unpin> http_body::Body for Passing<F> {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, axum::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        match &frame {
            Some(Ok(frame)) => match (frame.data_ref(), frame.trailers_ref()) {
                (Some(piece), _) => (self.seen)(Seen::Piece(piece)),
                (_, Some(trailers)) => (self.seen)(Seen::Trailers(trailers)),
                _ => {}
            },
            Some(Err(_)) => {}
            None => (self.seen)(Seen::End),
        }
        Poll::Ready(frame)
    }
}

/// An answer of these messages, which ends well once no more are said.
pub(crate) fn answer(body: Body) -> Response<Body> {
    let mut response = Response::new(Body::new(Ending { body, is_over: false }));
    response.headers_mut().insert("content-type", HeaderValue::from_static("application/grpc"));
    response
}

/// An answer that is only a status.
pub(crate) fn refuse(status: &'static str) -> Response<Body> {
    let mut response = answer(Body::empty());
    response.headers_mut().insert(STATUS, HeaderValue::from_static(status));
    response
}

/// A body with the status of success behind it.
struct Ending {
    body: Body,
    is_over: bool,
}

impl http_body::Body for Ending {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, axum::Error>>> {
        if self.is_over {
            return Poll::Ready(None);
        }
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        if frame.is_some() {
            return Poll::Ready(frame);
        }
        self.is_over = true;
        let trailers =
            HeaderMap::from_iter([(axum::http::HeaderName::from_static(STATUS), HeaderValue::from_static("0"))]);
        Poll::Ready(Some(Ok(http_body::Frame::trailers(trailers))))
    }
}
