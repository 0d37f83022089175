//! One blob over HTTP: `/v1/blobs/sha256:HEX` on the coordinator's port.
//!
//! An upload asks how much of the blob the coordinator has kept of an earlier one (`Upload-Offset`) and sends the rest; a download
//! asks for what the file beside lacks (`Range`).

use super::access::Access;
use super::meter::Meter;
use super::tries::{PAUSE, Tries};
use super::{TransferError, blocking, hash_file, trouble};
use futures::{StreamExt, TryStreamExt};
use reqwest::header::{CONTENT_LENGTH, CONTENT_RANGE, HeaderMap, RANGE};
use reqwest::{Body, Client, ClientBuilder, Method, RequestBuilder, Response, StatusCode};
use std::fs;
use std::io::SeekFrom;
use std::path::Path;
use std::pin::pin;
use std::time::Duration;
use tokio::fs::{File, OpenOptions};
use tokio::io::{AsyncSeekExt, AsyncWriteExt};
use tokio::sync::watch;
use tokio_util::io::ReaderStream;
use vertigo::api_error::ApiError;
use vertigo::files::AtPath;
use vertigo::id::Digest;
use vertigo::manifest::FileEntry;

/// The header that says how many bytes of an unfinished upload are kept.
const UPLOAD_OFFSET: &str = "upload-offset";

/// Bytes read from a file at a time.
const CHUNK: usize = 256 << 10;

/// Bytes of a refusal's reason that are read.
const REFUSAL_BYTES_MAX: usize = 4 << 10;

/// How long a connection may be without a byte. For the whole there is no limit: a 20 GB blob may take its time.
const QUIET: Duration = Duration::from_secs(60);

/// The coordinator answers when it has hashed all bytes and given them to its store. Slower than this, in bytes a second, and it
/// is taken for gone.
const STORES: u64 = 16 << 20;

#[derive(Debug, Clone)]
pub(super) struct Blobs {
    http: Client,
    uploads: Client,
    base: String,
    quiet: Duration,
}

impl Blobs {
    pub(super) fn new(access: &Access) -> Blobs {
        Blobs::with_quiet(access, QUIET)
    }

    fn with_quiet(access: &Access, quiet: Duration) -> Blobs {
        let built = |client: ClientBuilder| {
            client.build().expect("a client whose TLS is given has nothing to load that could be missing")
        };
        // reqwest counts this from a request's beginning to its answer, body and all: not for uploads.
        let http = built(access.http().read_timeout(quiet));
        Blobs { http, uploads: built(access.http()), base: access.endpoint().url().to_owned(), quiet }
    }

    /// Sends the file at `path`, which must be what `file` says.
    pub(super) async fn put(&self, path: &Path, file: &FileEntry, meter: &Meter<'_>) -> Result<(), TransferError> {
        let mut tries = Tries::default();
        loop {
            let error = match self.put_once(path, file, meter, &mut tries).await {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            tries.pause_or_give_up(error, self.storing(file)).await?;
        }
    }

    pub(super) async fn put_once(
        &self,
        path: &Path,
        file: &FileEntry,
        meter: &Meter<'_>,
        tries: &mut Tries,
    ) -> Result<(), TransferError> {
        let size = file.bytes.0;
        let answer = self.send(self.request(Method::HEAD, &file.digest)).await?;
        let offset = match answer.status() {
            // A blob of another size is damaged: its place is taken by the one that goes now.
            status if status.is_success() => match header(answer.headers(), CONTENT_LENGTH.as_str()) {
                Some(stored) if stored != size => 0,
                _ => {
                    meter.done();
                    return Ok(());
                }
            },
            StatusCode::NOT_FOUND => header(answer.headers(), UPLOAD_OFFSET).unwrap_or(0).min(size),
            // Who cannot say what it has takes nothing either: the bytes stay here until it can.
            _ => return Err(not_taken(file.digest, answer).await),
        };
        tries.reached(offset);
        meter.reached(offset);
        let mut source = File::open(path).await.at(path)?;
        if source.metadata().await.at(path)?.len() != size {
            return Err(TransferError::Damaged { path: path.to_owned(), expected: file.digest });
        }
        source.seek(SeekFrom::Start(offset)).await.at(path)?;
        let answer = self.send_rest(source, file, offset, meter).await?;
        match answer.status() {
            StatusCode::OK | StatusCode::CREATED => {
                meter.done();
                Ok(())
            }
            StatusCode::UNPROCESSABLE_ENTITY => {
                Err(TransferError::Damaged { path: path.to_owned(), expected: file.digest })
            }
            _ => {
                // Another upload that gets on is headway too.
                tries.reached(header(answer.headers(), UPLOAD_OFFSET).unwrap_or(0).min(size));
                Err(not_taken(file.digest, answer).await)
            }
        }
    }

    /// Sends what `source` has from `offset` on, and waits for the answer for as long as there is headway.
    async fn send_rest(
        &self,
        source: File,
        file: &FileEntry,
        offset: u64,
        meter: &Meter<'_>,
    ) -> Result<Response, TransferError> {
        let size = file.bytes.0;
        let (taken, mut progress) = watch::channel(offset);
        let body = ReaderStream::with_capacity(source, CHUNK)
            .inspect_ok(move |chunk| taken.send_modify(|taken| *taken += chunk.len() as u64));
        let request = self.request_on(&self.uploads, Method::PUT, &file.digest).header(CONTENT_LENGTH, size - offset);
        // Without a range it is the whole blob, whatever was kept before.
        let request = match 0 < offset && offset < size {
            false => request,
            true => request.header(CONTENT_RANGE, format!("bytes {offset}-{}/{size}", size - 1)),
        };
        let mut answer = pin!(self.send(request.body(Body::wrap_stream(body))));
        let mut sending = true;
        loop {
            let at = *progress.borrow_and_update();
            meter.reached(at);
            let patience = if at < size { self.quiet } else { self.storing(file) };
            tokio::select! {
                answer = &mut answer => return answer,
                changed = progress.changed(), if sending => sending = changed.is_ok(),
                () = tokio::time::sleep(patience) => {
                    let problem = format!("no headway after {at} of {size} bytes for {patience:?}");
                    return Err(TransferError::Connection { url: self.url(&file.digest), problem });
                }
            }
        }
    }

    /// Fetches the blob into the file at `path`; what is there already of it is kept.
    pub(super) async fn get(&self, file: &FileEntry, path: &Path, meter: &Meter<'_>) -> Result<(), TransferError> {
        let mut fetched_again = false;
        loop {
            let error = match self.get_verified(file, path, meter).await {
                Err(error @ (TransferError::Damaged { .. } | TransferError::Size { .. })) => error,
                done => return done,
            };
            // What is wrong is not kept for the next try to go on from.
            fs::remove_file(path).at(path)?;
            match (self.check(file).await, error) {
                (Standing::Lacking, _) => return Err(missing(file)),
                (Standing::Whole, TransferError::Damaged { .. }) if !fetched_again => fetched_again = true,
                (Standing::Whole, error) => return Err(error),
                // It may be the manifest or the blob: nobody has looked.
                (Standing::Unknown, _) => return Err(damaged(file, path)),
            }
        }
    }

    /// The same, told as [`TransferError::Damaged`] where the bytes or their number are not the blob's.
    async fn get_verified(&self, file: &FileEntry, path: &Path, meter: &Meter<'_>) -> Result<(), TransferError> {
        let mut tries = Tries::default();
        loop {
            let error = match self.get_once(file, path, meter, &mut tries).await {
                Ok(()) => break,
                Err(error) => error,
            };
            tries.pause_or_give_up(error, Duration::ZERO).await?;
        }
        let (digest, _) = blocking(path, |path| {
            let read = hash_file(path)?;
            fs::File::open(path)?.sync_all()?;
            Ok(read)
        })
        .await?;
        if digest == file.digest { Ok(()) } else { Err(damaged(file, path)) }
    }

    /// Asks the coordinator to look at a blob whose bytes came damaged. It reads all of the blob, so it is waited for; one that is
    /// checked or sent up already is asked for again.
    async fn check(&self, file: &FileEntry) -> Standing {
        let asking = async {
            loop {
                // Not the client whose answers may be quiet for a moment only.
                let request = self.uploads.post(format!("{}/check", self.url(&file.digest)));
                match self.send(request).await.map(|answer| answer.status()) {
                    Ok(StatusCode::OK) => return Standing::Whole,
                    Ok(StatusCode::NOT_FOUND) => return Standing::Lacking,
                    Ok(StatusCode::CONFLICT | StatusCode::TOO_MANY_REQUESTS) => tokio::time::sleep(PAUSE).await,
                    Ok(_) | Err(_) => return Standing::Unknown,
                }
            }
        };
        tokio::time::timeout(self.storing(file), asking).await.unwrap_or(Standing::Unknown)
    }

    async fn get_once(
        &self,
        file: &FileEntry,
        path: &Path,
        meter: &Meter<'_>,
        tries: &mut Tries,
    ) -> Result<(), TransferError> {
        let mut sink = OpenOptions::new().create(true).append(true).open(path).await.at(path)?;
        let mut position = sink.metadata().await.at(path)?.len();
        if position > file.bytes.0 {
            sink.set_len(0).await.at(path)?;
            position = 0;
        }
        tries.reached(position);
        meter.reached(position);
        if position == file.bytes.0 {
            return Ok(());
        }
        let request = self.request(Method::GET, &file.digest).header(RANGE, format!("bytes={position}-"));
        let answer = self.send(request).await?;
        if let Some(found) = whole_size(&answer).filter(|found| *found != file.bytes.0) {
            let (path, digest, said) = (file.path.clone(), file.digest, file.bytes.0);
            return Err(TransferError::Size { path, digest, said, found });
        }
        if answer.status() == StatusCode::OK && position > 0 {
            // Not a part but the whole: begin anew.
            sink.set_len(0).await.at(path)?;
            position = 0;
        } else if answer.status() == StatusCode::NOT_FOUND {
            return Err(missing(file));
        } else if !answer.status().is_success() {
            return Err(refused(file.digest, answer).await);
        }
        let url = answer.url().to_string();
        let mut body = answer.bytes_stream();
        while let Some(chunk) = body.next().await {
            let chunk = match chunk {
                Ok(chunk) => chunk,
                Err(error) => {
                    // A write that is still under way would add to the file after the next try has measured it.
                    sink.flush().await.at(path)?;
                    return Err(connection(url, &error));
                }
            };
            sink.write_all(&chunk).await.at(path)?;
            position += chunk.len() as u64;
            tries.reached(position);
            meter.reached(position);
        }
        sink.flush().await.at(path)?;
        if position == file.bytes.0 {
            return Ok(());
        }
        Err(TransferError::Connection { url, problem: format!("ended after {position} of {} bytes", file.bytes.0) })
    }

    /// How long the coordinator may be busy with a blob that it has all bytes of.
    fn storing(&self, file: &FileEntry) -> Duration {
        self.quiet + Duration::from_secs(file.bytes.0 / STORES)
    }

    fn url(&self, digest: &Digest) -> String {
        format!("{}/v1/blobs/{digest}", self.base)
    }

    fn request(&self, method: Method, digest: &Digest) -> RequestBuilder {
        self.request_on(&self.http, method, digest)
    }

    fn request_on(&self, client: &Client, method: Method, digest: &Digest) -> RequestBuilder {
        let request = client.request(method, self.url(digest));
        if let Some(context) = vertigo_telemetry::traceparent() {
            return request.header("traceparent", context);
        }
        request
    }

    async fn send(&self, request: RequestBuilder) -> Result<Response, TransferError> {
        request.send().await.map_err(|e| {
            let url = e.url().map_or_else(|| self.base.clone(), ToString::to_string);
            connection(url, &e)
        })
    }
}

/// What the coordinator found of a blob that came damaged.
enum Standing {
    /// The store's copy is whole.
    Whole,
    /// The store has no whole copy.
    Lacking,
    /// It could not be asked.
    Unknown,
}

fn missing(file: &FileEntry) -> TransferError {
    TransferError::Missing { path: file.path.clone(), digest: file.digest }
}

fn damaged(file: &FileEntry, path: &Path) -> TransferError {
    TransferError::Damaged { path: path.to_owned(), expected: file.digest }
}

fn connection(url: String, error: &reqwest::Error) -> TransferError {
    if let Some(problem) = trouble(error) {
        return TransferError::Connection { url, problem };
    }
    // reqwest's own message says only that sending failed; the causes below it say why.
    let mut problem = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        problem = error.to_string();
        cause = error.source();
    }
    TransferError::Connection { url, problem }
}

async fn refused(digest: Digest, answer: Response) -> TransferError {
    let (status, message) = words(answer).await;
    TransferError::Refused { digest, status, message }
}

async fn not_taken(digest: Digest, answer: Response) -> TransferError {
    let (status, message) = words(answer).await;
    TransferError::NotTaken { digest, status, message }
}

/// A refusal's status, and what was said, cut to what a person reads. An answer to HEAD has no words but the status's own name.
async fn words(answer: Response) -> (u16, String) {
    let status = answer.status();
    let (mut words, mut body) = (Vec::new(), answer.bytes_stream());
    while words.len() < REFUSAL_BYTES_MAX
        && let Some(Ok(chunk)) = body.next().await
    {
        words.extend_from_slice(&chunk);
    }
    words.truncate(REFUSAL_BYTES_MAX);
    let said = String::from_utf8_lossy(&words).trim().to_owned();
    let said = ApiError::from_json(&said).map_or(said, |error| error.to_string());
    let named = || status.canonical_reason().unwrap_or("no reason given").to_owned();
    (status.as_u16(), if said.is_empty() { named() } else { said })
}

/// The size of the whole blob that an answer is of: what a part's or a refused range's `Content-Range` names after the `/`, or the length
/// of an answer that is the whole.
fn whole_size(answer: &Response) -> Option<u64> {
    match answer.status() {
        StatusCode::PARTIAL_CONTENT | StatusCode::RANGE_NOT_SATISFIABLE => {
            answer.headers().get(CONTENT_RANGE)?.to_str().ok()?.rsplit_once('/')?.1.parse().ok()
        }
        StatusCode::OK => header(answer.headers(), CONTENT_LENGTH.as_str()),
        _ => None,
    }
}

fn header(headers: &HeaderMap, name: &str) -> Option<u64> {
    headers.get(name)?.to_str().ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering};
    use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
    use tokio::net::{TcpListener, TcpStream};
    use vertigo::bytes::Bytes;

    const SHORT: Duration = Duration::from_millis(400);

    /// Reads a request's head. Gives its method and the length of its body.
    async fn head(stream: &mut BufReader<TcpStream>) -> (String, usize) {
        let (mut first, mut length) = (String::new(), 0);
        stream.read_line(&mut first).await.unwrap();
        loop {
            let mut line = String::new();
            stream.read_line(&mut line).await.unwrap();
            match line.trim().split_once(": ") {
                Some((name, value)) if name.eq_ignore_ascii_case("content-length") => length = value.parse().unwrap(),
                Some(_) => {}
                None => return (first.split(' ').next().unwrap_or_default().to_owned(), length),
            }
        }
    }

    /// A coordinator that has nothing and takes longer to store a blob than a connection may be quiet, or for ever.
    async fn slow(listener: TcpListener, answers: bool) {
        loop {
            let mut stream = BufReader::new(listener.accept().await.unwrap().0);
            tokio::spawn(async move {
                loop {
                    let (method, length) = head(&mut stream).await;
                    if method == "HEAD" {
                        let none = b"HTTP/1.1 404 Not Found\r\nupload-offset: 0\r\ncontent-length: 0\r\n\r\n";
                        stream.write_all(none).await.unwrap();
                        continue;
                    }
                    if !answers {
                        return std::future::pending().await;
                    }
                    stream.read_exact(&mut vec![0; length]).await.unwrap();
                    tokio::time::sleep(SHORT * 4).await;
                    stream.write_all(b"HTTP/1.1 201 Created\r\ncontent-length: 0\r\n\r\n").await.unwrap();
                }
            });
        }
    }

    async fn put(answers: bool, size: usize) -> (Result<(), TransferError>, u64) {
        let (listener, endpoint) = vertigo_testkit::coordinator::listen().await;
        let server = tokio::spawn(slow(listener, answers));
        let folder = tempfile::tempdir().unwrap();
        let (path, content) = (folder.path().join("file"), vec![7; size]);
        fs::write(&path, &content).unwrap();
        let file = FileEntry { path: "file".to_owned(), digest: Digest::of(&content), bytes: Bytes(size as u64) };
        let told = AtomicU64::new(0);
        let progress = |bytes| {
            told.fetch_add(bytes, Ordering::Relaxed);
        };
        let meter = Meter::new(&progress, size as u64);
        let blobs = Blobs::with_quiet(&Access::plain(endpoint).unwrap(), SHORT);
        let outcome = blobs.put_once(&path, &file, &meter, &mut Tries::default()).await;
        server.abort();
        (outcome, told.load(Ordering::Relaxed))
    }

    #[tokio::test]
    async fn a_coordinator_that_takes_its_time_to_store_a_blob_is_waited_for() {
        // Large enough that storing it is granted more than a second.
        let size = 2 * STORES as usize;
        let (outcome, told) = put(true, size).await;
        outcome.unwrap();
        assert_eq!(told, size as u64);
    }

    #[tokio::test]
    async fn a_coordinator_that_reads_no_more_is_given_up_and_progress_was_told_as_it_went() {
        // More than the sockets' buffers hold.
        let size = 64 << 20;
        let (outcome, told) = put(false, size).await;
        let error = outcome.unwrap_err();
        assert!(error.is_transient() && error.to_string().contains("no headway"), "{error}");
        assert!(0 < told && told < size as u64, "{told}");
    }
}
