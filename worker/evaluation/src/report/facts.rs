//! Of what a report is: which suite, which model, asked how.

use crate::prompt::ToolsIn;
use crate::roblox::Roblox;
use crate::suite::Suite;
use serde::{Deserialize, Serialize};
use vertigo::id::Digest;

/// The number of the format of reports and of the lines that they are made of. A later one is not read.
pub const FORMAT: u32 = 1;

/// Of what a report is. Answers under other facts are answers of another eval.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Facts {
    /// [`FORMAT`].
    pub format: u32,
    /// The suite's name.
    pub suite: String,
    /// What names its content.
    pub suite_digest: Digest,
    /// Who answers.
    pub model: Model,
    /// How it is drawn.
    pub sampling: Sampling,
    /// How prompts say which tools there are.
    pub tools_in: ToolsIn,
    /// What looked at the code: versions of the room, its world and its analysis.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub room: String,
    /// What made the answers: versions of the engine and of MLX, since the same bits are promised by the same versions alone. Empty: a
    /// server elsewhere, which does not say.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub engine: String,
    /// The artifact that the suite was read from, where it was one. It is what the suite can be found by; `suite_digest` names the
    /// tasks that were asked of it, however they were stored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suite_artifact: Option<Digest>,
    /// Ids of the suite's tasks that were asked, each with `*` for any text; empty: all of them were.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub only: Vec<String>,
    /// The real Roblox that is asked beside the room. It is no condition that models are compared under: what it says is in no score.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub roblox: Option<Roblox>,
}

/// Who answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Model {
    /// A base, alone.
    Base {
        /// Its name.
        name: String,
        /// Its artifact.
        base: Digest,
    },
    /// A base under an adapter.
    Adapted {
        /// The adapter's name.
        name: String,
        /// The base's artifact.
        base: Digest,
        /// The adapter's artifact.
        adapter: Digest,
    },
    /// A fused model.
    Fused {
        /// Its name.
        name: String,
        /// Its artifact.
        model: Digest,
    },
    /// A server of OpenAI's API. Never its key.
    Api {
        /// Where it is, as `https://host/v1`.
        url: String,
        /// What it calls the model.
        model: String,
    },
}

impl Model {
    /// The artifact that answers, which a tag can be on; none of a server elsewhere.
    pub fn artifact(&self) -> Option<Digest> {
        match self {
            Model::Base { base, .. } => Some(*base),
            Model::Adapted { adapter, .. } => Some(*adapter),
            Model::Fused { model, .. } => Some(*model),
            Model::Api { .. } => None,
        }
    }

    /// What a person calls it.
    pub fn name(&self) -> String {
        match self {
            Model::Base { name, .. } | Model::Adapted { name, .. } | Model::Fused { name, .. } => name.clone(),
            Model::Api { url, model } => format!("{url}#{model}"),
        }
    }
}

/// How answers are drawn.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Sampling {
    /// The temperature.
    pub temperature: f64,
    /// The mass of the likeliest tokens that are drawn from.
    pub top_p: f64,
    /// How many of the likeliest tokens are drawn from; 0: all.
    #[serde(default)]
    pub top_k: u32,
    /// Answers to each task.
    pub samples: u32,
    /// What every answer's own seed is made of.
    pub seed: u64,
}

impl Sampling {
    /// The seed of a task's `sample`th answer: the same whatever else is asked, and in whatever order.
    pub fn seed_of(&self, task: &str, sample: u32) -> u64 {
        let digest = Digest::of(format!("{}\n{task}\n{sample}", self.seed).as_bytes());
        let mut first = [0; 8];
        first.copy_from_slice(&digest.as_bytes()[..8]);
        // JSON's readers keep whole numbers up to 2⁵³.
        u64::from_be_bytes(first) >> 11
    }
}

impl Facts {
    /// The facts of an eval of `suite`.
    pub fn new(suite: &Suite, model: Model, sampling: Sampling, tools_in: ToolsIn, room: String) -> Facts {
        let (name, suite_digest) = (suite.about.name.clone(), suite.digest());
        Facts {
            format: FORMAT,
            suite: name,
            suite_digest,
            model,
            sampling,
            tools_in,
            room,
            engine: String::new(),
            suite_artifact: None,
            only: Vec::new(),
            roblox: None,
        }
    }

    /// In what answers under other facts are not answers of this eval; `None` where they are. Who judges them makes no answer, in the room
    /// or beside it, and nor does where the suite lay.
    pub fn unlike(&self, other: &Facts) -> Option<String> {
        // Which tasks were chosen is in the suite's digest.
        let Facts {
            format,
            suite,
            suite_digest,
            model,
            sampling,
            tools_in,
            room: _,
            engine,
            suite_artifact: _,
            only: _,
            roblox: _,
        } = other;
        let said =
            |engine: &str| if engine.is_empty() { "an engine that is not said".to_owned() } else { engine.to_owned() };
        let unlike = [
            (self.format != *format, "of another format".to_owned()),
            (self.suite != *suite || self.suite_digest != *suite_digest, "of another suite".to_owned()),
            (self.model != *model, "of another model".to_owned()),
            (self.sampling != *sampling || self.tools_in != *tools_in, "asked in another way".to_owned()),
            (self.engine != *engine, format!("by {}, and this is {}", said(engine), said(&self.engine))),
        ];
        unlike.into_iter().find_map(|(is_unlike, said)| is_unlike.then_some(said))
    }
}
