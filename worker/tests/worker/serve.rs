//! `vertigo-worker serve` as a process, with the real engine on a tiny base.

use serde_json::{Value, json};
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use vertigo_engine::Model;
use vertigo_engine::generate::{Generate, Generator, Limits, Produced, Request, RequestId, Sampling};
use vertigo_engine::text::ChatTokenizer;
use vertigo_testkit::waiting::soon;
use vertigo_testkit::{base, skipped};

const QUESTION: &str = "What is a grapple anchor?";

/// Tokens of the answer.
const TOKENS: usize = 24;

/// The most probable tokens, by the engine itself, and their text.
async fn greedy(base: &Path, adapter: Option<&Path>) -> (usize, String) {
    let (base, adapter) = (base.to_owned(), adapter.map(Path::to_owned));
    let answer = tokio::task::spawn_blocking(move || {
        let text = ChatTokenizer::load(&base).unwrap();
        let tokens = tokens(&base, adapter.as_deref(), &text);
        (tokens.len(), text.decode(&tokens).unwrap())
    });
    answer.await.unwrap()
}

fn tokens(base: &Path, adapter: Option<&Path>, text: &ChatTokenizer) -> Vec<u32> {
    let prompt = text.render(&[json!({"role": "user", "content": QUESTION})], None, true).unwrap();
    let limits = Limits { bytes: 1 << 30, answers_max: 1 };
    let mut generator = Generator::new(Model::load(base).unwrap(), limits).unwrap();
    let request = Request {
        prompt: text.encode(&prompt).unwrap(),
        borders: Vec::new(),
        adapter: adapter.map(|folder| generator.add_adapter(folder).unwrap()),
        sampling: Sampling::default(),
        tokens_max: TOKENS,
        ends: vec![text.eos()],
        logprobs: None,
        thought: None,
    };
    generator.admit(RequestId(0), request).unwrap();
    let mut tokens = Vec::new();
    while !generator.is_idle() {
        for (_, produced) in generator.step().unwrap() {
            if let Produced::Token(chosen) = produced {
                tokens.push(chosen.id);
            }
        }
    }
    tokens
}

async fn serve(models: &[String]) -> (Child, SocketAddr, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vertigo-worker"));
    command.arg("serve").args(models).args(["--listen", "127.0.0.1:0"]).stdout(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let line = soon("the line that says where it listens", lines.next_line()).await.unwrap().expect("a line");
    let address = line.split_once("http://").unwrap().1.split(';').next().unwrap().parse().unwrap();
    (child, address, line)
}

async fn post(address: SocketAddr, body: &Value) -> Value {
    let body = body.to_string();
    let head = "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n";
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(format!("{head}Content-Length: {}\r\n\r\n{body}", body.len()).as_bytes()).await.unwrap();
    let mut reply = String::new();
    soon("an answer", stream.read_to_string(&mut reply)).await.unwrap();
    serde_json::from_str(reply.split_once("\r\n\r\n").unwrap().1).unwrap()
}

/// Asks a model for its most probable answer, which is to be `expected`.
async fn says(address: SocketAddr, model: &str, (tokens, text): &(usize, String)) -> Value {
    let asked = json!({"model": model, "messages": [{"role": "user", "content": QUESTION}], "temperature": 0,
                       "max_tokens": TOKENS});
    let answer = post(address, &asked).await;
    let content = answer["choices"][0]["message"]["content"].as_str().unwrap_or_else(|| panic!("{answer}"));
    // Half a character at the end is left out.
    let rest = text.strip_prefix(content).unwrap_or_else(|| panic!("{text:?}: {answer}"));
    assert!(!content.is_empty() && rest.chars().all(|c| c == char::REPLACEMENT_CHARACTER), "{rest:?}: {answer}");
    assert_eq!(answer["usage"]["completion_tokens"], *tokens);
    answer
}

#[tokio::test]
async fn a_served_model_says_what_the_engine_says_and_ends_when_it_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("tiny");
    base::write(&folder);
    let expected = greedy(&folder, None).await;
    let models = [folder.display().to_string(), format!("other={}", folder.display())];
    let (mut child, address, line) = serve(&models).await;
    assert!(line.contains("tiny, other") && line.contains("curl") && line.contains("Hello"), "{line}");
    for name in ["tiny", "other"] {
        let answer = says(address, name, &expected).await;
        // The second request asks what the first did, over the same base.
        let cached = answer["usage"]["prompt_tokens_details"]["cached_tokens"].as_u64().unwrap();
        assert_eq!(cached > 0, name == "other", "{answer}");
    }
    let pid = nix::unistd::Pid::from_raw(i32::try_from(child.id().unwrap()).unwrap());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
    assert!(soon("its end", child.wait()).await.unwrap().success());
}

#[tokio::test]
async fn an_adapter_over_a_base_answers_beside_it() {
    let base = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/fixtures/f32");
    let adapter = base.join("adapter");
    if !adapter.exists() {
        return skipped("../shared is not there: no base with an adapter");
    }
    let (plain, adapted) = (greedy(&base, None).await, greedy(&base, Some(&adapter)).await);
    assert_ne!(plain, adapted);
    let models = [base.display().to_string(), format!("{}@{}", base.display(), adapter.display())];
    let (_child, address, _) = serve(&models).await;
    for _ in 0..2 {
        says(address, "f32@adapter", &adapted).await;
        says(address, "f32", &plain).await;
    }
}

#[tokio::test]
async fn what_cannot_be_served_is_said_before_the_port_answers() {
    for (args, words) in [
        (vec!["serve", "/no/such/folder"], "/no/such/folder"),
        (vec!["serve", "./x/a", "./y/a"], "two models are called `a`"),
        (vec!["serve", "a", "--listen", "0.0.0.0:0"], "ssh -L"),
        (vec!["serve"], "MODEL"),
        (vec!["serve", "@x"], "names no model"),
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_vertigo-worker")).args(&args).output();
        let output = soon("its end", output).await.unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains(words), "{args:?}: {said}");
    }
}
