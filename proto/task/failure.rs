//! Why a task came to nothing, and what cures that.

use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Words for failures of which the coordinator knows more than the cure, because they are of the machine, whatever the kind of task.
pub mod code {
    /// The GPU was kept so long by one piece of work that the screen stood still.
    pub const GPU_TOO_LONG: &str = "gpu_too_long";
    /// The GPU hung or met an address that is not there.
    pub const GPU_BROKE: &str = "gpu_broke";
    /// The machine's kernel panicked.
    pub const MACHINE_PANICKED: &str = "machine_panicked";
    /// The machine was restarted.
    pub const MACHINE_REBOOTED: &str = "machine_rebooted";
}

/// What cures a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cure {
    /// Nothing: the same input fails anywhere.
    Never,
    /// More memory than was reserved.
    MoreMemory,
    /// Another machine.
    AnotherMachine,
    /// Time: a connection or a store failed.
    Later,
    /// A new process.
    FreshProcess,
}

/// The code of an attempt that its worker has given back, because the policy of the machine's owner closed: nothing has failed.
pub const GIVEN_BACK: &str = "given_back";

/// Why a task came to nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// What cures it, which decides whether and where another try is made.
    pub cure: Cure,
    /// For a person.
    pub message: String,
    /// The kind's own word for it.
    pub code: String,
    /// How long the cure takes at least, in milliseconds, where another try waits for it: 0 where nobody knows better than whoever tries.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub pause_ms: u64,
}

/// Whether there is nothing to write.
#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_zero(n: &u64) -> bool {
    *n == 0
}

impl Failure {
    /// A failure.
    pub fn new(cure: Cure, code: impl Into<String>, message: impl Into<String>) -> Failure {
        Failure { cure, message: message.into(), code: code.into(), pause_ms: 0 }
    }

    /// The same, which is not to be tried again before this has passed.
    pub fn after(self, pause: Duration) -> Failure {
        Failure { pause_ms: u64::try_from(pause.as_millis()).unwrap_or(u64::MAX), ..self }
    }
}

#[cfg(feature = "rpc")]
mod wire {
    use super::{Cure, Failure};
    use crate::v1;

    impl From<Cure> for v1::Cure {
        fn from(cure: Cure) -> v1::Cure {
            match cure {
                Cure::Never => v1::Cure::Never,
                Cure::MoreMemory => v1::Cure::MoreMemory,
                Cure::AnotherMachine => v1::Cure::AnotherMachine,
                Cure::Later => v1::Cure::Later,
                Cure::FreshProcess => v1::Cure::FreshProcess,
            }
        }
    }

    impl From<Failure> for v1::Failure {
        fn from(failure: Failure) -> v1::Failure {
            let Failure { cure, message, code, pause_ms } = failure;
            v1::Failure { cure: v1::Cure::from(cure).into(), message, code, pause_ms }
        }
    }

    impl From<v1::Failure> for Failure {
        fn from(said: v1::Failure) -> Failure {
            Failure { cure: said.cure().into(), message: said.message, code: said.code, pause_ms: said.pause_ms }
        }
    }

    impl From<v1::Cure> for Cure {
        /// What a later version may name is tried again, a bounded number of times.
        fn from(cure: v1::Cure) -> Cure {
            match cure {
                v1::Cure::Never => Cure::Never,
                v1::Cure::MoreMemory => Cure::MoreMemory,
                v1::Cure::AnotherMachine => Cure::AnotherMachine,
                v1::Cure::Later => Cure::Later,
                v1::Cure::FreshProcess | v1::Cure::Unspecified => Cure::FreshProcess,
            }
        }
    }
}
