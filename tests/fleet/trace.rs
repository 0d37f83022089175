//! One job is one trace, from the CLI's call to the last blob: an OTLP receiver in the test's process sees the whole tree.

use crate::{recipe, turn};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{TraceService, TraceServiceServer};
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use tonic::transport::Server;
use tonic::{Request, Response, Status};
use vertigo_testkit::coordinator::serve;
use vertigo_tests::Fleet;
use vertigo_tests::waiting::until;

/// A span as the receiver got it.
#[derive(Debug, Clone)]
struct Span {
    service: String,
    name: String,
    trace: Vec<u8>,
    id: Vec<u8>,
    parent: Vec<u8>,
}

#[derive(Clone, Default)]
struct Receiver(Arc<Mutex<Vec<Span>>>);

#[tonic::async_trait]
impl TraceService for Receiver {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let mut spans = self.0.lock().unwrap();
        for resource in request.into_inner().resource_spans {
            let attributes = resource.resource.iter().flat_map(|r| &r.attributes);
            let service = attributes.filter(|a| a.key == "service.name").find_map(|a| match &a.value.as_ref()?.value {
                Some(Value::StringValue(text)) => Some(text.clone()),
                _ => None,
            });
            let service = service.unwrap_or_default();
            let of_scope = resource.scope_spans.into_iter().flat_map(|scope| scope.spans);
            spans.extend(of_scope.map(|span| Span {
                service: service.clone(),
                name: span.name,
                trace: span.trace_id,
                id: span.span_id,
                parent: span.parent_span_id,
            }));
        }
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

async fn receiver() -> (Receiver, String) {
    let receiver = Receiver::default();
    let service = TraceServiceServer::new(receiver.clone());
    let endpoint = serve(Server::builder().add_service(service)).await;
    (receiver, endpoint.url().to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn one_job_is_one_trace() {
    let _turn = turn().await;
    let (receiver, url) = receiver().await;
    let environment = [("OTEL_EXPORTER_OTLP_ENDPOINT", url.as_str()), ("OTEL_BSP_SCHEDULE_DELAY", "200")];
    let mut fleet = Fleet::start_with("30s", None, &environment);
    fleet.start_worker("mac", "4GiB");
    fleet.import("mini", &["--preset", "mini-4b"]).await;
    let file = fleet.write("short.yaml", &recipe(6, ""));
    let path = file.to_string_lossy().into_owned();
    fleet.cli(&["train", &path, "--data", "luau", "--name", "traced", "--follow"]).await.ok();
    // Ending them flushes what they still hold.
    assert!(fleet.worker("mac").terminate().success());
    assert!(fleet.coordinator().terminate().success());

    let services: BTreeSet<_> = ["vertigo", "vertigo-coordinator", "vertigo-worker", "vertigo-attempt"].into();
    let spans = until("spans of every service in the job's trace", || async {
        let spans = receiver.0.lock().unwrap().clone();
        let root = spans.iter().find(|span| span.service == "vertigo" && span.name.contains("train"))?;
        let of_job: Vec<Span> = spans.iter().filter(|span| span.trace == root.trace).cloned().collect();
        let seen: BTreeSet<_> = of_job.iter().map(|span| span.service.as_str()).collect();
        seen.is_superset(&services).then_some(of_job)
    })
    .await;

    // A tree: one root, and every other span's parent is there.
    let ids: BTreeSet<_> = spans.iter().map(|span| span.id.clone()).collect();
    let roots: Vec<_> = spans.iter().filter(|span| span.parent.is_empty()).collect();
    assert_eq!(roots.len(), 1, "{roots:?}");
    for span in &spans {
        assert!(
            span.parent.is_empty() || ids.contains(&span.parent),
            "the parent of {span:?} is missing in {spans:#?}"
        );
    }
    // From the CLI's call, over the submission and the attempt and its child, to the last blob.
    let mut names: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for span in &spans {
        names.entry(&span.service).or_default().push(&span.name);
    }
    let says = |service: &str, part: &str| {
        assert!(names[service].iter().any(|name| name.contains(part)), "no span `{part}` of {service} in {names:#?}");
    };
    says("vertigo-coordinator", "submit");
    says("vertigo-coordinator", "blob");
    says("vertigo-worker", "attempt");
    says("vertigo-worker", "upload");
    says("vertigo-attempt", "train");
}
