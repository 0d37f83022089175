//! What a person asks of a curation: one YAML file.
//!
//! Promise: every key may be left out, and no key is read that is not known; what comes out is within its bounds, and an error names the
//! key's path, what is wrong with it and what to write. The pipeline's own `curation.yaml` is read as it is: `tiers` and `excluded` are its
//! keys, all others are ours.

mod fields;
mod stages;

use fields::Table;
use std::collections::BTreeMap;
use vertigo::spelling;

/// A file that can be printed as it is: every key with its default, and what it means.
pub const EXAMPLE: &str = include_str!("config/example.yaml");

/// Bytes of a file that is read.
pub const FILE_BYTES_MAX: usize = 256 << 10;

/// What is wrong with a config, where, and what to write.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}{problem}", if key.is_empty() { String::new() } else { format!("`{key}` ") })]
pub struct ConfigError {
    /// The key's path, such as `rights.assume[0].files`; empty where the file as a whole is wrong.
    pub key: String,
    /// What is wrong and what to write instead.
    pub problem: String,
}

/// All that is asked.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// The pipeline's tiers. Without them every file's rows go on.
    pub tiers: Option<Tiers>,
    /// Patterns of files that are left out.
    pub excluded: Vec<String>,
    /// Whose rows may be used. Without it rights are reported, and nothing is quarantined.
    pub rights: Option<RightsPolicy>,
    /// What an honest reader would take out.
    pub filters: Filters,
    /// Scores that a row must have.
    pub quality: Vec<QualityFilter>,
    /// What is done with the same thing again.
    pub duplicates: Duplicates,
    /// Another way to do it, instead of `duplicates`.
    pub dedup: Option<Dedup>,
    /// What is done with rows that a suite asks for: [`Act::Drop`] or [`Act::Note`].
    pub contamination: Act,
    /// How long a row may be.
    pub lengths: Lengths,
    /// What is held back.
    pub split: Split,
    /// How often a row is drawn. Without it all rows weigh the same.
    pub mix: Option<Mix>,
}

/// Which files go which way, as the pipeline's `curation.yaml` says it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Tiers {
    /// Patterns of files whose rows go on as they are.
    pub copy: Vec<String>,
    /// Patterns of files whose rows go on because somebody verified them.
    pub verified: Vec<String>,
    /// Files whose rows need code.
    pub filter_code: FilterCode,
    /// Files whose rows need a score.
    pub filter_score: FilterScore,
}

/// Rows that need code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilterCode {
    /// Patterns of files.
    pub files: Vec<String>,
    /// Lines of code, counted as the pipeline counts them.
    pub min_code_lines: u32,
}

/// Rows that need a score.
#[derive(Debug, Clone, PartialEq)]
pub struct FilterScore {
    /// Patterns of files.
    pub files: Vec<String>,
    /// The least.
    pub min_score: f64,
    /// The field of the row that has the score.
    pub score_field: String,
}

/// Whose rows may be used. A row passes with an allowed licence or on an allowed basis.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RightsPolicy {
    /// Licences that are allowed. Where neither these nor `bases` are said, nothing is quarantined.
    pub licenses: Vec<String>,
    /// Grounds that are allowed.
    pub bases: Vec<String>,
    /// What a person knows of rows that do not say it themselves.
    pub assume: Vec<Assume>,
}

/// Rights that a person gives to rows that say none. It is about rows that have one of `files` and the `source`, where these are said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assume {
    /// Patterns of files; of none, every file.
    pub files: Vec<String>,
    /// What the row's `source` is.
    pub source: Option<String>,
    /// The licence.
    pub license: Option<String>,
    /// The grounds.
    pub basis: Option<String>,
    /// Who has to be named.
    pub attribution: Option<String>,
    /// Why the person says so.
    pub reason: String,
}

/// What is done with a row that a rule is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// It is left out.
    Drop,
    /// It goes on, and the report says so.
    Note,
    /// Nobody looks.
    Off,
}

/// What is done about code outside of fences.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LooseCode {
    /// As of any rule.
    Act(Act),
    /// It gets a fence.
    Repair,
}

/// What is done about secrets and personal data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Secrets {
    /// A word stands where they stood.
    Redact,
    /// The row is left out.
    Drop,
    /// The row goes on as it is, and the report says so.
    Note,
}

/// What an honest reader would take out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filters {
    /// Lines of Luau that compile, in what the model says; a row with fewer is left out.
    pub code_lines_min: Option<u32>,
    /// A fence that nothing closes.
    pub unclosed_fence: Act,
    /// An answer that ends in the middle.
    pub cut_answer: Act,
    /// Thinking that leaked into the answer, and thoughts from a can.
    pub leaked_thinking: Act,
    /// An answer that refuses.
    pub refusal: Act,
    /// An answer that says the question again.
    pub echo: Act,
    /// Code outside of fences.
    pub loose_code: LooseCode,
    /// Keys, cookies, addresses.
    pub secrets: Secrets,
}

/// A score that a row must have.
#[derive(Debug, Clone, PartialEq)]
pub struct QualityFilter {
    /// The score's name: a field of the row, or one that is computed, such as `pipeline_quality`.
    pub fact: String,
    /// The least.
    pub min: f64,
}

/// What is done with the same thing again.
#[derive(Debug, Clone, PartialEq)]
pub struct Duplicates {
    /// Whether of equal conversations one is kept.
    pub exact: bool,
    /// How much of two rows' words must be shared for one of them to go, as a Jaccard index; `None` where nobody looks.
    pub near: Option<f64>,
    /// What is done with rows whose code is the same but for names and numbers.
    pub code: Act,
}

/// Another way to find what is there again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dedup {
    /// As the pipeline's `validate_and_dedup` does it, its floor of quality with it.
    Pipeline,
}

/// What is done with a row that is too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overlength {
    /// The curation fails and names it.
    Error,
    /// It is left out.
    Drop,
    /// It becomes several rows, cut between turns.
    Split,
}

/// How long a row may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lengths {
    /// Tokens of a row, counted by the base's tokenizer and template.
    pub tokens_max: Option<u32>,
    /// What is done with longer ones.
    pub overlength: Overlength,
}

/// What is held back, as shares of all rows.
#[derive(Debug, Clone, PartialEq)]
pub struct Split {
    /// To validate with.
    pub valid: f64,
    /// To test with.
    pub test: f64,
    /// Another seed holds back others.
    pub seed: u64,
}

/// How often a row is drawn.
#[derive(Debug, Clone, PartialEq)]
pub enum Mix {
    /// By the value of a fact.
    Weighted {
        /// The fact, such as `category`.
        by: String,
        /// What rows with this value weigh, where others weigh 1.
        weights: BTreeMap<String, f64>,
        /// How often one row may be drawn, on average, in as many draws as there are rows.
        repeats_max: u32,
    },
    /// As the pipeline's `merge_dataset` with its strategy `balanced`.
    PipelineBalanced,
    /// As the pipeline's `merge_dataset` with its strategy `three-dataset`.
    ThreeDataset,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            tiers: None,
            excluded: Vec::new(),
            rights: None,
            filters: Filters::default(),
            quality: Vec::new(),
            duplicates: Duplicates::default(),
            dedup: None,
            // What a suite asks is left out unless somebody wants to keep it.
            contamination: Act::Drop,
            lengths: Lengths::default(),
            split: Split::default(),
            mix: None,
        }
    }
}

impl Default for FilterCode {
    fn default() -> FilterCode {
        FilterCode { files: Vec::new(), min_code_lines: 5 }
    }
}

impl Default for FilterScore {
    fn default() -> FilterScore {
        FilterScore { files: Vec::new(), min_score: 0.6, score_field: "eval_score".to_owned() }
    }
}

impl Default for Filters {
    fn default() -> Filters {
        Filters {
            code_lines_min: None,
            unclosed_fence: Act::Note,
            cut_answer: Act::Note,
            leaked_thinking: Act::Note,
            refusal: Act::Note,
            echo: Act::Note,
            loose_code: LooseCode::Act(Act::Note),
            secrets: Secrets::Redact,
        }
    }
}

impl Default for Duplicates {
    fn default() -> Duplicates {
        Duplicates { exact: true, near: Some(0.8), code: Act::Note }
    }
}

impl Default for Lengths {
    fn default() -> Lengths {
        Lengths { tokens_max: None, overlength: Overlength::Error }
    }
}

impl Default for Split {
    fn default() -> Split {
        Split { valid: 0.1, test: 0.1, seed: 42 }
    }
}

impl Config {
    /// Reads a file.
    ///
    /// # Errors
    /// The first mistake in it, by the key's path.
    pub fn parse(yaml: &str) -> Result<Config, ConfigError> {
        let whole = |problem: String| ConfigError { key: String::new(), problem };
        if yaml.len() > FILE_BYTES_MAX {
            return Err(whole(format!("the file has {} bytes, and at most {FILE_BYTES_MAX} are read", yaml.len())));
        }
        let value: serde_json::Value =
            serde_saphyr::from_str(yaml).map_err(|error| whole(format!("the file is not YAML: {error}")))?;
        let mut table = match value {
            // A file of comments alone asks for what everybody gets.
            serde_json::Value::Null => return Ok(Config::default()),
            serde_json::Value::Object(map) => Table::whole(map),
            _ => return Err(whole("the file is not a table of keys and values".to_owned())),
        };
        let config = stages::config(&mut table)?;
        table.end()?;
        Ok(config)
    }
}

/// What is said of a word that is none of those that are known.
fn meant<'k>(written: &str, known: impl IntoIterator<Item = &'k str> + Clone) -> String {
    match spelling::nearest(written, known.clone()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("write one of {}", known.into_iter().collect::<Vec<_>>().join(", ")),
    }
}

#[cfg(test)]
mod tests;
