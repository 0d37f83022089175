//! Who counts on which blob, so that a sweep takes none that somebody was promised.
//!
//! Whoever looks for a blob in order to name it holds it from before the look until its artifact is committed. Whoever was told that a blob
//! is there (an upload that ended, a `missing_blobs` that did not list it) has been promised it, and has the grace to name it. A sweep
//! claims a blob before it deletes it.
//!
//! Promise: a claim and a hold exclude one another. While a blob is held it is not claimed; while it is claimed, whoever would hold it
//! waits until it is gone, and then sees that it is. So nothing is ever made of a blob that a sweep deletes. What is remembered is no
//! more than the store has blobs, since only those that are there are promised.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use vertigo::id::Digest;

/// All holds, promises and claims.
#[derive(Debug, Default)]
pub(super) struct Holds {
    state: Mutex<State>,
    /// Told whenever claims end.
    ended: Notify,
}

#[derive(Debug, Default)]
struct State {
    held: HashMap<Digest, usize>,
    promised: HashMap<Digest, Instant>,
    claimed: HashSet<Digest>,
}

impl Holds {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The right to delete a blob, unless somebody holds it, or was promised it since `since` or within `grace`.
    pub(super) fn claim(&self, digest: Digest, since: Instant, grace: Duration) -> Option<Claim<'_>> {
        let mut state = self.state();
        let is_promised = |at: &Instant| *at >= since || at.elapsed() < grace;
        if state.held.contains_key(&digest) || state.promised.get(&digest).is_some_and(is_promised) {
            return None;
        }
        state.promised.remove(&digest);
        // Not `then_some`: it would make the claim first, and dropping it would take the lock that is held here.
        state.claimed.insert(digest).then(|| Claim { holds: self, digest })
    }

    /// Forgets promises that are older than `grace`.
    pub(super) fn let_lapse(&self, grace: Duration) {
        self.state().promised.retain(|_, at| at.elapsed() < grace);
    }
}

/// The right to delete a blob. Whoever would hold it waits until this is dropped.
#[derive(Debug)]
pub(super) struct Claim<'a> {
    holds: &'a Holds,
    digest: Digest,
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        self.holds.state().claimed.remove(&self.digest);
        self.holds.ended.notify_waiters();
    }
}

/// Blobs that stay for as long as this lives. What is made of them travels with it: the writer drops it after the commit, whoever waits
/// for that.
#[derive(Debug)]
pub struct Hold {
    holds: Arc<Holds>,
    digests: Vec<Digest>,
    is_there: bool,
}

impl Hold {
    pub(super) fn none(holds: &Arc<Holds>) -> Hold {
        Hold { holds: Arc::clone(holds), digests: Vec::new(), is_there: false }
    }

    /// Holds these too. When it returns, each of them stays if it is there, and is not there if it is being deleted.
    pub async fn add(&mut self, digests: impl IntoIterator<Item = Digest>) {
        let begin = self.digests.len();
        self.digests.extend(digests);
        self.count(begin);
        loop {
            // Listened for before the look, so that no end is missed.
            let ended = self.holds.ended.notified();
            if !self.has_claimed(begin) {
                return;
            }
            ended.await;
        }
    }

    fn count(&self, begin: usize) {
        let mut state = self.holds.state();
        self.digests[begin..].iter().for_each(|digest| *state.held.entry(*digest).or_default() += 1);
    }

    fn has_claimed(&self, begin: usize) -> bool {
        let state = self.holds.state();
        !state.claimed.is_empty() && self.digests[begin..].iter().any(|digest| state.claimed.contains(digest))
    }

    /// Notes that somebody is told that these are there, which they are.
    pub fn promise(&self, digests: impl IntoIterator<Item = Digest>) {
        let (mut state, now) = (self.holds.state(), Instant::now());
        state.promised.extend(digests.into_iter().map(|digest| (digest, now)));
    }

    /// Notes that all that it holds is there. It is promised when the hold ends, so that a sweep which began before then knows of it.
    pub fn is_there(mut self) -> Hold {
        self.is_there = true;
        self
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        if self.is_there {
            self.promise(self.digests.iter().copied());
        }
        let mut state = self.holds.state();
        for digest in &self.digests {
            if let Some(count) = state.held.get_mut(digest) {
                *count -= 1;
                if *count == 0 {
                    state.held.remove(digest);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;

    const NONE: Duration = Duration::ZERO;

    #[tokio::test]
    async fn what_is_held_or_promised_is_not_claimed() {
        let (holds, blob, begun) = (Arc::new(Holds::default()), Digest::of(b"x"), Instant::now());
        let mut hold = Hold::none(&holds);
        hold.add([blob, blob]).await;
        assert!(holds.claim(blob, Instant::now(), NONE).is_none());
        drop(hold.is_there());
        assert!(holds.claim(blob, begun, NONE).is_none(), "it was named since the sweep began");
        assert!(holds.claim(blob, Instant::now(), Duration::from_secs(600)).is_none(), "the grace is not over");
        holds.let_lapse(Duration::from_secs(600));
        assert!(holds.claim(blob, begun, NONE).is_none());
        let claim = holds.claim(blob, Instant::now(), NONE).unwrap();
        assert!(holds.claim(blob, Instant::now(), NONE).is_none(), "one claim at a time");
        drop(claim);
        assert!(holds.claim(blob, Instant::now(), NONE).is_some());
        assert!(holds.state().held.is_empty() && holds.state().promised.is_empty());
    }

    #[tokio::test]
    async fn who_would_hold_what_is_being_deleted_waits_until_it_is_gone() {
        let (holds, blob) = (Arc::new(Holds::default()), Digest::of(b"x"));
        let claim = holds.claim(blob, Instant::now(), NONE).unwrap();
        let mut hold = Hold::none(&holds);
        let mut held = Box::pin(hold.add([blob]));
        assert!(held.as_mut().now_or_never().is_none());
        let other = holds.claim(Digest::of(b"y"), Instant::now(), NONE).unwrap();
        drop(other);
        assert!(held.as_mut().now_or_never().is_none(), "another blob's end is none of ours");
        drop(claim);
        held.await;
        assert!(holds.claim(blob, Instant::now(), NONE).is_none());
    }
}
