//! `vertigo-worker serve`: models of folders, or of names at the coordinator, served by this process until it is told to end.
//!
//! Models over one base share it in memory. A folder is read where it lies and nothing is written to it; what a name stands for is fetched,
//! and followed as by a service of the fleet: see [`crate::task::serve`].

mod named;
mod share;

pub use named::{Asked, Named, NamedError};

use crate::cache::{Cache, Entry};
use crate::machine::{Machine, MachineError};
use crate::names::{Lookup, NameError};
use crate::state::{State, StateError};
use crate::task::serve::{Groups, Names, Wanted};
use crate::task::{Followed, Input, ServedModel, followed};
use share::{ShareError, share, weights};
use std::collections::BTreeMap;
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;
use vertigo::bytes::Bytes;
use vertigo::id::Digest;
use vertigo::printable;
use vertigo::task::{Failure, TaskKind};
use vertigo_client::{Access, Transfer};
use vertigo_engine::{EngineError, device};
use vertigo_serving::{Server, ServerError};

/// How long answers may take to end once the process is told to.
const PATIENCE: Duration = Duration::from_secs(30);

/// Between two looks at what names stand for.
const PACE: Duration = Duration::from_secs(3);

/// How long the models' threads may take to end after that: a step of a long prompt may be under way, and MLX is not to be torn down
/// under it.
const ENDING: Duration = Duration::from_secs(10);

/// What the operator chose.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The models, of which there is at least one.
    pub models: Vec<Asked>,
    /// Where to listen.
    pub listen: SocketAddr,
    /// What may be used at most.
    pub memory: Option<Bytes>,
    /// How the coordinator is reached that knows the names.
    pub coordinator: Access,
    /// Where what they stand for is kept.
    pub state: PathBuf,
    /// Disk that this may take.
    pub cache: Bytes,
}

/// Why nothing is served.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The names.
    #[error(transparent)]
    Named(#[from] NamedError),
    /// What they stand for.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The folder that it is kept in.
    #[error(transparent)]
    State(#[from] StateError),
    /// The machine.
    #[error(transparent)]
    Machine(#[from] MachineError),
    /// Its memory.
    #[error(transparent)]
    Share(#[from] ShareError),
    /// MLX.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// A model.
    #[error("{}", .0.message)]
    Model(Failure),
    /// The port.
    #[error(transparent)]
    Server(#[from] ServerError),
    /// The limit of open files.
    #[error(transparent)]
    Descriptors(#[from] vertigo_port::DescriptorError),
}

/// Loads the models, says where they are, and serves until SIGINT or SIGTERM; then answers under way may end, unless a second signal says
/// that they may not.
///
/// # Errors
/// Names the model, the folder or the option that cannot be had.
pub async fn run(settings: Settings) -> Result<(), ServeError> {
    let server = Server::listen(vertigo_serving::Settings {
        listen: settings.listen,
        limits: vertigo_port::Limits::of_process()?,
        intake: vertigo_serving::Intake::default(),
        patience: PATIENCE,
    })
    .await?;
    let usable = Machine::probe(settings.memory)?.usable();
    device::limit_memory(usable)?;
    let mut models = Models::open(&settings)?;
    let wanted = models.first().await?;
    let bases: BTreeMap<Digest, &Path> = wanted.iter().map(|it| (it.base.digest, it.base.folder.as_path())).collect();
    let loaded = bases.values().map(|base| weights(base)).sum::<Result<Bytes, ShareError>>()?;
    let names = Arc::new(Names::default());
    let mut groups = Groups::new(names.clone(), usable, Some(share(usable, loaded, 1)?));
    groups.lead_to(wanted).await.map_err(ServeError::Model)?;
    announce(server.address(), &settings.models);
    let (stop, hurry) = stops();
    let failure = tokio::select! {
        () = server.run(names, stop.cancelled_owned(), hurry.cancelled_owned()) => None,
        failure = models.follow(&mut groups) => Some(failure),
    };
    if timeout(ENDING, groups.end()).await.is_err() {
        tracing::warn!("a model is still at work and is left there");
    }
    failure.map_or(Ok(()), |failure| Err(ServeError::Model(failure)))
}

/// The models that are asked for, and what their names stand for.
struct Models {
    asked: Vec<Asked>,
    /// Those that are named, in the order of their roles' numbers.
    followed: Vec<Followed>,
    inputs: BTreeMap<String, Digest>,
    /// Nothing where all are folders.
    store: Option<(Transfer, Cache, State)>,
    /// What keeps in the cache what is served, and what was served before.
    held: [Vec<Entry>; 2],
}

impl Models {
    fn open(settings: &Settings) -> Result<Models, ServeError> {
        let asked = settings.models.clone();
        named::check(&asked)?;
        let named = |asked: &Asked| if let Asked::Name(model) = asked { Some(model.clone()) } else { None };
        let named: Vec<ServedModel> = asked.iter().filter_map(named).collect();
        let store = if named.is_empty() {
            None
        } else {
            let (transfer, state) = (Transfer::new(&settings.coordinator), State::open(&settings.state)?);
            let cache = Cache::new(state.cache(), settings.cache, transfer.clone());
            Some((transfer, cache, state))
        };
        let (followed, inputs, held) = (followed(&named), BTreeMap::new(), [Vec::new(), Vec::new()]);
        Ok(Models { asked, followed, inputs, store, held })
    }

    /// What is to be served at first.
    async fn first(&mut self) -> Result<Vec<Wanted>, ServeError> {
        let Some((transfer, cache, _)) = &self.store else { return Ok(self.wanted(&BTreeMap::new())) };
        let lookup = Lookup { transfer, cache };
        for followed in &self.followed {
            lookup.renew(TaskKind::Serve, followed, &mut self.inputs).await?;
        }
        let (here, entries) = lookup.fetch(TaskKind::Serve, &self.inputs).await?;
        self.held[1] = entries;
        Ok(self.wanted(&here))
    }

    /// Follows names for ever. Comes back only where nothing can be served any more.
    async fn follow(&mut self, groups: &mut Groups) -> Failure {
        let mut look = interval(PACE);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            look.tick().await;
            let Some((transfer, cache, _)) = &self.store else { return std::future::pending().await };
            let (lookup, mut meant) = (Lookup { transfer, cache }, self.inputs.clone());
            for followed in &self.followed {
                if let Err(error) = lookup.renew(TaskKind::Serve, followed, &mut meant).await {
                    tracing::debug!(%error, "a name cannot be looked up; it stays what it is");
                }
            }
            if meant == self.inputs {
                continue;
            }
            match lookup.fetch(TaskKind::Serve, &meant).await {
                Err(error) => tracing::warn!(%error, "a name has moved to what cannot be fetched"),
                Ok((here, entries)) => {
                    match groups.lead_to(self.wanted(&here)).await {
                        Ok(None) => tracing::info!("a name has moved, and is followed"),
                        Ok(Some(problem)) => tracing::warn!(problem, "a name has moved, and is served as it was"),
                        Err(failure) => return failure,
                    }
                    self.held.rotate_left(1);
                    (self.held[1], self.inputs) = (entries, meant);
                }
            }
        }
    }

    /// What each model is to lead to. `here` are the inputs that names stand for.
    fn wanted(&self, here: &BTreeMap<String, Input>) -> Vec<Wanted> {
        let mut number = 0;
        let mut wanted = Vec::new();
        for asked in &self.asked {
            match asked {
                Asked::Folder(Named { name, base, adapter }) => wanted.push(Wanted {
                    name: name.clone(),
                    base: of_folder(base),
                    adapter: adapter.as_deref().map(of_folder),
                }),
                Asked::Name(model) => {
                    number += 1;
                    wanted.extend(Wanted::of(&model.name, number, here));
                }
            }
        }
        wanted
    }
}

/// A folder of this machine, which stands for itself: nobody has hashed it.
fn of_folder(folder: &Path) -> Input {
    let digest = Digest::of(folder.as_os_str().as_encoded_bytes());
    Input { digest, folder: folder.to_owned(), facts: BTreeMap::new() }
}

/// Says where the models are, and how to try one.
fn announce(address: SocketAddr, models: &[Asked]) {
    let names: Vec<&str> = models.iter().map(Asked::name).collect();
    let first = names.first().copied().unwrap_or_default();
    let body = serde_json::json!({"model": first, "messages": [{"role": "user", "content": "Hello"}]});
    let line = format!(
        "vertigo-worker serves {} on http://{address}; try: curl http://{address}/v1/chat/completions -d '{body}'",
        names.join(", ")
    );
    // Whoever started us may have closed our stdout; that is no reason not to serve.
    let _ = writeln!(std::io::stdout(), "{}", printable::line(&line));
}

/// Cancelled by the first SIGINT or SIGTERM, and by the second.
fn stops() -> (CancellationToken, CancellationToken) {
    let (stop, hurry) = (CancellationToken::new(), CancellationToken::new());
    // Without handlers, the signals' own effect is to end the process, which loses nothing.
    if let (Ok(mut interrupt), Ok(mut terminate)) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate())) {
        let tokens = [stop.clone(), hurry.clone()];
        tokio::spawn(async move {
            for token in tokens {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
                token.cancel();
            }
        });
    }
    (stop, hurry)
}
