//! Inputs that were damaged on the worker's disk, or that the store has otherwise than their manifest says.

use crate::coordinator::listen;
use crate::supervisor::{assignment, failure, id, worker_of};
use crate::support::{INPUTS, given, lay, recipe};
use std::collections::HashMap;
use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use vertigo::bytes::Bytes;
use vertigo::endpoint::Endpoint;
use vertigo::id::Digest;
use vertigo::manifest::{FileEntry, Kind, Manifest};
use vertigo::v1::{Assignment, Cure};
use vertigo_client::{Access, Transfer, TransferError};
use vertigo_worker::cache::{Cache, CacheError, Kinds};

const FILES: [(&str, &str); 2] = [("train.jsonl", "{\"text\":\"one\"}\n"), ("valid.jsonl", "{\"text\":\"two\"}\n")];

fn write(folder: &Path) {
    fs::create_dir_all(folder).unwrap();
    FILES.iter().for_each(|(name, text)| fs::write(folder.join(name), text).unwrap());
}

/// A store of blobs over HTTP that counts what it is asked for.
struct Store {
    endpoint: Endpoint,
    asked: Arc<AtomicUsize>,
}

impl Store {
    async fn of(blobs: impl IntoIterator<Item = (Digest, Vec<u8>)>) -> Store {
        let (listener, endpoint) = listen().await;
        let (blobs, asked) = (Arc::new(HashMap::from_iter(blobs)), Arc::new(AtomicUsize::new(0)));
        let count = asked.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(BufReader::new(stream), blobs.clone(), count.clone()));
            }
        });
        Store { endpoint, asked }
    }

    /// One that has the files of the entry as they are.
    async fn honest() -> Store {
        Store::of(FILES.map(|(_, text)| (Digest::of(text.as_bytes()), text.as_bytes().to_vec()))).await
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }

    /// A cache in `folder`, as a daemon has it when it has just started.
    fn cache(&self, folder: &Path) -> Cache {
        Cache::new(folder.to_owned(), Bytes::gib(1), Transfer::new(&Access::plain(self.endpoint.clone()).unwrap()))
    }
}

/// Answers `GET /v1/blobs/DIGEST` with `Range: bytes=N-`, and `POST /v1/blobs/DIGEST/check`, one request after the other.
async fn serve(mut stream: BufReader<TcpStream>, blobs: Arc<HashMap<Digest, Vec<u8>>>, asked: Arc<AtomicUsize>) {
    loop {
        let (mut blob, mut start, mut whole) = (None, 0, None);
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line).await.unwrap_or(0) == 0 {
                return;
            }
            let line = line.trim().to_ascii_lowercase();
            if let Some(rest) = line.strip_prefix("get /v1/blobs/") {
                blob = rest.split(' ').next().and_then(|digest| blobs.get(&digest.parse().ok()?));
            } else if let Some(rest) = line.strip_prefix("post /v1/blobs/") {
                let digest = rest.split('/').next().and_then(|digest| digest.parse::<Digest>().ok());
                whole = digest.map(|digest| blobs.get(&digest).is_some_and(|bytes| Digest::of(bytes) == digest));
            } else if let Some(range) = line.strip_prefix("range: bytes=") {
                start = range.trim_end_matches('-').parse().unwrap();
            } else if line.is_empty() {
                break;
            }
        }
        if let Some(whole) = whole {
            let status = if whole { "200 OK" } else { "404 Not Found" };
            stream.write_all(format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n").as_bytes()).await.unwrap();
            continue;
        }
        asked.fetch_add(1, Ordering::Relaxed);
        let (head, body) = match blob {
            None => ("404 Not Found\r\n".to_owned(), &[][..]),
            Some(bytes) if start >= bytes.len() => {
                (format!("416 Range Not Satisfiable\r\ncontent-range: bytes */{}\r\n", bytes.len()), &[][..])
            }
            Some(bytes) => {
                let range = format!("{start}-{}/{}", bytes.len() - 1, bytes.len());
                (format!("206 Partial Content\r\ncontent-range: bytes {range}\r\n"), &bytes[start..])
            }
        };
        let head = format!("HTTP/1.1 {head}content-length: {}\r\n\r\n", body.len());
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(body).await.unwrap();
    }
}

fn assert_whole(folder: &Path) {
    let mut names: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, FILES.map(|(name, _)| name));
    FILES.iter().for_each(|(name, text)| assert_eq!(fs::read_to_string(folder.join(name)).unwrap(), *text));
}

/// Flips a byte, and puts the file's time back where `hidden`.
fn flip(path: &Path, hidden: bool) {
    let time = fs::metadata(path).unwrap().modified().unwrap();
    let mut bytes = fs::read(path).unwrap();
    bytes[10] ^= 1;
    fs::write(path, bytes).unwrap();
    if hidden {
        File::options().write(true).open(path).unwrap().set_modified(time).unwrap();
    }
}

async fn get(cache: &Cache, digest: Digest) -> PathBuf {
    cache.get(Kinds(&[Kind::Dataset]), digest).await.unwrap().folder().to_owned()
}

#[tokio::test]
async fn a_byte_that_was_flipped_before_the_start_is_found_and_the_input_fetched_again() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::honest().await;
    let digest = lay(dir.path(), Kind::Dataset, write);
    get(&store.cache(dir.path()), digest).await;
    assert_eq!(store.asked(), 0, "what is sound is not fetched");
    flip(&dir.path().join(digest.hex()).join("train.jsonl"), true);
    assert_whole(&get(&store.cache(dir.path()), digest).await);
    assert_eq!(store.asked(), 2);
    let gone = fs::read_dir(dir.path())
        .unwrap()
        .filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().ends_with(".gone"));
    assert_eq!(gone.count(), 0);
}

#[tokio::test]
async fn whatever_changes_while_the_daemon_runs_is_noticed_at_the_next_use() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::honest().await;
    let digest = lay(dir.path(), Kind::Dataset, write);
    let cache = store.cache(dir.path());
    let folder = get(&cache, digest).await;
    let changes: [&dyn Fn(&Path); 5] = [
        &|folder| flip(&folder.join("train.jsonl"), false),
        &|folder| fs::remove_file(folder.join("valid.jsonl")).unwrap(),
        &|folder| fs::write(folder.join("test.jsonl"), "").unwrap(),
        &|folder| fs::write(folder.join("valid.jsonl"), "").unwrap(),
        &|folder| {
            fs::remove_file(folder.join("valid.jsonl")).unwrap();
            symlink("train.jsonl", folder.join("valid.jsonl")).unwrap();
        },
    ];
    for (n, change) in changes.into_iter().enumerate() {
        change(&folder);
        assert_whole(&get(&cache, digest).await);
        assert_eq!(store.asked(), 2 * (n + 1));
        // What came is known: nothing is fetched for the next use.
        get(&cache, digest).await;
        assert_eq!(store.asked(), 2 * (n + 1));
    }
}

#[tokio::test]
async fn a_link_in_place_of_an_entry_is_not_followed() {
    let (dir, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let store = Store::honest().await;
    let digest = lay(dir.path(), Kind::Dataset, write);
    let (entry, target) = (dir.path().join(digest.hex()), elsewhere.path().join("target"));
    fs::rename(&entry, &target).unwrap();
    symlink(&target, &entry).unwrap();
    assert_whole(&get(&store.cache(dir.path()), digest).await);
    assert!(fs::symlink_metadata(&entry).unwrap().is_dir());
    assert_whole(&target);
}

#[tokio::test]
async fn a_damaged_manifest_beside_an_entry_is_not_believed() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::honest().await;
    let digest = lay(dir.path(), Kind::Dataset, write);
    let path = dir.path().join(format!(".{}.manifest", digest.hex()));
    let other = fs::read_to_string(&path).unwrap().replace("valid.jsonl", "other.jsonl");
    fs::write(&path, other).unwrap();
    // It has to ask the coordinator, which this store is not.
    assert!(store.cache(dir.path()).get(Kinds(&[Kind::Dataset]), digest).await.is_err());
    assert_whole(&dir.path().join(digest.hex()));
}

#[tokio::test]
async fn what_the_store_has_damaged_is_missing_and_not_fetched_again_and_again() {
    let dir = tempfile::tempdir().unwrap();
    let blobs = FILES.map(|(_, text)| (Digest::of(text.as_bytes()), text.to_uppercase().into_bytes()));
    let store = Store::of(blobs).await;
    let digest = lay(dir.path(), Kind::Dataset, write);
    fs::remove_dir_all(dir.path().join(digest.hex())).unwrap();
    let error = store.cache(dir.path()).get(Kinds(&[Kind::Dataset]), digest).await.unwrap_err();
    assert!(matches!(error, CacheError::Transfer { error: TransferError::Missing { .. }, .. }), "{error}");
    assert_eq!(store.asked(), 1);
}

#[tokio::test]
async fn a_manifest_that_lies_about_a_size_is_bad_input_and_not_waited_for() {
    for said in [5, 500] {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::honest().await;
        let worker = worker_of(&dir, &store.endpoint);
        let (path, digest) = ("train.jsonl".to_owned(), Digest::of(FILES[0].1.as_bytes()));
        let file = FileEntry { path, digest, bytes: Bytes(said) };
        let lie = Manifest::new(Kind::Dataset, vec![file], Default::default()).unwrap();
        let beside = dir.path().join("cache").join(format!(".{}.manifest", lie.digest().hex()));
        fs::write(beside, lie.to_json()).unwrap();
        let assignment =
            Assignment { inputs: given(&[("base", INPUTS.0), ("data", lie.digest())]), ..assignment(recipe(2)) };
        worker.take(assignment.clone(), None);
        let (failure, _) = failure(&worker, id(&assignment)).await;
        assert_eq!(failure.cure(), Cure::Never, "{}", failure.message);
        let told = format!("`train.jsonl` has {said} bytes");
        assert!(failure.message.contains(&told) && failure.message.contains("has 15"), "{}", failure.message);
    }
}
