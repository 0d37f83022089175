//! The index of artifacts and the tags on them.

use super::moves::{Move, Remembered, Tags};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::{Arc, OnceLock};
use vertigo::id::{Digest, JobId, Millis};
use vertigo::manifest::{Kind, Manifest};
use vertigo::principal::PrincipalName;

/// An artifact that is visible.
#[derive(Debug, Clone, PartialEq)]
pub struct Artifact {
    /// What it is made of. Shared, because it may be tens of megabytes.
    pub manifest: Arc<Manifest>,
    /// When it became visible.
    pub created: Millis,
    /// Where it comes from.
    pub origin: Origin,
    blobs: Blobs,
}

impl Artifact {
    /// The job that made it.
    pub fn job(&self) -> Option<JobId> {
        self.origin.job()
    }

    /// Whether one of its files is this blob. The first time costs what it has files, and every other the logarithm of that.
    pub fn has_blob(&self, blob: Digest) -> bool {
        let sorted = || {
            let mut blobs: Vec<Digest> = self.manifest.files().iter().map(|file| file.digest).collect();
            blobs.sort_unstable();
            blobs.dedup();
            blobs.into_boxed_slice()
        };
        self.blobs.0.get_or_init(sorted).binary_search(&blob).is_ok()
    }
}

/// An artifact's blobs in order, once somebody has asked for one. They follow from its manifest, so they tell none from another.
#[derive(Debug, Clone, Default)]
struct Blobs(OnceLock<Box<[Digest]>>);

impl PartialEq for Blobs {
    fn eq(&self, _: &Blobs) -> bool {
        true
    }
}

/// Where an artifact comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// A job made it.
    Job(JobId),
    /// Whoever registered it.
    Person(PrincipalName),
}

impl Origin {
    /// The job that made it.
    pub fn job(&self) -> Option<JobId> {
        match self {
            Origin::Job(job) => Some(*job),
            Origin::Person(_) => None,
        }
    }

    /// Who registered it.
    pub fn person(&self) -> Option<&PrincipalName> {
        match self {
            Origin::Job(_) => None,
            Origin::Person(name) => Some(name),
        }
    }
}

/// Artifacts by digest, and tags.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Index {
    artifacts: BTreeMap<Digest, Artifact>,
    /// In the order of a list: newest first.
    by_age: BTreeSet<(Reverse<Millis>, Digest)>,
    tags: Tags,
}

/// What is wrong with a tag.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` cannot be a tag: write 1 to 200 of A-Z a-z 0-9 . _ : / -, starting with a letter or a digit, and not a digest"
)]
pub struct TagError(String);

/// The shortest prefix of a digest that finds an artifact.
const SHORTEST_PREFIX: usize = 6;

impl Index {
    /// Whether `tag` may name an artifact.
    ///
    /// # Errors
    /// Says what a tag is made of.
    pub fn check_tag(tag: &str) -> Result<(), TagError> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || "._:/-".contains(c);
        let starts = tag.starts_with(|c: char| c.is_ascii_alphanumeric());
        let digest = tag.starts_with("sha256:") || tag.parse::<Digest>().is_ok();
        if starts && tag.len() <= 200 && tag.chars().all(allowed) && !digest {
            Ok(())
        } else {
            Err(TagError(tag.to_owned()))
        }
    }

    /// Makes an artifact visible. One that is visible already stays as it is.
    pub fn insert(&mut self, manifest: impl Into<Arc<Manifest>>, created: Millis, origin: Origin) -> Digest {
        let manifest = manifest.into();
        let digest = manifest.digest();
        let artifact =
            self.artifacts.entry(digest).or_insert(Artifact { manifest, created, origin, blobs: Blobs::default() });
        self.by_age.insert((Reverse(artifact.created), digest));
        digest
    }

    /// Takes an artifact away. Whether it was there. Who asks has seen that nothing names it.
    pub fn remove(&mut self, digest: Digest) -> bool {
        let removed = self.artifacts.remove(&digest);
        removed.is_some_and(|artifact| self.by_age.remove(&(Reverse(artifact.created), digest)))
    }

    /// Moves a tag.
    pub fn note_move(&mut self, moved: &Move) {
        self.remember(&moved.tag, moved.into());
    }

    /// The same, by what is remembered of the move.
    pub fn remember(&mut self, tag: &str, moved: Remembered) {
        self.tags.note(tag, moved);
    }

    /// Tags and their moves.
    pub fn tags(&self) -> &Tags {
        &self.tags
    }

    /// The artifact of a digest.
    pub fn get(&self, digest: &Digest) -> Option<&Artifact> {
        self.artifacts.get(digest)
    }

    /// What a tag names.
    pub fn tagged(&self, tag: &str) -> Option<Digest> {
        self.tags.on(tag)
    }

    /// Tags of an artifact, in order.
    pub fn tags_of(&self, digest: Digest) -> impl Iterator<Item = &str> {
        self.tags.of(digest)
    }

    /// Digests that a reference may mean: a tag's, or all that a digest's prefix fits.
    pub fn resolve(&self, reference: &str) -> Vec<Digest> {
        if let Some(digest) = self.tagged(reference) {
            return vec![digest];
        }
        let prefix = reference.strip_prefix("sha256:").unwrap_or(reference).to_ascii_lowercase();
        if prefix.len() < SHORTEST_PREFIX || !prefix.chars().all(|c| c.is_ascii_hexdigit()) {
            return Vec::new();
        }
        self.artifacts.keys().filter(|digest| digest.hex().starts_with(&prefix)).copied().collect()
    }

    /// All artifacts, or those of one kind, newest first; with `after`, those behind the one of that age and digest.
    pub fn list(
        &self,
        kind: Option<Kind>,
        after: Option<(Millis, Digest)>,
    ) -> impl Iterator<Item = (Digest, &Artifact)> {
        let begin = after.map_or(Bound::Unbounded, |(age, digest)| Bound::Excluded((Reverse(age), digest)));
        let of_kind = move |artifact: &Artifact| kind.is_none_or(|kind| artifact.manifest.kind() == kind);
        let found =
            self.by_age.range((begin, Bound::Unbounded)).filter_map(|(_, digest)| Some((*digest, self.get(digest)?)));
        found.filter(move |(_, artifact)| of_kind(artifact))
    }

    /// Tags of one kind's artifacts that are spelt like `tag`, nearest first, at most three.
    pub fn near_tags(&self, kind: Kind, tag: &str) -> Vec<&str> {
        let of_kind = |digest: Digest| self.get(&digest).is_some_and(|artifact| artifact.manifest.kind() == kind);
        let mut near = self.tags.near(tag, of_kind);
        near.truncate(3);
        near
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vertigo::bytes::Bytes;
    use vertigo::manifest::FileEntry;

    fn manifest(kind: Kind, path: &str) -> Manifest {
        let file = FileEntry { path: path.to_owned(), digest: Digest::of(path.as_bytes()), bytes: Bytes(1) };
        Manifest::new(kind, vec![file], Default::default()).unwrap()
    }

    fn tag(index: &mut Index, tag: &str, to: Digest) {
        let (number, from) = (1, index.tagged(tag));
        index.remember(tag, Remembered { number, from, to, is_rollback: false, evidence: Vec::new() });
    }

    #[test]
    fn tags_are_short_plain_and_no_digests() {
        for tag in ["qwen3.5-4b-4bit", "vertigo-4b:v0.5", "mlx-community/Qwen3.5-4B-4bit", "a"] {
            assert_eq!(Index::check_tag(tag), Ok(()), "{tag}");
        }
        let long = "a".repeat(201);
        for tag in ["", "a b", "ü", "../x", "-x", "sha256:abc", &Digest::of(b"x").hex(), &long] {
            assert!(Index::check_tag(tag).is_err(), "{tag}");
        }
    }

    #[test]
    fn resolves_tags_digests_and_prefixes() {
        let mut index = Index::default();
        let origin = Origin::Person(PrincipalName::local());
        let (a, b) = (manifest(Kind::Base, "a"), manifest(Kind::Dataset, "b"));
        let digest = index.insert(a, Millis(1), origin.clone());
        index.insert(b, Millis(2), origin);
        tag(&mut index, "base", digest);
        for reference in ["base", &digest.to_string(), &digest.hex(), &digest.hex()[..6]] {
            assert_eq!(index.resolve(reference), [digest], "{reference}");
        }
        assert!(index.resolve(&digest.hex()[..5]).is_empty());
        assert_eq!(index.list(Some(Kind::Base), None).count(), 1);
        let newest = index.list(None, None).next().unwrap();
        assert_eq!(newest.1.created, Millis(2));
        assert_eq!(index.list(None, Some((Millis(2), newest.0))).next().unwrap().0, digest);
        assert_eq!(index.near_tags(Kind::Base, "bases"), ["base"]);
        assert!(index.near_tags(Kind::Dataset, "bases").is_empty());
        let (base, other) = (digest, newest.0);
        tag(&mut index, "a", base);
        assert_eq!(index.tags_of(base).collect::<Vec<_>>(), ["a", "base"]);
        tag(&mut index, "base", other);
        assert_eq!((index.tags_of(base).next(), index.tags_of(other).next()), (Some("a"), Some("base")));
    }
}
