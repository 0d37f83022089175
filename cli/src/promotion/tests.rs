use super::*;
use crate::render::report::tests::report;
use std::collections::BTreeMap;
use vertigo::bytes::Bytes;
use vertigo::manifest::FileEntry;
use vertigo_evaluation::report::Model;

const HOW: Resampling = Resampling { draws: 200, seed: 0 };

fn manifest(kind: Kind, facts: Value) -> Manifest {
    let facts: BTreeMap<String, Value> = serde_json::from_value(facts).unwrap();
    let file = FileEntry { path: "a".to_owned(), digest: Digest::of(b"a"), bytes: Bytes(1) };
    Manifest::new(kind, vec![file], facts).unwrap()
}

fn base(name: &str) -> Judged {
    Judged::of(&manifest(Kind::Base, serde_json::json!({"name": name})))
}

fn known(who: &Judged, suite: &str, suite_digest: &str, n: u8) -> Known {
    let model = Model::Base { name: "x".to_owned(), base: who.artifact };
    let (digest, suite, suite_digest) = (Digest::of(&[n]), suite.to_owned(), suite_digest.to_owned());
    Known { digest, suite, suite_digest, model, is_whole: true }
}

fn of_own_names(names: &[&str]) -> Vec<Asked> {
    names.iter().map(|name| Asked::named(name)).collect()
}

#[test]
fn the_newest_reports_are_judged_by_and_the_present_models_of_the_same_suite_first() {
    let (ours, theirs, other) = (base("ours"), base("theirs"), base("other"));
    let all = [
        known(&other, "luau", "new", 0),
        known(&theirs, "luau", "newest", 1),
        known(&ours, "luau", "new", 2),
        known(&theirs, "luau", "new", 3),
        known(&ours, "luau", "new", 4),
        known(&theirs, "v2", "only", 5),
    ];
    let chosen = choose(&all, &of_own_names(&["luau", "v2", "absent"]), &ours, Some(&theirs));
    assert_eq!(chosen.candidate, [Digest::of(&[2])]);
    assert_eq!(chosen.present, [Digest::of(&[3]), Digest::of(&[5])]);
    // Without one of the same content the newest of its name stands, and the gate says what is not alike.
    let luau = of_own_names(&["luau"]);
    let chosen = choose(&all[..3], &luau, &ours, Some(&theirs));
    assert_eq!(chosen.present, [Digest::of(&[1])]);
    assert!(choose(&all, &luau, &ours, None).present.is_empty());
    // What was asked some tasks alone, the easy ones say, is no report of the suite.
    let some = Known { is_whole: false, ..known(&ours, "luau", "some", 6) };
    assert_eq!(choose(&[some, all[2].clone()], &luau, &ours, None).candidate, [Digest::of(&[2])]);
}

#[test]
fn a_gate_calls_a_suite_by_its_tag_or_by_its_own_name() {
    let artifact = |kind: &str, tag: &str| v1::Artifact {
        kind: kind.to_owned(),
        tags: vec![tag.to_owned()],
        facts_json: r#"{"name": "luau"}"#.to_owned(),
        ..v1::Artifact::default()
    };
    let mine = Asked::tagged("mine", &artifact("suite", "mine")).unwrap();
    assert_eq!(mine, Asked { key: "mine".to_owned(), name: "luau".to_owned() });
    // A name that is a dataset's, or that begins a digest, is no suite's tag.
    assert_eq!(Asked::tagged("mine", &artifact("dataset", "mine")), None);
    assert_eq!(Asked::tagged("ab", &artifact("suite", "mine")), None);
    let gate = Gate::parse("suites: {mine: {floors: {overall: 40}}, luau: {floors: {overall: 99}}}").unwrap();
    let asked = [mine, Asked::named("luau")];
    let decision = decide((&gate, &asked), ("tutor", &[report()]), None, HOW).unwrap();
    let held: Vec<_> = decision.reasons.iter().map(|it| (it.rule.as_str(), it.held)).collect();
    assert_eq!(held, [("luau.floors.overall", false), ("mine.floors.overall", true)], "{decision:?}");
}

#[test]
fn an_adapter_over_another_base_is_another_model() {
    let (own, other) = (Digest::of(b"own"), Digest::of(b"other"));
    let adapter = Judged::of(&manifest(Kind::Adapter, serde_json::json!({"base": own})));
    let over = |base| Model::Adapted { name: "x".to_owned(), base, adapter: adapter.artifact };
    assert!(adapter.is(&over(own)) && !adapter.is(&over(other)));
    assert!(!adapter.is(&Model::Api { url: "https://host/v1".to_owned(), model: "x".to_owned() }));
}

#[test]
fn a_report_is_known_by_its_manifest_and_one_of_another_suite_is_not_asked_for() {
    let model = Model::Fused { name: "x".to_owned(), model: Digest::of(b"m") };
    let mut facts =
        serde_json::json!({"suite": "luau", "suite_digest": Digest::of(b"s"), "model": model, "score": 0.5});
    let found = Known::of(&manifest(Kind::Report, facts.clone())).unwrap();
    assert_eq!((found.suite.as_str(), found.model, found.is_whole), ("luau", model, true));
    facts["only"] = serde_json::json!(["a*"]);
    assert!(!Known::of(&manifest(Kind::Report, facts)).unwrap().is_whole);
    assert!(Known::of(&manifest(Kind::Report, serde_json::json!({"suite": "luau"}))).is_none());
    let luau = of_own_names(&["luau"]);
    assert!(is_asked(&luau, r#"{"suite": "luau"}"#) && !is_asked(&luau, r#"{"suite": "v2"}"#) && !is_asked(&luau, ""));
}

#[test]
fn a_model_without_reports_is_let_through_by_nothing_and_one_with_a_good_one_by_its_floors() {
    let gate = Gate::parse("suites: {luau: {floors: {overall: 40}}}").unwrap();
    let luau = of_own_names(&["luau"]);
    let decision = decide((&gate, &luau), ("tutor", &[]), None, HOW).unwrap();
    assert!(!decision.held && decision.reasons[0].said.contains("no report of suite `luau`"), "{decision:?}");
    assert!(decide((&gate, &luau), ("tutor", &[report()]), None, HOW).unwrap().held);
    let better = Gate::parse("suites: {luau: {better: {probability: 0.95, expects: 10}}}").unwrap();
    let decision = decide((&better, &luau), ("tutor", &[report()]), Some(("production", &[report()])), HOW).unwrap();
    assert!(!decision.held && decision.reasons.iter().any(|it| it.said.contains("`production` has")), "{decision:?}");
    let mut unfinished = report();
    unfinished.missing = 1;
    let error = decide((&gate, &luau), ("tutor", &[unfinished]), None, HOW).unwrap_err();
    assert!(error.message.contains("`tutor` in suite luau"), "{}", error.message);
}

#[test]
fn a_gate_is_a_file_or_the_pipelines_by_its_name() {
    assert!(gate(VERTIGO_V2).unwrap().suites.contains_key("vertigo-benchmark"));
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("gates.yaml");
    let name = path.to_str().unwrap();
    let missing = gate(name).unwrap_err();
    assert!(missing.exit == Exit::Usage && missing.hint.unwrap().contains("vertigo-v2"));
    std::fs::write(&path, "suites: {luau: {flors: {overall: 1}}}").unwrap();
    let wrong = gate(name).unwrap_err();
    assert!(wrong.message.contains("gates.yaml") && wrong.message.contains("`floors`"), "{}", wrong.message);
}
