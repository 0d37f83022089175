//! The contract that all parts of Vertigo share.
//!
//! Plain types, without I/O: what jobs do ([`task`]) and where they go ([`placement`]), what an artifact is made of ([`manifest`]), what
//! of a dataset is not learned as it was written ([`caveats`]), how all of them are named ([`id`], [`bytes`]), who acts ([`principal`]),
//! where the coordinator is ([`endpoint`]), where a server's key is and how it is kept out of texts ([`server_key`]), how text from
//! outside is shown ([`printable`]) and what a mistyped word was meant for ([`spelling`]), how times are written ([`times`]), and how long to
//! wait before trying again ([`backoff`]). Parsing happens here, once, at the edge: whoever holds one of these values holds a valid one. What is known of models
//! is in `vertigo-model`; artifacts are moved by `vertigo-client`.
//!
//! The feature `rpc` adds the generated protocol and what goes over it beside messages (`api_error`, `feed`). The engine does without.
//!
//! Promise: everything here but [`files`] and [`folder`] is a pure function of its arguments.

#[cfg(feature = "rpc")]
pub mod api_error;
pub mod backoff;
pub mod bounds;
pub mod bytes;
pub mod caveats;
pub mod endpoint;
#[cfg(feature = "rpc")]
pub mod feed;
pub mod files;
pub mod folder;
pub mod id;
pub mod manifest;
pub mod placement;
pub mod principal;
pub mod printable;
pub mod secret;
pub mod server_key;
pub mod spelling;
pub mod task;
pub mod times;

/// Messages, clients and servers of the package `vertigo.v1`, generated from `proto/vertigo/v1/*.proto`.
#[cfg(feature = "rpc")]
#[allow(missing_docs, clippy::all, unreachable_pub)]
pub mod v1 {
    tonic::include_proto!("vertigo.v1");

    /// Written by hand, because the generated one would show the secret to whoever logs a message.
    impl std::fmt::Debug for Hello {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            let Hello { worker_id, name, machine, held, secret: _, process, away, conditions, reboots } = self;
            f.debug_struct("Hello")
                .field("worker_id", worker_id)
                .field("name", name)
                .field("machine", machine)
                .field("held", held)
                .field("process", process)
                .field("away", away)
                .field("conditions", conditions)
                .field("reboots", reboots)
                .finish_non_exhaustive()
        }
    }

    /// As for [`Hello`]: it carries a token's secret.
    impl std::fmt::Debug for JoinRequest {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            let JoinRequest { secret: _, request: _, name, worker_id, worker_secret: _, clock_ms, otherwise } = self;
            f.debug_struct("JoinRequest")
                .field("name", name)
                .field("worker_id", worker_id)
                .field("clock_ms", clock_ms)
                .field("otherwise", otherwise)
                .finish_non_exhaustive()
        }
    }

    /// As for [`Hello`]: its line has the token's secret in it.
    impl std::fmt::Debug for CreatedToken {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            let CreatedToken { token, line: _ } = self;
            f.debug_struct("CreatedToken").field("token", token).finish_non_exhaustive()
        }
    }
}

/// The edition of a coordinator's messages to its workers (`Machine.edition`). Whoever adds such a message raises it, and says in the
/// coordinator's `core/effects.rs` which edition has it, so that nobody is told what it does not understand.
pub const EDITION: u32 = 1;

/// The engine's version as it is written into artifacts and learned memory factors: results of different
/// versions are not compared as if they were one.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
