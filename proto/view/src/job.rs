//! A job with its variants and attempts, and where it goes.

use crate::{attempt_state, cure, known, slot, state, text};
use serde::Serialize;
use std::collections::BTreeMap;
use vertigo::task::Bits;
use vertigo::v1;

/// A job.
#[derive(Debug, Serialize)]
#[expect(missing_docs, reason = "the fields are the protocol's, and told there")]
pub struct Job {
    pub id: String,
    /// `null` where nobody gave it one.
    pub name: Option<String>,
    pub state: &'static str,
    pub reason: Option<String>,
    pub priority: i32,
    pub created_ms: u64,
    pub ended_ms: Option<u64>,
    pub labels: BTreeMap<String, String>,
    pub waits_for: Vec<String>,
    pub outputs: Vec<Output>,
    pub variants: Vec<Variant>,
    pub attempts: Vec<Attempt>,
    /// `null` from a coordinator that knows no names.
    pub by: Option<String>,
}

/// An output of a job.
#[derive(Debug, Serialize)]
#[expect(missing_docs, reason = "the fields are the protocol's, and told there")]
pub struct Output {
    pub role: String,
    pub digest: String,
}

/// One way to do a job.
#[derive(Debug, Serialize)]
#[expect(missing_docs, reason = "the fields are the protocol's, and told there")]
pub struct Variant {
    pub name: String,
    pub kind: String,
    pub model: Option<String>,
    pub method: Option<String>,
    pub slot: Option<&'static str>,
    /// `null` where it depends on an input that is not there yet.
    pub peak_bytes: Option<u64>,
    pub factor: f64,
    pub parts: Vec<MemoryPart>,
    pub inputs: Vec<Input>,
    /// `null` before an attempt has read the examples.
    pub skipped_examples: Option<u64>,
    pub caveats: Option<Caveats>,
    /// `null` in a list.
    pub task: Option<Task>,
}

/// A part of a prediction.
#[derive(Debug, Serialize)]
#[expect(missing_docs, reason = "the fields are the protocol's, and told there")]
pub struct MemoryPart {
    pub name: String,
    pub bytes: u64,
}

/// An input as it stands.
#[derive(Debug, Serialize)]
#[expect(missing_docs, reason = "the fields are the protocol's, and told there")]
pub struct Input {
    pub role: String,
    pub digest: Option<String>,
    pub job: Option<String>,
    pub output: Option<String>,
}

/// What of a run's examples is not learned as it was written.
#[derive(Debug, Serialize)]
#[expect(missing_docs, reason = "the fields are the protocol's, and told there")]
pub struct Caveats {
    pub cut_examples: u64,
    pub cut_tokens: u64,
    pub cut_ends: u64,
    pub unanswered_examples: u64,
    pub empty_answers: u64,
    pub unshared_prompts: u64,
    pub leftover_micro_batches: u64,
    pub overlong_examples: u64,
    pub split_examples: u64,
    pub split_pieces: u64,
    pub overlong_turns: u64,
    pub unlocated_turns: u64,
    pub empty_thoughts: u64,
}

/// What a task is asked to do.
#[derive(Debug, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[expect(missing_docs, reason = "the fields are the protocol's, and told there")]
pub enum Task {
    Train { recipe: String, yaml: String },
    Fuse { bits: String, measured: bool },
    Serve { models: Vec<ServedModel>, cache_bytes: Option<u64>, listen: Option<String> },
    Eval(Box<Eval>),
    Curate { config: String, yaml: String },
}

/// How a model is evaluated. `null`: as the suite says.
#[derive(Debug, Serialize)]
#[expect(missing_docs, reason = "the fields are the protocol's, and told there")]
pub struct Eval {
    pub samples: Option<u32>,
    pub seed: u64,
    pub temperature: Option<f64>,
    pub top_p: Option<f64>,
    pub top_k: Option<u32>,
    pub thinking: Option<bool>,
    pub tokens_max: Option<u32>,
    pub thinking_tokens_max: Option<u32>,
    pub tasks: Vec<String>,
    /// `null` where a model of ours answers.
    pub server: Option<ModelServer>,
    /// Who judges beside the room; `null` where nobody does.
    pub roblox: Option<RealRoblox>,
}

/// A real Roblox, and where its key is found; the key itself is nowhere.
#[derive(Debug, Serialize)]
#[expect(missing_docs, reason = "the fields are the protocol's, and told there")]
pub struct RealRoblox {
    pub judge: &'static str,
    pub key: Option<String>,
}

/// A model behind a server, and where its key is found; the key itself is nowhere.
#[derive(Debug, Serialize)]
#[expect(missing_docs, reason = "the fields are the protocol's, and told there")]
pub struct ModelServer {
    pub url: String,
    pub model: String,
    pub key: Option<String>,
}

/// A model that a service answers with, and what it follows.
#[derive(Debug, Serialize)]
#[expect(missing_docs, reason = "the fields are the protocol's, and told there")]
pub struct ServedModel {
    pub name: String,
    pub model: Option<String>,
    pub base: Option<String>,
}

/// A try at a job.
#[derive(Debug, Serialize)]
#[expect(missing_docs, reason = "the fields are the protocol's, and told there")]
pub struct Attempt {
    pub id: String,
    pub epoch: u64,
    pub worker: String,
    pub variant: u32,
    pub reserved_bytes: u64,
    pub started_ms: u64,
    pub ended_ms: Option<u64>,
    pub state: &'static str,
    pub reason: Option<String>,
    pub cure: Option<&'static str>,
    pub code: Option<String>,
    pub peak_bytes: u64,
    /// `null` of what is no service, or is not up.
    pub serving: Option<Serving>,
}

/// Where a service answers.
#[derive(Debug, Serialize)]
#[expect(missing_docs, reason = "the fields are the protocol's, and told there")]
pub struct Serving {
    pub url: String,
    pub models: Vec<String>,
}

/// Where a job goes, or why it waits.
#[derive(Debug, Serialize)]
#[expect(missing_docs, reason = "the fields are the protocol's, and told there")]
pub struct Placement {
    /// `null` while it waits.
    pub worker: Option<String>,
    pub variant: Option<u32>,
    pub reason: String,
}

impl From<&v1::Job> for Job {
    fn from(job: &v1::Job) -> Job {
        Job {
            id: job.id.clone(),
            name: text(&job.name),
            state: state(job.state()),
            reason: text(&job.reason),
            priority: job.priority,
            created_ms: job.created_ms,
            ended_ms: known(job.ended_ms),
            labels: job.labels.iter().map(|(key, value)| (key.clone(), value.clone())).collect(),
            waits_for: job.waits_for.clone(),
            outputs: job.outputs.iter().map(Output::from).collect(),
            variants: job.variants.iter().map(Variant::from).collect(),
            attempts: job.attempts.iter().map(Attempt::from).collect(),
            by: text(&job.by),
        }
    }
}

impl From<&v1::JobOutput> for Output {
    fn from(output: &v1::JobOutput) -> Output {
        Output { role: output.role.clone(), digest: output.digest.clone() }
    }
}

impl From<&v1::Variant> for Variant {
    fn from(variant: &v1::Variant) -> Variant {
        Variant {
            name: variant.name.clone(),
            kind: variant.kind.clone(),
            model: text(&variant.model),
            method: text(&variant.method),
            slot: slot(variant.slot()),
            peak_bytes: known(variant.peak_bytes),
            factor: variant.factor,
            parts: variant.parts.iter().map(MemoryPart::from).collect(),
            inputs: variant.inputs.iter().map(Input::from).collect(),
            skipped_examples: variant.caveats.as_ref().map(|_| variant.skipped_examples),
            caveats: variant.caveats.as_ref().map(Caveats::from),
            task: variant.task.as_ref().and_then(|task| task.kind.as_ref()).map(Task::from),
        }
    }
}

impl From<&v1::MemoryPart> for MemoryPart {
    fn from(part: &v1::MemoryPart) -> MemoryPart {
        MemoryPart { name: part.name.clone(), bytes: part.bytes }
    }
}

impl From<&v1::JobInput> for Input {
    fn from(input: &v1::JobInput) -> Input {
        let (digest, job, output) = (text(&input.digest), text(&input.job), text(&input.output));
        Input { role: input.role.clone(), digest, job, output }
    }
}

impl From<&v1::Caveats> for Caveats {
    fn from(it: &v1::Caveats) -> Caveats {
        Caveats {
            cut_examples: it.cut_examples,
            cut_tokens: it.cut_tokens,
            cut_ends: it.cut_ends,
            unanswered_examples: it.unanswered_examples,
            empty_answers: it.empty_answers,
            unshared_prompts: it.unshared_prompts,
            leftover_micro_batches: it.leftover_micro_batches,
            overlong_examples: it.overlong_examples,
            split_examples: it.split_examples,
            split_pieces: it.split_pieces,
            overlong_turns: it.overlong_turns,
            unlocated_turns: it.unlocated_turns,
            empty_thoughts: it.empty_thoughts,
        }
    }
}

impl From<&v1::task::Kind> for Task {
    fn from(kind: &v1::task::Kind) -> Task {
        match kind {
            v1::task::Kind::Train(it) => Task::Train { recipe: it.recipe.clone(), yaml: it.yaml.clone() },
            v1::task::Kind::Fuse(it) => {
                // In the words that people write, since the number of `auto` would look like one of bits.
                let bits = Bits::from_number(it.bits).map_or_else(|| it.bits.to_string(), |bits| bits.to_string());
                Task::Fuse { bits, measured: !it.unmeasured }
            }
            v1::task::Kind::Serve(it) => Task::Serve {
                models: it.models.iter().map(ServedModel::from).collect(),
                cache_bytes: known(it.cache_bytes),
                listen: text(&it.listen),
            },
            v1::task::Kind::Eval(it) => Task::Eval(Box::new(Eval::from(it))),
            v1::task::Kind::Curate(it) => Task::Curate { config: it.config.clone(), yaml: it.yaml.clone() },
        }
    }
}

impl From<&v1::Eval> for Eval {
    fn from(it: &v1::Eval) -> Eval {
        let some = |amount: u32| (amount > 0).then_some(amount);
        let server =
            |it: &v1::ModelServer| ModelServer { url: it.url.clone(), model: it.model.clone(), key: text(&it.key) };
        let roblox =
            |it: &v1::RealRoblox| RealRoblox { judge: crate::words::roblox_judge(it.judge()), key: text(&it.key) };
        Eval {
            samples: some(it.samples),
            seed: it.seed,
            temperature: it.temperature,
            top_p: it.top_p,
            top_k: it.top_k,
            thinking: it.thinking,
            tokens_max: some(it.tokens_max),
            thinking_tokens_max: some(it.thinking_tokens_max),
            tasks: it.tasks.clone(),
            server: it.server.as_ref().map(server),
            roblox: it.roblox.as_ref().map(roblox),
        }
    }
}

impl From<&v1::Attempt> for Attempt {
    fn from(attempt: &v1::Attempt) -> Attempt {
        Attempt {
            id: attempt.id.clone(),
            epoch: attempt.epoch,
            worker: attempt.worker.clone(),
            variant: attempt.variant,
            reserved_bytes: attempt.reserved_bytes,
            started_ms: attempt.started_ms,
            ended_ms: known(attempt.ended_ms),
            state: attempt_state(attempt.state()),
            reason: text(&attempt.reason),
            cure: cure(attempt.cure()),
            code: text(&attempt.code),
            peak_bytes: attempt.peak_bytes,
            serving: attempt.serving.as_ref().map(Serving::from),
        }
    }
}

impl From<&v1::ServedModel> for ServedModel {
    fn from(it: &v1::ServedModel) -> ServedModel {
        ServedModel { name: it.name.clone(), model: text(&it.model), base: text(&it.base) }
    }
}

impl From<&v1::Serving> for Serving {
    fn from(it: &v1::Serving) -> Serving {
        Serving { url: it.url.clone(), models: it.models.clone() }
    }
}

impl From<&v1::Placement> for Placement {
    fn from(placement: &v1::Placement) -> Placement {
        let worker = text(&placement.worker);
        let variant = worker.as_ref().map(|_| placement.variant);
        Placement { worker, variant, reason: placement.reason.clone() }
    }
}
