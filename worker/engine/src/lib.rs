//! Qwen3.5 on MLX: load a base, train it in little memory, write what mlx-lm can load, and answer ([`generate`]).
//!
//! A library that can be used alone: it knows nothing of jobs or gRPC.
//!
//! ```no_run,standalone_crate
//! use vertigo_engine::{Model, RunFolder, Trainer};
//! # fn run(recipe: vertigo_model::recipe::Recipe) -> Result<(), vertigo_engine::EngineError> {
//! let model = Model::load("models/qwen3.5-4b-4bit".as_ref())?;
//! let data = vertigo_engine::training_data("models/qwen3.5-4b-4bit".as_ref(), "data".as_ref(), &recipe)?;
//! for event in Trainer::new(model, data, recipe, RunFolder::fresh("out"))? {
//!     println!("{:?}", event?);
//! }
//! # Ok(()) }
//! ```
//!
//! What it does that mlx-lm does not: the gated delta rule runs in chunks instead of token by token ([`gated_delta`]); the
//! backward pass holds half a layer at a time, and the logits of a few tokens at a time ([`backward`]); a run resumes from its
//! checkpoint with the same bits ([`checkpoint`]).
//!
//! Promise: same folder, data, recipe and engine version give the same bits on the same machine, interrupted or not.

pub mod adapter;
pub mod backward;
pub mod batch;
mod beside;
pub mod checkpoint;
pub mod device;
mod draws;
mod error;
mod events;
mod exponent;
mod fault;
pub mod fewest_bits;
mod folder;
pub mod fuse;
pub mod gated_delta;
pub mod generate;
mod layer;
mod master;
pub mod measure;
mod model;
pub mod optimizer;
mod past;
pub mod remarks;
mod rows;
mod run_folder;
mod split;
mod tensor_files;
mod trainer;
mod training_data;
mod weights;

pub use error::EngineError;
pub use events::{Adapter, Event, Outcome, Written};
pub use fault::Fault;
pub use model::{Model, Parameters};
pub use run_folder::RunFolder;
pub use trainer::{Trainer, Wish};
pub use training_data::{TrainingData, training_data};
pub use vertigo_text as text;
