//! A table of the file, taken apart key by key, so that what is left over is a key that nobody knows.
//!
//! Promise: what comes out is within its bound, and every error says where.

use super::{ConfigError, meant};
use serde_json::{Map, Value};
use std::fmt::Display;

/// Items of a list, and keys of a table whose keys are anybody's.
pub(super) const ITEMS_MAX: usize = 1024;

/// Bytes of a text.
pub(super) const TEXT_BYTES_MAX: usize = 1024;

/// A table that is being taken apart.
pub(super) struct Table {
    path: String,
    left: Map<String, Value>,
    asked: Vec<&'static str>,
}

/// What is wrong with the value at `path`.
pub(super) fn wrong<T>(path: &str, problem: impl Display) -> Result<T, ConfigError> {
    Err(ConfigError { key: path.to_owned(), problem: problem.to_string() })
}

/// What a value is, for people.
fn kind(value: &Value) -> String {
    match value {
        Value::Null => "has no value".to_owned(),
        Value::Bool(is) => format!("is {is}"),
        Value::Number(number) => format!("is {number}"),
        Value::String(text) if text.len() > 40 => "is a text".to_owned(),
        Value::String(text) => format!("is `{text}`"),
        Value::Array(_) => "is a list".to_owned(),
        Value::Object(_) => "is a table".to_owned(),
    }
}

/// A text, or what is wrong with it.
pub(super) fn text(path: &str, value: &Value) -> Result<String, ConfigError> {
    match value {
        Value::String(text) if text.len() > TEXT_BYTES_MAX => {
            wrong(path, format!("has {} bytes; write at most {TEXT_BYTES_MAX}", text.len()))
        }
        Value::String(text) if !text.trim().is_empty() => Ok(text.clone()),
        Value::String(_) => wrong(path, "is empty; write a text, or leave the key out"),
        other => wrong(path, format!("{}; write a text", kind(other))),
    }
}

/// A number, or what is wrong with it.
pub(super) fn number(path: &str, value: &Value, what: &str, ok: impl Fn(f64) -> bool) -> Result<f64, ConfigError> {
    match value.as_f64().filter(|number| number.is_finite() && ok(*number)) {
        Some(number) => Ok(number),
        None => wrong(path, format!("{}; write {what}", kind(value))),
    }
}

impl Table {
    /// The file.
    pub(super) fn whole(left: Map<String, Value>) -> Table {
        Table { path: String::new(), left, asked: Vec::new() }
    }

    /// The table at `path`. One whose keys are all commented out says nothing.
    pub(super) fn of(path: String, value: Value) -> Result<Table, ConfigError> {
        match value {
            Value::Null => Ok(Table { path, left: Map::new(), asked: Vec::new() }),
            Value::Object(left) => Ok(Table { path, left, asked: Vec::new() }),
            other => wrong(&path, format!("{}; write a table of keys and values", kind(&other))),
        }
    }

    /// Where it stands.
    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// The path of one of its keys.
    pub(super) fn at(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    /// Whether the key was written.
    pub(super) fn has(&self, key: &str) -> bool {
        self.left.contains_key(key)
    }

    /// Takes a value out.
    pub(super) fn value(&mut self, key: &'static str) -> Option<Value> {
        self.asked.push(key);
        self.left.shift_remove(key)
    }

    /// Takes a table out and reads it to its end.
    pub(super) fn table<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&mut Table) -> Result<T, ConfigError>,
    ) -> Result<Option<T>, ConfigError> {
        let Some(value) = self.value(key) else { return Ok(None) };
        let mut table = Table::of(self.at(key), value)?;
        let read = read(&mut table)?;
        table.end()?;
        Ok(Some(read))
    }

    /// Takes a list out, with each item's path. One whose items are all commented out is empty.
    pub(super) fn list(&mut self, key: &'static str) -> Result<Vec<(String, Value)>, ConfigError> {
        let path = self.at(key);
        match self.value(key) {
            None | Some(Value::Null) => Ok(Vec::new()),
            Some(Value::Array(items)) if items.len() > ITEMS_MAX => {
                wrong(&path, format!("has {} items; write at most {ITEMS_MAX}", items.len()))
            }
            Some(Value::Array(items)) => {
                Ok(items.into_iter().enumerate().map(|(n, item)| (format!("{path}[{n}]"), item)).collect())
            }
            Some(other) => wrong(&path, format!("{}; write a list", kind(&other))),
        }
    }

    /// Takes a list of texts out.
    pub(super) fn texts(&mut self, key: &'static str) -> Result<Vec<String>, ConfigError> {
        self.list(key)?.iter().map(|(path, item)| text(path, item)).collect()
    }

    /// Takes a text out.
    pub(super) fn text(&mut self, key: &'static str) -> Result<Option<String>, ConfigError> {
        self.value(key).map(|value| text(&self.at(key), &value)).transpose()
    }

    /// Takes out one of the words that are known.
    pub(super) fn word<T: Copy>(&mut self, key: &'static str, known: &[(&str, T)]) -> Result<Option<T>, ConfigError> {
        let Some(value) = self.value(key) else { return Ok(None) };
        one_of(&self.at(key), &value, known).map(Some)
    }

    /// Takes a number out.
    pub(super) fn number(
        &mut self,
        key: &'static str,
        what: &str,
        ok: impl Fn(f64) -> bool,
    ) -> Result<Option<f64>, ConfigError> {
        self.value(key).map(|value| number(&self.at(key), &value, what, ok)).transpose()
    }

    /// Takes out a whole number from `least` to `most`.
    pub(super) fn whole_number(
        &mut self,
        key: &'static str,
        least: u64,
        most: u64,
    ) -> Result<Option<u64>, ConfigError> {
        let Some(value) = self.value(key) else { return Ok(None) };
        match value.as_u64().filter(|number| (least..=most).contains(number)) {
            Some(number) => Ok(Some(number)),
            None => wrong(&self.at(key), format!("{}; write a whole number from {least} to {most}", kind(&value))),
        }
    }

    /// The keys that are left, of a table whose keys are anybody's.
    pub(super) fn rest(&mut self) -> Result<Vec<(String, Value)>, ConfigError> {
        if self.left.len() > ITEMS_MAX {
            return wrong(&self.path, format!("has {} keys; write at most {ITEMS_MAX}", self.left.len()));
        }
        Ok(std::mem::take(&mut self.left).into_iter().collect())
    }

    /// Nothing may be left.
    pub(super) fn end(&self) -> Result<(), ConfigError> {
        match self.left.keys().next() {
            None => Ok(()),
            Some(key) => wrong(&self.at(key), format!("is no key; {}", meant(key, self.asked.iter().copied()))),
        }
    }
}

/// Which of the words that are known `value` is. YAML's older readers take `off` for false, and so may this one.
pub(super) fn one_of<T: Copy>(path: &str, value: &Value, known: &[(&str, T)]) -> Result<T, ConfigError> {
    let word = match value {
        Value::Bool(false) => "off",
        Value::String(word) => word,
        other => {
            let words: Vec<&str> = known.iter().map(|(word, _)| *word).collect();
            return wrong(path, format!("{}; write one of {}", kind(other), words.join(", ")));
        }
    };
    match known.iter().find(|(name, _)| *name == word) {
        Some((_, meaning)) => Ok(*meaning),
        None => wrong(path, format!("{}; {}", kind(value), meant(word, known.iter().map(|(name, _)| *name)))),
    }
}
