//! Tasks of other kinds than training, led to their ends with real children.

use crate::coordinator::Coordinator;
use crate::supervisor::{assignment, failure, finished, id, is_gone, reports, training, worker_of};
use crate::support::{INPUTS, given, recipe};
use std::fs;
use std::sync::Arc;
use tempfile::TempDir;
use vertigo::id::Digest;
use vertigo::manifest::{Kind, Manifest};
use vertigo::v1::report::Body;
use vertigo::v1::{self, Assignment, Cure, Finished, finished};
use vertigo_worker::held::Stop;
use vertigo_worker::supervisor::Supervisor;

fn fuse(bits: u32, unmeasured: bool) -> v1::Task {
    v1::Task { kind: Some(v1::task::Kind::Fuse(v1::Fuse { bits, unmeasured })) }
}

/// The manifest of the first output.
fn made(finished: &Finished) -> Manifest {
    match &finished.outcome {
        Some(finished::Outcome::Outputs(outputs)) if !outputs.made.is_empty() => {
            Manifest::parse(&outputs.made[0].manifest_json).unwrap()
        }
        other => panic!("it ended with {other:?}"),
    }
}

/// A job that fuses an adapter which the worker has trained, laid into its cache.
async fn fusing(dir: &TempDir, worker: &Arc<Supervisor>, bits: u32, unmeasured: bool) -> Assignment {
    let training = assignment(recipe(20));
    worker.take(training.clone(), None);
    let manifest = made(&finished(worker, id(&training)).await);
    let cache = dir.path().join("cache");
    let output = dir.path().join("attempts").join(&training.attempt_id).join("output/adapter");
    let digest = manifest.digest();
    fs::rename(output, cache.join(digest.hex())).unwrap();
    fs::write(cache.join(format!(".{}.manifest", digest.hex())), manifest.to_json()).unwrap();
    let inputs = given(&[("adapter", digest), ("base", INPUTS.0), ("data", INPUTS.1)]);
    let slot = if unmeasured { v1::Slot::Cpu } else { v1::Slot::Gpu };
    Assignment { task: Some(fuse(bits, unmeasured)), inputs, slot: slot.into(), ..assignment(String::new()) }
}

#[tokio::test]
async fn a_fuse_attempt_makes_a_model_and_measures_what_it_kept() {
    let dir = tempfile::tempdir().unwrap();
    let coordinator = Coordinator::new().await;
    let worker = worker_of(&dir, &coordinator.endpoint);
    let fusing = fusing(&dir, &worker, 0, false).await;
    worker.take(fusing.clone(), None);
    let fused = finished(&worker, id(&fusing)).await;
    let model = made(&fused);
    assert_eq!(model.kind(), Kind::Model);
    for file in ["config.json", "model.safetensors", "model.safetensors.index.json", "tokenizer.json"] {
        assert!(model.file(file).is_some(), "{file}");
    }
    let fact = |key: &str| model.fact(key).unwrap_or_else(|| panic!("no fact {key}")).clone();
    assert_eq!(fact("adapter"), fusing.inputs[0].digest);
    assert_eq!((fact("base"), fact("data")), (INPUTS.0.to_string().into(), INPUTS.1.to_string().into()));
    assert_eq!(
        (fact("recipe"), fact("recipe_digest")),
        ("tiny".into(), Digest::of(recipe(20).as_bytes()).to_string().into())
    );
    assert_eq!((fact("bits"), fact("measured")), ("same".into(), true.into()));
    assert_eq!(fact("config")["model_type"], "qwen3_5_text");
    let number = |key: &str| fact(key).as_f64().unwrap();
    assert!(number("loss_adapter") < number("loss_base"), "it has learned");
    assert!((number("loss_fused") - number("loss_adapter")).abs() < 1e-4, "and nothing of it is lost in f32");
    let Some(finished::Outcome::Outputs(outputs)) = &fused.outcome else { panic!("{fused:?}") };
    assert_eq!((outputs.remark.as_str(), outputs.made[0].role.as_str()), ("", "model"));
    let measured: Vec<(String, f64)> = reports(&worker, id(&fusing))
        .into_iter()
        .filter_map(|report| if let Body::Measured(it) = report.body? { Some((it.name, it.value)) } else { None })
        .collect();
    assert_eq!(measured.len(), 5);
    assert!(measured.iter().all(|(name, value)| number(name) == *value), "{measured:?}");
}

#[tokio::test]
async fn what_nobody_measures_is_said_and_runs_beside_a_training_run() {
    let dir = tempfile::tempdir().unwrap();
    let coordinator = Coordinator::new().await;
    let worker = worker_of(&dir, &coordinator.endpoint);
    let fusing = fusing(&dir, &worker, 4, true).await;
    let running = assignment(recipe(1_000_000));
    worker.take(running.clone(), None);
    let pid = training(&worker, id(&running), dir.path()).await;
    worker.take(fusing.clone(), None);
    let model = made(&finished(&worker, id(&fusing)).await);
    assert_eq!((model.fact("measured").unwrap(), model.fact("loss_fused")), (&false.into(), None));
    assert!(!is_gone(pid), "the GPU's attempt goes on");
    worker.attempts.stop(id(&running), Stop::LeaseOver("the test is over".to_owned()));
}

#[tokio::test]
async fn a_task_of_a_later_version_is_handed_back_for_another_machine() {
    let dir = tempfile::tempdir().unwrap();
    let worker = worker_of(&dir, &"http://127.0.0.1:9".parse().unwrap());
    let later = Assignment { task: Some(v1::Task { kind: None }), ..assignment(String::new()) };
    worker.take(later.clone(), None);
    let (failed, _) = failure(&worker, id(&later)).await;
    assert_eq!((failed.cure(), failed.code.as_str()), (Cure::AnotherMachine, "this_machine"));
}
