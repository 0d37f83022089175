use super::shingles::Shingles;
use super::*;
use crate::row::{Call, Message, Origin, Role};
use proptest::prelude::*;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Map, Value, json};
use std::sync::Arc;

const NEAR_ALONE: Asked = Asked { exact: false, near: Some(0.8), code: Act::Off };

fn chat(asked: &str, answer: &str) -> Body {
    let messages = vec![Message::new(Role::User, asked), Message::new(Role::Assistant, answer)];
    Body::Chat { messages, tools: None }
}

/// Rows as lines of files in the order in which they are given, with their book.
fn entered(bodies: impl IntoIterator<Item = (Body, Map<String, Value>)>) -> (Vec<Row>, Book) {
    let mut book = Book::default();
    let rows = bodies.into_iter().zip(1u32..).map(|((body, facts), line)| {
        let entry = book.enter(Origin { file: Arc::from("a.jsonl"), line });
        Row { entry, body, facts }
    });
    (rows.collect(), book)
}

fn plain(bodies: Vec<Body>) -> (Vec<Row>, Book) {
    entered(bodies.into_iter().map(|body| (body, Map::new())))
}

fn same_quality(_: &Row) -> f64 {
    0.5
}

fn ids(rows: &[Row]) -> Vec<RowId> {
    rows.iter().map(|row| row.body.id()).collect()
}

fn detail(book: &Book, entry: u32) -> (&'static str, Effect, &str) {
    let touch = book.entries[entry as usize].touched.last().expect("a rule touched it");
    (touch.rule.name, touch.effect, &touch.detail)
}

/// Words that are drawn, and some rows of which several are made of one by changing a few words.
fn drawn(seed: u64, families: usize, copies: usize, words: usize, changed: usize) -> Vec<Body> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut bodies = Vec::new();
    for _ in 0..families {
        let first: Vec<u32> = (0..words).map(|_| rng.random_range(0..5000)).collect();
        for _ in 0..copies {
            let mut words = first.clone();
            for _ in 0..rng.random_range(0..=changed) {
                let at = rng.random_range(0..words.len());
                words[at] = rng.random_range(0..5000);
            }
            let text: Vec<String> = words.iter().map(|word| format!("w{word}")).collect();
            bodies.push(chat(&text[..words.len() / 3].join(" "), &text[words.len() / 3..].join(" ")));
        }
    }
    bodies.shuffle(&mut rng);
    bodies
}

#[test]
fn of_equal_rows_the_best_stays_then_the_oldest_and_the_others_say_whom_they_are_like() {
    let facts = |value: Value| value.as_object().cloned().unwrap_or_default();
    let body = || chat("How do I add a score?", "Like this.");
    let (rows, mut book) = entered([
        (body(), facts(json!({"quality": 0.4, "timestamp": 5}))),
        (body(), facts(json!({"quality": 0.9, "timestamp": 9}))),
        (body(), facts(json!({"quality": 0.9, "timestamp": 7}))),
        (chat("Something else?", "No, nothing."), Map::new()),
    ]);
    let quality = |row: &Row| row.facts.get("quality").and_then(Value::as_f64).unwrap_or(0.0);
    let made = run(rows, &Asked::default(), &quality, &mut book);
    assert_eq!(made.rows.len(), 2);
    assert!(made.rows.iter().any(|row| row.entry == 2));
    let id = body().id();
    for entry in [0, 1] {
        assert_eq!(detail(&book, entry), ("equal_row", Effect::Dropped, &*format!("{id:.12} (a.jsonl:3)")));
    }
    assert!(book.entries[2].touched.is_empty());
    for entry in 0..3 {
        assert_eq!(made.clusters.of(entry), Some(id));
    }
    assert_eq!(made.clusters.of(3), None);
    assert_eq!(made.clusters.all(), BTreeMap::from([(id, vec![0, 1, 2])]));
}

#[test]
fn rows_whose_calls_differ_are_not_equal_and_long_calls_that_are_alike_are_near() {
    let calling = |code: &str| {
        let arguments = json!({ "code": code }).as_object().cloned().unwrap_or_default();
        let mut message = Message::new(Role::Assistant, "");
        message.calls.push(Call { id: None, name: "run_code".into(), arguments });
        Body::Chat { messages: vec![Message::new(Role::User, "Do it."), message], tools: None }
    };
    let long: String = (0..60).map(|n| format!("part{n} = {n}\n")).collect();
    let other: String = (100..160).map(|n| format!("piece{n} = {n}\n")).collect();
    let bodies = vec![calling(&long), calling(&long.replace("part7 = 7", "part7 = 8")), calling(&other)];
    let (rows, mut book) = plain(bodies.clone());
    let exact = Asked { exact: true, near: None, code: Act::Off };
    assert_eq!(run(rows.clone(), &exact, &same_quality, &mut book.clone()).rows.len(), 3);
    let made = run(rows, &Asked::default(), &same_quality, &mut book);
    assert_eq!(made.rows.len(), 2);
    let gone = (0..3).find(|entry| !book.entries[*entry as usize].touched.is_empty()).unwrap();
    assert!(gone < 2, "the one of other code stays");
    let jaccard = Shingles::of(&bodies[0]).jaccard(&Shingles::of(&bodies[1]));
    assert!((0.9..1.0).contains(&jaccard));
    let like = bodies[1 - gone as usize].id();
    let wanted = format!("{jaccard:.2} like {like:.12} (a.jsonl:{})", 2 - gone);
    assert_eq!(detail(&book, gone), ("near_row", Effect::Dropped, &*wanted));
}

#[test]
fn a_shared_system_prompt_and_shared_tools_make_no_rows_alike() {
    let tools = Some(vec![json!({"function": {"name": "f", "description": "words ".repeat(300)}})]);
    let with = |asked: &str, answer: &str| {
        let system = (0..300).map(|n| format!("rule{n}")).collect::<Vec<_>>().join(" ");
        let said = [(Role::System, system.as_str()), (Role::User, asked), (Role::Assistant, answer)];
        let messages = said.map(|(role, text)| Message::new(role, text)).into();
        Body::Chat { messages, tools: tools.clone() }
    };
    let (rows, mut book) = plain(vec![
        with("Make it red please.", "I made the part red."),
        with("Who won the last round?", "Nobody did, it was a draw."),
    ]);
    assert_eq!(run(rows, &Asked::default(), &same_quality, &mut book).rows.len(), 2);
}

#[test]
fn a_chain_of_rows_keeps_its_ends() {
    // Each is like the next, and the last is unlike the first.
    let text = |from: usize| (from..from + 100).map(|n| format!("w{n}")).collect::<Vec<_>>().join(" ");
    let bodies: Vec<Body> = (0..10).map(|n| Body::Text(text(n * 8))).collect();
    let (rows, mut book) = plain(bodies);
    let made = run(rows.clone(), &NEAR_ALONE, &|row| -f64::from(row.entry), &mut book);
    let mut kept: Vec<u32> = made.rows.iter().map(|row| row.entry).collect();
    kept.sort_unstable();
    assert_eq!(kept, [0, 2, 4, 6, 8]);
}

#[test]
fn code_that_is_the_same_but_for_its_names_is_noted_and_dropped_where_that_is_asked() {
    let program = |name: &str, by: u32| {
        let line = |n: u32| {
            format!("local {name}{n} = math.max({name}, {})\nif {name}{n} > {by} then print({name}{n}) end\n", n * by)
        };
        let code: String = (0..12).map(line).collect();
        chat(&format!("Write me something about {name} and {by}."), &format!("Here it is.\n```luau\n{code}```\n"))
    };
    let bodies = vec![program("coins", 3), program("gems", 7)];
    for (act, effect, left) in [(Act::Note, Effect::Noted, 2), (Act::Drop, Effect::Dropped, 1)] {
        let (rows, mut book) = plain(bodies.clone());
        let made = run(rows, &Asked { code: act, ..Asked::default() }, &|row| -f64::from(row.entry), &mut book);
        assert_eq!(made.rows.len(), left);
        assert_eq!(detail(&book, 1), ("same_code", effect, &*format!("{:.12} (a.jsonl:1)", bodies[0].id())));
        assert_eq!(made.clusters.all().len(), 1);
    }
    let (rows, mut book) = plain(bodies);
    let made = run(rows, &Asked { code: Act::Off, ..Asked::default() }, &same_quality, &mut book);
    assert!(made.clusters.all().is_empty() && book.entries.iter().all(|entry| entry.touched.is_empty()));
}

#[test]
fn ten_thousand_rows_that_are_nearly_the_same_cost_as_many_comparisons() {
    let first: Vec<String> = (0..100).map(|n| format!("w{n}")).collect();
    let bodies: Vec<Body> = (0..10_000)
        .map(|n| {
            let mut words = first.clone();
            words[n % 100] = format!("other{n}");
            Body::Text(words.join(" "))
        })
        .collect();
    let bodies: Vec<&Body> = bodies.iter().collect();
    let (mut kept, mut compared) = (Kept::new(&bodies), 0);
    near::meet(&bodies, 0.8, SEED, |row, earlier| {
        compared += 1;
        if kept.jaccard(row, earlier) >= 0.8 { After::Goes } else { After::Stays }
    });
    assert!((bodies.len() - 1..2 * bodies.len()).contains(&compared), "{compared}");
}

#[test]
fn rows_that_share_keys_and_are_not_alike_are_compared_with_so_many_others_and_no_more() {
    // The same words over and over: all are met by all.
    let bodies: Vec<Body> = (0..300).map(|_| Body::Text("the same words".to_owned())).collect();
    let bodies: Vec<&Body> = bodies.iter().collect();
    let mut compared = vec![0; bodies.len()];
    near::meet(&bodies, 0.8, SEED, |row, _| {
        compared[row as usize] += 1;
        After::Stays
    });
    assert_eq!(compared.iter().max(), Some(&near::MET_MAX));
    assert_eq!(compared[..near::MET_MAX], (0..near::MET_MAX).collect::<Vec<_>>());
}

/// What of all rows that are as alike as the threshold says is found. Pairs share anything between half and all.
#[test]
fn nearly_all_pairs_are_found_that_a_slow_search_finds_and_no_other() {
    let (mut found, mut wanted) = (0, 0);
    for seed in 0..12 {
        let bodies = drawn(seed, 60, 2, 60, 3);
        let (rows, mut book) = plain(bodies.clone());
        let made = run(rows, &NEAR_ALONE, &same_quality, &mut book);
        let shingles: Vec<Shingles> = bodies.iter().map(Shingles::of).collect();
        for one in 0..bodies.len() {
            for other in one + 1..bodies.len() {
                let is_joined =
                    made.clusters.of(one as u32).is_some_and(|id| made.clusters.of(other as u32) == Some(id));
                let is_alike = shingles[one].jaccard(&shingles[other]) >= 0.8;
                assert!(is_alike || !is_joined, "{one} and {other} of seed {seed} are not alike");
                wanted += usize::from(is_alike);
                found += usize::from(is_alike && is_joined);
            }
        }
    }
    assert!(wanted > 250, "{wanted} pairs are alike");
    assert!(found as f64 >= 0.99 * wanted as f64, "{found} of {wanted}");
}

/// What is left of rows, and what belongs together, by their ids.
fn outcome(bodies: &[Body], asked: &Asked) -> (Vec<RowId>, Vec<Vec<RowId>>) {
    let (rows, mut book) = plain(bodies.to_vec());
    let by_entry = ids(&rows);
    let made = run(rows, asked, &same_quality, &mut book);
    let clusters = made.clusters.all().into_iter().map(|(id, entries)| {
        let mut rows: Vec<RowId> = entries.iter().map(|entry| by_entry[*entry as usize]).collect();
        rows.sort_unstable();
        assert_eq!(id, rows[0], "a cluster is named by its smallest id");
        rows
    });
    (ids(&made.rows), clusters.collect())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn the_order_of_rows_changes_nothing_and_what_stayed_stays_again(
        seed in 0u64..1000, changed in 1usize..8, by in 0usize..50, exact in any::<bool>(), threshold in 0.3f64..1.0,
    ) {
        let mut bodies = drawn(seed, 8, 5, 30, changed);
        let again = bodies[0].clone();
        bodies.push(again);
        let asked = Asked { exact, near: Some(threshold), code: Act::Drop };
        let straight = outcome(&bodies, &asked);
        let by = by % bodies.len();
        bodies.rotate_left(by);
        bodies.reverse();
        prop_assert_eq!(&outcome(&bodies, &asked), &straight);
        bodies.retain(|body| straight.0.contains(&body.id()));
        bodies.sort_by_key(Body::id);
        bodies.dedup_by_key(|body| body.id());
        let (left, clusters) = outcome(&bodies, &asked);
        prop_assert_eq!(left, straight.0);
        prop_assert!(clusters.is_empty());
    }

    #[test]
    fn whoever_goes_is_like_one_that_stays(seed in 0u64..1000, threshold in 0.2f64..1.0, changed in 1usize..12) {
        let bodies = drawn(seed, 6, 6, 30, changed);
        let (rows, mut book) = plain(bodies.clone());
        let made = run(rows, &Asked { near: Some(threshold), ..NEAR_ALONE }, &same_quality, &mut book);
        for (body, entry) in bodies.iter().zip(&book.entries).filter(|(_, entry)| entry.end().is_some()) {
            let (_, like) = entry.end().unwrap().detail.split_once(" like ").unwrap();
            let like = made.rows.iter().find(|row| row.body.id().to_string().starts_with(&like[..12]));
            let like = like.expect("the row that stands for it stays");
            prop_assert!(Shingles::of(body).jaccard(&Shingles::of(&like.body)) >= threshold);
        }
    }

    #[test]
    fn a_row_is_found_like_another_just_where_one_is(
        seed in 0u64..1000, words in 1usize..40, changed in 1usize..20, threshold in 0.05f64..=1.0,
    ) {
        let bodies = drawn(seed, 10, 4, words, changed);
        let bodies: Vec<&Body> = bodies.iter().collect();
        let (rows, others) = bodies.split_at(15);
        let shingles = |bodies: &[&Body]| bodies.iter().map(|body| Shingles::of(body)).collect::<Vec<_>>();
        let (of_rows, of_others) = (shingles(rows), shingles(others));
        for (row, found) in of_rows.iter().zip(join::like(rows, others, threshold)) {
            let first = of_others.iter().position(|other| row.jaccard(other) >= threshold);
            prop_assert_eq!(found.map(|like| like.other as usize), first);
            prop_assert_eq!(found.map(|like| like.jaccard), first.map(|first| row.jaccard(&of_others[first])));
        }
    }

    #[test]
    fn a_jaccard_index_is_what_sets_say(one in prop::collection::vec(0u64..40, 0..30), other in prop::collection::vec(0u64..40, 0..30)) {
        let text = |words: &[u64]| Body::Text(words.iter().map(|word| format!("w{word} ")).collect());
        let (one, other) = (Shingles::of(&text(&one)), Shingles::of(&text(&other)));
        let set = |shingles: &Shingles| shingles.as_slice().iter().copied().collect::<std::collections::BTreeSet<u64>>();
        let (a, b) = (set(&one), set(&other));
        let either = a.union(&b).count();
        let wanted = if either == 0 { 0.0 } else { a.intersection(&b).count() as f64 / either as f64 };
        prop_assert_eq!(one.jaccard(&other), wanted);
    }
}
