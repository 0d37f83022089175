//! JSON, read more strictly than serde reads it: a key that stands twice is an error, since readers disagree about which counts, and so is
//! what is nested deeper than other readers go.
//!
//! Promise: any text is a value or a reason why not, in little stack.

use crate::secrets;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use std::cell::{Cell, RefCell};
use std::fmt;

/// Lists and objects in one another. What is written again is a little deeper, and serde and the trainers' readers go to 128.
pub(super) const NESTING_MAX: usize = 64;

/// Values of one text, those within others too. A value takes many times its bytes in memory, and a conversation has few.
pub(super) const VALUES_MAX: usize = 200_000;

/// Bytes of a key that are quoted.
const KEY_BYTES_MAX: usize = 40;

/// Why a text is no value.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Broken {
    /// It is not JSON, with serde's words and the place.
    Json(String),
    /// The key that stands twice.
    DuplicateKey(String),
    /// Lists and objects go too deep.
    TooDeep,
    /// There are more values than a conversation has.
    TooMany,
}

/// Reads a text that is one value, of which `depth` lists and objects may be in one another.
pub(super) fn parse(text: &str, depth: usize) -> Result<Value, Broken> {
    let (broken, left) = (RefCell::new(None), Cell::new(VALUES_MAX));
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let read = Strict { depth, left: &left, broken: &broken }.deserialize(&mut deserializer);
    let read = read.and_then(|value| deserializer.end().map(|()| value));
    read.map_err(|error| broken.take().unwrap_or_else(|| Broken::Json(said(&error))))
}

/// serde's words. Its line is always the first, since the text is one line.
fn said(error: &serde_json::Error) -> String {
    let words = error.to_string();
    let words = words.rsplit_once(" at line ").map_or(words.as_str(), |(words, _)| words);
    format!("{words} at column {}", error.column())
}

/// What a value is, for people.
pub(super) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

struct Strict<'b> {
    depth: usize,
    left: &'b Cell<usize>,
    broken: &'b RefCell<Option<Broken>>,
}

impl Strict<'_> {
    /// For one more value, a level further down.
    fn inner<E: Error>(&self) -> Result<Strict<'_>, E> {
        let Some(depth) = self.depth.checked_sub(1) else { return self.give_up(Broken::TooDeep) };
        let Some(left) = self.left.get().checked_sub(1) else { return self.give_up(Broken::TooMany) };
        self.left.set(left);
        Ok(Strict { depth, left: self.left, broken: self.broken })
    }

    fn give_up<T, E: Error>(&self, why: Broken) -> Result<T, E> {
        *self.broken.borrow_mut() = Some(why);
        Err(E::custom("refused"))
    }
}

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        self.inner::<A::Error>()?;
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(self.inner::<A::Error>()?)? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Value, A::Error> {
        self.inner::<A::Error>()?;
        let mut map = Map::new();
        while let Some(key) = fields.next_key::<String>()? {
            if map.contains_key(&key) {
                let quoted = beginning(&key, KEY_BYTES_MAX);
                return self.give_up(Broken::DuplicateKey(format!("`{quoted}`")));
            }
            let value = fields.next_value_seed(self.inner::<A::Error>()?)?;
            map.insert(key, value);
        }
        Ok(Value::Object(map))
    }
}

/// How much of a name is looked through for secrets: more than is ever quoted, so that none is cut before it is known for one.
const LOOKED_BYTES_MAX: usize = 4096;

/// The beginning of a name that somebody wrote, without secrets.
pub(super) fn beginning(name: &str, bytes_max: usize) -> String {
    let name = &name[..name.floor_char_boundary(LOOKED_BYTES_MAX)];
    let mut name = secrets::redacted(name).unwrap_or_else(|| name.to_owned());
    name.truncate(name.floor_char_boundary(bytes_max));
    name
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_key_that_stands_twice_is_found_at_any_depth() {
        for (text, key) in [
            (r#"{"a":1,"a":2}"#, "`a`"),
            (r#"{"b":[{"x":{"a":1,"c":2,"a":1}}]}"#, "`a`"),
            (r#"{"a":1,"\u0061":1}"#, "`a`"),
            (r#"{"":1,"":1}"#, "``"),
        ] {
            assert_eq!(parse(text, 9), Err(Broken::DuplicateKey(key.to_owned())), "{text}");
        }
        assert!(parse(r#"{"a":{"a":[{"a":1},{"a":1}]}}"#, 9).is_ok());
    }

    #[test]
    fn what_is_too_deep_is_found_before_the_stack_ends() {
        assert!(parse("[[[]]]", 3).is_ok());
        assert_eq!(parse("[[[[]]]]", 3), Err(Broken::TooDeep));
        assert_eq!(parse(r#"[{"a":[{}]}]"#, 3), Err(Broken::TooDeep));
        for open in ["[", "{\"a\":"] {
            assert_eq!(parse(&open.repeat(100_000), NESTING_MAX), Err(Broken::TooDeep));
        }
    }

    #[test]
    fn what_would_take_much_memory_is_not_read_to_its_end() {
        let list = |values: usize| format!("[{}0]", "0,".repeat(values - 1));
        assert!(parse(&list(VALUES_MAX - 3), 9).is_ok());
        assert_eq!(parse(&list(VALUES_MAX), 9), Err(Broken::TooMany));
        let objects = format!("[{}{{}}]", "{\"a\":[]},".repeat(VALUES_MAX / 2));
        assert_eq!(parse(&objects, 9), Err(Broken::TooMany));
    }

    #[test]
    fn what_is_not_json_has_its_column() {
        assert_eq!(parse("{\"a\":}", 9), Err(Broken::Json("expected value at column 6".to_owned())));
        for text in ["", "nul", "1 2", "{\"a\":1}}", "\"\\ud800\"", "1e999", "NaN", "{'a':1}"] {
            assert!(matches!(parse(text, 9), Err(Broken::Json(_))), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_serde_reads_is_read_alike(text in "([0-9]{1,3}|-1|0\\.5|1e3|\"[a-z\\\\n]{0,3}\"|null|true|\\[|\\]|\\{|\\}|,|\"[ab]\":|:| ){0,14}") {
            let ours = parse(&text, NESTING_MAX);
            match serde_json::from_str::<Value>(&text) {
                Ok(theirs) => prop_assert!(ours == Ok(theirs) || matches!(ours, Err(Broken::DuplicateKey(_)))),
                Err(_) => prop_assert!(ours.is_err()),
            }
        }
    }
}
