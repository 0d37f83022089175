//! The command line: what there is to type, and what `--help` says about it.

mod access;
mod curation;
mod data;
mod evaluation;
mod queue;
mod span;
mod tags;
mod workers;

pub(crate) use access::{ContextCommand, CreateTokenArgs, LoginArgs, RevokeArgs, TokenCommand};
pub(crate) use curation::CurateArgs;
pub(crate) use data::{
    AuditArgs, DataCommand, DataReportArgs, DiffArgs, ImportArgs, RowName, ShowArgs, Which, WhyArgs,
};
pub(crate) use evaluation::{
    CheckSuiteArgs, EvalArgs, ImportSuiteArgs, LuauCommand, LuauFileArgs, LuauRunArgs, PromoteArgs, ReportArgs,
    RobloxJudge, ShowSuiteArgs, SuiteCommand,
};
pub(crate) use queue::{
    ChatArgs, CompareArgs, FuseArgs, Measure, RerunArgs, RunArgs, ServeArgs, State, SweepArgs, Switch,
};
pub(crate) use tags::{HistoryArgs, RollbackArgs, TagArgs};
pub(crate) use workers::{
    DrainArgs, RemoveArgs, ResumeArgs, SetArgs, UpgradeArgs, WorkerArgs, WorkerCommand, WorkersArgs,
};

use anstyle::Style;
use clap::builder::Styles;
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;
use std::time::Duration;
use vertigo::bytes::Bytes;
use vertigo::endpoint::Endpoint;
use vertigo::manifest::Kind;
use vertigo::task::{Bits, TaskKind};
use vertigo::times;
use vertigo_access::contexts::ContextName;
use vertigo_model::estimate::Engine;

const EXAMPLES: &str = "\
Examples:
  vertigo data import luau tests/data/luau
  vertigo base import mlx-community/Qwen3.5-4B-4bit ~/models/Qwen3.5-4B-4bit
  vertigo plan recipes/4b.yaml --memory 36GiB --memory 128GiB
  vertigo train recipes/9b.yaml recipes/4b.yaml --data luau --name luau-tutor --follow
  vertigo run pipeline.yaml --follow
  vertigo get luau-tutor ./adapter

Exit codes:
  0    done
  1    the job failed or was cancelled, or what was asked was refused
  2    the command line is wrong
  3    the coordinator cannot be reached
  4    no such job, artifact, tag or worker
  130  interrupted; jobs go on

A job is named by its id, by the beginning of it that no other job shares, or by
its name.";

/// Help in our own styles: [`crate::render::safe`] lets no others through.
const STYLES: Styles = {
    let bold = Style::new().bold();
    Styles::plain().header(bold).usage(bold).literal(bold)
};

/// Queue, watch and fetch fine-tuning jobs.
#[derive(Debug, Parser)]
#[command(
    name = "vertigo",
    version,
    about,
    after_help = EXAMPLES,
    max_term_width = 80,
    arg_required_else_help = true,
    styles = STYLES
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What every command takes.
#[derive(Debug, Args)]
pub(crate) struct Global {
    /// Where the coordinator is [default: the context in use, or http://127.0.0.1:7420]
    #[arg(long, global = true, env = "VERTIGO_COORDINATOR", value_name = "URL", hide_env_values = true)]
    pub(crate) coordinator: Option<Endpoint>,
    /// Which of the coordinators that `vertigo context` lists
    #[arg(long, global = true, env = "VERTIGO_CONTEXT", value_name = "NAME", hide_env_values = true)]
    pub(crate) context: Option<ContextName>,
    /// Print one JSON document on stdout, or JSON lines where there is a stream
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Colours: auto leaves them out in a pipe and where NO_COLOR is set
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub(crate) color: Color,
}

/// When to colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Color {
    Auto,
    Always,
    Never,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Datasets: folders of .jsonl in mlx-lm's shapes
    #[command(subcommand)]
    Data(DataCommand),
    /// Queue a job that makes a dataset to train on of raw ones
    Curate(CurateArgs),
    /// Base models: Hugging Face or MLX folders of Qwen3.5
    #[command(subcommand)]
    Base(BaseCommand),
    /// Predict peak memory and say where recipes would run, without running them
    Plan(PlanArgs),
    /// Queue a training job that may run as any of these recipes
    Train(TrainArgs),
    /// Queue a job that makes one model of an adapter and its base
    Fuse(FuseArgs),
    /// Queue a service that answers requests over OpenAI's API until it is cancelled
    Serve(ServeArgs),
    /// Talk with a model that a service answers with
    Chat(ChatArgs),
    /// Queue the jobs of a pipeline file together
    Run(RunArgs),
    /// Queue a recipe once for each combination of some keys' values
    Sweep(SweepArgs),
    /// Queue a job anew
    Rerun(RerunArgs),
    /// List jobs, newest first
    Jobs(JobsArgs),
    /// Show a job: its variants, its attempts, what it made
    Job(JobArgs),
    /// Suites: tasks with checks that say what a model is worth
    #[command(subcommand)]
    Suite(SuiteCommand),
    /// Check or run Luau by hand, as evaluations do
    #[command(subcommand)]
    Luau(LuauCommand),
    /// A process in which Luau is run
    #[command(hide = true, name = vertigo_luau::child::COMMAND)]
    LuauRoom,
    /// Queue jobs that ask models the tasks of suites
    Eval(EvalArgs),
    /// Show what an evaluation found
    Report(ReportArgs),
    /// Show what differs in jobs' recipes beside what came out, or which of evaluated models is better
    Compare(CompareArgs),
    /// Move a tag to a model, where a gate holds
    Promote(PromoteArgs),
    /// Follow a job until it has ended; the exit code is the job's. Without a job: all of them
    Watch(WatchArgs),
    /// Print what a job's attempts wrote
    Logs(LogsArgs),
    /// End a job or a pipeline; attempts are stopped within seconds
    Cancel(CancelArgs),
    /// List workers and what runs on them
    Workers(WorkersArgs),
    /// Say when a worker's machine takes part
    Worker(WorkerArgs),
    /// Have a worker take nothing new until it is resumed
    Drain(DrainArgs),
    /// Let a worker take work again
    Resume(ResumeArgs),
    /// Have a worker start anew, as the version that is installed there now; what runs is saved first
    Upgrade(UpgradeArgs),
    /// Forget a worker that will not come back, or is to join anew
    Remove(RemoveArgs),
    /// List artifacts: bases, datasets, checkpoints, adapters, models, suites, reports
    Artifacts(ArtifactsArgs),
    /// Move a tag to an artifact
    Tag(TagArgs),
    /// List where a tag has been, newest first, and who moved it and why
    History(HistoryArgs),
    /// Move a tag back to what it was on before
    Rollback(RollbackArgs),
    /// Say what takes what on the coordinator's disks, and for how long it is kept
    #[command(after_help = "Examples:\n  vertigo storage\n  vertigo storage --json | jq .kinds")]
    Storage,
    /// Collect now what the coordinator's policy (--keep) does not keep
    #[command(after_help = "Examples:\n  vertigo gc --dry-run\n  vertigo gc")]
    Gc(GcArgs),
    /// Fetch an artifact into a folder
    #[command(
        after_help = "Examples:\n  vertigo get luau-tutor ./adapter\n  vertigo get luau-tutor-fused ~/models/luau-tutor\n  vertigo get sha256:3b1f22 ./base"
    )]
    Get(GetArgs),
    /// Log in to a coordinator on another machine, with a token that is read from stdin
    Login(LoginArgs),
    /// The coordinators that you have logged in to
    #[command(after_help = "Examples:\n  vertigo context\n  vertigo context use home\n  vertigo --context work jobs")]
    Context {
        #[command(subcommand)]
        command: Option<ContextCommand>,
    },
    /// Tokens with which machines join
    #[command(subcommand)]
    Token(TokenCommand),
    /// List everybody who has joined
    Principals,
    /// End everything that somebody who joined may do
    Revoke(RevokeArgs),
    /// Say what is wrong on this machine, and the command that cures it
    #[command(after_help = "\
Looks at what starts with this machine, its folders and logs, the limit of open files, sleep, and what macOS asks before programs
speak with others. Changes nothing. The exit code is 1 where something is wrong.

Examples:
  vertigo doctor
  vertigo doctor --json | jq -r '.[] | select(.verdict == \"bad\") | .cure'")]
    Doctor,
    /// Write man pages into a folder
    #[command(hide = true)]
    Man {
        /// Which is there
        dir: PathBuf,
    },
    /// Print a completion script
    #[command(after_help = "Example:\n  vertigo completions zsh > ~/.zfunc/_vertigo")]
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum BaseCommand {
    /// Check a Hugging Face or MLX folder and upload it
    #[command(after_help = "\
Every tensor that config.json asks for must be there in its size, and no other; only headers are read for that. Weights are \
taken from safetensors alone. Links are followed within the folder and to the blobs of a Hugging Face snapshot, and nowhere else.

Example:
  vertigo base import mlx-community/Qwen3.5-4B-4bit ~/models/Qwen3.5-4B-4bit")]
    Import {
        /// The tag that the base gets: what recipes call `model`
        name: String,
        /// The folder
        dir: PathBuf,
    },
    /// Make a smoke base: random weights, and a tokenizer trained on a dataset
    #[command(after_help = "\
A smoke base has Qwen3.5's architecture in miniature and runs through everything that a real one runs through. It knows \
nothing: its answers are noise.

Examples:
  vertigo base new mini-4b --preset mini-4b --data luau
  vertigo base new mini-9b --preset mini-9b --bits 4 --data tests/data/luau --out ./mini-9b")]
    New(NewBaseArgs),
}

#[derive(Debug, Args)]
pub(crate) struct NewBaseArgs {
    /// The tag that the base gets
    pub(crate) name: String,
    /// Its size
    #[arg(long)]
    pub(crate) preset: Preset,
    /// Pack weights to this many bits; without it they are floats
    #[arg(long, value_parser = ["4", "8"])]
    pub(crate) bits: Option<String>,
    /// The dtype of what is not packed. On a CPU f32 is the faster one
    #[arg(long, default_value = "f32")]
    pub(crate) dtype: FloatType,
    /// What to train the tokenizer on: a folder, or a dataset's tag
    #[arg(long, value_name = "DIR|NAME")]
    pub(crate) data: String,
    /// Seed of the weights
    #[arg(long, default_value_t = 0)]
    pub(crate) seed: u64,
    /// Write the folder here instead of uploading it
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
}

/// Sizes of smoke bases.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Preset {
    /// About 3 million parameters, tied embeddings, as the 4B
    #[value(name = "mini-4b")]
    Mini4b,
    /// About 7 million parameters, its own head, as the 9B
    #[value(name = "mini-9b")]
    Mini9b,
}

/// Dtypes of weights that are not packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum FloatType {
    F32,
    Bf16,
}

#[derive(Debug, Args)]
#[command(after_help = "\
With --memory the plan is made here, without a coordinator, for machines of these sizes. Without it, the coordinator says \
what it would do now with the workers that it has.

Examples:
  vertigo plan recipes/9b.yaml recipes/4b.yaml --memory 36GiB --memory 128GiB
  vertigo plan recipes/4b.yaml --memory 36GiB --engine mlx-lm
  vertigo plan recipes/4b.yaml --data luau")]
pub(crate) struct PlanArgs {
    /// Recipe files, in order of preference
    #[arg(required = true, value_name = "RECIPE.yaml")]
    pub(crate) recipes: Vec<PathBuf>,
    /// Memory of a machine to plan for; once for each machine
    #[arg(long, value_name = "36GiB")]
    pub(crate) memory: Vec<Bytes>,
    /// Whose peak: vertigo or mlx-lm
    #[arg(long, requires = "memory", default_value_t, value_name = "vertigo|mlx-lm")]
    pub(crate) engine: Engine,
    /// Read the base's config.json in this folder instead of looking up the recipes' `model`
    #[arg(long, requires = "memory", value_name = "DIR")]
    pub(crate) base: Option<PathBuf>,
    /// The dataset, so that the coordinator can say what workers have it already
    #[arg(long, value_name = "NAME", conflicts_with = "memory")]
    pub(crate) data: Option<String>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
The job runs once, as the first recipe that fits a worker that is free.

Examples:
  vertigo train recipes/4b.yaml --data luau
  vertigo train recipes/9b.yaml recipes/4b.yaml --data luau --name luau-tutor --follow
  vertigo train recipes/4b.yaml --data luau --name luau-tutor --then fuse")]
pub(crate) struct TrainArgs {
    /// Recipe files, in order of preference
    #[arg(required = true, value_name = "RECIPE.yaml")]
    pub(crate) recipes: Vec<PathBuf>,
    /// Tag or digest of the dataset
    #[arg(long, value_name = "NAME")]
    pub(crate) data: String,
    /// What the job and the adapter's tag are called
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// Higher goes first
    #[arg(long, default_value_t = 0, allow_negative_numbers = true)]
    pub(crate) priority: i32,
    /// What to do with the adapter, once it is there
    #[arg(long, value_name = "fuse")]
    pub(crate) then: Option<Then>,
    /// How the matrices of the fused model are stored; auto: in the fewest bits that keep what the adapter has learned
    #[arg(long, default_value_t, requires = "then", value_name = "auto|same|4|8|16")]
    pub(crate) bits: Bits,
    /// Watch until all has ended
    #[arg(long)]
    pub(crate) follow: bool,
}

/// What follows a training run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Then {
    Fuse,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  vertigo jobs --state failed,cancelled --since 1d
  vertigo jobs --kind train --group rates")]
pub(crate) struct JobsArgs {
    /// In one of these states only
    #[arg(long, value_delimiter = ',', value_name = "STATE,…")]
    pub(crate) state: Vec<State>,
    /// Of this kind only
    #[arg(long, value_name = "train|fuse|serve|eval|curate")]
    pub(crate) kind: Option<TaskKind>,
    /// Of this group only
    #[arg(long, value_name = "NAME")]
    pub(crate) group: Option<String>,
    /// Of this pipeline only
    #[arg(long, value_name = "NAME")]
    pub(crate) pipeline: Option<String>,
    /// Queued within this time only, such as 90m, 12h or 7d
    #[arg(long, value_name = "TIME", value_parser = times::read)]
    pub(crate) since: Option<Duration>,
    /// At most this many
    #[arg(long, default_value_t = 20, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) limit: u32,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Jobs that wait for what it makes end with it.

Examples:
  vertigo cancel luau-tutor
  vertigo cancel --pipeline luau-0190163d-8694")]
pub(crate) struct CancelArgs {
    /// The job: its id or the beginning of it, or its name
    #[arg(required_unless_present = "pipeline", conflicts_with = "pipeline")]
    pub(crate) id: Option<String>,
    /// All jobs of this pipeline
    #[arg(long, value_name = "NAME")]
    pub(crate) pipeline: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct JobArgs {
    /// The job: its id or the beginning of it, or its name
    pub(crate) id: String,
}

#[derive(Debug, Args)]
pub(crate) struct WatchArgs {
    /// The job: its id or the beginning of it, or its name; without: what happens to all jobs, until Ctrl-C
    pub(crate) id: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct LogsArgs {
    /// The job: its id or the beginning of it, or its name
    pub(crate) id: String,
    /// Go on until the job has ended
    #[arg(long, short)]
    pub(crate) follow: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ArtifactsArgs {
    /// One kind only: base, dataset, checkpoint, adapter, model, suite or report
    #[arg(long)]
    pub(crate) kind: Option<Kind>,
    /// At most this many, newest first [default: all]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) limit: Option<u32>,
}

#[derive(Debug, Args)]
pub(crate) struct GcArgs {
    /// Say what would go, and leave it
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[derive(Debug, Args)]
pub(crate) struct GetArgs {
    /// A tag, a digest or its beginning, or the job that made it, by id, its beginning or name; JOB@best for a training
    /// job's best adapter
    #[arg(value_name = "REF")]
    pub(crate) reference: String,
    /// The folder to make
    pub(crate) dir: PathBuf,
}

#[cfg(test)]
mod tests;
