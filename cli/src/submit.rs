//! Jobs as they are sent to the coordinator: what commands build, and one way to send it.

use crate::coordinator::{Coordinator, again_if_lost};
use crate::curations::ConfigOnDisk;
use crate::error::{CliError, Result, Subject};
use crate::recipes::RecipeOnDisk;
use prost::Message;
use std::net::SocketAddr;
use vertigo::bounds::MESSAGE_BYTES_MAX;
use vertigo::bytes::Bytes;
use vertigo::id::JobId;
use vertigo::task::{Bits, numbered, role, split_served};
use vertigo::v1::{self, input, task};
use vertigo_client::traced;

/// Queues jobs, all of them or none, and gives them as they stand. A call that broke off is made again under the same ids, so that no
/// job is queued twice.
pub(crate) async fn submit(coordinator: &Coordinator, jobs: Vec<v1::NewJob>) -> Result<Vec<v1::Job>> {
    let request = v1::SubmitRequest { jobs };
    check_length(&request)?;
    let answer = again_if_lost(|| async { coordinator.jobs().submit(traced(request.clone())).await }).await;
    Ok(coordinator.answer(answer, Subject::Inputs)?.jobs)
}

/// That the coordinator has room for the call: each job of a sweep has its recipe anew.
fn check_length(request: &v1::SubmitRequest) -> Result<()> {
    let (bytes, jobs) = (request.encoded_len(), request.jobs.len());
    if bytes <= MESSAGE_BYTES_MAX {
        return Ok(());
    }
    let (bytes, bytes_max) = (Bytes(bytes as u64), Bytes(MESSAGE_BYTES_MAX as u64));
    let problem = format!("these {jobs} jobs are {bytes} together, and the coordinator takes {bytes_max} at a time");
    Err(CliError::refused(problem).hint("queue fewer at a time, or take out of their recipes what is not read"))
}

/// A job of these variants, with an id that nothing else has.
pub(crate) fn job(name: Option<&str>, priority: i32, variants: Vec<v1::NewVariant>) -> v1::NewJob {
    let name = name.unwrap_or_default().to_owned();
    v1::NewJob { id: JobId::new().to_string(), name, priority, variants, ..v1::NewJob::default() }
}

/// Training by a recipe. What is not given is left out, as for a plan.
pub(crate) fn train(recipe: &RecipeOnDisk, inputs: Vec<v1::Input>) -> v1::NewVariant {
    let RecipeOnDisk { name, yaml, .. } = recipe;
    let train = v1::Train { recipe: name.clone(), yaml: yaml.clone() };
    let task = Some(v1::Task { kind: Some(task::Kind::Train(train)) });
    v1::NewVariant { name: name.clone(), task, inputs }
}

/// Fusing an adapter into its base.
pub(crate) fn fuse(bits: Bits, is_measured: bool, inputs: Vec<v1::Input>) -> v1::NewVariant {
    let fuse = v1::Fuse { bits: bits.number(), unmeasured: !is_measured };
    let task = Some(v1::Task { kind: Some(task::Kind::Fuse(fuse)) });
    v1::NewVariant { name: "fuse".to_owned(), task, inputs }
}

/// What a service is asked for besides its models.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ServeOptions {
    /// Memory for contexts; `None`: what eight of 8192 tokens take.
    pub(crate) cache: Option<Bytes>,
    /// Where it listens; `None`: at a port of its own.
    pub(crate) listen: Option<SocketAddr>,
}

/// Answering with models, each by the name that it is asked for by.
pub(crate) fn serve(models: &[String], options: &ServeOptions) -> v1::NewVariant {
    let split = |(n, name): (usize, &String)| {
        let (model, base) = split_served(name);
        let base_input = base.map(|base| artifact(&numbered(role::BASE, n + 1), base));
        let served =
            v1::ServedModel { name: name.clone(), model: model.to_owned(), base: base.unwrap_or_default().to_owned() };
        (served, [artifact(&numbered(role::MODEL, n + 1), model)].into_iter().chain(base_input))
    };
    let (models, inputs): (Vec<_>, Vec<_>) = models.iter().enumerate().map(split).unzip();
    serve_with(models, options, inputs.into_iter().flatten().collect())
}

/// Answering with models whose inputs are known.
pub(crate) fn serve_with(
    models: Vec<v1::ServedModel>,
    options: &ServeOptions,
    inputs: Vec<v1::Input>,
) -> v1::NewVariant {
    let cache_bytes = options.cache.unwrap_or_default().0;
    let listen = options.listen.map(|listen| listen.to_string()).unwrap_or_default();
    let task = Some(v1::Task { kind: Some(task::Kind::Serve(v1::Serve { models, cache_bytes, listen })) });
    v1::NewVariant { name: "serve".to_owned(), task, inputs }
}

/// Who answers the tasks of a suite.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Answering {
    /// A model of ours, or an adapter, over a base where one is named.
    Model { model: String, base: Option<String> },
    /// A server elsewhere.
    Server(v1::ModelServer),
}

impl Answering {
    /// Reads `MODEL`, `BASE@ADAPTER`, or `https://host/v1#MODEL`, whose key the worker finds at `key`: `env:NAME`, `file:PATH` or nothing.
    ///
    /// # Errors
    /// What is missing from an address.
    pub(crate) fn parse(reference: &str, key: &str) -> std::result::Result<Answering, String> {
        if !["https://", "http://"].iter().any(|scheme| reference.starts_with(scheme)) {
            let (model, base) = split_served(reference);
            return Ok(Answering::Model { model: model.to_owned(), base: base.map(str::to_owned) });
        }
        match reference.split_once('#').filter(|(_, model)| !model.is_empty()) {
            Some((url, model)) => Ok(Answering::Server(v1::ModelServer {
                url: url.trim_end_matches('/').to_owned(),
                model: model.to_owned(),
                key: key.to_owned(),
            })),
            None => Err(format!("`{reference}` does not say which of the server's models: write {reference}#MODEL")),
        }
    }

    /// The server, if it is one, and what is read otherwise.
    pub(crate) fn into_parts(self) -> (Option<v1::ModelServer>, Vec<v1::Input>) {
        match self {
            Answering::Server(server) => (Some(server), Vec::new()),
            Answering::Model { model, base } => {
                let base = base.map(|base| artifact(role::BASE, &base));
                (None, [artifact(role::MODEL, &model)].into_iter().chain(base).collect())
            }
        }
    }
}

/// Asking a model, or a server, a suite's tasks.
pub(crate) fn eval(eval: v1::Eval, inputs: Vec<v1::Input>) -> v1::NewVariant {
    let task = Some(v1::Task { kind: Some(task::Kind::Eval(eval)) });
    v1::NewVariant { name: "eval".to_owned(), task, inputs }
}

/// Making a dataset of raw ones, by a config.
pub(crate) fn curate(config: &ConfigOnDisk, inputs: Vec<v1::Input>) -> v1::NewVariant {
    let ConfigOnDisk { name, yaml, .. } = config;
    let curate = v1::Curate { config: name.clone(), yaml: yaml.clone() };
    let task = Some(v1::Task { kind: Some(task::Kind::Curate(curate)) });
    v1::NewVariant { name: "curate".to_owned(), task, inputs }
}

/// An artifact that is there.
pub(crate) fn artifact(role: &str, reference: &str) -> v1::Input {
    v1::Input { role: role.to_owned(), source: Some(input::Source::Artifact(reference.to_owned())) }
}

/// What a job makes; of the empty output, the first.
pub(crate) fn output_of(role: &str, job: &str, output: &str) -> v1::Input {
    let output = v1::OutputOf { job: job.to_owned(), role: output.to_owned() };
    v1::Input { role: role.to_owned(), source: Some(input::Source::Output(output)) }
}

/// The job that fuses what `trains` makes.
pub(crate) fn fuse_of(trains: &v1::NewJob, bits: Bits) -> v1::NewJob {
    let name = Some(&trains.name).filter(|name| !name.is_empty()).map(|name| format!("{name}-fused"));
    let adapter = output_of(role::ADAPTER, &trains.id, "");
    job(name.as_deref(), trains.priority, vec![fuse(bits, true, vec![adapter])])
}

#[cfg(test)]
mod tests {
    use super::*;
    use vertigo::bounds::RECIPE_BYTES_MAX;

    #[test]
    fn a_service_reads_its_models_by_number_and_follows_what_they_were_named_by() {
        let names = ["production", "mini@tutor", "tutor@best"].map(str::to_owned);
        let variant = serve(&names, &ServeOptions { cache: Some(Bytes(7)), listen: None });
        let inputs: Vec<_> = variant.inputs.iter().map(|input| (input.role.as_str(), input.source.clone())).collect();
        let source = |name: &str| Some(input::Source::Artifact(name.to_owned()));
        assert_eq!(
            inputs,
            [
                ("model.1", source("production")),
                ("model.2", source("tutor")),
                ("base.2", source("mini")),
                ("model.3", source("tutor@best"))
            ]
        );
        let Some(task::Kind::Serve(task)) = variant.task.unwrap().kind else { panic!("another kind") };
        assert_eq!(
            (task.cache_bytes, task.models[1].name.as_str(), task.models[1].base.as_str()),
            (7, "mini@tutor", "mini")
        );
    }

    /// Each recipe is one that is taken, and all together are not.
    #[test]
    fn jobs_that_are_too_long_together_are_refused_before_they_are_sent() {
        let request = |jobs: usize| {
            let train = v1::Train { recipe: "a".to_owned(), yaml: "x".repeat(RECIPE_BYTES_MAX) };
            let task = Some(v1::Task { kind: Some(task::Kind::Train(train)) });
            let variant = v1::NewVariant { name: "a".to_owned(), task, inputs: Vec::new() };
            v1::SubmitRequest { jobs: vec![job(Some("a"), 0, vec![variant]); jobs] }
        };
        assert_eq!(check_length(&request(MESSAGE_BYTES_MAX / RECIPE_BYTES_MAX - 1)), Ok(()));
        let error = check_length(&request(256)).unwrap_err();
        assert!(error.message.contains("256 jobs are 64.0 MiB") && error.hint.is_some(), "{}", error.message);
    }
}
