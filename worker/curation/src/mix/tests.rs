use super::*;
use crate::row::Body;
use proptest::prelude::*;
use serde_json::json;

fn rows(of: &[(Value, usize)]) -> Vec<Row> {
    let row = |facts: &Value| Row {
        entry: 0,
        body: Body::Text("x".to_owned()),
        facts: facts.as_object().cloned().unwrap_or_default(),
    };
    of.iter().flat_map(|(facts, count)| std::iter::repeat_n(row(facts), *count)).collect()
}

fn given(of: &[(&str, f64)]) -> BTreeMap<String, f64> {
    of.iter().map(|(value, weight)| ((*value).to_owned(), *weight)).collect()
}

#[test]
fn rows_are_drawn_in_the_ratio_of_their_weights() {
    let rows = rows(&[(json!({"category": "coding"}), 20), (json!({"category": "bugs"}), 60), (json!({}), 20)]);
    let mixed = weigh(&rows, "category", &given(&[("coding", 2.0), ("bug", 3.0)]), 4);
    // 20 rows of 2 and 80 of 1 weigh 120 together.
    let (coding, bugs) = (mixed.groups["coding"], mixed.groups["bugs"]);
    assert_eq!((coding.rows, coding.given, coding.weight), (20, 2.0, 1.666667));
    assert_eq!((bugs.given, bugs.weight), (1.0, 0.833333));
    assert_eq!(mixed.groups[UNKNOWN].rows, 20);
    assert!((coding.share - 1.0 / 3.0).abs() < 1e-6);
    assert_eq!(mixed.weights[..20], [1.666667; 20]);
    assert_eq!(mixed.unused, ["bug"]);
}

#[test]
fn no_row_is_drawn_more_often_than_the_cap_and_others_take_what_it_leaves() {
    let rows =
        rows(&[(json!({"category": "rare"}), 1), (json!({"category": "a"}), 33), (json!({"category": "b"}), 66)]);
    let mixed = weigh(&rows, "category", &given(&[("rare", 1000.0), ("a", 2.0)]), 4);
    assert_eq!(mixed.groups["rare"].weight, 4.0);
    let (a, b) = (mixed.groups["a"].weight, mixed.groups["b"].weight);
    assert!((a / b - 2.0).abs() < 1e-5, "{a} and {b}");
    assert!((mixed.weights.iter().sum::<f64>() - 100.0).abs() < 1e-3);
}

#[test]
fn a_fact_is_found_by_its_whole_name_or_by_its_path() {
    let all = rows(&[(json!({"provenance": {"family": "sft"}, "a.b": 3, "tier": true, "none": null}), 1)]);
    for (by, wanted) in
        [("provenance.family", "sft"), ("a.b", "3"), ("tier", "true"), ("none", UNKNOWN), ("x.y", UNKNOWN)]
    {
        assert_eq!(group(&all[0], by), wanted);
    }
}

#[test]
fn without_rows_there_is_nothing_to_weigh() {
    let mixed = weigh(&[], "category", &given(&[("coding", 2.0)]), 4);
    assert!(mixed.weights.is_empty() && mixed.groups.is_empty());
    assert_eq!(mixed.unused, ["coding"]);
}

proptest! {
    #[test]
    fn the_mean_weight_is_one_and_ratios_hold_below_the_cap(
        groups in prop::collection::vec((1usize..40, 0.01f64..100.0), 1..8), cap in 1u32..6,
    ) {
        let name = |n: usize| format!("g{n}");
        let all = rows(&groups.iter().enumerate().map(|(n, (rows, _))| (json!({"category": name(n)}), *rows)).collect::<Vec<_>>());
        let weights = groups.iter().enumerate().map(|(n, (_, weight))| (name(n), *weight)).collect();
        let mixed = weigh(&all, "category", &weights, cap);
        let mean = mixed.weights.iter().sum::<f64>() / all.len() as f64;
        prop_assert!((mean - 1.0).abs() < 1e-5, "{mean}");
        let all_of = mixed.groups.values();
        prop_assert!(all_of.clone().all(|group| group.weight > 0.0 && group.weight <= f64::from(cap)));
        let below: Vec<_> = all_of.filter(|group| group.weight < f64::from(cap) - 1e-5).collect();
        for pair in below.windows(2) {
            let times = |group: &Group| group.weight / group.given;
            let off = 1e-6 / pair[0].given + 1e-6 / pair[1].given;
            prop_assert!((times(pair[0]) - times(pair[1])).abs() <= off, "{pair:?}");
        }
    }
}
