//! A gate's file: which keys there are, and what they may be.

use super::preset::{MINIMUM_SCORE, REGRESSION_THRESHOLD};
use super::{Better, Contamination, EndingsMost, Figures, Floors, Gate, NoWorse, SuiteRules, VERTIGO_V2, vertigo_v2};
use crate::statistics::{Share, Spread};
use serde::Deserialize;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use vertigo::spelling;

/// A file with every key, and what each of them means.
pub const EXAMPLE: &str = include_str!("example.yaml");

/// Bytes of a file.
const FILE_BYTES_MAX: usize = 64 * 1024;

/// Suites of one gate.
const SUITES_MAX: usize = 32;

/// Bytes of a name.
const NAME_BYTES_MAX: usize = 200;

/// What is wrong with a gate's file, where, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}{message}", line.map(|n| format!("line {n}: ")).unwrap_or_default())]
pub struct GateError {
    /// The line, from 1, where it is known.
    pub line: Option<usize>,
    /// What is wrong and what to write instead.
    pub message: String,
}

const GATE_KEYS: &[&str] = &["power", "spread", "suites"];
const SPREAD_KEYS: &[&str] = &["between", "within"];
const SUITE_KEYS: &[&str] = &[
    "check",
    "better",
    "categories",
    "floors",
    "contamination",
    "echo",
    "endings",
    "preset",
    "minimum_score",
    "regression_threshold",
];

/// The keys of a suite's tables.
const TABLES: [(&str, &[&str]); 5] = [
    ("better", &["by", "probability", "expects"]),
    ("categories", &["worse", "probability"]),
    ("floors", &["overall", "categories"]),
    ("contamination", &["most", "without"]),
    ("endings", &["cut", "timed_out", "api_errors", "unsupported"]),
];

#[derive(Deserialize)]
struct File {
    power: Option<f64>,
    spread: Option<FileSpread>,
    suites: BTreeMap<String, FileSuite>,
}

#[derive(Deserialize)]
struct FileSpread {
    between: f64,
    within: f64,
}

#[derive(Deserialize)]
struct FileSuite {
    check: Option<String>,
    better: Option<FileBetter>,
    categories: Option<FileNoWorse>,
    floors: Option<FileFloors>,
    contamination: Option<FileContamination>,
    echo: Option<f64>,
    endings: Option<FileEndings>,
    preset: Option<String>,
    minimum_score: Option<f64>,
    regression_threshold: Option<f64>,
}

#[derive(Deserialize)]
struct FileBetter {
    #[serde(default)]
    by: f64,
    probability: f64,
    expects: f64,
}

#[derive(Deserialize)]
struct FileNoWorse {
    worse: f64,
    probability: f64,
}

#[derive(Deserialize)]
struct FileFloors {
    overall: Option<f64>,
    #[serde(default)]
    categories: BTreeMap<String, f64>,
}

#[derive(Deserialize)]
struct FileContamination {
    most: Option<f64>,
    #[serde(default)]
    without: bool,
}

#[derive(Deserialize)]
struct FileEndings {
    cut: Option<f64>,
    timed_out: Option<f64>,
    api_errors: Option<f64>,
    unsupported: Option<f64>,
}

impl Gate {
    /// Reads a gate's file.
    ///
    /// # Errors
    /// What is wrong with it: a key that there is not, with the one that was likely meant; a number out of its bounds; rules that
    /// cannot hold together.
    pub fn parse(text: &str) -> Result<Gate, GateError> {
        if text.len() > FILE_BYTES_MAX {
            return Err(wrong(format!("the file has {} bytes; a gate has at most {FILE_BYTES_MAX}", text.len())));
        }
        let value: Value = serde_saphyr::from_str(text).map_err(|error| wrong(format!("it is not YAML: {error}")))?;
        check_all_keys(text, &value)?;
        let file: File = serde_saphyr::from_str(text).map_err(|error| wrong(error.to_string()))?;
        if file.suites.is_empty() || file.suites.len() > SUITES_MAX {
            return Err(wrong(format!("`suites` has {} suites; write 1 to {SUITES_MAX}", file.suites.len())));
        }
        let reader = Reader { text };
        let power = file.power.map_or(Ok(Share::POWER), |power| reader.probability("", "power", power))?;
        let spread = file.spread.map_or(Ok(Spread::PLANNED), |spread| {
            // A difference of two shares varies by no more than 1. Scores that do not vary at all would make any suite large
            // enough.
            let between = reader.number("spread", "between", spread.between, 0.0..=1.0, "a number")?;
            let within = reader.number("spread", "within", spread.within, 0.01..=1.0, "a number")?;
            Ok(Spread { between, within })
        })?;
        let read = |(name, suite)| {
            Ok((reader.name("suites", name)?, suite)).and_then(|(name, suite)| {
                let rules = reader.suite(&format!("suites.{name}"), suite)?;
                Ok((name, rules))
            })
        };
        Ok(Gate { power, spread, suites: file.suites.into_iter().map(read).collect::<Result<_, GateError>>()? })
    }
}

fn wrong(message: impl Into<String>) -> GateError {
    GateError { line: None, message: message.into() }
}

/// The line that starts with a key, where one alone does: another suite's rule of that name would lead astray.
fn line_of(text: &str, key: &str) -> Option<usize> {
    let starts = |line: &str| {
        let mut words = line.split(['{', ',']).map(str::trim_start);
        words.any(|word| word.strip_prefix(key).is_some_and(|rest| rest.trim_start().starts_with(':')))
    };
    let is_meant = |line: &str| !line.trim_start().starts_with('#') && starts(line);
    let mut lines = text.lines().enumerate().filter(|(_, line)| is_meant(line)).map(|(n, _)| n + 1);
    lines.next().filter(|_| lines.next().is_none())
}

fn check_all_keys(text: &str, value: &Value) -> Result<(), GateError> {
    let Value::Object(file) = value else {
        return Err(wrong("it is no mapping; write `suites:` with a suite's name and its rules"));
    };
    check_keys(text, "", file, GATE_KEYS)?;
    if let Some(Value::Object(spread)) = file.get("spread") {
        check_keys(text, "spread", spread, SPREAD_KEYS)?;
    }
    let Some(Value::Object(suites)) = file.get("suites") else {
        return Err(wrong("`suites` is missing: a mapping from a suite's name to its rules"));
    };
    for (name, suite) in suites {
        let Value::Object(suite) = suite else {
            return Err(wrong(format!("`suites.{name}` has no rules; write `better`, `floors` or a `preset`")));
        };
        check_keys(text, &format!("suites.{name}"), suite, SUITE_KEYS)?;
        for (table, known) in TABLES {
            if let Some(Value::Object(inner)) = suite.get(table) {
                check_keys(text, &format!("suites.{name}.{table}"), inner, known)?;
            }
        }
    }
    Ok(())
}

fn check_keys(text: &str, place: &str, map: &Map<String, Value>, known: &[&str]) -> Result<(), GateError> {
    let Some(key) = map.keys().find(|key| !known.contains(&key.as_str())) else { return Ok(()) };
    let within = if place.is_empty() { String::new() } else { format!(" in `{place}`") };
    let hint = match spelling::nearest(key, known.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("known keys: {}", known.join(", ")),
    };
    Err(GateError { line: line_of(text, key), message: format!("unknown key `{key}`{within}; {hint}") })
}

struct Reader<'t> {
    text: &'t str,
}

impl Reader<'_> {
    fn wrong(&self, place: &str, key: &str, message: &str) -> GateError {
        let dot = if place.is_empty() { "" } else { "." };
        GateError { line: line_of(self.text, key), message: format!("`{place}{dot}{key}` {message}") }
    }

    fn number(
        &self,
        place: &str,
        key: &str,
        value: f64,
        bounds: RangeInclusive<f64>,
        what: &str,
    ) -> Result<f64, GateError> {
        if bounds.contains(&value) {
            return Ok(value);
        }
        let (low, high) = bounds.into_inner();
        Err(self.wrong(place, key, &format!("is {value}; write {what} from {low} to {high}")))
    }

    fn points(&self, place: &str, key: &str, value: f64) -> Result<f64, GateError> {
        self.number(place, key, value, 0.0..=100.0, "a number")
    }

    fn points_or_none(&self, place: &str, key: &str, value: Option<f64>) -> Result<Option<f64>, GateError> {
        value.map(|value| self.points(place, key, value)).transpose()
    }

    /// A probability that decides: a half is a coin, and what is drawn some thousand times is never quite certain.
    fn probability(&self, place: &str, key: &str, value: f64) -> Result<Share, GateError> {
        let value = self.number(place, key, value, 0.5..=0.999, "a probability")?;
        // What lies between these is a share.
        Share::new(value).map_err(|error| wrong(error.to_string()))
    }

    fn name(&self, place: &str, name: String) -> Result<String, GateError> {
        if name.is_empty() || name.len() > NAME_BYTES_MAX || name.chars().any(char::is_control) {
            let shown: String = name.chars().take(40).collect();
            return Err(wrong(format!(
                "{shown:?} in `{place}` is no name: write 1 to {NAME_BYTES_MAX} bytes without control characters"
            )));
        }
        Ok(name)
    }

    fn suite(&self, place: &str, file: FileSuite) -> Result<SuiteRules, GateError> {
        let mut rules = match &file.preset {
            Some(preset) => self.preset(place, preset, &file)?,
            None => self.rules(place, &file)?,
        };
        if let Some(contamination) = file.contamination {
            let place = format!("{place}.contamination");
            let most = self.points_or_none(&place, "most", contamination.most)?;
            rules.contamination = Some(Contamination { most, without: contamination.without });
        }
        rules.echo = self.points_or_none(place, "echo", file.echo)?;
        if let Some(endings) = file.endings {
            let place = format!("{place}.endings");
            rules.endings = EndingsMost {
                cut: self.points_or_none(&place, "cut", endings.cut)?,
                timed_out: self.points_or_none(&place, "timed_out", endings.timed_out)?,
                api_errors: self.points_or_none(&place, "api_errors", endings.api_errors)?,
                unsupported: self.points_or_none(&place, "unsupported", endings.unsupported)?,
            };
        }
        Ok(rules)
    }

    fn preset(&self, place: &str, preset: &str, file: &FileSuite) -> Result<SuiteRules, GateError> {
        if preset != VERTIGO_V2 {
            return Err(self.wrong(
                place,
                "preset",
                &format!("is `{preset}`; the one that there is is `{VERTIGO_V2}`"),
            ));
        }
        let others = [
            ("check", file.check.is_some()),
            ("better", file.better.is_some()),
            ("categories", file.categories.is_some()),
            ("floors", file.floors.is_some()),
        ];
        if let Some((key, _)) = others.into_iter().find(|(_, is_there)| *is_there) {
            return Err(self.wrong(place, key, "stands beside a preset, which has rules of its own for it; keep one"));
        }
        let minimum = self.points(place, "minimum_score", file.minimum_score.unwrap_or(MINIMUM_SCORE))?;
        let threshold = file.regression_threshold.unwrap_or(REGRESSION_THRESHOLD);
        Ok(vertigo_v2(minimum, self.points(place, "regression_threshold", threshold)?))
    }

    fn rules(&self, place: &str, file: &FileSuite) -> Result<SuiteRules, GateError> {
        for (key, value) in [("minimum_score", file.minimum_score), ("regression_threshold", file.regression_threshold)]
        {
            if value.is_some() {
                return Err(self.wrong(place, key, "belongs to a preset; write `floors` or `categories`"));
            }
        }
        let has_floors = file.floors.as_ref().is_some_and(|it| it.overall.is_some() || !it.categories.is_empty());
        if file.better.is_none() && file.categories.is_none() && !has_floors {
            return Err(wrong(format!(
                "`{place}` asks for no score, so every model would pass; write `better`, `floors` or a `preset`"
            )));
        }
        Ok(SuiteRules {
            check: file.check.clone().map(|check| self.name(place, check)).transpose()?,
            figures: Figures::Exact,
            better: file.better.as_ref().map(|better| self.better(&format!("{place}.better"), better)).transpose()?,
            categories: file
                .categories
                .as_ref()
                .map(|it| self.no_worse(&format!("{place}.categories"), it))
                .transpose()?,
            floors: file
                .floors
                .as_ref()
                .map_or(Ok(Floors::default()), |it| self.floors(&format!("{place}.floors"), it))?,
            contamination: None,
            echo: None,
            endings: EndingsMost::default(),
        })
    }

    fn better(&self, place: &str, file: &FileBetter) -> Result<Better, GateError> {
        let (by, expects) = (self.points(place, "by", file.by)?, self.points(place, "expects", file.expects)?);
        if expects <= by {
            let message = format!("is {expects}; an improvement of more than `by`, {by}, is what the rule can find");
            return Err(self.wrong(place, "expects", &message));
        }
        Ok(Better::Likely { by, probability: self.probability(place, "probability", file.probability)?, expects })
    }

    fn no_worse(&self, place: &str, file: &FileNoWorse) -> Result<NoWorse, GateError> {
        let by = self.points(place, "worse", file.worse)?;
        if by <= 0.0 {
            return Err(self.wrong(
                place,
                "worse",
                "is 0; no number of tasks shows that nothing is lost, so write more",
            ));
        }
        Ok(NoWorse { by, probability: self.probability(place, "probability", file.probability)? })
    }

    fn floors(&self, place: &str, file: &FileFloors) -> Result<Floors, GateError> {
        let inner = format!("{place}.categories");
        let floor =
            |(name, floor): (&String, &f64)| Ok((self.name(&inner, name.clone())?, self.points(&inner, name, *floor)?));
        Ok(Floors {
            overall: self.points_or_none(place, "overall", file.overall)?,
            categories: file.categories.iter().map(floor).collect::<Result<_, GateError>>()?,
            skips_absent: false,
        })
    }
}
