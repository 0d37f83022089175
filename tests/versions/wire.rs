//! What a program that speaks one protocol misreads of another: the rules of the wire, as a function of two sets of descriptors.
//!
//! Promise: what [`breaks`] finds nothing in, both read alike: all that the older one can say means to the newer one what it meant, and
//! what the newer one says in the older one's words means that too. They are the rules that buf calls WIRE and WIRE_JSON, but for one
//! that is stricter: a field keeps its type, also where another would have the same bytes. Names count because the JSON of a message is
//! part of what we promise. Messages, services and calls are never removed; fields and values are where their number and name are
//! reserved.

use prost_types::field_descriptor_proto::Label;
use prost_types::{
    DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorProto, FileDescriptorSet,
    ServiceDescriptorProto,
};
use std::collections::BTreeMap;
use std::path::Path;

/// The protocol whose files lie in `folder`, compiled as `build.rs` does it.
///
/// # Errors
/// What is wrong with them, and where.
pub(crate) fn compile(folder: &Path) -> Result<FileDescriptorSet, String> {
    let package = folder.join("vertigo/v1");
    let listed = std::fs::read_dir(&package).map_err(|error| format!("{}: {error}", package.display()))?;
    let mut files: Vec<_> = listed.filter_map(|entry| Some(entry.ok()?.path())).collect();
    files.sort();
    protox::compile(files, [folder]).map_err(|error| format!("{error:?}"))
}

/// What of `before` is not in `after` as it was, each a sentence of its own.
pub(crate) fn breaks(before: &FileDescriptorSet, after: &FileDescriptorSet) -> Vec<String> {
    let (before, after) = (table(before), table(after));
    before.iter().flat_map(|(thing, facts)| broken(thing, facts, &after)).collect()
}

/// Something that a peer counts on. Fields and values are what their number says, everything else is what its name says.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Thing {
    Message(String),
    Field(String, i32),
    Enum(String),
    Value(String, i32),
    Service(String),
    Call(String),
    /// A number of a field or value that is never to be used again, and a name. Ranges are kept by both of their ends.
    ReservedNumbers(String, i32, i32),
    ReservedName(String, String),
}

impl std::fmt::Display for Thing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Thing::Message(name) => write!(f, "message {name}"),
            Thing::Field(message, number) => write!(f, "field {number} of {message}"),
            Thing::Enum(name) => write!(f, "enum {name}"),
            Thing::Value(name, number) => write!(f, "value {number} of {name}"),
            Thing::Service(name) => write!(f, "service {name}"),
            Thing::Call(name) => write!(f, "call {name}"),
            Thing::ReservedNumbers(owner, first, last) => write!(f, "the reservation of {first} to {last} in {owner}"),
            Thing::ReservedName(owner, name) => write!(f, "the reservation of `{name}` in {owner}"),
        }
    }
}

/// What is said of a thing, by what it says: `type` is `uint64`.
type Facts = BTreeMap<&'static str, String>;

type Table = BTreeMap<Thing, Facts>;

fn broken(thing: &Thing, facts: &Facts, after: &Table) -> Vec<String> {
    let Some(now) = after.get(thing) else {
        return if is_given_up(thing, facts, after) {
            Vec::new()
        } else {
            vec![format!("{thing} is gone{}", called(facts))]
        };
    };
    let changed = facts.iter().filter(|(fact, was)| now.get(*fact) != Some(*was));
    let sentence = |(fact, was): (&&'static str, &String)| {
        let is = now.get(*fact).map_or("nothing", String::as_str);
        format!("{thing}{}: its {fact} was {was} and is {is}", called(facts))
    };
    changed.map(sentence).collect()
}

fn called(facts: &Facts) -> String {
    facts.get("name").map(|name| format!(", `{name}`")).unwrap_or_default()
}

/// Whether a thing went in the one way in which nobody can take another for it later.
fn is_given_up(thing: &Thing, facts: &Facts, after: &Table) -> bool {
    match thing {
        Thing::Field(owner, number) | Thing::Value(owner, number) => {
            let names = facts.get("name").map(|name| name.split(", ").collect::<Vec<_>>()).unwrap_or_default();
            let holds = |name: &&str| after.contains_key(&Thing::ReservedName(owner.clone(), (*name).to_owned()));
            are_reserved(owner, *number, *number, after) && names.iter().all(holds)
        }
        // A wider range has taken it in.
        Thing::ReservedNumbers(owner, first, last) => are_reserved(owner, *first, *last, after),
        _ => false,
    }
}

fn are_reserved(owner: &str, from: i32, to: i32, after: &Table) -> bool {
    let covers = |thing: &Thing| matches!(thing, Thing::ReservedNumbers(it, first, last) if it == owner && *first <= from && to <= *last);
    after.keys().any(covers)
}

fn table(set: &FileDescriptorSet) -> Table {
    let mut table = Table::new();
    for file in &set.file {
        let package = format!(".{}", file.package());
        file.message_type.iter().for_each(|message| add_message(&package, message, file, &mut table));
        file.enum_type.iter().for_each(|it| add_enum(&package, it, file, &mut table));
        file.service.iter().for_each(|service| add_service(&package, service, &mut table));
    }
    table
}

/// In proto2 absence and unknown values mean something else than in proto3.
fn syntax(file: &FileDescriptorProto) -> Facts {
    Facts::from([("syntax", file.syntax.clone().unwrap_or_else(|| "proto2".to_owned()))])
}

fn add_message(scope: &str, message: &DescriptorProto, file: &FileDescriptorProto, table: &mut Table) {
    let name = format!("{scope}.{}", message.name());
    table.insert(Thing::Message(name.clone()), syntax(file));
    for field in &message.field {
        table.insert(Thing::Field(name.clone(), field.number()), field_facts(field, message));
    }
    // The end of a message's range is the first number after it.
    let ranges = message.reserved_range.iter().map(|range| (range.start(), range.end() - 1));
    add_reserved(&name, ranges, &message.reserved_name, table);
    message.nested_type.iter().for_each(|nested| add_message(&name, nested, file, table));
    message.enum_type.iter().for_each(|nested| add_enum(&name, nested, file, table));
}

fn field_facts(field: &FieldDescriptorProto, message: &DescriptorProto) -> Facts {
    let oneof = field.oneof_index.and_then(|index| message.oneof_decl.get(usize::try_from(index).ok()?));
    // An optional field is in a oneof of its own that nobody wrote.
    let oneof = oneof.filter(|_| !field.proto3_optional()).map_or("none", |oneof| oneof.name());
    let kind = match &field.type_name {
        Some(name) => format!("{:?} {name}", field.r#type()),
        None => format!("{:?}", field.r#type()),
    };
    Facts::from([
        ("name", field.name().to_owned()),
        ("name in JSON", field.json_name().to_owned()),
        ("type", kind),
        ("cardinality", cardinality(field)),
        ("oneof", oneof.to_owned()),
    ])
}

fn cardinality(field: &FieldDescriptorProto) -> String {
    match field.label() {
        Label::Optional if field.proto3_optional() => "one that may be absent".to_owned(),
        Label::Optional => "one".to_owned(),
        Label::Required => "one that must be there".to_owned(),
        Label::Repeated => "any number".to_owned(),
    }
}

fn add_enum(scope: &str, it: &EnumDescriptorProto, file: &FileDescriptorProto, table: &mut Table) {
    let name = format!("{scope}.{}", it.name());
    table.insert(Thing::Enum(name.clone()), syntax(file));
    for value in &it.value {
        // Of several names for one number the first is written into JSON, so their order counts too.
        let names = table.entry(Thing::Value(name.clone(), value.number())).or_default().entry("name").or_default();
        *names = if names.is_empty() { value.name().to_owned() } else { format!("{names}, {}", value.name()) };
    }
    let ranges = it.reserved_range.iter().map(|range| (range.start(), range.end()));
    add_reserved(&name, ranges, &it.reserved_name, table);
}

fn add_reserved(owner: &str, ranges: impl Iterator<Item = (i32, i32)>, names: &[String], table: &mut Table) {
    table.extend(ranges.map(|(first, last)| (Thing::ReservedNumbers(owner.to_owned(), first, last), Facts::new())));
    table.extend(names.iter().map(|name| (Thing::ReservedName(owner.to_owned(), name.clone()), Facts::new())));
}

fn add_service(scope: &str, service: &ServiceDescriptorProto, table: &mut Table) {
    let name = format!("{scope}.{}", service.name());
    table.insert(Thing::Service(name.clone()), Facts::new());
    for call in &service.method {
        let streams = |is_streamed| if is_streamed { "a stream" } else { "one message" }.to_owned();
        let facts = Facts::from([
            ("question", call.input_type().to_owned()),
            ("answer", call.output_type().to_owned()),
            ("question's length", streams(call.client_streaming())),
            ("answer's length", streams(call.server_streaming())),
        ]);
        table.insert(Thing::Call(format!("{name}/{}", call.name())), facts);
    }
}

#[cfg(test)]
mod tests;
