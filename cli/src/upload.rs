//! From a checked folder to a tagged artifact.

use crate::coordinator::Coordinator;
use crate::error::Result;
use crate::render::output::Output;
use crate::render::progress::Moving;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;
use vertigo::bytes::Bytes;
use vertigo::manifest::Kind;
use vertigo::v1;
use vertigo_client::{Patience, TransferError, describe_files};

/// How long an upload that is refused for now, such as by a store without room, is tried again before that is an error.
const REFUSED_SECONDS_MAX: u64 = 120;

/// What goes up: some files of a folder, and facts about them.
pub(crate) struct Upload<'a> {
    pub(crate) kind: Kind,
    pub(crate) folder: &'a Path,
    /// Relative to the folder.
    pub(crate) files: Vec<String>,
    pub(crate) facts: BTreeMap<String, Value>,
    /// The tag that the artifact gets.
    pub(crate) tag: &'a str,
}

impl Upload<'_> {
    /// Hashes, uploads what the store lacks, and registers. Cut off, it goes on where it was when it is run again.
    pub(crate) async fn run(self, coordinator: &Coordinator, output: Output) -> Result<v1::Artifact> {
        let told = |error: &_| coordinator.transfer_error(error);
        let size = |file: &String| fs::metadata(self.folder.join(file)).map_or(0, |metadata| metadata.len());
        let total = Bytes(self.files.iter().map(size).sum());
        let hashing = Moving::new(output, format!("hashing {}", self.tag), total);
        let progress = |bytes| hashing.add(bytes);
        let manifest = describe_files(self.kind, self.folder, self.files, self.facts, &progress).await;
        let manifest = manifest.map_err(|e| told(&e))?;
        hashing.finish();
        let transfer = coordinator.transfer();
        let uploading = Moving::new(output, format!("uploading {}", self.tag), total);
        let said = Mutex::default();
        let refused = |error: &TransferError| {
            if let Some(line) = first_of_its_kind(error, &said) {
                uploading.note(&line);
            }
        };
        let patience = Patience { without_headway: Duration::from_secs(REFUSED_SECONDS_MAX), told: &refused };
        let pushed = transfer.push_patiently(self.folder, &manifest, &|bytes| uploading.add(bytes), patience).await;
        pushed.map_err(|e| told(&e))?;
        uploading.finish();
        transfer.register(&manifest, &[self.tag.to_owned()]).await.map_err(|e| told(&e))
    }
}

/// What to say of a refusal that is waited out: once, not at each try.
fn first_of_its_kind(error: &TransferError, said: &Mutex<String>) -> Option<String> {
    let words = error.to_string();
    // A lock that a panic has poisoned still holds the last line.
    let mut said = said.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let line = format!("{words}; trying again for up to {REFUSED_SECONDS_MAX} s");
    let is_new = *said != words;
    *said = words;
    is_new.then_some(line)
}

#[cfg(test)]
mod tests {
    use super::*;
    use vertigo::id::Digest;

    #[test]
    fn a_wait_is_said_once_for_each_reason() {
        let refusal =
            |status| TransferError::NotTaken { digest: Digest::of(b""), status, message: "no room".to_owned() };
        let said = Mutex::default();
        let line = first_of_its_kind(&refusal(507), &said).unwrap();
        assert!(line.contains("507") && line.contains("no room") && line.contains("trying again"), "{line}");
        assert_eq!(first_of_its_kind(&refusal(507), &said), None);
        assert!(first_of_its_kind(&refusal(503), &said).is_some());
    }
}
