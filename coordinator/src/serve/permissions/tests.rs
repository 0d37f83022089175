//! Every call and every route with every role, and with none.

use super::*;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

/// The calls that the protocol has, read from its files.
fn calls() -> BTreeSet<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../proto/vertigo/v1");
    let mut calls = BTreeSet::new();
    for entry in fs::read_dir(folder).unwrap() {
        let text = fs::read_to_string(entry.unwrap().path()).unwrap();
        let mut service = String::new();
        for line in text.lines().map(str::trim) {
            if let Some(rest) = line.strip_prefix("service ") {
                service = rest.trim_end_matches(" {").to_owned();
            }
            if let Some(rest) = line.strip_prefix("rpc ") {
                let (name, _) = rest.split_once('(').unwrap();
                assert!(calls.insert(format!("/vertigo.v1.{service}/{name}")));
            }
        }
    }
    assert!(calls.len() > 20, "{calls:?}");
    calls
}

#[test]
fn every_call_of_the_protocol_is_in_the_table_and_the_table_has_no_other() {
    let table: BTreeSet<String> = CALLS.iter().map(|(call, _)| (*call).to_owned()).collect();
    assert_eq!(table, calls());
    assert_eq!(table.len(), CALLS.len());
}

#[test]
fn every_route_that_the_guard_lets_through_is_in_the_table() {
    let table: BTreeSet<&str> = READS.iter().map(|(route, _)| *route).collect();
    assert_eq!(table, BTreeSet::from(crate::serve::http::READS));
}

/// What each role may ask, one line a request. `-` is a stranger.
#[test]
fn what_each_role_may_ask() {
    let blob = |method: Method, rest: &str| (method, format!("/v1/blobs/sha256:{}{rest}", "0".repeat(64)));
    let reads = READS.iter().map(|(route, _)| (Method::GET, (*route).to_owned()));
    let blobs = [blob(Method::GET, ""), blob(Method::HEAD, ""), blob(Method::PUT, ""), blob(Method::POST, "/check")];
    let calls = calls().into_iter().map(|call| (Method::POST, call));
    let mut table = String::new();
    for (method, path) in calls.chain(reads).chain(blobs) {
        let permission = required(&method, &path).unwrap();
        let roles = Role::ALL.map(|role| match verdict(role, permission) {
            Verdict::Yes => role.word(),
            Verdict::ForItsAttempts => "(worker)",
            Verdict::No => "",
        });
        let stranger = if permission == Permission::Knock { "-" } else { "" };
        let allowed = [stranger].into_iter().chain(roles).filter(|word| !word.is_empty());
        let path = path.replace(&"0".repeat(64), "…").replace("/vertigo.v1.", "");
        writeln!(table, "{:4} {path:30} {}", method.as_str(), allowed.collect::<Vec<_>>().join(" ")).unwrap();
    }
    insta::assert_snapshot!(table);
}

#[test]
fn what_is_in_no_table_is_asked_by_nobody() {
    for (method, path) in [
        (Method::POST, "/vertigo.v1.Jobs/Delete"),
        (Method::GET, "/vertigo.v1.Jobs/Submit"),
        (Method::POST, "/v1/jobs"),
        (Method::DELETE, "/v1/artifacts/x"),
        (Method::GET, "/v1/jobsandmore"),
        (Method::GET, "/"),
        (Method::GET, "/healthy"),
        (Method::DELETE, "/v1/blobs/sha256:0"),
        (Method::POST, "/v1/blobs/sha256:0"),
        (Method::PUT, "/v1/blobs/sha256:0/check"),
        (Method::POST, "/v1/blobs/sha256:0/check/more"),
    ] {
        assert_eq!(required(&method, path), None, "{method} {path}");
    }
}
