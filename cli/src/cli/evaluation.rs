//! What there is to type to say what a model is worth: suites, evaluations, reports, promotion.

use super::Switch;
use clap::{Args, Subcommand, ValueEnum};
use std::path::PathBuf;

#[derive(Debug, Subcommand)]
pub(crate) enum SuiteCommand {
    /// Check a suite and upload it
    #[command(after_help = "\
PATH is a folder of a suite, a benchmark of Vertigo's as .jsonl, or a checkout of OpenGameEval; without one it is the suite that comes \
with Vertigo. All of it is read before anything goes up: a mistake is named with its file and place.

Examples:
  vertigo suite import luau
  vertigo suite import mine ./suites/mine
  vertigo suite import vertigo-benchmark benchmark.jsonl --system system.txt
  vertigo suite import ogv ~/src/open-game-eval")]
    Import(ImportSuiteArgs),
    /// Run a suite's own answers: every reference has to pass, every wrong answer to fail
    #[command(after_help = "\
Everything is run in the room in which evaluations run what models answer. The code is 0 where the suite holds what it says.

Examples:
  vertigo suite check
  vertigo suite check ./suites/mine")]
    Check(CheckSuiteArgs),
    /// Show a suite: its categories, checks and budgets, and what it can show of two models
    #[command(after_help = "\
What a suite can show is said of so many tasks and samples, before any model was asked.

Examples:
  vertigo suite show luau
  vertigo suite show ./suites/mine --samples 10")]
    Show(ShowSuiteArgs),
}

#[derive(Debug, Subcommand)]
pub(crate) enum LuauCommand {
    /// Compile, lint and type-check a file
    #[command(after_help = "\
FILE is Luau, or an answer with fenced blocks of it. The code is 0 where everything compiles.

Examples:
  vertigo luau check src/Score.luau
  vertigo luau check answer.md --json")]
    Check(LuauFileArgs),
    /// Run a file in the room in which evaluations run what models answer
    #[command(after_help = "\
FILE becomes the module `answer` of a stand-in of Roblox's engine without files, network, processes or the machine's clock. With --test \
the cases of that file are run; without, the module is required once. The code is 0 where all cases pass.

Examples:
  vertigo luau run src/Score.luau
  vertigo luau run src/Score.luau --test tests/Score.test.luau")]
    Run(LuauRunArgs),
}

#[derive(Debug, Args)]
pub(crate) struct LuauFileArgs {
    /// The file
    pub(crate) file: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct LuauRunArgs {
    /// The file
    pub(crate) file: PathBuf,
    /// A test file, in the form of suites' `run` checks
    #[arg(long, value_name = "FILE")]
    pub(crate) test: Option<PathBuf>,
    /// What random numbers are drawn from
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub(crate) seed: u64,
}

#[derive(Debug, Args)]
pub(crate) struct CheckSuiteArgs {
    /// A suite: its tag or digest, a folder, or a file [default: the suite that comes with Vertigo]
    #[arg(value_name = "NAME|PATH")]
    pub(crate) name: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct ImportSuiteArgs {
    /// The tag that the suite gets, and a benchmark's or a checkout's name
    pub(crate) name: String,
    /// The suite's folder, the benchmark's file or the checkout [default: the suite that comes with Vertigo]
    pub(crate) path: Option<PathBuf>,
    /// The system prompt of a benchmark
    #[arg(long, value_name = "FILE", requires = "path")]
    pub(crate) system: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct ShowSuiteArgs {
    /// A suite: its tag or digest, a folder, a benchmark's file, or a checkout
    #[arg(value_name = "NAME|PATH")]
    pub(crate) name: String,
    /// Say what 1 to so many samples of each task can show
    #[arg(long, default_value_t = 5, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) samples: u32,
}

#[derive(Debug, Args)]
#[command(after_help = "\
A model is a base, a fused model, an adapter over the base that it was trained on, BASE@ADAPTER, or https://host/v1#MODEL for a server of \
OpenAI's API, whose key the worker finds at --key and nobody else sees. There is a job for each model and suite; what they can show is \
said before they are queued. What is not given is as the suite says.

Examples:
  vertigo eval luau-tutor --suite luau --follow
  vertigo eval luau-tutor luau-model --suite luau --baseline base --follow
  vertigo eval https://api.example.com/v1#big --suite luau --key env:EXAMPLE_KEY
  vertigo eval luau-model --suite luau --samples 10 --tasks 'coding-*'
  vertigo eval luau-model --suite oge --roblox cloud --roblox-key env:ROBLOX_KEY
  vertigo report luau-tutor-eval")]
pub(crate) struct EvalArgs {
    /// Models, each a tag, a digest or its beginning, the job that made it, BASE@ADAPTER, or a server's
    #[arg(required = true, value_name = "MODEL")]
    pub(crate) models: Vec<String>,
    /// A suite that is asked; once for each
    #[arg(long, required = true, value_name = "SUITE")]
    pub(crate) suite: Vec<String>,
    /// Answers to each task
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) samples: Option<u32>,
    /// What every answer's own seed follows from
    #[arg(long, default_value_t = 0)]
    pub(crate) seed: u64,
    /// 0 takes the most probable token, always
    #[arg(long, value_name = "T")]
    pub(crate) temperature: Option<f64>,
    /// Whether the model thinks before it answers
    #[arg(long)]
    pub(crate) thinking: Option<Switch>,
    /// Tokens of an answer at the most
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) tokens_max: Option<u32>,
    /// Only tasks of these ids, with * for any text
    #[arg(long, value_name = "PATTERN", num_args = 1..)]
    pub(crate) tasks: Vec<String>,
    /// Another model to compare with, which is asked too
    #[arg(long, value_name = "MODEL")]
    pub(crate) baseline: Option<String>,
    /// Data to look for the tasks in [default: what the model was trained on]
    #[arg(long, value_name = "REF")]
    pub(crate) data: Option<String>,
    /// Where the worker finds a server's key
    #[arg(long, value_name = "env:NAME|file:PATH")]
    pub(crate) key: Option<String>,
    /// A real Roblox that judges answers to OpenGameEval's tasks beside the room, apart from its scores
    #[arg(long, value_name = "cloud|studio")]
    pub(crate) roblox: Option<RobloxJudge>,
    /// Where the worker finds Open Cloud's key
    #[arg(long, value_name = "env:NAME|file:PATH", requires = "roblox")]
    pub(crate) roblox_key: Option<String>,
    /// What the job and the report's tag are called; of several jobs, how their names begin
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// Higher goes first
    #[arg(long, default_value_t = 0, allow_negative_numbers = true)]
    pub(crate) priority: i32,
    /// Watch until all has ended, then compare with the baseline
    #[arg(long)]
    pub(crate) follow: bool,
}

/// A real Roblox that judges.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum RobloxJudge {
    /// Open Cloud's evaluation service: 50 answers an hour and 100 a day of one key
    Cloud,
    /// A Studio that is open on the worker's machine, through its own MCP server
    Studio,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Scores are points of 100 with where they lie at 95 %: of the score by bootstrap over tasks, of passing by Wilson. What answers of nonsense \
score stands beside them, and what of the suite the model has seen in training.

Examples:
  vertigo report luau-tutor-eval
  vertigo report luau-tutor-eval --failed
  vertigo report ./report --task coding-lru-cache
  vertigo report luau-tutor-eval --json | jq .figures.overall")]
pub(crate) struct ReportArgs {
    /// A report: its tag or digest, the job that made it, or a folder
    #[arg(value_name = "REPORT")]
    pub(crate) report: String,
    /// Show each answer to this task, with what the checks say of it
    #[arg(long, value_name = "ID")]
    pub(crate) task: Option<String>,
    /// Only what did not pass
    #[arg(long)]
    pub(crate) failed: bool,
    /// Write all of it to a page that needs no network
    #[arg(long, value_name = "FILE", conflicts_with = "task")]
    pub(crate) html: Option<PathBuf>,
    /// Another report of the same suite, beside this one on the page
    #[arg(long, value_name = "REPORT", requires = "html")]
    pub(crate) beside: Option<String>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
The gate's file says what a model must show; its rules are held against the newest reports of the model and of what the tag is on now. \
Where one does not hold, the tag stays, the exit code is 1, and each rule says why. `vertigo-v2` is the gate of the pipeline before, for \
the suite `vertigo-benchmark`.

Examples:
  vertigo promote luau-model --to production --gate gates.yaml --dry-run
  vertigo promote luau-model --to production --gate gates.yaml
  vertigo promote luau-model --to production --gate vertigo-v2 --report v2-eval
  vertigo promote luau-model --to production --gate gates.yaml --force --reason why")]
pub(crate) struct PromoteArgs {
    /// The model: a tag, a digest or its beginning, or the job that made it
    #[arg(value_name = "MODEL")]
    pub(crate) model: String,
    /// The tag to move
    #[arg(long, value_name = "TAG")]
    pub(crate) to: String,
    /// What the model must show
    #[arg(long, value_name = "FILE|vertigo-v2")]
    pub(crate) gate: String,
    /// Judge by these reports instead of the newest; once for each
    #[arg(long, value_name = "REPORT")]
    pub(crate) report: Vec<String>,
    /// Move the tag although the gate does not hold
    #[arg(long, requires = "reason", conflicts_with = "dry_run")]
    pub(crate) force: bool,
    /// Why, for whoever reads the tag's history
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: Option<String>,
    /// Judge, and leave the tag where it is
    #[arg(long)]
    pub(crate) dry_run: bool,
}
