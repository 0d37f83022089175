//! Programs that mean harm. Each ends in its verdict, within limits, and the next program runs as ever.

use crate::{assert_well, called, failure, limits, program, room, skipped};
use std::process::Command;
use std::time::Duration;
use vertigo_luau::child::World;
use vertigo_luau::room::Room;
use vertigo_luau::run::{Limits, Outcome};

/// What an attack may end in.
#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    Steps,
    Memory,
    /// The program's own error, or that it got nothing.
    Error,
    /// It gets what it asked for, and that is harmless.
    Passed,
    /// Within one call of the library no step is counted: the clock ends it.
    Time,
}

fn end(outcome: &Outcome) -> Option<End> {
    match outcome {
        Outcome::OutOfSteps => Some(End::Steps),
        Outcome::OutOfMemory => Some(End::Memory),
        Outcome::Failed | Outcome::Error(_) | Outcome::Unsupported(_) => Some(End::Error),
        Outcome::Passed => Some(End::Passed),
        Outcome::OutOfTime => Some(End::Time),
        Outcome::Broken { .. } | Outcome::Crashed => None,
    }
}

/// Bodies of functions, with every end that is right for them.
const ATTACKS: &[(&str, &[End])] = &[
    // Loops, in every place where a loop hides.
    ("while true do end", &[End::Steps]),
    ("repeat until false", &[End::Steps]),
    ("for n = 1, math.huge do end", &[End::Steps]),
    ("for _ in function() return 1 end do end", &[End::Steps]),
    ("local t = setmetatable({}, {__index = function(_, k) while true do end end}) return t.x", &[End::Steps]),
    ("local t = setmetatable({}, {__newindex = function() while true do end end}) t.x = 1", &[End::Steps]),
    (
        "local t = setmetatable({}, {__eq = function() while true do end end}) return t == setmetatable({}, getmetatable(t))",
        &[End::Steps],
    ),
    (
        "local m = {__lt = function() while true do end end} table.sort({setmetatable({}, m), setmetatable({}, m)})",
        &[End::Steps],
    ),
    (
        "local m = {__lt = function() return true end} local t = {} for n = 1, 1000 do t[n] = setmetatable({}, m) end table.sort(t) while true do table.sort(t) end",
        &[End::Steps, End::Error],
    ),
    ("table.sort({1, 2, 3}, function() while true do end end)", &[End::Steps]),
    ("local t = setmetatable({}, {__concat = function() while true do end end}) return t .. t", &[End::Steps]),
    ("local t = setmetatable({}, {__len = function() while true do end end}) return #t", &[End::Steps]),
    (
        "local t = setmetatable({}, {__iter = function() return function() return 1 end end}) for _ in t do end",
        &[End::Steps],
    ),
    ("string.gsub(string.rep('x', 100), 'x', function() while true do end end)", &[End::Steps]),
    ("print(setmetatable({}, {__tostring = function() while true do end end}))", &[End::Steps]),
    ("string.format('%s', setmetatable({}, {__tostring = function() while true do end end}))", &[End::Error]),
    ("string.format('%*', setmetatable({}, {__tostring = function() while true do end end}))", &[End::Steps]),
    ("local t = {} t.t = setmetatable(t, {__index = t}) return t.nothing", &[End::Error]),
    // Whoever catches errors does not catch a limit.
    ("while true do pcall(function() while true do end end) end", &[End::Steps]),
    ("local function again() pcall(again) again() end again()", &[End::Steps, End::Error]),
    ("local function again() xpcall(function() while true do end end, again) end again()", &[End::Steps]),
    ("while true do pcall(error) end", &[End::Steps]),
    ("while true do pcall(string.rep, 'x', 1e9) end", &[End::Steps]),
    // Coroutines.
    ("while true do coroutine.wrap(function() end)() end", &[End::Steps]),
    (
        "local t = {} while true do t[#t + 1] = coroutine.create(function() coroutine.yield() end) coroutine.resume(t[#t]) end",
        &[End::Memory, End::Steps],
    ),
    ("local function deeper() coroutine.wrap(deeper)() end deeper()", &[End::Error, End::Memory]),
    (
        "local function deeper() return coroutine.wrap(function() return pcall(deeper) end)() end deeper()",
        &[End::Error, End::Memory, End::Passed],
    ),
    ("local c c = coroutine.wrap(function() c() end) c()", &[End::Error]),
    ("coroutine.wrap(function() pcall(function() coroutine.yield() while true do end end) end)()", &[End::Passed]),
    (
        "local c = coroutine.wrap(function() pcall(function() coroutine.yield() while true do end end) end) c() c()",
        &[End::Steps],
    ),
    ("coroutine.close(coroutine.running())", &[End::Error]),
    ("coroutine.yield()", &[End::Error]),
    // Memory.
    ("string.rep('x', 1e9)", &[End::Memory, End::Error]),
    ("local s = 'x' while true do s ..= s end", &[End::Memory]),
    ("local t = {} while true do t[#t + 1] = string.rep('x', 1e6) .. #t end", &[End::Memory]),
    ("local t = {} for n = 1, 1e9 do t[n] = n end", &[End::Memory, End::Steps]),
    ("local t = {} for n = 1, 1e9 do t = {t} end", &[End::Memory, End::Steps]),
    ("table.create(1e8, 1)", &[End::Memory, End::Error]),
    ("table.create(2^53, 1)", &[End::Memory, End::Error]),
    ("buffer.create(2^30)", &[End::Memory, End::Error]),
    ("buffer.create(2^53)", &[End::Memory, End::Error]),
    ("local t = {} for n = 1, 1e6 do t[n] = buffer.create(1e6) end", &[End::Memory]),
    (
        "local t = {} for n = 1, 1e6 do t[n] = 'xxxxxxxxxxxxxxxxxxxx' end while true do table.concat(t, string.rep('y', 1e5)) end",
        &[End::Memory, End::Steps],
    ),
    ("string.format('%99999999d', 1)", &[End::Error]),
    ("string.format(string.rep('%s', 1e5), string.rep('x', 1e5))", &[End::Error, End::Memory]),
    ("('x'):rep(1e6):gsub('', ('y'):rep(1e6))", &[End::Memory, End::Steps, End::Error]),
    ("table.unpack(table.create(1e6, 1))", &[End::Error, End::Memory, End::Passed]),
    ("select('#', table.unpack({}, 1, 1e8))", &[End::Error, End::Memory]),
    ("string.char(table.unpack(table.create(7000, 65)))", &[End::Passed, End::Error]),
    ("utf8.char(2^31)", &[End::Error]),
    ("local t = setmetatable({}, {__gc = function() while true do end end, __mode = 'k'})", &[End::Passed]),
    // Depth.
    ("local function deep() return 1 + deep() end deep()", &[End::Error, End::Memory]),
    ("local function deep() deep() deep() end pcall(deep) deep()", &[End::Error, End::Memory, End::Steps]),
    (
        "local t = setmetatable({}, {}) getmetatable(t).__index = function(s, k) return s[k] end return t.x",
        &[End::Error, End::Memory],
    ),
    (
        "local t = setmetatable({}, {}) getmetatable(t).__tostring = function(s) return tostring(s) end return tostring(t)",
        &[End::Error, End::Memory],
    ),
    ("string.gsub('x', 'x', function() return (string.gsub('x', 'x', function() error('x') end)) end)", &[End::Error]),
    ("string.find(string.rep('(', 250), string.rep('(', 250))", &[End::Error]),
    ("string.rep('a', 300000):match(string.rep('a?', 300000))", &[End::Error, End::Steps, End::Passed]),
    // Patterns that explode.
    ("string.find(string.rep('a', 40000), string.rep('a*', 40) .. 'b')", &[End::Steps, End::Time, End::Error]),
    ("string.find(string.rep('a', 1e6), '.-.-.-.-.-.-.-.-b')", &[End::Steps, End::Time]),
    ("string.gsub(string.rep('(', 1e6), '%b()', '')", &[End::Steps, End::Time]),
    // Long ways within one call.
    ("table.move({}, 1, 2e9, 2)", &[End::Time]),
    ("table.concat({}, '', 1, 2^31)", &[End::Passed, End::Error, End::Time]),
    ("string.rep('', 2^31)", &[End::Passed, End::Error, End::Time]),
    // Output.
    ("for n = 1, 1e9 do print(string.rep('x', 1e6)) end", &[End::Steps, End::Memory, End::Time]),
    ("print(table.unpack(table.create(200, string.rep('x', 1e5))))", &[End::Passed, End::Memory]),
    // Globals that must not be there, or not do what they do elsewhere.
    ("os.execute('true')", &[End::Error]),
    ("os.exit(0)", &[End::Error]),
    ("io.open('/etc/passwd')", &[End::Error]),
    ("debug.getregistry()", &[End::Error]),
    ("debug.info(1, 'f')", &[End::Error]),
    ("loadstring('return 1')()", &[End::Error]),
    ("load('return 1')()", &[End::Error]),
    ("dofile('/etc/passwd')", &[End::Error]),
    ("getfenv(0).x = 1", &[End::Error]),
    ("setfenv(1, {})", &[End::Error]),
    ("newproxy(true)", &[End::Error]),
    ("collectgarbage('stop')", &[End::Error]),
    ("gcinfo()", &[End::Error]),
    ("require('/etc/passwd')", &[End::Error]),
    ("require('./answer')", &[End::Error]),
    ("require('@self/x')", &[End::Error]),
    ("require({})", &[End::Error]),
    ("getmetatable('').__index = nil", &[End::Error]),
    ("getmetatable('').__add = function() return 'x' end", &[End::Error]),
    ("string.rep = nil", &[End::Error]),
    ("table.insert(table, 1)", &[End::Error]),
    ("rawset(string, 'rep', nil)", &[End::Error]),
    ("table.clear(string)", &[End::Error]),
    ("setmetatable(string, {})", &[End::Error]),
    ("setmetatable(_G, {})", &[End::Error]),
    ("host.report('x', true)", &[End::Error]),
    ("_G.print = nil", &[End::Error]),
    // Errors that are not what an error is expected to be.
    ("error()", &[End::Error]),
    ("error({})", &[End::Error]),
    ("error(setmetatable({}, {__tostring = function() error('again') end}))", &[End::Error]),
    ("error(setmetatable({}, {__tostring = function() return {} end}))", &[End::Error]),
    ("error(setmetatable({}, {__tostring = function() while true do end end}))", &[End::Steps]),
    ("error(setmetatable({}, {__metatable = 'x', __index = function() error('x') end}))", &[End::Error]),
    ("error(string.rep('x', 1e7))", &[End::Error, End::Memory]),
    ("error(coroutine.running())", &[End::Error]),
    ("error(function() end)", &[End::Error]),
    ("error('\\0\\xff', 1e9)", &[End::Error]),
];

/// What Roblox has and the stand-in has not: there it may do what it does.
const ROBLOX_HAS: [&str; 5] =
    ["newproxy(true)", "gcinfo()", "require('./answer')", "setmetatable(_G, {})", "_G.print = nil"];

/// Runs an attack within a case, and at the top of a module; says what ended in another way than it should.
fn attack(room: &Room, body: &str, ends: &[End]) -> Vec<String> {
    let inside = called(&format!("return function() {body} end"));
    let outside = program(&format!("do {body} end return 1"), "require('answer') test('x', function() end)");
    let mut wrong = Vec::new();
    for program in [inside, outside] {
        let verdict = room.run(&program).unwrap();
        let is_right = end(&verdict.outcome).is_some_and(|end| ends.contains(&end));
        if !is_right || verdict.output.len() > 3 * 4096 {
            let (outcome, cases) = (&verdict.outcome, &verdict.cases);
            wrong.push(format!("{body}\nended in {outcome:?} with {cases:?}, not in {ends:?}"));
        }
    }
    wrong
}

#[test]
fn every_attack_ends_in_its_verdict_and_the_next_program_runs_as_ever() {
    let room = room(limits(), 2);
    let mut wrong = Vec::new();
    for (body, ends) in ATTACKS.iter().filter(|(_, ends)| !ends.contains(&End::Time)) {
        wrong.extend(attack(&room, body, ends));
        assert_well(&room);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn a_call_that_counts_no_steps_is_ended_by_the_clock() {
    let room = room(Limits { wall: Duration::from_millis(300), ..limits() }, 2);
    let long = ATTACKS.iter().filter(|(_, ends)| ends.contains(&End::Time));
    let wrong: Vec<String> = long.flat_map(|(body, ends)| attack(&room, body, ends)).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    assert_well(&room);
}

#[test]
fn a_loop_that_steps_allow_is_ended_by_the_clock_with_what_it_said() {
    let room = room(Limits { steps: u64::MAX, wall: Duration::from_millis(300), ..limits() }, 1);
    let body = "print('begun') test('first', function() end) while true do pcall(function() while true do end end) end";
    let verdict = room.run(&program("return 1", body)).unwrap();
    assert_eq!((&verdict.outcome, &*verdict.output, verdict.cases.len()), (&Outcome::OutOfTime, "begun\n", 1));
    assert_well(&room);
}

#[test]
fn an_error_that_does_not_say_what_it_is_is_still_a_failure() {
    let room = room(limits(), 1);
    let verdict = room.run(&called("return function() error(setmetatable({}, {__tostring = error})) end")).unwrap();
    assert_eq!(failure(&verdict), "an error that does not say what it is");
}

#[test]
fn no_attack_passes_in_the_world_that_answers_run_in() {
    if World::built_in().is_err() {
        return skipped("there is no worker/luau/world: nothing of it is attacked");
    }
    let own = Command::new(env!("CARGO_BIN_EXE_vertigo-luau-room"));
    let limits = Limits { wall: Duration::from_millis(1500), steps: 300_000, memory_bytes: 64 << 20, ..limits() };
    let room = Room::open(own, limits, 2).unwrap();
    let mut wrong = Vec::new();
    for (body, ends) in ATTACKS.iter().filter(|(_, ends)| !ends.contains(&End::Time)) {
        let verdict = room.run(&called(&format!("return function() {body} end"))).unwrap();
        let is_right = match end(&verdict.outcome) {
            None => false,
            Some(End::Passed) => ends.contains(&End::Passed) || ROBLOX_HAS.contains(body),
            Some(_) => true,
        };
        if !is_right {
            wrong.push(format!("{body}\nended in {:?} with {:?}", verdict.outcome, verdict.cases));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    assert_well(&room);
}

/// The campaign: `LUAU_ATTACKS=10000 cargo test --release -p vertigo-luau --test room campaign -- --nocapture` runs so many
/// attacks and ordinary programs in turns. Without the variable there are enough of them to see that it works.
#[test]
fn the_campaign_leaves_the_room_as_it_was() {
    let runs: usize = std::env::var("LUAU_ATTACKS").ok().map_or(100, |text| text.parse().unwrap());
    let limits = Limits { steps: 50_000, wall: Duration::from_millis(300), memory_bytes: 32 << 20, ..limits() };
    let room = room(limits, 2);
    let mut counts = std::collections::BTreeMap::<String, usize>::new();
    for n in 0..runs {
        let (body, _) = ATTACKS[n * 7 % ATTACKS.len()];
        let verdict = room.run(&called(&format!("return function() {body} end"))).unwrap();
        let end = end(&verdict.outcome);
        *counts.entry(end.map_or("Crashed".to_owned(), |end| format!("{end:?}"))).or_default() += 1;
        assert_ne!(verdict.outcome, Outcome::Crashed, "{body}");
        if n % 10 == 0 {
            assert_well(&room);
        }
    }
    println!("{runs} attacks ended in {counts:?}");
}
