use super::*;
use crate::daemon::tests::{asked, facts, persons, usual};
use crate::facts::Person;
use crate::machine::{Found, Ran};
use crate::places::Os;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

/// A machine that is played: files in memory, and an init that knows what it was told.
struct Played {
    facts: Facts,
    files: RefCell<BTreeMap<PathBuf, String>>,
    ran: RefCell<Vec<String>>,
    /// What a command that begins so says before it fails.
    fails: Option<(&'static str, &'static str)>,
    /// How often launchd still knows a daemon that was sent away.
    lingers: Cell<u32>,
    is_known: Cell<bool>,
    paused: Cell<u32>,
}

impl Played {
    fn new(facts: Facts) -> Played {
        let programs = Name::ALL.map(|name| (PathBuf::from("/usr/local/bin").join(name.word()), String::new()));
        Played {
            facts,
            files: RefCell::new(programs.into()),
            ran: RefCell::default(),
            fails: None,
            lingers: Cell::new(2),
            is_known: Cell::new(false),
            paused: Cell::new(0),
        }
    }

    fn ran(&self) -> String {
        self.ran.take().join("\n")
    }

    /// Files beside the programs.
    fn written(&self) -> Vec<String> {
        let files = self.files.borrow();
        files.keys().map(|path| path.display().to_string()).filter(|path| !path.starts_with("/usr/local")).collect()
    }
}

impl Commands for Played {
    fn facts(&self) -> Facts {
        self.facts.clone()
    }

    fn person(&self, name: &str) -> Option<Person> {
        (name == "me").then(|| Person { name: name.to_owned(), home: "/nowhere/me".into() })
    }

    fn is_there(&self, path: &Path) -> bool {
        self.files.borrow().contains_key(path)
    }

    fn is_link(&self, path: &Path) -> bool {
        self.files.borrow().get(path).is_some_and(|text| text.starts_with("-> "))
    }

    fn names_in(&self, folder: &Path) -> io::Result<Vec<String>> {
        let files = self.files.borrow();
        let names = files.keys().filter_map(|path| path.strip_prefix(folder).ok()?.iter().next());
        Ok(names.map(|name| name.to_string_lossy().into_owned()).collect())
    }

    fn found(&self, _: &Path) -> Option<Found> {
        None
    }

    fn open_files(&self) -> Option<(u64, u64)> {
        None
    }

    fn read(&self, path: &Path) -> io::Result<Option<String>> {
        Ok(self.files.borrow().get(path).cloned())
    }

    fn write(&self, path: &Path, text: &str, _: u32) -> io::Result<()> {
        self.files.borrow_mut().insert(path.to_owned(), text.to_owned());
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.files.borrow_mut().remove(path);
        Ok(())
    }

    fn run(&self, command: &[String]) -> io::Result<Ran> {
        let line = plan::shell(command);
        self.ran.borrow_mut().push(line.clone());
        let ended = |is_well, out: &str, err: &str| Ok(Ran { is_well, out: out.to_owned(), err: err.to_owned() });
        if let Some((begins, says)) = self.fails
            && line.starts_with(begins)
        {
            return ended(false, "", says);
        }
        match command[1].as_str() {
            "bootstrap" if self.is_known.get() => ended(false, "", "5: Input/output error"),
            "bootstrap" => {
                self.is_known.set(true);
                ended(true, "", "")
            }
            "bootout" => ended(self.is_known.get(), "", ""),
            "print" => {
                let was_sent_away =
                    self.ran.borrow().iter().rev().nth(1).is_some_and(|last| {
                        last.starts_with("launchctl bootout") || last.starts_with("launchctl print")
                    });
                if was_sent_away && self.lingers.get() > 0 {
                    self.lingers.set(self.lingers.get() - 1);
                } else if was_sent_away {
                    self.is_known.set(false);
                }
                ended(self.is_known.get(), "x = {\n\tstate = running\n\tpid = 77\n}\n", "")
            }
            _ => ended(true, "ActiveState=active\nMainPID=77\n", ""),
        }
    }

    fn pause(&self, _: Duration) {
        self.paused.set(self.paused.get() + 1);
    }
}

const EXIT: Duration = Duration::from_secs(300);

#[test]
fn a_daemon_is_installed_asked_and_taken_away_again() {
    for os in [Os::MacOs, Os::Linux] {
        let machine = Played::new(facts(os));
        assert_eq!(status(Name::Worker, &machine).unwrap().installed, None);
        let daemon = usual(Name::Worker, os);
        let installed = install(&daemon, &machine).unwrap();
        assert!(!installed.replaced && installed.status.is_up());
        assert_eq!(installed.status.written.state.as_ref(), Some(&daemon.state));
        assert_eq!(installed.status.written.user, daemon.user);
        assert!(installed.status.to_string().contains("runs (process 77)"), "{}", installed.status);
        let gone = uninstall(Name::Worker, EXIT, &machine).unwrap();
        assert_eq!(gone.file, installed.file);
        assert!(gone.stays.contains(&daemon.state));
        let left = machine.written();
        assert!(left.iter().all(|path| path == systemd::ACCOUNTS), "{left:?}");
        assert!(matches!(uninstall(Name::Worker, EXIT, &machine), Err(InstallError::NotInstalled("vertigo-worker"))));
    }
}

#[test]
fn installing_again_waits_until_launchd_has_forgotten_the_one_before() {
    let machine = Played::new(facts(Os::MacOs));
    let daemon = usual(Name::Coordinator, Os::MacOs);
    install(&daemon, &machine).unwrap();
    machine.ran();
    machine.lingers.set(3);
    assert!(install(&daemon, &machine).unwrap().replaced);
    let ran = machine.ran();
    let (out, on) = (ran.find("bootout").unwrap(), ran.find("bootstrap").unwrap());
    assert!(ran[out..on].matches("launchctl print").count() >= 4, "{ran}");
    assert!(machine.paused.get() >= 3);
}

#[test]
fn what_is_refused_is_refused_before_anything_is_done() {
    let nobody = |facts: Facts, daemon: &Daemon| {
        let machine = Played::new(facts);
        let error = install(daemon, &machine).unwrap_err();
        assert_eq!((machine.ran(), machine.written()), (String::new(), Vec::new()), "{error}");
        error.to_string()
    };
    let linux = usual(Name::Worker, Os::Linux);
    assert!(nobody(Facts { is_root: false, ..facts(Os::Linux) }, &linux).contains("sudo"));
    assert!(nobody(Facts { is_root: false, ..facts(Os::MacOs) }, &usual(Name::Worker, Os::MacOs)).contains("sudo"));
    assert!(nobody(Facts { init: None, ..facts(Os::Linux) }, &linux).contains("by hand"));
    let away = Daemon { program: "/opt/vertigo-worker".into(), ..linux.clone() };
    assert!(nobody(facts(Os::Linux), &away).contains("/opt/vertigo-worker"));
    let elsewhere = Daemon { writes: vec!["/mnt/blobs".into()], ..linux };
    assert!(nobody(facts(Os::Linux), &elsewhere).contains("/mnt/blobs: there is no such folder"));

    let machine = Played::new(facts(Os::Linux));
    install(&usual(Name::Worker, Os::Linux), &machine).unwrap();
    let other = Played { facts: Facts { is_root: false, ..facts(Os::Linux) }, ..machine };
    assert!(matches!(uninstall(Name::Worker, EXIT, &other), Err(InstallError::Refused(Refused::NotRoot))));
}

#[test]
fn a_step_that_fails_is_named_with_what_was_said_and_the_same_again_goes_on() {
    let mut machine = Played::new(facts(Os::Linux));
    machine.fails = Some(("systemctl restart", "Job for vertigo-worker.service failed."));
    let daemon = usual(Name::Worker, Os::Linux);
    let error = install(&daemon, &machine).unwrap_err().to_string();
    assert_eq!(error, "`systemctl restart vertigo-worker.service` failed: Job for vertigo-worker.service failed.");
    machine.fails = None;
    assert!(install(&daemon, &machine).unwrap().status.is_up());
}

#[test]
fn what_may_fail_does_not_matter_and_a_persons_unit_is_theirs() {
    let person = Facts { is_root: false, home: Some("/home/me".into()), ..facts(Os::Linux) };
    let mut machine = Played::new(person);
    machine.fails = Some(("loginctl", "no session"));
    let daemon = daemon(asked(Name::Worker), &machine).unwrap();
    assert_eq!(daemon, persons(Name::Worker));
    install(&daemon, &machine).unwrap();
    assert!(machine.ran().lines().filter(|line| line.starts_with("systemctl")).all(|line| line.contains("--user")));
    assert_eq!(machine.written(), ["/home/me/.config/systemd/user/vertigo-worker.service"]);
    assert_eq!(uninstall(Name::Worker, EXIT, &machine).unwrap().stays, [daemon.state]);
}

#[test]
fn a_dry_run_says_files_and_commands_and_does_nothing() {
    let machine = Played::new(Facts { init: None, ..facts(Os::Linux) });
    let said = dry_run(&usual(Name::Coordinator, Os::Linux), &machine).unwrap();
    for part in [
        "# /etc/systemd/system/vertigo-coordinator.service (0644):",
        "\nsystemctl daemon-reload\n",
        "\n    Type=notify\n",
    ] {
        assert!(said.contains(part), "{part} in {said}");
    }
    assert_eq!((machine.ran(), machine.written()), (String::new(), Vec::new()));
}

#[test]
fn a_folder_with_files_of_others_does_not_become_the_daemons() {
    let machine = Played::new(facts(Os::Linux));
    let daemon = usual(Name::Worker, Os::Linux);
    machine.write(&daemon.state.join("letters/first.txt"), "", 0).unwrap();
    let error = install(&daemon, &machine).unwrap_err();
    assert!(matches!(&error, InstallError::Refused(Refused::NotOwn(folder)) if *folder == daemon.state), "{error}");
    assert_eq!(machine.ran(), "");
    // As `/var` has it: no daemon of ours.
    machine.write(&daemon.state.join("lock"), "", 0).unwrap();
    assert!(matches!(install(&daemon, &machine), Err(InstallError::Refused(Refused::NotOwn(_)))));
    machine.write(&daemon.state.join("worker-id"), "", 0).unwrap();
    install(&daemon, &machine).unwrap();
}

#[test]
fn a_folder_that_is_a_link_is_refused_wherever_that_leads() {
    let machine = Played::new(facts(Os::Linux));
    let daemon = usual(Name::Worker, Os::Linux);
    machine.write(&daemon.state, "-> /usr/local/sbin", 0).unwrap();
    let error = install(&daemon, &machine).unwrap_err();
    assert!(matches!(&error, InstallError::Refused(Refused::Link(folder)) if *folder == daemon.state), "{error}");
    assert_eq!(machine.ran(), "");
}
