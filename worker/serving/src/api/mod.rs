//! What OpenAI's clients send, and the errors that they read.
//!
//! Pure. Promise: a request is read whole before any work begins; what is wrong is named by its field; nothing that is read has no bound.

mod chat;
mod completion;
mod error;
mod fields;
mod request;

pub(crate) use chat::read as read_chat;
pub(crate) use completion::read as read_completion;
pub(crate) use error::ApiError;
pub(crate) use request::{Asked, Prompt, Text};
