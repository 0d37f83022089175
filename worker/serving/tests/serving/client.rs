//! HTTP as bytes, so that a test can also send what no client would.

use super::stand_in::Running;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use vertigo_testkit::waiting::soon;

/// An answer.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Reply {
    fn of(bytes: &[u8]) -> Reply {
        let text = String::from_utf8(bytes.to_vec()).expect("an answer is text");
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
        Reply { status, head: head.to_ascii_lowercase(), body: body.to_owned() }
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The events of a stream.
    pub(crate) fn events(&self) -> Vec<String> {
        self.body.lines().filter_map(|line| line.strip_prefix("data: ")).map(str::to_owned).collect()
    }
}

pub(crate) fn question(text: &str) -> Value {
    json!({"model": "tiny", "messages": [{"role": "user", "content": text}],
           "chat_template_kwargs": {"enable_thinking": false}})
}

/// `body` with other fields.
pub(crate) fn with(mut body: Value, fields: Value) -> Value {
    for (key, value) in fields.as_object().unwrap() {
        body[key] = value.clone();
    }
    body
}

impl Running {
    pub(crate) async fn dial(&self, bytes: &[u8]) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        stream
    }

    /// Sends `bytes` and reads until the connection is closed.
    pub(crate) async fn raw(&self, bytes: &[u8]) -> Reply {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        // A server that refuses early may close before it has read everything.
        let _ = stream.write_all(bytes).await;
        let mut read = Vec::new();
        let _ = soon("an answer", stream.read_to_end(&mut read)).await;
        Reply::of(&read)
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.raw(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").as_bytes()).await
    }

    pub(crate) async fn post(&self, path: &str, body: &[u8]) -> Reply {
        self.raw(&post(path, body, "Connection: close\r\n")).await
    }

    pub(crate) async fn chat(&self, body: &Value) -> Reply {
        self.post("/v1/chat/completions", body.to_string().as_bytes()).await
    }

    /// Begins to read a stream.
    pub(crate) async fn stream(&self, body: Value) -> Stream {
        let body = with(body, json!({"stream": true})).to_string();
        let stream = self.dial(&post("/v1/chat/completions", body.as_bytes(), "")).await;
        Stream(BufReader::new(stream))
    }
}

pub(crate) fn post(path: &str, body: &[u8], headers: &str) -> Vec<u8> {
    let length = body.len();
    let head = format!("POST {path} HTTP/1.1\r\nHost: localhost\r\n{headers}Content-Length: {length}\r\n\r\n");
    [head.as_bytes(), body].concat()
}

/// A stream that is being read.
pub(crate) struct Stream(BufReader<TcpStream>);

impl Stream {
    /// The next event; `None` where the stream has ended.
    pub(crate) async fn next(&mut self) -> Option<String> {
        loop {
            let mut line = String::new();
            let read = soon("an event", self.0.read_line(&mut line)).await;
            // Cut off, or at the last chunk.
            if read.is_err() || line.is_empty() || line == "0\r\n" {
                return None;
            }
            if let Some(data) = line.strip_prefix("data: ") {
                return Some(data.trim_end().to_owned());
            }
        }
    }

    /// Reads until a piece has text.
    pub(crate) async fn text(&mut self) -> String {
        loop {
            let event = self.next().await.expect("text");
            let event: Value = serde_json::from_str(&event).unwrap_or_else(|error| panic!("{error}: {event}"));
            match event["choices"][0]["delta"]["content"].as_str() {
                Some(text) if !text.is_empty() => return text.to_owned(),
                _ => {}
            }
        }
    }
}
