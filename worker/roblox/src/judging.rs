//! Scripts judged by Open Cloud: each is sent, its record is looked at until it ends, and whoever asked hears of every step that has to be
//! kept.
//!
//! Promise: a job is in the ledger, and told, before its record is looked at. What was told is never paid for again, whenever the process
//! dies. A service that is away ends the work, and what was kept goes on from there.

use crate::board::{self, Board, Rhythm, Step};
use crate::cloud::{Cloud, Trouble, nothing};
use crate::ledger::Ledger;
use crate::pace::{Limit, Turn, Wait};
use crate::record::Standing;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use thiserror::Error;
use uuid::Uuid;
use vertigo::files::FileError;
use vertigo_evaluation::roblox::Verdict;

/// Tries in a row at a service that is away.
const TRIES_MAX: u32 = 6;

/// Before a second try.
const PAUSE: Duration = Duration::from_secs(5);

/// Where a service that asks for less does not say when to come again; at last an hour.
const LATER: Duration = Duration::from_secs(60);
const LATER_MAX: Duration = Duration::from_secs(3600);

/// Whoever waits hears of it as often as this.
const PULSE: Duration = Duration::from_secs(30);

/// A script to be judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Work {
    /// What names it for ever: the ledger knows it by this.
    pub of: String,
    /// What Roblox is told that it is called.
    pub name: String,
    /// The script.
    pub script: String,
    /// The job that it became, as whoever asks has kept it, and when.
    pub job: Option<(String, u64)>,
}

/// What is new.
#[derive(Debug, Clone, PartialEq)]
pub enum News {
    /// A script, by its number, was sent at a time and became a job.
    Job(usize, String, u64),
    /// A script was judged.
    Verdict(usize, Verdict),
    /// So many of all have ended; why nothing goes on meanwhile, or nothing.
    Goes(usize, usize, Option<Wait>),
}

/// How it is gone about.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Manner<'m> {
    /// How often scripts may be sent.
    pub sends: &'m [Limit],
    /// How records are looked at.
    pub rhythm: Rhythm,
    /// Before a second try at a service that is away, and twice as long before each one after it.
    pub pause: Duration,
    /// For how long a service that asks for less is left alone where it does not say, and twice as long each time.
    pub later: Duration,
}

/// As Roblox asks for it.
pub const MANNER: Manner<'static> =
    Manner { sends: &crate::pace::SENDS, rhythm: board::RHYTHM, pause: PAUSE, later: LATER };

/// Why the work ended before all was judged. `E` is what is wrong with whoever keeps the news.
#[derive(Debug, Error)]
pub enum JudgingError<E> {
    /// The service does not take the key.
    #[error(
        "Open Cloud refuses the key: {0}; it needs the permission studio-evaluations:create, and not to have expired"
    )]
    Key(String),
    /// The service is away.
    #[error("Open Cloud did not answer {TRIES_MAX} times in a row: {0}")]
    Away(String),
    /// This machine's disk.
    #[error(transparent)]
    Ledger(#[from] FileError),
    /// The news could not be kept.
    #[error("the news could not be kept")]
    Hearer(E),
}

/// Has scripts judged.
///
/// # Errors
/// See [`JudgingError`]: what was told before stays judged.
pub async fn judge<E>(
    cloud: &Cloud,
    ledger: &Ledger,
    manner: Manner<'_>,
    work: &[Work],
    hear: &mut impl FnMut(News) -> Result<(), E>,
) -> Result<(), JudgingError<E>> {
    let known = ledger.jobs()?;
    let mut jobs = Vec::new();
    for (n, it) in work.iter().enumerate() {
        // A job that died with its process before it was told.
        let lost = known.get(&it.of).filter(|_| it.job.is_none());
        if let Some((at_ms, job)) = lost {
            hear(News::Job(n, job.clone(), *at_ms)).map_err(JudgingError::Hearer)?;
        }
        jobs.push(it.job.clone().map(|(job, _)| job).or_else(|| lost.map(|(_, job)| job.clone())));
    }
    let elsewhere = work.iter().filter_map(|it| it.job.as_ref().map(|(_, at)| *at)).collect();
    let board = Board::new(manner.rhythm, jobs, now_ms());
    Judging { cloud, ledger, manner, work, hear, board, elsewhere, away: 0, told: None, later: manner.later }
        .run()
        .await
}

struct Judging<'j, H> {
    cloud: &'j Cloud,
    ledger: &'j Ledger,
    manner: Manner<'j>,
    work: &'j [Work],
    hear: &'j mut H,
    board: Board,
    /// When jobs were sent that whoever asks has kept.
    elsewhere: Vec<u64>,
    /// Tries in a row that found the service away.
    away: u32,
    /// What nothing is sent before.
    told: Option<Wait>,
    /// How long the service is left alone where it does not say.
    later: Duration,
}

impl<E, H: FnMut(News) -> Result<(), E>> Judging<'_, H> {
    async fn run(mut self) -> Result<(), JudgingError<E>> {
        loop {
            match self.board.next(now_ms()) {
                Step::Done => return Ok(()),
                Step::Send(n) => self.send(n).await?,
                Step::Look(n, job) => self.look(n, &job).await?,
                Step::Wait(until_ms) => {
                    let wait = self.told.filter(|wait| wait.until_ms > now_ms());
                    let (done, all) = self.board.done();
                    self.tell(News::Goes(done, all, wait))?;
                    let left = Duration::from_millis(until_ms.saturating_sub(now_ms()));
                    tokio::time::sleep(left.min(PULSE)).await;
                }
            }
        }
    }

    fn tell(&mut self, news: News) -> Result<(), JudgingError<E>> {
        (self.hear)(news).map_err(JudgingError::Hearer)
    }

    fn verdict(&mut self, n: usize, verdict: Verdict) -> Result<(), JudgingError<E>> {
        self.board.ended(n);
        self.tell(News::Verdict(n, verdict))
    }

    async fn send(&mut self, n: usize) -> Result<(), JudgingError<E>> {
        let (work, at_ms) = (&self.work[n], now_ms());
        let not_before = self.told.filter(|wait| wait.used.is_none()).map_or(0, |wait| wait.until_ms);
        match self.ledger.reserve(self.manner.sends, &self.elsewhere, &work.of, not_before, at_ms)? {
            Turn::Wait(wait) => {
                self.told = Some(wait);
                self.board.send_later(wait.until_ms);
                return Ok(());
            }
            Turn::Now => self.told = None,
        }
        match self.cloud.send(&work.name, &work.script).await {
            Ok(job) => {
                (self.away, self.later) = (0, self.manner.later);
                self.ledger.got(&work.of, &job.to_string(), at_ms)?;
                self.elsewhere.push(at_ms);
                self.board.got(n, job.to_string(), now_ms());
                self.tell(News::Job(n, job.to_string(), at_ms))
            }
            Err(Trouble::Refused(problem)) => Err(JudgingError::Key(problem)),
            Err(Trouble::Not(problem)) => self.verdict(n, nothing(format!("Open Cloud did not take it: {problem}"))),
            Err(Trouble::TooMuch(problem, asked)) => {
                // It was not taken, and is not counted: others may have used the key.
                self.ledger.refused(&work.of, at_ms)?;
                let until_ms = self.leave_alone(&problem, asked);
                self.told = Some(Wait { until_ms, used: None });
                self.board.send_later(until_ms);
                Ok(())
            }
            Err(Trouble::Away(problem)) => {
                let until_ms = self.try_again(problem)?;
                self.board.send_later(until_ms);
                Ok(())
            }
        }
    }

    async fn look(&mut self, n: usize, job: &str) -> Result<(), JudgingError<E>> {
        self.board.looks(now_ms());
        // What was kept was a job's id once; a file that somebody changed is not asked about.
        let Ok(job) = Uuid::try_parse(job) else {
            return self.verdict(n, nothing(format!("`{job}` is no job of Open Cloud's")));
        };
        let problem = match self.cloud.look(&job).await {
            Ok(Standing::Ended(verdict)) => {
                self.away = 0;
                return self.verdict(n, verdict);
            }
            Ok(Standing::UnderWay) => {
                self.away = 0;
                "it was still under way".to_owned()
            }
            Err(Trouble::Refused(problem)) => return Err(JudgingError::Key(problem)),
            Err(Trouble::TooMuch(problem, asked)) => {
                let until_ms = self.leave_alone(&problem, asked);
                self.board.look_later(until_ms);
                return Ok(());
            }
            Err(Trouble::Away(problem)) => {
                let until_ms = self.try_again(problem)?;
                self.board.look_later(until_ms);
                return Ok(());
            }
            // It may not be there yet, or not whole.
            Err(Trouble::Not(problem)) => problem,
        };
        if self.board.goes_on(n, now_ms()) {
            let seconds = self.manner.rhythm.give_up_ms / 1000;
            let why = format!("there was no record of job {job} that had ended within {seconds} s: {problem}");
            return self.tell(News::Verdict(n, nothing(why)));
        }
        Ok(())
    }

    /// When a service that was asked too much is asked again.
    fn leave_alone(&mut self, problem: &str, asked: Option<Duration>) -> u64 {
        tracing::warn!("Open Cloud asks to come again later: {problem}");
        let pause = asked.unwrap_or(self.later);
        self.later = (self.later * 2).min(LATER_MAX);
        now_ms() + millis(pause)
    }

    /// When a service that was away is tried again.
    fn try_again(&mut self, problem: String) -> Result<u64, JudgingError<E>> {
        self.away += 1;
        if self.away >= TRIES_MAX {
            return Err(JudgingError::Away(problem));
        }
        tracing::warn!(tried = self.away, "Open Cloud is away: {problem}");
        Ok(now_ms() + millis(self.manner.pause * 2u32.pow(self.away - 1)))
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Milliseconds since 1970.
pub fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, millis)
}
