//! What is wrong on a machine, and the command that cures it.
//!
//! Promise: [`checks`] is a function of what was [`Seen`], so that every verdict has a test; [`look`] only looks. What a cure says can be
//! copied into a shell, but where a person has to click.

use crate::daemon::{Name, Scope};
use crate::facts::Init;
use crate::installation::status;
use crate::machine::{Commands, Found};
use crate::places::Os;
use crate::plan;
use crate::state::{Running, Status};
use serde::Serialize;

/// Rights of others on a daemon's folder: there should be none.
const OTHERS: u32 = 0o077;

/// Its owner may write and enter.
const OWNER_WRITES: u32 = 0o300;

/// Files that a program may open: as many as a coordinator wants, and the fewest that it starts with.
const OPEN_FILES_WANTED: u64 = 8_192;
const OPEN_FILES_MIN: u64 = 64;

/// Where macOS leaves what it has to say of a kernel panic.
const REPORTS: &str = "/Library/Logs/DiagnosticReports";

/// Rights to list a folder and to read what is in it: of its owner, its group, and everybody.
const LISTS: [u32; 3] = [0o500, 0o050, 0o005];

/// The first macOS that asks before a program of a person speaks with others on the local network.
const ASKS_FOR_LOCAL_NETWORK: u32 = 15;

/// What a check came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// As it should be.
    Good,
    /// Somebody may want it so.
    Note,
    /// Wrong.
    Bad,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What.
    pub name: String,
    /// What it came to.
    pub verdict: Verdict,
    /// What was found.
    pub said: String,
    /// What to do.
    pub cure: Option<String>,
}

impl Check {
    fn new(name: impl Into<String>, verdict: Verdict, said: impl Into<String>) -> Check {
        Check { name: name.into(), verdict, said: said.into(), cure: None }
    }

    fn cured_by(self, cure: impl Into<String>) -> Check {
        Check { cure: Some(cure.into()), ..self }
    }
}

/// A daemon, and what is at its paths.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenDaemon {
    /// How it is.
    pub status: Status,
    /// What is where its folder should be.
    pub folder: Option<Found>,
    /// What is where its log's folder should be.
    pub logs: Option<Found>,
}

/// What keeps a machine awake, as `pmset` says it of a Mac on mains.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Energy {
    /// It goes to sleep after so many idle minutes; 0 is never.
    pub sleep_minutes: Option<u32>,
    /// It starts by itself when the mains are back.
    pub starts_with_mains: Option<bool>,
}

/// Where a Mac keeps its reports of kernel panics, and how the worker's user stands to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reports {
    /// The folder.
    pub found: Found,
    /// Whether the worker's user is of the folder's group, also by way of another.
    pub is_of_group: Option<bool>,
}

/// What was seen of a machine. What could not be found out is `None`, and nothing is said of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// The system.
    pub os: Os,
    /// macOS's major version.
    pub macos: Option<u32>,
    /// Its daemons.
    pub daemons: Vec<SeenDaemon>,
    /// How many files a program may open, and how many it may ask for.
    pub open_files: Option<(u64, u64)>,
    /// Sleep on a Mac.
    pub energy: Energy,
    /// Whether a Mac's disk is locked until somebody unlocks it.
    pub has_locked_disk: Option<bool>,
    /// Whether a Linux never sleeps.
    pub never_sleeps: Option<bool>,
    /// Whether a person's units go on without that person.
    pub lingers: Option<bool>,
    /// A Mac's reports of kernel panics.
    pub reports: Option<Reports>,
}

/// Looks at a machine.
pub fn look(machine: &dyn Commands) -> Seen {
    let os = machine.facts().os;
    let said = |command: &[&str]| {
        let command: Vec<String> = command.iter().map(|word| (*word).to_owned()).collect();
        machine.run(&command).ok().filter(|ran| ran.is_well).map(|ran| ran.out)
    };
    let daemons: Vec<SeenDaemon> = Name::ALL
        .into_iter()
        .filter_map(|name| {
            let status = status(name, machine).ok()?;
            let folder = status.written.state.as_deref().and_then(|folder| machine.found(folder));
            let logs = status.written.log.as_deref().and_then(|log| machine.found(log.parent()?));
            Some(SeenDaemon { status, folder, logs })
        })
        .collect();
    let on_mac = |command: &[&str]| (os == Os::MacOs).then(|| said(command)).flatten();
    let on_linux = |command: &[&str]| (os == Os::Linux).then(|| said(command)).flatten();
    Seen {
        os,
        macos: on_mac(&["sw_vers", "-productVersion"]).and_then(|text| text.split('.').next()?.trim().parse().ok()),
        reports: worker_of(&daemons).filter(|_| os == Os::MacOs).and_then(|worker| reports(worker, machine)),
        daemons,
        open_files: machine.open_files(),
        energy: on_mac(&["pmset", "-g", "custom"]).map(|text| energy(&text)).unwrap_or_default(),
        has_locked_disk: on_mac(&["fdesetup", "status"]).map(|text| text.contains("FileVault is On")),
        never_sleeps: on_linux(&["systemctl", "show", "-p", "LoadState", "sleep.target"])
            .map(|text| text.contains("masked")),
        lingers: on_linux(&["loginctl", "show-user", "--property=Linger"]).map(|text| text.contains("Linger=yes")),
    }
}

/// The worker, where it is a daemon here.
fn worker_of(daemons: &[SeenDaemon]) -> Option<&SeenDaemon> {
    daemons.iter().find(|daemon| daemon.status.name == Name::Worker && daemon.status.installed.is_some())
}

/// A Mac's reports, as far as the worker's user may look at them.
fn reports(worker: &SeenDaemon, machine: &dyn Commands) -> Option<Reports> {
    let found = machine.found(std::path::Path::new(REPORTS))?;
    let asked = worker
        .status
        .written
        .user
        .as_deref()
        .zip(found.group.as_deref())
        .map(|(user, group)| ["dseditgroup", "-o", "checkmember", "-m", user, group].map(str::to_owned));
    // It fails where it says no.
    let said = asked.and_then(|command| machine.run(&command).ok()).map(|ran| ran.out);
    Some(Reports { found, is_of_group: said.as_deref().and_then(membership) })
}

/// What `dseditgroup -o checkmember` says.
fn membership(printed: &str) -> Option<bool> {
    match printed.split_whitespace().next()? {
        "yes" => Some(true),
        "no" => Some(false),
        _ => None,
    }
}

/// What `pmset -g custom` says of the time on mains.
fn energy(printed: &str) -> Energy {
    let mut lines = printed.lines().skip_while(|line| !line.starts_with("AC Power")).skip(1);
    let (mut energy, mut on_mains) = (Energy::default(), true);
    for line in lines.by_ref() {
        on_mains &= line.starts_with(' ');
        let mut words = line.split_whitespace();
        match (on_mains, words.next(), words.next()) {
            (true, Some("sleep"), Some(value)) => energy.sleep_minutes = value.parse().ok(),
            (true, Some("autorestart"), Some(value)) => {
                energy.starts_with_mains = value.parse::<u32>().ok().map(|on| on > 0)
            }
            _ => {}
        }
    }
    energy
}

/// Everything that is looked at, in the order in which a person would cure it.
pub fn checks(seen: &Seen) -> Vec<Check> {
    let mut checks: Vec<Check> = seen.daemons.iter().flat_map(|daemon| of_daemon(daemon, seen)).collect();
    checks.extend(open_files(seen));
    checks.extend(local_network(seen));
    checks.extend(locked_disk(seen));
    checks.extend(sleep(seen));
    checks.extend(panics(seen));
    checks
}

/// Root's commands begin with it.
fn by_root(scope: Scope) -> &'static str {
    if scope == Scope::Machine { "sudo " } else { "" }
}

fn of_daemon(SeenDaemon { status, folder, logs }: &SeenDaemon, seen: &Seen) -> Vec<Check> {
    let name = status.name.word();
    let Some((scope, running)) = &status.installed else {
        let said = format!("{name} does not start with this machine");
        return vec![Check::new(name, Verdict::Note, said).cured_by(format!("sudo {name} install"))];
    };
    let sudo = by_root(*scope);
    let restart = format!("{sudo}{}", plan::shell(&plan::restarts(status.name, status.init, *scope)));
    let mut checks = vec![match running {
        Running::Up { pid } => Check::new(name, Verdict::Good, format!("installed, and runs as process {pid}")),
        Running::Starting => Check::new(name, Verdict::Note, "installed, and is starting").cured_by(status.log()),
        Running::Down { ended } => {
            let ended = ended.as_deref().unwrap_or("nobody has started it");
            let said = format!("installed, and does not run: {ended}; `{}` says why", status.log());
            Check::new(name, Verdict::Bad, said).cured_by(restart)
        }
    }];
    if *scope == Scope::Person && status.init == Init::Systemd && seen.lingers == Some(false) {
        let said = "it runs while its person is logged in, and no longer";
        checks.push(Check::new(format!("{name}: lingers"), Verdict::Bad, said).cured_by("loginctl enable-linger"));
    }
    if let Some(path) = &status.written.state {
        checks.extend(own_folder(format!("{name}: folder"), path, folder.as_ref(), status, sudo, OTHERS));
    }
    if let Some(path) = status.written.log.as_deref().and_then(std::path::Path::parent) {
        checks.extend(own_folder(format!("{name}: log"), path, logs.as_ref(), status, sudo, 0));
    }
    checks
}

/// A folder that a daemon writes to, and on which others have none of the rights `denied`.
fn own_folder(
    name: String,
    path: &std::path::Path,
    found: Option<&Found>,
    status: &Status,
    sudo: &str,
    denied: u32,
) -> Option<Check> {
    let quoted = plan::shell(&[path.display().to_string()]);
    let user = status.written.user.as_deref();
    let Some(found) = found else {
        let owner = user.map(|user| format!(" -o {user}")).unwrap_or_default();
        let cure = format!("{sudo}install -d -m 0700{owner} {quoted}");
        return Some(Check::new(name, Verdict::Bad, format!("{} is not there", path.display())).cured_by(cure));
    };
    if let (Some(user), Some(owner)) = (user, &found.owner)
        && user != owner
    {
        let said = format!("{} is {owner}'s, and the daemon runs as {user}", path.display());
        return Some(Check::new(name, Verdict::Bad, said).cured_by(format!("{sudo}chown -R {user} {quoted}")));
    }
    if found.mode & denied != 0 || found.mode & OWNER_WRITES != OWNER_WRITES {
        let said = format!("{} has the mode {:04o}", path.display(), found.mode);
        return Some(Check::new(name, Verdict::Bad, said).cured_by(format!("{sudo}chmod 0700 {quoted}")));
    }
    Some(Check::new(name, Verdict::Good, format!("{} is its user's", path.display())))
}

fn open_files(seen: &Seen) -> Option<Check> {
    let (_, most) = seen.open_files?;
    let name = "open files";
    let said = format!("a program started by hand may open {most} files");
    Some(if most >= OPEN_FILES_WANTED {
        Check::new(name, Verdict::Good, said)
    } else {
        let verdict = if most < OPEN_FILES_MIN { Verdict::Bad } else { Verdict::Note };
        let said = format!(
            "{said}; {OPEN_FILES_WANTED} are enough for two thousand workers, and a daemon that is installed has them"
        );
        Check::new(name, verdict, said).cured_by(format!("ulimit -n {OPEN_FILES_WANTED}"))
    })
}

fn local_network(seen: &Seen) -> Option<Check> {
    let version = seen.macos.filter(|version| *version >= ASKS_FOR_LOCAL_NETWORK)?;
    let name = "local network";
    Some(if worker_of(&seen.daemons).is_some() {
        Check::new(name, Verdict::Good, format!("macOS {version} does not ask about a daemon of the machine"))
    } else {
        let said = format!(
            "macOS {version} keeps a worker that is started by hand from others on the local network until it is allowed in System \
             Settings, Privacy & Security, Local Network; a daemon of the machine needs no permission"
        );
        Check::new(name, Verdict::Note, said).cured_by("sudo vertigo-worker install")
    })
}

fn locked_disk(seen: &Seen) -> Option<Check> {
    let name = "after a reboot";
    let any = seen.daemons.iter().any(|daemon| daemon.status.installed.is_some());
    Some(match seen.has_locked_disk.filter(|_| any)? {
        false => Check::new(name, Verdict::Good, "the disk is unlocked: daemons start before anybody logs in"),
        true => {
            let said = "FileVault keeps the disk locked until somebody gives a password: nothing starts before that. A restart that is \
                        planned can be given it beforehand";
            Check::new(name, Verdict::Note, said).cured_by("sudo fdesetup authrestart")
        }
    })
}

fn sleep(seen: &Seen) -> Vec<Check> {
    let name = "sleep";
    let mut checks = Vec::new();
    match (seen.energy.sleep_minutes, seen.never_sleeps) {
        (Some(0), _) | (_, Some(true)) => {
            checks.push(Check::new(name, Verdict::Good, "this machine never goes to sleep by itself"))
        }
        (Some(minutes), _) => {
            let said = format!(
                "this Mac goes to sleep after {minutes} idle minutes, and takes no job until somebody wakes it"
            );
            checks.push(Check::new(name, Verdict::Note, said).cured_by("sudo pmset -c sleep 0"));
        }
        (None, Some(false)) => {
            let said = "this machine may be sent to sleep, and takes no job until somebody wakes it";
            let cure = "sudo systemctl mask sleep.target suspend.target hibernate.target hybrid-sleep.target";
            checks.push(Check::new(name, Verdict::Note, said).cured_by(cure));
        }
        (None, None) => {}
    }
    if seen.energy.starts_with_mains == Some(false) {
        let said = "this Mac stays off when the mains were gone and are back";
        checks.push(Check::new("mains", Verdict::Note, said).cured_by("sudo pmset -a autorestart 1"));
    }
    checks
}

/// Whether the worker can tell a kernel panic from any other start of its Mac.
fn panics(seen: &Seen) -> Option<Check> {
    let name = "kernel panics";
    let Reports { found, is_of_group } = seen.reports.as_ref()?;
    let worker = &worker_of(&seen.daemons)?.status;
    let (scope, user) = (worker.installed.as_ref()?.0, worker.written.user.as_deref()?);
    let lists = |rights: u32| found.mode & rights == rights;
    let [owner, group, others] = LISTS.map(lists);
    let is_readable = match (found.owner.as_deref() == Some(user), is_of_group) {
        (true, _) => owner,
        (false, Some(true)) => group,
        (false, Some(false)) => others,
        // Whoever it is, it is one of these two.
        (false, None) if group == others => others,
        (false, None) => return None,
    };
    if is_readable {
        return Some(Check::new(name, Verdict::Good, "the worker reads what macOS says of them"));
    }
    let said = format!(
        "the worker runs as {user}, who may not read {REPORTS}: a kernel panic looks like any other restart, and a Mac that panics again \
         and again gets work all the same"
    );
    let check = Check::new(name, Verdict::Note, said);
    let Some(group) = found.group.as_deref().filter(|_| group) else { return Some(check) };
    let joins = ["dseditgroup", "-o", "edit", "-a", user, "-t", "user", group].map(str::to_owned);
    // It is of its new group when it has started anew.
    let restart = plan::restarts(worker.name, worker.init, scope);
    Some(check.cured_by(format!("sudo {} && sudo {}", plan::shell(&joins), plan::shell(&restart))))
}

#[cfg(test)]
mod tests;
