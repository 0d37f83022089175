use super::*;
use crate::config::Config;
use crate::read::read;
use serde_json::json;
use std::collections::BTreeMap;

fn rows(lines: &[(&str, Value)]) -> (Vec<Row>, Book) {
    let mut book = Book::default();
    let mut files: Vec<(String, String)> = Vec::new();
    for (file, facts) in lines {
        let mut line = facts.clone();
        line["text"] = json!("t");
        match files.iter_mut().find(|(name, _)| name == file) {
            Some((_, text)) => text.push_str(&format!("\n{line}")),
            None => files.push(((*file).to_owned(), line.to_string())),
        }
    }
    let files = files.iter().map(|(name, text)| (name.clone(), text.as_bytes())).collect();
    (read(files, &mut book).unwrap(), book)
}

fn policy(yaml: &str) -> RightsPolicy {
    Config::parse(&format!("rights: {yaml}")).unwrap().rights.unwrap()
}

/// What befalls a row of `a.jsonl` with these facts.
fn one(facts: Value, policy: Option<&RightsPolicy>) -> (Rights, Vec<String>) {
    let (rows, mut book) = rows(&[("a.jsonl", facts)]);
    let left = apply(rows, policy, &mut book);
    let entry = &book.entries[0];
    assert_eq!(left.len(), usize::from(entry.end().is_none()));
    let said = entry.touched.iter().map(|touch| format!("{} {}", touch.rule.name, touch.detail).trim_end().to_owned());
    (entry.rights.clone(), said.collect())
}

#[test]
fn rights_are_read_from_the_row_and_from_its_provenance() {
    for (facts, license, basis, attribution) in [
        (json!({"license": "MIT", "rights_basis": "open_source"}), Some("MIT"), Some("open_source"), None),
        (
            json!({"provenance": {"license": "CC-BY-4.0", "rights_basis": "open_source", "project_id": "roblox/creator-docs"}}),
            Some("CC-BY-4.0"),
            Some("open_source"),
            Some("roblox/creator-docs"),
        ),
        (
            json!({"license": " MIT ", "attribution": "A", "provenance": {"project_id": "b"}}),
            Some("MIT"),
            None,
            Some("A"),
        ),
        (json!({"license": "unknown", "rights_basis": "", "provenance": "x"}), None, None, None),
        (json!({"license": ["MIT"], "rights_basis": 7, "provenance": {"license": null}}), None, None, None),
        (json!({}), None, None, None),
    ] {
        let (rights, touched) = one(facts.clone(), None);
        let found = (rights.license.as_deref(), rights.basis.as_deref(), rights.attribution.as_deref());
        assert_eq!((found, touched.len()), ((license, basis, attribution), 0), "{facts}");
    }
    let (rights, touched) = one(json!({"license": "MIT", "provenance": {"license": "GPL-3.0"}}), None);
    assert_eq!((rights.license.as_deref(), touched), (Some("MIT"), vec!["rights_disagree license".to_owned()]));
    let (rights, _) = one(json!({"license": "\u{e9}".repeat(1000)}), None);
    assert_eq!(rights.license.unwrap().len(), TEXT_BYTES_MAX);
}

#[test]
fn a_row_passes_with_an_allowed_licence_or_basis_and_is_quarantined_without() {
    let policy = policy("{licenses: [MIT, CC-BY-4.0], bases: [generated]}");
    for (facts, said) in [
        (json!({"license": "MIT"}), None),
        (json!({"license": "mit"}), None),
        (json!({"rights_basis": "generated"}), None),
        (json!({"license": "GPL-3.0", "rights_basis": "generated"}), None),
        (json!({"license": "GPL-3.0 OR MIT"}), None),
        (json!({"license": "MIT AND CC-BY-4.0"}), None),
        (json!({"license": "MIT AND GPL-3.0"}), Some("rights_not_allowed licence MIT AND GPL-3.0")),
        (json!({"license": "(MIT OR GPL-3.0) AND X"}), Some("rights_not_allowed licence (MIT OR GPL-3.0) AND X")),
        (
            json!({"license": "GPL-3.0", "rights_basis": "open_source"}),
            Some("rights_not_allowed licence GPL-3.0, basis open_source"),
        ),
        (json!({"rights_basis": "open_source"}), Some("rights_not_allowed basis open_source")),
        (json!({"license": "n/a"}), Some("no_rights")),
        (json!({}), Some("no_rights")),
    ] {
        let (_, touched) = one(facts.clone(), Some(&policy));
        assert_eq!(touched.first().map(String::as_str), said, "{facts}");
    }
    let asks_for_nothing = RightsPolicy::default();
    assert!(one(json!({}), Some(&asks_for_nothing)).1.is_empty());
}

#[test]
fn what_a_person_knows_fills_what_is_missing_and_nothing_else() {
    let policy = policy(
        "{licenses: [MIT], assume: [{files: ['b*'], license: MIT, reason: other}, {source: s, license: MIT, basis: open_source, \
         attribution: Roblox, reason: asked}, {files: ['a.jsonl'], basis: public_domain, reason: old}]}",
    );
    let (rights, touched) = one(json!({"source": "s", "provenance": {"project_id": "p"}}), Some(&policy));
    assert_eq!(touched, ["rights_assumed licence MIT, basis open_source: asked"]);
    assert_eq!((rights.attribution.as_deref(), rights.assumed.as_deref()), (Some("Roblox"), Some("asked")));
    let (rights, touched) = one(json!({"source": "s", "license": "GPL-3.0"}), Some(&policy));
    assert_eq!((rights.license.as_deref(), rights.basis.as_deref()), (Some("GPL-3.0"), Some("open_source")));
    assert_eq!(
        touched,
        ["rights_assumed basis open_source: asked", "rights_not_allowed licence GPL-3.0, basis open_source"]
    );
    // Where the first that is about a row has nothing to give, the next one is asked.
    let (_, touched) = one(json!({"source": "t", "license": "MIT"}), Some(&policy));
    assert_eq!(touched, ["rights_assumed basis public_domain: old"]);
}

#[test]
fn the_report_counts_by_licence_and_names_whom_a_publication_owes() {
    let policy = policy("{licenses: [MIT, CC0-1.0, CC-BY-4.0], assume: [{files: [b], license: MIT, reason: r}]}");
    let mut lines = vec![("a", json!({"license": "CC-BY-4.0", "rights_basis": "x", "attribution": "Roblox"})); 3];
    lines.push(("a", json!({"license": "CC-BY-4.0"})));
    lines.push(("a", json!({"license": "CC0-1.0"})));
    lines.push(("a", json!({})));
    lines.push(("b", json!({})));
    let (rows, mut book) = rows(&lines);
    let left = apply(rows, Some(&policy), &mut book);
    // What a later rule drops is not kept.
    book.touch(left[0].entry, Rule::new(Stage::Split, "x", "x"), Effect::Dropped, "");
    let report = report(&book).licenses;
    let counts: Vec<_> = report
        .iter()
        .map(|it| (it.license.as_deref(), it.rows, it.kept, it.quarantined, it.assumed, it.nameless, it.owed))
        .collect();
    assert_eq!(
        counts,
        [
            (None, 1, 0, 1, 0, 0, Owed::Unknown),
            (Some("CC-BY-4.0"), 4, 3, 0, 0, 1, Owed::Attribution),
            (Some("CC0-1.0"), 1, 1, 0, 0, 0, Owed::Nothing),
            (Some("MIT"), 1, 1, 0, 1, 1, Owed::Attribution),
        ]
    );
    assert_eq!(report[1].attributions, BTreeMap::from([("Roblox".into(), 2)]));
    assert_eq!(report[1].bases, BTreeMap::from([("".into(), 1), ("x".into(), 2)]));
    assert_eq!(report.iter().map(|it| it.rows).sum::<u64>(), book.entries.len() as u64);
}

#[test]
fn the_pipelines_rows_carry_the_rights_that_they_carry() {
    let folder = std::path::PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/vertigo/raw");
    if !folder.exists() {
        vertigo_testkit::skipped(&format!("{} is not there", folder.display()));
        return;
    }
    let files = std::fs::read_dir(folder).unwrap().map(|file| {
        let path = file.unwrap().path();
        let lines = std::io::BufReader::new(std::fs::File::open(&path).unwrap());
        (path.file_name().unwrap().to_str().unwrap().to_owned(), lines)
    });
    let mut book = Book::default();
    let rows = read(files.collect(), &mut book).unwrap();
    let policy = policy(
        "{licenses: [MIT, CC-BY-4.0, MPL-2.0], bases: [generated], assume: [{files: ['api_*.jsonl'], source: roblox_api_docs, \
         license: CC-BY-4.0, basis: open_source, attribution: Roblox, reason: written after the documentation}]}",
    );
    let left = apply(rows, Some(&policy), &mut book);
    let report = report(&book).licenses;
    let counts: Vec<_> = report
        .iter()
        .map(|it| (it.license.as_deref(), it.rows, it.kept, it.quarantined, it.assumed, it.nameless))
        .collect();
    // Six files say nothing at all; one of them got its rights from the config. What was generated has a basis and no licence.
    let expected = [
        (None, 677, 222, 455, 0, 222),
        (Some("CC-BY-4.0"), 1015, 1015, 0, 100, 0),
        (Some("MIT"), 93, 93, 0, 0, 77),
        (Some("MPL-2.0"), 19, 19, 0, 0, 0),
    ];
    assert_eq!(counts, expected);
    assert_eq!(left.len(), 1804 - 455);
    assert_eq!(report[1].attributions, BTreeMap::from([("Roblox".into(), 100), ("roblox/creator-docs".into(), 915)]));
}
