//! `vertigo login` as a process, where nothing can be kept: its token opens once, and is not used for nothing.

use std::io::Write;
use std::process::{Command, Stdio};
use vertigo::id::Millis;
use vertigo::principal::Role;
use vertigo_access::token::Token;

#[test]
fn a_token_is_not_used_where_no_certificate_can_be_kept() {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path().join("home");
    std::fs::write(&home, "no folder").unwrap();
    let token = Token {
        addresses: vec!["https://127.0.0.1:1".parse().unwrap()],
        anchor: "03".repeat(32).parse().unwrap(),
        secret: [7; 32].into(),
        role: Role::Submit,
        ends: Millis(u64::MAX / 2),
    };
    let mut command = Command::new(env!("CARGO_BIN_EXE_vertigo"));
    command.arg("login").env("HOME", &home).env_remove("XDG_STATE_HOME");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut login = command.spawn().unwrap();
    writeln!(login.stdin.take().unwrap(), "{}", token.line()).unwrap();
    let output = login.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("contexts") && !said.contains("no coordinator"), "{said}");
}
