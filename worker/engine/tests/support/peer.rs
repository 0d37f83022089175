//! mlx-lm itself, as `tests/peer/peer.py` asks it.

use super::skipped;
use mlx_rs::Array;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The Python that has mlx-lm; `None`, said aloud, where it cannot be had.
pub(crate) fn python() -> Option<&'static Path> {
    static PYTHON: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    match PYTHON.get_or_init(install) {
        Ok(python) => Some(python),
        Err(why) => {
            skipped(&format!("mlx-lm cannot be installed: {why}"));
            None
        }
    }
}

fn install() -> Result<PathBuf, String> {
    let output = run(&mut Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/peer/mlx_lm.sh")))?;
    Ok(PathBuf::from(output.trim()))
}

/// Runs a command; what it wrote on stdout.
fn run(command: &mut Command) -> Result<String, String> {
    let output = command.output().map_err(|e| format!("{command:?}: {e}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr).trim_end()))
}

/// Runs peer.py with these arguments.
pub(crate) fn run_peer(python: &Path, arguments: &[&str]) {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/peer/peer.py");
    run(Command::new(python).arg(script).args(arguments)).unwrap_or_else(|error| panic!("{error}"));
}

/// Runs peer.py, which writes `out`; its arrays.
pub(crate) fn peer(python: &Path, what: &str, arguments: &[&str], out: &Path) -> HashMap<String, Array> {
    let [base, second, tokens, rest @ ..] = arguments else { panic!("base, second and tokens") };
    let out_text = super::text(out);
    run_peer(python, &[&[what, base, second, tokens, out_text], rest].concat());
    Array::load_safetensors(out).unwrap()
}

/// Runs generate.py, which answers the rows of `prompts` and writes `out`; its arrays.
pub(crate) fn generate(python: &Path, base: &Path, prompts: &Path, out: &Path) -> HashMap<String, Array> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/peer/generate.py");
    let arguments = [base, Path::new("greedy"), prompts, out];
    run(Command::new(python).arg(script).args(arguments)).unwrap_or_else(|error| panic!("{error}"));
    Array::load_safetensors(out).unwrap()
}
