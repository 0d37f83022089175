//! Why the engine stopped, by what can be done about it.

use crate::fault::Fault;
use std::path::PathBuf;
use vertigo::files::FileError;
use vertigo_text::TextError;

/// Why the engine stopped.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The base, the data or the recipe cannot be trained with: another try gives the same.
    #[error("{0}")]
    Input(String),
    /// A run cannot go on from a checkpoint: it is damaged, or of another run. From its beginning the run is as good as ever.
    #[error("cannot go on from the checkpoint in {}: {problem}", folder.display())]
    Checkpoint {
        /// The checkpoint's folder.
        folder: PathBuf,
        /// What is wrong with it; where it is of something else, what both are.
        problem: String,
    },
    /// The loss or its gradient became NaN or infinite.
    #[error(
        "the {what} became {value} at iteration {iter}; the last good checkpoint is kept. Lower learning_rate, set grad_clip, or \
         look at the examples of that batch"
    )]
    Diverged {
        /// The iteration, from 1.
        iter: u64,
        /// What became so: the `loss`, or the `gradient's norm` where the loss was still finite.
        what: &'static str,
        /// What it became.
        value: f64,
    },
    /// A file could not be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// MLX refused an operation.
    #[error("MLX: {}", explained(.0))]
    Mlx(#[from] mlx_rs::error::Exception),
}

impl From<TextError> for EngineError {
    fn from(error: TextError) -> EngineError {
        match error {
            TextError::Input(problem) => EngineError::Input(problem),
            TextError::File(error) => EngineError::File(error),
        }
    }
}

impl EngineError {
    /// An [`EngineError::Input`].
    pub(crate) fn input(message: impl Into<String>) -> EngineError {
        EngineError::Input(message.into())
    }

    /// What kind of failure of MLX it is, where it is one that has a cure of its own.
    pub fn fault(&self) -> Option<Fault> {
        match self {
            EngineError::Mlx(exception) => Fault::of(exception.what()),
            _ => None,
        }
    }
}

/// MLX's words, and what follows from them where they say it to nobody but those who know MLX.
fn explained(exception: &mlx_rs::error::Exception) -> String {
    match Fault::of(exception.what()) {
        Some(fault @ (Fault::BuffersUsedUp | Fault::GpuTooLong | Fault::GpuBroke | Fault::GpuLost)) => {
            format!("{exception}: {}", fault.advice())
        }
        Some(Fault::OutOfMemory) | None => exception.to_string(),
    }
}

pub(crate) type Result<T> = std::result::Result<T, EngineError>;

#[cfg(test)]
mod tests {
    use super::*;
    use mlx_rs::error::Exception;

    #[test]
    fn what_mlx_throws_is_told_apart_and_explained() {
        let limit = EngineError::Mlx(Exception::custom("[metal::malloc] Resource limit (499000) exceeded."));
        assert_eq!(limit.fault(), Some(Fault::BuffersUsedUp));
        assert!(limit.to_string().contains("(499000)") && limit.to_string().contains("new process"), "{limit}");
        let memory = EngineError::Mlx(Exception::custom("[malloc] Unable to allocate 1073741824 bytes."));
        assert_eq!(memory.fault(), Some(Fault::OutOfMemory));
        assert_eq!(EngineError::input("[malloc] Unable to allocate 1 bytes.").fault(), None);
    }
}
