//! Names that were drawn anew: what a recording calls a job, an attempt or a blob, and what it is called now. Names of a kind have one
//! length, so that bytes in which one takes another's place are a message still.

use bytes::Bytes;
use std::collections::BTreeMap;
use vertigo::v1::{Artifact, Assignment};

/// Names as they were, and as they are.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ids {
    is: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl Ids {
    /// What was called `was` is called `is`.
    pub(crate) fn learn(&mut self, was: &str, is: &str) {
        assert_eq!(was.len(), is.len(), "`{is}` has not the length of `{was}`");
        if was != is && !was.is_empty() {
            self.is.insert(was.as_bytes().to_owned(), is.as_bytes().to_owned());
        }
    }

    /// The same of all names in an assignment.
    pub(crate) fn learn_assignment(&mut self, was: &Assignment, is: &Assignment) {
        assert_eq!((was.slot, &was.variant), (is.slot, &is.variant), "it is the same work");
        self.learn(&was.job_id, &is.job_id);
        self.learn(&was.attempt_id, &is.attempt_id);
        // The only one that is a number: it counts a job's attempts.
        assert_eq!(was.epoch, is.epoch, "it is the first attempt");
        assert_eq!(was.inputs.len(), is.inputs.len());
        for (was, is) in was.inputs.iter().zip(&is.inputs) {
            assert_eq!(was.role, is.role);
            self.learn(&was.digest, &is.digest);
        }
    }

    /// The same of an artifact's digest, and of those of its files.
    pub(crate) fn learn_artifact(&mut self, was: &Artifact, is: &Artifact) {
        self.learn(&was.digest, &is.digest);
        let files =
            |artifact: &Artifact| vertigo::manifest::Manifest::parse(&artifact.manifest_json).expect("a manifest");
        for file in files(was).files() {
            let now = files(is);
            let now = now.file(&file.path).unwrap_or_else(|| panic!("no {} in {}", file.path, is.manifest_json));
            self.learn(&file.digest.to_string(), &now.digest.to_string());
        }
    }

    /// The bytes with all names as they are.
    pub(crate) fn put_into(&self, bytes: &[u8]) -> Bytes {
        let mut now = bytes.to_owned();
        let mut at = 0;
        while at < bytes.len() {
            let found = self.is.iter().find(|(was, _)| bytes[at..].starts_with(was));
            let Some((_, is)) = found else {
                at += 1;
                continue;
            };
            now[at..at + is.len()].copy_from_slice(is);
            at += is.len();
        }
        now.into()
    }

    /// The same of a text.
    pub(crate) fn put_into_text(&self, text: &str) -> String {
        String::from_utf8(self.put_into(text.as_bytes()).to_vec()).expect("names are texts")
    }
}
