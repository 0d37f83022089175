//! From a checked folder to a tagged artifact.

use crate::coordinator::Coordinator;
use crate::error::Result;
use crate::output::Output;
use crate::progress::Moving;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use vertigo::bytes::Bytes;
use vertigo::manifest::Kind;
use vertigo::transfer::describe_files;
use vertigo::v1;

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
        transfer.push(self.folder, &manifest, &|bytes| uploading.add(bytes)).await.map_err(|e| told(&e))?;
        uploading.finish();
        transfer.register(&manifest, &[self.tag.to_owned()]).await.map_err(|e| told(&e))
    }
}
