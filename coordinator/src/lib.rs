//! The Vertigo coordinator: queue, leases, placement and artifacts of a fleet.
//!
//! [`core`] decides, [`kinds`] knows what each kind of task needs, [`store`] makes its decisions durable, [`blobs`] keeps files by
//! digest, [`keep`] lets go of what nobody needs, [`api`] is what can be asked, [`serve`] translates it to gRPC and HTTP behind one
//! guarded port, and [`server`] puts them together, and [`backup`] copies what they keep. Only `core` knows the rules; the others are
//! shells around it.

pub mod access;
pub mod api;
pub mod backup;
pub mod blobs;
pub mod core;
pub mod keep;
pub mod kinds;
mod private;
pub mod serve;
pub mod server;
pub mod store;
