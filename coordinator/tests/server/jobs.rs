//! What people ask of the coordinator.

use super::harness::{Coordinator, holding, log, recipe, soon, success, train};
use serde_json::json;
use tonic::{Code, Request};
use vertigo::manifest::Kind;
use vertigo::v1::{self, JobState, job_event, report};

fn states(events: &[v1::JobEvent]) -> Vec<JobState> {
    let state = |event: &v1::JobEvent| match event.event {
        Some(job_event::Event::State(state)) => JobState::try_from(state).ok(),
        _ => None,
    };
    let mut states: Vec<_> = events.iter().filter_map(state).collect();
    states.dedup();
    states
}

#[tokio::test]
async fn a_submission_that_comes_again_makes_one_job() {
    let coordinator = Coordinator::start().await;
    coordinator.import().await;
    let id = vertigo::id::JobId::new().to_string();
    let request = v1::SubmitTrainRequest { id: id.clone(), ..train("tutor") };
    let mut jobs = coordinator.jobs();
    let first = jobs.submit_train(request.clone()).await.unwrap().into_inner();
    let again = jobs.submit_train(request.clone()).await.unwrap().into_inner();
    assert_eq!((&first.id, &first), (&id, &again));
    let listed = jobs.list(v1::ListJobsRequest::default()).await.unwrap().into_inner().jobs;
    assert_eq!(listed.len(), 1);
    let broken = v1::SubmitTrainRequest { id: "tutor".to_owned(), ..request };
    assert_eq!(jobs.submit_train(broken).await.unwrap_err().code(), Code::InvalidArgument);
}

#[tokio::test]
async fn a_job_goes_from_submission_to_its_artifact() {
    let coordinator = Coordinator::start().await;
    coordinator.import().await;
    let job = coordinator.submit("tutor").await;
    assert_eq!((job.state(), job.name.as_str()), (JobState::Queued, "tutor"));
    assert_eq!(job.reason, "no worker is connected");
    assert!(job.plans[0].peak_bytes > 0 && job.plans[0].factor == 1.0 && !job.plans[0].parts.is_empty());
    let mut watch = coordinator.watch(&job.id, 0).await;

    let mut worker = coordinator.worker("mac").await;
    let given = worker.assignment().await;
    assert_eq!(given.job_id, job.id);
    assert_eq!(given.data_digest, job.data_digest);
    assert_eq!(given.reserved_bytes, job.plans[0].peak_bytes);
    assert_eq!(given.recipe.clone().unwrap().yaml, train("").recipes[0].yaml);
    let listed = coordinator.workers().await;
    assert_eq!((listed[0].job_id.as_str(), listed[0].reserved_bytes), (job.id.as_str(), given.reserved_bytes));

    assert_eq!((&job.plans[0].caveats, job.plans[0].skipped_examples), (&None, 0), "nobody has read the examples");
    let caveats = v1::Caveats { cut_examples: 3, cut_tokens: 70, ..Default::default() };
    let started = v1::Started { iters: 2, skipped_examples: 1, caveats: Some(caveats), ..Default::default() };
    worker.report(&given, 1, report::Body::Started(started)).await;
    worker.report(&given, 2, log("loading")).await;
    let step = v1::Step { iter: 1, iters: 2, loss: 1.5, ..Default::default() };
    worker.report(&given, 3, report::Body::Step(step)).await;
    let output = coordinator.upload(Kind::Adapter, "adapter", json!({"recipe": "small"})).await;
    worker.report(&given, 4, success(&output)).await;
    for number in 1..=4 {
        assert_eq!(worker.ack().await, number);
    }

    let plan = coordinator.job(&job.id).await.plans.remove(0);
    assert_eq!((plan.caveats, plan.skipped_examples), (Some(caveats), 1));

    let mut events = Vec::new();
    while let Some(event) = soon("the end of the watch", watch.message()).await.unwrap() {
        events.push(event);
    }
    assert_eq!(states(&events), [JobState::Queued, JobState::Leased, JobState::Succeeded]);
    let placed = events.iter().find_map(|event| match &event.event {
        Some(job_event::Event::Placed(placed)) => Some(placed),
        _ => None,
    });
    assert_eq!(placed.unwrap().worker, "mac");
    let losses: Vec<_> = events
        .iter()
        .filter_map(|event| match &event.event {
            Some(job_event::Event::Report(v1::Report { body: Some(report::Body::Step(step)), .. })) => Some(step.loss),
            _ => None,
        })
        .collect();
    assert_eq!(losses, [1.5]);

    // From the middle on, and nothing after the end.
    let mut rest = coordinator.watch("tutor", events[2].seq).await;
    assert_eq!(soon("the next event", rest.message()).await.unwrap().unwrap(), events[3]);
    let mut nothing = coordinator.watch(&job.id, events.last().unwrap().seq).await;
    assert_eq!(soon("the end", nothing.message()).await.unwrap(), None);
    let ask = v1::LogsRequest { id: job.id.clone(), after: 0, follow: true };
    let mut logs = coordinator.jobs().logs(ask).await.unwrap().into_inner();
    let line = soon("a line", logs.message()).await.unwrap().unwrap();
    assert!(matches!(line.event, Some(job_event::Event::Report(report)) if report.body == Some(log("loading"))));
    assert_eq!(soon("the end", logs.message()).await.unwrap(), None);

    let done = coordinator.job(&job.id).await;
    assert_eq!((done.state(), done.output_digest.as_str()), (JobState::Succeeded, &*output.digest().to_string()));
    assert_eq!((done.attempts.len(), done.attempts[0].outcome.as_str()), (1, "succeeded"));
    for reference in ["tutor", &job.id, &done.output_digest] {
        let ask = v1::GetArtifactRequest { reference: reference.to_owned() };
        let artifact = coordinator.artifacts().get(ask).await.unwrap().into_inner();
        assert_eq!((artifact.job_id.as_str(), &artifact.tags[..]), (job.id.as_str(), &["tutor".to_owned()][..]));
    }
    let listed = coordinator
        .jobs()
        .list(v1::ListJobsRequest { limit: 1, ..Default::default() })
        .await
        .unwrap()
        .into_inner()
        .jobs;
    assert_eq!(listed, [done]);
}

#[tokio::test]
async fn cancel_reaches_the_worker_and_late_results_are_refused() {
    let coordinator = Coordinator::start().await;
    coordinator.import().await;
    let mut worker = coordinator.worker("mac").await;
    let job = coordinator.submit("").await;
    let given = worker.assignment().await;
    let mut watch = coordinator.watch(&job.id, 0).await;
    let cancel = || v1::CancelJobRequest { id: job.name.clone() };
    let cancelled = coordinator.jobs().cancel(cancel()).await.unwrap().into_inner();
    assert_eq!(cancelled.state(), JobState::Cancelled);
    assert_eq!(worker.stop().await.attempt_id, given.attempt_id);
    let mut events = Vec::new();
    while let Some(event) = soon("the end of the watch", watch.message()).await.unwrap() {
        events.push(event);
    }
    assert_eq!(states(&events).last(), Some(&JobState::Cancelled));
    let output = coordinator.upload(Kind::Adapter, "late", json!({})).await;
    worker.report(&given, 1, success(&output)).await;
    assert_eq!(worker.stop().await.attempt_id, given.attempt_id);
    assert_eq!(coordinator.job(&job.id).await.output_digest, "");
    let again = coordinator.jobs().cancel(cancel()).await.unwrap_err();
    assert_eq!(again.code(), Code::FailedPrecondition);
    // The machine is free again once the attempt is gone from it.
    let next = coordinator.submit("").await;
    worker.heartbeat(&holding(&given)).await;
    assert_eq!(worker.stop().await.attempt_id, given.attempt_id);
    worker.heartbeat(&[]).await;
    assert_eq!(worker.assignment().await.job_id, next.id);
}

#[tokio::test]
async fn what_cannot_run_is_refused_before_anything_is_queued() {
    let coordinator = Coordinator::start().await;
    coordinator.import().await;
    coordinator.worker("mac").await;
    let with = |yaml: &str| v1::SubmitTrainRequest { recipes: vec![recipe("mine", yaml)], ..train("") };
    let cases = [
        (with("model: mini\nlearning_rte: 1e-4\n"), Code::InvalidArgument, "learning_rate"),
        (with("model: mimi\n"), Code::NotFound, "vertigo base import mimi DIR` (did you mean `mini`?)"),
        (with("model: luau\n"), Code::InvalidArgument, "no base but an artifact of kind dataset"),
        (
            with("model: mini\nlora_parameters:\n  keys: [self_attn.q_prj]\n  rank: 8\n  scale: 8.0\n"),
            Code::InvalidArgument,
            "self_attn.q_proj",
        ),
        (with("model: mini\nmax_seq_length: 200000\nbatch_size: 64\n"), Code::FailedPrecondition, "mac offers 1.0 GiB"),
        (v1::SubmitTrainRequest { recipes: Vec::new(), ..train("") }, Code::InvalidArgument, "no recipe"),
        (
            v1::SubmitTrainRequest { data: "lua".to_owned(), ..train("") },
            Code::NotFound,
            "vertigo data import lua DIR` (did you mean `luau`?)",
        ),
        (v1::SubmitTrainRequest { data: "mini".to_owned(), ..train("") }, Code::InvalidArgument, "no dataset"),
        (v1::SubmitTrainRequest { data: String::new(), ..train("") }, Code::InvalidArgument, "--data"),
        (train("a b"), Code::InvalidArgument, "cannot be a tag"),
        (train("mini"), Code::InvalidArgument, "choose another --name"),
    ];
    for (request, code, part) in cases {
        let refused = coordinator.jobs().submit_train(request).await.unwrap_err();
        assert_eq!(refused.code(), code, "{}", refused.message());
        assert!(refused.message().contains(part), "{}", refused.message());
    }
    assert!(coordinator.jobs().list(v1::ListJobsRequest::default()).await.unwrap().into_inner().jobs.is_empty());
    let missing = coordinator.jobs().get(v1::GetJobRequest { id: "nothing".to_owned() }).await.unwrap_err();
    assert_eq!(missing.code(), Code::NotFound);
}

#[tokio::test]
async fn a_plan_shows_the_decision_without_queueing_and_knows_bases_by_name() {
    let coordinator = Coordinator::start().await;
    coordinator.import().await;
    let plan = |recipes| v1::SubmitTrainRequest { recipes, ..Default::default() };
    let large = recipe("large", "model: mlx-community/Qwen3.5-2B-4bit\n");
    let small = train("").recipes.remove(0);
    let request = plan(vec![large, small]);
    let planned = coordinator.jobs().plan_train(request.clone()).await.unwrap().into_inner();
    assert_eq!(planned.plans[0].method, "QLoRA r8");
    assert!(planned.plans[0].peak_bytes > planned.plans[1].peak_bytes);
    let placement = planned.placement.unwrap();
    assert_eq!(placement.worker, "");
    assert!(placement.reason.starts_with("no worker is connected"), "{}", placement.reason);
    assert!(placement.reason.contains("Qwen3.5-2B-4bit are not confirmed"), "{}", placement.reason);
    let _worker = coordinator.worker("mac").await;
    let placement = coordinator.jobs().plan_train(request).await.unwrap().into_inner().placement.unwrap();
    assert_eq!((placement.worker.as_str(), placement.plan), ("mac", 1));
    let unknown = plan(vec![recipe("other", "model: other/model\n")]);
    assert_eq!(coordinator.jobs().plan_train(unknown).await.unwrap_err().code(), Code::NotFound);
    assert!(coordinator.jobs().list(v1::ListJobsRequest::default()).await.unwrap().into_inner().jobs.is_empty());
}

#[tokio::test]
async fn the_caller_s_trace_reaches_the_worker() {
    let coordinator = Coordinator::start().await;
    coordinator.import().await;
    let mut worker = coordinator.worker("mac").await;
    let context = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let mut request = Request::new(train(""));
    request.metadata_mut().insert("traceparent", context.parse().unwrap());
    coordinator.jobs().submit_train(request).await.unwrap();
    assert_eq!(worker.assignment().await.traceparent, context);
}

#[tokio::test]
async fn a_base_with_endless_sizes_is_refused_when_it_is_used_and_stops_nothing() {
    let mut coordinator = Coordinator::start().await;
    coordinator.import().await;
    let mut config = super::harness::config();
    config["num_hidden_layers"] = json!(1_000_000_000_000u64);
    let endless = coordinator.upload(Kind::Base, "endless", json!({"config": config})).await;
    coordinator.register(&endless, "endless").await;
    let mut request = train("");
    request.recipes.push(recipe("endless", "model: endless\n"));
    for round in ["as it was registered", "after a restart"] {
        let refused = coordinator.jobs().submit_train(request.clone()).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{round}");
        assert!(refused.message().contains("num_hidden_layers"), "{round}: {}", refused.message());
        let planned = coordinator.jobs().plan_train(request.clone()).await.unwrap_err();
        assert_eq!(planned.message(), refused.message(), "{round}");
        coordinator.restart().await;
    }
    coordinator.submit("still-here").await;
}
