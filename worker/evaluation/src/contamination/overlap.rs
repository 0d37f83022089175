//! Answers that share a passage with what judges a task: its reference, its tests.
//!
//! A passage is [`PASSAGE_WORDS`] words in a row. What several tasks of a suite have is nobody's secret: the lines that every program or
//! every test file begins with. It is not looked for.

use super::run_hashes;
use super::words::words;
use crate::suite::{Suite, Task, What};
use std::collections::{BTreeMap, HashMap, HashSet};

/// Words of a passage. Thirteen in a row is what papers on contamination look for.
pub const PASSAGE_WORDS: usize = 13;

/// The passages of a suite's references and tests.
#[derive(Debug)]
pub struct Passages {
    tasks: Vec<String>,
    /// Which task alone has a passage.
    owner: HashMap<u64, u32>,
}

impl Passages {
    /// Those of a suite.
    pub fn of(suite: &Suite) -> Passages {
        let mut owners: HashMap<u64, Option<u32>> = HashMap::new();
        for (task, at) in suite.tasks.iter().zip(0u32..) {
            let passages: HashSet<u64> =
                judging(task).flat_map(|text| run_hashes(&words(text), PASSAGE_WORDS).collect::<Vec<_>>()).collect();
            for passage in passages {
                owners.entry(passage).and_modify(|owner| *owner = None).or_insert(Some(at));
            }
        }
        Passages {
            tasks: suite.tasks.iter().map(|task| task.id.clone()).collect(),
            owner: owners.into_iter().filter_map(|(passage, owner)| Some((passage, owner?))).collect(),
        }
    }

    /// How many different passages of which task are in these texts, each as its [`words`].
    pub fn look(&self, texts: &[Vec<u64>]) -> BTreeMap<&str, usize> {
        let mut found: BTreeMap<&str, HashSet<u64>> = BTreeMap::new();
        for passage in texts.iter().flat_map(|text| run_hashes(text, PASSAGE_WORDS)) {
            if let Some(task) = self.owner.get(&passage) {
                found.entry(&self.tasks[*task as usize]).or_default().insert(passage);
            }
        }
        found.into_iter().map(|(task, passages)| (task, passages.len())).collect()
    }
}

/// The texts that judge a task's answers and that its question does not show.
fn judging(task: &Task) -> impl Iterator<Item = &str> {
    let tests = task.checks.iter().filter_map(|check| match &check.what {
        What::Run { test } => Some(test.as_str()),
        _ => None,
    });
    let source = task.roblox.as_ref().map(|eval| eval.source.as_str());
    task.reference.as_ref().map(|reference| reference.text.as_str()).into_iter().chain(tests).chain(source)
}
