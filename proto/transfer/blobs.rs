//! One blob over HTTP: `/v1/blobs/sha256:HEX` on the coordinator's port.
//!
//! An upload asks how much of the blob the coordinator has kept of an earlier one (`Upload-Offset`) and sends the rest; a download
//! asks for what the file beside lacks (`Range`).

use super::meter::Meter;
use super::{AtPath, TransferError, blocking, hash_file};
use crate::endpoint::Endpoint;
use crate::id::Digest;
use crate::manifest::FileEntry;
use futures::StreamExt;
use reqwest::header::{CONTENT_LENGTH, CONTENT_RANGE, HeaderMap, RANGE};
use reqwest::{Body, Client, Method, RequestBuilder, Response, StatusCode};
use std::fs;
use std::io::SeekFrom;
use std::path::Path;
use std::time::Duration;
use tokio::fs::{File, OpenOptions};
use tokio::io::{AsyncSeekExt, AsyncWriteExt};
use tokio_util::io::ReaderStream;

/// The header that says how many bytes of an unfinished upload are kept.
const UPLOAD_OFFSET: &str = "upload-offset";

/// Tries of one blob while it makes no headway; each that gets further starts the count again.
const TRIES: u32 = 6;

/// Pause before the second try; it doubles with each.
const PAUSE: Duration = Duration::from_millis(200);

/// Bytes read from a file at a time.
const CHUNK: usize = 256 << 10;

#[derive(Debug, Clone)]
pub(super) struct Blobs {
    http: Client,
    base: String,
}

impl Blobs {
    pub(super) fn new(endpoint: &Endpoint) -> Blobs {
        let http = Client::builder()
            .connect_timeout(Duration::from_secs(5))
            // Between two reads, not for the whole: a 20 GB blob may take its time.
            .read_timeout(Duration::from_secs(60))
            .no_proxy()
            .build()
            .expect("a client without TLS has nothing to load that could be missing");
        Blobs { http, base: endpoint.url().to_owned() }
    }

    /// Sends the file at `path`, which must be what `file` says.
    pub(super) async fn put(&self, path: &Path, file: &FileEntry, meter: &Meter<'_>) -> Result<(), TransferError> {
        let mut tries = Tries::default();
        loop {
            let error = match self.put_once(path, file, meter, &mut tries).await {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            tries.pause_or_give_up(error).await?;
        }
    }

    async fn put_once(
        &self,
        path: &Path,
        file: &FileEntry,
        meter: &Meter<'_>,
        tries: &mut Tries,
    ) -> Result<(), TransferError> {
        let answer = self.send(self.request(Method::HEAD, &file.digest)).await?;
        if answer.status().is_success() {
            meter.done();
            return Ok(());
        }
        let size = file.bytes.0;
        let offset = header(answer.headers(), UPLOAD_OFFSET).unwrap_or(0).min(size);
        tries.reached(offset);
        meter.reached(offset);
        let mut source = File::open(path).await.at(path)?;
        if source.metadata().await.at(path)?.len() != size {
            return Err(TransferError::Damaged { path: path.to_owned(), expected: file.digest });
        }
        source.seek(SeekFrom::Start(offset)).await.at(path)?;
        let mut request = self.request(Method::PUT, &file.digest).header(CONTENT_LENGTH, size - offset);
        if size > offset {
            request = request.header(CONTENT_RANGE, format!("bytes {offset}-{}/{size}", size - 1));
        }
        let answer = self.send(request.body(Body::wrap_stream(ReaderStream::with_capacity(source, CHUNK)))).await?;
        match answer.status() {
            StatusCode::OK | StatusCode::CREATED => {
                meter.done();
                Ok(())
            }
            StatusCode::UNPROCESSABLE_ENTITY => {
                Err(TransferError::Damaged { path: path.to_owned(), expected: file.digest })
            }
            _ => Err(refused(file.digest, answer).await),
        }
    }

    /// Fetches the blob into the file at `path`; what is there already of it is kept.
    pub(super) async fn get(&self, file: &FileEntry, path: &Path, meter: &Meter<'_>) -> Result<(), TransferError> {
        let mut tries = Tries::default();
        loop {
            let error = match self.get_once(file, path, meter, &mut tries).await {
                Ok(()) => break,
                Err(error) => error,
            };
            tries.pause_or_give_up(error).await?;
        }
        let (digest, _) = blocking(path, |path| {
            let read = hash_file(path)?;
            fs::File::open(path)?.sync_all()?;
            Ok(read)
        })
        .await?;
        if digest == file.digest {
            return Ok(());
        }
        // What is wrong is not kept for the next try to go on from.
        fs::remove_file(path).at(path)?;
        Err(TransferError::Damaged { path: path.to_owned(), expected: file.digest })
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
        if answer.status() == StatusCode::OK && position > 0 {
            // Not a part but the whole: begin anew.
            sink.set_len(0).await.at(path)?;
            position = 0;
        } else if !answer.status().is_success() {
            return Err(refused(file.digest, answer).await);
        }
        let url = answer.url().to_string();
        let mut body = answer.bytes_stream();
        while let Some(chunk) = body.next().await {
            let chunk = chunk.map_err(|e| connection(url.clone(), &e))?;
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

    fn request(&self, method: Method, digest: &Digest) -> RequestBuilder {
        let request = self.http.request(method, format!("{}/v1/blobs/{digest}", self.base));
        #[cfg(feature = "telemetry")]
        if let Some(context) = crate::telemetry::traceparent() {
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

fn connection(url: String, error: &reqwest::Error) -> TransferError {
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
    let status = answer.status().as_u16();
    let message = answer.text().await.unwrap_or_default();
    TransferError::Refused { digest, status, message: message.trim().to_owned() }
}

fn header(headers: &HeaderMap, name: &str) -> Option<u64> {
    headers.get(name)?.to_str().ok()?.parse().ok()
}

/// Tries without headway.
#[derive(Debug, Default)]
struct Tries {
    failed: u32,
    furthest: u64,
}

impl Tries {
    /// The blob is there up to `position`.
    fn reached(&mut self, position: u64) {
        if position > self.furthest {
            *self = Tries { failed: 0, furthest: position };
        }
    }

    /// Waits for the next try, or gives the error back where none can help.
    async fn pause_or_give_up(&mut self, error: TransferError) -> Result<(), TransferError> {
        self.failed += 1;
        if !error.is_transient() || self.failed >= TRIES {
            return Err(error);
        }
        tokio::time::sleep(PAUSE * 2u32.pow(self.failed - 1)).await;
        Ok(())
    }
}
