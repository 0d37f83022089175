//! Waiting for conditions, with a deadline.

use std::future::Future;
use std::time::Duration;

/// Longer than anything here takes on a slow, busy machine; a test that passes never waits this long.
pub const DEADLINE: Duration = Duration::from_secs(180);

/// Waits for `work`.
///
/// # Panics
/// After [`DEADLINE`], with what was waited for.
pub async fn within<T>(what: &str, work: impl Future<Output = T>) -> T {
    match tokio::time::timeout(DEADLINE, work).await {
        Ok(value) => value,
        Err(_) => panic!("waited {DEADLINE:?} for {what}"),
    }
}

/// Asks `condition` again and again until it gives something.
///
/// # Panics
/// As [`within`].
pub async fn until<T, F: Future<Output = Option<T>>>(what: &str, mut condition: impl FnMut() -> F) -> T {
    within(what, async {
        loop {
            if let Some(value) = condition().await {
                return value;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await
}
