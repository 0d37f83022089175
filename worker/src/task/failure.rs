//! Why a task comes to nothing, by what cures it.

use serde::{Deserialize, Serialize};
use std::io;
use vertigo::task::Cure;
use vertigo_engine::{EngineError, Fault};

/// Why a run came to nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failed {
    /// What cures it.
    pub cure: Cure,
    /// The kind's own word for it.
    pub code: String,
    /// For a person.
    pub message: String,
}

impl From<&EngineError> for Failed {
    fn from(error: &EngineError) -> Failed {
        let (cure, code) = match error {
            // A run that cannot go on from a checkpoint begins anew; of what is left, no other try makes more.
            EngineError::Input(_) | EngineError::Checkpoint { .. } => (Cure::Never, codes::BAD_INPUT),
            EngineError::Diverged { .. } => (Cure::Never, codes::DIVERGED),
            // Inputs are whole by their digests: a file that is not there is none of the artifact's.
            EngineError::File(file) if file.error.kind() == io::ErrorKind::NotFound => (Cure::Never, codes::BAD_INPUT),
            EngineError::File { .. } => (Cure::AnotherMachine, codes::THIS_MACHINE),
            EngineError::Mlx(_) if error.fault() == Some(Fault::OutOfMemory) => {
                (Cure::MoreMemory, codes::OUT_OF_MEMORY)
            }
            EngineError::Mlx(_) => (Cure::FreshProcess, codes::CRASHED),
        };
        Failed::new(cure, code, error.to_string())
    }
}

impl Failed {
    /// A failure.
    pub fn new(cure: Cure, code: &str, message: String) -> Failed {
        Failed { cure, code: code.to_owned(), message }
    }
}

/// Words for how attempts fail, whatever their kind.
pub mod codes {
    /// The same input fails anywhere.
    pub const BAD_INPUT: &str = "bad_input";
    /// The loss became NaN or infinite.
    pub const DIVERGED: &str = "diverged";
    /// MLX could not allocate, or the process held too much.
    pub const OUT_OF_MEMORY: &str = "out_of_memory";
    /// The process could go no further.
    pub const CRASHED: &str = "crashed";
    /// This machine failed, such as a full disk.
    pub const THIS_MACHINE: &str = "this_machine";
    /// A connection or a store failed.
    pub const TRANSIENT: &str = "transient";
}
