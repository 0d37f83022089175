//! Progress that a retry does not count twice.

use super::Progress;
use std::sync::atomic::{AtomicU64, Ordering};

/// One file's progress. Bytes that go again after a cut are not told of again.
pub(super) struct Meter<'a> {
    progress: Progress<'a>,
    size: u64,
    told: AtomicU64,
}

impl<'a> Meter<'a> {
    pub(super) fn new(progress: Progress<'a>, size: u64) -> Meter<'a> {
        Meter { progress, size, told: AtomicU64::new(0) }
    }

    /// The file is there up to `position`.
    pub(super) fn reached(&self, position: u64) {
        let position = position.min(self.size);
        let before = self.told.fetch_max(position, Ordering::Relaxed);
        if position > before {
            (self.progress)(position - before);
        }
    }

    /// Bytes that were told of.
    pub(super) fn told(&self) -> u64 {
        self.told.load(Ordering::Relaxed)
    }

    /// The file is there.
    pub(super) fn done(&self) {
        self.reached(self.size);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_sum_is_the_size_whatever_goes_again(positions in prop::collection::vec(0u64..200, 0..20), size in 0u64..150) {
            let sum = AtomicU64::new(0);
            let progress = |n| { sum.fetch_add(n, Ordering::Relaxed); };
            let meter = Meter::new(&progress, size);
            for position in positions {
                meter.reached(position);
                prop_assert!(sum.load(Ordering::Relaxed) <= size);
            }
            meter.done();
            prop_assert_eq!(sum.load(Ordering::Relaxed), size);
        }
    }
}
