//! Rounding by what a matrix's inputs say, and the fewest bits that keep an adapter: miniature bases of 4 bits, adapters that are trained
//! on text, and what is left of them beside rounding to the nearest, which is what `mlx_lm.fuse` does.

mod support;

use serde_json::json;
use std::fs;
use std::path::{Path, PathBuf};
use support::{config, packed, recipe, tensors, tokenizer, write};
use vertigo::task::Bits;
use vertigo_engine::fewest_bits::{Folders, Told, Try, fewest_bits};
use vertigo_engine::fuse::{Fused, Options, Rounding, Width, fuse};
use vertigo_engine::measure::{Kept, measure};
use vertigo_engine::{Event, Model, RunFolder, Trainer, training_data};

/// Folders of a base that is packed in so many bits, an adapter trained on it, and its data.
struct Work {
    dir: tempfile::TempDir,
}

impl Work {
    fn new(bits: Option<i32>, seed: u64, rate: f64, held_out: usize) -> Work {
        let work = Work { dir: tempfile::tempdir().unwrap() };
        let mut config = config(true);
        let plain = tensors(&config);
        let tensors = match bits {
            Some(bits) => packed(&mut config, plain, bits),
            None => plain,
        };
        let base = work.at("base");
        write(&base, &config, &tensors);
        tokenizer::write(&base);
        write_data(&work.at("data"), held_out, seed);
        let recipe = recipe(&format!(
            "num_layers: -1, lora_parameters: {{rank: 4, scale: 10, dropout: 0.0}}, iters: 60, batch_size: 4, \
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
    for seed in 1..=4 {
        let work = Work::new(Some(4), seed, 2e-3, 24);
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
    let small = Work::new(Some(4), 1, 5e-5, 24);
    let tries = small.fewest(Bits::Auto, true);
    for one in &tries {
        println!("small: {} {:?} {:?}", one.width, one.kept.unwrap().share(), one.kept);
    }
    assert!(tries.len() > 1 && !tries[0].kept.unwrap().is_kept(), "{tries:?}");
    assert!(tries.last().unwrap().kept.unwrap().is_kept(), "{tries:?}");
    assert!(tries.is_sorted_by_key(|one| one.fused.bytes), "each is larger than the one before: {tries:?}");
    let large = Work::new(Some(4), 1, 1e-2, 24);
    let tries = large.fewest(Bits::Auto, true);
    for one in &tries {
        println!("large: {} {:?} {:?}", one.width, one.kept.unwrap().share(), one.kept);
    }
    assert_eq!(tries.iter().map(|one| one.width).collect::<Vec<_>>(), [Width::Same], "{tries:?}");
    assert!(tries[0].kept.unwrap().is_kept() && tries[0].fused.calibrated > 0, "{tries:?}");
}
