//! What this machine is doing, and a person's policy over it: when it takes part, and how it goes and comes back.
//!
//! ```text
//! host (linux, macos) ── facts ──▶ policy ── decision ──▶ presence
//! ```
//!
//! Pure, and tested by property: [`policy`], [`presence`], [`shortage`], [`buffers`], and every parser. What touches the machine is
//! behind [`Host`]: files below a root on Linux, the system's own commands on macOS. Both compile and are tested on every platform;
//! [`this_machine`] alone looks at which one this is.

pub mod buffers;
mod command;
pub mod facts;
mod host;
pub mod linux;
pub mod macos;
pub mod policy;
pub mod presence;
pub mod shortage;

pub use host::{Awake, Boot, Host};

/// The machine that this program runs on.
pub fn this_machine() -> Box<dyn Host> {
    // Not by attribute: what other platforms use is compiled on each.
    if cfg!(target_os = "macos") { Box::new(macos::MacOs) } else { Box::new(linux::Linux::new()) }
}
