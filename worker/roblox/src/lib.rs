//! A real Roblox as a judge of programs that models wrote: Open Cloud's evaluation service, and a Studio's own MCP server. It knows nothing
//! of jobs or models.
//!
//! - [`script`]: what is sent, an eval of OpenGameEval whose reference is the program. Pure.
//! - [`record`]: what comes back, as a verdict. Pure.
//! - [`pace`]: how often the service may be asked, and [`board`]: what is done next. Pure functions of time.
//! - [`ledger`]: what a key has used up and got, on this machine's disk.
//! - [`cloud`]: the service over HTTP; [`judging`]: scripts judged by it.
//! - [`studio`]: a Studio on this machine.
//!
//! Neither was ever run against the real one: both are built to what Roblox documents, and tested against played servers.

pub mod board;
pub mod cloud;
pub mod judging;
pub mod ledger;
pub mod pace;
pub mod record;
pub mod script;
pub mod studio;
