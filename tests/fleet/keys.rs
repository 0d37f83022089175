//! A server's key, which nobody but the server is told.

use serde_json::{Value, json};
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use vertigo::v1::JobState;
use vertigo_tests::Fleet;

const KEY: &str = "sk-proj/0123456789+secret~key";

/// The key in base64, after `Bearer `, and as it stands in addresses.
const BASE64: &str = "c2stcHJvai8wMTIzNDU2Nzg5K3NlY3JldH5rZXk=";
const AFTER_BEARER: &str = "QmVhcmVyIHNrLXByb2ovMDEyMzQ1Njc4OStzZWNyZXR+a2V5";
const IN_ADDRESSES: &str = "sk-proj%2F0123456789%2Bsecret~key";

/// What stands nowhere: the key's forms, without what an encoding shares with its neighbours.
const NOWHERE: [&str; 5] = [
    "0123456789+secret",
    "0123456789%2Bsecret",
    "0123456789%2bsecret",
    "wMTIzNDU2Nzg5K3NlY3JldH5r",
    "MDEyMzQ1Njc4OStzZWNyZXR",
];

/// A server that has the key in whatever it answers; one that refuses who asks refuses everybody.
fn played(refuses: bool) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}/v1", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for (n, stream) in listener.incoming().flatten().enumerate() {
            // Whoever has gone hears nothing.
            let _ = answer(stream, if refuses { 3 } else { n % 3 });
        }
    });
    address
}

fn answer(stream: TcpStream, how: usize) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    let (mut bytes, mut is_authorized) = (0, false);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let line = line.trim_end().to_ascii_lowercase();
        if let Some(length) = line.strip_prefix("content-length:") {
            bytes = length.trim().parse().unwrap_or_default();
        }
        is_authorized |= line == format!("authorization: bearer {}", KEY.to_ascii_lowercase());
        if line.is_empty() {
            break;
        }
    }
    reader.read_exact(&mut vec![0; bytes])?;
    assert!(is_authorized, "the key was not sent");
    let told = format!("you sent {KEY}, that is {BASE64}, {AFTER_BEARER} and {IN_ADDRESSES}");
    let message = json!({"content": format!("```luau\n-- {told}\nreturn 1\n```"), "reasoning_content": told});
    let error = json!({"error": {"message": told}});
    let (status, body) = match how {
        0 => ("200 OK", json!({"choices": [{"message": message, "finish_reason": "stop"}]})),
        1 => ("400 Bad Request", error),
        2 => ("429 Too Many Requests\r\nRetry-After: 0", error),
        _ => ("401 Unauthorized", error),
    };
    let body = body.to_string();
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    reader.get_mut().write_all((head + &body).as_bytes())
}

/// Every file below a folder that has the key, in whatever form.
fn told(folder: &Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            told(&path, found);
            continue;
        }
        // What goes meanwhile is not left behind.
        let bytes = fs::read(&path).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        let here = NOWHERE.iter().filter(|form| text.contains(**form));
        found.extend(here.map(|form| format!("{}: {form}", path.display())));
    }
}

async fn eval(fleet: &Fleet, url: &str, key: &Path, more: &[&str]) -> String {
    let (model, key) = (format!("{url}#big"), format!("file:{}", key.display()));
    let arguments = [&["--json", "eval", &model, "--suite", "keys", "--key", &key], more].concat();
    let queued: Value = serde_json::from_str(&fleet.cli(&arguments).await.ok()).unwrap();
    queued["jobs"][0]["id"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_servers_key_is_in_nothing_that_an_evaluation_leaves() {
    let logged = "debug,hyper=trace,hyper_util=trace,reqwest=trace";
    let mut fleet = Fleet::start_with("30s", None, &[("RUST_LOG", logged)]);
    fleet.start_worker("mac", "4GiB");
    let elsewhere = tempfile::tempdir().unwrap();
    let key = elsewhere.path().join("key");
    fs::write(&key, format!("{KEY}\n")).unwrap();
    let suite = fleet.write("keys/suite.yaml", "name: keys\ndefaults: {tokens_max: 48, samples: 3}\n");
    for n in 0..3 {
        let task = format!("id: t{n}\ncategory: any\nprompt: Say {n}.\nchecks:\n  patterns: [\"server's key\"]\n");
        fleet.write(&format!("keys/tasks/t{n}.yaml"), &task);
    }
    let folder = suite.parent().unwrap().to_string_lossy().into_owned();
    fleet.cli(&["suite", "import", "keys", &folder]).await.ok();

    let id = eval(&fleet, &played(false), &key, &[]).await;
    let job = fleet.ended(&id).await;
    assert_eq!(job.state(), JobState::Succeeded, "{}", job.reason);
    let out = fleet.folder("report").to_string_lossy().into_owned();
    fleet.cli(&["get", &job.outputs[0].digest, &out]).await.ok();
    let report: Value = serde_json::from_str(&fs::read_to_string(fleet.folder("report/report.json")).unwrap()).unwrap();
    // It did answer and refuse, with the key in all of it.
    let endings = &report["overall"]["endings"];
    assert!(endings["answered"].as_u64() > Some(0) && endings["api_error"].as_u64() > Some(0), "{endings}");
    assert_eq!(report["overall"]["passed"], endings["answered"], "each answer has what stands where the key did");

    let id = eval(&fleet, &played(true), &key, &[]).await;
    let refused = fleet.ended(&id).await;
    assert!(refused.state() == JobState::Failed && refused.reason.contains("401"), "{}", refused.reason);

    // What the API tells, besides what lies in files: jobs with their events.
    let page = fleet.folder("page.html").to_string_lossy().into_owned();
    fleet.cli(&["report", &job.outputs[0].digest, "--html", &page]).await.ok();
    let report = job.outputs[0].digest.as_str();
    for (n, arguments) in [
        &["--json", "job", &job.id][..],
        &["--json", "job", &id],
        &["--json", "logs", &job.id],
        &["--json", "logs", &id],
        &["--json", "report", report],
        &["report", report, "--task", "t0"],
    ]
    .into_iter()
    .enumerate()
    {
        let said = fleet.cli(arguments).await;
        assert!(said.stdout.len() > 1, "{arguments:?}: {}", said.stderr);
        fleet.write(&format!("said/{n}"), &(said.stdout + &said.stderr));
    }
    let mut found = Vec::new();
    told(&fleet.folder("."), &mut found);
    assert!(found.is_empty(), "{found:#?}");
}

#[tokio::test]
async fn a_key_that_would_be_read_on_the_way_is_refused_before_anything_is_queued() {
    let fleet = Fleet::start("30s");
    let suite = fleet.write("keys/suite.yaml", "name: keys\n");
    fleet.write("keys/tasks/t.yaml", "id: t\ncategory: any\nprompt: Say it.\nchecks:\n  patterns: [it]\n");
    fleet.cli(&["suite", "import", "keys", &suite.parent().unwrap().to_string_lossy()]).await.ok();
    let model = "http://models.example.com/v1#big";
    let refused = fleet.cli(&["eval", model, "--suite", "keys", "--key", "env:KEY"]).await;
    assert!(refused.code == 1 && refused.stderr.contains("https://"), "{} {}", refused.code, refused.stderr);
    assert!(!fleet.cli(&["--json", "jobs"]).await.ok().contains("\"eval\""), "nothing is queued");
    fleet.cli(&["eval", model, "--suite", "keys"]).await.ok();
    assert!(fleet.cli(&["--json", "jobs"]).await.ok().contains("\"eval\""));
}
