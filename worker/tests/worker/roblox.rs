//! An evaluation whose answers a played Open Cloud judges beside the room: a real child that is killed, and goes on.

#[path = "../../roblox/tests/played/cloud.rs"]
#[allow(dead_code, reason = "its own tests play more ways than these")]
mod open_cloud;

use axum::Json;
use axum::extract::State;
use axum::routing::post;
use open_cloud::{KEY, OpenCloud, Played, completed};
use serde_json::{Value, json};
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use vertigo::bytes::Bytes;
use vertigo::id::{AttemptId, Digest, Epoch, JobId};
use vertigo::task::{Cure, Slot};
use vertigo_evaluation::report::{Kept, Report, RobloxTally};
use vertigo_evaluation::roblox::{Outcome, Roblox};
use vertigo_worker::child::main::{End, Said};
use vertigo_worker::task::eval::{ModelServer, Options, RealRoblox};
use vertigo_worker::task::{Event, Input, Spec, Task};

const EVAL: &str = "local eval = {place = \"racing.rbxl\"}
eval.setup = function() end
eval.reference = function()
end
eval.check_scene = function() assert(workspace) end
return eval
";

/// Three tasks that are evals, and one that is none.
fn write_suite(folder: &Path) {
    fs::create_dir_all(folder.join("tasks")).unwrap();
    fs::write(folder.join("suite.yaml"), "name: small\ndefaults: {tokens_max: 48, samples: 1}\n").unwrap();
    for name in ["bad", "good", "none", "plain"] {
        let eval = format!("roblox: {{source: {}, place: racing.rbxl}}\n", json!(EVAL));
        let eval = if name == "plain" { String::new() } else { eval };
        let task = format!("id: {name}\ncategory: c\nprompt: say {name}\nchecks:\n  patterns: [\".*\"]\n{eval}");
        fs::write(folder.join(format!("tasks/{name}.yaml")), task).unwrap();
    }
}

/// A model behind a server that answers with what it was asked for.
async fn model() -> (String, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    async fn answer(State(asked): State<Arc<AtomicUsize>>, Json(request): Json<Value>) -> Json<Value> {
        asked.fetch_add(1, Ordering::Relaxed);
        let question = request["messages"][0]["content"].as_str().unwrap().to_owned();
        let said = match question.trim_start_matches("say ") {
            "none" => "I would rather not.".to_owned(),
            name => format!("```luau\nlocal {name} = 1\nprint({name})\n```"),
        };
        Json(json!({"choices": [{"finish_reason": "stop", "message": {"content": said}}]}))
    }
    let router = axum::Router::new().route("/v1/chat/completions", post(answer)).with_state(asked.clone());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v1", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    (url, asked)
}

fn spec(dir: &Path, url: &str, out: &str, tasks: &[&str]) -> Spec {
    let server = ModelServer { url: url.to_owned(), model: "m".to_owned(), key: String::new() };
    let roblox = RealRoblox { judge: Roblox::Cloud, key: format!("file:{}", dir.join("key").display()) };
    let tasks = tasks.iter().map(|task| (*task).to_owned()).collect();
    let options = Options { server: Some(server), roblox: Some(roblox), tasks, ..Options::default() };
    let suite = Input { digest: Digest::of(b"suite"), folder: dir.join("suite"), facts: Default::default() };
    Spec {
        job: JobId::new(),
        attempt: AttemptId::new(),
        epoch: Epoch(1),
        reserved: Bytes::gib(1),
        slot: Slot::Cpu,
        task: Task::Eval(Box::new(options)),
        inputs: [("suite".to_owned(), suite)].into(),
        checkpoint: None,
        out: dir.join(out),
        ledgers: dir.join("ledgers"),
    }
}

fn start(dir: &Path, spec: &Spec, cloud: &str) -> (Child, impl Iterator<Item = Said>) {
    let path = dir.join("spec.json");
    spec.save(&path).unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_vertigo-worker"))
        .args(["attempt", "--spec"])
        .arg(path)
        .env("VERTIGO_OPEN_CLOUD_URL", cloud)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let stdout = BufReader::new(child.stdout.take().unwrap());
    let said = stdout.lines().map(|line| {
        let line = line.unwrap();
        assert!(!line.contains(KEY), "{line}");
        serde_json::from_str(&line).unwrap()
    });
    (child, said)
}

async fn play(dir: &Path) -> (String, Arc<AtomicUsize>, Played) {
    write_suite(&dir.join("suite"));
    fs::write(dir.join("key"), format!("{KEY}\n")).unwrap();
    let (url, asked) = model().await;
    let played = OpenCloud::default().record(|script, _| completed(script.contains("local good"), 1)).serve().await;
    (url, asked, played)
}

fn assert_no_key(folder: &Path) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            assert_no_key(&path);
        } else if path.file_name().unwrap() != "key" {
            assert!(!String::from_utf8_lossy(&fs::read(&path).unwrap()).contains(KEY), "{}", path.display());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_evaluation_that_is_killed_pays_open_cloud_once_and_its_scores_know_nothing_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let (url, _, played) = play(dir.path()).await;
    let first = spec(dir.path(), &url, "first", &[]);
    let (mut child, mut said) = start(dir.path(), &first, &played.url);
    let is_checkpoint = |said: &Said| matches!(said, Said::Event(Event::Checkpoint { .. }));
    // Before both are got one is on its way, and nobody can say whether Roblox has it.
    let got = said.by_ref().filter(is_checkpoint).take(2).count();
    assert_eq!(got, 2, "a job that was got is worth a checkpoint");
    child.kill().unwrap();
    child.wait().unwrap();
    drop(said);

    // Its checkpoint was lost as well: the ledger of this machine's key still knows the jobs.
    let second = Spec { out: dir.path().join("second"), ..first };
    let (mut child, said) = start(dir.path(), &second, &played.url);
    let events: Vec<Said> = said.collect();
    assert!(child.wait().unwrap().success(), "{events:?}");
    let sent = played.sent();
    assert_eq!(sent.len(), 2, "one of each program, and none for the answer without one");
    let script = sent.iter().map(|body| body["input_script"].as_str().unwrap()).find(|it| it.contains("good")).unwrap();
    assert!(script.starts_with("local function VertigoAnswer(...)\nlocal good = 1\nprint(good)"), "{script}");

    let text = fs::read_to_string(dir.path().join("second/report/report.json")).unwrap();
    let report = Report::parse(&text).unwrap();
    assert_eq!((report.overall.passed, report.overall.decided), (4, 4), "in the room all of them hold their checks");
    let roblox = report.roblox.unwrap();
    let tally = RobloxTally { answers: 3, passed: 1, failed: 2, no_program: 1, no_verdict: 0, to_come: 0 };
    assert_eq!((roblox.by, roblox.tally), (Roblox::Cloud, tally));
    let outcomes: Vec<_> = roblox
        .tasks
        .iter()
        .map(|task| (task.task.as_str(), task.answers[0].verdict.as_ref().unwrap().outcome))
        .collect();
    assert_eq!(outcomes, [("bad", Outcome::Failed), ("good", Outcome::Passed), ("none", Outcome::NoProgram)]);
    let kept = fs::read_to_string(dir.path().join("second/answers.jsonl")).unwrap();
    assert_eq!(Kept::read(&kept).unwrap().roblox.values().filter(|it| it.job.is_some()).count(), 2);
    assert_no_key(dir.path());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_said_before_a_model_is_asked() {
    let dir = tempfile::tempdir().unwrap();
    let (url, asked, played) = play(dir.path()).await;
    let refused = |spec: &Spec, cloud: &str| {
        let (mut child, said) = start(dir.path(), spec, cloud);
        let last = said.last();
        child.wait().unwrap();
        match last {
            Some(Said::End(End::Failed(failure))) => failure,
            other => panic!("the last word was {other:?}"),
        }
    };
    let none = refused(&spec(dir.path(), &url, "none", &["plain"]), &played.url);
    assert!(none.cure == Cure::Never && none.message.contains("no task of the suite small is an eval"), "{none:?}");
    let clear = refused(&spec(dir.path(), &url, "clear", &[]), "http://example.com/v1");
    assert!(clear.message.contains("https:// alone"), "{clear:?}");
    fs::remove_file(dir.path().join("key")).unwrap();
    let lost = refused(&spec(dir.path(), &url, "lost", &[]), &played.url);
    assert!(lost.cure == Cure::AnotherMachine && lost.message.contains("key"), "{lost:?}");
    assert_eq!((asked.load(Ordering::Relaxed), played.sent().len()), (0, 0));
}
