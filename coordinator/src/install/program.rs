//! The program `vertigo`, run for the person who had the coordinator installed.
//!
//! Promise: it runs as that person; a secret reaches it on its stdin and comes from it on its stdout, and stands in no argument,
//! environment or error.

use super::person::Asker;
use serde_json::Value;
use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;
use tokio::time::timeout;
use vertigo_daemon::facts::Facts;

/// What the program is called.
const NAME: &str = "vertigo";

/// How long one call of it may take: it tries every address of a token.
const CALL_MAX: Duration = Duration::from_secs(60);

/// Characters of what it said that an error repeats.
const SAID_CHARS_MAX: usize = 2_000;

/// Why `vertigo` did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallError {
    /// It cannot be run.
    #[error("{} cannot be run: {error}", program.display())]
    Program {
        /// Where it is.
        program: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// It takes too long.
    #[error("`{NAME} {command}` did not answer for {} s", CALL_MAX.as_secs())]
    Slow {
        /// What was asked.
        command: String,
    },
    /// It failed.
    #[error("`{NAME} {command}`: {said}")]
    Said {
        /// What was asked.
        command: String,
        /// Its error.
        said: String,
    },
    /// It answered with something else.
    #[error("`{NAME} {command}` answered with something else than was asked for: is it of another version?")]
    Answer {
        /// What was asked.
        command: String,
    },
}

/// What can be asked of `vertigo`.
pub(super) trait Vertigo {
    /// Its answer to a command line, as JSON. `stdin` is what it reads.
    ///
    /// # Errors
    /// It could not be asked, or failed.
    async fn ask(&self, words: &[&str], stdin: &str) -> Result<Value, CallError>;
}

/// The program that a person runs.
#[derive(Debug)]
pub(super) struct Program {
    pub(super) path: PathBuf,
    pub(super) asker: Asker,
    pub(super) facts: Facts,
}

/// Where it is: beside the coordinator's own program, or in a folder of `path`.
pub(super) fn find(coordinator: &Path, path: Option<&OsStr>, is_there: impl Fn(&Path) -> bool) -> Option<PathBuf> {
    let beside = coordinator.parent().map(Path::to_owned);
    let named = path.into_iter().flat_map(std::env::split_paths);
    // A folder that is relative to where somebody stands is no place to run programs from as somebody else.
    let mut folders = beside.into_iter().chain(named).filter(|folder| folder.is_absolute());
    folders.find_map(|folder| Some(folder.join(NAME)).filter(|program| is_there(program)))
}

impl Vertigo for Program {
    async fn ask(&self, words: &[&str], stdin: &str) -> Result<Value, CallError> {
        let command = || words.join(" ");
        let failed = |error| CallError::Program { program: self.path.clone(), error };
        let mut process = Command::new(&self.path);
        process.arg("--json").args(words).env_clear().envs(self.asker.environment(&self.facts)).current_dir("/");
        process.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        if let Asker::Invoker(person) = &self.asker {
            // Root's further groups are given up with the user.
            process.uid(person.uid).gid(person.gid);
        }
        let mut child = process.spawn().map_err(failed)?;
        let answered = async {
            if let Some(mut pipe) = child.stdin.take() {
                // It may end without having read: then it says why.
                let _ = pipe.write_all(stdin.as_bytes()).await;
            }
            child.wait_with_output().await
        };
        let output = timeout(CALL_MAX, answered).await.map_err(|_| CallError::Slow { command: command() })?;
        read(&output.map_err(failed)?, command)
    }
}

/// What it answered.
fn read(output: &Output, command: impl Fn() -> String) -> Result<Value, CallError> {
    if !output.status.success() {
        let said = said(&String::from_utf8_lossy(&output.stderr));
        return Err(CallError::Said { command: command(), said });
    }
    serde_json::from_slice(&output.stdout).map_err(|_| CallError::Answer { command: command() })
}

/// Its error in its own words, which are JSON where it got so far.
fn said(stderr: &str) -> String {
    let last = stderr.lines().rev().find_map(|line| serde_json::from_str::<Value>(line).ok());
    let error = last.as_ref().and_then(|error| error["error"].as_str());
    let words = match (error, last.as_ref().and_then(|error| error["hint"].as_str())) {
        (Some(error), Some(hint)) => format!("{error}; {hint}"),
        (Some(error), None) => error.to_owned(),
        (None, _) => stderr.trim().to_owned(),
    };
    words.chars().take(SAID_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use vertigo_daemon::places::Os;

    #[test]
    fn it_is_taken_from_beside_the_coordinator_and_else_from_the_path() {
        let at = |there: &[&str], path: &str| {
            let is_there = |path: &Path| there.iter().any(|it| Path::new(it) == path);
            find(Path::new("/opt/v/bin/vertigo-coordinator"), Some(OsStr::new(path)), is_there)
        };
        let both = ["/opt/v/bin/vertigo", "/usr/bin/vertigo"];
        assert_eq!(at(&both, "/usr/bin"), Some("/opt/v/bin/vertigo".into()));
        assert_eq!(at(&both[1..], "/bin:/usr/bin"), Some("/usr/bin/vertigo".into()));
        assert_eq!(at(&["bin/vertigo", "/vertigo", "vertigo"], "bin::."), None);
        assert_eq!(find(Path::new("/x/vertigo-coordinator"), None, |_| false), None);
    }

    #[test]
    fn an_error_is_in_its_words_and_bounded() {
        assert_eq!(said("{\"error\":\"no\",\"hint\":\"do this\",\"exit_code\":1}\n"), "no; do this");
        assert_eq!(said("a log line\n{\"error\":\"no\",\"hint\":null}\n"), "no");
        assert_eq!(said(" panicked \n"), "panicked");
        assert_eq!(said(&"x".repeat(9_999)).len(), SAID_CHARS_MAX);
    }

    /// A program of a few lines of shell, run for whoever runs the tests.
    async fn ask(script: &str, stdin: &str) -> Result<Value, CallError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(NAME);
        // A shell writes it: what this process had open for writing, a fork beside this test might hold when it is run.
        let mut shell = std::process::Command::new("sh");
        shell.args(["-c", "printf '#!/bin/sh\\n%s\\n' \"$1\" > \"$2\"; chmod 0755 \"$2\"", "sh", script]).arg(&path);
        assert!(shell.status().unwrap().success());
        let facts = Facts {
            os: Os::THIS,
            init: None,
            is_root: false,
            invoker: None,
            home: Some("/home/ada".into()),
            xdg_state_home: None,
            xdg_config_home: None,
        };
        let program = Program { path, asker: Asker::This(facts.home.clone()), facts };
        program.ask(&["token", "list"], stdin).await
    }

    #[tokio::test]
    async fn it_reads_its_stdin_and_has_no_environment_but_its_own() {
        let script =
            r#"read -r line; printf '["%s", "%s", "%s", "%s"]' "$line" "$HOME" "$*" "$(env | grep -c '^CARGO')""#;
        let answer = ask(script, "secret\n").await.unwrap();
        assert_eq!(answer, serde_json::json!(["secret", "/home/ada", "--json token list", "0"]));
    }

    #[tokio::test]
    async fn what_fails_says_so_without_what_it_read_and_wrote() {
        let failed = ask("cat; echo '{\"error\":\"used up\"}' >&2; exit 1", "secret\n").await.unwrap_err();
        assert_eq!(failed.to_string(), "`vertigo token list`: used up");
        let strange = ask("cat", "secret").await.unwrap_err().to_string();
        assert!(strange.contains("another version") && !strange.contains("secret"), "{strange}");
        // More than a pipe holds, and nobody who reads it.
        assert!(ask("echo 1", &"x".repeat(1 << 20)).await.is_ok());
    }
}
