//! What goes wrong, drawn from a seed.
//!
//! Promise: the same seed and the same stage give the same faults in the same order with the same pauses. When they meet what the parts are
//! doing is the machine's.

use crate::proxy::{Way, Weather};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::time::Duration;

/// The longest pause between two faults: on average one comes in half of it.
const PAUSE_MAX: Duration = Duration::from_millis(2_000);

/// What there is to break.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) workers: usize,
    pub(crate) lease: Duration,
    /// Disks that can be filled.
    pub(crate) has_disks: bool,
    /// An object store that can be told to refuse.
    pub(crate) has_bucket: bool,
    /// A wall clock that can be set.
    pub(crate) has_clock: bool,
}

/// A daemon.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Who {
    Coordinator,
    Worker(usize),
}

/// What the object store does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    Writes(u16),
    All(u16),
    Slow(Duration),
}

/// Something that goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// `kill -9`, and started again after `down`.
    Kill { who: Who, down: Duration },
    /// The process that trains or fuses aborts.
    KillChild { worker: usize },
    /// SIGSTOP, and SIGCONT after `span`.
    Freeze { who: Who, span: Duration },
    /// The same of the process that trains or fuses.
    FreezeChild { worker: usize, span: Duration },
    /// All connections of a link are closed. The first link is the CLI's, the others the workers', the last the object store's.
    Cut { link: usize },
    /// A link has another weather for a while.
    Weather { link: usize, weather: Weather, span: Duration },
    /// No room on a disk for a while.
    Fill { who: Who, span: Duration },
    /// The object store fails for a while.
    Store { refusal: Refusal, span: Duration },
    /// The coordinator's wall clock is so many seconds from the right time for a while.
    Clock { seconds: i64, span: Duration },
}

impl Fault {
    /// The line of the table that it counts in.
    pub(crate) fn name(&self, lease: Duration) -> &'static str {
        let who = |who: &Who, coordinator, worker| if *who == Who::Coordinator { coordinator } else { worker };
        match self {
            Fault::Kill { who: it, .. } => who(it, "kill -9 of the coordinator", "kill -9 of a worker"),
            Fault::KillChild { .. } => "abort of a worker's child",
            Fault::Freeze { who: it, span } if *span > lease => {
                who(it, "coordinator stopped past the lease", "worker stopped past the lease")
            }
            Fault::Freeze { who: it, .. } => who(it, "coordinator stopped for a moment", "worker stopped for a moment"),
            Fault::FreezeChild { .. } => "child stopped for a moment or past the lease",
            Fault::Cut { .. } => "connections cut",
            Fault::Weather { weather, .. } => match weather {
                Weather::Fair | Weather::Refuses => "connections refused",
                Weather::Slow(_) => "connections delayed",
                Weather::Silent(_) => "connections half-open",
                Weather::Torn(_) => "connections torn in the middle",
            },
            Fault::Fill { who: it, .. } => who(it, "coordinator's disk full", "worker's disk full"),
            Fault::Store { refusal, .. } => match refusal {
                Refusal::Writes(403) | Refusal::All(403) => "store answers 403",
                Refusal::Writes(_) | Refusal::All(_) => "store answers 503",
                Refusal::Slow(_) => "store answers late",
            },
            Fault::Clock { .. } => "coordinator's clock set",
        }
    }
}

/// The faults of a seed, without end.
#[derive(Debug)]
pub(crate) struct Plan {
    shape: Shape,
    rng: ChaCha8Rng,
}

impl Plan {
    pub(crate) fn new(seed: u64, shape: Shape) -> Plan {
        Plan { shape, rng: ChaCha8Rng::seed_from_u64(seed) }
    }

    /// The pause before the next fault, and the fault.
    pub(crate) fn next(&mut self) -> (Duration, Fault) {
        let pause = self.between(Duration::ZERO, PAUSE_MAX);
        loop {
            let fault = self.draw();
            let is_possible = match fault {
                Fault::Fill { .. } => self.shape.has_disks,
                Fault::Store { .. } => self.shape.has_bucket,
                Fault::Clock { .. } => self.shape.has_clock,
                _ => true,
            };
            if is_possible {
                return (pause, fault);
            }
        }
    }

    fn draw(&mut self) -> Fault {
        match self.rng.random_range(0..100) {
            0..9 => Fault::Kill { who: Who::Coordinator, down: self.between(Duration::ZERO, Duration::from_secs(3)) },
            9..20 => Fault::Kill { who: self.worker(), down: self.absence() },
            20..29 => Fault::KillChild { worker: self.rng.random_range(0..self.shape.workers) },
            29..34 => Fault::Freeze { who: Who::Coordinator, span: self.absence() },
            34..42 => Fault::Freeze { who: self.worker(), span: self.absence() },
            42..48 => Fault::FreezeChild { worker: self.rng.random_range(0..self.shape.workers), span: self.absence() },
            48..58 => Fault::Cut { link: self.link() },
            58..76 => {
                let (link, weather) = (self.link(), self.weather());
                Fault::Weather { link, weather, span: self.absence() }
            }
            76..80 => Fault::Fill { who: Who::Coordinator, span: self.moment() },
            80..86 => Fault::Fill { who: self.worker(), span: self.absence() },
            86..96 => Fault::Store { refusal: self.refusal(), span: self.absence() },
            _ => {
                // From a second's correction to a clock that forgot the date, back and forth.
                let reach = [2, 60, 3_600, 400 * 86_400][self.rng.random_range(0..4)];
                Fault::Clock { seconds: self.rng.random_range(-reach..=reach), span: self.absence() }
            }
        }
    }

    fn worker(&mut self) -> Who {
        Who::Worker(self.rng.random_range(0..self.shape.workers))
    }

    fn link(&mut self) -> usize {
        let links = 1 + self.shape.workers + usize::from(self.shape.has_bucket);
        self.rng.random_range(0..links)
    }

    fn weather(&mut self) -> Weather {
        match self.rng.random_range(0..5) {
            0 => Weather::Refuses,
            1 => Weather::Slow(self.between(Duration::from_millis(5), Duration::from_millis(800))),
            2 => Weather::Torn(self.rng.random_range(0..200_000)),
            _ => Weather::Silent([Way::Up, Way::Down, Way::Both][self.rng.random_range(0..3)]),
        }
    }

    fn refusal(&mut self) -> Refusal {
        match self.rng.random_range(0..5) {
            0 => Refusal::Writes(403),
            1 => Refusal::Writes(503),
            2 => Refusal::All(403),
            3 => Refusal::All(503),
            _ => Refusal::Slow(self.between(Duration::from_millis(100), Duration::from_secs(4))),
        }
    }

    /// Mostly a moment, one time in six past the lease.
    fn absence(&mut self) -> Duration {
        let lease = self.shape.lease;
        if self.rng.random_range(0..6) == 0 {
            self.between(lease + Duration::from_secs(1), lease + Duration::from_secs(4))
        } else {
            self.moment()
        }
    }

    fn moment(&mut self) -> Duration {
        self.between(Duration::from_millis(50), Duration::from_secs(4))
    }

    fn between(&mut self, least: Duration, most: Duration) -> Duration {
        Duration::from_millis(self.rng.random_range(least.as_millis() as u64..=most.as_millis() as u64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    const SHAPE: Shape =
        Shape { workers: 3, lease: Duration::from_secs(10), has_disks: true, has_bucket: true, has_clock: true };

    fn drawn(seed: u64, shape: Shape) -> Vec<(Duration, Fault)> {
        let mut plan = Plan::new(seed, shape);
        (0..2_000).map(|_| plan.next()).collect()
    }

    #[test]
    fn a_seed_is_a_campaign_and_another_seed_another() {
        assert_eq!(drawn(1, SHAPE), drawn(1, SHAPE));
        assert_ne!(drawn(1, SHAPE), drawn(2, SHAPE));
    }

    #[test]
    fn every_kind_comes_and_none_that_the_stage_cannot_do() {
        let names = |shape: Shape| -> BTreeSet<&str> {
            drawn(7, shape).iter().map(|(_, fault)| fault.name(shape.lease)).collect()
        };
        let all = names(SHAPE);
        assert_eq!(all.len(), 19, "{all:#?}");
        let bare = names(Shape { has_disks: false, has_bucket: false, has_clock: false, ..SHAPE });
        let missing: Vec<_> = all.difference(&bare).collect();
        assert_eq!(missing.len(), 6, "{missing:#?}");
        assert!(missing.iter().all(|name| ["disk", "store", "clock"].iter().any(|word| name.contains(word))));
    }
}
