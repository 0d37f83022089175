//! What a daemon is, and what is refused before there is one.
//!
//! Promise: a [`Daemon`] that [`describe`] made can be said in the words of its init: its paths are absolute, its user is not root, and
//! what it reads and writes lies where it may.

use crate::facts::{Facts, Init, Person};
use crate::places::{Os, Surroundings, Whose, places};
use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

/// The account that Linux gets for our daemons unless another is named.
pub const OWN_USER: &str = "vertigo";

/// Where people's homes lie. A daemon of another user sees nothing in them.
const HOMES: [&str; 3] = ["/home", "/root", "/Users"];

/// Folders that a daemon has its own of, or that are emptied.
const PASSING: [&str; 3] = ["/tmp", "/var/tmp", "/private/tmp"];

/// The daemons that there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Name {
    /// `vertigo-coordinator`.
    Coordinator,
    /// `vertigo-worker`.
    Worker,
}

impl Name {
    /// Both.
    pub const ALL: [Name; 2] = [Name::Coordinator, Name::Worker];

    /// The program's name, which is systemd's for its unit, too.
    pub fn word(self) -> &'static str {
        match self {
            Name::Coordinator => "vertigo-coordinator",
            Name::Worker => "vertigo-worker",
        }
    }

    /// launchd's name for it.
    pub fn label(self) -> String {
        format!("io.github.adpena.{}", self.word())
    }

    /// Its folder among those of Vertigo.
    pub fn part(self) -> &'static str {
        match self {
            Name::Coordinator => "coordinator",
            Name::Worker => "worker",
        }
    }

    /// How long it may take to end. The coordinator ends once its last commit is on the disk, which a busy disk may keep waiting; a worker
    /// once it has drained and written a checkpoint of the largest model to a slow disk.
    pub fn exit_timeout(self) -> Duration {
        Duration::from_secs(match self {
            Name::Coordinator => 60,
            Name::Worker => 300,
        })
    }

    /// Options that a daemon is given for which a program that is started by hand has no use: a restart of the machine waits for what a
    /// worker does, and no longer than this.
    pub fn own_options(self) -> &'static [&'static str] {
        match self {
            Name::Coordinator => &[],
            Name::Worker => &["--drain", "30s"],
        }
    }

    /// What it is, for people who list what starts with their machine.
    pub fn about(self) -> &'static str {
        match self {
            Name::Coordinator => "Vertigo's coordinator: queue, leases, artifacts",
            Name::Worker => "Vertigo's worker: fine-tuning on this machine",
        }
    }
}

/// Whose daemon it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// It starts with the machine.
    Machine,
    /// It is a person's: systemd's user unit.
    Person,
}

/// A program that starts with the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Daemon {
    /// Which.
    pub name: Name,
    /// The program's file.
    pub program: PathBuf,
    /// What it is started with. Everybody on the machine may read it.
    pub arguments: Vec<String>,
    /// What its environment has beside the init's own. Everybody on the machine may read it.
    pub environment: BTreeMap<String, String>,
    /// As whom it runs; `None` is who installs it, for themselves.
    pub user: Option<String>,
    /// Its folder, which is its user's alone.
    pub state: PathBuf,
    /// Other folders that it writes to. Who installs it has made them, and given them to its user.
    pub writes: Vec<PathBuf>,
    /// The folder of its logs, where files have them.
    pub logs: Option<PathBuf>,
    /// How long it may take to end once it was asked to.
    pub exit_timeout: Duration,
    /// Whether it has to look into homes: its program or its state lies in its user's own.
    pub sees_homes: bool,
}

impl Daemon {
    /// Whose it is.
    pub fn scope(&self) -> Scope {
        if self.user.is_some() { Scope::Machine } else { Scope::Person }
    }

    /// The file of its log, where a file has it.
    pub fn log_file(&self) -> Option<PathBuf> {
        self.logs.as_ref().map(|folder| folder.join(format!("{}.log", self.name.word())))
    }
}

/// What is asked of an installation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// Which daemon.
    pub name: Name,
    /// The program's file.
    pub program: PathBuf,
    /// What it is started with; `--state` comes from `state`.
    pub arguments: Vec<String>,
    /// What its environment has beside the init's own.
    pub environment: BTreeMap<String, String>,
    /// As whom it is to run; `None` is as is usual.
    pub user: Option<String>,
    /// Its folder; `None` is the usual one.
    pub state: Option<PathBuf>,
    /// Other folders that it writes to.
    pub writes: Vec<PathBuf>,
    /// How long it may take to end.
    pub exit_timeout: Duration,
}

/// Why nothing is installed, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Root alone may.
    #[error("what starts with the machine is root's to install: run the same with sudo")]
    NotRoot,
    /// Root asks, and nobody became root to ask.
    #[error("as whom is it to run? Say it with --user NAME: the account of who works on this Mac")]
    NoUser,
    /// Root's own.
    #[error("--user root: a daemon of Vertigo needs nothing that is root's alone; name another account")]
    Root,
    /// No such account.
    #[error("--user {0}: this machine has no such account")]
    NoSuchUser(String),
    /// Nothing starts programs.
    #[error(
        "this machine runs neither launchd nor systemd, so nothing here starts a program with it; start {0} by hand"
    )]
    NoInit(&'static str),
    /// A path that does not say where.
    #[error("{}: write the whole path, from / on and without `..`", .0.display())]
    Relative(PathBuf),
    /// A path that no file of either init can hold.
    #[error("{:?}: such a path cannot be written down; choose one that is plain text", .0)]
    Unwritable(PathBuf),
    /// A word that no file of either init can hold.
    #[error("{:?}: a control character cannot be written down; leave it out", .0)]
    Word(String),
    /// A word that everybody could read, with a password in it.
    #[error(
        "{}: a password in an address would be in the daemon's file, which everybody may read; leave it out, and on Linux put it into the \
         file in /etc/vertigo that the unit names", .0
    )]
    Password(String),
    /// Something in a home that is not its user's.
    #[error(
        "{} lies in a home, and {user} cannot look into it: put programs into /usr/local with deploy/install.sh, and leave out --state",
        path.display()
    )]
    InHome {
        /// What.
        path: PathBuf,
        /// As whom it would run.
        user: String,
    },
    /// Something that would be gone.
    #[error("{} does not last, and a daemon has a folder of its own in its place; choose another one", .0.display())]
    Passing(PathBuf),
    /// Secrets that it would have to be given.
    #[error(
        "--store {0}: launchd gives a daemon what its file says, which everybody may read, so it cannot have the keys of a bucket; on a \
         Mac keep blobs in a folder, or start the coordinator by hand"
    )]
    Keys(String),
    /// A folder of somebody else.
    #[error(
        "{}: there are files in it, and none of them is a daemon's; its folder becomes its user's with all that is in it, so name one that \
         is empty or not there",
        .0.display()
    )]
    NotOwn(PathBuf),
    /// A folder that lies elsewhere.
    #[error("{}: this is a link, which could lead anywhere tomorrow; name the folder that it leads to", .0.display())]
    Link(PathBuf),
    /// A folder that has to be there.
    #[error("{}: there is no such folder; make it, as the daemon's user, then run the same again", .0.display())]
    Missing(PathBuf),
    /// No home.
    #[error("there is no home folder; say with --state where its folder is to be")]
    NoHome,
}

/// As whom a daemon is to run; `None` is who asks, for themselves.
///
/// # Errors
/// Root has to ask, or has to say it.
pub fn user(asked: Option<&str>, facts: &Facts) -> Result<Option<String>, Refused> {
    match (facts.init_or_usual(), facts.is_root, asked) {
        (Init::Systemd, false, None) => Ok(None),
        (_, false, _) => Err(Refused::NotRoot),
        (_, true, Some("root")) => Err(Refused::Root),
        (_, true, Some(name)) => Ok(Some(name.to_owned())),
        (Init::Systemd, true, None) => Ok(Some(OWN_USER.to_owned())),
        (Init::Launchd, true, None) => match facts.invoker.as_deref() {
            None | Some("root" | "") => Err(Refused::NoUser),
            Some(name) => Ok(Some(name.to_owned())),
        },
    }
}

/// The daemon that is asked for. `person` is the account that [`user`] named, where there is one; `has_dot_folder` says of a home whether
/// `.vertigo` is in it.
///
/// # Errors
/// All that can be refused before anything is written.
pub fn describe(
    asked: Asked,
    facts: &Facts,
    person: Option<&Person>,
    has_dot_folder: impl Fn(&Path) -> bool,
) -> Result<Daemon, Refused> {
    let user = user(asked.user.as_deref(), facts)?;
    if let (Some(name), None) = (&user, person)
        && !(name == OWN_USER && facts.os == Os::Linux)
    {
        return Err(Refused::NoSuchUser(name.clone()));
    }
    if person.is_some_and(|person| person.uid == 0) {
        // By another name, too.
        return Err(Refused::Root);
    }
    let home = if user.is_some() { person.map(|person| person.home.clone()) } else { facts.home.clone() };
    let surroundings = Surroundings {
        os: facts.os,
        whose: if user.is_some() { Whose::Machine } else { Whose::Person },
        has_dot_folder: home.as_deref().is_some_and(has_dot_folder),
        home: home.clone(),
        xdg_state_home: facts.xdg_state_home.clone(),
    };
    let places = places(&surroundings).ok_or(Refused::NoHome)?;
    let part = asked.name.part();
    let state = asked.state.unwrap_or_else(|| places.state.join(part));
    let words = || asked.arguments.iter().chain(asked.environment.keys()).chain(asked.environment.values());
    if let Some(word) = words().find(|word| word.chars().any(char::is_control)) {
        return Err(Refused::Word(word.clone()));
    }
    if let Some(address) = words().find_map(|word| with_password(word)) {
        return Err(Refused::Password(address));
    }
    let mut sees_homes = false;
    for path in [&asked.program, &state].into_iter().chain(&asked.writes) {
        check(path)?;
        if is_in(path, &HOMES) {
            sees_homes = true;
            let is_own = home.as_ref().is_some_and(|home| path.starts_with(home));
            if let (Some(user), false) = (&user, is_own) {
                return Err(Refused::InHome { path: path.clone(), user: user.clone() });
            }
        }
    }
    let mut arguments = asked.arguments;
    arguments.extend(["--state".to_owned(), state.display().to_string()]);
    Ok(Daemon {
        name: asked.name,
        program: asked.program,
        arguments,
        environment: asked.environment,
        logs: places.logs.map(|logs| logs.join(part)),
        user,
        state,
        writes: asked.writes,
        exit_timeout: asked.exit_timeout,
        sees_homes,
    })
}

/// An address that has a user or a password in it, without these.
fn with_password(word: &str) -> Option<String> {
    let (scheme, rest) = word.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let (_, host) = authority.rsplit_once('@')?;
    Some(format!("{scheme}://…@{host}"))
}

fn is_in(path: &Path, folders: &[&str]) -> bool {
    folders.iter().any(|folder| path.starts_with(folder))
}

/// Whether a path can be written down, and lasts.
fn check(path: &Path) -> Result<(), Refused> {
    // systemd takes no `..`, and what lies below such a path only looks as if it lay there.
    if !path.is_absolute() || path.components().any(|part| part == Component::ParentDir) {
        return Err(Refused::Relative(path.to_owned()));
    }
    // A unit's line goes on after a `\` at its end, and white space there is not read.
    let is_plain = |text: &str| !text.chars().any(char::is_control) && !text.ends_with(['\\', ' ']);
    if !path.to_str().is_some_and(is_plain) {
        return Err(Refused::Unwritable(path.to_owned()));
    }
    if is_in(path, &PASSING) { Err(Refused::Passing(path.to_owned())) } else { Ok(()) }
}

#[cfg(test)]
pub(crate) mod tests;
