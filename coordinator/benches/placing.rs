//! What a placement costs, by the length of the queue and the size of the fleet.
//!
//! A fleet is filled, and then attempts end one by one: each end is a change, after which the core places what can be placed. Beside it, in
//! the same run, stands the walk that this replaced: every queued job asks [`Core::placement`], which looks at every worker. One JSON line
//! for each fleet: jobs leased per second of placing, of whole changes, and of changes with the walk in the place of the placing, and how
//! many times slower the walk is; it is left out where one walk takes minutes.
//!
//! `cargo bench -p vertigo-coordinator --bench placing [-- JOBS WORKERS]`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use vertigo::bytes::Bytes;
use vertigo::id::{AttemptId, Digest, Epoch, JobId, Millis, ProcessId, WorkerId};
use vertigo::principal::PrincipalName;
use vertigo::secret::Secret;
use vertigo::task::{Cure, Failure, Slot, TaskKind};
use vertigo_coordinator::core::{
    Command, Connect, Core, Found, Input, Kinds, Machine, MemoryPart, Moment, Need, NoArchive, Outgoing, Reasons,
    Report, ReportBody, SessionId, Settings, Snapshot, Source, State, Submit, Task, Variant,
};

/// Queued jobs, and workers.
const FLEETS: [(usize, usize); 5] = [(10, 4), (10_000, 4), (100_000, 4), (1_000_000, 4), (100_000, 10_000)];

/// Different needs among the jobs.
const NEEDS: usize = 50;

/// How long changes are measured, and walks at most.
const MEASURED: Duration = Duration::from_secs(3);

/// Pairs of a job and a worker beyond which no walk is made.
const WALK_PAIRS_MAX: usize = 10_000_000;

/// What the fleet's machines offer, over and over.
const USABLE_GIB: [u64; 4] = [28, 28, 56, 112];

/// Jobs on a page, at most.
const PAGE_JOBS: usize = 1_000;

/// Jobs in one call.
const CALL_JOBS: usize = 1_000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let numbers: Vec<usize> = std::env::args().skip(1).filter_map(|argument| argument.parse().ok()).collect();
    match numbers[..] {
        // Memory that a fleet before it has used would be used again, and not be counted.
        [jobs, workers] => measure(jobs, workers, resident_bytes()),
        _ => FLEETS.into_iter().try_for_each(|(jobs, workers)| measure(jobs, workers, None)),
    }
}

/// No task here needs completing.
#[derive(Debug)]
struct Complete;

impl Kinds for Complete {
    fn complete(&self, _: &Core, _: &mut Variant) -> Result<(), String> {
        Ok(())
    }
}

struct Bench {
    core: Core,
    now: Millis,
    queued: usize,
    /// Attempts that run, with the session and the epoch that they report under.
    running: Vec<(SessionId, AttemptId, Epoch)>,
}

fn measure(jobs: usize, workers: usize, resident: Option<u64>) -> Result<(), Box<dyn std::error::Error>> {
    let mut bench = Bench::new();
    (0..workers).try_for_each(|worker| bench.connect(worker))?;
    bench.place();
    let mut submitting = bench.submit(CALL_JOBS.min(jobs))?;
    while bench.queued < jobs {
        submitting += bench.submit(CALL_JOBS.min(jobs - bench.queued))?;
    }
    let per_job = resident.zip(resident_bytes()).map(|(before, after)| (after - before) / jobs as u64);
    let (mut placing, mut changing, mut leased) = (Duration::ZERO, Duration::ZERO, 0);
    let started = Instant::now();
    while started.elapsed() < MEASURED && !bench.running.is_empty() {
        let change = Instant::now();
        bench.end_one()?;
        let place = Instant::now();
        leased += bench.place();
        (placing, changing) = (placing + place.elapsed(), changing + change.elapsed());
        // As many wait as before.
        bench.submit(jobs.saturating_sub(bench.queued))?;
    }
    let rate = |time: Duration| leased as f64 / time.as_secs_f64();
    let walk = (jobs * workers <= WALK_PAIRS_MAX).then(|| bench.walk().as_secs_f64());
    let walks = walk.map(|walk| 1.0 / (walk + (changing - placing).as_secs_f64() / f64::max(leased as f64, 1.0)));
    let line = serde_json::json!({
        "queued": jobs, "workers": workers, "needs": NEEDS, "submitting_s": submitting.as_secs_f64(),
        "placed_per_s": rate(placing).round(), "changes_per_s": rate(changing).round(),
        "walking_changes_per_s": walks.map(|walks| (walks * 10.0).round() / 10.0),
        "times_slower_by_walking": walks.map(|walks| (rate(changing) / walks).round()),
        "page_of_reasons_ms": bench.page_of_reasons().as_secs_f64() * 1e3, "resident_bytes_per_job": per_job,
    });
    println!("{line}");
    Ok(())
}

impl Bench {
    fn new() -> Bench {
        let (settings, now) = (Settings { lease_ms: 1 << 40 }, Millis(1));
        let core = Core::restore(settings, Box::new(Complete), Arc::new(NoArchive), Snapshot::default(), now);
        Bench { core, now, queued: 0, running: Vec::new() }
    }

    fn moment(&mut self) -> Moment {
        self.now = self.now.plus(1);
        Moment { now: self.now, jitter: 0.5 }
    }

    fn connect(&mut self, number: usize) -> Result<(), Box<dyn std::error::Error>> {
        let machine = Machine {
            usable: Bytes::gib(USABLE_GIB[number % USABLE_GIB.len()]),
            gpu_slots: 1,
            cpu_slots: 4,
            ..Machine::default()
        };
        let hello = Connect {
            session: SessionId(number as u64 + 1),
            worker: WorkerId::new(),
            secret: Secret::from([1; 32]).hash(),
            process: ProcessId::new(),
            name: format!("mac-{number}"),
            machine,
            held: Vec::new(),
            reboots: Vec::new(),
            away: None,
            conditions: Default::default(),
        };
        let at = self.moment();
        Ok(self.core.apply(at, Command::Connect(hello))?)
    }

    /// Queues jobs in one call and places what can be placed. Gives how long that took.
    fn submit(&mut self, count: usize) -> Result<Duration, Box<dyn std::error::Error>> {
        let jobs: Vec<Submit> = (0..count).map(|number| job(self.queued + number)).collect();
        let at = self.moment();
        let started = Instant::now();
        self.core.apply(at, Command::Submit(jobs))?;
        self.queued += count;
        self.place();
        Ok(started.elapsed())
    }

    /// Ends the attempt that has run for longest.
    fn end_one(&mut self) -> Result<(), Box<dyn std::error::Error>> {
        let (session, attempt, epoch) = self.running.remove(0);
        let failure = Failure::new(Cure::Never, "", "it ends");
        let body = ReportBody::Finished { peak: Bytes::ZERO, outcome: Err(failure) };
        let at = self.moment();
        let reports = vec![Report { number: 1, at: at.now, body }];
        Ok(self.core.apply(at, Command::Reports { session, attempt, epoch, reports })?)
    }

    /// Places what can be placed. Gives the number of leases.
    fn place(&mut self) -> usize {
        self.core.place(self.now, &mut std::iter::repeat_with(AttemptId::new));
        let before = self.running.len();
        for (session, message) in self.core.take_effects().outbox {
            if let Outgoing::Assignment(it) = message {
                self.running.push((session, it.attempt, it.epoch));
            }
        }
        let leased = self.running.len() - before;
        self.queued -= leased;
        leased
    }

    /// Why each of the newest jobs waits, as a page of a list says it.
    fn page_of_reasons(&self) -> Duration {
        let started = Instant::now();
        let reasons = Reasons::new(&self.core);
        self.core.jobs().take(PAGE_JOBS).for_each(|job| drop(std::hint::black_box(reasons.of(job))));
        started.elapsed()
    }

    /// One walk: every queued job looks at every worker.
    fn walk(&self) -> Duration {
        let queued: Vec<_> = self.core.jobs().filter(|job| job.state == State::Queued).collect();
        let started = Instant::now();
        for job in queued {
            std::hint::black_box(self.core.placement(&job.variants, &job.avoid));
        }
        started.elapsed()
    }
}

fn job(number: usize) -> Submit {
    let input = |role: &str, bytes| Input {
        role: role.to_owned(),
        source: Source::Artifact,
        artifact: Some(Found { digest: Digest::of(role.as_bytes()), bytes: Bytes::mib(bytes) }),
    };
    let need = |peak: u64| Need {
        method: "QLoRA r8".to_owned(),
        engine: "1".to_owned(),
        parts: vec![MemoryPart { name: "weights".to_owned(), bytes: Bytes::gib(peak) }],
        factor: 1.0,
        disk: Bytes::gib(1),
        slot: Slot::Gpu,
    };
    let variant = |name: &str, peak: u64| Variant {
        name: name.to_owned(),
        task: Task { kind: TaskKind::Train, message: vec![0; 64] },
        model: "m".to_owned(),
        inputs: vec![input("base", 2_000), input("data", 20)],
        need: Some(need(peak)),
        raised: None,
        resume: None,
        began_anew: false,
        caveats: None,
    };
    // From what every machine holds to what only the largest does.
    let peak = 4 + 2 * (number % NEEDS) as u64;
    Submit {
        id: JobId::new(),
        name: None,
        priority: 0,
        labels: BTreeMap::new(),
        variants: vec![variant("large", peak), variant("small", peak / 2)],
        traceparent: String::new(),
        by: PrincipalName::local(),
    }
}

/// Linux's count of resident memory; `None` elsewhere.
fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    Some(line.split_whitespace().nth(1)?.parse::<u64>().ok()? << 10)
}
