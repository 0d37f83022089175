//! `vertigo data audit`: which of a suite's tasks stand in a dataset, curated or only imported.

use crate::cli::AuditArgs;
use crate::coordinator::Coordinator;
use crate::curations;
use crate::datasets;
use crate::error::{CliError, Result};
use crate::render::curation;
use crate::render::output::Output;
use crate::suites;
use serde_json::json;
use vertigo_curation::audit::audit;
use vertigo_model::dataset::PROVENANCE;

pub(super) async fn run(args: &AuditArgs, coordinator: &Coordinator, output: Output) -> Result<()> {
    let scratch = tempfile::tempdir().map_err(|e| CliError::refused(format!("no temporary folder: {e}")))?;
    let suite = suites::named(&args.suite, scratch.path(), coordinator, output).await?;
    let argument = "`vertigo data audit`";
    let is_read = |path: &str| path.ends_with(".jsonl") && path != PROVENANCE;
    let found = datasets::found(&args.name, argument, is_read, scratch.path(), coordinator, output).await?;
    let audit = tokio::task::block_in_place(|| {
        let (rows, book) = curations::rows(&found.folder)?;
        Ok(audit(&rows, &suite, &book))
    })?;
    let digest = found.kept.as_ref().map(|(digest, _)| digest);
    output.show(
        || json!({"name": args.name, "digest": digest, "audit": audit}),
        || curation::render_audit(&args.name, &audit),
    );
    Ok(())
}
