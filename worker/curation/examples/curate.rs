//! Curates a folder here: `cargo run -p vertigo-curation --example curate -- CONFIG.yaml DATA OUT [BENCHMARK.jsonl]`. For looking at what
//! comes of a config; a person types `vertigo curate --dry-run`.

use std::error::Error;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::time::Instant;
use vertigo_curation::config::Config;
use vertigo_curation::curate::{Inputs, curate};
use vertigo_evaluation::suite::benchmark;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let [config, data, out, suites @ ..] = &arguments[..] else {
        return Err("CONFIG DATA OUT [BENCHMARK.jsonl]".into());
    };
    let config = Config::parse(&fs::read_to_string(config)?)?;
    let mut files: Vec<(String, Box<dyn BufRead>)> = Vec::new();
    for entry in fs::read_dir(data)? {
        let path = entry?.path();
        if path.extension().is_some_and(|ending| ending == "jsonl") {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            files.push((name, Box::new(BufReader::new(File::open(path)?))));
        }
    }
    let suites = suites
        .iter()
        .map(|path| Ok(benchmark("benchmark", &fs::read_to_string(path)?, None)?))
        .collect::<Result<_, Box<dyn Error>>>()?;
    let started = Instant::now();
    let curated = curate(&config, Inputs { files, suites, tokenizer: None }, &mut |progress| {
        println!("{:>8.2?} {:>14} {:>8}", started.elapsed(), progress.stage.as_str(), progress.rows);
    })?;
    fs::create_dir_all(out)?;
    curated.write(out)?;
    println!("{:?}: {:?}", curated.report().sides, curated.report().remarks);
    Ok(())
}
