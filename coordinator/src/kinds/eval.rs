//! The kind `eval`: asks a model, or a server, the tasks of a suite, and scores the answers.
//!
//! An adapter knows by the facts of its manifest what it was trained over and on. That data is read too, to see which tasks of the suite
//! stand in it; where nobody has it any more, the report says that this is not known.

use super::{Appraised, Findings, KindError, added, answering, given, parts};
use crate::core::{Core, Found, Input};
use serde_json::Value;
use vertigo::bytes::Bytes;
use vertigo::id::Digest;
use vertigo::manifest::Kind;
use vertigo::task::{Slot, TaskKind, role};
use vertigo::v1;
use vertigo_model::estimate::{self, Served};

/// Lineage is followed so far: an adapter over a fused model of an adapter, and so on.
const LINEAGE_MAX: usize = 16;

/// What is asked, and who answers.
#[derive(Debug, Clone)]
pub(crate) struct Eval {
    /// The model that a server calls so; empty where an input answers.
    server: String,
}

/// What the need of an evaluation depends on.
#[derive(Debug)]
pub(crate) enum Appraisal {
    /// A model to load: its digest, what its manifest has for a `config.json`, and the bytes of an adapter over it.
    Model(Digest, Value, Bytes),
    /// A server elsewhere.
    Server,
}

impl Eval {
    pub(super) fn read(task: &v1::Eval) -> Result<Eval, KindError> {
        let invalid = |problem: String| Err(KindError::Invalid(problem));
        let in_range = |value: Option<f64>, most: f64| value.is_none_or(|value| (0.0..=most).contains(&value));
        if !in_range(task.temperature, 2.0) {
            return invalid("temperature: a number from 0 to 2".to_owned());
        }
        if !in_range(task.top_p, 1.0) {
            return invalid("top_p: a number from 0 to 1".to_owned());
        }
        if let Some(roblox) = &task.roblox {
            real_roblox(roblox)?;
        }
        let Some(v1::ModelServer { url, model, key }) = &task.server else { return Ok(Eval { server: String::new() }) };
        let is_url = |text: &str| text.starts_with("https://") || text.starts_with("http://");
        if !is_url(url) || url.contains(|c: char| c.is_whitespace() || c.is_control()) {
            return invalid(format!("server: `{url}` is no address such as https://host/v1"));
        }
        if url.contains('@') {
            return invalid("server: an address with a user or a key in it would be kept for all to see".to_owned());
        }
        if model.trim().is_empty() || model.contains(char::is_control) {
            return invalid("server: which of its models? write https://host/v1#MODEL".to_owned());
        }
        if !key.is_empty() && !is_place(key) {
            // What stands there may be the key itself, so it is not said.
            return invalid(
                "server: its key is found by `env:NAME` or `file:PATH` on the worker, and is not told itself"
                    .to_owned(),
            );
        }
        Ok(Eval { server: model.clone() })
    }

    pub(super) fn model(&self) -> &str {
        &self.server
    }

    pub(super) fn find(&self, core: &Core, inputs: &[Input]) -> Result<Findings, KindError> {
        let named = |role: &str| inputs.iter().find(|input| input.role == role);
        if !self.server.is_empty() {
            return match [role::MODEL, role::BASE].into_iter().find(|role| named(role).is_some()) {
                Some(role) => {
                    Err(KindError::Invalid(format!("`{role}` is read, and a server answers: name one of them")))
                }
                None => Ok(Findings { added: Vec::new(), appraisal: Some(super::Appraisal::Eval(Appraisal::Server)) }),
            };
        }
        if inputs.iter().any(|input| input.artifact.is_none()) {
            return Ok(Findings::default());
        }
        let mut found = Findings::default();
        let roles = (role::MODEL.to_owned(), role::BASE.to_owned());
        let Some((model, adapter)) = answering::over(core, TaskKind::Eval, inputs, &roles, &mut found.added)? else {
            return Ok(Findings::default());
        };
        if named(role::DATA).is_none()
            && let Some(data) = given(inputs, role::MODEL).and_then(|answers| learned_from(core, answers))
        {
            found.added.push(added(role::DATA, data));
        }
        let config = answering::config(core, model);
        found.appraisal = Some(super::Appraisal::Eval(Appraisal::Model(model.digest, config, adapter)));
        Ok(found)
    }
}

/// What is wrong with who judges beside the room.
fn real_roblox(roblox: &v1::RealRoblox) -> Result<(), KindError> {
    let problem = match (roblox.judge(), roblox.key.as_str()) {
        (v1::RobloxJudge::Unspecified, _) => "roblox: which one? Open Cloud, or a Studio on the worker's machine",
        // What stands there may be the key itself, so it is not said.
        (v1::RobloxJudge::Cloud, key) if !is_place(key) => {
            "roblox: Open Cloud's key is found by `env:NAME` or `file:PATH` on the worker, and is not told itself"
        }
        (v1::RobloxJudge::Studio, key) if !key.is_empty() => "roblox: a Studio has no key; leave it out",
        (v1::RobloxJudge::Cloud | v1::RobloxJudge::Studio, _) => return Ok(()),
    };
    Err(KindError::Invalid(problem.to_owned()))
}

/// Whether a key is said by where it is found.
fn is_place(place: &str) -> bool {
    ["env:", "file:"].iter().any(|way| place.strip_prefix(way).is_some_and(|rest| !rest.trim().is_empty()))
}

/// The newest data that a model or an adapter was trained on, as far as manifests say and it is there.
fn learned_from(core: &Core, model: Found) -> Option<Found> {
    let fact = |digest: &Digest, role: &str| {
        let text = core.manifest(digest)?.fact(role)?.as_str()?;
        text.parse::<Digest>().ok()
    };
    let mut at = model.digest;
    for _ in 0..LINEAGE_MAX {
        if let Some(data) = fact(&at, role::DATA) {
            let manifest = core.manifest(&data).filter(|manifest| manifest.kind() == Kind::Dataset)?;
            return Some(Found { digest: data, bytes: manifest.bytes() });
        }
        at = fact(&at, role::ADAPTER)?;
    }
    None
}

impl Appraisal {
    pub(super) fn appraise(self) -> Result<Appraised, KindError> {
        let (parts, slot) = match self {
            Appraisal::Model(model, config, adapters) => {
                let shape = answering::shape(&model, &config)?;
                let served = [Served { shape: &shape, adapters }];
                (parts(&estimate::serve(&served, estimate::contexts_bytes(&served))), Slot::Gpu)
            }
            // MLX has nothing to do.
            Appraisal::Server => (Vec::new(), Slot::Cpu),
        };
        Ok(Appraised { method: "eval".to_owned(), parts, disk: Bytes::ZERO, slot, guessed: None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_real_roblox_is_named_and_its_key_is_a_place() {
        let read = |judge: v1::RobloxJudge, key: &str| {
            let roblox = v1::RealRoblox { judge: judge.into(), key: key.to_owned() };
            Eval::read(&v1::Eval { roblox: Some(roblox), ..v1::Eval::default() }).map(drop)
        };
        let refused = |judge, key: &str| match read(judge, key) {
            Err(KindError::Invalid(problem)) => problem,
            other => panic!("{other:?}"),
        };
        use v1::RobloxJudge::{Cloud, Studio, Unspecified};
        assert!(read(Cloud, "env:KEY").is_ok() && read(Cloud, "file:/k").is_ok() && read(Studio, "").is_ok());
        for key in ["", "env:", "secret"] {
            let problem = refused(Cloud, key);
            assert!(problem.contains("env:NAME") && !problem.contains("secret"), "{problem}");
        }
        assert!(refused(Studio, "env:KEY").contains("no key"));
        assert!(refused(Unspecified, "env:KEY").contains("which one"));
    }
}
