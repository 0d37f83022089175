//! What a curation's report looks like, of one that was made here.

use super::*;
use crate::render::output::plain;
use std::io::BufRead;
use vertigo_curation::config::Config;
use vertigo_curation::curate::{Curated, Inputs, curate};
use vertigo_evaluation::suite::benchmark;

/// Twenty rows that share nothing, one that a suite asks, one without a licence, one broken line.
fn curated() -> Curated {
    let row = |question: &str, answer: &str, more: &str| {
        format!(
            "{{\"messages\": [{{\"role\": \"user\", \"content\": \"{question}\"}}, {{\"role\": \"assistant\", \"content\": \"{answer}\"}}]{more}}}\n"
        )
    };
    let words = |n: usize| (0..12).map(|k| format!("w{}", n * 100 + k)).collect::<Vec<_>>().join(" ");
    let mut text: String =
        (0..20).map(|n| row(&words(n), &words(n + 50), ", \"license\": \"MIT\", \"category\": \"a\"")).collect();
    text += &row("How long is the great wall of the seventh garden?", &words(90), ", \"license\": \"MIT\"");
    text += &row(&words(91), &words(92), "");
    text += "{\n";
    let task = r#"{"id":"wall","category":"coding","prompt":"How long is the great wall of the seventh garden?","expected_patterns":["x"]}"#;
    let suites = vec![benchmark("gardens", task, None).unwrap()];
    let config = Config::parse("rights: {licenses: [MIT]}").unwrap();
    let files: Vec<(String, Box<dyn BufRead>)> = vec![("raw.jsonl".to_owned(), Box::new(std::io::Cursor::new(text)))];
    curate(&config, Inputs { files, suites, tokenizer: None }, &mut |_| {}).unwrap()
}

#[test]
fn a_summary_fits_a_screen_and_says_what_was_left_out_by_what() {
    let curated = curated();
    let text = plain(&render("gardens:v1", curated.report()));
    for words in [
        "made of     23 lines, files: 1",
        "MIT 20, none said 0 (1 quarantined)",
        "nothing of the 1 tasks of gardens",
        "none: no side has",
        "rights",
        "no_rights 1",
        "not_json 1",
    ] {
        let said = text.split_whitespace().collect::<Vec<_>>().join(" ");
        let words = words.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(said.contains(&words), "{words}: {text}");
    }
    assert!(text.lines().all(|line| line.chars().count() <= 80) && text.lines().count() < 40, "{text}");
    let whole = plain(&render_whole("gardens:v1", curated.report()));
    assert!(whole.contains("raw.jsonl:23") && whole.contains("quarantined 1 no_rights"), "{whole}");
    assert!(whole.lines().all(|line| line.chars().count() <= 80), "{whole}");
}
