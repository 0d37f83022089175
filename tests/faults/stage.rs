//! The stage: the daemons, the links between them, their disks, the store; and how a fault befalls them and passes.
//!
//! Promise: one fault at a time befalls one thing; every fault passes; after [`Stage::calm`] nothing is wrong any more that a fault did.

use crate::daemon::Daemon;
use crate::disk::Disk;
use crate::isolation;
use crate::plan::{Fault, Refusal, Shape, Who};
use crate::proxy::{Link, Weather};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, getpgid};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use vertigo::endpoint::Endpoint;
use vertigo_tests::binary;
use vertigo_tests::bucket::{self, Gate};

/// The shortest lease that the coordinator takes.
pub(crate) const LEASE: Duration = Duration::from_secs(10);

/// What workers offer. The second cannot hold the largest recipe.
pub(crate) const WORKERS: [(&str, &str); 3] = [("first", "2GiB"), ("second", "6MiB"), ("third", "2GiB")];

/// Sizes of the disks. The coordinator counts a worker's free disk in steps of 64 MiB.
const WORKER_DISK_MIB: u64 = 192;
const COORDINATOR_DISK_MIB: u64 = 768;

/// What a coordinator that collects does so by while things break: often, and nothing that an import in bad weather still counts on.
const KEEP: &str = "checkpoints=1s,uploads=5m,blobs=10m";

/// What it keeps when all is over: what is named.
const KEEP_NOTHING: &str = "checkpoints=0s,uploads=0s,blobs=0s";

/// How long after its disk was freed a daemon that has ended may blame it.
const EXCUSE: Duration = Duration::from_secs(5);

/// Where Debian and its heirs put libfaketime.
const FAKETIME: [&str; 3] = [
    "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib/faketime/libfaketimeMT.so.1",
];

/// All that can break.
#[derive(Debug)]
pub(crate) struct Stage {
    pub(crate) dir: PathBuf,
    /// The coordinator itself, past all links.
    pub(crate) direct: Endpoint,
    coordinator: Daemon,
    workers: Vec<Daemon>,
    /// The coordinator's disk and the workers'.
    disks: Vec<Disk>,
    freed: Vec<Instant>,
    /// The CLI's, the workers', the store's.
    links: Vec<Link>,
    gate: Option<Gate>,
    has_clock: bool,
    /// Whether the coordinator collects what nothing names.
    pub(crate) collects: bool,
    passing: Vec<(Instant, Fault)>,
    /// Children that were stopped, by worker. They are continued by number: the daemon that knew them may be gone.
    frozen: BTreeMap<usize, Pid>,
    /// Attempts whose child was killed here.
    pub(crate) killed: BTreeSet<String>,
    /// Daemons that ended of themselves while nothing excused it.
    pub(crate) problems: Vec<String>,
    /// Those that ended because their disk was full.
    pub(crate) gave_up: usize,
}

/// What a fault befalls, of which one at a time can.
#[derive(Debug, PartialEq, Eq)]
enum Target {
    Daemon(Who),
    Child(usize),
    Link(usize),
    Disk(Who),
    Store,
    Clock,
}

fn target(fault: &Fault) -> Target {
    match *fault {
        Fault::Kill { who, .. } | Fault::Freeze { who, .. } => Target::Daemon(who),
        Fault::KillChild { worker } | Fault::FreezeChild { worker, .. } => Target::Child(worker),
        Fault::Cut { link } | Fault::Weather { link, .. } => Target::Link(link),
        Fault::Fill { who, .. } => Target::Disk(who),
        Fault::Store { .. } => Target::Store,
        Fault::Clock { .. } => Target::Clock,
    }
}

impl Stage {
    /// Builds it in `dir`, with blobs in a bucket or in files, and starts nothing.
    pub(crate) async fn build(dir: &Path, in_bucket: bool) -> io::Result<Stage> {
        let has_disks = isolation::is_isolated();
        let logs = dir.join("logs");
        std::fs::create_dir_all(&logs)?;
        let mut disks = vec![Disk::make(&dir.join("coordinator"), COORDINATOR_DISK_MIB, has_disks)?];
        for (name, _) in WORKERS {
            disks.push(Disk::make(&dir.join(name), WORKER_DISK_MIB, has_disks)?);
        }
        let address: SocketAddr = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let mut links = Vec::new();
        for _ in 0..=WORKERS.len() {
            links.push(Link::to(address).await?);
        }
        let mut arguments = vec!["--listen".to_owned(), address.to_string(), "--lease".to_owned()];
        arguments.extend([format!("{}s", LEASE.as_secs()), "--state".to_owned(), text(&disks[0].state())]);
        let collects = knows(&binary("vertigo-coordinator"), "--keep");
        if collects {
            arguments.extend(["--keep", KEEP, "--collect-every", "2s"].map(str::to_owned));
        }
        let mut environment = Vec::new();
        let gate = in_bucket.then(Gate::default);
        if let Some(gate) = &gate {
            let server = bucket::serve(&dir.join("bucket"), gate.clone()).await;
            let port = server.url().trim_start_matches("http://").parse().map_err(io::Error::other)?;
            let link = Link::to(port).await?;
            environment.extend(bucket::environment(&link.endpoint).map(|(key, value)| (key.to_owned(), value)));
            links.push(link);
            arguments.extend(["--store".to_owned(), "s3://weights/team".to_owned()]);
        }
        let clock = FAKETIME.into_iter().find(|path| Path::new(path).exists());
        if let Some(library) = clock {
            environment.extend(faketime(library, &dir.join("clock")));
            set_clock(dir, 0)?;
        }
        let coordinator = Daemon::new("coordinator", binary("vertigo-coordinator"), arguments, environment);
        let workers = WORKERS.iter().enumerate().map(|(n, (name, memory))| {
            let arguments = ["--name", name, "--memory", memory, "--coordinator", links[n + 1].endpoint.url()];
            let mut arguments: Vec<String> = arguments.map(str::to_owned).into();
            arguments.extend(["--state".to_owned(), text(&disks[n + 1].state())]);
            Daemon::new(name, binary("vertigo-worker"), arguments, Vec::new())
        });
        let workers = workers.collect();
        let direct = format!("http://{address}").parse().map_err(io::Error::other)?;
        let long_ago = Instant::now().checked_sub(EXCUSE).unwrap_or_else(Instant::now);
        Ok(Stage {
            dir: dir.to_owned(),
            direct,
            coordinator,
            workers,
            freed: vec![long_ago; disks.len()],
            disks,
            links,
            gate,
            has_clock: clock.is_some(),
            collects,
            passing: Vec::new(),
            frozen: BTreeMap::new(),
            killed: BTreeSet::new(),
            problems: Vec::new(),
            gave_up: 0,
        })
    }

    /// What there is to break.
    pub(crate) fn shape(&self) -> Shape {
        let (has_disks, has_bucket) = (isolation::is_isolated(), self.gate.is_some());
        Shape { workers: WORKERS.len(), lease: LEASE, has_disks, has_bucket, has_clock: self.has_clock }
    }

    /// Where the CLI finds the coordinator.
    pub(crate) fn for_cli(&self) -> &Endpoint {
        &self.links[0].endpoint
    }

    /// Where a worker's state lies.
    pub(crate) fn worker_state(&self, worker: usize) -> PathBuf {
        self.disks[worker + 1].state()
    }

    /// Where the coordinator's state lies.
    pub(crate) fn coordinator_state(&self) -> PathBuf {
        self.disks[0].state()
    }

    /// The folder below which the blobs lie, whichever the store.
    pub(crate) fn blobs(&self) -> PathBuf {
        match self.gate {
            Some(_) => self.dir.join("bucket").join(bucket::BUCKET).join("team"),
            None => self.coordinator_state().join("blobs"),
        }
    }

    /// Starts what is due, ends what has passed.
    pub(crate) fn tend(&mut self) -> io::Result<()> {
        let now = Instant::now();
        let (over, passing) = self.passing.drain(..).partition(|(until, _)| *until <= now);
        self.passing = passing;
        let over: Vec<(Instant, Fault)> = over;
        for (_, fault) in over {
            self.pass(fault)?;
        }
        let logs = self.dir.join("logs");
        for (n, daemon) in std::iter::once(&mut self.coordinator).chain(&mut self.workers).enumerate() {
            let Some(ended) = daemon.tend(&logs) else { continue };
            if self.disks[n].is_full() || self.freed[n].elapsed() < EXCUSE {
                self.gave_up += 1;
            } else {
                self.problems.push(ended);
            }
        }
        Ok(())
    }

    /// Lets a fault befall its target. `false` where that is not there or has another fault at the moment.
    ///
    /// What is to befall a worker befalls the next one that works, where any does: to kill who idles shows little.
    pub(crate) fn befall(&mut self, fault: Fault) -> io::Result<bool> {
        let fault = self.aimed(fault);
        if self.passing.iter().any(|(_, other)| target(other) == target(&fault)) {
            return Ok(false);
        }
        let span = match fault {
            Fault::Kill { who, down } => {
                if !self.daemon(who).runs() {
                    return Ok(false);
                }
                self.daemon_mut(who).kill(down);
                down
            }
            Fault::KillChild { worker } => {
                let Some((attempt, pid)) = self.child(worker) else { return Ok(false) };
                self.killed.insert(attempt);
                // A SIGKILL would be a person's, after which the job waits for half an hour.
                return Ok(kill(pid, Signal::SIGABRT).is_ok());
            }
            Fault::Freeze { who, span } => {
                if !self.daemon(who).runs() {
                    return Ok(false);
                }
                self.daemon(who).signal(Signal::SIGSTOP);
                span
            }
            Fault::FreezeChild { worker, span } => {
                let Some((_, pid)) = self.child(worker) else { return Ok(false) };
                if kill(pid, Signal::SIGSTOP).is_err() {
                    return Ok(false);
                }
                self.frozen.insert(worker, pid);
                span
            }
            Fault::Cut { link } => {
                self.links[link].cut();
                return Ok(true);
            }
            Fault::Weather { link, weather, span } => {
                self.links[link].turns(weather);
                span
            }
            Fault::Fill { who, span } => {
                self.disks[index(who)].fill()?;
                span
            }
            Fault::Store { refusal, span } => {
                let Some(gate) = &self.gate else { return Ok(false) };
                match refusal {
                    Refusal::Writes(status) => gate.refuses(status),
                    Refusal::All(status) => gate.refuses_all(status),
                    Refusal::Slow(delay) => gate.dawdles(delay),
                }
                span
            }
            Fault::Clock { seconds, span } => {
                set_clock(&self.dir, seconds)?;
                span
            }
        };
        self.passing.push((Instant::now() + span, fault));
        Ok(true)
    }

    /// The fault, aimed at a worker that works.
    fn aimed(&self, mut fault: Fault) -> Fault {
        let workers = self.workers.len();
        let aimed = match &mut fault {
            Fault::Kill { who: Who::Worker(n), .. } | Fault::Freeze { who: Who::Worker(n), .. } => n,
            Fault::KillChild { worker } | Fault::FreezeChild { worker, .. } => worker,
            _ => return fault,
        };
        let works = |n: &usize| self.workers[*n].runs() && self.child(*n).is_some();
        *aimed = (0..workers).map(|step| (*aimed + step) % workers).find(works).unwrap_or(*aimed);
        fault
    }

    fn pass(&mut self, fault: Fault) -> io::Result<()> {
        match fault {
            Fault::Freeze { who, .. } => self.daemon(who).signal(Signal::SIGCONT),
            Fault::FreezeChild { worker, .. } => {
                if let Some(pid) = self.frozen.remove(&worker) {
                    let _ = kill(pid, Signal::SIGCONT);
                }
            }
            Fault::Weather { link, .. } => self.links[link].turns(Weather::Fair),
            Fault::Fill { who, .. } => {
                self.disks[index(who)].free()?;
                self.freed[index(who)] = Instant::now();
            }
            Fault::Store { .. } => self.gate.iter().for_each(Gate::opens),
            Fault::Clock { .. } => set_clock(&self.dir, 0)?,
            // A daemon that was killed is started by `tend` when it is due.
            Fault::Kill { .. } | Fault::KillChild { .. } | Fault::Cut { .. } => {}
        }
        Ok(())
    }

    /// Ends all faults.
    pub(crate) fn calm(&mut self) -> io::Result<()> {
        for (_, fault) in std::mem::take(&mut self.passing) {
            self.pass(fault)?;
        }
        Ok(())
    }

    /// Starts a coordinator that collects with a policy by which nothing stays that is not named.
    pub(crate) fn keeps_nothing(&mut self) {
        if self.collects {
            self.coordinator.is_told("--keep", KEEP_NOTHING);
        }
    }

    fn daemon(&self, who: Who) -> &Daemon {
        match who {
            Who::Coordinator => &self.coordinator,
            Who::Worker(n) => &self.workers[n],
        }
    }

    fn daemon_mut(&mut self, who: Who) -> &mut Daemon {
        match who {
            Who::Coordinator => &mut self.coordinator,
            Who::Worker(n) => &mut self.workers[n],
        }
    }

    /// An attempt of a worker whose child runs, and the child.
    fn child(&self, worker: usize) -> Option<(String, Pid)> {
        self.children(worker).into_iter().next()
    }

    /// All of them.
    pub(crate) fn children(&self, worker: usize) -> Vec<(String, Pid)> {
        let folders = std::fs::read_dir(self.worker_state(worker).join("attempts")).into_iter().flatten().flatten();
        let running = folders.filter_map(|folder| {
            let pid = std::fs::read_to_string(folder.path().join("pid")).ok()?.trim().parse().ok()?;
            let pid = Pid::from_raw(pid);
            // A child leads its group. A number that another process has by now is most likely no leader's.
            let is_child = getpgid(Some(pid)).is_ok_and(|group| group == pid);
            is_child.then(|| (folder.file_name().to_string_lossy().into_owned(), pid))
        });
        running.collect()
    }
}

fn index(who: Who) -> usize {
    match who {
        Who::Coordinator => 0,
        Who::Worker(n) => n + 1,
    }
}

/// Whether a program has an option, by its help.
fn knows(program: &Path, option: &str) -> bool {
    let help = std::process::Command::new(program).arg("--help").output();
    help.is_ok_and(|help| String::from_utf8_lossy(&help.stdout).contains(option))
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

/// The environment of a process whose wall clock the file `clock` sets. Clocks that only count stay as they are: a coordinator that is told
/// otherwise is told what no system does.
fn faketime(library: &str, clock: &Path) -> Vec<(String, String)> {
    let clock = text(clock);
    let pairs = [
        ("LD_PRELOAD", library),
        ("FAKETIME_TIMESTAMP_FILE", &clock),
        ("FAKETIME_CACHE_DURATION", "1"),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
        ("DONT_FAKE_MONOTONIC", "1"),
        ("NO_FAKE_STAT", "1"),
        ("FAKETIME_DISABLE_SHM", "1"),
    ];
    pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).into()
}

fn set_clock(dir: &Path, seconds: i64) -> io::Result<()> {
    // By a rename: whoever reads it in between must not see an empty file.
    let fresh = dir.join("clock.new");
    std::fs::write(&fresh, format!("{seconds:+}\n"))?;
    std::fs::rename(fresh, dir.join("clock"))
}
