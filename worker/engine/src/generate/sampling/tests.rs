use super::*;
use proptest::prelude::*;

fn sampling(temperature: f32) -> Sampling {
    Sampling { temperature, ..Sampling::default() }
}

/// mlx-lm's filters as they are written there, by sorting everything; a token is kept where its weight stays above zero.
fn kept_by_the_book(logits: &[f32], sampling: &Sampling) -> Vec<bool> {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let weight: Vec<f64> = logits.iter().map(|x| f64::from((x - largest).exp())).collect();
    let total: f64 = weight.iter().sum();
    let mut order: Vec<usize> = (0..logits.len()).collect();
    order.sort_by(|&a, &b| logits[b].total_cmp(&logits[a]).then(a.cmp(&b)));
    let mut kept = vec![true; logits.len()];
    if sampling.top_p < 1.0 {
        let mut above = 0.0;
        let mut last = logits[order[0]];
        for &token in &order {
            if above < f64::from(sampling.top_p) * total {
                last = logits[token];
            }
            above += weight[token];
        }
        (0..logits.len()).for_each(|token| kept[token] &= logits[token] >= last);
    }
    if sampling.min_p > 0.0 {
        (0..logits.len()).for_each(|token| kept[token] &= logits[token] >= largest + sampling.min_p.ln());
    }
    if sampling.top_k > 0 {
        order
            .iter()
            .filter(|&&token| kept[token])
            .copied()
            .collect::<Vec<_>>()
            .iter()
            .skip(sampling.top_k)
            .for_each(|&token| kept[token] = false);
    }
    kept
}

fn logits() -> impl Strategy<Value = Vec<f32>> {
    // Few different values, so that there are equals; close together, or too far for the candidates that are looked at first.
    let steps = prop::collection::vec(-8i32..8, 1..600);
    (steps, prop_oneof![Just(0.5f32), Just(3.0), Just(20.0)])
        .prop_map(|(steps, size)| steps.into_iter().map(|n| n as f32 * size).collect())
}

proptest! {
    #[test]
    fn the_filters_keep_what_mlx_lms_keep(
        logits in logits(), top_p in prop_oneof![0.01f32..1.0, Just(1.0), 0.999f32..1.0], min_p in prop_oneof![Just(0.0f32), 0.0f32..0.5],
        top_k in 0usize..40
    ) {
        let sampling = Sampling { temperature: 1.0, top_p, min_p, top_k, ..Sampling::default() };
        let mut kept = vec![false; logits.len()];
        for token in filtered(&logits, &sampling).unwrap_or_else(|| (0..logits.len() as u32).collect()) {
            kept[token as usize] = true;
        }
        prop_assert_eq!(kept, kept_by_the_book(&logits, &sampling));
    }

    #[test]
    fn what_is_drawn_is_kept_and_follows_from_seed_and_position(
        logits in logits(), temperature in 0.1f32..3.0, top_p in 0.01f32..1.0, seed: u64, position in 0usize..1000
    ) {
        let sampling = Sampling { temperature, top_p, seed, ..Sampling::default() };
        let token = choose(&logits, &sampling, position);
        prop_assert!(kept_by_the_book(&logits, &sampling)[token as usize]);
        prop_assert_eq!(token, choose(&logits, &sampling, position));
    }

    #[test]
    fn probabilities_add_up_to_one_and_the_most_probable_come_first(logits in logits(), count in 0usize..20) {
        let logprobs = Logprobs::of(&logits);
        let sum: f64 = logits.iter().map(|&x| f64::from(logprobs.of_logit(x)).exp()).sum();
        prop_assert!((sum - 1.0).abs() < 1e-4, "{}", sum);
        let top = most_probable(&logits, &logprobs, count);
        prop_assert_eq!(top.len(), count.min(logits.len()));
        prop_assert!(top.windows(2).all(|pair| pair[0].1 >= pair[1].1));
        prop_assert!(top.first().is_none_or(|first| first.0 == best(&logits)));
    }
}

/// 20,000 draws of four tokens: each as often as its probability says, to within five standard deviations.
#[test]
fn tokens_are_drawn_as_often_as_they_are_probable() {
    let logits = [1.0, 0.0, -1.0, 2.0];
    let temperature = 0.7;
    let weights = logits.map(|x: f32| f64::from(x / temperature).exp());
    let total: f64 = weights.iter().sum();
    let mut counts = [0.0; 4];
    let draws = 20_000;
    for position in 0..draws {
        counts[choose(&logits, &Sampling { seed: 7, ..sampling(temperature) }, position) as usize] += 1.0;
    }
    for (count, weight) in counts.iter().zip(weights) {
        let p = weight / total;
        let deviation = (draws as f64 * p * (1.0 - p)).sqrt();
        assert!((count - draws as f64 * p).abs() < 5.0 * deviation, "{counts:?} for {weights:?}");
    }
}

#[test]
fn different_seeds_and_positions_draw_differently() {
    let logits = vec![0.0; 1000];
    let draws = |seed| (0..8).map(|n| choose(&logits, &Sampling { seed, ..sampling(1.0) }, n)).collect::<Vec<_>>();
    assert_ne!(draws(1), draws(2));
    assert!(draws(1).windows(2).any(|pair| pair[0] != pair[1]));
}

#[test]
fn penalties_and_biases_change_the_logits_that_they_name_once_or_as_often_as_they_say() {
    let settings = Sampling {
        repetition_penalty: 2.0,
        presence_penalty: 0.5,
        frequency_penalty: 0.25,
        logit_bias: vec![(3, 1.0), (99, 5.0)],
        ..Sampling::default()
    };
    let mut logits = [4.0, -4.0, 4.0, 4.0];
    // Token 0 is in the prompt alone, token 1 twice in the answer.
    penalize(&mut logits, &settings, &[0, 0], &[1, 1], &Counts::from([(1, 2)]));
    assert_eq!(logits, [2.0, -8.0 - 0.5 - 0.5, 4.0, 5.0]);
}

#[test]
fn only_the_last_twenty_tokens_count_as_repeated() {
    let settings = Sampling { repetition_penalty: 2.0, ..Sampling::default() };
    let mut logits = [4.0, 4.0, 4.0];
    penalize(&mut logits, &settings, &[0, 2], &[1; 19], &Counts::new());
    assert_eq!(logits, [4.0, 2.0, 2.0]);
}

#[test]
fn logits_that_are_no_numbers_still_give_a_token() {
    assert_eq!(choose(&[f32::NAN, 1.0, f32::NAN], &sampling(0.0), 0), 1);
    assert!(choose(&[f32::NAN; 3], &sampling(1.0), 0) < 3);
    assert!(choose(&[f32::NEG_INFINITY; 3], &sampling(1.0), 0) < 3);
    assert_eq!(choose(&[f32::NEG_INFINITY, 1.0, f32::NEG_INFINITY], &sampling(1.0), 0), 1);
}
