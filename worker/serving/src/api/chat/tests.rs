use super::*;
use proptest::prelude::*;

fn body(key: &str, value: Value) -> Value {
    let mut body = json!({"model": "m", "messages": [{"role": "user", "content": "Hi"}]});
    body[key] = value;
    body
}

fn messages(messages: Value) -> Vec<Value> {
    match read(&body("messages", messages)).unwrap().prompt {
        Prompt::Chat { messages, .. } => messages,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_is_wrong_is_named() {
    let tool = |name: Value| json!([{"type": "function", "function": {"name": name}}]);
    for (key, value, param) in [
        ("model", json!(""), "model"),
        ("model", json!(null), "model"),
        ("model", json!(5), "model"),
        ("messages", json!([]), "messages"),
        ("messages", json!("Hi"), "messages"),
        ("messages", json!([5]), "messages[0]"),
        ("messages", json!([{"role": "god", "content": ""}]), "messages[0].role"),
        ("messages", json!([{"role": "user"}]), "messages[0].content"),
        ("messages", json!([{"role": "user", "content": 5}]), "messages[0].content"),
        ("messages", json!([{"role": "user", "content": [{"type": "image_url"}]}]), "messages[0].content[0].type"),
        (
            "messages",
            json!([{"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": "["}}]}]),
            "messages[0].tool_calls[0].function.arguments",
        ),
        ("temperature", json!(2.1), "temperature"),
        ("temperature", json!("hot"), "temperature"),
        ("top_p", json!(-0.1), "top_p"),
        ("top_k", json!(-2), "top_k"),
        ("top_k", json!(1.5), "top_k"),
        ("min_p", json!(2), "min_p"),
        ("repetition_penalty", json!(0), "repetition_penalty"),
        ("presence_penalty", json!(3), "presence_penalty"),
        ("frequency_penalty", json!(-3), "frequency_penalty"),
        ("logit_bias", json!({"a": 1}), "logit_bias"),
        ("logit_bias", json!({"1": 101}), "logit_bias.1"),
        ("seed", json!(1.5), "seed"),
        ("n", json!(0), "n"),
        ("n", json!(17), "n"),
        ("stop", json!([""]), "stop"),
        ("stop", json!([5]), "stop"),
        ("stop", json!(["a"; 17].to_vec()), "stop"),
        ("max_tokens", json!(0), "max_tokens"),
        ("max_tokens", json!(-1), "max_tokens"),
        ("max_tokens", json!(9_223_372_036_854_775_808u64), "max_tokens"),
        ("max_tokens", json!(1e30), "max_tokens"),
        ("max_tokens", json!(1.5), "max_tokens"),
        ("max_completion_tokens", json!("5"), "max_completion_tokens"),
        ("stream", json!("yes"), "stream"),
        ("stream_options", json!({"include_usage": true}), "stream_options"),
        ("logprobs", json!(5), "logprobs"),
        ("top_logprobs", json!(5), "top_logprobs"),
        ("top_logprobs", json!(21), "top_logprobs"),
        ("tools", json!({}), "tools"),
        ("tools", json!([{"type": "web_search"}]), "tools[0].type"),
        ("tools", json!([{"type": "function"}]), "tools[0].function"),
        ("tools", tool(json!(null)), "tools[0].function.name"),
        ("tools", tool(json!("")), "tools[0].function.name"),
        ("tool_choice", json!("required"), "tool_choice"),
        ("tool_choice", json!({"type": "function", "function": {"name": "f"}}), "tool_choice"),
        ("response_format", json!({"type": "json_object"}), "response_format"),
        ("functions", json!([]), "functions"),
        ("thinking_budget", json!(-1), "thinking_budget"),
        ("chat_template_kwargs", json!({"enable_thinking": "no"}), "chat_template_kwargs.enable_thinking"),
        ("chat_template_kwargs", json!({"thinking_budget": 1.5}), "chat_template_kwargs.thinking_budget"),
        ("chat_template_kwargs", json!({"messages": []}), "chat_template_kwargs.messages"),
        ("chat_template_kwargs", json!({"x": [0, 0]}), "chat_template_kwargs.x"),
        ("chat_template_kwargs", json!({"x": {}}), "chat_template_kwargs.x"),
        ("chat_template_kwargs", json!({"x": "a".repeat(KWARG_BYTES_MAX + 1)}), "chat_template_kwargs.x"),
        ("chat_template_kwargs", (0..33).map(|n| (n.to_string(), json!(n))).collect(), "chat_template_kwargs"),
    ] {
        let error = read(&body(key, value.clone())).expect_err(&format!("{key} {value}"));
        assert_eq!((error.status, error.param.as_deref()), (400, Some(param)), "{key} {value}: {error}");
        assert!(error.message.contains(param), "{error}");
    }
    for whole in [json!([]), json!("x"), json!(null)] {
        assert_eq!(read(&whole).unwrap_err().status, 400);
    }
}

#[test]
fn what_is_null_or_unknown_is_as_if_it_were_not_there() {
    let plain = read(&body("x", json!(1))).unwrap();
    for key in
        ["temperature", "stop", "seed", "tools", "tool_choice", "stream", "n", "logprobs", "response_format", "user"]
    {
        assert_eq!(read(&body(key, json!(null))).unwrap(), plain, "{key}");
    }
    assert_eq!(read(&body("response_format", json!({"type": "text"}))).unwrap(), plain);
    assert_eq!(plain.wishes.over(&Default::default(), 7).seed, 7);
}

#[test]
fn messages_are_what_templates_read() {
    let call = json!([{"id": "1", "type": "function", "function": {"name": "f", "arguments": "{\"a\": 1}"}}]);
    let read = messages(json!([
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}], "extra": 1},
        {"role": "assistant", "content": null, "tool_calls": call, "reasoning_content": "hm", "refusal": null},
        {"role": "tool", "tool_call_id": "1", "content": "done"},
        {"role": "assistant", "content": "", "tool_calls": []},
    ]));
    assert_eq!(read[0], json!({"role": "system", "content": "Be brief."}));
    assert_eq!(read[1], json!({"role": "user", "content": "ab"}));
    assert_eq!(read[2], json!({"role": "assistant", "content": "", "reasoning_content": "hm", "tool_calls": call}));
    assert_eq!(read[3], json!({"role": "tool", "content": "done", "tool_call_id": "1"}));
    assert_eq!(read[4], json!({"role": "assistant", "content": ""}));
}

#[test]
fn every_wish_arrives() {
    let asked = read(&json!({
        "model": "m", "messages": [{"role": "user", "content": "Hi"}], "temperature": 0.5, "top_p": 0.9, "top_k": 20,
        "min_p": 0.1, "repetition_penalty": 1.1, "presence_penalty": 0.2, "frequency_penalty": -0.3,
        "logit_bias": {"7": -100}, "seed": -1, "n": 2, "stop": "END", "logprobs": true, "top_logprobs": 3,
        "max_tokens": 5, "max_completion_tokens": 6, "stream": true, "stream_options": {"include_usage": true},
        "chat_template_kwargs": {"enable_thinking": true, "thinking_budget": 9, "color": "red"},
        "tools": [{"type": "function", "function": {"name": "f", "parameters": {}}}], "tool_choice": "auto",
    }))
    .unwrap();
    let sampling = asked.wishes.over(&Default::default(), asked.wishes.seed.unwrap());
    let expected = vertigo_engine::generate::Sampling {
        temperature: 0.5,
        top_p: 0.9,
        top_k: 20,
        min_p: 0.1,
        repetition_penalty: 1.1,
        presence_penalty: 0.2,
        frequency_penalty: -0.3,
        logit_bias: vec![(7, -100.0)],
        seed: u64::MAX,
    };
    assert_eq!(sampling, expected);
    assert_eq!((asked.choices, asked.logprobs, asked.tokens_max), (2, Some(3), Some(6)));
    assert_eq!((asked.thought_tokens_max, asked.is_streamed, asked.includes_usage), (Some(9), true, true));
    assert_eq!(asked.stops, ["END"]);
    let Prompt::Chat { tools, template, .. } = asked.prompt else { panic!("a conversation") };
    assert_eq!(Value::Object(template), json!({"enable_thinking": true, "color": "red"}));
    assert_eq!(tools.map(|tools| tools.len()), Some(1));
}

#[test]
fn filters_that_are_written_as_other_servers_read_them_mean_the_same() {
    let sampling = |key, value| read(&body(key, value)).unwrap().wishes.over(&Default::default(), 0);
    assert_eq!(sampling("top_k", json!(-1)).top_k, 0);
    assert_eq!((sampling("top_p", json!(0)).top_k, sampling("top_p", json!(0)).top_p), (1, 1.0));
    assert_eq!((sampling("top_p", json!(0.1)).top_k, sampling("top_p", json!(0.1)).top_p), (0, 0.1));
}

#[test]
fn a_call_in_the_history_may_have_blank_arguments() {
    let read = messages(json!([
        {"role": "assistant", "tool_calls": [
            {"function": {"name": "f", "arguments": " "}}, {"function": {"name": "f"}}]}
    ]));
    let calls = json!([{"function": {"name": "f", "arguments": "{}"}}, {"function": {"name": "f"}}]);
    assert_eq!(read[0]["tool_calls"], calls);
}

#[test]
fn tools_that_may_not_be_called_are_not_given() {
    let mut asked = body("tools", json!([{"type": "function", "function": {"name": "f"}}]));
    asked["tool_choice"] = json!("none");
    let Prompt::Chat { tools, .. } = read(&asked).unwrap().prompt else { panic!("a conversation") };
    assert_eq!(tools, None);
}

/// JSON of any shape.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "[a-z]{0,5}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::hash_map(
                "role|content|type|function|name|text|arguments|tool_calls|[a-z]",
                inner,
                0..4
            )
            .prop_map(|object| Value::Object(object.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn whatever_is_sent_is_read_or_refused(
        fields in proptest::collection::hash_map(
            "messages|model|tools|tool_choice|stop|n|seed|logit_bias|max_tokens|stream|stream_options|chat_template_kwargs|logprobs",
            any_json(), 0..6)
    ) {
        let body = Value::Object(fields.into_iter().collect());
        if let Err(error) = read(&body) {
            prop_assert_eq!(error.status, 400);
        }
        if let Err(error) = super::super::completion::read(&body) {
            prop_assert_eq!(error.status, 400);
        }
    }
}
