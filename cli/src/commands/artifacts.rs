//! `vertigo artifacts`: what the coordinator keeps.

use crate::cli::ArtifactsArgs;
use crate::coordinator::Coordinator;
use crate::error::{Result, Subject};
use crate::render::json;
use crate::render::output::{Output, age, short_id, table};
use crate::render::pages::{self, Shown};
use serde_json::Value;
use vertigo::bytes::Bytes;
use vertigo::id::Millis;
use vertigo::manifest::Kind;
use vertigo::v1;
use vertigo_client::traced;

pub(crate) async fn run(args: &ArtifactsArgs, coordinator: &Coordinator, output: Output) -> Result<()> {
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
        Ok(Kind::Suite) => number("tasks").map(|n| format!("{n} tasks")),
        Ok(Kind::Report) => {
            number("passed").zip(number("answers")).map(|(passed, all)| format!("{passed} of {all} passed"))
        }
        // Its tag says it, or it is of a kind that this version does not know.
        Ok(Kind::Base) | Err(_) => None,
    };
    what.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::output::plain;
    use serde_json::json;
    use std::collections::BTreeMap;
    use vertigo::id::Digest;
    use vertigo::manifest::FileEntry;
    use vertigo::manifest::Manifest;

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
}
