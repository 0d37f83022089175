//! Our side of the training benchmark: tokens a second and MLX's peak memory, in the form of the peer's line.
//!
//! `train DIR [--seq 1024] [--iters 3] [--layers 8]` trains adapters (rank 8, scale 20, Adam, batch 1) on the model folder `DIR`
//! with random tokens of which the first quarter is a masked prompt, and prints one JSON line. tests/bench/train_vs_mlx_lm.sh
//! runs it beside mlx-lm on the same folder.

use rand::{RngExt, SeedableRng};
use std::path::PathBuf;
use std::time::Instant;
use vertigo_engine::backward::{Targets, loss_and_gradients};
use vertigo_engine::optimizer::{Adam, scaled};
use vertigo_engine::{EngineError, Model, adapter};
use vertigo_model::recipe::Recipe;

struct Settings {
    folder: PathBuf,
    seq: usize,
    iters: usize,
    layers: usize,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let Some(settings) = settings()? else {
        eprintln!("usage: train DIR [--seq 1024] [--iters 3] [--layers 8]");
        return Ok(());
    };
    let started = Instant::now();
    let recipe =
        Recipe::parse("bench", &format!("model: bench\nnum_layers: {}\nlearning_rate: 1e-5", settings.layers))?;
    let model = Model::load(&settings.folder)?;
    let mut parameters = adapter::initial(&model, &recipe)?;
    let mut adam = Adam::new(&parameters)?;
    let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(0);
    let (seq, vocab) = (settings.seq, model.shape().vocab as i32);

    mlx_rs::memory::reset_peak_memory()?;
    let (mut times, mut first, mut mean) = (Vec::new(), None, 0.0);
    for _ in 0..settings.iters {
        // Both sides put seq − 1 tokens in and count seq.
        let ids: Vec<i32> = (0..seq).map(|_| rng.random_range(0..vocab)).collect();
        let step = Instant::now();
        let targets = Targets::new(&ids, seq, &[[(seq / 4, seq - 1)]]);
        let mut one = || -> Result<f64, EngineError> {
            let (loss, gradients) =
                loss_and_gradients(&model, &parameters, adapter::lora_scale(&recipe), None, &targets)?;
            let count = targets.tokens.len() as f64;
            adam.update(&recipe.optimizer, 1e-5, &mut parameters, &scaled(gradients, 1.0 / count)?)?;
            Ok(loss / count)
        };
        mean = one()?;
        times.push(step.elapsed().as_secs_f64());
        first.get_or_insert(started.elapsed().as_secs_f64());
    }
    times.sort_by(f64::total_cmp);
    let median = times[times.len() / 2];
    let line = serde_json::json!({
        "peer": "vertigo", "work": "train", "seq": seq, "step_s": median, "tokens_per_s": seq as f64 / median,
        "mlx_peak_MB": mlx_rs::memory::peak_memory()? as f64 / 1e6, "rss_MB": peak_rss_mb(),
        "start_to_first_step_s": first, "loss": mean,
    });
    println!("{line}");
    Ok(())
}

/// `None` where no folder is named: cargo runs benchmarks without arguments.
fn settings() -> Result<Option<Settings>, Box<dyn std::error::Error>> {
    let mut settings = Settings { folder: PathBuf::new(), seq: 1024, iters: 3, layers: 8 };
    let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
    while let Some(argument) = arguments.next() {
        let mut number = || -> Result<usize, Box<dyn std::error::Error>> {
            let value = arguments.next().ok_or_else(|| format!("{argument} needs a number"))?;
            Ok(value.parse().map_err(|e| format!("{argument} {value}: {e}"))?)
        };
        match argument.as_str() {
            "--seq" => settings.seq = number()?,
            "--iters" => settings.iters = number()?.max(1),
            "--layers" => settings.layers = number()?,
            folder => settings.folder = PathBuf::from(folder),
        }
    }
    Ok((!settings.folder.as_os_str().is_empty()).then_some(settings))
}

/// Linux's high-water mark of resident memory, in MB; `None` elsewhere.
fn peak_rss_mb() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    let kib: f64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib * 1.024 / 1e3)
}
