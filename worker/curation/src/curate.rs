//! A curation from its inputs to a dataset: the stages, one after another.
//!
//! Promise: the same files, suites, config and tokenizer give the same bytes in every file that is written, on any machine and whatever the
//! order in which they are given. Nothing is made where a side knows what is on another, unless a mix was asked for that leaks by itself;
//! then the report says so before anything else.

use crate::book::{Book, Effect, Side};
use crate::config::{Act, Config, Mix};
use crate::duplicates::{self, Deduplicated, clusters::Clusters};
use crate::leak::{self, Leak, Plain};
use crate::lengths::{self, LengthsError, LengthsReport};
use crate::made::{Made, Placed};
use crate::pipeline::{MixError, Mixed, balanced, three_dataset};
use crate::read::ReadError;
use crate::report::{FILE as REPORT_FILE, Report, Telling, glimpse};
use crate::row::Row;
use crate::rule::{Rule, Stage};
use crate::{contamination, filters, mix, page, pipeline, provenance, quality, read, rights, split, tiers};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, BufRead, BufWriter, Write};
use std::path::Path;
use vertigo_evaluation::suite::Suite;
use vertigo_text::ChatTokenizer;

/// The pipeline's mix of three families takes a part of a family that is too large.
pub const NOT_DRAWN: Rule =
    Rule::new(Stage::Split, "not_drawn", "its family is larger than its share of the pipeline's mix");

/// A file of JSON lines: its name, and what it says.
pub type RawFile<'a> = (String, Box<dyn BufRead + 'a>);

/// What a curation reads.
pub struct Inputs<'a> {
    /// Files of JSON lines, by name.
    pub files: Vec<RawFile<'a>>,
    /// What the data is held against.
    pub suites: Vec<Suite>,
    /// What counts tokens.
    pub tokenizer: Option<&'a ChatTokenizer>,
}

/// That a stage has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Which.
    pub stage: Stage,
    /// Rows that went on from it.
    pub rows: u64,
}

/// Why nothing was made.
#[derive(Debug, thiserror::Error)]
pub enum CurateError {
    /// A file cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A row is too long, and the config takes that for an error; or tokens cannot be counted.
    #[error(transparent)]
    Lengths(#[from] LengthsError),
    /// A mix as the pipeline makes it would be too large.
    #[error(transparent)]
    Mix(#[from] MixError),
    /// Nothing is left to train on.
    #[error("no row is left to train on, of {read} that were read; most were left out by {most}")]
    Empty {
        /// Rows that were read.
        read: usize,
        /// The stage that left out the most.
        most: &'static str,
    },
    /// A side knows what is on another. A curation whose rules hold makes none.
    #[error("rows of one side are on another: {0}; nothing was made")]
    Leak(String),
}

/// What came of a curation.
#[derive(Debug, Clone, PartialEq)]
pub struct Curated {
    book: Book,
    clusters: Clusters,
    made: Made,
    report: Report,
}

/// Curates.
///
/// # Errors
/// [`CurateError`]. What is wrong with a line is none: it is left out by name.
pub fn curate(config: &Config, inputs: Inputs<'_>, say: &mut dyn FnMut(Progress)) -> Result<Curated, CurateError> {
    let Inputs { files, suites, tokenizer } = inputs;
    let mut book = Book::default();
    let names: Vec<String> = files.iter().map(|(name, _)| name.clone()).collect();
    let rows = read::read(files, &mut book)?;
    let begins: BTreeMap<u32, Box<str>> = rows.iter().map(|row| (row.entry, glimpse::of(row))).collect();
    let categories = count_by(&rows, report_by(config));
    let left = stages(config, rows, &suites, tokenizer, &mut book, say)?;
    let Left { rows, clusters, lengths } = left;
    let Placing { made, mix, leak, remarks } = place(config, rows, &mut book)?;
    say(Progress { stage: Stage::Split, rows: made.counts().total() });
    let telling = Telling {
        names,
        by: report_by(config).to_owned(),
        categories,
        begins: &|entry| begins.get(&entry).map(|text| text.to_string()).unwrap_or_default(),
        suites: &suites,
        lengths,
        mix,
        leak,
        remarks,
    };
    let report = Report::of(&book, &made, telling);
    Ok(Curated { book, clusters, made, report })
}

/// The fact by whose values the report counts rows: what the mix goes by, or the category.
fn report_by(config: &Config) -> &str {
    match &config.mix {
        Some(Mix::Weighted { by, .. }) => by,
        _ => "category",
    }
}

fn count_by(rows: &[Row], by: &str) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    rows.iter().for_each(|row| *counts.entry(mix::group(row, by).into_owned()).or_default() += 1);
    counts
}

/// What all stages but the last let go on.
struct Left {
    rows: Vec<Row>,
    /// Rows that say the same.
    clusters: Clusters,
    lengths: Option<LengthsReport>,
}

fn stages(
    config: &Config,
    rows: Vec<Row>,
    suites: &[Suite],
    tokenizer: Option<&ChatTokenizer>,
    book: &mut Book,
    say: &mut dyn FnMut(Progress),
) -> Result<Left, CurateError> {
    let mut ended = |stage, rows: Vec<Row>| {
        say(Progress { stage, rows: rows.len() as u64 });
        rows
    };
    let rows = ended(Stage::Read, rows);
    let rows = ended(Stage::Rights, rights::apply(rows, config.rights.as_ref(), book));
    let rows = ended(Stage::Tiers, tiers::apply(rows, config.tiers.as_ref(), &config.excluded, book));
    let rows = ended(Stage::Filters, filters::apply(rows, &config.filters, book));
    let rows = ended(Stage::Quality, quality::apply(rows, &config.quality, book));
    let Deduplicated { rows, clusters } = unlike(config, rows, book);
    let rows = ended(Stage::Duplicates, rows);
    let rows = ended(Stage::Contamination, unknown_to(suites, config.contamination, rows, book));
    let (rows, lengths) = lengths::apply(rows, &config.lengths, tokenizer, book)?;
    Ok(Left { rows: ended(Stage::Lengths, rows), clusters, lengths })
}

fn unlike(config: &Config, rows: Vec<Row>, book: &mut Book) -> Deduplicated {
    match config.dedup {
        Some(crate::config::Dedup::Pipeline) => {
            // The pipeline keeps no clusters.
            Deduplicated { rows: pipeline::dedup::apply(rows, book), clusters: Clusters::default() }
        }
        None => duplicates::run(rows, &config.duplicates, &quality::pipeline_quality, book),
    }
}

fn unknown_to(suites: &[Suite], act: Act, rows: Vec<Row>, book: &mut Book) -> Vec<Row> {
    match act {
        Act::Off => rows,
        Act::Note => contamination::run(rows, suites, Effect::Noted, book),
        Act::Drop => contamination::run(rows, suites, Effect::Dropped, book),
    }
}

/// Rows on their sides, and what is to be said of it.
struct Placing {
    made: Made,
    mix: String,
    leak: Leak,
    remarks: Vec<String>,
}

/// Puts rows on sides, and says how they are drawn.
fn place(config: &Config, rows: Vec<Row>, book: &mut Book) -> Result<Placing, CurateError> {
    let read = book.entries.len();
    let near = config.duplicates.near.filter(|_| config.dedup.is_none());
    let (made, mix, remarks, leaks_by_itself) = match &config.mix {
        Some(Mix::PipelineBalanced) => {
            let (made, remarks) = mixed(&rows, balanced::mix(&rows, config.split.seed)?, book);
            (made, "pipeline-balanced".to_owned(), remarks, true)
        }
        Some(Mix::ThreeDataset) => {
            let (made, remarks) = mixed(&rows, three_dataset::mix(&rows, config.split.seed)?, book);
            (made, "three-dataset".to_owned(), remarks, true)
        }
        Some(Mix::Weighted { by, weights, repeats_max }) => {
            let sides = split::run(rows, &config.split, near, book);
            let weighed = mix::weigh(&sides.train, by, weights, *repeats_max);
            let mix = format!("by weights of {by}, each row at most {repeats_max} times as often as it would be");
            let remarks =
                weighed.unused.iter().map(|value| format!("The mix weighs `{by}: {value}`, which no row has."));
            (on_sides(sides, weighed.weights), mix, remarks.collect(), false)
        }
        None => {
            let sides = split::run(rows, &config.split, near, book);
            let weights = vec![1.0; sides.train.len()];
            (on_sides(sides, weights), "every row as often as any other".to_owned(), Vec::new(), false)
        }
    };
    if made.train.is_empty() {
        return Err(CurateError::Empty { read, most: left_out_most(book) });
    }
    let leak = Leak::of(&plain(&made), leak::threshold(near));
    if !leak.is_none() && !leaks_by_itself {
        return Err(CurateError::Leak(leak.said()));
    }
    Ok(Placing { made, mix, leak, remarks })
}

/// The pipeline's mix as it is, and where each row is by it: one that is on several sides is said to be on the first of them.
fn mixed(given: &[Row], mixed: Mixed, book: &mut Book) -> (Made, Vec<String>) {
    let Mixed { train, valid, test, fell_back } = mixed;
    for (side, rows) in [(Side::Test, &test), (Side::Valid, &valid), (Side::Train, &train)] {
        rows.iter().for_each(|row| book.entry_mut(row.entry).side = Some(side));
    }
    for row in given.iter().filter(|row| book.of(row).side.is_none()).map(|row| row.entry).collect::<BTreeSet<_>>() {
        book.touch(row, NOT_DRAWN, Effect::Dropped, "");
    }
    let remarks = match &fell_back[..] {
        [] => Vec::new(),
        lacking => {
            let lacking = lacking.join(" and ");
            vec![format!(
                "There is no row of family {lacking}, so the mix is pipeline-balanced, as the pipeline's is then."
            )]
        }
    };
    let placed = |rows: Vec<Row>| rows.into_iter().map(Placed::new).collect();
    (Made::of(placed(train), placed(valid), placed(test)), remarks)
}

/// Rows on sides by clusters, those of the training side weighed.
fn on_sides(sides: split::Sides, weights: Vec<f64>) -> Made {
    let placed = |rows: Vec<Row>| rows.into_iter().map(Placed::new).collect();
    let train = sides.train.into_iter().zip(weights).map(|(row, weight)| Placed { weight, ..Placed::new(row) });
    Made::of(train.collect(), placed(sides.valid), placed(sides.test))
}

fn plain(made: &Made) -> Plain<'_> {
    let bodies = |side: Side| made.side(side).iter().map(|placed| &placed.row.body).collect();
    Plain { train: bodies(Side::Train), valid: bodies(Side::Valid), test: bodies(Side::Test) }
}

/// The stage that left out the most rows.
fn left_out_most(book: &Book) -> &'static str {
    let mut ended: BTreeMap<Stage, usize> = BTreeMap::new();
    for touch in book.entries.iter().filter_map(|entry| entry.end()) {
        *ended.entry(touch.rule.stage).or_default() += 1;
    }
    let most = ended.into_iter().max_by_key(|(_, rows)| *rows).map(|(stage, _)| stage.as_str());
    let of_nothing =
        if book.entries.is_empty() { "the files, which are empty" } else { "the mix, which held all of them back" };
    most.unwrap_or(of_nothing)
}

impl Curated {
    /// What was found.
    pub fn report(&self) -> &Report {
        &self.report
    }

    /// What befell each line.
    pub fn book(&self) -> &Book {
        &self.book
    }

    /// The rows on their sides.
    pub fn made(&self) -> &Made {
        &self.made
    }

    /// Writes the dataset: a file for each side, `provenance.jsonl`, `report.json` and `report.html`. A side without rows has no file.
    ///
    /// # Errors
    /// The folder's.
    pub fn write(&self, folder: &Path) -> io::Result<()> {
        for side in Side::ALL.into_iter().filter(|side| !self.made.side(*side).is_empty()) {
            into_file(&folder.join(side.file()), |out| self.made.write(side, out))?;
        }
        let made = self.made.by_entry();
        into_file(&folder.join(provenance::FILE), |out| provenance::write(&self.book, &self.clusters, &made, out))?;
        into_file(&folder.join(REPORT_FILE), |out| out.write_all(self.report.to_json().as_bytes()))?;
        into_file(&folder.join(page::FILE), |out| out.write_all(page::page(&self.report).as_bytes()))
    }
}

fn into_file(path: &Path, write: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>) -> io::Result<()> {
    let mut out = BufWriter::new(File::create(path)?);
    write(&mut out)?;
    out.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()
}

#[cfg(test)]
mod tests;
