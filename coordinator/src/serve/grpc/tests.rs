//! Who calls, from the layer before all services to what is kept.

use super::*;
use crate::blobs::Blobs;
use crate::core::{Command, Settings};
use crate::keep::{Collector, Keep};
use crate::kinds::Catalog;
use crate::store::Store;
use crate::store::tests::submit;
use object_store::memory::InMemory;
use std::sync::Arc;
use vertigo::endpoint::Endpoint;
use vertigo::id::JobId;
use vertigo::principal::{PrincipalName, Role};
use vertigo::v1;
use vertigo::v1::jobs_client::JobsClient;
use vertigo::v1::tags_client::TagsClient;
use vertigo_testkit::coordinator::listen;

const LEASE: Duration = Duration::from_secs(600);

/// The services on a state in memory, behind a layer that says who calls.
async fn serve(store: &Store, caller: Caller) -> Endpoint {
    let folder = tempfile::tempdir().unwrap();
    let blobs = Blobs::new(Arc::new(InMemory::new()), Default::default(), &folder.path().join("uploads")).unwrap();
    let api = Api::new(store.clone(), blobs.clone(), Collector::new(store.clone(), blobs, Keep::default()));
    let sessions = Sessions::new(LEASE.as_millis() as u64);
    let routes = router(Context { api, sessions, lease: LEASE });
    let routes = routes.layer(axum::Extension(caller));
    let (listener, endpoint) = listen().await;
    tokio::spawn(axum::serve(listener, routes).into_future());
    endpoint
}

#[tokio::test]
async fn what_a_caller_does_is_kept_with_its_name_and_without_one_it_is_the_machine_s_own() {
    let (store, _writer) =
        Store::in_memory(Settings { lease_ms: LEASE.as_millis() as u64 }, Box::new(Catalog)).unwrap();
    let laptop = Caller { name: "laptop".parse().unwrap(), role: Role::Submit, ..Caller::local() };
    for (caller, name, reason) in [(laptop, "laptop", "cancelled by laptop"), (Caller::local(), "local", "cancelled")] {
        let endpoint = serve(&store, caller).await;
        let manifest = crate::core::tests::dataset(name);
        let digest = manifest.digest().to_string();
        let data = Command::Register { manifest, tags: Vec::new(), by: PrincipalName::local() };
        store.apply(data).await.unwrap();
        let asked = v1::MoveTagRequest { tag: "t".to_owned(), reference: digest, ..Default::default() };
        let moved = TagsClient::new(vertigo_client::Access::plain(endpoint.clone()).unwrap().channel())
            .move_tag(asked)
            .await
            .unwrap()
            .into_inner();
        assert_eq!((moved.by(), moved.by_name.as_str()), (v1::TagMover::Person, name));

        let job = JobId::new();
        store.apply(submit(job, None)).await.unwrap();
        let mut jobs = JobsClient::new(vertigo_client::Access::plain(endpoint.clone()).unwrap().channel());
        let asked = v1::CancelRequest { id: job.to_string(), ..Default::default() };
        let cancelled = jobs.cancel(asked).await.unwrap().into_inner().jobs.remove(0);
        assert_eq!((cancelled.by.as_str(), cancelled.reason.as_str()), ("local", reason));
        let asked = v1::WatchRequest { id: job.to_string(), ..Default::default() };
        let mut events = jobs.watch(asked).await.unwrap().into_inner();
        let mut told = Vec::new();
        while let Some(event) = events.message().await.unwrap() {
            told.push(event.by);
        }
        assert_eq!((told.first().map(String::as_str), told.last().map(String::as_str)), (Some("local"), Some(name)));
    }
}
