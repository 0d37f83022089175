//! The binary: what it refuses to start with, what it lets others see, and few descriptors.

use super::harness::{access, soon};
use reqwest::{Client, StatusCode};
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use vertigo::id::Digest;
use vertigo::v1::{self, fleet_client::FleetClient, jobs_client::JobsClient, worker_message};

pub(super) struct Process {
    child: Child,
    pub(super) url: String,
}

impl Process {
    /// Starts it on `state`, after `shell` has been carried out; gives what it says on stderr where it does not listen.
    pub(super) async fn start(state: &Path, shell: &str, arguments: &[&str]) -> Result<Process, String> {
        let mut command = Command::new("sh");
        command.args(["-c", &format!("{shell}; exec \"$0\" \"$@\""), env!("CARGO_BIN_EXE_vertigo-coordinator")]);
        command.args(["--listen", "127.0.0.1:0", "--state"]).arg(state).args(arguments).kill_on_drop(true);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut stderr = child.stderr.take().unwrap();
        let mut line = String::new();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        soon("a line", stdout.read_line(&mut line)).await.unwrap();
        match line.trim().split_once("listening on ") {
            Some((_, url)) => Ok(Process { child, url: url.to_owned() }),
            None => {
                let mut said = String::new();
                soon("the end", stderr.read_to_string(&mut said)).await.unwrap();
                assert!(!soon("the exit", child.wait()).await.unwrap().success());
                Err(said)
            }
        }
    }

    pub(super) async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }

    pub(super) async fn put(&self, bytes: &'static [u8]) {
        let url = format!("{}/v1/blobs/{}", self.url, Digest::of(bytes));
        assert_eq!(Client::new().put(url).body(bytes).send().await.unwrap().status(), StatusCode::CREATED);
    }
}

pub(super) fn state() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    (folder, state)
}

#[tokio::test]
async fn with_64_descriptors_and_90_idle_connections_a_session_and_a_call_get_through() {
    let (_folder, state) = state();
    let process = Process::start(&state, "ulimit -n 64", &[]).await.unwrap();
    let mut silent = Vec::new();
    for _ in 0..90 {
        silent.push(TcpStream::connect(process.url.strip_prefix("http://").unwrap()).await.unwrap());
    }
    let reached = access(&process.url);
    let jobs = JobsClient::new(reached.channel()).list(v1::ListJobsRequest::default()).await.unwrap();
    assert!(jobs.into_inner().jobs.is_empty());
    let message = worker_message::Message::Drain(v1::Drain {});
    let hello = tokio_stream::iter([v1::WorkerMessage { message: Some(message) }]);
    let mut session = FleetClient::new(reached.channel()).session(hello).await.unwrap().into_inner();
    let answer = soon("an answer", session.message()).await.unwrap_err();
    assert!(answer.message().contains("Hello"), "the session itself answers: {answer}");
    process.put(b"and a blob").await;
}

#[tokio::test]
async fn too_few_descriptors_are_refused() {
    let (_folder, state) = state();
    let said = Process::start(&state, "ulimit -n 40", &[]).await.err().unwrap();
    assert!(said.contains("ulimit -n"), "{said}");
}

#[tokio::test]
async fn a_lease_that_no_worker_could_renew_is_refused() {
    let (_folder, state) = state();
    for (lease, word) in [("5s", "10s or more"), ("9999ms", "10s or more"), ("25h", "24h or less")] {
        let said = Process::start(&state, ":", &["--lease", lease]).await.err().unwrap();
        assert!(said.contains("--lease") && said.contains(word), "{said}");
    }
    assert!(!state.exists(), "nothing was touched");
    Process::start(&state, ":", &["--lease", "10s"]).await.unwrap().kill().await;
}

#[tokio::test]
async fn blobs_without_their_database_are_not_taken_for_a_new_coordinator() {
    let (_folder, state) = state();
    let database = state.join("vertigo.db");
    let first = Process::start(&state, ":", &[]).await.unwrap();
    first.put(b"weights").await;
    first.kill().await;
    let lose = |left: Option<&[u8]>| {
        for file in ["vertigo.db", "vertigo.db-wal", "vertigo.db-shm"] {
            let _ = fs::remove_file(state.join(file));
        }
        if let Some(bytes) = left {
            fs::write(&database, bytes).unwrap();
        }
    };
    for left in [None, Some(&b""[..])] {
        lose(left);
        let said = Process::start(&state, ":", &[]).await.err().unwrap();
        let hex = Digest::of(b"weights").hex();
        assert!(["vertigo.db", "--new", "backup", &hex].iter().all(|word| said.contains(word)), "{said}");
        assert_eq!(fs::read(&database).ok().as_deref(), left, "the folder is as it was");
    }
    // Told so, it begins anew, and from then on has a database.
    let anew = Process::start(&state, ":", &["--new"]).await.unwrap();
    let url = format!("{}/v1/blobs/{}", anew.url, Digest::of(b"weights"));
    assert_eq!(Client::new().head(url).send().await.unwrap().status(), StatusCode::OK);
    anew.kill().await;
    Process::start(&state, ":", &[]).await.unwrap().kill().await;
}

/// Everything in a coordinator's folder that is there for others to see.
fn visible(state: &Path) -> Vec<String> {
    let mut visible = Vec::new();
    let mut folders = vec![state.to_owned()];
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    while let Some(folder) = folders.pop() {
        if mode(&folder) != 0o700 {
            visible.push(format!("{} {:o}", folder.display(), mode(&folder)));
        }
        for path in fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()) {
            if !path.is_dir() && mode(&path) != 0o600 {
                visible.push(format!("{} {:o}", path.display(), mode(&path)));
            }
            // Into the blobs' folder nobody else gets; what is in it is the object store's.
            if path.is_dir() && !folder.ends_with("blobs") {
                folders.push(path);
            }
        }
    }
    visible
}

#[tokio::test]
async fn the_state_is_its_owners_alone_whatever_the_umask_and_whoever_made_it() {
    let (_folder, state) = state();
    let open = Process::start(&state, "umask 0", &[]).await.unwrap();
    let digest = Digest::of(b"whole");
    let part = Client::new().put(format!("{}/v1/blobs/{digest}", open.url)).header("content-range", "bytes 0-1/5");
    assert_eq!(part.body("wh").send().await.unwrap().status(), StatusCode::ACCEPTED);
    open.put(b"").await;
    for file in
        ["lock", "vertigo.db", "vertigo.db-wal", "vertigo.db-shm", "blobs", &format!("uploads/{}", digest.hex())]
    {
        assert!(state.join(file).exists(), "{file} is among what is looked at");
    }
    assert_eq!(visible(&state), [""; 0]);
    open.kill().await;

    for file in ["", "lock", "vertigo.db", "vertigo.db-wal", "vertigo.db-shm", "blobs", "uploads"] {
        let path = state.join(file);
        let mode = if path.is_dir() { 0o755 } else { 0o644 };
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
    }
    fs::set_permissions(state.join("uploads").join(digest.hex()), Permissions::from_mode(0o644)).unwrap();
    let again = Process::start(&state, "umask 0", &[]).await.unwrap();
    assert_eq!(visible(&state), [""; 0]);
    again.kill().await;
}
