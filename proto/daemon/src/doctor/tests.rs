use super::*;
use crate::daemon::tests::{facts, usual};
use crate::state::Written;
use proptest::prelude::*;
use std::path::PathBuf;

fn own(mode: u32, owner: &str) -> Option<Found> {
    Some(Found { mode, owner: Some(owner.to_owned()), group: None })
}

/// A worker as it should be.
fn worker(os: Os) -> SeenDaemon {
    let daemon = usual(Name::Worker, os);
    let user = daemon.user.clone().unwrap();
    let status = Status {
        name: Name::Worker,
        init: facts(os).init.unwrap(),
        installed: Some((Scope::Machine, Running::Up { pid: 7 })),
        written: Written {
            program: Some(daemon.program.clone()),
            user: daemon.user.clone(),
            state: Some(daemon.state.clone()),
            log: daemon.log_file(),
        },
    };
    let logs = if os == Os::MacOs { own(0o700, &user) } else { None };
    SeenDaemon { status, folder: own(0o700, &user), logs }
}

/// A machine without fault.
fn well(os: Os) -> Seen {
    let is_mac = os == Os::MacOs;
    Seen {
        os,
        macos: is_mac.then_some(15),
        daemons: vec![worker(os)],
        open_files: Some((256, u64::MAX)),
        energy: if is_mac {
            Energy { sleep_minutes: Some(0), starts_with_mains: Some(true) }
        } else {
            Energy::default()
        },
        has_locked_disk: is_mac.then_some(false),
        never_sleeps: (!is_mac).then_some(true),
        lingers: None,
        reports: is_mac.then(|| reports(0o770, Some(true))),
    }
}

/// The folder of a Mac's reports: root's, and readable for a group.
fn reports(mode: u32, is_of_group: Option<bool>) -> Reports {
    let found = Found { mode, owner: Some("root".to_owned()), group: Some("_analyticsusers".to_owned()) };
    Reports { found, is_of_group }
}

/// The one check that is not good once `change` has been made to a machine without fault.
fn ails(os: Os, change: impl FnOnce(&mut Seen)) -> (String, Verdict, String) {
    let mut seen = well(os);
    change(&mut seen);
    let found: Vec<Check> = checks(&seen).into_iter().filter(|check| check.verdict != Verdict::Good).collect();
    assert_eq!(found.len(), 1, "{found:?}");
    let Check { name, verdict, cure, .. } = found.into_iter().next().unwrap();
    (name, verdict, cure.expect("each has a cure"))
}

#[test]
fn on_a_machine_without_fault_all_is_good() {
    for os in [Os::MacOs, Os::Linux] {
        let checks = checks(&well(os));
        assert!(checks.len() >= 4 && checks.iter().all(|check| check.verdict == Verdict::Good), "{checks:?}");
        assert!(checks.iter().all(|check| check.cure.is_none()));
    }
}

#[test]
fn each_fault_is_found_alone_with_the_command_that_cures_it() {
    let (name, verdict, cure) = ails(Os::MacOs, |seen| {
        seen.daemons[0].status.installed = Some((Scope::Machine, Running::Down { ended: None }))
    });
    assert_eq!((name.as_str(), verdict), ("vertigo-worker", Verdict::Bad));
    assert_eq!(cure, "sudo launchctl kickstart -k system/io.github.adpena.vertigo-worker");

    let (name, verdict, cure) = ails(Os::Linux, |seen| seen.daemons[0].folder = own(0o755, "vertigo"));
    assert_eq!((name.as_str(), verdict), ("vertigo-worker: folder", Verdict::Bad));
    assert_eq!(cure, "sudo chmod 0700 /var/lib/vertigo/worker");

    let (_, _, cure) = ails(Os::MacOs, |seen| seen.daemons[0].folder = own(0o700, "root"));
    assert_eq!(cure, "sudo chown -R me '/Library/Application Support/Vertigo/worker'");
    let (name, _, cure) = ails(Os::MacOs, |seen| seen.daemons[0].logs = None);
    assert_eq!(
        (name.as_str(), cure.as_str()),
        ("vertigo-worker: log", "sudo install -d -m 0700 -o me /Library/Logs/Vertigo/worker")
    );
    let (name, _, cure) = ails(Os::MacOs, |seen| seen.daemons[0].logs = own(0o500, "me"));
    assert_eq!((name.as_str(), cure.as_str()), ("vertigo-worker: log", "sudo chmod 0700 /Library/Logs/Vertigo/worker"));

    let (name, verdict, cure) = ails(Os::Linux, |seen| seen.daemons[0].status.installed = None);
    assert_eq!(
        (name.as_str(), verdict, cure.as_str()),
        ("vertigo-worker", Verdict::Note, "sudo vertigo-worker install")
    );

    let (_, verdict, cure) = ails(Os::Linux, |seen| seen.open_files = Some((1024, 4096)));
    assert_eq!((verdict, cure.as_str()), (Verdict::Note, "ulimit -n 8192"));
    assert_eq!(ails(Os::Linux, |seen| seen.open_files = Some((32, 32))).1, Verdict::Bad);

    let (_, verdict, cure) = ails(Os::MacOs, |seen| seen.energy.sleep_minutes = Some(10));
    assert_eq!((verdict, cure.as_str()), (Verdict::Note, "sudo pmset -c sleep 0"));
    assert!(ails(Os::MacOs, |seen| seen.energy.starts_with_mains = Some(false)).2.contains("autorestart 1"));
    assert!(ails(Os::MacOs, |seen| seen.has_locked_disk = Some(true)).2.contains("authrestart"));
    assert!(ails(Os::Linux, |seen| seen.never_sleeps = Some(false)).2.contains("mask sleep.target"));
    let person = ails(Os::Linux, |seen| {
        seen.daemons[0].status.installed = Some((Scope::Person, Running::Up { pid: 7 }));
        seen.lingers = Some(false);
    });
    assert_eq!(person.2, "loginctl enable-linger");
}

#[test]
fn macos_asks_for_the_local_network_from_15_on_and_not_about_a_daemon() {
    let network = |macos, is_installed: bool| {
        let mut seen = Seen { macos, ..well(Os::MacOs) };
        if !is_installed {
            seen.daemons[0].status.installed = None;
        }
        checks(&seen).into_iter().find(|check| check.name == "local network").map(|check| check.verdict)
    };
    assert_eq!(network(Some(14), false), None);
    assert_eq!(network(Some(15), false), Some(Verdict::Note));
    assert_eq!(network(Some(26), true), Some(Verdict::Good));
}

#[test]
fn pmset_is_read_where_it_speaks_of_mains() {
    let printed = "Battery Power:\n Sleep On Power Button 1\n sleep                1\nAC Power:\n Sleep On Power Button 1\n autorestart          0\n \
                   displaysleep         10\n sleep                0 (sleep prevented by caffeinate)\n womp                 1\n";
    assert_eq!(energy(printed), Energy { sleep_minutes: Some(0), starts_with_mains: Some(false) });
    assert_eq!(energy("AC Power:\n sleep 5\nUPS Power:\n sleep 1\n").sleep_minutes, Some(5));
    assert_eq!(energy(""), Energy::default());
}

#[test]
fn what_could_not_be_found_out_is_not_spoken_of() {
    let nothing = Seen {
        os: Os::Linux,
        macos: None,
        daemons: Vec::new(),
        open_files: None,
        energy: Energy::default(),
        has_locked_disk: None,
        never_sleeps: None,
        lingers: None,
        reports: None,
    };
    assert_eq!(checks(&nothing), []);
}

#[test]
fn a_worker_that_may_not_read_of_panics_is_told_how_it_may() {
    let (name, verdict, cure) = ails(Os::MacOs, |seen| seen.reports = Some(reports(0o770, Some(false))));
    assert_eq!((name.as_str(), verdict), ("kernel panics", Verdict::Note));
    let expected = "sudo dseditgroup -o edit -a me -t user _analyticsusers && \
                    sudo launchctl kickstart -k system/io.github.adpena.vertigo-worker";
    assert_eq!(cure, expected);
    let told = |mode, is_of_group| {
        let seen = Seen { reports: Some(reports(mode, is_of_group)), ..well(Os::MacOs) };
        checks(&seen).into_iter().find(|check| check.name == "kernel panics").map(|check| check.verdict)
    };
    assert_eq!(told(0o755, Some(false)), Some(Verdict::Good));
    assert_eq!((told(0o755, None), told(0o770, None)), (Some(Verdict::Good), None), "nobody knows of the group");
    let own = |user: &str| {
        let mut seen = well(Os::MacOs);
        seen.reports = Some(reports(0o700, Some(false)));
        seen.daemons[0].status.written.user = Some(user.to_owned());
        checks(&seen).into_iter().find(|check| check.name == "kernel panics").map(|check| check.verdict)
    };
    assert_eq!((own("root"), own("me")), (Some(Verdict::Good), Some(Verdict::Note)), "there is no group to join");
    let mut without = well(Os::MacOs);
    without.daemons[0].status.installed = None;
    without.reports = Some(reports(0o700, Some(false)));
    assert!(checks(&without).iter().all(|check| check.name != "kernel panics"));
}

#[test]
fn dseditgroup_is_read() {
    assert_eq!(membership("yes me is a member of admin\n"), Some(true));
    assert_eq!(membership("no me is NOT a member of admin\n"), Some(false));
    assert_eq!((membership(""), membership("Group not found.\n")), (None, None));
}

#[test]
fn this_machine_can_be_looked_at() {
    let seen = look(&crate::machine::ThisMachine);
    assert_eq!((seen.os, seen.daemons.len()), (Os::THIS, 2));
    assert!(!checks(&seen).is_empty());
}

proptest! {
    #[test]
    fn a_folder_is_good_only_if_it_is_its_users_alone(mode in 0u32..0o1000, is_own in any::<bool>()) {
        let mut seen = well(Os::Linux);
        seen.daemons[0].folder = own(mode, if is_own { "vertigo" } else { "you" });
        let check = checks(&seen).into_iter().find(|check| check.name.ends_with("folder")).unwrap();
        let should = is_own && mode & 0o077 == 0 && mode & 0o300 == 0o300;
        prop_assert_eq!(check.verdict == Verdict::Good, should);
        prop_assert_eq!(check.cure.is_some(), !should);
        prop_assert!(check.said.contains(&PathBuf::from("/var/lib/vertigo/worker").display().to_string()));
    }

    #[test]
    fn no_text_of_pmset_breaks_its_reader(text in any::<String>()) {
        energy(&text);
    }
}
