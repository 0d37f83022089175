//! File descriptors: how many the process may have, and what they are for.

use crate::table::Limits;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use std::io;
use std::time::Duration;

/// As many as the system is asked for: enough for two thousand workers, and fewer than the 10,240 that macOS grants.
const DESCRIPTORS_WANTED: u64 = 8_192;

/// What the process has besides connections and what their requests open: the three standard streams, the runtime's, the
/// listener, the folder's lock, the database's three, two for each of its readers, the exporter of traces.
const DESCRIPTORS_OWN: u64 = 40;

/// The fewest that it starts with.
const DESCRIPTORS_MIN: u64 = 64;

/// What a request opens at most besides its connection: a staged upload, and the blob that is made of it.
const FILES_OF_REQUEST: u64 = 2;

/// The most connections, however many descriptors there are.
const CONNECTIONS_MAX: u64 = 4_096;

/// How long a new connection may take to send its first request's head. It makes the first request as soon as it is there, and
/// a head is a few hundred bytes.
const FIRST_REQUEST_SECONDS_MAX: u64 = 10;

/// How long a connection may be idle: longer than our clients keep theirs (90 s), so that they close first and no request meets
/// a connection that is just being closed.
const IDLE_SECONDS_MAX: u64 = 120;

/// The limit leaves too few.
#[derive(Debug, thiserror::Error)]
pub enum DescriptorError {
    /// Too low.
    #[error("the process may open {0} files, and it needs {DESCRIPTORS_MIN} or more: raise it with `ulimit -n`")]
    TooFew(u64),
    /// The system does not say.
    #[error("the limit of open files: {0}")]
    Unknown(io::Error),
}

impl Limits {
    /// The limits of a process that may have `descriptors`: half of those that are left for clients become connections, the
    /// others the files of requests.
    ///
    /// # Errors
    /// [`DescriptorError::TooFew`].
    pub fn of_descriptors(descriptors: u64) -> Result<Limits, DescriptorError> {
        if descriptors < DESCRIPTORS_MIN {
            return Err(DescriptorError::TooFew(descriptors));
        }
        let connections = ((descriptors - DESCRIPTORS_OWN) / 2).min(CONNECTIONS_MAX);
        Ok(Limits {
            connections: connections as usize,
            requests: (connections / FILES_OF_REQUEST) as usize,
            first_request: Duration::from_secs(FIRST_REQUEST_SECONDS_MAX),
            idle: Duration::from_secs(IDLE_SECONDS_MAX),
        })
    }

    /// The limits of this process, once it has asked the system for as many descriptors as it wants.
    ///
    /// # Errors
    /// There are too few.
    pub fn of_process() -> Result<Limits, DescriptorError> {
        Limits::of_descriptors(raise().map_err(|errno| DescriptorError::Unknown(errno.into()))?)
    }
}

/// Raises what this process may open as far as is wanted and allowed; gives how many it is then.
fn raise() -> nix::Result<u64> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    let wanted = hard.min(DESCRIPTORS_WANTED);
    if soft >= wanted {
        return Ok(soft);
    }
    match setrlimit(Resource::RLIMIT_NOFILE, wanted, hard) {
        Ok(()) => Ok(wanted),
        Err(error) => {
            tracing::warn!(%error, soft, wanted, "cannot raise the limit of open files; going on with what there is");
            Ok(soft)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn connections_and_files_fit_and_sessions_have_room(descriptors in any::<u64>()) {
            let Ok(limits) = Limits::of_descriptors(descriptors) else {
                prop_assert!(descriptors < DESCRIPTORS_MIN);
                return Ok(());
            };
            let (connections, requests) = (limits.connections as u64, limits.requests as u64);
            prop_assert!(DESCRIPTORS_OWN + connections + FILES_OF_REQUEST * requests <= descriptors);
            prop_assert!(requests >= 1 && connections - requests >= 6);
        }
    }

    #[test]
    fn too_few_are_refused_with_what_to_do() {
        let error = Limits::of_descriptors(63).unwrap_err().to_string();
        assert!(error.contains("ulimit -n") && error.contains("63") && error.contains("64"), "{error}");
    }
}
