//! The compiler and the analysis over all Luau of the real data. Says SKIPPED where the data is not there.

mod real;

use std::collections::BTreeMap;
use vertigo_luau::compile;

/// A file's blocks that compile, and all of its blocks; here, and with luau-compile when the data was described (pipeline.md
/// 2.1).
type Row = (&'static str, (usize, usize), (usize, usize));

/// Eleven files have the same blocks and the same verdicts. The others differ in what was counted as a block, and none is known
/// to differ in a verdict: of `rejection_sampled` and `teacher_distillation` blocks that nothing closes are counted here, and do
/// not compile; of `roblox_creator_docs` the description has twelve blocks fewer than are in the data, which it does not name.
const ROWS: [Row; 17] = [
    ("api_docs", (100, 100), (100, 100)),
    ("bugfix_pairs", (50, 50), (50, 50)),
    ("composition_tasks", (20, 20), (20, 20)),
    ("critic_repair", (62, 66), (62, 66)),
    ("evolved", (120, 120), (120, 120)),
    ("gameplay_sessions", (0, 0), (0, 0)),
    ("luau_tests", (7, 16), (7, 16)),
    ("mcp_tools", (35, 35), (35, 35)),
    ("opengameeval_tasks", (59, 77), (59, 77)),
    ("rejection_sampled", (9, 36), (5, 10)),
    ("roblox_creator_docs", (954, 987), (940, 975)),
    ("rojo_architecture", (2, 4), (2, 4)),
    ("selene_lint", (26, 26), (26, 26)),
    ("studio_trajectories", (64, 65), (64, 65)),
    ("synthetic", (49, 50), (49, 50)),
    ("teacher_distillation", (13, 24), (13, 20)),
    ("tool_calling_sft", (23, 23), (23, 23)),
];

#[test]
fn every_real_block_has_the_compilers_verdict() {
    let Some(folder) = real::folder() else {
        return skipped("../shared/data is not there: no real blocks are compiled");
    };
    let mut counts = BTreeMap::<String, (usize, usize)>::new();
    for block in real::blocks(&folder) {
        let count = counts.entry(block.file).or_default();
        count.0 += usize::from(compile::check(&block.source).is_ok());
        count.1 += 1;
    }
    for (file, here, described) in ROWS {
        let count = counts.remove(file).unwrap_or_default();
        assert_eq!(count, here, "{file}; described as {described:?}");
    }
    assert!(counts.is_empty(), "files that nobody has counted: {counts:?}");
}

/// Says that a test did not run. Straight to stderr: what a passing test says by `eprintln!` is not shown.
fn skipped(why: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "SKIPPED: {why}");
}
