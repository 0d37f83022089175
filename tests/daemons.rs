//! Daemons on a machine of their own whose systemd is process 1: installed, killed, installed anew and taken away for real.
//!
//! Where no such machine can be booted (`tests/daemons/machine.sh` says why) it is skipped.

use std::process::Command;
use vertigo_tests::{binary, repository, skipped};

/// What `machine.sh` ends with where it cannot boot.
const SKIPS: i32 = 77;

/// Where MLX lies that the binaries are linked with, as `deploy/mlx-linux/setup.sh` wrote it down.
fn libraries() -> Option<String> {
    let config = std::fs::read_to_string(repository().join("target/mlx/cargo.toml")).ok()?;
    let line = config.lines().find(|line| line.starts_with("rustc-env"))?;
    Some(line.split('"').nth(1)?.to_owned())
}

#[test]
fn a_machine_starts_its_daemons_and_starts_them_again_until_they_are_taken_away() {
    let programs = ["vertigo", "vertigo-coordinator", "vertigo-worker"].map(binary);
    let mut command = Command::new(repository().join("tests/daemons/machine.sh"));
    command.arg(programs[0].parent().unwrap()).args(libraries());
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    if output.status.code() == Some(SKIPS) {
        return skipped(said.trim());
    }
    assert!(output.status.success() && said.contains("all of it holds"), "{:?}: {said}", output.status);
}
