//! What befell machines, and what follows from it.
//!
//! A machine whose kernel panicked or whose GPU broke under a run has a mark for it. One panic, and it cools down; two of a kind within a
//! day, and it takes nothing for its GPU until a person has looked at it and resumes it, whatever restarts meanwhile. What runs on the
//! processor alone goes on. An attempt that its machine ended has an outcome of its own, also where its lease ran out first, as it does in
//! most restarts; and a job under which machines panic does not go on for ever because each of its lives reaches a checkpoint.
//!
//! Promise: [`standing`] is a function of marks and time; a mishap is counted once, however often it is told.

use super::worker::{COOL_MS, COOLS, cooling_since};
use super::{Core, HeldBy, Hold, Moment, Outcome, State, Worker, retry};
use serde::{Deserialize, Serialize};
use vertigo::id::{AttemptId, JobId, Millis, WorkerId};
use vertigo::task::{Cure, code};

/// How long a mark counts.
const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// How many of a kind within a day hold a machine.
const HOLDING: usize = 2;

/// Marks of a machine that are kept. More than that within a day say nothing new.
const MARKS_MAX: usize = 8;

/// What befell a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mishap {
    /// Its kernel panicked.
    Panic,
    /// Its GPU hung or met an address that is not there.
    GpuBroke,
}

impl Mishap {
    fn counted(self, count: usize) -> String {
        match self {
            Mishap::Panic => format!("{count} kernel panics"),
            Mishap::GpuBroke => format!("{count} failures of its GPU"),
        }
    }
}

/// A mishap that is remembered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// When it was, as far as is known.
    pub at: Millis,
    /// What.
    pub mishap: Mishap,
    /// What tells it from others: the start of the machine that it ended, or the attempt.
    pub of: String,
}

/// A start of a machine that came after one under which its worker ran.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reboot {
    /// What the system called the start that ended.
    pub boot: String,
    /// When the machine was up again.
    pub at: Millis,
    /// The panic's words, maybe none, where it was a panic.
    pub panic: Option<String>,
    /// The attempts that it ended.
    pub attempts: Vec<AttemptId>,
}

impl Reboot {
    /// What an attempt came to that it ended.
    fn outcome(&self) -> Outcome {
        let (code, message) = match self.panic.as_deref() {
            None => (code::MACHINE_REBOOTED, "the machine was restarted under it".to_owned()),
            Some("") => (code::MACHINE_PANICKED, "the machine's kernel panicked under it".to_owned()),
            Some(words) => (code::MACHINE_PANICKED, format!("the machine's kernel panicked under it: {words}")),
        };
        Outcome::Failed { message, cure: Cure::AnotherMachine, code: code.to_owned() }
    }
}

/// What a machine may do by its marks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Standing {
    /// Everything.
    Well,
    /// Nothing for its GPU until then.
    Cools {
        /// Until when.
        until: Millis,
    },
    /// Nothing for its GPU until somebody says so.
    Held {
        /// Why.
        reason: String,
    },
}

/// What follows from marks at a time. Those of more than a day ago count nothing.
pub(super) fn standing(marks: &[Mark], now: Millis) -> Standing {
    let recent = |mishap: Mishap| {
        marks.iter().filter(move |mark| mark.mishap == mishap && now.0.saturating_sub(mark.at.0) < DAY_MS)
    };
    for mishap in [Mishap::Panic, Mishap::GpuBroke] {
        let count = recent(mishap).count();
        if count >= HOLDING {
            let reason = format!("{} within a day: look at the machine first", mishap.counted(count));
            return Standing::Held { reason };
        }
    }
    match recent(Mishap::Panic).map(|mark| mark.at.plus(COOL_MS)).max().filter(|until| *until > now) {
        Some(until) => Standing::Cools { until },
        None => Standing::Well,
    }
}

impl Worker {
    /// Why it takes nothing new, or nothing for its GPU, as people are told: it is held, or it cools down, which a person ends the same
    /// way.
    pub fn told_hold(&self) -> Option<Hold> {
        let cooling = |until| Hold { by: HeldBy::Coordinator, since: cooling_since(until), reason: COOLS.to_owned() };
        self.hold.clone().or_else(|| self.cools_until.map(cooling))
    }
}

impl Core {
    /// Attempts on a worker that its machine ended: those that still have a lease lose it, and all have the outcome that is theirs.
    pub(super) fn went_down(&mut self, at: Moment, worker: WorkerId, reboot: &Reboot) {
        for id in &reboot.attempts {
            let Some(attempt) = self.attempts.get_mut(id).filter(|attempt| attempt.worker == worker) else { continue };
            // A job that has ended never changes.
            if self.jobs.get(&attempt.job).is_none_or(|job| job.state.is_terminal()) {
                continue;
            }
            let (job, name) = (attempt.job, attempt.worker_name.clone());
            let Outcome::Failed { message, .. } = &reboot.outcome() else { continue };
            let why = format!("on {name}: {message}");
            match attempt.outcome {
                Outcome::Running => {
                    self.release(at.now, *id, reboot.outcome());
                    if let Some(job) = self.jobs.get_mut(&job) {
                        job.avoid.insert(worker);
                    }
                    self.count_panic(job, reboot);
                    self.retry(at, job, why, retry::Pause::default());
                }
                // Its lease ran out while the machine was down, and its job goes on elsewhere, or waits.
                Outcome::Lost(_) => {
                    attempt.outcome = reboot.outcome();
                    self.effects.attempts.insert(*id);
                    self.count_panic(job, reboot);
                    self.end_where_panics_are_too_many(at.now, job, &why);
                }
                Outcome::Succeeded | Outcome::Failed { .. } | Outcome::Cancelled => {}
            }
        }
    }

    fn count_panic(&mut self, job: JobId, reboot: &Reboot) {
        if let Some(job) = self.jobs.get_mut(&job).filter(|job| !job.state.is_terminal() && reboot.panic.is_some()) {
            job.panics += 1;
            self.effects.jobs.insert(job.id);
        }
    }

    /// A job that runs again meanwhile is left alone: it may get there.
    fn end_where_panics_are_too_many(&mut self, now: Millis, job: JobId, why: &str) {
        let is_idle = |state| matches!(state, State::Blocked | State::Queued | State::Backoff { .. });
        let Some(panics) = self.too_many_panics(job) else { return };
        if self.jobs.get(&job).is_some_and(|job| is_idle(job.state)) {
            self.set_state(now, job, State::Failed, panicked(panics, why));
        }
    }

    /// How many machines panicked under a job, where that is enough to end it.
    pub(super) fn too_many_panics(&self, job: JobId) -> Option<u32> {
        let panics = self.jobs.get(&job)?.panics;
        (panics >= retry::PANIC_LIMIT && !self.has_been_up(job)).then_some(panics)
    }

    /// Notes what befell a worker's machine, and what follows. What was told before is passed over.
    pub(super) fn mark(&mut self, now: Millis, id: WorkerId, mark: Mark) {
        let Some(worker) = self.workers.get(&id) else { return };
        if worker.marks.iter().any(|known| known.mishap == mark.mishap && known.of == mark.of) {
            return;
        }
        let mut marks = worker.marks.clone();
        // No clock but this one counts, and nothing has happened yet that is to come.
        marks.push(Mark { at: mark.at.min(now), ..mark });
        let old = marks.len().saturating_sub(MARKS_MAX);
        marks.drain(..old);
        let (standing, is_held) = (standing(&marks, now), worker.hold.is_some());
        self.workers.change(id, |worker| worker.marks = marks);
        self.effects.workers.insert(id);
        self.unsettled = true;
        match standing {
            Standing::Well => {}
            Standing::Cools { until } => drop(self.workers.change(id, |worker| worker.cools_until = Some(until))),
            // Whoever holds it already had a reason, and ends both.
            Standing::Held { .. } if is_held => {}
            Standing::Held { reason } => {
                // It is there, as has just been looked up.
                let _ = self.hold(now, id, HeldBy::Coordinator, reason);
            }
        }
    }

    /// Goes on with what machines were marked for before a restart. The clock may have been set back since: what seems to come was now.
    pub(super) fn recall_marks(&mut self, now: Millis) {
        let marked: Vec<WorkerId> =
            self.workers.values().filter(|worker| !worker.marks.is_empty()).map(|worker| worker.id).collect();
        for id in marked {
            self.workers.change(id, |worker| {
                worker.marks.iter_mut().for_each(|mark| mark.at = mark.at.min(now));
                if let Standing::Cools { until } = standing(&worker.marks, now) {
                    worker.cools_until = Some(until);
                }
            });
        }
    }

    /// Lets those go on that have cooled down.
    pub(super) fn let_cooled_go_on(&mut self, now: Millis) {
        let is_cool = |until: Option<Millis>| until.is_some_and(|until| until <= now);
        let cooled: Vec<WorkerId> =
            self.workers.values().filter(|worker| is_cool(worker.cools_until)).map(|worker| worker.id).collect();
        for id in cooled {
            self.workers.change(id, |worker| worker.cools_until = None);
            self.unsettled = true;
        }
    }
}

/// Why a job ends under which machines panic.
pub(super) fn panicked(panics: u32, why: &str) -> String {
    format!("{panics} machines panicked while it ran, whatever it saved in between; the last: {why}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn marks() -> impl Strategy<Value = Vec<Mark>> {
        let mishap = prop::sample::select(vec![Mishap::Panic, Mishap::GpuBroke]);
        let mark =
            (0u64..3 * DAY_MS, mishap).prop_map(|(at, mishap)| Mark { at: Millis(at), mishap, of: String::new() });
        prop::collection::vec(mark, 0..6)
    }

    #[test]
    fn one_panic_cools_and_a_second_within_the_day_holds() {
        let panic = |at| Mark { at: Millis(at), mishap: Mishap::Panic, of: at.to_string() };
        assert_eq!(standing(&[panic(0)], Millis(1)), Standing::Cools { until: Millis(COOL_MS) });
        assert_eq!(standing(&[panic(0)], Millis(COOL_MS)), Standing::Well);
        let Standing::Held { reason } = standing(&[panic(0), panic(DAY_MS - 1)], Millis(DAY_MS - 1)) else {
            panic!("it is held")
        };
        assert!(reason.contains("2 kernel panics") && reason.contains("look at the machine"), "{reason}");
        let broke = Mark { mishap: Mishap::GpuBroke, ..panic(5) };
        assert_eq!(standing(std::slice::from_ref(&broke), Millis(6)), Standing::Well, "the job alone goes elsewhere");
        assert!(matches!(standing(&[broke.clone(), broke], Millis(6)), Standing::Held { .. }));
    }

    proptest! {
        /// It is held exactly where two of a kind lie within the day before; the order in which they were told changes nothing, and
        /// another mark never makes it better.
        #[test]
        fn what_follows_is_a_function_of_what_happened_when(marks in marks(), now in 0u64..4 * DAY_MS, seed in any::<usize>()) {
            let now = Millis(now);
            let recent = |mishap| marks.iter().filter(|it| it.mishap == mishap && it.at.0 + DAY_MS > now.0).count();
            let found = standing(&marks, now);
            let is_held = recent(Mishap::Panic) >= 2 || recent(Mishap::GpuBroke) >= 2;
            prop_assert_eq!(matches!(found, Standing::Held { .. }), is_held);
            let mut turned = marks.clone();
            turned.rotate_left(seed % marks.len().max(1));
            prop_assert_eq!(standing(&turned, now), found.clone());
            let rank = |standing: &Standing| match standing {
                Standing::Well => 0,
                Standing::Cools { .. } => 1,
                Standing::Held { .. } => 2,
            };
            let fewer = standing(&marks[..marks.len().saturating_sub(1)], now);
            prop_assert!(rank(&found) >= rank(&fewer));
            if let Standing::Cools { until } = found {
                prop_assert!(until > now);
            }
        }
    }
}
