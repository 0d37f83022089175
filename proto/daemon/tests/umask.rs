//! What root's umask does to the folders above a daemon's: nothing. Alone in its process, which has one umask for all its threads.

use nix::sys::stat::{Mode, umask};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;
use vertigo_daemon::command::{InstallArgs, Wanted, wanted};
use vertigo_daemon::{Name, ThisMachine};

#[test]
fn the_folders_above_a_daemons_are_passed_through_by_its_user_whatever_roots_umask_is() {
    let asked = || Wanted {
        name: Name::Worker,
        arguments: Vec::new(),
        state: Some("/srv/vertigo".into()),
        writes: Vec::new(),
        exit_timeout: Duration::ZERO,
    };
    // A person's own daemon needs nothing of that.
    if !nix::unistd::geteuid().is_root() {
        return eprintln!("SKIPPED: only root installs a daemon of another user");
    }
    if let Err(refused) = wanted(asked(), &InstallArgs::default(), &ThisMachine) {
        return eprintln!("SKIPPED: this test cannot be a daemon's program: {refused}");
    }
    let dir = tempfile::tempdir().unwrap();
    for (mask, name) in [(0o077, "closed"), (0, "open")] {
        umask(Mode::from_bits_truncate(mask));
        wanted(asked(), &InstallArgs::default(), &ThisMachine).unwrap();
        let folder = dir.path().join(name);
        fs::create_dir_all(folder.join("worker")).unwrap();
        assert_eq!(fs::metadata(&folder).unwrap().permissions().mode() & 0o777, 0o755, "umask {mask:03o}");
    }
}
