//! The kind `eval`: asks a model, or a server, the tasks of a suite, and scores the answers.
//!
//! An adapter knows by the facts of its manifest what it was trained over and on. That data is read too, to see which tasks of the suite
//! stand in it; where nobody has it any more, the report says that this is not known.

use super::{Appraised, Findings, KindError, added, answering, given, parts};
use crate::core::{Core, Found, Input};
use serde_json::Value;
use url::{Host, Url};
use vertigo::bytes::Bytes;
use vertigo::id::Digest;
use vertigo::manifest::Kind;
use vertigo::server_key::KeyPlace;
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
        let Some(server) = &task.server else { return Ok(Eval { server: String::new() }) };
        read_server(server).map_err(|problem| KindError::Invalid(format!("server: {problem}")))?;
        Ok(Eval { server: server.model.clone() })
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

/// What is wrong with a server elsewhere. Its address and its key's place may have a secret in them and are not said again.
fn read_server(v1::ModelServer { url, model, key }: &v1::ModelServer) -> Result<(), String> {
    let no_address = || "what stands there is no address such as https://host/v1".to_owned();
    // A reader of addresses passes over tabs and line breaks, and whoever shows this one would not.
    if url.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Err(no_address());
    }
    let address = Url::parse(url).map_err(|_| no_address())?;
    let Some(host) = address.host().filter(|_| ["https", "http"].contains(&address.scheme())) else {
        return Err(no_address());
    };
    let has_user = !address.username().is_empty() || address.password().is_some();
    if has_user || address.query().is_some() || address.fragment().is_some() {
        return Err("an address with a user, a `?` or a `#` in it is kept for all to see, with any key in it; write \
             https://host/v1 alone"
            .to_owned());
    }
    if model.trim().is_empty() || model.contains(char::is_control) {
        return Err("which of its models? write https://host/v1#MODEL".to_owned());
    }
    if !key.is_empty() && key.parse::<KeyPlace>().is_err() {
        // What stands there may be the key itself, so it is not said.
        return Err("its key is found by `env:NAME` or `file:PATH` on the worker, and is not told itself".to_owned());
    }
    if !key.is_empty() && address.scheme() == "http" && !is_loopback(&host) {
        return Err(format!(
            "its key would go to {host} over http:// for all on the way to read; write https://, or take the key away"
        ));
    }
    Ok(())
}

/// Whether what is sent to a host stays on the machine.
fn is_loopback(host: &Host<&str>) -> bool {
    match host {
        Host::Domain(name) => *name == "localhost",
        Host::Ipv4(address) => address.is_loopback(),
        Host::Ipv6(address) => address.is_loopback(),
    }
}

/// What is wrong with who judges beside the room.
fn real_roblox(roblox: &v1::RealRoblox) -> Result<(), KindError> {
    let problem = match (roblox.judge(), roblox.key.as_str()) {
        (v1::RobloxJudge::Unspecified, _) => "roblox: which one? Open Cloud, or a Studio on the worker's machine",
        // What stands there may be the key itself, so it is not said.
        (v1::RobloxJudge::Cloud, key) if key.parse::<KeyPlace>().is_err() => {
            "roblox: Open Cloud's key is found by `env:NAME` or `file:PATH` on the worker, and is not told itself"
        }
        (v1::RobloxJudge::Studio, key) if !key.is_empty() => "roblox: a Studio has no key; leave it out",
        (v1::RobloxJudge::Cloud | v1::RobloxJudge::Studio, _) => return Ok(()),
    };
    Err(KindError::Invalid(problem.to_owned()))
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

    fn read(url: &str, key: &str) -> Result<Eval, String> {
        let server = v1::ModelServer { url: url.to_owned(), model: "big".to_owned(), key: key.to_owned() };
        let task = v1::Eval { server: Some(server), ..v1::Eval::default() };
        Eval::read(&task).map_err(|error| match error {
            KindError::Invalid(problem) => problem,
            other => panic!("{other:?}"),
        })
    }

    #[test]
    fn a_key_goes_to_another_machine_over_tls_alone() {
        for url in ["https://host/v1", "http://127.0.0.1:8080/v1", "http://127.9.9.9/v1", "http://[::1]:1/v1"] {
            assert!(read(url, "env:KEY").is_ok() && read(url, "").is_ok(), "{url}");
        }
        assert!(read("HTTP://LOCALHOST:8080/v1", "file:/key").is_ok());
        for url in [
            "http://host/v1",
            "HTTP://host/v1",
            "http://10.0.0.1/v1",
            "http://0.0.0.0/v1",
            "http://127.0.0.1.example.com/v1",
            "http://localhost.example.com/v1",
            "http://[::ffff:10.0.0.1]/v1",
            // What is one number to a person is an address to a reader of addresses.
            "http://167772161/v1",
        ] {
            let problem = read(url, "env:KEY").unwrap_err();
            assert!(problem.contains("for all on the way to read"), "{url}: {problem}");
            assert!(read(url, "").is_ok(), "{url} without a key");
        }
    }

    #[test]
    fn an_address_has_no_place_for_a_secret_and_none_is_said() {
        for url in [
            "https://sk-secret@host/v1",
            "https://user:sk-secret@host/v1",
            "https://host/v1?key=sk-secret",
            "https://host/v1#sk-secret",
        ] {
            let problem = read(url, "").unwrap_err();
            assert!(problem.contains("https://host/v1 alone") && !problem.contains("sk-secret"), "{problem}");
        }
        for key in ["sk-secret", "env:", "file: ", "env:A\nB", "ENV:sk-secret"] {
            let problem = read("https://host/v1", key).unwrap_err();
            assert!(problem.contains("env:NAME") && !problem.contains("sk-secret"), "{problem}");
        }
        for url in ["", "host/v1", "ftp://host/v1", "file:///v1", "https://", "https://a b/v1", "https://host/\tv1"] {
            assert!(read(url, "").unwrap_err().contains("no address"), "{url:?}");
        }
    }

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
