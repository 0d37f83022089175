//! What becomes of the room when its children die, or are no children of ours.

use crate::{assert_well, called, child, limits, room};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::collections::BTreeSet;
use std::process::Command;
use std::sync::Barrier;
use std::time::{Duration, Instant};
use std::{fs, thread};
use vertigo_luau::room::{Room, RoomError};
use vertigo_luau::run::{Limits, Outcome};

/// The children of this process that run the room's program, from the system. None where there is no /proc.
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
#[cfg(target_os = "linux")]
fn a_child_that_is_killed_in_its_midst_is_a_crash_and_the_room_goes_on() {
    if !alone("children::a_child_that_is_killed_in_its_midst_is_a_crash_and_the_room_goes_on") {
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
#[cfg(target_os = "linux")]
fn a_child_that_stands_still_is_out_of_time() {
    if !alone("children::a_child_that_stands_still_is_out_of_time") {
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
fn a_command_that_is_no_child_is_an_error_at_once() {
    let open = |command: &mut Command| {
        let command = std::mem::replace(command, Command::new("false"));
        Room::open(command, limits(), 1)
    };
    for command in [
        &mut Command::new("/nonexistent/vertigo"),
        &mut Command::new("false"),
        Command::new("echo").arg("hello"),
        Command::new("head").args(["-c", "1000000", "/dev/zero"]),
        Command::new(env!("CARGO_BIN_EXE_vertigo-luau-room")).arg("/nonexistent"),
    ] {
        let opened = open(command);
        assert!(matches!(opened, Err(RoomError::Start { .. })), "{opened:?}");
    }
}

#[test]
fn threads_share_a_room_and_wait_for_a_child() {
    let room = room(limits(), 2);
    thread::scope(|scope| {
        for thread in 0..6 {
            let room = &room;
            scope.spawn(move || {
                for n in 0..10 {
                    let verdict = room.run(&called(&format!("return function() print({thread}, {n}) end"))).unwrap();
                    assert_eq!((verdict.output, verdict.outcome), (format!("{thread}\t{n}\n"), Outcome::Passed));
                }
            });
        }
    });
}

#[test]
fn what_breaks_a_bound_is_refused_and_no_verdict() {
    let room = room(limits(), 1);
    let long = called(&" ".repeat(5 << 20));
    assert!(matches!(room.run(&long), Err(RoomError::Refused(_))));
    assert_well(&room);
    let greedy = Limits { output_bytes: 1 << 40, ..limits() };
    assert!(matches!(Room::open(child(), greedy, 1), Err(RoomError::Output(_))));
}
