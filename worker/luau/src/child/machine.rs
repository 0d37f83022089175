//! One program in one virtual machine: the world is made, the program put into it, the test run, and all of it thrown away.
//!
//! Promise: the same program and seed take the same steps, but for the order in which `pairs` meets keys that are tables or
//! functions: that follows their addresses, in Roblox too. A limit on steps or time ends the run from wherever it stands; the heap's
//! limit is an error to the program, which may catch it and still has no more heap.

use super::world::World;
use crate::compile::{self, cut};
use crate::run::{self, CASES_MAX, Case, Limits, NOT_ENOUGH_MEMORY, Outcome, Program, TEXT_BYTES_MAX, Verdict};
use mlua::chunk::ChunkMode;
use mlua::{Function, Lua, LuaString, Table, Value, Vector, VmState};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::convert::Infallible;
use std::rc::Rc;
use std::time::Instant;

/// Steps between two looks at the clock: a look costs less than a step, and a step may fill a megabyte.
const CLOCK_STEPS: u64 = 16;

/// What the virtual machine's own library must not offer, even to the world: the machine's clock, its files, and what reaches
/// into functions and the collector.
const PRELUDE: &str = r#"
    local time = os.time
    os.time = function(at) return time(at or error("the room has no clock of the machine", 2)) end
    os.clock = nil
    for _, name in { "collectgarbage", "getfenv", "setfenv", "loadstring", "require" } do
        _G[name] = nil
    end
"#;

/// What a run has said so far.
#[derive(Debug, Default)]
struct Said {
    cases: Vec<Case>,
    output: Vec<u8>,
    is_output_cut: bool,
    has_too_many_cases: bool,
    /// What the room lacks, where the test file ended for want of it.
    lacks: Option<String>,
}

impl Said {
    fn print(&mut self, line: &[u8], bytes_max: usize) {
        let room = bytes_max.saturating_sub(self.output.len());
        if self.is_output_cut || line.len() >= room {
            self.output.extend_from_slice(&line[..line.len().min(room)]);
            self.is_output_cut = true;
            return;
        }
        self.output.extend_from_slice(line);
        self.output.push(b'\n');
    }

    fn report(&mut self, name: &[u8], passed: bool, message: Option<&[u8]>, lacks: Option<&[u8]>) {
        if self.cases.len() == CASES_MAX {
            self.has_too_many_cases = true;
            return;
        }
        self.cases.push(Case { name: text(name), passed, message: message.map(text), lacks: lacks.map(text) });
    }

    /// Takes all of it for a verdict.
    fn verdict(&mut self, outcome: Outcome) -> Verdict {
        let output = String::from_utf8_lossy(&std::mem::take(&mut self.output)).into_owned();
        Verdict { outcome, cases: std::mem::take(&mut self.cases), output, is_output_cut: self.is_output_cut }
    }
}

/// A text of the program's making, with a bound.
fn text(bytes: &[u8]) -> String {
    let bytes = &bytes[..bytes.len().min(TEXT_BYTES_MAX)];
    cut(&String::from_utf8_lossy(bytes), TEXT_BYTES_MAX).to_owned()
}

/// Runs `program`. `last` says a verdict for good, where a limit ends the run in its midst.
pub(super) fn run(
    world: &World,
    program: &Program,
    limits: &Limits,
    last: impl Fn(Verdict) -> Infallible + 'static,
) -> Verdict {
    let begun = Instant::now();
    let mut codes = HashMap::new();
    let files = program.modules.iter().map(|module| (&*module.path, &module.source)).chain([("test", &program.test)]);
    for (path, source) in files {
        match compile::bytecode(source) {
            Ok(code) => codes.insert(source.clone(), code),
            Err(problem) => return Verdict::bare(Outcome::Broken { path: path.to_owned(), problem }),
        };
    }
    let said = Rc::new(RefCell::new(Said::default()));
    let outcome = match play(world, program, codes, (limits, begun), &said, last) {
        Ok(()) if said.borrow().has_too_many_cases => {
            Outcome::Error(format!("the test reported more than {CASES_MAX} cases"))
        }
        Ok(()) => run::judge(&said.borrow().cases),
        Err(error) => match (outcome(&error), said.borrow_mut().lacks.take()) {
            (Outcome::Error(_), Some(lacks)) => Outcome::Unsupported(lacks),
            (other, _) => other,
        },
    };
    said.borrow_mut().verdict(outcome)
}

/// Makes the machine and runs the test in it to its end.
fn play(
    world: &World,
    program: &Program,
    codes: HashMap<String, Vec<u8>>,
    (limits, begun): (&Limits, Instant),
    said: &Rc<RefCell<Said>>,
    last: impl Fn(Verdict) -> Infallible + 'static,
) -> mlua::Result<()> {
    let lua = Lua::new();
    lua.set_memory_limit(usize::try_from(limits.memory_bytes).unwrap_or(usize::MAX))?;
    lua.load(PRELUDE).set_name("=room").exec()?;
    // Chance begins with the seed; the machine's own would differ from run to run.
    let randomseed: Function = lua.globals().get::<Table>("math")?.get("randomseed")?;
    randomseed.call::<()>(narrow(program.seed))?;
    let host = host(&lua, program.seed, codes, limits, said)?;
    host.set("part", part(&lua, world)?)?;
    let entry = lua.load(world.entry()).set_name("=world/init").set_mode(ChunkMode::Binary).into_function()?;
    let world: Table = entry.call::<Function>(())?.call(&host)?;
    lua.sandbox(true)?;
    keep_limits(&lua, limits, begun, said.clone(), last);
    let modules = lua.create_table()?;
    for module in &program.modules {
        let file = lua.create_table()?;
        file.set("path", &*module.path)?;
        file.set("kind", module.kind.name())?;
        file.set("source", &*module.source)?;
        modules.push(file)?;
    }
    world.get::<Function>("start")?.call::<()>(modules)?;
    world.get::<Function>("test")?.call::<()>(&*program.test)
}

/// A seed as a number that Luau holds whole.
fn narrow(seed: u64) -> u32 {
    // Both halves count; the library's own function takes 31 bits.
    ((seed ^ (seed >> 32)) & 0x7fff_ffff) as u32
}

/// Counts steps and looks at the clock; past a limit the run does not go on.
fn keep_limits(
    lua: &Lua,
    limits: &Limits,
    begun: Instant,
    said: Rc<RefCell<Said>>,
    last: impl Fn(Verdict) -> Infallible + 'static,
) {
    let (steps, most, wall) = (Cell::new(0_u64), limits.steps, limits.wall);
    lua.set_interrupt(move |_| {
        let taken = steps.get() + 1;
        steps.set(taken);
        let outcome = if taken > most {
            Outcome::OutOfSteps
        } else if taken.is_multiple_of(CLOCK_STEPS) && begun.elapsed() > wall {
            Outcome::OutOfTime
        } else {
            return Ok(VmState::Continue);
        };
        let verdict = said.borrow_mut().verdict(outcome);
        match last(verdict) {}
    });
}

/// The functions that the world has of this process.
fn host(
    lua: &Lua,
    seed: u64,
    codes: HashMap<String, Vec<u8>>,
    limits: &Limits,
    said: &Rc<RefCell<Said>>,
) -> mlua::Result<Table> {
    let host = lua.create_table()?;
    host.set("seed", narrow(seed))?;
    let load = move |lua: &Lua, (name, source, environment): (LuaString, LuaString, Table)| {
        let source = source.to_string_lossy();
        // What was compiled to be looked at is not compiled again.
        let code = match codes.get(&*source) {
            Some(code) => Ok(code.clone()),
            None => compile::bytecode(&source),
        };
        match code {
            Ok(code) => {
                let name = format!("={}", text(&name.as_bytes()));
                let chunk = lua.load(code).set_name(name).set_mode(ChunkMode::Binary).set_environment(environment);
                Ok((Some(chunk.into_function()?), None))
            }
            Err(problem) => {
                Ok((None, Some(format!("{}:{}: {}", text(&name.as_bytes()), problem.line, problem.message))))
            }
        }
    };
    host.set("load", lua.create_function(load)?)?;
    let bytes_max = usize::try_from(limits.output_bytes).unwrap_or(usize::MAX);
    let printed = said.clone();
    let print = move |_: &Lua, line: LuaString| {
        printed.borrow_mut().print(&line.as_bytes(), bytes_max);
        Ok(())
    };
    host.set("print", lua.create_function(print)?)?;
    let reported = said.clone();
    type Reported = (LuaString, bool, Option<LuaString>, Option<LuaString>);
    let report = move |_: &Lua, (name, passed, message, lacks): Reported| {
        let bytes = |text: &Option<LuaString>| text.as_ref().map(|text| text.as_bytes().to_vec());
        let (message, lacks) = (bytes(&message), bytes(&lacks));
        reported.borrow_mut().report(&name.as_bytes(), passed, message.as_deref(), lacks.as_deref());
        Ok(())
    };
    host.set("report", lua.create_function(report)?)?;
    let lacking = said.clone();
    let lacks = move |_: &Lua, name: LuaString| {
        lacking.borrow_mut().lacks = Some(text(&name.as_bytes()));
        Ok(())
    };
    host.set("lacks", lua.create_function(lacks)?)?;
    // Vectors are the machine's own values; what their members are is the world's.
    let vectors = |lua: &Lua, metatable: Table| {
        lua.set_type_metatable::<Vector>(Some(metatable));
        Ok(())
    };
    host.set("vectors", lua.create_function(vectors)?)?;
    Ok(host)
}

/// The function that loads another part of the world: the value of its chunk, the same each time.
fn part(lua: &Lua, world: &World) -> mlua::Result<Function> {
    let (world, loaded) = (world.clone(), lua.create_table()?);
    lua.create_function(move |lua: &Lua, name: String| {
        let known: Value = loaded.raw_get(&*name)?;
        if !known.is_nil() {
            return Ok(known);
        }
        let code = world.part(&name).ok_or_else(|| mlua::Error::runtime(format!("the world has no part `{name}`")))?;
        let chunk = lua.load(code).set_name(format!("=world/{name}")).set_mode(ChunkMode::Binary);
        let value: Value = chunk.call(())?;
        loaded.raw_set(name, &value)?;
        Ok(value)
    })
}

/// What an error outside of every case means.
fn outcome(error: &mlua::Error) -> Outcome {
    match error {
        mlua::Error::MemoryError(_) => Outcome::OutOfMemory,
        mlua::Error::CallbackError { cause, .. } => outcome(cause),
        other => {
            let said = other.to_string();
            // The library appends where the error was; the first lines are the program's own.
            let said = said.split("\nstack traceback:").next().unwrap_or_default();
            let said = said.strip_prefix("runtime error: ").unwrap_or(said);
            if said.ends_with(NOT_ENOUGH_MEMORY) { Outcome::OutOfMemory } else { Outcome::Error(text(said.as_bytes())) }
        }
    }
}
