//! A task and its checks, as data; and as JSON, in the one form that a digest is taken of.

use crate::answer::{Call, Wanted};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// A question with what its answer has to hold.
#[derive(Debug, Clone, PartialEq)]
pub struct Task {
    /// What names it within its suite.
    pub id: String,
    /// What it is about.
    pub category: String,
    /// From 1 to 5, as its author finds it.
    pub difficulty: Option<u8>,
    /// The conversation up to the answer, without the suite's system prompt: objects with `role` and `content`, as OpenAI's API
    /// has them.
    pub messages: Vec<Value>,
    /// The tools on offer, as OpenAI's API has them.
    pub tools: Vec<Value>,
    /// Tokens of an answer without its thoughts; `None` is the suite's.
    pub tokens_max: Option<u32>,
    /// Whether the model thinks first; `None` is the suite's.
    pub thinking: Option<Thinking>,
    /// The scripts that an answer consists of; none means the one module `answer`.
    pub modules: Vec<Wanted>,
    /// The call whose argument is the program, where it is not the text's blocks.
    pub answer_from: Option<AnswerFrom>,
    /// What is asked about an answer.
    pub checks: Vec<Check>,
    /// An answer that holds every check.
    pub reference: Option<Reference>,
    /// Answers that must fail.
    pub wrong: Vec<Wrong>,
    /// The eval of OpenGameEval that this is, for those who have a real Roblox to run it in.
    pub roblox: Option<RobloxEval>,
}

/// Whether a model thinks before it answers, and how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "Value", try_from = "Value")]
pub enum Thinking {
    /// It answers at once.
    Off,
    /// It thinks for at most so many tokens, which the answer's own bound does not count.
    Tokens(u32),
}

impl From<Thinking> for Value {
    fn from(thinking: Thinking) -> Value {
        match thinking {
            Thinking::Off => Value::Bool(false),
            Thinking::Tokens(tokens) => tokens.into(),
        }
    }
}

impl TryFrom<Value> for Thinking {
    type Error = String;

    fn try_from(value: Value) -> Result<Thinking, String> {
        match value.as_u64().and_then(|tokens| u32::try_from(tokens).ok()) {
            Some(tokens @ 1..) => Ok(Thinking::Tokens(tokens)),
            _ if value == Value::Bool(false) => Ok(Thinking::Off),
            _ => Err(format!("thinking is `false` or a number of tokens, and not `{value}`")),
        }
    }
}

/// The call whose argument is the program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AnswerFrom {
    /// The tool.
    pub tool: String,
    /// The argument that has the code.
    pub argument: String,
}

/// Something asked about an answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Check {
    /// What.
    pub what: What,
    /// What it counts beside the task's others.
    pub weight: f64,
    /// Whether an answer must hold it to pass.
    pub decides: bool,
}

/// What is asked about an answer.
#[derive(Debug, Clone, PartialEq)]
pub enum What {
    /// Every block of Luau compiles, and there is one.
    Compile,
    /// The analysis finds none of these lints; without any named, none at all.
    Lint {
        /// The lints' names.
        deny: Vec<String>,
    },
    /// The types agree.
    Types,
    /// Each of these patterns is in the answer's text.
    Patterns {
        /// As Python's `re` reads them, capital letters told from small ones.
        all: Vec<String>,
    },
    /// These tools are called.
    ToolCalls(CallsWanted),
    /// A test file passes.
    Run {
        /// The test file's text.
        test: String,
    },
    /// The pipeline's Benchmark v2, a pattern match.
    BenchmarkV2 {
        /// As Python's `re` reads them, whatever the case.
        patterns: Vec<String>,
    },
    /// The pipeline's dry run of OpenGameEval, a pattern match.
    OpenGameEvalDryRun,
}

/// The name of a kind of check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "each is the check of its name in `What`")]
pub enum CheckName {
    Compile,
    Lint,
    Types,
    Patterns,
    ToolCalls,
    Run,
    BenchmarkV2,
    #[serde(rename = "opengameeval_dry_run")]
    OpenGameEvalDryRun,
}

impl CheckName {
    /// As suites write it.
    pub fn as_str(self) -> &'static str {
        match self {
            CheckName::Compile => "compile",
            CheckName::Lint => "lint",
            CheckName::Types => "types",
            CheckName::Patterns => "patterns",
            CheckName::ToolCalls => "tool_calls",
            CheckName::Run => "run",
            CheckName::BenchmarkV2 => "benchmark_v2",
            CheckName::OpenGameEvalDryRun => "opengameeval_dry_run",
        }
    }
}

impl What {
    /// Which kind of check it is.
    pub fn name(&self) -> CheckName {
        match self {
            What::Compile => CheckName::Compile,
            What::Lint { .. } => CheckName::Lint,
            What::Types => CheckName::Types,
            What::Patterns { .. } => CheckName::Patterns,
            What::ToolCalls(_) => CheckName::ToolCalls,
            What::Run { .. } => CheckName::Run,
            What::BenchmarkV2 { .. } => CheckName::BenchmarkV2,
            What::OpenGameEvalDryRun => CheckName::OpenGameEvalDryRun,
        }
    }

    /// Whether it is a scorer of the pipeline's, kept for comparison: it matches patterns and knows no cut answer.
    pub fn is_kept(&self) -> bool {
        matches!(self, What::BenchmarkV2 { .. } | What::OpenGameEvalDryRun)
    }

    /// Whether an answer must hold it to pass, where the suite does not say: style is scored and decides nothing, and the
    /// pipeline's benchmark has no pass.
    pub fn decides(&self) -> bool {
        !matches!(self, What::Lint { .. } | What::Types | What::BenchmarkV2 { .. })
    }
}

/// The calls that an answer has to make.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct CallsWanted {
    /// Each of these, in any order.
    pub calls: Vec<CallWanted>,
    /// Whether there may be no other.
    pub is_exact: bool,
    /// Tools that must not be called.
    pub forbidden: Vec<String>,
}

/// A call that an answer has to make.
#[derive(Debug, Clone, PartialEq)]
pub struct CallWanted {
    /// The tool.
    pub name: String,
    /// What these arguments have to be; others may be anything.
    pub arguments: BTreeMap<String, ArgumentWanted>,
}

/// What an argument has to be.
#[derive(Debug, Clone, PartialEq)]
pub enum ArgumentWanted {
    /// This value.
    Is(Value),
    /// A text that this pattern is in.
    Matches(String),
}

/// An answer as a model would give it.
#[derive(Debug, Clone, PartialEq)]
pub struct Reference {
    /// What it says.
    pub text: String,
    /// What it calls.
    pub tool_calls: Vec<Call>,
}

/// An answer that must fail.
#[derive(Debug, Clone, PartialEq)]
pub struct Wrong {
    /// The mistake in it.
    pub why: String,
    /// The answer.
    pub answer: Reference,
}

/// An eval of OpenGameEval.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RobloxEval {
    /// The eval's whole file.
    pub source: String,
    /// The place that it runs in.
    pub place: String,
    /// What its authors say it is about.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
}

impl Task {
    /// The names of the tools on offer.
    pub fn tool_names(&self) -> Vec<String> {
        // Every tool was read with a name.
        self.tools.iter().filter_map(|tool| tool["function"]["name"].as_str().map(str::to_owned)).collect()
    }

    /// What the person says, one message after the other.
    pub fn asked(&self) -> String {
        let asked = self.messages.iter().filter(|message| message["role"] == "user");
        asked.filter_map(|message| message["content"].as_str()).collect::<Vec<_>>().join("\n")
    }

    /// The task as JSON, whichever of its forms it was written in. Reading it gives the same task.
    pub fn to_value(&self) -> Value {
        let mut out = Map::new();
        out.insert("id".into(), json!(self.id));
        out.insert("category".into(), json!(self.category));
        put(&mut out, "difficulty", self.difficulty);
        out.insert("messages".into(), json!(self.messages));
        put(&mut out, "tools", (!self.tools.is_empty()).then_some(&self.tools));
        put(&mut out, "tokens_max", self.tokens_max);
        put(&mut out, "thinking", self.thinking);
        put(&mut out, "modules", (!self.modules.is_empty()).then_some(&self.modules));
        put(&mut out, "answer_from", self.answer_from.as_ref());
        let checks: Map<String, Value> =
            self.checks.iter().map(|check| (check.what.name().as_str().to_owned(), check.to_value())).collect();
        out.insert("checks".into(), Value::Object(checks));
        put(&mut out, "reference", self.reference.as_ref().map(Reference::to_value));
        let wrong = self.wrong.iter().map(|wrong| json!({"why": wrong.why, "answer": wrong.answer.to_value()}));
        put(&mut out, "wrong", (!self.wrong.is_empty()).then(|| wrong.collect::<Vec<_>>()));
        put(&mut out, "roblox", self.roblox.as_ref());
        Value::Object(out)
    }
}

impl Check {
    fn to_value(&self) -> Value {
        let mut out = Map::new();
        match &self.what {
            What::Compile | What::Types | What::OpenGameEvalDryRun => {}
            What::Lint { deny } => put(&mut out, "deny", Some(deny)),
            What::Patterns { all } => put(&mut out, "all", Some(all)),
            What::BenchmarkV2 { patterns } => put(&mut out, "patterns", Some(patterns)),
            What::Run { test } => put(&mut out, "test", Some(test)),
            What::ToolCalls(wanted) => {
                let calls = wanted.calls.iter().map(|call| {
                    let arguments = call.arguments.iter().map(|(name, want)| {
                        let want = match want {
                            ArgumentWanted::Is(value) => json!({"is": value}),
                            ArgumentWanted::Matches(pattern) => json!({"pattern": pattern}),
                        };
                        (name.clone(), want)
                    });
                    json!({"name": call.name, "arguments": arguments.collect::<Map<_, _>>()})
                });
                put(&mut out, "calls", Some(calls.collect::<Vec<_>>()));
                put(&mut out, "exactly", Some(wanted.is_exact));
                put(&mut out, "forbidden", Some(&wanted.forbidden));
            }
        }
        put(&mut out, "weight", Some(self.weight));
        put(&mut out, "decides", Some(self.decides));
        Value::Object(out)
    }
}

impl Reference {
    fn to_value(&self) -> Value {
        json!({"text": self.text, "tool_calls": self.tool_calls})
    }
}

/// A key that has nothing to say is not there.
fn put(out: &mut Map<String, Value>, key: &str, value: Option<impl Serialize>) {
    if let Some(value) = value {
        // Texts, numbers, lists and maps with text keys always have a JSON.
        out.insert(key.to_owned(), serde_json::to_value(value).unwrap_or_default());
    }
}
