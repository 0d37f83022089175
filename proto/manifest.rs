//! What an artifact is made of: a list of files by digest, and facts about them.
//!
//! An artifact's name is the SHA-256 of its manifest's canonical JSON: the same files and facts are the same artifact,
//! whoever made it, and nobody can change one without changing its name.

mod paths;

pub use paths::{PART_BYTES_MAX, PATH_BYTES_MAX};

use crate::bytes::Bytes;
use crate::id::Digest;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

/// Files of an artifact. Datasets of tens of thousands of files exist; with the longest paths that are allowed, so many entries are a
/// manifest of 32 MB, which still fits the largest message that a coordinator takes.
pub const FILES_MAX: usize = 50_000;

/// What an artifact is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A model's weights, config and tokenizer. Facts: `config` (its config.json).
    Base,
    /// JSONL files. Facts: `examples`.
    Dataset,
    /// What a run needs to go on bit for bit. Facts: `iter`.
    Checkpoint,
    /// Trained weights in mlx-lm's files. Facts: `recipe`, `validation_before`, `validation_after`.
    Adapter,
    /// A base with an adapter's change in its weights: stands wherever a base does. Facts: `config`, `base`, `adapter`, `bits`.
    Model,
    /// Tasks with their checks. Facts: `name`, `tasks`, `categories`.
    Suite,
    /// What an evaluation found. Facts: `suite`, `model`, `score`, `passed`, `answers`.
    Report,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Kind; 7] =
        [Kind::Base, Kind::Dataset, Kind::Checkpoint, Kind::Adapter, Kind::Model, Kind::Suite, Kind::Report];

    /// The kind's name, as it stands in manifests and tables.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Base => "base",
            Kind::Dataset => "dataset",
            Kind::Checkpoint => "checkpoint",
            Kind::Adapter => "adapter",
            Kind::Model => "model",
            Kind::Suite => "suite",
            Kind::Report => "report",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Kind {
    type Err = ManifestError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Kind::ALL.into_iter().find(|kind| kind.as_str() == text).ok_or_else(|| ManifestError::Kind(text.to_owned()))
    }
}

/// A file of an artifact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileEntry {
    /// Where it lies in the artifact's folder: relative, `/` between parts.
    pub path: String,
    /// The digest of its bytes.
    pub digest: Digest,
    /// Its size.
    pub bytes: Bytes,
}

/// An artifact's files and facts. Built by [`Manifest::new`] or [`Manifest::parse`], so its paths are safe to write to.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Manifest {
    kind: Kind,
    files: Vec<FileEntry>,
    facts: BTreeMap<String, Value>,
}

/// What is wrong with a manifest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// Not the JSON of a manifest.
    #[error("not a manifest: {0}")]
    Json(String),
    /// A path that would leave the artifact's folder, or that cannot be written everywhere.
    #[error("`{0}` is not a path of an artifact: it must be relative, without `..`, empty parts or backslashes")]
    Path(String),
    /// A path that cannot be shown.
    #[error("the path `{0}` has control characters or marks of direction; rename the file")]
    Characters(String),
    /// A path that some file system cannot write.
    #[error(
        "the path `{0}` is too long: at most {PATH_BYTES_MAX} bytes, and {PART_BYTES_MAX} for each part; rename the file"
    )]
    Long(String),
    /// Two paths that are one on a file system that folds case, or a file that is also a folder.
    #[error("`{0}` and `{1}` cannot lie in one folder on every machine: macOS takes them for the same; rename one")]
    Collision(String, String),
    /// More files than an artifact may have.
    #[error("{0} files are more than an artifact's {FILES_MAX}; pack them into fewer")]
    Many(usize),
    /// A path that stands twice.
    #[error("`{0}` stands twice in the manifest")]
    Twice(String),
    /// No files at all.
    #[error("an artifact has at least one file")]
    Empty,
    /// A kind that does not exist.
    #[error("`{0}` is no kind of artifact: base, dataset, checkpoint, adapter or model")]
    Kind(String),
}

/// A manifest as it is written, before its paths are checked.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    kind: Kind,
    files: Vec<FileEntry>,
    facts: BTreeMap<String, Value>,
}

impl Raw {
    fn parse(json: &str) -> Result<Raw, ManifestError> {
        serde_json::from_str(json).map_err(|e| ManifestError::Json(e.to_string()))
    }
}

impl Manifest {
    /// A manifest of these files, in any order.
    ///
    /// # Errors
    /// [`ManifestError::Path`] where a path would leave the folder, and all others but [`ManifestError::Json`] where the files could not
    /// lie in one folder on every machine.
    pub fn new(kind: Kind, files: Vec<FileEntry>, facts: BTreeMap<String, Value>) -> Result<Manifest, ManifestError> {
        if files.len() > FILES_MAX {
            return Err(ManifestError::Many(files.len()));
        }
        let manifest = Manifest::within_a_folder(kind, files, facts)?;
        paths::check_portable(&manifest.files)?;
        Ok(manifest)
    }

    /// A manifest whose paths stay in the folder, whether or not every machine can write them.
    fn within_a_folder(
        kind: Kind,
        mut files: Vec<FileEntry>,
        facts: BTreeMap<String, Value>,
    ) -> Result<Manifest, ManifestError> {
        if files.is_empty() {
            return Err(ManifestError::Empty);
        }
        files.sort_by(|a, b| a.path.cmp(&b.path));
        if let Some(file) = files.iter().find(|file| !paths::stays_inside(&file.path)) {
            return Err(ManifestError::Path(file.path.clone()));
        }
        if let Some(pair) = files.windows(2).find(|pair| pair[0].path == pair[1].path) {
            return Err(ManifestError::Twice(pair[0].path.clone()));
        }
        Ok(Manifest { kind, files, facts })
    }

    /// Reads a manifest that somebody else made.
    ///
    /// # Errors
    /// As [`Manifest::new`], or [`ManifestError::Json`].
    pub fn parse(json: &str) -> Result<Manifest, ManifestError> {
        let raw = Raw::parse(json)?;
        Manifest::new(raw.kind, raw.files, raw.facts)
    }

    /// Reads a manifest that was taken before, perhaps by a version with fewer rules: one that is kept must not be lost, nor keep a
    /// coordinator from starting. Its paths stay in their folder all the same, and whoever fetches it reads it with
    /// [`Manifest::parse`] and says what is wrong.
    ///
    /// # Errors
    /// [`ManifestError::Json`], [`ManifestError::Path`], [`ManifestError::Twice`], [`ManifestError::Empty`].
    pub fn parse_kept(json: &str) -> Result<Manifest, ManifestError> {
        let raw = Raw::parse(json)?;
        Manifest::within_a_folder(raw.kind, raw.files, raw.facts)
    }

    /// The canonical JSON: files by path, facts and their tables by key, no spaces.
    pub fn to_json(&self) -> String {
        let sorted = Manifest {
            facts: self.facts.iter().map(|(key, value)| (key.clone(), sort_keys(value))).collect(),
            ..self.clone()
        };
        serde_json::to_string(&sorted).expect("strings, numbers and tables with string keys have a JSON form")
    }

    /// The artifact's name.
    pub fn digest(&self) -> Digest {
        Digest::of(self.to_json().as_bytes())
    }

    /// What it is for.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Its files, by path.
    pub fn files(&self) -> &[FileEntry] {
        &self.files
    }

    /// The file at `path`.
    pub fn file(&self, path: &str) -> Option<&FileEntry> {
        self.files.iter().find(|file| file.path == path)
    }

    /// A fact about it.
    pub fn fact(&self, key: &str) -> Option<&Value> {
        self.facts.get(key)
    }

    /// All facts about it, by key.
    pub fn facts(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.facts.iter().map(|(key, value)| (key.as_str(), value))
    }

    /// The size of all files.
    pub fn bytes(&self) -> Bytes {
        self.files.iter().map(|file| file.bytes).sum()
    }
}

fn sort_keys(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let sorted: BTreeMap<_, _> = map.iter().map(|(key, value)| (key.clone(), sort_keys(value))).collect();
            Value::Object(sorted.into_iter().collect())
        }
        Value::Array(items) => Value::Array(items.iter().map(sort_keys).collect()),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn file(path: &str) -> FileEntry {
        FileEntry { path: path.to_owned(), digest: Digest::of(path.as_bytes()), bytes: Bytes(3) }
    }

    #[test]
    fn refuses_paths_that_leave_the_folder() {
        for path in ["../x", "/etc/passwd", "a//b", "a/../../b", "", "a\\b", "C:x", "./a"] {
            let made = Manifest::new(Kind::Adapter, vec![file(path)], BTreeMap::new());
            assert_eq!(made, Err(ManifestError::Path(path.to_owned())), "{path}");
        }
        let twice = Manifest::new(Kind::Adapter, vec![file("a"), file("a")], BTreeMap::new());
        assert_eq!(twice, Err(ManifestError::Twice("a".to_owned())));
    }

    fn made(paths: &[&str]) -> Result<Manifest, ManifestError> {
        Manifest::new(Kind::Base, paths.iter().map(|path| file(path)).collect(), BTreeMap::new())
    }

    #[test]
    fn refuses_files_that_cannot_lie_in_one_folder_everywhere() {
        for paths in [
            ["a", "a/b"],
            ["a", "a/b/c"],
            ["README", "readme"],
            ["Shards/x", "shards/y"],
            ["A", "a/b"],
            ["caf\u{e9}", "cafe\u{301}"],
            ["CAFE\u{301}/x", "caf\u{e9}/y"],
            ["\u{3a3}", "\u{3c2}"],
        ] {
            assert!(matches!(made(&paths), Err(ManifestError::Collision(..))), "{paths:?}");
            let [other, first] = paths;
            assert!(made(&[first, other]).is_err(), "{paths:?} in the other order");
            assert!(made(&[first]).is_ok() && made(&[other]).is_ok(), "{paths:?} alone");
        }
        assert!(made(&["a", "a-b", "ab/c", "b/a", "b/c/a"]).is_ok());
    }

    #[test]
    fn refuses_paths_that_are_too_long_or_cannot_be_shown() {
        let part = "x".repeat(PART_BYTES_MAX);
        assert!(made(&[&part, &format!("{part}/y")]).is_err(), "a file that is a folder too");
        assert!(made(&[&format!("{part}/{}", "y".repeat(PART_BYTES_MAX))]).is_ok());
        let (long, deep) = (format!("{part}x"), format!("{part}/{part}/y"));
        for path in [&long, &deep] {
            assert_eq!(made(&[path]), Err(ManifestError::Long(path.clone())));
        }
        for path in ["a\nb", "\u{1b}[2J", "a\rb", "\u{7f}", "\u{9b}31m", "a\u{202e}b", "\u{2066}x"] {
            let refused = made(&[path]).unwrap_err();
            assert!(matches!(refused, ManifestError::Characters(_)), "{refused}");
            assert!(refused.to_string().chars().all(|c| c.is_ascii_graphic() || c == ' '), "{refused}");
        }
    }

    #[test]
    fn an_artifact_has_a_bounded_number_of_files() {
        let files = |n: usize| (0..n).map(|n| file(&n.to_string())).collect::<Vec<_>>();
        assert!(Manifest::new(Kind::Base, files(FILES_MAX), BTreeMap::new()).is_ok());
        let many = Manifest::new(Kind::Base, files(FILES_MAX + 1), BTreeMap::new());
        assert_eq!(many, Err(ManifestError::Many(FILES_MAX + 1)));
    }

    #[test]
    fn what_was_taken_once_is_still_read_unless_it_leaves_its_folder() {
        let raw = |paths: &[&str]| {
            let files: Vec<_> = paths.iter().map(|path| file(path)).collect();
            json!({"kind": "base", "files": files, "facts": {}}).to_string()
        };
        let old = raw(&["a", "a/b"]);
        assert!(Manifest::parse(&old).is_err());
        let kept = Manifest::parse_kept(&old).unwrap();
        assert_eq!((kept.to_json(), kept.digest()), (old.clone(), Digest::of(old.as_bytes())));
        assert!(Manifest::parse_kept(&raw(&["../x"])).is_err());
    }

    #[test]
    fn the_order_of_keys_in_facts_changes_nothing() {
        let with = |facts: &str| {
            let facts = [("config".to_owned(), serde_json::from_str(facts).unwrap())].into();
            Manifest::new(Kind::Base, vec![file("a")], facts).unwrap().digest()
        };
        assert_eq!(with(r#"{"a":1,"b":{"c":2,"d":3}}"#), with(r#"{"b":{"d":3,"c":2},"a":1}"#));
        assert_ne!(with(r#"{"a":1}"#), with(r#"{"a":2}"#));
    }

    proptest! {
        /// Folders begin with a letter after `m` and files with one before, so that no file's name is also a folder's: that is refused.
        #[test]
        fn the_name_does_not_depend_on_order_and_survives_json(mut names in prop::collection::hash_set("[n-z][a-z]{0,7}/[a-z]{1,4}|[a-m][a-z]{0,7}", 1..6)) {
            let forward: Vec<_> = names.iter().map(|n| file(n)).collect();
            let backward: Vec<_> = names.drain().map(|n| file(&n)).rev_sorted();
            let facts: BTreeMap<_, _> = [("n".to_owned(), json!(1))].into();
            let a = Manifest::new(Kind::Dataset, forward, facts.clone()).unwrap();
            let b = Manifest::new(Kind::Dataset, backward, facts).unwrap();
            prop_assert_eq!(a.digest(), b.digest());
            prop_assert_eq!(Manifest::parse(&a.to_json()).unwrap(), a);
        }
    }

    proptest! {
        /// A measured loss has all the digits that a double has. One that reads back as its neighbour is another artifact.
        #[test]
        fn a_measured_fact_keeps_the_name(loss in prop::num::f64::NORMAL, small in 0.0..20.0f64) {
            let facts: BTreeMap<_, _> = [("loss".to_owned(), json!(loss)), ("small".to_owned(), json!(small))].into();
            let made = Manifest::new(Kind::Adapter, vec![file("a")], facts).unwrap();
            prop_assert_eq!(Manifest::parse(&made.to_json()).unwrap().digest(), made.digest());
        }
    }

    trait RevSorted {
        fn rev_sorted(self) -> Vec<FileEntry>;
    }

    impl<I: Iterator<Item = FileEntry>> RevSorted for I {
        fn rev_sorted(self) -> Vec<FileEntry> {
            let mut files: Vec<_> = self.collect();
            files.sort_by(|a, b| b.path.cmp(&a.path));
            files
        }
    }
}
