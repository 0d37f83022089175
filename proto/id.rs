//! Names of things: UUIDv7 ids, the epoch that fences a lease, and SHA-256 digests.
//!
//! Each is a type of its own, so that a job's id cannot be passed where an attempt's is meant.

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::fmt;
use std::io::{self, Read};
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};
use uuid::Uuid;

/// What was wrong with an id or a digest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not {what}")]
pub struct ParseIdError {
    what: &'static str,
    text: String,
}

/// Milliseconds of the newest id of this process. It runs ahead of the clock where ids are made faster than that goes.
static NEWEST_MS: AtomicU64 = AtomicU64::new(0);

fn next_uuid() -> Uuid {
    let now = Millis::now().0;
    let next = |newest: u64| Some(now.max(newest + 1));
    // The closure never declines, so the value before is always there.
    let newest = NEWEST_MS.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next).unwrap_or_default();
    let ms = now.max(newest + 1);
    let (seconds, nanoseconds) = (ms / 1000, (ms % 1000) as u32 * 1_000_000);
    Uuid::new_v7(uuid::Timestamp::from_unix(uuid::NoContext, seconds, nanoseconds))
}

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl $name {
            /// A new id: UUIDv7, so that ids sort by the time of their making. No two of a process have the same millisecond, so that
            /// the beginnings that people see and type tell apart what was made together.
            #[allow(clippy::new_without_default)] // a default id would not be the same twice
            pub fn new() -> Self {
                Self(next_uuid())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0.hyphenated().to_string())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Uuid::parse_str(text)
                    .map(Self)
                    .map_err(|_| ParseIdError { what: $what, text: text.to_owned() })
            }
        }
    };
}

uuid_id!(
    /// A job: what a person queued.
    JobId,
    "a job id (a UUID)"
);
uuid_id!(
    /// A principal: whoever joined with one token. Another one of the same name has another id.
    PrincipalId,
    "a principal id (a UUID)"
);
uuid_id!(
    /// A join token, in lists. It proves nothing.
    TokenId,
    "a token id (a UUID)"
);
uuid_id!(
    /// An attempt: one try at a job on one worker.
    AttemptId,
    "an attempt id (a UUID)"
);
uuid_id!(
    /// A worker's installation. It outlives the worker's sessions: a worker that restarts keeps it.
    WorkerId,
    "a worker id (a UUID)"
);

uuid_id!(
    /// One start of a worker's daemon. An installation that runs twice at once, because its folder was copied, has two.
    ProcessId,
    "a process id (a UUID)"
);
uuid_id!(
    /// A move of a tag, named by whoever asks for it, so that it can be asked for again.
    MoveId,
    "a move id (a UUID)"
);

/// The fencing token of a lease. Each lease of a job has a higher epoch than the one before; what comes under an old one
/// is refused.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Epoch(pub u64);

impl Epoch {
    /// The epoch of the next lease.
    pub fn next(self) -> Epoch {
        Epoch(self.0 + 1)
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A moment, in milliseconds since the Unix epoch. Pure code gets it as an argument and never reads a clock.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Millis(pub u64);

impl Millis {
    /// The system clock's now.
    pub fn now() -> Millis {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        Millis(since.map_or(0, |d| d.as_millis() as u64))
    }

    /// `ms` milliseconds later.
    pub fn plus(self, ms: u64) -> Millis {
        Millis(self.0.saturating_add(ms))
    }
}

/// Bytes that are read at a time to be hashed.
const CHUNK_BYTES: usize = 1 << 20;

/// The SHA-256 of some bytes. Written `sha256:` and 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; 32]);

impl Digest {
    /// The digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Digest {
        Digest(Sha256::digest(bytes).into())
    }

    /// The digest of all that a reader gives, and how many bytes those are.
    ///
    /// # Errors
    /// The reader's.
    pub fn of_reader(reader: impl Read) -> io::Result<(Digest, u64)> {
        Ok(Digest::of_reader_while(reader, || true)?.expect("a digest that is wanted all the time is not given up"))
    }

    /// The same; `None` as soon as it `is_wanted` no longer, which is asked once for each MiB.
    ///
    /// # Errors
    /// The reader's.
    pub fn of_reader_while(mut reader: impl Read, is_wanted: impl Fn() -> bool) -> io::Result<Option<(Digest, u64)>> {
        let (mut hasher, mut chunk, mut size) = (Sha256::new(), vec![0; CHUNK_BYTES], 0);
        while is_wanted() {
            match reader.read(&mut chunk) {
                Ok(0) => return Ok(Some((Digest::from_hasher(hasher), size))),
                Ok(n) => {
                    hasher.update(&chunk[..n]);
                    size += n as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    /// The digest that a hasher has come to.
    pub fn from_hasher(hasher: Sha256) -> Digest {
        Digest(hasher.finalize().into())
    }

    /// The digest that these 32 bytes are.
    pub fn from_bytes(bytes: [u8; 32]) -> Digest {
        Digest(bytes)
    }

    /// Its 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// 64 hexadecimal digits.
    pub fn hex(&self) -> String {
        hex::encode(self.0)
    }

    /// The first 12 hexadecimal digits: enough for a person's eye, never for a lookup that must be exact.
    pub fn short(&self) -> String {
        hex::encode(&self.0[..6])
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", self.hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", self.short())
    }
}

impl FromStr for Digest {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text.strip_prefix("sha256:").unwrap_or(text), &mut bytes)
            .map(|()| Digest(bytes))
            .map_err(|_| ParseIdError { what: "a digest (sha256: and 64 hexadecimal digits)", text: text.to_owned() })
    }
}

impl Serialize for Digest {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_sort_by_time_and_read_back() {
        let (a, b) = (JobId::new(), JobId::new());
        assert!(a < b && a.to_string()[..13] != b.to_string()[..13], "{a} {b}");
        assert_eq!(a.to_string().parse::<JobId>().unwrap(), a);
        assert!("4b".parse::<JobId>().unwrap_err().to_string().contains("`4b`"));
    }

    #[test]
    fn digests_read_back_with_and_without_prefix() {
        let digest = Digest::of(b"vertigo");
        assert_eq!(digest.to_string().parse::<Digest>().unwrap(), digest);
        assert_eq!(digest.hex().parse::<Digest>().unwrap(), digest);
        assert!("sha256:12".parse::<Digest>().is_err());
        let json = serde_json::to_string(&digest).unwrap();
        assert_eq!(serde_json::from_str::<Digest>(&json).unwrap(), digest);
    }
}
