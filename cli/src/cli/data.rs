//! `vertigo data`: what there is to type.

use clap::{Args, Subcommand};
use std::path::PathBuf;
use std::str::FromStr;

#[derive(Debug, Subcommand)]
pub(crate) enum DataCommand {
    /// Check a folder of .jsonl and upload it
    #[command(after_help = "\
A line is {\"messages\": […]} with or without \"tools\", {\"prompt\", \"completion\"} or {\"text\"}. valid.jsonl validates; \
without it one example in 20 is held out. A line to train on may have a \"weight\", more than 0 and at most 100: how often it is drawn, \
relative to 1. A line that is none of these is named, and nothing is uploaded.

Example:
  vertigo data import luau tests/data/luau")]
    Import {
        /// The tag that the dataset gets
        name: String,
        /// The folder
        dir: PathBuf,
    },
    /// Show what a recipe learns from an example, token by token, or which examples it does not learn
    #[command(after_help = "\
Learned tokens are green and those that are cut off red; without colours they stand in ⟦ ⟧ and ⟪ ⟫.

Examples:
  vertigo data show luau --recipe recipes/4b.yaml --example 12
  vertigo data show luau --recipe recipes/4b.yaml --example api_docs.jsonl:7
  vertigo data show tests/data/luau --recipe recipes/4b.yaml --base ~/models/Qwen3.5-4B-4bit --skipped")]
    Show(ShowArgs),
}

#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("what").required(true).args(["example", "skipped"]))]
pub(crate) struct ShowArgs {
    /// The dataset: a folder of .jsonl, or its tag
    #[arg(value_name = "DIR|NAME")]
    pub(crate) name: String,
    /// The recipe's file
    #[arg(long, value_name = "RECIPE.yaml")]
    pub(crate) recipe: PathBuf,
    /// Which example: its number in the order of files and lines, from 1, or where it is written
    #[arg(long, value_name = "N|FILE:LINE")]
    pub(crate) example: Option<Which>,
    /// List all examples that are left out, cut or split, and why
    #[arg(long)]
    pub(crate) skipped: bool,
    /// Read the tokenizer and the chat template in this folder instead of fetching those of the recipe's `model`
    #[arg(long, value_name = "DIR")]
    pub(crate) base: Option<PathBuf>,
}

/// Which example of a dataset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Which {
    /// The one of this number, from 1.
    Number(usize),
    /// The one in this file, on this line, from 1.
    Place(String, usize),
}

impl FromStr for Which {
    type Err = String;

    fn from_str(text: &str) -> Result<Which, String> {
        let number = |text: &str| text.parse().ok().filter(|number| *number > 0);
        let place = || text.rsplit_once(':').and_then(|(file, line)| Some((file, number(line)?)));
        match (number(text), place()) {
            (Some(number), _) => Ok(Which::Number(number)),
            (None, Some((file, line))) if !file.is_empty() => Ok(Which::Place(file.to_owned(), line)),
            _ => Err("write an example's number, from 1, or FILE:LINE".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_example_is_named_by_its_number_or_its_place() {
        assert_eq!("12".parse(), Ok(Which::Number(12)));
        assert_eq!("a:b.jsonl:7".parse(), Ok(Which::Place("a:b.jsonl".to_owned(), 7)));
        for wrong in ["0", "-1", "a.jsonl", "a.jsonl:0", ":3", ""] {
            assert!(wrong.parse::<Which>().unwrap_err().contains("FILE:LINE"), "{wrong}");
        }
    }
}
