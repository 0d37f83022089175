//! A child process from its start to its end: its output, its memory, its death.
//!
//! Promise: [`run`] returns only when the process is gone, and it is gone within its grace of the attempt's stop. One that hangs is
//! ended, too: see [`Patience`]. It runs in a process group of its own, so that Ctrl-C in the daemon's terminal reaches the daemon
//! alone.
//!
//! Memory. MLX's own limit makes it careful and does not stop it, and what a process holds is not what MLX holds. So the
//! peak that MLX itself reports with each step is compared with what the machine offers: past it the child is ended, before the
//! system does it. That is coarse in time and exact in amount: by its first report a run has been through a validation and some
//! batches, so the peak that goes back to the coordinator is near the one that the next attempt will need.
//! What the process itself holds has a bound of its own, far above that: see [`memory`](crate::memory). It is looked at often, so that
//! a process that grows without end is ended while the machine still has some left.
//! A run that passes its reservation alone goes on. The reservation is a prediction, the GPU is this attempt's while it runs, and the
//! coordinator learns from the peak: hours of training are not thrown away because a guess was a tenth too low. What runs beside it on
//! the processor has the tighter bound: its process may hold what was reserved for it and room for the rest.
//!
//! Manners. While the worker is leaving, the child is paused: it computes nothing and holds its memory, and its silence is no hang. Once
//! the worker is away, the child is told to leave, which takes it a checkpoint; one that does not is ended.

use super::main::{End, Said};
use super::manners::{Manners, Told};
use super::pulse::Pulse;
use crate::endings::oom;
use crate::held::Attempt;
use crate::lines::{LONGEST, RateCap, Verdict, next_line};
use crate::machine::Machine;
use crate::manners::Conditions;
use crate::outcome::{Ending, Exit, LastWord};
use crate::task::Event;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};
use tokio_util::task::AbortOnDropHandle;
use vertigo::bytes::Bytes;
use vertigo::id::Millis;
use vertigo::server_key::{ALLOWED_KEYS, KeyRule};
use vertigo::v1::LogLine;
use vertigo::v1::report::Body;
use vertigo_host::buffers::Length;
use vertigo_host::presence::Presence;

/// How long a child may take to end once it was asked to.
pub const GRACE: Duration = Duration::from_secs(5);

/// The same of a service, whose answers may end first.
pub const SERVICE_GRACE: Duration = Duration::from_secs(30);

/// How long a child may take to leave: to end an iteration, and to write a checkpoint of tens of GiB.
pub const LEAVE: Duration = Duration::from_secs(5 * 60);

/// How far a child stands behind a person's programs, of 20.
const NICENESS: u8 = 5;

/// Between looks at the child's memory.
const LOOK: Duration = Duration::from_millis(500);

/// Bytes of an event's line.
const LONGEST_EVENT: usize = 1 << 20;

/// Bytes of a child's log.
const LOG_BYTES: u64 = 64 << 20;

/// Lines of the log that are looked at when it has ended.
const TAIL: usize = 30;

/// How long a child is waited for.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// While it says nothing and uses no processor. A slow step says nothing either, but no training goes on without a processor: a child
    /// that is both silent and idle is deadlocked.
    pub still: Duration,
    /// Once it has said its last word.
    pub farewell: Duration,
}

impl Default for Patience {
    fn default() -> Patience {
        Patience { still: Duration::from_secs(15 * 60), farewell: vertigo_telemetry::FLUSH.saturating_mul(3) }
    }
}

/// Lines that a child is told while it goes on.
pub type News = mpsc::Receiver<String>;

/// What to run.
#[derive(Debug)]
pub struct Launch<'a> {
    /// This program.
    pub executable: &'a Path,
    /// The spec's file.
    pub spec: PathBuf,
    /// The trace to be part of.
    pub traceparent: Option<String>,
    /// How long it is waited for.
    pub patience: Patience,
    /// How long it may take to end once it was asked to.
    pub grace: Duration,
    /// What it is told on its stdin.
    pub news: News,
    /// Whether the worker takes part: the child is paused while it is leaving, and leaves with it.
    pub presence: watch::Receiver<Presence>,
    /// What else the machine is doing: where memory is short, the child keeps none beyond its need.
    pub conditions: watch::Receiver<Conditions>,
    /// Whether it is ended at once where the worker is away, and not paused before: it has clients, and comes to no end.
    pub is_service: bool,
    /// The most memory that its process may hold.
    pub resident_limit: Bytes,
    /// How long the GPU works for it without a break.
    pub buffers: Length,
    /// Which keys of this machine it may have.
    pub keys: &'a KeyRule,
}

enum Line {
    Out(String),
    Err(String),
}

/// Runs the child of `attempt` to its end. Its stderr goes to the attempt's log and, within bounds, into reports; its events go
/// to `hear`.
///
/// # Errors
/// Where it cannot be started or waited for; it is gone then too.
pub async fn run(
    launch: Launch<'_>,
    attempt: &Attempt,
    machine: &Machine,
    hear: impl FnMut(Event),
) -> io::Result<Ending> {
    let log = Log::create(attempt);
    let killed_before = oom::read();
    let mut child = spawn(&launch)?;
    let pid_file = attempt.folder().join("pid");
    // For people: nothing here reads it.
    if let Err(error) = fs::write(&pid_file, child.id().unwrap_or_default().to_string()) {
        tracing::warn!(%error, file = %pid_file.display(), "cannot say which process the attempt is");
    }
    let watch = Watch {
        usable: machine.usable(),
        resident_limit: launch.resident_limit,
        free: machine.free(),
        killed_before,
        ..Watch::default()
    };
    let (manners, orders) = Manners::new(launch.presence, launch.conditions, launch.is_service);
    let _tells = child.stdin.take().map(|stdin| AbortOnDropHandle::new(tokio::spawn(tell(stdin, launch.news, orders))));
    let waits = Waits { patience: launch.patience, grace: launch.grace };
    let ending = follow(&mut child, waits, manners, watch, log, machine, hear).await;
    if ending.is_err() {
        child.kill().await?;
    }
    // Where it is gone already, that is what was wanted.
    let _ = fs::remove_file(&pid_file);
    ending
}

/// Follows the child until it has closed its output and ended.
async fn follow(
    child: &mut Child,
    Waits { patience, grace }: Waits,
    mut manners: Manners,
    mut watch: Watch,
    mut log: Log<'_>,
    machine: &Machine,
    mut hear: impl FnMut(Event),
) -> io::Result<Ending> {
    let pid = child.id().unwrap_or_default();
    let mut lines = lines(child);
    let (mut look, mut asked, mut deadline, mut leaves_by) = (interval(LOOK), false, None, None);
    let mut pulse = Pulse::begin(Instant::now());
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            line = lines.recv() => match line {
                None => break,
                Some(line) => {
                    pulse.speaks(Instant::now());
                    take(line, &mut watch, &mut log, &mut hear);
                }
            },
            _ = look.tick() => {
                let usage = machine.usage(pid);
                watch.look(machine.free(), usage.resident);
                pulse.beat(Instant::now(), usage.processor);
                if manners.is_paused() {
                    pulse.speaks(Instant::now());
                }
            }
            told = manners.change(log.attempt), if !asked && watch.left.is_none() => if let Told::ToLeave(reason) = told {
                watch.left = Some(reason);
                match manners.is_of_service() {
                    true => (asked, deadline, watch.is_told) = (true, Some(end(child, grace)), true),
                    false => leaves_by = Some(Instant::now() + LEAVE),
                }
            },
            () = until(leaves_by), if !asked => (asked, deadline, watch.is_told) = (true, Some(end(child, grace)), true),
            _ = log.attempt.stopped(), if !asked => {
                (asked, deadline, watch.is_told) = (true, Some(end(child, grace)), true);
            }
            () = until(deadline) => {
                watch.is_told = true;
                signal(child, Signal::SIGKILL);
                deadline = Some(Instant::now() + GRACE);
            }
        }
        if deadline.is_none() && watch.last_word.is_some() {
            deadline = Some(Instant::now() + patience.farewell);
        }
        if !asked && watch.last_word.is_none() && pulse.is_still(Instant::now(), patience.still) {
            watch.hung = Some(patience.still);
        }
        if !asked && (watch.is_too_large() || watch.hung.is_some()) {
            (asked, deadline, watch.is_told) = (true, Some(end(child, GRACE)), true);
        }
    }
    let (status, is_killed) = wait(child, deadline).await?;
    watch.is_told |= is_killed;
    log.end();
    Ok(watch.ending(exit(status), log.tail, machine.memory()))
}

/// A line of the child's: an event, or something for its log.
fn take(line: Line, watch: &mut Watch, log: &mut Log<'_>, hear: &mut impl FnMut(Event)) {
    match line {
        Line::Err(text) => log.write(&text),
        Line::Out(text) => match serde_json::from_str(&text) {
            Err(_) => log.write(&text),
            Ok(Said::End(End::Failed(failed))) => watch.last_word = Some(LastWord::Failed(failed)),
            Ok(Said::Event(event)) => {
                watch.hear(&event);
                hear(event);
            }
        },
    }
}

fn spawn(launch: &Launch<'_>) -> io::Result<Child> {
    let mut command = command(launch)?;
    command.arg("attempt").arg("--spec").arg(&launch.spec);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    // The log is for files and other terminals.
    command.env("NO_COLOR", "1");
    match launch.keys.to_lines() {
        Some(lines) => command.env(ALLOWED_KEYS, lines),
        None => command.env_remove(ALLOWED_KEYS),
    };
    command.envs(launch.buffers.environment(|name| std::env::var(name).ok()));
    command.process_group(0).kill_on_drop(true).env_remove(vertigo_telemetry::ENVIRONMENT);
    for own in vertigo_daemon::life::OWN_ENVIRONMENT {
        command.env_remove(own);
    }
    if let Some(traceparent) = &launch.traceparent {
        command.env(vertigo_telemetry::ENVIRONMENT, traceparent);
    }
    command.spawn()
}

/// The child's program, behind everybody else's where nobody waits for its answers.
fn command(launch: &Launch<'_>) -> io::Result<Command> {
    if launch.is_service {
        return Ok(Command::new(launch.executable));
    }
    // Said here, because `nice` would say it as the child.
    fs::metadata(launch.executable)?;
    let mut command = Command::new("nice");
    command.arg("-n").arg(NICENESS.to_string()).arg(launch.executable);
    Ok(command)
}

/// What the child writes, until it has closed both streams.
fn lines(child: &mut Child) -> mpsc::Receiver<Line> {
    let (sender, receiver) = mpsc::channel(256);
    if let Some(stdout) = child.stdout.take() {
        tokio::spawn(forward(stdout, LONGEST_EVENT, Line::Out, sender.clone()));
    }
    if let Some(stderr) = child.stderr.take() {
        tokio::spawn(forward(stderr, LONGEST, Line::Err, sender));
    }
    receiver
}

async fn forward(stream: impl AsyncRead + Unpin, longest: usize, line: fn(String) -> Line, to: mpsc::Sender<Line>) {
    let mut reader = BufReader::new(stream);
    while let Ok(Some(text)) = next_line(&mut reader, longest).await {
        if to.send(line(text)).await.is_err() {
            return;
        }
    }
}

/// Asks the child to end, and says until when it may take.
fn end(child: &Child, grace: Duration) -> Instant {
    signal(child, Signal::SIGTERM);
    Instant::now() + grace
}

/// Tells the child what there is to tell. Its stdin stays open for as long as this goes on: a child whose stdin closes has lost its daemon.
async fn tell(mut stdin: ChildStdin, mut news: News, mut orders: mpsc::Receiver<String>) {
    loop {
        let line = tokio::select! {
            Some(order) = orders.recv() => order,
            Some(line) = news.recv() => line,
            else => break,
        };
        if let Err(error) = stdin.write_all(format!("{line}\n").as_bytes()).await {
            tracing::debug!(%error, "a child that ends reads no news");
            return;
        }
    }
    std::future::pending().await
}

/// How long the child is waited for, at work and at its end.
#[derive(Debug, Clone, Copy)]
struct Waits {
    patience: Patience,
    grace: Duration,
}

/// Sends a signal to the child's whole group: whatever it has started holds its output open too.
fn signal(child: &Child, signal: Signal) {
    if let Some(pid) = child.id().and_then(|pid| i32::try_from(pid).ok()) {
        // A child that is gone already is what was wanted.
        let _ = killpg(Pid::from_raw(pid), signal);
    }
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

/// Waits for a child that has closed its output. One that then does not end is killed, which is told too.
async fn wait(child: &mut Child, deadline: Option<Instant>) -> io::Result<(ExitStatus, bool)> {
    let deadline = deadline.unwrap_or_else(|| Instant::now() + GRACE);
    match tokio::time::timeout_at(deadline, child.wait()).await {
        Ok(status) => Ok((status?, false)),
        Err(_) => {
            signal(child, Signal::SIGKILL);
            Ok((child.wait().await?, true))
        }
    }
}

fn exit(status: ExitStatus) -> Exit {
    match status.code() {
        Some(code) => Exit::Code(code),
        None => Exit::Signal(status.signal().unwrap_or_default()),
    }
}

/// What is seen of the child while it runs.
#[derive(Debug, Default)]
struct Watch {
    last_word: Option<LastWord>,
    hung: Option<Duration>,
    /// Whether it was told to end by a signal of ours.
    is_told: bool,
    /// Processes that the kernel had killed for want of memory when it began, where that is counted.
    killed_before: Option<u64>,
    left: Option<String>,
    step_peak: Bytes,
    resident_peak: Bytes,
    resident_limit: Bytes,
    free: Bytes,
    usable: Bytes,
}

impl Watch {
    fn hear(&mut self, event: &Event) {
        match event {
            Event::Finished(done) => self.last_word = Some(LastWord::Finished(done.clone())),
            event => self.step_peak = self.step_peak.max(event.peak()),
        }
    }

    fn look(&mut self, free: Bytes, resident: Bytes) {
        self.resident_peak = self.resident_peak.max(resident);
        self.free = free;
    }

    /// Whether it must not go on. A run that has finished has nothing left to use.
    fn is_too_large(&self) -> bool {
        (self.step_peak > self.usable || self.resident_peak > self.resident_limit) && self.last_word.is_none()
    }

    fn ending(self, exit: Exit, tail: VecDeque<String>, memory: Bytes) -> Ending {
        Ending {
            exit,
            last_word: self.last_word,
            hung: self.hung,
            is_told: self.is_told,
            // Its supervisor knows.
            worker_goes: false,
            is_oom_killed: self.killed_before.zip(oom::read()).is_some_and(|(before, now)| now > before),
            left: self.left,
            tail: Vec::from(tail).join("\n"),
            step_peak: self.step_peak,
            resident_peak: self.resident_peak,
            resident_limit: self.resident_limit,
            free: self.free,
            memory,
            usable: self.usable,
        }
    }
}

/// The child's log: a file of bounded size, and reports at a bounded rate. A disk that takes no more ends the file, not the run.
struct Log<'a> {
    attempt: &'a Attempt,
    file: Option<File>,
    room: u64,
    /// When it was begun: by a clock that never goes back.
    begun: Instant,
    cap: RateCap,
    tail: VecDeque<String>,
}

impl Log<'_> {
    fn create(attempt: &Attempt) -> Log<'_> {
        let (begun, cap, tail) = (Instant::now(), RateCap::new(Millis(0)), VecDeque::new());
        let mut log = Log { attempt, file: None, room: LOG_BYTES, begun, cap, tail };
        match File::create(attempt.folder().join("log")) {
            Ok(file) => log.file = Some(file),
            Err(error) => log.close(&error),
        }
        log
    }

    fn close(&mut self, error: &io::Error) {
        self.file = None;
        tracing::warn!(%error, attempt = %self.attempt.id(), "cannot write the attempt's log any further");
    }

    fn write(&mut self, text: &str) {
        let size = text.len() as u64 + 1;
        if let Some(file) = self.file.as_mut().filter(|_| size <= self.room) {
            self.room -= size;
            if let Err(error) = writeln!(file, "{text}") {
                self.close(&error);
            }
        }
        if self.tail.len() == TAIL {
            self.tail.pop_front();
        }
        self.tail.push_back(text.to_owned());
        let (now, text) = (Millis(self.begun.elapsed().as_millis() as u64), clip(text));
        if let Verdict::Forward { left_out } = self.cap.judge(now, text.len() as u64) {
            self.say_left_out(left_out);
            self.attempt.mention(Body::Log(LogLine { text: text.to_owned() }));
        }
    }

    fn end(&mut self) {
        let left_out = self.cap.take_left_out();
        self.say_left_out(left_out);
    }

    fn say_left_out(&self, left_out: u64) {
        if left_out > 0 {
            let text = format!("… {left_out} lines left out; the worker's own log of the attempt has them");
            self.attempt.mention(Body::Log(LogLine { text }));
        }
    }
}

/// At most [`LONGEST`] bytes of a line, whole characters.
fn clip(text: &str) -> &str {
    &text[..text.floor_char_boundary(LONGEST)]
}
