//! The world's own tests, run in the room as any program is. Says SKIPPED where the crate was built without the world.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use vertigo_luau::child::World;
use vertigo_luau::room::Room;
use vertigo_luau::run::{Kind, Limits, Module, Program};

/// How a case is called that must fail.
const MUST_FAIL: &str = "fails: ";

#[test]
fn every_case_of_the_worlds_tests_holds_and_those_that_must_fail_do() {
    if World::built_in().is_err() {
        return skipped("there is no worker/luau/world: nothing of it is tested");
    }
    let mut files: Vec<PathBuf> = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("world/tests"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    assert!(!files.is_empty());
    let room = Command::new(env!("CARGO_BIN_EXE_vertigo-luau-room"));
    let limits = Limits { wall: Duration::from_secs(60), ..Limits::default() };
    let room = Room::open(room, limits, 1).unwrap();
    let mut cases = 0;
    for file in files {
        let verdict = room.run(&program(&fs::read_to_string(&file).unwrap())).unwrap();
        assert!(!verdict.cases.is_empty(), "{}: {:?}\n{}", file.display(), verdict.outcome, verdict.output);
        for case in &verdict.cases {
            let is_right = case.passed != case.name.contains(MUST_FAIL);
            assert!(is_right, "{}: {}: {:?}", file.display(), case.name, case.message);
        }
        cases += verdict.cases.len();
    }
    assert!(cases >= 150, "{cases} cases");
}

/// A file's scripts and its test. A line `--@ KIND PATH` begins a script, and `--@ test` the test, whose lines are the file's.
fn program(text: &str) -> Program {
    let (mut modules, mut test): (Vec<Module>, Option<String>) = (Vec::new(), None);
    for (number, line) in text.lines().enumerate() {
        let Some(head) = line.strip_prefix("--@ ") else {
            let source = match (&mut test, modules.last_mut()) {
                (Some(test), _) => test,
                (None, Some(module)) => &mut module.source,
                (None, None) => test.insert(String::new()),
            };
            source.push_str(line);
            source.push('\n');
            continue;
        };
        let (kind, path) = head.split_once(' ').unwrap_or((head, ""));
        let kind = match kind {
            "test" => {
                test = Some("\n".repeat(number + 1));
                continue;
            }
            "Module" => Kind::Module,
            "Server" => Kind::Server,
            "Client" => Kind::Client,
            other => panic!("line {}: there is no kind {other}", number + 1),
        };
        modules.push(Module { path: path.to_owned(), kind, source: String::new() });
    }
    Program { modules, test: test.unwrap(), seed: 7 }
}

/// Says that a test did not run. Straight to stderr: what a passing test says by `eprintln!` is not shown.
fn skipped(why: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "SKIPPED: {why}");
}
