//! The coordinator as a whole: state, blobs and services behind one port.

use crate::access::brought::Brought;
use crate::access::{self, Access, AccessError, names};
use crate::api::Api;
use crate::blobs::{BackendError, Blobs, Room, folder_of, open_backend};
use crate::core::Settings;
use crate::keep::{Collector, Gate, Keep};
use crate::kinds::Catalog;
use crate::private;
use crate::serve::connections::{DescriptorError, Limits, RULES};
use crate::serve::door::{Door, admit, close_revoked, meet};
use crate::serve::grpc::{self, Context, Sessions};
use crate::serve::guard::{guard, nothing, speaks_grpc};
use crate::serve::http;
use crate::store::{StateFolder, Store, StoreError, Writer};
use axum::extract::Request;
use axum::middleware;
use axum::response::Response;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::time::timeout;
use url::Url;
use vertigo::bytes::Bytes;
use vertigo::id::Millis;
use vertigo_port::guard::Hosts;
use vertigo_port::{Peers, Port, Wire};

/// How long the store may take to say whether it holds a blob.
const LOOK: Duration = Duration::from_secs(30);

/// What the operator chose.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where to listen; port 0 takes any that is free.
    pub listen: SocketAddr,
    /// The folder of the database and of unfinished uploads.
    pub state: PathBuf,
    /// Where blobs lie; `None` is a folder in `state`.
    pub store: Option<Url>,
    /// A lease ends this long after the last heartbeat that named it.
    pub lease: Duration,
    /// Begin with a new database although the store holds blobs. A database that is there is used in any case.
    pub anew: bool,
    /// What stays free of the disks that uploads are written to; `None` is as much as is usual.
    pub reserve: Option<Bytes>,
    /// For how long what is kept.
    pub keep: Keep,
    /// How often what is not kept is collected.
    pub collect_every: Duration,
    /// How many connections and requests there may be, and how long a connection may be idle.
    pub limits: Limits,
    /// Certificates, without which nothing listens where other machines reach it.
    pub certificates: Option<Certificates>,
}

/// How a coordinator proves itself to other machines.
#[derive(Debug, Clone)]
pub struct Certificates {
    /// Names and addresses at which machines reach it; where there are none, what the machine calls itself and what it has.
    pub names: Vec<String>,
    /// How long a certificate can be used.
    pub life: Duration,
    /// How much a principal may send within a day.
    pub upload_quota: Bytes,
    /// One that the operator brought, instead of one of the coordinator's own authority.
    pub brought: Option<Brought>,
}

/// Why the coordinator does not run.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// Nobody says where the state is to be.
    #[error("there is no home folder; give the coordinator a folder with --state")]
    NoHome,
    /// An address that other machines reach.
    #[error("--listen {0}: without certificates the coordinator listens on loopback only (127.0.0.1 or [::1])")]
    NotLoopback(SocketAddr),
    /// A lease that no worker could renew in time.
    #[error("--lease {0:?}: at least 100ms")]
    Lease(Duration),
    /// The port.
    #[error("--listen {address}: {error}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why.
        error: io::Error,
    },
    /// A path of the state folder.
    #[error("--state {}: {error}", path.display())]
    State {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The state.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Blobs of which no database tells.
    #[error(
        "{} is missing or empty, but {url} holds blobs, such as {blob}: there was a coordinator before. Restore its database from a \
         backup; or begin anew with --new, which keeps the blobs and knows no artifact, tag or job of before", database.display()
    )]
    Orphans {
        /// Where the database should be.
        database: PathBuf,
        /// Where the blobs are.
        url: Box<Url>,
        /// One of them.
        blob: String,
    },
    /// Whether there are blobs could not be found out.
    #[error(
        "{} is missing or empty, and whether {url} holds blobs of a coordinator before could not be found out: {problem}. Try again \
         when the store answers, or begin anew with --new", database.display()
    )]
    Unseen {
        /// Where the database should be.
        database: PathBuf,
        /// The store.
        url: Box<Url>,
        /// Why.
        problem: String,
    },
    /// The blobs' store.
    #[error(transparent)]
    Backend(#[from] BackendError),
    /// Certificates, tokens and principals.
    #[error(transparent)]
    Access(#[from] AccessError),
    /// The limit of open files.
    #[error(transparent)]
    Descriptors(#[from] DescriptorError),
}

/// A coordinator that listens.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    router: axum::Router,
    limits: Limits,
    access: Option<Access>,
    sessions: Sessions,
    store: Store,
    writer: Writer,
    collector: Collector,
    collect_every: Duration,
}

impl Server {
    /// Opens the state and listens. Connections wait until [`run`](Self::run).
    ///
    /// # Errors
    /// Says which part could not be had, and what to do.
    pub async fn start(config: Config) -> Result<Server, ServerError> {
        if !config.listen.ip().is_loopback() && config.certificates.is_none() {
            return Err(ServerError::NotLoopback(config.listen));
        }
        if config.lease < Duration::from_millis(100) {
            return Err(ServerError::Lease(config.lease));
        }
        let lease_ms = config.lease.as_millis() as u64;
        let sessions = Sessions::new(lease_ms);
        let outbox = sessions.clone();
        let deliver = Box::new(move |session, message| outbox.deliver(session, message));
        // The lock on the folder comes first: nothing else in it is touched before.
        let folder = StateFolder::take(&config.state)?;
        let url = store_url(&config.state, config.store)?;
        let blobs = open_blobs(&config.state, &url, config.reserve)?;
        if !config.anew && folder.is_new()? {
            refuse_orphans(&blobs, &url, folder.database()).await?;
        }
        let (store, writer) = folder.open(Settings { lease_ms }, Box::new(Catalog), deliver)?;
        let listen = |error| ServerError::Listen { address: config.listen, error };
        let listener = TcpListener::bind(config.listen).await.map_err(listen)?;
        let address = listener.local_addr().map_err(listen)?;
        let collector = Collector::new(store.clone(), blobs.clone(), config.keep).behind(Gate::of(&config.state));
        let mut api = Api::new(store.clone(), blobs, collector.clone());
        let (mut door, mut hosts) = (Door::Loopback, Hosts::loopback());
        let access = config.certificates.map(|how| open_access(&config.state, how, address)).transpose()?;
        if let Some(access) = &access {
            api = api.with_access(access.clone());
            door = Door::Certificates(access.clone());
            hosts = hosts.and(access.names().iter().map(String::as_str));
        }
        let context = Context { api: api.clone(), sessions: sessions.clone(), lease: config.lease };
        let routes = grpc::router(context).merge(http::router(api.clone())).fallback(unknown);
        // The last one is the first that a request meets.
        let router = routes
            .layer(middleware::from_fn_with_state((door.clone(), api), admit))
            .layer(middleware::from_fn_with_state(Arc::new(hosts), guard))
            .layer(middleware::from_fn_with_state(door, meet));
        let (limits, collect_every) = (config.limits, config.collect_every);
        Ok(Server { listener, address, router, limits, access, sessions, store, writer, collector, collect_every })
    }

    /// Where a token for an administrator lies, where certificates are asked for.
    pub fn administrator_path(&self) -> Option<PathBuf> {
        self.access.as_ref().map(Access::administrator_path)
    }

    /// The URL of where it listens.
    pub fn url(&self) -> String {
        let scheme = if self.access.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.address)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `stop`, then lets the writer end. Open calls are cut off: whoever made them asks again, and what was
    /// answered is on disk.
    ///
    /// # Errors
    /// A commit failed: then memory is not to be trusted, and the process must end.
    pub async fn run(self, stop: impl Future<Output = ()>) -> Result<(), ServerError> {
        let peers = Peers::new();
        let wire = match &self.access {
            None => Wire::Plain,
            Some(access) => Wire::Tls(Arc::new(access.tls().map_err(AccessError::from)?)),
        };
        let port = Port { limits: self.limits, rules: RULES, wire, peers: peers.clone() };
        let certificates = async {
            match &self.access {
                None => std::future::pending().await,
                Some(access) => tokio::join!(close_revoked(access, &peers), access.renew_own()),
            }
        };
        let serve = vertigo_port::serve(self.listener, self.router, port);
        let ended = self.writer.ended();
        // Connections stay open until the writer takes nothing more: were they closed first, workers would be noted as gone, and another
        // process that speaks as one of them would not be kept waiting when the coordinator is back.
        let collect = self.collector.run(self.collect_every);
        tokio::pin!(serve, ended, collect, certificates);
        tokio::select! {
            _ = &mut certificates => unreachable!("both wait for ever"),
            never = &mut serve => match never {},
            never = &mut collect => match never {},
            ended = &mut ended => return Ok(ended?),
            () = stop => {}
        }
        self.store.stop().await;
        self.sessions.close_all();
        Ok(ended.await?)
    }
}

/// What is no route, said in the caller's own words.
async fn unknown(request: Request) -> Response {
    if speaks_grpc(request.version(), request.headers()) {
        return tonic::Status::unimplemented("this coordinator has no such method").into_http();
    }
    nothing(request.uri().path())
}

/// Who may speak to the coordinator from other machines: its folder in the state.
fn open_access(state: &Path, how: Certificates, address: SocketAddr) -> Result<Access, ServerError> {
    let folder = access::folder_in(state);
    private::folder_and_files(&folder).map_err(|error| ServerError::State { path: folder.clone(), error })?;
    let host = nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok());
    let names = names::of(address, &how.names, host.as_deref(), &names::of_this_machine());
    let settings = access::Settings {
        names,
        port: address.port(),
        life: how.life,
        upload_quota: how.upload_quota,
        brought: how.brought,
    };
    let access = Access::open(&folder, settings, Millis::now())?;
    access.offer_administrator(Millis::now())?;
    Ok(access)
}

/// Where blobs lie.
fn store_url(state: &Path, url: Option<Url>) -> Result<Url, ServerError> {
    if let Some(url) = url {
        return Ok(url);
    }
    let blobs = state.join("blobs");
    let failed = |error| ServerError::State { path: blobs.clone(), error };
    private::folder(&blobs).map_err(failed)?;
    let folder = std::path::absolute(&blobs).map_err(failed)?;
    Url::from_file_path(&folder).map_err(|()| failed(io::ErrorKind::InvalidInput.into()))
}

fn open_blobs(state: &Path, url: &Url, reserve: Option<Bytes>) -> Result<Blobs, ServerError> {
    let (store, prefix) = open_backend(url, std::env::vars())?;
    let staging = state.join("uploads");
    let folders = [Some(state.to_owned()), folder_of(url)].into_iter().flatten().collect();
    let blobs = Blobs::new(store, prefix, &staging).map_err(|error| ServerError::State { path: staging, error })?;
    Ok(blobs.in_folder(folder_of(url)).with_room(Room::on(folders, reserve)))
}

/// Refuses to begin with a new database beside blobs: an artifact that the old one knew would be gone without a word.
async fn refuse_orphans(blobs: &Blobs, url: &Url, database: PathBuf) -> Result<(), ServerError> {
    let url = Box::new(url.clone());
    match timeout(LOOK, blobs.any()).await {
        Ok(Ok(None)) => Ok(()),
        Ok(Ok(Some(blob))) => Err(ServerError::Orphans { database, url, blob }),
        Ok(Err(error)) => Err(ServerError::Unseen { database, url, problem: error.to_string() }),
        Err(_) => {
            let problem = format!("it did not answer for {} s", LOOK.as_secs());
            Err(ServerError::Unseen { database, url, problem })
        }
    }
}
