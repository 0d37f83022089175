//! Answers that answer nothing, which every suite is scored with beside the model.
//!
//! What they score is what a scorer gives for nothing. The pipeline's benchmark gives an echo of the prompt 80.8 of 100; such a
//! scorer says little of a model, and a report has to say so.

use crate::answer::Answer;
use crate::prompt::Prompt;
use serde::{Deserialize, Serialize};

/// A kind of answer that answers nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Nonsense {
    /// No text at all.
    Empty,
    /// All that the prompt says, again.
    Echo,
    /// That, and a line of what Vertigo's conventions look for.
    EchoWithConventions,
}

/// One line with a sign of every convention.
const CONVENTIONS: &str = "--!strict @native function Service:Init() end function Service:Start() end return Service";

impl Nonsense {
    /// All kinds.
    pub const ALL: [Nonsense; 3] = [Nonsense::Empty, Nonsense::Echo, Nonsense::EchoWithConventions];

    /// As reports and gates write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Nonsense::Empty => "empty",
            Nonsense::Echo => "echo",
            Nonsense::EchoWithConventions => "echo_with_conventions",
        }
    }

    /// The answer of this kind to a prompt.
    pub fn answer(self, prompt: &Prompt) -> Answer {
        match self {
            Nonsense::Empty => Answer::said(""),
            Nonsense::Echo => Answer::said(&prompt.text()),
            Nonsense::EchoWithConventions => Answer::said(&format!("{}\n{CONVENTIONS}", prompt.text())),
        }
    }
}
