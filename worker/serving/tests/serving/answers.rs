//! What is answered where all is well.

use super::client::{question, with};
use super::stand_in::Running;
use serde_json::{Value, json};

fn pieces(events: &[String]) -> Vec<Value> {
    let (last, pieces) = events.split_last().expect("events");
    assert_eq!(last, "[DONE]");
    pieces.iter().map(|event| serde_json::from_str(event).unwrap()).collect()
}

fn text(pieces: &[Value], field: &str) -> String {
    pieces.iter().filter_map(|piece| piece["choices"][0]["delta"][field].as_str()).collect()
}

#[tokio::test]
async fn a_stream_says_what_the_whole_answer_says() {
    let server = Running::new().await;
    let asked = with(question("say Grüße, 😀!"), json!({"stream_options": null}));
    let whole = server.chat(&asked).await.json();
    assert_eq!(whole["choices"][0]["message"], json!({"role": "assistant", "content": "Grüße, 😀!"}));
    assert_eq!((&whole["choices"][0]["finish_reason"], &whole["model"]), (&json!("stop"), &json!("tiny")));
    let answer_tokens = "Grüße, 😀!".len();
    let usage = &whole["usage"];
    assert_eq!(usage["completion_tokens"], answer_tokens);
    assert_eq!(usage["total_tokens"].as_u64(), Some(usage["prompt_tokens"].as_u64().unwrap() + answer_tokens as u64));

    let streamed = with(asked, json!({"stream": true, "stream_options": {"include_usage": true}}));
    let reply = server.chat(&streamed).await;
    assert!(reply.head.contains("content-type: text/event-stream"), "{}", reply.head);
    let pieces = pieces(&reply.events());
    assert_eq!(pieces[0]["choices"][0]["delta"], json!({"role": "assistant", "content": ""}));
    assert_eq!(text(&pieces, "content"), "Grüße, 😀!");
    assert!(!reply.body.contains('\u{fffd}'));
    let (last, others) = pieces.split_last().unwrap();
    assert_eq!((&last["choices"], &last["usage"]["completion_tokens"]), (&json!([]), &json!(answer_tokens)));
    assert!(others.iter().all(|piece| piece["usage"].is_null()));
    assert_eq!(others.last().unwrap()["choices"][0]["finish_reason"], "stop");
}

#[tokio::test]
async fn a_thought_comes_apart_from_its_answer() {
    let server = Running::new().await;
    let asked = with(question("say Let me see.\n</think>\n\nYes."), json!({"chat_template_kwargs": null}));
    let message = &server.chat(&asked).await.json()["choices"][0]["message"];
    assert_eq!((&message["reasoning_content"], &message["content"]), (&json!("Let me see."), &json!("Yes.")));
    let pieces = pieces(&server.chat(&with(asked.clone(), json!({"stream": true}))).await.events());
    assert_eq!(text(&pieces, "reasoning_content"), "Let me see.");
    assert_eq!(text(&pieces, "content"), "Yes.");
    // A bound on the thought reaches the engine only where there is a thought.
    server.chat(&with(asked, json!({"thinking_budget": 7}))).await;
    server.chat(&with(question("say a"), json!({"thinking_budget": 7}))).await;
    let requests = server.world.asked.lock().unwrap();
    let budgets: Vec<_> = requests.iter().map(|it| it.thought.as_ref().map(|it| (it.tokens_max, it.end))).collect();
    assert_eq!(budgets, [None, None, Some((7, 259)), None]);
    let closing: Vec<u32> = [10, 259, 10, 10].to_vec();
    assert_eq!(requests[2].thought.as_ref().unwrap().closing, closing);
}

#[tokio::test]
async fn tools_are_called_and_broken_calls_are_text() {
    let server = Running::new().await;
    let tool = json!({"type": "function", "function": {"name": "run_code", "parameters":
        {"type": "object", "properties": {"code": {"type": "string"}, "times": {"type": "integer"}}}}});
    let call = "<tool_call>\n<function=run_code>\n<parameter=code>\nprint(1)\n</parameter>\n<parameter=times>\n2\n</parameter>\n\
                </function>\n</tool_call>";
    let asked = |answer: &str| with(question(&format!("say {answer}")), json!({"tools": [tool]}));
    let choice = &server.chat(&asked(&format!("I run it.\n\n{call}\n{call}"))).await.json()["choices"][0];
    assert_eq!((&choice["finish_reason"], &choice["message"]["content"]), (&json!("tool_calls"), &json!("I run it.")));
    let calls = choice["message"]["tool_calls"].as_array().unwrap();
    assert_eq!(calls.len(), 2);
    assert_ne!(calls[0]["id"], calls[1]["id"]);
    let arguments = json!({"code": "print(1)", "times": 2}).to_string();
    assert_eq!(calls[0]["function"], json!({"name": "run_code", "arguments": arguments}));

    let pieces = pieces(&server.chat(&with(asked(&format!("{call}{call}")), json!({"stream": true}))).await.events());
    let calls: Vec<&Value> =
        pieces.iter().filter_map(|piece| piece["choices"][0]["delta"]["tool_calls"].as_array()).flatten().collect();
    assert_eq!(calls.iter().map(|call| call["index"].as_u64().unwrap()).collect::<Vec<_>>(), [0, 1]);
    assert_eq!(text(&pieces, "content"), "");

    let broken = "<tool_call>\n{\"name\": \"other\", \"arguments\": {}}\n</tool_call>";
    let choice = &server.chat(&asked(broken)).await.json()["choices"][0];
    assert_eq!((&choice["finish_reason"], &choice["message"]["content"]), (&json!("stop"), &json!(broken)));
    let metrics = server.get("/metrics").await.body;
    assert!(metrics.contains("vertigo_broken_calls_total{model=\"tiny\"} 1\n"), "{metrics}");
}

#[tokio::test]
async fn a_stop_string_ends_the_answer_and_lets_the_engine_go() {
    let server = Running::new().await;
    let asked = with(question("say one two three"), json!({"stop": ["two", "zzz"], "logprobs": true}));
    let choice = &server.chat(&asked).await.json()["choices"][0];
    assert_eq!((&choice["message"]["content"], &choice["finish_reason"]), (&json!("one "), &json!("stop")));
    let told: String =
        choice["logprobs"]["content"].as_array().unwrap().iter().map(|it| it["token"].as_str().unwrap()).collect();
    assert_eq!(told, "one ");
    let endless = with(question("forever"), json!({"stop": "xxxxx"}));
    assert_eq!(server.chat(&endless).await.json()["choices"][0]["message"]["content"], "");
    vertigo_testkit::waiting::eventually("the engine to let go", || (server.running() == 0).then_some(())).await;
}

#[tokio::test]
async fn several_answers_differ_by_their_seeds_and_probabilities_are_told() {
    let server = Running::new().await;
    let asked = with(
        question("say ab"),
        json!({"n": 2, "seed": 5, "logprobs": true, "top_logprobs": 2, "temperature": 0.5, "max_tokens": 1}),
    );
    let whole = server.chat(&asked).await.json();
    let choices = whole["choices"].as_array().unwrap();
    assert_eq!(choices.iter().map(|it| it["index"].as_u64().unwrap()).collect::<Vec<_>>(), [0, 1]);
    let expected = json!({"token": "a", "logprob": -0.5, "bytes": [97], "top_logprobs": [
        {"token": "a", "logprob": -0.5, "bytes": [97]}, {"token": "<|im_end|>", "logprob": -1.5, "bytes": []}]});
    assert_eq!(choices[1]["logprobs"]["content"], json!([expected]));
    assert_eq!((&choices[0]["finish_reason"], &whole["usage"]["completion_tokens"]), (&json!("length"), &json!(2)));
    let requests = server.world.asked.lock().unwrap();
    assert_eq!(requests.iter().map(|it| it.sampling.seed).collect::<Vec<_>>(), [5, 6]);
    assert_eq!((requests[0].sampling.temperature, requests[0].tokens_max), (0.5, 1));
}

#[tokio::test]
async fn texts_go_on() {
    let server = Running::new().await;
    let offsets = json!({"model": "tiny", "prompt": "say é!", "logprobs": 1});
    let offsets = server.post("/v1/completions", offsets.to_string().as_bytes()).await.json();
    assert_eq!(offsets["choices"][0]["logprobs"]["text_offset"], json!([0, 1, 1]));
    let asked = json!({"model": "tiny", "prompt": ["say ab", "say <think>"], "logprobs": 1});
    let whole = server.post("/v1/completions", asked.to_string().as_bytes()).await.json();
    let choices = whole["choices"].as_array().unwrap();
    assert_eq!((&choices[0]["text"], &choices[1]["text"]), (&json!("ab"), &json!("<think>")));
    assert_eq!(choices[0]["logprobs"]["text_offset"], json!([0, 1]));
    assert_eq!(whole["object"], "text_completion");
    let streamed = with(asked, json!({"prompt": [115, 97, 121, 32, 104, 105], "stream": true}));
    let pieces = pieces(&server.post("/v1/completions", streamed.to_string().as_bytes()).await.events());
    let text: String = pieces.iter().map(|piece| piece["choices"][0]["text"].as_str().unwrap()).collect();
    assert_eq!(text, "hi");
}

#[tokio::test]
async fn what_a_conversation_shares_with_an_earlier_one_is_known() {
    let server = Running::new().await;
    let system = json!({"role": "system", "content": "You are brief."});
    let ask = |messages: Value| with(question("say x"), json!({"messages": messages}));
    let cached = |reply: Value| reply["usage"]["prompt_tokens_details"]["cached_tokens"].as_u64().unwrap();
    let first = json!({"role": "user", "content": "say Hello."});
    let one = server.chat(&ask(json!([system, first]))).await.json();
    assert_eq!(cached(one.clone()), 0);
    // Another question after the same system prompt, up to where the question begins. Every special token is one.
    let other = server.chat(&ask(json!([system, {"role": "user", "content": "say Bye."}]))).await.json();
    let system_tokens = "_system\nYou are brief._\n_user\n".len() as u64;
    assert_eq!(cached(other), system_tokens);
    // The next turn, up to the end of the one before.
    let answer = json!({"role": "assistant", "content": "Hello."});
    let next = json!([system, first, answer, {"role": "user", "content": "say Again."}]);
    let next = server.chat(&ask(next)).await.json();
    assert_eq!(cached(next), system_tokens + "say Hello._\n".len() as u64);
}

#[tokio::test]
async fn what_is_known_of_a_prompt_is_no_more_than_the_prompt() {
    let server = Running::new().await;
    let asked = with(question("say x"), json!({"n": 4}));
    for _ in 0..2 {
        let usage = server.chat(&asked).await.json()["usage"].clone();
        let (cached, prompt) = (&usage["prompt_tokens_details"]["cached_tokens"], &usage["prompt_tokens"]);
        assert!(cached.as_u64() < prompt.as_u64(), "{usage}");
    }
    // All but its last token is known to the second of the answers, and to whoever asks again.
    let usage = server.chat(&asked).await.json()["usage"].clone();
    let cached = usage["prompt_tokens_details"]["cached_tokens"].as_u64().unwrap();
    assert_eq!(Some(cached + 1), usage["prompt_tokens"].as_u64());
}

#[tokio::test]
async fn models_health_and_metrics_are_read() {
    let server = Running::new().await;
    server.chat(&question("say abc")).await;
    let models = server.get("/v1/models").await.json();
    assert_eq!((&models["object"], &models["data"][0]["id"]), (&json!("list"), &json!("tiny")));
    assert_eq!(server.get("/v1/models/tiny").await.json()["object"], "model");
    assert_eq!(server.get("/health").await.json(), json!({"status": "ok"}));
    let reply = server.get("/metrics").await;
    assert!(reply.head.contains("application/openmetrics-text"), "{}", reply.head);
    for line in [
        "vertigo_requests_total{model=\"tiny\",outcome=\"stop\"} 1",
        "vertigo_answer_tokens_total{model=\"tiny\"} 3",
        "vertigo_first_token_seconds_count{model=\"tiny\"} 1",
        "vertigo_token_seconds_count{model=\"tiny\"} 2",
        "vertigo_requests_waiting{model=\"stand-in\"} 0",
        "vertigo_cache_kept_bytes{model=\"stand-in\"}",
        "# EOF",
    ] {
        assert!(reply.body.contains(line), "{line} is not in\n{}", reply.body);
    }
}
