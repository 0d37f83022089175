//! A checkout of Roblox's OpenGameEval: its evals are scripts, of which patterns take the question, the place and the tags.
//!
//! The patterns are the pipeline's (`run_opengameeval.py`), and one more for debug evals, whose prompt is a list of texts and
//! which the pipeline does not read. Nothing is run: the whole script is kept beside the task for who has a real Roblox.

use crate::suite::fields::{Place, SuiteError};
use crate::suite::folder::whole;
use crate::suite::{About, Defaults, Suite, Task, Thinking, reading};
use fancy_regex::Regex;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::LazyLock;

/// Folders of evals, each a category.
const FOLDERS: [(&str, &str); 2] = [("Evals/", "eval"), ("DebugEvals/", "debug")];

// The patterns of this file are constants: a test reads evals with all of them.
fn pattern(written: &str) -> Option<Regex> {
    Regex::new(written).ok()
}

static NAME: LazyLock<Option<Regex>> = LazyLock::new(|| pattern(r#"scenario_name\s*=\s*"([^"]*)""#));
static PLACE: LazyLock<Option<Regex>> = LazyLock::new(|| pattern(r#"\bplace\s*=\s*"([^"]*)""#));
static DIFFICULTY: LazyLock<Option<Regex>> = LazyLock::new(|| pattern(r#"difficulty\s*=\s*"([^"]*)""#));
static TAGS: LazyLock<Option<Regex>> = LazyLock::new(|| pattern(r"\btags\s*=\s*\{([^}]*)\}"));
static QUOTED: LazyLock<Option<Regex>> = LazyLock::new(|| pattern(r#""((?:[^"\\]|\\.)*)""#));
static TURN: LazyLock<Option<Regex>> =
    LazyLock::new(|| pattern(r#"(?s)role\s*=\s*"(\w+)"\s*,\s*content\s*=\s*(?:\[\[(.*?)\]\]|"((?:[^"\\]|\\.)*)")"#));
static PROMPTS: LazyLock<Option<Regex>> =
    LazyLock::new(|| pattern(r#"(?s)\bprompt\s*=\s*\{\s*((?:(?:\[\[.*?\]\]|"(?:[^"\\]|\\.)*")\s*,?\s*)+)\}"#));
static TEXT: LazyLock<Option<Regex>> = LazyLock::new(|| pattern(r#"(?s)\[\[(.*?)\]\]|"((?:[^"\\]|\\.)*)""#));

/// The suite of a checkout's files, by path: the scripts below `Evals/` and `DebugEvals/`. Asked and scored as the pipeline's dry
/// run does: no system prompt, 4096 tokens, one answer at temperature 0.7, and the tool `execute_luau`.
///
/// # Errors
/// Names the script that no question was found in.
pub fn read(name: &str, files: &BTreeMap<String, String>) -> Result<Suite, SuiteError> {
    let about = About {
        name: name.to_owned(),
        description: "OpenGameEval's tasks, scored by the pipeline's dry run: a pattern match, which runs nothing."
            .to_owned(),
        system: None,
        categories: FOLDERS.iter().map(|(folder, category)| ((*category).to_owned(), (*folder).to_owned())).collect(),
        defaults: Defaults { tokens_max: 4096, samples: 1, thinking: Thinking::Off, temperature: 0.7 },
    };
    let mut tasks = Vec::new();
    for (path, source) in files.iter().filter(|(path, _)| path.ends_with(".lua") || path.ends_with(".luau")) {
        let folder =
            FOLDERS.iter().find(|(folder, _)| path.starts_with(folder) || path.contains(&format!("/{folder}")));
        if let Some((_, category)) = folder {
            tasks.push((path.clone(), task(path, source, category)?));
        }
    }
    whole(about, tasks)
}

fn task(path: &str, source: &str, category: &str) -> Result<Task, SuiteError> {
    let stem = path.rsplit('/').next().unwrap_or(path).trim_end_matches(".luau").trim_end_matches(".lua");
    let messages = messages(source);
    if messages.is_empty() {
        return Err(Place::at(path).error("has no prompt that could be found; is it an eval?"));
    }
    // The authors' words as steps of our scale, from 1 to 5.
    let difficulty = match first(&DIFFICULTY, source).as_deref() {
        Some("easy") => json!(2),
        Some("medium") => json!(3),
        Some("hard") => json!(4),
        _ => Value::Null,
    };
    let tags = first(&TAGS, source).map(|inside| all(&QUOTED, &inside)).unwrap_or_default();
    let ours = json!({
        "id": first(&NAME, source).unwrap_or_else(|| stem.to_owned()),
        "category": category,
        "difficulty": difficulty,
        "messages": messages,
        "tools": [{"type": "function", "function": {
            "name": "execute_luau",
            "description": "Execute Luau code in Roblox Studio",
            "parameters": {
                "type": "object",
                "properties": {"code": {"type": "string", "description": "Luau code to execute"}},
                "required": ["code"],
            },
        }}],
        "checks": {"opengameeval_dry_run": true},
        "roblox": {"source": source, "place": first(&PLACE, source).unwrap_or_default(), "tags": tags},
    });
    reading::task(path, ours, &BTreeMap::new())
}

/// The conversation: turns with a role anywhere in the file, or else the texts of a list.
fn messages(source: &str) -> Vec<Value> {
    let turns = captures(&TURN, source).into_iter();
    let turns: Vec<Value> = turns.map(|turn| json!({"role": turn[1], "content": said(&turn[2], &turn[3])})).collect();
    if !turns.is_empty() {
        return turns;
    }
    let Some(listed) = first(&PROMPTS, source) else { return Vec::new() };
    let texts = captures(&TEXT, &listed).into_iter();
    texts.map(|text| json!({"role": "user", "content": said(&text[1], &text[2])})).collect()
}

/// A text between brackets as it is, one between quotes with its escapes read.
fn said(bracketed: &str, quoted: &str) -> String {
    if quoted.is_empty() {
        // A line's end right after the brackets is no part of the text, in Lua.
        return bracketed.strip_prefix('\n').unwrap_or(bracketed).to_owned();
    }
    let mut out = String::with_capacity(quoted.len());
    let mut chars = quoted.chars();
    while let Some(c) = chars.next() {
        match (c, if c == '\\' { chars.next() } else { None }) {
            (_, Some('n')) => out.push('\n'),
            (_, Some('t')) => out.push('\t'),
            (_, Some(escaped)) => out.push(escaped),
            (c, None) => out.push(c),
        }
    }
    out
}

/// The groups of every match, the first being the whole; a group that is not there is empty.
fn captures(pattern: &Option<Regex>, text: &str) -> Vec<Vec<String>> {
    let found = pattern.iter().flat_map(|pattern| pattern.captures_iter(text)).map_while(Result::ok);
    let groups = |found: fancy_regex::Captures<'_, str>| {
        found.iter().map(|group| group.map_or(String::new(), |group| group.as_str().to_owned())).collect()
    };
    found.map(groups).collect()
}

fn all(pattern: &Option<Regex>, text: &str) -> Vec<String> {
    captures(pattern, text).into_iter().map(|groups| groups[1].clone()).collect()
}

fn first(pattern: &Option<Regex>, text: &str) -> Option<String> {
    captures(pattern, text).into_iter().next().map(|groups| groups[1].clone())
}
