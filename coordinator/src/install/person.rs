//! Whose context is made when the coordinator is installed: of the person who asked for it, and not of root, whom sudo made of them.
//!
//! Promise: pure. Of the environment only who became root is believed; their home and account are what the machine's accounts say.

use std::ffi::OsString;
use std::path::PathBuf;
use vertigo::principal::PrincipalName;
use vertigo_daemon::facts::{Facts, Person};

/// Who asked for the installation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Asker {
    /// Who runs this program, with the home that the environment names.
    This(Option<PathBuf>),
    /// Who became root to run it.
    Invoker(Person),
}

/// `SUDO_USER` names nobody.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("this machine has no account `{0}`, which SUDO_USER names")]
pub(crate) struct NoAccount(String);

impl Asker {
    /// Who it is; `account` looks somebody up.
    pub(super) fn of(facts: &Facts, account: impl Fn(&str) -> Option<Person>) -> Result<Asker, NoAccount> {
        match facts.invoker.as_deref().filter(|name| facts.is_root && !matches!(*name, "" | "root")) {
            None => Ok(Asker::This(facts.home.clone())),
            Some(name) => account(name).map(Asker::Invoker).ok_or_else(|| NoAccount(name.to_owned())),
        }
    }

    /// All that a program has of the environment that is run for them. What the installation was told of other coordinators, of logs and of
    /// traces is none of its business.
    pub(super) fn environment(&self, facts: &Facts) -> Vec<(&'static str, OsString)> {
        let (home, xdg) = match self {
            Asker::This(home) => (home.clone(), facts.xdg_state_home.clone()),
            // Root's.
            Asker::Invoker(person) => (Some(person.home.clone()), None),
        };
        let named = [("HOME", home), ("XDG_STATE_HOME", xdg)];
        named.into_iter().filter_map(|(name, path)| Some((name, path?.into_os_string()))).collect()
    }

    /// What they are called as another administrator than the first. `this` is the account that runs this program.
    pub(super) fn another_name(&self, this: Option<&str>, host: Option<&str>) -> Option<PrincipalName> {
        let user = match self {
            Asker::This(_) => this?,
            Asker::Invoker(person) => &person.name,
        };
        let host = host.and_then(|host| host.split('.').next()).filter(|host| !host.is_empty());
        PrincipalName::like(&host.map_or_else(|| user.to_owned(), |host| format!("{user}-{host}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use vertigo_daemon::places::Os;

    fn facts(is_root: bool, invoker: Option<&str>) -> Facts {
        Facts {
            os: Os::Linux,
            init: None,
            is_root,
            invoker: invoker.map(str::to_owned),
            home: Some("/root".into()),
            xdg_state_home: Some("/root/state".into()),
            xdg_config_home: None,
        }
    }

    fn ada() -> Person {
        Person { name: "ada".to_owned(), home: "/home/ada".into(), uid: 1000, gid: 100 }
    }

    fn account(name: &str) -> Option<Person> {
        (name == "ada").then(ada)
    }

    #[test]
    fn it_is_who_became_root_and_else_who_asks() {
        let it = |is_root, invoker| Asker::of(&facts(is_root, invoker), account);
        assert_eq!(it(true, Some("ada")), Ok(Asker::Invoker(ada())));
        let this = || Ok(Asker::This(Some("/root".into())));
        for (is_root, invoker) in [(true, None), (true, Some("root")), (true, Some("")), (false, Some("ada"))] {
            assert_eq!(it(is_root, invoker), this(), "{is_root} {invoker:?}");
        }
        assert!(it(true, Some("eve")).unwrap_err().to_string().contains("`eve`"));
    }

    #[test]
    fn their_home_is_their_own_and_nothing_else_of_roots_reaches_them() {
        let facts = facts(true, Some("ada"));
        assert_eq!(Asker::Invoker(ada()).environment(&facts), [("HOME", "/home/ada".into())]);
        let this = Asker::of(&Facts { is_root: false, ..facts.clone() }, account).unwrap();
        assert_eq!(this.environment(&facts), [("HOME", "/root".into()), ("XDG_STATE_HOME", "/root/state".into())]);
    }

    proptest! {
        #[test]
        fn another_name_is_a_name_with_user_and_host(user in "[a-z][a-z0-9_]{0,30}", host in "[a-z][a-z0-9-]{0,20}(\\.[a-z]{1,9})?") {
            let person = Asker::Invoker(Person { name: user.clone(), ..ada() });
            let name = person.another_name(Some("root"), Some(&host)).unwrap().to_string();
            let first = host.split('.').next().unwrap();
            prop_assert!(format!("{user}-{first}").starts_with(&name), "{}", name);
            prop_assert_eq!(Asker::This(None).another_name(Some(&user), None).unwrap().to_string(), user);
            prop_assert_eq!(Asker::This(None).another_name(None, Some(&host)), None);
        }
    }
}
