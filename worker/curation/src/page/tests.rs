use super::*;
use crate::config::Config;
use crate::curate::{Inputs, curate};
use proptest::prelude::*;
use serde_json::json;
use std::io::{BufRead, Cursor};

/// The report of a few rows that all say the same thing.
fn report(said: &str) -> Report {
    let row = |n: usize, license: Option<&str>| {
        let text = format!("{said} {}", "word ".repeat(n));
        json!({
            "messages": [{"role": "user", "content": text}, {"role": "assistant", "content": text}],
            "category": said, "license": license, "rights_basis": said, "attribution": said,
        })
        .to_string()
    };
    let text =
        [row(1, Some("MIT")), row(1, Some("MIT")), row(30, Some(said)), row(90, None), "{".to_owned()].join("\n");
    let files: Vec<(String, Box<dyn BufRead>)> =
        vec![(format!("{said}.jsonl"), Box::new(Cursor::new(text.into_bytes())))];
    // What the rows say may be seen by no filter, or pages would differ for a good reason.
    let config = Config::parse(
        "split: {valid: 0, test: 0}\nduplicates: {near: off, code: off}\nmix: {by: category, weights: {none: 2}}\n\
         filters: {unclosed_fence: off, cut_answer: off, leaked_thinking: off, refusal: off, echo: off, loose_code: off}",
    )
    .unwrap();
    curate(&config, Inputs { files, suites: Vec::new(), tokenizer: None }, &mut |_| ()).unwrap().report().clone()
}

/// The names of the elements of a page, in their order, and its scripts.
fn elements(page: &str) -> Vec<String> {
    let tokens = html5gum::Tokenizer::new(page).map(|token| token.unwrap());
    tokens
        .filter_map(|token| match token {
            html5gum::Token::StartTag(tag) => {
                let attributes: Vec<String> =
                    tag.attributes.keys().map(|key| String::from_utf8_lossy(key).into_owned()).collect();
                Some(format!("{} {attributes:?}", String::from_utf8_lossy(&tag.name)))
            }
            html5gum::Token::Error(error) => panic!("{error:?}"),
            _ => None,
        })
        .collect()
}

#[test]
fn what_a_reader_needs_is_on_the_page() {
    let page = page(&report("part"));
    for expected in [
        "1 (20.0 %)",
        "not_json",
        "equal_row",
        "part.jsonl:5",
        "none said",
        "keep the copyright notice",
        "held against no suite",
        "No row of one side is on another",
        "No base was given",
        "The mix weighs `category: none`, which no row has.",
    ] {
        assert!(page.contains(expected), "{expected}: {page}");
    }
    assert!(!page.contains("<script"), "nothing runs on it");
    assert!(page.contains("default-src 'none'") && page.contains("script-src 'none'"));
}

/// What data may hold to get out of its place.
const ATTACKS: [&str; 8] = [
    "</script><img src=x onerror=alert(1)>",
    "</style><script>alert(1)</script>",
    "\"><svg onload=alert(1)>",
    "' autofocus onfocus=alert(1) x='",
    "</table></details></main><h1>Clean</h1>",
    "<!--",
    "&lt;img src=x&gt;",
    "a\u{1b}[31m\u{85}\u{202e}dne\u{2066}",
];

#[test]
fn no_attack_adds_an_element_or_an_attribute() {
    let plain = elements(&page(&report("x")));
    for attack in ATTACKS {
        assert!(elements(&page(&report(attack))) == plain, "{attack}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn whatever_rows_say_the_page_has_its_own_elements_alone(said in "[<>&\"'/a-z! =\\-]{1,40}") {
        prop_assume!(!said.trim().is_empty());
        prop_assert!(elements(&page(&report(&said))) == elements(&page(&report("x"))));
    }
}
