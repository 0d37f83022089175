use super::*;
use crate::previous;
use prost_types::field_descriptor_proto::Type;
use prost_types::{OneofDescriptorProto, descriptor_proto, enum_descriptor_proto};
use vertigo_tests::repository;

/// Another protocol, made of one by a change.
type Change<T> = (&'static str, fn(&mut T));

fn today() -> FileDescriptorSet {
    compile(&repository().join("proto")).unwrap()
}

#[test]
fn all_that_the_release_before_says_means_today_what_it_meant() {
    let before = compile(&previous().join("proto")).unwrap();
    assert!(table(&before).len() > 400, "{} things are not all of a protocol", table(&before).len());
    assert_eq!(breaks(&before, &today()), Vec::<String>::new());
}

/// What changes the meaning of a field, each in another way.
const FIELD: [Change<FieldDescriptorProto>; 7] = [
    ("another number", |field| field.number = Some(field.number() + 10_000)),
    ("another name", |field| field.name = Some(format!("{}_", field.name()))),
    ("another name in JSON", |field| field.json_name = Some(format!("{}X", field.json_name()))),
    ("another type", |field| {
        let next = match field.r#type() {
            Type::String => Type::Bytes,
            Type::Uint64 => Type::Int64,
            Type::Message => Type::String,
            _ => Type::Uint64,
        };
        field.set_type(next);
    }),
    ("a type of another name", |field| field.type_name = Some(format!("{}_", field.type_name()))),
    ("another cardinality", |field| {
        let repeated = field.label() == Label::Repeated;
        field.set_label(if repeated { Label::Optional } else { Label::Repeated });
    }),
    ("absence that means something else", |field| {
        field.set_label(Label::Optional);
        field.proto3_optional = Some(!field.proto3_optional());
    }),
];

/// The same for a call.
const CALL: [Change<prost_types::MethodDescriptorProto>; 5] = [
    ("another name", |call| call.name = Some(format!("{}_", call.name()))),
    ("another question", |call| call.input_type = Some(format!("{}_", call.input_type()))),
    ("another answer", |call| call.output_type = Some(format!("{}_", call.output_type()))),
    ("a question of another length", |call| call.client_streaming = Some(!call.client_streaming())),
    ("an answer of another length", |call| call.server_streaming = Some(!call.server_streaming())),
];

/// What changes a message as a whole.
const MESSAGE: [Change<DescriptorProto>; 4] = [
    ("another name", |message| message.name = Some(format!("{}_", message.name()))),
    ("no reserved numbers", |message| message.reserved_range.clear()),
    ("no reserved names", |message| message.reserved_name.clear()),
    ("a oneof of another name", |message| {
        // Those of optional fields nobody wrote, and nobody reads.
        let written = message.oneof_decl.iter_mut().filter(|oneof| !oneof.name().starts_with('_'));
        written.for_each(|oneof| oneof.name = Some(format!("{}_", oneof.name())));
    }),
];

/// A protocol of nothing but this, so that changing it and comparing costs little.
fn alone(like: &FileDescriptorProto, fill: impl FnOnce(&mut FileDescriptorProto)) -> FileDescriptorSet {
    let mut file =
        FileDescriptorProto { package: like.package.clone(), syntax: like.syntax.clone(), ..Default::default() };
    fill(&mut file);
    FileDescriptorSet { file: vec![file] }
}

/// Each message by itself, with those inside it, and something of everything that no message of ours has yet.
fn messages() -> Vec<FileDescriptorSet> {
    let today = today();
    let of_file = |file: &FileDescriptorProto| {
        let alone = |message: &DescriptorProto| alone(file, |it| it.message_type.push(message.clone()));
        file.message_type.iter().map(alone).collect::<Vec<_>>()
    };
    let mut messages: Vec<_> = today.file.iter().flat_map(of_file).collect();
    let mut reserving = messages[0].clone();
    let message = &mut reserving.file[0].message_type[0];
    message.reserved_name.push("was_here".to_owned());
    message.reserved_range.push(descriptor_proto::ReservedRange { start: Some(700), end: Some(703) });
    messages.push(reserving);
    messages
}

/// Makes a change at each place that `places` counts, and has each found, unless it changes nothing.
fn each_is_found<T>(
    sets: &[FileDescriptorSet],
    places: fn(&mut FileDescriptorSet) -> Vec<&mut T>,
    changes: &[Change<T>],
) -> usize {
    let mut tried = 0;
    for before in sets {
        let count = places(&mut before.clone()).len();
        for (what, change) in changes {
            for place in 0..count {
                let mut after = before.clone();
                change(places(&mut after)[place]);
                if after == *before {
                    continue;
                }
                tried += 1;
                let found = breaks(before, &after);
                assert!(
                    !found.is_empty(),
                    "{what} at place {place} is not found in {:?}",
                    before.file[0].message_type.first().map(|it| it.name())
                );
            }
        }
    }
    tried
}

fn message(set: &mut FileDescriptorSet) -> Vec<&mut DescriptorProto> {
    set.file.iter_mut().flat_map(|file| &mut file.message_type).collect()
}

fn fields(set: &mut FileDescriptorSet) -> Vec<&mut FieldDescriptorProto> {
    message(set).into_iter().flat_map(|message| &mut message.field).collect()
}

#[test]
fn every_change_to_a_field_or_message_is_found() {
    let messages = messages();
    let changed = each_is_found(&messages, fields, &FIELD);
    assert!(changed > 7 * 300, "{changed} changes are not all of the protocol's");
    assert!(each_is_found(&messages, message, &MESSAGE) > messages.len());
    // Into a oneof, out of one, and gone.
    for before in &messages {
        for place in 0..before.file[0].message_type[0].field.len() {
            let mut moved = before.clone();
            let message = &mut moved.file[0].message_type[0];
            let field = &mut message.field[place];
            if field.proto3_optional() {
                continue;
            }
            let into = i32::try_from(message.oneof_decl.len()).unwrap();
            field.oneof_index = if field.oneof_index.is_some() { None } else { Some(into) };
            message.oneof_decl.push(OneofDescriptorProto { name: Some("one_of_them".to_owned()), options: None });
            assert!(!breaks(before, &moved).is_empty(), "{place} of {before:#?}");

            let mut gone = before.clone();
            let field = gone.file[0].message_type[0].field.remove(place);
            let found = breaks(before, &gone);
            assert_eq!(found.len(), 1, "{found:?}");
            assert!(found[0].contains(&format!("`{}`", field.name())) && found[0].contains("is gone"), "{found:?}");
        }
    }
}

#[test]
fn a_field_may_go_where_its_number_and_its_name_stay_reserved() {
    for before in messages() {
        for place in 0..before.file[0].message_type[0].field.len() {
            let mut after = before.clone();
            let message = &mut after.file[0].message_type[0];
            let field = message.field.remove(place);
            let range = |first, end| descriptor_proto::ReservedRange { start: Some(first), end: Some(end) };
            message.reserved_range.push(range(field.number() - 1, field.number()));
            message.reserved_name.push(field.name().to_owned());
            assert_eq!(breaks(&before, &after).len(), 1, "the number before it is reserved, not its own");
            after.file[0].message_type[0].reserved_range.push(range(field.number(), field.number() + 1));
            assert_eq!(breaks(&before, &after), Vec::<String>::new());
            after.file[0].message_type[0].reserved_name.pop();
            assert_eq!(breaks(&before, &after).len(), 1, "its name is free for another field");
        }
    }
}

#[test]
fn every_change_to_an_enum_is_found() {
    let today = today();
    let mut tried = 0;
    for file in &today.file {
        for it in &file.enum_type {
            let before = alone(file, |file| file.enum_type.push(it.clone()));
            for place in 0..it.value.len() {
                let changes: [fn(&mut EnumDescriptorProto, usize); 4] = [
                    |it, place| drop(it.value.remove(place)),
                    |it, place| it.value[place].name = Some(format!("{}_", it.value[place].name())),
                    |it, place| it.value[place].number = Some(it.value[place].number() + 10_000),
                    |it, place| it.name = Some(format!("{}{place}", it.name())),
                ];
                for change in changes {
                    let mut after = before.clone();
                    change(&mut after.file[0].enum_type[0], place);
                    assert!(!breaks(&before, &after).is_empty(), "{place} of {it:?}");
                    tried += 1;
                }
                // An enum's ranges include their ends.
                let mut after = before.clone();
                let it = &mut after.file[0].enum_type[0];
                let value = it.value.remove(place);
                it.reserved_name.push(value.name().to_owned());
                it.reserved_range
                    .push(enum_descriptor_proto::EnumReservedRange { start: value.number, end: value.number });
                assert_eq!(breaks(&before, &after), Vec::<String>::new());
            }
        }
    }
    assert!(tried > 50, "{tried}");
}

fn calls(set: &mut FileDescriptorSet) -> Vec<&mut prost_types::MethodDescriptorProto> {
    set.file.iter_mut().flat_map(|file| &mut file.service).flat_map(|service| &mut service.method).collect()
}

#[test]
fn every_change_to_a_service_or_a_call_is_found() {
    let today = today();
    let of_file = |file: &FileDescriptorProto| alone(file, |it| it.service.clone_from(&file.service));
    let services: Vec<_> = today.file.iter().map(of_file).collect();
    assert!(each_is_found(&services, calls, &CALL) > 100);
    for before in &services {
        for service in 0..before.file[0].service.len() {
            let mut after = before.clone();
            after.file[0].service.remove(service);
            assert!(!breaks(before, &after).is_empty());
            for call in 0..before.file[0].service[service].method.len() {
                let mut after = before.clone();
                after.file[0].service[service].method.remove(call);
                assert_eq!(breaks(before, &after).len(), 1);
            }
        }
    }
}

#[test]
fn whole_files_that_go_or_change_their_package_or_syntax_are_found() {
    let before = today();
    for place in 0..before.file.len() {
        let changes: [fn(&mut FileDescriptorSet, usize); 3] = [
            |set, place| drop(set.file.remove(place)),
            |set, place| set.file[place].package = Some("vertigo.v2".to_owned()),
            |set, place| set.file[place].syntax = None,
        ];
        for change in changes {
            let mut after = before.clone();
            change(&mut after, place);
            assert!(!breaks(&before, &after).is_empty(), "{:?}", before.file[place].name);
        }
    }
}

#[test]
fn what_is_new_breaks_nothing_and_neither_does_the_order() {
    let before = today();
    let mut after = before.clone();
    after.file.reverse();
    for file in &mut after.file {
        file.message_type.reverse();
        for message in &mut file.message_type {
            message.field.reverse();
            let number = Some(12_345);
            message.field.push(FieldDescriptorProto { name: Some("new".to_owned()), number, ..Default::default() });
            message.reserved_name.push("never".to_owned());
        }
        for it in &mut file.enum_type {
            let mut value = it.value[0].clone();
            (value.name, value.number) = (Some("NEW".to_owned()), Some(12_345));
            it.value.push(value);
        }
        for service in &mut file.service {
            let mut call = service.method[0].clone();
            call.name = Some("New".to_owned());
            service.method.push(call);
        }
        file.message_type.push(DescriptorProto { name: Some("Newest".to_owned()), ..Default::default() });
    }
    assert_eq!(breaks(&before, &after), Vec::<String>::new());
    assert!(!breaks(&after, &before).is_empty(), "who goes back to it misses what was new");
}
