//! Why a task comes to nothing, by what cures it.

use std::io;
use vertigo::task::{Cure, Failure};
use vertigo_engine::{EngineError, Fault};

/// An engine's error by what cures it.
pub fn of_engine(error: &EngineError) -> Failure {
    let (cure, code) = match error {
        // A run that cannot go on from a checkpoint begins anew; of what is left, no other try makes more.
        EngineError::Input(_) | EngineError::Checkpoint { .. } => (Cure::Never, codes::BAD_INPUT),
        EngineError::Diverged { .. } => (Cure::Never, codes::DIVERGED),
        // Inputs are whole by their digests: a file that is not there is none of the artifact's.
        EngineError::File(file) if file.error.kind() == io::ErrorKind::NotFound => (Cure::Never, codes::BAD_INPUT),
        EngineError::File(_) => (Cure::AnotherMachine, codes::THIS_MACHINE),
        EngineError::Mlx(_) => error.fault().map_or((Cure::FreshProcess, codes::CRASHED), of_fault),
    };
    Failure::new(cure, code, error.to_string())
}

/// What cures a fault of MLX's or Metal's, and the word for it.
pub fn of_fault(fault: Fault) -> (Cure, &'static str) {
    match fault {
        Fault::OutOfMemory => (Cure::MoreMemory, codes::OUT_OF_MEMORY),
        Fault::GpuTooLong => (Cure::Later, codes::GPU_TOO_LONG),
        Fault::GpuBroke => (Cure::AnotherMachine, codes::GPU_BROKE),
        Fault::BuffersUsedUp | Fault::GpuLost => (Cure::FreshProcess, codes::CRASHED),
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
    pub use vertigo::task::code::{GPU_BROKE, GPU_TOO_LONG};
    /// Somebody else than the worker ended the process.
    pub const KILLED: &str = "killed";
    /// This machine failed, such as a full disk.
    pub const THIS_MACHINE: &str = "this_machine";
    /// A connection or a store failed.
    pub const TRANSIENT: &str = "transient";
}
