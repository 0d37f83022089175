use super::*;
use crate::duplicates::shingles::Shingles;
use crate::leak::Leak;
use crate::row::{Message, Origin};
use proptest::prelude::*;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::Map;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

const ASKED: Asked = Asked { valid: 0.1, test: 0.1, seed: 42 };

fn chat(turns: &[&str]) -> Body {
    let role = |n: usize| if n.is_multiple_of(2) { Role::User } else { Role::Assistant };
    let messages = turns.iter().enumerate().map(|(n, text)| Message::new(role(n), *text)).collect();
    Body::Chat { messages, tools: None }
}

fn entered(bodies: Vec<Body>) -> (Vec<Row>, Book) {
    let mut book = Book::default();
    let rows = bodies.into_iter().zip(1u32..).map(|(body, line)| {
        let entry = book.enter(Origin { file: Arc::from("a.jsonl"), line });
        Row { entry, body, facts: Map::new() }
    });
    (rows.collect(), book)
}

/// Rows of which `copies` each share a good part of their words.
fn drawn(seed: u64, families: usize, copies: usize, changed: usize) -> Vec<Body> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut bodies = Vec::new();
    for _ in 0..families {
        let first: Vec<u32> = (0..40).map(|_| rng.random_range(0..3000)).collect();
        for _ in 0..copies {
            let mut words = first.clone();
            for _ in 0..rng.random_range(0..=changed) {
                let at = rng.random_range(0..words.len());
                words[at] = rng.random_range(0..3000);
            }
            let text: Vec<String> = words.iter().map(|word| format!("w{word}")).collect();
            bodies.push(chat(&[&text[..15].join(" "), &text[15..].join(" ")]));
        }
    }
    bodies
}

fn sides(bodies: Vec<Body>, asked: &Asked, near: Option<f64>) -> Sides {
    let (rows, mut book) = entered(bodies);
    run(rows, asked, near, &mut book)
}

fn by_id(sides: &Sides) -> BTreeMap<RowId, Side> {
    let all = [(Side::Train, &sides.train), (Side::Valid, &sides.valid), (Side::Test, &sides.test)];
    all.into_iter().flat_map(|(side, rows)| rows.iter().map(move |row| (row.body.id(), side))).collect()
}

#[test]
fn every_row_has_one_side_which_the_book_says() {
    let bodies = drawn(1, 200, 1, 0);
    let (rows, mut book) = entered(bodies);
    let count = rows.len();
    let sides = run(rows, &ASKED, Some(0.8), &mut book);
    assert_eq!(sides.train.len() + sides.valid.len() + sides.test.len(), count);
    assert_eq!((sides.clusters, sides.largest), (200, 1));
    for (side, rows) in [(Side::Train, &sides.train), (Side::Valid, &sides.valid), (Side::Test, &sides.test)] {
        assert!(rows.iter().all(|row| book.of(row).side == Some(side)));
        assert!(rows.is_sorted_by_key(|row| row.body.id()));
    }
}

#[test]
fn shares_are_met_as_chance_meets_them_and_another_seed_draws_others() {
    let bodies = drawn(2, 5000, 1, 0);
    let one = sides(bodies.clone(), &ASKED, Some(0.8));
    for (side, count) in [("valid", one.valid.len()), ("test", one.test.len())] {
        // Five standard deviations of 500 of 5,000.
        assert!((394..=606).contains(&count), "{side} has {count}");
    }
    let other = sides(bodies.clone(), &Asked { seed: 43, ..ASKED }, Some(0.8));
    assert_ne!(by_id(&one), by_id(&other));
    let none = sides(bodies, &Asked { valid: 0.0, test: 0.0, ..ASKED }, None);
    assert_eq!((none.train.len(), none.valid.len(), none.test.len()), (5000, 0, 0));
}

#[test]
fn rows_that_come_later_leave_the_others_where_they_are() {
    let bodies = drawn(3, 1000, 1, 0);
    let before = by_id(&sides(bodies.clone(), &ASKED, Some(0.8)));
    let after = by_id(&sides([bodies, drawn(4, 500, 1, 0)].concat(), &ASKED, Some(0.8)));
    assert!(before.iter().all(|(id, side)| after[id] == *side));
}

#[test]
fn a_conversation_is_not_parted_from_its_shorter_form_nor_a_line_from_itself() {
    let mut bodies = Vec::new();
    for n in 0..100 {
        let (first, more) = (format!("Question {n} about everything?"), format!("And what about part {n} of it?"));
        let answer = (0..40).map(|word| format!("a{n}x{word} ")).collect::<String>();
        let further = (0..80).map(|word| format!("b{n}x{word} ")).collect::<String>();
        bodies.push(chat(&[&first, &answer]));
        bodies.push(chat(&[&first, &answer, &more, &further]));
    }
    let (mut rows, mut book) = entered(bodies);
    // What was cut between turns: the same line, and nothing in common.
    let cut = chat(&["Something else altogether?", "Yes."]);
    rows.push(Row { entry: 7, body: cut.clone(), facts: Map::new() });
    let seventh = rows[7].body.id();
    let pairs: Vec<(RowId, RowId)> = rows[..200].chunks(2).map(|pair| (pair[0].body.id(), pair[1].body.id())).collect();
    let sides = by_id(&run(rows, &Asked { valid: 0.3, test: 0.3, seed: 1 }, Some(0.8), &mut book));
    assert!(pairs.iter().all(|(short, long)| sides[short] == sides[long]));
    assert_eq!(sides[&seventh], sides[&cut.id()]);
    assert!([Side::Train, Side::Valid, Side::Test].iter().all(|side| sides.values().any(|it| it == side)));
}

#[test]
fn a_cluster_that_would_be_a_side_is_trained_on() {
    let mut bodies: Vec<Body> = (0..100).map(|n| chat(&["The same question?", &format!("Answer {n}.")])).collect();
    bodies.extend(drawn(5, 100, 1, 0));
    for seed in 0..20 {
        let sides = by_id(&sides(bodies.clone(), &Asked { seed, ..ASKED }, None));
        assert_eq!(sides[&bodies[0].id()], Side::Train);
    }
}

/// Without near duplicates taken out, and with every row alike: all of them go to one side.
#[test]
fn many_rows_that_are_nearly_the_same_stay_together() {
    let words: Vec<String> = (0..60).map(|n| format!("w{n}")).collect();
    let alike = |n: usize| {
        let mut words = words.clone();
        words[n % 60] = format!("other{n}");
        chat(&[&format!("Question {n}?"), &words.join(" ")])
    };
    let bodies: Vec<Body> = (0..1500).map(alike).chain(drawn(6, 60, 1, 0)).collect();
    let (rows, mut book) = entered(bodies);
    let alike: Vec<RowId> = rows[..1500].iter().map(|row| row.body.id()).collect();
    let sides = run(rows, &ASKED, None, &mut book);
    let by_id = by_id(&sides);
    assert!(alike.iter().all(|id| by_id[id] == Side::Train));
    assert!(Leak::of(&sides.plain(), leak::JACCARD).is_none());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn no_row_is_like_one_of_another_side_and_order_changes_nothing(
        seed in 0u64..1000, split in 0u64..1000, changed in 0usize..12, near in prop::option::of(0.3f64..1.0),
    ) {
        let mut bodies = drawn(seed, 30, 4, changed);
        let asked = Asked { valid: 0.3, test: 0.2, seed: split };
        let made = sides(bodies.clone(), &asked, near);
        let threshold = leak::threshold(near);
        prop_assert!(Leak::of(&made.plain(), threshold).is_none());
        let held: Vec<Shingles> = made.valid.iter().chain(&made.test).map(|row| Shingles::of(&row.body)).collect();
        let trained: Vec<Shingles> = made.train.iter().map(|row| Shingles::of(&row.body)).collect();
        prop_assert!(held.iter().all(|one| trained.iter().all(|other| one.jaccard(other) < threshold)));
        // No first question is on two sides.
        let questions = |rows: &[Row]| rows.iter().map(|row| row.body.messages()[0].text().to_owned()).collect::<BTreeSet<_>>();
        prop_assert!(questions(&made.train).is_disjoint(&questions(&made.valid)));
        prop_assert!(questions(&made.train).is_disjoint(&questions(&made.test)));
        if made.clusters >= CLUSTERS_MIN {
            prop_assert!(!made.train.is_empty() && !made.valid.is_empty() && !made.test.is_empty());
        }
        bodies.reverse();
        prop_assert_eq!(by_id(&sides(bodies, &asked, near)), by_id(&made));
    }
}
