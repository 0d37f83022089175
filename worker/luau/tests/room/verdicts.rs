//! What the room says of ordinary programs.

use crate::{called, failure, limits, program, room};
use vertigo_luau::run::{Kind, Limits, Module, Outcome, Program};

#[test]
fn a_test_passes_fails_by_its_case_and_prints() {
    let room = room(limits(), 1);
    let verdict = room.run(&program(
        "print('loading') return {add = function(a, b) return a + b end}",
        r#"
            local answer = require("answer")
            test("adds", function() assert(answer.add(1, 2) == twice(1.5)) end)
            test("adds more", function() print("so", 1) assert(answer.add(1, 2) == 4, "3 is not 4") end)
        "#,
    ));
    let verdict = verdict.unwrap();
    let seen: Vec<_> = verdict.cases.iter().map(|case| (&*case.name, case.passed, case.message.as_deref())).collect();
    assert_eq!(seen, [("adds", true, None), ("adds more", false, Some("3 is not 4"))]);
    assert_eq!(
        (verdict.outcome, &*verdict.output, verdict.is_output_cut),
        (Outcome::Failed, "loading\nso\t1\n", false)
    );
}

#[test]
fn what_does_not_compile_is_broken_at_its_place() {
    let room = room(limits(), 1);
    let Outcome::Broken { path, problem } = room.run(&program("return 1\nlocal =", "")).unwrap().outcome else {
        panic!()
    };
    assert_eq!((&*path, problem.line), ("answer", 2));
    let Outcome::Broken { path, .. } = room.run(&program("return 1", "test(")).unwrap().outcome else { panic!() };
    assert_eq!(path, "test");
}

#[test]
fn an_error_outside_of_cases_is_an_error_with_its_line() {
    let room = room(limits(), 1);
    let outcome = room.run(&program("\nerror('no such thing')", "require('answer')")).unwrap().outcome;
    assert_eq!(outcome, Outcome::Error("answer:2: no such thing".to_owned()));
    let outcome = room.run(&program("return 1", "local x = 1")).unwrap().outcome;
    assert_eq!(outcome, Outcome::Error("the test reported no case".to_owned()));
}

#[test]
fn scripts_start_and_modules_find_each_other_by_path() {
    let room = room(limits(), 1);
    let module = |path: &str, kind, source: &str| Module { path: path.to_owned(), kind, source: source.to_owned() };
    let verdict = room.run(&Program {
        modules: vec![
            module("ReplicatedStorage/Shared/Score", Kind::Module, "return {points = 0}"),
            module("Main", Kind::Server, "require('ReplicatedStorage/Shared/Score').points += 5 return true"),
        ],
        test: "test('scored', function() assert(require('ReplicatedStorage/Shared/Score').points == 5) end)".to_owned(),
        seed: 0,
    });
    assert_eq!(verdict.unwrap().outcome, Outcome::Passed);
}

#[test]
fn chance_is_the_seeds_and_the_steps_are_the_programs() {
    let room = room(limits(), 2);
    let chance = |seed| {
        let draws = "test('x', function() print(seed, math.random(), math.random(1000)) end)";
        room.run(&Program { seed, ..program("return 1", draws) }).unwrap().output
    };
    assert_eq!(chance(1), chance(1));
    assert_ne!(chance(1), chance(2));
    // A program at the edge of its steps is always on the same side of it.
    let turns = |turns: u64| called(&format!("return function() for n = 1, {turns} do end end"));
    let (mut under, mut over) = (0, limits().steps);
    while over - under > 1 {
        let middle = under.midpoint(over);
        let outcome = room.run(&turns(middle)).unwrap().outcome;
        if outcome == Outcome::Passed { under = middle } else { over = middle }
    }
    for _ in 0..5 {
        assert_eq!(room.run(&turns(under)).unwrap().outcome, Outcome::Passed);
        assert_eq!(room.run(&turns(over)).unwrap().outcome, Outcome::OutOfSteps);
    }
}

#[test]
fn nothing_of_a_program_is_left_to_the_next() {
    let room = room(limits(), 1);
    let first = called("string.gone = 1 math.gone = 1 return function() end");
    assert!(matches!(room.run(&first).unwrap().outcome, Outcome::Error(_) | Outcome::Failed));
    let verdict = room.run(&called("return function() assert(not string.gone and not left) left = 1 end")).unwrap();
    assert_eq!(verdict.outcome, Outcome::Passed);
    assert_eq!(room.run(&called("return function() assert(not left) end")).unwrap().outcome, Outcome::Passed);
}

#[test]
fn output_is_kept_up_to_its_bound_and_cases_are_counted() {
    let room = room(Limits { output_bytes: 10, ..limits() }, 1);
    let verdict = room.run(&called("return function() print('12345') print('12345') print('x') end")).unwrap();
    assert_eq!((&*verdict.output, verdict.is_output_cut, verdict.outcome), ("12345\n1234", true, Outcome::Passed));
    let many = program("return 1", "for n = 1, 1001 do test('case', function() end) end");
    let verdict = room.run(&many).unwrap();
    assert_eq!(verdict.cases.len(), 1000);
    assert!(matches!(verdict.outcome, Outcome::Error(_)), "{:?}", verdict.outcome);
    let verdict = room.run(&program("return 1", "test(string.rep('\\u{e9}', 9000), function() error('\\xff', 0) end)"));
    let verdict = verdict.unwrap();
    assert_eq!(failure(&verdict), "\u{fffd}");
    assert!(verdict.cases[0].name.len() <= 4096 && verdict.cases[0].name.ends_with('\u{e9}'));
}
