//! A service that is played: what it is asked, and what comes of its answers.

use super::*;
use crate::commands::chat::stream::tests::sent;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use vertigo::endpoint::Endpoint;
use vertigo_testkit::coordinator::listen;
use vertigo_testkit::waiting::soon;

/// Takes one request and answers it with these bytes. Gives the request's body.
async fn played(answer: String) -> (Endpoint, oneshot::Receiver<Value>) {
    let (listener, endpoint) = listen().await;
    let (sender, asked) = oneshot::channel();
    tokio::spawn(async move {
        let request = serve_once(&listener, &answer).await;
        let _ = sender.send(request);
    });
    (endpoint, asked)
}

async fn serve_once(listener: &TcpListener, answer: &str) -> Value {
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut read = Vec::new();
    loop {
        let mut piece = [0; 4096];
        let count = stream.read(&mut piece).await.unwrap();
        read.extend_from_slice(&piece[..count]);
        let text = String::from_utf8_lossy(&read).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length =
            head.to_ascii_lowercase().lines().find_map(|line| Some(line.strip_prefix("content-length: ")?.to_owned()));
        if body.len() >= length.unwrap().parse::<usize>().unwrap() {
            stream.write_all(answer.as_bytes()).await.unwrap();
            return serde_json::from_str(body).unwrap();
        }
    }
}

fn streamed(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n{body}")
}

fn asking(text: &str) -> Talk {
    let mut talk = Talk { model: "mini".to_owned(), ..Talk::default() };
    talk.say(text);
    talk
}

#[tokio::test]
async fn an_answer_is_shown_as_it_comes_and_is_whole_at_the_end() {
    let deltas = [json!({"reasoning_content": "hm"}), json!({"content": "Hello"}), json!({"content": " you"})];
    let (endpoint, asked) = played(streamed(&sent(&deltas, "stop"))).await;
    let (mut answer, mut pieces) = (Answer::default(), Vec::new());
    soon("an answer", Service::new(endpoint).answer(&asking("hi"), &mut answer, |piece| pieces.push(piece)))
        .await
        .unwrap();
    let text = |text: &str| Piece::Text(text.to_owned());
    assert_eq!(pieces, [Piece::Thought("hm".to_owned()), text("Hello"), text(" you")]);
    assert_eq!((answer.text.as_str(), answer.finish.as_deref()), ("Hello you", Some("stop")));
    let request = asked.await.unwrap();
    assert_eq!((&request["model"], &request["stream"]), (&json!("mini"), &json!(true)));
}

#[tokio::test]
async fn what_a_service_refuses_is_said_in_its_words() {
    let body = r#"{"error": {"message": "no model `mini`; there is production", "type": "invalid_request_error"}}"#;
    let refusal =
        format!("HTTP/1.1 404 Not Found\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len());
    let (endpoint, _asked) = played(refusal).await;
    let refused = Service::new(endpoint).answer(&asking("hi"), &mut Answer::default(), |_| {}).await.unwrap_err();
    assert_eq!(refused.message, "the service says: no model `mini`; there is production");
}

#[tokio::test]
async fn an_answer_that_is_cut_off_is_known_as_far_as_it_came() {
    let whole = sent(&[json!({"content": "Half"}), json!({"content": " of it"})], "stop");
    let half = &whole[..whole.find(" of it").unwrap()];
    let (endpoint, _asked) = played(streamed(half)).await;
    let mut answer = Answer::default();
    let cut = Service::new(endpoint).answer(&asking("hi"), &mut answer, |_| {}).await.unwrap_err();
    assert!(cut.message.contains("broke off"), "{}", cut.message);
    assert_eq!((answer.text.as_str(), answer.finish), ("Half", None));
    let (listener, nobody) = listen().await;
    drop(listener);
    let lost = Service::new(nobody).answer(&asking("hi"), &mut Answer::default(), |_| {}).await.unwrap_err();
    assert_eq!(lost.exit, Exit::Unreachable);
}
