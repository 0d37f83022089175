//! What a publication owes to the licences of what it was made from.
//!
//! Promise: a reminder for whoever publishes, family by family, and no advice; what is not known is said to be not known.

use serde::{Deserialize, Serialize};

/// What a licence asks of whoever passes the work on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Owed {
    /// Nothing.
    Nothing,
    /// Those who made it are named, or their notice is kept.
    Attribution,
    /// That, and what is made of it goes under the same licence, at least file by file.
    SameLicense,
    /// Not known here: read it.
    Unknown,
}

/// Beginnings of SPDX's names, longer ones before shorter ones that they begin with.
const FAMILIES: &[(&str, Owed, &str)] = &[
    ("CC0", Owed::Nothing, "nothing is owed"),
    ("Unlicense", Owed::Nothing, "nothing is owed"),
    ("0BSD", Owed::Nothing, "nothing is owed"),
    ("MIT-0", Owed::Nothing, "nothing is owed"),
    ("PDDL", Owed::Nothing, "nothing is owed"),
    (
        "CC-BY-NC-SA",
        Owed::SameLicense,
        "name the authors, link the licence, say what was changed, publish under the same, and never for money",
    ),
    ("CC-BY-NC", Owed::Attribution, "name the authors, link the licence, say what was changed, and never for money"),
    (
        "CC-BY-SA",
        Owed::SameLicense,
        "name the authors, link the licence, say what was changed, and publish under the same",
    ),
    ("CC-BY-ND", Owed::Attribution, "name the authors and link the licence; what was changed may not be published"),
    ("CC-BY", Owed::Attribution, "name the authors, link the licence, and say what was changed"),
    ("MIT", Owed::Attribution, "keep the copyright notice and the licence's text"),
    ("ISC", Owed::Attribution, "keep the copyright notice and the licence's text"),
    ("BSD", Owed::Attribution, "keep the copyright notice and the licence's text"),
    ("Zlib", Owed::Attribution, "keep the licence's text, and say what was changed"),
    ("Apache", Owed::Attribution, "keep the licence's text and its notices, and say what was changed"),
    ("ODC-By", Owed::Attribution, "name the database, and keep its notices"),
    ("MPL", Owed::SameLicense, "keep the notices, and publish changed files under the same licence"),
    ("LGPL", Owed::SameLicense, "keep the notices, and publish what is made of it under the same licence"),
    ("AGPL", Owed::SameLicense, "keep the notices, and publish what is made of it under the same licence"),
    ("GPL", Owed::SameLicense, "keep the notices, and publish what is made of it under the same licence"),
    ("EUPL", Owed::SameLicense, "keep the notices, and publish what is made of it under the same licence"),
    ("ODbL", Owed::SameLicense, "name the database, and publish what is made of it under the same licence"),
];

/// What a licence asks, and how that is done. Of a choice of several the first is taken.
pub(super) fn owed(license: &str) -> (Owed, &'static str) {
    let first = license.split_whitespace().next().unwrap_or_default().trim_start_matches('(');
    let is_of = |family: &str| {
        let begins = first.get(..family.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(family));
        // `MITRE` is not of MIT's family.
        begins && !first[family.len()..].starts_with(|c: char| c.is_alphabetic())
    };
    let found = FAMILIES.iter().find(|(family, _, _)| is_of(family));
    found.map_or((Owed::Unknown, "read the licence"), |(_, owed, how)| (*owed, how))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn licences_owe_what_their_family_does() {
        for (license, is) in [
            ("MIT", Owed::Attribution),
            ("MIT-0", Owed::Nothing),
            ("mit", Owed::Attribution),
            ("MITRE", Owed::Unknown),
            ("CC-BY-4.0", Owed::Attribution),
            ("CC-BY-SA-4.0", Owed::SameLicense),
            ("CC0-1.0", Owed::Nothing),
            ("MPL-2.0", Owed::SameLicense),
            ("GPL-3.0-only", Owed::SameLicense),
            ("Apache-2.0 OR MIT", Owed::Attribution),
            ("Fair use (rewritten)", Owed::Unknown),
            ("", Owed::Unknown),
            ("\u{e9}\u{e9}\u{e9}", Owed::Unknown),
        ] {
            assert_eq!(owed(license).0, is, "{license}");
        }
        // A longer name comes before what it begins with, or it would never be found.
        for (at, (family, ..)) in FAMILIES.iter().enumerate() {
            assert!(!FAMILIES[..at].iter().any(|(before, ..)| family.starts_with(&format!("{before}-"))), "{family}");
        }
    }
}
