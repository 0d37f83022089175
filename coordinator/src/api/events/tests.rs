//! What a worker said is what people read of it.

use super::*;
use crate::api::reports::{self, Holding};
use crate::blobs::{Blobs, Extent, Start};
use bytes::Bytes as Chunk;
use object_store::memory::InMemory;
use proptest::prelude::*;
use prost::Message;
use std::convert::Infallible;
use std::sync::Arc;
use tempfile::TempDir;
use vertigo::bytes::Bytes;
use vertigo::id::{Epoch, JobId, Millis};
use vertigo::manifest::{FileEntry, Kind, Manifest};

fn caveats() -> impl Strategy<Value = v1::Caveats> {
    any::<[u64; 13]>().prop_map(|[cut_examples, cut_tokens, cut_ends, unanswered_examples, rest @ ..]| {
        let [empty_answers, unshared_prompts, leftover_micro_batches, overlong_examples, split_examples, rest @ ..] =
            rest;
        let [split_pieces, overlong_turns, unlocated_turns, empty_thoughts] = rest;
        v1::Caveats {
            cut_examples,
            cut_tokens,
            cut_ends,
            unanswered_examples,
            empty_answers,
            unshared_prompts,
            leftover_micro_batches,
            overlong_examples,
            split_examples,
            split_pieces,
            overlong_turns,
            unlocated_turns,
            empty_thoughts,
        }
    })
}

fn failed() -> impl Strategy<Value = v1::Finished> {
    (any::<u64>(), 1..6i32, any::<String>(), any::<String>(), any::<u64>()).prop_map(
        |(peak_bytes, cure, message, code, pause_ms)| {
            let failure = v1::Failure { cure, message, code, pause_ms };
            v1::Finished { peak_bytes, outcome: Some(finished::Outcome::Failure(failure)) }
        },
    )
}

/// Anything that has no manifest. Floats are numbers: what is none equals nothing.
fn body() -> impl Strategy<Value = Option<report::Body>> {
    let float = || prop::num::f64::NORMAL | prop::num::f64::ZERO | prop::num::f64::INFINITE;
    prop_oneof![
        (any::<[u64; 6]>(), prop::option::of(caveats())).prop_map(|(counts, caveats)| {
            let [trainable_parameters, train_examples, valid_examples, skipped_examples, resumed_at, iters] = counts;
            Some(report::Body::Started(v1::Started {
                trainable_parameters,
                train_examples,
                valid_examples,
                skipped_examples,
                resumed_at,
                iters,
                caveats,
            }))
        }),
        (any::<[u64; 4]>(), [float(), float(), float(), float()]).prop_map(|(counts, floats)| {
            let [iter, iters, trained_tokens, peak_bytes] = counts;
            let [loss, learning_rate, tokens_per_second, grad_norm] = floats;
            Some(report::Body::Step(v1::Step {
                iter,
                iters,
                loss,
                learning_rate,
                tokens_per_second,
                trained_tokens,
                peak_bytes,
                grad_norm,
            }))
        }),
        (any::<u64>(), float(), any::<u64>())
            .prop_map(|(iter, loss, tokens)| Some(report::Body::Validation(v1::Validation { iter, loss, tokens }))),
        (any::<[u64; 3]>(), any::<String>()).prop_map(|([done, total, peak_bytes], unit)| {
            Some(report::Body::Progress(v1::Progress { done, total, unit, peak_bytes }))
        }),
        (any::<String>(), float()).prop_map(|(name, value)| Some(report::Body::Measured(v1::Measured { name, value }))),
        any::<String>().prop_map(|text| Some(report::Body::Log(v1::LogLine { text }))),
        any::<String>().prop_map(|text| Some(report::Body::Warning(v1::Warning { text }))),
        failed().prop_map(|finished| Some(report::Body::Finished(finished))),
        Just(None),
    ]
}

/// A store without blobs, and the folder of its uploads.
fn blobs() -> (Blobs, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    (Blobs::new(Arc::new(InMemory::new()), Default::default(), folder.path()).unwrap(), folder)
}

/// What people read of a report.
async fn shown(message: v1::Report, blobs: &Blobs) -> v1::Report {
    let report = reports::read(message, &mut Holding::new(blobs)).await.unwrap().journalled();
    let (at, epoch, body) = (Millis(9), Epoch(1), EventBody::Report(report));
    match event(Event { seq: 1, at, job: Some(JobId::new()), epoch, body }).event {
        Some(job_event::Event::Report(report)) => report,
        other => panic!("{other:?}"),
    }
}

proptest! {
    #[test]
    fn nothing_of_a_report_is_lost_between_a_worker_and_whoever_watches(number: u64, at_ms: u64, body in body()) {
        let (blobs, _folder) = blobs();
        let message = v1::Report { number, at_ms, body };
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        prop_assert_eq!(runtime.block_on(shown(message.clone(), &blobs)), message);
    }
}

fn of_manifest(manifest_json: String) -> [v1::Report; 2] {
    let made = vec![v1::Made { role: "adapter".to_owned(), manifest_json: manifest_json.clone() }];
    let outputs = v1::Outputs { made, remark: "nobody measured it".to_owned() };
    let finished = v1::Finished { peak_bytes: 7, outcome: Some(finished::Outcome::Outputs(outputs)) };
    [report::Body::Checkpoint(v1::Checkpoint { iter: 5, manifest_json }), report::Body::Finished(finished)]
        .map(|body| v1::Report { number: 1, at_ms: 2, body: Some(body) })
}

#[tokio::test]
async fn what_has_a_manifest_is_shown_without_it() {
    let (blobs, _folder) = blobs();
    let digest = Digest::of(b"f");
    let file = FileEntry { path: "f".to_owned(), digest, bytes: Bytes(1) };
    let manifest = Manifest::new(Kind::Checkpoint, vec![file], Default::default()).unwrap().to_json();
    let body = futures::stream::iter([Ok::<_, Infallible>(Chunk::from_static(b"f"))]);
    blobs.upload(digest, Extent { start: Start::Anew, end: Some(1), total: Some(1) }, body).await.unwrap();
    for (whole, bare) in of_manifest(manifest).into_iter().zip(of_manifest(String::new())) {
        assert_eq!(shown(whole, &blobs).await, bare);
    }
}

#[tokio::test]
async fn a_checkpoint_that_is_passed_over_is_a_warning_and_outputs_that_are_not_there_a_failure() {
    let (blobs, _folder) = blobs();
    let [checkpoint, finished] = of_manifest("no manifest".to_owned());
    let Some(report::Body::Warning(warning)) = shown(checkpoint, &blobs).await.body else { panic!("no warning") };
    assert!(warning.text.contains("checkpoint at 5"), "{}", warning.text);
    let Some(report::Body::Finished(finished)) = shown(finished, &blobs).await.body else { panic!("no end") };
    assert!(matches!(finished.outcome, Some(finished::Outcome::Failure(_))), "{finished:?}");
}

#[tokio::test]
async fn what_is_told_of_a_wrong_manifest_is_short_however_long_what_is_wrong() {
    let (blobs, _folder) = blobs();
    let (path, digest) = ("x".repeat(100 << 10), Digest::of(b"f"));
    let file = format!(r#"{{"path":"{path}","digest":"{digest}","bytes":1}}"#);
    for message in of_manifest(format!(r#"{{"kind":"checkpoint","files":[{file}],"facts":{{}}}}"#)) {
        let shown = shown(message, &blobs).await;
        let length = shown.encoded_len();
        assert!((1..4 << 10).contains(&length) && format!("{shown:?}").contains("too long"), "{length}");
    }
}
