//! The fields of a request, each with its type and its range.
//!
//! Promise: an error names the field. A field that is `null` is one that is not there, as clients send it; one that nobody asks for is
//! passed over.

use super::error::ApiError;
use serde_json::{Map, Value};
use std::fmt::Display;
use std::ops::RangeInclusive;

type Result<T> = std::result::Result<T, ApiError>;

/// The fields of an object.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fields<'a> {
    object: &'a Map<String, Value>,
    /// Where the object stands, with a dot at the end unless it is the request itself.
    place: &'a str,
}

impl<'a> Fields<'a> {
    /// Of an object at `place`.
    pub(super) fn of(value: &'a Value, place: &'a str) -> Result<Fields<'a>> {
        match value.as_object() {
            Some(object) => Ok(Fields { object, place }),
            None if place.is_empty() => {
                Err(ApiError::invalid(format!("the request is to be an object, not {}", kind(value))))
            }
            None => Err(wrong(place.trim_end_matches('.'), "an object", value)),
        }
    }

    /// The same of what is known to be an object.
    pub(super) fn of_object(object: &'a Map<String, Value>, place: &'a str) -> Fields<'a> {
        Fields { object, place }
    }

    /// The name of a field, as errors say it.
    pub(super) fn name(&self, key: &str) -> String {
        format!("{}{key}", self.place)
    }

    /// A field as it is.
    pub(super) fn get(&self, key: &str) -> Option<&'a Value> {
        self.object.get(key).filter(|value| !value.is_null())
    }

    fn read<T>(&self, key: &str, what: &str, read: impl FnOnce(&'a Value) -> Option<T>) -> Result<Option<T>> {
        self.get(key).map(|value| read(value).ok_or_else(|| wrong(&self.name(key), what, value))).transpose()
    }

    /// Text of at most `bytes_max` bytes.
    pub(super) fn text(&self, key: &str, bytes_max: usize) -> Result<Option<&'a str>> {
        let text = self.read(key, "text", Value::as_str)?;
        match text.filter(|text| text.len() > bytes_max) {
            None => Ok(text),
            Some(_) => Err(ApiError::field(self.name(key), format!("has more than {bytes_max} bytes"))),
        }
    }

    /// Yes or no.
    pub(super) fn flag(&self, key: &str) -> Result<Option<bool>> {
        self.read(key, "true or false", Value::as_bool)
    }

    /// A number within a range.
    pub(super) fn number(&self, key: &str, range: RangeInclusive<f64>) -> Result<Option<f64>> {
        let number = self.read(key, "a number", Value::as_f64)?;
        self.within(key, number, &range)
    }

    /// A whole number within a range.
    pub(super) fn count(&self, key: &str, range: RangeInclusive<u64>) -> Result<Option<usize>> {
        // Every whole number that JSON can say, so that one that is too large or negative is told from one that is none.
        let number = self.read(key, "a whole number", |value| {
            let whole = value.as_i64().map(i128::from).or(value.as_u64().map(i128::from));
            // What is past 64 bits comes as a float.
            whole.or(value.as_f64().filter(|it| it.abs() > 9e18).map(|it| it as i128))
        })?;
        let range = i128::from(*range.start())..=i128::from(*range.end());
        let number = self.within(key, number, &range)?;
        Ok(number.and_then(|number| usize::try_from(number).ok()))
    }

    fn within<T: PartialOrd + Display>(
        &self,
        key: &str,
        number: Option<T>,
        range: &RangeInclusive<T>,
    ) -> Result<Option<T>> {
        match number {
            Some(number) if !range.contains(&number) => {
                let (least, most) = (range.start(), range.end());
                Err(ApiError::field(self.name(key), format!("is {number}, and may be from {least} to {most}")))
            }
            number => Ok(number),
        }
    }

    /// A list of at most `items_max`.
    pub(super) fn list(&self, key: &str, items_max: usize) -> Result<Option<&'a [Value]>> {
        let list = self.read(key, "a list", |value| value.as_array().map(Vec::as_slice))?;
        match list.filter(|list| list.len() > items_max) {
            None => Ok(list),
            Some(list) => Err(ApiError::field(
                self.name(key),
                format!("has {} items, and at most {items_max} are taken", list.len()),
            )),
        }
    }

    /// An object.
    pub(super) fn object(&self, key: &str) -> Result<Option<&'a Map<String, Value>>> {
        self.read(key, "an object", Value::as_object)
    }

    /// Refuses a field that would change the answer and cannot be obeyed: passing over it would be to answer something else.
    pub(super) fn refuse(&self, key: &str, is_harmless: impl FnOnce(&Value) -> bool, instead: &str) -> Result<()> {
        match self.get(key) {
            Some(value) if !is_harmless(value) => {
                Err(ApiError::field(self.name(key), format!("is not supported: {instead}")))
            }
            _ => Ok(()),
        }
    }
}

/// The error of a value of another type.
pub(super) fn wrong(name: &str, what: &str, value: &Value) -> ApiError {
    ApiError::field(name, format!("is to be {what}, not {}", kind(value)))
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(number) if number.is_f64() => "a number with a fraction",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}
