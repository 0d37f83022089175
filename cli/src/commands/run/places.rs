//! Where in a pipeline's file its jobs and their keys stand.
//!
//! Promise: a line is the file's own, or there is none: what is wrong with a file is said of it either way.

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_saphyr::Spanned;
use std::fmt;
use std::marker::PhantomData;

/// The lines of a file's keys. A file that is none, or is something else, has none that are known.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Places {
    jobs: Keys<Keys<IgnoredAny>>,
}

impl Places {
    pub(super) fn of(text: &str) -> Places {
        serde_saphyr::from_str(text).unwrap_or_default()
    }

    /// The line of a job.
    pub(super) fn job(&self, job: &str) -> Option<u64> {
        self.jobs.get(job).map(|(line, _)| line)
    }

    /// The line of a job's key, or of the job where it does not have that key.
    pub(super) fn key(&self, job: &str, key: &str) -> Option<u64> {
        let (line, keys) = self.jobs.get(job)?;
        Some(keys.get(key).map_or(line, |(line, _)| line))
    }
}

/// A mapping's keys with their lines, and what stands behind them.
#[derive(Debug)]
struct Keys<T>(Vec<(Spanned<String>, T)>);

impl<T> Default for Keys<T> {
    fn default() -> Keys<T> {
        Keys(Vec::new())
    }
}

impl<T> Keys<T> {
    fn get(&self, key: &str) -> Option<(u64, &T)> {
        self.0.iter().find(|(it, _)| it.value == key).map(|(it, behind)| (it.referenced.line(), behind))
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Keys<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Keys<T>, D::Error> {
        struct Reader<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Reader<T> {
            type Value = Keys<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a mapping")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Keys<T>, A::Error> {
                let mut keys = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    keys.push(entry);
                }
                Ok(Keys(keys))
            }
        }
        deserializer.deserialize_map(Reader(PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_have_the_lines_that_they_stand_in() {
        let places = Places::of(
            "# mine\nname: p\njobs:\n  a:\n    kind: train\n\n    data: d\n  b: {kind: fuse,\n    bits: 8}\n",
        );
        assert_eq!((places.job("a"), places.job("b"), places.job("c")), (Some(4), Some(8), None));
        assert_eq!(
            (places.key("a", "data"), places.key("a", "base"), places.key("b", "bits")),
            (Some(7), Some(4), Some(9))
        );
    }

    #[test]
    fn a_file_that_is_none_has_no_lines() {
        for text in ["", "name: [", "jobs: 3", "jobs: {a: 3}", "[]"] {
            assert_eq!(Places::of(text).job("a"), None, "{text}");
        }
    }
}
