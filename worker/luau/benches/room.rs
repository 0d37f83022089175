//! What the room costs: runs of a small test, and the compiler and the analysis over all Luau of the real data.
//!
//! `cargo bench -p vertigo-luau [-- runs|blocks]`. `runs`: a small test, over and over, in as many children as there are processors, with
//! the world that is built in, or the stand-in of the tests where there is none. `blocks`: needs `../shared/data`; one line for compiling
//! and one for lint and types, with one analyser a processor. Each prints one JSON line.

#[path = "../tests/real/mod.rs"]
mod real;

use serde_json::json;
use std::error::Error;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;
use vertigo_luau::analysis::{Analyzer, Definitions};
use vertigo_luau::child::World;
use vertigo_luau::compile;
use vertigo_luau::room::Room;
use vertigo_luau::run::{Kind, Limits, Module, Outcome, Program};

/// Runs that are timed.
const RUNS: usize = 10_000;

/// Runs before the clock starts, so that children are up.
const WARM: usize = 50;

fn main() -> Result<(), Box<dyn Error>> {
    let asked: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let wants = |name: &str| asked.is_empty() || asked.iter().any(|argument| argument == name);
    let processors = thread::available_parallelism()?.get();
    if wants("runs") {
        runs(processors)?;
    }
    if wants("blocks") {
        blocks(processors)?;
    }
    Ok(())
}

fn runs(processors: usize) -> Result<(), Box<dyn Error>> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vertigo-luau-room"));
    let is_built_in = World::built_in().is_ok();
    if !is_built_in {
        command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/world"));
    }
    let room = Room::open(command, Limits::default(), processors)?;
    let source =
        "local Score = {}\nfunction Score.add(a: number, b: number): number\n\treturn a + b\nend\nreturn Score";
    let module = Module { path: "answer".to_owned(), kind: Kind::Module, source: source.to_owned() };
    let test = "local Score = require('answer')\n\
        test('adds', function() assert(Score.add(1, 2) == 3) end)\n\
        test('adds nothing', function() assert(Score.add(0, 0) == 0) end)";
    let program = Program { modules: vec![module], test: test.to_owned(), seed: 1 };
    let run = |count: usize| {
        let left = AtomicUsize::new(count);
        thread::scope(|scope| {
            for _ in 0..processors {
                scope.spawn(|| {
                    while left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok() {
                        let verdict = room.run(&program).expect("the room is open");
                        assert_eq!(verdict.outcome, Outcome::Passed, "{verdict:?}");
                    }
                });
            }
        });
    };
    run(WARM);
    let begun = Instant::now();
    run(RUNS);
    let seconds = begun.elapsed().as_secs_f64();
    #[expect(clippy::cast_precision_loss, reason = "a few thousand runs")]
    let rate = RUNS as f64 / seconds;
    println!(
        "{}",
        json!({"runs": RUNS, "seconds": seconds, "runs_per_second": rate, "processors": processors,
        "world": if is_built_in { "built in" } else { "stand-in" }, "walls": room.walls()})
    );
    Ok(())
}

fn blocks(processors: usize) -> Result<(), Box<dyn Error>> {
    let Some(folder) = real::folder() else {
        println!("SKIPPED: ../shared/data is not there");
        return Ok(());
    };
    let blocks = real::blocks(&folder);
    let begun = Instant::now();
    let compiled = blocks.iter().filter(|block| compile::check(&block.source).is_ok()).count();
    println!("{}", json!({"blocks": blocks.len(), "compile": compiled, "seconds": begun.elapsed().as_secs_f64()}));
    let begun = Instant::now();
    let analyzers = (0..processors).map(|_| Analyzer::new(&Definitions::Builtin)).collect::<Result<Vec<_>, _>>()?;
    let ready = begun.elapsed().as_secs_f64();
    let (next, findings, unknown) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
    thread::scope(|scope| {
        for analyzer in &analyzers {
            scope.spawn(|| {
                while let Some(block) = blocks.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let analysis = analyzer.analyze(&block.source);
                    findings.fetch_add(analysis.findings.len(), Ordering::Relaxed);
                    unknown.fetch_add(usize::from(!analysis.is_known), Ordering::Relaxed);
                }
            });
        }
    });
    println!(
        "{}",
        json!({"blocks": blocks.len(), "findings": findings, "unknown": unknown, "definitions_seconds": ready,
        "seconds": begun.elapsed().as_secs_f64(), "analyzers": processors})
    );
    Ok(())
}
