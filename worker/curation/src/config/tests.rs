use super::*;
use proptest::prelude::*;
use std::fs;
use std::path::PathBuf;

fn error(yaml: &str) -> String {
    Config::parse(yaml).unwrap_err().to_string()
}

#[test]
fn what_is_not_said_has_its_default() {
    for nothing in ["", "# all commented out\n", "{}", "filters:\nlengths:\n"] {
        assert_eq!(Config::parse(nothing), Ok(Config::default()), "{nothing:?}");
    }
    let config = Config::default();
    assert_eq!((config.filters.refusal, config.filters.secrets), (Act::Note, Secrets::Redact));
    assert_eq!((config.contamination, config.lengths.overlength), (Act::Drop, Overlength::Error));
    assert_eq!(config.duplicates, Duplicates { exact: true, near: Some(0.8), code: Act::Note });
}

#[test]
fn the_example_is_read_and_names_every_key() {
    let config = Config::parse(EXAMPLE).unwrap();
    assert_eq!(config.rights.as_ref().unwrap().assume[0].files, ["api_docs.jsonl"]);
    assert_eq!((config.lengths.tokens_max, &config.split), (Some(2048), &Split::default()));
    assert_eq!((&config.filters, &config.duplicates), (&Filters::default(), &Duplicates::default()));
    // What is said of a key that nobody knows names all that are known.
    for (yaml, count) in [
        ("{}zzz: 1", 11),
        ("tiers: {zzz: 1}", 4),
        ("tiers: {filter_code: {zzz: 1}}", 2),
        ("tiers: {filter_score: {zzz: 1}}", 3),
        ("rights: {zzz: 1}", 3),
        ("rights: {assume: [{files: [a], license: a, reason: a, zzz: 1}]}", 6),
        ("filters: {zzz: 1}", 8),
        ("quality: [{zzz: 1}]", 2),
        ("duplicates: {zzz: 1}", 3),
        ("lengths: {zzz: 1}", 2),
        ("split: {zzz: 1}", 3),
        ("mix: {zzz: 1}", 3),
    ] {
        let error = error(yaml.trim_start_matches("{}"));
        let (_, known) = error.split_once("zzz` is no key; write one of ").unwrap_or_else(|| panic!("{error}"));
        assert_eq!(known.split(", ").count(), count, "{error}");
        for key in known.split(", ") {
            assert!(EXAMPLE.contains(&format!("{key}:")), "{key}");
        }
    }
}

#[test]
fn words_numbers_and_tables_come_out_as_they_were_meant() {
    let config = Config::parse(
        "filters: {code_lines_min: 7, unclosed_fence: drop, loose_code: repair, secrets: note, echo: off}\n\
         duplicates: {exact: false, near: off, code: off}\n\
         contamination: note\n\
         lengths: {tokens_max: 512, overlength: split}\n\
         split: {valid: 0, test: 0.25, seed: 18446744073709551615}\n\
         mix: {by: source, weights: {a: 2, 3: 0.5}}\n\
         quality: [{fact: eval_score, min: -1}]\n\
         rights: {bases: [generated]}\n",
    )
    .unwrap();
    let filters = config.filters;
    assert_eq!((filters.code_lines_min, filters.unclosed_fence, filters.echo), (Some(7), Act::Drop, Act::Off));
    assert_eq!((filters.loose_code, filters.secrets), (LooseCode::Repair, Secrets::Note));
    assert_eq!(config.duplicates, Duplicates { exact: false, near: None, code: Act::Off });
    assert_eq!(config.contamination, Act::Note);
    assert_eq!(config.lengths, Lengths { tokens_max: Some(512), overlength: Overlength::Split });
    assert_eq!(config.split, Split { valid: 0.0, test: 0.25, seed: u64::MAX });
    let weights = BTreeMap::from([("3".to_owned(), 0.5), ("a".to_owned(), 2.0)]);
    assert_eq!(config.mix, Some(Mix::Weighted { by: "source".to_owned(), weights, repeats_max: 4 }));
    assert_eq!(config.quality, [QualityFilter { fact: "eval_score".to_owned(), min: -1.0 }]);
    assert_eq!(config.rights.unwrap().bases, ["generated"]);
    assert_eq!(Config::parse("mix: pipeline-balanced").unwrap().mix, Some(Mix::PipelineBalanced));
    assert_eq!(Config::parse("mix: three-dataset").unwrap().mix, Some(Mix::ThreeDataset));
    assert_eq!(Config::parse("dedup: pipeline").unwrap().dedup, Some(Dedup::Pipeline));
}

#[test]
fn a_mistake_is_named_by_its_path_with_what_to_write() {
    for (yaml, said) in [
        ("filtres: {}", "`filtres` is no key; did you mean `filters`?"),
        ("filters: {refusl: drop}", "`filters.refusl` is no key; did you mean `refusal`?"),
        ("filters: {refusal: dorp}", "`filters.refusal` is `dorp`; did you mean `drop`?"),
        ("filters: {refusal: 3}", "`filters.refusal` is 3; write one of drop, note, off"),
        ("filters: {refusal: }", "`filters.refusal` has no value; write one of drop, note, off"),
        ("filters: {refusal: repair}", "`filters.refusal` is `repair`; write one of drop, note, off"),
        ("filters: {code_lines_min: 0}", "`filters.code_lines_min` is 0; write a whole number from 1 to 10000, or off"),
        ("filters: [a]", "`filters` is a list; write a table of keys and values"),
        ("tiers: {filter_score: {score: 1}}", "`tiers.filter_score.score` is no key; did you mean `score_field`?"),
        ("tiers: {copy: a}", "`tiers.copy` is `a`; write a list"),
        ("tiers: {copy: [1]}", "`tiers.copy[0]` is 1; write a text"),
        ("excluded: ['']", "`excluded[0]` is empty; write a text"),
        ("rights: {licenses: []}", "`rights.licenses` allows nothing; name what is allowed"),
        ("rights: {assume: [{files: [a], license: MIT}]}", "`rights.assume[0]` has no `reason`; write why"),
        ("rights: {assume: [{license: MIT, reason: x}]}", "`rights.assume[0]` says of no rows; write `files`"),
        ("rights: {assume: [{files: [a], reason: x}]}", "`rights.assume[0]` gives no right; write `license`"),
        ("quality: [{fact: a}]", "`quality[0]` is no filter; write {fact: pipeline_quality, min: 0.3}"),
        ("quality: {fact: a}", "`quality` is a table; write a list"),
        ("duplicates: {near: 0}", "`duplicates.near` is 0; write a number above 0 and up to 1, or off"),
        ("duplicates: {near: 1.01}", "`duplicates.near` is 1.01; write a number above 0 and up to 1, or off"),
        ("duplicates: {exact: maybe}", "`duplicates.exact` is \"maybe\"; write true or false"),
        ("dedup: ours", "`dedup` is `ours`; write one of pipeline"),
        ("dedup: pipeline\nduplicates: {near: 0.5}", "`dedup` stands beside `duplicates`"),
        ("contamination: off", "`contamination` is"),
        ("lengths: {tokens_max: 1}", "`lengths.tokens_max` is 1; write a whole number from 16 to 10000000"),
        ("lengths: {tokens_max: 2.5}", "`lengths.tokens_max` is 2.5; write a whole number"),
        ("lengths: {overlength: drop}", "`lengths.overlength` says what is done"),
        ("split: {valid: 1}", "`split.valid` is 1; write a share from 0 up to, not including, 1"),
        ("split: {valid: 0.5, test: 0.5}", "`split` holds back 0.5 and 0.5, which leaves nothing to train on"),
        ("split: {seed: -1}", "`split.seed` is -1; write a whole number from 0"),
        ("mix: balanced", "`mix` is `balanced`; "),
        ("mix: {weights: {a: 0}}", "`mix.weights.a` is 0; write a weight from 0.001"),
        ("mix: {weights: {a: 1e9}}", "`mix.weights.a` is 1000000000.0; write a weight from 0.001"),
        ("mix: {repeats_max: 101}", "`mix.repeats_max` is 101; write a whole number from 1 to 100"),
        ("mix: {weigths: {}}", "`mix.weigths` is no key; did you mean `weights`?"),
        ("- a", "the file is not a table of keys and values"),
        ("split: {valid: 0.1, valid: 0.2}", "the file is not YAML: "),
        ("tiers: {filter_score: {min_score: .nan}}", "the file is not YAML: "),
        ("a: [", "the file is not YAML: "),
    ] {
        let error = error(yaml);
        assert!(error.starts_with(said), "{yaml}: {error}");
    }
}

#[test]
fn what_is_too_big_is_refused() {
    assert!(error(&" ".repeat(FILE_BYTES_MAX + 1)).contains("at most 262144 are read"));
    let many = format!("excluded: [{}]", "a, ".repeat(fields::ITEMS_MAX + 1));
    assert!(error(&many).contains("`excluded` has 1025 items"));
    let long = format!("excluded: [{}]", "a".repeat(fields::TEXT_BYTES_MAX + 1));
    assert!(error(&long).contains("`excluded[0]` has 1025 bytes"));
    let keys: Vec<String> = (0..=fields::ITEMS_MAX).map(|n| format!("k{n}: 1")).collect();
    assert!(error(&format!("mix: {{weights: {{{}}}}}", keys.join(", "))).contains("`mix.weights` has 1025 keys"));
    // Aliases that grow without end.
    let mut bomb = "a: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for n in 1..12 {
        let aliases = vec![format!("*a{}", n - 1); 9].join(", ");
        bomb.push_str(&format!("b{n}: &a{n} [{aliases}]\n"));
    }
    assert!(error(&bomb).contains("is not YAML"));
    assert!(error(&"[".repeat(100_000)).contains("is not YAML"));
}

#[test]
fn the_pipelines_file_is_read_as_it_is() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/vertigo/recipes/curation.yaml");
    let Ok(yaml) = fs::read_to_string(&path) else {
        vertigo_testkit::skipped(&format!("{} is not there", path.display()));
        return;
    };
    let config = Config::parse(&yaml).unwrap();
    let tiers = config.tiers.unwrap();
    assert_eq!((tiers.copy.len(), tiers.verified.len(), config.excluded.len()), (8, 6, 7));
    assert_eq!(tiers.copy[0], "codebase*.jsonl");
    assert_eq!(tiers.filter_code.files, ["roblox_creator_docs.jsonl", "critic_repair.jsonl"]);
    let score = FilterScore { files: vec!["rejection_sampled.jsonl".to_owned()], ..FilterScore::default() };
    assert_eq!((tiers.filter_code.min_code_lines, tiers.filter_score), (5, score));
    let rest = Config { tiers: None, excluded: Vec::new(), ..Config::parse(&yaml).unwrap() };
    assert_eq!(rest, Config::default());
}

#[test]
fn a_file_of_the_pipelines_form_has_its_defaults() {
    let yaml = "tiers:\n  copy:\n    - \"a*.jsonl\"\n  filter_code:\n    files:\n      - b.jsonl\n  filter_score:\n    files: [c.jsonl]\n\
                excluded:\n";
    let config = Config::parse(yaml).unwrap();
    let tiers = config.tiers.unwrap();
    assert_eq!((tiers.copy, tiers.verified), (vec!["a*.jsonl".to_owned()], Vec::new()));
    assert_eq!(tiers.filter_code, FilterCode { files: vec!["b.jsonl".to_owned()], min_code_lines: 5 });
    let score = FilterScore { files: vec!["c.jsonl".to_owned()], min_score: 0.6, score_field: "eval_score".to_owned() };
    assert_eq!((tiers.filter_score, config.excluded), (score, Vec::<String>::new()));
}

proptest! {
    #[test]
    fn any_text_is_a_config_or_an_error(text in "([a-z_]{1,9}|tiers|filters|mix|split|: |\n|  |- |\\[|\\]|\\{|\\}|,|0\\.5|&a |\\*a|\"|#){0,40}") {
        if let Err(error) = Config::parse(&text) {
            prop_assert!(!error.problem.is_empty());
        }
    }
}
