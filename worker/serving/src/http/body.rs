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

/// What a value of JSON takes as it is parsed and once more as the request that is read of it, lists with their spare room; and so does
/// the key of an object.
const VALUE_BYTES: usize = 160;

/// How often a request's texts are in memory while it is read: as they were sent or are read, and as they are parsed.
const TEXT_COPIES: usize = 2;

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
    room: Room,
    share: Share,
}

/// A request's part of the memory, which it has until this is dropped.
#[derive(Debug, Default)]
pub(super) struct Share(Option<OwnedSemaphorePermit>);

impl Deref for Read {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Read {
    /// Takes the memory that the JSON of the body will take once it is parsed; what is done then may drop the body and keep the share.
    pub(super) fn weigh(&mut self) -> Result<Share, ApiError> {
        let weight = weight(&self.bytes);
        if weight > self.room.intake.bodies_bytes {
            return Err(ApiError::too_large("the body has more values than there is memory for"));
        }
        self.room.clone().make_room(&mut self.share, weight)?;
        Ok(std::mem::take(&mut self.share))
    }
}

/// Bytes that JSON takes once it is parsed, at the most, by the signs outside of its texts.
fn weight(json: &[u8]) -> usize {
    let (mut values, mut is_text, mut is_escaped) = (1, false, false);
    for byte in json {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = is_text,
            b'"' => is_text = !is_text,
            b',' | b':' | b'[' | b'{' if !is_text => values += 1,
            _ => {}
        }
    }
    json.len() * TEXT_COPIES + values * VALUE_BYTES
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
        let mut read = Read { bytes: Vec::new(), room: self.clone(), share: Share::default() };
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
            let length = read.bytes.len() + chunk.len();
            self.make_room(&mut read.share, length)?;
            read.bytes.extend_from_slice(&chunk);
        }
    }

    /// Has a share be of so many bytes at least.
    fn make_room(&self, share: &mut Share, bytes: usize) -> Result<(), ApiError> {
        let has = share.0.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let wanted = bytes.div_ceil(UNIT_BYTES);
        let wanted = u32::try_from(wanted.saturating_sub(has)).unwrap_or(u32::MAX);
        let units = Arc::clone(&self.units).try_acquire_many_owned(wanted);
        let units = units
            .map_err(|_| ApiError::unavailable("there are as many large requests as there is room for; try again"))?;
        match &mut share.0 {
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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn json_weighs_what_it_becomes_and_texts_what_they_are() {
        let zeros = format!("[{}0]", "0,".repeat(1000));
        let value_bytes = size_of::<Value>();
        assert!(weight(zeros.as_bytes()) > 1001 * 2 * value_bytes, "{value_bytes}");
        let text = json!(",:[{\"\\".repeat(1000)).to_string();
        assert_eq!(weight(text.as_bytes()), text.len() * TEXT_COPIES + VALUE_BYTES);
    }

    #[tokio::test]
    async fn a_request_keeps_its_share_after_its_body_has_gone() {
        let intake = Intake { bodies_bytes: 300 << 10, ..Intake::default() };
        let room = Room::new(intake);
        let all = room.units.available_permits();
        let zeros = |number: usize| Body::from(format!("[{}0]", "0,".repeat(number)));
        let mut read = room.read(zeros(1000)).await.unwrap();
        let share = read.weigh().unwrap();
        drop(read);
        assert!(room.units.available_permits() < all - 150, "{}", room.units.available_permits());
        let another = room.read(zeros(1000)).await.unwrap().weigh().unwrap_err();
        assert_eq!(another.status, 503);
        drop(share);
        assert_eq!(room.units.available_permits(), all);
        assert_eq!(room.read(zeros(10_000)).await.unwrap().weigh().unwrap_err().status, 413);
    }
}
