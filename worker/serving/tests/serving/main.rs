//! The server as clients see it, over a stand-in that answers what a test has it answer.

mod answers;
mod client;
mod hostile;
mod lifecycle;
mod openai;
mod refusals;
mod stand_in;
