//! A question over OpenAI's API, to a server elsewhere or to our own on this machine: one way for both.
//!
//! Promise: what went wrong is told as what it is. A server that refuses who asks ends the evaluation; one that is busy or away is asked
//! again, a bounded number of times; what it refuses or breaks after that is that answer's own outcome. One that has answered nothing yet
//! is away, which says nothing of its model: the attempt ends, to be made later. The key goes to the server that was
//! named and to none that this one leads to, and is struck out of whatever comes back before anybody keeps or says it.

use super::super::codes;
use super::key;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use reqwest::{Client, Response, StatusCode, Url};
use serde_json::{Value, json};
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use vertigo::server_key::ServerKey;
use vertigo::task::{Cure, Failure};
use vertigo_evaluation::prompt::Prompt;
use vertigo_evaluation::report::Tokens;
use vertigo_evaluation::suite::Thinking;

/// A server has so long for one answer: a thought of a large model on a slow machine takes its time.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(1800);

/// Tries at an answer of a server that is busy or away.
const TRIES_MAX: u32 = 6;

/// Before the second try; twice as long before each one after it.
const PAUSE: Duration = Duration::from_secs(1);

/// A server that says when to come again is believed up to this.
const PAUSE_MAX: Duration = Duration::from_secs(120);

/// An answer is at most this long, in bytes of its JSON.
const ANSWER_BYTES_MAX: usize = 16 << 20;

/// What a server says of an error is kept up to this.
const ERROR_CHARS_MAX: usize = 300;

/// What every question of an evaluation has.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Manner {
    pub(super) temperature: f64,
    /// Sent where they are set: servers refuse what they do not know.
    pub(super) top_p: Option<f64>,
    pub(super) top_k: Option<u32>,
    /// Whether the server is told if and how long the model thinks. OpenAI's own API has no word for it.
    pub(super) tells_thinking: bool,
}

/// What is asked.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Question {
    messages: Vec<Value>,
    tools: Vec<Value>,
    thinking: Thinking,
    /// Tokens of answer and thought together.
    tokens_max: u32,
    pub(super) seed: u64,
}

impl Question {
    /// A prompt, to be answered by a seed.
    pub(super) fn of(prompt: &Prompt, seed: u64) -> Question {
        let Prompt { messages, tools, thinking, tokens_max: _ } = prompt;
        let (messages, tools, tokens_max) = (messages.clone(), tools.clone(), prompt.tokens_in_all());
        Question { messages, tools, thinking: *thinking, tokens_max, seed }
    }
}

/// What came back.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Reply {
    /// An answer, whole or cut.
    Said(Said),
    /// There was none in [`ANSWER_TIME_MAX`].
    TimedOut,
    /// What the server said instead.
    Refused(String),
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Said {
    pub(super) text: String,
    pub(super) thought: String,
    /// Name and arguments of each call, as the server wrote them.
    pub(super) calls: Vec<(String, String)>,
    /// Whether the bound on tokens ended it.
    pub(super) is_cut: bool,
    pub(super) tokens: Tokens,
}

/// Whom to ask.
pub(super) struct Server {
    client: Client,
    /// Up to the version: `http://127.0.0.1:8080/v1`.
    url: String,
    model: String,
    key: Option<(ServerKey, HeaderValue)>,
    manner: Manner,
    /// Whether it has answered a question yet.
    has_answered: AtomicBool,
}

impl Server {
    /// A server and what is asked of its model.
    ///
    /// # Errors
    /// The system has no certificates, say, or the key cannot be a header or would be read on the way.
    pub(super) fn new(url: String, model: String, key: Option<ServerKey>, manner: Manner) -> Result<Server, Failure> {
        let here = |problem: String| Failure::new(Cure::AnotherMachine, codes::THIS_MACHINE, problem);
        let is_here = is_loopback(&url);
        if key.is_some() && !is_private(&url) {
            let message = "the server's key would go over http:// for all on the way to read; name it by https://";
            return Err(Failure::new(Cure::Never, codes::BAD_INPUT, message));
        }
        let client = Client::builder().timeout(ANSWER_TIME_MAX).redirect(reqwest::redirect::Policy::none());
        // What listens on this machine is not to be found by way of another, whatever the environment says of proxies.
        let client = if is_here { client.no_proxy() } else { client };
        let client = client.build().map_err(|error| here(format!("no client for HTTP: {error}")))?;
        let key = match key {
            Some(key) => {
                let header = key::header(&key).map_err(here)?;
                Some((key, header))
            }
            None => None,
        };
        Ok(Server { client, url, model, key, manner, has_answered: AtomicBool::new(false) })
    }

    /// An answer without the key: a server may repeat what it was asked with, and a report is for all to read.
    fn struck_said(&self, said: Said) -> Said {
        let calls = said.calls.into_iter().map(|(name, arguments)| (self.struck(name), self.struck(arguments)));
        let calls = calls.collect();
        Said { text: self.struck(said.text), thought: self.struck(said.thought), calls, ..said }
    }

    /// A text of the server's without the key.
    fn struck(&self, text: String) -> String {
        match &self.key {
            Some((key, _)) => key.struck(text),
            None => text,
        }
    }

    /// Asks, and asks again where that may help.
    ///
    /// # Errors
    /// Nobody will get an answer there: the key is not taken, or there is no such model. Or nobody gets one now.
    pub(super) async fn ask(&self, question: &Question) -> Result<Reply, Failure> {
        let body = body(&self.model, &self.manner, question);
        let (mut tried, mut pause) = (1, PAUSE);
        loop {
            let (problem, asked) = match self.send(&body).await {
                Ok(reply) => {
                    self.has_answered.fetch_or(matches!(reply, Reply::Said(_)), Ordering::Relaxed);
                    return Ok(reply);
                }
                Err(Trouble::Final(failure)) => return Err(failure),
                Err(Trouble::Again(problem, asked)) => (problem, asked),
            };
            if tried == TRIES_MAX {
                if self.has_answered.load(Ordering::Relaxed) {
                    return Ok(Reply::Refused(problem));
                }
                let message = format!("{} has answered nothing in {TRIES_MAX} tries: {problem}", self.url);
                return Err(Failure::new(Cure::Later, codes::TRANSIENT, message));
            }
            tracing::warn!(tried, "asking again: {problem}");
            tokio::time::sleep(asked.unwrap_or(pause).min(PAUSE_MAX)).await;
            (tried, pause) = (tried + 1, pause * 2);
        }
    }

    async fn send(&self, body: &Value) -> Result<Reply, Trouble> {
        let request = self.client.post(format!("{}/chat/completions", self.url));
        let mut request = request.header(CONTENT_TYPE, "application/json").body(body.to_string());
        if let Some((_, header)) = &self.key {
            request = request.header(AUTHORIZATION, header);
        }
        let response = match request.send().await {
            Ok(response) => response,
            Err(error) if error.is_timeout() => return Ok(Reply::TimedOut),
            Err(error) => return Err(Trouble::Again(self.struck(reason(&error)), None)),
        };
        let status = response.status();
        let again = response.headers().get(RETRY_AFTER).and_then(|it| it.to_str().ok()).and_then(|it| it.parse().ok());
        let text = match read(response).await {
            Ok(text) => text,
            Err(Cut::TimedOut) => return Ok(Reply::TimedOut),
            Err(Cut::TooLong) => {
                return Ok(Reply::Refused(format!("its answer is over {ANSWER_BYTES_MAX} bytes long")));
            }
            Err(Cut::Broken(problem)) => return Err(Trouble::Again(self.struck(problem), None)),
        };
        if status.is_success() {
            return Ok(said(&text).map_or_else(Reply::Refused, |said| Reply::Said(self.struck_said(said))));
        }
        // The key goes first: of one that is cut the rest would stand.
        let said = self.struck(said_of_error(&text)).chars().take(ERROR_CHARS_MAX).collect::<String>();
        let problem = format!("HTTP {status}: {said}");
        match status {
            _ if status.is_redirection() => {
                let message = format!(
                    "{} leads elsewhere ({problem}), and neither questions nor a key go where nobody has named: name the \
                     address that it leads to",
                    self.url
                );
                Err(Trouble::Final(Failure::new(Cure::Never, codes::BAD_INPUT, message)))
            }
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::NOT_FOUND => {
                let message = format!("{} does not answer for `{}`: {problem}", self.url, self.model);
                Err(Trouble::Final(Failure::new(Cure::Never, codes::BAD_INPUT, message)))
            }
            StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT => {
                Err(Trouble::Again(problem, again.map(Duration::from_secs)))
            }
            _ if status.is_server_error() => Err(Trouble::Again(problem, again.map(Duration::from_secs))),
            _ => Ok(Reply::Refused(problem)),
        }
    }
}

/// Whether nobody on the way reads what is sent to an address: it is on this machine, or behind TLS.
pub(super) fn is_private(url: &str) -> bool {
    is_loopback(url) || url.to_ascii_lowercase().starts_with("https://")
}

/// Whether an address is on this machine.
fn is_loopback(url: &str) -> bool {
    let Ok(url) = Url::parse(url) else { return false };
    let Some(host) = url.host_str() else { return false };
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

/// Why there is no answer.
enum Trouble {
    /// There will be none.
    Final(Failure),
    /// There may be one later; after how long, if the server said so.
    Again(String, Option<Duration>),
}

enum Cut {
    TimedOut,
    TooLong,
    Broken(String),
}

/// An error without its address, which could have a secret in it.
fn reason(error: &reqwest::Error) -> String {
    let mut text = String::new();
    let mut at: Option<&dyn std::error::Error> = std::error::Error::source(error);
    while let Some(error) = at {
        if !text.is_empty() {
            text.push_str(": ");
        }
        text.push_str(&error.to_string());
        at = error.source();
    }
    if text.is_empty() { "the connection failed".to_owned() } else { text }
}

async fn read(mut response: Response) -> Result<String, Cut> {
    let mut bytes = Vec::new();
    loop {
        match response.chunk().await {
            Ok(None) => return String::from_utf8(bytes).map_err(|_| Cut::Broken("its answer is no UTF-8".to_owned())),
            Ok(Some(chunk)) if bytes.len() + chunk.len() > ANSWER_BYTES_MAX => return Err(Cut::TooLong),
            Ok(Some(chunk)) => bytes.extend_from_slice(&chunk),
            Err(error) if error.is_timeout() => return Err(Cut::TimedOut),
            Err(error) => return Err(Cut::Broken(reason(&error))),
        }
    }
}

fn body(model: &str, manner: &Manner, question: &Question) -> Value {
    let Manner { temperature, top_p, top_k, tells_thinking } = manner;
    let Question { messages, tools, thinking, tokens_max, seed } = question;
    let mut body = json!({
        "model": model, "messages": messages, "max_tokens": tokens_max, "seed": seed, "temperature": temperature,
    });
    if !tools.is_empty() {
        body["tools"] = json!(tools);
    }
    if let Some(top_p) = top_p {
        body["top_p"] = json!(top_p);
    }
    if let Some(top_k) = top_k {
        body["top_k"] = json!(top_k);
    }
    if *tells_thinking {
        body["chat_template_kwargs"] = match thinking {
            Thinking::Off => json!({"enable_thinking": false}),
            Thinking::Tokens(budget) => json!({"enable_thinking": true, "thinking_budget": budget}),
        };
    }
    body
}

/// Reads an answer of OpenAI's form; the error says what is not of it.
fn said(text: &str) -> Result<Said, String> {
    let value: Value = serde_json::from_str(text).map_err(|error| format!("its answer is no JSON: {error}"))?;
    let choice = &value["choices"][0];
    let message = choice["message"].as_object().ok_or("its answer has no message")?;
    let string = |key: &str| message.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let call = |call: &Value| {
        let function = &call["function"];
        let name = function["name"].as_str()?.to_owned();
        let arguments = match &function["arguments"] {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        Some((name, arguments))
    };
    let calls = message.get("tool_calls").and_then(Value::as_array);
    let count = |it: &Value| it.as_u64().and_then(|count| u32::try_from(count).ok()).unwrap_or_default();
    let usage = &value["usage"];
    let thinking = count(&usage["completion_tokens_details"]["reasoning_tokens"]);
    let made = count(&usage["completion_tokens"]);
    Ok(Said {
        text: string("content"),
        thought: string("reasoning_content"),
        calls: calls.into_iter().flatten().filter_map(call).collect(),
        is_cut: choice["finish_reason"] == "length",
        tokens: Tokens { prompt: count(&usage["prompt_tokens"]), thinking, answer: made.saturating_sub(thinking) },
    })
}

/// What a server says of an error: its message where it has OpenAI's form.
fn said_of_error(text: &str) -> String {
    let value: Value = serde_json::from_str(text).unwrap_or_default();
    value["error"]["message"].as_str().or(value["error"].as_str()).unwrap_or(text).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::AtomicUsize;

    #[test]
    fn only_what_is_set_is_sent() {
        let (messages, thinking) = (Vec::new(), Thinking::Off);
        let question = Question { messages, tools: Vec::new(), thinking, tokens_max: 7, seed: 3 };
        let bare = Manner { temperature: 0.5, top_p: None, top_k: None, tells_thinking: false };
        let expected = json!({"model": "m", "messages": [], "max_tokens": 7, "seed": 3, "temperature": 0.5});
        assert_eq!(body("m", &bare, &question), expected);
        let full = Manner { top_p: Some(0.9), top_k: Some(20), tells_thinking: true, ..bare };
        let question = Question { tools: vec![json!({"type": "function"})], thinking: Thinking::Tokens(9), ..question };
        let body = body("m", &full, &question);
        assert_eq!(body["chat_template_kwargs"], json!({"enable_thinking": true, "thinking_budget": 9}));
        assert_eq!((&body["top_k"], &body["tools"][0]["type"]), (&json!(20), &json!("function")));
    }

    #[test]
    fn an_answer_is_its_text_thought_and_calls() {
        let text = json!({
            "choices": [{"finish_reason": "length", "message": {
                "content": null, "reasoning_content": "hm",
                "tool_calls": [{"function": {"name": "run", "arguments": "{\"a\":1}"}}, {"function": {}}]}}],
            "usage": {"prompt_tokens": 5, "completion_tokens": 3, "completion_tokens_details": {"reasoning_tokens": 1}},
        });
        let said = said(&text.to_string()).unwrap();
        assert_eq!((said.text.as_str(), said.thought.as_str(), said.is_cut), ("", "hm", true));
        assert_eq!(said.calls, [("run".to_owned(), "{\"a\":1}".to_owned())]);
        assert_eq!(said.tokens, Tokens { prompt: 5, thinking: 1, answer: 2 });
        for broken in ["", "[]", "{\"choices\": []}", "{\"choices\": [{\"message\": 3}]}"] {
            assert!(super::said(broken).is_err(), "{broken}");
        }
    }

    const KEY: &str = "sk-proj/0123456789+secret";

    /// A server on this machine that says this to whoever asks, with how often it was asked.
    async fn played(status: u16, location: String, body: String) -> (String, Arc<AtomicUsize>) {
        let asked = Arc::new(AtomicUsize::new(0));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/v1", listener.local_addr().unwrap());
        let counted = asked.clone();
        let says = move || async move {
            counted.fetch_add(1, Ordering::SeqCst);
            let headers = [("location", location), ("retry-after", "0".to_owned())];
            (axum::http::StatusCode::from_u16(status).unwrap(), headers, body)
        };
        tokio::spawn(async move { axum::serve(listener, axum::Router::new().fallback(says)).await });
        (url, asked)
    }

    fn server(url: &str) -> Result<Server, Failure> {
        let manner = Manner { temperature: 0.5, top_p: None, top_k: None, tells_thinking: false };
        Server::new(url.to_owned(), "m".to_owned(), Some(ServerKey::new(KEY)), manner)
    }

    fn question() -> Question {
        let (messages, thinking) = (Vec::new(), Thinking::Off);
        Question { messages, tools: Vec::new(), thinking, tokens_max: 7, seed: 3 }
    }

    async fn ask(url: &str) -> Result<Reply, Failure> {
        server(url)?.ask(&question()).await
    }

    #[tokio::test]
    async fn neither_questions_nor_the_key_follow_a_server_that_leads_elsewhere() {
        let (elsewhere, followed) = played(200, String::new(), String::new()).await;
        for status in [301, 302, 303, 307, 308] {
            let (url, asked) = played(status, format!("{elsewhere}/chat/completions"), String::new()).await;
            let failure = ask(&url).await.unwrap_err();
            assert!(failure.cure == Cure::Never && failure.message.contains("leads elsewhere"), "{failure:?}");
            assert_eq!((asked.load(Ordering::SeqCst), followed.load(Ordering::SeqCst)), (1, 0), "{status}");
        }
    }

    #[tokio::test]
    async fn a_server_that_repeats_the_key_is_repeated_without_it() {
        use base64::prelude::{BASE64_STANDARD, Engine};
        let forms = [
            KEY.to_owned(),
            BASE64_STANDARD.encode(format!("Bearer {KEY}")),
            KEY.replace('/', "%2F").replace('+', "%2B"),
        ];
        for form in forms {
            let error = json!({"error": {"message": format!("{}{form} is no key", "x".repeat(290))}}).to_string();
            let call = json!({"function": {"name": "f", "arguments": {"key": form}}});
            let message = json!({"content": form, "reasoning_content": form, "tool_calls": [call]});
            let answer = json!({"choices": [{"message": message}]}).to_string();
            for (status, body) in
                [(401, error.clone()), (400, error), (400, form.clone()), (200, answer), (200, form.clone())]
            {
                let said = format!("{:?}", ask(&played(status, String::new(), body).await.0).await);
                assert!(!said.contains("0123456789") && !said.contains(&form[..24]), "{status}: {said}");
                // And nothing that a key begins with stands where a text was cut.
                assert!(!said.contains("sk-proj"), "{status}: {said}");
            }
        }
    }

    #[tokio::test]
    async fn a_server_that_is_away_from_the_first_is_asked_later_and_one_that_answered_has_refused_this() {
        let (url, asked) = played(503, String::new(), "busy".to_owned()).await;
        let server = server(&url).unwrap();
        let failure = server.ask(&question()).await.unwrap_err();
        assert!(failure.cure == Cure::Later && failure.message.contains("in 6 tries: HTTP 503"), "{failure:?}");
        assert_eq!(asked.load(Ordering::SeqCst), TRIES_MAX as usize);
        server.has_answered.store(true, Ordering::Relaxed);
        let reply = server.ask(&question()).await.unwrap();
        assert!(matches!(&reply, Reply::Refused(problem) if problem.contains("busy")), "{reply:?}");
    }

    #[test]
    fn a_key_goes_over_tls_or_stays_on_this_machine() {
        let server = |url: &str, key| {
            let manner = Manner { temperature: 0.5, top_p: None, top_k: None, tells_thinking: false };
            Server::new(url.to_owned(), "m".to_owned(), key, manner)
        };
        for url in
            ["https://host/v1", "HTTPS://host/v1", "http://127.0.0.1:1/v1", "http://[::1]/v1", "http://localhost/v1"]
        {
            assert!(server(url, Some(ServerKey::new(KEY))).is_ok(), "{url}");
        }
        for url in ["http://host/v1", "http://127.0.0.1.host/v1", "http://localhost.host/v1"] {
            let failure = server(url, Some(ServerKey::new(KEY))).err().unwrap();
            assert!(failure.message.contains("for all on the way to read"), "{}", failure.message);
            assert!(server(url, None).is_ok());
        }
    }
}
