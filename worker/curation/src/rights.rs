//! Stage Rights: who allowed that a row is used, and who has to be named for it.
//!
//! Promise: what a row says of its rights is never written over. A row that says nothing is used because a person said why it may be, or,
//! where the config asks for rights, not at all.

mod owed;
mod report;

pub use owed::Owed;
pub use report::{License, RightsReport, report};

use crate::book::{Book, Effect, Rights};
use crate::config::{Assume, RightsPolicy};
use crate::glob;
use crate::row::Row;
use crate::rule::{Rule, Stage};
use serde_json::{Map, Value};

/// Somebody answers for it.
pub const RIGHTS_ASSUMED: Rule =
    Rule::new(Stage::Rights, "rights_assumed", "the config gives it rights that it does not say itself");
/// A row and its provenance say different things.
pub const RIGHTS_DISAGREE: Rule = Rule::new(
    Stage::Rights,
    "rights_disagree",
    "it says one thing of its rights and its provenance another; the former counts",
);
/// Nobody knows.
pub const NO_RIGHTS: Rule = Rule::new(Stage::Rights, "no_rights", "it says neither a licence nor a basis of use");
/// The config says no.
pub const RIGHTS_NOT_ALLOWED: Rule =
    Rule::new(Stage::Rights, "rights_not_allowed", "the config allows neither its licence nor its basis of use");

/// Bytes of a licence, a basis or an attribution that are kept. A licence's whole text is none of them.
const TEXT_BYTES_MAX: usize = 300;

/// What exporters write where nobody knows.
const UNSAID: [&str; 8] = ["", "-", "n/a", "na", "none", "null", "unknown", "noassertion"];

/// Fills in what is known of each row's rights, and gives the rows that the policy lets through; without one, all of them.
pub fn apply(rows: Vec<Row>, policy: Option<&RightsPolicy>, book: &mut Book) -> Vec<Row> {
    let goes_on = |row: &Row| {
        let mut disagrees = Vec::new();
        let mut rights = said(&row.facts, &mut disagrees);
        let mut touches = Vec::new();
        if !disagrees.is_empty() {
            touches.push((RIGHTS_DISAGREE, Effect::Noted, disagrees.join(", ")));
        }
        let mut passes = true;
        if let Some(policy) = policy {
            let assumed = policy.assume.iter().filter(|assume| is_about(assume, row, &book.of(row).origin.file));
            touches.extend(assume(&mut rights, assumed).map(|detail| (RIGHTS_ASSUMED, Effect::Noted, detail)));
            let refusal = refusal(&rights, policy);
            passes = refusal.is_none();
            touches.extend(refusal.map(|(rule, detail)| (rule, Effect::Quarantined, detail)));
        }
        book.entry_mut(row.entry).rights = rights;
        for (rule, effect, detail) in touches {
            book.touch(row.entry, rule, effect, detail);
        }
        passes
    };
    let mut rows = rows;
    rows.retain(goes_on);
    rows
}

/// What a row says itself, or its provenance. Who has to be named is at least the project that it comes from.
fn said(facts: &Map<String, Value>, disagrees: &mut Vec<&'static str>) -> Rights {
    let provenance = facts.get("provenance").and_then(Value::as_object);
    let mut either = |key: &'static str| {
        let (own, behind) = (text(facts.get(key)), text(provenance.and_then(|fields| fields.get(key))));
        if own.is_some() && behind.is_some() && own != behind {
            disagrees.push(key);
        }
        own.or(behind)
    };
    let (license, basis, attribution) = (either("license"), either("rights_basis"), either("attribution"));
    let project = || text(provenance.and_then(|fields| fields.get("project_id")));
    Rights { license, basis, attribution: attribution.or_else(project), assumed: None }
}

fn text(value: Option<&Value>) -> Option<Box<str>> {
    let text = value?.as_str()?.trim();
    if UNSAID.iter().any(|unsaid| text.eq_ignore_ascii_case(unsaid)) {
        return None;
    }
    // It is told in reports, whatever somebody put there.
    let text = crate::secrets::redacted(text).map_or(std::borrow::Cow::Borrowed(text), std::borrow::Cow::Owned);
    Some(text[..text.floor_char_boundary(TEXT_BYTES_MAX)].into())
}

fn is_about(assume: &Assume, row: &Row, file: &str) -> bool {
    let source = row.facts.get("source").and_then(Value::as_str);
    (assume.files.is_empty() || glob::any_matches(&assume.files, file))
        && assume.source.as_deref().is_none_or(|known| source == Some(known))
}

/// Gives what is missing from the first that has any of it, and says what it gave and why.
fn assume<'a>(rights: &mut Rights, mut about: impl Iterator<Item = &'a Assume>) -> Option<String> {
    about.find_map(|assume| {
        let mut given = Vec::new();
        let mut give = |name: &str, has: &mut Option<Box<str>>, gives: &Option<String>| {
            if let (None, Some(gives)) = (&has, gives) {
                *has = Some(gives.as_str().into());
                given.push(format!("{name} {gives}"));
            }
        };
        give("licence", &mut rights.license, &assume.license);
        give("basis", &mut rights.basis, &assume.basis);
        if given.is_empty() {
            return None;
        }
        // The project that a row comes from is a guess; a person's word is none.
        if let Some(attribution) = &assume.attribution {
            rights.attribution = Some(attribution.as_str().into());
        }
        rights.assumed = Some(assume.reason.as_str().into());
        Some(format!("{}: {}", given.join(", "), assume.reason))
    })
}

/// Why the policy does not let it through.
fn refusal(rights: &Rights, policy: &RightsPolicy) -> Option<(Rule, String)> {
    let asks = !policy.licenses.is_empty() || !policy.bases.is_empty();
    let has_license = rights.license.as_deref().is_some_and(|license| is_allowed(license, &policy.licenses));
    let has_basis = rights.basis.as_deref().is_some_and(|basis| is_one_of(basis, &policy.bases));
    if !asks || has_license || has_basis {
        return None;
    }
    match (&rights.license, &rights.basis) {
        (None, None) => Some((NO_RIGHTS, String::new())),
        (Some(license), None) => Some((RIGHTS_NOT_ALLOWED, format!("licence {license}"))),
        (None, Some(basis)) => Some((RIGHTS_NOT_ALLOWED, format!("basis {basis}"))),
        (Some(license), Some(basis)) => Some((RIGHTS_NOT_ALLOWED, format!("licence {license}, basis {basis}"))),
    }
}

fn is_one_of(name: &str, known: &[String]) -> bool {
    known.iter().any(|known| known.trim().eq_ignore_ascii_case(name))
}

/// Whether a licence, or a choice of several as SPDX writes it, is allowed: one of `A OR B`, both of `A AND B`. What has brackets is taken
/// as it stands.
fn is_allowed(license: &str, licenses: &[String]) -> bool {
    let all = |choice: &str| choice.split(" AND ").all(|one| is_one_of(one.trim(), licenses));
    is_one_of(license, licenses) || (!license.contains('(') && license.split(" OR ").any(all))
}

#[cfg(test)]
mod tests;
