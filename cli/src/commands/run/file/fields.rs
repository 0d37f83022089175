//! A job's keys, kind by kind: each is taken once, and what is left over is odd.

use super::{Kind, PipelineError, Source, source, unmarked, unmarked_name};
use crate::submit::Answering;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use vertigo::bounds::{NUMBERED_MAX, SERVED_MAX};
use vertigo::task::{Bits, numbered, role, split_served};
use vertigo::v1;

/// A job's keys, taken one by one.
pub(super) struct Fields<'a> {
    pub(super) job: &'a str,
    pub(super) fields: &'a mut Map<String, Value>,
}

impl Fields<'_> {
    fn wrong(&self, key: &str, problem: impl Into<String>) -> PipelineError {
        PipelineError::key(self.job, key, problem)
    }

    pub(super) fn string(&mut self, key: &str) -> Result<Option<String>, PipelineError> {
        match self.fields.remove(key) {
            None => Ok(None),
            Some(Value::String(text)) if !text.is_empty() => Ok(Some(text)),
            Some(other) => Err(self.wrong(key, format!("write one word, not {}", unmarked(&other.to_string())))),
        }
    }

    pub(super) fn priority(&mut self) -> Result<i32, PipelineError> {
        match self.fields.remove("priority") {
            None => Ok(0),
            Some(value) => {
                let number = value.as_i64().and_then(|number| i32::try_from(number).ok());
                number.ok_or_else(|| self.wrong("priority", "write a whole number; higher goes first"))
            }
        }
    }

    pub(super) fn recipes(&mut self) -> Result<Vec<String>, PipelineError> {
        let wrong = |it: &Self| it.wrong("recipes", "write a list of recipe files, in order of preference");
        let list = match self.fields.remove("recipes") {
            Some(Value::Array(list)) if !list.is_empty() => list,
            Some(one @ Value::String(_)) => vec![one],
            _ => return Err(wrong(self)),
        };
        list.into_iter().map(|it| it.as_str().map(str::to_owned).ok_or_else(|| wrong(self))).collect()
    }

    pub(super) fn bits(&mut self) -> Result<Bits, PipelineError> {
        let text = match self.fields.remove("bits") {
            None => return Ok(Bits::default()),
            Some(Value::String(text)) => text,
            Some(other) => other.to_string(),
        };
        text.parse().map_err(|error| self.wrong("bits", format!("{error}")))
    }

    /// The models of a service: one, or a list of them.
    pub(super) fn serve(&mut self, inputs: &mut BTreeMap<String, Source>) -> Result<Kind, PipelineError> {
        let wrong = |it: &Self| it.wrong(role::MODEL, format!("write a model, or a list of 1 to {SERVED_MAX}"));
        let list = match self.fields.remove(role::MODEL) {
            Some(Value::Array(list)) if (1..=SERVED_MAX).contains(&list.len()) => list,
            Some(one @ Value::String(_)) => vec![one],
            _ => return Err(wrong(self)),
        };
        let mut names = Vec::new();
        for (n, value) in list.into_iter().enumerate() {
            let text = value.as_str().filter(|text| !text.is_empty()).ok_or_else(|| wrong(self))?;
            let number = n + 1;
            match source(text) {
                Source::Artifact(name) => {
                    let (model, base) = split_served(&name);
                    inputs.insert(numbered(role::MODEL, number), Source::Artifact(model.to_owned()));
                    let base = base.map(|base| Source::Artifact(base.to_owned()));
                    base.map(|base| inputs.insert(numbered(role::BASE, number), base));
                    names.push(name);
                }
                output @ Source::Output { .. } => {
                    names.push(unmarked_name(text));
                    inputs.insert(numbered(role::MODEL, number), output);
                }
            }
        }
        let cache =
            self.string("cache")?.map(|text| text.parse().map_err(|error| self.wrong("cache", format!("{error}"))));
        Ok(Kind::Serve { names, cache: cache.transpose()? })
    }

    /// A value of any form; `what` says which is meant.
    fn value<T: DeserializeOwned>(&mut self, key: &str, what: &str) -> Result<Option<T>, PipelineError> {
        let Some(value) = self.fields.remove(key) else { return Ok(None) };
        serde_json::from_value(value).map(Some).map_err(|_| self.wrong(key, format!("write {what}")))
    }

    /// What an evaluation asks, and who answers: an input, or a server by its address.
    pub(super) fn eval(&mut self, inputs: &mut BTreeMap<String, Source>) -> Result<Kind, PipelineError> {
        let mut eval = v1::Eval {
            samples: self.value("samples", "a number of answers to each task")?.unwrap_or_default(),
            seed: self.value("seed", "a whole number")?.unwrap_or_default(),
            temperature: self.value("temperature", "a number")?,
            tokens_max: self.value("tokens_max", "a number of tokens")?.unwrap_or_default(),
            thinking: self.value("thinking", "true or false")?,
            tasks: self.value("tasks", "a list of tasks, each with * for any text")?.unwrap_or_default(),
            ..v1::Eval::default()
        };
        let roblox_key = self.string("roblox_key")?;
        eval.roblox = match (self.string("roblox")?.as_deref(), roblox_key) {
            (None, None) => None,
            (None, Some(_)) => return Err(self.wrong("roblox_key", "is for `roblox: cloud`")),
            (Some("cloud"), key) => {
                Some(v1::RealRoblox { judge: v1::RobloxJudge::Cloud.into(), key: key.unwrap_or_default() })
            }
            (Some("studio"), None) => {
                Some(v1::RealRoblox { judge: v1::RobloxJudge::Studio.into(), key: String::new() })
            }
            (Some("studio"), Some(_)) => {
                return Err(self.wrong("roblox_key", "is for `roblox: cloud`: a Studio has none"));
            }
            (Some(other), _) => return Err(self.wrong("roblox", format!("`{other}` is none of cloud, studio"))),
        };
        let key: String = self.string("key")?.unwrap_or_default();
        match inputs.get(role::MODEL).cloned() {
            None => return Err(self.wrong(role::MODEL, "is missing: a model, or a server as https://host/v1#MODEL")),
            Some(Source::Output { .. }) => {}
            Some(Source::Artifact(reference)) => {
                let answering = Answering::parse(&reference, &key).map_err(|error| self.wrong(role::MODEL, error))?;
                inputs.remove(role::MODEL);
                match answering {
                    Answering::Server(server) => eval.server = Some(server),
                    Answering::Model { model, base } => {
                        inputs.insert(role::MODEL.to_owned(), Source::Artifact(model));
                        base.map(|base| inputs.insert(role::BASE.to_owned(), Source::Artifact(base)));
                    }
                }
            }
        }
        Ok(Kind::Eval(Box::new(eval)))
    }

    /// What a curation reads: one dataset or a list of them, and suites in the same way.
    pub(super) fn curate(&mut self, inputs: &mut BTreeMap<String, Source>) -> Result<Kind, PipelineError> {
        for (role, is_required) in [(role::DATA, true), (role::SUITE, false)] {
            let wrong = |it: &Self| it.wrong(role, format!("write a {role}, or a list of 1 to {NUMBERED_MAX}"));
            let list = match self.fields.remove(role) {
                None if !is_required => continue,
                Some(Value::Array(list)) if (1..=NUMBERED_MAX).contains(&list.len()) => list,
                Some(one @ Value::String(_)) => vec![one],
                _ => return Err(wrong(self)),
            };
            for (n, value) in list.into_iter().enumerate() {
                let text = value.as_str().filter(|text| !text.is_empty()).ok_or_else(|| wrong(self))?;
                inputs.insert(numbered(role, n + 1), source(text));
            }
        }
        let config = self.string("config")?;
        Ok(Kind::Curate { config: config.ok_or_else(|| self.wrong("config", "is missing: the config's file"))? })
    }

    pub(super) fn measure(&mut self) -> Result<bool, PipelineError> {
        match self.string("measure")?.as_deref() {
            None | Some("all") => Ok(true),
            Some("none") => Ok(false),
            Some(other) => Err(self.wrong("measure", format!("`{other}` is none of all, none"))),
        }
    }
}
