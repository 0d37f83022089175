//! How long the pipeline's verdicts take: `tests/bench/curate_vs_python.sh`.

#[path = "../tests/support/mod.rs"]
mod support;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::json;
use std::env;
use std::hint::black_box;
use std::path::Path;
use std::time::Instant;
use vertigo_curation::pipeline::dedup::verdicts;
use vertigo_curation::row::Row;

fn main() {
    // Cargo hands a benchmark arguments of its own.
    let arguments: Vec<String> = env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    match &arguments[..] {
        [what, folder] if what == "time" => {
            let (rows, _) = support::read(Path::new(folder));
            let begin = Instant::now();
            let verdicts = verdicts(&rows);
            println!("{:.6}", begin.elapsed().as_secs_f64());
            verdicts.iter().for_each(|verdict| println!("{}", verdict.as_str()));
        }
        [what, count] if what == "dense" => dense(count.parse().unwrap_or(1_000)),
        _ => println!("SKIPPED: time FOLDER, or dense ROWS"),
    }
}

/// The worst that rows can be: all of the same few runs of words, each nearly like every other and yet not enough so.
fn dense(count: usize) {
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let mut answer = || {
        let said = (0..160).filter(|_| random.random_bool(0.75));
        said.map(|n| format!("a{n} b{n} c{n}")).collect::<Vec<_>>().join(" ; ; ")
    };
    let rows: Vec<Row> = (0..count as u32)
        .map(|n| {
            let (user, model) = (json!({"role": "user", "content": n.to_string()}), answer());
            support::row(n, json!({"messages": [user, {"role": "assistant", "content": format!("<think>{model}")}]}))
        })
        .collect();
    let begin = Instant::now();
    let kept = black_box(verdicts(&rows)).iter().filter(|verdict| verdict.as_str() == "kept").count();
    println!("{count} rows, {kept} kept, {:.3} s", begin.elapsed().as_secs_f64());
}
