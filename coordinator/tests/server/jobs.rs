//! What people ask of the coordinator.

use super::harness::{Coordinator, SMALL, holding, log, reads, recipe, soon, success, told, train};
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
    let job = v1::NewJob { id: id.clone(), ..train("tutor") };
    let mut jobs = coordinator.jobs();
    let first = coordinator.queue(job.clone()).await.unwrap();
    let again = coordinator.queue(job.clone()).await.unwrap();
    assert_eq!((&first.id, &first), (&id, &again));
    let listed = jobs.list(v1::ListJobsRequest::default()).await.unwrap().into_inner().jobs;
    assert_eq!(listed.len(), 1);
    let broken = v1::NewJob { id: "tutor".to_owned(), ..job };
    assert_eq!(coordinator.queue(broken).await.unwrap_err().code(), Code::InvalidArgument);
}

#[tokio::test]
async fn a_job_goes_from_submission_to_its_artifact() {
    let coordinator = Coordinator::start().await;
    coordinator.import().await;
    let job = coordinator.submit("tutor").await;
    assert_eq!((job.state(), job.name.as_str()), (JobState::Queued, "tutor"));
    assert_eq!(job.reason, "no worker is connected");
    assert!(job.variants[0].peak_bytes > 0 && job.variants[0].factor == 1.0 && !job.variants[0].parts.is_empty());
    let mut watch = coordinator.watch(&job.id, 0).await;

    let mut worker = coordinator.worker("mac").await;
    let given = worker.assignment().await;
    assert_eq!(given.job_id, job.id);
    let inputs = job.variants[0].inputs.iter().map(|it| v1::Given { role: it.role.clone(), digest: it.digest.clone() });
    assert_eq!(given.inputs, inputs.collect::<Vec<_>>());
    assert_eq!(given.inputs.iter().map(|it| it.role.as_str()).collect::<Vec<_>>(), ["data", "base"]);
    assert_eq!(given.reserved_bytes, job.variants[0].peak_bytes);
    assert_eq!((&given.task, given.slot()), (&train("").variants[0].task, v1::Slot::Gpu));
    let listed = coordinator.workers().await;
    assert_eq!((&listed[0].job_ids[..], listed[0].reserved_bytes), (&[job.id.clone()][..], given.reserved_bytes));

    assert_eq!(
        (&job.variants[0].caveats, job.variants[0].skipped_examples),
        (&None, 0),
        "nobody has read the examples"
    );
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

    let variant = coordinator.job(&job.id).await.variants.remove(0);
    assert_eq!((variant.caveats, variant.skipped_examples), (Some(caveats), 1));

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
    let made = |role: &str| v1::JobOutput { role: role.to_owned(), digest: output.digest().to_string() };
    assert_eq!((done.state(), &done.outputs[..]), (JobState::Succeeded, &[made("adapter"), made("best")][..]));
    assert_eq!((done.attempts.len(), done.attempts[0].state()), (1, v1::AttemptState::Succeeded));
    for reference in ["tutor", &job.id, &done.outputs[0].digest] {
        let ask = v1::GetArtifactRequest { reference: reference.to_owned() };
        let artifact = coordinator.artifacts().get(ask).await.unwrap().into_inner();
        assert_eq!((artifact.job_id.as_str(), &artifact.tags[..]), (job.id.as_str(), &["tutor".to_owned()][..]));
    }
    let ask = v1::ListJobsRequest { page_size: 1, ..Default::default() };
    let mut listed = coordinator.jobs().list(ask).await.unwrap().into_inner().jobs;
    assert_eq!(listed[0].variants[0].task, None, "a list has no recipes");
    listed[0].variants[0].task = done.variants[0].task.clone();
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
    let cancelled = coordinator.cancel(&job.id).await.unwrap();
    assert_eq!((cancelled.len(), cancelled[0].state()), (1, JobState::Cancelled));
    assert_eq!(worker.stop().await.attempt_id, given.attempt_id);
    let mut events = Vec::new();
    while let Some(event) = soon("the end of the watch", watch.message()).await.unwrap() {
        events.push(event);
    }
    assert_eq!(states(&events).last(), Some(&JobState::Cancelled));
    let output = coordinator.upload(Kind::Adapter, "late", json!({})).await;
    worker.report(&given, 1, success(&output)).await;
    assert_eq!(worker.stop().await.attempt_id, given.attempt_id);
    assert!(coordinator.job(&job.id).await.outputs.is_empty());
    let again = coordinator.cancel(&job.id).await.unwrap_err();
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
    let of = |variants| v1::NewJob { variants, ..train("") };
    let with = |yaml: &str| of(vec![recipe("mine", yaml)]);
    let on = |inputs: &[v1::Input]| of(vec![v1::NewVariant { inputs: inputs.to_vec(), ..recipe("small", SMALL) }]);
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
        (of(Vec::new()), Code::InvalidArgument, "no variant"),
        (on(&[reads("data", "lua")]), Code::NotFound, "vertigo data import lua DIR` (did you mean `luau`?)"),
        (on(&[reads("data", "mini")]), Code::InvalidArgument, "no dataset"),
        (on(&[]), Code::InvalidArgument, "--data"),
        (train("a b"), Code::InvalidArgument, "cannot be a tag"),
        (train("mini"), Code::InvalidArgument, "choose another --name"),
    ];
    for (request, code, part) in cases {
        let refused = coordinator.queue(request).await.unwrap_err();
        assert_eq!(refused.code(), code, "{}", refused.message());
        assert!(told(&refused).contains(part), "{}", told(&refused));
    }
    assert!(coordinator.jobs().list(v1::ListJobsRequest::default()).await.unwrap().into_inner().jobs.is_empty());
    let missing = coordinator.jobs().get(v1::GetJobRequest { id: "nothing".to_owned() }).await.unwrap_err();
    assert_eq!(missing.code(), Code::NotFound);
}

#[tokio::test]
async fn a_plan_shows_the_decision_without_queueing_and_knows_bases_by_name() {
    let coordinator = Coordinator::start().await;
    coordinator.import().await;
    let bare = |name, yaml| v1::NewVariant { inputs: Vec::new(), ..recipe(name, yaml) };
    let request = vec![bare("large", "model: mlx-community/Qwen3.5-2B-4bit\n"), bare("small", SMALL)];
    let planned = coordinator.plan(request.clone()).await.unwrap();
    assert_eq!(planned.variants[0].method, "QLoRA r8");
    assert!(planned.variants[0].peak_bytes > planned.variants[1].peak_bytes);
    let placement = planned.placement.unwrap();
    assert_eq!(placement.worker, "");
    assert!(placement.reason.starts_with("no worker is connected"), "{}", placement.reason);
    assert!(placement.reason.contains("Qwen3.5-2B-4bit are not confirmed"), "{}", placement.reason);
    let _worker = coordinator.worker("mac").await;
    let placement = coordinator.plan(request).await.unwrap().placement.unwrap();
    assert_eq!((placement.worker.as_str(), placement.variant), ("mac", 1));
    let unknown = vec![bare("other", "model: other/model\n")];
    assert_eq!(coordinator.plan(unknown).await.unwrap_err().code(), Code::NotFound);
    assert!(coordinator.jobs().list(v1::ListJobsRequest::default()).await.unwrap().into_inner().jobs.is_empty());
}

#[tokio::test]
async fn the_caller_s_trace_reaches_the_worker() {
    let coordinator = Coordinator::start().await;
    coordinator.import().await;
    let mut worker = coordinator.worker("mac").await;
    let context = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let mut request = Request::new(v1::SubmitRequest { jobs: vec![train("")] });
    request.metadata_mut().insert("traceparent", context.parse().unwrap());
    coordinator.jobs().submit(request).await.unwrap();
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
    request.variants.push(recipe("endless", "model: endless\n"));
    for round in ["as it was registered", "after a restart"] {
        let refused = coordinator.queue(request.clone()).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{round}");
        assert!(refused.message().contains("num_hidden_layers"), "{round}: {}", refused.message());
        let planned = coordinator.plan(request.variants.clone()).await.unwrap_err();
        assert_eq!(planned.message(), refused.message(), "{round}");
        coordinator.restart().await;
    }
    coordinator.submit("still-here").await;
}
