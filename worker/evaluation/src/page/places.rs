//! Which line of which piece of an answer's code a message is about.
//!
//! Compile errors and findings name their block. A finding of a report from before they did is placed only if a single one of
//! several blocks has so many lines. What cannot be placed is said below the answer, never at a wrong line.

use super::code::Note;
use crate::room::{Finding, FindingKind};
use crate::score::Verdict;
use crate::suite::CheckName;

/// A piece of code of an answer, as far as messages can name it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Source<'t> {
    /// The code.
    pub(super) text: &'t str,
    /// The line before it, where its file's name may be.
    pub(super) before: &'t str,
}

/// What was found in an answer's code.
#[derive(Debug, Default)]
pub(super) struct Places<'v> {
    /// For each piece of code, the notes on its lines.
    pub(super) notes: Vec<Vec<Note>>,
    /// Findings of no known place.
    pub(super) rest: Vec<(CheckName, &'v Finding)>,
}

/// Lines at the beginning of a block in which its file's name is looked for, as the room does.
const NAME_LINES: usize = 3;

/// Findings of one verdict that are looked at.
pub(super) const FINDINGS_MAX: usize = 100;

/// Places what the verdicts say of lines. `is_numbered`: the sources are the blocks that the room saw, in its order.
pub(super) fn places<'v>(sources: &[Source], is_numbered: bool, verdicts: &'v [Verdict]) -> Places<'v> {
    let lines: Vec<usize> = sources.iter().map(|source| source.text.lines().count()).collect();
    let mut places = Places { notes: vec![Vec::new(); sources.len()], rest: Vec::new() };
    for verdict in verdicts {
        let remarks = verdict.remarks.iter().filter(|_| verdict.check == CheckName::Compile);
        for (name, line, said) in remarks.filter_map(|remark| place(remark)) {
            if let Some(at) = named(sources, is_numbered, name) {
                places.notes[at].push(Note { line, of: "compile", said: said.to_owned() });
            }
        }
        for finding in verdict.findings.iter().take(FINDINGS_MAX) {
            match block(&lines, finding).filter(|_| is_numbered).or_else(|| only(&lines, finding.line)) {
                Some(at) => {
                    let note = note(finding);
                    // Lint and types both say where code does not parse.
                    if !places.notes[at].contains(&note) {
                        places.notes[at].push(note);
                    }
                }
                None => places.rest.push((verdict.check, finding)),
            }
        }
    }
    places
}

/// A compile error's block, line and message: `block 1:3: Expected …`.
pub(super) fn place(remark: &str) -> Option<(&str, u32, &str)> {
    let (before, said) = remark.split_once(": ")?;
    let (name, line) = before.rsplit_once(':')?;
    Some((name, line.parse().ok()?, said))
}

/// The source of a name: `block 2` by its place, any other by the file's name in its first lines or before it.
fn named(sources: &[Source], is_numbered: bool, name: &str) -> Option<usize> {
    if let Some(number) = name.strip_prefix("block ").and_then(|number| number.parse::<usize>().ok()) {
        return number.checked_sub(1).filter(|at| is_numbered && *at < sources.len());
    }
    let has = |source: &Source| {
        source.before.contains(name) || source.text.lines().take(NAME_LINES).any(|line| line.contains(name))
    };
    single(sources, has)
}

/// The block that a finding names, where it has the line.
fn block(lines: &[usize], finding: &Finding) -> Option<usize> {
    let at = usize::try_from(finding.block).ok()?.checked_sub(1)?;
    lines.get(at).filter(|lines| **lines as u64 >= u64::from(finding.line)).map(|_| at)
}

/// The only source that has so many lines.
fn only(lines: &[usize], line: u32) -> Option<usize> {
    single(lines, |lines| *lines as u64 >= u64::from(line))
}

fn single<T>(all: &[T], holds: impl Fn(&T) -> bool) -> Option<usize> {
    let mut holding = (0..all.len()).filter(|at| holds(&all[*at]));
    holding.next().filter(|_| holding.next().is_none())
}

fn note(finding: &Finding) -> Note {
    let of = match finding.kind {
        FindingKind::Syntax => "syntax",
        FindingKind::Type => "types",
        FindingKind::Lint => "lint",
    };
    let code = finding.code.as_ref().map(|code| format!("{code}: ")).unwrap_or_default();
    Note { line: finding.line, of, said: format!("{code}{} (column {})", finding.message, finding.column) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(line: u32) -> Finding {
        Finding { block: 0, line, column: 1, kind: FindingKind::Lint, code: None, message: "m".to_owned() }
    }

    #[test]
    fn a_finding_is_in_the_block_that_it_names_and_in_no_other() {
        let source = |text| Source { text, before: "" };
        let sources = [source("local a\nlocal b"), source("local c\nlocal d"), source("local e")];
        let findings = [(2, 2), (1, 1), (3, 2), (9, 1), (0, 1)].map(|(block, line)| Finding { block, ..finding(line) });
        let lint = Verdict {
            check: CheckName::Lint,
            standing: crate::score::Standing::Failed,
            score: 0.0,
            weight: 1.0,
            decides: false,
            remarks: Vec::new(),
            findings: findings.to_vec(),
            run: None,
            kept: None,
        };
        let verdicts = [lint];
        let places = places(&sources, true, &verdicts);
        let lines: Vec<Vec<u32>> =
            places.notes.iter().map(|notes| notes.iter().map(|note| note.line).collect()).collect();
        assert_eq!(lines, [vec![1], vec![2], vec![]]);
        let unnumbered = super::places(&sources, false, &verdicts);
        assert!(unnumbered.notes.iter().all(Vec::is_empty), "three blocks have a line 1, and two a line 2");
        assert_eq!(
            places.rest.len(),
            3,
            "a block that has no such line, one that is not there, and one that is not said"
        );
    }

    #[test]
    fn a_message_is_placed_where_no_other_line_can_be_meant() {
        let sources = [
            Source { text: "-- src/A.luau\nlocal a\n", before: "" },
            Source { text: "local b\nlocal c\nlocal d", before: "And `B.luau`:" },
        ];
        let verdict = |check, remarks: &[&str], findings| Verdict {
            check,
            standing: crate::score::Standing::Failed,
            score: 0.0,
            weight: 1.0,
            decides: true,
            remarks: remarks.iter().map(|remark| (*remark).to_owned()).collect(),
            findings,
            run: None,
            kept: None,
        };
        let verdicts = [
            verdict(
                CheckName::Compile,
                &["block 2:3: no: end", "src/A.luau:2: bad", "B.luau:1: worse", "C.luau:1: lost"],
                vec![],
            ),
            verdict(CheckName::Lint, &["block 1:1: no compile error"], vec![finding(3), finding(2), finding(9)]),
        ];
        let places = places(&sources, true, &verdicts);
        let lines = |at: usize| places.notes[at].iter().map(|note| (note.line, note.said.as_str())).collect::<Vec<_>>();
        assert_eq!(lines(0), [(2, "bad")]);
        assert_eq!(lines(1), [(3, "no: end"), (1, "worse"), (3, "m (column 1)")]);
        assert_eq!(places.rest.iter().map(|(_, finding)| finding.line).collect::<Vec<_>>(), [2, 9]);
    }
}
