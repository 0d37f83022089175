//! `vertigo base`: base models, imported or made.

use crate::base::{BaseFolder, write_base};
use crate::cli::{BaseCommand, NewBaseArgs};
use crate::coordinator::Coordinator;
use crate::datasets;
use crate::download::check_is_free;
use crate::error::{CliError, Result};
use crate::render::json;
use crate::render::output::{Output, bold, count, pairs, short_id};
use crate::render::progress;
use crate::upload::Upload;
use serde_json::json;
use std::path::Path;
use vertigo::bytes::Bytes;
use vertigo::manifest::Kind;
use vertigo::v1;
use vertigo_model::shape::Shape;

/// What a smoke base is, in so many words.
const SMOKE: &str = "This is a smoke base: its weights are random, it knows nothing, and its answers are noise.";

pub(crate) async fn run(command: &BaseCommand, coordinator: &Coordinator, output: Output) -> Result<()> {
    match command {
        BaseCommand::Import { name, dir } => {
            let base = BaseFolder::check(dir).map_err(CliError::refused)?;
            let artifact = upload(&base, dir, name, coordinator, output).await?;
            output.show(|| json::artifact(&artifact), || render_imported(name, &base.shape, &artifact));
        }
        BaseCommand::New(args) => new(args, coordinator, output).await?,
    }
    Ok(())
}

async fn upload(base: &BaseFolder, dir: &Path, tag: &str, to: &Coordinator, output: Output) -> Result<v1::Artifact> {
    let facts = [("config".to_owned(), base.config.clone())].into();
    Upload { kind: Kind::Base, folder: dir, files: base.files.clone(), facts, tag }.run(to, output).await
}

async fn new(args: &NewBaseArgs, coordinator: &Coordinator, output: Output) -> Result<()> {
    if let Some(out) = &args.out {
        check_is_free(out)?;
    }
    let scratch = tempfile::tempdir().map_err(|e| CliError::refused(format!("no temporary folder: {e}")))?;
    let dataset = datasets::named(&args.data, "--data", scratch.path(), coordinator, output).await?;
    let dir = args.out.clone().unwrap_or_else(|| scratch.path().join("base"));
    let spinner = progress::spinner(output, "making weights and training the tokenizer");
    let made = write_base(&dir, args, &dataset);
    spinner.finish_and_clear();
    made?;
    // A base of ours has to pass what anyone's has to pass.
    let base = BaseFolder::check(&dir).map_err(CliError::refused)?;
    if let Some(out) = &args.out {
        let parameters = base.shape.parameters();
        let document = || json!({"folder": out, "parameters": parameters, "smoke": true});
        output.show(document, || render_written(&args.name, out, &base.shape));
        return Ok(());
    }
    let artifact = upload(&base, &dir, &args.name, coordinator, output).await?;
    let text = || format!("{}{SMOKE}\n", render_imported(&args.name, &base.shape, &artifact));
    output.show(|| json::artifact(&artifact), text);
    Ok(())
}

fn about(shape: &Shape) -> String {
    let packed = match &shape.quantization {
        Some(quantization) => format!("{}-bit", quantization.default.bits),
        None => format!("{:?}", shape.dtype).to_lowercase(),
    };
    format!("{} parameters, {} layers, {packed}", count(shape.parameters()), shape.layers)
}

fn render_imported(name: &str, shape: &Shape, artifact: &v1::Artifact) -> String {
    let rows = [
        ("digest", format!("sha256:{}", short_id(&artifact.digest))),
        ("model", about(shape)),
        ("size", Bytes(artifact.bytes).to_string()),
    ];
    format!("imported base {}\n{}", bold(name), pairs(rows))
}

fn render_written(name: &str, out: &Path, shape: &Shape) -> String {
    let rows = [("model", about(shape)), ("import it", format!("vertigo base import {name} {}", out.display()))];
    format!("wrote {}\n{}{SMOKE}\n", bold(&out.display().to_string()), pairs(rows))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{FloatType, Preset};
    use crate::render::output::plain;
    use vertigo_model::dataset::Dataset;

    #[test]
    fn a_smoke_base_is_called_one() {
        let luau = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/data/luau");
        let (dir, dataset) = (tempfile::tempdir().unwrap(), Dataset::read(&luau).unwrap());
        let args = NewBaseArgs {
            name: "mini".to_owned(),
            preset: Preset::Mini9b,
            bits: Some("4".to_owned()),
            dtype: FloatType::F32,
            data: String::new(),
            seed: 7,
            out: None,
        };
        write_base(dir.path(), &args, &dataset).unwrap();
        let shape = BaseFolder::check(dir.path()).unwrap().shape;
        let text = plain(&render_written("mini-9b-4bit", dir.path(), &shape));
        assert!(text.contains("its answers are noise") && text.contains("vertigo base import mini-9b-4bit"), "{text}");
        assert!(text.contains("12 layers, 4-bit"), "{text}");
    }
}
