//! What lies on the disks when all is over, beside what may.

use crate::load::Load;
use crate::made::manifest;
use crate::stage::{Stage, WORKERS};
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use vertigo::endpoint::Endpoint;
use vertigo::id::Digest;
use vertigo::v1::ListArtifactsRequest;
use vertigo::v1::artifacts_client::ArtifactsClient;
use vertigo_tests::channel;

/// Outputs that a worker keeps of jobs that others have finished: it lets them go by age and number, `KEPT_MAX` in `worker/src/output.rs`.
const KEPT_MAX: usize = 8;

/// Files of a coordinator's state. `sweep` is where its collector was.
const OF_COORDINATOR: [&str; 7] =
    ["lock", "vertigo.db", "vertigo.db-wal", "vertigo.db-shm", "uploads", "blobs", "sweep"];

/// What was found.
#[derive(Debug, Default)]
pub(crate) struct Leftovers {
    /// What must not be there, or must be and is not.
    pub(crate) problems: Vec<String>,
    /// What the product keeps for a while on purpose, counted.
    pub(crate) notes: Vec<String>,
}

/// The names in a folder; none where there is no folder.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

/// The files below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.flat_map(|entry| if entry.path().is_dir() { files(&entry.path()) } else { vec![entry.path()] }).collect()
}

/// What a worker holds that it has let go, or should have: run folders, spools, children. Empty once it has settled.
pub(crate) fn held_by_workers(stage: &Stage) -> Vec<String> {
    let mut held = Vec::new();
    for (n, (name, _)) in WORKERS.iter().enumerate() {
        let attempts = stage.worker_state(n).join("attempts");
        for attempt in names(&attempts).into_iter().filter(|attempt| attempt != "kept") {
            let left: Vec<_> = names(&attempts.join(&attempt)).into_iter().filter(|file| file != "log").collect();
            if !left.is_empty() {
                held.push(format!("{name}: attempt {attempt} still has {left:?}"));
            }
        }
        held.extend(stage.children(n).into_iter().map(|(attempt, pid)| format!("{name}: {attempt} runs as {pid}")));
    }
    held
}

/// Looks at all disks.
pub(crate) async fn look(load: &Load, stage: &Stage) -> Leftovers {
    let mut found = Leftovers { problems: held_by_workers(stage), ..Leftovers::default() };
    for (n, (name, _)) in WORKERS.iter().enumerate() {
        let state = stage.worker_state(n);
        let kept = names(&state.join("attempts/kept")).len();
        if kept > KEPT_MAX {
            found.problems.push(format!("{name}: {kept} outputs are kept"));
        }
        let (partial, entries): (Vec<_>, Vec<_>) =
            names(&state.join("cache")).into_iter().partition(|entry| entry.ends_with(".partial"));
        let odd = entries.iter().filter(|entry| {
            let digest = entry.trim_start_matches('.').trim_end_matches(".manifest");
            digest.parse::<Digest>().is_err() && format!("sha256:{digest}").parse::<Digest>().is_err()
        });
        found.problems.extend(odd.map(|entry| format!("{name}: cache/{entry} is nothing that a cache has")));
        if kept + partial.len() > 0 {
            found.notes.push(format!("{name} keeps {kept} outputs and {} partial downloads", partial.len()));
        }
    }
    let state = stage.coordinator_state();
    let odd = names(&state).into_iter().filter(|name| !OF_COORDINATOR.contains(&name.as_str()));
    found.problems.extend(odd.map(|name| format!("coordinator: {name} is nothing that its folder has")));
    store(load, stage, &mut found).await;
    found
}

/// Compares what the store has with what artifacts name, after a collection where the coordinator collects.
async fn store(load: &Load, stage: &Stage, found: &mut Leftovers) {
    if stage.collects {
        let ran = load.cli(&load.direct, &["gc"]).await;
        if ran.code != 0 {
            found.problems.push(format!("`vertigo gc` ended with {}: {}", ran.code, ran.stderr));
        }
    }
    let named = match named(&load.direct).await {
        Ok(named) => named,
        Err(problem) => return found.problems.push(problem),
    };
    let root = stage.blobs();
    let (mut stored, mut odd) = (BTreeSet::new(), Vec::new());
    for path in files(&root) {
        let place = path.strip_prefix(&root).unwrap_or(&path).to_string_lossy().into_owned();
        let name =
            place.strip_prefix("blobs/sha256/").and_then(|name| format!("sha256:{}", name.get(3..)?).parse().ok());
        let Some(digest) = name else {
            odd.push(place);
            continue;
        };
        match File::open(&path).and_then(Digest::of_reader) {
            Ok((is, _)) if is == digest => drop(stored.insert(digest)),
            Ok((is, _)) => found.problems.push(format!("store: {place} has the bytes of {is}")),
            Err(error) => found.problems.push(format!("store: {place}: {error}")),
        }
    }
    let missing = named.difference(&stored);
    found.problems.extend(missing.map(|digest| format!("store: {digest} is named and not there")));
    let unnamed = stored.difference(&named).count();
    let staged = names(&stage.coordinator_state().join("uploads")).len();
    let told =
        format!("store: {} blobs named, {unnamed} unnamed, {staged} partial uploads, odd files {odd:?}", named.len());
    if stage.collects && unnamed + staged + odd.len() > 0 {
        found.problems.push(format!("{told}, after a collection"));
    } else {
        found.notes.push(told);
    }
}

/// The digests of all files of all artifacts.
async fn named(endpoint: &Endpoint) -> Result<BTreeSet<Digest>, String> {
    let (mut client, mut named, mut token) = (ArtifactsClient::new(channel(endpoint)), BTreeSet::new(), String::new());
    loop {
        let request = ListArtifactsRequest { page_size: 500, page_token: token, ..ListArtifactsRequest::default() };
        let page = client.list(request).await.map_err(|status| status.to_string())?.into_inner();
        for artifact in page.artifacts {
            let manifest = manifest(endpoint, &artifact.digest).await?;
            named.extend(manifest.files().iter().map(|file| file.digest));
        }
        token = page.next_page_token;
        if token.is_empty() {
            return Ok(named);
        }
    }
}
