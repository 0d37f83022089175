//! The compiler and the analysis over all Luau of the real data. Says SKIPPED where the data is not there.

mod real;

use std::collections::BTreeMap;
use vertigo_luau::compile;

/// Blocks of a file, how many compile here, and how many of how many luau-compile took when the data was described (pipeline.md 2.1).
type Row = (&'static str, (usize, usize), (usize, usize));

const ROWS: [Row; 0] = [];

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
    let expected = ROWS.iter().map(|(file, ours, _)| ((*file).to_owned(), *ours)).collect();
    assert_eq!(counts, expected);
}

/// Says that a test did not run. Straight to stderr: what a passing test says by `eprintln!` is not shown.
fn skipped(why: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "SKIPPED: {why}");
}
