//! Suites: tasks with their checks, as a folder that is read once and then never changes.
//!
//! A suite is `suite.yaml` (what it is, the system prompt, what holds for all tasks) and its tasks, as YAML files below `tasks/`
//! or as one `tasks.jsonl`. `suites/README.md` documents the form and `suites/schema.json` describes a task to editors; a test
//! holds both to what this module reads. A benchmark of the pipeline and a checkout of OpenGameEval are read into the same form.
//!
//! Promise: a [`Suite`] can be run. Every mistake (an unknown key, a pattern that is none, a test that is not there, two tasks of
//! one name) is an error that names the file and the place in it, before any model answers. Its digest does not depend on how the
//! files were laid out.

mod chosen;
mod fields;
mod folder;
mod import;
mod reading;
mod task;

pub use fields::SuiteError;
pub use folder::{FILE_BYTES_MAX, FILES_MAX, TASKS_MAX, ours};
pub use import::{benchmark, opengameeval};
pub use task::{
    AnswerFrom, ArgumentWanted, CallWanted, CallsWanted, Check, CheckName, Reference, RobloxEval, Task, Thinking, What,
    Wrong,
};

use serde::Serialize;
use std::collections::BTreeMap;
use vertigo::id::Digest;

/// Tasks with their checks.
#[derive(Debug, Clone, PartialEq)]
pub struct Suite {
    /// What holds for all of them.
    pub about: About,
    /// The tasks, in the order of their ids.
    pub tasks: Vec<Task>,
}

/// What holds for all tasks of a suite.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct About {
    /// What it is called.
    pub name: String,
    /// What it says about a model, in a few sentences.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// What every conversation begins with, if anything.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub system: Option<String>,
    /// Categories with what each is about; where there are some, a task's category is one of them.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub categories: BTreeMap<String, String>,
    /// What a task has that does not say otherwise.
    pub defaults: Defaults,
}

/// What a task has that does not say otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Defaults {
    /// Tokens of an answer without its thoughts.
    pub tokens_max: u32,
    /// Answers to each task.
    pub samples: u32,
    /// Whether the model thinks first.
    pub thinking: Thinking,
    /// The temperature of sampling.
    pub temperature: f64,
}

impl Default for Defaults {
    fn default() -> Defaults {
        Defaults { tokens_max: 1024, samples: 5, thinking: Thinking::Off, temperature: 0.7 }
    }
}

impl Suite {
    /// Reads a suite from the texts of its files by path: `suite.yaml`, `tasks/**.yaml`, `tasks.jsonl`, and the test files and
    /// evals that tasks name.
    ///
    /// # Errors
    /// Names the file, the place in it, what is wrong and what to write instead.
    pub fn parse(files: &BTreeMap<String, String>) -> Result<Suite, SuiteError> {
        folder::parse(files)
    }

    /// The suite in the one form that its digest is taken of: `suite.yaml` and `tasks.jsonl`, both as JSON, which YAML takes too.
    /// Test files stand in their tasks.
    pub fn files(&self) -> BTreeMap<String, String> {
        let tasks = self.tasks.iter().map(|task| format!("{}\n", task.to_value())).collect();
        // Strings, numbers and maps with string keys always have a JSON.
        let about = serde_json::to_string(&self.about).unwrap_or_default();
        BTreeMap::from([(folder::ABOUT.to_owned(), about + "\n"), (folder::TASKS.to_owned(), tasks)])
    }

    /// What names the suite's content, however its files were laid out.
    pub fn digest(&self) -> Digest {
        Digest::of(self.files().into_values().collect::<String>().as_bytes())
    }

    /// The task of an id.
    pub fn task(&self, id: &str) -> Option<&Task> {
        self.tasks.binary_search_by(|task| task.id.as_str().cmp(id)).ok().map(|at| &self.tasks[at])
    }

    /// Tokens of an answer to the task, without its thoughts.
    pub fn tokens_max(&self, task: &Task) -> u32 {
        task.tokens_max.unwrap_or(self.about.defaults.tokens_max)
    }

    /// Whether the model thinks before it answers the task.
    pub fn thinking(&self, task: &Task) -> Thinking {
        task.thinking.unwrap_or(self.about.defaults.thinking)
    }
}

#[cfg(test)]
mod tests;
