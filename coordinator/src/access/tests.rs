//! Access as it is kept: what was answered outlives the process, and what could not be written has not happened.

use super::*;
use std::os::unix::fs::PermissionsExt;
use tempfile::TempDir;
use vertigo::id::WorkerId;
use vertigo::principal::Role;
use vertigo_access::identity::Request;

const FROM: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

fn open(dir: &TempDir) -> Access {
    let settings = Settings {
        names: vec!["10.0.0.5".to_owned(), "127.0.0.1".to_owned()],
        port: 7420,
        life: Duration::from_secs(60),
        upload_quota: Bytes::gib(1),
        brought: None,
    };
    Access::open(dir.path(), settings, Millis::now()).unwrap()
}

fn new_token(role: Role) -> NewToken {
    let made_by = PrincipalName::local();
    NewToken { role, ttl: Duration::from_secs(60), uses: 1, name: None, namespace: "default".to_owned(), made_by }
}

fn asks(line: &str, name: &str) -> Asks {
    let token: Token = line.parse().unwrap();
    let worker =
        (token.role == Role::Worker).then(|| Installed { id: WorkerId::new(), secret: Secret::from([8; 32]).hash() });
    let (request, name) = (Request::new().unwrap().der, Some(name.parse().unwrap()));
    Asks { secret: token.secret, request, name, otherwise: None, worker, clock: Millis::now() }
}

#[test]
fn what_was_answered_outlives_the_process_and_no_secret_is_in_its_files() {
    let dir = tempfile::tempdir().unwrap();
    let access = open(&dir);
    let (token, line) = access.create_token(Millis::now(), new_token(Role::Submit)).unwrap();
    let parsed: Token = line.parse().unwrap();
    assert_eq!(parsed.addresses, ["https://10.0.0.5:7420".parse().unwrap()]);
    let id = access.join(Millis::now(), FROM, &asks(&line, "laptop")).unwrap().principal.id;
    let again = open(&dir);
    assert_eq!(again.principal(id).unwrap().name.as_str(), "laptop");
    assert!(again.tokens(Millis::now()).is_empty());
    assert_eq!(again.0.anchor, access.0.anchor);
    for name in ["registry.json", "authority.pem"] {
        let path = dir.path().join(name);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let text = fs::read_to_string(&path).unwrap();
        assert!(!text.contains(&parsed.secret.to_hex()) && !text.contains(&line));
    }
    let shown = format!("{access:?} {token:?}");
    assert!(!shown.contains(&parsed.secret.to_hex()) && !shown.contains("BEGIN"));
}

#[test]
fn a_join_that_is_made_again_is_the_same_one_and_another_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let access = open(&dir);
    let (_, line) = access.create_token(Millis::now(), new_token(Role::Worker)).unwrap();
    let first = asks(&line, "mac");
    let id = access.join(Millis::now(), FROM, &first).unwrap().principal.id;
    assert_eq!(access.join(Millis::now(), FROM, &first).unwrap().principal.id, id);
    let other = access.join(Millis::now(), FROM, &asks(&line, "other")).unwrap_err();
    assert!(matches!(other, AccessError::Denied(Denied::Token)), "{other}");
}

#[test]
fn a_request_that_is_none_uses_up_no_token_and_a_wrong_clock_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let access = open(&dir);
    let (_, line) = access.create_token(Millis::now(), new_token(Role::Read)).unwrap();
    let garbage = Asks { request: vec![1, 2, 3], ..asks(&line, "laptop") };
    assert!(matches!(access.join(Millis::now(), FROM, &garbage).unwrap_err(), AccessError::Authority(_)));
    let slow = Asks { clock: Millis(1_000), ..asks(&line, "laptop") };
    let error = access.join(Millis::now(), FROM, &slow).unwrap_err().to_string();
    assert!(error.contains("clock") && error.contains("behind"), "{error}");
    assert!(access.join(Millis::now(), FROM, &asks(&line, "laptop")).is_ok());
}

#[test]
fn who_tries_too_often_waits_and_who_is_revoked_is_told_of() {
    let dir = tempfile::tempdir().unwrap();
    let access = open(&dir);
    let (_, line) = access.create_token(Millis::now(), new_token(Role::Submit)).unwrap();
    let mut told = access.revocations();
    let joined = access.join(Millis::now(), FROM, &asks(&line, "laptop")).unwrap().principal;
    let wrong = || Asks { secret: Secret::from([9; 32]), ..asks(&line, "x") };
    for _ in 0..tries::ADDRESS_FAILURES_MAX {
        assert!(matches!(access.join(Millis::now(), FROM, &wrong()).unwrap_err(), AccessError::Denied(_)));
    }
    assert!(matches!(access.join(Millis::now(), FROM, &wrong()).unwrap_err(), AccessError::TooMany(_)));
    access.revoke(Millis::now(), &joined.name).unwrap();
    assert_eq!(told.try_recv().unwrap(), joined.id);
    assert_eq!(access.principal(joined.id), Err(Denied::Revoked(joined.name.clone())));
    let renewed = access.renew(Millis::now(), joined.id, &Request::new().unwrap().der, Millis::now());
    assert!(matches!(renewed.unwrap_err(), AccessError::Denied(Denied::Revoked(_))));
}

#[test]
fn a_change_that_cannot_be_written_has_not_happened() {
    let dir = tempfile::tempdir().unwrap();
    let access = open(&dir);
    // A folder in the place of the file that is written first.
    fs::create_dir(dir.path().join("registry.json.new")).unwrap();
    let error = access.create_token(Millis::now(), new_token(Role::Read)).unwrap_err();
    assert!(error.to_string().contains("registry.json.new"), "{error}");
    assert!(access.tokens(Millis::now()).is_empty());
}

#[test]
fn a_damaged_registry_is_said_and_not_replaced() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(&dir));
    fs::write(dir.path().join("registry.json"), "{").unwrap();
    let settings = Settings {
        names: vec!["a".to_owned()],
        port: 1,
        life: Duration::from_secs(60),
        upload_quota: Bytes::gib(1),
        brought: None,
    };
    let error = Access::open(dir.path(), settings, Millis::now()).unwrap_err().to_string();
    assert!(error.contains("registry.json") && error.contains("backup"), "{error}");
    assert_eq!(fs::read_to_string(dir.path().join("registry.json")).unwrap(), "{");
}
