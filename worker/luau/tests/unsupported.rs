//! What needs a part of Roblox that the room does not have: counted apart where it is why a case fails, and never where a program
//! only says so.

use std::process::Command;
use vertigo_luau::room::Room;
use vertigo_luau::run::{Kind, Limits, Module, Outcome, Program};

/// A call that the room has no way to make.
const WALK: &str = "Instance.new('Humanoid'):MoveTo(Vector3.zero)";

/// What the world says of it, in its own words.
const SAID: &str = "unsupported: the room has no Humanoid:MoveTo; only what its README lists is modelled";

/// A test of one right and one wrong expectation.
const ADDS: &str = "test('adds', function() expect(require('answer').add(1, 2)).toBe(3) end)";

fn room() -> Room {
    Room::open(Command::new(env!("CARGO_BIN_EXE_vertigo-luau-room")), Limits::default(), 1).unwrap()
}

fn outcome(room: &Room, answer: &str, test: &str) -> Outcome {
    let answer = Module { path: "answer".to_owned(), kind: Kind::Module, source: answer.to_owned() };
    let verdict = room.run(&Program { modules: vec![answer], test: test.to_owned(), seed: 7 }).unwrap();
    // A case says for itself what it lacks, and only one that fails does.
    assert!(verdict.cases.iter().all(|case| !case.passed || case.lacks.is_none()), "{verdict:?}");
    verdict.outcome
}

#[test]
fn what_really_asks_for_what_the_room_has_not_is_unsupported_wherever_it_asks() {
    let room = room();
    let lacks = Outcome::Unsupported("Humanoid:MoveTo".to_owned());
    let wrong = "return {add = function() return 4 end}";
    let programs = [
        (format!("return {{add = function() {WALK} end}}"), ADDS.to_owned()),
        // In a thread that the program began, without which the world is not what it would be.
        (format!("task.spawn(function() {WALK} end) {wrong}"), ADDS.to_owned()),
        (format!("task.delay(0.1, function() {WALK} end) {wrong}"), format!("require('answer') task.wait(1) {ADDS}")),
        // While it is loaded: within a case, and outside of all.
        (format!("{WALK} {wrong}"), ADDS.to_owned()),
        (format!("{WALK} {wrong}"), format!("local answer = require('answer') {ADDS}")),
        // Caught, and passed on.
        (
            format!("return {{add = function() local _, e = pcall(function() {WALK} end) error('walk: ' .. e) end}}"),
            ADDS.to_owned(),
        ),
        // Caught by the test.
        (
            format!("return {{add = function() {WALK} end}}"),
            "test('adds', function() expect(pcall(require('answer').add)).toBe(true) end)".to_owned(),
        ),
        (
            format!("return {{add = function() {WALK} end}}"),
            "test('adds', function() expect(require('answer').add).toThrow('no number') end)".to_owned(),
        ),
    ];
    for (answer, test) in programs {
        assert_eq!(outcome(&room, &answer, &test), lacks, "{answer}\n{test}");
    }
}

#[test]
fn a_program_that_only_says_so_or_caught_it_and_is_wrong_has_failed() {
    let room = room();
    for answer in [
        format!("return {{add = function() error('{SAID}', 0) end}}"),
        format!("return {{add = function() error({{message = '{SAID}'}}) end}}"),
        format!(
            "return {{add = function() error(setmetatable({{}}, {{__tostring = function() return '{SAID}' end}})) end}}"
        ),
        format!("warn('{SAID}') return {{add = function() return 4 end}}"),
        format!("task.spawn(error, '{SAID}') return {{add = function() return 4 end}}"),
        // Otherwise one line at the top would excuse every wrong answer.
        format!("pcall(function() {WALK} end) return {{add = function() return 4 end}}"),
        format!("return {{add = function() pcall(function() {WALK} end) return 4 end}}"),
        "pcall(getfenv) pcall(loadstring, '') return {add = function() return 4 end}".to_owned(),
        "return {add = function() return loadstring('return 3')() end}".to_owned(),
        // Asked after the expectation failed.
        format!("return {{add = function() task.defer(function() {WALK} end) return 4 end}}"),
    ] {
        assert_eq!(outcome(&room, &answer, ADDS), Outcome::Failed, "{answer}");
    }
    let said = format!("error('{SAID}', 0)");
    let loaded = outcome(&room, &said, &format!("local answer = require('answer') {ADDS}"));
    assert!(matches!(loaded, Outcome::Error(_)), "{loaded:?}");
}

#[test]
fn what_the_room_lacks_excuses_no_other_case_and_takes_nothing_from_one_that_passes() {
    let room = room();
    let walks = "test('walks', function() require('answer').walk() expect(1).toBe(1) end)";
    let of = |sum: u8| format!("return {{walk = function() {WALK} end, add = function() return {sum} end}}");
    assert_eq!(outcome(&room, &of(4), &format!("{walks} {ADDS}")), Outcome::Failed);
    assert!(matches!(outcome(&room, &of(3), &format!("{walks} {ADDS}")), Outcome::Unsupported(_)));
    let fine = format!("pcall(function() {WALK} end) return {{add = function() return 3 end}}");
    assert_eq!(outcome(&room, &fine, ADDS), Outcome::Passed);
    let apart = format!("task.spawn(function() {WALK} end) return {{add = function() return 3 end}}");
    assert_eq!(outcome(&room, &apart, ADDS), Outcome::Passed);
    // Nothing of it is left to the next program.
    assert_eq!(outcome(&room, "return {add = function() return 4 end}", ADDS), Outcome::Failed);
}
