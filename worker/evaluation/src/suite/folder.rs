//! A suite's folder, and the suite that comes with Vertigo.

use super::fields::{Place, SuiteError};
use super::{About, Suite, Task, reading};
use include_dir::{Dir, include_dir};
use serde_json::Value;
use std::collections::BTreeMap;

/// What holds for all tasks.
pub(super) const ABOUT: &str = "suite.yaml";

/// The tasks, one a line; or below [`TASKS_FOLDER`], one a file.
pub(super) const TASKS: &str = "tasks.jsonl";
const TASKS_FOLDER: &str = "tasks/";

/// The most tasks of a suite.
pub const TASKS_MAX: usize = 10_000;

/// The most files of a suite.
pub const FILES_MAX: usize = 2 * TASKS_MAX;

/// The largest file of a suite that describes one task, in bytes; `tasks.jsonl` may have as much for each of its lines.
pub const FILE_BYTES_MAX: usize = 2 << 20;

/// The suite that comes with Vertigo.
static OURS: Dir<'static> = include_dir!("$CARGO_MANIFEST_DIR/suites/luau");

/// The files of the suite that comes with Vertigo, by path.
pub fn ours() -> BTreeMap<String, String> {
    fn add(folder: &Dir<'static>, files: &mut BTreeMap<String, String>) {
        for file in folder.files() {
            if let (Some(path), Some(text)) = (file.path().to_str(), file.contents_utf8()) {
                files.insert(path.replace('\\', "/"), text.to_owned());
            }
        }
        folder.dirs().for_each(|inner| add(inner, files));
    }
    let mut files = BTreeMap::new();
    add(&OURS, &mut files);
    files
}

pub(super) fn parse(files: &BTreeMap<String, String>) -> Result<Suite, SuiteError> {
    if files.len() > FILES_MAX {
        return Err(
            Place::at(ABOUT).error(format!("the folder has {} files, and at most {FILES_MAX} are read", files.len()))
        );
    }
    let written =
        files.get(ABOUT).ok_or_else(|| Place::at(ABOUT).error("is not there; write at least `name: …` in it"))?;
    let about = reading::about(ABOUT, yaml(ABOUT, written)?)?;
    let mut tasks = Vec::new();
    for (path, text) in files.iter().filter(|(path, _)| is_task(path)) {
        tasks.push((path.clone(), reading::task(path, yaml(path, text)?, files)?));
    }
    for (n, line) in files.get(TASKS).iter().flat_map(|text| text.lines().enumerate()) {
        if line.trim().is_empty() {
            continue;
        }
        let file = format!("{TASKS}:{}", n + 1);
        bounded(&file, line)?;
        let value = serde_json::from_str(line).map_err(|error| Place::at(&file).error(format!("no JSON: {error}")))?;
        tasks.push((file.clone(), reading::task(&file, value, files)?));
    }
    whole(about, tasks)
}

/// What no task can say alone: names that are there once, categories that are known.
pub(super) fn whole(about: About, mut tasks: Vec<(String, Task)>) -> Result<Suite, SuiteError> {
    tasks.sort_by(|(_, a), (_, b)| a.id.cmp(&b.id));
    if tasks.is_empty() {
        return Err(Place::at(ABOUT).error("the suite has no task; write one below tasks/, or tasks.jsonl"));
    }
    if tasks.len() > TASKS_MAX {
        return Err(
            Place::at(ABOUT).error(format!("the suite has {} tasks, and at most {TASKS_MAX} are read", tasks.len()))
        );
    }
    if let Some(twice) = tasks.windows(2).find(|pair| pair[0].1.id == pair[1].1.id) {
        let said = format!("the id `{}` is that of {} as well; give it another", twice[1].1.id, twice[0].0);
        return Err(Place::at(&twice[1].0).error(said));
    }
    let known = || about.categories.keys().map(String::as_str);
    let strange = |task: &Task| !about.categories.is_empty() && !about.categories.contains_key(&task.category);
    if let Some((file, task)) = tasks.iter().find(|(_, task)| strange(task)) {
        let hint = match vertigo::spelling::nearest(&task.category, known()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("{ABOUT} has {}", known().collect::<Vec<_>>().join(", ")),
        };
        return Err(Place::at(file).key("category").error(format!("is `{}`; {hint}", task.category)));
    }
    Ok(Suite { about, tasks: tasks.into_iter().map(|(_, task)| task).collect() })
}

fn is_task(path: &str) -> bool {
    path.starts_with(TASKS_FOLDER) && (path.ends_with(".yaml") || path.ends_with(".yml"))
}

fn bounded(file: &str, text: &str) -> Result<(), SuiteError> {
    if text.len() <= FILE_BYTES_MAX {
        return Ok(());
    }
    Err(Place::at(file).error(format!("has {} bytes, and at most {FILE_BYTES_MAX} are read", text.len())))
}

fn yaml(file: &str, text: &str) -> Result<Value, SuiteError> {
    bounded(file, text)?;
    // Without a picture of the place: its line is in the message.
    serde_saphyr::from_str(text)
        .map_err(|error| Place::at(file).error(format!("no YAML: {}", first_line(&error.to_string()))))
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}
