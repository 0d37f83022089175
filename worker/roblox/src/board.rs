//! Which script is sent next, which record is looked at next, and for how long there is nothing to do: a pure function of time and of
//! what happened.
//!
//! Promise: a script is sent only while it has no job, so that what was got is never paid for again; a record is looked at least once
//! before it is given up, however long ago its script was sent; and there is always a next step until everything has ended.

use crate::pace::{LOOKS, Limit, Turn, Wait, turn};

/// How a board takes its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rhythm {
    /// Between two looks at one record, in milliseconds.
    pub look_every_ms: u64,
    /// Without an end after so long, a record is given up, in milliseconds.
    pub give_up_ms: u64,
    /// Scripts that are under way at a time. So many records are looked at as often as the service allows.
    pub under_way_max: usize,
    /// How often records are looked at.
    pub looks: Limit,
}

/// As Roblox asks for it.
pub const RHYTHM: Rhythm = Rhythm { look_every_ms: 10_000, give_up_ms: 900_000, under_way_max: 10, looks: LOOKS };

#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    /// Not sent, or not taken.
    Waiting,
    /// A job since `since_ms`, looked at again from `look_ms` on.
    UnderWay {
        job: String,
        since_ms: u64,
        look_ms: u64,
    },
    Ended,
}

/// What is done next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// This one is sent, if it is time for that.
    Send(usize),
    /// This one's record is looked at.
    Look(usize, String),
    /// There is nothing to do before this time.
    Wait(u64),
    /// Everything has ended.
    Done,
}

/// Scripts and how far they are, by number.
#[derive(Debug, Clone)]
pub struct Board {
    rhythm: Rhythm,
    states: Vec<State>,
    looked_ms: Vec<u64>,
    /// Nothing is sent, and nothing looked at, before these.
    send_ms: u64,
    look_ms: u64,
}

impl Board {
    /// A board of scripts, each with its job where it has one already.
    pub fn new(rhythm: Rhythm, jobs: impl IntoIterator<Item = Option<String>>, now_ms: u64) -> Board {
        let state = |job: Option<String>| match job {
            Some(job) => State::UnderWay { job, since_ms: now_ms, look_ms: now_ms },
            None => State::Waiting,
        };
        let states = jobs.into_iter().map(state).collect();
        Board { rhythm, states, looked_ms: Vec::new(), send_ms: 0, look_ms: 0 }
    }

    /// What is done next. Whoever does it says what came of it.
    pub fn next(&self, now_ms: u64) -> Step {
        let due = self.states.iter().enumerate().filter_map(|(n, state)| match state {
            State::UnderWay { look_ms, job, .. } => Some((*look_ms, n, job)),
            _ => None,
        });
        let look = due.min_by_key(|(at, n, _)| (*at, *n));
        let looks = match turn(&[self.rhythm.looks], &self.looked_ms, self.look_ms, now_ms) {
            Turn::Now => now_ms,
            Turn::Wait(wait) => wait.until_ms,
        };
        if let Some((_, n, job)) = look.filter(|(at, ..)| *at <= now_ms && looks <= now_ms) {
            return Step::Look(n, job.clone());
        }
        let under_way = self.states.iter().filter(|state| matches!(state, State::UnderWay { .. })).count();
        let waiting = self.states.iter().position(|state| *state == State::Waiting);
        let send = waiting.filter(|_| under_way < self.rhythm.under_way_max);
        if let Some(n) = send.filter(|_| self.send_ms <= now_ms) {
            return Step::Send(n);
        }
        let next = look.map(|(at, ..)| at.max(looks)).into_iter().chain(send.map(|_| self.send_ms)).min();
        next.map_or(Step::Done, Step::Wait)
    }

    /// A script has a job.
    pub fn got(&mut self, n: usize, job: String, now_ms: u64) {
        let look_ms = now_ms + self.rhythm.look_every_ms;
        self.states[n] = State::UnderWay { job, since_ms: now_ms, look_ms };
    }

    /// Nothing may be sent before a time: a limit is used up, or the service said so.
    pub fn send_later(&mut self, until_ms: u64) {
        self.send_ms = until_ms;
    }

    /// No record may be looked at before a time.
    pub fn look_later(&mut self, until_ms: u64) {
        self.look_ms = until_ms;
    }

    /// A record was asked for, whatever comes of it.
    pub fn looks(&mut self, now_ms: u64) {
        self.looked_ms.retain(|at| at + self.rhythm.looks.span_ms > now_ms);
        self.looked_ms.push(now_ms);
    }

    /// A record has no end yet. Says whether it is given up.
    pub fn goes_on(&mut self, n: usize, now_ms: u64) -> bool {
        let State::UnderWay { since_ms, look_ms, .. } = &mut self.states[n] else { return false };
        *look_ms = now_ms + self.rhythm.look_every_ms;
        let is_given_up = now_ms.saturating_sub(*since_ms) >= self.rhythm.give_up_ms;
        if is_given_up {
            self.states[n] = State::Ended;
        }
        is_given_up
    }

    /// There is a verdict.
    pub fn ended(&mut self, n: usize) {
        self.states[n] = State::Ended;
    }

    /// Scripts that have ended, and all of them.
    pub fn done(&self) -> (usize, usize) {
        (self.states.iter().filter(|state| **state == State::Ended).count(), self.states.len())
    }
}

/// What a wait is for, in words that stand behind a count: `50 of 50 in an hour are used; next at 14:05`. `clock` says a time.
pub fn said(wait: &Wait, clock: impl Fn(u64) -> String) -> String {
    match wait.used {
        Some((used, limit)) => {
            format!("{used} of {} {} are used; next at {}", limit.most, limit.span, clock(wait.until_ms))
        }
        None => format!("the service asks to come again at {}", clock(wait.until_ms)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SMALL: Rhythm = Rhythm {
        look_every_ms: 10,
        give_up_ms: 95,
        under_way_max: 2,
        looks: Limit { most: 5, span_ms: 60, span: "in a moment" },
    };

    #[test]
    fn what_has_a_job_is_looked_at_and_never_sent() {
        let mut board = Board::new(SMALL, [Some("j".to_owned()), None, None], 1000);
        assert_eq!(board.next(1000), Step::Look(0, "j".to_owned()));
        board.looks(1000);
        assert!(!board.goes_on(0, 1000), "however long ago it was sent, it has its time from the first look on");
        assert_eq!(board.next(1000), Step::Send(1));
        board.got(1, "k".to_owned(), 1001);
        assert_eq!(board.next(1001), Step::Wait(1010), "two are under way");
        board.ended(0);
        assert_eq!(board.next(1001), Step::Send(2));
        board.send_later(1005);
        assert_eq!(board.next(1001), Step::Wait(1005));
        board.looks(1011);
        assert!(!board.goes_on(1, 1011) && board.goes_on(1, 1096));
        board.ended(2);
        assert_eq!((board.next(1096), board.done()), (Step::Done, (3, 3)));
    }

    #[test]
    fn a_wait_is_said_with_what_is_used_and_when_it_ends() {
        let limit = Limit { most: 100, span_ms: 1, span: "in a day" };
        let clock = |at: u64| format!("t{at}");
        assert_eq!(
            said(&Wait { until_ms: 7, used: Some((100, limit)) }, clock),
            "100 of 100 in a day are used; next at t7"
        );
        assert_eq!(said(&Wait { until_ms: 7, used: None }, clock), "the service asks to come again at t7");
    }

    proptest! {
        /// A service that answers at random, and at last once, under a clock that goes on by what a step takes or a wait says: everything
        /// ends, nothing is sent twice, and no more is asked than is allowed. One that only ever says "later" would rightly be waited for.
        #[test]
        fn everything_ends_and_is_sent_once(
            known in prop::collection::vec(any::<bool>(), 0..8), choices in prop::collection::vec(0u8..10, 1..200),
        ) {
            let jobs = known.iter().enumerate().map(|(n, has)| has.then(|| format!("old{n}")));
            const ANSWER: u8 = 9;
            let (mut now, mut choices) = (5, choices.into_iter().chain([ANSWER]).cycle());
            let mut board = Board::new(SMALL, jobs, now);
            let (mut sent, mut looked) = (vec![0; known.len()], Vec::new());
            for _ in 0..10_000 {
                now += 1;
                match board.next(now) {
                    Step::Done => break,
                    Step::Wait(until) => {
                        prop_assert!(until > now && until <= now + 200, "{until} at {now}");
                        now = until - 1;
                    }
                    Step::Send(n) => match choices.next().unwrap() {
                        0 => board.send_later(now + 50),
                        _ => {
                            sent[n] += 1;
                            board.got(n, format!("new{n}"), now);
                        }
                    },
                    Step::Look(n, job) => {
                        let names = [format!("old{n}"), format!("new{n}")];
                        prop_assert!(names.contains(&job));
                        board.looks(now);
                        looked.push(now);
                        match choices.next().unwrap() {
                            0 => board.look_later(now + 30),
                            1 | 2 => board.ended(n),
                            _ => drop(board.goes_on(n, now)),
                        }
                    }
                }
            }
            prop_assert_eq!(board.next(now), Step::Done);
            for (has, sent) in known.iter().zip(sent) {
                prop_assert_eq!(sent, u32::from(!has));
            }
            for (n, from) in looked.iter().enumerate() {
                prop_assert!(looked[n..].iter().filter(|at| **at - from < 60).count() <= 5);
            }
        }
    }
}
