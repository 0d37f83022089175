//! A training example in mlx-lm's three shapes, and folders of them.
//!
//! A dataset is a folder of `.jsonl` files, one JSON object a line. `valid.jsonl` and `test.jsonl` are held out, as in
//! mlx-lm; every other file is trained on. Without a `valid.jsonl`, one example in [`HOLD_OUT`] is held out by the digest of its
//! line, so that adding data moves no example from one side to the other. [`PROVENANCE`] is not read.
//!
//! Beside its example a line to train on may have a `weight`: how often it is drawn, relative to 1. What is held out is looked at once,
//! whatever its line says: a `weight` in `valid.jsonl` or `test.jsonl` is not read.
//!
//! Reading a folder is the one place here that touches files.

mod weight;

pub use weight::{WEIGHT_MAX, Weight};

use serde_json::{Map, Value};
use std::fmt::{self, Display};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use vertigo::folder;
use vertigo::id::Digest;

/// What a curated dataset has beside its examples: a line for every line that it was made of. It is no file of examples, whatever is in it.
pub const PROVENANCE: &str = "provenance.jsonl";

/// Without a `valid.jsonl`, one example in this many validates.
pub const HOLD_OUT: u8 = 20;

/// A training example.
#[derive(Debug, Clone, PartialEq)]
pub enum Example {
    /// Messages for the chat template. Only the last assistant message is the answer where prompts are masked.
    Chat {
        /// Objects with a `role` and what that role carries.
        messages: Vec<Value>,
        /// Tools for the template.
        tools: Option<Value>,
    },
    /// A prompt and its completion: a chat of one user and one assistant message.
    Completion {
        /// The user's message.
        prompt: String,
        /// The assistant's.
        completion: String,
    },
    /// Text as it is; nothing is masked.
    Text(String),
}

/// What is wrong with a dataset, and where.
#[derive(Debug, thiserror::Error)]
pub enum DatasetError {
    /// A line that is no example.
    #[error("{}:{line}: {problem}", file.display())]
    Line {
        /// The file.
        file: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        problem: String,
    },
    /// A file or folder that cannot be read.
    #[error("cannot read {}: {error}", path.display())]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// Nothing to train on.
    #[error("{} holds no .jsonl file with examples to train on", .0.display())]
    Empty(PathBuf),
}

impl Example {
    /// Reads one line.
    ///
    /// # Errors
    /// Says what is wrong with the line.
    pub fn parse(line: &str) -> Result<Example, String> {
        Example::of(object(line)?)
    }

    fn of(mut map: Map<String, Value>) -> Result<Example, String> {
        if let Some(messages) = map.remove("messages") {
            return chat(messages, map.remove("tools"));
        }
        match (map.remove("prompt"), map.remove("completion"), map.remove("text")) {
            (Some(Value::String(prompt)), Some(Value::String(completion)), _) => {
                Ok(Example::Completion { prompt, completion })
            }
            (Some(_), Some(_), _) => Err("`prompt` and `completion` must be strings".to_owned()),
            (_, _, Some(Value::String(text))) => Ok(Example::Text(text)),
            (_, _, Some(_)) => Err("`text` must be a string".to_owned()),
            _ => Err("no `messages`, no `prompt` with `completion`, and no `text`".to_owned()),
        }
    }

    /// Whether it is a conversation whose last turn is not the assistant's.
    pub fn is_unanswered(&self) -> bool {
        let Example::Chat { messages, .. } = self else { return false };
        messages.last().is_some_and(|last| last["role"] != "assistant")
    }

    /// Whether its answer says nothing: no word, no thought and no call.
    pub fn has_empty_answer(&self) -> bool {
        match self {
            Example::Completion { completion, .. } => completion.trim().is_empty(),
            Example::Chat { messages, .. } if !self.is_unanswered() => messages.last().is_some_and(says_nothing),
            Example::Chat { .. } | Example::Text(_) => false,
        }
    }
}

fn object(line: &str) -> Result<Map<String, Value>, String> {
    match serde_json::from_str(line).map_err(|e| format!("not JSON: {e}"))? {
        Value::Object(map) => Ok(map),
        _ => Err("not a JSON object".to_owned()),
    }
}

/// Where a message's text may be, and what it calls.
const SPEECH: [&str; 5] = ["content", "reasoning_content", "thinking", "reasoning", "tool_calls"];

fn says_nothing(message: &Value) -> bool {
    SPEECH.iter().all(|key| match &message[*key] {
        Value::Null => true,
        Value::String(text) => text.trim().is_empty(),
        // Parts of a content, or calls. A part that is no text, such as a picture, says something.
        Value::Array(parts) => {
            parts.iter().all(|part| part["text"].as_str().is_some_and(|text| text.trim().is_empty()))
        }
        _ => false,
    })
}

fn chat(messages: Value, tools: Option<Value>) -> Result<Example, String> {
    let Value::Array(messages) = messages else {
        return Err("`messages` must be a list".to_owned());
    };
    if messages.is_empty() {
        return Err("`messages` is empty".to_owned());
    }
    for (n, message) in messages.iter().enumerate() {
        let fields = message.as_object().ok_or_else(|| format!("message {} is not an object", n + 1))?;
        check_message(fields).map_err(|problem| format!("message {}: {problem}", n + 1))?;
    }
    match tools {
        None | Some(Value::Null) => Ok(Example::Chat { messages, tools: None }),
        Some(tools @ Value::Array(_)) => Ok(Example::Chat { messages, tools: Some(tools) }),
        Some(_) => Err("`tools` must be a list".to_owned()),
    }
}

fn check_message(fields: &Map<String, Value>) -> Result<(), String> {
    if !fields.get("role").is_some_and(Value::is_string) {
        return Err("has no `role`".to_owned());
    }
    let calls = fields.get("tool_calls").is_some_and(|calls| !calls.is_null());
    match fields.get("content") {
        Some(Value::String(_) | Value::Array(_)) => Ok(()),
        None | Some(Value::Null) if calls => Ok(()),
        None | Some(Value::Null) => Err("has neither `content` nor `tool_calls`".to_owned()),
        Some(_) => Err("`content` must be a string".to_owned()),
    }
}

/// Where an example is written.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Place {
    /// The file's name; it lies directly in the dataset's folder.
    pub file: Arc<str>,
    /// The line, from 1.
    pub line: usize,
}

impl Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

/// An example and where it is written.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// Where.
    pub place: Place,
    /// The example.
    pub example: Example,
    /// How often it is drawn; [`Weight::ONE`] for what is held out.
    pub weight: Weight,
}

/// The examples of a folder.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Dataset {
    /// To train on.
    pub train: Vec<Row>,
    /// Held out for validation.
    pub valid: Vec<Row>,
}

impl Dataset {
    /// Reads a folder: its `.jsonl` files by name, blank lines passed over.
    ///
    /// # Errors
    /// [`DatasetError::Line`] with file and line for the first line that is no example; [`DatasetError::Empty`] where
    /// nothing is left to train on.
    pub fn read(folder: &Path) -> Result<Dataset, DatasetError> {
        let files = jsonl_files(folder)?;
        let named = |file: &Path, name: &str| file.file_name().is_some_and(|n| n == name);
        let has_valid = files.iter().any(|file| named(file, "valid.jsonl"));
        let mut dataset = Dataset::default();
        for file in files.iter().filter(|file| !named(file, "test.jsonl")) {
            let validates = named(file, "valid.jsonl");
            for (line, row) in read_file(file, !validates)? {
                let held_out = if has_valid { validates } else { is_held_out(&line) };
                if held_out {
                    dataset.valid.push(Row { weight: Weight::ONE, ..row });
                } else {
                    dataset.train.push(row);
                }
            }
        }
        if dataset.train.is_empty() {
            return Err(DatasetError::Empty(folder.to_owned()));
        }
        Ok(dataset)
    }
}

/// The files of examples directly in `folder`, by name: `.jsonl`, but for [`PROVENANCE`].
///
/// # Errors
/// [`DatasetError::Read`] where the folder cannot be read, [`DatasetError::Empty`] where there are none.
pub fn jsonl_files(folder: &Path) -> Result<Vec<PathBuf>, DatasetError> {
    let read = |error| DatasetError::Read { path: folder.to_owned(), error };
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(read)? {
        let path = entry.map_err(read)?.path();
        let is_provenance = path.file_name().is_some_and(|name| name == PROVENANCE);
        if !is_provenance && path.extension().is_some_and(|ending| ending == "jsonl") {
            files.push(path);
        }
    }
    files.sort();
    if files.is_empty() { Err(DatasetError::Empty(folder.to_owned())) } else { Ok(files) }
}

/// The rows of a file, each with its line; their weights are read where it `has_weights`.
fn read_file(file: &Path, has_weights: bool) -> Result<Vec<(String, Row)>, DatasetError> {
    let name: Arc<str> = file.file_name().unwrap_or(file.as_os_str()).to_string_lossy().into();
    let text = folder::read_to_string(file);
    let text = text.map_err(|error| DatasetError::Read { path: file.to_owned(), error: error.into() })?;
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let read = |line: &str| {
        let fields = object(line)?;
        let weight = if has_weights { Weight::of(&fields)? } else { Weight::ONE };
        Ok((Example::of(fields)?, weight))
    };
    lines
        .map(|(n, line)| match read(line) {
            Ok((example, weight)) => {
                let place = Place { file: name.clone(), line: n + 1 };
                Ok((line.to_owned(), Row { place, example, weight }))
            }
            Err(problem) => Err(DatasetError::Line { file: file.to_owned(), line: n + 1, problem }),
        })
        .collect()
}

fn is_held_out(line: &str) -> bool {
    let hex = Digest::of(line.as_bytes()).hex();
    let first = u8::from_str_radix(&hex[..2], 16).expect("a digest's hex is hexadecimal");
    first.is_multiple_of(HOLD_OUT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_three_shapes() {
        let chat = r#"{"messages":[{"role":"user","content":"hi"},{"role":"assistant","tool_calls":[{}]}],"tools":[]}"#;
        assert!(matches!(Example::parse(chat), Ok(Example::Chat { messages, tools: Some(_) }) if messages.len() == 2));
        let completion = r#"{"prompt":"a","completion":"b"}"#;
        assert!(matches!(Example::parse(completion), Ok(Example::Completion { .. })));
        assert_eq!(Example::parse(r#"{"text":"t"}"#), Ok(Example::Text("t".to_owned())));
    }

    #[test]
    fn says_what_is_wrong_with_a_line() {
        for (line, problem) in [
            ("{", "not JSON"),
            ("[]", "not a JSON object"),
            ("{}", "no `messages`"),
            (r#"{"messages":[]}"#, "empty"),
            (r#"{"messages":[{"content":"x"}]}"#, "message 1: has no `role`"),
            (r#"{"messages":[{"role":"user"}]}"#, "neither `content`"),
            (r#"{"prompt":1,"completion":"x"}"#, "must be strings"),
        ] {
            let error = Example::parse(line).unwrap_err();
            assert!(error.contains(problem), "{line}: {error}");
        }
    }

    #[test]
    fn names_file_and_line_of_a_broken_example() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("a.jsonl"), "{\"text\":\"one\"}\n\n{\"text\":\n").unwrap();
        let error = Dataset::read(dir.path()).unwrap_err().to_string();
        assert!(error.contains("a.jsonl:3: not JSON"), "{error}");
    }

    #[test]
    fn each_example_knows_where_it_is_written() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("a.jsonl"), "{\"text\":\"one\"}\n\n{\"text\":\"two\"}\n").unwrap();
        fs::write(dir.path().join("valid.jsonl"), "\n{\"text\":\"three\"}\n").unwrap();
        let dataset = Dataset::read(dir.path()).unwrap();
        let places = |rows: &[Row]| rows.iter().map(|row| row.place.to_string()).collect::<Vec<_>>();
        assert_eq!(
            (places(&dataset.train), places(&dataset.valid)),
            (vec!["a.jsonl:1".into(), "a.jsonl:3".into()], vec!["valid.jsonl:2".into()])
        );
    }

    #[test]
    fn what_a_dataset_was_made_of_is_no_example() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("train.jsonl"), "{\"text\":\"one\"}\n").unwrap();
        fs::write(dir.path().join(PROVENANCE), "{\"id\":null}\n{\"text\":\"two\"}\n").unwrap();
        assert_eq!(Dataset::read(dir.path()).unwrap().train.len(), 1);
        fs::remove_file(dir.path().join("train.jsonl")).unwrap();
        assert!(matches!(Dataset::read(dir.path()), Err(DatasetError::Empty(_))));
    }

    #[test]
    fn rows_to_train_on_have_their_weights_and_what_is_held_out_is_not_asked() {
        let dir = tempfile::tempdir().unwrap();
        let write = |file: &str, text: &str| fs::write(dir.path().join(file), text).unwrap();
        let weights = |rows: &[Row]| rows.iter().map(|row| row.weight.get()).collect::<Vec<_>>();
        write(
            "a.jsonl",
            "{\"text\":\"a\",\"weight\":2.5}\n{\"weight\":0.1,\"prompt\":\"p\",\"completion\":\"c\"}\n{\"text\":\"b\"}",
        );
        write("valid.jsonl", "{\"text\":\"c\",\"weight\":3}\n{\"text\":\"d\",\"weight\":\"none\"}");
        write("test.jsonl", "{\"text\":\"e\",\"weight\":-1}");
        let dataset = Dataset::read(dir.path()).unwrap();
        assert_eq!((weights(&dataset.train), weights(&dataset.valid)), (vec![2.5, 0.1, 1.0], vec![1.0, 1.0]));

        fs::remove_file(dir.path().join("valid.jsonl")).unwrap();
        let lines: Vec<_> = (0..200).map(|n| format!("{{\"text\":\"{n}\",\"weight\":2}}")).collect();
        write("a.jsonl", &lines.join("\n"));
        let dataset = Dataset::read(dir.path()).unwrap();
        assert!(!dataset.valid.is_empty() && weights(&dataset.valid).iter().all(|weight| *weight == 1.0));
        assert!(weights(&dataset.train).iter().all(|weight| *weight == 2.0));

        write("b.jsonl", "{\"text\":\"f\"}\n{\"text\":\"g\",\"weight\":0}");
        let error = Dataset::read(dir.path()).unwrap_err().to_string();
        assert!(error.ends_with("b.jsonl:2: `weight` is 0; it must be more than 0 and at most 100"), "{error}");
    }

    #[test]
    fn an_answer_is_there_or_is_not() {
        let of = |json: serde_json::Value| {
            let example = Example::parse(&json.to_string()).unwrap();
            (example.is_unanswered(), example.has_empty_answer())
        };
        let chat =
            |last: serde_json::Value| of(serde_json::json!({"messages": [{"role": "user", "content": "q"}, last]}));
        for (last, expected) in [
            (serde_json::json!({"role": "assistant", "content": "a"}), (false, false)),
            (serde_json::json!({"role": "assistant", "content": " \n"}), (false, true)),
            (serde_json::json!({"role": "assistant", "content": [{"type": "text", "text": ""}]}), (false, true)),
            (serde_json::json!({"role": "assistant", "content": [{"type": "image"}]}), (false, false)),
            (serde_json::json!({"role": "assistant", "content": "", "reasoning": "so"}), (false, false)),
            (serde_json::json!({"role": "assistant", "tool_calls": [{"function": {"name": "f"}}]}), (false, false)),
            (serde_json::json!({"role": "assistant", "content": "", "tool_calls": []}), (false, true)),
            (serde_json::json!({"role": "user", "content": ""}), (true, false)),
            (serde_json::json!({"role": "tool", "content": "37"}), (true, false)),
        ] {
            assert_eq!(chat(last.clone()), expected, "{last}");
        }
        assert_eq!(of(serde_json::json!({"prompt": "q", "completion": "\t"})), (false, true));
        assert_eq!(of(serde_json::json!({"text": ""})), (false, false));
    }

    #[test]
    fn a_fifo_and_a_link_out_of_the_folder_are_named_and_not_read() {
        let dir = tempfile::tempdir().unwrap();
        let (data, pipe) = (dir.path().join("data"), dir.path().join("data/b.jsonl"));
        fs::create_dir(&data).unwrap();
        fs::write(data.join("a.jsonl"), "{\"text\":\"a\"}\n").unwrap();
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let error = Dataset::read(&data).unwrap_err().to_string();
        assert!(error.contains("b.jsonl: it is a FIFO"), "{error}");
        fs::remove_file(&pipe).unwrap();
        fs::write(dir.path().join("secret"), "{\"text\":\"secret\"}\n").unwrap();
        std::os::unix::fs::symlink("../secret", &pipe).unwrap();
        let error = Dataset::read(&data).unwrap_err().to_string();
        assert!(error.contains("b.jsonl: it is a link to ") && error.contains("secret, outside"), "{error}");
    }

    #[test]
    fn holds_out_by_content_and_respects_valid_jsonl() {
        let dir = tempfile::tempdir().unwrap();
        let lines: Vec<_> = (0..400).map(|n| format!("{{\"text\":\"example {n}\"}}")).collect();
        fs::write(dir.path().join("a.jsonl"), lines.join("\n")).unwrap();
        let whole = Dataset::read(dir.path()).unwrap();
        assert!((8..40).contains(&whole.valid.len()), "{}", whole.valid.len());
        fs::write(dir.path().join("a.jsonl"), lines[..200].join("\n")).unwrap();
        let half = Dataset::read(dir.path()).unwrap();
        assert!(half.valid.iter().all(|example| whole.valid.contains(example)));
        fs::write(dir.path().join("valid.jsonl"), "{\"text\":\"v\"}").unwrap();
        let split = Dataset::read(dir.path()).unwrap();
        assert_eq!((split.train.len(), split.valid.len()), (200, 1));
    }
}
