//! The three steps, with a writer that stands still.

use super::*;
use crate::core::{Command, Settings};
use crate::store::Store;
use serde_json::json;
use std::sync::mpsc;
use std::time::Duration;
use tokio::time::timeout;
use vertigo::manifest::{FileEntry, Manifest};

/// No condition takes longer, or the test fails.
const DEADLINE: Duration = Duration::from_secs(60);

fn config(layers: u64) -> Value {
    json!({
        "model_type": "qwen3_5_text", "hidden_size": 64, "intermediate_size": 160, "num_hidden_layers": layers,
        "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 32, "vocab_size": 768,
        "linear_num_key_heads": 2, "linear_num_value_heads": 4, "linear_key_head_dim": 32, "linear_value_head_dim": 32,
    })
}

/// A base of so many layers, tagged `NAME`.
async fn register(store: &Store, name: &str, layers: u64) {
    let file = FileEntry { path: "f".to_owned(), digest: Digest::of(name.as_bytes()), bytes: Bytes(1) };
    let manifest = Manifest::new(Kind::Base, vec![file], [("config".to_owned(), config(layers))].into()).unwrap();
    store.apply(Command::Register { manifest, tags: vec![name.to_owned()] }).await.unwrap();
}

fn recipes(models: &[&str]) -> Vec<(Recipe, String)> {
    let file = |model: &&str| RecipeFile { name: (*model).to_owned(), yaml: format!("model: {model}\n") };
    read(&models.iter().map(file).collect::<Vec<_>>()).unwrap()
}

async fn found(store: &Store, models: &[&str]) -> Vec<Found> {
    let recipes = recipes(models);
    store.read(move |core| find(core, recipes)).await.unwrap().unwrap()
}

fn open(folder: &std::path::Path) -> Store {
    Store::open(folder, Settings { lease_ms: 60_000 }, Box::new(|_, _| {})).unwrap().0
}

#[tokio::test]
async fn shapes_and_estimates_need_no_writer() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    register(&store, "deep", 1024).await;
    let found = found(&store, &["deep", "deep"]).await;
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
    let checked =
        timeout(DEADLINE, check(found, Bases::Imported)).await.expect("it does not wait for the writer").unwrap();
    let_go.send(()).unwrap();
    standing.await.unwrap().unwrap();
    let plans = store.read(|core| checked.into_iter().map(|checked| checked.plan(core.factors())).collect::<Vec<_>>());
    let plans = plans.await.unwrap();
    assert_eq!(plans.len(), 2);
    assert!(plans.iter().all(|plan| plan.need() > Bytes::ZERO && plan.factor == 1.0), "{plans:?}");
}

#[tokio::test]
async fn a_base_that_was_registered_with_sizes_out_of_bounds_is_an_error_that_names_the_key() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    register(&store, "endless", 1_000_000_000_000).await;
    let refused = check(found(&store, &["endless"]).await, Bases::Imported).await.err().unwrap();
    assert_eq!(refused.code(), tonic::Code::InvalidArgument);
    let words = ["`endless`", "`num_hidden_layers` is 1000000000000", "1 to 1024"];
    assert!(words.iter().all(|word| refused.message().contains(word)), "{}", refused.message());
}

#[tokio::test]
async fn a_base_that_is_not_imported_is_planned_for_by_name_and_not_run() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let name = "Qwen3.5-4B-4bit";
    let planned = check(found(&store, &[name]).await, Bases::OrNamed).await.unwrap();
    assert!(planned[0].input.is_none() && planned[0].unconfirmed().is_none());
    let refused = check(found(&store, &[name]).await, Bases::Imported).await.err().unwrap();
    assert_eq!(refused.code(), tonic::Code::NotFound);
    assert!(refused.message().contains("vertigo base import"), "{}", refused.message());
}
