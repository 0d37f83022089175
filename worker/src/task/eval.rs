//! The kind `eval`: asks a model, or a server, the tasks of a suite, and scores what it answers.
//!
//! A model of ours answers through its own server on this machine, over the API that servers elsewhere have: one way to ask. While answers
//! are made, others are judged: what they say is compiled and run in the Luau room, in processes of its own.
//!
//! Promise: what was answered is kept as it comes ([`kept`]), so that an evaluation which is killed anywhere goes on with the rest, on
//! another Mac as well. The same model, suite, seed, engine and MLX give the same report, bit for bit, whether or not it was interrupted;
//! answers of another engine or MLX are thrown away, which is said, and asked again.

mod answering;
mod asking;
mod judging;
mod kept;
mod key;
mod reading;
mod roblox;

use super::{Done, Event, Product, Spec, codes};
use answering::Answering;
use asking::{Question, Reply};
use futures::StreamExt;
use judging::Judging;
use kept::Keeping;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use tokio::runtime::Handle;
use vertigo::files::{AtPath, FileError};
use vertigo::task::{Cure, Failure, role};
use vertigo::v1;
use vertigo_engine::device;
use vertigo_evaluation::answer::{Answer, Call, Ending};
use vertigo_evaluation::prompt::{Prompt, ToolsIn};
use vertigo_evaluation::report::{AnswerLine, Facts, Line, PromptLine, Report, Sampling, Time, Tokens};
use vertigo_evaluation::roblox::Roblox;
use vertigo_evaluation::suite::{Suite, Thinking};

/// What is asked of an evaluation. What is `None` is as the suite says.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// Answers to each task.
    pub samples: Option<u32>,
    /// Every answer's own seed follows from it.
    pub seed: u64,
    /// The temperature of sampling.
    pub temperature: Option<f64>,
    /// The mass of the most probable tokens that are drawn from.
    pub top_p: Option<f64>,
    /// How many of the most probable tokens are drawn from.
    pub top_k: Option<u32>,
    /// Whether the model thinks first.
    pub thinking: Option<bool>,
    /// Tokens of an answer after its thought, at the most.
    pub tokens_max: Option<u32>,
    /// Tokens of a thought, at the most.
    pub thinking_tokens_max: Option<u32>,
    /// Ids of tasks, each with `*` for any text; none: all.
    pub tasks: Vec<String>,
    /// Who answers instead of a model of ours.
    pub server: Option<ModelServer>,
    /// Who judges beside the room.
    pub roblox: Option<RealRoblox>,
}

/// A model behind a server that speaks OpenAI's API.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelServer {
    /// Up to the version: `https://host/v1`.
    pub url: String,
    /// What it calls the model.
    pub model: String,
    /// Where this machine has the key: `env:NAME`, `file:PATH`, or nothing.
    pub key: String,
}

/// A real Roblox.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RealRoblox {
    /// Which one.
    pub judge: Roblox,
    /// Where this machine has Open Cloud's key: `env:NAME` or `file:PATH`.
    pub key: String,
}

/// Between two reports of progress.
const PACE: Duration = Duration::from_secs(1);

/// Tokens of a thought where somebody wants one and says not how long.
const THOUGHT_TOKENS: u32 = 2048;

impl Options {
    /// Reads them as they were assigned.
    pub(super) fn of(task: &v1::Eval) -> Options {
        let some = |amount: u32| (amount > 0).then_some(amount);
        let server =
            |it: &v1::ModelServer| ModelServer { url: it.url.clone(), model: it.model.clone(), key: it.key.clone() };
        let roblox = |it: &v1::RealRoblox| {
            let judge = match it.judge() {
                v1::RobloxJudge::Studio => Roblox::Studio,
                // The coordinator takes none that is not named.
                v1::RobloxJudge::Cloud | v1::RobloxJudge::Unspecified => Roblox::Cloud,
            };
            RealRoblox { judge, key: it.key.clone() }
        };
        Options {
            samples: some(task.samples),
            seed: task.seed,
            temperature: task.temperature,
            top_p: task.top_p,
            top_k: task.top_k,
            thinking: task.thinking,
            tokens_max: some(task.tokens_max),
            thinking_tokens_max: some(task.thinking_tokens_max),
            tasks: task.tasks.clone(),
            server: task.server.as_ref().map(server),
            roblox: task.roblox.as_ref().map(roblox),
        }
    }

    /// What a suite's task is asked with.
    fn prompt(&self, suite: &Suite, task: &vertigo_evaluation::suite::Task) -> Prompt {
        let mut prompt = Prompt::of(suite, task, ToolsIn::Request);
        prompt.tokens_max = self.tokens_max.unwrap_or(prompt.tokens_max);
        prompt.thinking = match (self.thinking, prompt.thinking) {
            (Some(false), _) => Thinking::Off,
            (Some(true), Thinking::Off) => Thinking::Tokens(self.thinking_tokens_max.unwrap_or(THOUGHT_TOKENS)),
            (_, Thinking::Tokens(tokens)) => Thinking::Tokens(self.thinking_tokens_max.unwrap_or(tokens)),
            (None, Thinking::Off) => Thinking::Off,
        };
        prompt
    }

    /// How answers are drawn.
    fn sampling(&self, suite: &Suite) -> Sampling {
        Sampling {
            temperature: self.temperature.unwrap_or(suite.about.defaults.temperature),
            top_p: self.top_p.unwrap_or(1.0),
            top_k: self.top_k.unwrap_or_default(),
            samples: self.samples.unwrap_or(suite.about.defaults.samples),
            seed: self.seed,
        }
    }
}

/// What is asked, in the order in which it is.
struct Wanted {
    task: String,
    sample: u32,
    question: Question,
    prompt: vertigo::id::Digest,
}

/// Evaluates.
///
/// # Errors
/// What the suite or the model lacks, the engine's, and those of this machine.
pub fn run(spec: &Spec, options: &Options, say: &mut dyn FnMut(Event)) -> Result<(), Failure> {
    say(Event::begun());
    let suite = reading::suite(spec, &options.tasks)?;
    let model = reading::model(spec, options)?;
    // What is wrong with it is said before a model is loaded.
    let beside = options.roblox.as_ref().map(|roblox| roblox::Beside::of(spec, roblox, &suite)).transpose()?;
    let facts = Facts {
        engine: reading::engine(options)?,
        only: options.tasks.clone(),
        roblox: options.roblox.as_ref().map(|roblox| roblox.judge),
        suite_artifact: spec.inputs.get(role::SUITE).map(|input| input.digest),
        ..Facts::new(&suite, model, options.sampling(&suite), ToolsIn::Request, judging::ROOM.to_owned())
    };
    let mut kept = Keeping::open(spec, &facts, say)?;
    let judging = Judging::start(&suite)?;
    Handle::current().block_on(async {
        // What was answered before is judged anew: that is quick, and always the same.
        kept.answers().for_each(|line| judging.look_at(line.clone()));
        answer(spec, options, &suite, &facts, &mut kept, &judging, say).await?;
        // The model has been let go of: this may take days.
        match &beside {
            Some(beside) => beside.judge(spec, &suite, &mut kept, say).await,
            None => Ok(()),
        }
    })?;
    for line in judging.end()? {
        kept.add(&line)?;
    }
    let contamination = reading::contamination(spec, &suite)?;
    let report = Report::of(&suite, &facts, kept.kept(), contamination.as_ref());
    let report = report.map_err(|error| Failure::new(Cure::Never, codes::BAD_INPUT, error.to_string()))?;
    finish(spec, &report, &suite, &kept, say)
}

/// Asks what has no answer yet.
async fn answer(
    spec: &Spec,
    options: &Options,
    suite: &Suite,
    facts: &Facts,
    kept: &mut Keeping,
    judging: &Judging,
    say: &mut dyn FnMut(Event),
) -> Result<(), Failure> {
    let mut wanted = Vec::new();
    let total = suite.tasks.len() as u64 * u64::from(facts.sampling.samples);
    for task in &suite.tasks {
        let prompt = options.prompt(suite, task);
        let digest = prompt.digest();
        for sample in (0..facts.sampling.samples).filter(|sample| !kept.has(&task.id, *sample)) {
            let question = Question::of(&prompt, facts.sampling.seed_of(&task.id, sample));
            wanted.push(Wanted { task: task.id.clone(), sample, question, prompt: digest });
        }
        // An evaluation that goes on has it already.
        if !kept.kept().prompts.contains_key(&task.id) {
            kept.add(&Line::Prompt(PromptLine { task: task.id.clone(), prompt }))?;
        }
    }
    if wanted.is_empty() {
        return Ok(());
    }
    let answering = Answering::start(spec, options, facts).await?;
    let (mut done, mut told) = (total - wanted.len() as u64, Instant::now());
    {
        let ask = |wanted: Wanted| {
            let server = answering.server();
            async move {
                let begun = Instant::now();
                let reply = server.ask(&wanted.question).await?;
                Ok::<_, Failure>(line(wanted, reply, begun))
            }
        };
        let mut answers = futures::stream::iter(wanted).map(ask).buffer_unordered(answering.at_once());
        while let Some(line) = answers.next().await {
            let line = line?;
            kept.add(&Line::Answer(Box::new(line.clone())))?;
            judging.look_at(line);
            done += 1;
            if told.elapsed() >= PACE || done == total {
                told = Instant::now();
                let peak_bytes = device::peak_memory().map_or(0, |peak| peak.0);
                say(Event::Progress { done, total, unit: "answers".to_owned(), peak_bytes });
            }
            kept.checkpoint_if_due(done, say);
        }
    }
    answering.end().await;
    Ok(())
}

/// A reply as a line.
fn line(wanted: Wanted, reply: Reply, begun: Instant) -> AnswerLine {
    let (answer, tokens) = match reply {
        Reply::Said(said) => {
            let ending = if said.is_cut { Ending::Cut } else { Ending::Answered };
            let call = |(name, written): (String, String)| {
                let arguments = serde_json::from_str(&written).unwrap_or(Value::String(written));
                Call { name, arguments }
            };
            let thought = (!said.thought.is_empty()).then_some(said.thought);
            let calls = said.calls.into_iter().map(call).collect();
            (Answer::of(ending, &said.text, thought, calls), said.tokens)
        }
        Reply::TimedOut => (Answer::of(Ending::TimedOut, "", None, Vec::new()), Tokens::default()),
        Reply::Refused(problem) => (Answer::of(Ending::ApiError, &problem, None, Vec::new()), Tokens::default()),
    };
    let whole_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
    AnswerLine {
        task: wanted.task,
        sample: wanted.sample,
        seed: wanted.question.seed,
        prompt: wanted.prompt,
        answer,
        tokens,
        time: Some(Time { whole_ms }),
    }
}

/// Writes the report's folder and says what it found.
fn finish(
    spec: &Spec,
    report: &Report,
    suite: &Suite,
    kept: &Keeping,
    say: &mut dyn FnMut(Event),
) -> Result<(), Failure> {
    let out = spec.out.join(role::REPORT);
    let here = |error: FileError| Failure::new(Cure::AnotherMachine, codes::THIS_MACHINE, error.to_string());
    std::fs::create_dir_all(&out).at(&out).map_err(here)?;
    let mut files: BTreeMap<String, String> =
        suite.files().into_iter().map(|(path, text)| (format!("suite/{path}"), text)).collect();
    files.insert("report.json".to_owned(), report.to_text());
    files.insert("times.json".to_owned(), kept.times());
    for (path, text) in files {
        let path = out.join(path);
        path.parent().map_or(Ok(()), std::fs::create_dir_all).at(&path).map_err(here)?;
        std::fs::write(&path, text).at(&path).map_err(here)?;
    }
    let overall = &report.overall;
    if let Some(score) = overall.score {
        say(Event::Measured { name: "score".to_owned(), value: score });
    }
    for (name, tally) in &report.categories {
        if let Some(value) = tally.score {
            say(Event::Measured { name: format!("score.{name}"), value });
        }
    }
    let mut facts = BTreeMap::from([
        ("suite".to_owned(), json!(report.facts.suite)),
        ("suite_digest".to_owned(), json!(report.facts.suite_digest)),
        ("model".to_owned(), json!(report.facts.model)),
        ("score".to_owned(), json!(overall.score)),
        ("passed".to_owned(), json!(overall.passed)),
        ("answers".to_owned(), json!(overall.answers)),
        ("engine".to_owned(), json!(vertigo::VERSION)),
    ]);
    if !report.facts.only.is_empty() {
        // Whoever judges a model by reports looks for those of whole suites.
        facts.insert("only".to_owned(), json!(report.facts.only));
    }
    let peak_bytes = device::peak_memory().map_or(0, |peak| peak.0);
    let product = Product { role: role::REPORT.to_owned(), folder: out, facts };
    say(Event::Finished(Done { products: vec![product], remark: remark(report), peak_bytes }));
    Ok(())
}

/// What a person has to know of the figures: nonsense that does well, tasks that the model has seen, answers that say nothing of it.
fn remark(report: &Report) -> String {
    let mut remarks = Vec::new();
    if let Some(nonsense) = report.nonsense.iter().max_by_key(|it| (it.passes.len(), it.red.len())) {
        let kind = nonsense.kind.as_str();
        let red: Vec<_> = nonsense.red.iter().map(|check| check.as_str()).collect();
        match (nonsense.passes.len(), red.join(", ")) {
            (0, red) if red.is_empty() => {}
            (0, red) => {
                remarks.push(format!("what says nothing ({kind}) does well in {red}, which says little of a model"))
            }
            (count, _) => {
                remarks.push(format!("what says nothing ({kind}) passes {count} tasks: the figures say little"))
            }
        }
    }
    if let Some(inside) =
        report.contamination.as_ref().map(|it| it.contamination.found.len()).filter(|count| *count > 0)
    {
        remarks.push(format!("{inside} of {} tasks stand in the model's training data", report.tasks.len()));
    }
    let broken = report.overall.broken;
    if broken > 0 {
        remarks.push(format!("{broken} answers met a check that failed itself"));
    }
    remarks.join("; ")
}
