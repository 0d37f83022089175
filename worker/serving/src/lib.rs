//! OpenAI's API over whatever generates.
//!
//! ```text
//! HTTP ──▶ api: a request, read whole ──▶ catalog: whose name that is ──▶ model: prompt, borders ──▶ served: one thread, which generates
//!   ◀── reply: OpenAI's forms ◀── answer: thought, text, calls of tools, stop strings ◀────────────── tokens
//! ```
//!
//! Pure, and tested by properties: [`answer`], [`api`], [`reply`]. What generates is behind [`vertigo_engine::generate::Generate`]; where
//! names of models lead, behind [`Catalog`].
//!
//! Promise: everything that enters has a bound; a client that has gone costs nothing any more; a model that fails is loaded anew, and those
//! who were waiting for it are told; no page in a browser drives it.

mod answer;
mod api;
mod catalog;
mod http;
mod metrics;
mod model;
mod reply;
mod served;
mod server;

pub use catalog::{Catalog, CatalogError, Listed, Shelf};
pub use http::Intake;
pub use model::{Facts, FactsError, Model};
pub use served::{Bounds, Build, Served, ServedError};
pub use server::{Server, ServerError, Settings};
