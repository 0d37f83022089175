//! Our side of the benchmark of fusing: seconds and MLX's peak memory, in the form of the peer's line.
//!
//! `fuse BASE ADAPTER OUT` makes one model of the folders, as `mlx_lm.fuse` does it: in the base's own bits, rounded to the nearest, not
//! measured. tests/bench/fuse_vs_mlx_lm.sh runs it beside mlx-lm on the same folders.

use std::path::PathBuf;
use std::time::Instant;
use vertigo_engine::fuse::{Options, fuse};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folders: Vec<PathBuf> = std::env::args().skip(1).filter(|it| it != "--bench").map(PathBuf::from).collect();
    // Cargo runs benchmarks without arguments.
    let [base, adapter, out] = &folders[..] else {
        eprintln!("usage: fuse BASE ADAPTER OUT");
        return Ok(());
    };
    mlx_rs::memory::reset_peak_memory()?;
    let started = Instant::now();
    let fused = fuse(base, adapter, out, &Options::default(), &mut |_, _| {})?;
    let line = serde_json::json!({
        "peer": "vertigo", "work": "fuse", "s": started.elapsed().as_secs_f64(), "changed": fused.changed,
        "mlx_peak_MB": mlx_rs::memory::peak_memory()? as f64 / 1e6,
    });
    println!("{line}");
    Ok(())
}
