//! Jobs that wait until nobody looks at a machine's screen.
//!
//! A run that kept the GPU so long that the screen stood still, and could not hand it less at a time, can go on there once the screen is
//! dark or nobody is before it. Its job waits for that, and for another machine that could take it.
//!
//! Promise: such a wait ends with the first of: nobody looks at that screen, another worker is there that is large enough, or the pause
//! that its worker asked for is over and somebody is not known to look. A worker that does not say whether somebody looks is waited for
//! by time alone.

use super::{Core, Outcome, State};
use vertigo::id::{JobId, Millis, WorkerId};
use vertigo::task::{Cure, code};

/// How long a job waits on at a time for a screen that is looked at still when its pause is over, where nothing is heard before.
const STILL_MS: u64 = 30 * 60 * 1_000;

impl Core {
    /// The worker whose screen a job that is tried again later would have to wait for: its last attempt kept the GPU too long there, and
    /// not for the first time.
    fn screen_of(&self, job: JobId) -> Option<WorkerId> {
        let last = self.attempts.get(self.jobs.get(&job)?.attempts.last()?)?;
        let is_too_long = |cure: Cure, code: &str| cure == Cure::AnotherMachine && code == code::GPU_TOO_LONG;
        matches!(&last.outcome, Outcome::Failed { cure, code, .. } if is_too_long(*cure, code)).then_some(last.worker)
    }

    /// The name of the worker whose screen keeps a job waiting, because somebody may be looking at it and nobody else takes the job.
    pub(super) fn waits_for_screen(&self, job: JobId) -> Option<String> {
        let worker = self.workers.get(&self.screen_of(job)?)?;
        let is_watched = worker.session.is_some() && worker.conditions.is_watched == Some(true);
        (is_watched && !self.goes_elsewhere(job)).then(|| worker.name.clone())
    }

    /// Ends the pauses of jobs that may go on before these are over, now that a worker has come or has said something else of its screen.
    pub(super) fn end_waits_for_screens(&mut self, now: Millis) {
        let may_go_on = |(_, job): &(Millis, JobId)| {
            let worker = self.workers.get(&self.screen_of(*job)?)?;
            let is_dark = worker.session.is_some() && worker.conditions.is_watched == Some(false);
            let why = if is_dark {
                format!("nobody looks at the screen of {} any more", worker.name)
            } else if self.goes_elsewhere(*job) {
                format!("goes to another machine than {}, whose screen stood still", worker.name)
            } else {
                return None;
            };
            Some((*job, why))
        };
        let ended: Vec<(JobId, String)> = self.backoffs.iter().filter_map(may_go_on).collect();
        for (job, why) in ended {
            self.set_state(now, job, State::Queued, why);
        }
    }

    /// A job whose pause is over: it is queued, or waits on for a screen.
    pub(super) fn end_pause(&mut self, now: Millis, job: JobId) {
        let (state, reason) = match self.waits_for_screen(job) {
            None => (State::Queued, String::new()),
            Some(name) => {
                let reason =
                    format!("somebody may be looking at the screen of {name} still; tried again there when nobody is");
                (State::Backoff { until: now.plus(STILL_MS) }, reason)
            }
        };
        self.set_state(now, job, state, reason);
    }
}
