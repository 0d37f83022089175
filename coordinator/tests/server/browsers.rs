//! What a page in a browser can send to the coordinator's port, byte by byte: none of it has an effect.

use super::harness::{Coordinator, assert_status, soon, train};
use prost::Message;
use reqwest::{Client, StatusCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tonic::metadata::MetadataValue;
use tonic::{Code, Request};
use vertigo::id::Digest;
use vertigo::v1::{self, JobState};

/// Sends a request over HTTP/1.1 as it is, and gives the answer's status.
async fn status(coordinator: &Coordinator, head: &str, body: &[u8]) -> u16 {
    let mut stream = TcpStream::connect(coordinator.url.strip_prefix("http://").unwrap()).await.unwrap();
    let head = format!("{head}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(body).await.unwrap();
    let mut answer = Vec::new();
    soon("an answer", stream.read_to_end(&mut answer)).await.unwrap();
    let answer = String::from_utf8_lossy(&answer);
    let status = answer.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3));
    status.and_then(|status| status.parse().ok()).unwrap_or_else(|| panic!("no status in `{answer}`"))
}

/// A message as gRPC frames it: not packed, its length, itself.
fn framed(message: &impl Message) -> Vec<u8> {
    let bytes = message.encode_to_vec();
    [&[0][..], &(bytes.len() as u32).to_be_bytes(), &bytes].concat()
}

#[tokio::test]
async fn a_page_cancels_no_job_and_moves_no_tag() {
    let coordinator = Coordinator::start().await;
    coordinator.import().await;
    let job = coordinator.submit("tutor").await;
    let other = coordinator.upload(vertigo::manifest::Kind::Base, "other", serde_json::json!({})).await;
    let cancel = framed(&v1::CancelRequest { id: job.id.clone(), ..Default::default() });
    let tag = framed(&v1::RegisterArtifactRequest { manifest_json: other.to_json(), tags: vec!["mini".to_owned()] });
    let host = coordinator.url.strip_prefix("http://").unwrap();

    // fetch() in mode no-cors, which a page may always do; then what no page may, and a program that means to could.
    let page = "Origin: https://evil.example\r\nSec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: no-cors";
    let heads = [
        (format!("Host: {host}\r\n{page}\r\nContent-Type: text/plain"), 403),
        (format!("Host: {host}\r\nOrigin: null\r\nContent-Type: application/grpc"), 403),
        (format!("Host: {host}\r\nSec-Fetch-Site: same-site\r\nContent-Type: application/grpc"), 403),
        ("Host: rebound.example\r\nSec-Fetch-Site: same-origin\r\nContent-Type: application/grpc".to_owned(), 403),
        (format!("Host: {host}\r\nContent-Type: text/plain"), 415),
        (format!("Host: {host}\r\nContent-Type: application/grpc"), 415),
        (format!("Host: {host}"), 415),
    ];
    for (head, expected) in &heads {
        let cancelled =
            status(&coordinator, &format!("POST /vertigo.v1.Jobs/Cancel HTTP/1.1\r\n{head}"), &cancel).await;
        assert_eq!(cancelled, *expected, "{head}");
        let tagged =
            status(&coordinator, &format!("POST /vertigo.v1.Artifacts/Register HTTP/1.1\r\n{head}"), &tag).await;
        assert_eq!(tagged, *expected, "{head}");
    }
    assert_eq!(coordinator.job(&job.id).await.state(), JobState::Queued);
    let base = coordinator.artifacts().get(v1::GetArtifactRequest { reference: "mini".to_owned() }).await.unwrap();
    assert_ne!(base.into_inner().digest, other.digest().to_string());
}

#[tokio::test]
async fn a_page_puts_and_reads_no_blob() {
    let coordinator = Coordinator::start().await;
    let (client, digest) = (Client::new(), Digest::of(b"page"));
    let headers = [
        ("origin", "https://evil.example"),
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
        ("host", "rebound.example:7420"),
    ];
    for (name, value) in headers {
        let put = client.put(coordinator.blob(digest)).header(name, value).body("page").send().await.unwrap();
        assert_status(&put, StatusCode::FORBIDDEN);
    }
    let head = client.head(coordinator.blob(digest)).send().await.unwrap();
    assert_status(&head, StatusCode::NOT_FOUND);

    assert_status(&coordinator.put(b"page").await, StatusCode::CREATED);
    for (name, value) in headers {
        let got = client.get(coordinator.blob(digest)).header(name, value).send().await.unwrap();
        assert_status(&got, StatusCode::FORBIDDEN);
        assert_ne!(got.text().await.unwrap(), "page");
    }
    // Typed by a person.
    let typed = client.get(coordinator.blob(digest)).header("sec-fetch-site", "none").send().await.unwrap();
    assert_eq!(typed.text().await.unwrap(), "page");
}

#[tokio::test]
async fn a_grpc_caller_is_refused_in_its_own_words() {
    let coordinator = Coordinator::start().await;
    let mut request = Request::new(v1::SubmitRequest { jobs: vec![train("")] });
    request.metadata_mut().insert("origin", MetadataValue::from_static("https://evil.example"));
    let refused = coordinator.jobs().submit(request).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    assert!(refused.message().contains("https://evil.example"), "{}", refused.message());
}

/// A browser of Debian's, where there is one.
fn browser() -> Option<std::path::PathBuf> {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&folders).map(|folder| folder.join("chromium")).find(|path| path.is_file())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_browser_cancels_no_job_and_reads_none() {
    let Some(browser) = browser() else {
        vertigo_testkit::skipped("no `chromium` on PATH; `apt-get install chromium` has it");
        return;
    };
    let coordinator = Coordinator::start().await;
    coordinator.import().await;
    let job = coordinator.submit("tutor").await;
    let folder = tempfile::tempdir().unwrap();
    let bytes = framed(&v1::CancelRequest { id: job.id.clone(), ..Default::default() });
    let url = format!("{}/vertigo.v1.Jobs/Cancel", coordinator.url);
    let (jobs, events) = (format!("{}/v1/jobs", coordinator.url), format!("{}/v1/events?after=0", coordinator.url));
    // The page may not read the answers, and writes down how its requests came out, in words that its source does not have.
    let page = format!(
        "<!doctype html><body><script>const note = (what, how) => document.body.append(what + '-' + how + ' ');\
         fetch('{url}', {{method: 'POST', mode: 'no-cors', body: new Uint8Array({bytes:?})}})\
         .then(() => note('request', 'sent'), () => note('request', 'failed'));\
         fetch('{jobs}').then((answer) => answer.text()).then((text) => note('list', text), () => note('list', 'unread'));\
         const feed = new EventSource('{events}');\
         feed.onmessage = (event) => note('feed', event.data); feed.onerror = () => note('feed', 'unread');</script>"
    );
    let file = folder.path().join("page.html");
    std::fs::write(&file, page).unwrap();
    let mut command = tokio::process::Command::new(browser);
    command.args(["--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=5000", "--dump-dom"]);
    command.arg(format!("--user-data-dir={}", folder.path().display())).arg(format!("file://{}", file.display()));
    let shown = soon("the page", command.kill_on_drop(true).output()).await.unwrap();
    let shown = String::from_utf8_lossy(&shown.stdout);
    for came_to in ["request-", "list-unread", "feed-unread"] {
        assert!(shown.contains(came_to), "`{came_to}` of the page's requests is missing: {shown}");
    }
    assert!(!shown.contains(&job.id), "{shown}");
    assert_eq!(coordinator.job(&job.id).await.state(), JobState::Queued);
}
