//! An answer: what of it is thought, what is said, what is called, and which of its blocks is which script.

use crate::room::{Block, Module, ModuleKind};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The longest text of an answer that is scored, in bytes. What is longer is cut there, and is an answer that was cut.
pub const TEXT_BYTES_MAX: usize = 1 << 20;

/// The most calls of an answer that are looked at. One with more goes round in circles, and is an answer that was cut.
pub const CALLS_MAX: usize = 64;

/// The marks of a thought in the text.
const OPEN: &str = "<think>";
const CLOSE: &str = "</think>";

/// A call of a tool.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Call {
    /// The tool's name.
    pub name: String,
    /// What it is called with: an object, or what the model wrote instead of one.
    #[serde(default)]
    pub arguments: Value,
}

/// How an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// By itself.
    Answered,
    /// At its bound of tokens.
    Cut,
    /// Not within its time.
    TimedOut,
    /// An API answered with an error.
    ApiError,
}

/// What a model answered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// How it ended.
    pub ending: Ending,
    /// The text without thoughts: what is scored.
    pub text: String,
    /// What it thought before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thinking: Option<String>,
    /// The tools that it called, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tool_calls: Vec<Call>,
}

impl Answer {
    /// An answer that ended by itself, with its thoughts still in the text.
    pub fn said(text: &str) -> Answer {
        Answer::of(Ending::Answered, text, None, Vec::new())
    }

    /// An answer as it came. Thoughts within the text are taken out of it; `thinking` is what came apart from it.
    pub fn of(ending: Ending, text: &str, thinking: Option<String>, tool_calls: Vec<Call>) -> Answer {
        let (text, is_long) = bounded(text);
        let is_cut = is_long || tool_calls.len() > CALLS_MAX;
        let ending = if is_cut && ending == Ending::Answered { Ending::Cut } else { ending };
        let (thought, text) = apart(text);
        let thinking = [thinking.unwrap_or_default(), thought].into_iter().filter(|part| !part.is_empty());
        let thinking = bounded(&thinking.collect::<Vec<_>>().join("\n")).0.to_owned();
        let tool_calls = tool_calls.into_iter().take(CALLS_MAX).collect();
        Answer { ending, text, thinking: (!thinking.is_empty()).then_some(thinking), tool_calls }
    }
}

/// As much of a text as is kept, and whether that is not all.
fn bounded(text: &str) -> (&str, bool) {
    (&text[..text.floor_char_boundary(TEXT_BYTES_MAX)], text.len() > TEXT_BYTES_MAX)
}

/// The thoughts of a text, and the rest of it. Where a template has opened the thought already only its end is there; a thought
/// without an end is all that there is.
fn apart(text: &str) -> (String, String) {
    let mut thoughts = Vec::new();
    let mut said = String::new();
    let mut rest = text;
    // The end of a thought that the prompt began.
    if let Some(close) = rest.find(CLOSE)
        && rest.find(OPEN).is_none_or(|open| close < open)
    {
        thoughts.push(rest[..close].trim());
        rest = rest[close + CLOSE.len()..].trim_start();
    }
    while let Some(open) = rest.find(OPEN) {
        said.push_str(&rest[..open]);
        let thought = &rest[open + OPEN.len()..];
        let (thought, after) = thought.split_once(CLOSE).unwrap_or((thought, ""));
        thoughts.push(thought.trim());
        rest = after.trim_start();
    }
    said.push_str(rest);
    thoughts.retain(|thought| !thought.is_empty());
    (thoughts.join("\n"), said)
}

/// A script that a task asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wanted {
    /// Where it lies.
    pub path: String,
    /// Where it runs.
    pub kind: ModuleKind,
}

/// The path of a task's only module, where it names none.
pub const ONLY: &str = "answer";

/// The blocks as the scripts that are wanted. Without any the longest block is the module `answer`. With some, each takes the
/// block that is named for it (by its whole path, or by its last part where only one wanted script ends so), the rest in order
/// those without a name.
///
/// # Errors
/// The paths that no block is there for.
pub fn assigned(wanted: &[Wanted], blocks: Vec<Block>) -> Result<Vec<Module>, Vec<String>> {
    if wanted.is_empty() {
        // Of blocks of one length the first: what follows a solution is how to use it.
        let longest = blocks.into_iter().reduce(|a, b| if b.source.len() > a.source.len() { b } else { a });
        let source = longest.ok_or_else(|| vec![ONLY.to_owned()])?.source;
        return Ok(vec![Module { path: ONLY.to_owned(), kind: ModuleKind::Module, source }]);
    }
    let mut sources: Vec<Option<String>> = vec![None; wanted.len()];
    let mut nameless = Vec::new();
    for block in blocks {
        match block.name.as_deref().map(|name| place(wanted, name)) {
            // A file that is written again has been thought over.
            Some(Some(at)) => sources[at] = Some(block.source),
            // A name that nothing wanted has: an example, or a file of the answer's own.
            Some(None) => {}
            None => nameless.push(block.source),
        }
    }
    let mut nameless = nameless.into_iter();
    for source in sources.iter_mut().filter(|source| source.is_none()) {
        *source = nameless.next();
    }
    let missing = wanted.iter().zip(&sources).filter(|(_, source)| source.is_none());
    let missing: Vec<String> = missing.map(|(wanted, _)| wanted.path.clone()).collect();
    if !missing.is_empty() {
        return Err(missing);
    }
    let modules = wanted.iter().zip(sources).filter_map(|(wanted, source)| {
        source.map(|source| Module { path: wanted.path.clone(), kind: wanted.kind, source })
    });
    Ok(modules.collect())
}

/// Which of the wanted scripts a block's name means.
fn place(wanted: &[Wanted], name: &str) -> Option<usize> {
    let stem = stem(name);
    let same = |a: &str, b: &str| a.eq_ignore_ascii_case(b);
    if let Some(at) = wanted.iter().position(|wanted| same(&wanted.path, &stem)) {
        return Some(at);
    }
    let last = |path: &str| path.rsplit('/').next().unwrap_or_default().to_ascii_lowercase();
    let mut ends = (0..wanted.len()).filter(|at| last(&wanted[*at].path) == last(&stem));
    ends.next().filter(|_| ends.next().is_none())
}

/// A file's name as a path: without the ending, `src/` and the marks of where it runs.
fn stem(name: &str) -> String {
    let name = name.trim().trim_matches(['*', '`', '"']).replace('\\', "/");
    let name = name.strip_suffix(".luau").or_else(|| name.strip_suffix(".lua")).unwrap_or(&name);
    let name = [".server", ".client"].into_iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name);
    let name = name.strip_prefix("src/").or_else(|| name.strip_prefix("game/")).unwrap_or(name);
    name.trim_matches('/').to_owned()
}
