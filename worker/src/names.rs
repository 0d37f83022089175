//! What names stand for at the coordinator as time goes on, and where that lies on this machine.
//!
//! A task may follow names (see [`Task::followed`](crate::task::Task::followed)), and so does whoever serves models by name.
//!
//! Promise: what cannot be looked up is an error and changes nothing; what is fetched stays in the cache for as long as its entry is kept.

use crate::cache::{Cache, CacheError, Entry, Kinds};
use crate::task::{Followed, Input};
use serde_json::Value;
use std::collections::BTreeMap;
use vertigo::id::Digest;
use vertigo::manifest::{Kind, Manifest};
use vertigo::task::{TaskKind, role};
use vertigo_client::{Transfer, TransferError};

/// Why a name cannot be followed now.
#[derive(Debug, thiserror::Error)]
pub enum NameError {
    /// The coordinator does not know it, or cannot be reached.
    #[error("`{reference}`: {error}")]
    Lookup {
        /// The name.
        reference: String,
        /// Why.
        error: TransferError,
    },
    /// It stands for another kind of thing.
    #[error("`{reference}` is a {kind}, which a {task} job does not read there")]
    Kind {
        /// The name.
        reference: String,
        /// What it stands for.
        kind: Kind,
        /// Who would read it.
        task: TaskKind,
    },
    /// An adapter without a base.
    #[error("the adapter `{0}` does not say its base: name it as BASE@ADAPTER")]
    NoBase(String),
    /// What it stands for is not here and cannot be had.
    #[error(transparent)]
    Fetch(#[from] CacheError),
}

/// An input for a task: its digest, its folder and its facts.
pub(crate) fn input_of(digest: Digest, entry: &Entry) -> Input {
    let facts = entry.manifest().facts().map(|(key, value)| (key.to_owned(), value.clone())).collect();
    Input { digest, folder: entry.folder().to_owned(), facts }
}

/// Where names are looked up, and what they stand for is fetched from.
#[derive(Debug, Clone, Copy)]
pub struct Lookup<'a> {
    /// The coordinator.
    pub transfer: &'a Transfer,
    /// What is here.
    pub cache: &'a Cache,
}

impl Lookup<'_> {
    /// Has the inputs that follow a name be what it stands for now. Only an adapter has a base of its own.
    ///
    /// # Errors
    /// Why not; then they are what they were.
    pub async fn renew(
        self,
        task: TaskKind,
        followed: &Followed,
        inputs: &mut BTreeMap<String, Digest>,
    ) -> Result<(), NameError> {
        let (digest, base) = self.stands_for(task, followed).await?;
        inputs.insert(followed.role.clone(), digest);
        match base {
            Some(base) => drop(inputs.insert(followed.base_role.clone(), base)),
            None => drop(inputs.remove(&followed.base_role)),
        }
        Ok(())
    }

    /// What a name stands for: its digest, and its base's where it is an adapter.
    async fn stands_for(self, task: TaskKind, followed: &Followed) -> Result<(Digest, Option<Digest>), NameError> {
        let Followed { role: model_role, reference, base_role, base } = followed;
        let (digest, manifest) = self.look_up(task, model_role, reference).await?;
        if manifest.kind() != Kind::Adapter {
            return Ok((digest, None));
        }
        if !base.is_empty() {
            return Ok((digest, Some(self.look_up(task, base_role, base).await?.0)));
        }
        let own = manifest.fact(role::BASE).and_then(Value::as_str).and_then(|text| text.parse().ok());
        Ok((digest, Some(own.ok_or_else(|| NameError::NoBase(reference.clone()))?)))
    }

    async fn look_up(self, task: TaskKind, role: &str, reference: &str) -> Result<(Digest, Manifest), NameError> {
        let failed = |error| NameError::Lookup { reference: reference.to_owned(), error };
        let (digest, manifest) = self.transfer.manifest(reference).await.map_err(failed)?;
        let (kind, takes) = (manifest.kind(), task.input(role).map_or(&[][..], |input| input.takes));
        let other = || NameError::Kind { reference: reference.to_owned(), kind, task };
        takes.contains(&kind).then_some((digest, manifest)).ok_or_else(other)
    }

    /// Inputs on this machine, and what holds them in the cache.
    ///
    /// # Errors
    /// What cannot be fetched.
    pub async fn fetch(
        self,
        task: TaskKind,
        inputs: &BTreeMap<String, Digest>,
    ) -> Result<(BTreeMap<String, Input>, Vec<Entry>), NameError> {
        let (mut here, mut entries) = (BTreeMap::new(), Vec::new());
        for (role, digest) in inputs {
            let kinds = Kinds(task.input(role).map_or(&[], |input| input.takes));
            let entry = self.cache.get(kinds, *digest).await?;
            here.insert(role.clone(), input_of(*digest, &entry));
            entries.push(entry);
        }
        Ok((here, entries))
    }
}
