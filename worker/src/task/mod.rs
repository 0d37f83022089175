//! What a child does and says, whatever its kind; one file for each kind beside this.
//!
//! A kind's file has its child's side: it reads the inputs by role, tells how it gets on by [`Event`]s, and ends with what it has made,
//! by role. Nothing outside this folder knows a kind. The last event of a child that has done its task is [`Event::Finished`].

pub mod curate;
pub mod eval;
mod failure;
pub mod fuse;
mod gate;
pub mod serve;
mod spec;
mod suites;
pub mod train;

pub use failure::{codes, of_engine, of_fault};
pub use gate::{Gate, Order, Thrift};
pub use spec::{Input, Spec};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use vertigo::bytes::Bytes;
use vertigo::caveats::Caveats;
use vertigo::task::{Bits, Failure, TaskKind, numbered, role};
use vertigo::v1::report::Body;
use vertigo::v1::{self, task};
use vertigo_engine::EngineError;

/// A service that nobody gave an address listens on a port that is free.
const ANYWHERE: &str = "127.0.0.1:0";

/// What an assignment asks for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Task {
    /// An adapter by a recipe. The recipe's text is the child's to read.
    Train {
        /// The recipe's name.
        recipe: String,
        /// The recipe's file.
        yaml: String,
    },
    /// One model of an adapter and its base.
    Fuse {
        /// How its matrices are stored.
        bits: Bits,
        /// Whether what it kept of the adapter is measured.
        measured: bool,
    },
    /// Answers to requests, until it is told to end.
    Serve {
        /// In the order of their inputs.
        models: Vec<ServedModel>,
        /// Memory for contexts; `None`: what eight of 8192 tokens take.
        cache: Option<Bytes>,
        /// Where it listens.
        listen: SocketAddr,
    },
    /// Scores of what a model answers to a suite's tasks.
    Eval(Box<eval::Options>),
    /// A dataset to train on, of raw ones. The config's text is the child's to read.
    Curate {
        /// The config's name.
        config: String,
        /// The config's file.
        yaml: String,
    },
}

/// A model that is answered with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServedModel {
    /// What requests call it.
    pub name: String,
    /// What its input follows; empty: nothing.
    pub model: String,
    /// What its base follows; empty: the adapter's own.
    pub base: String,
}

/// An input that follows a name, with the base that goes with it where it is an adapter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Followed {
    /// The input's role.
    pub role: String,
    /// What it follows.
    pub reference: String,
    /// The base's role.
    pub base_role: String,
    /// What that follows; empty: the adapter's own.
    pub base: String,
}

/// What the daemon tells a child whose task follows names: all of its inputs, as they are from now on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct News {
    /// By role.
    pub inputs: BTreeMap<String, Input>,
}

/// A task that this worker cannot read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TaskError {
    /// A kind of a later version. A newer worker may do it.
    #[error("the task is of no kind that this worker knows; update vertigo-worker on this machine")]
    Unknown,
    /// A value that cannot be.
    #[error("assignment.task: {0}")]
    Wrong(String),
}

impl Task {
    /// Reads a task as it was assigned.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn parse(task: Option<&v1::Task>) -> Result<Task, TaskError> {
        match task.and_then(|task| task.kind.as_ref()).ok_or(TaskError::Unknown)? {
            task::Kind::Train(v1::Train { recipe, yaml }) => {
                Ok(Task::Train { recipe: recipe.clone(), yaml: yaml.clone() })
            }
            task::Kind::Fuse(v1::Fuse { bits, unmeasured }) => {
                let wrong = || TaskError::Wrong(format!("{bits} bits are none of 0, 1, 4, 8, 16"));
                Ok(Task::Fuse { bits: Bits::from_number(*bits).ok_or_else(wrong)?, measured: !unmeasured })
            }
            task::Kind::Serve(v1::Serve { models, cache_bytes, listen }) => {
                let model = |it: &v1::ServedModel| ServedModel {
                    name: it.name.clone(),
                    model: it.model.clone(),
                    base: it.base.clone(),
                };
                let listen = if listen.is_empty() { ANYWHERE } else { listen };
                Ok(Task::Serve {
                    models: models.iter().map(model).collect(),
                    cache: (*cache_bytes > 0).then_some(Bytes(*cache_bytes)),
                    listen: listen.parse().map_err(|error| TaskError::Wrong(format!("listen `{listen}`: {error}")))?,
                })
            }
            task::Kind::Eval(eval) => Ok(Task::Eval(Box::new(eval::Options::of(eval)))),
            task::Kind::Curate(v1::Curate { config, yaml }) => {
                Ok(Task::Curate { config: config.clone(), yaml: yaml.clone() })
            }
        }
    }

    /// Its kind.
    pub fn kind(&self) -> TaskKind {
        match self {
            Task::Train { .. } => TaskKind::Train,
            Task::Fuse { .. } => TaskKind::Fuse,
            Task::Serve { .. } => TaskKind::Serve,
            Task::Eval(_) => TaskKind::Eval,
            Task::Curate { .. } => TaskKind::Curate,
        }
    }

    /// The inputs that follow names while it goes on.
    pub fn followed(&self) -> Vec<Followed> {
        if let Task::Serve { models, .. } = self { followed(models) } else { Vec::new() }
    }

    /// Does it, and hands each event to `say`. `news` is what a task that follows names is told; at `gate` it waits and leaves; `parent`
    /// is the trace to be part of.
    ///
    /// # Errors
    /// Why it came to nothing, and what cures that.
    pub fn run(
        &self,
        spec: &Spec,
        news: Receiver<News>,
        gate: Arc<Gate>,
        parent: Option<&str>,
        say: &mut dyn FnMut(Event),
    ) -> Result<(), Failure> {
        let of_engine = |error: EngineError| failure::of_engine(&error);
        match self {
            Task::Train { recipe, yaml } => train::run(spec, recipe, yaml, gate, parent, say).map_err(of_engine),
            Task::Fuse { bits, measured } => {
                fuse::run(spec, *bits, *measured, parent, &mut gate.after(say)).map_err(of_engine)
            }
            Task::Serve { models, cache, listen } => {
                let options = serve::Options { models, cache: *cache, listen: *listen };
                serve::run(spec, &options, news, say)
            }
            Task::Eval(options) => eval::run(spec, options, &mut gate.after(say)),
            Task::Curate { config, yaml } => curate::run(spec, config, yaml, &mut gate.after(say)),
        }
    }
}

/// What a child says while it goes on, in order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// The work begins.
    Started {
        /// Values that are trained.
        trainable_parameters: u64,
        /// Examples trained on.
        train_examples: u64,
        /// Examples held out.
        valid_examples: u64,
        /// Examples left out, because there is nothing in them to learn from.
        skipped_examples: u64,
        /// What of the examples is not learned as it was written, where examples are read.
        caveats: Option<Caveats>,
        /// Iterations done before, by the checkpoint resumed from.
        resumed_at: u64,
        /// Iterations of the whole run; 0 where there are none.
        iters: u64,
    },
    /// A report over some iterations of training.
    Step {
        /// Iterations done.
        iter: u64,
        /// Iterations of the whole run.
        iters: u64,
        /// Mean loss of a token.
        loss: f64,
        /// Rate of the newest optimizer step.
        learning_rate: f64,
        /// Tokens learned from, a second.
        tokens_per_second: f64,
        /// Tokens learned from since the run began.
        trained_tokens: u64,
        /// MLX's peak memory since the process began, in bytes.
        peak_bytes: u64,
        /// Global norm of the newest gradient, before clipping.
        grad_norm: f64,
    },
    /// Mean loss of a held-out token.
    Validation {
        /// Iterations done.
        iter: u64,
        /// Mean loss of a token.
        loss: f64,
        /// Tokens that the mean is over.
        tokens: u64,
    },
    /// How far work without iterations is.
    Progress {
        /// What is done.
        done: u64,
        /// Of how much.
        total: u64,
        /// What is counted.
        unit: String,
        /// MLX's peak memory since the process began, in bytes.
        peak_bytes: u64,
    },
    /// A number that was measured of what is made.
    Measured {
        /// Its name.
        name: String,
        /// The number.
        value: f64,
    },
    /// A point to go on from is complete.
    Checkpoint {
        /// How far it is: iterations done.
        iter: u64,
        /// Its folder.
        folder: PathBuf,
        /// Facts of its manifest.
        facts: BTreeMap<String, Value>,
    },
    /// It answers requests from now on.
    Serving {
        /// Where.
        url: String,
        /// What requests may call its models.
        models: Vec<String>,
    },
    /// It is well, and has nothing to say.
    Alive,
    /// Something that a person should know of.
    Warning {
        /// For a person.
        text: String,
    },
    /// The task is done.
    Finished(Done),
}

/// What a child has made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Done {
    /// The kind's outputs in their order; each is complete in its folder.
    pub products: Vec<Product>,
    /// What a person has to know of them; empty for nothing.
    pub remark: String,
    /// MLX's peak memory, in bytes.
    pub peak_bytes: u64,
}

/// A folder that becomes an artifact.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Product {
    /// What the kind calls it.
    pub role: String,
    /// Its files.
    pub folder: PathBuf,
    /// Facts of its manifest.
    pub facts: BTreeMap<String, Value>,
}

impl Event {
    /// The beginning of work that neither trains nor resumes.
    pub(crate) fn begun() -> Event {
        Event::Started {
            trainable_parameters: 0,
            train_examples: 0,
            valid_examples: 0,
            skipped_examples: 0,
            caveats: None,
            resumed_at: 0,
            iters: 0,
        }
    }

    /// The report that it is by itself. `None` for those that are reported when their files are up, and for signs of life.
    pub fn body(&self) -> Option<Body> {
        Some(match self.clone() {
            Event::Started {
                trainable_parameters,
                train_examples,
                valid_examples,
                skipped_examples,
                caveats,
                resumed_at,
                iters,
            } => Body::Started(v1::Started {
                trainable_parameters,
                train_examples,
                valid_examples,
                skipped_examples,
                caveats: caveats.map(Into::into),
                resumed_at,
                iters,
            }),
            Event::Step {
                iter,
                iters,
                loss,
                learning_rate,
                tokens_per_second,
                trained_tokens,
                peak_bytes,
                grad_norm,
            } => Body::Step(v1::Step {
                iter,
                iters,
                loss,
                learning_rate,
                tokens_per_second,
                trained_tokens,
                peak_bytes,
                grad_norm,
            }),
            Event::Validation { iter, loss, tokens } => Body::Validation(v1::Validation { iter, loss, tokens }),
            Event::Progress { done, total, unit, peak_bytes } => {
                Body::Progress(v1::Progress { done, total, unit, peak_bytes })
            }
            Event::Measured { name, value } => Body::Measured(v1::Measured { name, value }),
            Event::Serving { url, models } => Body::Serving(v1::Serving { url, models }),
            Event::Warning { text } => Body::Warning(v1::Warning { text }),
            Event::Checkpoint { .. } | Event::Finished(_) | Event::Alive => return None,
        })
    }

    /// MLX's peak memory, where it says that.
    pub fn peak(&self) -> Bytes {
        match self {
            Event::Step { peak_bytes, .. } | Event::Progress { peak_bytes, .. } => Bytes(*peak_bytes),
            Event::Finished(done) => Bytes(done.peak_bytes),
            _ => Bytes::ZERO,
        }
    }
}

/// The inputs of models that follow names, by their numbers.
pub fn followed(models: &[ServedModel]) -> Vec<Followed> {
    let followed = |(n, it): (usize, &ServedModel)| Followed {
        role: numbered(role::MODEL, n + 1),
        reference: it.model.clone(),
        base_role: numbered(role::BASE, n + 1),
        base: it.base.clone(),
    };
    models.iter().enumerate().filter(|(_, it)| !it.model.is_empty()).map(followed).collect()
}

/// Facts by name.
fn facts<const N: usize>(facts: [(&str, Value); N]) -> BTreeMap<String, Value> {
    facts.map(|(key, value)| (key.to_owned(), value)).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tasks_are_read_and_what_cannot_be_is_named() {
        let of = |kind| Task::parse(Some(&v1::Task { kind: Some(kind) }));
        let fuse = |bits, unmeasured| of(task::Kind::Fuse(v1::Fuse { bits, unmeasured }));
        assert_eq!(fuse(8, true), Ok(Task::Fuse { bits: Bits::Eight, measured: false }));
        assert_eq!(fuse(1, false), Ok(Task::Fuse { bits: Bits::Auto, measured: true }));
        assert!(fuse(5, false).unwrap_err().to_string().contains("5 bits"));
        assert_eq!(Task::parse(Some(&v1::Task::default())), Err(TaskError::Unknown));
        let train = of(task::Kind::Train(v1::Train { recipe: "a".to_owned(), yaml: "b".to_owned() })).unwrap();
        assert_eq!(train.kind(), TaskKind::Train);
        let written = serde_json::to_string(&train).unwrap();
        assert_eq!(written, r#"{"kind":"train","recipe":"a","yaml":"b"}"#);
        assert_eq!(serde_json::from_str::<Task>(&written).unwrap(), train);
    }

    #[test]
    fn a_service_follows_what_its_models_were_named_by() {
        let model =
            |model: &str| v1::ServedModel { name: "m".to_owned(), model: model.to_owned(), base: String::new() };
        let serve = v1::Serve { models: vec![model("production"), model("")], cache_bytes: 0, listen: String::new() };
        let serve = Task::parse(Some(&v1::Task { kind: Some(task::Kind::Serve(serve)) })).unwrap();
        let Task::Serve { cache: None, listen, .. } = &serve else { panic!("{serve:?}") };
        assert_eq!((listen.port(), listen.ip().is_loopback()), (0, true));
        let [followed] = &serve.followed()[..] else { panic!("{serve:?}") };
        assert_eq!((followed.role.as_str(), followed.reference.as_str()), ("model.1", "production"));
        let written = serde_json::to_string(&serve).unwrap();
        assert_eq!(serde_json::from_str::<Task>(&written).unwrap(), serve);
        assert_eq!(
            (Event::Alive.body(), serde_json::to_string(&Event::Alive).unwrap()),
            (None, r#"{"event":"alive"}"#.to_owned())
        );
    }

    #[test]
    fn what_has_files_is_reported_when_they_are_up() {
        let done = Event::Finished(Done { products: Vec::new(), remark: String::new(), peak_bytes: 7 });
        assert_eq!((done.body(), done.peak()), (None, Bytes(7)));
        let progress = Event::Progress { done: 1, total: 2, unit: "MB".to_owned(), peak_bytes: 9 };
        assert!(matches!(progress.body(), Some(Body::Progress(told)) if told.total == 2));
        assert_eq!(progress.peak(), Bytes(9));
    }
}
