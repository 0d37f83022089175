//! How macOS and its people end runs, injected by the message or the signal: a script stands in for the child.

use crate::supervisor::{assignment, failure, id, training, worker_with, worker_with_script};
use crate::support::recipe;
use nix::sys::signal::{Signal, kill};
use std::path::PathBuf;
use std::sync::Arc;
use tempfile::TempDir;
use vertigo::id::AttemptId;
use vertigo::v1::{Assignment, Cure, Failure};
use vertigo_worker::supervisor::Supervisor;

/// What the Metal backend of MLX leaves on stderr when a command buffer comes to nothing, before the process aborts.
fn metal(words: &str) -> String {
    format!(
        "echo 'libc++abi: terminating due to uncaught exception of type std::runtime_error: [METAL] Command buffer execution failed: \
         {words}.' >&2\nkill -ABRT $$"
    )
}

async fn ends(worker: &Arc<Supervisor>, assignment: &Assignment) -> Failure {
    let again = Assignment { attempt_id: AttemptId::new().to_string(), ..assignment.clone() };
    worker.take(again.clone(), None);
    failure(worker, id(&again)).await.0
}

async fn ended_by(script: &str) -> Failure {
    let dir = tempfile::tempdir().unwrap();
    ends(&worker_with_script(&dir, script), &assignment(recipe(2))).await
}

#[tokio::test]
async fn a_gpu_that_hung_or_met_a_wrong_address_is_this_machine_s_fault() {
    for words in [
        "Caused GPU Hang Error (00000003:kIOGPUCommandBufferCallbackErrorHang)",
        "Caused GPU Address Fault Error (0000000b:kIOGPUCommandBufferCallbackErrorPageFault)",
    ] {
        let failure = ended_by(&metal(words)).await;
        assert_eq!((failure.cure(), failure.code.as_str()), (Cure::AnotherMachine, "gpu_broke"));
        assert!(failure.message.contains(words), "{}", failure.message);
    }
}

#[tokio::test]
async fn buffers_that_are_used_up_want_a_new_process_and_no_more_memory() {
    let script = "echo 'MLX: [metal::malloc] Resource limit (499000) exceeded.' >&2\nexit 1";
    let failure = ended_by(script).await;
    assert_eq!((failure.cure(), failure.code.as_str()), (Cure::FreshProcess, "crashed"));
}

#[tokio::test]
async fn each_time_that_the_screen_stood_still_the_next_attempt_hands_the_gpu_less_until_it_waits_for_the_person_to_go()
{
    let dir = tempfile::tempdir().unwrap();
    let words = "Impacting Interactivity (0000000e:kIOGPUCommandBufferCallbackErrorImpactingInteractivity)";
    let set = "echo \"set ${MLX_MAX_OPS_PER_BUFFER:-none} ${MLX_MAX_MB_PER_BUFFER:-none}\" >> SEEN\n";
    let seen = dir.path().join("seen");
    let script = format!("{}{}", set.replace("SEEN", &seen.display().to_string()), metal(words));
    let worker = worker_with_script(&dir, &script);
    let job = assignment(recipe(2));
    for _ in 0..3 {
        let failure = ends(&worker, &job).await;
        assert_eq!((failure.cure(), failure.code.as_str(), failure.pause_ms), (Cure::Later, "gpu_too_long", 0));
    }
    let failure = ends(&worker, &job).await;
    assert_eq!((failure.cure(), failure.pause_ms), (Cure::AnotherMachine, 30 * 60 * 1000));
    assert!(failure.message.contains("less at a time cannot be handed"), "{}", failure.message);
    // Another job begins with MLX's own.
    ends(&worker, &assignment(recipe(2))).await;
    let seen = std::fs::read_to_string(seen).unwrap();
    assert_eq!(seen.lines().collect::<Vec<_>>(), ["set none none", "set 10 20", "set 4 8", "set 1 1", "set none none"]);
}

#[tokio::test]
async fn a_process_that_a_person_ended_waits_and_has_not_crashed() {
    let dir = tempfile::tempdir().unwrap();
    let worker = real_worker(&dir);
    let assignment = assignment(recipe(1_000_000).replace("save_every: 2", "save_every: 1000000"));
    worker.take(assignment.clone(), None);
    let pid = training(&worker, id(&assignment), dir.path()).await;
    kill(pid, Signal::SIGKILL).unwrap();
    let (failure, peak) = failure(&worker, id(&assignment)).await;
    assert_eq!((failure.cure(), failure.code.as_str()), (Cure::Later, "killed"), "{}", failure.message);
    assert_eq!(failure.pause_ms, 30 * 60 * 1000);
    assert!(failure.message.contains("SIGKILL") && peak > 0, "{} {peak}", failure.message);
}

#[tokio::test]
async fn a_system_that_goes_down_ends_everything_and_that_is_nobody_s_wish() {
    let dir = tempfile::tempdir().unwrap();
    let worker = worker_with_script(&dir, "kill -TERM $$");
    worker.drains.cancel();
    let assignment = assignment(recipe(2));
    worker.take(assignment.clone(), None);
    let (failure, _) = failure(&worker, id(&assignment)).await;
    assert_eq!((failure.cure(), failure.code.as_str(), failure.pause_ms), (Cure::Later, "transient", 0));
}

fn real_worker(dir: &TempDir) -> Arc<Supervisor> {
    let nobody = "http://127.0.0.1:9".parse().unwrap();
    worker_with(dir, &nobody, PathBuf::from(env!("CARGO_BIN_EXE_vertigo-worker")))
}
