//! `vertigo data import`: a folder of .jsonl, checked line by line, or as it is where it is to be curated.

use crate::cli::ImportArgs;
use crate::coordinator::Coordinator;
use crate::datasets::{read, told};
use crate::error::{CliError, Result};
use crate::render::json;
use crate::render::output::{Output, bold, pairs, short_id};
use crate::upload::Upload;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;
use vertigo::bytes::Bytes;
use vertigo::folder::Folder;
use vertigo::manifest::Kind;
use vertigo::v1;
use vertigo_model::dataset::{Dataset, PROVENANCE, Weight, jsonl_files};

/// Files of a curated dataset that are no rows, and go with them.
const BESIDE: [&str; 3] = [PROVENANCE, "report.json", "report.html"];

/// Bytes of a file that are counted at a time.
const CHUNK_BYTES: usize = 1 << 20;

pub(super) async fn run(args: &ImportArgs, coordinator: &Coordinator, output: Output) -> Result<()> {
    let ImportArgs { name, dir, raw } = args;
    // The whole of it is read before a byte goes up: a dataset in the store is one that can be trained on, or that says that it is raw.
    let (facts, said) = if *raw { of_raw(dir)? } else { of_examples(&read(dir)?) };
    let mut files =
        jsonl_files(dir).map_err(|e| told(&e))?.iter().map(|file| file_name(file)).collect::<Result<Vec<_>>>()?;
    if !raw && dir.join(PROVENANCE).is_file() {
        files.extend(BESIDE.into_iter().filter(|file| dir.join(file).is_file()).map(str::to_owned));
    }
    let upload = Upload { kind: Kind::Dataset, folder: dir, files, facts, tag: name };
    let artifact = upload.run(coordinator, output).await?;
    output.show(|| json::artifact(&artifact), || render(name, &said, *raw, &artifact));
    Ok(())
}

/// Facts of a manifest, and what a person is told of them.
type Known = (BTreeMap<String, Value>, String);

fn of_examples(dataset: &Dataset) -> Known {
    let examples = dataset.train.len() + dataset.valid.len();
    let mut said = format!("{} to train on, {} held out", dataset.train.len(), dataset.valid.len());
    let mut facts = BTreeMap::from([("examples".to_owned(), json!(examples))]);
    if let Some(sum) = weights_sum(dataset) {
        facts.insert("weights_sum".to_owned(), json!(sum));
        said += &format!("; {sum} drawn in a pass, on average");
    }
    (facts, said)
}

/// The sum of the weights of what is trained on, to the sixth decimal; `None` where all are 1.
fn weights_sum(dataset: &Dataset) -> Option<f64> {
    let weights = || dataset.train.iter().map(|row| row.weight);
    let is_weighted = weights().any(|weight| weight != Weight::ONE);
    is_weighted.then(|| (weights().map(Weight::get).sum::<f64>() * 1e6).round() / 1e6)
}

/// What is known of a folder whose lines nobody has looked at.
fn of_raw(dir: &Path) -> Result<Known> {
    let paths = jsonl_files(dir).map_err(|e| told(&e))?;
    let folder = Folder::at(dir).map_err(CliError::refused)?;
    let mut lines = 0;
    for path in &paths {
        let name = file_name(path)?;
        let told = |error: &dyn std::fmt::Display| CliError::refused(format!("{name}: {error}"));
        let file = folder.open(&name).map_err(|error| told(&error))?;
        lines += count_lines(file).map_err(|error| told(&error))?;
    }
    let facts = [("lines".to_owned(), json!(lines)), ("raw".to_owned(), json!(true))].into();
    Ok((facts, format!("{lines} in {} files, none of them looked at", paths.len())))
}

/// Lines that are not blank, of any length.
fn count_lines(mut file: impl Read) -> std::io::Result<u64> {
    let (mut chunk, mut lines, mut is_blank) = (vec![0; CHUNK_BYTES], 0, true);
    loop {
        let read = file.read(&mut chunk)?;
        if read == 0 {
            return Ok(lines + u64::from(!is_blank));
        }
        for byte in &chunk[..read] {
            match byte {
                b'\n' => {
                    lines += u64::from(!is_blank);
                    is_blank = true;
                }
                byte => is_blank &= byte.is_ascii_whitespace(),
            }
        }
    }
}

fn file_name(path: &Path) -> Result<String> {
    let name = path.file_name().and_then(|name| name.to_str());
    name.map(str::to_owned).ok_or_else(|| CliError::refused(format!("the name of {} is not UTF-8", path.display())))
}

fn render(name: &str, said: &str, is_raw: bool, artifact: &v1::Artifact) -> String {
    let next = if is_raw { format!("vertigo curate CONFIG.yaml --data {name} --name NAME") } else { String::new() };
    let rows = [
        ("digest", format!("sha256:{}", short_id(&artifact.digest))),
        (if is_raw { "lines" } else { "examples" }, said.to_owned()),
        ("size", Bytes(artifact.bytes).to_string()),
        ("next", next),
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
        let (facts, said) = of_examples(&dataset);
        assert_eq!(facts["examples"], 105);
        insta::assert_snapshot!(plain(&render("luau", &said, false, &artifact)), @r"
        imported dataset luau
          digest    sha256:0123456789ab
          examples  99 to train on, 6 held out
          size      112 KiB
        ");
        let heavy = Row { weight: Weight::new(2.1).unwrap(), ..dataset.train[0].clone() };
        let (facts, said) = of_examples(&Dataset { train: vec![heavy; 3], ..dataset });
        assert_eq!(
            (facts["weights_sum"].as_f64(), said.ends_with("; 6.3 drawn in a pass, on average")),
            (Some(6.3), true)
        );
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
    fn a_broken_line_is_named_with_its_file_and_taken_where_it_is_to_be_curated() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("a.jsonl"), "{\"text\":\"x\"}\n \t\n{\"text\":\n\u{fffd}").unwrap();
        std::fs::write(dir.path().join(PROVENANCE), "{}\n").unwrap();
        let error = read(dir.path()).unwrap_err();
        assert!(error.message.contains("a.jsonl:3: not JSON"), "{}", error.message);
        assert!(error.hint.unwrap().contains("nothing was uploaded"));
        let (facts, said) = of_raw(dir.path()).unwrap();
        assert_eq!((&facts["lines"], &facts["raw"]), (&json!(3), &json!(true)));
        assert!(said.starts_with("3 in 1 files"), "{said}");
    }

    #[test]
    fn only_a_folder_that_is_none_is_answered_with_where_the_folder_is() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("a.jsonl");
        std::os::unix::fs::symlink("/etc/passwd", &file).unwrap();
        let error = read(dir.path()).unwrap_err();
        assert!(error.message.contains("a link to /etc/passwd") && error.hint.is_none(), "{error:?}");
        assert!(of_raw(dir.path()).unwrap_err().message.contains("passwd"));
        std::fs::remove_file(&file).unwrap();
        std::fs::write(&file, "").unwrap();
        for none in [file, dir.path().join("none")] {
            assert!(read(&none).unwrap_err().hint.unwrap().contains("name the folder"), "{}", none.display());
            assert!(of_raw(&none).unwrap_err().hint.unwrap().contains("name the folder"), "{}", none.display());
        }
    }

    #[test]
    fn lines_are_counted_across_chunks() {
        let long = "x".repeat(CHUNK_BYTES + 7);
        for (text, lines) in [("", 0), ("\n\n \r\n", 0), ("a", 1), ("a\nb\n", 2), (&*format!("{long}\n{long}"), 2)] {
            assert_eq!(count_lines(text.as_bytes()).unwrap(), lines);
        }
    }
}
