//! How a coordinator is reached: its address, and TLS where it has that.
//!
//! Promise: whatever is made of an [`Access`] speaks to that coordinator and nobody else. With TLS it trusts whom the config trusts, and
//! not what the system does; without, it connects on loopback, as an [`Endpoint`] promises. No proxy is asked, and no redirect is followed.
//! Everything connects when it is first used, and again after the coordinator was away.

use crate::tls;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioIo;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::ServerName;
use rustls::version::TLS13;
use rustls::{ClientConfig, RootCertStore};
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::transport::{Channel, Uri};
use tower_service::Service;
use vertigo::endpoint::Endpoint;

/// How long a connection may take to be there, its handshake among it.
const CONNECT: Duration = Duration::from_secs(5);

/// A connection whose other end is gone without a word is noticed in twice this, not after TCP's hours.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// How a coordinator is reached.
#[derive(Clone)]
pub struct Access {
    endpoint: Endpoint,
    tls: Option<Tls>,
}

/// What there is with TLS besides.
#[derive(Clone)]
struct Tls {
    config: Arc<ClientConfig>,
    /// Whom the certificate has to be of.
    host: ServerName<'static>,
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Access").field(&self.endpoint.url()).finish()
    }
}

/// An address and certificates that do not go together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AccessError {
    /// An address with TLS, and nothing to speak it with.
    #[error(
        "{0} is reached with a certificate of its coordinator's, and this machine has none: `vertigo login`, or `vertigo-worker join` for \
         a worker, takes the line that `vertigo token create` prints there"
    )]
    NoCertificate(Endpoint),
    /// An address without TLS, and certificates that would not be shown.
    #[error("{0} is in the clear, and there is a certificate for it: write https://{authority}", authority = .0.authority())]
    InTheClear(Endpoint),
    /// A host that no certificate can be of.
    #[error("no certificate is of `{0}`: name the host by its address, or by a name that DNS has")]
    Host(String),
}

impl Access {
    /// To a coordinator on this machine, without TLS.
    ///
    /// # Errors
    /// [`AccessError::NoCertificate`] where the address is with it.
    pub fn plain(endpoint: Endpoint) -> Result<Access, AccessError> {
        Access::new(endpoint, None)
    }

    /// To a coordinator, with TLS after `config` where its address says so. The config's protocols are ours.
    ///
    /// # Errors
    /// One of the two is with TLS and the other without.
    pub fn new(endpoint: Endpoint, config: Option<Arc<ClientConfig>>) -> Result<Access, AccessError> {
        let tls = match (endpoint.is_tls(), config) {
            (false, None) => None,
            (false, Some(_)) => return Err(AccessError::InTheClear(endpoint)),
            (true, None) => return Err(AccessError::NoCertificate(endpoint)),
            (true, Some(config)) => {
                let host = endpoint.host().to_owned();
                let host = ServerName::try_from(host.clone()).map_err(|_| AccessError::Host(host))?;
                Some(Tls { config, host })
            }
        };
        Ok(Access { endpoint, tls })
    }

    /// Where the coordinator is.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// A channel for gRPC.
    pub fn channel(&self) -> Channel {
        // To tonic all of it is HTTP in the clear: the connector is ours, and requests name the origin as it is.
        let dialled = format!("http://{}", self.endpoint.authority());
        let endpoint = tonic::transport::Endpoint::from_shared(dialled);
        let endpoint = endpoint.expect("an Endpoint is a valid URL: parsing has checked its host and port");
        let origin = self.endpoint.url().parse::<Uri>().expect("the same URL, with its own scheme");
        let endpoint = endpoint
            .origin(origin)
            .connect_timeout(CONNECT)
            .http2_keep_alive_interval(KEEP_ALIVE)
            .keep_alive_timeout(KEEP_ALIVE)
            .keep_alive_while_idle(true);
        match &self.tls {
            None => endpoint.connect_lazy(),
            Some(tls) => endpoint.connect_with_connector_lazy(Dial::new(tls)),
        }
    }

    /// A client for HTTP, to which its timeouts may be added.
    pub fn http(&self) -> reqwest::ClientBuilder {
        let config = self.tls.as_ref().map_or_else(nobody, |tls| speaking(&tls.config, b"http/1.1"));
        bare(config).connect_timeout(CONNECT).https_only(self.endpoint.is_tls())
    }
}

/// A client for HTTP in the clear, which trusts no certificate: for services, which answer on loopback.
pub fn http_in_the_clear() -> reqwest::ClientBuilder {
    bare(nobody())
}

/// A client that has nothing of this machine's: neither its proxies nor the authorities that it trusts.
fn bare(config: ClientConfig) -> reqwest::ClientBuilder {
    let client = reqwest::Client::builder().tls_backend_preconfigured(config);
    client.no_proxy().redirect(reqwest::redirect::Policy::none())
}

/// A config by which no certificate is trusted. Without one, reqwest would read those of the system and fail where there are none.
fn nobody() -> ClientConfig {
    ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&TLS13])
        .expect("the provider that is built has TLS 1.3")
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth()
}

/// The config, for one protocol within TLS.
fn speaking(config: &ClientConfig, protocol: &[u8]) -> ClientConfig {
    let mut config = config.clone();
    config.alpn_protocols = vec![protocol.to_vec()];
    config
}

/// Connects, and shakes hands.
#[derive(Clone)]
struct Dial {
    tcp: HttpConnector,
    tls: TlsConnector,
    host: ServerName<'static>,
}

impl Dial {
    fn new(tls: &Tls) -> Dial {
        let mut tcp = HttpConnector::new();
        tcp.set_nodelay(true);
        // Of several addresses none takes all the time that there is.
        tcp.set_connect_timeout(Some(CONNECT));
        Dial { tcp, tls: Arc::new(speaking(&tls.config, b"h2")).into(), host: tls.host.clone() }
    }
}

impl Service<Uri> for Dial {
    type Response = TokioIo<Told>;
    type Error = Box<dyn std::error::Error + Send + Sync>;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let Dial { mut tcp, tls, host } = self.clone();
        Box::pin(async move {
            poll_fn(|context| tcp.poll_ready(context)).await?;
            let stream = tcp.call(uri).await?.into_inner();
            let stream = tls.connect(host, stream).await.map_err(tls::broken_off)?;
            Ok(TokioIo::new(Told(stream)))
        })
    }
}

/// A connection whose errors are told in words that come through HTTP/2: whether the coordinator takes our certificate it says only after
/// the handshake, in answer to what was sent already.
struct Told(TlsStream<TcpStream>);

impl AsyncRead for Told {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, into).map_err(tls::told)
    }
}

impl AsyncWrite for Told {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests;
