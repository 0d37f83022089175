//! What is not answered, and how that is said.

use super::client::{post, question, with};
use super::stand_in::{Running, settings};
use serde_json::json;
use std::net::Ipv4Addr;
use vertigo_serving::{Bounds, Server, Settings};

#[tokio::test]
async fn errors_have_openais_form_and_the_right_status() {
    let server = Running::new().await;
    for (fields, status, param, words) in [
        (json!({"temperature": 3}), 400, "temperature", "from 0 to 2"),
        (json!({"max_tokens": 9_223_372_036_854_775_808u64}), 400, "max_tokens", "9223372036854775808"),
        (json!({"max_tokens": -1}), 400, "max_tokens", "-1"),
        (json!({"messages": [{"role": "user", "content": 1}]}), 400, "messages[0].content", "text"),
        (json!({"tool_choice": "required"}), 400, "tool_choice", "not supported"),
        (json!({"model": "huge"}), 404, "model", "there is tiny"),
    ] {
        let reply = server.chat(&with(question("say a"), fields.clone())).await;
        assert_eq!(reply.status, status, "{fields} {reply:?}");
        let error = &reply.json()["error"];
        assert_eq!((error["param"].as_str(), error["type"].as_str()), (Some(param), Some("invalid_request_error")));
        assert!(error["message"].as_str().unwrap().contains(words), "{error}");
    }
    let reply = server.chat(&question("refuse")).await;
    assert_eq!(reply.status, 400);
    assert_eq!(reply.json()["error"]["message"], "there could never be room for it");
    assert_eq!(server.running(), 0);
}

#[tokio::test]
async fn what_is_longer_than_the_context_is_refused_with_the_numbers() {
    let server = Running::new().await;
    let reply = server.chat(&with(question("say a"), json!({"max_tokens": 1_048_576}))).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    let mut short = (*super::stand_in::model(&server.world, Bounds::default()).await).clone();
    short.facts.context_tokens = 100;
    server.shelf.put("short", short.into());
    let reply = server.chat(&with(question("say a"), json!({"model": "short", "max_tokens": 80}))).await;
    let error = &reply.json()["error"];
    assert_eq!((reply.status, error["code"].as_str()), (400, Some("context_length_exceeded")));
    assert!(error["message"].as_str().unwrap().contains("100 in all"), "{error}");
    // Where nobody says how long the answer may be, it is as long as there is room for.
    server.chat(&with(question("say a"), json!({"model": "short"}))).await;
    let asked = server.world.asked.lock().unwrap();
    let last = asked.last().unwrap();
    assert_eq!(last.prompt.len() + last.tokens_max, 100);
}

#[tokio::test]
async fn pages_and_other_hosts_are_refused() {
    let server = Running::new().await;
    let body = question("say a").to_string();
    let asked =
        |headers: &str| post("/v1/chat/completions", body.as_bytes(), &format!("{headers}Connection: close\r\n"));
    for headers in [
        "Origin: http://localhost:3000\r\n",
        "Origin: null\r\n",
        "Sec-Fetch-Site: cross-site\r\n",
        "Host: evil.example\r\n",
    ] {
        let reply = server.raw(&asked(headers)).await;
        assert_eq!(
            (reply.status, reply.json()["error"]["type"].as_str()),
            (403, Some("permission_error")),
            "{headers}"
        );
    }
    assert_eq!(server.raw(&asked("")).await.status, 200);
    assert_eq!(server.world.asked.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn what_is_no_route_is_said_to_be_none() {
    let server = Running::new().await;
    for (reply, status) in [
        (server.get("/v1/embeddings").await, 404),
        (server.get("/v1/chat/completions").await, 405),
        (server.get("/v1/models/huge").await, 404),
    ] {
        assert_eq!(reply.status, status);
        assert!(!reply.json()["error"]["message"].as_str().unwrap().is_empty());
    }
}

#[tokio::test]
async fn other_machines_cannot_be_listened_to() {
    let listen = (Ipv4Addr::UNSPECIFIED, 0).into();
    let error = Server::listen(Settings { listen, ..settings() }).await.unwrap_err().to_string();
    assert!(error.contains("0.0.0.0:0") && error.contains("ssh -L"), "{error}");
}
