//! The Luau that stands in for Roblox around a program, compiled once for all virtual machines of a process.

use crate::compile::{self, Problem};
use std::collections::BTreeMap;
use std::rc::Rc;

/// The part that makes the world; the others are loaded by it, by name.
const ENTRY: &str = "init";

/// The world's own files, by name, from `world/`: `build.rs` lists them.
const BUILT_IN: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/world.rs"));

/// A world's parts as code.
#[derive(Clone, Debug)]
pub struct World {
    parts: Rc<BTreeMap<String, Vec<u8>>>,
}

/// A world that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum WorldError {
    /// Nothing to begin with.
    #[error("the world has no part `{ENTRY}`")]
    NoEntry,
    /// A part is no Luau.
    #[error("the world's part `{part}` does not compile: {problem}")]
    Broken {
        /// Its name.
        part: String,
        /// The compiler's words.
        problem: Problem,
    },
}

impl World {
    /// The world of this crate.
    ///
    /// # Errors
    ///
    /// As [`World::new`].
    pub fn built_in() -> Result<Self, WorldError> {
        Self::new(BUILT_IN.iter().copied())
    }

    /// A world of the named sources. The value of `init` is a function that is called with the host's functions and makes the world.
    ///
    /// # Errors
    ///
    /// A part that does not compile, or that there is no `init`.
    pub fn new<'a>(sources: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Self, WorldError> {
        let mut parts = BTreeMap::new();
        for (name, source) in sources {
            let code =
                compile::bytecode(source).map_err(|problem| WorldError::Broken { part: name.to_owned(), problem })?;
            parts.insert(name.to_owned(), code);
        }
        if parts.contains_key(ENTRY) { Ok(Self { parts: Rc::new(parts) }) } else { Err(WorldError::NoEntry) }
    }

    /// The code that makes the world.
    pub(super) fn entry(&self) -> &[u8] {
        &self.parts[ENTRY]
    }

    /// Another part's code.
    pub(super) fn part(&self, name: &str) -> Option<&[u8]> {
        self.parts.get(name).map(Vec::as_slice)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_world_begins_with_init_and_compiles() {
        assert!(matches!(World::new([("other", "return 1")]), Err(WorldError::NoEntry)));
        let broken = World::new([("init", "return 1"), ("other", "return return")]);
        assert!(matches!(broken, Err(WorldError::Broken { part, .. }) if part == "other"));
        assert!(World::new([("init", "return 1")]).unwrap().part("init").is_some());
    }
}
