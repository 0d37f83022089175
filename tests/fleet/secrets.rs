//! A token's secret and a machine's key stand where they belong and nowhere else: not in arguments, in the environment of any process, in
//! logs, in traces, or in what the coordinator keeps, through a whole life of joining, working and being revoked.

use crate::{recipe, turn};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{TraceService, TraceServiceServer};
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use serde_json::Value;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use tempfile::TempDir;
use tonic::transport::Server;
use tonic::{Request, Response, Status};
use vertigo_testkit::coordinator::serve;
use vertigo_tests::{Process, Ran, binary, luau};

/// Everything that is exported, as text.
#[derive(Clone, Default)]
struct Traces(Arc<Mutex<String>>);

#[tonic::async_trait]
impl TraceService for Traces {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        self.0.lock().unwrap().push_str(&format!("{:?}\n", request.into_inner()));
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

/// What nobody but its owner may see, in each form in which it could be met.
#[derive(Default)]
struct Secrets(Vec<String>);

impl Secrets {
    /// A token's line, and the secret in it.
    fn of_token(&mut self, line: &str) {
        let line = line.trim();
        let token: vertigo_access::token::Token = line.parse().unwrap();
        let hex = token.secret.to_hex();
        // As `{:?}` shows the bytes of a message, in part.
        let bytes = token.secret.to_bytes().iter().take(12).map(u8::to_string).collect::<Vec<_>>().join(", ");
        self.0.extend([line.to_owned(), hex, bytes]);
    }

    /// The key of an identity's file, and of an authority's.
    fn of_file(&mut self, path: &Path) {
        let text = fs::read_to_string(path).unwrap();
        let key = match serde_json::from_str::<Value>(&text) {
            Ok(identity) => identity["key"].as_str().unwrap().to_owned(),
            Err(_) => text.lines().nth(1).unwrap().to_owned(),
        };
        // In the middle, which is neither the algorithm's name nor padding.
        self.0.push(key[20..60].to_owned());
    }

    /// Those of them that stand in a text.
    fn in_text(&self, text: &str) -> Vec<&str> {
        self.0.iter().map(String::as_str).filter(|secret| text.contains(secret)).collect()
    }
}

/// Arguments and environments of all our processes, for as long as it is not told to stop.
fn watch(stop: Arc<AtomicBool>) -> JoinHandle<String> {
    std::thread::spawn(move || {
        let (mut seen, ours) = (String::new(), binary("vertigo"));
        let folder = ours.parent().unwrap().to_string_lossy().into_owned();
        while !stop.load(Ordering::Relaxed) {
            for process in fs::read_dir("/proc").into_iter().flatten().flatten() {
                let read = |name: &str| fs::read(process.path().join(name)).unwrap_or_default();
                let arguments = String::from_utf8_lossy(&read("cmdline")).into_owned();
                if arguments.starts_with(&folder) && !arguments.contains("/deps/") {
                    let environment = String::from_utf8_lossy(&read("environ")).into_owned();
                    for text in [arguments, environment] {
                        if !seen.contains(&text) {
                            seen.push_str(&text);
                            seen.push('\n');
                        }
                    }
                }
            }
            std::thread::yield_now();
        }
        seen
    })
}

struct Life {
    dir: TempDir,
    traces: String,
    outputs: Mutex<String>,
}

impl Life {
    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(binary(program));
        command.env("HOME", self.dir.path()).env("RUST_LOG", "trace").env("OTEL_EXPORTER_OTLP_ENDPOINT", &self.traces);
        command.env("OTEL_BSP_SCHEDULE_DELAY", "100").env_remove("VERTIGO_COORDINATOR").env_remove("VERTIGO_CONTEXT");
        command.current_dir(self.dir.path());
        command
    }

    /// Runs a program with a token on its stdin. What it writes is kept, but for the line of a token that was asked for.
    fn run(&self, program: &str, words: &[&str], input: &str) -> String {
        let mut command = self.command(program);
        let pipes = command.args(words).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = pipes.spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        let ran = Ran::from(child.wait_with_output().unwrap());
        let mut outputs = self.outputs.lock().unwrap();
        outputs.push_str(&ran.stderr);
        if !words.contains(&"create") {
            outputs.push_str(&ran.stdout);
        }
        drop(outputs);
        ran.ok()
    }

    fn token(&self, role: &str) -> String {
        let made: Value =
            serde_json::from_str(&self.run("vertigo", &["--json", "token", "create", "--role", role], "")).unwrap();
        made["line"].as_str().unwrap().to_owned()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_seen_from_outside_in_a_whole_life() {
    let _turn = turn().await;
    let traces = Traces::default();
    let collector = serve(Server::builder().add_service(TraceServiceServer::new(traces.clone()))).await;
    let life =
        Life { dir: tempfile::tempdir().unwrap(), traces: collector.url().to_owned(), outputs: Mutex::default() };
    fs::create_dir(life.path(".vertigo")).unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let watching = watch(stop.clone());
    let mut secrets = Secrets::default();

    let state = life.path("coordinator");
    let mut command = life.command("vertigo-coordinator");
    command.args(["--listen", "127.0.0.1:0", "--certificates", "--state"]).arg(&state);
    let (mut coordinator, _) = Process::start("coordinator", &mut command, life.dir.path());
    let admin = fs::read_to_string(state.join("access/admin-token")).unwrap();
    secrets.of_token(&admin);
    secrets.of_file(&state.join("access/authority.pem"));
    life.run("vertigo", &["login"], &admin);
    secrets.of_file(&life.path(".vertigo/contexts/127.0.0.1.json"));

    let line = life.token("worker");
    secrets.of_token(&line);
    life.run("vertigo-worker", &["join", "--no-install", "--name", "mac"], &line);
    let identity = life.path(".vertigo/worker/identity.json");
    secrets.of_file(&identity);
    let mut command = life.command("vertigo-worker");
    let (mut worker, _) = Process::start("worker", command.args(["--memory", "4GiB"]), life.dir.path());
    life.run("vertigo", &["data", "import", "luau", &luau().to_string_lossy()], "");
    life.run("vertigo", &["base", "new", "mini", "--preset", "mini-4b", "--data", "luau"], "");
    fs::write(life.path("short.yaml"), recipe(4, "")).unwrap();
    life.run("vertigo", &["train", "short.yaml", "--data", "luau", "--name", "first", "--follow"], "");
    life.run("vertigo", &["revoke", "mac"], "");
    assert!(!worker.wait().success());
    assert!(coordinator.terminate().success());
    stop.store(true, Ordering::Relaxed);
    let seen = watching.join().unwrap();

    // What is looked for is found where it belongs.
    assert_eq!(secrets.in_text(&fs::read_to_string(state.join("access/admin-token")).unwrap()).len(), 1);
    assert!(!secrets.in_text(&fs::read_to_string(&identity).unwrap()).is_empty());
    // Other systems show no process's environment to a program like this.
    assert!(!cfg!(target_os = "linux") || (seen.contains("attempt") && seen.contains("RUST_LOG=trace")), "{seen}");
    let (logs, exported) = (coordinator.log() + &worker.log(), traces.0.lock().unwrap().clone());
    assert!(logs.contains("joined") && exported.contains("join"));
    for (where_it_is, text) in [
        ("arguments and environments", &seen),
        ("logs", &logs),
        ("what commands wrote", &life.outputs.lock().unwrap()),
        ("traces", &exported),
        ("the registry", &fs::read_to_string(state.join("access/registry.json")).unwrap()),
        ("the database", &String::from_utf8_lossy(&fs::read(state.join("vertigo.db")).unwrap()).into_owned()),
    ] {
        assert_eq!(secrets.in_text(text), [""; 0], "secrets stand in {where_it_is}");
    }
}
