//! `vertigo data audit`: which of a suite's tasks stand in a dataset, curated or only imported.

use crate::cli::AuditArgs;
use crate::coordinator::Coordinator;
use crate::error::Result;
use crate::render::output::Output;

pub(super) async fn run(_args: &AuditArgs, _coordinator: &Coordinator, _output: Output) -> Result<()> {
    Ok(())
}
