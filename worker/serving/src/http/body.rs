//! Bodies of requests, within bounds of size, time and memory.

use super::Intake;
use crate::api::ApiError;
use axum::body::{Body, BodyDataStream};
use futures::StreamExt;
use std::ops::Deref;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

/// What is too large is read on so far and thrown away: a client that is still sending would not read the answer.
const WASTED_BYTES_MAX: usize = 64 << 20;

/// The unit in which memory is counted.
const UNIT_BYTES: usize = 1 << 10;

/// Where bodies are read.
#[derive(Debug, Clone)]
pub(super) struct Room {
    intake: Intake,
    units: Arc<Semaphore>,
}

/// A body that has come, and its part of the memory.
#[derive(Debug)]
pub(super) struct Read {
    bytes: Vec<u8>,
    units: Option<OwnedSemaphorePermit>,
}

impl Deref for Read {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Room {
    pub(super) fn new(intake: Intake) -> Room {
        let units = (intake.bodies_bytes / UNIT_BYTES).min(Semaphore::MAX_PERMITS);
        Room { intake, units: Arc::new(Semaphore::new(units)) }
    }

    /// Reads a body. Memory is taken as bytes come, so that who sends slowly keeps none from others.
    pub(super) async fn read(&self, body: Body) -> Result<Read, ApiError> {
        let mut chunks = body.into_data_stream();
        let patience = self.intake.patience;
        let deadline = Instant::now() + patience;
        let mut read = Read { bytes: Vec::new(), units: None };
        loop {
            let chunk = timeout_at(deadline, chunks.next())
                .await
                .map_err(|_| ApiError::too_slow(format!("the body did not come within {} s", patience.as_secs())))?;
            let Some(chunk) = chunk else { return Ok(read) };
            let chunk = chunk.map_err(|error| ApiError::invalid(format!("the body broke off: {error}")))?;
            if read.bytes.len() + chunk.len() > self.intake.body_bytes {
                drop(read);
                waste(chunks, deadline).await;
                let most = self.intake.body_bytes;
                return Err(ApiError::too_large(format!("the body has more than {most} bytes")));
            }
            self.make_room(&mut read, chunk.len())?;
            read.bytes.extend_from_slice(&chunk);
        }
    }

    fn make_room(&self, read: &mut Read, more: usize) -> Result<(), ApiError> {
        let has = read.units.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let wanted = (read.bytes.len() + more).div_ceil(UNIT_BYTES);
        let wanted = u32::try_from(wanted.saturating_sub(has)).unwrap_or(u32::MAX);
        let units = Arc::clone(&self.units).try_acquire_many_owned(wanted);
        let units = units
            .map_err(|_| ApiError::unavailable("there are as many large requests as there is room for; try again"))?;
        match &mut read.units {
            Some(has) => has.merge(units),
            none => *none = Some(units),
        }
        Ok(())
    }
}

async fn waste(mut chunks: BodyDataStream, deadline: Instant) {
    let mut wasted = 0;
    while let Ok(Some(Ok(chunk))) = timeout_at(deadline, chunks.next()).await {
        wasted += chunk.len();
        if wasted > WASTED_BYTES_MAX {
            return;
        }
    }
}
