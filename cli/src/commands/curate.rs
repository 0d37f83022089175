//! `vertigo curate`: a dataset to train on of raw ones, as a job, or here and for a look.

use crate::cli::CurateArgs;
use crate::coordinator::Coordinator;
use crate::curations::{self, ConfigOnDisk};
use crate::datasets::{self, Found};
use crate::error::{CliError, Exit, Result};
use crate::follow;
use crate::render::output::Output;
use crate::render::{curation, jobs};
use crate::submit;
use crate::suites;
use crate::tokenizers;
use serde_json::json;
use std::collections::BTreeSet;
use std::io::BufRead;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use vertigo::bounds::NUMBERED_MAX;
use vertigo::task::{numbered, role};
use vertigo::v1;
use vertigo_curation::config::EXAMPLE;
use vertigo_curation::curate::{Curated, Inputs, Progress, curate};
use vertigo_model::dataset::PROVENANCE;
use vertigo_text::ChatTokenizer;

/// Between two notes of how far it is.
const PACE: Duration = Duration::from_secs(2);

pub(crate) async fn run(args: &CurateArgs, coordinator: &Coordinator, output: Output) -> Result<()> {
    let Some(path) = args.config.as_ref().filter(|_| !args.example) else {
        output.line(EXAMPLE);
        return Ok(());
    };
    let config = curations::read_config(path)?;
    config.check_base(args.base.is_some())?;
    check_names(args)?;
    if args.dry_run {
        let curated = here(args, &config, coordinator, output).await?;
        output.show(|| json!(curated.report()), || curation::render(&config.name, curated.report()));
        return Ok(());
    }
    let job = submit::job(args.name.as_deref(), args.priority, vec![submit::curate(&config, inputs(args))]);
    let queued = submit::submit(coordinator, vec![job]).await?;
    if args.follow {
        return follow::follow_queued(&queued, coordinator, output).await;
    }
    jobs::show_queued(&queued, output);
    Ok(())
}

/// That nothing is named twice.
fn check_names(args: &CurateArgs) -> Result<()> {
    for (what, names) in [("data", &args.data), ("suite", &args.suite)] {
        if let Some((_, twice)) = names.iter().enumerate().find(|(n, name)| names[..*n].contains(name)) {
            return Err(CliError::new(Exit::Usage, format!("--{what} {twice} is given twice")));
        }
        if names.len() > NUMBERED_MAX {
            let message = format!("--{what} is given {} times, and at most {NUMBERED_MAX} are read", names.len());
            return Err(CliError::new(Exit::Usage, message).hint("put what belongs together into one folder"));
        }
    }
    match args.data.iter().find(|name| !args.dry_run && Path::new(name).is_dir() && name.contains(['/', '.'])) {
        None => Ok(()),
        Some(folder) => {
            Err(CliError::new(Exit::Usage, format!("--data {folder} is a folder, and a job reads datasets"))
                .hint("import it with `vertigo data import NAME DIR --raw`, or add --dry-run"))
        }
    }
}

fn inputs(args: &CurateArgs) -> Vec<v1::Input> {
    let numbered = |role: &'static str, names: &[String]| -> Vec<v1::Input> {
        names.iter().enumerate().map(|(n, name)| submit::artifact(&numbered(role, n + 1), name)).collect()
    };
    let base = args.base.iter().map(|base| submit::artifact(role::BASE, base));
    [numbered(role::DATA, &args.data), numbered(role::SUITE, &args.suite)].into_iter().flatten().chain(base).collect()
}

/// All of it on this machine.
async fn here(args: &CurateArgs, config: &ConfigOnDisk, coordinator: &Coordinator, output: Output) -> Result<Curated> {
    let scratch = tempfile::tempdir().map_err(|e| CliError::refused(format!("no temporary folder: {e}")))?;
    let mut folders = Vec::new();
    for name in &args.data {
        let is_read = |path: &str| path.ends_with(".jsonl") && path != PROVENANCE;
        let found = datasets::found(name, "--data", is_read, scratch.path(), coordinator, output).await?;
        folders.push((name.as_str(), found));
    }
    let mut suites = Vec::new();
    for name in &args.suite {
        suites.push(suites::named(name, scratch.path(), coordinator, output).await?);
    }
    let base = match &args.base {
        Some(base) if Path::new(base).is_dir() => Some(PathBuf::from(base)),
        Some(base) => Some(tokenizers::fetch(base, scratch.path(), coordinator, output).await?),
        None => None,
    };
    let tokenizer = base.map(|base| ChatTokenizer::load(&base).map_err(CliError::refused)).transpose()?;
    let inputs = Inputs { files: files(&folders)?, suites, tokenizer: tokenizer.as_ref() };
    let mut told: Option<Instant> = None;
    let mut say = |Progress { stage, rows }: Progress| {
        if told.is_none_or(|told| told.elapsed() >= PACE) {
            told = Some(Instant::now());
            output.note(&format!("{}: {rows} rows", stage.as_str()));
        }
    };
    tokio::task::block_in_place(|| curate(&config.config, inputs, &mut say)).map_err(CliError::refused)
}

/// The files of all folders. One whose name another has too is called by its folder's.
fn files(folders: &[(&str, Found)]) -> Result<Vec<(String, Box<dyn BufRead>)>> {
    let (mut files, mut seen, mut twice) = (Vec::new(), BTreeSet::new(), BTreeSet::new());
    for (folder, found) in folders {
        for (name, file) in curations::files(&found.folder)? {
            if !seen.insert(name.clone()) {
                twice.insert(name.clone());
            }
            files.push((*folder, name, file));
        }
    }
    let named = |(folder, name, file)| (if twice.contains(&name) { format!("{folder}/{name}") } else { name }, file);
    Ok(files.into_iter().map(named).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Cli, Command};
    use clap::Parser;

    fn args(line: &str) -> std::result::Result<CurateArgs, clap::Error> {
        match Cli::try_parse_from(format!("vertigo curate {line}").split(' '))?.command {
            Command::Curate(args) => Ok(args),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_job_reads_all_that_is_named_by_number() {
        let args = args("c.yaml --data a --data b --suite s --data c --base mini --name x").unwrap();
        let inputs = inputs(&args);
        let roles: Vec<&str> = inputs.iter().map(|input| input.role.as_str()).collect();
        assert_eq!(roles, ["data.1", "data.2", "data.3", "suite.1", "base"]);
        assert_eq!(check_names(&args), Ok(()));
    }

    #[test]
    fn what_is_missing_or_too_much_is_a_wrong_command_line() {
        assert!(args("--example").is_ok() && args("c.yaml --data a --dry-run").is_ok());
        for wrong in [
            "c.yaml",
            "c.yaml --data a",
            "--data a --name x",
            "c.yaml --data a --dry-run --name x",
            "c.yaml --data a --dry-run --follow",
            "c.yaml --example",
        ] {
            assert!(args(wrong).is_err(), "{wrong}");
        }
        let twice = check_names(&args("c.yaml --data a --data a --name x").unwrap()).unwrap_err();
        assert!(twice.message.contains("--data a is given twice"), "{}", twice.message);
        let many = (0..9).map(|n| format!("--data d{n}")).collect::<Vec<_>>().join(" ");
        let many = check_names(&args(&format!("c.yaml {many} --name x")).unwrap()).unwrap_err();
        assert!(many.message.contains("given 9 times"), "{}", many.message);
        let folder = check_names(&args("c.yaml --data ./src --name x").unwrap()).unwrap_err();
        assert!(folder.hint.unwrap().contains("--raw"));
        assert_eq!(check_names(&args("c.yaml --data ./src --dry-run").unwrap()), Ok(()));
    }

    #[test]
    fn files_of_one_name_are_told_apart_by_their_folders() {
        let dir = tempfile::tempdir().unwrap();
        let folder = |name: &str, file: &str| {
            let folder = dir.path().join(name);
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(folder.join(file), "{}\n").unwrap();
            folder
        };
        folder("a", "own.jsonl");
        let folders = [
            ("a", Found { folder: folder("a", "same.jsonl"), kept: None }),
            ("b", Found { folder: folder("b", "same.jsonl"), kept: None }),
        ];
        let names: BTreeSet<String> = files(&folders).unwrap().into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, BTreeSet::from(["a/same.jsonl", "b/same.jsonl", "own.jsonl"].map(str::to_owned)));
    }
}
