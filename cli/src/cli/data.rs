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
relative to 1. A line that is none of these is named, and nothing is uploaded. With --raw no line is looked at: `vertigo curate` names \
what is wrong with each.

Examples:
  vertigo data import luau tests/data/luau
  vertigo data import raw ~/vertigo/dataset/data/raw --raw")]
    Import(ImportArgs),
    /// Show what a dataset has, or what a recipe learns from its examples
    #[command(after_help = "\
Without --recipe: rows by side, rights and, of a curated dataset, what was left out by which stage. With --recipe: an example token by \
token, or the examples that it does not learn. Learned tokens are green and those that are cut off red; without colours they stand in \
⟦ ⟧ and ⟪ ⟫.

Examples:
  vertigo data show luau:v1
  vertigo data show luau --recipe recipes/4b.yaml --example 12
  vertigo data show luau --recipe recipes/4b.yaml --example api_docs.jsonl:7
  vertigo data show tests/data/luau --recipe recipes/4b.yaml --base ~/models/Qwen3.5-4B-4bit --skipped")]
    Show(ShowArgs),
    /// Show which rows two datasets do not share, and which have moved
    #[command(after_help = "\
A row is the same where it teaches the same, however its line is written. Why a row is not in a curated dataset is told by its \
provenance.

Examples:
  vertigo data diff luau:v1 luau:v2
  vertigo data diff ./raw luau:v1 --json")]
    Diff(DiffArgs),
    /// Show what happened to a row of a curated dataset, and by which rule
    #[command(after_help = "\
Examples:
  vertigo data why api_docs.jsonl:7 --data luau:v1
  vertigo data why 3b1f22ac --data luau:v1")]
    Why(WhyArgs),
    /// Look for a suite's tasks in a dataset
    #[command(after_help = "\
A task is in a dataset where a row asks the same, nearly the same, or answers with what the task's reference or checks say. The code is \
0 whatever is found; --json has it all.

Examples:
  vertigo data audit luau --suite luau
  vertigo data audit ./raw --suite vertigo-v2 --json")]
    Audit(AuditArgs),
    /// Show a curated dataset's report, with examples of what was left out
    #[command(after_help = "\
The page needs no network.

Examples:
  vertigo data report luau:v1
  vertigo data report luau:v1 --html report.html")]
    Report(DataReportArgs),
}

#[derive(Debug, Args)]
pub(crate) struct ImportArgs {
    /// The tag that the dataset gets
    pub(crate) name: String,
    /// The folder
    pub(crate) dir: PathBuf,
    /// Take every line as it is, to be curated
    #[arg(long)]
    pub(crate) raw: bool,
}

#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("what").args(["example", "skipped"]).requires("recipe"))]
pub(crate) struct ShowArgs {
    /// The dataset: a folder of .jsonl, or its tag
    #[arg(value_name = "DIR|NAME")]
    pub(crate) name: String,
    /// The recipe's file
    #[arg(long, value_name = "RECIPE.yaml", requires = "what")]
    pub(crate) recipe: Option<PathBuf>,
    /// Which example: its number in the order of files and lines, from 1, or where it is written
    #[arg(long, value_name = "N|FILE:LINE")]
    pub(crate) example: Option<Which>,
    /// List all examples that are left out, cut or split, and why
    #[arg(long)]
    pub(crate) skipped: bool,
    /// Read the tokenizer and the chat template in this folder instead of fetching those of the recipe's `model`
    #[arg(long, value_name = "DIR", requires = "recipe")]
    pub(crate) base: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct DiffArgs {
    /// The dataset before: a folder of .jsonl, or its tag
    #[arg(value_name = "DIR|NAME")]
    pub(crate) before: String,
    /// The dataset after
    #[arg(value_name = "DIR|NAME")]
    pub(crate) after: String,
    /// Examples of each difference that are listed
    #[arg(long, default_value_t = 5, value_name = "N")]
    pub(crate) examples: usize,
}

#[derive(Debug, Args)]
pub(crate) struct WhyArgs {
    /// The row: its id or the beginning of it, or where it was written
    #[arg(value_name = "ID|FILE:LINE")]
    pub(crate) row: RowName,
    /// The curated dataset: its folder or its tag
    #[arg(long, value_name = "DIR|NAME")]
    pub(crate) data: String,
}

#[derive(Debug, Args)]
pub(crate) struct AuditArgs {
    /// The dataset: a folder of .jsonl, or its tag
    #[arg(value_name = "DIR|NAME")]
    pub(crate) name: String,
    /// The suite: its tag or digest, a folder, or a benchmark's .jsonl
    #[arg(long, value_name = "NAME|PATH")]
    pub(crate) suite: String,
}

#[derive(Debug, Args)]
pub(crate) struct DataReportArgs {
    /// The curated dataset: its folder or its tag
    #[arg(value_name = "DIR|NAME")]
    pub(crate) name: String,
    /// Write the page here instead
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,
}

/// Which example of a dataset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Which {
    /// The one of this number, from 1.
    Number(usize),
    /// The one in this file, on this line, from 1.
    Place(String, usize),
}

/// A file and a line, from 1.
fn place(text: &str) -> Option<(String, usize)> {
    let (file, line) = text.rsplit_once(':')?;
    let line = line.parse().ok().filter(|line| *line > 0)?;
    (!file.is_empty()).then(|| (file.to_owned(), line))
}

impl FromStr for Which {
    type Err = String;

    fn from_str(text: &str) -> Result<Which, String> {
        match (text.parse().ok().filter(|number| *number > 0), place(text)) {
            (Some(number), _) => Ok(Which::Number(number)),
            (None, Some((file, line))) => Ok(Which::Place(file, line)),
            _ => Err("write an example's number, from 1, or FILE:LINE".to_owned()),
        }
    }
}

/// The shortest beginning of an id that is looked for.
const ID_DIGITS_MIN: usize = 4;

/// Which row of a curated dataset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum RowName {
    /// Those whose id begins so.
    Id(String),
    /// The one that was written in this file, on this line, from 1.
    Place(String, usize),
}

impl FromStr for RowName {
    type Err = String;

    fn from_str(text: &str) -> Result<RowName, String> {
        let id = text.strip_prefix("sha256:").unwrap_or(text);
        if id.len() >= ID_DIGITS_MIN && id.len() <= 64 && id.chars().all(|c| c.is_ascii_hexdigit()) {
            return Ok(RowName::Id(id.to_ascii_lowercase()));
        }
        match place(text) {
            Some((file, line)) => Ok(RowName::Place(file, line)),
            None => Err(format!("write at least {ID_DIGITS_MIN} digits of a row's id, or FILE:LINE")),
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

    #[test]
    fn a_row_is_named_by_its_id_or_its_place() {
        assert_eq!("3B1f".parse(), Ok(RowName::Id("3b1f".to_owned())));
        assert_eq!("sha256:3b1f22".parse(), Ok(RowName::Id("3b1f22".to_owned())));
        assert_eq!("a.jsonl:7".parse(), Ok(RowName::Place("a.jsonl".to_owned(), 7)));
        for wrong in ["3b1", "a.jsonl", "a.jsonl:0", ":3", "", "sha256:"] {
            assert!(wrong.parse::<RowName>().unwrap_err().contains("FILE:LINE"), "{wrong}");
        }
    }
}
