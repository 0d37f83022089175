//! Open Cloud's evaluation service, over HTTP.
//!
//! Source: `open-eval-api/v1.json` of Roblox's creator-docs, and OpenGameEval's own client. A script goes up by `POST …/eval` in reference
//! mode, in which no model is asked; its record is read by `GET …/eval-records/JOB`.
//!
//! Promise: the key stands in a header and nowhere else, whatever the service says back. Every request has an end, and every answer a
//! bound.

use crate::record::{self, Standing};
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use reqwest::{Client, RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};
use std::time::Duration;
use thiserror::Error;
use uuid::Uuid;
use vertigo::bounds::shorten;
use vertigo::server_key::ServerKey;
use vertigo_evaluation::roblox::Verdict;

/// Where the service is.
pub const URL: &str = "https://apis.roblox.com/open-eval-api/v1";

/// The header that has the key.
const KEY: HeaderName = HeaderName::from_static("x-api-key");

/// A request has so long.
const REQUEST_TIME_MAX: Duration = Duration::from_secs(60);

/// An answer is at most this long: a record has the script, and the logs of a game.
const ANSWER_BYTES_MAX: usize = 32 << 20;

/// What the service says of an error is kept up to this, in bytes.
const ERROR_BYTES_MAX: usize = 500;

/// A service that says when to come again is believed up to this: its longest limit.
const LATER_MAX: Duration = Duration::from_secs(24 * 3600);

/// Why a request came to nothing.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Trouble {
    /// The key is not taken, or there is no such service: no other request will do better.
    #[error("{0}")]
    Refused(String),
    /// Too much was asked; when to come again, where the service said so.
    #[error("{0}")]
    TooMuch(String, Option<Duration>),
    /// This request is not taken, and others may be.
    #[error("{0}")]
    Not(String),
    /// The service is busy, broken or away.
    #[error("{0}")]
    Away(String),
}

/// The service, asked with a key.
pub struct Cloud {
    client: Client,
    url: String,
    key: ServerKey,
}

impl std::fmt::Debug for Cloud {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cloud").field("url", &self.url).finish_non_exhaustive()
    }
}

impl Cloud {
    /// The service at an address, up to its version.
    ///
    /// # Errors
    /// Says why there is no client: the key cannot be a header, say.
    pub fn new(url: &str, key: ServerKey) -> Result<Cloud, String> {
        let header = HeaderValue::from_str(key.text()).ok().filter(|_| !key.text().is_empty());
        let mut header = header.ok_or("the key is empty or has characters that no header may")?;
        header.set_sensitive(true);
        let builder = Client::builder().timeout(REQUEST_TIME_MAX).redirect(reqwest::redirect::Policy::none());
        let client = builder.default_headers(HeaderMap::from_iter([(KEY, header)])).build();
        let client = client.map_err(|error| format!("no client for HTTP: {error}"))?;
        Ok(Cloud { client, url: url.trim_end_matches('/').to_owned(), key })
    }

    /// Sends a script, and gives the job that it became.
    ///
    /// # Errors
    /// Why there is none. Where the answer was lost or is none, there may be one all the same.
    pub async fn send(&self, name: &str, script: &str) -> Result<Uuid, Trouble> {
        let body = json!({
            "name": name, "description": "Sent by Vertigo", "input_script": script, "use_reference_mode": true,
        });
        let request = self.client.post(format!("{}/eval", self.url));
        let text = self.ask(request.header(CONTENT_TYPE, "application/json").body(body.to_string())).await?;
        let value: Value = serde_json::from_str(&text).unwrap_or_default();
        let job = value["job_id"].as_str().and_then(|job| Uuid::try_parse(job).ok());
        job.ok_or_else(|| Trouble::Not(format!("its answer names no job: {}", self.said(&text))))
    }

    /// Looks at a job's record.
    ///
    /// # Errors
    /// Why it cannot be read.
    pub async fn look(&self, job: &Uuid) -> Result<Standing, Trouble> {
        let text = self.ask(self.client.get(format!("{}/eval-records/{job}", self.url))).await?;
        // Before it is read: what is cut within the key would be no key that could be found.
        match record::read(&self.key.struck(text)) {
            Ok(standing) => Ok(standing),
            Err(problem) => Err(Trouble::Not(problem)),
        }
    }

    /// A request's answer, where it is a success.
    async fn ask(&self, request: RequestBuilder) -> Result<String, Trouble> {
        let away = |error: reqwest::Error| Trouble::Away(self.key.struck(reason(&error)));
        let response = request.send().await.map_err(away)?;
        let status = response.status();
        let later = retry_after(&response);
        let text = read(response).await.map_err(|problem| match problem {
            Cut::TooLong => Trouble::Not(format!("its answer is over {ANSWER_BYTES_MAX} bytes long")),
            Cut::Broken(error) => away(error),
        })?;
        if status.is_success() {
            return Ok(text);
        }
        let problem = format!("HTTP {status}: {}", self.said(&text));
        Err(match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Trouble::Refused(problem),
            StatusCode::TOO_MANY_REQUESTS => Trouble::TooMuch(problem, later),
            StatusCode::REQUEST_TIMEOUT => Trouble::Away(problem),
            _ if status.is_server_error() => Trouble::Away(problem),
            _ => Trouble::Not(problem),
        })
    }

    /// What the service said, as far as a person wants to read it.
    fn said(&self, text: &str) -> String {
        let value: Value = serde_json::from_str(text).unwrap_or_default();
        let message = ["error", "message"].into_iter().find_map(|field| value[field].as_str());
        let message = message.or_else(|| value["errors"][0]["message"].as_str()).unwrap_or(text);
        shorten(&self.key.struck(message.to_owned()), ERROR_BYTES_MAX).into_owned()
    }
}

/// A verdict of a script that the service would not take or said nothing of.
pub(crate) fn nothing(why: impl Into<String>) -> Verdict {
    Verdict::of(vertigo_evaluation::roblox::Outcome::NoVerdict, why, Vec::new())
}

/// When to come again, in whole seconds. A date, which the header may have too, is passed over.
fn retry_after(response: &Response) -> Option<Duration> {
    let seconds = response.headers().get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds).min(LATER_MAX))
}

enum Cut {
    TooLong,
    Broken(reqwest::Error),
}

async fn read(mut response: Response) -> Result<String, Cut> {
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(Cut::Broken)? {
        if bytes.len() + chunk.len() > ANSWER_BYTES_MAX {
            return Err(Cut::TooLong);
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// An error's reasons, without its address.
fn reason(error: &reqwest::Error) -> String {
    let reasons = std::iter::successors(std::error::Error::source(error), |error| error.source());
    let said = reasons.map(ToString::to_string).collect::<Vec<_>>().join(": ");
    if said.is_empty() { "the connection failed".to_owned() } else { said }
}
