//! From a prompt's tokens to an answer's: requests that join and leave a batch at every step.
//!
//! Whoever serves a model owns a [`Generate`] on one thread, hands it requests and calls [`Generate::step`] for as long as there is
//! work. What an answer is does not depend on what else is in the batch: alone or beside others, logits have the same bits. Where a
//! request goes on from what was computed in other pieces than it would be anew, as an answer's tokens are, which come one by one, they
//! may differ by rounding ([`Sampling::seed`]).

mod adapters;
mod answer;
mod batch;
mod forward;
mod generator;
mod kept;
mod layout;
mod request;
mod room;
mod sampling;

pub use generator::Generator;
pub use request::{AdapterId, Chosen, End, Load, Produced, Request, RequestId, Sampling, ThoughtBudget};
pub use room::Limits;

use crate::error::Result;

/// What makes tokens of prompts: the engine, or, in tests of those who serve, a stand-in.
pub trait Generate {
    /// Takes a request. It waits, in the order of admission, until there is room for it. Others may pass it while it waits for what another
    /// one reads that begins alike.
    ///
    /// # Errors
    /// [`EngineError::Input`](crate::EngineError::Input) where it can never be answered: it is empty, names a token or an adapter that
    /// there is not, or is longer than there could be room for. Nothing changes then.
    fn admit(&mut self, id: RequestId, request: Request) -> Result<()>;

    /// Lets go of a request, wherever it is. One that is not known has ended already. What an answer under way has computed may be kept as
    /// that of one that ended, and a conversation go on from there.
    fn cancel(&mut self, id: RequestId);

    /// Reads a piece of a prompt, or makes the next token of every answer under way, and tells what came of it in the order in which it
    /// did. Of a request comes `Read` first, then its tokens, then `Ended`. Nothing where there is nothing to do.
    ///
    /// # Errors
    /// MLX's. Whatever was under way is lost.
    fn step(&mut self) -> Result<Vec<(RequestId, Produced)>>;

    /// Whether there is nothing to do.
    fn is_idle(&self) -> bool {
        let load = self.load();
        load.waiting + load.running == 0
    }

    /// What is in memory and under way.
    fn load(&self) -> Load;
}
