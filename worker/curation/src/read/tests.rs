use super::*;
use crate::row::Role;
use proptest::prelude::*;
use serde_json::{Value, json};
use std::io::BufReader;
use std::path::PathBuf;

fn read_all(files: &[(&str, &[u8])]) -> (Vec<Row>, Book) {
    let mut book = Book::default();
    let files = files.iter().map(|(name, bytes)| ((*name).to_owned(), *bytes)).collect();
    let rows = read(files, &mut book).unwrap();
    (rows, book)
}

/// What a line becomes, and what was done for it: `repaired null_content turn 1`.
fn one(line: &str) -> (Option<Row>, Vec<String>) {
    let (rows, book) = read_all(&[("a.jsonl", line.as_bytes())]);
    assert_eq!(book.entries.len(), 1, "{line}");
    let touched = book.entries[0].touched.iter();
    let touched =
        touched.map(|touch| format!("{:?} {} {}", touch.effect, touch.rule.name, touch.detail).trim_end().to_owned());
    (rows.into_iter().next(), touched.collect())
}

fn chat(messages: Value) -> (Option<Row>, Vec<String>) {
    one(&json!({ "messages": messages }).to_string())
}

#[test]
fn the_three_shapes_are_read_and_all_else_is_a_fact() {
    let (row, touched) = one(
        r#"{"source":"s","messages":[{"role":"user","content":"q"},{"role":"assistant","content":"a"}],"tools":[{"type":"function"}],"eval_score":0.5}"#,
    );
    let row = row.unwrap();
    assert!(touched.is_empty(), "{touched:?}");
    assert_eq!(row.facts, *json!({"source": "s", "eval_score": 0.5}).as_object().unwrap());
    let said: Vec<_> = row.body.messages().iter().map(|message| (message.role, message.text())).collect();
    assert_eq!(said, [(Role::User, "q"), (Role::Assistant, "a")]);
    assert!(matches!(&row.body, Body::Chat { tools: Some(tools), .. } if tools.len() == 1));

    let (completion, _) = one(r#"{"prompt":"q","completion":"a","id":7}"#);
    let (written_out, _) = chat(json!([{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]));
    let (completion, written_out) = (completion.unwrap(), written_out.unwrap());
    assert_eq!(completion.body.id(), written_out.body.id());
    assert_eq!(completion.facts, *json!({"id": 7}).as_object().unwrap());
    assert_eq!(one(r#"{"text":"t","a":null}"#).0.unwrap().body, Body::Text("t".to_owned()));
    // What is null is not there.
    assert_eq!(one(r#"{"messages":null,"text":"t"}"#).0.unwrap().body, Body::Text("t".to_owned()));
}

#[test]
fn what_is_no_row_is_rejected_by_name() {
    let turn = |turn: &str| format!(r#"{{"messages":[{turn},{{"role":"assistant","content":"a"}}]}}"#);
    let call = |call: &str| format!(r#"{{"messages":[{{"role":"assistant","content":"a","tool_calls":{call}}}]}}"#);
    let calling = |arguments: &str| call(&format!(r#"[{{"function":{{"name":"f","arguments":{arguments}}}}}]"#));
    for (line, said) in [
        ("{".to_owned(), "not_json EOF while parsing an object at column 1"),
        ("nonsense".to_owned(), "not_json expected ident at column 2"),
        ("[]".to_owned(), "not_an_object a list"),
        ("7".to_owned(), "not_an_object a number"),
        ("{}".to_owned(), "no_shape"),
        (r#"{"prompt":"q"}"#.to_owned(), "no_shape"),
        (r#"{"text":"t","text":"u"}"#.to_owned(), "duplicate_key `text`"),
        (r#"{"text":1}"#.to_owned(), "not_text `text` is a number"),
        (r#"{"text":" \n"}"#.to_owned(), "empty_conversation `text` is blank"),
        (r#"{"prompt":["q"],"completion":"a"}"#.to_owned(), "not_text `prompt` is a list"),
        (r#"{"prompt":"q","completion":" "}"#.to_owned(), "empty_answer `completion` is blank"),
        (r#"{"messages":"hi"}"#.to_owned(), "no_messages it is a text"),
        (r#"{"messages":["hi"]}"#.to_owned(), "no_messages turn 1 is a text"),
        (r#"{"messages":[]}"#.to_owned(), "empty_conversation `messages` is empty"),
        (r#"{"messages":[{"role":"user","content":"q"}]}"#.to_owned(), "no_assistant"),
        (turn(r#"{"content":"q"}"#), "unknown_role turn 1 has none"),
        (turn(r#"{"role":7,"content":"q"}"#), "unknown_role turn 1 has none"),
        (turn(r#"{"role":"narrator","content":"q"}"#), "unknown_role turn 1: `narrator`"),
        (turn(r#"{"role":"user","content":3}"#), "not_text turn 1: its content is a number"),
        (turn(r#"{"role":"user","content":[{"type":"image_url"}]}"#), "not_text turn 1: a part is `image_url`"),
        (turn(r#"{"role":"user","content":[7]}"#), "not_text turn 1: a part is a number"),
        (turn(r#"{"role":"user","content":"q","name":7}"#), "not_text turn 1: its `name` is a number"),
        (turn(r#"{"role":"user","content":"q","tool_calls":[{}]}"#), "bad_call turn 1: only the assistant calls tools"),
        (call(r#""f()""#), "bad_call turn 1: its `tool_calls` is a text"),
        (call(r#"["f"]"#), "bad_call turn 1: a call is a text"),
        (call(r#"[{"function":{}}]"#), "bad_call turn 1: a call names no tool"),
        (call(r#"[{"function":"f"}]"#), "bad_call turn 1: a call's function is a text"),
        (calling("[1]"), "bad_arguments turn 1: a list"),
        (calling(r#""[1]""#), "bad_arguments turn 1: a list written as text"),
        (calling(r#""{a}""#), "bad_arguments turn 1: key must be a string at column 2"),
        (calling(r#""{\"a\":1,\"a\":2}""#), "duplicate_key turn 1: `a` in a call's arguments"),
        (r#"{"messages":[{"role":"assistant","content":" "}]}"#.to_owned(), "empty_answer turn 1"),
        (r#"{"messages":[{"role":"assistant","content":"a"}],"tools":{}}"#.to_owned(), "bad_tools it is an object"),
        (
            r#"{"messages":[{"role":"assistant","content":"a"}],"tools":["f"]}"#.to_owned(),
            "bad_tools one of them is a text",
        ),
    ] {
        let (row, touched) = one(&line);
        assert_eq!((row, touched), (None, vec![format!("Rejected {said}")]), "{line}");
    }
}

#[test]
fn a_detail_quotes_no_secret() {
    let key = format!("ghp_{}", "aB3".repeat(12));
    for line in [
        format!(r#"{{"{key}":1,"{key}":2}}"#),
        format!(r#"{{"messages":[{{"role":"{key}","content":"q"}}]}}"#),
        format!(r#"{{"messages":[{{"role":"assistant","content":"q","{key}":1}}]}}"#),
    ] {
        let (_, touched) = one(&line);
        assert!(touched.len() == 1 && touched[0].contains("`<API_KEY>`"), "{touched:?}");
    }
}

#[test]
fn what_can_be_repaired_is_repaired_by_name() {
    let a = json!({"role": "assistant", "content": "a"});
    for (messages, done, roles) in [
        (json!([{"role": "user", "content": null}, a]), "Repaired null_content turn 1", "user assistant"),
        (json!([{"role": "user"}, a]), "Repaired null_content turn 1", "user assistant"),
        (
            json!([{"role": "Human", "content": "q"}, {"role": "gpt", "content": "a"}]),
            "Repaired role_renamed turn 1: `Human` is user, turn 2: `gpt` is assistant",
            "user assistant",
        ),
        (
            json!([{"role": "developer", "content": "s"}, a]),
            "Repaired role_renamed turn 1: `developer` is system",
            "system assistant",
        ),
        (
            json!([{"role": "function", "content": "s"}, a]),
            "Repaired role_renamed turn 1: `function` is tool",
            "tool assistant",
        ),
        (
            json!([{"role": "user", "content": [{"type": "text", "text": "q"}, "r"]}, a]),
            "Repaired parts_joined turn 1",
            "user assistant",
        ),
        (
            json!([{"role": "user", "content": "q", "tool_calls": null}, a]),
            "Repaired tool_calls_null turn 1",
            "user assistant",
        ),
        (
            json!([{"role": "user", "content": "q", "weight": 1}, a]),
            "Noted unknown_message_field turn 1: `weight`",
            "user assistant",
        ),
        (
            json!([{"role": "user", "content": "q", "thinking": "x"}, a]),
            "Noted unknown_message_field turn 1: `thinking`",
            "user assistant",
        ),
        (
            json!([{"role": "user", "content": "q"}, a, {"role": "user", "content": "thanks"}]),
            "Repaired trailing_turns_cut from turn 3",
            "user assistant",
        ),
    ] {
        let (row, touched) = chat(messages.clone());
        let row = row.unwrap_or_else(|| panic!("{messages}: {touched:?}"));
        assert_eq!(touched, [done], "{messages}");
        let said: Vec<&str> = row.body.messages().iter().map(|message| message.role.as_str()).collect();
        assert_eq!(said.join(" "), roles);
    }
    let (row, _) = chat(json!([{"role": "user", "content": [{"type": "text", "text": "q"}, "r"]}, a]));
    assert_eq!(row.unwrap().body.messages()[0].text(), "qr");
}

#[test]
fn calls_are_the_same_however_their_arguments_are_written() {
    let calling = |call: Value| chat(json!([{"role": "assistant", "content": null, "tool_calls": [call]}]));
    let (object, touched) = calling(
        json!({"id": "1", "type": "function", "function": {"name": "f", "arguments": {"a": 1, "b": {"d": 2, "c": 3}}}}),
    );
    let object = object.unwrap();
    // Without a content, calls are all that is said, and that is no mistake.
    assert!(touched.is_empty(), "{touched:?}");
    assert_eq!(object.body.messages()[0].content, None);
    for same in [
        json!({"id": "1", "function": {"name": "f", "arguments": "{\"b\": {\"c\": 3, \"d\": 2}, \"a\": 1}"}}),
        json!({"id": "1", "name": "f", "arguments": {"b": {"c": 3, "d": 2}, "a": 1}}),
    ] {
        assert_eq!(calling(same).0.unwrap().body.id(), object.body.id());
    }
    let (none, touched) = calling(json!({"function": {"name": "f"}}));
    assert!(touched.is_empty() && none.unwrap().body.messages()[0].calls[0].arguments.is_empty());
    let (blank, touched) = calling(json!({"function": {"name": "f", "arguments": ""}}));
    assert_eq!((touched.join(" "), blank.is_some()), ("Repaired arguments_parsed turn 1".to_owned(), true));
}

#[test]
fn a_thought_is_read_by_each_of_its_names_and_by_one_alone() {
    for field in ["reasoning_content", "thinking", "reasoning"] {
        let (row, touched) = chat(json!([{"role": "assistant", "content": "a", field: "t"}]));
        assert!(touched.is_empty(), "{touched:?}");
        assert_eq!(row.unwrap().body.messages()[0].thought.as_deref(), Some("t"));
    }
    let (row, touched) = chat(
        json!([{"role": "assistant", "content": "a", "reasoning": "t", "reasoning_content": "", "thinking": "t"}]),
    );
    assert_eq!((row.unwrap().body.messages()[0].thought.as_deref(), touched.len()), (Some("t"), 0));
    let (row, touched) =
        chat(json!([{"role": "assistant", "content": "a", "reasoning": "t", "reasoning_content": "u"}]));
    assert_eq!(row.unwrap().body.messages()[0].thought.as_deref(), Some("u"));
    assert_eq!(touched, ["Noted unknown_message_field turn 1: `reasoning`"]);
}

#[test]
fn lines_are_numbered_as_editors_do_and_files_come_by_name() {
    let a = "\u{feff}{\"text\":\"1\"}\r\n\r\n \t\n\u{a0}\n{\"text\":\"5\"}";
    let (rows, book) = read_all(&[("b.jsonl", b"{\"text\":\"b\"}\n"), ("a.jsonl", a.as_bytes())]);
    let origins: Vec<String> = rows.iter().map(|row| book.of(row).origin.to_string()).collect();
    assert_eq!(origins, ["a.jsonl:1", "a.jsonl:5", "b.jsonl:1"]);
    assert_eq!(book.entries[0].touched[0].rule, BYTE_ORDER_MARK);
    assert!(rows.iter().all(|row| book.of(row).id == Some(row.body.id())));
}

#[test]
fn two_files_of_one_name_and_a_file_that_breaks_off_are_errors() {
    let mut book = Book::default();
    let twice = vec![("a".to_owned(), &b""[..]), ("a".to_owned(), &b""[..])];
    assert!(read(twice, &mut book).unwrap_err().to_string().contains("two files are called a"));
    struct Broken(bool);
    impl Read for Broken {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            if std::mem::replace(&mut self.0, true) {
                return Err(io::Error::other("the disk is gone"));
            }
            buffer[..2].copy_from_slice(b"\n\n");
            Ok(2)
        }
    }
    let error = read(vec![("a".to_owned(), BufReader::new(Broken(false)))], &mut book).unwrap_err();
    assert_eq!(error.to_string(), "cannot read a after line 2: the disk is gone");
}

/// Gives `parts`, each so many times, and never holds more than one of them.
struct Made(Vec<(&'static [u8], usize)>);

impl Read for Made {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some((part, times)) = self.0.first_mut() else { return Ok(0) };
        assert!(part.len() <= buffer.len());
        let fits = (buffer.len() / part.len()).min(*times);
        buffer[..fits * part.len()].copy_from_slice(&part.repeat(fits));
        *times -= fits;
        let given = fits * part.len();
        if *times == 0 {
            self.0.remove(0);
        }
        Ok(given)
    }
}

#[test]
fn a_line_of_100_mb_is_rejected_and_never_held() {
    let made = || {
        let long: &[u8] = &[b'a'; 1000];
        Made(vec![(b"{\"text\":\"1\"}\n{\"text\":\"", 1), (long, 100_000), (b"\"}\n{\"text\":\"3\"}\n", 1)])
    };
    let mut book = Book::default();
    let rows = read(vec![("a.jsonl".to_owned(), BufReader::new(made()))], &mut book).unwrap();
    let ends: Vec<Option<Rule>> = book.entries.iter().map(|entry| entry.end().map(|touch| touch.rule)).collect();
    assert_eq!((rows.len(), ends), (2, vec![None, Some(TOO_LONG), None]));
    assert_eq!(book.of(&rows[1]).origin.line, 3);
    // What is held while it passes is a line's bound, and not the line.
    let (mut lines, mut held, mut most) = (BufReader::new(made()), Vec::new(), 0);
    while !matches!(next(&mut lines, &mut held, LINE_BYTES_MAX).unwrap(), Next::End) {
        most = most.max(held.capacity());
    }
    assert!(most > LINE_BYTES_MAX && most <= 2 * (LINE_BYTES_MAX + 1), "{most}");
}

#[test]
fn a_line_of_just_the_bound_is_read() {
    let bounds = Bounds { line_bytes: 12, rows: 3 };
    for (bytes, rejected) in [
        ("{\"text\":\"1\"}\n{\"text\":\"2\"}", 0),
        ("{\"text\":\"1\"}\n{\"text\":\"22\"}\n{\"text\":\"3\"}", 1),
        ("{\"text\":\"1\"}\n{\"text\":\"2\"}\n{\"text\":\"33\"}", 1),
        ("{\"text\":\"1\"} \n{\"text\":\"2\"}\r\n{\"text\":\"3\"}\n", 2),
    ] {
        let mut book = Book::default();
        let rows = read_within(bounds, vec![("a".to_owned(), bytes.as_bytes())], &mut book).unwrap();
        assert_eq!(book.entries.len() - rows.len(), rejected, "{bytes}");
    }
    let four = "1\n2\n\n3\n4\n";
    let error = read_within(bounds, vec![("a".to_owned(), four.as_bytes())], &mut Book::default()).unwrap_err();
    assert_eq!(error.to_string(), "a:5: here are more than 3 rows; curate a part of the files at a time");
}

#[test]
fn hostile_lines_are_named_and_never_crash() {
    let deep = format!("{{\"text\":{}", "[".repeat(100_000));
    let deep_arguments = json!({"messages": [{"role": "assistant", "content": "", "tool_calls": [
        {"function": {"name": "f", "arguments": "{\"a\":".repeat(100_000)}}]}]})
    .to_string();
    let invalid = [&b"{\"text\":\""[..], &[0xff, 0xfe], b"\"}"].concat();
    let empty = b"\n".repeat(1_000_000);
    let many = format!("{{\"text\":[{}0]}}", "[],".repeat(1_000_000));
    let files: [(&str, &[u8]); 6] = [
        ("a", deep.as_bytes()),
        ("b", deep_arguments.as_bytes()),
        ("c", &invalid),
        ("d", &empty),
        ("b2", many.as_bytes()),
        ("e", b"{\"text\":\"\0\"}\n\0\0\n{\"text\":\"\\u0000\"}"),
    ];
    let (rows, book) = read_all(&files);
    let ends = book.entries.iter().map(|entry| (&*entry.origin.file, entry.end().map(|end| (end.rule, &*end.detail))));
    let expected = [
        ("a", Some((TOO_DEEP, ""))),
        ("b", Some((TOO_DEEP, "turn 1: a call's arguments"))),
        ("b2", Some((TOO_MANY_VALUES, ""))),
        ("c", Some((NOT_UTF8, "at byte 10"))),
        ("e", Some((NOT_JSON, "control character (\\u0000-\\u001F) found while parsing a string at column 10"))),
        ("e", Some((NOT_JSON, "expected value at column 1"))),
        ("e", None),
    ];
    assert_eq!(ends.collect::<Vec<_>>(), expected);
    assert_eq!(rows.len(), 1);
}

/// Any value of little depth.
fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,4}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            proptest::collection::btree_map("[a-c]", inner, 0..3).prop_map(|map| map.into_iter().collect()),
        ]
    })
}

/// An object of such values.
fn object() -> impl Strategy<Value = Value> {
    proptest::collection::btree_map("[a-c]{0,2}", value(), 0..3).prop_map(|map| map.into_iter().collect())
}

/// A turn. Of ten about one is none.
fn message() -> impl Strategy<Value = Value> {
    let role = prop_oneof![
        20 => Just("assistant"), 12 => Just("user"), 3 => Just("system"), 3 => Just("tool"), 3 => Just("gpt"), 1 => Just("who")
    ];
    let part = ".{0,3}".prop_map(|text| json!({"type": "text", "text": text}));
    let content = prop_oneof![
        20 => ".{1,9}".prop_map(Value::from),
        2 => Just(Value::Null),
        2 => proptest::collection::vec(part, 0..3).prop_map(Value::from),
        1 => value(),
    ];
    let arguments = prop_oneof![
        9 => object(),
        9 => object().prop_map(|arguments| arguments.to_string().into()),
        1 => value().prop_map(|arguments| arguments.to_string().into()),
        1 => value(),
    ];
    let calls = proptest::collection::vec(("[a-z]{1,3}", arguments), 0..3);
    let name = prop_oneof![9 => ".{0,4}".prop_map(Value::from), 1 => value()];
    let more = (proptest::option::weighted(0.2, ".{0,4}"), proptest::option::weighted(0.2, name));
    (role, content, proptest::option::weighted(0.4, calls), more).prop_map(|(role, content, calls, (said, name))| {
        let mut message = json!({"role": role, "content": content});
        if let Some(calls) = calls.filter(|_| ["assistant", "gpt"].contains(&role)) {
            let call = |(name, arguments)| json!({"id": "c", "function": {"name": name, "arguments": arguments}});
            message["tool_calls"] = calls.into_iter().map(call).collect();
        }
        if let Some(said) = said {
            message["reasoning"] = said.into();
        }
        if let Some(name) = name {
            message["name"] = name;
        }
        message
    })
}

fn tools() -> impl Strategy<Value = Value> {
    let tool = value().prop_map(|schema| json!({"type": "function", "function": {"name": "f", "parameters": schema}}));
    prop_oneof![
        9 => Just(Value::Null),
        9 => proptest::collection::vec(tool, 0..3).prop_map(Value::from),
        1 => value(),
    ]
}

fn line_text() -> impl Strategy<Value = String> {
    prop_oneof![
        16 => (proptest::collection::vec(message(), 0..5), tools()).prop_map(|(messages, tools)| {
            json!({"messages": messages, "tools": tools, "source": "s"}).to_string()
        }),
        1 => (value(), value()).prop_map(|(a, b)| json!({"prompt": a, "completion": b}).to_string()),
        1 => value().prop_map(|text| json!({"text": text}).to_string()),
        1 => value().prop_map(|value| value.to_string()),
        1 => "[\\[\\]{}\":, a\u{a0}\u{0}]{0,12}",
        1 => "[ \t]{0,3}",
    ]
}

proptest! {
    #[test]
    fn every_line_is_entered_once_however_the_files_are_given(
        files in proptest::collection::btree_map("[a-d]{1,2}", proptest::collection::vec(line_text(), 0..5), 0..4),
        turn in 0usize..4,
    ) {
        let files: Vec<(String, String)> = files.into_iter().map(|(name, lines)| (name, lines.join("\n"))).collect();
        let mut given: Vec<(&str, &[u8])> = files.iter().map(|(name, text)| (name.as_str(), text.as_bytes())).collect();
        let sorted = read_all(&given);
        given.reverse();
        given.rotate_left(turn.min(files.len()));
        prop_assert_eq!(&sorted, &read_all(&given));
        let (rows, book) = sorted;
        let mut lines = Vec::new();
        for (name, text) in &files {
            let numbered = text.split('\n').enumerate().filter(|(_, line)| !line.trim().is_empty());
            lines.extend(numbered.map(|(n, _)| format!("{name}:{}", n + 1)));
        }
        let entered: Vec<String> = book.entries.iter().map(|entry| entry.origin.to_string()).collect();
        prop_assert_eq!(lines, entered);
        let kept: Vec<u32> = (0u32..).zip(&book.entries).filter(|(_, entry)| entry.end().is_none()).map(|(n, _)| n).collect();
        prop_assert_eq!(kept, rows.iter().map(|row| row.entry).collect::<Vec<_>>());
    }

    #[test]
    fn what_is_written_again_is_read_as_the_same_row_without_a_repair(line in line_text()) {
        let (rows, _) = read_all(&[("a", line.as_bytes())]);
        prop_assume!(!rows.is_empty());
        for row in rows {
            let (again, touched) = one(&row.body.to_value().to_string());
            prop_assert_eq!((again.map(|again| again.body), touched), (Some(row.body), Vec::<String>::new()));
        }
    }
}

#[test]
fn the_pipelines_rows_are_all_rows() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/vertigo/raw");
    if !folder.exists() {
        vertigo_testkit::skipped(&format!("{} is not there", folder.display()));
        return;
    }
    let files = std::fs::read_dir(folder).unwrap().map(|file| {
        let path = file.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        (name, BufReader::new(std::fs::File::open(path).unwrap()))
    });
    let mut book = Book::default();
    let rows = read(files.collect(), &mut book).unwrap();
    assert_eq!((rows.len(), book.entries.len()), (1804, 1804));
    let mut done: std::collections::BTreeMap<&str, usize> = std::collections::BTreeMap::new();
    for touch in book.entries.iter().flat_map(|entry| &entry.touched) {
        assert_eq!(touch.effect, Effect::Repaired);
        *done.entry(touch.rule.name).or_default() += 1;
    }
    println!("{done:?}");
    assert_eq!(done.keys().copied().collect::<Vec<_>>(), ["arguments_parsed"], "{done:?}");
}
