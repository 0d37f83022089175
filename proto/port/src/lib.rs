//! A port: connections over TLS or, on this machine, without, which are bounded, counted and closed; and pages in browsers kept out.
//!
//! Promise, whatever the other ends do: there are never more connections and requests than [`Limits`] says; idle connections lock nobody
//! out; what is in flight is cut off for no other, but where its other end takes nothing of what is written to it. A request counts from
//! its head until its answer's last byte went out, so an upload, a watch and a stream are in flight for as long as they last. Every request
//! has its [`Peer`] as an extension; what it may ask is for the routes behind the port.

mod connections;
mod descriptors;
pub mod guard;
mod measured;
mod peers;
mod progress;
mod table;
mod wire;

pub use connections::{Port, Rules, serve, serve_until};
pub use descriptors::DescriptorError;
pub use peers::{Peer, Peers};
pub use table::{Limits, NotBegun, Work};
pub use wire::Wire;
