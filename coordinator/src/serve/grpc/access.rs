//! `Access`: who may speak to this coordinator.

use super::{caller, traced};
use crate::api::Api;
use std::net::{IpAddr, Ipv4Addr};
use tonic::{Request, Response, Status};
use tracing::{Instrument, info_span};
use vertigo::v1;
use vertigo_port::Peer;

pub(super) struct Access(pub(super) Api);

/// Where a call comes from. All that come from nowhere that the system knows are one.
fn from<T>(request: &Request<T>) -> IpAddr {
    let address = request.extensions().get::<Peer>().and_then(|peer| peer.address);
    address.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED))
}

#[tonic::async_trait]
impl v1::access_server::Access for Access {
    async fn join(&self, request: Request<v1::JoinRequest>) -> Result<Response<v1::Certificate>, Status> {
        let (span, from) = (traced(request.metadata(), info_span!("join")), from(&request));
        Ok(Response::new(self.0.join(from, request.into_inner()).instrument(span).await?))
    }

    async fn renew(&self, request: Request<v1::RenewRequest>) -> Result<Response<v1::Certificate>, Status> {
        let (span, caller) = (traced(request.metadata(), info_span!("renew")), caller(&request)?);
        Ok(Response::new(self.0.renew(&caller, request.into_inner()).instrument(span).await?))
    }

    async fn who_am_i(&self, request: Request<v1::WhoAmIRequest>) -> Result<Response<v1::Principal>, Status> {
        let (span, caller) = (traced(request.metadata(), info_span!("who am i")), caller(&request)?);
        Ok(Response::new(self.0.who_am_i(&caller).instrument(span).await?))
    }

    async fn create_token(
        &self,
        request: Request<v1::CreateTokenRequest>,
    ) -> Result<Response<v1::CreatedToken>, Status> {
        let (span, caller) = (traced(request.metadata(), info_span!("create token")), caller(&request)?);
        Ok(Response::new(self.0.create_token(&caller, request.into_inner()).instrument(span).await?))
    }

    async fn list_tokens(
        &self,
        request: Request<v1::ListTokensRequest>,
    ) -> Result<Response<v1::ListTokensResponse>, Status> {
        let span = traced(request.metadata(), info_span!("list tokens"));
        Ok(Response::new(self.0.tokens().instrument(span).await?))
    }

    async fn revoke_token(&self, request: Request<v1::RevokeTokenRequest>) -> Result<Response<v1::Token>, Status> {
        let span = traced(request.metadata(), info_span!("revoke token"));
        Ok(Response::new(self.0.revoke_token(request.into_inner()).instrument(span).await?))
    }

    async fn list_principals(
        &self,
        request: Request<v1::ListPrincipalsRequest>,
    ) -> Result<Response<v1::ListPrincipalsResponse>, Status> {
        let span = traced(request.metadata(), info_span!("list principals"));
        Ok(Response::new(self.0.principals().instrument(span).await?))
    }

    async fn revoke_principal(
        &self,
        request: Request<v1::RevokePrincipalRequest>,
    ) -> Result<Response<v1::Principal>, Status> {
        let span = traced(request.metadata(), info_span!("revoke principal"));
        Ok(Response::new(self.0.revoke_principal(request.into_inner()).instrument(span).await?))
    }
}
