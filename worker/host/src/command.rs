//! What one of the system's own commands says.
//!
//! Promise: no command takes longer than [`DEADLINE`] or says more than [`OUTPUT_BYTES_MAX`]; it is ended then, and has said nothing. Its
//! words do not depend on the person's language.

use std::process::Stdio;
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::process::Command;
use vertigo_daemon::life::OWN_ENVIRONMENT;

/// How long a command may take.
const DEADLINE: Duration = Duration::from_secs(3);

/// What a command may say.
const OUTPUT_BYTES_MAX: u64 = 1 << 20;

/// What `program` prints with these arguments. `None` where it is not there, fails, or takes too long.
pub(crate) async fn output(program: &str, args: &[&str]) -> Option<String> {
    said(program, args, DEADLINE).await
}

async fn said(program: &str, args: &[&str], deadline: Duration) -> Option<String> {
    let mut command = Command::new(program);
    command.args(args).env("LC_ALL", "C").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    for own in OWN_ENVIRONMENT {
        command.env_remove(own);
    }
    let run = async {
        let mut child = command.kill_on_drop(true).spawn().ok()?;
        let mut bytes = Vec::new();
        child.stdout.take()?.take(OUTPUT_BYTES_MAX + 1).read_to_end(&mut bytes).await.ok()?;
        if bytes.len() as u64 > OUTPUT_BYTES_MAX {
            return None;
        }
        child.wait().await.ok()?.success().then(|| String::from_utf8_lossy(&bytes).into_owned())
    };
    let said = tokio::time::timeout(deadline, run).await.ok().flatten();
    if said.is_none() {
        tracing::debug!(program, ?args, "a command of the system's says nothing");
    }
    said
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_command_says_something_in_time_and_within_bounds_or_nothing() {
        assert_eq!(output("echo", &["a", "b"]).await.as_deref(), Some("a b\n"));
        assert_eq!(output("false", &[]).await, None);
        assert_eq!(output("/no/such/program", &[]).await, None);
        assert_eq!(output("yes", &[]).await, None, "more than it may say");
        assert_eq!(said("cat", &["/dev/zero"], DEADLINE).await, None);
        assert_eq!(said("sleep", &["60"], Duration::from_millis(50)).await, None, "longer than it may take");
        assert_eq!(output("sh", &["-c", "echo $LC_ALL"]).await.as_deref(), Some("C\n"));
    }
}
