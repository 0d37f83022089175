//! The kind `serve`: answers over OpenAI's API, by bases, fused models and adapters over their bases.
//!
//! Its models are numbered, and so are its inputs: `model.1`, and `base.1` where that is an adapter. An adapter knows its base by the facts
//! of its manifest. Adapters over one base share it.

use super::{Appraised, Findings, KindError, answering, parts};
use crate::core::{Core, Input};
use serde_json::Value;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use vertigo::bounds::{REFERENCE_BYTES_MAX, shorten};
use vertigo::bytes::Bytes;
use vertigo::id::Digest;
use vertigo::task::{Slot, TaskKind, numbered, role, split_number};
use vertigo::v1;
use vertigo_model::estimate::{self, Served};

/// What is to be answered with.
#[derive(Debug, Clone)]
pub(crate) struct Serve {
    /// How many models there are.
    count: usize,
    /// Their names, as a line shows them.
    title: String,
    /// Memory for contexts, where somebody says how much.
    contexts: Option<Bytes>,
}

/// What the need of a service depends on.
#[derive(Debug)]
pub(crate) struct Appraisal {
    contexts: Option<Bytes>,
    /// Models that are loaded, by digest: what their manifests have for a `config.json`, and the bytes of the adapters over them.
    loaded: BTreeMap<Digest, (Value, Bytes)>,
}

impl Serve {
    pub(super) fn read(task: &v1::Serve) -> Result<Serve, KindError> {
        let v1::Serve { models, cache_bytes, listen } = task;
        let invalid = |problem: String| Err(KindError::Invalid(problem));
        if models.is_empty() {
            return invalid("a service without a model: name at least one".to_owned());
        }
        for (n, model) in models.iter().enumerate() {
            if model.name.trim().is_empty() || model.name.contains(char::is_control) {
                return invalid(format!("models: the name of `model.{}` is empty, or has control characters", n + 1));
            }
            if models[..n].iter().any(|other| other.name == model.name) {
                return invalid(format!("models: two are called `{}`", model.name));
            }
        }
        if !listen.is_empty() && !listen.parse::<SocketAddr>().is_ok_and(|address| address.ip().is_loopback()) {
            return invalid(format!(
                "listen: `{listen}` is no loopback address and port, such as 127.0.0.1:8080; without certificates nothing else is taken"
            ));
        }
        let names: Vec<_> = models.iter().map(|model| model.name.as_str()).collect();
        let title = shorten(&names.join(", "), REFERENCE_BYTES_MAX).into_owned();
        Ok(Serve { count: models.len(), title, contexts: (*cache_bytes > 0).then_some(Bytes(*cache_bytes)) })
    }

    pub(super) fn model(&self) -> &str {
        &self.title
    }

    pub(super) fn find(&self, core: &Core, inputs: &[Input]) -> Result<Findings, KindError> {
        let number = |input: &Input| split_number(&input.role).map_or(0, |(_, number)| number);
        if let Some(odd) = inputs.iter().find(|input| number(input) > self.count) {
            return Err(KindError::Invalid(format!("`{}` is read, and there are {} models", odd.role, self.count)));
        }
        let mut found = Findings::default();
        let mut loaded: BTreeMap<Digest, (Value, Bytes)> = BTreeMap::new();
        for number in 1..=self.count {
            let roles = (numbered(role::MODEL, number), numbered(role::BASE, number));
            let Some((model, adapter)) = answering::over(core, TaskKind::Serve, inputs, &roles, &mut found.added)?
            else {
                return Ok(Findings::default());
            };
            let entry = loaded.entry(model.digest).or_insert_with(|| (answering::config(core, model), Bytes::ZERO));
            entry.1 += adapter;
        }
        found.appraisal = Some(super::Appraisal::Serve(Appraisal { contexts: self.contexts, loaded }));
        Ok(found)
    }
}

impl Appraisal {
    pub(super) fn appraise(self) -> Result<Appraised, KindError> {
        let Appraisal { contexts, loaded } = self;
        let shape = |(digest, (config, adapters)): (&Digest, &(Value, Bytes))| {
            Ok((answering::shape(digest, config)?, *adapters))
        };
        let shapes = loaded.iter().map(shape).collect::<Result<Vec<_>, KindError>>()?;
        let models: Vec<_> = shapes.iter().map(|(shape, adapters)| Served { shape, adapters: *adapters }).collect();
        let contexts = contexts.unwrap_or_else(|| estimate::contexts_bytes(&models));
        Ok(Appraised {
            method: "serve".to_owned(),
            parts: parts(&estimate::serve(&models, contexts)),
            disk: Bytes::ZERO,
            slot: Slot::Service,
            guessed: None,
        })
    }
}
