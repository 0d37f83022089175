//! Children that are none of ours, and a room that threads share.

use crate::{assert_well, called, child, limits, room};
use std::process::Command;
use std::thread;
use std::time::Duration;
use vertigo_luau::room::{Room, RoomError};
use vertigo_luau::run::{Limits, Outcome, Program};

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

/// A child that is ready, takes a little of the program, and then does what `script` says.
fn impostor(script: &str) -> Room {
    let hello = r#"printf '\023\000\000\000{"walls":"Seccomp"}'; head -c 4 > /dev/null; "#;
    let mut command = Command::new("/bin/sh");
    // The opening is taken in its place.
    command.arg("-c").arg(format!("{hello} {script}"));
    Room::open(command, Limits { wall: Duration::from_secs(2), ..limits() }, 1).unwrap()
}

#[test]
fn a_child_that_says_rubbish_has_crashed_and_one_that_says_nothing_is_out_of_time() {
    for script in [
        r"printf '\004\000\000\000nope'; cat > /dev/null",
        r"printf '\377\377\377\377'; cat > /dev/null",
        "cat /dev/zero",
        "printf ab",
        "exit 1",
        r#"printf '\002\000\000\000{}'; cat > /dev/null"#,
    ] {
        let verdict = impostor(script).run(&called("return print")).unwrap();
        assert_eq!(verdict.outcome, Outcome::Crashed, "{script}");
    }
    let silent = r"printf '\377\000\000\000{'; cat > /dev/null";
    assert_eq!(impostor(silent).run(&called("return print")).unwrap().outcome, Outcome::OutOfTime);
    // One that never reads is not waited for either.
    let deaf = Program { test: " ".repeat(4_000_000), ..called("return print") };
    assert_eq!(impostor("exec sleep 100").run(&deaf).unwrap().outcome, Outcome::OutOfTime);
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
