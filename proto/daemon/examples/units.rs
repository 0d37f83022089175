//! Writes this system's units or property lists into a folder, as templates for who does not use `install`: `units DIR PREFIX`.
//!
//! `deploy/dist.sh` calls it. The account is a word to replace on a Mac, where there is no usual one.

use std::collections::BTreeMap;
use std::error::Error;
use std::path::{Path, PathBuf};
use vertigo_daemon::daemon::{Asked, Name, describe};
use vertigo_daemon::facts::{Facts, Person};
use vertigo_daemon::places::Os;
use vertigo_daemon::{launchd, systemd};

/// What stands for the account in a property list.
const ACCOUNT: &str = "REPLACE_WITH_YOUR_ACCOUNT";

fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [folder, prefix] = words.as_slice() else { return Err("units DIR PREFIX".into()) };
    let facts = Facts {
        os: Os::THIS,
        init: None,
        is_root: true,
        invoker: None,
        home: None,
        xdg_state_home: None,
        xdg_config_home: None,
    };
    let person = Person { name: ACCOUNT.to_owned(), home: PathBuf::from("/nowhere"), uid: 1, gid: 1 };
    for name in Name::ALL {
        let asked = Asked {
            name,
            program: Path::new(prefix).join("bin").join(name.word()),
            arguments: name.own_options().iter().map(|word| (*word).to_owned()).collect(),
            environment: BTreeMap::new(),
            user: (Os::THIS == Os::MacOs).then(|| ACCOUNT.to_owned()),
            state: None,
            writes: Vec::new(),
            exit_timeout: name.exit_timeout(),
        };
        let daemon = describe(asked, &facts, Some(&person), |_| false)?;
        let (file, text) = match Os::THIS {
            Os::MacOs => (launchd::path(name), launchd::plist(&daemon)?),
            Os::Linux => (PathBuf::from(systemd::unit_name(name)), systemd::unit(&daemon)),
        };
        std::fs::write(Path::new(folder).join(file.file_name().ok_or("units have names")?), text)?;
    }
    if Os::THIS == Os::Linux {
        std::fs::write(Path::new(folder).join("vertigo.sysusers.conf"), systemd::account())?;
    }
    Ok(())
}
