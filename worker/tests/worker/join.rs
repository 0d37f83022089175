//! `vertigo-worker join` as a process, where it is refused: before it has touched anything, and before its token is used.

use std::fs::{self, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use vertigo_access::anchor::Fingerprint;
use vertigo_access::token::Token;

/// A token of a coordinator that is not there.
fn token() -> Token {
    Token {
        addresses: vec!["https://127.0.0.1:1".parse().unwrap()],
        anchor: "03".repeat(32).parse::<Fingerprint>().unwrap(),
        secret: [7; 32].into(),
        role: vertigo::principal::Role::Worker,
        ends: vertigo::id::Millis(u64::MAX / 2),
    }
}

/// A folder that is somebody's, outside of `/tmp`, where no daemon may have one.
fn somebodys() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let folder = dir.path().join("letters");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("first.txt"), "Dear").unwrap();
    fs::set_permissions(&folder, Permissions::from_mode(0o755)).unwrap();
    (dir, folder)
}

/// What `join` says that is refused.
fn refused(folder: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vertigo-worker"));
    command.arg("join").arg("--state").arg(folder).args(arguments);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut join = command.spawn().unwrap();
    // One that refuses before it reads has closed its stdin.
    let _ = writeln!(join.stdin.take().unwrap(), "{}", token().line());
    let output = join.wait_with_output().unwrap();
    assert!(!output.status.success());
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_folder_that_is_no_daemons_stays_as_it_is() {
    let (_dir, folder) = somebodys();
    let said = refused(&folder, &[]);
    assert!(!said.contains("no coordinator answers"), "the token was used: {said}");
    let names: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["first.txt"], "{said}");
    assert_eq!(fs::metadata(&folder).unwrap().permissions().mode() & 0o777, 0o755);
}

#[test]
fn a_worker_that_joins_is_told_of_no_other_coordinator_in_the_clear() {
    let (_dir, folder) = somebodys();
    let said = refused(&folder, &["--coordinator", "http://127.0.0.1:7420"]);
    assert!(said.contains("--coordinator http://127.0.0.1:7420") && said.contains("leave it out"), "{said}");
}
