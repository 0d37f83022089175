//! A campaign in namespaces of its own: whatever ends it, `kill -9` too, its processes and its mounts are gone with it.
//!
//! On Linux the program starts itself again below `unshare`: the first process of a pid namespace takes all others with it when it dies,
//! and a mount namespace goes with its last process. Without root the same is asked of a user namespace. Where neither is granted, and on
//! macOS, the campaign runs as it is: its processes end with it unless it is killed by SIGKILL, and no disk is filled.

use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

/// Set in the environment of the program that runs in namespaces.
const MARK: &str = "VERTIGO_FAULTS_ISOLATED";

/// Whether this process has namespaces of its own, and so may mount.
pub(crate) fn is_isolated() -> bool {
    std::env::var_os(MARK).is_some()
}

/// Starts this program again in namespaces of its own, and does not come back where that works.
///
/// # Errors
/// Why there are none.
pub(crate) fn isolate() -> Result<(), String> {
    if !cfg!(target_os = "linux") {
        return Err("this system has no namespaces".to_owned());
    }
    let options = ["--mount", "--pid", "--fork", "--kill-child", "--mount-proc"];
    let as_root: &[&str] = if nix::unistd::geteuid().is_root() { &[] } else { &["--user", "--map-root-user"] };
    let unshare = || {
        let mut command = Command::new("unshare");
        command.args(as_root).args(options);
        command
    };
    let tried = unshare().args(["mount", "-t", "tmpfs", "tmpfs", "/mnt"]).stdout(Stdio::null()).output();
    match tried {
        Err(error) => return Err(format!("unshare: {error}")),
        Ok(tried) if !tried.status.success() => {
            return Err(format!("unshare: {}", String::from_utf8_lossy(&tried.stderr).trim()));
        }
        Ok(_) => {}
    }
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    // A shell comes first in the namespace, because the first process inherits all orphans and a shell waits for them: a worker's child
    // whose daemon was killed must not stay behind as a zombie.
    let mut command = unshare();
    command.args(["sh", "-c", "\"$0\" \"$@\"; exit $?"]).arg(program).args(std::env::args_os().skip(1)).env(MARK, "1");
    Err(command.exec().to_string())
}
