//! `vertigo data report`: a curated dataset's report, in the terminal or as the page that lies beside its rows.

use crate::cli::DataReportArgs;
use crate::coordinator::Coordinator;
use crate::curations;
use crate::error::{CliError, Result};
use crate::render::curation;
use crate::render::output::Output;
use serde_json::json;
use std::fs;
use vertigo_curation::{page, report};

pub(super) async fn run(args: &DataReportArgs, coordinator: &Coordinator, output: Output) -> Result<()> {
    let scratch = tempfile::tempdir().map_err(|e| CliError::refused(format!("no temporary folder: {e}")))?;
    let argument = "`vertigo data report`";
    let wanted = if args.html.is_some() { page::FILE } else { report::FILE };
    let found = curations::curated(&args.name, argument, &[wanted], scratch.path(), coordinator, output).await?;
    if let Some(file) = &args.html {
        let written = fs::copy(found.folder.join(page::FILE), file);
        written.map_err(|error| CliError::refused(format!("cannot write {}: {error}", file.display())))?;
        output.show(|| json!({"page": file}), || format!("the page is in {}\n", file.display()));
        return Ok(());
    }
    let report = curations::report(&found.folder)?
        .ok_or_else(|| CliError::refused(format!("`{}` lost its report while it was read", args.name)))?;
    output.show(|| json!(report), || curation::render_whole(&args.name, &report));
    Ok(())
}
