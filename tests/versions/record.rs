//! Makes `previous/` of another release: its own programs run a small job, and what its worker says to its coordinator and hears is
//! written down on its way. Not a test of anything: `record.sh COMMIT` builds the programs and has it run.

use crate::grpc::{self, Messages, Passing, Seen};
use crate::previous;
use crate::recording::{Fetch, Message, Recording, Step};
use crate::replay::trains;
use axum::body::to_bytes;
use axum::extract::{Request, State};
use axum::http::HeaderMap;
use axum::response::Response;
use serde_json::json;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, MutexGuard};
use vertigo::endpoint::Endpoint;
use vertigo_testkit::base;
use vertigo_testkit::coordinator::listen;
use vertigo_tests::waiting::{eventually, soon};
use vertigo_tests::{Process, Ran, channel};

/// Where the other release's programs lie.
const PROGRAMS: &str = "VERTIGO_EARLIER_PROGRAMS";

/// More than any body of so small a job.
const BODY_BYTES_MAX: usize = 1 << 20;

/// Headers that say something to the other side; all others are the connection's.
const HEADERS: [&str; 5] = ["range", "content-range", "content-length", "upload-offset", "content-type"];

/// Who stands in the way, and writes down.
#[derive(Clone)]
struct Recorder {
    coordinator: Endpoint,
    http: reqwest::Client,
    recording: Arc<Mutex<Recording>>,
}

impl Recorder {
    fn recording(&self) -> MutexGuard<'_, Recording> {
        self.recording.lock().expect("nobody panics with it")
    }

    fn wrote(&self, step: Step) {
        self.recording().steps.push(step);
    }

    /// The number of a call that begins now.
    fn begins(&self, path: &str) -> u64 {
        let steps = &mut self.recording().steps;
        let call = steps.iter().filter(|step| matches!(step, Step::Calls { .. })).count() as u64 + 1;
        steps.push(Step::Calls { call, path: path.to_owned() });
        call
    }

    /// Passes a call of gRPC on.
    async fn call(self, request: Request) -> Response {
        let (head, body) = request.into_parts();
        let call = self.begins(head.uri.path());
        let (says, mut messages) = (self.clone(), Messages::default());
        let body = Passing::new(body, move |seen| match seen {
            Seen::Piece(piece) => {
                messages.after(piece).into_iter().for_each(|it| says.wrote(Step::Says { call, message: Message(it) }));
            }
            Seen::Trailers(_) => {}
            Seen::End => says.wrote(Step::Falls { call }),
        });
        let mut on = Request::post(head.uri.path()).body(tonic::body::Body::new(body)).expect("a path is a URI");
        let is_its_own = |name: &&axum::http::HeaderName| !["host", "content-length"].contains(&name.as_str());
        for name in head.headers.keys().filter(is_its_own) {
            on.headers_mut().insert(name, head.headers[name].clone());
        }
        let (head, body) = grpc::send(&mut channel(&self.coordinator), on).await.into_parts();
        if let Some(status) = grpc::status(&head.headers) {
            self.wrote(Step::Ends { call, status });
        }
        let (hears, mut messages) = (self.clone(), Messages::default());
        let body = Passing::new(body, move |seen| match seen {
            Seen::Piece(piece) => {
                messages
                    .after(piece)
                    .into_iter()
                    .for_each(|it| hears.wrote(Step::Hears { call, message: Message(it) }));
            }
            Seen::Trailers(trailers) => {
                let status = grpc::status(trailers).unwrap_or_default();
                hears.wrote(Step::Ends { call, status });
            }
            Seen::End => {}
        });
        Response::from_parts(head, axum::body::Body::new(body))
    }

    /// Passes a request over HTTP on.
    async fn fetch(self, request: Request) -> Response {
        let (head, body) = request.into_parts();
        let sent = to_bytes(body, BODY_BYTES_MAX).await.expect("a small body");
        let path = head.uri.path().to_owned();
        let mut on = self.http.request(head.method.clone(), format!("{}{path}", self.coordinator));
        for (name, value) in kept(&head.headers) {
            on = on.header(name, value);
        }
        let answer = on.body(sent.clone()).send().await.expect("the coordinator is there");
        let (status, answered) = (answer.status(), kept(answer.headers()));
        let received = answer.bytes().await.expect("the coordinator is there");
        let mut recording = self.recording();
        let (sent, kept_answer) = (recording.keep(sent), recording.keep(received.clone()));
        recording.steps.push(Step::Fetches(Fetch {
            method: head.method.to_string(),
            path,
            headers: kept(&head.headers),
            sent,
            status: status.as_u16(),
            answered: answered.clone(),
            received: kept_answer,
        }));
        drop(recording);
        let mut response = Response::builder().status(status);
        for (name, value) in answered {
            response = response.header(name, value);
        }
        response.body(axum::body::Body::from(received)).expect("headers are those that came")
    }
}

fn kept(headers: &HeaderMap) -> BTreeMap<String, String> {
    let value = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    HEADERS.into_iter().filter_map(|name| Some((name.to_owned(), value(name)?))).collect()
}

async fn pass(State(recorder): State<Recorder>, request: Request) -> Response {
    let kind = request.headers().get("content-type").and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    if kind.starts_with("application/grpc") { recorder.call(request).await } else { recorder.fetch(request).await }
}

/// The smallest base that has all of an architecture's parts but one: its tensors are a third of the recording.
fn write_base(folder: &Path) {
    let mut config = base::text_config();
    for (key, value) in [
        ("hidden_size", json!(32)),
        ("intermediate_size", json!(16)),
        ("num_hidden_layers", json!(1)),
        ("num_attention_heads", json!(2)),
        ("num_key_value_heads", json!(1)),
        ("full_attention_interval", json!(1)),
    ] {
        config[key] = value;
    }
    base::write_of(folder, &config);
}

/// What is learned: six questions and their answers.
fn rows() -> String {
    let row = |n: u32| {
        json!({"messages": [{"role": "user", "content": format!("What is {n} and {n}?")},
                            {"role": "assistant", "content": format!("It is {}.", n + n)}]})
    };
    (1..=6).map(|n| format!("{}\n", row(n))).collect()
}

/// The recipe: long enough that a checkpoint goes up while it trains, and that it hears meanwhile that it is to go.
const RECIPE: &str = "model: tiny\nnum_layers: 1\niters: 16\nbatch_size: 1\nmax_seq_length: 64\nmask_prompt: true\nlearning_rate: 1.0e-3\n\
                      steps_per_report: 1\nsteps_per_eval: 10\nval_batches: 1\nsave_every: 8\n\
                      lora_parameters: {rank: 2, scale: 10.0, dropout: 0.0}\n";

#[tokio::test(flavor = "multi_thread")]
#[ignore = "writes tests/versions/previous: for tests/versions/record.sh"]
async fn a_session_of_the_release_before_is_written_down() {
    let programs = PathBuf::from(std::env::var(PROGRAMS).expect("record.sh says where they are"));
    let dir = tempfile::tempdir().expect("a temporary folder");
    let folder = |name: &str| dir.path().join(name);
    let command = |program: &str| {
        let mut command = Command::new(programs.join(program));
        command.current_dir(dir.path());
        command
    };
    let mut coordinator = command("vertigo-coordinator");
    coordinator.args(["--listen", "127.0.0.1:0", "--lease", "30s", "--state"]).arg(folder("coordinator"));
    let (_coordinator, line) = Process::start("coordinator", &mut coordinator, dir.path());
    let address = line.rsplit_once("http://").map(|(_, address)| address).expect("it says where it listens");
    let endpoint: Endpoint = address.parse().expect("an address");

    let (listener, between) = listen().await;
    let http = reqwest::Client::builder().no_proxy().build().expect("a client");
    let recorder = Recorder { coordinator: endpoint.clone(), http, recording: Arc::default() };
    let service = axum::Router::new().fallback(pass).with_state(recorder.clone());
    tokio::spawn(async { axum::serve(listener, service).await });

    let mut worker = command("vertigo-worker");
    worker.env("VERTIGO_COORDINATOR", between.url());
    worker.args(["--name", "old", "--memory", "4GiB", "--state"]).arg(folder("worker"));
    let (mut worker, line) = Process::start("worker", &mut worker, dir.path());
    assert!(line.contains("connected"), "{line}");

    write_base(&folder("base"));
    std::fs::create_dir(folder("data")).expect("a temporary folder");
    for part in ["train", "valid"] {
        std::fs::write(folder("data").join(part).with_extension("jsonl"), rows()).expect("a temporary folder");
    }
    std::fs::write(folder("tiny.yaml"), RECIPE).expect("a temporary folder");
    for arguments in [
        &["data", "import", "sums", "data"][..],
        &["base", "import", "tiny", "base"],
        &["train", "tiny.yaml", "--data", "sums", "--name", "first"],
    ] {
        let mut cli = tokio::process::Command::from(command("vertigo"));
        cli.env("VERTIGO_COORDINATOR", endpoint.url()).args(arguments).kill_on_drop(true);
        let ran = Ran::from(soon(&arguments.join(" "), cli.output()).await.expect("the CLI starts"));
        println!("{}", ran.ok());
    }
    eventually("a step", || recorder.recording().steps.iter().any(trains).then_some(())).await;
    // It says that it goes, does what it has, and goes.
    assert!(worker.terminate().success(), "{}", worker.log());
    let recording = recorder.recording().clone();
    recording.write(&previous());
    for (name, from) in [("tiny.yaml", "tiny.yaml"), ("sums.jsonl", "data/train.jsonl")] {
        std::fs::copy(folder(from), previous().join(name)).expect("the recording's folder can be written");
    }
}
