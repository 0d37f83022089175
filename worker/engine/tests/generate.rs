//! Answers of the engine: mlx-lm's on the fixtures, and on a tiny base those of the forward pass of training, however a prompt is cut and
//! whoever else is in the batch.

mod support;

use proptest::prelude::*;
use support::VOCAB;
use support::answers::{AMPLE, Stories, agrees, alone, fresh, greedy, tokens, with};
use vertigo_engine::generate::{End, Generate, Generator, Limits, Request, RequestId, Sampling, ThoughtBudget};
use vertigo_engine::{Model, adapter};

const V: u32 = VOCAB as u32;

/// A tiny base and its folder.
struct Base {
    folder: tempfile::TempDir,
}

impl Base {
    fn new() -> Base {
        let folder = tempfile::tempdir().unwrap();
        support::write_base(folder.path());
        Base { folder }
    }

    fn model(&self) -> Model {
        Model::load(self.folder.path()).unwrap()
    }

    fn generator(&self) -> Generator {
        Generator::new(self.model(), AMPLE).unwrap()
    }

    fn alone(&self, request: Request) -> support::answers::Story {
        fresh(|| self.model(), request)
    }
}

/// Greedy, with the probabilities of all tokens.
fn told(prompt: Vec<u32>, tokens_max: usize) -> Request {
    Request { logprobs: Some(VOCAB as usize), ..greedy(prompt, tokens_max) }
}

#[test]
fn f32_greedy_answers_are_mlx_lms() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/fixtures/f32");
    if !folder.exists() {
        return support::skipped(&format!("no fixture at {}", folder.display()));
    }
    let reference = mlx_rs::Array::load_safetensors(folder.join("reference.safetensors")).unwrap();
    let prompt: Vec<u32> = reference["tokens"].as_slice::<i32>()[..40].iter().map(|&token| token as u32).collect();
    let expected: Vec<u32> = reference["greedy"].as_slice::<i32>().iter().map(|&token| token as u32).collect();
    let story = fresh(|| Model::load(&folder).unwrap(), greedy(prompt, expected.len()));
    assert_eq!(story.tokens(), expected);
    assert_eq!(story.end, Some(End::Length));
}

/// Lengths around a chunk, a block of keys and a piece.
#[test]
fn a_prompt_in_pieces_is_the_prompt_as_a_whole() {
    let base = Base::new();
    let model = base.model();
    for length in [1, 2, 63, 64, 65, 255, 256, 257, 600] {
        let request = told(tokens(length, 1, V), 3);
        agrees(&base.alone(request.clone()), &request, &model, None, 2e-4);
    }
}

#[test]
fn a_prompt_token_by_token_is_the_prompt_as_a_whole() {
    let base = Base::new();
    let request = Request { borders: (1..90).collect(), ..told(tokens(90, 2, V), 3) };
    agrees(&base.alone(request.clone()), &request, &base.model(), None, 2e-4);
}

#[test]
fn packed_bases_answer_as_their_forward_pass() {
    for bits in [4, 8] {
        let folder = tempfile::tempdir().unwrap();
        let mut config = support::config(false);
        let tensors = support::tensors(&config);
        let tensors = support::packed(&mut config, tensors, bits);
        support::write(folder.path(), &config, &tensors);
        let load = || Model::load(folder.path()).unwrap();
        let request = told(tokens(70, 3, V), 4);
        agrees(&fresh(load, request.clone()), &request, &load(), None, 2e-3);
    }
}

#[test]
fn nobody_notices_who_else_is_in_the_batch() {
    let base = Base::new();
    let request = Request {
        sampling: Sampling { temperature: 0.8, seed: 5, ..Sampling::default() },
        ..told(tokens(33, 4, V), 12)
    };
    let expected = base.alone(request.clone()).bits();
    for others in [1, 2, 3, 4, 7, 12] {
        for late in [false, true] {
            let (mut generator, mut stories) = (base.generator(), Stories::default());
            let other = |n: u64| greedy(tokens(5 + 9 * n as usize, 50 + n as u32, V), 6 + 3 * n as usize);
            let mine = |generator: &mut Generator| generator.admit(RequestId(0), request.clone()).unwrap();
            if !late {
                mine(&mut generator);
            }
            (1..=others).for_each(|n| generator.admit(RequestId(n), other(n)).unwrap());
            if late {
                (0..2 * others + 3).for_each(|_| stories.step(&mut generator));
                mine(&mut generator);
            }
            stories.run(&mut generator);
            assert_eq!(stories.0[&RequestId(0)].bits(), expected, "beside {others}, late: {late}");
        }
    }
}

#[test]
fn what_was_read_before_is_not_read_again_and_changes_nothing() {
    let base = Base::new();
    let shared = tokens(150, 6, V);
    let request = |n: u32, length: usize| {
        let prompt = [shared.clone(), tokens(length, n, V)].concat();
        Request { borders: vec![100, 150], ..told(prompt, 6) }
    };
    let (mut generator, mut stories) = (base.generator(), Stories::default());
    let all: Vec<Request> = (0..5).map(|n| request(n, 10 + 7 * n as usize)).collect();
    for (n, request) in (0..).zip(&all) {
        generator.admit(RequestId(n), request.clone()).unwrap();
    }
    stories.run(&mut generator);
    let reused: Vec<Option<usize>> = stories.0.values().map(|story| story.reused).collect();
    assert_eq!(reused, [Some(0), Some(150), Some(150), Some(150), Some(150)]);
    let length: usize = all.iter().map(|request| request.prompt.len()).sum();
    assert_eq!(generator.load().tokens_read as usize, length - 4 * 150);
    assert_eq!(generator.load().tokens_reused, 4 * 150);
    for (n, request) in (0..).zip(all) {
        assert_eq!(stories.0[&RequestId(n)].bits(), base.alone(request).bits(), "request {n}");
    }
}

#[test]
fn a_conversation_goes_on_from_where_its_answer_ended() {
    let base = Base::new();
    let mut generator = base.generator();
    let first = greedy(tokens(40, 8, V), 10);
    let answer = alone(&mut generator, first.clone()).tokens();
    let next = told([first.prompt, answer, tokens(9, 9, V)].concat(), 5);
    let story = alone(&mut generator, next.clone());
    // The model has not read the answer's last token.
    assert_eq!(story.reused, Some(49));
    agrees(&story, &next, &base.model(), None, 2e-4);
}

/// Room for one and a half of what the conversation takes.
#[test]
fn a_conversation_of_more_than_half_the_room_goes_on_from_where_its_answer_ended() {
    let base = Base::new();
    let first = greedy(tokens(480, 8, V), 10);
    let mut generator = base.generator();
    generator.admit(RequestId(1), first.clone()).unwrap();
    generator.step().unwrap();
    let limits = Limits { bytes: generator.load().running_bytes * 3 / 2, ..AMPLE };
    let mut generator = Generator::new(base.model(), limits).unwrap();
    let mut prompt = first.prompt;
    for turn in 0..3 {
        let next = told(prompt.clone(), 10);
        let story = alone(&mut generator, next.clone());
        // The model has not read the last token of the answer before.
        let known = if turn == 0 { 0 } else { prompt.len() - 10 };
        assert_eq!(story.reused, Some(known), "turn {turn}");
        agrees(&story, &next, &base.model(), None, 2e-4);
        assert!(generator.load().kept_bytes > limits.bytes / 2);
        prompt = [prompt, story.tokens(), tokens(9, 9 + turn, V)].concat();
    }
}

#[test]
fn a_long_prompt_does_not_hold_up_a_short_one() {
    let base = Base::new();
    let requests = [greedy(tokens(4000, 1, V), 3), greedy(tokens(40, 2, V), 3)];
    let (mut generator, mut stories) = (base.generator(), Stories::default());
    (0..).zip(&requests).for_each(|(n, request)| generator.admit(RequestId(n), request.clone()).unwrap());
    while stories.0.get(&RequestId(1)).is_none_or(|story| story.end.is_none()) {
        stories.step(&mut generator);
        assert!(!stories.0.contains_key(&RequestId(0)), "the long prompt was read before the short answer's end");
    }
    stories.run(&mut generator);
    for (n, request) in (0..).zip(requests) {
        assert_eq!(stories.0[&RequestId(n)].bits(), base.alone(request).bits(), "request {n}");
    }
}

#[test]
fn whoever_waits_for_what_another_reads_is_passed_by_those_who_do_not() {
    let base = Base::new();
    let shared = tokens(1200, 6, V);
    let like = |n: u32| Request { borders: vec![1200], ..greedy([shared.clone(), tokens(9, n, V)].concat(), 2) };
    let (mut generator, mut stories) = (base.generator(), Stories::default());
    for (n, request) in (0..).zip([like(1), like(2), like(3), greedy(tokens(40, 2, V), 2)]) {
        generator.admit(RequestId(n), request).unwrap();
    }
    stories.step(&mut generator);
    assert_eq!((generator.load().running, generator.load().waiting), (2, 2));
    while stories.0.get(&RequestId(3)).is_none_or(|story| story.end.is_none()) {
        stories.step(&mut generator);
        assert_eq!(stories.0.keys().find(|id| id.0 < 3), None, "the unrelated prompt had to wait");
    }
    stories.run(&mut generator);
    assert_eq!([0, 1, 2].map(|n| stories.0[&RequestId(n)].reused), [Some(0), Some(1200), Some(1200)]);
}

/// As where a text ends at a string that only whoever asked can see.
#[test]
fn what_a_cancelled_answer_knew_is_there_for_the_next_turn() {
    let base = Base::new();
    let (mut generator, mut stories) = (base.generator(), Stories::default());
    let [first, other] = [8, 9].map(|seed| greedy(tokens(40, seed, V), 20));
    generator.admit(RequestId(0), first.clone()).unwrap();
    generator.admit(RequestId(2), other.clone()).unwrap();
    while stories.0.get(&RequestId(0)).is_none_or(|story| story.chosen.len() < 5) {
        stories.step(&mut generator);
    }
    generator.cancel(RequestId(0));
    let answer = stories.0.remove(&RequestId(0)).unwrap().tokens();
    stories.run(&mut generator);
    assert_eq!(stories.0[&RequestId(2)].bits(), base.alone(other).bits());
    let next = told([first.prompt, answer, tokens(9, 9, V)].concat(), 5);
    let story = alone(&mut generator, next.clone());
    assert_eq!(story.reused, Some(44));
    agrees(&story, &next, &base.model(), None, 2e-4);
}

#[test]
fn rows_have_the_adapter_that_they_asked_for() {
    let base = Base::new();
    let model = base.model();
    let recipe = |seed: u64, keys: &str| {
        support::recipe(&format!(
            "num_layers: -1, seed: {seed}, lora_parameters: {{rank: 4, scale: 5.0, dropout: 0.0{keys}}}"
        ))
    };
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let mut generator = base.generator();
    let mut adapters = Vec::new();
    for (n, keys) in [(1, ""), (2, ", keys: [self_attn.v_proj, linear_attn.in_proj_z, mlp.up_proj]")] {
        let recipe = recipe(n, keys);
        let mut parameters = adapter::initial(&model, &recipe).unwrap();
        for (name, x) in parameters.iter_mut().filter(|(name, _)| name.ends_with("lora_b")) {
            let key = mlx_rs::random::key(n + name.len() as u64).unwrap();
            *x = mlx_rs::random::normal::<f32>(x.shape(), None, Some(0.05), &key).unwrap();
        }
        let folder = folders[n as usize - 1].path();
        adapter::save(folder, &parameters, &recipe).unwrap();
        adapters.push((generator.add_adapter(folder).unwrap(), parameters));
    }
    let request = |n: u32| told(tokens(20 + n as usize, n, V), 6);
    let of = |n: u32| (n % 3).checked_sub(1).map(|n| &adapters[n as usize]);
    let asked = |n: u32| of(n).map_or(request(n), |(id, _)| with(*id, request(n)));
    let mut stories = Stories::default();
    (0..7).for_each(|n| generator.admit(RequestId(n.into()), asked(n)).unwrap());
    stories.run(&mut generator);
    for n in 0..7 {
        let story = &stories.0[&RequestId(n.into())];
        agrees(story, &request(n), &model, of(n).map(|(_, parameters)| (parameters, 5.0)), 2e-4);
        // Nothing may be known of it, or the answer would go on from there.
        let expected = alone(&mut generator, asked(n));
        assert!(expected.reused.is_some());
        assert_eq!(story.bits(), expected.bits(), "request {n}");
    }
    let (id, _) = adapters[0];
    generator.remove_adapter(id).unwrap();
    assert!(generator.admit(RequestId(9), with(id, request(0))).unwrap_err().to_string().contains("no adapter"));
    assert!(generator.remove_adapter(id).is_err());
}

#[test]
fn full_weights_are_refused_with_what_to_do() {
    let base = Base::new();
    let folder = tempfile::tempdir().unwrap();
    let recipe = support::recipe("fine_tune_type: full, num_layers: 1");
    adapter::save(folder.path(), &adapter::initial(&base.model(), &recipe).unwrap(), &recipe).unwrap();
    let error = base.generator().add_adapter(folder.path()).unwrap_err().to_string();
    assert!(error.contains("fuse"), "{error}");
}

#[test]
fn what_can_never_be_answered_is_refused_and_says_why() {
    let mut generator = Base::new().generator();
    for (request, why) in [
        (greedy(vec![], 4), "no token"),
        (greedy(vec![V], 4), "beyond the vocabulary"),
        (greedy(vec![1], usize::MAX), "bytes of caches"),
        (with(vertigo_engine::generate::AdapterId(3), greedy(vec![1], 4)), "no adapter"),
    ] {
        let error = generator.admit(RequestId(1), request).unwrap_err().to_string();
        assert!(error.contains(why), "{error}");
    }
    assert!(generator.is_idle());
}

#[test]
fn a_stop_ends_the_answer_and_a_budget_the_thought() {
    let base = Base::new();
    let request = greedy(tokens(12, 3, V), 8);
    let free = base.alone(request.clone()).tokens();
    let at = free.iter().position(|token| *token == free[5]).unwrap();
    let stopped = base.alone(Request { ends: vec![free[5]], ..request.clone() });
    assert_eq!((stopped.tokens(), stopped.end), (free[..at].to_vec(), Some(End::Stop)));
    let closing = vec![7, 8, 9];
    let thought = Some(ThoughtBudget { tokens_max: 2, end: V - 1, closing: closing.clone() });
    let thoughtful = base.alone(Request { thought, ..request }).tokens();
    assert_eq!(thoughtful[..5], [&free[..2], &closing[..]].concat());
}

/// What happens to a generator.
#[derive(Debug, Clone)]
enum Happening {
    Admit { shared: usize, own: usize, tokens_max: usize, temperature: bool },
    Cancel(usize),
    Step(usize),
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        3 => (0usize..80, 1usize..30, 1usize..12, any::<bool>())
            .prop_map(|(shared, own, tokens_max, temperature)| {
                Happening::Admit { shared, own, tokens_max, temperature }
            }),
        1 => (0usize..12).prop_map(Happening::Cancel),
        3 => (1usize..6).prop_map(Happening::Step),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 6, ..ProptestConfig::default() })]

    /// Requests with a common beginning come, are cancelled and are stepped in any order, in little room: each that was not
    /// cancelled has the answer that it has alone.
    #[test]
    fn each_answer_is_the_one_that_the_request_has_alone(happenings in prop::collection::vec(happening(), 1..30)) {
        let base = Base::new();
        let limits = Limits { bytes: 600_000, answers_max: 5 };
        let mut generator = Generator::new(base.model(), limits).unwrap();
        let (mut stories, mut requests) = (Stories::default(), Vec::new());
        let mut cancelled = std::collections::BTreeSet::new();
        for happening in happenings {
            match happening {
                Happening::Admit { shared, own, tokens_max, temperature } => {
                    let n = requests.len() as u32;
                    let prompt = [tokens(shared, 1, V), tokens(own, n + 2, V)].concat();
                    let temperature = if temperature { 1.0 } else { 0.0 };
                    let sampling = Sampling { temperature, seed: n.into(), ..Sampling::default() };
                    let request = Request { borders: vec![16, 40, shared], sampling, ..greedy(prompt, tokens_max) };
                    generator.admit(RequestId(n.into()), request.clone()).unwrap();
                    requests.push(request);
                }
                Happening::Cancel(n) => {
                    cancelled.insert(RequestId(n as u64));
                    // A later request has the same number: it was not meant.
                    if n < requests.len() {
                        generator.cancel(RequestId(n as u64));
                    } else {
                        cancelled.remove(&RequestId(n as u64));
                    }
                }
                Happening::Step(count) => (0..count).for_each(|_| stories.step(&mut generator)),
            }
            let load = generator.load();
            prop_assert!(load.running_bytes + load.kept_bytes <= 600_000, "{:?}", load);
        }
        stories.run(&mut generator);
        for (n, request) in (0..).zip(requests) {
            let id = RequestId(n);
            let Some(story) = stories.0.get(&id) else {
                prop_assert!(cancelled.contains(&id), "request {} was never answered", n);
                continue;
            };
            let expected = base.alone(request).tokens();
            let made = story.tokens();
            if story.end.is_none() {
                prop_assert!(cancelled.contains(&id) && expected.starts_with(&made));
            } else {
                prop_assert_eq!(made, expected, "request {}", n);
            }
        }
    }
}
