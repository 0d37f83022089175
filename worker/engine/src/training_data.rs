//! What a run learns from: a dataset's examples, tokenized and in batches.
//!
//! Promise: what is not learned as it was written is counted, and the first of it named, before anything is trained.

use crate::batch::Batches;
use crate::error::{EngineError, Result};
use crate::remarks::{PLACES_MAX, Remarks};
use crate::text::{ChatTokenizer, Fate, Rules, Why};
use sha2::{Digest as _, Sha256};
use std::path::Path;
use vertigo::caveats::Caveats;
use vertigo::id::Digest;
use vertigo_model::dataset::{Dataset, Row};
use vertigo_model::recipe::Recipe;

/// Tokenized examples in batches.
#[derive(Debug, Clone)]
pub struct TrainingData {
    /// To learn from.
    pub train: Batches,
    /// To validate with.
    pub valid: Batches,
}

impl TrainingData {
    /// The digest of all tokens, of what is masked among them, of their order and of weights that are not 1.
    pub fn digest(&self) -> Digest {
        let mut hasher = Sha256::new();
        self.train.hash(&mut hasher);
        self.valid.hash(&mut hasher);
        Digest::from_hasher(hasher)
    }

    /// Micro-batches in the whole of a run of `recipe`: the same for the same data, so that a run that goes on is as long as it was.
    pub fn iters(&self, recipe: &Recipe) -> u64 {
        recipe.iters(|passes| self.train.in_passes(passes))
    }

    /// What of these examples is not learned as it was written, and what of the run's micro-batches is not learned from.
    ///
    /// Micro-batches that fill no accumulation are dropped, as mlx-lm drops them: a step over fewer would be a step of another
    /// size than the recipe's.
    pub fn caveats(&self, recipe: &Recipe) -> Caveats {
        Caveats {
            // Counted where they are left out, whether or not they were read from files.
            skipped_examples: self.train.skipped() + self.valid.skipped(),
            leftover_micro_batches: self.iters(recipe) % recipe.grad_accumulation_steps,
            ..self.train.remarks().caveats() + self.valid.remarks().caveats()
        }
    }

    /// The same in words, with the files and lines of the first examples of each reason; and that examples have weights, where they do.
    pub fn remarks(&self, recipe: &Recipe) -> Vec<String> {
        let mut lines = self.train.remarks().clone().and(self.valid.remarks()).lines();
        lines.extend(self.caveats(recipe).told_leftover());
        lines.extend(self.train.weights_sum().map(|sum| {
            let (examples, weighted) = (self.train.examples(), self.train.weighted_examples());
            format!("{weighted} of {examples} examples to train on have weights: a pass draws {sum}, on average")
        }));
        lines
    }
}

/// Reads and tokenizes the dataset folder `data` for `recipe` with the tokenizer in `model`.
///
/// # Errors
/// [`EngineError::Input`] naming the file and line of a broken example, or saying that nothing can be learned from.
pub fn training_data(model: &Path, data: &Path, recipe: &Recipe) -> Result<TrainingData> {
    let tokenizer = ChatTokenizer::load(model)?;
    let dataset = Dataset::read(data).map_err(|e| EngineError::input(e.to_string()))?;
    let rules = Rules::of(recipe);
    let mut refused = Vec::new();
    let mut batches = |rows: &[Row]| -> Result<Batches> {
        let mut remarks = Remarks::default();
        let mut lessons = Vec::with_capacity(rows.len());
        for row in rows {
            let reading = tokenizer.lessons(row, &rules)?;
            remarks.note(&row.place, &reading);
            if reading.fate == Fate::LeftOut(Why::Refused) {
                refused.push(format!("{} ({} tokens)", row.place, reading.ids.len()));
            }
            lessons.extend(reading.lessons.into_iter().map(|lesson| (lesson, row.weight)));
        }
        Ok(Batches::weighted(lessons, recipe.batch_size as usize, rules.tokens_max, recipe.seed).remarked(remarks))
    };
    let data = TrainingData { train: batches(&dataset.train)?, valid: batches(&dataset.valid)? };
    if !refused.is_empty() {
        return Err(EngineError::input(overlong(&refused, recipe.max_seq_length)));
    }
    if data.train.is_empty() {
        return Err(EngineError::input(format!(
            "none of the {} examples has a token to learn from within max_seq_length {}",
            data.train.skipped(),
            recipe.max_seq_length
        )));
    }
    if data.iters(recipe) == 0 {
        return Err(EngineError::input(format!(
            "the weights of the {} examples are so small that this many epochs draw none of them; make them larger",
            data.train.examples()
        )));
    }
    Ok(data)
}

/// Why a run is refused whose recipe has `overlength: error`.
fn overlong(examples: &[String], max_seq_length: u64) -> String {
    let named = &examples[..examples.len().min(PLACES_MAX)];
    let more = match examples.len() - named.len() {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!(
        "{} longer than max_seq_length {max_seq_length}: {}{more}. Raise max_seq_length, mend them, or write overlength: drop, \
         cut or split",
        if examples.len() == 1 { "1 example is".to_owned() } else { format!("{} examples are", examples.len()) },
        named.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::fs;

    /// Three short conversations of two questions each, one long one, and one held out.
    fn read(recipe: &str) -> Result<TrainingData> {
        let dir = tempfile::tempdir().unwrap();
        vertigo_testkit::tokenizer::write(dir.path());
        let say = |role: &str, content: &str| json!({"role": role, "content": content});
        let chat = |question: &str, answer: &str| {
            let asked = [say("user", "q"), say("assistant", "a"), say("user", question), say("assistant", answer)];
            json!({"messages": asked}).to_string()
        };
        let long = chat("and then", &"long ".repeat(6));
        fs::write(dir.path().join("a.jsonl"), [chat("b", "c"), long, chat("d", "e"), chat("f", "g")].join("\n"))
            .unwrap();
        fs::write(dir.path().join("valid.jsonl"), chat("h", "i")).unwrap();
        let text = format!("{{model: m, batch_size: 1, max_seq_length: 64, {recipe}}}");
        training_data(dir.path(), dir.path(), &Recipe::parse("r", &text).unwrap())
    }

    #[test]
    fn an_example_that_is_too_long_is_refused_left_out_cut_or_taken_apart() {
        let error = read("mask: assistant, overlength: error").unwrap_err().to_string();
        assert!(error.starts_with("1 example is longer than max_seq_length 64: a.jsonl:2 ("), "{error}");
        let of = |recipe: &str| {
            let data = read(recipe).unwrap();
            let caveats = data.train.remarks().caveats();
            (data.train.examples(), data.train.skipped(), caveats.cut_ends, caveats.split_pieces)
        };
        assert_eq!(of("mask: assistant, overlength: drop"), (3, 1, 0, 0));
        assert_eq!(of("mask: assistant"), (4, 0, 1, 0), "its first answer is learned, its second has lost its end");
        assert_eq!(of("mask: last"), (3, 1, 0, 0), "nothing whole of its last turn is left");
        assert_eq!(of("mask: assistant, overlength: split"), (5, 0, 0, 2));
        let remarks = read("mask: last").unwrap().remarks(&Recipe::parse("r", "model: m").unwrap());
        assert_eq!(remarks, ["1 example left out: longer than max_seq_length; see a.jsonl:2"]);
    }

    #[test]
    fn epochs_are_passes_over_what_is_learned() {
        let recipe = |text: &str| Recipe::parse("r", &format!("{{model: m, {text}}}")).unwrap();
        let data = read("mask: assistant, overlength: split").unwrap();
        assert_eq!(data.iters(&recipe("epochs: 3")), 15);
        assert_eq!(data.iters(&recipe("epochs: 3, grad_accumulation_steps: 4")), 16);
        assert_eq!(data.caveats(&recipe("epochs: 3, grad_accumulation_steps: 4")).leftover_micro_batches, 0);
        assert_eq!(data.caveats(&recipe("iters: 15, grad_accumulation_steps: 4")).leftover_micro_batches, 3);
    }

    #[test]
    fn weights_are_read_told_and_part_of_what_the_data_is() {
        let of = |weights: [&str; 2], text: &str| {
            let dir = tempfile::tempdir().unwrap();
            vertigo_testkit::tokenizer::write(dir.path());
            let line = |weight: &str| format!("{{\"text\":\"some words\"{weight}}}");
            fs::write(dir.path().join("a.jsonl"), weights.map(line).join("\n")).unwrap();
            fs::write(dir.path().join("valid.jsonl"), line(",\"weight\":9")).unwrap();
            let recipe = Recipe::parse("r", &format!("{{model: m, batch_size: 1, {text}}}")).unwrap();
            training_data(dir.path(), dir.path(), &recipe)
                .map(|data| (data.iters(&recipe), data.remarks(&recipe), data))
        };
        let (iters, remarks, plain) = of(["", ",\"weight\":1"], "epochs: 2").unwrap();
        assert_eq!((iters, remarks.len(), plain.train.weights_sum()), (4, 0, None));
        let (iters, remarks, weighted) = of([",\"weight\":0.5", ",\"weight\":3"], "epochs: 2").unwrap();
        assert_eq!(iters, 7);
        assert_eq!(remarks, ["2 of 2 examples to train on have weights: a pass draws 3.5, on average"]);
        assert_eq!((weighted.train.examples(), weighted.valid.weights_sum()), (2, None));
        assert_ne!(plain.digest(), weighted.digest());
        let error = of([",\"weight\":0", ""], "epochs: 2").unwrap_err().to_string();
        assert!(error.contains("a.jsonl:1: `weight` is 0"), "{error}");
        let light = [",\"weight\":1e-9"; 2];
        assert!(of(light, "epochs: 2").unwrap_err().to_string().contains("so small"));
        assert_eq!(of(light, "iters: 3").unwrap().0, 3);
    }

    #[test]
    fn examples_that_are_too_long_are_named_up_to_a_bound() {
        let all: Vec<String> = (1..=PLACES_MAX + 2).map(|line| format!("a.jsonl:{line} (9 tokens)")).collect();
        let told = overlong(&all, 8);
        assert!(told.starts_with("22 examples are longer than max_seq_length 8: a.jsonl:1 (9 tokens), "), "{told}");
        assert!(told.contains("a.jsonl:20 (9 tokens) and 2 more. Raise max_seq_length"), "{told}");
        assert!(overlong(&all[..1], 8).contains(": a.jsonl:1 (9 tokens). Raise"));
    }
}
