//! Blobs over HTTP: `HEAD`, `GET` and `PUT /v1/blobs/sha256:HEX`, and `POST /v1/blobs/sha256:HEX/check`.
//!
//! - `HEAD`: 200 with `Content-Length`, or 404 with `Upload-Offset`, the bytes of an unfinished upload that are kept.
//! - `GET`: honours `Range: bytes=N-` and `bytes=N-M` (206); 416 past the end.
//! - `PUT`: the body with `Content-Range: bytes START-END/TOTAL` goes on at START; without, it is the whole blob, and an empty
//!   body means that the kept bytes are all there is. 201 when the blob is there, 200 where it was already, 202 with
//!   `Upload-Offset` when more is to come; 409 with `Upload-Offset` where START is not the kept offset or another upload of
//!   the blob runs; 400 with `Upload-Offset` where the body ended early or nothing came for too long; 422 where the bytes have
//!   another digest: then the upload is dropped. 507 where there is no room, or what is left is kept for the database, 503 where the
//!   store is away or refuses, 500 for the coordinator's own disk: what came is kept, and the same PUT succeeds once that is cured.
//! - `POST …/check`: what a reader whose bytes have another digest asks for. The blob is read and hashed here: 200 where it is
//!   whole, 404 where the store lacks it or it was damaged and has been set aside; 409 while an upload or another check of it runs,
//!   429 while too many others do.

use crate::blobs::{BlobError, Blobs, Checked, Extent, Start, Uploaded};
use crate::serve::traced;
use axum::Router;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::header::{ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, RANGE};
use axum::http::{HeaderMap, HeaderName, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use tracing::Instrument;
use vertigo::id::Digest;

/// Says how many bytes of an unfinished upload are kept.
pub const UPLOAD_OFFSET: HeaderName = HeaderName::from_static("upload-offset");

/// The routes.
pub fn router(blobs: Blobs) -> Router {
    let methods = get(download).head(look).put(upload);
    Router::new().route("/v1/blobs/{digest}", methods).route("/v1/blobs/{digest}/check", post(check)).with_state(blobs)
}

/// An answer that is no success.
struct Refused(Box<Response>);

impl Refused {
    fn new(status: StatusCode, message: impl ToString) -> Refused {
        Refused(Box::new((status, message.to_string() + "\n").into_response()))
    }

    fn with_offset(status: StatusCode, offset: u64, message: impl ToString) -> Refused {
        Refused(Box::new((status, [(UPLOAD_OFFSET, offset)], message.to_string() + "\n").into_response()))
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        *self.0
    }
}

impl From<BlobError> for Refused {
    fn from(error: BlobError) -> Refused {
        match error {
            BlobError::Busy { kept } | BlobError::Offset { kept, .. } => {
                Refused::with_offset(StatusCode::CONFLICT, kept, error)
            }
            BlobError::CutOff { kept, .. } => Refused::with_offset(StatusCode::BAD_REQUEST, kept, error),
            BlobError::TooLong { .. } => Refused::new(StatusCode::BAD_REQUEST, error),
            BlobError::Mismatch { .. } => Refused::new(StatusCode::UNPROCESSABLE_ENTITY, error),
            BlobError::Checking => Refused::new(StatusCode::TOO_MANY_REQUESTS, error),
            BlobError::NoRoom(_) => {
                tracing::warn!(%error, "an upload is refused");
                Refused::new(StatusCode::INSUFFICIENT_STORAGE, error)
            }
            BlobError::Staging(_) | BlobError::Backend(_) => {
                tracing::error!(%error, "blobs");
                let status = match error {
                    _ if error.is_full() => StatusCode::INSUFFICIENT_STORAGE,
                    BlobError::Backend(_) => StatusCode::SERVICE_UNAVAILABLE,
                    _ => StatusCode::INTERNAL_SERVER_ERROR,
                };
                Refused::new(status, error)
            }
        }
    }
}

/// The one name that reaches a path: 64 hexadecimal digits, or nothing does.
fn digest(text: &str) -> Result<Digest, Refused> {
    let parsed = text.strip_prefix("sha256:").and_then(|hex| hex.parse().ok());
    parsed.ok_or_else(|| Refused::new(StatusCode::BAD_REQUEST, "write sha256: and 64 hexadecimal digits"))
}

async fn not_found(blobs: &Blobs, digest: Digest) -> Refused {
    match blobs.kept(digest).await {
        Ok(kept) => Refused::with_offset(StatusCode::NOT_FOUND, kept, format!("there is no blob {digest}")),
        Err(error) => error.into(),
    }
}

async fn look(State(blobs): State<Blobs>, Path(name): Path<String>) -> Result<Response, Refused> {
    let digest = digest(&name)?;
    match blobs.size(digest).await? {
        Some(size) => {
            Ok(([(CONTENT_LENGTH, size.to_string()), (ACCEPT_RANGES, "bytes".to_owned())], ()).into_response())
        }
        None => Err(not_found(&blobs, digest).await),
    }
}

async fn download(
    State(blobs): State<Blobs>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Refused> {
    let digest = digest(&name)?;
    let span = traced(&headers, tracing::info_span!("blob get", blob = %digest));
    async {
        let Some(size) = blobs.size(digest).await? else { return Err(not_found(&blobs, digest).await) };
        let range = headers.get(RANGE).and_then(|value| value.to_str().ok()).and_then(|text| read_range(text, size));
        let (start, end) = range.unwrap_or((0, size));
        if range.is_some_and(|(start, end)| start >= end) {
            let whole = [(CONTENT_RANGE, format!("bytes */{size}"))];
            return Err(Refused(Box::new((StatusCode::RANGE_NOT_SATISFIABLE, whole).into_response())));
        }
        let body = match blobs.read(digest, start, end).await {
            // Set aside since it was looked for.
            Err(BlobError::Backend(object_store::Error::NotFound { .. })) => {
                return Err(not_found(&blobs, digest).await);
            }
            read => Body::from_stream(read?),
        };
        let headers = [
            (CONTENT_TYPE, "application/octet-stream".to_owned()),
            (CONTENT_LENGTH, (end - start).to_string()),
            (ACCEPT_RANGES, "bytes".to_owned()),
            (ETAG, format!("\"{digest}\"")),
        ];
        Ok(match range {
            None => (headers, body).into_response(),
            Some(_) => {
                let part = [(CONTENT_RANGE, format!("bytes {start}-{}/{size}", end - 1))];
                (StatusCode::PARTIAL_CONTENT, part, headers, body).into_response()
            }
        })
    }
    .instrument(span)
    .await
}

/// `bytes=N-` and `bytes=N-M` as a half-open range cut to `size`; `None` for what we do not read and answer with the whole.
fn read_range(text: &str, size: u64) -> Option<(u64, u64)> {
    let (start, last) = text.strip_prefix("bytes=")?.split_once('-')?;
    let start = start.parse().ok()?;
    let end = if last.is_empty() { size } else { last.parse::<u64>().ok()?.saturating_add(1) };
    Some((start, end.min(size)))
}

async fn upload(
    State(blobs): State<Blobs>,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refused> {
    let digest = digest(&name)?;
    let extent = read_extent(&headers)?;
    let span = traced(&headers, tracing::info_span!("blob put", blob = %digest, bytes = extent.end));
    // A task of its own: when the client goes away, what is being written is still written to its end, so that the next upload
    // finds a file that nobody else has open; and verified bytes still become a blob.
    let task = async move { blobs.upload(digest, extent, body.into_data_stream()).await };
    let uploaded = tokio::spawn(task.instrument(span)).await;
    match uploaded.map_err(|error| Refused::new(StatusCode::INTERNAL_SERVER_ERROR, error))?? {
        Uploaded::Created => Ok(StatusCode::CREATED.into_response()),
        Uploaded::Existed => Ok(StatusCode::OK.into_response()),
        Uploaded::Partly { kept } => Ok((StatusCode::ACCEPTED, [(UPLOAD_OFFSET, kept)]).into_response()),
    }
}

async fn check(State(blobs): State<Blobs>, Path(name): Path<String>) -> Result<Response, Refused> {
    let digest = digest(&name)?;
    // A task of its own: a reader that goes away leaves nothing half done.
    let checked = tokio::spawn(async move { blobs.check(digest).await }).await;
    match checked.map_err(|error| Refused::new(StatusCode::INTERNAL_SERVER_ERROR, error))?? {
        Checked::Whole => Ok((StatusCode::OK, "whole\n").into_response()),
        Checked::SetAside => {
            Err(Refused::new(StatusCode::NOT_FOUND, "it was damaged and is set aside: import it again"))
        }
        Checked::Absent => Err(Refused::new(StatusCode::NOT_FOUND, format!("there is no blob {digest}"))),
    }
}

/// Which part of the blob the body is.
fn read_extent(headers: &HeaderMap) -> Result<Extent, Refused> {
    let text = |name: &HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    if !headers.contains_key(CONTENT_RANGE) {
        let length = text(&CONTENT_LENGTH).and_then(|length| length.parse().ok());
        let start = if length == Some(0) { Start::Nothing } else { Start::Anew };
        return Ok(Extent { start, end: length, total: length.filter(|length| *length > 0) });
    }
    let range = text(&CONTENT_RANGE).and_then(|range| {
        let (extent, total) = range.strip_prefix("bytes ")?.split_once('/')?;
        let (start, last) = extent.split_once('-')?;
        Some((start.parse::<u64>().ok()?, last.parse::<u64>().ok()?, total.parse::<u64>().ok()?))
    });
    match range {
        Some((start, last, total)) if start <= last && last < total => {
            Ok(Extent { start: Start::At(start), end: Some(last + 1), total: Some(total) })
        }
        _ => Err(Refused::new(
            StatusCode::BAD_REQUEST,
            "write Content-Range: bytes START-END/TOTAL, with START ≤ END < TOTAL",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_cut_to_the_blob() {
        assert_eq!(read_range("bytes=3-", 10), Some((3, 10)));
        assert_eq!(read_range("bytes=3-5", 10), Some((3, 6)));
        assert_eq!(read_range("bytes=3-99", 10), Some((3, 10)));
        assert_eq!(read_range("bytes=0-18446744073709551615", 10), Some((0, 10)));
        for text in ["bytes=-5", "items=1-2", "bytes=a-b", "bytes=1-2,4-5", ""] {
            assert_eq!(read_range(text, 10), None, "{text}");
        }
    }

    #[test]
    fn extents_are_read_or_refused() {
        let read = |name: HeaderName, text: &str| {
            let headers = HeaderMap::from_iter([(name, text.parse().unwrap())]);
            read_extent(&headers).map_err(|refused| refused.0.status())
        };
        assert_eq!(
            read(CONTENT_RANGE, "bytes 3-9/10"),
            Ok(Extent { start: Start::At(3), end: Some(10), total: Some(10) })
        );
        assert_eq!(read(CONTENT_LENGTH, "7"), Ok(Extent { start: Start::Anew, end: Some(7), total: Some(7) }));
        assert_eq!(read(CONTENT_LENGTH, "0"), Ok(Extent { start: Start::Nothing, end: Some(0), total: None }));
        for text in ["bytes 9-3/10", "bytes 0-10/10", "bytes 0-1/*", "bytes */10", "x"] {
            assert_eq!(read(CONTENT_RANGE, text), Err(StatusCode::BAD_REQUEST), "{text}");
        }
    }
}
