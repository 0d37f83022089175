//! What each stage's part of the file may say.

use super::fields::{Table, number, one_of, text, wrong};
use super::{
    Act, Assume, Config, ConfigError, Dedup, Duplicates, FilterCode, FilterScore, Filters, Lengths, LooseCode, Mix,
    Overlength, QualityFilter, RightsPolicy, Secrets, Split, Tiers,
};
use serde_json::Value;
use std::collections::BTreeMap;

const ACTS: &[(&str, Act)] = &[("drop", Act::Drop), ("note", Act::Note), ("off", Act::Off)];
/// A suite's rows are always looked for: the result is a fact of the dataset.
const CONTAMINATION_ACTS: &[(&str, Act)] = &[("drop", Act::Drop), ("note", Act::Note)];
const LOOSE_CODE_ACTS: &[(&str, LooseCode)] = &[
    ("drop", LooseCode::Act(Act::Drop)),
    ("note", LooseCode::Act(Act::Note)),
    ("off", LooseCode::Act(Act::Off)),
    ("repair", LooseCode::Repair),
];
const SECRETS_ACTS: &[(&str, Secrets)] =
    &[("redact", Secrets::Redact), ("drop", Secrets::Drop), ("note", Secrets::Note)];
const OVERLENGTHS: &[(&str, Overlength)] =
    &[("error", Overlength::Error), ("drop", Overlength::Drop), ("split", Overlength::Split)];
const DEDUPS: &[(&str, Dedup)] = &[("pipeline", Dedup::Pipeline)];
const BOOLEANS: &str = "write true or false";

/// Lines of code that may be asked for.
const CODE_LINES_MAX: u64 = 10_000;

/// The least length that anything fits into, and the greatest that is a length.
const TOKENS: (u64, u64) = (16, 10_000_000);

/// How often a row may be drawn, unless somebody says otherwise.
const REPEATS_MAX: u32 = 4;
const REPEATS_MOST: u64 = 100;
const WEIGHT_MAX: f64 = 1000.0;
const WEIGHT_MIN: f64 = 0.001;

/// The whole file.
pub(super) fn config(table: &mut Table) -> Result<Config, ConfigError> {
    let tiers = table.table("tiers", tiers)?;
    let excluded = table.texts("excluded")?;
    let rights = table.table("rights", rights)?;
    let filters = table.table("filters", filters)?.unwrap_or_default();
    let quality = quality(table)?;
    if table.has("duplicates") && table.has("dedup") {
        return wrong(
            "dedup",
            "stands beside `duplicates`, and both say what is done with the same thing again; keep one",
        );
    }
    let duplicates = table.table("duplicates", duplicates)?.unwrap_or_default();
    let dedup = table.word("dedup", DEDUPS)?;
    let contamination = table.word("contamination", CONTAMINATION_ACTS)?.unwrap_or(Act::Drop);
    let lengths = table.table("lengths", lengths)?.unwrap_or_default();
    let split = table.table("split", split)?.unwrap_or_default();
    let mix = mix(table)?;
    Ok(Config { tiers, excluded, rights, filters, quality, duplicates, dedup, contamination, lengths, split, mix })
}

fn tiers(table: &mut Table) -> Result<Tiers, ConfigError> {
    Ok(Tiers {
        copy: table.texts("copy")?,
        verified: table.texts("verified")?,
        filter_code: table.table("filter_code", filter_code)?.unwrap_or_default(),
        filter_score: table.table("filter_score", filter_score)?.unwrap_or_default(),
    })
}

fn filter_code(table: &mut Table) -> Result<FilterCode, ConfigError> {
    let files = table.texts("files")?;
    let least = table.whole_number("min_code_lines", 0, CODE_LINES_MAX)?;
    let min_code_lines = least.map_or(FilterCode::default().min_code_lines, narrow);
    Ok(FilterCode { files, min_code_lines })
}

fn filter_score(table: &mut Table) -> Result<FilterScore, ConfigError> {
    let default = FilterScore::default();
    Ok(FilterScore {
        files: table.texts("files")?,
        min_score: table.number("min_score", "a number", |_| true)?.unwrap_or(default.min_score),
        score_field: table.text("score_field")?.unwrap_or(default.score_field),
    })
}

fn rights(table: &mut Table) -> Result<RightsPolicy, ConfigError> {
    let (licenses, bases) = (allowed(table, "licenses")?, allowed(table, "bases")?);
    let assume = table.list("assume")?;
    let assume = assume.into_iter().map(|(path, item)| {
        let mut table = Table::of(path, item)?;
        let assume = one_assumed(&mut table)?;
        table.end()?;
        Ok(assume)
    });
    Ok(RightsPolicy { licenses, bases, assume: assume.collect::<Result<_, ConfigError>>()? })
}

/// A list that, where it is written, names something: an empty one would leave out every row.
fn allowed(table: &mut Table, key: &'static str) -> Result<Vec<String>, ConfigError> {
    let is_written = table.has(key);
    let texts = table.texts(key)?;
    if is_written && texts.is_empty() {
        return wrong(&table.at(key), "allows nothing; name what is allowed, or leave the key out");
    }
    Ok(texts)
}

fn one_assumed(table: &mut Table) -> Result<Assume, ConfigError> {
    let assume = Assume {
        files: table.texts("files")?,
        source: table.text("source")?,
        license: table.text("license")?,
        basis: table.text("basis")?,
        attribution: table.text("attribution")?,
        reason: match table.text("reason")? {
            Some(reason) => reason,
            None => return wrong(table.path(), "has no `reason`; write why these rows may be used"),
        },
    };
    if assume.files.is_empty() && assume.source.is_none() {
        return wrong(table.path(), "says of no rows; write `files`, `source` or both");
    }
    if assume.license.is_none() && assume.basis.is_none() {
        return wrong(table.path(), "gives no right; write `license`, `basis` or both");
    }
    Ok(assume)
}

fn filters(table: &mut Table) -> Result<Filters, ConfigError> {
    let default = Filters::default();
    let code_lines_min = match table.value("code_lines_min") {
        None => None,
        Some(Value::Bool(false)) => None,
        Some(Value::String(word)) if word == "off" => None,
        Some(value) => match value.as_u64().filter(|lines| (1..=CODE_LINES_MAX).contains(lines)) {
            Some(lines) => Some(narrow(lines)),
            None => {
                let what = format!("is {value}; write a whole number from 1 to {CODE_LINES_MAX}, or off");
                return wrong(&table.at("code_lines_min"), what);
            }
        },
    };
    Ok(Filters {
        code_lines_min,
        unclosed_fence: table.word("unclosed_fence", ACTS)?.unwrap_or(default.unclosed_fence),
        cut_answer: table.word("cut_answer", ACTS)?.unwrap_or(default.cut_answer),
        leaked_thinking: table.word("leaked_thinking", ACTS)?.unwrap_or(default.leaked_thinking),
        refusal: table.word("refusal", ACTS)?.unwrap_or(default.refusal),
        echo: table.word("echo", ACTS)?.unwrap_or(default.echo),
        loose_code: table.word("loose_code", LOOSE_CODE_ACTS)?.unwrap_or(default.loose_code),
        secrets: table.word("secrets", SECRETS_ACTS)?.unwrap_or(default.secrets),
    })
}

fn quality(table: &mut Table) -> Result<Vec<QualityFilter>, ConfigError> {
    let filters = table.list("quality")?.into_iter().map(|(path, item)| {
        let mut table = Table::of(path, item)?;
        let (fact, min) = (table.text("fact")?, table.number("min", "a number", |_| true)?);
        table.end()?;
        match (fact, min) {
            (Some(fact), Some(min)) => Ok(QualityFilter { fact, min }),
            _ => wrong(table.path(), "is no filter; write {fact: pipeline_quality, min: 0.3}"),
        }
    });
    filters.collect()
}

fn duplicates(table: &mut Table) -> Result<Duplicates, ConfigError> {
    let default = Duplicates::default();
    let exact = match table.value("exact") {
        None => default.exact,
        Some(Value::Bool(exact)) => exact,
        Some(value) => return wrong(&table.at("exact"), format!("is {value}; {BOOLEANS}")),
    };
    let near = match table.value("near") {
        None => default.near,
        Some(Value::Bool(false)) => None,
        Some(Value::String(word)) if word == "off" => None,
        Some(value) => Some(number(&table.at("near"), &value, "a number above 0 and up to 1, or off", |near| {
            near > 0.0 && near <= 1.0
        })?),
    };
    Ok(Duplicates { exact, near, code: table.word("code", ACTS)?.unwrap_or(default.code) })
}

fn lengths(table: &mut Table) -> Result<Lengths, ConfigError> {
    let tokens_max = table.whole_number("tokens_max", TOKENS.0, TOKENS.1)?.map(narrow);
    let overlength = table.word("overlength", OVERLENGTHS)?;
    if tokens_max.is_none() && overlength.is_some() {
        return wrong(
            &table.at("overlength"),
            "says what is done with rows that are too long, and nothing says how long that is; \
                                               write `tokens_max`",
        );
    }
    Ok(Lengths { tokens_max, overlength: overlength.unwrap_or(Overlength::Error) })
}

fn split(table: &mut Table) -> Result<Split, ConfigError> {
    let default = Split::default();
    let mut share = |key, default| -> Result<f64, ConfigError> {
        let share = table.number(key, "a share from 0 up to, not including, 1", |share| (0.0..1.0).contains(&share))?;
        Ok(share.unwrap_or(default))
    };
    let (valid, test) = (share("valid", default.valid)?, share("test", default.test)?);
    if valid + test >= 1.0 {
        let both = format!(
            "holds back {valid} and {test}, which leaves nothing to train on; write shares whose sum is below 1"
        );
        return wrong(table.path(), both);
    }
    let seed = table.whole_number("seed", 0, u64::MAX)?.unwrap_or(default.seed);
    Ok(Split { valid, test, seed })
}

fn mix(table: &mut Table) -> Result<Option<Mix>, ConfigError> {
    const WORDS: &[(&str, bool)] = &[("pipeline-balanced", true), ("three-dataset", false)];
    let path = table.at("mix");
    let value = match table.value("mix") {
        None => return Ok(None),
        Some(value @ (Value::Object(_) | Value::Null)) => value,
        Some(word) => {
            let mix = if one_of(&path, &word, WORDS)? { Mix::PipelineBalanced } else { Mix::ThreeDataset };
            return Ok(Some(mix));
        }
    };
    let mut table = Table::of(path, value)?;
    let by = table.text("by")?.unwrap_or_else(|| "category".to_owned());
    let weights = table.table("weights", weights)?.unwrap_or_default();
    let repeats_max = table.whole_number("repeats_max", 1, REPEATS_MOST)?.map_or(REPEATS_MAX, narrow);
    table.end()?;
    Ok(Some(Mix::Weighted { by, weights, repeats_max }))
}

fn weights(table: &mut Table) -> Result<BTreeMap<String, f64>, ConfigError> {
    let weigh = |(key, value): (String, Value)| {
        let path = table_key(&key);
        text(&path, &Value::String(key.clone()))?;
        let what = format!("a weight from {WEIGHT_MIN} to {WEIGHT_MAX}; to leave rows out, exclude their file");
        let weight = number(&path, &value, &what, |weight| (WEIGHT_MIN..=WEIGHT_MAX).contains(&weight))?;
        Ok((key, weight))
    };
    table.rest()?.into_iter().map(weigh).collect()
}

fn table_key(key: &str) -> String {
    format!("mix.weights.{key}")
}

/// A whole number whose bound is far below this type's.
fn narrow(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
