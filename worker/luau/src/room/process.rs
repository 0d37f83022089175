//! One child of the room, seen from outside: started, asked with a deadline, killed.

use crate::run::{Limits, Outcome, Program, Verdict};
use crate::wire::{self, Hello, Opening, Reply, Walls};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::process::{Child, ChildStdin, ChildStdout, Command};
use std::time::{Duration, Instant};

/// How long a child may take to be ready. It loads a binary and compiles the world; a busy machine takes its time.
const START: Duration = Duration::from_secs(30);

/// How much longer than the program's time the room waits, since the child ends most programs itself and then says what they printed.
const GRACE: Duration = Duration::from_millis(250);

/// A child that lives, until it is dropped.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
    input: ChildStdin,
    output: ChildStdout,
    walls: Walls,
    runs: u32,
}

impl Process {
    /// Starts one and waits until it is ready.
    pub(super) fn start(command: &mut Command, limits: &Limits) -> io::Result<Self> {
        let mut child = command.spawn()?;
        let missing = || io::Error::other("its standard streams are no pipes");
        let streams = child.stdin.take().zip(child.stdout.take()).ok_or_else(missing);
        let made = streams.and_then(|(input, output)| {
            unblock(&input)?;
            unblock(&output)?;
            Ok((input, output))
        });
        let (input, output) = match made {
            Ok(streams) => streams,
            Err(error) => {
                end(&mut child);
                return Err(error);
            }
        };
        let mut process = Self { child, input, output, walls: Walls::LimitsOnly, runs: 0 };
        let until = Instant::now() + START;
        wire::send(&mut Timed { pipe: &mut process.input, until }, &Opening { limits: *limits })?;
        let hello = wire::receive::<Hello>(&mut Timed { pipe: &mut process.output, until })?;
        process.walls = hello.ok_or_else(|| io::Error::other("it ended before it was ready"))?.walls;
        Ok(process)
    }

    pub(super) fn walls(&self) -> Walls {
        self.walls
    }

    /// Programs that it has run.
    pub(super) fn runs(&self) -> u32 {
        self.runs
    }

    /// This process, if it has not ended meanwhile.
    pub(super) fn if_alive(mut self) -> Option<Self> {
        matches!(self.child.try_wait(), Ok(None)).then_some(self)
    }

    /// Runs a program and says whether the child can run another.
    pub(super) fn run(&mut self, program: &Program, limits: &Limits) -> (Verdict, bool) {
        self.runs += 1;
        let until = Instant::now() + limits.wall + GRACE;
        let sent = wire::send(&mut Timed { pipe: &mut self.input, until }, program);
        let answered = sent.and_then(|()| wire::receive::<Reply>(&mut Timed { pipe: &mut self.output, until }));
        match answered {
            Ok(Some(reply)) => (reply.verdict, !reply.is_last),
            Err(error) if error.kind() == io::ErrorKind::TimedOut => (Verdict::bare(Outcome::OutOfTime), false),
            // It ended, or what it says is no message.
            Ok(None) | Err(_) => (Verdict::bare(Outcome::Crashed), false),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

/// Kills a child and takes its end, so that nothing of it stays.
fn end(child: &mut Child) {
    let _ = child.kill();
    let _ = child.wait();
}

/// Makes our end of a pipe say that it would wait.
fn unblock(pipe: &impl AsFd) -> io::Result<()> {
    let flags = OFlag::from_bits_retain(fcntl(pipe, FcntlArg::F_GETFL)?);
    fcntl(pipe, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
    Ok(())
}

/// A pipe that is waited for until a moment.
struct Timed<'a, P> {
    pipe: &'a mut P,
    until: Instant,
}

impl<P: AsFd> Timed<'_, P> {
    /// Does it as soon as the pipe lets it.
    fn patiently<T>(&mut self, flags: PollFlags, mut act: impl FnMut(&mut P) -> io::Result<T>) -> io::Result<T> {
        loop {
            match act(self.pipe) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.wait(flags)?,
                other => return other,
            }
        }
    }

    fn wait(&self, flags: PollFlags) -> io::Result<()> {
        let left = self.until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        // Rounded up: a wait of nothing would spin.
        let millis = i32::try_from(left.as_millis() + 1).unwrap_or(i32::MAX);
        let timeout = PollTimeout::try_from(millis).unwrap_or(PollTimeout::MAX);
        match poll(&mut [PollFd::new(self.pipe.as_fd(), flags)], timeout) {
            Ok(_) | Err(Errno::EINTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

impl<P: AsFd + Read> Read for Timed<'_, P> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.patiently(PollFlags::POLLIN, |pipe| pipe.read(buffer))
    }
}

impl<P: AsFd + Write> Write for Timed<'_, P> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.patiently(PollFlags::POLLOUT, |pipe| pipe.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
