//! `vertigo curate`: what there is to type.

use clap::Args;
use std::path::PathBuf;

#[derive(Debug, Args)]
#[command(after_help = "\
The config is read here before anything is queued; --example prints one with every key. Rows are read from all datasets together; what a \
--suite asks is found in them and left out. A base is needed where the config has `lengths`: its tokenizer counts. What comes out is a \
dataset: train, valid, test, provenance.jsonl with a line for every line that was read, and a report. The same data, suites and config \
give the same digest.

With --dry-run all of it happens here, nothing is queued and nothing is kept: only the funnel is shown. Then data may be folders.

Examples:
  vertigo curate --example > curation.yaml
  vertigo curate curation.yaml --data ./raw --suite luau --dry-run
  vertigo data import raw ./raw --raw
  vertigo curate curation.yaml --data raw --suite luau --name luau:v1 --follow
  vertigo data show luau:v1")]
pub(crate) struct CurateArgs {
    /// What to do with the rows
    #[arg(required_unless_present = "example", value_name = "CONFIG.yaml")]
    pub(crate) config: Option<PathBuf>,
    /// A dataset with raw rows: its tag or digest, or with --dry-run a folder; once for each
    #[arg(long, required_unless_present = "example", value_name = "NAME")]
    pub(crate) data: Vec<String>,
    /// A suite that shall not be in the result; once for each
    #[arg(long, value_name = "SUITE")]
    pub(crate) suite: Vec<String>,
    /// The base whose tokenizer counts the tokens of a row
    #[arg(long, value_name = "NAME")]
    pub(crate) base: Option<String>,
    /// What the job and the dataset's tag are called
    #[arg(long, required_unless_present_any = ["dry_run", "example"])]
    pub(crate) name: Option<String>,
    /// Higher goes first
    #[arg(long, default_value_t = 0, allow_negative_numbers = true)]
    pub(crate) priority: i32,
    /// Watch until it has ended
    #[arg(long)]
    pub(crate) follow: bool,
    /// Do it here and show the funnel alone
    #[arg(long, conflicts_with_all = ["follow", "name"])]
    pub(crate) dry_run: bool,
    /// Print a config with every key and what it means
    #[arg(long, exclusive = true)]
    pub(crate) example: bool,
}
