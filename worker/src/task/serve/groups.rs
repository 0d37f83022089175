//! What is in memory: bases, each once, with the adapters over them.
//!
//! Models over one base are a group. When a name moves, the group that it leads to is loaded, new requests go there, and answers that have
//! begun end on the old one, which is let go of with the last of them.
//!
//! Promise: what is loaded stays within what was reserved. A new group is loaded beside the old one where both fit; else requests for its
//! names wait, at most [`HELD_MAX`](super::HELD_MAX), while the old one ends its answers and makes room. A group that cannot be loaded
//! leaves names where they were.

use super::super::{Input, codes, of_engine};
use super::catalog::Names;
use futures::future::join_all;
use std::collections::BTreeMap;
use std::fs;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;
use vertigo::bytes::Bytes;
use vertigo::id::Digest;
use vertigo::task::{Cure, Failure, numbered, role};
use vertigo_engine::generate::{AdapterId, Generate, Generator, Limits};
use vertigo_engine::text::ChatTokenizer;
use vertigo_model::estimate::{self, ANSWERS_MAX};
use vertigo_model::shape::Shape;
use vertigo_serving::{Bounds, Build, Facts, Model, Served};

/// Between two looks at whether an old group has ended its answers.
const LOOK: Duration = Duration::from_millis(50);

/// What a name is to lead to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) name: String,
    pub(crate) base: Input,
    pub(crate) adapter: Option<Input>,
}

impl Wanted {
    /// What a name leads to by the inputs of its number. What has a base is an adapter over it.
    pub(crate) fn of(name: &str, number: usize, inputs: &BTreeMap<String, Input>) -> Option<Wanted> {
        let given = inputs.get(&numbered(role::MODEL, number)).cloned()?;
        Some(match inputs.get(&numbered(role::BASE, number)).cloned() {
            Some(base) => Wanted { name: name.to_owned(), base, adapter: Some(given) },
            None => Wanted { name: name.to_owned(), base: given, adapter: None },
        })
    }
}

/// What is loaded, and what names lead there.
pub(crate) struct Groups {
    names: Arc<Names>,
    reserved: Bytes,
    contexts: Option<Bytes>,
    /// What names lead to by now.
    led: Vec<Wanted>,
    /// By what is in them.
    loaded: BTreeMap<Contents, Group>,
    /// Groups that no name leads to and that may still end answers, with what they take.
    leaving: Vec<(Weak<Served>, Bytes)>,
    /// What groups had done when they were last looked at.
    seen: Vec<(u64, u64)>,
    /// Tokens that groups had made which are gone.
    tokens_before: u64,
}

/// A base, and the adapters over it, in order.
type Contents = (Digest, Vec<Digest>);

struct Group {
    served: Arc<Served>,
    adapters: BTreeMap<Digest, AdapterId>,
    text: Arc<ChatTokenizer>,
    facts: Facts,
    /// What it takes, contexts and all.
    bytes: Bytes,
}

impl Groups {
    pub(crate) fn new(names: Arc<Names>, reserved: Bytes, contexts: Option<Bytes>) -> Groups {
        let (loaded, leaving, seen) = (BTreeMap::new(), Vec::new(), Vec::new());
        Groups { names, reserved, contexts, led: Vec::new(), loaded, leaving, seen, tokens_before: 0 }
    }

    /// Has every name lead to what is wanted. What is loaded and wanted still stays as it is. Where a group cannot be loaded, names lead
    /// where they led before, and why is told.
    ///
    /// # Errors
    /// There is nothing that they led to before, or it cannot be loaded again.
    pub(crate) async fn lead_to(&mut self, wanted: Vec<Wanted>) -> Result<Option<String>, Failure> {
        let problem = match self.try_lead_to(&wanted).await {
            Ok(()) => {
                self.led = wanted;
                return Ok(None);
            }
            Err(problem) if self.led.is_empty() => return Err(problem),
            Err(problem) => problem,
        };
        let before = self.led.clone();
        self.try_lead_to(&before).await?;
        Ok(Some(problem.message))
    }

    async fn try_lead_to(&mut self, wanted: &[Wanted]) -> Result<(), Failure> {
        let wanted = by_contents(wanted);
        for (contents, models) in &wanted {
            if !self.loaded.contains_key(contents) {
                self.load(contents, models, &wanted).await?;
            }
            self.lead(contents, models);
        }
        self.let_go(&wanted);
        Ok(())
    }

    /// Has the names of a group that is loaded lead to it.
    fn lead(&self, contents: &Contents, models: &[Wanted]) {
        let Some(group) = self.loaded.get(contents) else { return };
        for Wanted { name, adapter, .. } in models {
            let adapter = adapter.as_ref().and_then(|adapter| group.adapters.get(&adapter.digest).copied());
            let (served, text, facts) = (group.served.clone(), group.text.clone(), group.facts.clone());
            self.names.lead(name, Arc::new(Model { served, adapter, text, facts }));
        }
    }

    /// Lets go of groups that nobody wants: they end when the last answer on them has.
    fn let_go(&mut self, wanted: &BTreeMap<Contents, Vec<Wanted>>) {
        let unwanted: Vec<Contents> = self.loaded.keys().filter(|it| !wanted.contains_key(*it)).cloned().collect();
        for contents in unwanted {
            if let Some(group) = self.loaded.remove(&contents) {
                self.tokens_before += group.served.load().tokens_made;
                self.leaving.push((Arc::downgrade(&group.served), group.bytes));
            }
        }
    }

    /// Loads a group, which is one of those that are wanted.
    async fn load(
        &mut self,
        contents: &Contents,
        models: &[Wanted],
        wanted: &BTreeMap<Contents, Vec<Wanted>>,
    ) -> Result<(), Failure> {
        let Some(base) = models.first().map(|model| model.base.clone()) else { return Ok(()) };
        // Contexts are shared among all groups.
        let (bytes, contexts) = self.needs(&base, models, wanted.len())?;
        if bytes > self.reserved {
            let problem = format!("it needs {bytes}, and {} may be used", self.reserved);
            return Err(Failure::new(Cure::MoreMemory, codes::OUT_OF_MEMORY, problem));
        }
        if self.taken() + bytes > self.reserved {
            self.make_room(bytes, models, wanted).await;
        }
        let adapters: BTreeMap<Digest, Input> =
            models.iter().filter_map(|model| model.adapter.clone()).map(|it| (it.digest, it)).collect();
        let group = start(&base, &adapters, contexts, bytes).await?;
        self.loaded.insert(contents.clone(), group);
        Ok(())
    }

    /// What is in memory by now.
    fn taken(&mut self) -> Bytes {
        self.leaving.retain(|(served, _)| served.strong_count() > 0);
        let leaving = self.leaving.iter().map(|(_, bytes)| *bytes);
        self.loaded.values().map(|group| group.bytes).chain(leaving).sum()
    }

    /// Has requests for these names wait, lets go of what nobody wants any more, and waits until answers on that have ended.
    async fn make_room(&mut self, bytes: Bytes, models: &[Wanted], wanted: &BTreeMap<Contents, Vec<Wanted>>) {
        models.iter().for_each(|model| self.names.hold(&model.name));
        self.let_go(wanted);
        while self.taken() + bytes > self.reserved && !self.leaving.is_empty() {
            tokio::time::sleep(LOOK).await;
        }
    }

    /// What a group needs, and what of it is for contexts.
    fn needs(&self, base: &Input, models: &[Wanted], count: usize) -> Result<(Bytes, Bytes), Failure> {
        let config = base.folder.join("config.json");
        let wrong = |problem: String| Failure::new(Cure::Never, codes::BAD_INPUT, problem);
        let text = fs::read_to_string(&config).map_err(|error| wrong(format!("{}: {error}", config.display())))?;
        let config = serde_json::from_str(&text).map_err(|error| wrong(format!("{}: {error}", config.display())))?;
        let shape = Shape::from_config(&config).map_err(|error| wrong(error.to_string()))?;
        let adapters = models.iter().filter_map(|model| model.adapter.as_ref());
        let adapters = adapters.map(|adapter| crate::memory::file_bytes(&adapter.folder)).sum();
        let served = [estimate::Served { shape: &shape, adapters }];
        let contexts = match self.contexts {
            Some(all) => Bytes(all.0 / count.max(1) as u64),
            None => estimate::contexts_bytes(&served),
        };
        Ok((estimate::serve(&served, contexts).total(), contexts))
    }

    /// Lets go of everything, and waits until nothing of it is computed any more: MLX is not to be torn down under a step.
    pub(crate) fn end(self) -> impl Future<Output = ()> + Send {
        let leaving = self.leaving.iter().filter_map(|(served, _)| served.upgrade());
        let served = self.loaded.values().map(|group| group.served.clone()).chain(leaving);
        let ends: Vec<_> = served.map(|served| served.ended()).collect();
        drop(self);
        async move {
            join_all(ends).await;
        }
    }

    /// Tokens of all answers so far.
    pub(crate) fn tokens_made(&self) -> u64 {
        self.tokens_before + self.loaded.values().map(|group| group.served.load().tokens_made).sum::<u64>()
    }

    /// Whether every group that has something to do has done some of it since this was last asked.
    pub(crate) fn are_well(&mut self) -> bool {
        let loads: Vec<_> = self.loaded.values().map(|group| group.served.load()).collect();
        let now: Vec<(u64, u64)> = loads.iter().map(|load| (load.tokens_read, load.tokens_made)).collect();
        let before = std::mem::replace(&mut self.seen, now.clone());
        let is_stuck = |(n, load): (usize, &vertigo_engine::generate::Load)| {
            load.running + load.waiting > 0 && before.get(n) == Some(&now[n])
        };
        !loads.iter().enumerate().any(is_stuck)
    }
}

/// Models by what has to be loaded for them.
fn by_contents(wanted: &[Wanted]) -> BTreeMap<Contents, Vec<Wanted>> {
    let mut bases: BTreeMap<Digest, Vec<Wanted>> = BTreeMap::new();
    for model in wanted {
        bases.entry(model.base.digest).or_default().push(model.clone());
    }
    let contents = |(base, models): (Digest, Vec<Wanted>)| {
        let mut adapters: Vec<Digest> =
            models.iter().filter_map(|model| model.adapter.as_ref()).map(|adapter| adapter.digest).collect();
        adapters.sort();
        adapters.dedup();
        ((base, adapters), models)
    };
    bases.into_iter().map(contents).collect()
}

/// Loads a base with adapters over it.
async fn start(
    base: &Input,
    adapters: &BTreeMap<Digest, Input>,
    contexts: Bytes,
    bytes: Bytes,
) -> Result<Group, Failure> {
    let text = Arc::new(ChatTokenizer::load(&base.folder).map_err(|error| of_engine(&error.into()))?);
    let facts =
        Facts::read(&base.folder).map_err(|error| Failure::new(Cure::Never, codes::BAD_INPUT, error.to_string()))?;
    // What the thread that loads it has to say: the adapters' numbers, and why it failed.
    let ids: Arc<Mutex<BTreeMap<Digest, AdapterId>>> = Arc::default();
    let failure: Arc<Mutex<Option<Failure>>> = Arc::default();
    let build = builder(base, adapters, contexts, ids.clone(), failure.clone());
    let served = Served::start(&base.digest.short(), build, Bounds::default()).await;
    let served = served.map_err(|error| {
        let said = failure.lock().unwrap_or_else(PoisonError::into_inner).take();
        said.unwrap_or_else(|| Failure::new(Cure::FreshProcess, codes::CRASHED, error.to_string()))
    })?;
    let adapters = ids.lock().unwrap_or_else(PoisonError::into_inner).clone();
    Ok(Group { served, adapters, text, facts, bytes })
}

/// How a base with adapters is loaded, on the thread that is to own it. Adapters are added in one order, so that their numbers are the same
/// where it is loaded anew.
fn builder(
    base: &Input,
    adapters: &BTreeMap<Digest, Input>,
    contexts: Bytes,
    ids: Arc<Mutex<BTreeMap<Digest, AdapterId>>>,
    failure: Arc<Mutex<Option<Failure>>>,
) -> Build {
    let (base, adapters) = (base.folder.clone(), adapters.clone());
    Box::new(move || {
        let load = || {
            let model = vertigo_engine::Model::load(&base)?;
            let limits = Limits { bytes: contexts.0, answers_max: ANSWERS_MAX as usize };
            let mut generator = Generator::new(model, limits)?;
            let mut added = BTreeMap::new();
            for (digest, adapter) in &adapters {
                added.insert(*digest, generator.add_adapter(&adapter.folder)?);
            }
            *ids.lock().unwrap_or_else(PoisonError::into_inner) = added;
            Ok(Box::new(generator) as Box<dyn Generate>)
        };
        load().inspect_err(|error| {
            *failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(of_engine(error));
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn input(name: &str) -> Input {
        Input { digest: Digest::of(name.as_bytes()), folder: name.into(), facts: Default::default() }
    }

    fn wanted(name: &str, base: &str, adapter: Option<&str>) -> Wanted {
        Wanted { name: name.to_owned(), base: input(base), adapter: adapter.map(input) }
    }

    #[test]
    fn models_over_one_base_are_loaded_together_and_again_when_an_adapter_is_another() {
        let of = |adapter: &str| {
            let models = vec![wanted("a", "4b", None), wanted("b", "4b", Some(adapter)), wanted("c", "9b", None)];
            by_contents(&models).into_iter().map(|(contents, models)| (contents, models.len())).collect::<Vec<_>>()
        };
        let groups = of("tutor");
        let digest = |name: &str| Digest::of(name.as_bytes());
        assert!(groups.contains(&((digest("4b"), vec![digest("tutor")]), 2)), "{groups:?}");
        assert!(groups.contains(&((digest("9b"), Vec::new()), 1)));
        assert_eq!(of("tutor"), groups);
        assert_ne!(of("other"), groups);
        // What two names have in common is there once.
        let twice = vec![wanted("a", "4b", Some("tutor")), wanted("b", "4b", Some("tutor"))];
        assert_eq!(by_contents(&twice).into_keys().collect::<Vec<_>>(), [(digest("4b"), vec![digest("tutor")])]);
    }
}
