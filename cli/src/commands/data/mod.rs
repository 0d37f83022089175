//! `vertigo data`: datasets.

mod show;

use crate::cli::DataCommand;
use crate::coordinator::Coordinator;
use crate::datasets::{read, told};
use crate::error::{CliError, Result};
use crate::render::json;
use crate::render::output::{Output, bold, pairs, short_id};
use crate::upload::Upload;
use serde_json::json;
use std::collections::BTreeMap;
use std::path::Path;
use vertigo::bytes::Bytes;
use vertigo::manifest::Kind;
use vertigo::v1;
use vertigo_model::dataset::{Dataset, Weight, jsonl_files};

pub(crate) async fn run(command: &DataCommand, coordinator: &Coordinator, output: Output) -> Result<()> {
    match command {
        DataCommand::Import { name, dir } => import(name, dir, coordinator, output).await,
        DataCommand::Show(args) => show::run(args, coordinator, output).await,
    }
}

async fn import(name: &str, dir: &Path, coordinator: &Coordinator, output: Output) -> Result<()> {
    // The whole of it is read before a byte goes up: a dataset in the store is one that can be trained on.
    let dataset = read(dir)?;
    let files = jsonl_files(dir).map_err(|e| told(&e))?.iter().map(|file| file_name(file)).collect::<Result<_>>()?;
    let examples = dataset.train.len() + dataset.valid.len();
    let mut facts = BTreeMap::from([("examples".to_owned(), json!(examples))]);
    facts.extend(weights_sum(&dataset).map(|sum| ("weights_sum".to_owned(), json!(sum))));
    let upload = Upload { kind: Kind::Dataset, folder: dir, files, facts, tag: name };
    let artifact = upload.run(coordinator, output).await?;
    output.show(|| json::artifact(&artifact), || render(name, &dataset, &artifact));
    Ok(())
}

fn file_name(path: &Path) -> Result<String> {
    let name = path.file_name().and_then(|name| name.to_str());
    name.map(str::to_owned).ok_or_else(|| CliError::refused(format!("the name of {} is not UTF-8", path.display())))
}

/// The sum of the weights of what is trained on, to the sixth decimal; `None` where all are 1.
fn weights_sum(dataset: &Dataset) -> Option<f64> {
    let weights = || dataset.train.iter().map(|row| row.weight);
    let is_weighted = weights().any(|weight| weight != Weight::ONE);
    is_weighted.then(|| (weights().map(Weight::get).sum::<f64>() * 1e6).round() / 1e6)
}

fn render(name: &str, dataset: &Dataset, artifact: &v1::Artifact) -> String {
    let examples = format!("{} to train on, {} held out", dataset.train.len(), dataset.valid.len());
    let rows = [
        ("digest", format!("sha256:{}", short_id(&artifact.digest))),
        ("examples", examples),
        ("weights", weights_sum(dataset).map_or_else(String::new, |sum| format!("{sum} drawn in a pass, on average"))),
        ("size", Bytes(artifact.bytes).to_string()),
    ];
    format!("imported dataset {}\n{}", bold(name), pairs(rows))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::output::plain;
    use vertigo_model::dataset::{Example, Place, Row};

    #[test]
    fn says_what_was_imported() {
        let place = Place { file: "a.jsonl".into(), line: 1 };
        let row = Row { place, example: Example::Text("x".to_owned()), weight: Weight::ONE };
        let dataset = Dataset { train: vec![row.clone(); 99], valid: vec![row; 6] };
        let artifact = v1::Artifact { digest: "sha256:0123456789abcdef".into(), bytes: 115_000, ..Default::default() };
        insta::assert_snapshot!(plain(&render("luau", &dataset, &artifact)), @r"
        imported dataset luau
          digest    sha256:0123456789ab
          examples  99 to train on, 6 held out
          size      112 KiB
        ");
        let heavy = Row { weight: Weight::new(2.1).unwrap(), ..dataset.train[0].clone() };
        let weighted = Dataset { train: vec![heavy; 3], ..dataset };
        assert_eq!(weights_sum(&weighted), Some(6.3));
        let told = plain(&render("luau", &weighted, &artifact));
        assert!(told.contains("weights   6.3 drawn in a pass, on average\n"), "{told}");
    }

    #[test]
    fn rows_with_weights_are_read_and_a_bad_one_is_named_with_its_file_and_line() {
        let dir = tempfile::tempdir().unwrap();
        let write = |weight: &str| {
            let text = format!("{{\"text\":\"x\"}}\n{{\"text\":\"y\",\"weight\":{weight}}}\n");
            std::fs::write(dir.path().join("a.jsonl"), text).unwrap();
        };
        write("0.5");
        assert_eq!(weights_sum(&read(dir.path()).unwrap()), Some(1.5));
        for (weight, problem) in
            [("0", "is 0; it must be more than 0"), ("101", "is 101"), ("\"2\"", "must be a number")]
        {
            write(weight);
            let error = read(dir.path()).unwrap_err();
            assert!(error.message.contains(&format!("a.jsonl:2: `weight` {problem}")), "{}", error.message);
            assert!(error.hint.unwrap().contains("nothing was uploaded"));
        }
    }

    #[test]
    fn a_broken_line_is_named_with_its_file() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("a.jsonl"), "{\"text\":\"x\"}\n{\"text\":\n").unwrap();
        let error = read(dir.path()).unwrap_err();
        assert!(error.message.contains("a.jsonl:2: not JSON"), "{}", error.message);
        assert!(error.hint.unwrap().contains("nothing was uploaded"));
    }

    #[test]
    fn only_a_folder_that_is_none_is_answered_with_where_the_folder_is() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("a.jsonl");
        std::os::unix::fs::symlink("/etc/passwd", &file).unwrap();
        let error = read(dir.path()).unwrap_err();
        assert!(error.message.contains("a link to /etc/passwd") && error.hint.is_none(), "{error:?}");
        std::fs::remove_file(&file).unwrap();
        std::fs::write(&file, "").unwrap();
        for none in [file, dir.path().join("none")] {
            assert!(read(&none).unwrap_err().hint.unwrap().contains("name the folder"), "{}", none.display());
        }
    }
}
