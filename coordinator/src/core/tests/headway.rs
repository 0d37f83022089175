//! A job that gets on is tried again for as long as it does; one that does not is ended.

use super::*;
use proptest::prelude::*;

/// A worker of 100 bytes that holds one plan of 80, and the job's failures so far.
struct Run {
    bench: Bench,
    session: SessionId,
    job: JobId,
    iter: u64,
}

impl Run {
    fn new() -> Run {
        let mut bench = Bench::new();
        let session = bench.connect(WorkerId::new(), "mac", 100, &[]).unwrap();
        let job = bench.submit(None, &[("plan", 80)]);
        Run { bench, session, job, iter: 0 }
    }

    fn is_running(&self) -> bool {
        matches!(self.bench.core.jobs[&self.job].state, State::Leased { .. })
    }

    /// The attempt's next checkpoint, or one that it had reached before.
    fn checkpoint(&mut self, new: bool) {
        self.iter += u64::from(new);
        let content = format!("{}", self.iter);
        let body = ReportBody::Checkpoint { iter: self.iter, artifact: manifest(Kind::Checkpoint, &content) };
        let attempt = self.bench.live(self.job);
        self.bench.report(self.session, attempt, body).unwrap();
    }

    fn fail(&mut self, kind: Cure) {
        let attempt = self.bench.live(self.job);
        self.bench.fail(self.session, attempt, kind);
        self.bench.wait_out_backoff(self.job);
    }
}

fn passing() -> impl Strategy<Value = Cure> {
    prop::sample::select(vec![Cure::FreshProcess, Cure::Later])
}

/// What the promise says, counted another way than the core does: from the end back to the newest headway.
fn is_over(history: &[(bool, Cure)]) -> bool {
    let last = history.iter().rposition(|(headway, _)| *headway).unwrap_or(0);
    let count = |kind| history[last..].iter().filter(|(_, failure)| *failure == kind).count();
    count(Cure::FreshProcess) >= 3 || count(Cure::Later) > 10
}

proptest! {
    #[test]
    fn failures_count_from_the_newest_headway_on(rounds in prop::collection::vec((prop::bool::weighted(0.3), passing()), 1..60)) {
        let mut run = Run::new();
        run.checkpoint(true);
        for n in 0..rounds.len() {
            let (headway, kind) = rounds[n];
            // A checkpoint that is no further than the newest is no headway.
            run.checkpoint(headway);
            run.fail(kind);
            let over = is_over(&rounds[..=n]);
            prop_assert_eq!(run.bench.state(run.job), if over { "failed" } else { "leased" });
            if over {
                break;
            }
        }
    }

    #[test]
    fn any_number_of_crashes_with_headway_is_survived(rounds in prop::collection::vec(0usize..3, 1..40)) {
        let mut run = Run::new();
        for crashes in rounds {
            run.checkpoint(true);
            (0..crashes).for_each(|_| run.fail(Cure::FreshProcess));
        }
        run.checkpoint(true);
        prop_assert!(run.is_running());
    }

    #[test]
    fn a_job_without_headway_ends(kinds in prop::collection::vec(
        prop::sample::select(vec![Cure::FreshProcess, Cure::Later, Cure::MoreMemory]), 16)) {
        let mut run = Run::new();
        for kind in kinds {
            if !run.is_running() {
                break;
            }
            run.fail(kind);
        }
        // Failed, or too large for every worker by now: either way it takes no machine's time any more.
        prop_assert!(!run.is_running());
    }
}
