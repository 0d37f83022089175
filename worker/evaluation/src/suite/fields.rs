//! A table of keys and values that is taken apart key by key, so that what is left over was meant for something else.
//!
//! Promise: every text, list and number that comes out is within its bound, and every error says where and what.

use crate::python::{Case, Pattern};
use serde_json::{Map, Value};
use std::fmt;
use thiserror::Error;
use vertigo::spelling;

/// The longest text of a task, in bytes: a prompt, a test, an answer.
pub(super) const TEXT_BYTES_MAX: usize = 256 << 10;

/// The longest name of anything, in bytes.
pub(super) const NAME_BYTES_MAX: usize = 200;

/// The most items of any list within a task.
pub(super) const ITEMS_MAX: usize = 64;

/// The longest value that is kept as it came, such as a tool's schema, in bytes of JSON.
const VALUE_BYTES_MAX: usize = 64 << 10;

/// What is wrong with a suite.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{file}: {said}")]
pub struct SuiteError {
    /// The file, by its path within the suite.
    pub file: String,
    /// The place in it, what is wrong there, and what to do.
    pub said: String,
}

/// Where in a file something is: `checks.tool_calls[0]`.
#[derive(Debug, Clone)]
pub(super) struct Place<'f> {
    pub file: &'f str,
    path: String,
}

impl<'f> Place<'f> {
    pub(super) fn at(file: &'f str) -> Place<'f> {
        Place { file, path: String::new() }
    }

    pub(super) fn key(&self, key: &str) -> Place<'f> {
        let dot = if self.path.is_empty() { "" } else { "." };
        Place { file: self.file, path: format!("{}{dot}{key}", self.path) }
    }

    pub(super) fn item(&self, n: usize) -> Place<'f> {
        Place { file: self.file, path: format!("{}[{n}]", self.path) }
    }

    pub(super) fn error(&self, said: impl fmt::Display) -> SuiteError {
        let said = if self.path.is_empty() { said.to_string() } else { format!("`{}` {said}", self.path) };
        SuiteError { file: self.file.to_owned(), said }
    }

    pub(super) fn text(&self, value: Value, bytes_max: usize) -> Result<String, SuiteError> {
        match value {
            Value::String(text) if text.len() <= bytes_max => Ok(text),
            Value::String(text) => {
                Err(self.error(format!("has {} bytes, and at most {bytes_max} are read", text.len())))
            }
            other => Err(self.error(format!("is {}; write a text", kind(&other)))),
        }
    }

    pub(super) fn list(&self, value: Value) -> Result<Vec<(Place<'f>, Value)>, SuiteError> {
        match value {
            Value::Array(items) if items.len() <= ITEMS_MAX => {
                Ok(items.into_iter().enumerate().map(|(n, item)| (self.item(n), item)).collect())
            }
            Value::Array(items) => {
                Err(self.error(format!("has {} items, and at most {ITEMS_MAX} are read", items.len())))
            }
            other => Err(self.error(format!("is {}; write a list", kind(&other)))),
        }
    }

    pub(super) fn names(&self, value: Value) -> Result<Vec<String>, SuiteError> {
        self.list(value)?.into_iter().map(|(place, item)| place.text(item, NAME_BYTES_MAX)).collect()
    }

    pub(super) fn patterns(&self, value: Value, case: Case) -> Result<Vec<String>, SuiteError> {
        let items = self.list(value)?.into_iter();
        items.map(|(place, item)| place.pattern(item, case)).collect()
    }

    pub(super) fn pattern(&self, value: Value, case: Case) -> Result<String, SuiteError> {
        let written = self.text(value, TEXT_BYTES_MAX)?;
        Pattern::new(&written, case).map_err(|error| self.error(format!("is no pattern: {error}")))?;
        Ok(written)
    }

    /// A value that is kept as it came.
    pub(super) fn value(&self, value: Value) -> Result<Value, SuiteError> {
        let bytes = value.to_string().len();
        if bytes > VALUE_BYTES_MAX {
            return Err(self.error(format!("has {bytes} bytes as JSON, and at most {VALUE_BYTES_MAX} are read")));
        }
        Ok(value)
    }

    pub(super) fn whole(&self, value: &Value, least: u32, most: u32) -> Result<u32, SuiteError> {
        let number = value.as_u64().and_then(|n| u32::try_from(n).ok()).filter(|n| (least..=most).contains(n));
        number.ok_or_else(|| self.error(format!("is {value}; write a whole number from {least} to {most}")))
    }

    pub(super) fn flag(&self, value: &Value) -> Result<bool, SuiteError> {
        value.as_bool().ok_or_else(|| self.error(format!("is {value}; write true or false")))
    }

    pub(super) fn fields(&self, value: Value) -> Result<Fields<'f>, SuiteError> {
        match value {
            Value::Object(map) => Ok(Fields { place: self.clone(), map, known: Vec::new() }),
            other => Err(self.error(format!("is {}; write keys and values", kind(&other)))),
        }
    }
}

/// A table that is being taken apart.
pub(super) struct Fields<'f> {
    pub place: Place<'f>,
    map: Map<String, Value>,
    known: Vec<&'static str>,
}

impl<'f> Fields<'f> {
    /// The value of a key, with its place. A key whose value is null is not there.
    pub(super) fn take(&mut self, key: &'static str) -> Option<(Place<'f>, Value)> {
        self.known.push(key);
        let value = self.map.shift_remove(key).filter(|value| !value.is_null())?;
        Some((self.place.key(key), value))
    }

    pub(super) fn required(&mut self, key: &'static str) -> Result<(Place<'f>, Value), SuiteError> {
        self.take(key).ok_or_else(|| self.place.error(format!("lacks the key `{key}`")))
    }

    /// A name: short, and not empty.
    pub(super) fn name(&mut self, key: &'static str) -> Result<String, SuiteError> {
        let (place, value) = self.required(key)?;
        let name = place.text(value, NAME_BYTES_MAX)?;
        if name.trim().is_empty() || name.chars().any(char::is_control) {
            return Err(place.error("is empty or has control characters; write a name"));
        }
        Ok(name)
    }

    pub(super) fn text(&mut self, key: &'static str) -> Result<Option<String>, SuiteError> {
        self.take(key).map(|(place, value)| place.text(value, TEXT_BYTES_MAX)).transpose()
    }

    pub(super) fn names(&mut self, key: &'static str) -> Result<Vec<String>, SuiteError> {
        Ok(self.take(key).map(|(place, value)| place.names(value)).transpose()?.unwrap_or_default())
    }

    pub(super) fn whole(&mut self, key: &'static str, least: u32, most: u32) -> Result<Option<u32>, SuiteError> {
        self.take(key).map(|(place, value)| place.whole(&value, least, most)).transpose()
    }

    pub(super) fn flag(&mut self, key: &'static str) -> Result<Option<bool>, SuiteError> {
        self.take(key).map(|(place, value)| place.flag(&value)).transpose()
    }

    pub(super) fn number(&mut self, key: &'static str, least: f64, most: f64) -> Result<Option<f64>, SuiteError> {
        let Some((place, value)) = self.take(key) else { return Ok(None) };
        let number = value.as_f64().filter(|n| (least..=most).contains(n));
        number.map(Some).ok_or_else(|| place.error(format!("is {value}; write a number from {least} to {most}")))
    }

    /// What is left is a mistake.
    pub(super) fn finish(self) -> Result<(), SuiteError> {
        let Some((key, _)) = self.map.iter().find(|(_, value)| !value.is_null()) else { return Ok(()) };
        let key = vertigo::bounds::shorten(key, NAME_BYTES_MAX);
        let hint = match spelling::nearest(&key, self.known.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("there are {}", self.known.join(", ")),
        };
        Err(self.place.error(format!("has a key `{key}` that means nothing; {hint}")))
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a table",
    }
}
