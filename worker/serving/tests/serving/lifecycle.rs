//! Requests that wait, end, are left; models that fail, move and go.

use super::client::{question, with};
use super::stand_in::{Running, World, model, settings};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use vertigo_serving::{Bounds, Settings};
use vertigo_testkit::waiting::{eventually, soon, until};

async fn let_go(world: &World) {
    eventually("the engine to let go", || (world.running.load(Ordering::SeqCst) == 0).then_some(())).await;
}

#[tokio::test]
async fn who_goes_away_is_forgotten() {
    let server = Running::new().await;
    // It is read, has a token and makes no more: on a busy machine even `forever` would fill its context before it is seen.
    server.world.pause();
    let mut stream = server.stream(question("forever")).await;
    server.world.allow(2);
    stream.text().await;
    assert_eq!(server.running(), 1);
    drop(stream);
    let_go(&server.world).await;
    // The same of an answer that would come whole, and of one that waits.
    let asked = question("forever").to_string();
    let whole = super::client::post("/v1/chat/completions", asked.as_bytes(), "");
    let connection = server.dial(&whole).await;
    eventually("the request", || (server.running() == 1).then_some(())).await;
    drop(connection);
    let_go(&server.world).await;
    server.world.is_closed.store(true, Ordering::SeqCst);
    let connection = server.dial(&whole).await;
    eventually("the request", || (server.running() == 1).then_some(())).await;
    drop(connection);
    let_go(&server.world).await;
    for line in ["requests_total{model=\"tiny\",outcome=\"cancelled\"} 3\n", "requests_waiting{model=\"stand-in\"} 0\n"]
    {
        until(line, || async { server.get("/metrics").await.body.contains(line).then_some(()) }).await;
    }
}

#[tokio::test]
async fn who_does_not_read_is_dropped_and_holds_nobody_up() {
    let server = Running::with(settings(), Bounds { behind: 64, ..Bounds::default() }).await;
    let asked = with(question("forever"), json!({"max_tokens": 1_000_000}));
    let mut lazy = server.stream(asked).await;
    lazy.text().await;
    let_go(&server.world).await;
    assert_eq!(server.chat(&question("say a")).await.status, 200);
    // Whoever reads on after all is told.
    let mut last = String::new();
    while let Some(event) = lazy.next().await {
        last = event;
    }
    let last: Value = serde_json::from_str(&last).unwrap();
    assert!(last["error"]["message"].as_str().unwrap().contains("not read as fast"), "{last}");
}

#[tokio::test]
async fn a_full_line_refuses_and_takes_again() {
    let server = Running::with(settings(), Bounds { waiting: 2, ..Bounds::default() }).await;
    server.world.is_closed.store(true, Ordering::SeqCst);
    let waiting = server.stream(with(question("say a"), json!({"n": 2}))).await;
    eventually("both to wait", || (server.running() == 2).then_some(())).await;
    let reply = server.chat(&question("say b")).await;
    assert_eq!((reply.status, reply.json()["error"]["type"].as_str()), (429, Some("rate_limit_error")));
    assert!(reply.head.contains("retry-after: 1"), "{}", reply.head);
    server.world.is_closed.store(false, Ordering::SeqCst);
    drop(waiting);
    let_go(&server.world).await;
    assert_eq!(server.chat(&question("say b")).await.json()["choices"][0]["message"]["content"], "b");
}

/// Asks `killing` beside a stream, and gives the answer to it and the stream's last event.
async fn killed(server: &Running, killing: &str) -> (super::client::Reply, String) {
    server.world.pause();
    let mut other = server.stream(with(question("forever"), json!({"max_tokens": 1_000_000}))).await;
    // It is read, and has a token.
    server.world.allow(2);
    other.text().await;
    server.world.go_on();
    let reply = server.chat(&question(killing)).await;
    let mut last = String::new();
    while let Some(event) = other.next().await {
        last = event;
    }
    (reply, last)
}

#[tokio::test]
async fn a_model_that_panics_tells_everybody_and_is_loaded_anew() {
    let server = Running::with(settings(), Bounds { behind: 2_000_000, ..Bounds::default() }).await;
    let (reply, last) = killed(&server, "panic").await;
    assert_eq!((reply.status, reply.json()["error"]["type"].as_str()), (503, Some("server_error")), "{reply:?}");
    assert!(last.contains("loaded anew") && last.contains("as it was told"), "{last}");
    assert_eq!(server.chat(&question("say a")).await.status, 200);
    assert_eq!(server.world.made.load(Ordering::SeqCst), 2);
    assert_eq!((server.world.alive.load(Ordering::SeqCst), server.running()), (1, 0));
}

#[tokio::test]
async fn a_step_that_fails_is_no_reason_to_load_the_model_anew() {
    let server = Running::with(settings(), Bounds { behind: 2_000_000, ..Bounds::default() }).await;
    // Whoever was being read is not asked to come back with the same.
    for (killing, status) in [("fail", 503), ("choke", 500)] {
        let (reply, last) = killed(&server, killing).await;
        assert_eq!((reply.status, reply.json()["error"]["type"].as_str()), (status, Some("server_error")), "{reply:?}");
        assert_eq!(reply.head.contains("retry-after"), status == 503, "{}", reply.head);
        assert!(last.contains("ask again") && last.contains("as it was told"), "{last}");
        assert_eq!(server.chat(&question("say a")).await.status, 200);
        assert_eq!((server.world.made.load(Ordering::SeqCst), server.running()), (1, 0));
    }
    // Where nothing goes any more, it is.
    for _ in 0..3 {
        server.chat(&question("choke")).await;
    }
    assert_eq!(server.chat(&question("say a")).await.status, 200);
    assert_eq!(server.world.made.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn models_of_one_name_tell_their_loads_apart() {
    let server = Running::new().await;
    server.shelf.put("other", model(&server.world, Bounds::default()).await);
    for name in ["tiny", "other", "tiny"] {
        assert_eq!(server.chat(&with(question("say a"), json!({"model": name}))).await.status, 200);
    }
    let metrics = server.get("/metrics").await.body;
    let loads: Vec<&str> = metrics.lines().filter(|line| line.starts_with("vertigo_requests_waiting{")).collect();
    assert_eq!(loads.len(), 2, "{loads:?}");
    assert!(loads.iter().any(|line| line.contains("\"stand-in#2\"")), "{loads:?}");
}

#[tokio::test]
async fn a_name_that_moves_takes_new_requests_along_and_leaves_running_ones() {
    let server = Running::new().await;
    server.world.pause();
    let mut running = server.stream(question("say old")).await;
    eventually("the request", || (server.running() == 1).then_some(())).await;
    let new = Arc::<World>::default();
    server.shelf.put("tiny", model(&new, Bounds::default()).await);
    assert_eq!(server.chat(&question("say new")).await.json()["choices"][0]["message"]["content"], "new");
    assert_eq!((new.asked.lock().unwrap().len(), server.world.asked.lock().unwrap().len()), (1, 1));
    assert_eq!(server.world.alive.load(Ordering::SeqCst), 1, "its last stream runs");
    server.world.go_on();
    assert_eq!([running.text().await, running.text().await, running.text().await].concat(), "old");
    while running.next().await.is_some() {}
    eventually("the old model to go", || (server.world.alive.load(Ordering::SeqCst) == 0).then_some(())).await;
    assert_eq!(new.alive.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_server_that_stops_lets_answers_end() {
    let mut server = Running::new().await;
    server.world.pause();
    let mut stream = server.stream(question("say abc")).await;
    eventually("the request", || (server.running() == 1).then_some(())).await;
    server.stop();
    eventually("the port to be closed", || std::net::TcpStream::connect(server.address).is_err().then_some(())).await;
    server.world.go_on();
    assert_eq!([stream.text().await, stream.text().await, stream.text().await].concat(), "abc");
    let mut last = String::new();
    while let Some(event) = stream.next().await {
        last = event;
    }
    assert_eq!(last, "[DONE]");
    soon("the server to end", &mut server.task).await.unwrap();
}

#[tokio::test]
async fn patience_has_an_end() {
    let patience = Duration::from_millis(50);
    let mut server = Running::with(Settings { patience, ..settings() }, Bounds::default()).await;
    server.world.pause();
    let mut stream = server.stream(question("forever")).await;
    server.world.allow(2);
    stream.text().await;
    server.stop();
    let mut last = String::new();
    while let Some(event) = stream.next().await {
        last = event;
    }
    assert!(last.contains("the server is stopping"), "{last}");
    soon("the server to end", &mut server.task).await.unwrap();
    let_go(&server.world).await;
}

#[tokio::test]
async fn who_says_stop_twice_waits_for_no_answer_and_the_model_has_gone_with_its_thread() {
    let mut server = Running::new().await;
    let model = model(&server.world, Bounds::default()).await;
    let ended = model.served.ended();
    server.shelf.put("tiny", model);
    server.world.pause();
    let mut stream = server.stream(question("forever")).await;
    server.world.allow(2);
    stream.text().await;
    server.stop();
    server.hurry();
    let mut last = String::new();
    while let Some(event) = stream.next().await {
        last = event;
    }
    assert!(last.contains("the server is stopping"), "{last}");
    soon("the server to end", &mut server.task).await.unwrap();
    server.shelf.remove("tiny");
    soon("the thread to end", ended).await;
    assert_eq!(server.running(), 0);
    // So has the one that had the name before.
    eventually("both to go", || (server.world.alive.load(Ordering::SeqCst) == 0).then_some(())).await;
}
