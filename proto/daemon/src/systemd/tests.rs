use super::*;
use crate::daemon::tests::{persons, usual};
use crate::places::Os;
use proptest::prelude::*;
use std::process::Command;
use vertigo_testkit::skipped;

/// How exposed `systemd-analyze security` finds a unit at most, of ten: what systemd 252 says today.
const EXPOSURE_MAX: [(Name, f64); 2] = [(Name::Coordinator, 1.1), (Name::Worker, 1.4)];

#[test]
fn the_files_are_these() {
    for name in Name::ALL {
        insta::assert_snapshot!(unit_name(name), unit(&usual(name, Os::Linux)));
    }
    insta::assert_snapshot!("user-unit", unit(&persons(Name::Worker)));
    insta::assert_snapshot!("account", account());
}

#[test]
fn a_persons_unit_asks_for_nothing_that_is_roots() {
    let text = unit(&persons(Name::Worker));
    for line in OF_MACHINE.iter().chain(&["User=", "EnvironmentFile=", "ReadWritePaths="]) {
        assert!(!text.contains(line), "{line}");
    }
    assert!(text.contains("WantedBy=default.target") && text.contains("NoNewPrivileges=yes"));
}

#[test]
fn a_home_is_looked_into_only_where_the_daemon_lies_in_one() {
    let mut daemon = usual(Name::Worker, Os::Linux);
    assert!(unit(&daemon).contains("ProtectHome=yes"));
    daemon.sees_homes = true;
    assert!(unit(&daemon).contains("ProtectHome=read-only"));
}

/// A folder with the unit in it, started from a program that this machine has: systemd looks whether it is there.
fn written(daemon: &Daemon) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join(unit_name(daemon.name));
    std::fs::write(&file, unit(daemon)).unwrap();
    (folder, file)
}

fn analyze(arguments: &[&str], file: &Path) -> Option<(bool, String)> {
    // A person's manager wants a folder to run in, which a build machine has not.
    let folder = file.parent().unwrap();
    let mut command = Command::new("systemd-analyze");
    command.args(arguments).arg(file).env("SYSTEMD_COLORS", "0").env("XDG_RUNTIME_DIR", folder);
    let output = match command.output() {
        Ok(output) => output,
        Err(error) => {
            skipped(&format!("systemd-analyze: {error}"));
            return None;
        }
    };
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    Some((output.status.success(), said))
}

#[test]
fn systemd_finds_nothing_to_say_of_the_units() {
    for name in Name::ALL {
        for (daemon, mode) in [(usual(name, Os::Linux), "--system"), (persons(name), "--user")] {
            let mut daemon = Daemon { program: "/bin/true".into(), ..daemon };
            daemon.arguments.push("a \"strange\" $HOME 100% \\ word".to_owned());
            let (_folder, file) = written(&daemon);
            let Some((is_well, said)) = analyze(&[mode, "--man=no", "verify"], &file) else { return };
            let about: Vec<&str> = said.lines().filter(|line| line.contains("vertigo")).collect();
            assert!(is_well && about.is_empty(), "{said}");
        }
    }
}

#[test]
fn the_walls_are_as_high_as_is_said() {
    for (name, most) in EXPOSURE_MAX {
        let (_folder, file) = written(&usual(name, Os::Linux));
        let Some((_, said)) = analyze(&["security", "--offline=true", "--no-pager"], &file) else { return };
        let last =
            said.lines().find(|line| line.contains("Overall exposure level")).unwrap_or_else(|| panic!("{said}"));
        let score: f64 = last.split(": ").nth(1).and_then(|rest| rest.split(' ').next()?.parse().ok()).unwrap();
        println!("{}: {score}", name.word());
        assert!(score <= most, "{last}\n{said}");
    }
}

#[test]
fn what_systemctl_shows_is_read() {
    assert_eq!(
        running("ActiveState=active\nSubState=running\nMainPID=12\nResult=success\nExecMainStatus=0\n"),
        Running::Up { pid: 12 }
    );
    assert_eq!(running("ActiveState=activating\nSubState=start\nMainPID=12\n"), Running::Starting);
    let down =
        running("ActiveState=activating\nSubState=auto-restart\nMainPID=0\nResult=exit-code\nExecMainStatus=1\n");
    assert_eq!(down, Running::Down { ended: Some("its last exit code was 1".to_owned()) });
    let hung = running("ActiveState=failed\nResult=watchdog\nExecMainStatus=6\n");
    assert_eq!(hung, Running::Down { ended: Some("systemd says watchdog".to_owned()) });
    assert_eq!(running("ActiveState=inactive\nResult=success\nExecMainStatus=0\n"), Running::Down { ended: None });
}

proptest! {
    #[test]
    fn what_is_written_reads_back(folder in "[^\\p{Cc}/]{1,20}", program in "[^\\p{Cc}/]{1,20}") {
        let mut daemon = usual(Name::Coordinator, Os::Linux);
        daemon.state = PathBuf::from("/srv").join(format!("{folder}x"));
        daemon.program = PathBuf::from("/opt").join(program);
        let back = read(&unit(&daemon));
        prop_assert_eq!(back.program, Some(daemon.program));
        prop_assert_eq!(back.state, Some(daemon.state));
        prop_assert_eq!(back.user.as_deref(), Some(OWN_USER));
    }

    #[test]
    fn a_line_stays_one_line_whatever_is_in_a_word(word in any::<String>()) {
        let mut daemon = usual(Name::Worker, Os::Linux);
        let lines = unit(&daemon).lines().count();
        daemon.arguments.push(word.clone());
        prop_assert_eq!(unit(&daemon).lines().count(), lines);
    }

    #[test]
    fn no_text_of_others_breaks_the_readers(text in any::<String>()) {
        read(&text);
        running(&text);
    }
}
