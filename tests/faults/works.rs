//! The work that goes on while things break: pipelines of every kind, short enough that hundreds run in an hour, long enough to be
//! interrupted.

use std::io;
use std::path::{Path, PathBuf};
use vertigo_testkit::base;

/// What every recipe has. A checkpoint comes every few iterations.
const COMMON: &str = "model: tiny\nbatch_size: 1\nmax_seq_length: 96\nmask_prompt: true\nlearning_rate: 1.0e-3\nsteps_per_report: 1\n\
     val_batches: 2\nsave_every: 20\n";

/// Recipes by name.
const RECIPES: [(&str, &str); 4] = [
    ("plain", "num_layers: 2\niters: 400\nsteps_per_eval: 100\n"),
    ("large", "fine_tune_type: full\nnum_layers: -1\niters: 160\nsteps_per_eval: 40\n"),
    (
        "accumulating",
        "num_layers: 2\niters: 480\nsteps_per_eval: 120\ngradient_accumulation: 3\n\
         lora_parameters: {rank: 4, scale: 10.0, dropout: 0.1}\n",
    ),
    ("stopping", "num_layers: 2\niters: 1000\nsteps_per_eval: 20\nearly_stopping_patience: 2\n"),
];

/// A pipeline: one job `train`, and those that read what it makes.
#[derive(Debug)]
pub(crate) struct Work {
    pub(crate) name: &'static str,
    /// In order of preference.
    pub(crate) recipes: &'static [&'static str],
    /// The other jobs, by their keys.
    readers: &'static [(&'static str, &'static str)],
}

/// All of them.
pub(crate) const WORKS: [Work; 4] = [
    Work { name: "plain", recipes: &["plain"], readers: &[("fuse", "{kind: fuse, adapter: ${{ train }}, bits: 8}")] },
    // Which of the two it becomes depends on who is free; what that gives does not.
    Work {
        name: "either",
        recipes: &["large", "plain"],
        readers: &[
            ("fuse", "{kind: fuse, adapter: ${{ train }}}"),
            ("best", "{kind: fuse, adapter: ${{ train.best }}}"),
        ],
    },
    Work {
        name: "accumulating",
        recipes: &["accumulating"],
        readers: &[("fuse", "{kind: fuse, adapter: ${{ train }}, bits: 4, measure: none}")],
    },
    Work {
        name: "stopping",
        recipes: &["stopping"],
        readers: &[
            ("fuse", "{kind: fuse, adapter: ${{ train.best }}, bits: 16}"),
            ("bare", "{kind: fuse, adapter: ${{ train }}, measure: none}"),
        ],
    },
];

impl Work {
    /// The jobs of it, by their keys.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &'static str> {
        std::iter::once("train").chain(self.readers.iter().map(|(key, _)| *key))
    }

    /// The pipeline's file, in which each job is called `RUN-KEY`, so that one that is queued twice is seen by its name.
    pub(crate) fn yaml(&self, run: &str, recipes: &[&str]) -> String {
        let files: Vec<String> = recipes.iter().map(|recipe| format!("{recipe}.yaml")).collect();
        let mut text = format!(
            "name: {run}\njobs:\n  train: {{kind: train, recipes: [{}], data: words, name: {run}-train}}\n",
            files.join(", ")
        );
        for (key, job) in self.readers {
            let named = job.replacen('{', &format!("{{name: {run}-{key}, "), 1);
            text.push_str(&format!("  {key}: {named}\n"));
        }
        text
    }
}

/// A recipe's text.
pub(crate) fn recipe(name: &str) -> String {
    let own = RECIPES.iter().find(|(known, _)| *known == name).map_or("", |(_, own)| own);
    format!("{COMMON}{own}")
}

/// Writes recipes, a base and a dataset into `folder`; gives the folders of the latter two.
pub(crate) fn write(folder: &Path) -> io::Result<[PathBuf; 2]> {
    std::fs::create_dir_all(folder)?;
    for (name, _) in RECIPES {
        std::fs::write(folder.join(format!("{name}.yaml")), recipe(name))?;
    }
    let tiny = folder.join("tiny");
    base::write(&tiny);
    let words = folder.join("words");
    write_data(&words, 0)?;
    Ok([tiny, words])
}

/// Writes a dataset that no other import has.
pub(crate) fn write_data(folder: &Path, number: usize) -> io::Result<()> {
    std::fs::create_dir_all(folder)?;
    let line =
        |n: usize| format!("{{\"prompt\": \"{number}: {n}\", \"completion\": \"{}\"}}\n", "word ".repeat(n % 12));
    std::fs::write(folder.join("train.jsonl"), (1..=number % 7 * 200 + 100).map(line).collect::<String>())
}
