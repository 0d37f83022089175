//! Blobs that were damaged where they are stored, and uploads that the coordinator refuses: over HTTP, with real files.

use super::harness::{Coordinator, access, assert_status, soon};
use reqwest::{Client, StatusCode};
use serde_json::json;
use std::fs;
use std::path::{Path, PathBuf};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use vertigo::id::Digest;
use vertigo::manifest::{Kind, Manifest};
use vertigo_client::{Transfer, TransferError};

const CONTENT: &str = "weights of many numbers";

/// Where the file store keeps a blob.
fn stored(coordinator: &Coordinator, digest: Digest) -> PathBuf {
    let hex = digest.hex();
    coordinator.state().join("blobs/blobs/sha256").join(&hex[..2]).join(&hex)
}

/// What was set aside.
fn set_aside(coordinator: &Coordinator) -> Vec<Vec<u8>> {
    let entries = fs::read_dir(coordinator.state().join("blobs/damaged/sha256")).into_iter().flatten();
    entries.map(|entry| fs::read(entry.unwrap().path()).unwrap()).collect()
}

async fn check(coordinator: &Coordinator, digest: Digest) -> StatusCode {
    let url = format!("{}/check", coordinator.blob(digest));
    Client::new().post(url).send().await.unwrap().status()
}

/// An artifact whose blob is in the store, and the client that reads it into a new folder each time.
struct Reader {
    coordinator: Coordinator,
    manifest: Manifest,
    digest: Digest,
    transfer: Transfer,
    folder: tempfile::TempDir,
}

impl Reader {
    async fn new() -> Reader {
        let coordinator = Coordinator::start().await;
        let manifest = coordinator.upload(Kind::Base, CONTENT, json!({})).await;
        let transfer = Transfer::new(&access(&coordinator.url));
        let (digest, folder) = (Digest::of(CONTENT.as_bytes()), tempfile::tempdir().unwrap());
        Reader { coordinator, manifest, digest, transfer, folder }
    }

    async fn pull(&self, name: &str) -> Result<String, TransferError> {
        let folder = self.folder.path().join(name);
        self.transfer.pull(&self.manifest, &folder, &|_| {}).await?;
        Ok(fs::read_to_string(folder.join("file")).unwrap())
    }

    /// Imports the folder again, as the CLI does.
    async fn push(&self) -> Result<(), TransferError> {
        let folder = self.folder.path().join("source");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("file"), CONTENT).unwrap();
        self.transfer.push(&folder, &self.manifest, &|_| {}).await
    }
}

#[tokio::test]
async fn a_damaged_blob_is_found_by_its_reader_set_aside_and_healed_by_importing_again() {
    let damages: [&dyn Fn(&Path); 3] = [
        &|path| fs::write(path, CONTENT.replace("many", "some")).unwrap(),
        &|path| fs::write(path, &CONTENT[..7]).unwrap(),
        &|path| fs::write(path, CONTENT.repeat(2)).unwrap(),
    ];
    for (n, damage) in damages.iter().enumerate() {
        let reader = Reader::new().await;
        let path = stored(&reader.coordinator, reader.digest);
        damage(&path);
        let damaged = fs::read(&path).unwrap();
        let error = reader.pull("damaged").await.unwrap_err();
        assert!(matches!(&error, TransferError::Missing { path, .. } if path == "file"), "damage {n}: {error}");
        let words = error.to_string();
        assert!(words.contains(&reader.digest.to_string()) && words.contains("import"), "{words}");
        assert_eq!(set_aside(&reader.coordinator), [damaged], "it is kept for a person");
        let head = Client::new().head(reader.coordinator.blob(reader.digest)).send().await.unwrap();
        assert_status(&head, StatusCode::NOT_FOUND);

        reader.push().await.unwrap();
        // Into the same folder: nothing that was wrong is left beside it.
        assert_eq!(reader.pull("damaged").await.unwrap(), CONTENT);
    }
}

#[tokio::test]
async fn a_blob_of_another_size_does_not_exist_already() {
    let reader = Reader::new().await;
    let path = stored(&reader.coordinator, reader.digest);
    fs::write(&path, "").unwrap();
    let wrong = Client::new().put(reader.coordinator.blob(reader.digest)).body("not it").send().await.unwrap();
    assert_status(&wrong, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(fs::read(&path).unwrap(), b"", "who sends other bytes changes nothing");
    assert_status(&reader.coordinator.put(CONTENT.as_bytes()).await, StatusCode::CREATED);
    assert_eq!(reader.pull("healed").await.unwrap(), CONTENT);
    assert_eq!(set_aside(&reader.coordinator), [b""]);
}

#[tokio::test]
async fn a_hint_is_no_more_than_that_and_is_not_followed_again_and_again() {
    let reader = Reader::new().await;
    assert_eq!(check(&reader.coordinator, Digest::of(b"nothing")).await, StatusCode::NOT_FOUND);
    assert_eq!(check(&reader.coordinator, reader.digest).await, StatusCode::OK);
    assert_eq!(reader.pull("whole").await.unwrap(), CONTENT);
    assert!(set_aside(&reader.coordinator).is_empty());
    // It was read a moment ago, and is not read again: what happened to it since is not seen.
    fs::write(stored(&reader.coordinator, reader.digest), CONTENT.replace("many", "some")).unwrap();
    assert_eq!(check(&reader.coordinator, reader.digest).await, StatusCode::OK);
    let error = reader.pull("damaged").await.unwrap_err();
    assert!(matches!(error, TransferError::Damaged { .. }), "{error}");
}

#[tokio::test]
async fn what_is_refused_while_it_is_still_sent_says_why() {
    let coordinator = Coordinator::start().await;
    // More than sockets hold, so that the answer comes while bytes are on their way.
    let (bytes, client) = (vec![7; 32 << 20], Client::new());
    let digest = Digest::of(&bytes);
    let (sender, receiver) = mpsc::channel::<Result<Vec<u8>, std::io::Error>>(1);
    let body = reqwest::Body::wrap_stream(ReceiverStream::new(receiver));
    let slow = client.put(coordinator.blob(digest)).header("content-length", bytes.len()).body(body).send();
    let slow = tokio::spawn(slow);
    sender.send(Ok(bytes[..1].to_vec())).await.unwrap();
    let kept = async {
        loop {
            let head = client.head(coordinator.blob(digest)).send().await.unwrap();
            if head.headers().get("upload-offset").is_some_and(|kept| kept != "0") {
                break;
            }
            tokio::task::yield_now().await;
        }
    };
    soon("the slow upload's turn", kept).await;
    for _ in 0..5 {
        let refused = client.put(coordinator.blob(digest)).body(bytes.clone()).send().await.unwrap();
        assert_status(&refused, StatusCode::CONFLICT);
        let words = refused.text().await.unwrap();
        assert!(words.contains("another upload"), "{words}");
    }
    sender.send(Ok(bytes[1..].to_vec())).await.unwrap();
    drop(sender);
    assert_status(&slow.await.unwrap().unwrap(), StatusCode::CREATED);
}

#[tokio::test]
async fn two_imports_of_one_folder_at_once_both_succeed() {
    for _ in 0..5 {
        let coordinator = Coordinator::start().await;
        let folder = tempfile::tempdir().unwrap();
        // Large enough that one is on its way when the other begins.
        let content: Vec<u8> = (0..8u32 << 20).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        fs::write(folder.path().join("file"), &content).unwrap();
        let manifest = vertigo_client::describe(Kind::Dataset, folder.path(), Default::default()).await.unwrap();
        let import = || async {
            let transfer = Transfer::new(&access(&coordinator.url));
            transfer.push(folder.path(), &manifest, &|_| {}).await?;
            transfer.register(&manifest, &["same".to_owned()]).await
        };
        let (first, second) = tokio::join!(import(), import());
        assert_eq!(first.unwrap().digest, second.unwrap().digest);
    }
}
