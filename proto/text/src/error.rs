//! What is wrong with a base's tokenizer or template, or with an example that they are given.

use vertigo::files::FileError;

/// Why there are no tokens.
#[derive(Debug, thiserror::Error)]
pub enum TextError {
    /// The base's files, or an example, say what cannot be read as tokens: another try gives the same.
    #[error("{0}")]
    Input(String),
    /// A file could not be read.
    #[error(transparent)]
    File(#[from] FileError),
}

impl TextError {
    /// A [`TextError::Input`].
    pub(crate) fn input(message: impl Into<String>) -> TextError {
        TextError::Input(message.into())
    }
}

pub(crate) type Result<T> = std::result::Result<T, TextError>;
