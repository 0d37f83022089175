//! Rounding by what a matrix's inputs say, and the fewest bits that keep an adapter: miniature bases of 4 bits, adapters that are trained
//! on text, and what is left of them beside rounding to the nearest, which is what `mlx_lm.fuse` does.

mod support;

use mlx_rs::Array;
use serde_json::json;
use std::fs;
use std::path::{Path, PathBuf};
use support::peer::{python, run_peer};
use support::{VOCAB, config, packed, recipe, relative_difference, tensors, text, tokenizer, write};
use vertigo::task::Bits;
use vertigo_engine::fewest_bits::{Folders, Told, Try, fewest_bits};
use vertigo_engine::fuse::{Fused, Options, Rounding, Width, fuse};
use vertigo_engine::measure::{Kept, measure};
use vertigo_engine::{Event, Model, Parameters, RunFolder, Trainer, adapter, training_data};

/// Folders of a base in 4 bits, an adapter trained on it, and its data.
struct Work {
    dir: tempfile::TempDir,
}

impl Work {
    fn new(seed: u64, iters: u64, rate: f64, held_out: usize) -> Work {
        let work = Work { dir: tempfile::tempdir().unwrap() };
        let mut config = config(true);
        let plain = tensors(&config);
        let tensors = packed(&mut config, plain, 4);
        let base = work.at("base");
        write(&base, &config, &tensors);
        tokenizer::write(&base);
        write_data(&work.at("data"), held_out, seed);
        let recipe = recipe(&format!(
            "num_layers: -1, lora_parameters: {{rank: 4, scale: 10, dropout: 0.0}}, iters: {iters}, batch_size: 4, \
             save_every: 100, learning_rate: {rate}, seed: {seed}"
        ));
        let data = training_data(&base, &work.at("data"), &recipe).unwrap();
        let run = RunFolder::fresh(work.at("run"));
        let trainer = Trainer::new(Model::load(&base).unwrap(), data, recipe, run).unwrap();
        let Some(Event::Finished(outcome)) = trainer.map(Result::unwrap).last() else { panic!("not finished") };
        fs::rename(outcome.adapter.folder, work.at("adapter")).unwrap();
        work
    }

    fn at(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn fused(&self, width: Width, rounding: Rounding, out: &Path) -> Fused {
        let options = Options { width, rounding, ..Options::default() };
        fuse(&self.at("base"), &self.at("adapter"), out, &options, &mut |_, _| {}).unwrap()
    }

    fn calibrated(&self) -> Rounding {
        Rounding::Calibrated { data: self.at("data") }
    }

    fn kept(&self, width: Width, rounding: Rounding) -> Kept {
        let out = self.at("fused");
        self.fused(width, rounding, &out);
        measure(&self.at("base"), &self.at("adapter"), &out, &self.at("data"), &mut |_, _| {}).unwrap().unwrap()
    }

    fn fewest(&self, bits: Bits, is_measured: bool) -> Vec<Try> {
        let (base, adapter, data, out) = (self.at("base"), self.at("adapter"), self.at("data"), self.at("auto"));
        let data = is_measured.then_some(data.as_path());
        let mut told = Vec::new();
        let tries = fewest_bits(Folders { base: &base, adapter: &adapter, data, out: &out }, bits, &mut |it| {
            if let Told::Tried(one) = it {
                told.push(one);
            }
        })
        .unwrap();
        assert_eq!(tries, told, "each try is told of");
        tries
    }
}

/// Sums and words that go on as they began, so that what is learned of the training split holds for what is held out.
fn write_data(folder: &Path, held_out: usize, seed: u64) {
    fs::create_dir_all(folder).unwrap();
    let words = ["alpha", "beta", "gamma", "delta", "epsilon", "zeta"];
    let line = |n: u64| {
        let n = n.wrapping_mul(2_654_435_761).wrapping_add(seed * 97) >> 7;
        let word = |k: u64| words[((n + k) % words.len() as u64) as usize];
        let (a, b) = (n % 50, n / 50 % 50);
        format!("{}\n", json!({"text": format!("{} {} {}: {a} + {b} = {}", word(0), word(1), word(2), a + b)}))
    };
    fs::write(folder.join("train.jsonl"), (0..96).map(line).collect::<String>()).unwrap();
    fs::write(folder.join("valid.jsonl"), (1000..1000 + held_out as u64).map(line).collect::<String>()).unwrap();
}

#[test]
fn calibrated_rounding_keeps_more_of_an_adapter_than_the_nearest() {
    let mut lost = [0.0, 0.0];
    for seed in 1..=2 {
        let work = Work::new(seed, 24, 1e-4, 12);
        let [nearest, ours] = [Rounding::Nearest, work.calibrated()].map(|rounding| work.kept(Width::Same, rounding));
        println!(
            "seed {seed}: gain {:.3}; of it kept {:5.1} % by the nearest, {:5.1} % calibrated; \
             divergence {:.4} of {:.4}, {:.4} calibrated",
            nearest.loss_base - nearest.loss_adapter,
            100.0 * nearest.share().unwrap(),
            100.0 * ours.share().unwrap(),
            nearest.kl_adapter_fused,
            nearest.kl_adapter_base,
            ours.kl_adapter_fused,
        );
        assert!(ours.kl_adapter_fused < 0.6 * nearest.kl_adapter_fused, "seed {seed}: {ours:?} after {nearest:?}");
        lost[0] += 1.0 - nearest.share().unwrap();
        lost[1] += 1.0 - ours.share().unwrap();
    }
    assert!(lost[1] < 0.5 * lost[0], "parts of the gain that were lost: {lost:?}");
}

#[test]
fn auto_takes_more_bits_where_four_lose_and_stays_where_they_keep() {
    // A rate so low that what is learned lies far below a step of the grid.
    let small = Work::new(1, 24, 1e-4, 12);
    let tries = small.fewest(Bits::Auto, true);
    tell("small", &tries);
    assert!(tries.len() > 1 && !tries[0].kept.unwrap().is_kept(), "{tries:?}");
    assert!(tries.last().unwrap().kept.unwrap().is_kept(), "{tries:?}");
    assert!(tries.is_sorted_by_key(|one| one.fused.bytes), "each is larger than the one before: {tries:?}");
    let large = Work::new(1, 24, 1e-2, 12);
    let tries = large.fewest(Bits::Auto, true);
    tell("large", &tries);
    assert_eq!(tries.iter().map(|one| one.width).collect::<Vec<_>>(), [Width::Same], "{tries:?}");
    assert!(tries[0].kept.unwrap().is_kept() && tries[0].fused.calibrated > 0, "{tries:?}");
}

fn tell(what: &str, tries: &[Try]) {
    for one in tries {
        let kept = one.kept.unwrap();
        let (share, away, effect) = (kept.share(), kept.kl_adapter_fused, kept.kl_adapter_base);
        println!("{what}: bits {}, part of the gain kept {share:?}, divergence {away:.4} of {effect:.4}", one.width);
    }
}

#[test]
fn without_a_measurement_auto_rounds_nothing_away() {
    let work = Work::new(1, 1, 1e-4, 0);
    // What nobody wants to have measured, and data that holds out nothing.
    for is_measured in [false, true] {
        let tries = work.fewest(Bits::Auto, is_measured);
        assert_eq!(tries.iter().map(|one| (one.width, one.kept)).collect::<Vec<_>>(), [(Width::ChangedSixteen, None)]);
        let config = fs::read_to_string(work.at("auto").join("config.json")).unwrap();
        let config: serde_json::Value = serde_json::from_str(&config).unwrap();
        assert_eq!(config["quantization"]["language_model.model.layers.0.mlp.up_proj"], false);
        assert_eq!(config["quantization"]["bits"], 4, "the embedding was not changed");
    }
    assert_eq!(work.fewest(Bits::Four, false)[0].width, Width::Four, "who names bits gets them");
}

#[test]
fn a_calibrated_model_is_the_same_each_time_and_mlx_lm_computes_what_it_says() {
    let work = Work::new(1, 2, 1e-3, 0);
    let [one, other] = ["one", "other"].map(|name| {
        let made = work.fused(Width::Same, work.calibrated(), &work.at(name));
        assert_eq!(made.calibrated, made.changed, "every matrix of a layer, and the embedding is not changed");
        fs::read(work.at(name).join("model.safetensors")).unwrap()
    });
    assert!(one == other, "the weights differ");
    let nearest = work.fused(Width::Same, Rounding::Nearest, &work.at("nearest"));
    assert_eq!(nearest.calibrated, 0);
    assert!(one != fs::read(work.at("nearest").join("model.safetensors")).unwrap());

    let Some(python) = python() else { return };
    work.fused(Width::ChangedEight, work.calibrated(), &work.at("eight"));
    work.fused(Width::ChangedSixteen, work.calibrated(), &work.at("sixteen"));
    for name in ["one", "eight", "sixteen"] {
        let model = Model::load(&work.at(name)).unwrap();
        // An adapter before its training changes nothing.
        let recipe = recipe("num_layers: 1, lora_parameters: {rank: 2, scale: 10, dropout: 0.0}");
        let idle = work.at("idle");
        adapter::save(&idle, &adapter::initial(&model, &recipe).unwrap(), &recipe).unwrap();
        let ids: Vec<i32> = (0..40).map(|n| (n * 37 + 5) % VOCAB as i32).collect();
        let ids = Array::from_slice(&ids, &[1, 40]);
        let (tokens, out) = (work.at("tokens.safetensors"), work.at("logits.safetensors"));
        Array::save_safetensors([("tokens", &ids)], None, &tokens).unwrap();
        run_peer(python, &["logits", text(&work.at(name)), text(&idle), text(&tokens), text(&out)]);
        let theirs = Array::load_safetensors(&out).unwrap().remove("logits").unwrap();
        let difference = relative_difference(&model.logits(&ids, &Parameters::new(), 1.0).unwrap(), &theirs);
        assert!(difference < 1e-4, "{name}: {difference}");
    }
}
