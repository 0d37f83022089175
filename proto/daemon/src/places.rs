//! Where Vertigo keeps what it keeps, on each system.
//!
//! Promise: [`places`] is a function of what it is told, and coordinator, worker and CLI all ask it. Where `~/.vertigo` is there it is
//! used, so that whoever began with it goes on with the same identity, cache and database.

use std::path::{Path, PathBuf};

/// The folder of all versions before there were others.
const DOT_FOLDER: &str = ".vertigo";

/// A system that Vertigo runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Os {
    /// macOS.
    MacOs,
    /// Linux, and whatever else keeps to XDG's folders.
    Linux,
}

impl Os {
    /// The one that this program was built for.
    pub const THIS: Os = if cfg!(target_os = "macos") { Os::MacOs } else { Os::Linux };
}

/// Whose a program's folders are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whose {
    /// A person's, who started the program by hand.
    Person,
    /// The machine's: the program starts with it, before anybody logs in.
    Machine,
}

/// What the places follow from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Surroundings {
    /// The system.
    pub os: Os,
    /// Whose folders are asked for.
    pub whose: Whose,
    /// The home of who runs the program; of a daemon, its user's.
    pub home: Option<PathBuf>,
    /// `XDG_STATE_HOME`, as the environment has it.
    pub xdg_state_home: Option<PathBuf>,
    /// Whether `~/.vertigo` is there.
    pub has_dot_folder: bool,
}

impl Surroundings {
    /// Those of a person who has just started this program.
    pub fn here() -> Surroundings {
        // A relative one would be another in each folder in which a program is started, and with it who this person is.
        let home = std::env::home_dir().filter(|home| home.is_absolute());
        Surroundings {
            os: Os::THIS,
            whose: Whose::Person,
            has_dot_folder: home.as_deref().is_some_and(has_dot_folder),
            home,
            xdg_state_home: std::env::var_os("XDG_STATE_HOME").map(PathBuf::from),
        }
    }
}

/// Whether there is a `.vertigo` in this home.
pub fn has_dot_folder(home: &Path) -> bool {
    home.join(DOT_FOLDER).is_dir()
}

/// Where things lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Places {
    /// What has to be there tomorrow; each program has a folder of its own in it.
    pub state: PathBuf,
    /// Logs, where files have them: `None` where the system's journal does.
    pub logs: Option<PathBuf>,
}

/// Where things lie by default; `None` where there is no home to put them in.
pub fn places(surroundings: &Surroundings) -> Option<Places> {
    let Surroundings { os, whose, home, xdg_state_home, has_dot_folder } = surroundings;
    let logs = match (os, whose) {
        (Os::Linux, _) => None,
        (Os::MacOs, Whose::Machine) => Some(PathBuf::from("/Library/Logs/Vertigo")),
        (Os::MacOs, Whose::Person) => Some(home.as_ref()?.join("Library/Logs/Vertigo")),
    };
    let dot = home.as_ref().filter(|_| *has_dot_folder).map(|home| home.join(DOT_FOLDER));
    let state = match (dot, os, whose) {
        (Some(dot), _, _) => dot,
        (None, Os::MacOs, Whose::Machine) => PathBuf::from("/Library/Application Support/Vertigo"),
        (None, Os::MacOs, Whose::Person) => home.as_ref()?.join("Library/Application Support/Vertigo"),
        (None, Os::Linux, Whose::Machine) => PathBuf::from("/var/lib/vertigo"),
        (None, Os::Linux, Whose::Person) => {
            // The XDG specification has a relative path be ignored.
            let named = xdg_state_home.clone().filter(|path| path.is_absolute());
            named.or_else(|| home.as_ref().map(|home| home.join(".local/state")))?.join("vertigo")
        }
    };
    Some(Places { state, logs })
}

/// The folder of one part of Vertigo, such as `worker`, when it is started by hand here; `None` where there is no home.
pub fn own_folder(part: &str) -> Option<PathBuf> {
    places(&Surroundings::here()).map(|places| places.state.join(part))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(os: Os, whose: Whose, xdg: Option<&str>, has_dot_folder: bool) -> (String, Option<String>) {
        let surroundings = Surroundings {
            os,
            whose,
            home: Some("/home/me".into()),
            xdg_state_home: xdg.map(PathBuf::from),
            has_dot_folder,
        };
        let places = places(&surroundings).unwrap();
        (places.state.display().to_string(), places.logs.map(|logs| logs.display().to_string()))
    }

    #[test]
    fn each_system_has_its_own_folders() {
        let logs = |path: &str| Some(path.to_owned());
        assert_eq!(
            at(Os::MacOs, Whose::Person, None, false),
            ("/home/me/Library/Application Support/Vertigo".to_owned(), logs("/home/me/Library/Logs/Vertigo"))
        );
        assert_eq!(
            at(Os::MacOs, Whose::Machine, Some("/x"), false),
            ("/Library/Application Support/Vertigo".to_owned(), logs("/Library/Logs/Vertigo"))
        );
        assert_eq!(at(Os::Linux, Whose::Machine, Some("/x"), false).0, "/var/lib/vertigo");
        assert_eq!(at(Os::Linux, Whose::Person, None, false), ("/home/me/.local/state/vertigo".to_owned(), None));
        assert_eq!(at(Os::Linux, Whose::Person, Some("/x"), false).0, "/x/vertigo");
        assert_eq!(at(Os::Linux, Whose::Person, Some("x"), false).0, "/home/me/.local/state/vertigo");
    }

    #[test]
    fn the_dot_folder_is_used_where_it_is_there() {
        for os in [Os::MacOs, Os::Linux] {
            for whose in [Whose::Person, Whose::Machine] {
                assert_eq!(at(os, whose, Some("/x"), true).0, "/home/me/.vertigo");
            }
        }
    }

    proptest! {
        #[test]
        fn places_are_absolute_or_there_are_none(
            mac in any::<bool>(), machine in any::<bool>(), home in proptest::option::of("/[a-z]{1,8}"),
            xdg in proptest::option::of("/?[a-z]{0,8}"), dot in any::<bool>(),
        ) {
            let surroundings = Surroundings {
                os: if mac { Os::MacOs } else { Os::Linux },
                whose: if machine { Whose::Machine } else { Whose::Person },
                home: home.clone().map(PathBuf::from),
                xdg_state_home: xdg.map(PathBuf::from),
                has_dot_folder: dot,
            };
            match places(&surroundings) {
                Some(places) => prop_assert!(places.state.is_absolute() && places.logs.is_none_or(|it| it.is_absolute())),
                None => prop_assert!(home.is_none() && !machine),
            }
        }
    }
}
