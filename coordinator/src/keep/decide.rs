//! What goes by a policy: pure functions of what the database has.

use super::Keep;
use std::collections::BTreeSet;
use std::time::Duration;
use vertigo::id::{Digest, Millis};

/// Of a job that has not ended, so many of the newest checkpoints stay: the last one may turn out to be damaged.
pub const NEWEST_KEPT: usize = 2;

/// A curve is drawn by about so many steps.
pub const STEPS_KEPT: usize = 256;

/// A checkpoint of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// The artifact.
    pub digest: Digest,
    /// The iteration that it had reached; 0 where it does not say.
    pub iter: u64,
    /// When it became visible.
    pub created: Millis,
    /// The size of its files.
    pub bytes: u64,
}

/// What is known of the job that made some checkpoints.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Maker {
    /// When it ended, if it has.
    pub ended: Option<Millis>,
    /// What its next attempts would go on from, where it has not.
    pub resumes: BTreeSet<Digest>,
    /// The iteration of the lowest validation, where there was one.
    pub best: Option<u64>,
}

/// Whether something that has been so since `since` has been so for long enough.
pub fn is_over(since: Millis, keep: Option<Duration>, now: Millis) -> bool {
    keep.is_some_and(|keep| now.0.saturating_sub(since.0) >= u64::try_from(keep.as_millis()).unwrap_or(u64::MAX))
}

/// Those of a job's checkpoints that go.
pub fn checkpoints(made: &[Checkpoint], maker: &Maker, keep: &Keep, now: Millis) -> Vec<Digest> {
    if keep.checkpoints.is_none() {
        return Vec::new();
    }
    let mut by_age: Vec<&Checkpoint> = made.iter().collect();
    by_age.sort_by_key(|it| (it.created, it.iter, it.digest));
    let stays: BTreeSet<Digest> = match maker.ended {
        None => {
            let newest = by_age.iter().rev().take(NEWEST_KEPT).map(|it| it.digest);
            newest.chain(maker.resumes.iter().copied()).collect()
        }
        Some(ended) if is_over(ended, keep.checkpoints, now) => BTreeSet::new(),
        Some(_) => {
            // What was best is in the first checkpoint at or behind it.
            let best = maker.best.and_then(|best| by_age.iter().filter(|it| it.iter >= best).min_by_key(|it| it.iter));
            best.into_iter().chain(by_age.last()).map(|it| it.digest).collect()
        }
    };
    by_age.into_iter().map(|it| it.digest).filter(|digest| !stays.contains(digest)).collect()
}

/// Of a job's steps, by position in the journal and in order, those that a curve does without: it keeps one of each stretch of the same
/// length, and the last. Where there are not many, none goes, so that what was thinned once stays as it is.
pub fn steps(positions: &[u64]) -> Vec<u64> {
    if positions.len() <= 2 * STEPS_KEPT {
        return Vec::new();
    }
    let stride = positions.len().div_ceil(STEPS_KEPT);
    let last = positions.len() - 1;
    let goes = |(at, _): &(usize, &u64)| at % stride != 0 && *at != last;
    positions.iter().enumerate().filter(goes).map(|(_, position)| *position).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn checkpoint(n: u64, iter: u64) -> Checkpoint {
        Checkpoint { digest: Digest::of(&n.to_le_bytes()), iter, created: Millis(n), bytes: 1 }
    }

    fn kept(made: &[Checkpoint], maker: &Maker, keep: &Keep, now: u64) -> Vec<u64> {
        let gone = checkpoints(made, maker, keep, Millis(now));
        made.iter().filter(|it| !gone.contains(&it.digest)).map(|it| it.iter).collect()
    }

    #[test]
    fn of_a_running_job_the_newest_two_stay_and_what_it_goes_on_from() {
        // The third began anew, so that the newest are not those that had come farthest.
        let made = [checkpoint(1, 10), checkpoint(2, 20), checkpoint(3, 5), checkpoint(4, 15)];
        let maker = Maker { resumes: [made[1].digest].into(), ..Maker::default() };
        let now = u64::MAX;
        assert_eq!(kept(&made, &maker, &Keep::default(), now), [20, 5, 15]);
        assert_eq!(kept(&made, &Maker::default(), &Keep::default(), now), [5, 15]);
        assert_eq!(kept(&made[..1], &Maker::default(), &Keep::default(), now), [10]);
    }

    #[test]
    fn of_a_job_that_has_ended_the_best_and_the_last_stay_for_their_time_and_then_none() {
        let made: Vec<_> = (1..=5).map(|n| checkpoint(n, n * 10)).collect();
        let keep = Keep { checkpoints: Some(Duration::from_millis(1000)), ..Keep::default() };
        let ended = |best| Maker { ended: Some(Millis(100)), best, resumes: [made[0].digest].into() };
        assert_eq!(kept(&made, &ended(Some(15)), &keep, 1099), [20, 50]);
        assert_eq!(kept(&made, &ended(None), &keep, 1099), [50]);
        assert_eq!(kept(&made, &ended(Some(60)), &keep, 1099), [50]);
        assert_eq!(kept(&made, &ended(Some(15)), &keep, 1100), [0; 0]);
        let forever = Keep { checkpoints: None, ..keep };
        assert_eq!(kept(&made, &ended(None), &forever, u64::MAX).len(), 5);
    }

    #[test]
    fn a_clock_that_was_set_back_makes_nothing_old() {
        assert!(!is_over(Millis(100), Some(Duration::from_millis(1)), Millis(50)));
        assert!(is_over(Millis(100), Some(Duration::ZERO), Millis(50)) && !is_over(Millis(0), None, Millis(u64::MAX)));
    }

    proptest! {
        /// The curve has its ends and no large gap, and what was thinned once is not thinned again.
        #[test]
        fn a_thinned_curve_keeps_its_shape(length in 0usize..20_000, gap in 1u64..5) {
            let positions: Vec<u64> = (0..length as u64).map(|n| 7 + n * gap).collect();
            let gone: BTreeSet<u64> = steps(&positions).into_iter().collect();
            let left: Vec<u64> = positions.iter().copied().filter(|position| !gone.contains(position)).collect();
            prop_assert!(left.len() <= 2 * STEPS_KEPT);
            prop_assert_eq!((left.first(), left.last()), (positions.first(), positions.last()));
            let widest = left.windows(2).map(|pair| (pair[1] - pair[0]) / gap).max().unwrap_or(0);
            prop_assert!(widest as usize <= length.div_ceil(STEPS_KEPT).max(1));
            prop_assert_eq!(steps(&left), Vec::<u64>::new());
        }
    }
}
