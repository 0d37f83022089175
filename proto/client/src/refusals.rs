//! What becomes of an upload that the coordinator refuses, whatever it answers. The coordinator is played, over real HTTP.

use super::blobs::Blobs;
use super::meter::Meter;
use super::*;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// What the coordinator says to each PUT, in turn; the last answer stays. HEAD answers 404 with the bytes that are kept.
#[derive(Debug, Default)]
struct Script {
    kept: u64,
    puts: VecDeque<(u16, u64)>,
    asked: usize,
}

impl Script {
    /// The next answer to a PUT: its status, and the bytes that are kept after it.
    fn put(&mut self) -> (u16, u64) {
        self.asked += 1;
        let next = if self.puts.len() > 1 { self.puts.pop_front() } else { self.puts.front().copied() };
        let (status, kept) = next.unwrap_or((201, 0));
        self.kept = kept;
        (status, kept)
    }
}

async fn serve(listener: TcpListener, script: Arc<Mutex<Script>>) {
    loop {
        let stream = BufReader::new(listener.accept().await.unwrap().0);
        tokio::spawn(connection(stream, script.clone()));
    }
}

async fn connection(mut stream: BufReader<TcpStream>, script: Arc<Mutex<Script>>) {
    while let Some((method, length)) = head(&mut stream).await {
        let answer = if method == "HEAD" {
            let kept = script.lock().unwrap().kept;
            format!("HTTP/1.1 404 Not Found\r\nupload-offset: {kept}\r\ncontent-length: 0\r\n\r\n")
        } else {
            stream.read_exact(&mut vec![0; length]).await.unwrap();
            let (status, kept) = script.lock().unwrap().put();
            let words = format!("the words of {status}\n");
            let length = words.len();
            format!("HTTP/1.1 {status} X\r\nupload-offset: {kept}\r\ncontent-length: {length}\r\n\r\n{words}")
        };
        stream.write_all(answer.as_bytes()).await.unwrap();
    }
}

/// A request's method and the length of its body; `None` where the client has gone.
async fn head(stream: &mut BufReader<TcpStream>) -> Option<(String, usize)> {
    let (mut first, mut length) = (String::new(), 0);
    if stream.read_line(&mut first).await.ok()? == 0 {
        return None;
    }
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await.ok()?;
        match line.trim().split_once(": ") {
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => length = value.parse().unwrap(),
            Some(_) => {}
            None => return Some((first.split(' ').next().unwrap_or_default().to_owned(), length)),
        }
    }
}

/// A played coordinator, a file to send to it, and how often it was sent.
struct Setup {
    blobs: Blobs,
    script: Arc<Mutex<Script>>,
    folder: tempfile::TempDir,
    file: FileEntry,
}

const CONTENT: &[u8] = b"what was trained for ten hours";

impl Setup {
    async fn new() -> Setup {
        let (listener, endpoint) = vertigo_testkit::coordinator::listen().await;
        let script = Arc::new(Mutex::new(Script::default()));
        tokio::spawn(serve(listener, script.clone()));
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("file"), CONTENT).unwrap();
        let bytes = Bytes(CONTENT.len() as u64);
        let file = FileEntry { path: "file".to_owned(), digest: Digest::of(CONTENT), bytes };
        Setup { blobs: Blobs::new(&Access::plain(endpoint).unwrap()), script, folder, file }
    }

    fn answers(&self, puts: impl IntoIterator<Item = (u16, u64)>) {
        *self.script.lock().unwrap() = Script { puts: puts.into_iter().collect(), ..Script::default() };
    }

    /// One try.
    async fn once(&self) -> Result<(), TransferError> {
        let meter = Meter::new(&|_| {}, self.file.bytes.0);
        self.blobs.put_once(&self.folder.path().join("file"), &self.file, &meter, &mut Default::default()).await
    }

    /// As many tries as an upload gets.
    async fn put(&self) -> Result<(), TransferError> {
        let meter = Meter::new(&|_| {}, self.file.bytes.0);
        self.blobs.put(&self.folder.path().join("file"), &self.file, &meter).await
    }
}

#[tokio::test]
async fn every_refusal_is_passed_on_with_its_own_status_and_words() {
    let setup = Setup::new().await;
    for status in 400..=599 {
        setup.answers([(status, 0)]);
        let error = setup.once().await.unwrap_err();
        match &error {
            // The one answer that is about the bytes.
            TransferError::Damaged { expected, .. } => assert_eq!((status, *expected), (422, setup.file.digest)),
            TransferError::NotTaken { digest, status: told, message } => {
                assert_eq!((*digest, *told), (setup.file.digest, status));
                assert_eq!(message, &format!("the words of {status}"));
                let shown = error.to_string();
                assert!(shown.contains(&status.to_string()) && shown.contains(message), "{shown}");
            }
            other => panic!("{status} became {other:?}"),
        }
        let passes = status >= 500 || [400, 408, 409, 425, 429].contains(&status);
        assert_eq!(error.is_transient(), passes, "{status}");
    }
}

#[tokio::test]
async fn another_upload_that_gets_on_is_waited_for_longer_than_a_count_of_tries() {
    let setup = Setup::new().await;
    // Far more refusals than the tries that an upload without headway gets.
    setup.answers((1..=20).map(|kept| (409, kept)).chain([(201, 0)]));
    setup.put().await.unwrap();
    assert_eq!(setup.script.lock().unwrap().asked, 21);
}

#[tokio::test]
async fn what_cannot_pass_is_said_at_once_and_what_can_is_tried_again() {
    let setup = Setup::new().await;
    setup.answers([(403, 0)]);
    let error = setup.put().await.unwrap_err();
    assert!(matches!(error, TransferError::NotTaken { status: 403, .. }), "{error}");
    assert_eq!(setup.script.lock().unwrap().asked, 1);
    setup.answers([(507, 0), (503, 0), (201, 0)]);
    setup.put().await.unwrap();
    assert_eq!(setup.script.lock().unwrap().asked, 3);
}
