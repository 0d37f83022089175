//! What a tool's JSON schema says of an argument that a model wrote as text.
//!
//! Only types are read: whether a value is in range is for whoever runs the tool.

use serde_json::Value;

/// Schemas within schemas that are looked into.
const DEPTH_MAX: usize = 8;

/// Schemas that are looked into for one argument: those that refer to themselves have no end.
const SCHEMAS_MAX: usize = 256;

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

/// A look into an argument's schema.
struct Look<'a> {
    /// The schema of all arguments, within which references lead.
    root: &'a Value,
    /// How many schemas may still be looked into.
    left: usize,
}

impl<'a> Look<'a> {
    /// The types that `schema` allows; `None` where it says nothing of them, and so allows all.
    fn types(&mut self, schema: &Value, depth: usize) -> Option<Types> {
        if depth == 0 || self.left == 0 {
            return None;
        }
        self.left -= 1;
        let mut types = Types::default();
        match &schema["type"] {
            Value::String(name) => types.add(name),
            Value::Array(names) => names.iter().filter_map(Value::as_str).for_each(|name| types.add(name)),
            _ => {}
        }
        if let Some(referred) = self.referred(schema) {
            types = types.or(self.types(referred, depth - 1).unwrap_or_default());
        }
        for among in ["anyOf", "oneOf"] {
            let Some(members) = schema[among].as_array() else { continue };
            let members: Option<Vec<Types>> = members.iter().map(|member| self.types(member, depth - 1)).collect();
            match members {
                Some(members) => types = members.into_iter().fold(types, Types::or),
                // A member that allows all has the whole allow all, unless a type beside it says less.
                None if types == Types::default() => return None,
                None => {}
            }
        }
        // Of members that all hold, one that says nothing takes nothing away.
        for member in schema["allOf"].as_array().into_iter().flatten() {
            types = types.or(self.types(member, depth - 1).unwrap_or_default());
        }
        if types == Types::default() {
            let values = schema["enum"].as_array().map(Vec::as_slice).unwrap_or_default();
            values.iter().chain(schema.get("const")).for_each(|value| types.add(name_of(value)));
        }
        (types != Types::default()).then_some(types)
    }

    /// What a schema refers to, as pydantic writes it: `{"$ref": "#/$defs/NAME"}`. Nothing outside of the tool is looked up.
    fn referred(&self, schema: &Value) -> Option<&'a Value> {
        self.root.pointer(schema["$ref"].as_str()?.strip_prefix('#')?)
    }
}

impl Types {
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

/// The value that `text` stands for where a tool's argument has `schema`, which may refer to parts of `root`: text where that is what is
/// wanted, anything else read as JSON. Qwen's template writes `True`, `False` and `None` as Python does, so these are read too. `None`
/// where the text is of no type that the schema allows.
pub(super) fn value(text: &str, schema: &Value, root: &Value) -> Option<Value> {
    let types = Look { root, left: SCHEMAS_MAX }.types(schema, DEPTH_MAX);
    let read = match text.trim() {
        "True" => Some(Value::Bool(true)),
        "False" => Some(Value::Bool(false)),
        "None" => Some(Value::Null),
        text => serde_json::from_str(text).ok(),
    };
    // What is JSON of a string is a string with quotes around it: those belong to the text.
    let read = read.filter(|value: &Value| !value.is_string() && types.is_none_or(|types| types.allow(value)));
    read.or_else(|| types.is_none_or(|types| types.string).then(|| Value::from(text)))
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
            assert_eq!(value(text, &schema, &Value::Null), expected, "{schema} {text}");
        }
    }

    #[test]
    fn an_argument_that_may_be_left_out_may_refer_to_another_schema() {
        let root = json!({"$defs": {
            "Color": {"enum": ["red", "5"], "type": "string"},
            "Place": {"type": "object", "properties": {}},
            "Loop": {"anyOf": [{"$ref": "#/$defs/Loop"}, {"$ref": "#/$defs/Loop"}]},
        }});
        for (reference, text, expected) in [
            ("#/$defs/Color", "5", Some(json!("5"))),
            ("#/$defs/Color", "None", Some(json!(null))),
            ("#/$defs/Place", "{\"x\": 1}", Some(json!({"x": 1}))),
            ("#/$defs/Place", "here", None),
            // Of what is not known anything may be said.
            ("https://example.org/x", "{\"x\": 1}", Some(json!({"x": 1}))),
            ("#/$defs/None", "red", Some(json!("red"))),
            ("#/$defs/Loop", "[1]", Some(json!([1]))),
        ] {
            for among in ["anyOf", "oneOf"] {
                let schema = json!({among: [{"$ref": reference}, {"type": "null"}]});
                assert_eq!(value(text, &schema, &root), expected, "{schema} {text}");
            }
        }
    }

    proptest! {
        #[test]
        fn text_stays_as_it_is(text in any::<String>()) {
            let read = value(&text, &json!({"type": "string"}), &Value::Null);
            prop_assert_eq!(read, Some(Value::from(text)));
        }

        #[test]
        fn what_is_written_as_json_is_read_as_such(numbers in proptest::collection::vec(any::<i64>(), 0..5), key in ".{0,5}") {
            let value_written = json!({ key: numbers });
            let read = value(&value_written.to_string(), &json!({"type": "object"}), &Value::Null);
            prop_assert_eq!(read, Some(value_written));
        }
    }
}
