//! Who submits: people at their laptops, with the real CLI and with the real protocol, without pause.

use crate::ledger::{Import, Ledger, Submission};
use crate::works::{self, WORKS, Work};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::process::Command;
use tokio::time::{sleep, timeout};
use vertigo::endpoint::Endpoint;
use vertigo::id::JobId;
use vertigo::v1::jobs_client::JobsClient;
use vertigo::v1::{self, GetJobRequest, JobState, input, task};
use vertigo_tests::{binary, channel};

/// The longest that a command may take, whatever breaks: an import tries for two minutes without headway.
const COMMAND: Duration = Duration::from_secs(240);

/// The longest that a call is waited for.
const CALL: Duration = Duration::from_secs(40);

/// Between two looks at what was submitted.
const PAUSE: Duration = Duration::from_millis(300);

/// Whether a job in this state has ended.
pub(crate) fn has_ended(state: JobState) -> bool {
    matches!(state, JobState::Succeeded | JobState::Failed | JobState::Cancelled)
}

/// What a command came to.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// What all who submit share.
#[derive(Debug)]
pub(crate) struct Load {
    pub(crate) ledger: Ledger,
    /// With the recipes.
    pub(crate) folder: PathBuf,
    /// Through the weather.
    pub(crate) through: Endpoint,
    /// Past it.
    pub(crate) direct: Endpoint,
    pub(crate) is_over: AtomicBool,
    runs: AtomicUsize,
}

impl Load {
    pub(crate) fn new(folder: PathBuf, through: Endpoint, direct: Endpoint) -> Arc<Load> {
        let (ledger, is_over, runs) = (Ledger::default(), AtomicBool::new(false), AtomicUsize::new(0));
        Arc::new(Load { ledger, folder, through, direct, is_over, runs })
    }

    /// A command of the CLI, through `endpoint`.
    pub(crate) async fn cli(&self, endpoint: &Endpoint, arguments: &[&str]) -> Ran {
        let mut command = Command::new(binary("vertigo"));
        command.args(["--coordinator", endpoint.url(), "--json"]).args(arguments).current_dir(&self.folder);
        command.env_remove("OTEL_EXPORTER_OTLP_ENDPOINT").stdin(Stdio::null()).kill_on_drop(true);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        match timeout(COMMAND, command.output()).await {
            Ok(Ok(out)) => {
                Ran { code: out.status.code().unwrap_or(-1), stdout: text(&out.stdout), stderr: text(&out.stderr) }
            }
            Ok(Err(error)) => Ran { code: -1, stdout: String::new(), stderr: error.to_string() },
            Err(_) => Ran { code: -1, stdout: String::new(), stderr: format!("no answer after {COMMAND:?}") },
        }
    }

    /// One who submits: without pause, until it is over. `rng` decides what comes next.
    pub(crate) async fn submitter(self: Arc<Self>, seed: u64) {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        while !self.is_over.load(Ordering::Relaxed) {
            let number = self.runs.fetch_add(1, Ordering::Relaxed);
            let work = rng.random_range(0..WORKS.len());
            match rng.random_range(0..10) {
                0 => self.import(number).await,
                1 | 2 => self.call(number).await,
                3 => self.pipeline(number, work, Some(Duration::from_millis(rng.random_range(0..4_000)))).await,
                _ => self.pipeline(number, work, None).await,
            }
        }
    }

    /// Submits a pipeline's file through `endpoint` and gives its jobs' ids by key; `None` where no answer came.
    pub(crate) async fn run(
        &self,
        endpoint: &Endpoint,
        work: &Work,
        run: &str,
        recipes: &[&str],
    ) -> Option<BTreeMap<&'static str, String>> {
        let file = self.folder.join(format!("{run}.yaml"));
        if let Err(error) = std::fs::write(&file, work.yaml(run, recipes)) {
            self.ledger.problem(format!("{}: {error}", file.display()));
            return None;
        }
        let ran = self.cli(endpoint, &["run", &file.to_string_lossy()]).await;
        let _ = std::fs::remove_file(file);
        let answer: Value = serde_json::from_str(&ran.stdout).unwrap_or_default();
        if ran.code == 0 {
            let ids = work.keys().zip(0..).filter_map(|(_, n)| {
                let job = &answer["jobs"][n];
                let key = work.keys().find(|key| job["name"].as_str() == Some(&format!("{run}-{key}")))?;
                Some((key, job["id"].as_str()?.to_owned()))
            });
            let ids: BTreeMap<_, _> = ids.collect();
            if ids.len() == work.keys().count() {
                return Some(ids);
            }
        }
        // 3 says that the coordinator cannot be reached; nothing else is an answer to a pipeline that is right.
        if ran.code == 3 {
            self.ledger.open().refused += 1;
        } else {
            self.ledger
                .problem(format!("`vertigo run` of {run} ended with {}: {}{}", ran.code, ran.stdout, ran.stderr));
        }
        None
    }

    /// One pipeline, to its end. Where `cancelled_after` says so, it is cancelled before.
    async fn pipeline(&self, number: usize, work: usize, cancelled_after: Option<Duration>) {
        let run = format!("r{number:05}");
        let ids = self.run(&self.through, &WORKS[work], &run, WORKS[work].recipes).await;
        let submission = Submission {
            run,
            work,
            keys: WORKS[work].keys().collect(),
            ids: ids.unwrap_or_default(),
            may_be_cancelled: cancelled_after.is_some(),
        };
        let ids = submission.ids.clone();
        self.ledger.open().submissions.push(submission);
        if let (Some(after), Some(train)) = (cancelled_after, ids.get("train")) {
            sleep(after).await;
            let ran = self.cli(&self.through, &["cancel", train]).await;
            // 1: it has ended.
            if ![0, 1, 3].contains(&ran.code) {
                self.ledger.problem(format!("`vertigo cancel {train}` ended with {}: {}", ran.code, ran.stderr));
            }
        }
        self.ended(ids.values()).await;
    }

    /// One job through the protocol, sent again under the same id until it is answered, and once more after that.
    async fn call(&self, number: usize) {
        let (run, id) = (format!("r{number:05}"), JobId::new().to_string());
        let job = training(&id, &format!("{run}-train"));
        let mut answers = 0;
        while answers < 2 {
            // A new connection each time, as a new process would have.
            let mut client = JobsClient::new(channel(&self.through));
            match timeout(CALL, client.submit(v1::SubmitRequest { jobs: vec![job.clone()] })).await {
                Ok(Ok(answer)) => {
                    let named: Vec<_> = answer.into_inner().jobs.into_iter().map(|job| job.id).collect();
                    if named != [id.clone()] {
                        self.ledger.problem(format!("a submit of {id} was answered with {named:?}"));
                    }
                    answers += 1;
                }
                Ok(Err(status)) if !is_lost(&status) => {
                    self.ledger.problem(format!("a submit of {run} was refused: {status}"));
                    return;
                }
                _ => {
                    self.ledger.open().refused += 1;
                    if self.is_over.load(Ordering::Relaxed) && answers == 0 {
                        break;
                    }
                    sleep(PAUSE).await;
                }
            }
        }
        let ids: BTreeMap<_, _> = (answers > 0).then_some(("train", id)).into_iter().collect();
        let (keys, waits) = (vec!["train"], ids.clone());
        self.ledger.open().submissions.push(Submission { run, work: 0, keys, ids, may_be_cancelled: false });
        self.ended(waits.values()).await;
    }

    /// Imports a dataset that nobody has imported, again and again until it is taken.
    async fn import(&self, number: usize) {
        let (tag, folder) = (format!("d{number:05}"), self.folder.join(format!("data-{number}")));
        if let Err(error) = works::write_data(&folder, number) {
            return self.ledger.problem(format!("{}: {error}", folder.display()));
        }
        while !self.is_over.load(Ordering::Relaxed) {
            let ran = self.cli(&self.through, &["data", "import", &tag, &folder.to_string_lossy()]).await;
            if ran.code == 0 {
                let answer: Value = serde_json::from_str(&ran.stdout).unwrap_or_default();
                let digest = answer["digest"].as_str().unwrap_or_default().to_owned();
                return self.ledger.open().imports.push(Import { tag, folder, digest });
            }
            if ![1, 3].contains(&ran.code) {
                return self.ledger.problem(format!("an import ended with {}: {}{}", ran.code, ran.stdout, ran.stderr));
            }
            self.ledger.open().refused += 1;
            sleep(PAUSE).await;
        }
    }

    /// Waits until these jobs have ended, or all is over.
    async fn ended(&self, ids: impl Iterator<Item = &String>) {
        for id in ids {
            while !self.is_over.load(Ordering::Relaxed) {
                let mut client = JobsClient::new(channel(&self.direct));
                let get = timeout(CALL, client.get(GetJobRequest { id: id.clone() })).await;
                match get {
                    Ok(Ok(job)) if has_ended(job.get_ref().state()) => break,
                    Ok(Err(status)) if !is_lost(&status) => {
                        return self.ledger.problem(format!("job {id} was queued, and now: {status}"));
                    }
                    _ => sleep(PAUSE).await,
                }
            }
        }
    }
}

/// A job that trains as `plain`, ready to be sent.
pub(crate) fn training(id: &str, name: &str) -> v1::NewJob {
    let train = v1::Train { recipe: "plain".to_owned(), yaml: works::recipe("plain") };
    let data = v1::Input { role: "data".to_owned(), source: Some(input::Source::Artifact("words".to_owned())) };
    let variant = v1::NewVariant {
        name: "plain".to_owned(),
        task: Some(v1::Task { kind: Some(task::Kind::Train(train)) }),
        inputs: vec![data],
    };
    v1::NewJob { id: id.to_owned(), name: name.to_owned(), variants: vec![variant], ..v1::NewJob::default() }
}

/// Whether a call broke off, so that nobody knows what became of it.
fn is_lost(status: &tonic::Status) -> bool {
    status.code() == tonic::Code::Unavailable || std::error::Error::source(status).is_some()
}
