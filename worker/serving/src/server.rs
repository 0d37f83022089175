//! The server: a port, and a catalog behind it.

use crate::catalog::Catalog;
use crate::http::{self, Intake};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use vertigo_port::{Limits, Peers, Port, Wire, serve_until};

/// How long streams are told that the server stops before their connections are cut.
const GOODBYE: Duration = Duration::from_secs(2);

/// What the operator chose.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where to listen; port 0 takes any that is free.
    pub listen: SocketAddr,
    /// How many connections and requests there may be, and how long a connection may be idle.
    pub limits: Limits,
    /// How much of requests is taken in at a time.
    pub intake: Intake,
    /// How long answers may take to end once the server stops.
    pub patience: Duration,
}

/// Why nothing is served.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// An address that other machines reach.
    #[error(
        "--listen {0}: without certificates models are served on loopback only (127.0.0.1 or [::1]); reach them from another machine \
         through a tunnel, such as ssh -L"
    )]
    NotLoopback(SocketAddr),
    /// The port.
    #[error("--listen {address}: {error}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why.
        error: io::Error,
    },
}

/// A server that listens.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    settings: Settings,
}

impl Server {
    /// Listens. Connections wait until [`run`](Self::run).
    ///
    /// # Errors
    /// Says why the port cannot be had.
    pub async fn listen(settings: Settings) -> Result<Server, ServerError> {
        if !settings.listen.ip().is_loopback() {
            return Err(ServerError::NotLoopback(settings.listen));
        }
        let failed = |error| ServerError::Listen { address: settings.listen, error };
        let listener = TcpListener::bind(settings.listen).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Server { listener, address, settings })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `stop`. Then nothing new is taken, and answers under way may end within the settings' patience, or until `hurry`; those
    /// that do not are told that the server stops.
    pub async fn run(
        self,
        catalog: Arc<dyn Catalog>,
        stop: impl Future<Output = ()>,
        hurry: impl Future<Output = ()> + Send + 'static,
    ) {
        let Settings { limits, intake, patience, .. } = self.settings;
        let ended = CancellationToken::new();
        let routes = http::router(catalog, intake, ended.clone());
        let stopping = ended.clone();
        let stop = async move {
            stop.await;
            tokio::spawn(async move {
                tokio::select! {
                    () = tokio::time::sleep(patience) => {}
                    () = hurry => {}
                }
                stopping.cancel();
            });
        };
        let told = async {
            ended.cancelled().await;
            tokio::time::sleep(GOODBYE).await;
        };
        let port = Port { limits, rules: http::RULES, wire: Wire::Plain, peers: Peers::new() };
        tokio::select! {
            () = serve_until(self.listener, routes, port, stop, patience + GOODBYE) => {}
            () = told => {}
        }
        ended.cancel();
    }
}
