//! `vertigo-worker serve`: models of folders, served by this process until it is told to end.
//!
//! Models over one base share it in memory. A folder is read where it lies and nothing is written to it.

mod named;
mod share;

pub use named::{Named, NamedError};

use crate::machine::{Machine, MachineError};
use futures::future::join_all;
use named::by_base;
use share::{ShareError, share, weights};
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use vertigo::bytes::Bytes;
use vertigo::printable;
use vertigo_engine::generate::{AdapterId, Generate, Generator, Limits};
use vertigo_engine::text::ChatTokenizer;
use vertigo_engine::{EngineError, device};
use vertigo_serving::{Bounds, Build, Facts, FactsError, Model, Served, ServedError, Server, ServerError, Shelf};

/// Answers of one base that are made at a time.
const ANSWERS_MAX: usize = 32;

/// How long answers may take to end once the process is told to.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long the models' threads may take to end after that: a step of a long prompt may be under way, and MLX is not to be torn down
/// under it.
const ENDING: Duration = Duration::from_secs(10);

/// What the operator chose.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The models, of which there is at least one.
    pub models: Vec<Named>,
    /// Where to listen.
    pub listen: SocketAddr,
    /// What may be used at most.
    pub memory: Option<Bytes>,
}

/// Why nothing is served.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The names.
    #[error(transparent)]
    Named(#[from] NamedError),
    /// The machine.
    #[error(transparent)]
    Machine(#[from] MachineError),
    /// Its memory.
    #[error(transparent)]
    Share(#[from] ShareError),
    /// A model's tokenizer, or MLX.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// What a model's folder says.
    #[error(transparent)]
    Facts(#[from] FactsError),
    /// A model.
    #[error("{}: {error}", base.display())]
    Served {
        /// Its folder.
        base: PathBuf,
        /// Why.
        error: ServedError,
    },
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
    let bases = by_base(&settings.models)?;
    let weights = bases.keys().map(|base| weights(base)).sum::<Result<Bytes, ShareError>>()?;
    let caches = share(usable, weights, bases.len())?;
    let shelf = Arc::new(Shelf::default());
    let mut threads = Vec::new();
    for (base, models) in bases {
        threads.push(put(&shelf, base, &models, caches).await?.ended());
    }
    announce(server.address(), &settings.models);
    let (stop, hurry) = stops();
    server.run(shelf, stop.cancelled_owned(), hurry.cancelled_owned()).await;
    if timeout(ENDING, join_all(threads)).await.is_err() {
        tracing::warn!("a model is still at work and is left there");
    }
    Ok(())
}

/// Loads a base with the adapters over it, and puts all of them on the shelf.
async fn put(shelf: &Shelf, base: &Path, models: &[&Named], caches: Bytes) -> Result<Arc<Served>, ServeError> {
    let text = Arc::new(ChatTokenizer::load(base)?);
    let facts = Facts::read(base)?;
    let adapters: Vec<PathBuf> = models.iter().filter_map(|model| model.adapter.clone()).collect();
    // The generator numbers adapters as they are added: in this order, also where it is made anew.
    let ids = Arc::new(Mutex::new(Vec::new()));
    let build = builder(base.to_owned(), adapters, caches, Arc::clone(&ids));
    let name = base.file_name().map_or_else(|| "model".into(), |name| name.to_string_lossy());
    let failed = |error| ServeError::Served { base: base.to_owned(), error };
    let served = Served::start(&name, build, Bounds::default()).await.map_err(failed)?;
    let mut ids = ids.lock().unwrap_or_else(PoisonError::into_inner).clone().into_iter();
    for model in models {
        let adapter = model.adapter.as_ref().and_then(|_| ids.next());
        let (served, text, facts) = (Arc::clone(&served), Arc::clone(&text), facts.clone());
        shelf.put(&model.name, Arc::new(Model { served, adapter, text, facts }));
    }
    Ok(served)
}

/// How a base with adapters is loaded. `ids` becomes what the generator calls the adapters.
fn builder(base: PathBuf, adapters: Vec<PathBuf>, caches: Bytes, ids: Arc<Mutex<Vec<AdapterId>>>) -> Build {
    Box::new(move || {
        let model = vertigo_engine::Model::load(&base)?;
        let limits = Limits { bytes: caches.0, answers_max: ANSWERS_MAX };
        let mut generator = Generator::new(model, limits)?;
        let added = adapters.iter().map(|adapter| generator.add_adapter(adapter)).collect::<Result<Vec<_>, _>>()?;
        *ids.lock().unwrap_or_else(PoisonError::into_inner) = added;
        Ok(Box::new(generator) as Box<dyn Generate>)
    })
}

/// Says where the models are, and how to try one.
fn announce(address: SocketAddr, models: &[Named]) {
    let names: Vec<&str> = models.iter().map(|model| model.name.as_str()).collect();
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
