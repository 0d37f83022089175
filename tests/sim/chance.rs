//! All chance of a history, from one seed.

use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Draws from one stream. Clones share it: a history has one thread, so the order of the draws is the history's.
#[derive(Debug, Clone)]
pub(crate) struct Chance(Arc<Mutex<ChaCha8Rng>>);

impl Chance {
    pub(crate) fn new(seed: u64) -> Chance {
        Chance(Arc::new(Mutex::new(ChaCha8Rng::seed_from_u64(seed))))
    }

    fn draw<T>(&self, draw: impl FnOnce(&mut ChaCha8Rng) -> T) -> T {
        draw(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Uniform in [0, 1).
    pub(crate) fn unit(&self) -> f64 {
        self.draw(|rng| rng.random())
    }

    /// Whether something of this probability happens.
    pub(crate) fn happens(&self, probability: f64) -> bool {
        self.unit() < probability
    }

    /// Uniform below `n`, which is not 0.
    pub(crate) fn below(&self, n: usize) -> usize {
        self.draw(|rng| rng.random_range(0..n))
    }

    /// Uniform between two numbers of milliseconds.
    pub(crate) fn millis(&self, from: u64, to: u64) -> Duration {
        Duration::from_millis(self.draw(|rng| rng.random_range(from..to)))
    }

    /// An id as a UUID's text: the first digits count up, so that ids sort by the time of their making.
    pub(crate) fn id(&self, count: u64) -> String {
        let tail = self.draw(|rng| rng.next_u64()) >> 16;
        format!("{:08x}-{:04x}-7000-8000-{tail:012x}", count >> 16, count & 0xffff)
    }

    /// Bytes that nobody guesses.
    pub(crate) fn secret(&self) -> [u8; 32] {
        self.draw(|rng| rng.random())
    }
}
