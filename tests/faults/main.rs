//! The fault campaign: a real coordinator and real workers do real work while, drawn from a seed, everything breaks that can be broken
//! from outside.
//!
//! Promise: exit code 0 says that every job that was answered for ended once, none was lost or doubled, and what each made equals, bit
//! for bit, what an undisturbed run makes. Otherwise the code is 1, what was wrong is printed with the seed, and the folder is kept.
//!
//! The seed gives the same faults in the same order (`plan`); what they meet is the machine's timing. Clocks that only count are left
//! alone: no system sets them. The wall clock is set where libfaketime is, disks are filled where mounting is granted; what cannot be
//! done is said at the start.

mod daemon;
mod disk;
mod isolation;
mod journal;
mod judge;
mod ledger;
mod leftovers;
mod load;
mod made;
mod plan;
mod proxy;
mod stage;
mod table;
mod works;

use clap::{Parser, ValueEnum};
use leftovers::{held_by_workers, look};
use load::{Load, has_ended};
use plan::Plan;
use stage::{LEASE, Stage};
use std::future::Future;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use table::{Outcome, Tally};
use tokio::time::sleep;
use vertigo::v1::ListWorkersRequest;
use vertigo::v1::fleet_client::FleetClient;
use vertigo_tests::channel;

/// Those who submit at the same time.
const SUBMITTERS: u64 = 8;

/// Between two looks at what is due.
const TICK: Duration = Duration::from_millis(20);

/// Faults between two lines of progress.
const FAULTS_A_LINE: usize = 25;

/// How long the first imports may take.
const SET_UP: Duration = Duration::from_secs(60);

/// How long all may take to end once nothing breaks any more: longer than the longest pause between two attempts.
const SETTLE: Duration = Duration::from_secs(400);

/// How long workers may take to let go of what has ended.
const LET_GO: Duration = Duration::from_secs(60);

/// Breaks a real fleet in every way that a seed draws, and checks from outside that nothing was lost.
#[derive(Debug, Parser)]
#[command(name = "faults")]
struct Options {
    /// Draws the faults and the work [default: a random one, printed]
    #[arg(long)]
    seed: Option<u64>,
    /// How long things break
    #[arg(long, default_value_t = 2.0)]
    minutes: f64,
    /// End after so many faults
    #[arg(long)]
    faults: Option<usize>,
    /// Where the coordinator keeps blobs [default: drawn from the seed]
    #[arg(long)]
    store: Option<StoreKind>,
    /// Where logs and states are kept when something was wrong [default: a new folder in the system's temporary folder]
    #[arg(long)]
    folder: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum StoreKind {
    Files,
    Bucket,
}

fn main() -> ExitCode {
    let mut options = Options::parse();
    let why = if isolation::is_isolated() { None } else { isolation::isolate().err() };
    let seed = *options.seed.get_or_insert_with(rand::random);
    let store = *options.store.get_or_insert(if seed % 2 == 0 { StoreKind::Files } else { StoreKind::Bucket });
    println!("seed {seed}, blobs in {}", if store == StoreKind::Files { "files" } else { "a bucket" });
    if let Some(why) = why {
        println!("SKIPPED: no disk is filled: {why}");
    }
    let folder = match new_folder(options.folder.as_deref(), seed) {
        Ok(folder) => folder,
        Err(problem) => {
            println!("wrong: {problem}");
            return ExitCode::FAILURE;
        }
    };
    let outcome = tokio::runtime::Runtime::new().map_err(|error| error.to_string()).and_then(|runtime| {
        runtime.block_on(async {
            tokio::select! {
                outcome = campaign(&options, seed, store, &folder) => outcome,
                _ = tokio::signal::ctrl_c() => Err("interrupted".to_owned()),
            }
        })
    });
    let is_good = match outcome {
        Ok(outcome) => {
            outcome.print();
            outcome.is_good()
        }
        Err(problem) => {
            println!("wrong: {problem}");
            false
        }
    };
    if is_good {
        let _ = std::fs::remove_dir_all(&folder);
        return ExitCode::SUCCESS;
    }
    println!(
        "what is left of it: {}\nto repeat it: make faults MINUTES={} SEED={seed}",
        folder.display(),
        options.minutes
    );
    ExitCode::FAILURE
}

/// A folder that has nothing of a campaign before: a coordinator does not begin anew beside old blobs.
fn new_folder(given: Option<&Path>, seed: u64) -> Result<PathBuf, String> {
    let Some(folder) = given else {
        // Not by this process's number, which in a namespace of its own is always the same.
        let made = tempfile::Builder::new().prefix(&format!("vertigo-faults-{seed}-")).tempdir();
        return made.map(tempfile::TempDir::keep).map_err(|error| format!("no temporary folder: {error}"));
    };
    let told = |error: std::io::Error| format!("--folder {}: {error}", folder.display());
    std::fs::create_dir_all(folder).map_err(told)?;
    if std::fs::read_dir(folder).map_err(told)?.next().is_some() {
        return Err(format!(
            "--folder {}: it is not empty; name one that is, or that is not there yet",
            folder.display()
        ));
    }
    std::path::absolute(folder).map_err(told)
}

/// A campaign, to its judgement.
async fn campaign(options: &Options, seed: u64, store: StoreKind, folder: &Path) -> Result<Outcome, String> {
    let told = |error: std::io::Error| format!("{}: {error}", folder.display());
    let mut stage = Stage::build(folder, store == StoreKind::Bucket).await.map_err(told)?;
    if !stage.shape().has_clock {
        println!("SKIPPED: the coordinator's clock is not set: libfaketime is not installed");
    }
    let load = Load::new(folder.join("work"), stage.for_cli().clone(), stage.direct.clone());
    let outcome = acts(options, seed, &mut stage, &load).await;
    if !outcome.as_ref().is_ok_and(Outcome::is_good) {
        keep(&stage);
        stage.problems.iter().for_each(|problem| println!("wrong: {problem}"));
    }
    outcome
}

/// The undisturbed work, the faults, the end, the judgement.
async fn acts(options: &Options, seed: u64, stage: &mut Stage, load: &Arc<Load>) -> Result<Outcome, String> {
    let begun = Instant::now();
    tending(stage, set_up(load)).await??;
    let references = tending(stage, made::undisturbed(load)).await??;
    println!("{} jobs ran undisturbed in {} s", references.len(), begun.elapsed().as_secs());

    let submitters: Vec<_> =
        (0..SUBMITTERS).map(|n| tokio::spawn(load.clone().submitter(seed.wrapping_add(n)))).collect();
    let (begun, mut tally) = (Instant::now(), Tally::default());
    break_things(options, Plan::new(seed, stage.shape()), stage, load, &mut tally).await?;
    let broken_for = begun.elapsed();

    let begun = Instant::now();
    load.is_over.store(true, Ordering::Relaxed);
    stage.calm().map_err(|error| error.to_string())?;
    let submitted = async {
        for submitter in submitters {
            if let Err(error) = submitter.await {
                load.ledger.problem(format!("one who submits ended with {error}"));
            }
        }
    };
    tending(stage, submitted).await?;
    let mut problems = tending(stage, settled(load)).await?;
    let_go(stage).await?;
    let settled_in = begun.elapsed();
    println!("all has settled after {} s; judging", settled_in.as_secs());

    let killed = stage.killed.clone();
    let findings = tending(stage, judge::judge(load, &references, &killed)).await?;
    stage.keeps_nothing();
    tending(stage, all_connected(load)).await??;
    let leftovers = look(load, stage).await;
    problems.append(&mut stage.problems);
    let mut entries = load.ledger.open();
    problems.append(&mut entries.problems);
    let (imports, refused, gave_up) = (entries.imports.len(), entries.refused, stage.gave_up);
    Ok(Outcome { tally, findings, leftovers, problems, imports, refused, gave_up, broken_for, settled_in })
}

/// Does `work` while daemons are started that are due and faults pass.
async fn tending<T>(stage: &mut Stage, work: impl Future<Output = T>) -> Result<T, String> {
    tokio::pin!(work);
    loop {
        stage.tend().map_err(|error| error.to_string())?;
        tokio::select! {
            done = &mut work => return Ok(done),
            () = sleep(TICK) => {}
        }
    }
}

/// Imports what all work reads.
async fn set_up(load: &Load) -> Result<(), String> {
    let [tiny, words] = works::write(&load.folder).map_err(|error| format!("{}: {error}", load.folder.display()))?;
    let begun = Instant::now();
    for import in
        [["data", "import", "words", &*words.to_string_lossy()], ["base", "import", "tiny", &*tiny.to_string_lossy()]]
    {
        loop {
            let ran = load.cli(&load.direct, &import).await;
            if ran.code == 0 {
                break;
            }
            if begun.elapsed() > SET_UP {
                return Err(format!("{import:?} ended with {}: {}{}", ran.code, ran.stdout, ran.stderr));
            }
            sleep(TICK).await;
        }
    }
    // A job that fits none of those that were ever seen is refused.
    all_connected(load).await
}

/// Waits until all workers are connected.
async fn all_connected(load: &Load) -> Result<(), String> {
    let begun = Instant::now();
    while connected(load).await < stage::WORKERS.len() {
        if begun.elapsed() > SET_UP {
            return Err("not all workers have connected".to_owned());
        }
        sleep(TICK).await;
    }
    Ok(())
}

/// How many workers are connected.
async fn connected(load: &Load) -> usize {
    let listed = FleetClient::new(channel(&load.direct)).list_workers(ListWorkersRequest::default()).await;
    listed.map_or(0, |listed| listed.into_inner().workers.iter().filter(|worker| worker.connected).count())
}

/// Lets faults befall the stage until it is time.
async fn break_things(
    options: &Options,
    mut plan: Plan,
    stage: &mut Stage,
    load: &Load,
    tally: &mut Tally,
) -> Result<(), String> {
    let until = Instant::now() + Duration::from_secs_f64(options.minutes * 60.0);
    let (begun, mut told) = (Instant::now(), 0);
    while Instant::now() < until && options.faults.is_none_or(|most| tally.faults() < most) {
        let (pause, fault) = plan.next();
        tending(stage, sleep(pause)).await?;
        if stage.befall(fault).map_err(|error| format!("{fault:?}: {error}"))? {
            tally.count(fault.name(LEASE));
        } else {
            tally.passed_over += 1;
        }
        if tally.faults() >= told + FAULTS_A_LINE {
            told = tally.faults();
            let entries = load.ledger.open();
            let wrong = entries.problems.len() + stage.problems.len();
            let (seconds, pipelines) = (begun.elapsed().as_secs(), entries.submissions.len());
            println!("{seconds:>5} s  {told:>5} faults  {pipelines:>5} submissions answered  {wrong} problems");
        }
    }
    Ok(())
}

/// Waits until every job has ended, and says which have not in time.
async fn settled(load: &Load) -> Vec<String> {
    let begun = Instant::now();
    loop {
        let open: Vec<String> = match judge::jobs(&load.direct).await {
            Ok(jobs) => {
                let open = jobs.into_iter().filter(|job| !has_ended(job.state()));
                open.map(|job| format!("{} ({}) is {:?}: {}", job.name, job.id, job.state(), job.reason)).collect()
            }
            Err(problem) => vec![format!("the coordinator does not answer: {problem}")],
        };
        if open.is_empty() {
            return open;
        }
        if begun.elapsed() > SETTLE {
            return open.into_iter().map(|job| format!("after {SETTLE:?} without a fault: {job}")).collect();
        }
        sleep(Duration::from_millis(500)).await;
    }
}

/// Waits until workers have let go of all that has ended; what they have not in time is left over.
async fn let_go(stage: &mut Stage) -> Result<(), String> {
    let begun = Instant::now();
    while !held_by_workers(stage).is_empty() && begun.elapsed() < LET_GO {
        tending(stage, sleep(TICK)).await?;
    }
    Ok(())
}

/// Copies what a person looks at from disks that go with this process.
fn keep(stage: &Stage) {
    let kept = stage.dir.join("kept");
    let _ = std::fs::create_dir_all(&kept);
    let workers = stage::WORKERS.iter().enumerate().map(|(n, (name, _))| (*name, stage.worker_state(n)));
    for (name, state) in workers.chain([("coordinator", stage.coordinator_state())]) {
        let copied = Command::new("cp").arg("-a").arg(&state).arg(kept.join(name)).status();
        if !copied.is_ok_and(|status| status.success()) {
            println!("{} could not be copied to {}", state.display(), kept.display());
        }
    }
}
