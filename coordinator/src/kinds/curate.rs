//! The kind `curate`: a dataset that can be trusted, made of raw rows.
//!
//! The config is the worker's to read, and was the CLI's: its text is bounded here and handed on. What it needs follows from the bytes that
//! are read, since all rows are held at once.

use super::{Appraised, Findings, KindError};
use crate::core::{Core, Input, MemoryPart};
use vertigo::bytes::Bytes;
use vertigo::task::{Slot, TaskKind, role};

/// Memory for a byte of rows: the text, what is known of each line, and what finds rows that are alike. 4 bytes were measured on the
/// pipeline's 1,804 rows and 3 on 30,000 of a kilobyte; rows of a few words take more.
const BYTES_PER_ROW_BYTE: f64 = 8.0;

/// Memory for a byte of a suite: its tasks, and the runs of words by which they are found. 3 bytes were measured on the suite of our own.
const BYTES_PER_SUITE_BYTE: f64 = 8.0;

/// Memory that does not grow with the rows: the rules' patterns and what compiles code. The process itself is not counted, as in no kind.
const FIXED: Bytes = Bytes::mib(24);

/// The file of a base that makes tokens, and memory for a byte of it.
const TOKENIZER: &str = "tokenizer.json";
const BYTES_PER_TOKENIZER_BYTE: f64 = 12.0;

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
    /// The base's file that makes tokens.
    tokenizer: Bytes,
}

impl Curate {
    pub(super) fn find(core: &Core, inputs: &[Input]) -> Result<Findings, KindError> {
        let mut appraisal = Appraisal { rows: Bytes::ZERO, suites: Bytes::ZERO, tokenizer: Bytes::ZERO };
        for input in inputs {
            let Some(artifact) = input.artifact else {
                // Another job makes it.
                return Ok(Findings::default());
            };
            match TaskKind::Curate.input(&input.role).map(|taken| taken.role) {
                Some(role::DATA) => appraisal.rows += artifact.bytes,
                Some(role::SUITE) => appraisal.suites += artifact.bytes,
                _ => {
                    let files = core.manifest(&artifact.digest).map(|manifest| manifest.files()).unwrap_or_default();
                    let tokenizer = files.iter().find(|file| file.path == TOKENIZER).map(|file| file.bytes);
                    appraisal.tokenizer = tokenizer.unwrap_or_default();
                }
            }
        }
        Ok(Findings { added: Vec::new(), appraisal: Some(super::Appraisal::Curate(appraisal)) })
    }
}

impl Appraisal {
    pub(super) fn appraise(self) -> Result<Appraised, KindError> {
        let part = |name: &str, bytes: Bytes| MemoryPart { name: name.to_owned(), bytes };
        let mut parts = vec![part("rows", self.rows.scale(BYTES_PER_ROW_BYTE)), part("rules", FIXED)];
        if self.suites > Bytes::ZERO {
            parts.push(part("suites", self.suites.scale(BYTES_PER_SUITE_BYTE)));
        }
        if self.tokenizer > Bytes::ZERO {
            parts.push(part("tokenizer", self.tokenizer.scale(BYTES_PER_TOKENIZER_BYTE)));
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
        let of = |rows: u64, suites: u64, tokenizer: u64| {
            let appraisal = Appraisal { rows: Bytes(rows), suites: Bytes(suites), tokenizer: Bytes(tokenizer) };
            let Appraised { parts, disk, slot, .. } = appraisal.appraise().unwrap();
            assert_eq!(slot, Slot::Cpu);
            (parts.iter().fold(Bytes::ZERO, |sum, part| sum + part.bytes), disk)
        };
        let (least, nothing) = of(0, 0, 0);
        assert_eq!((least, nothing), (FIXED, Bytes::ZERO));
        let (of_rows, written) = of(1 << 30, 0, 0);
        assert!(of_rows > least + Bytes::gib(1) && written > Bytes::gib(1), "all rows are held, and written once more");
        assert!(of(0, 1 << 20, 0).0 > least && of(0, 0, 1 << 20).0 > least);
    }
}
