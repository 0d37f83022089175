//! A service that answers over OpenAI's API.

use super::stream::{Answer, Piece, Reader, said};
use super::talk::Talk;
use crate::error::{CliError, Exit, Result};
use futures::StreamExt;
use reqwest::header::CONTENT_TYPE;
use std::time::Duration;
use vertigo::endpoint::Endpoint;

/// How long a service may take to take a connection.
const CONNECT: Duration = Duration::from_secs(5);

/// How long it may say nothing at all: a long prompt is read in that time, and a waiting line goes by.
const QUIET: Duration = Duration::from_secs(10 * 60);

/// What is read of a refusal.
const REFUSAL_BYTES_MAX: usize = 64 << 10;

/// A service.
#[derive(Debug, Clone)]
pub(super) struct Service {
    http: reqwest::Client,
    endpoint: Endpoint,
}

impl Service {
    pub(super) fn new(endpoint: Endpoint) -> Service {
        let client = vertigo_client::http_in_the_clear().connect_timeout(CONNECT).read_timeout(QUIET).build();
        let http = client.expect("a client whose TLS is given has nothing to load that could be missing");
        Service { http, endpoint }
    }

    /// Where it is.
    pub(super) fn url(&self) -> &str {
        self.endpoint.url()
    }

    /// The next answer of a conversation, shown piece by piece as it comes. `partial` has it as far as it has come, however this ends.
    pub(super) async fn answer(&self, talk: &Talk, partial: &mut Answer, mut show: impl FnMut(Piece)) -> Result<()> {
        let request = self.http.post(format!("{}/v1/chat/completions", self.url()));
        let request = request.header(CONTENT_TYPE, "application/json").body(talk.request().to_string());
        let response = request.send().await.map_err(|error| self.lost(&error))?;
        let status = response.status();
        let mut body = response.bytes_stream();
        if !status.is_success() {
            let mut refusal = Vec::new();
            while let Some(Ok(bytes)) = body.next().await
                && refusal.len() < REFUSAL_BYTES_MAX
            {
                refusal.extend_from_slice(&bytes);
            }
            return Err(CliError::refused(said(status.as_u16(), &refusal)));
        }
        let mut reader = Reader::default();
        while !reader.is_done() {
            let Some(bytes) = body.next().await else {
                return Err(CliError::refused("the service broke off in the middle of an answer"));
            };
            let taken = reader.take(&bytes.map_err(|error| self.lost(&error))?);
            partial.clone_from(&reader.answer);
            taken.map_err(CliError::refused)?.into_iter().for_each(&mut show);
        }
        Ok(())
    }

    fn lost(&self, error: &reqwest::Error) -> CliError {
        let mut cause: &dyn std::error::Error = error;
        while let Some(deeper) = cause.source() {
            cause = deeper;
        }
        CliError::new(Exit::Unreachable, format!("cannot reach the service at {}: {cause}", self.url()))
            .hint("`vertigo jobs --kind serve` shows where services answer")
    }
}
