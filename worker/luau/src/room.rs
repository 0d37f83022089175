//! The room itself: child processes in which programs run, so that nothing a program does reaches the process that asks.
//!
//! Promise: [`Room::run`] comes back within the limits and says a verdict, whatever the program does and whatever happens to the child.
//! A child that ran into a limit, crashed, or has run [`RUNS_PER_CHILD`] programs is replaced; no verdict depends on what ran before.

mod process;

use crate::run::{Limits, Outcome, Program, Refused, Verdict};
pub use crate::wire::Walls;
use process::Process;
use std::io;
use std::process::{Command, Stdio};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use tempfile::TempDir;

/// Programs that one child runs, so that what an allocator loses stays small.
pub const RUNS_PER_CHILD: u32 = 1_000;

/// Bytes of [`Limits::output_bytes`] at most.
pub const OUTPUT_BYTES_MAX: u64 = 4 << 20;

/// Children that run programs, as many at once as the room was opened with. Threads share it.
#[derive(Debug)]
pub struct Room {
    pool: Mutex<Pool>,
    freed: Condvar,
    command: Mutex<Command>,
    limits: Limits,
    walls: Walls,
    /// Where children are; nothing is ever in it.
    _folder: TempDir,
}

/// Who is at work. A seat is a child, or the right to start one.
#[derive(Debug)]
struct Pool {
    idle: Vec<Process>,
    seats_free: usize,
}

/// Why a program has no verdict: the fault is not the program's.
#[derive(Debug, thiserror::Error)]
pub enum RoomError {
    /// The program breaks a bound.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The room was opened with limits that it cannot keep.
    #[error("{0} bytes of output, and a room keeps at most {OUTPUT_BYTES_MAX}")]
    Output(u64),
    /// A child does not start, or does not say that it is ready.
    #[error("the room's child does not start ({command}): {cause}")]
    Start {
        /// What was started.
        command: String,
        /// The system's words.
        cause: io::Error,
    },
}

impl Room {
    /// A room of `children` processes, at least one, each of which is `command` and calls [`crate::child::main`]. One is started at once,
    /// so that a command that does not work is known here. It is started without environment, in an empty folder.
    ///
    /// # Errors
    ///
    /// The child does not come up, or the limits are beyond what a room keeps.
    pub fn open(mut command: Command, limits: Limits, children: usize) -> Result<Self, RoomError> {
        if limits.output_bytes > OUTPUT_BYTES_MAX {
            return Err(RoomError::Output(limits.output_bytes));
        }
        let describe = |command: &Command| format!("{}", command.get_program().display());
        let folder = tempfile::tempdir().map_err(|cause| RoomError::Start { command: describe(&command), cause })?;
        command.env_clear().current_dir(folder.path());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let first = Process::start(&mut command, &limits);
        let first = first.map_err(|cause| RoomError::Start { command: describe(&command), cause })?;
        let walls = first.walls();
        let pool = Mutex::new(Pool { idle: vec![first], seats_free: children.max(1) });
        Ok(Self { pool, freed: Condvar::new(), command: Mutex::new(command), limits, walls, _folder: folder })
    }

    /// What keeps this room's children in.
    #[must_use]
    pub fn walls(&self) -> Walls {
        self.walls
    }

    /// Runs `program` and waits for its verdict, and before that for a child that is free.
    ///
    /// # Errors
    ///
    /// The program breaks a bound, or no child can be started. What the program does is a verdict, never an error.
    pub fn run(&self, program: &Program) -> Result<Verdict, RoomError> {
        program.accept()?;
        let mut seat = self.seat();
        let mut process = match seat.process.take() {
            Some(idle) => idle,
            None => self.start()?,
        };
        let (verdict, goes_on) = process.run(program, &self.limits);
        // One that wanted too much memory has it no longer, and its allocator may.
        if goes_on && verdict.outcome != Outcome::OutOfMemory && process.runs() < RUNS_PER_CHILD {
            seat.process = Some(process);
        }
        Ok(verdict)
    }

    fn start(&self) -> Result<Process, RoomError> {
        let mut command = lock(&self.command);
        Process::start(&mut command, &self.limits)
            .map_err(|cause| RoomError::Start { command: command.get_program().display().to_string(), cause })
    }

    /// Waits for a seat, and takes a child that lives if one is idle.
    fn seat(&self) -> Seat<'_> {
        let pool = lock(&self.pool);
        let mut pool = self.freed.wait_while(pool, |pool| pool.seats_free == 0).unwrap_or_else(PoisonError::into_inner);
        pool.seats_free -= 1;
        // One that ended while it was idle is nobody's verdict.
        let process = std::iter::from_fn(|| pool.idle.pop()).find_map(Process::if_alive);
        Seat { room: self, process }
    }
}

/// A seat that is given back, however the run ends.
struct Seat<'a> {
    room: &'a Room,
    /// A child that can run another program.
    process: Option<Process>,
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        let mut pool = lock(&self.room.pool);
        pool.idle.extend(self.process.take());
        pool.seats_free += 1;
        drop(pool);
        self.room.freed.notify_one();
    }
}

/// What these locks guard is whole between any two statements, so a thread that panicked has left nothing half done.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
