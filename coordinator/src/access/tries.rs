//! How often somebody may fail to get in.
//!
//! A secret has 256 random bits, so nobody guesses one: a million guesses a second, for the thirty days that a token lives at most, find
//! one of a thousand tokens with a chance of less than one in 2^204. What is bounded is the work that trying makes, and the noise. A wrong
//! secret costs one comparison; what costs more is done for whoever holds a token's, and counted by token. No limit is shared by all, so a
//! stranger keeps nobody out but who comes from its own address.
//!
//! Promise (property tests below): from an address that nobody failed from anybody may try, whatever all others do. An address, of IPv6 all
//! of a /64, that failed [`ADDRESS_FAILURES_MAX`] times within [`WINDOW`] waits for the oldest of these to be that long ago, and a token
//! likewise after [`TOKEN_FAILURES_MAX`]. What is kept is bounded: of more than [`SOURCES_MAX`] addresses the ones that have been quiet the
//! longest are forgotten, which gives them tries and takes none from anybody.

use super::registry::TOKENS_MAX;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;
use std::time::{Duration, Instant};
use vertigo::id::TokenId;

/// How long a failure counts.
pub const WINDOW: Duration = Duration::from_secs(60);

/// Failures of one address within [`WINDOW`].
pub const ADDRESS_FAILURES_MAX: usize = 10;

/// Failures within [`WINDOW`] by whoever holds one token's secret. A room of machines may join with one token at the same time, and until
/// it is known that they do, each counts.
pub const TOKEN_FAILURES_MAX: usize = 100;

/// Addresses of which is known that they failed.
pub const SOURCES_MAX: usize = 4_096;

/// Failures within [`WINDOW`] of which the log has a line each.
const LINES_MAX: u32 = 20;

/// Somebody has to wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many attempts failed: try again in {} s", .0.as_secs().max(1))]
pub struct TooMany(Duration);

/// Where somebody comes from, as far as one person has it to itself: of IPv6 the network of which everybody has all addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Source {
    V4([u8; 4]),
    V6([u8; 8]),
}

impl Source {
    fn of(address: IpAddr) -> Source {
        match address.to_canonical() {
            IpAddr::V4(it) => Source::V4(it.octets()),
            IpAddr::V6(it) => {
                let [a, b, c, d, e, f, g, h, ..] = it.octets();
                Source::V6([a, b, c, d, e, f, g, h])
            }
        }
    }
}

/// The failures that count still.
#[derive(Debug)]
pub struct Tries {
    sources: Failures<Source>,
    tokens: Failures<TokenId>,
    noise: Noise,
}

impl Default for Tries {
    fn default() -> Tries {
        Tries {
            sources: Failures::new(SOURCES_MAX, ADDRESS_FAILURES_MAX),
            tokens: Failures::new(TOKENS_MAX, TOKEN_FAILURES_MAX),
            noise: Noise::default(),
        }
    }
}

impl Tries {
    /// Somebody at `address` tries. It counts as a failure until it is known to be none.
    ///
    /// # Errors
    /// [`TooMany`]; then it does not try.
    pub fn begin(&mut self, now: Instant, address: IpAddr) -> Result<(), TooMany> {
        self.sources.begin(now, Source::of(address))
    }

    /// Whoever tried since `began` holds the secret of a token, so it guessed nothing, and what it makes of it is counted by the token.
    ///
    /// # Errors
    /// [`TooMany`]; then it does not go on.
    pub fn begin_with(&mut self, began: Instant, address: IpAddr, token: TokenId) -> Result<(), TooMany> {
        self.sources.succeeded(began, Source::of(address));
        self.tokens.begin(began, token)
    }

    /// What began then with a token was no failure.
    pub fn succeeded(&mut self, began: Instant, token: TokenId) {
        self.tokens.succeeded(began, token);
    }

    /// What the log is told of a secret that was wrong: whether it is told of this one, and of how many before it was not told.
    pub fn told(&mut self, now: Instant) -> (bool, u64) {
        self.noise.told(now)
    }
}

/// Failures by whose they are.
#[derive(Debug)]
struct Failures<K> {
    /// The oldest first. Nobody is here without one.
    by: BTreeMap<K, VecDeque<Instant>>,
    /// All of them by their newest failure.
    newest: BTreeSet<(Instant, K)>,
    keys_max: usize,
    each_max: usize,
}

impl<K: Copy + Ord> Failures<K> {
    fn new(keys_max: usize, each_max: usize) -> Failures<K> {
        Failures { by: BTreeMap::new(), newest: BTreeSet::new(), keys_max, each_max }
    }

    fn begin(&mut self, now: Instant, key: K) -> Result<(), TooMany> {
        let is_over = |at: Instant| now.saturating_duration_since(at) >= WINDOW;
        while let Some((_, quiet)) = self.newest.first().copied().filter(|(at, _)| is_over(*at)) {
            self.forget(quiet);
        }
        if let Some(failures) = self.by.get_mut(&key) {
            while failures.front().is_some_and(|at| is_over(*at)) {
                failures.pop_front();
            }
            if let Some(oldest) = failures.front().filter(|_| failures.len() >= self.each_max) {
                return Err(TooMany(WINDOW.saturating_sub(now.saturating_duration_since(*oldest))));
            }
        } else if self.by.len() >= self.keys_max
            && let Some((_, quietest)) = self.newest.first().copied()
        {
            self.forget(quietest);
        }
        self.change(key, |failures| failures.push_back(now));
        Ok(())
    }

    fn succeeded(&mut self, began: Instant, key: K) {
        self.change(key, |failures| {
            if let Some(at) = failures.iter().rposition(|at| *at == began) {
                failures.remove(at);
            }
        });
    }

    fn change(&mut self, key: K, act: impl FnOnce(&mut VecDeque<Instant>)) {
        let failures = self.by.entry(key).or_default();
        if let Some(before) = failures.back() {
            self.newest.remove(&(*before, key));
        }
        act(failures);
        match failures.back() {
            Some(newest) => drop(self.newest.insert((*newest, key))),
            None => drop(self.by.remove(&key)),
        }
    }

    fn forget(&mut self, key: K) {
        self.change(key, VecDeque::clear);
    }
}

/// Lines of the log, so that whoever fails from a million addresses does not fill a disk.
#[derive(Debug, Default)]
struct Noise {
    since: Option<Instant>,
    lines: u32,
    untold: u64,
}

impl Noise {
    fn told(&mut self, now: Instant) -> (bool, u64) {
        if self.since.is_none_or(|since| now.saturating_duration_since(since) >= WINDOW) {
            (self.since, self.lines) = (Some(now), 0);
        }
        if self.lines >= LINES_MAX {
            self.untold += 1;
            return (false, 0);
        }
        self.lines += 1;
        (true, std::mem::take(&mut self.untold))
    }
}

#[cfg(test)]
mod tests;
