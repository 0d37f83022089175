//! From an example to tokens, and to those among them that a run learns from.
//!
//! A base's tokenizer and chat template are read here, and a recipe's rules of what is learned are kept here, so that the engine, which
//! trains on the result, and the command line, which shows it, cannot differ. It knows neither MLX nor the protocol.

mod bytes;
mod clock;
mod error;
mod lesson;
mod pieces;
mod reading;
mod template;
mod thoughts;
mod tokenizer;
mod turns;

pub use error::TextError;
pub use lesson::{Lesson, Rules};
pub use pieces::{Pieces, apart};
pub use reading::{Fate, Reading, Why};
pub use tokenizer::{ChatTokenizer, FILES, Tokenized, Tokens};
