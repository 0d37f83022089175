//! `vertigo artifacts` and `vertigo get`.

use crate::cli::{ArtifactsArgs, GetArgs};
use crate::coordinator::Coordinator;
use crate::error::{CliError, Exit, Result, Subject};
use crate::json;
use crate::output::{Output, age, bold, pairs, short_id, table};
use crate::pages::{self, Shown};
use crate::progress::Moving;
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use vertigo::bytes::Bytes;
use vertigo::id::{Digest, Millis};
use vertigo::manifest::{Kind, Manifest};
use vertigo::v1;
use vertigo_client::traced;

pub(crate) async fn list(args: &ArtifactsArgs, coordinator: &Coordinator, output: Output) -> Result<()> {
    let kind = args.kind.map(|kind| kind.to_string()).unwrap_or_default();
    let fetch = async |page_size, page_token| {
        let request = v1::ListArtifactsRequest { kind: kind.clone(), page_size, page_token };
        let answer = coordinator.answer(coordinator.artifacts().list(traced(request)).await, Subject::Nothing)?;
        Ok((answer.artifacts, answer.next_page_token))
    };
    let only = args.kind;
    let table = Box::new(move |artifacts: &[v1::Artifact]| render_artifacts(artifacts, only, Millis::now().0));
    pages::show(output, args.limit, fetch, Shown { json: json::artifact, table }).await
}

pub(crate) async fn get(args: &GetArgs, coordinator: &Coordinator, output: Output) -> Result<()> {
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

/// Fetches an artifact's files into `folder`, with its progress shown.
pub(crate) async fn pull(
    manifest: &Manifest,
    name: &str,
    folder: &Path,
    from: &Coordinator,
    output: Output,
) -> Result<()> {
    let moving = Moving::new(output, format!("fetching {name}"), manifest.bytes());
    let pulled = from.transfer().pull(manifest, folder, &|bytes| moving.add(bytes)).await;
    pulled.map_err(|e| from.transfer_error(&e))?;
    moving.finish();
    Ok(())
}

/// That a folder can be made here: there is nothing, or an empty folder.
pub(crate) fn check_is_free(dir: &Path) -> Result<()> {
    if dir.file_name().is_none() {
        let error = CliError::new(Exit::Refused, format!("{} is no name of a folder to make", dir.display()));
        return Err(error.hint(format!("name one, such as {}", dir.join("adapter").display())));
    }
    let taken = match fs::read_dir(dir) {
        Ok(mut entries) => entries.next().is_some(),
        Err(_) => dir.exists(),
    };
    if taken {
        let error = CliError::new(Exit::Refused, format!("{} is there already, and not empty", dir.display()));
        return Err(error.hint("name a folder that is not there yet"));
    }
    Ok(())
}

fn render_artifacts(artifacts: &[v1::Artifact], kind: Option<Kind>, now: u64) -> String {
    if artifacts.is_empty() {
        return match kind {
            Some(Kind::Base) => "no bases; `vertigo base import NAME DIR` adds one\n".to_owned(),
            Some(Kind::Dataset) => "no datasets; `vertigo data import NAME DIR` adds one\n".to_owned(),
            Some(kind) => format!("no artifacts of kind {kind}\n"),
            None => "no artifacts; `vertigo data import NAME DIR` and `vertigo base import NAME DIR` add the first\n"
                .to_owned(),
        };
    }
    let row = |artifact: &v1::Artifact| {
        [
            short_id(&artifact.digest).to_owned(),
            artifact.kind.clone(),
            artifact.tags.join(" "),
            about(artifact),
            Bytes(artifact.bytes).to_string(),
            age(now, artifact.created_ms),
        ]
    };
    table(["DIGEST", "KIND", "TAGS", "WHAT", "SIZE", "AGE"], &[4, 5], artifacts.iter().map(row).collect())
}

/// What sets this one apart from others of its kind.
fn about(artifact: &v1::Artifact) -> String {
    let facts: Value = serde_json::from_str(&artifact.facts_json).unwrap_or_default();
    let number = |key: &str| facts.get(key).and_then(Value::as_f64);
    let what = match artifact.kind.parse() {
        Ok(Kind::Dataset) => number("examples").map(|n| format!("{n} examples")),
        Ok(Kind::Checkpoint) => number("iter").map(|n| format!("iter {n}")),
        Ok(Kind::Model) => number("loss_fused").map(|loss| format!("loss {loss:.3}")),
        Ok(Kind::Adapter) => number("validation_before")
            .zip(number("validation_after"))
            .map(|(before, after)| format!("loss {before:.3} → {after:.3}")),
        // Its tag says it, or it is of a kind that this version does not know.
        Ok(Kind::Base) | Err(_) => None,
    };
    what.unwrap_or_default()
}

/// What is known of how good an artifact is: an adapter's validation, and what a fused model kept of its adapter.
pub(crate) fn findings(manifest: &Manifest) -> Vec<(&'static str, String)> {
    let number = |key: &str| manifest.fact(key).and_then(Value::as_f64);
    let validation = number("validation_before").zip(number("validation_after"));
    let validation = validation.map(|(before, after)| ("validation", format!("loss {before:.3} → {after:.3}")));
    let losses = number("loss_base").zip(number("loss_adapter")).zip(number("loss_fused"));
    let losses = losses.map(|((base, adapter), fused)| {
        ("loss", format!("{base:.3} base, {adapter:.3} with the adapter, {fused:.3} fused"))
    });
    let divergence = number("kl_adapter_base").zip(number("kl_adapter_fused"));
    let divergence = divergence.map(|(base, fused)| {
        ("divergence", format!("{fused:.4} of the fused model from the adapter's, {base:.4} of the base"))
    });
    [validation, losses, divergence].into_iter().flatten().collect()
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::plain;
    use std::collections::BTreeMap;
    use vertigo::manifest::FileEntry;

    fn artifact(kind: Kind, facts: Value, tags: &[&str]) -> v1::Artifact {
        let facts: BTreeMap<String, Value> = serde_json::from_value(facts).unwrap();
        let file = FileEntry { path: "a".to_owned(), digest: Digest::of(b"a"), bytes: Bytes(11_700_000) };
        let manifest = Manifest::new(kind, vec![file], facts).unwrap();
        v1::Artifact {
            digest: manifest.digest().to_string(),
            kind: kind.to_string(),
            facts_json: Value::Object(manifest.facts().map(|(key, value)| (key.to_owned(), value.clone())).collect())
                .to_string(),
            files: 1,
            bytes: manifest.bytes().0,
            tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
            created_ms: 1_000_000,
            ..Default::default()
        }
    }

    #[test]
    fn artifacts_are_a_table() {
        let artifacts = [
            artifact(Kind::Base, json!({"config": {}}), &["mlx-community/Qwen3.5-4B-4bit"]),
            artifact(Kind::Dataset, json!({"examples": 105}), &["luau"]),
            artifact(Kind::Adapter, json!({"validation_before": 7.7012, "validation_after": 5.2}), &["tutor", "best"]),
            artifact(Kind::Checkpoint, json!({"iter": 20}), &[]),
        ];
        let text = plain(&render_artifacts(&artifacts, None, 1_065_000));
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        insta::assert_snapshot!(text, @r"
        DIGEST        KIND        TAGS                   WHAT              SIZE    AGE
        a71b5539de10  base        mlx-community/Qwen3.5                11.2 MiB  1m 5s
                                  -4B-4bit
        4dfe542c1703  dataset     luau                   105 examples  11.2 MiB  1m 5s
        749b82fa1579  adapter     tutor best             loss 7.701 →  11.2 MiB  1m 5s
                                                         5.200
        ebb94594bd03  checkpoint                         iter 20       11.2 MiB  1m 5s
        ");
    }

    #[test]
    fn an_empty_store_says_how_to_fill_it() {
        assert!(render_artifacts(&[], Some(Kind::Base), 0).contains("vertigo base import"));
        assert!(render_artifacts(&[], None, 0).contains("vertigo data import"));
    }

    #[test]
    fn a_folder_that_holds_something_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(check_is_free(dir.path()), Ok(()));
        assert_eq!(check_is_free(&dir.path().join("new")), Ok(()));
        fs::write(dir.path().join("x"), "").unwrap();
        assert_eq!(check_is_free(dir.path()).unwrap_err().exit, Exit::Refused);
        assert!(check_is_free(&dir.path().join("x")).is_err());
        for nameless in [".", "..", "/", "a/.."] {
            assert!(check_is_free(Path::new(nameless)).unwrap_err().hint.unwrap().contains("adapter"), "{nameless}");
        }
    }
}
