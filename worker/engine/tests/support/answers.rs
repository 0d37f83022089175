//! Requests of tests, and what comes of them.

use mlx_rs::Array;
use std::collections::BTreeMap;
use vertigo_engine::generate::{
    AdapterId, Chosen, End, Generate, Generator, Limits, Produced, Request, RequestId, Sampling,
};
use vertigo_engine::{Model, Parameters};

/// Room for everything that these tests ask.
pub(crate) const AMPLE: Limits = Limits { bytes: 1 << 30, answers_max: 64 };

/// The most probable tokens of `prompt`, without an end.
pub(crate) fn greedy(prompt: Vec<u32>, tokens_max: usize) -> Request {
    let sampling = Sampling::default();
    Request {
        prompt,
        borders: vec![],
        adapter: None,
        sampling,
        tokens_max,
        ends: vec![],
        logprobs: None,
        thought: None,
    }
}

/// `count` tokens below `vocab` that `seed` makes.
pub(crate) fn tokens(count: usize, seed: u32, vocab: u32) -> Vec<u32> {
    (0..count as u32).map(|n| (n.wrapping_mul(n).wrapping_mul(7).wrapping_add(n * 31 + seed * 97)) % vocab).collect()
}

/// What a request has produced.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Story {
    pub(crate) reused: Option<usize>,
    pub(crate) chosen: Vec<Chosen>,
    pub(crate) end: Option<End>,
}

impl Story {
    pub(crate) fn tokens(&self) -> Vec<u32> {
        self.chosen.iter().map(|chosen| chosen.id).collect()
    }

    /// Everything, to the last bit: tokens, and the bits of the probabilities told beside them.
    pub(crate) fn bits(&self) -> Vec<(u32, Vec<(u32, u32)>)> {
        let told = |chosen: &Chosen| chosen.top.iter().map(|(id, x)| (*id, x.to_bits())).collect();
        self.chosen.iter().map(|chosen| (chosen.id, told(chosen))).collect()
    }
}

/// All stories by request, as steps tell them.
#[derive(Debug, Default)]
pub(crate) struct Stories(pub(crate) BTreeMap<RequestId, Story>);

impl Stories {
    pub(crate) fn step(&mut self, generator: &mut Generator) {
        for (id, produced) in generator.step().unwrap() {
            let story = self.0.entry(id).or_default();
            assert_eq!(story.end, None, "{id:?} goes on after its end");
            match produced {
                Produced::Read { reused } => assert_eq!(story.reused.replace(reused), None),
                Produced::Token(chosen) => {
                    assert!(story.reused.is_some(), "{id:?} has a token before it was read");
                    story.chosen.push(chosen);
                }
                Produced::Ended(end) => story.end = Some(end),
            }
        }
    }

    pub(crate) fn run(&mut self, generator: &mut Generator) {
        while !generator.is_idle() {
            self.step(generator);
        }
    }
}

/// What comes of `request` on its own.
pub(crate) fn alone(generator: &mut Generator, request: Request) -> Story {
    let mut stories = Stories::default();
    generator.admit(RequestId(1), request).unwrap();
    stories.run(generator);
    stories.0.remove(&RequestId(1)).unwrap()
}

/// The same for a generator that has nothing else behind it.
pub(crate) fn fresh(load: impl Fn() -> Model, request: Request) -> Story {
    alone(&mut Generator::new(load(), AMPLE).unwrap(), request)
}

/// The natural logarithms of the probabilities of what follows the last of `tokens`, by the forward pass of training.
pub(crate) fn logprobs(model: &Model, tokens: &[u32], parameters: &Parameters, scale: f64) -> Vec<f32> {
    let ids: Vec<i32> = tokens.iter().map(|&token| token as i32).collect();
    let logits = model.logits(&Array::from_slice(&ids, &[1, ids.len() as i32]), parameters, scale).unwrap();
    let vocab = logits.dim(2) as usize;
    let last = &logits.as_slice::<f32>()[(tokens.len() - 1) * vocab..];
    let largest = last.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = last.iter().map(|x| f64::from(x - largest).exp()).sum();
    last.iter().map(|x| (f64::from(x - largest) - sum.ln()) as f32).collect()
}

/// Each token's probabilities are those of the forward pass of training, of all tokens before it, to `tolerance` nats.
pub(crate) fn agrees(
    story: &Story,
    request: &Request,
    model: &Model,
    adapter: Option<(&Parameters, f64)>,
    tolerance: f32,
) {
    let none = Parameters::new();
    let (parameters, scale) = adapter.unwrap_or((&none, 1.0));
    let mut tokens = request.prompt.clone();
    assert_eq!(story.chosen.len(), request.tokens_max);
    for chosen in &story.chosen {
        let expected = logprobs(model, &tokens, parameters, scale);
        assert!(!chosen.top.is_empty());
        for (token, logprob) in &chosen.top {
            let off = (logprob - expected[*token as usize]).abs();
            assert!(off < tolerance, "after {} tokens, token {token} is off by {off}", tokens.len());
        }
        tokens.push(chosen.id);
    }
}

/// An adapter's name in a request.
pub(crate) fn with(adapter: AdapterId, request: Request) -> Request {
    Request { adapter: Some(adapter), ..request }
}
