use super::*;

fn refused(text: &str, words: &[&str]) {
    let error = Pipeline::parse(text).unwrap_err().to_string();
    assert!(words.iter().all(|word| error.contains(word)), "{text}: {error}");
    assert!(!error.contains([OPEN, CLOSE]), "{error}");
}

#[test]
fn jobs_stand_after_what_they_read_in_block_and_in_flow_style() {
    let flow = "name: luau\njobs:\n  fuse: {kind: fuse, adapter: ${{ train }}, bits: 8, measure: none}\n  \
                train: {kind: train, recipes: [9b.yaml, 4b.yaml], data: luau, priority: 2}\n";
    let block = "name: luau\njobs:\n  fuse:\n    kind: fuse\n    adapter: \"${{train.adapter}}\"\n    bits: 8\n    \
                 measure: none\n  train:\n    kind: train\n    recipes:\n      - 9b.yaml\n      - 4b.yaml\n    \
                 data: luau\n    priority: 2\n";
    let best = block.replace("train.adapter", "train.best");
    for (text, role) in [(flow, ""), (block, "adapter"), (&best, "best")] {
        let pipeline = Pipeline::parse(text).unwrap();
        let [train, fuse] = &pipeline.jobs[..] else { panic!("{pipeline:?}") };
        assert_eq!((train.key.as_str(), train.priority), ("train", 2));
        assert_eq!(train.inputs["data"], Source::Artifact("luau".to_owned()));
        assert_eq!(fuse.kind, Kind::Fuse { bits: Bits::Eight, is_measured: false });
        let output = Source::Output { job: "train".to_owned(), role: role.to_owned() };
        assert_eq!(fuse.inputs["adapter"], output);
    }
}

#[test]
fn what_is_wrong_is_named_by_job_and_key() {
    let with = |jobs: &str| format!("name: p\njobs:\n{jobs}");
    let train = "  train: {kind: train, recipes: [a.yaml], data: luau}\n";
    refused("jobs: {}", &["`name`"]);
    refused("name: p", &["`jobs`"]);
    refused("name: p\njobs: {}\n", &["0 jobs"]);
    refused(&format!("{}job: 1\n", with(train)), &["`job`", "did you mean `jobs`"]);
    refused("name: [", &[]);
    refused(&with("  a: {kind: trane}\n"), &["line 3, job `a`", "`trane`", "train, fuse, serve"]);
    refused(&with("  a: {recipes: [a.yaml]}\n"), &["job `a`", "`kind` is missing"]);
    refused(&with("  a: {kind: train, recipes: [a.yaml]}\n"), &["job `a`", "`data` is missing"]);
    refused(&with("  a: {kind: train, recipes: [], data: d}\n"), &["job `a`", "`recipes`", "list"]);
    refused(&with("  a: {kind: train, recipes: [a], data: d, bits: 4}\n"), &["job `a`", "`bits`"]);
    refused(&with("  a: {kind: train, recipe: [a], recipes: [a], data: d}\n"), &["`recipe`", "`recipes`"]);
    refused(&with("  a: {kind: fuse, adapter: x, bits: 5}\n"), &["job `a`", "`bits`", "same, 4, 8, 16"]);
    refused(&with("  a: {kind: fuse, adapter: x, measure: some}\n"), &["`measure`", "all, none"]);
    refused(&with("  a: {kind: fuse, adapter: x, priority: high}\n"), &["`priority`", "whole number"]);
    refused(&with("  a: {kind: fuse, adapter: [x]}\n"), &["job `a`", "`adapter`", "one word"]);
    refused(&with("  a b: {kind: fuse, adapter: x}\n"), &["job `a b`"]);
    let reading = |of: &str| format!("{}  b: {{kind: fuse, adapter: {of}}}\n", with(train));
    refused(&reading("${{ trian }}"), &["line 4, job `b`, `adapter`", "no job `trian`", "train"]);
    refused(&reading("${{ train.model }}"), &["job `b`, `adapter`", "makes no `model`", "makes adapter, best"]);
    refused(&reading("my ${{ train }}"), &["job `b`, `adapter`", "stands alone", "${{ train }}"]);
    refused(&reading("${{ b }}"), &["`b` makes a model", "this is a adapter"]);
    refused(&reading("${{ train"), &["line 4", "without `}}`"]);
    let wrong = format!("{train}  b: {{kind: train, recipes: [a], data: ${{{{ train }}}}}}\n");
    refused(&with(&wrong), &["job `b`, `data`", "makes a adapter", "dataset"]);
}

#[test]
fn a_service_reads_models_by_name_or_what_jobs_make() {
    let text = |model: &str| {
        format!(
            "name: p\njobs:\n  fuse: {{kind: fuse, adapter: a}}\n  api: {{kind: serve, model: {model}, cache: 2GiB}}\n"
        )
    };
    let pipeline = Pipeline::parse(&text("[mini@tutor, ${{ fuse }}]")).unwrap();
    let api = &pipeline.jobs[1];
    let names = vec!["mini@tutor".to_owned(), "fuse".to_owned()];
    assert_eq!(api.kind, Kind::Serve { names, cache: Some(Bytes::gib(2)) });
    let roles: Vec<_> = api.inputs.keys().map(String::as_str).collect();
    assert_eq!(roles, ["base.1", "model.1", "model.2"]);
    assert_eq!(Pipeline::parse(&text("production")).unwrap().jobs[1].inputs.len(), 1);
    refused(&text("[]"), &["job `api`, `model`", "list of 1 to 8"]);
    refused(&text("${{ api }}"), &["job `api`", "makes nothing"]);
    refused(&text("x").replace("2GiB", "much"), &["job `api`, `cache`", "much"]);
}

#[test]
fn a_curation_reads_datasets_and_suites_and_what_it_makes_is_trained_on() {
    let text = |curate: &str| {
        format!(
            "name: p\njobs:\n  train: {{kind: train, recipes: [a], data: ${{{{ clean }}}}}}\n  clean: {{kind: curate, {curate}}}\n"
        )
    };
    let pipeline = Pipeline::parse(&text("config: c.yaml, data: [raw, more], suite: luau, base: mini")).unwrap();
    let [clean, train] = &pipeline.jobs[..] else { panic!("{pipeline:?}") };
    assert_eq!(clean.kind, Kind::Curate { config: "c.yaml".to_owned() });
    let roles: Vec<_> = clean.inputs.keys().map(String::as_str).collect();
    assert_eq!(roles, ["base", "data.1", "data.2", "suite.1"]);
    assert_eq!(train.inputs["data"], Source::Output { job: "clean".to_owned(), role: String::new() });
    assert_eq!(Pipeline::parse(&text("config: c, data: raw")).unwrap().jobs[0].inputs.len(), 1);
    refused(&text("config: c"), &["job `clean`, `data`", "list of 1 to 8"]);
    refused(&text("data: raw"), &["job `clean`, `config`", "is missing"]);
    refused(&text("config: c, data: raw, suite: [1]"), &["job `clean`, `suite`"]);
    refused(&text("config: c, data: raw, recipes: [x]"), &["`recipes`", "config"]);
    let wrong = text("config: c, data: raw").replace("{ clean }", "{ clean.adapter }");
    refused(&wrong, &["job `train`, `data`", "makes data"]);
}

#[test]
fn a_wrong_key_has_its_own_line_in_block_style() {
    let text = "name: p\njobs:\n  train:\n    kind: train\n    recipes: [a.yaml]\n    data: d\n    prioritty: 3\n";
    refused(text, &["line 7, job `train`, `prioritty`", "did you mean `priority`"]);
    refused(&text.replace("prioritty: 3", "priority: high"), &["line 7, job `train`, `priority`", "whole number"]);
    refused(&text.replace("    data: d\n", ""), &["line 3, job `train`: `data` is missing"]);
}

#[test]
fn a_cycle_is_named() {
    let text = "name: p\njobs:\n  a: {kind: train, recipes: [x], data: d, base: ${{ b }}}\n  \
                b: {kind: fuse, adapter: ${{ a }}}\n  c: {kind: train, recipes: [x], data: d}\n";
    refused(text, &["wait for one another", "a, b"]);
}
