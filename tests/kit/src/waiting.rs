//! Waiting for conditions, with a deadline.

use std::future::Future;
use std::time::Duration;

/// Longer than anything here takes on a slow, busy machine; a test that passes never waits this long.
pub const DEADLINE: Duration = Duration::from_secs(180);

/// Between two looks at a condition that nobody tells of.
const PAUSE: Duration = Duration::from_millis(20);

/// Waits for what has to happen.
///
/// # Panics
/// After [`DEADLINE`], with what was waited for.
pub async fn soon<T>(what: &str, happens: impl Future<Output = T>) -> T {
    match tokio::time::timeout(DEADLINE, happens).await {
        Ok(value) => value,
        Err(_) => panic!("waited {DEADLINE:?} for {what}"),
    }
}

/// Asks `condition` again and again until it gives something.
///
/// # Panics
/// As [`soon`].
pub async fn until<T, F: Future<Output = Option<T>>>(what: &str, mut condition: impl FnMut() -> F) -> T {
    soon(what, async {
        loop {
            if let Some(value) = condition().await {
                return value;
            }
            tokio::time::sleep(PAUSE).await;
        }
    })
    .await
}

/// The same of a condition that is looked at without waiting.
///
/// # Panics
/// As [`soon`].
pub async fn eventually<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    until(what, || std::future::ready(condition())).await
}
