//! Children as Linux shows them: what they have, and what becomes of the room when they are killed or stand still.

use crate::{assert_well, called, limits, room};
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::collections::BTreeSet;
use std::process::Command;
use std::sync::Barrier;
use std::time::{Duration, Instant};
use std::{fs, thread};
use vertigo_luau::room::Walls;
use vertigo_luau::run::{Limits, Outcome};

/// The children of this process that run the room's program, from the system.
fn children() -> BTreeSet<i32> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let Ok(stat) = fs::read_to_string(entry.path().join("stat")) else { continue };
        // After the name in brackets: the state, and the parent.
        let mut words = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
        let (state, parent) = (words.next(), words.next());
        let is_ours = stat.contains("(vertigo-luau-ro)") && parent == Some(&std::process::id().to_string());
        if is_ours && state != Some("Z") {
            found.insert(pid);
        }
    }
    found
}

/// Runs `act` in a process of its own test, so that its children are the only ones: the names of tests are arguments.
fn alone(name: &str) -> bool {
    if std::env::var_os("ROOM_ALONE").is_some() {
        return true;
    }
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", name, "--nocapture"]).env("ROOM_ALONE", "1");
    assert!(command.status().unwrap().success());
    false
}

#[test]
fn a_child_that_is_killed_in_its_midst_is_a_crash_and_the_room_goes_on() {
    if !alone("linux::a_child_that_is_killed_in_its_midst_is_a_crash_and_the_room_goes_on") {
        return;
    }
    let room = room(Limits { steps: u64::MAX, ..limits() }, 1);
    for _ in 0..3 {
        let begun = Barrier::new(2);
        let verdict = thread::scope(|scope| {
            let running = scope.spawn(|| {
                begun.wait();
                room.run(&called("return function() while true do end end")).unwrap()
            });
            begun.wait();
            let pid = Pid::from_raw(*children().first().unwrap());
            // Until it computes: a child that is killed while it is idle is nobody's verdict.
            let until = Instant::now() + Duration::from_secs(20);
            let ticks = || {
                let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
                stat.rsplit(')')
                    .next()
                    .unwrap_or_default()
                    .split_whitespace()
                    .nth(11)
                    .unwrap_or("0")
                    .parse::<u64>()
                    .unwrap()
            };
            let before = ticks();
            while ticks() < before + 5 && Instant::now() < until {
                thread::yield_now();
            }
            kill(pid, Signal::SIGKILL).unwrap();
            running.join().unwrap()
        });
        assert_eq!(verdict.outcome, Outcome::Crashed);
        assert_well(&room);
    }
    // One that is killed while it is idle is replaced, and nobody notices.
    for pid in children() {
        kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
    }
    let until = Instant::now() + Duration::from_secs(20);
    while !children().is_empty() && Instant::now() < until {
        thread::yield_now();
    }
    assert_well(&room);
    drop(room);
    assert_eq!(children(), BTreeSet::new(), "no child outlives its room");
}

#[test]
fn a_child_that_stands_still_is_out_of_time() {
    if !alone("linux::a_child_that_stands_still_is_out_of_time") {
        return;
    }
    let room = room(Limits { wall: Duration::from_millis(200), ..limits() }, 1);
    for pid in children() {
        kill(Pid::from_raw(pid), Signal::SIGSTOP).unwrap();
    }
    assert_eq!(room.run(&called("return print")).unwrap().outcome, Outcome::OutOfTime);
    assert_well(&room);
}

#[test]
fn a_child_has_nothing_but_its_pipes_and_may_ask_for_nothing() {
    if !alone("linux::a_child_has_nothing_but_its_pipes_and_may_ask_for_nothing") {
        return;
    }
    // A descriptor that whoever opens the room did not keep to himself.
    let file = tempfile::tempfile().unwrap();
    fcntl(&file, FcntlArg::F_SETFD(FdFlag::empty())).unwrap();
    let room = room(limits(), 1);
    assert_eq!(room.walls(), Walls::Seccomp);
    let child = format!("/proc/{}", children().first().unwrap());
    let open: BTreeSet<_> = fs::read_dir(format!("{child}/fd")).unwrap().map(|it| it.unwrap().file_name()).collect();
    assert_eq!(open, ["0", "1", "2"].map(Into::into).into());
    assert_eq!(fs::read(format!("{child}/environ")).unwrap(), b"");
    assert_eq!(fs::read_dir(format!("{child}/cwd")).unwrap().count(), 0);
    let status = fs::read_to_string(format!("{child}/status")).unwrap();
    assert!(status.contains("Seccomp:\t2") && status.contains("NoNewPrivs:\t1"), "{status}");
    let limits = fs::read_to_string(format!("{child}/limits")).unwrap();
    let limit = |name: &str| {
        let line = limits.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.split_whitespace().next().unwrap().to_owned()
    };
    assert_eq!([limit("Max open files"), limit("Max file size"), limit("Max core file size")], ["3", "0", "0"]);
    let space: u64 = limit("Max address space").parse().unwrap();
    assert!(space < 8 << 30, "{space} bytes of address space");
    assert_well(&room);
}
