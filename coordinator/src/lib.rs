//! The Vertigo coordinator: queue, leases, placement and artifacts of a fleet.
//!
//! [`core`] decides, [`kinds`] knows what each kind of task needs, [`store`] makes its decisions durable, [`artifacts`] keeps files by digest, [`rpc`] speaks with
//! people and workers, [`guard`] turns away what no program of ours sends, and [`server`] puts them on one port. Only `core`
//! knows the rules; the others are shells around it.

pub mod artifacts;
pub mod connections;
pub mod core;
pub mod guard;
pub mod kinds;
mod private;
pub mod rpc;
pub mod server;
pub mod store;
