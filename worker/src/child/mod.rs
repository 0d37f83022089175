//! One process per attempt: what it does itself ([`main`]), and what the daemon does with it ([`process`]).

pub mod main;
mod manners;
pub mod process;
mod pulse;
