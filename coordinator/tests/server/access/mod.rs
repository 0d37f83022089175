//! A coordinator that asks for certificates, met by real clients that joined with real tokens, and by those who did not.

mod bringing;
mod closing;
mod frames;
mod hostile;
mod joining;
mod knocking;
mod namespaces;
mod offered;
mod quota;
mod renewing;
mod table;
mod working;

use super::harness::Coordinator;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::{Request, Status};
use tonic_prost::ProstCodec;
use vertigo::bytes::Bytes;
use vertigo::endpoint::Endpoint;
use vertigo::id::{Millis, PrincipalId, WorkerId};
use vertigo::principal::{PrincipalName, Role};
use vertigo::secret::{Installed, Secret};
use vertigo::v1;
use vertigo::v1::access_client::AccessClient;
use vertigo_access::authority::Authority;
use vertigo_access::identity::{Granted, Identity, Request as CertificateRequest};
use vertigo_access::life::Life;
use vertigo_access::tls::Joining;
use vertigo_access::token::Token;
use vertigo_client::Access;
use vertigo_client::joining::{JoinError, Newcomer, join};
use vertigo_coordinator::access::brought::Brought;
use vertigo_coordinator::serve::connections::Limits;
use vertigo_coordinator::server::Certificates;

pub(super) const HOUR: Duration = Duration::from_secs(3600);

pub(super) fn certificates(life: Duration, brought: Option<Brought>) -> Certificates {
    let names = ["localhost", "127.0.0.1"].map(str::to_owned).to_vec();
    Certificates { names, life, upload_quota: Bytes::gib(1), brought }
}

/// With certificates of its own that outlast any test.
pub(super) async fn closed() -> Coordinator {
    Coordinator::with_certificates(certificates(HOUR, None), Limits::of_descriptors(1024).unwrap()).await
}

pub(super) fn name(text: &str) -> PrincipalName {
    text.parse().unwrap()
}

/// A token as its administrator makes it.
pub(super) async fn token(coordinator: &Coordinator, role: Role, uses: u32, namespace: &str) -> Token {
    let request = v1::CreateTokenRequest {
        role: role.to_string(),
        ttl_ms: 60_000,
        uses,
        name: String::new(),
        namespace: namespace.to_owned(),
    };
    let made = AccessClient::new(coordinator.access.channel()).create_token(request).await.unwrap().into_inner();
    made.line.parse().unwrap()
}

/// A worker's installation. All of a test's have one secret.
pub(super) fn installed(id: WorkerId) -> Installed {
    Installed { id, secret: Secret::from([7; 32]).hash() }
}

/// Somebody who has joined.
pub(super) struct Somebody {
    pub(super) identity: Identity,
    pub(super) access: Access,
    pub(super) worker: Option<WorkerId>,
}

impl Somebody {
    pub(super) async fn with(token: &Token, called: &str) -> Result<Somebody, JoinError> {
        let worker = (token.role == Role::Worker).then(WorkerId::new);
        let newcomer = Newcomer { name: Some(name(called)), otherwise: None, worker: worker.map(installed) };
        let identity = join(token, &newcomer).await?;
        let access = reached(&identity);
        Ok(Somebody { identity, access, worker })
    }
}

/// On a connection of its own.
pub(super) fn reached(identity: &Identity) -> Access {
    Access::new(identity.coordinator.clone(), Some(identity.tls().unwrap().0)).unwrap()
}

/// Somebody who joins with a token of that role, and is called by it.
pub(super) async fn somebody(coordinator: &Coordinator, role: Role, called: &str) -> Somebody {
    Somebody::with(&token(coordinator, role, 1, "").await, called).await.unwrap()
}

/// Whoever shows no certificate, and meets the right coordinator.
pub(super) async fn stranger(coordinator: &Coordinator) -> Access {
    let anchor = token(coordinator, Role::Read, 1, "").await.anchor;
    let config = Joining::new(anchor).config().unwrap();
    Access::new(coordinator.url.parse().unwrap(), Some(Arc::new(config))).unwrap()
}

/// A certificate of another authority, in everything else like one of ours.
pub(super) fn foreigner(like: &Identity) -> Access {
    let folder = tempfile::tempdir().unwrap();
    let request = CertificateRequest::new().unwrap();
    let life = Life::from(Millis::now(), HOUR);
    let chain = authority(&folder).for_principal(&request.der, PrincipalId::new(), &like.principal, life).unwrap();
    let chain = chain.iter().map(|der| der.to_vec()).collect();
    let granted = Granted { chain, principal: like.principal.clone(), role: like.role, life };
    reached(&Identity::new(&request, granted, like.coordinator.clone(), like.anchor.clone()).unwrap())
}

/// Another authority.
pub(super) fn authority(folder: &TempDir) -> Authority {
    Authority::open(&folder.path().join("authority.pem"), Millis::now()).unwrap()
}

/// Asks a call with nothing in it; gives why it was refused, by the call itself or by the first that it streams.
pub(super) async fn ask(access: &Access, call: &str) -> Result<(), Status> {
    let mut grpc = Grpc::new(access.channel());
    grpc.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
    let path = PathAndQuery::try_from(call.to_owned()).unwrap();
    let codec = ProstCodec::<(), ()>::default();
    let mut answer = grpc.streaming(Request::new(tokio_stream::once(())), path, codec).await?.into_inner();
    answer.message().await.map(drop)
}

/// Revokes somebody.
pub(super) async fn revoke(coordinator: &Coordinator, called: &PrincipalName) {
    let request = v1::RevokePrincipalRequest { name: called.to_string() };
    AccessClient::new(coordinator.access.channel()).revoke_principal(request).await.unwrap();
}

pub(super) fn endpoint(coordinator: &Coordinator) -> Endpoint {
    coordinator.url.parse().unwrap()
}
