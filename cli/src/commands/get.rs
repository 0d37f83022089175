//! `vertigo get`: an artifact's files in a folder.

use crate::cli::GetArgs;
use crate::coordinator::Coordinator;
use crate::download::{check_is_free, pull};
use crate::error::{CliError, Result};
use crate::render::output::{Output, bold, pairs};
use serde_json::json;
use std::fs;
use vertigo::id::Digest;
use vertigo::manifest::Manifest;

pub(crate) async fn run(args: &GetArgs, coordinator: &Coordinator, output: Output) -> Result<()> {
    check_is_free(&args.dir)?;
    let found = coordinator.transfer().manifest(&args.reference).await;
    let (digest, manifest) = found.map_err(|e| coordinator.transfer_error(&e))?;
    if args.dir.is_dir() {
        // It is empty; a pull makes the folder itself, so that it is there whole or not at all.
        fs::remove_dir(&args.dir).map_err(|e| CliError::refused(format!("{}: {e}", args.dir.display())))?;
    }
    pull(&manifest, &args.reference, &args.dir, coordinator, output).await?;
    let document = || json!({"digest": digest, "kind": manifest.kind(), "bytes": manifest.bytes(), "folder": args.dir});
    output.show(document, || render_fetched(args, digest, &manifest));
    Ok(())
}

fn render_fetched(args: &GetArgs, digest: Digest, manifest: &Manifest) -> String {
    let files: Vec<&str> = manifest.files().iter().map(|file| file.path.as_str()).collect();
    let rows = [
        ("from", format!("{} ({} sha256:{})", args.reference, manifest.kind(), digest.short())),
        ("files", files.join(", ")),
        ("size", manifest.bytes().to_string()),
    ];
    format!("fetched {}\n{}", bold(&args.dir.display().to_string()), pairs(rows))
}
