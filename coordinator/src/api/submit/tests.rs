//! The three steps, with a writer that stands still.

use super::*;
use crate::core::{Command, Settings};
use crate::kinds::Catalog;
use crate::store::Store;
use serde_json::{Value, json};
use std::sync::mpsc;
use vertigo::api_error::ErrorCode;
use vertigo::bytes::Bytes;
use vertigo::manifest::{FileEntry, Manifest};
use vertigo::principal::PrincipalName;
use vertigo::task::Slot;
use vertigo::v1::task;
use vertigo_testkit::base::text_config;
use vertigo_testkit::waiting::soon;

/// A base of so many layers, tagged `name`.
async fn register(store: &Store, name: &str, layers: u64) -> Digest {
    let mut config = text_config();
    config["num_hidden_layers"] = layers.into();
    artifact(store, Kind::Base, name, [("config", config)]).await
}

async fn artifact<const N: usize>(store: &Store, kind: Kind, name: &str, facts: [(&str, Value); N]) -> Digest {
    let file = FileEntry { path: "f".to_owned(), digest: Digest::of(name.as_bytes()), bytes: Bytes(1) };
    let facts = facts.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
    let manifest = Manifest::new(kind, vec![file], facts).unwrap();
    let digest = manifest.digest();
    store.apply(Command::Register { manifest, tags: vec![name.to_owned()], by: PrincipalName::local() }).await.unwrap();
    digest
}

fn open(folder: &std::path::Path) -> Store {
    Store::open(folder, Settings { lease_ms: 60_000 }, Box::new(Catalog), Box::new(|_, _| {})).unwrap().0
}

fn train(model: &str) -> v1::Task {
    let train = v1::Train { recipe: model.to_owned(), yaml: format!("model: {model}\n") };
    v1::Task { kind: Some(task::Kind::Train(train)) }
}

fn fuse(bits: u32, unmeasured: bool) -> v1::Task {
    v1::Task { kind: Some(task::Kind::Fuse(v1::Fuse { bits, unmeasured })) }
}

fn reads(role: &str, reference: &str) -> v1::Input {
    v1::Input { role: role.to_owned(), source: Some(input::Source::Artifact(reference.to_owned())) }
}

fn makes(role: &str, job: JobId) -> v1::Input {
    let output = v1::OutputOf { job: job.to_string(), role: String::new() };
    v1::Input { role: role.to_owned(), source: Some(input::Source::Output(output)) }
}

fn job(id: JobId, task: v1::Task, inputs: &[v1::Input]) -> v1::NewJob {
    let variant = v1::NewVariant { name: "v".to_owned(), task: Some(task), inputs: inputs.to_vec() };
    v1::NewJob { id: id.to_string(), variants: vec![variant], ..v1::NewJob::default() }
}

async fn found(store: &Store, jobs: Vec<v1::NewJob>) -> Result<Vec<FoundJob>, ApiError> {
    let asked = read(jobs)?;
    store.read(move |core| find(core, asked)).await.unwrap()
}

/// What the core would queue.
async fn submits(store: &Store, jobs: Vec<v1::NewJob>) -> Result<Vec<core::Submit>, ApiError> {
    let checked = check(found(store, jobs).await?).await?;
    Ok(store
        .read(|core| checked.into_iter().map(|job| job.submit(core, &PrincipalName::local(), "")).collect())
        .await
        .unwrap())
}

async fn refused(store: &Store, job: v1::NewJob, words: &[&str]) -> ErrorCode {
    let error = submits(store, vec![job]).await.unwrap_err();
    let told = format!("{error}; {}", error.hint.clone().unwrap_or_default());
    assert!(words.iter().all(|word| told.contains(word)), "{told}");
    error.code
}

#[tokio::test]
async fn shapes_and_estimates_need_no_writer() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    register(&store, "deep", 1024).await;
    artifact(&store, Kind::Dataset, "luau", []).await;
    let jobs = (0..2).map(|_| job(JobId::new(), train("deep"), &[reads("data", "luau")])).collect();
    let found = found(&store, jobs).await.unwrap();
    // The writer stands still until it is let go: whatever asks it for anything waits.
    let (let_go, held) = mpsc::channel::<()>();
    let (store_of_held, (entered, inside)) = (store.clone(), tokio::sync::oneshot::channel());
    let standing = tokio::spawn(async move {
        let stand = move |_: &Core| {
            let _ = entered.send(());
            let _ = held.recv();
        };
        store_of_held.read(stand).await
    });
    inside.await.unwrap();
    let checked = soon("checks that do not wait for the writer", check(found)).await.unwrap();
    let_go.send(()).unwrap();
    standing.await.unwrap().unwrap();
    let submits = store
        .read(|core| checked.into_iter().map(|job| job.submit(core, &PrincipalName::local(), "")).collect::<Vec<_>>());
    let submits = submits.await.unwrap();
    assert_eq!(submits.len(), 2);
    for variant in submits.iter().flat_map(|submit| &submit.variants) {
        let need = variant.need.as_ref().unwrap();
        assert!(need.peak() > Bytes::ZERO && need.factor == 1.0 && need.slot == Slot::Gpu, "{variant:?}");
        let roles: Vec<_> = variant.inputs.iter().map(|input| input.role.as_str()).collect();
        assert_eq!(roles, ["data", "base"], "the recipe's base is read too");
    }
}

#[tokio::test]
async fn a_base_that_was_registered_with_sizes_out_of_bounds_is_an_error_that_names_the_key() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    register(&store, "endless", 1_000_000_000_000).await;
    artifact(&store, Kind::Dataset, "luau", []).await;
    let words = ["`endless`", "`num_hidden_layers` is 1000000000000", "1 to 1024"];
    let code = refused(&store, job(JobId::new(), train("endless"), &[reads("data", "luau")]), &words).await;
    assert_eq!(code, ErrorCode::Invalid);
}

#[tokio::test]
async fn a_base_that_is_not_imported_is_planned_for_by_name_and_not_run() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    artifact(&store, Kind::Dataset, "luau", []).await;
    let name = "Qwen3.5-4B-4bit";
    let variant = v1::NewVariant { name: "v".to_owned(), task: Some(train(name)), inputs: Vec::new() };
    let asked = read_variants(vec![variant]).unwrap();
    let planned = store.read(move |core| find_variant(core, &asked[0], &[], Purpose::Plan)).await.unwrap().unwrap();
    let (variant, planned) = appraised(planned).unwrap();
    assert!(variant.inputs.is_empty() && planned.unwrap().guessed.is_none());
    let code =
        refused(&store, job(JobId::new(), train(name), &[reads("data", "luau")]), &["vertigo base import"]).await;
    assert_eq!(code, ErrorCode::NotFound);
}

#[tokio::test]
async fn an_adapter_knows_its_base_and_its_data() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let base = register(&store, "mini", 4).await;
    let data = artifact(&store, Kind::Dataset, "luau", []).await;
    artifact(&store, Kind::Adapter, "tutor", [("base", json!(base)), ("data", json!(data))]).await;
    let one = |task| job(JobId::new(), task, &[reads("adapter", "tutor")]);
    let [measured, unmeasured, auto] = [one(fuse(8, false)), one(fuse(0, true)), one(fuse(1, false))];
    let submits = submits(&store, vec![measured, unmeasured, auto]).await.unwrap();
    let reads = |n: usize| -> Vec<(&str, Digest)> {
        let inputs = &submits[n].variants[0].inputs;
        inputs.iter().map(|input| (input.role.as_str(), input.artifact.unwrap().digest)).collect()
    };
    assert_eq!(reads(0)[1..], [("base", base), ("data", data)]);
    assert_eq!(reads(1)[1..], [("base", base)]);
    let need = |n: usize| submits[n].variants[0].need.clone().unwrap();
    assert_eq!((need(0).slot, need(1).slot), (Slot::Gpu, Slot::Cpu));
    assert_eq!((need(0).method.as_str(), need(1).method.as_str()), ("fuse to 8 bits, measured", "fuse"));
    assert_eq!(need(2).method, "fuse, measured", "of a base that is not packed auto makes what its own bits make");
    assert!(need(0).peak() > need(1).peak() && need(1).disk > Bytes::ZERO);

    artifact(&store, Kind::Adapter, "orphan", [("base", json!(Digest::of(b"gone"))), ("data", json!(data))]).await;
    let gone = Digest::of(b"gone").short();
    refused(&store, job(JobId::new(), fuse(0, true), &[self::reads("adapter", "orphan")]), &[&gone, "--base"]).await;
    artifact(&store, Kind::Adapter, "silent", [("base", json!(base))]).await;
    let silent = [self::reads("adapter", "silent")];
    refused(&store, job(JobId::new(), fuse(0, false), &silent), &["does not say its data", "--measure none"]).await;
    refused(&store, one(fuse(3, false)), &["bits", "3"]).await;
}

#[tokio::test]
async fn inputs_are_checked_by_role_and_kind_before_anything_is_queued() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let base = register(&store, "mini", 4).await;
    let data = artifact(&store, Kind::Dataset, "luau", []).await;
    artifact(&store, Kind::Adapter, "tutor", [("base", json!(base)), ("data", json!(data))]).await;
    let one = |task, inputs: &[v1::Input]| job(JobId::new(), task, inputs);
    for (job, words) in [
        (one(train("mini"), &[]), ["no data", "--data"]),
        (one(train("mini"), &[reads("data", "tutor")]), ["`tutor` is no dataset", "kind adapter"]),
        (one(train("mini"), &[reads("dta", "luau")]), ["reads no `dta`", "data, base"]),
        (one(train("mini"), &[reads("data", "luau"), reads("data", "luau")]), ["`data`", "twice"]),
        (one(train("mini"), &[reads("data", "lua")]), ["not imported", "did you mean `luau`"]),
        (one(train("tutor"), &[reads("data", "luau")]), ["`tutor` is no base", "kind adapter"]),
        (one(fuse(0, true), &[reads("adapter", "luau")]), ["`luau` is no adapter", "kind dataset"]),
        (one(fuse(0, true), &[reads("adapter", "tuter")]), ["no adapter `tuter`", "did you mean `tutor`"]),
        (one(fuse(0, true), &[makes("adapter", JobId::new())]), ["no job", "vertigo jobs"]),
        (one(v1::Task::default(), &[]), ["no kind", "this coordinator"]),
    ] {
        refused(&store, job, &words).await;
    }
}

#[tokio::test]
async fn a_job_may_read_what_one_before_it_makes_and_only_what_that_makes() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    register(&store, "mini", 4).await;
    artifact(&store, Kind::Dataset, "luau", []).await;
    let (first, second) = (JobId::new(), JobId::new());
    let trains = job(first, train("mini"), &[reads("data", "luau")]);
    let fuses = job(second, fuse(4, false), &[makes("adapter", first)]);
    let queued = submits(&store, vec![trains.clone(), fuses.clone()]).await.unwrap();
    let [input] = &queued[1].variants[0].inputs[..] else { panic!("{queued:?}") };
    assert_eq!(input.source, Source::Output { job: first, role: "adapter".to_owned() });
    assert!(queued[1].variants[0].need.is_none(), "the adapter's size is not known");
    let error = submits(&store, vec![fuses, trains.clone()]).await.unwrap_err();
    assert!(error.message.contains("no job"), "a source stands before its reader: {}", error.message);
    // An adapter is no dataset, whoever makes it.
    let wrong = job(second, train("mini"), &[makes("data", first)]);
    let error = submits(&store, vec![trains.clone(), wrong]).await.unwrap_err();
    assert!(error.message.contains("no dataset but an artifact of kind adapter"), "{}", error.message);
    // A run on what a job makes is checked as far as it can be.
    let third = job(second, train("mini"), &[reads("data", "luau"), makes("base", first)]);
    let error = submits(&store, vec![trains, third]).await.unwrap_err();
    assert!(error.message.contains("no base or model but an artifact of kind adapter"), "{}", error.message);
}

fn serve(names: &[&str]) -> v1::Task {
    let model = |name: &&str| v1::ServedModel { name: (*name).to_owned(), ..v1::ServedModel::default() };
    let serve = v1::Serve { models: names.iter().map(model).collect(), ..v1::Serve::default() };
    v1::Task { kind: Some(task::Kind::Serve(serve)) }
}

#[tokio::test]
async fn a_service_has_its_bases_once_and_adapters_know_theirs() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let (base, deep) = (register(&store, "mini", 4).await, register(&store, "deep", 8).await);
    artifact(&store, Kind::Adapter, "tutor", [("base", json!(base)), ("rank", json!("low"))]).await;
    let one = |names: &[&str], inputs: &[v1::Input]| job(JobId::new(), serve(names), inputs);
    let asked = vec![
        one(&["a"], &[reads("model.1", "mini")]),
        one(&["a", "b"], &[reads("model.1", "mini"), reads("model.2", "tutor")]),
        one(&["a"], &[reads("model.1", "tutor"), reads("base.1", "deep")]),
    ];
    let submits = submits(&store, asked).await.unwrap();
    let need = |n: usize| submits[n].variants[0].need.clone().unwrap();
    assert!((0..3).all(|n| need(n).slot == Slot::Service && need(n).disk == Bytes::ZERO));
    assert_eq!(need(1).peak(), need(0).peak() + Bytes(1), "the base once, and the adapter's byte");
    assert!(need(2).peak() > need(1).peak());
    let bases = |n: usize| -> Vec<(&str, Digest)> {
        let inputs = submits[n].variants[0].inputs.iter().filter(|input| input.role.starts_with("base"));
        inputs.map(|input| (input.role.as_str(), input.artifact.unwrap().digest)).collect()
    };
    assert_eq!((bases(0), bases(1), bases(2)), (vec![], vec![("base.2", base)], vec![("base.1", deep)]));
    assert_eq!(submits[1].variants[0].model, "a, b");
}

#[tokio::test]
async fn a_service_that_cannot_be_is_refused_before_it_is_queued() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let base = register(&store, "mini", 4).await;
    artifact(&store, Kind::Dataset, "luau", []).await;
    artifact(&store, Kind::Adapter, "whole", [("base", json!(base)), ("rank", json!("full"))]).await;
    artifact(&store, Kind::Adapter, "silent", []).await;
    let one = |names: &[&str], inputs: &[v1::Input]| job(JobId::new(), serve(names), inputs);
    let (model, service) = (reads("model.1", "mini"), JobId::new());
    for (job, words) in [
        (one(&[], &[]), ["without a model", "at least one"]),
        (one(&["a"], &[]), ["no model", ""]),
        (one(&["a", "a"], &[model.clone(), reads("model.2", "mini")]), ["two are called", "`a`"]),
        (one(&["a", "b"], std::slice::from_ref(&model)), ["no `model.2`", ""]),
        (one(&["a"], &[model.clone(), reads("model.2", "mini")]), ["`model.2`", "1 models"]),
        (one(&["a"], &[reads("model", "mini")]), ["reads no `model`", "model, base"]),
        (one(&["a"], &[reads("model.1", "luau")]), ["`luau` is no model", "dataset"]),
        (one(&["a"], &[model.clone(), reads("base.1", "mini")]), ["`model.1` is a base", "no adapter"]),
        (one(&["a"], &[reads("model.1", "whole")]), ["whole matrices", "vertigo fuse"]),
        (one(&["a"], &[reads("model.1", "silent")]), ["does not say its base", "BASE@ADAPTER"]),
        (one(&["a"], &[reads("model.1", "mni")]), ["no model `mni`", "did you mean `mini`"]),
        (one(&["a\u{7}"], std::slice::from_ref(&model)), ["model.1", "control characters"]),
    ] {
        refused(&store, job, &words).await;
    }
    let mut open_port = serve(&["a"]);
    let Some(task::Kind::Serve(it)) = &mut open_port.kind else { unreachable!("it is a service") };
    it.listen = "0.0.0.0:80".to_owned();
    refused(&store, job(service, open_port, std::slice::from_ref(&model)), &["0.0.0.0:80", "loopback"]).await;
    let reader = job(JobId::new(), train("mini"), &[reads("data", "luau"), makes("base", service)]);
    let error = submits(&store, vec![job(service, serve(&["a"]), &[model]), reader]).await.unwrap_err();
    assert!(error.message.contains("a serve job makes nothing"), "{}", error.message);
}
