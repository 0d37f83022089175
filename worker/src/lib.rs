//! One machine's daemon, which runs attempts as child processes.
//!
//! ```text
//! session ── assignments ──▶ supervisor ── spec, stdin ──▶ child (main → task → engine)
//!    ▲                           │  ▲                         │
//!    └──── held: reports ◀───────┘  └──── events, stderr ─────┘
//! ```
//!
//! The session keeps a connection to the coordinator; the supervisor leads each attempt from its assignment to its end; the table of
//! held attempts is all that the two share. Pure, and tested by property: [`outcome`], [`endings`], [`spool`]'s numbering, [`lines`]'
//! bounds, [`backoff`].
//!
//! Apart from all of these, [`serve`] serves models to OpenAI's clients.

pub mod backoff;
pub mod cache;
pub mod child;
pub mod daemon;
pub mod endings;
pub mod held;
pub mod job;
pub mod lines;
pub mod machine;
pub mod manners;
pub mod membership;
pub mod memory;
pub mod names;
pub mod outcome;
pub mod output;
pub mod serve;
pub mod session;
pub mod spool;
pub mod state;
pub mod supervisor;
pub mod task;
