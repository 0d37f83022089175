use super::*;

/// A worker as it is asked for on a usual machine.
pub(crate) fn asked(name: Name) -> Asked {
    let own: &[&str] = match name {
        Name::Coordinator => &["--listen", "127.0.0.1:7420"],
        Name::Worker => &["--coordinator", "http://127.0.0.1:7420", "--name", "mac 36gb"],
    };
    Asked {
        name,
        program: PathBuf::from("/usr/local/bin").join(name.word()),
        arguments: own.iter().map(|word| (*word).to_owned()).collect(),
        environment: BTreeMap::from([("RUST_LOG".to_owned(), "info".to_owned())]),
        user: None,
        state: None,
        writes: Vec::new(),
        exit_timeout: Duration::from_secs(300),
    }
}

/// What a usual machine says to root.
pub(crate) fn facts(os: Os) -> Facts {
    Facts {
        os,
        init: Some(if os == Os::MacOs { Init::Launchd } else { Init::Systemd }),
        is_root: true,
        invoker: Some("me".to_owned()),
        home: Some("/root".into()),
        xdg_state_home: None,
        xdg_config_home: None,
    }
}

fn me(os: Os) -> Person {
    let home = if os == Os::MacOs { "/Users/me" } else { "/home/me" };
    Person { name: "me".to_owned(), home: home.into(), uid: 501, gid: 20 }
}

/// The daemon of a usual machine.
pub(crate) fn usual(name: Name, os: Os) -> Daemon {
    let person = (os == Os::MacOs).then(|| me(os));
    describe(asked(name), &facts(os), person.as_ref(), |_| false).unwrap()
}

/// The same of a person who is not root.
pub(crate) fn persons(name: Name) -> Daemon {
    let facts = Facts { is_root: false, home: Some("/home/me".into()), ..facts(Os::Linux) };
    describe(asked(name), &facts, None, |_| false).unwrap()
}

#[test]
fn a_daemon_runs_as_who_asked_on_a_mac_as_its_own_account_on_linux_and_never_as_root() {
    let (mac, linux) = (facts(Os::MacOs), facts(Os::Linux));
    assert_eq!(user(None, &mac), Ok(Some("me".to_owned())));
    assert_eq!(user(None, &linux), Ok(Some("vertigo".to_owned())));
    assert_eq!(user(Some("you"), &linux), Ok(Some("you".to_owned())));
    for facts in [&mac, &linux] {
        assert_eq!(user(Some("root"), facts), Err(Refused::Root));
        assert_eq!(user(Some("you"), &Facts { is_root: false, ..facts.clone() }), Err(Refused::NotRoot));
    }
    assert_eq!(user(None, &Facts { is_root: false, ..mac.clone() }), Err(Refused::NotRoot));
    assert_eq!(user(None, &Facts { is_root: false, ..linux }), Ok(None));
    for nobody in [None, Some("root".to_owned()), Some(String::new())] {
        assert_eq!(user(None, &Facts { invoker: nobody, ..mac.clone() }), Err(Refused::NoUser));
    }
}

#[test]
fn its_folders_are_the_machines_unless_its_user_began_by_hand() {
    let mac = usual(Name::Worker, Os::MacOs);
    assert_eq!(mac.state, Path::new("/Library/Application Support/Vertigo/worker"));
    assert_eq!(mac.log_file().unwrap(), Path::new("/Library/Logs/Vertigo/worker/vertigo-worker.log"));
    assert_eq!(usual(Name::Coordinator, Os::Linux).state, Path::new("/var/lib/vertigo/coordinator"));
    assert_eq!(persons(Name::Worker).state, Path::new("/home/me/.local/state/vertigo/worker"));
    assert!(mac.arguments.ends_with(&["--state".to_owned(), mac.state.display().to_string()]));
    assert!(!mac.sees_homes);

    let began =
        describe(asked(Name::Worker), &facts(Os::MacOs), Some(&me(Os::MacOs)), |home| home == "/Users/me").unwrap();
    assert_eq!(began.state, Path::new("/Users/me/.vertigo/worker"));
    assert!(began.sees_homes);
}

#[test]
fn what_its_user_cannot_see_or_what_does_not_last_is_refused() {
    let linux = facts(Os::Linux);
    let refused = |change: fn(&mut Asked)| {
        let mut asked = asked(Name::Worker);
        change(&mut asked);
        describe(asked, &linux, None, |_| false).unwrap_err()
    };
    let error = refused(|asked| asked.program = "/root/.cargo/bin/vertigo-worker".into());
    assert!(matches!(error, Refused::InHome { .. }) && error.to_string().contains("deploy/install.sh"), "{error}");
    assert!(matches!(refused(|asked| asked.state = Some("/home/you/x".into())), Refused::InHome { .. }));
    assert!(matches!(refused(|asked| asked.state = Some("x".into())), Refused::Relative(_)));
    assert!(matches!(refused(|asked| asked.state = Some("/srv/a/../b".into())), Refused::Relative(_)));
    assert!(matches!(refused(|asked| asked.state = Some("/tmp/x".into())), Refused::Passing(_)));
    assert!(matches!(refused(|asked| asked.writes = vec!["/srv/a\nb".into()]), Refused::Unwritable(_)));
    let error = refused(|asked| {
        let endpoint = "https://me:hunter2@traces.example:4317/v1".to_owned();
        asked.environment.insert("OTEL_EXPORTER_OTLP_ENDPOINT".to_owned(), endpoint);
    });
    let said = error.to_string();
    assert!(said.contains("https://…@traces.example:4317: a password") && !said.contains("hunter2"), "{said}");
    for odd in ["/srv/a\\", "/srv/a "] {
        let asked = Asked { state: Some(odd.into()), ..asked(Name::Worker) };
        assert!(matches!(describe(asked, &linux, None, |_| false), Err(Refused::Unwritable(_))), "{odd:?}");
    }
    assert!(matches!(refused(|asked| asked.arguments.push("a\nb".to_owned())), Refused::Word(_)));
    assert!(matches!(refused(|asked| asked.user = Some("you".to_owned())), Refused::NoSuchUser(_)));
    let toor = Person { name: "toor".to_owned(), uid: 0, ..me(Os::Linux) };
    let asked_as = Asked { user: Some("toor".to_owned()), ..asked(Name::Worker) };
    assert_eq!(describe(asked_as, &facts(Os::Linux), Some(&toor), |_| false), Err(Refused::Root));
    assert!(matches!(describe(asked(Name::Worker), &facts(Os::MacOs), None, |_| false), Err(Refused::NoSuchUser(_))));
}
