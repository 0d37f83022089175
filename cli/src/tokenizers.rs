//! Bases' tokenizers, without the weights beside them.

use crate::coordinator::Coordinator;
use crate::download::pull;
use crate::error::{CliError, Exit, Result};
use crate::render::output::Output;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use vertigo::manifest::{Kind, Manifest};
use vertigo_text::FILES;

/// Fetches what makes tokens of the base that is called `model`, and not its weights.
pub(crate) async fn fetch(model: &str, scratch: &Path, from: &Coordinator, output: Output) -> Result<PathBuf> {
    let found = from.transfer().manifest(model).await.map_err(|e| {
        let error = from.transfer_error(&e);
        let meant = error.hint.as_ref().map(|hint| format!("{hint}; ")).unwrap_or_default();
        let hint = format!("{meant}or name a folder that has its tokenizer with --base");
        if error.exit == Exit::NotFound { error.hint(hint) } else { error }
    });
    let folder = scratch.join("base");
    pull(&text_files(model, &found?.1)?, model, &folder, from, output).await?;
    Ok(folder)
}

/// The part of a base's manifest that makes tokens.
fn text_files(model: &str, manifest: &Manifest) -> Result<Manifest> {
    if ![Kind::Base, Kind::Model].contains(&manifest.kind()) {
        return Err(CliError::refused(format!("`{model}` is no base but an artifact of kind {}", manifest.kind())));
    }
    let files = manifest.files().iter().filter(|file| FILES.contains(&file.path.as_str())).cloned().collect();
    Manifest::new(Kind::Base, files, BTreeMap::new())
        .map_err(|e| CliError::refused(format!("the base `{model}` has no tokenizer: {e}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use vertigo::bytes::Bytes;
    use vertigo::id::Digest;
    use vertigo::manifest::FileEntry;

    #[test]
    fn only_what_makes_tokens_is_fetched_of_a_base() {
        let manifest = |kind, paths: &[&str]| {
            let file = |path: &&str| FileEntry { path: (*path).to_owned(), bytes: Bytes(1), digest: Digest::of(b"x") };
            Manifest::new(kind, paths.iter().map(file).collect(), BTreeMap::new()).unwrap()
        };
        let base =
            manifest(Kind::Base, &["model.safetensors", "tokenizer.json", "config.json", "tokenizer_config.json"]);
        let part = text_files("m", &base).unwrap();
        let paths: BTreeSet<&str> = part.files().iter().map(|file| file.path.as_str()).collect();
        assert_eq!(paths, BTreeSet::from(["tokenizer.json", "tokenizer_config.json"]));
        assert!(
            text_files("m", &manifest(Kind::Model, &["tokenizer.json"])).is_ok(),
            "a fused model is trained as a base is"
        );
        let refused = |manifest| text_files("m", &manifest).unwrap_err().message;
        assert!(refused(manifest(Kind::Base, &["config.json"])).contains("no tokenizer"));
        assert!(
            refused(manifest(Kind::Adapter, &["tokenizer.json"]))
                .contains("is no base but an artifact of kind adapter")
        );
    }
}
