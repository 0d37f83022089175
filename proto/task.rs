//! What jobs do: the kinds of task, what each reads and makes, and how a failure is cured.
//!
//! A kind of task has one file in each of four places: a message in `proto/vertigo/v1/task.proto`, what a submission of it must be in
//! `coordinator/src/kinds`, the child's side in `worker/src/task`, and a command in the CLI. What all of them share stands here.

use crate::bounds::NUMBERED_MAX;
use crate::manifest::Kind;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

mod failure;

pub use failure::{Cure, Failure, GIVEN_BACK, code};

/// Names of what tasks read and make.
pub mod role {
    /// A model to begin with.
    pub const BASE: &str = "base";
    /// A dataset.
    pub const DATA: &str = "data";
    /// Trained weights beside a base.
    pub const ADAPTER: &str = "adapter";
    /// Of the adapters that a training run passes through, that of the lowest validation.
    pub const BEST: &str = "best";
    /// A model that is ready to use.
    pub const MODEL: &str = "model";
    /// Tasks with their checks.
    pub const SUITE: &str = "suite";
    /// What an evaluation found.
    pub const REPORT: &str = "report";
}

/// A kind of task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TaskKind {
    /// Trains an adapter by a recipe.
    Train,
    /// Makes one model of an adapter and its base.
    Fuse,
    /// Answers requests over OpenAI's API, until it is told to end.
    Serve,
    /// Asks a model the tasks of a suite, and scores what it answers.
    Eval,
    /// Makes a dataset that can be trusted of raw rows.
    Curate,
}

/// An input of a kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InputRole {
    /// What the task calls it.
    pub role: &'static str,
    /// Kinds of artifact that it may be.
    pub takes: &'static [Kind],
    /// Whether a job must name it. What it need not name is found: the base by the recipe or by the adapter.
    pub required: bool,
    /// Whether there may be several of them. They are numbered from 1: `model.1`, `model.2`.
    pub is_numbered: bool,
}

impl InputRole {
    const fn one(role: &'static str, takes: &'static [Kind], required: bool) -> InputRole {
        InputRole { role, takes, required, is_numbered: false }
    }

    const fn numbered(role: &'static str, takes: &'static [Kind], required: bool) -> InputRole {
        InputRole { role, takes, required, is_numbered: true }
    }

    /// Whether this is what a task calls it by: its role, with a number where there may be several.
    fn is_meant_by(&self, name: &str) -> bool {
        match split_number(name) {
            Some((role, _)) => self.is_numbered && role == self.role,
            None => !self.is_numbered && name == self.role,
        }
    }
}

/// An output of a kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutputRole {
    /// What it is called.
    pub role: &'static str,
    /// What it is.
    pub kind: Kind,
}

/// What may stand where a base is wanted.
const MODELS: &[Kind] = &[Kind::Base, Kind::Model];

/// What can answer.
const ANSWERING: &[Kind] = &[Kind::Model, Kind::Base, Kind::Adapter];

impl TaskKind {
    /// All kinds.
    pub const ALL: [TaskKind; 5] = [TaskKind::Train, TaskKind::Fuse, TaskKind::Serve, TaskKind::Eval, TaskKind::Curate];

    /// The kind's name, as people write it.
    pub fn as_str(self) -> &'static str {
        match self {
            TaskKind::Train => "train",
            TaskKind::Fuse => "fuse",
            TaskKind::Serve => "serve",
            TaskKind::Eval => "eval",
            TaskKind::Curate => "curate",
        }
    }

    /// The names of all kinds.
    pub fn names() -> Vec<&'static str> {
        TaskKind::ALL.map(TaskKind::as_str).to_vec()
    }

    /// What it reads.
    pub fn inputs(self) -> &'static [InputRole] {
        match self {
            TaskKind::Train => {
                const { &[InputRole::one(role::DATA, &[Kind::Dataset], true), InputRole::one(role::BASE, MODELS, false)] }
            }
            TaskKind::Fuse => {
                const {
                    &[
                        InputRole::one(role::ADAPTER, &[Kind::Adapter], true),
                        InputRole::one(role::BASE, MODELS, false),
                        InputRole::one(role::DATA, &[Kind::Dataset], false),
                    ]
                }
            }
            TaskKind::Serve => {
                const { &[InputRole::numbered(role::MODEL, ANSWERING, true), InputRole::numbered(role::BASE, MODELS, false)] }
            }
            TaskKind::Eval => {
                const {
                    &[
                        InputRole::one(role::SUITE, &[Kind::Suite], true),
                        InputRole::one(role::MODEL, ANSWERING, false),
                        InputRole::one(role::BASE, MODELS, false),
                        InputRole::one(role::DATA, &[Kind::Dataset], false),
                    ]
                }
            }
            TaskKind::Curate => {
                const {
                    &[
                        InputRole::numbered(role::DATA, &[Kind::Dataset], true),
                        InputRole::numbered(role::SUITE, &[Kind::Suite], false),
                        InputRole::one(role::BASE, MODELS, false),
                    ]
                }
            }
        }
    }

    /// What it makes. The first is what a job's name tags, and what is meant where nobody says which. A service makes nothing.
    pub fn outputs(self) -> &'static [OutputRole] {
        match self {
            TaskKind::Train => &[
                OutputRole { role: role::ADAPTER, kind: Kind::Adapter },
                OutputRole { role: role::BEST, kind: Kind::Adapter },
            ],
            TaskKind::Fuse => &[OutputRole { role: role::MODEL, kind: Kind::Model }],
            TaskKind::Serve => &[],
            TaskKind::Eval => &[OutputRole { role: role::REPORT, kind: Kind::Report }],
            TaskKind::Curate => &[OutputRole { role: role::DATA, kind: Kind::Dataset }],
        }
    }

    /// Its input of this role.
    pub fn input(self, role: &str) -> Option<&'static InputRole> {
        self.inputs().iter().find(|input| input.is_meant_by(role))
    }

    /// The roles of its outputs, as a person reads them: `adapter, best`.
    pub fn output_names(self) -> String {
        self.outputs().iter().map(|output| output.role).collect::<Vec<_>>().join(", ")
    }

    /// Its output of this role; of the empty role, the first.
    pub fn output(self, role: &str) -> Option<&'static OutputRole> {
        self.outputs().iter().find(|output| role.is_empty() || output.role == role)
    }
}

impl fmt::Display for TaskKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A word that names no kind of task.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no kind of job; there are {names}", names = TaskKind::names().join(", "))]
pub struct ParseTaskKindError(String);

impl FromStr for TaskKind {
    type Err = ParseTaskKindError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = TaskKind::ALL.into_iter().find(|kind| kind.as_str() == text);
        found.ok_or_else(|| ParseTaskKindError(text.to_owned()))
    }
}

/// A reference to one of a job's outputs, `JOB@ROLE`: the job, and the role. The empty role, the first output, where there is no `@`.
pub fn split_output(reference: &str) -> (&str, &str) {
    reference.rsplit_once('@').unwrap_or((reference, ""))
}

/// A model as it is asked for: `BASE@ADAPTER`, or what stands for a model or an adapter alone, such as a tag or `JOB@ROLE`. Gives what is
/// answered with, and the base that was named for it.
pub fn split_served(reference: &str) -> (&str, Option<&str>) {
    let is_role = |role: &str| TaskKind::ALL.into_iter().any(|kind| kind.outputs().iter().any(|it| it.role == role));
    match reference.split_once('@') {
        Some((base, adapter)) if !is_role(adapter) => (adapter, Some(base)),
        _ => (reference, None),
    }
}

/// An input of which there may be several: `model.2` is the second `model`.
pub fn numbered(role: &str, number: usize) -> String {
    format!("{role}.{number}")
}

/// Reads [`numbered`]: the role, and the number from 1 to [`NUMBERED_MAX`]. `None` of every other spelling.
pub fn split_number(name: &str) -> Option<(&str, usize)> {
    let (role, number) = name.rsplit_once('.')?;
    let number = number.parse().ok().filter(|number| (1..=NUMBERED_MAX).contains(number))?;
    (name == numbered(role, number)).then_some((role, number))
}

/// How the matrices of a fused model shall be stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Bits {
    /// In the fewest that keep what the adapter has learned, as measured: the base's own, then 8, then 16 where the adapter changes
    /// something.
    #[default]
    Auto,
    /// Each as the base has it.
    Same,
    /// Changed ones in 4 bits; of the others, those that were not packed too.
    Four,
    /// Changed ones in 8 bits; of the others, those that were not packed too.
    Eight,
    /// None packed: 16 bits a value, or 32 where the base has no fewer.
    Sixteen,
}

impl Bits {
    /// All of them, in the order in which they are told to people.
    pub const ALL: [Bits; 5] = [Bits::Auto, Bits::Same, Bits::Four, Bits::Eight, Bits::Sixteen];

    /// As the protocol writes it: 0 for the base's own, as it always was, and 1, which is no width of a grid, for auto. A worker from
    /// before there was auto then hands the task back, where it would not heed a field that it does not know.
    pub fn number(self) -> u32 {
        match self {
            Bits::Same => 0,
            Bits::Auto => 1,
            Bits::Four => 4,
            Bits::Eight => 8,
            Bits::Sixteen => 16,
        }
    }

    /// Reads [`number`](Self::number).
    pub fn from_number(number: u32) -> Option<Bits> {
        Bits::ALL.into_iter().find(|bits| bits.number() == number)
    }
}

impl fmt::Display for Bits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Bits::Auto => "auto",
            Bits::Same => "same",
            Bits::Four => "4",
            Bits::Eight => "8",
            Bits::Sixteen => "16",
        })
    }
}

/// A word that is no number of bits.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is none of auto, same, 4, 8, 16")]
pub struct ParseBitsError(String);

impl FromStr for Bits {
    type Err = ParseBitsError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Bits::ALL.into_iter().find(|bits| bits.to_string() == text);
        found.ok_or_else(|| ParseBitsError(text.to_owned()))
    }
}

/// Which of a worker's slots an attempt takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Slot {
    /// The GPU.
    Gpu,
    /// Processor cores alone, beside what the GPU does.
    Cpu,
    /// Beside both: what answers requests. It never ends by itself, is given back when its worker drains, and once it has been up it is
    /// tried for as long as nobody cancels it.
    Service,
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Slot::Gpu => "GPU",
            Slot::Cpu => "CPU",
            Slot::Service => "service",
        })
    }
}

#[cfg(feature = "rpc")]
mod wire {
    use super::{Slot, TaskKind};
    use crate::v1::{self, task};

    impl v1::Task {
        /// Its kind; `None` for one of a later version.
        pub fn known(&self) -> Option<TaskKind> {
            match self.kind.as_ref()? {
                task::Kind::Train(_) => Some(TaskKind::Train),
                task::Kind::Fuse(_) => Some(TaskKind::Fuse),
                task::Kind::Serve(_) => Some(TaskKind::Serve),
                task::Kind::Eval(_) => Some(TaskKind::Eval),
                task::Kind::Curate(_) => Some(TaskKind::Curate),
            }
        }
    }

    impl From<Slot> for v1::Slot {
        fn from(slot: Slot) -> v1::Slot {
            match slot {
                Slot::Gpu => v1::Slot::Gpu,
                Slot::Cpu => v1::Slot::Cpu,
                Slot::Service => v1::Slot::Service,
            }
        }
    }

    impl From<v1::Slot> for Slot {
        /// What a later version may name is taken for the scarcer one.
        fn from(slot: v1::Slot) -> Slot {
            match slot {
                v1::Slot::Cpu => Slot::Cpu,
                v1::Slot::Service => Slot::Service,
                v1::Slot::Gpu | v1::Slot::Unspecified => Slot::Gpu,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_output_is_named_by_its_job_and_its_role() {
        assert_eq!(split_output("tutor@best"), ("tutor", "best"));
        assert_eq!(split_output("tutor"), ("tutor", ""));
        assert_eq!(split_output("tutor@"), ("tutor", ""));
    }

    #[test]
    fn a_served_model_is_a_reference_or_an_adapter_over_a_base() {
        assert_eq!(split_served("mini@tutor"), ("tutor", Some("mini")));
        assert_eq!(split_served("mini@tutor@best"), ("tutor@best", Some("mini")));
        assert_eq!(split_served("tutor@best"), ("tutor@best", None), "what a job makes");
        assert_eq!(split_served("luau-model"), ("luau-model", None));
    }

    #[test]
    fn several_inputs_of_a_role_are_told_apart_by_their_numbers() {
        let model = TaskKind::Serve.input("model.2").unwrap();
        assert_eq!((model.role, model.is_numbered), ("model", true));
        assert_eq!(TaskKind::Serve.input(&numbered(role::BASE, 8)).map(|input| input.role), Some("base"));
        for other in ["model", "model.0", "model.9", "model.02", "model.+2", "model.2.2", "data.1", "model."] {
            assert_eq!(TaskKind::Serve.input(other), None, "{other}");
        }
        assert_eq!(TaskKind::Train.input("data.1"), None, "there is one dataset");
        assert_eq!(TaskKind::Curate.input("data.1").map(|input| input.takes), Some(&[Kind::Dataset][..]));
        assert_eq!(TaskKind::Curate.input("base").map(|input| input.is_numbered), Some(false));
    }

    #[test]
    fn every_kind_reads_back_and_all_but_services_have_an_output() {
        for kind in TaskKind::ALL {
            assert_eq!(kind.as_str().parse(), Ok(kind));
            assert_eq!(kind.output(""), kind.outputs().first());
            assert_eq!(kind.outputs().is_empty(), kind == TaskKind::Serve);
            assert!(kind.inputs().iter().any(|input| input.required), "{kind} reads nothing");
            assert!(kind.input("nothing").is_none() && kind.output("nothing").is_none());
        }
        assert_eq!(TaskKind::Train.output_names(), "adapter, best");
        let error = "trane".parse::<TaskKind>().unwrap_err().to_string();
        assert!(TaskKind::ALL.iter().all(|kind| error.contains(kind.as_str())), "{error}");
    }
}
