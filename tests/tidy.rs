//! The house's own rules, where a machine can hold them: who may import whom, how long a file may be and how wide a comment, which names
//! there are not.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use toml::Table;
use vertigo_tests::repository;

/// Lines of a file. A longer one is a sign that a room is missing.
const LINES_MAX: usize = 500;

/// Columns of a comment, which rustfmt does not break; code it keeps to 120.
const COMMENT_COLUMNS_MAX: usize = 140;

/// Names that say nothing about what is in a file.
const EMPTY_NAMES: [&str; 6] = ["utils", "util", "helpers", "helper", "manager", "misc"];

/// Which rooms of the coordinator a room may import. `core` decides and knows nobody.
const COORDINATOR: [(&str, &[&str]); 8] = [
    ("access", &[]),
    ("core", &[]),
    ("kinds", &["core"]),
    ("store", &["core", "private"]),
    ("blobs", &["private"]),
    ("keep", &["core", "store", "blobs", "private"]),
    ("api", &["access", "core", "kinds", "store", "blobs", "keep"]),
    // Sessions and blobs speak protocols of their own, past the API's use cases.
    ("serve", &["access", "api", "core", "kinds", "blobs"]),
];

/// What rooms of the coordinator do not name: what decides and what is kept knows no protocol, and what can be asked knows no connection.
const ABSENT: [(&str, &[&str]); 4] = [
    ("access", &["v1", "tonic", "prost", "tonic_prost", "axum"]),
    ("core", &["v1", "tonic", "prost", "tonic_prost"]),
    ("store", &["v1", "tonic", "prost", "tonic_prost"]),
    ("api", &["tonic", "axum", "hyper_util", "http"]),
];

/// What of the worker beside `task` and `serve` names the engine: its device, the faults of MLX that it knows. Nothing that trains.
const ENGINE_OUTSIDE_TASKS: [(&str, &str); 3] =
    [("main.rs", "device"), ("machine.rs", "device"), ("outcome.rs", "Fault")];

/// The crates, by the folder of their sources.
const SOURCES: [&str; 21] = [
    "proto/",
    "proto/access/src/",
    "proto/model/src/",
    "proto/client/src/",
    "proto/daemon/src/",
    "proto/port/src/",
    "proto/telemetry/src/",
    "proto/text/src/",
    "proto/view/src/",
    "coordinator/src/",
    "worker/src/",
    "worker/curation/src/",
    "worker/engine/src/",
    "worker/evaluation/src/",
    "worker/host/src/",
    "worker/luau/src/",
    "worker/roblox/src/",
    "worker/serving/src/",
    "cli/src/",
    "tests/src/",
    "tests/faults/",
];

/// The Rust files that git knows or would take, below `folder`.
fn files(folder: &str) -> Vec<PathBuf> {
    let mut command = Command::new("git");
    command.args(["ls-files", "--cached", "--others", "--exclude-standard", "--"]).arg(format!("{folder}*.rs"));
    let output = command.current_dir(repository()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let listed = String::from_utf8(output.stdout).unwrap();
    let paths = listed.lines().map(|path| repository().join(path));
    // One that was removed and not committed is still listed.
    paths.filter(|path| path.exists()).collect()
}

fn is_test(path: &Path) -> bool {
    path.ends_with("tests.rs") || path.components().any(|part| part.as_os_str() == "tests")
}

/// The lines of a file that are not its unit tests.
fn code(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap();
    text.split("\n#[cfg(test)]\nmod tests").next().unwrap_or_default().to_owned()
}

#[test]
fn no_file_and_no_comment_is_long_and_no_file_has_an_empty_name() {
    let all = files("");
    assert!(all.len() > 150, "{} files", all.len());
    for path in all {
        let text = fs::read_to_string(&path).unwrap();
        let lines = text.lines().count();
        assert!(
            lines <= LINES_MAX,
            "{} has {lines} lines, and at most {LINES_MAX} are meant: which room is missing?",
            path.display()
        );
        for (n, line) in text.lines().enumerate().filter(|(_, line)| line.trim_start().starts_with("//")) {
            let columns = line.chars().count();
            assert!(columns <= COMMENT_COLUMNS_MAX, "{}:{}: a comment of {columns} columns", path.display(), n + 1);
        }
        let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        assert!(!EMPTY_NAMES.contains(&stem.as_str()), "{} says nothing about what is in it", path.display());
    }
}

#[test]
fn rooms_of_the_coordinator_import_only_whom_they_may() {
    for (room, allowed) in COORDINATOR {
        let mut looked_at = 0;
        for path in files(&format!("coordinator/src/{room}/")).into_iter().filter(|path| !is_test(path)) {
            looked_at += 1;
            for line in code(&path).lines() {
                let Some((_, imported)) = line.split_once("crate::") else { continue };
                let imported = imported.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or_default();
                let is_allowed = imported == room || allowed.contains(&imported);
                assert!(is_allowed, "{}: `{room}` may not import `{imported}`: {line}", path.display());
            }
        }
        assert!(looked_at > 0, "there is no room `{room}`");
    }
}

/// What a file of the CLI may not import, by its folder: a command is read by itself, and what is shown does not ask for it.
#[test]
fn a_command_imports_no_other_and_rendering_asks_nobody() {
    for (room, absent) in [
        ("commands", &["commands"][..]),
        (
            "render",
            &[
                "commands",
                "comparison",
                "coordinator",
                "curations",
                "datasets",
                "download",
                "events",
                "follow",
                "promotion",
                "recipes",
                "reports",
                "submit",
                "suites",
                "tokenizers",
                "upload",
            ][..],
        ),
    ] {
        let all = files(&format!("cli/src/{room}/"));
        assert!(all.len() > 5, "{room} has {} files", all.len());
        for path in all {
            let own = path.components().map(|part| part.as_os_str().to_string_lossy().into_owned());
            let own: Vec<String> = own.skip_while(|part| part != room).skip(1).collect();
            let own = own[0].trim_end_matches(".rs");
            for line in code(&path).lines() {
                let Some((_, imported)) = line.split_once("crate::") else { continue };
                let mut names =
                    imported.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|name| !name.is_empty());
                let is_absent = names.next().is_some_and(|name| absent.contains(&name));
                // A command of several files may name its own.
                let is_its_own = room == "commands" && names.next() == Some(own);
                assert!(!is_absent || is_its_own, "{}: {line}", path.display());
            }
        }
    }
}

#[test]
fn what_decides_knows_no_protocol_and_what_can_be_asked_no_connection() {
    for (room, absent) in ABSENT {
        // Their tests too: a rule that is tested by the protocol's messages holds only for those.
        let mut looked_at = 0;
        for path in files(&format!("coordinator/src/{room}/")) {
            looked_at += 1;
            let is_comment = |line: &&str| line.trim_start().starts_with("//");
            for line in fs::read_to_string(&path).unwrap().lines().filter(|line| !is_comment(line)) {
                let mut words = line.split(|c: char| !c.is_alphanumeric() && c != '_');
                let named = words.find(|word| absent.contains(word));
                assert!(named.is_none(), "{}: `{room}` may not name it: {line}", path.display());
            }
        }
        assert!(looked_at > 5, "there is no room `{room}`");
    }
}

#[test]
fn nothing_of_the_worker_but_what_it_trains_and_serves_knows_what_an_engine_does() {
    for path in files("worker/src/").into_iter().filter(|path| !is_test(path)) {
        if path.components().any(|part| part.as_os_str() == "task" || part.as_os_str() == "serve") {
            continue;
        }
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        for line in code(&path).lines().filter(|line| line.starts_with("use vertigo_engine::")) {
            let named = line.trim_start_matches("use vertigo_engine::").trim_end_matches(';');
            let named = named.trim_start_matches('{').trim_end_matches('}');
            assert!(ENGINE_OUTSIDE_TASKS.contains(&(&*name, named)), "{}: {line}", path.display());
        }
    }
}

/// The top-level module that a file of a crate's sources belongs to; the crate's root belongs to none.
fn module_of(path: &Path, sources: &str) -> Option<String> {
    let inside = path.strip_prefix(repository().join(sources)).ok()?;
    let first = inside.components().next()?.as_os_str().to_string_lossy().into_owned();
    let name = first.trim_end_matches(".rs").to_owned();
    (!["lib", "main"].contains(&name.as_str())).then_some(name)
}

/// What code names right after `crate::`: one name, or each of those in braces.
fn named_in_crate(code: &str) -> Vec<String> {
    let word =
        |text: &str| text.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    let mut names = Vec::new();
    for after in code.split("crate::").skip(1) {
        let Some(group) = after.strip_prefix('{') else {
            names.push(word(after));
            continue;
        };
        let (mut depth, mut item) = (0, String::new());
        for c in group.chars() {
            match c {
                '}' if depth == 0 => break,
                ',' if depth == 0 => names.push(word(&std::mem::take(&mut item))),
                _ => {
                    depth += i32::from(c == '{') - i32::from(c == '}');
                    item.push(c);
                }
            }
        }
        names.push(word(&item));
    }
    names
}

/// Who imports whom among the top-level modules of a crate, its tests left out.
fn imports(sources: &str) -> BTreeMap<String, BTreeSet<String>> {
    let nested = SOURCES.iter().filter(|other| **other != sources && other.starts_with(sources));
    let nested: Vec<PathBuf> = nested.map(|other| repository().join(other)).collect();
    let mut imports: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for path in files(sources) {
        if is_test(path.strip_prefix(repository().join(sources)).unwrap())
            || nested.iter().any(|it| path.starts_with(it))
        {
            continue;
        }
        let Some(module) = module_of(&path, sources) else { continue };
        let code: Vec<String> =
            code(&path).lines().filter(|line| !line.trim_start().starts_with("//")).map(str::to_owned).collect();
        imports.entry(module).or_default().extend(named_in_crate(&code.join("\n")));
    }
    imports
}

/// The modules that come back to themselves.
fn in_a_circle(imports: &BTreeMap<String, BTreeSet<String>>) -> BTreeSet<String> {
    let returns = |module: &String| {
        let (mut seen, mut next) = (BTreeSet::new(), vec![module]);
        while let Some(at) = next.pop() {
            let others = imports.get(at).into_iter().flatten().filter(|other| *other != at);
            next.extend(others.filter(|other| seen.insert(*other)));
        }
        seen.contains(module)
    };
    imports.keys().filter(|module| returns(module)).cloned().collect()
}

#[test]
fn no_modules_of_a_crate_import_one_another_in_a_circle() {
    for sources in SOURCES {
        let imports = imports(sources);
        assert!(!files(sources).is_empty(), "there are no sources in {sources}");
        let found = in_a_circle(&imports);
        let others = |module: &String| -> Vec<&String> {
            imports[module].intersection(&found).filter(|other| *other != module).collect()
        };
        let circles: Vec<_> = found.iter().map(|module| (module, others(module))).collect();
        assert!(circles.is_empty(), "{sources}: {circles:?}: move what they share to where it belongs");
    }
}

#[test]
fn a_circle_is_found_through_groups_and_other_modules_and_a_chain_is_none() {
    assert_eq!(named_in_crate("use crate::{a::{B, c}, d};\nlet x = crate::e::f();"), ["a", "d", "e"]);
    let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
    let edges = |list: &[(&str, &[&str])]| list.iter().map(|(from, to)| ((*from).to_owned(), set(to))).collect();
    assert_eq!(in_a_circle(&edges(&[("a", &["b", "a"]), ("b", &["c"]), ("c", &["d"])])), set(&[]));
    assert_eq!(
        in_a_circle(&edges(&[("a", &["b"]), ("b", &["c"]), ("c", &["a"]), ("d", &["a"])])),
        set(&["a", "b", "c"])
    );
}

#[test]
fn crates_depend_only_on_whom_they_may() {
    for (folder, allowed) in [
        ("proto/model", &["vertigo"][..]),
        ("proto/telemetry", &["vertigo"]),
        ("proto/text", &["vertigo", "vertigo-model"]),
        ("proto/view", &["vertigo"]),
        ("proto/access", &["vertigo"]),
        ("proto/client", &["vertigo", "vertigo-access", "vertigo-telemetry"]),
        ("proto/port", &[]),
        ("proto/daemon", &[]),
        (
            "coordinator",
            &[
                "vertigo",
                "vertigo-access",
                "vertigo-daemon",
                "vertigo-host",
                "vertigo-model",
                "vertigo-port",
                "vertigo-telemetry",
                "vertigo-view",
            ],
        ),
        (
            "cli",
            &[
                "vertigo",
                "vertigo-access",
                "vertigo-client",
                "vertigo-curation",
                "vertigo-daemon",
                "vertigo-evaluation",
                "vertigo-luau",
                "vertigo-model",
                "vertigo-telemetry",
                "vertigo-text",
                "vertigo-view",
            ],
        ),
        (
            "worker",
            &[
                "vertigo",
                "vertigo-access",
                "vertigo-client",
                "vertigo-curation",
                "vertigo-daemon",
                "vertigo-engine",
                "vertigo-evaluation",
                "vertigo-host",
                "vertigo-luau",
                "vertigo-model",
                "vertigo-port",
                "vertigo-roblox",
                "vertigo-serving",
                "vertigo-telemetry",
                "vertigo-text",
            ],
        ),
        ("worker/serving", &["vertigo", "vertigo-engine", "vertigo-model", "vertigo-port"]),
        ("worker/curation", &["vertigo", "vertigo-evaluation", "vertigo-luau", "vertigo-model", "vertigo-text"]),
        ("worker/engine", &["vertigo", "vertigo-model", "vertigo-text"]),
        ("worker/evaluation", &["vertigo"]),
        ("worker/host", &["vertigo-daemon"]),
        ("worker/luau", &["vertigo-evaluation"]),
        ("worker/roblox", &["vertigo", "vertigo-evaluation"]),
        // Every crate's tests may build it, so it has neither an engine nor a database.
        ("tests/kit", &["vertigo", "vertigo-access", "vertigo-model"]),
    ] {
        let path = repository().join(folder).join("Cargo.toml");
        let manifest: Table = fs::read_to_string(&path).unwrap().parse().unwrap();
        let ours = manifest["dependencies"].as_table().unwrap().iter().filter(|(name, _)| name.starts_with("vertigo"));
        for (name, how) in ours {
            assert!(allowed.contains(&name.as_str()), "{folder} may not depend on {name}");
            let features = how.get("features").and_then(toml::Value::as_array).map_or(0, Vec::len);
            let is_plain = ["worker/engine", "proto/model", "proto/text"].contains(&folder);
            assert!(!is_plain || features == 0, "{folder} takes the contract's plain types only, without the protocol");
        }
    }
}
