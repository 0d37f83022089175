//! When one blob is tried again, and when it is given up.

use super::TransferError;
use std::time::{Duration, Instant};
use vertigo::backoff::Backoff;

/// Tries of one blob while it makes no headway; each that gets further starts the count again.
const TRIES: u32 = 6;

/// Pause before the second try.
pub(super) const PAUSE: Duration = Duration::from_millis(200);

/// Pauses before the tries after it; the last of them is shorter than the longest.
const BACKOFF: Backoff = Backoff { first: PAUSE, longest: Duration::from_secs(10) };

/// Tries without headway.
#[derive(Debug, Default)]
pub(super) struct Tries {
    failed: u32,
    furthest: u64,
    /// Since when another upload of the blob has its turn.
    busy: Option<Instant>,
}

impl Tries {
    /// The blob is there up to `position`.
    pub(super) fn reached(&mut self, position: u64) {
        if position > self.furthest {
            *self = Tries { furthest: position, ..Tries::default() };
        }
    }

    /// Waits for the next try, or gives the error back where none can help. Another upload of the blob, which may be our own
    /// from before the connection broke, is waited for as long as `turn`.
    pub(super) async fn pause_or_give_up(&mut self, error: TransferError, turn: Duration) -> Result<(), TransferError> {
        if matches!(error, TransferError::NotTaken { status: 409, .. }) {
            if self.busy.get_or_insert_with(Instant::now).elapsed() < turn {
                tokio::time::sleep(PAUSE).await;
                return Ok(());
            }
            return Err(error);
        }
        self.failed += 1;
        if !error.is_transient() || self.failed >= TRIES {
            return Err(error);
        }
        tokio::time::sleep(BACKOFF.wait(self.failed)).await;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vertigo::id::Digest;

    #[tokio::test]
    async fn another_upload_s_turn_is_waited_for_and_not_for_ever() {
        let busy = || TransferError::NotTaken { digest: Digest::of(b""), status: 409, message: "busy".to_owned() };
        let mut tries = Tries::default();
        for _ in 0..TRIES + 2 {
            tries.pause_or_give_up(busy(), Duration::from_secs(60)).await.unwrap();
        }
        assert!(tries.pause_or_give_up(busy(), Duration::ZERO).await.is_err());
    }
}
