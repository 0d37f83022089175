//! What a child may still ask of the system: to compute, and to speak with the room.
//!
//! Promise: raised once, never lowered. Limits on files, descriptors, memory and time stand on every system; behind them seccomp on Linux
//! and the sandbox on macOS, and [`Walls`] says which.

use crate::run::Limits;
use crate::wire::Walls;
use nix::sys::resource::{Resource, setrlimit};
use nix::unistd::{alarm, close};
use std::fs;
use std::io;
use std::time::Duration;

/// Descriptors that stay open: the standard ones.
const DESCRIPTORS: i32 = 3;

/// Address space beyond the virtual machine's heap, for the compiler, for messages and for what the allocator has not given back.
const SPACE_BYTES: u64 = 1 << 30;

/// How much longer than the program's time the process has, if nobody ends it: the room is gone then.
const GRACE: Duration = Duration::from_secs(5);

/// Processor time of one child. The room gives it up long before.
const LIFE: Duration = Duration::from_secs(3600);

/// Puts all walls up.
pub(super) fn raise(limits: &Limits) -> io::Result<Walls> {
    close_others();
    let limit = |resource, most: u64| setrlimit(resource, most, most);
    limit(Resource::RLIMIT_CORE, 0)?;
    limit(Resource::RLIMIT_FSIZE, 0)?;
    limit(Resource::RLIMIT_CPU, LIFE.as_secs())?;
    limit_space(limits)?;
    limit(Resource::RLIMIT_NOFILE, DESCRIPTORS.unsigned_abs().into())?;
    Ok(fence())
}

/// Closes what whoever started this process had open and did not mean to hand on.
fn close_others() {
    // Both systems have it. What is listed was not opened by this process, but for the listing, which is closed when it was read.
    let listed = fs::read_dir("/dev/fd").map(|entries| entries.flatten().collect::<Vec<_>>()).unwrap_or_default();
    let open = listed.iter().filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    for descriptor in open.filter(|descriptor| *descriptor >= DESCRIPTORS) {
        let _ = close(descriptor);
    }
}

/// The process's address space, from what it has now. macOS takes such a limit and does not keep it: there the virtual machine's own
/// limit stands alone.
#[cfg(target_os = "linux")]
fn limit_space(limits: &Limits) -> io::Result<()> {
    let pages = fs::read_to_string("/proc/self/statm")?;
    let pages: u64 = pages.split(' ').next().and_then(|text| text.parse().ok()).unwrap_or_default();
    let page = nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE)?.unwrap_or(4096).unsigned_abs();
    let most = (pages * page).saturating_add(limits.memory_bytes).saturating_add(SPACE_BYTES);
    Ok(setrlimit(Resource::RLIMIT_AS, most, most)?)
}

#[cfg(not(target_os = "linux"))]
fn limit_space(_: &Limits) -> io::Result<()> {
    let _ = SPACE_BYTES;
    Ok(())
}

#[cfg(target_os = "linux")]
fn fence() -> Walls {
    match seccomp() {
        Ok(()) => Walls::Seccomp,
        Err(_) => Walls::LimitsOnly,
    }
}

#[cfg(target_os = "macos")]
fn fence() -> Walls {
    if super::sandbox::enter() { Walls::Sandbox } else { Walls::LimitsOnly }
}

#[cfg(not(any(target_os = "linux", target_os = "macos")))]
fn fence() -> Walls {
    Walls::LimitsOnly
}

/// Leaves the calls that computing, its allocator and the pipes need. Any other says that it is not permitted.
#[cfg(target_os = "linux")]
fn seccomp() -> Result<(), Box<dyn std::error::Error>> {
    use nix::libc as c;
    use seccompiler::{
        BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    };
    let plain = [
        c::SYS_read,
        c::SYS_write,
        c::SYS_writev,
        c::SYS_close,
        c::SYS_munmap,
        c::SYS_mremap,
        c::SYS_madvise,
        c::SYS_brk,
        c::SYS_futex,
        c::SYS_clock_gettime,
        c::SYS_getrandom,
        c::SYS_setitimer,
        c::SYS_sigaltstack,
        c::SYS_rt_sigreturn,
        c::SYS_rt_sigprocmask,
        c::SYS_rt_sigaction,
        c::SYS_restart_syscall,
        c::SYS_sched_yield,
        c::SYS_exit,
        c::SYS_exit_group,
        #[cfg(target_arch = "x86_64")]
        c::SYS_alarm,
    ];
    // Memory that can be written becomes no code.
    let not_executable = || -> Result<Vec<SeccompRule>, Box<dyn std::error::Error>> {
        let bit = c::PROT_EXEC.unsigned_abs().into();
        let condition = SeccompCondition::new(2, SeccompCmpArgLen::Dword, SeccompCmpOp::MaskedEq(bit), 0)?;
        Ok(vec![SeccompRule::new(vec![condition])?])
    };
    let mut rules: std::collections::BTreeMap<i64, Vec<SeccompRule>> =
        plain.into_iter().map(|call| (call, Vec::new())).collect();
    rules.insert(c::SYS_mmap, not_executable()?);
    rules.insert(c::SYS_mprotect, not_executable()?);
    let refused = SeccompAction::Errno(c::EPERM.unsigned_abs());
    let filter = SeccompFilter::new(rules, refused, SeccompAction::Allow, std::env::consts::ARCH.try_into()?)?;
    let program: BpfProgram = filter.try_into()?;
    Ok(seccompiler::apply_filter_all_threads(&program)?)
}

/// Ends this process should a program take so long that the room must be gone.
pub(super) fn watch(wall: Duration) {
    let seconds = (wall + GRACE).as_secs().clamp(1, u32::MAX.into());
    alarm::set(u32::try_from(seconds).unwrap_or(u32::MAX));
}

/// The program has ended.
pub(super) fn unwatch() {
    alarm::cancel();
}
