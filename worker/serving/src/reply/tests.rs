use super::*;
use crate::answer::Call;

fn head(form: Form, includes_usage: bool) -> Head {
    Head { form, id: "id".to_owned(), created: 7, model: "m".to_owned(), includes_usage }
}

fn call(name: &str) -> Part {
    Part::Call(Call { name: name.to_owned(), arguments: "{}".to_owned() })
}

fn delta(parts: Vec<Part>, finish: Option<Finish>) -> Delta {
    Delta { index: 0, parts, logprobs: Vec::new(), finish }
}

fn text(text: &str) -> Part {
    Part::Text(text.to_owned())
}

fn logprob(token: &str) -> Logprob {
    let top = vec![Logprob { token: "z".to_owned(), bytes: b"z".to_vec(), logprob: -0.5, top: Vec::new() }];
    Logprob { token: token.to_owned(), bytes: token.as_bytes().to_vec(), logprob: -1.5, top }
}

#[test]
fn calls_have_their_place_among_the_answers() {
    let (head, mut sent) = (head(Form::Chat, false), Sent::default());
    let mut next = |delta| serde_json::from_str::<Value>(&head.next(delta, &mut sent).unwrap()).unwrap();
    let first = next(delta(vec![text("a"), call("f"), call("g")], None));
    let calls = &first["choices"][0]["delta"]["tool_calls"];
    assert_eq!((&calls[0]["index"], &calls[1]["index"]), (&json!(0), &json!(1)));
    assert_eq!(first["choices"][0]["delta"]["content"], "a");
    let second = next(delta(vec![call("h")], Some(Finish::ToolCalls)));
    assert_eq!(second["choices"][0]["delta"]["tool_calls"][0]["index"], 2);
    assert_eq!(second["choices"][0]["finish_reason"], "tool_calls");
    assert_eq!(second.get("usage"), None);
}

#[test]
fn a_piece_that_says_nothing_is_not_sent_and_the_last_tells_the_usage() {
    let head = head(Form::Chat, true);
    assert_eq!(head.next(delta(Vec::new(), None), &mut Sent::default()), None);
    let piece = |text: Option<String>| serde_json::from_str::<Value>(&text.unwrap()).unwrap();
    assert_eq!(piece(head.first(1))["usage"], Value::Null);
    let last = piece(head.last(Usage { prompt: 5, cached: 3, answer: 4, thought: 2 }));
    assert_eq!((&last["choices"], &last["usage"]["total_tokens"]), (&json!([]), &json!(9)));
    assert_eq!(last["usage"]["prompt_tokens_details"]["cached_tokens"], 3);
}

#[test]
fn a_whole_message_has_its_thought_its_text_and_its_calls() {
    let mut whole = delta(vec![Part::Thought("h".to_owned())], None);
    add(&mut whole, delta(vec![Part::Thought("m".to_owned()), text("a")], None));
    add(&mut whole, delta(vec![text("b"), call("f")], Some(Finish::ToolCalls)));
    let answer: Value = serde_json::from_str(&head(Form::Chat, false).whole(vec![whole], Usage::default())).unwrap();
    let message = &answer["choices"][0]["message"];
    assert_eq!((&message["reasoning_content"], &message["content"]), (&json!("hm"), &json!("ab")));
    assert_eq!(message["tool_calls"][0]["function"], json!({"name": "f", "arguments": "{}"}));
    assert_eq!(answer["object"], "chat.completion");
    let only_calls = delta(vec![call("f")], Some(Finish::ToolCalls));
    let answer: Value =
        serde_json::from_str(&head(Form::Chat, false).whole(vec![only_calls], Usage::default())).unwrap();
    assert_eq!(answer["choices"][0]["message"]["content"], Value::Null);
}

#[test]
fn probabilities_have_each_routes_own_form() {
    let with = || Delta { logprobs: vec![logprob("ab"), logprob("c")], ..delta(vec![text("abc")], None) };
    let read = |form| {
        let piece = head(form, false).next(with(), &mut Sent::default()).unwrap();
        serde_json::from_str::<Value>(&piece).unwrap()["choices"][0]["logprobs"].clone()
    };
    let chat = read(Form::Chat);
    assert_eq!(chat["content"][0]["bytes"], json!([97, 98]));
    assert_eq!(chat["content"][1]["top_logprobs"], json!([{"token": "z", "logprob": -0.5, "bytes": [122]}]));
    let completion = read(Form::Completion);
    let expected = json!({"tokens": ["ab", "c"], "token_logprobs": [-1.5, -1.5],
        "top_logprobs": [{"z": -0.5}, {"z": -0.5}], "text_offset": [0, 2]});
    assert_eq!(completion, expected);
}
