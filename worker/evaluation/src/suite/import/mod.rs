//! Tasks of others in our form.

mod benchmark;
mod opengameeval;

pub use benchmark::read as benchmark;
pub use opengameeval::read as opengameeval;
