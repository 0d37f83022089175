//! What there is to type to queue jobs of other kinds than training, and many of them.

use crate::settings::{Setting, Values};
use clap::{Args, ValueEnum};
use std::net::SocketAddr;
use std::path::PathBuf;
use vertigo::bounds::SERVED_MAX;
use vertigo::bytes::Bytes;
use vertigo::task::Bits;
use vertigo::v1;

#[derive(Debug, Args)]
#[command(after_help = "\
The adapter knows its base and the data that it was trained on. The model is a folder that mlx-lm loads, and a base for the next \
recipe. Unless told otherwise it is measured: loss and divergence on held-out data of the base, the base with its adapter, and the \
model, since packing to 4 bits can round a small adapter away.

Bits are auto unless told otherwise: the base's own are tried first, then 8 for the matrices that the adapter changes, then 16 for \
them, and the first is taken that keeps 95 % of the adapter's gain in held-out loss and is no farther from base and adapter than 5 % \
of what the adapter changed. What is not measured, with `--measure none` or because the data holds out no example, cannot be chosen \
by what it keeps: auto then stores the matrices that the adapter changes in 16 bits, which round nothing away. Where a model is \
measured, matrices in fewer than 8 bits are rounded by what their inputs on the training data say; with `--measure none` each value \
is rounded to the nearest, as mlx-lm does it.

Examples:
  vertigo fuse luau-tutor --name luau-model --follow
  vertigo fuse luau-tutor --bits 8
  vertigo fuse luau-tutor --bits same --measure none
  vertigo get luau-model ~/models/luau-model")]
pub(crate) struct FuseArgs {
    /// The adapter: a tag, a digest or its beginning, or the job that made it
    pub(crate) adapter: String,
    /// What the job and the model's tag are called
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// How its matrices are stored: auto (in the fewest bits that keep what the adapter has learned), same (each as the base has it),
    /// 4, 8 or 16
    #[arg(long, default_value_t, value_name = "auto|same|4|8|16")]
    pub(crate) bits: Bits,
    /// What is measured of the model; none leaves the GPU to others
    #[arg(long, default_value = "all")]
    pub(crate) measure: Measure,
    /// Another base than the adapter's
    #[arg(long, value_name = "REF")]
    pub(crate) base: Option<String>,
    /// Other data to measure on than the adapter's
    #[arg(long, value_name = "REF")]
    pub(crate) data: Option<String>,
    /// Higher goes first
    #[arg(long, default_value_t = 0, allow_negative_numbers = true)]
    pub(crate) priority: i32,
    /// Watch the job until it has ended
    #[arg(long)]
    pub(crate) follow: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
A model is a base, a fused model, or an adapter over the base that it was trained on; BASE@ADAPTER is an adapter over another. It is \
answered by the name that stands here, and follows it: when a tag moves, new requests go to the new model and answers that have begun \
end on the old one. A service reserves its memory beside training jobs, is started again where it fails, moves when its worker drains, \
and ends with `vertigo cancel`. `vertigo jobs` says where it answers.

Examples:
  vertigo serve luau-model --name api
  vertigo serve qwen3.5-4b-4bit luau-tutor qwen3.5-4b-4bit@other --cache 4GiB
  vertigo chat luau-model")]
pub(crate) struct ServeArgs {
    /// Models: each a tag, a digest or its beginning, the job that made it, or BASE@ADAPTER
    #[arg(required = true, value_name = "MODEL", num_args = 1..=SERVED_MAX)]
    pub(crate) models: Vec<String>,
    /// What the job is called
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// Memory for the contexts of all requests under way [default: what eight contexts of 8192 tokens take]
    #[arg(long, value_name = "SIZE")]
    pub(crate) cache: Option<Bytes>,
    /// Where it listens on its worker [default: a port that is free, on 127.0.0.1]
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) listen: Option<SocketAddr>,
    /// Higher goes first
    #[arg(long, default_value_t = 0, allow_negative_numbers = true)]
    pub(crate) priority: i32,
    /// Watch the job; Ctrl-C leaves it running
    #[arg(long)]
    pub(crate) follow: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
The newest running service that answers as MODEL is asked. In the terminal /system TEXT, /tools FILE, /think on|off, /clear, /help and \
/quit are commands; Ctrl-C stops the answer and Ctrl-D ends.

Examples:
  vertigo chat luau-model
  vertigo chat luau-model --message 'What is a metatable?'
  vertigo chat mini --url http://127.0.0.1:8080 --think off")]
pub(crate) struct ChatArgs {
    /// The model, by the name that the service has for it
    pub(crate) model: String,
    /// Ask this service instead of looking for one
    #[arg(long)]
    pub(crate) url: Option<String>,
    /// Say this, print the answer and end
    #[arg(long, short, value_name = "TEXT")]
    pub(crate) message: Option<String>,
    /// What the model is told before all else
    #[arg(long, value_name = "TEXT")]
    pub(crate) system: Option<String>,
    /// Tools that it may call: a JSON list in OpenAI's form
    #[arg(long, value_name = "FILE")]
    pub(crate) tools: Option<PathBuf>,
    /// Whether it thinks before it answers [default: as its template has it]
    #[arg(long)]
    pub(crate) think: Option<Switch>,
    /// Tokens of an answer at the most [default: as the service has it]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) max_tokens: Option<u32>,
    /// 0 takes the most probable token, always [default: as the service has it]
    #[arg(long, value_name = "T")]
    pub(crate) temperature: Option<f32>,
}

/// What can be turned on and off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Switch {
    On,
    Off,
}

/// What is measured of a fused model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Measure {
    All,
    None,
}

#[derive(Debug, Args)]
#[command(after_help = "\
A pipeline file names jobs that read what others make:

  name: luau
  jobs:
    clean: {kind: curate, config: curation.yaml, data: raw, suite: luau}
    train: {kind: train, recipes: [9b.yaml, 4b.yaml], data: ${{ clean }}}
    fuse: {kind: fuse, adapter: ${{ train }}}

Recipes and configs lie beside the file. ${{ job }} is what that job makes. All jobs are queued, or, where one is wrong, none. A job that fails or \
is cancelled ends those that need what it makes.

Examples:
  vertigo run pipeline.yaml --follow
  vertigo run pipeline.yaml --set recipe.iters=20 --set train.seed=7
  vertigo jobs --pipeline luau-0190163d-8694")]
pub(crate) struct RunArgs {
    /// The pipeline's file
    #[arg(value_name = "PIPELINE.yaml")]
    pub(crate) file: PathBuf,
    /// Set a key of all recipes (recipe.KEY=VALUE) or of one job's (JOB.KEY=VALUE)
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) set: Vec<Setting>,
    /// Watch all jobs until they have ended
    #[arg(long)]
    pub(crate) follow: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Each combination is a job of its own; all of them are a group.

Examples:
  vertigo sweep 4b.yaml --data luau --set learning_rate=1e-6,2e-6,5e-6 --set seed=1,2,3
  vertigo jobs --group 4b
  vertigo compare --group 4b")]
pub(crate) struct SweepArgs {
    /// The recipe
    #[arg(value_name = "RECIPE.yaml")]
    pub(crate) recipe: PathBuf,
    /// Tag or digest of the dataset
    #[arg(long, value_name = "NAME")]
    pub(crate) data: String,
    /// A key and the values that it takes one after another. A value that is a list stands in brackets, as in
    /// lora_parameters.keys=[self_attn.q_proj],[mlp.up_proj,mlp.down_proj], and one with commas in quotes
    #[arg(long, required = true, value_name = "KEY=VALUE,VALUE…")]
    pub(crate) set: Vec<Values>,
    /// What the group is called [default: the recipe's name]
    #[arg(long, value_name = "NAME")]
    pub(crate) group: Option<String>,
    /// Higher goes first
    #[arg(long, default_value_t = 0, allow_negative_numbers = true)]
    pub(crate) priority: i32,
}

#[derive(Debug, Args)]
#[command(after_help = "\
The tasks are the same, and what was read then is read again; with another `model`, the base that it names.

Examples:
  vertigo rerun luau-tutor
  vertigo rerun luau-tutor --set learning_rate=2e-6 --name luau-tutor-2")]
pub(crate) struct RerunArgs {
    /// The job: its id or the beginning of it, or its name
    pub(crate) id: String,
    /// Set a key of its recipes
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) set: Vec<Setting>,
    /// Another name than the job's
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// Watch the job until it has ended
    #[arg(long)]
    pub(crate) follow: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Where every name is that of a report, or of the evaluation that made it, the models are compared: which is better, by how much, how sure \
that is, and how many tasks it would take to be sure.

Examples:
  vertigo compare luau-tutor luau-tutor-2
  vertigo compare --group 4b
  vertigo compare tutor-eval base-eval")]
pub(crate) struct CompareArgs {
    /// Jobs, each by its id or the beginning of it, or its name; or reports
    #[arg(required_unless_present = "group", value_name = "JOB")]
    pub(crate) jobs: Vec<String>,
    /// All jobs of this group
    #[arg(long, value_name = "NAME")]
    pub(crate) group: Option<String>,
}

/// States of jobs, as people write them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum State {
    Blocked,
    Queued,
    Backoff,
    Running,
    Succeeded,
    Failed,
    Cancelled,
}

impl From<State> for v1::JobState {
    fn from(state: State) -> v1::JobState {
        match state {
            State::Blocked => v1::JobState::Blocked,
            State::Queued => v1::JobState::Queued,
            State::Backoff => v1::JobState::Backoff,
            State::Running => v1::JobState::Leased,
            State::Succeeded => v1::JobState::Succeeded,
            State::Failed => v1::JobState::Failed,
            State::Cancelled => v1::JobState::Cancelled,
        }
    }
}
