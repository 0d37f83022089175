//! The kind `serve`: answers over OpenAI's API, by bases, fused models and adapters over their bases.
//!
//! Its models are numbered, and so are its inputs: `model.1`, and `base.1` where that is an adapter. An adapter knows its base by the facts
//! of its manifest. Adapters over one base share it.

use super::{Appraised, Findings, KindError, answering, parts};
use crate::core::{ArchiveError, Core, Input, ReferenceError};
use serde_json::Value;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use vertigo::bounds::{REFERENCE_BYTES_MAX, shorten};
use vertigo::bytes::Bytes;
use vertigo::id::Digest;
use vertigo::manifest::Kind;
use vertigo::task::{Slot, TaskKind, numbered, role, split_number};
use vertigo::v1;
use vertigo_model::estimate::{self, Served};

/// What an adapter stands on.
const MODELS: [Kind; 2] = [Kind::Base, Kind::Model];

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

/// What the names of a service's models stand for now, each adapter with the base that it says is its own.
pub(super) fn followed(core: &Core, task: &v1::Serve) -> Result<Vec<Digest>, ArchiveError> {
    let mut found = Vec::new();
    let names = task.models.iter().flat_map(|model| [&model.model, &model.base]);
    for name in names.filter(|name| !name.is_empty()) {
        let (digest, artifact) = match core.find_artifact(name) {
            Ok(Some(found)) => found,
            Err(ReferenceError::Archive(error)) => return Err(error),
            // It stands for nothing, or for several things, by now: the service is told so when it asks.
            Ok(None) | Err(ReferenceError::Ambiguous(_) | ReferenceError::NoRole { .. }) => continue,
        };
        found.push(digest);
        if artifact.manifest.kind() == Kind::Adapter {
            let base = artifact.manifest.fact(role::BASE).and_then(Value::as_str).and_then(|text| text.parse().ok());
            // An adapter may say anything: what it gets by that is a model to stand on, and nothing else.
            let is_model = |base: &Digest| core.manifest(base).is_some_and(|it| MODELS.contains(&it.kind()));
            found.extend(base.filter(is_model));
        }
    }
    Ok(found)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::{Command, Kinds, Moment, NoArchive, Settings, Snapshot, Variant};
    use crate::kinds::{Catalog, held};
    use serde_json::json;
    use std::sync::Arc;
    use vertigo::id::Millis;
    use vertigo::manifest::{FileEntry, Manifest};
    use vertigo::principal::PrincipalName;
    use vertigo::v1::task;

    fn register(core: &mut Core, kind: Kind, tag: &str, facts: Value) -> Digest {
        let file = FileEntry { path: "f".to_owned(), digest: Digest::of(tag.as_bytes()), bytes: Bytes(1) };
        let facts = facts.as_object().unwrap().clone().into_iter().collect();
        let manifest = Manifest::new(kind, vec![file], facts).unwrap();
        let digest = manifest.digest();
        let (tags, by) = (vec![tag.to_owned()], PrincipalName::local());
        let at = Moment { now: Millis(1), jitter: 0.5 };
        core.apply(at, Command::Register { manifest, tags, by }).unwrap();
        digest
    }

    fn variant(models: Vec<v1::ServedModel>) -> Variant {
        let task = v1::Task { kind: Some(task::Kind::Serve(v1::Serve { models, ..Default::default() })) };
        Variant {
            name: "serve".to_owned(),
            task: held(TaskKind::Serve, &task),
            model: String::new(),
            inputs: Vec::new(),
            need: None,
            raised: None,
            resume: None,
            began_anew: false,
            caveats: None,
        }
    }

    #[test]
    fn a_service_follows_its_models_names_and_the_bases_of_adapters_and_nothing_that_only_says_so() {
        let archive = Arc::new(NoArchive);
        let settings = Settings { lease_ms: 1 };
        let mut core = Core::restore(settings, Box::new(Catalog), archive, Snapshot::default(), Millis(0));
        let base = register(&mut core, Kind::Base, "base", json!({}));
        let data = register(&mut core, Kind::Dataset, "data", json!({}));
        let adapter = register(&mut core, Kind::Adapter, "good", json!({"base": base.to_string()}));
        let liar = register(&mut core, Kind::Adapter, "liar", json!({"base": data.to_string()}));
        let model = |model: &str, base: &str| v1::ServedModel {
            name: "m".to_owned(),
            model: model.to_owned(),
            base: base.to_owned(),
        };
        let follows = |models| Catalog.followed(&core, &variant(models)).unwrap();
        assert_eq!(follows(vec![model("good", "")]), [adapter, base]);
        assert_eq!(follows(vec![model("liar", "base"), model("nobody's", "")]), [liar, base]);
        assert_eq!(follows(vec![model("", "")]), []);
        let task = v1::Task { kind: Some(task::Kind::Fuse(v1::Fuse::default())) };
        let fuse = Variant { task: held(TaskKind::Fuse, &task), ..variant(Vec::new()) };
        assert_eq!(Catalog.followed(&core, &fuse), Ok(Vec::new()));
    }
}
