//! What a tool's JSON schema says of an argument that a model wrote as text.
//!
//! Only types are read: whether a value is in range is for whoever runs the tool.

use serde_json::Value;

/// Schemas within schemas that are looked into.
const DEPTH_MAX: usize = 8;

/// The types that an argument may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Types {
    string: bool,
    number: bool,
    integer: bool,
    boolean: bool,
    object: bool,
    array: bool,
    null: bool,
}

impl Types {
    fn of(schema: &Value, depth: usize) -> Types {
        let mut types = Types::default();
        if depth == 0 {
            return types;
        }
        match &schema["type"] {
            Value::String(name) => types.add(name),
            Value::Array(names) => names.iter().filter_map(Value::as_str).for_each(|name| types.add(name)),
            _ => {}
        }
        for among in ["anyOf", "oneOf", "allOf"] {
            for schema in schema[among].as_array().into_iter().flatten() {
                types = types.or(Types::of(schema, depth - 1));
            }
        }
        if types == Types::default() {
            let values = schema["enum"].as_array().map(Vec::as_slice).unwrap_or_default();
            values.iter().chain(schema.get("const")).for_each(|value| types.add(name_of(value)));
        }
        types
    }

    fn add(&mut self, name: &str) {
        match name {
            "string" => self.string = true,
            "number" => self.number = true,
            "integer" => self.integer = true,
            "boolean" => self.boolean = true,
            "object" => self.object = true,
            "array" => self.array = true,
            "null" => self.null = true,
            _ => {}
        }
    }

    fn or(self, other: Types) -> Types {
        Types {
            string: self.string || other.string,
            number: self.number || other.number,
            integer: self.integer || other.integer,
            boolean: self.boolean || other.boolean,
            object: self.object || other.object,
            array: self.array || other.array,
            null: self.null || other.null,
        }
    }

    fn allow(self, value: &Value) -> bool {
        match value {
            Value::String(_) => self.string,
            Value::Number(number) => {
                self.number || (self.integer && number.as_f64().is_some_and(|it| it.fract() == 0.0))
            }
            Value::Bool(_) => self.boolean,
            Value::Object(_) => self.object,
            Value::Array(_) => self.array,
            Value::Null => self.null,
        }
    }
}

fn name_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// The value that `text` stands for where a tool's argument has `schema`: text where that is what is wanted, anything else read as JSON.
/// Qwen's template writes `True`, `False` and `None` as Python does, so these are read too. `None` where the text is of no type that the
/// schema allows.
pub(super) fn value(text: &str, schema: &Value) -> Option<Value> {
    let types = Types::of(schema, DEPTH_MAX);
    let says_nothing = types == Types::default();
    let read = match text.trim() {
        "True" => Some(Value::Bool(true)),
        "False" => Some(Value::Bool(false)),
        "None" => Some(Value::Null),
        text => serde_json::from_str(text).ok(),
    };
    // What is JSON of a string is a string with quotes around it: those belong to the text.
    let read = read.filter(|value: &Value| !value.is_string() && (says_nothing || types.allow(value)));
    read.or_else(|| (says_nothing || types.string).then(|| Value::from(text)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn arguments_have_the_types_of_their_schema() {
        for (schema, text, expected) in [
            (json!({"type": "string"}), "5", Some(json!("5"))),
            (json!({"type": "string"}), "\"a\"", Some(json!("\"a\""))),
            (json!({"type": "integer"}), "5", Some(json!(5))),
            (json!({"type": "integer"}), "5.5", None),
            (json!({"type": "integer"}), "five", None),
            (json!({"type": "number"}), " 5.5 ", Some(json!(5.5))),
            (json!({"type": "boolean"}), "true", Some(json!(true))),
            (json!({"type": "boolean"}), "False", Some(json!(false))),
            (json!({"type": "object"}), "{\"a\": [1]}", Some(json!({"a": [1]}))),
            (json!({"type": "array"}), "{\"a\": [1]}", None),
            (json!({"type": ["string", "null"]}), "None", Some(json!(null))),
            (json!({"type": ["string", "null"]}), "Nobody", Some(json!("Nobody"))),
            (json!({"anyOf": [{"type": "integer"}, {"type": "string"}]}), "7", Some(json!(7))),
            (json!({"enum": [1, 2]}), "2", Some(json!(2))),
            (json!({"enum": ["1", "2"]}), "2", Some(json!("2"))),
            (json!({}), "2", Some(json!(2))),
            (json!({"$ref": "#/x"}), "two", Some(json!("two"))),
            (json!(null), "[1]", Some(json!([1]))),
        ] {
            assert_eq!(value(text, &schema), expected, "{schema} {text}");
        }
    }

    proptest! {
        #[test]
        fn text_stays_as_it_is(text in any::<String>()) {
            prop_assert_eq!(value(&text, &json!({"type": "string"})), Some(Value::from(text)));
        }

        #[test]
        fn what_is_written_as_json_is_read_as_such(numbers in proptest::collection::vec(any::<i64>(), 0..5), key in ".{0,5}") {
            let value_written = json!({ key: numbers });
            prop_assert_eq!(value(&value_written.to_string(), &json!({"type": "object"})), Some(value_written));
        }
    }
}
