//! The worker's parts with real processes and connections. Tests of worker and coordinator together are in the workspace's `tests/`.

mod attempt;
mod cache;
mod daemon;
mod endings;
mod join;
mod manners;
mod outputs;
mod roblox;
mod serve;
mod session;
mod supervisor;
mod support;
mod tasks;

use vertigo_testkit::coordinator;
