//! What a submission of each kind of task must be, and what it needs. One file a kind.
//!
//! In three steps, since the writer's thread serves everybody and an estimate takes time: [`Task::find`] asks the state what a task
//! reads; [`Appraisal::appraise`] reads shapes, fits and estimates, beside the writer and without the state; [`Appraised::need`] asks
//! the state again, for what finished attempts have taught by then. Artifacts are immutable and stay, so what was found still holds.
//! A task whose inputs are not there yet is found again, in one go, when the last of them is: [`Catalog`].
//!
//! Promise: pure functions of task, index and factors. No I/O, no wire type but the task itself, no knowledge of jobs' states.

mod answering;
mod curate;
mod eval;
mod fuse;
mod inputs;
mod serve;
mod train;

pub(crate) use inputs::{Named, check_inputs, missing, resolve};

use crate::core::{
    self, ArchiveError, Core, FactorKey, Factors, Found, Input, Kinds, MemoryPart, Need, Source, Variant,
};
use prost::Message;
use vertigo::bytes::Bytes;
use vertigo::id::Digest;
use vertigo::task::{Slot, TaskKind};
use vertigo::v1::{self, task};
use vertigo_model::estimate::Estimate;

/// Why a task cannot be done as it was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum KindError {
    /// It is wrong in itself.
    #[error("{0}")]
    Invalid(String),
    /// Something that it names is not there.
    #[error("{message}{}", hint.as_ref().map(|hint| format!("; {hint}")).unwrap_or_default())]
    Missing {
        /// What.
        message: String,
        /// What to do.
        hint: Option<String>,
    },
}

impl KindError {
    /// Something that is not there, and what to do.
    fn missing(message: impl Into<String>, hint: impl Into<String>) -> KindError {
        KindError::Missing { message: message.into(), hint: Some(hint.into()) }
    }

    /// The same, and where it is wrong.
    fn of(self, place: &str) -> KindError {
        match self {
            KindError::Invalid(message) => KindError::Invalid(format!("{place}: {message}")),
            KindError::Missing { message, hint } => KindError::Missing { message: format!("{place}: {message}"), hint },
        }
    }
}

/// A task, read.
#[derive(Debug, Clone)]
pub(crate) enum Task {
    Train(Box<train::Train>),
    Fuse(fuse::Fuse),
    Serve(serve::Serve),
    Eval(eval::Eval),
    Curate(curate::Curate),
}

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// To run: all that is read has to be there or on its way.
    Run,
    /// To plan: what is left out is left out, and a base that is not imported may be known by its name.
    Plan,
}

/// What the state knows of a task.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    /// Inputs that nobody has named and that the task reads.
    pub(crate) added: Vec<Input>,
    /// What its need depends on; `None` for as long as that is not there.
    pub(crate) appraisal: Option<Appraisal>,
}

/// What a need is computed from.
#[derive(Debug)]
pub(crate) enum Appraisal {
    Train(Box<train::Appraisal>),
    Fuse(fuse::Appraisal),
    Serve(serve::Appraisal),
    Eval(eval::Appraisal),
    Curate(curate::Appraisal),
}

/// A need but for what finished attempts have taught.
#[derive(Debug)]
pub(crate) struct Appraised {
    method: String,
    parts: Vec<MemoryPart>,
    disk: Bytes,
    slot: Slot,
    /// The base's name where its sizes are not read from a config.json.
    pub(crate) guessed: Option<String>,
}

impl Task {
    /// Reads a task.
    ///
    /// # Errors
    /// What is wrong with it: a recipe's key, say.
    pub(crate) fn read(task: &v1::Task) -> Result<Task, KindError> {
        match &task.kind {
            Some(task::Kind::Train(train)) => Ok(Task::Train(Box::new(train::Train::read(train)?))),
            Some(task::Kind::Fuse(fuse)) => Ok(Task::Fuse(fuse::Fuse::read(fuse)?)),
            Some(task::Kind::Serve(serve)) => Ok(Task::Serve(serve::Serve::read(serve)?)),
            Some(task::Kind::Eval(eval)) => Ok(Task::Eval(eval::Eval::read(eval)?)),
            Some(task::Kind::Curate(_)) => Ok(Task::Curate(curate::Curate)),
            None => Err(KindError::Invalid("the task is of no kind that this coordinator knows".to_owned())),
        }
    }

    /// Its kind.
    pub(crate) fn kind(&self) -> TaskKind {
        match self {
            Task::Train(_) => TaskKind::Train,
            Task::Fuse(_) => TaskKind::Fuse,
            Task::Serve(_) => TaskKind::Serve,
            Task::Eval(_) => TaskKind::Eval,
            Task::Curate(_) => TaskKind::Curate,
        }
    }

    /// What a person names as the model, or nothing.
    pub(crate) fn model(&self) -> &str {
        match self {
            Task::Train(train) => train.model(),
            Task::Fuse(_) | Task::Curate(_) => "",
            Task::Serve(serve) => serve.model(),
            Task::Eval(eval) => eval.model(),
        }
    }

    /// Finds what it reads besides `inputs`, and what its need depends on.
    ///
    /// # Errors
    /// What is not there, or does not fit.
    pub(crate) fn find(&self, core: &Core, inputs: &[Input], purpose: Purpose) -> Result<Findings, KindError> {
        match self {
            Task::Train(train) => train.find(core, inputs, purpose),
            Task::Fuse(fuse) => fuse.find(core, inputs),
            Task::Serve(serve) => serve.find(core, inputs),
            Task::Eval(eval) => eval.find(core, inputs),
            Task::Curate(_) => curate::Curate::find(core, inputs),
        }
    }
}

impl Appraisal {
    /// Checks what was found, and estimates. Takes a while: not on the writer's thread where there are many.
    ///
    /// # Errors
    /// Why the task cannot be done with what was found.
    pub(crate) fn appraise(self) -> Result<Appraised, KindError> {
        match self {
            Appraisal::Train(appraisal) => appraisal.appraise(),
            Appraisal::Fuse(appraisal) => appraisal.appraise(),
            Appraisal::Serve(appraisal) => appraisal.appraise(),
            Appraisal::Eval(appraisal) => appraisal.appraise(),
            Appraisal::Curate(appraisal) => appraisal.appraise(),
        }
    }
}

impl Appraised {
    /// The need, with its memory predicted by what finished attempts have taught.
    pub(crate) fn need(self, factors: &Factors) -> Need {
        let key = FactorKey { method: self.method, engine: vertigo::VERSION.to_owned() };
        let factor = factors.factor(&key);
        Need { method: key.method, engine: key.engine, parts: self.parts, factor, disk: self.disk, slot: self.slot }
    }
}

fn parts(estimate: &Estimate) -> Vec<MemoryPart> {
    estimate.parts.iter().map(|part| MemoryPart { name: part.name.to_owned(), bytes: part.bytes }).collect()
}

/// An input that is there.
fn given(inputs: &[Input], role: &str) -> Option<Found> {
    inputs.iter().find(|input| input.role == role).and_then(|input| input.artifact)
}

/// An input that nobody named.
fn added(role: &str, artifact: Found) -> Input {
    Input { role: role.to_owned(), source: Source::Artifact, artifact: Some(artifact) }
}

/// The task as the core holds it.
pub(crate) fn held(kind: TaskKind, task: &v1::Task) -> core::Task {
    core::Task { kind, message: task.encode_to_vec() }
}

/// The task as it came; an empty one where the database's is broken.
pub(crate) fn message(task: &core::Task) -> v1::Task {
    v1::Task::decode(&task.message[..]).unwrap_or_default()
}

/// What the core asks, answered.
#[derive(Debug, Clone, Copy, Default)]
pub struct Catalog;

impl Kinds for Catalog {
    fn complete(&self, core: &Core, variant: &mut Variant) -> Result<(), String> {
        let told = |error: KindError| error.to_string();
        let task = Task::read(&message(&variant.task)).map_err(told)?;
        let found = task.find(core, &variant.inputs, Purpose::Run).map_err(told)?;
        let appraisal = found.appraisal.ok_or("what it needs cannot be known: an input is not there")?;
        variant.need = Some(appraisal.appraise().map_err(told)?.need(core.factors()));
        variant.inputs.extend(found.added);
        Ok(())
    }

    fn followed(&self, core: &Core, variant: &Variant) -> Result<Vec<Digest>, ArchiveError> {
        match message(&variant.task).kind {
            Some(task::Kind::Serve(task)) => serve::followed(core, &task),
            Some(task::Kind::Train(_) | task::Kind::Fuse(_) | task::Kind::Eval(_) | task::Kind::Curate(_)) | None => {
                Ok(Vec::new())
            }
        }
    }
}
