//! What the shell sees of the program itself.

use std::fs::{self, OpenOptions};
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

#[test]
fn a_module_without_a_test_passes_where_it_can_be_required() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("answer.luau");
    let run = |source: &str| {
        fs::write(&file, source).unwrap();
        let vertigo = Command::new(env!("CARGO_BIN_EXE_vertigo")).args(["luau", "run"]).arg(&file).output().unwrap();
        let said = [vertigo.stdout, vertigo.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
        (vertigo.status.code(), said.concat())
    };
    assert_eq!(run("return { x = 1 }"), (Some(0), "ok is required\n".to_owned()));
    let (code, said) = run("error(\"no such thing\")");
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("failed is required") && said.contains("no such thing"), "{said}");
}
