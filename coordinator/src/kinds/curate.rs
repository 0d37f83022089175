//! The kind `curate`: a dataset that can be trusted, made of raw rows.
//!
//! The config is the worker's to read, and was the CLI's: its text is bounded here and handed on. What it needs follows from the bytes that
//! are read, since all rows are held at once.

use super::{Appraised, Findings, KindError};
use crate::core::{Core, Input, MemoryPart};
use vertigo::bytes::Bytes;
use vertigo::task::{Slot, TaskKind, role};

/// Memory for a byte of rows: the text, what is known of each line, and what finds rows that are alike.
const BYTES_PER_ROW_BYTE: f64 = 8.0;

/// Memory for a byte of a suite: its tasks, and the runs of words by which they are found.
const BYTES_PER_SUITE_BYTE: f64 = 32.0;

/// Memory that does not grow with the rows: the process, the rules' patterns, and the room in which code is compiled.
const FIXED: Bytes = Bytes::mib(256);

/// Memory for a base's tokenizer.
const TOKENIZER: Bytes = Bytes::mib(256);

/// What goes on the disk for a byte of rows: the rows once more, and a line of provenance for each.
const WRITTEN_PER_ROW_BYTE: f64 = 3.0;

/// What is asked for: all of it is in the config.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Curate;

/// What the need of a curation depends on.
#[derive(Debug)]
pub(crate) struct Appraisal {
    rows: Bytes,
    suites: Bytes,
    has_base: bool,
}

impl Curate {
    pub(super) fn find(core: &Core, inputs: &[Input]) -> Result<Findings, KindError> {
        let mut appraisal = Appraisal { rows: Bytes::ZERO, suites: Bytes::ZERO, has_base: false };
        for input in inputs {
            let Some(artifact) = input.artifact else {
                // Another job makes it.
                return Ok(Findings::default());
            };
            // Of what went away meanwhile the bytes are as they were found.
            let bytes = core.manifest(&artifact.digest).map_or(artifact.bytes, |manifest| manifest.bytes());
            match TaskKind::Curate.input(&input.role).map(|taken| taken.role) {
                Some(role::DATA) => appraisal.rows = appraisal.rows + bytes,
                Some(role::SUITE) => appraisal.suites = appraisal.suites + bytes,
                _ => appraisal.has_base = true,
            }
        }
        Ok(Findings { added: Vec::new(), appraisal: Some(super::Appraisal::Curate(appraisal)) })
    }
}

impl Appraisal {
    pub(super) fn appraise(self) -> Result<Appraised, KindError> {
        let part = |name: &str, bytes: Bytes| MemoryPart { name: name.to_owned(), bytes };
        let mut parts = vec![part("rows", self.rows.scale(BYTES_PER_ROW_BYTE)), part("the process", FIXED)];
        if self.suites > Bytes::ZERO {
            parts.push(part("suites", self.suites.scale(BYTES_PER_SUITE_BYTE)));
        }
        if self.has_base {
            parts.push(part("tokenizer", TOKENIZER));
        }
        Ok(Appraised {
            method: "curate".to_owned(),
            parts,
            disk: self.rows.scale(WRITTEN_PER_ROW_BYTE),
            slot: Slot::Cpu,
            guessed: None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_need_grows_with_what_is_read_and_takes_no_gpu() {
        let of = |rows: u64, suites: u64, has_base| {
            let appraisal = Appraisal { rows: Bytes(rows), suites: Bytes(suites), has_base };
            let Appraised { parts, disk, slot, .. } = appraisal.appraise().unwrap();
            assert_eq!(slot, Slot::Cpu);
            (parts.iter().fold(Bytes::ZERO, |sum, part| sum + part.bytes), disk)
        };
        let (least, nothing) = of(0, 0, false);
        assert_eq!((least, nothing), (FIXED, Bytes::ZERO));
        let (of_rows, written) = of(1 << 30, 0, false);
        assert!(of_rows > least + Bytes::gib(1) && written > Bytes::gib(1), "all rows are held, and written once more");
        assert!(of(0, 1 << 20, false).0 > least && of(0, 0, true).0 > least);
    }
}
