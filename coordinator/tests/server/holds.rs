//! People hold workers, let them work again and have them forgotten.

use super::harness::{Coordinator, Heart, Worker, hello, holding, soon, success};
use serde_json::{Value, json};
use tonic::{Code, Status};
use vertigo::api_error::ApiError;
use vertigo::manifest::Kind;
use vertigo::v1::{self, JobState, WorkerAct, job_event};

async fn drain(coordinator: &Coordinator, worker: &str, reason: &str) -> Result<v1::Worker, Status> {
    let request = v1::DrainWorkerRequest { worker: worker.to_owned(), reason: reason.to_owned() };
    Ok(coordinator.fleet().drain_worker(request).await?.into_inner())
}

async fn resume(coordinator: &Coordinator, worker: &str) -> Result<v1::Worker, Status> {
    let request = v1::ResumeWorkerRequest { worker: worker.to_owned() };
    Ok(coordinator.fleet().resume_worker(request).await?.into_inner())
}

async fn remove(coordinator: &Coordinator, worker: &str) -> Result<v1::Worker, Status> {
    let request = v1::RemoveWorkerRequest { worker: worker.to_owned() };
    Ok(coordinator.fleet().remove_worker(request).await?.into_inner())
}

#[tokio::test]
async fn a_hold_outlives_restarts_of_both_sides_and_the_running_attempt_ends() {
    let mut coordinator = Coordinator::start().await;
    coordinator.import().await;
    let mut worker = coordinator.worker("studio").await;
    let running = coordinator.submit("first").await;
    let given = worker.assignment().await;
    let held = drain(&coordinator, "studio", " a new disk ").await.unwrap();
    let hold = held.hold.unwrap();
    assert_eq!((hold.by.as_str(), hold.reason.as_str(), held.draining), ("local", "a new disk", false));
    assert_eq!(held.job_ids, std::slice::from_ref(&running.id));
    let waiting = coordinator.submit("second").await;

    coordinator.restart().await;
    let mut worker = Worker::connect(&coordinator, worker.id, "studio", &holding(&given)).await.unwrap();
    let heart = Heart::of(&worker);
    heart.holds(&given);
    let output = coordinator.upload(Kind::Adapter, "weights of it", json!({})).await;
    worker.report(&given, 1, success(&output)).await;
    assert_eq!(worker.ack().await, 1);
    coordinator.until(&running.id, JobState::Succeeded).await;
    // The daemon starts anew: another process of the same installation.
    let id = worker.id;
    drop((worker, heart));
    let process = vertigo::id::ProcessId::new().to_string();
    let again = v1::Hello { process, ..hello(id, "studio", &[]) };
    // The coordinator may not have heard yet that the process before it has gone.
    let gets_in = async {
        loop {
            match Worker::with_hello(&coordinator, again.clone()).await {
                Ok(worker) => return worker,
                Err(_) => tokio::task::yield_now().await,
            }
        }
    };
    let mut worker = soon("the new process's turn", gets_in).await;
    assert_eq!(coordinator.job(&waiting.id).await.state(), JobState::Queued);
    assert_eq!(coordinator.workers().await[0].hold.as_ref(), Some(&hold));

    let resumed = resume(&coordinator, &id.to_string()).await.unwrap();
    assert_eq!(resumed.hold, None);
    assert_eq!(worker.assignment().await.job_id, waiting.id);
}

#[tokio::test]
async fn a_worker_is_removed_once_it_is_away_or_idle_and_joins_anew_with_another_secret() {
    let coordinator = Coordinator::start().await;
    let worker = coordinator.worker("studio").await;
    let refused = ApiError::of(&remove(&coordinator, "studio").await.unwrap_err()).unwrap();
    assert!(refused.hint.as_deref().is_some_and(|hint| hint.contains("vertigo drain studio")), "{refused}");
    drain(&coordinator, "studio", "").await.unwrap();
    assert_eq!(remove(&coordinator, "studio").await.unwrap().id, worker.id.to_string());
    assert!(coordinator.workers().await.is_empty());
    let mut worker = worker;
    assert_eq!(worker.next().await.unwrap_err().code(), Code::Aborted);
    // Its id is free: whoever comes with another secret has it.
    let anew = v1::Hello { secret: vec![9; 32], ..hello(worker.id, "studio", &[]) };
    let _worker = Worker::with_hello(&coordinator, anew).await.unwrap();
    assert_eq!(coordinator.workers().await[0].hold, None);
}

#[tokio::test]
async fn who_watches_everything_is_told_what_was_done_with_workers_and_a_wrong_name_says_which_is_meant() {
    let coordinator = Coordinator::start().await;
    let _worker = coordinator.worker("studio").await;
    let request = v1::WatchRequest { only_new: true, ..Default::default() };
    let mut told = coordinator.jobs().watch(request).await.unwrap().into_inner();
    drain(&coordinator, "studio", "a new disk").await.unwrap();
    resume(&coordinator, "studio").await.unwrap();
    let (worker, when) = ("studio".to_owned(), " on-ac  and idle > 15m".to_owned());
    coordinator.fleet().set_worker(v1::SetWorkerRequest { worker: worker.clone(), when }).await.unwrap();
    coordinator.fleet().upgrade_worker(v1::UpgradeWorkerRequest { worker }).await.unwrap();
    let acts = [
        (WorkerAct::Held, "a new disk"),
        (WorkerAct::Resumed, ""),
        (WorkerAct::Set, "on-ac and idle > 15m"),
        (WorkerAct::StartedAnew, ""),
    ];
    for (act, reason) in acts {
        let event = soon("an event", told.message()).await.unwrap().unwrap();
        assert_eq!((event.job_id.as_str(), event.by.as_str(), event.reason.as_str()), ("", "local", reason));
        let Some(job_event::Event::Worker(of)) = event.event else { panic!("{:?}", event.event) };
        assert_eq!((of.worker.as_str(), of.act()), ("studio", act));
    }
    let refused = ApiError::of(&drain(&coordinator, "studios", "").await.unwrap_err()).unwrap();
    assert_eq!((refused.code.word(), refused.hint.as_deref()), ("not_found", Some("did you mean `studio`?")));
    let long = drain(&coordinator, "studio", &"x".repeat(2001)).await.unwrap_err();
    assert_eq!(long.code(), Code::InvalidArgument);
    assert!(shown(&coordinator).await["hold"].is_null());
    drain(&coordinator, "studio", "a new disk").await.unwrap();
    let hold = &shown(&coordinator).await["hold"];
    assert_eq!((&hold["by"], &hold["reason"]), (&json!("local"), &json!("a new disk")));
}

/// The first worker as HTTP shows it.
async fn shown(coordinator: &Coordinator) -> Value {
    let text = reqwest::get(format!("{}/v1/workers", coordinator.url)).await.unwrap().text().await.unwrap();
    serde_json::from_str::<Value>(&text).unwrap()["workers"][0].clone()
}
