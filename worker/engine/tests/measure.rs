//! What a fused model kept, beside the same computed the long way: whole logits, and a softmax in f64 in plain Rust.

mod support;

use mlx_rs::{Array, random};
use serde_json::json;
use std::fs;
use std::path::{Path, PathBuf};
use support::{config, packed, recipe, tensors, tokenizer, write};
use vertigo::task::Bits;
use vertigo_engine::fuse::{Options, Width, fuse};
use vertigo_engine::measure::{Kept, MEASURED_EXAMPLES_MAX, measure};
use vertigo_engine::text::{ChatTokenizer, Tokens};
use vertigo_engine::{Model, Parameters, adapter};
use vertigo_model::dataset::Dataset;

const LORA: &str = "num_layers: 3, mask_prompt: true, lora_parameters: {rank: 4, scale: 10, dropout: 0.0}";
const FULL: &str = "fine_tune_type: full, num_layers: 2, mask_prompt: true";

/// A base with its tokenizer, packed where there are bits.
fn write_base(folder: &Path, bits: Option<i32>) {
    let mut config = config(true);
    let plain = tensors(&config);
    let tensors = match bits {
        Some(bits) => packed(&mut config, plain, bits),
        None => plain,
    };
    write(folder, &config, &tensors);
    tokenizer::write(folder);
}

/// An adapter as training leaves it, whose every tensor is `size` times a normal draw away from where training begins.
fn write_adapter(base: &Path, recipe_text: &str, size: f32, folder: &Path) {
    let recipe = recipe(recipe_text);
    let mut parameters = adapter::initial(&Model::load(base).unwrap(), &recipe).unwrap();
    for (seed, (name, x)) in parameters.iter_mut().enumerate() {
        if !name.ends_with("lora_a") {
            let key = random::key(seed as u64).unwrap();
            let change = random::normal::<f32>(x.shape(), None, Some(size), &key).unwrap();
            *x = x.add(change).unwrap();
        }
    }
    adapter::save(folder, &parameters, &recipe).unwrap();
}

/// A dataset that holds out `count` examples: texts and answers, some longer than is measured.
fn write_data(folder: &Path, count: usize) {
    fs::create_dir_all(folder).unwrap();
    fs::write(folder.join("train.jsonl"), "{\"text\": \"train\"}\n").unwrap();
    let line = |n: usize| match n % 3 {
        0 => json!({"text": "a longer text ".repeat(1 + n % 7)}),
        1 => json!({"prompt": format!("what is {n}?"), "completion": format!("it is {}", n * 7)}),
        _ => json!({"text": "z".repeat(if n == 2 { 1200 } else { n })}),
    };
    let lines: String = (0..count).map(|n| format!("{}\n", line(n))).collect();
    fs::write(folder.join("valid.jsonl"), lines).unwrap();
}

/// The folders of a test.
struct Work {
    dir: tempfile::TempDir,
}

impl Work {
    fn new(bits: Option<i32>, recipe_text: &str, size: f32, examples: usize) -> Work {
        let work = Work { dir: tempfile::tempdir().unwrap() };
        write_base(&work.at("base"), bits);
        write_adapter(&work.at("base"), recipe_text, size, &work.at("adapter"));
        write_data(&work.at("data"), examples);
        work
    }

    fn at(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn fused(&self, width: Width) -> PathBuf {
        let out = self.at(&format!("fused-{width}"));
        let options = Options { width, ..Options::default() };
        fuse(&self.at("base"), &self.at("adapter"), &out, &options, &mut |_, _| {}).unwrap();
        out
    }

    fn measured(&self, width: Width) -> Option<Kept> {
        let fused = self.fused(width);
        measure(&self.at("base"), &self.at("adapter"), &fused, &self.at("data"), &mut |_, _| {}).unwrap()
    }
}

/// Log-probabilities of what follows each token but the last.
fn log_probabilities(model: &Model, parameters: &Parameters, scale: f64, tokens: &Tokens) -> Vec<Vec<f64>> {
    let ids: Vec<i32> = tokens.ids[..tokens.ids.len() - 1].iter().map(|&id| id as i32).collect();
    let logits = model.logits(&Array::from_slice(&ids, &[1, ids.len() as i32]), parameters, scale).unwrap();
    let vocab = logits.dim(-1) as usize;
    let logits = logits.contiguous().unwrap();
    let rows = logits.as_slice::<f32>().chunks(vocab);
    rows.map(|row| {
        let row: Vec<f64> = row.iter().copied().map(f64::from).collect();
        let total = row.iter().map(|x| x.exp()).sum::<f64>().ln();
        row.iter().map(|x| x - total).collect()
    })
    .collect()
}

/// The same figures, computed the long way.
fn the_long_way(work: &Work, fused: &Path, scale: f64) -> Kept {
    let (base, fused) = (Model::load(&work.at("base")).unwrap(), Model::load(fused).unwrap());
    let (adapter, none) = (adapter::load(&work.at("adapter")).unwrap(), Parameters::new());
    let tokenizer = ChatTokenizer::load(&work.at("base")).unwrap();
    let (mut count, mut losses, mut divergences) = (0, [0.0; 3], [0.0; 2]);
    let valid = Dataset::read(&work.at("data")).unwrap().valid;
    for row in &valid {
        let mut tokens = tokenizer.tokenize(&row.example, true).unwrap();
        tokens.ids.truncate(1024);
        let models = [(&base, &adapter, scale), (&base, &none, 1.0), (&fused, &none, 1.0)];
        let all = models.map(|(model, parameters, scale)| log_probabilities(model, parameters, scale, &tokens));
        for column in tokens.prompt.max(1)..tokens.ids.len() {
            count += 1;
            let [p, base, fused] = [0, 1, 2].map(|n: usize| &all[n][column - 1]);
            for (loss, row) in losses.iter_mut().zip([p, base, fused]) {
                *loss -= row[tokens.ids[column] as usize];
            }
            for (sum, q) in divergences.iter_mut().zip([base, fused]) {
                *sum += p.iter().zip(q).map(|(p, q)| p.exp() * (p - q)).sum::<f64>();
            }
        }
    }
    let n = f64::from(count);
    Kept {
        examples: valid.len() as u64,
        tokens: count as u64,
        loss_adapter: losses[0] / n,
        loss_base: losses[1] / n,
        loss_fused: losses[2] / n,
        kl_adapter_base: divergences[0] / n,
        kl_adapter_fused: divergences[1] / n,
    }
}

fn assert_same(ours: &Kept, theirs: &Kept) {
    assert_eq!((ours.examples, ours.tokens), (theirs.examples, theirs.tokens));
    for (ours, theirs) in [
        (ours.loss_base, theirs.loss_base),
        (ours.loss_adapter, theirs.loss_adapter),
        (ours.loss_fused, theirs.loss_fused),
        (ours.kl_adapter_base, theirs.kl_adapter_base),
        (ours.kl_adapter_fused, theirs.kl_adapter_fused),
    ] {
        assert!((ours - theirs).abs() < 1e-4, "{ours} is not {theirs}");
    }
}

#[test]
fn figures_are_those_of_whole_logits() {
    for (bits, recipe_text, size, scale) in
        [(None, LORA, 0.02, 10.0), (Some(4), LORA, 0.02, 10.0), (None, FULL, 0.02, 1.0)]
    {
        let work = Work::new(bits, recipe_text, size, 9);
        let kept = work.measured(Width::Four).unwrap();
        assert_same(&kept, &the_long_way(&work, &work.at("fused-4"), scale));
        assert!(
            kept.kl_adapter_base > 0.01 && kept.kl_adapter_fused > 0.001,
            "there is something to compare: {kept:?}"
        );
        assert!((kept.loss_adapter - kept.loss_base).abs() > 1e-3, "{kept:?}");
    }
}

#[test]
fn a_small_change_is_lost_on_a_coarse_grid_and_kept_without_one() {
    let work = Work::new(Some(4), LORA, 0.006, 9);
    let lost = work.measured(Width::Same).unwrap();
    assert!(lost.has_lost(), "{lost:?}");
    assert!(lost.remark(Bits::Same).unwrap().contains("--bits auto"));
    let kept = work.measured(Width::Sixteen).unwrap();
    assert!(!kept.has_lost() && kept.kl_adapter_fused < 1e-5, "{kept:?}");
    assert_eq!(kept.remark(Bits::Sixteen), None);
    // The same change to a base that was never packed.
    let kept = Work::new(None, LORA, 0.006, 9).measured(Width::Same).unwrap();
    assert!(!kept.has_lost() && kept.kl_adapter_base > 1e-3 && kept.kl_adapter_fused < 1e-5, "{kept:?}");
}

#[test]
fn full_weights_are_kept_and_packing_that_changes_more_than_the_adapter_is_told() {
    let kept = Work::new(None, FULL, 0.02, 9).measured(Width::Same).unwrap();
    assert!(!kept.has_lost() && kept.kl_adapter_base > 0.01 && kept.kl_adapter_fused.abs() < 1e-5, "{kept:?}");
    let idle = Work::new(Some(4), LORA, 0.0, 9).measured(Width::Same).unwrap();
    assert!(idle.has_lost() && idle.kl_adapter_base.abs() < 1e-5, "{idle:?}");
    let kept = Work::new(None, LORA, 0.0, 9).measured(Width::Same).unwrap();
    assert!(!kept.has_lost(), "nothing was changed and nothing packed: {kept:?}");
}

#[test]
fn examples_are_bounded_and_progress_reaches_its_end() {
    let work = Work::new(None, LORA, 0.02, 2 * MEASURED_EXAMPLES_MAX as usize);
    let fused = work.fused(Width::Same);
    let mut told = Vec::new();
    let mut progress = |done, all| told.push((done, all));
    let kept =
        measure(&work.at("base"), &work.at("adapter"), &fused, &work.at("data"), &mut progress).unwrap().unwrap();
    assert_eq!(kept.examples, MEASURED_EXAMPLES_MAX);
    assert_eq!(told, (1..=MEASURED_EXAMPLES_MAX).map(|n| (n, MEASURED_EXAMPLES_MAX)).collect::<Vec<_>>());
}

#[test]
fn without_held_out_data_there_is_nothing_to_measure() {
    let work = Work::new(None, LORA, 0.02, 0);
    assert_eq!(work.measured(Width::Same), None);
}

#[test]
fn what_does_not_belong_together_is_named() {
    let work = Work::new(None, LORA, 0.02, 3);
    let other = work.at("other");
    let mut config = config(true);
    config["text_config"]["intermediate_size"] = 192.into();
    write(&other, &config, &tensors(&config));
    let [base, adapter, data] = ["base", "adapter", "data"].map(|name| work.at(name));
    let error = measure(&base, &adapter, &other, &data, &mut |_, _| {}).unwrap_err().to_string();
    assert!(error.contains("other has other sizes than") && error.contains("base"), "{error}");
    let path = adapter.join("adapter_config.json");
    let config = fs::read_to_string(&path).unwrap().replace("\"mask_prompt\": true", "\"mask_prompt\": 7");
    fs::write(&path, config).unwrap();
    let error = measure(&base, &adapter, &base, &data, &mut |_, _| {}).unwrap_err().to_string();
    assert!(error.contains("adapter_config.json: `mask_prompt` is 7"), "{error}");
}
