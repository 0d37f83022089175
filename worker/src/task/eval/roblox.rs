//! A real Roblox that judges answers beside the room: Open Cloud's evaluation service, or a Studio on this machine.
//!
//! Promise: what is wrong with the suite, the key or the address is said before a model is loaded. Every job and verdict is kept as it
//! comes, in a checkpoint and for Open Cloud in this machine's ledger of the key as well, so that what was got is never paid for again,
//! wherever an evaluation is killed; Roblox has no word for a job whose id was on its way then. What nobody can send costs nothing and is
//! said to be that.

use super::super::{Event, Spec, codes};
use super::asking::is_private;
use super::kept::Keeping;
use super::key;
use super::{PACE, RealRoblox};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Instant;
use vertigo::id::Digest;
use vertigo::task::{Cure, Failure};
use vertigo_evaluation::report::{AnswerLine, Line, RobloxJob, RobloxLine, RobloxSaid};
use vertigo_evaluation::roblox::{Outcome, Roblox, Verdict, program};
use vertigo_evaluation::suite::Suite;
use vertigo_roblox::board;
use vertigo_roblox::cloud::{self, Cloud};
use vertigo_roblox::judging::{self, JudgingError, MANNER, News, Work};
use vertigo_roblox::ledger::Ledger;
use vertigo_roblox::pace::Wait;
use vertigo_roblox::script::Eval;
use vertigo_roblox::studio::{self, PATIENCE, Studio, StudioError};

/// Where Open Cloud is, where this worker's environment says so; a job cannot, or it could have any key sent anywhere.
const URL: &str = "VERTIGO_OPEN_CLOUD_URL";

/// The command of Studio's MCP server, where this worker's environment says so; a job cannot, or it could run any program.
const COMMAND: &str = "VERTIGO_STUDIO_MCP";

/// A name that Roblox is told, in bytes.
const NAME_BYTES_MAX: usize = 100;

/// Who judges beside the room, and the evals of the suite's tasks.
pub(super) struct Beside {
    evals: BTreeMap<String, Eval>,
    judge: Judge,
}

enum Judge {
    Cloud(Cloud, Ledger),
    /// The command of its MCP server.
    Studio(PathBuf),
}

/// An answer with the script that it is judged by.
struct Asked {
    line: AnswerLine,
    work: Work,
}

impl Beside {
    /// Reads the evals, and finds whoever judges.
    ///
    /// # Errors
    /// No task has an eval, one has no place for a program, or this machine lacks the key.
    pub(super) fn of(spec: &Spec, roblox: &RealRoblox, suite: &Suite) -> Result<Beside, Failure> {
        let mut evals = BTreeMap::new();
        for task in &suite.tasks {
            let Some(eval) = &task.roblox else { continue };
            let read = Eval::read(&eval.source).map_err(|error| bad(format!("roblox: task {}: {error}", task.id)))?;
            evals.insert(task.id.clone(), read);
        }
        if evals.is_empty() {
            return Err(bad(format!(
                "roblox: no task of the suite {} is an eval of OpenGameEval; `vertigo suite import NAME PATH` takes a checkout of those",
                suite.about.name
            )));
        }
        let judge = match roblox.judge {
            Roblox::Cloud => open_cloud(spec, &roblox.key)?,
            Roblox::Studio => local_studio()?,
        };
        Ok(Beside { evals, judge })
    }

    /// Has every answer judged that is not yet.
    ///
    /// # Errors
    /// Whoever judges does not take the key or is away, or this machine's disk. What was judged before is kept.
    pub(super) async fn judge(
        &self,
        spec: &Spec,
        suite: &Suite,
        kept: &mut Keeping,
        say: &mut dyn FnMut(Event),
    ) -> Result<(), Failure> {
        let asked = self.asked(spec, suite, kept)?;
        let (before, all) = (kept.kept().roblox.values().filter(|it| it.verdict.is_some()).count(), asked.len());
        let mut told = Told { last: None, before, all: before + all };
        let mut hear = |news| hear(news, &asked, kept, &mut told, say);
        match &self.judge {
            Judge::Cloud(cloud, ledger) => {
                let work: Vec<Work> = asked.iter().map(|it| it.work.clone()).collect();
                judging::judge(cloud, ledger, MANNER, &work, &mut hear).await.map_err(failure)
            }
            Judge::Studio(_) if asked.is_empty() => Ok(()),
            Judge::Studio(command) => {
                let studio = Studio::open(command, PATIENCE).await.map_err(of_studio)?;
                let judged = self.judge_in(&studio, suite, &asked, &mut hear).await;
                studio.close().await;
                judged
            }
        }
    }

    /// Has a Studio judge answers, one after the other.
    async fn judge_in(
        &self,
        studio: &Studio,
        suite: &Suite,
        asked: &[Asked],
        hear: &mut impl FnMut(News) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        for (n, it) in asked.iter().enumerate() {
            hear(News::Goes(n, asked.len(), None))?;
            let place = suite.task(&it.line.task).and_then(|task| task.roblox.as_ref()).map_or("", |eval| &eval.place);
            let has = self.evals.get(&it.line.task).map(Eval::has).unwrap_or_default();
            match studio.judge(place, has, &it.work.script).await {
                Ok(verdict) => hear(News::Verdict(n, verdict))?,
                Err(error) => {
                    if let StudioError::Hangs(..) = error {
                        // Else the next try would hang in the same program.
                        hear(News::Verdict(n, Verdict::of(Outcome::NoVerdict, error.to_string(), Vec::new())))?;
                    }
                    return Err(of_studio(error));
                }
            }
        }
        Ok(())
    }

    /// The answers that are to be judged, with their scripts. Those that have none get their verdicts here.
    fn asked(&self, spec: &Spec, suite: &Suite, kept: &mut Keeping) -> Result<Vec<Asked>, Failure> {
        let lines: Vec<AnswerLine> = kept.answers().cloned().collect();
        let mut asked = Vec::new();
        for line in lines {
            let (Some(task), Some(eval)) = (suite.task(&line.task), self.evals.get(&line.task)) else { continue };
            let known = kept.kept().roblox_of(&line);
            if known.is_some_and(|known| known.verdict.is_some()) {
                continue;
            }
            let job = known.and_then(|known| known.job.as_ref()).map(|job| (job.job.clone(), job.at_ms));
            let program = program(task, &line.answer, vertigo_luau::sandbox::blocks);
            let script = program.and_then(|program| eval.with(&program).map_err(|error| error.to_string()));
            match script {
                Ok(script) => {
                    // A digest of an answer has its task and its number in it.
                    let of = Digest::of(format!("{}\n{}", spec.job, line.digest()).as_bytes()).to_string();
                    let name = format!("{}-{}", line.task, line.sample);
                    let name = vertigo::bounds::shorten(&name, NAME_BYTES_MAX).into_owned();
                    asked.push(Asked { line, work: Work { of, name, script, job } });
                }
                Err(why) => {
                    let verdict = Verdict::of(Outcome::NoProgram, why, Vec::new());
                    kept.add(&said(&line, RobloxSaid::Verdict(verdict)))?;
                }
            }
        }
        Ok(asked)
    }
}

fn open_cloud(spec: &Spec, place: &str) -> Result<Judge, Failure> {
    let url = std::env::var(URL).unwrap_or_else(|_| cloud::URL.to_owned());
    if !is_private(&url) {
        return Err(here(format!("{URL} of the worker's environment: a key is sent over https:// alone")));
    }
    let key = key::find(place)?.ok_or_else(|| bad("roblox: where is Open Cloud's key? env:NAME or file:PATH"))?;
    let cloud = Cloud::new(&url, key.clone()).map_err(|problem| here(format!("roblox: {problem}")))?;
    // The key's digest names it and does not tell it: keys are random.
    let name = Digest::of(format!("{url}\n{}", key.text()).as_bytes()).short();
    let ledger = Ledger::open(&spec.ledgers, &format!("open-cloud-{name}"));
    Ok(Judge::Cloud(cloud, ledger.map_err(|error| here(error.to_string()))?))
}

fn local_studio() -> Result<Judge, Failure> {
    let command = std::env::var_os(COMMAND).map_or_else(|| PathBuf::from(studio::COMMAND), PathBuf::from);
    if command.exists() {
        return Ok(Judge::Studio(command));
    }
    let command = command.display();
    Err(here(format!(
        "roblox: this worker has no {command}: install Roblox Studio, or name its MCP server by {COMMAND}"
    )))
}

/// What was said of how far it is.
struct Told {
    last: Option<(Instant, usize, String)>,
    before: usize,
    all: usize,
}

/// Keeps news, and says how far it is.
fn hear(
    news: News,
    asked: &[Asked],
    kept: &mut Keeping,
    told: &mut Told,
    say: &mut dyn FnMut(Event),
) -> Result<(), Failure> {
    let (n, said_of) = match news {
        News::Job(n, job, at_ms) => (n, RobloxSaid::Job(RobloxJob { at_ms, job })),
        News::Verdict(n, verdict) => (n, RobloxSaid::Verdict(verdict)),
        News::Goes(done, _, wait) => {
            told.say(done, wait.as_ref(), say);
            return Ok(());
        }
    };
    kept.add(&said(&asked[n].line, said_of))?;
    // At most a hundred a day: each is worth a checkpoint, whose number has to grow.
    let lines: usize =
        kept.kept().roblox.values().map(|it| usize::from(it.job.is_some()) + usize::from(it.verdict.is_some())).sum();
    let done = kept.answers().count() + lines;
    kept.checkpoint_at(done as u64, say);
    Ok(())
}

impl Told {
    /// Says how far it is where that is new, and else that this is alive.
    fn say(&mut self, done: usize, wait: Option<&Wait>, say: &mut dyn FnMut(Event)) {
        let waits = wait.map(|wait| format!(" ({})", board::said(wait, clock))).unwrap_or_default();
        let (done, unit) = (self.before + done, format!("verdicts{waits}"));
        let is_known = |(_, known, last): &(Instant, usize, String)| (*known, last) == (done, &unit);
        if self.last.as_ref().is_some_and(|last| is_known(last) || last.0.elapsed() < PACE) {
            return say(Event::Alive);
        }
        self.last = Some((Instant::now(), done, unit.clone()));
        say(Event::Progress { done: done as u64, total: self.all as u64, unit, peak_bytes: 0 });
    }
}

/// A time of the day, in UTC: whoever reads it may be elsewhere.
fn clock(at_ms: u64) -> String {
    let at = i64::try_from(at_ms).ok().and_then(|at| jiff::Timestamp::from_millisecond(at).ok());
    at.map_or_else(String::new, |at| at.strftime("%H:%M UTC").to_string())
}

fn said(line: &AnswerLine, said: RobloxSaid) -> Line {
    Line::Roblox(RobloxLine { task: line.task.clone(), sample: line.sample, answer: line.digest(), said })
}

fn failure(error: JudgingError<Failure>) -> Failure {
    match error {
        JudgingError::Hearer(failure) => failure,
        error @ JudgingError::Key(_) => bad(error.to_string()),
        error @ JudgingError::Away(_) => Failure::new(Cure::Later, codes::TRANSIENT, error.to_string()),
        error @ JudgingError::Ledger(_) => here(error.to_string()),
    }
}

fn of_studio(error: StudioError) -> Failure {
    match error {
        StudioError::Start(_) | StudioError::Lacks(_) => here(error.to_string()),
        // A person has to open a place, or to start Studio again.
        _ => Failure::new(Cure::Later, codes::TRANSIENT, error.to_string()),
    }
}

fn bad(problem: impl Into<String>) -> Failure {
    Failure::new(Cure::Never, codes::BAD_INPUT, problem)
}

fn here(problem: String) -> Failure {
    Failure::new(Cure::AnotherMachine, codes::THIS_MACHINE, problem)
}
