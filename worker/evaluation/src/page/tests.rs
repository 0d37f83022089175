mod made;
mod read;

use super::*;
use crate::answer::Answer;
use crate::report::Report;
use crate::score::Standing;
use crate::suite::CheckName;
use base64::prelude::{BASE64_STANDARD, Engine};
use made::{answered, everywhere, report, small, task, verdict};
use proptest::prelude::*;
use read::read;
use serde_json::json;
use vertigo::id::Digest;

/// The page without its style and its script, which have files of their own, and a line for each element.
fn golden(page: &str) -> String {
    let page =
        page.replace(STYLE, "…").replace(SCRIPT, "…").replace(&maud::html! { (frame("").policy()) }.into_string(), "…");
    let tags = [
        "<section",
        "<table",
        "<tr",
        "<details",
        "<summary",
        "<p",
        "<div",
        "<li",
        "<dt",
        "</details",
        "<form",
        "<label",
    ];
    tags.into_iter().fold(page, |page, tag| page.replace(tag, &format!("\n{tag}")))
}

#[test]
fn a_small_report_is_this_page() {
    insta::assert_snapshot!("one", golden(&page(&[&small("base", false)])));
}

#[test]
fn two_small_reports_are_this_page() {
    insta::assert_snapshot!("two", golden(&page(&[&small("base", false), &small("tutor", true)])));
}

#[test]
fn two_reports_that_are_not_alike_are_not_compared_and_it_is_said_why() {
    let mut other = small("tutor", true);
    other.facts.sampling.temperature = 1.5;
    let text = page(&[&small("base", false), &other]);
    assert!(text.contains("They are not compared. `A` and `B` were not asked alike: `temperature` is"), "{text}");
    other.missing = 3;
    assert!(page(&[&small("base", false), &other]).contains("They are not compared. B: 3 answers are still to come"));
    assert!(!page(&[&other]).contains("Which is better"));
}

/// What an answer may hold to get out of its place. None has a backtick: those make other parts of a text.
const ATTACKS: [&str; 16] = [
    "</script><img src=x onerror=alert(1)>",
    "</style><script>alert(1)</script>",
    "<script src=https://example.com/x.js></script>",
    "\"><svg onload=alert(1)>",
    "' autofocus onfocus=alert(1) x='",
    "</pre></code></details></main><h1>Passed</h1>",
    "</title><iframe srcdoc='<script>alert(1)</script>'>",
    "javascript:alert(1)",
    "<!--",
    "--><b onclick=alert(1)>",
    "&lt;img src=x&gt;&#60;script&#62;",
    "<![CDATA[<x>]]><?xml?><!DOCTYPE x>",
    "</textarea></select></template></noscript><base href=//example.com>",
    "a\0b\u{1b}[31m\u{7f}\u{85}\r\u{fffe}\u{1ffff}\u{fdd0}",
    "\u{202e}dne\u{2066}",
    "[[</q>{<b>}]] --[[</i>]] '</q>' 1</u>:</em>",
];

#[test]
fn no_attack_adds_an_element_or_an_attribute() {
    let plain = everywhere("x");
    let plain = read(&page(&[&plain, &plain]));
    for attack in ATTACKS {
        let report = everywhere(attack);
        let read = read(&page(&[&report, &report]));
        assert!(read.skeleton() == plain.skeleton(), "{attack:?} changes the page");
        assert_eq!((read.scripts, read.styles), (vec![SCRIPT.to_owned()], vec![STYLE.to_owned()]));
    }
}

#[test]
fn what_turns_writing_around_is_named() {
    let page = page(&[&everywhere("\u{202e}return\0")]);
    assert!(!page.contains(['\u{202e}', '\0']));
    assert!(page.contains("⟨U+202E⟩<b>return</b>␀"));
}

/// The elements of a page.
const ELEMENTS: [&str; 43] = [
    "html", "head", "meta", "title", "style", "body", "a", "header", "h1", "h2", "main", "section", "p", "ul", "li",
    "dl", "dt", "dd", "b", "q", "i", "u", "em", "span", "code", "pre", "div", "table", "thead", "tbody", "tr", "th",
    "td", "svg", "rect", "details", "summary", "form", "label", "select", "option", "input", "button",
];
const ELEMENTS_ONCE: [&str; 2] = ["script", "output"];

/// The attributes of a page.
const ATTRIBUTES: [&str; 30] = [
    "lang",
    "charset",
    "http-equiv",
    "content",
    "name",
    "class",
    "href",
    "id",
    "aria-label",
    "aria-labelledby",
    "aria-hidden",
    "role",
    "tabindex",
    "scope",
    "rowspan",
    "viewbox",
    "preserveaspectratio",
    "focusable",
    "x",
    "y",
    "width",
    "height",
    "open",
    "data-category",
    "data-states",
    "hidden",
    "value",
    "type",
    "placeholder",
    "for",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn whatever_answers_say_the_page_has_its_own_elements_alone(
        text in "([<>&\"'`/=!?\\-\\[\\]{}\0\r\n\u{1b}\u{202e}\u{fffe} ]|```|~~~|script|style|img|on[a-z]+=|<!--|-->|</|\\PC){0,24}",
    ) {
        let report = everywhere(&text);
        let page = page(&[&report, &report]);
        let read = read(&page);
        for (name, attributes) in &read.elements {
            prop_assert!(ELEMENTS.contains(&name.as_str()) || ELEMENTS_ONCE.contains(&name.as_str()), "{}", name);
            for (attribute, _) in attributes {
                prop_assert!(ATTRIBUTES.contains(&attribute.as_str()), "{}", attribute);
            }
        }
        for name in ELEMENTS_ONCE {
            prop_assert_eq!(read.elements.iter().filter(|(other, _)| other == name).count(), 1);
        }
        prop_assert_eq!(&read.scripts, &[SCRIPT]);
        prop_assert_eq!(&read.styles, &[STYLE]);
        let ids = read.values("id");
        for href in read.values("href") {
            prop_assert!(href.strip_prefix('#').is_some_and(|id| ids.contains(&id)), "{}", href);
        }
        prop_assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len());
        prop_assert!(!page.contains(|c: char| c.is_control() && c != '\n' && c != '\t'));
    }
}

#[test]
fn the_policy_names_the_script_and_the_style_as_they_stand_in_the_page() {
    let read = read(&page(&[&small("base", true)]));
    let hash = |text: &str| BASE64_STANDARD.encode(Digest::of(text.as_bytes()).as_bytes());
    let policy = read.values("content").into_iter().find(|value| value.starts_with("default-src 'none';")).unwrap();
    assert!(policy.contains(&format!("script-src 'sha256-{}'", hash(&read.scripts[0]))), "{policy}");
    assert!(policy.contains(&format!("style-src 'sha256-{}'", hash(&read.styles[0]))), "{policy}");
}

#[test]
fn nonsense_that_does_well_is_said_in_words_before_any_figure() {
    let page = page(&[&small("base", true)]);
    let said = "An echo of the prompt scores 80.8 here: benchmark_v2 (80.8) says little of a model.";
    let alarm = page.find(said).unwrap();
    assert!(alarm < page.find("<h2>Results</h2>").unwrap());
    assert!(page[..alarm].ends_with("<li>") && page[..alarm].contains("<section class=\"alarm\""));
}

#[test]
fn tasks_on_which_the_two_differ_come_first() {
    let of = |id: &str, passes: &[bool]| {
        let standing = |passes: bool| if passes { Standing::Passed } else { Standing::Failed };
        let answers = passes
            .iter()
            .enumerate()
            .map(|(n, passes)| answered(n as u32, Answer::said("x"), vec![verdict(CheckName::Run, standing(*passes))]));
        task(id, "coding", json!("?"), answers.collect())
    };
    let a = report("a", vec![of("a", &[true, true]), of("b", &[true, false]), of("c", &[false, false])]);
    let b = report(
        "b",
        vec![of("a", &[true, true]), of("b", &[true, true]), of("c", &[true, true]), of("d", &[true, true])],
    );
    let page = page(&[&a, &b]);
    let places = ["c", "b", "a", "d"].map(|id| page.find(&format!("id=\"task-{id}\"")).unwrap());
    assert!(places.is_sorted(), "{places:?}");
    assert!(page.contains("B +100.0") && page.contains("B +50.0") && page.contains("not asked"));
}

#[test]
fn what_is_long_is_cut_and_the_page_says_so() {
    let line = "local x = 'é' -- so\n";
    let text = format!("```luau\n{}", line.repeat((1 << 20) / line.len()));
    let answers = (0..2).map(|n| answered(n, Answer::said(&text), vec![]));
    let tasks: Vec<_> =
        (0..8).map(|n| task(&format!("t{n}"), "coding", json!("?"), answers.clone().collect())).collect();
    let page = page(&[&report("a", tasks)]);
    assert!(page.contains("more bytes are not on this page; the report has them."));
    // At most 64 KiB of each answer, of which colours make about three times as many.
    assert!(page.len() < 16 * 4 * (64 << 10), "{} bytes", page.len());
    read(&page);
}

#[test]
fn a_page_of_nothing_says_so() {
    assert!(read(&page(&[])).text.contains("No report"));
    let empty: Report = report("a", vec![]);
    assert!(read(&page(&[&empty])).text.contains("nothing decides"));
}

#[test]
fn a_real_roblox_has_a_section_of_its_own_where_it_was_asked() {
    use crate::report::{RobloxAnswer, RobloxReport, RobloxTally, RobloxTask};
    use crate::roblox::{Outcome, Roblox, Verdict};
    let mut report = made::small("m", true);
    assert!(!page(&[&report]).contains("Real Roblox"));
    let failed = Verdict::of(Outcome::Failed, "<b>no Part</b>", Vec::new());
    let answers = vec![RobloxAnswer { sample: 0, job: None, verdict: Some(failed) }];
    let tally = RobloxTally { answers: 1, failed: 1, ..RobloxTally::default() };
    let tasks = vec![RobloxTask { task: "a".to_owned(), answers }];
    report.roblox = Some(RobloxReport { by: Roblox::Cloud, tally, tasks });
    let text = page(&[&report]);
    assert!(text.contains("Real Roblox (Open Cloud)") && text.contains("&lt;b&gt;no Part"), "it is escaped");
}
