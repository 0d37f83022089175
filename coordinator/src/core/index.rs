//! The index of artifacts and the tags on them.

use std::collections::BTreeMap;
use vertigo::id::{Digest, JobId, Millis};
use vertigo::manifest::{Kind, Manifest};

/// An artifact that is visible.
#[derive(Debug, Clone, PartialEq)]
pub struct Artifact {
    /// What it is made of.
    pub manifest: Manifest,
    /// When it became visible.
    pub created: Millis,
    /// The job that made it.
    pub job: Option<JobId>,
}

/// Artifacts by digest, and tags.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Index {
    artifacts: BTreeMap<Digest, Artifact>,
    tags: BTreeMap<String, Digest>,
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
    pub fn insert(&mut self, manifest: Manifest, created: Millis, job: Option<JobId>) -> Digest {
        let digest = manifest.digest();
        self.artifacts.entry(digest).or_insert(Artifact { manifest, created, job });
        digest
    }

    /// Moves a tag, from wherever it was.
    pub fn tag(&mut self, tag: &str, digest: Digest) {
        self.tags.insert(tag.to_owned(), digest);
    }

    /// The artifact of a digest.
    pub fn get(&self, digest: &Digest) -> Option<&Artifact> {
        self.artifacts.get(digest)
    }

    /// What a tag names.
    pub fn tagged(&self, tag: &str) -> Option<Digest> {
        self.tags.get(tag).copied()
    }

    /// Tags of an artifact, in order.
    pub fn tags_of(&self, digest: Digest) -> Vec<String> {
        self.tags.iter().filter(|(_, to)| **to == digest).map(|(tag, _)| tag.clone()).collect()
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

    /// All artifacts, or those of one kind, newest first.
    pub fn list(&self, kind: Option<Kind>) -> Vec<(Digest, &Artifact)> {
        let of_kind = |artifact: &Artifact| kind.is_none_or(|kind| artifact.manifest.kind() == kind);
        let mut list: Vec<_> = self.artifacts.iter().filter(|(_, a)| of_kind(a)).map(|(d, a)| (*d, a)).collect();
        list.sort_by_key(|(digest, artifact)| (std::cmp::Reverse(artifact.created), *digest));
        list
    }

    /// Tags of one kind's artifacts that are spelt like `tag`, nearest first, at most three.
    pub fn near_tags(&self, kind: Kind, tag: &str) -> Vec<&str> {
        let of_kind = |digest: &Digest| self.get(digest).is_some_and(|artifact| artifact.manifest.kind() == kind);
        let mut near: Vec<_> = self
            .tags
            .iter()
            .filter(|(_, digest)| of_kind(digest))
            .map(|(name, _)| (strsim::jaro_winkler(name, tag), name.as_str()))
            .filter(|(score, _)| *score > 0.75)
            .collect();
        near.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(b.1)));
        near.into_iter().take(3).map(|(_, name)| name).collect()
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
        let (a, b) = (manifest(Kind::Base, "a"), manifest(Kind::Dataset, "b"));
        let digest = index.insert(a, Millis(1), None);
        index.insert(b, Millis(2), None);
        index.tag("base", digest);
        for reference in ["base", &digest.to_string(), &digest.hex(), &digest.hex()[..6]] {
            assert_eq!(index.resolve(reference), [digest], "{reference}");
        }
        assert!(index.resolve(&digest.hex()[..5]).is_empty());
        assert_eq!(index.list(Some(Kind::Base)).len(), 1);
        assert_eq!(index.list(None)[0].1.created, Millis(2));
        assert_eq!(index.near_tags(Kind::Base, "bases"), ["base"]);
        assert!(index.near_tags(Kind::Dataset, "bases").is_empty());
    }
}
