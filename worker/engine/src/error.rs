//! Why the engine stopped, by what can be done about it.

use std::path::PathBuf;

/// Why the engine stopped.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The base, the data or the recipe cannot be trained with: another try gives the same.
    #[error("{0}")]
    Input(String),
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
    #[error("{}: {error}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// MLX refused an operation.
    #[error("MLX: {0}")]
    Mlx(#[from] mlx_rs::error::Exception),
}

impl EngineError {
    /// An [`EngineError::Input`].
    pub(crate) fn input(message: impl Into<String>) -> EngineError {
        EngineError::Input(message.into())
    }

    /// Whether MLX could not allocate: a smaller plan or a larger machine may do.
    pub fn is_out_of_memory(&self) -> bool {
        let EngineError::Mlx(exception) = self else { return false };
        let what = exception.what().to_ascii_lowercase();
        ["malloc", "allocate", "out of memory", "insufficient memory"].iter().any(|sign| what.contains(sign))
    }
}

/// Attaches the file to an I/O error.
pub(crate) trait AtPath<T> {
    fn at(self, path: impl Into<PathBuf>) -> Result<T>;
}

impl<T> AtPath<T> for std::io::Result<T> {
    fn at(self, path: impl Into<PathBuf>) -> Result<T> {
        self.map_err(|error| EngineError::File { path: path.into(), error })
    }
}

pub(crate) type Result<T> = std::result::Result<T, EngineError>;
