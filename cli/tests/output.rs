//! What the shell sees of the program itself.

use std::fs::OpenOptions;
use std::process::{Command, Stdio};

#[cfg(target_os = "linux")]
#[test]
fn a_result_that_could_not_be_written_is_no_success() {
    let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    let vertigo = Command::new(env!("CARGO_BIN_EXE_vertigo"))
        .args(["completions", "bash"])
        .stdout(Stdio::from(full))
        .output()
        .unwrap();
    let error = String::from_utf8(vertigo.stderr).unwrap();
    assert_eq!(vertigo.status.code(), Some(1), "{error}");
    assert!(error.contains("cannot write the result"), "{error}");
}
