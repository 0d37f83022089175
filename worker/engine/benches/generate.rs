//! Our side of the benchmark of answers, in the form of the peer's lines.
//!
//! `generate DIR [decode|prefill|shared|turn|start]…` answers random prompts with the model folder `DIR`, greedily, and prints one JSON
//! line for each measurement; all of them where none is named. tests/bench/generate_vs_mlx_lm.sh runs it beside mlx-lm on the same folder.
//!
//! - `decode`: 64 tokens after a prompt of 128: tokens a second, without the prompt's time.
//! - `prefill`: seconds until the first token of a prompt of 1,024.
//! - `shared`: seconds for 30 prompts that share their first 400 tokens and have 20 of their own, 128 tokens each.
//! - `turn`: seconds until the first token of a conversation's next turn: 2,000 tokens that were read before, and 30 new ones.
//! - `start`: seconds from the start of the process, as the system saw it, to the first token of a prompt of 128.

use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::time::Instant;
use vertigo_engine::generate::{Generate, Generator, Limits, Produced, Request, RequestId, Sampling};
use vertigo_engine::{EngineError, Model};

const WORKS: [&str; 5] = ["start", "decode", "prefill", "shared", "turn"];
const DECODED_TOKENS: usize = 64;
const SHARED_TOKENS: usize = 400;
const SHARED_PROMPTS: u64 = 30;
const ANSWER_TOKENS: usize = 128;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let started = Instant::now();
    // Cargo runs benchmarks without arguments.
    let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
    let Some(folder) = arguments.next().map(PathBuf::from) else {
        eprintln!("usage: generate DIR [{}]…", WORKS.join("|"));
        return Ok(());
    };
    let named: Vec<String> = arguments.collect();
    let works = WORKS.into_iter().filter(|work| named.is_empty() || named.iter().any(|name| name == work));
    let mut bench = Bench::new(&folder)?;
    for work in works {
        let mut line = match work {
            "start" => bench.start(started)?,
            "decode" => bench.decode()?,
            "prefill" => bench.prefill()?,
            "shared" => bench.shared()?,
            _ => bench.turn()?,
        };
        line["peer"] = "vertigo".into();
        line["work"] = work.into();
        line["mlx_peak_MB"] = (mlx_rs::memory::peak_memory()? as f64 / 1e6).into();
        println!("{line}");
    }
    Ok(())
}

struct Bench {
    generator: Generator,
    vocab: u32,
    rng: rand_chacha::ChaCha8Rng,
    requests: u64,
}

impl Bench {
    fn new(folder: &Path) -> Result<Bench, EngineError> {
        let model = Model::load(folder)?;
        let vocab = model.shape().vocab as u32;
        let generator = Generator::new(model, Limits { bytes: 2 << 30, answers_max: SHARED_PROMPTS as usize })?;
        Ok(Bench { generator, vocab, rng: rand_chacha::ChaCha8Rng::seed_from_u64(0), requests: 0 })
    }

    fn tokens(&mut self, count: usize) -> Vec<u32> {
        (0..count).map(|_| self.rng.random_range(0..self.vocab)).collect()
    }

    fn admit(&mut self, prompt: Vec<u32>, borders: Vec<usize>, tokens_max: usize) -> Result<(), EngineError> {
        self.requests += 1;
        let sampling = Sampling::default();
        let (adapter, ends, logprobs, thought) = (None, vec![], None, None);
        let request = Request { prompt, borders, adapter, sampling, tokens_max, ends, logprobs, thought };
        self.generator.admit(RequestId(self.requests), request)
    }

    /// Runs all that was admitted: seconds to the first token, and from there to the last; and the tokens in their order.
    fn run(&mut self) -> Result<(f64, f64, Vec<u32>), EngineError> {
        let began = Instant::now();
        let (mut first, mut tokens) = (None, Vec::new());
        while !self.generator.is_idle() {
            for (_, produced) in self.generator.step()? {
                if let Produced::Token(chosen) = produced {
                    first.get_or_insert_with(|| began.elapsed().as_secs_f64());
                    tokens.push(chosen.id);
                }
            }
        }
        let first = first.unwrap_or_default();
        Ok((first, began.elapsed().as_secs_f64() - first, tokens))
    }

    fn start(&mut self, started: Instant) -> Result<Value, EngineError> {
        let prompt = self.tokens(128);
        self.admit(prompt, vec![], 1)?;
        self.run()?;
        Ok(json!({"start_to_first_token_s": started.elapsed().as_secs_f64()}))
    }

    fn decode(&mut self) -> Result<Value, EngineError> {
        let prompt = self.tokens(128);
        self.admit(prompt, vec![], DECODED_TOKENS)?;
        let (first, rest, tokens) = self.run()?;
        Ok(json!({"first_token_s": first, "tokens_per_s": (tokens.len() - 1) as f64 / rest}))
    }

    fn prefill(&mut self) -> Result<Value, EngineError> {
        let prompt = self.tokens(1024);
        self.admit(prompt, vec![], 1)?;
        Ok(json!({"first_token_s": self.run()?.0}))
    }

    fn shared(&mut self) -> Result<Value, EngineError> {
        let shared = self.tokens(SHARED_TOKENS);
        for _ in 0..SHARED_PROMPTS {
            let prompt = [shared.clone(), self.tokens(20)].concat();
            self.admit(prompt, vec![SHARED_TOKENS], ANSWER_TOKENS)?;
        }
        let (first, rest, tokens) = self.run()?;
        let seconds = first + rest;
        Ok(json!({"seconds": seconds, "tokens_per_s": tokens.len() as f64 / seconds}))
    }

    fn turn(&mut self) -> Result<Value, EngineError> {
        let before = self.tokens(2000);
        self.admit(before.clone(), vec![2000], 8)?;
        let (_, _, answer) = self.run()?;
        let next = [before, answer, self.tokens(30)].concat();
        self.admit(next, vec![], 1)?;
        Ok(json!({"first_token_s": self.run()?.0}))
    }
}
