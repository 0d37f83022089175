//! The coordinator as commands call it: clients, and errors that say where it should have been.

use crate::error::{self, CliError, Result, Subject, is_lost};
use std::time::Duration;
use tonic::transport::Channel;
use tonic::{Response, Status};
use vertigo::bounds::MESSAGE_BYTES_MAX;
use vertigo::v1;
use vertigo::v1::access_client::AccessClient;
use vertigo::v1::artifacts_client::ArtifactsClient;
use vertigo::v1::fleet_client::FleetClient;
use vertigo::v1::jobs_client::JobsClient;
use vertigo::v1::storage_client::StorageClient;
use vertigo::v1::tags_client::TagsClient;
use vertigo_client::{Access, Transfer, TransferError, traced};

/// Until a call that broke off is made again.
const AGAIN: Duration = Duration::from_secs(1);

/// Makes a call whose ids say that it is the same one, and makes it again where it broke off.
pub(crate) async fn again_if_lost<T, F>(call: impl Fn() -> F) -> std::result::Result<Response<T>, Status>
where
    F: Future<Output = std::result::Result<Response<T>, Status>>,
{
    let answer = call().await;
    if !answer.as_ref().is_err_and(is_lost) {
        return answer;
    }
    tokio::time::sleep(AGAIN).await;
    call().await
}

/// A coordinator. Connects when it is first used.
#[derive(Debug, Clone)]
pub(crate) struct Coordinator {
    access: Access,
    channel: Channel,
}

impl Coordinator {
    pub(crate) fn new(access: Access) -> Coordinator {
        let channel = access.channel();
        Coordinator { access, channel }
    }

    pub(crate) fn jobs(&self) -> JobsClient<Channel> {
        JobsClient::new(self.channel.clone()).max_decoding_message_size(MESSAGE_BYTES_MAX)
    }

    pub(crate) fn fleet(&self) -> FleetClient<Channel> {
        FleetClient::new(self.channel.clone()).max_decoding_message_size(MESSAGE_BYTES_MAX)
    }

    pub(crate) fn artifacts(&self) -> ArtifactsClient<Channel> {
        ArtifactsClient::new(self.channel.clone()).max_decoding_message_size(MESSAGE_BYTES_MAX)
    }

    pub(crate) fn storage(&self) -> StorageClient<Channel> {
        StorageClient::new(self.channel.clone())
    }

    pub(crate) fn tags(&self) -> TagsClient<Channel> {
        TagsClient::new(self.channel.clone())
    }

    pub(crate) fn access(&self) -> AccessClient<Channel> {
        AccessClient::new(self.channel.clone())
    }

    pub(crate) fn transfer(&self) -> Transfer {
        Transfer::new(&self.access)
    }

    /// A job by id, by name or by the beginning of its id.
    pub(crate) async fn job(&self, id: &str) -> Result<v1::Job> {
        let answer = self.jobs().get(traced(v1::GetJobRequest { id: id.to_owned() })).await;
        self.answer(answer, Subject::Job)
    }

    /// A call's answer, or what its failure means; `subject` is what it was about.
    pub(crate) fn answer<T>(&self, result: std::result::Result<Response<T>, Status>, subject: Subject) -> Result<T> {
        result.map(Response::into_inner).map_err(|status| self.error(&status, subject))
    }

    pub(crate) fn error(&self, status: &Status, subject: Subject) -> CliError {
        error::from_status(status, self.access.endpoint(), subject)
    }

    pub(crate) fn transfer_error(&self, error: &TransferError) -> CliError {
        error::from_transfer(error, self.access.endpoint())
    }
}
