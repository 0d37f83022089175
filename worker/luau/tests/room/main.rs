//! The room with real children: verdicts, attacks, and children that die. The world is a stand-in, `tests/world`.

mod attacks;
mod children;
mod verdicts;

use std::path::Path;
use std::process::Command;
use std::time::Duration;
use vertigo_luau::room::Room;
use vertigo_luau::run::{Kind, Limits, Module, Outcome, Program, Verdict};

/// Limits that a test of the room runs into soon, on a slow machine too.
fn limits() -> Limits {
    Limits { memory_bytes: 64 << 20, steps: 500_000, wall: Duration::from_secs(20), output_bytes: 4096 }
}

/// The command of a child with the stand-in world.
fn child() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vertigo-luau-room"));
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/world"));
    command
}

fn room(limits: Limits, children: usize) -> Room {
    Room::open(child(), limits, children).unwrap()
}

/// A program of one module, `answer`.
fn program(answer: &str, test: &str) -> Program {
    let answer = Module { path: "answer".to_owned(), kind: Kind::Module, source: answer.to_owned() };
    Program { modules: vec![answer], test: test.to_owned(), seed: 7 }
}

/// A test that calls what the answer gives.
fn called(answer: &str) -> Program {
    program(answer, r#"test("it answers", function() require("answer")() end)"#)
}

fn failure(verdict: &Verdict) -> &str {
    assert_eq!(verdict.outcome, Outcome::Failed, "{verdict:?}");
    verdict.cases.iter().find_map(|case| case.message.as_deref()).unwrap()
}

/// A program that passes and says so: what must hold after every other one.
fn assert_well(room: &Room) {
    let verdict = room.run(&program("return 2", r#"test("it is two", function() assert(require("answer") == 2) end)"#));
    assert_eq!(verdict.unwrap().outcome, Outcome::Passed);
}
