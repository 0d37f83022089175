//! The room where Luau that a model wrote is compiled, linted, type-checked and run. It knows nothing of jobs, suites or models.
//!
//! - [`blocks`]: what of an answer is code.
//! - [`compile`]: whether it is Luau.
//! - [`analysis`]: what Luau's lints and types say of it.
//! - [`run`]: a program with its test, and the verdict on it: plain data.
//! - [`sandbox`]: all of that, as `vertigo-evaluation` asks for it.
//! - [`room`]: processes that run programs; [`child`]: what such a process does.
//!
//! Promise: whatever a text says or a program does, there is a verdict, within limits, and the next program runs as if this one
//! had never been.

pub mod analysis;
pub mod blocks;
pub mod child;
pub mod compile;
pub mod room;
pub mod run;
pub mod sandbox;
mod wire;
