//! A coordinator, its workers and a laptop's CLI.

use crate::process::Process;
use crate::waiting::{soon, until};
use crate::{binary, channel, luau};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use tempfile::TempDir;
use tokio_stream::StreamExt;
use vertigo::endpoint::Endpoint;
use vertigo::v1::fleet_client::FleetClient;
use vertigo::v1::jobs_client::JobsClient;
use vertigo::v1::{self, GetJobRequest, JobEvent, JobState, ListWorkersRequest, WatchRequest};

/// A fleet on this machine.
#[derive(Debug)]
pub struct Fleet {
    // Processes first: they end before their folder goes.
    coordinator: Option<Process>,
    workers: BTreeMap<String, Process>,
    environment: Vec<(String, String)>,
    store: Option<String>,
    lease: String,
    address: String,
    dir: TempDir,
}

/// What a command of the CLI came to.
#[derive(Debug)]
pub struct Ran {
    /// Its exit code.
    pub code: i32,
    /// What it wrote on stdout.
    pub stdout: String,
    /// And on stderr.
    pub stderr: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Ran {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ran { code: output.status.code().unwrap_or(-1), stdout: text(&output.stdout), stderr: text(&output.stderr) }
    }
}

impl Ran {
    /// Its stdout, where it went well.
    ///
    /// # Panics
    /// Where it did not.
    pub fn ok(self) -> String {
        assert_eq!(self.code, 0, "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self.stdout
    }
}

impl Fleet {
    /// Starts a coordinator whose leases last for `lease` (`10s`).
    pub fn start(lease: &str) -> Fleet {
        Fleet::start_with(lease, None, &[])
    }

    /// The same, with blobs in `store` and `environment` for every process.
    pub fn start_with(lease: &str, store: Option<&str>, environment: &[(&str, &str)]) -> Fleet {
        let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        let mut fleet = Fleet {
            coordinator: None,
            workers: BTreeMap::new(),
            environment: environment.iter().map(owned).collect(),
            store: store.map(str::to_owned),
            lease: lease.to_owned(),
            address: "127.0.0.1:0".to_owned(),
            dir: tempfile::tempdir().expect("a temporary folder"),
        };
        fleet.start_coordinator();
        fleet
    }

    /// Starts the coordinator, again at the address that it had.
    pub fn start_coordinator(&mut self) {
        let mut command = self.command("vertigo-coordinator");
        command.args(["--listen", &self.address, "--lease", &self.lease, "--state"]).arg(self.folder("coordinator"));
        command.args(self.store.iter().flat_map(|url| ["--store", url]));
        let (process, line) = Process::start("coordinator", &mut command, self.dir.path());
        let address = line.rsplit_once("http://").map(|(_, address)| address.to_owned());
        self.address = address.unwrap_or_else(|| panic!("the coordinator says where it listens, not `{line}`"));
        self.coordinator = Some(process);
    }

    /// The coordinator's process.
    ///
    /// # Panics
    /// Where it was taken down.
    pub fn coordinator(&mut self) -> &mut Process {
        self.coordinator.as_mut().expect("the coordinator runs")
    }

    /// Starts a worker and waits until the coordinator has welcomed it.
    pub fn start_worker(&mut self, name: &str, memory: &str) {
        let mut command = self.worker_command(name, name);
        command.args(["--memory", memory]);
        let (process, line) = Process::start(name, &mut command, self.dir.path());
        assert!(line.contains("connected"), "{line}");
        self.workers.insert(name.to_owned(), process);
    }

    /// The command that starts a worker with its state in the folder `state`.
    pub fn worker_command(&self, name: &str, state: &str) -> Command {
        let mut command = self.command("vertigo-worker");
        command.args(["--name", name, "--state"]).arg(self.folder(state));
        command
    }

    /// A worker's process.
    ///
    /// # Panics
    /// Where there is none of that name.
    pub fn worker(&mut self, name: &str) -> &mut Process {
        self.workers.get_mut(name).unwrap_or_else(|| panic!("no worker {name}"))
    }

    /// A folder of the fleet's, by name: `coordinator`, or a worker's.
    pub fn folder(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A file that the test makes, with the folders above it.
    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.dir.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap_or(&path)).expect("the test's folder can be written");
        std::fs::write(&path, text).expect("the test's folder can be written");
        path
    }

    fn command(&self, name: &str) -> Command {
        let mut command = Command::new(binary(name));
        command
            .env("VERTIGO_COORDINATOR", format!("http://{}", self.address))
            .env_remove("OTEL_EXPORTER_OTLP_ENDPOINT");
        command.envs(self.environment.iter().map(|(key, value)| (key, value))).current_dir(self.dir.path());
        command
    }

    /// A command of the CLI, to its end.
    pub async fn cli(&self, arguments: &[&str]) -> Ran {
        let mut command = tokio::process::Command::from(self.command("vertigo"));
        let output = command.args(arguments).stdin(Stdio::null()).kill_on_drop(true).output();
        soon(&arguments.join(" "), output).await.expect("the CLI starts").into()
    }

    /// A command of the CLI that goes on beside the test.
    pub fn cli_beside(&self, name: &str, arguments: &[&str]) -> Process {
        let mut command = self.command("vertigo");
        Process::spawn(name, command.args(arguments).stdout(Stdio::piped()), self.dir.path())
    }

    /// Imports the repository's dataset as `luau` and makes `base` of it by `vertigo base new`.
    pub async fn import(&self, base: &str, arguments: &[&str]) {
        let data = luau();
        self.cli(&["data", "import", "luau", &data.to_string_lossy()]).await.ok();
        let mut command = vec!["base", "new", base, "--data", "luau"];
        command.extend(arguments);
        self.cli(&command).await.ok();
    }

    /// Where the coordinator is.
    ///
    /// # Panics
    /// Where it never listened.
    pub fn endpoint(&self) -> Endpoint {
        self.address.parse().expect("the coordinator listens on loopback")
    }

    /// The coordinator's jobs.
    pub fn jobs(&self) -> JobsClient<tonic::transport::Channel> {
        JobsClient::new(channel(&self.endpoint()))
    }

    /// A job as it stands.
    ///
    /// # Panics
    /// Where there is none.
    pub async fn job(&self, id: &str) -> v1::Job {
        self.jobs().get(GetJobRequest { id: id.to_owned() }).await.expect("the job is known").into_inner()
    }

    /// Queues a training job and gives its id.
    pub async fn train(&self, recipe: &Path, arguments: &[&str]) -> String {
        let recipe = recipe.to_string_lossy();
        let mut command = vec!["--json", "train", &recipe, "--data", "luau"];
        command.extend(arguments);
        let stdout = self.cli(&command).await.ok();
        let job: serde_json::Value = serde_json::from_str(&stdout).unwrap_or_else(|e| panic!("{e}: {stdout}"));
        job["id"].as_str().unwrap_or_else(|| panic!("no id in {stdout}")).to_owned()
    }

    /// The job's events from its beginning, until `enough` or its end.
    pub async fn events(&self, id: &str, mut enough: impl FnMut(&JobEvent) -> bool) -> Vec<JobEvent> {
        let watch = async {
            let request = WatchRequest { id: id.to_owned(), ..Default::default() };
            let mut stream = self.jobs().watch(request).await.expect("the job can be watched").into_inner();
            let mut events = Vec::new();
            while let Some(event) = stream.next().await {
                let event = event.expect("the coordinator stays");
                events.push(event.clone());
                if enough(&event) {
                    break;
                }
            }
            events
        };
        soon(&format!("events of job {id}"), watch).await
    }

    /// Waits until the job has ended, and gives it.
    pub async fn ended(&self, id: &str) -> v1::Job {
        self.events(id, |_| false).await;
        let job = self.job(id).await;
        let ends = [JobState::Succeeded, JobState::Failed, JobState::Cancelled];
        assert!(ends.contains(&job.state()), "a watch ends with its job, which is {:?}", job.state());
        job
    }

    /// Waits until `condition` holds of a worker.
    pub async fn worker_is(&self, what: &str, name: &str, condition: impl Fn(&v1::Worker) -> bool) {
        until(&format!("worker {name} to be {what}"), || async {
            let workers =
                FleetClient::new(channel(&self.endpoint())).list_workers(ListWorkersRequest::default()).await.ok()?;
            workers.into_inner().workers.iter().any(|w| w.name == name && condition(w)).then_some(())
        })
        .await;
    }
}
