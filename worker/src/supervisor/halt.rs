//! Why an attempt ends without a result, and what cures it.

use crate::cache::CacheError;
use crate::held::Stop;
use crate::task::codes;
use prost::Message;
use std::io;
use std::path::Path;
use vertigo::bounds::REPORT_BYTES_MAX;
use vertigo::bytes::Bytes;
use vertigo::task::{Cure, Failure};
use vertigo::v1::Finished;
use vertigo_client::TransferError;

/// What a report has besides its body: its number and its time, and the lengths of all three.
const REPORT_HEAD_BYTES_MAX: usize = 64;

/// Why an attempt ends without a result.
#[derive(Debug)]
pub enum Halt {
    /// It had to stop.
    Stopped(Stop),
    /// It failed.
    Failed {
        /// Why, and what cures it.
        failure: Failure,
        /// The most memory that it held.
        peak: Bytes,
    },
}

impl Halt {
    pub(super) fn failed(cure: Cure, code: &str, message: String) -> Halt {
        Halt::Failed { failure: Failure::new(cure, code, message), peak: Bytes::ZERO }
    }
}

/// A failure of this machine's own, such as a full disk: another may do better.
pub(super) fn of_this_machine(path: &Path, error: &io::Error) -> Halt {
    let message = format!("{}: {error}", path.display());
    Halt::failed(Cure::AnotherMachine, codes::THIS_MACHINE, message)
}

impl CacheError {
    pub(super) fn is_transient(&self) -> bool {
        matches!(self, CacheError::Transfer { error, .. } if error.is_transient())
    }

    /// Whether the store has no whole copy of it.
    pub(super) fn is_of_damage(&self) -> bool {
        use TransferError::{Damaged, Missing};
        matches!(self, CacheError::Transfer { error: Missing { .. } | Damaged { .. }, .. })
    }

    pub(super) fn halt(&self) -> Halt {
        let (cure, code) = match self {
            CacheError::Transfer { error, .. } => cure_of(error),
            CacheError::Other { .. } => (Cure::Never, codes::BAD_INPUT),
        };
        Halt::failed(cure, code, self.to_string())
    }
}

/// A folder that was not sent up. That is never the input's fault: work that went well ends here.
pub(super) fn not_sent(error: TransferError) -> Halt {
    let (cure, code) = match error {
        // Files that make no artifact are what this worker's own engine has written.
        TransferError::Manifest(_) => (Cure::FreshProcess, codes::CRASHED),
        // As many files again, and as long a manifest, however often the work is done.
        TransferError::TooLarge { .. } => (Cure::Never, codes::BAD_INPUT),
        _ => (Cure::Later, codes::TRANSIENT),
    };
    Halt::failed(cure, code, error.to_string())
}

/// That the coordinator takes an attempt's end: manifests that are not too long one by one may be so together. A longer end would be
/// refused each time that it is sent, and the work would be done again for as long as the job is tried.
pub(super) fn check_length(finished: &Finished) -> Result<(), Halt> {
    let (bytes, bytes_max) = (finished.encoded_len(), REPORT_BYTES_MAX - REPORT_HEAD_BYTES_MAX);
    if bytes <= bytes_max {
        return Ok(());
    }
    let (bytes, bytes_max) = (Bytes(bytes as u64), Bytes(bytes_max as u64));
    let message = format!(
        "what it made is described in {bytes}, and the coordinator takes {bytes_max} of an attempt: outputs of fewer files are shorter"
    );
    Err(Halt::failed(Cure::Never, codes::BAD_INPUT, message))
}

/// What cures a download that cannot be cured by waiting here: an artifact that is not what it should be fails anywhere, a disk or a
/// connection does not.
fn cure_of(error: &TransferError) -> (Cure, &'static str) {
    use tonic::Code::{FailedPrecondition, InvalidArgument, NotFound};
    match error {
        TransferError::Manifest(_) | TransferError::Size { .. } => (Cure::Never, codes::BAD_INPUT),
        TransferError::Rpc(status) if [NotFound, InvalidArgument, FailedPrecondition].contains(&status.code()) => {
            (Cure::Never, codes::BAD_INPUT)
        }
        TransferError::File { .. } => (Cure::AnotherMachine, codes::THIS_MACHINE),
        // A blob that is missing may be imported again, and then the job goes on.
        _ => (Cure::Later, codes::TRANSIENT),
    }
}
