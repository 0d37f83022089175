//! A policy from text, and where in it something is wrong.

use super::{Comparison, Condition, PARENTHESES_DEEP_MAX, POLICY_BYTES_MAX, Policy, Rule};
use crate::facts::{Pressure, Thermal, Weekday};
use std::str::FromStr;
use std::time::Duration;
use winnow::ascii::multispace0;
use winnow::combinator::{cut_err, preceded, repeat};
use winnow::error::{ContextError, ErrMode, FromExternalError};
use winnow::stream::Stream;
use winnow::token::take_while;
use winnow::{ModalResult, Parser};

/// The longest time that an idle machine can be asked for.
const IDLE_MAX: Duration = Duration::from_secs(7 * 24 * 60 * 60);

const CONDITIONS: &str = "on-ac, on-battery, battery > 40%, thermal < serious, pressure < warning, lid-open, lid-closed, idle > 15m, \
                          22:00-08:00, mon-fri, always or never";

/// Why a text is no policy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("column {column}: {problem}")]
pub struct PolicyError {
    /// The character that it is wrong at, from 1.
    pub column: usize,
    /// What is wrong, and what to write.
    pub problem: String,
}

/// What is wrong at the place where the parser stands.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Problem(String);

impl FromStr for Policy {
    type Err = PolicyError;

    fn from_str(text: &str) -> Result<Policy, PolicyError> {
        let at = |offset: usize, problem: String| {
            let before = &text[..text.floor_char_boundary(offset)];
            PolicyError { column: before.chars().count() + 1, problem }
        };
        if text.len() > POLICY_BYTES_MAX {
            return Err(at(POLICY_BYTES_MAX, format!("a policy has at most {POLICY_BYTES_MAX} bytes")));
        }
        if let Some(offset) = too_deep(text) {
            return Err(at(offset, format!("parentheses stand at most {PARENTHESES_DEEP_MAX} deep")));
        }
        // Letters of ASCII alone change, so that every place stays where it is.
        let lower = text.to_ascii_lowercase();
        let policy = policy.parse(&lower).map(Policy).map_err(|error| {
            let problem = error.inner().cause().map(ToString::to_string);
            at(error.offset(), problem.unwrap_or_else(|| format!("write a condition: {CONDITIONS}")))
        })?;
        // What is kept and shown is the policy's own form, which has to read back.
        let written = policy.to_string();
        if written.len() > POLICY_BYTES_MAX || too_deep(&written).is_some() {
            return Err(at(0, format!("the policy is too long or too deep once it is written out: `{written}`")));
        }
        Ok(policy)
    }
}

/// Where parentheses stand too deep, before a parser that goes down with them.
fn too_deep(text: &str) -> Option<usize> {
    let mut deep = 0usize;
    for (offset, c) in text.char_indices() {
        match c {
            '(' => deep += 1,
            ')' => deep = deep.saturating_sub(1),
            _ => {}
        }
        if deep > PARENTHESES_DEEP_MAX {
            return Some(offset);
        }
    }
    None
}

fn policy(input: &mut &str) -> ModalResult<Rule> {
    let rule = any(input)?;
    multispace0.parse_next(input)?;
    match input.chars().next() {
        None => Ok(rule),
        Some(')') => wrong(input, "this `)` closes nothing".to_owned()),
        Some(_) => wrong(input, "write `and` or `or` before this".to_owned()),
    }
}

fn any(input: &mut &str) -> ModalResult<Rule> {
    joined(all, "or", Rule::any).parse_next(input)
}

fn all(input: &mut &str) -> ModalResult<Rule> {
    joined(operand, "and", Rule::all).parse_next(input)
}

/// One or more, with a word between them.
fn joined<'i>(
    mut part: fn(&mut &'i str) -> ModalResult<Rule>,
    by: &'static str,
    join: fn(Vec<Rule>) -> Rule,
) -> impl Parser<&'i str, Rule, ErrMode<ContextError>> {
    move |input: &mut &'i str| {
        let mut rules = vec![part.parse_next(input)?];
        let others: Vec<Rule> = repeat(0.., preceded(keyword(by), cut_err(part))).parse_next(input)?;
        rules.extend(others);
        Ok(join(rules))
    }
}

fn operand(input: &mut &str) -> ModalResult<Rule> {
    let negations: usize = repeat(0.., keyword("not")).parse_next(input)?;
    multispace0.parse_next(input)?;
    let rule = if let Some(inside) = input.strip_prefix('(') {
        *input = inside;
        let rule = any(input)?;
        multispace0.parse_next(input)?;
        let Some(after) = input.strip_prefix(')') else {
            return wrong(input, "a `)` is missing here, or `and` or `or`".to_owned());
        };
        *input = after;
        rule
    } else {
        condition(input)?
    };
    Ok(if negations.is_multiple_of(2) { rule } else { Rule::not(rule) })
}

fn condition(input: &mut &str) -> ModalResult<Rule> {
    let (start, name) = (input.checkpoint(), word.parse_next(input)?);
    Ok(Rule::Is(match name {
        "always" => Condition::Always,
        "never" => Condition::Never,
        "on-ac" => Condition::OnAc,
        "on-battery" => Condition::OnBattery,
        "lid-open" => Condition::LidOpen,
        "lid-closed" => Condition::LidClosed,
        "battery" => {
            let comparison = comparison(input)?;
            Condition::Battery(comparison, value(input, percent)?)
        }
        "thermal" => {
            let comparison = comparison(input)?;
            Condition::Thermal(comparison, value(input, thermal)?)
        }
        "pressure" => {
            let comparison = comparison(input)?;
            Condition::Pressure(comparison, value(input, pressure)?)
        }
        "idle" => {
            let comparison = comparison(input)?;
            Condition::Idle(comparison, value(input, span)?)
        }
        name => match span_of_week(name) {
            Ok(condition) => condition,
            Err(problem) => {
                input.reset(&start);
                return wrong(input, problem);
            }
        },
    }))
}

/// A word, with the white space before it.
fn word<'i>(input: &mut &'i str) -> ModalResult<&'i str> {
    multispace0.parse_next(input)?;
    let is_of_word = |c: char| c.is_alphanumeric() || matches!(c, '-' | ':' | '%' | '.' | '_');
    let end = input.is_empty();
    let word: Result<&str, ErrMode<ContextError>> = take_while(1.., is_of_word).parse_next(input);
    word.or_else(|_| {
        let what = if end { "the policy ends too early" } else { "no condition begins so" };
        wrong(input, format!("{what}: write {CONDITIONS}"))
    })
}

/// A word of the language itself.
fn keyword<'i>(keyword: &'static str) -> impl Parser<&'i str, (), ErrMode<ContextError>> {
    move |input: &mut &'i str| {
        let start = input.checkpoint();
        match word.parse_next(input) {
            Ok(found) if found == keyword => Ok(()),
            _ => {
                input.reset(&start);
                Err(ErrMode::Backtrack(ContextError::new()))
            }
        }
    }
}

fn comparison(input: &mut &str) -> ModalResult<Comparison> {
    multispace0.parse_next(input)?;
    for comparison in Comparison::ALL {
        if let Some(after) = input.strip_prefix(comparison.sign()) {
            *input = after;
            return Ok(comparison);
        }
    }
    wrong(input, "write <, <=, > or >= here".to_owned())
}

/// A value that `read` makes of the next word, or says why not.
fn value<T>(input: &mut &str, read: fn(&str) -> Result<T, String>) -> ModalResult<T> {
    multispace0.parse_next(input)?;
    let start = input.checkpoint();
    let word: Result<&str, ErrMode<ContextError>> =
        take_while(0.., |c: char| !c.is_whitespace() && !matches!(c, '(' | ')')).parse_next(input);
    let read = read(word?);
    read.or_else(|problem| {
        input.reset(&start);
        wrong(input, problem)
    })
}

/// What stands here ends the reading.
fn wrong<T>(input: &&str, problem: String) -> ModalResult<T> {
    Err(ErrMode::Cut(ContextError::from_external_error(input, Problem(problem))))
}

fn quoted(word: &str) -> String {
    if word.is_empty() { "nothing".to_owned() } else { format!("`{word}`") }
}

/// Digits and nothing else: no sign, which other readers of numbers take.
fn number(digits: &str) -> Option<u64> {
    digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok())?
}

fn percent(word: &str) -> Result<u8, String> {
    let percent = word.strip_suffix('%').and_then(number).filter(|percent| *percent <= 100);
    percent.map(|percent| percent as u8).ok_or_else(|| format!("{} is no percentage such as 40%", quoted(word)))
}

fn thermal(word: &str) -> Result<Thermal, String> {
    let found = Thermal::ALL.into_iter().find(|state| state.name() == word);
    found.ok_or_else(|| format!("{} is none of nominal, fair, serious, critical", quoted(word)))
}

fn pressure(word: &str) -> Result<Pressure, String> {
    let found = Pressure::ALL.into_iter().find(|state| state.name() == word);
    found.ok_or_else(|| format!("{} is none of normal, warning, critical", quoted(word)))
}

fn span(word: &str) -> Result<Duration, String> {
    let units = [('s', 1), ('m', 60), ('h', 3600)];
    let seconds = units.iter().find_map(|(unit, seconds)| number(word.strip_suffix(*unit)?)?.checked_mul(*seconds));
    let time = seconds.map(Duration::from_secs).filter(|time| *time <= IDLE_MAX);
    time.ok_or_else(|| format!("{} is no time of at most a week such as 90s, 15m or 2h", quoted(word)))
}

/// Hours of the day, or days of the week.
fn span_of_week(word: &str) -> Result<Condition, String> {
    let (from, to) = word.split_once('-').unwrap_or((word, word));
    let day = |name: &str| Weekday::ALL.into_iter().find(|day| day.name() == name);
    if let (Some(from), Some(to)) = (day(from), day(to)) {
        return Ok(Condition::Days(from, to));
    }
    if !word.contains(':') {
        return Err(format!("`{word}` is no condition: write {CONDITIONS}"));
    }
    let (Some(from), Some(to)) = (minute(from), minute(to)) else {
        return Err(format!("`{word}` are no hours such as 22:00-08:00"));
    };
    if from == to {
        return Err(format!("`{word}` is no time at all, or all of it: write never or always"));
    }
    Ok(Condition::Hours(from, to))
}

/// A minute of the day. Midnight is its beginning, and may be written as its end.
fn minute(text: &str) -> Option<u16> {
    let (hour, minute) = text.split_once(':')?;
    let two = |digits: &str| (digits.len() == 2).then(|| number(digits))?;
    match (two(hour)?, two(minute)?) {
        (24, 0) => Some(0),
        (hour, minute) if hour < 24 && minute < 60 => Some((hour * 60 + minute) as u16),
        _ => None,
    }
}
