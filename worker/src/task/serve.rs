//! The kind `serve`: answers over OpenAI's API until it is told to end.
//!
//! What is in memory, and what happens when a name moves, [`groups`] says.

mod catalog;
mod groups;

pub use catalog::HELD_MAX;
pub(crate) use catalog::Names;
pub(crate) use groups::{Groups, Wanted};

use super::{Event, Input, News, ServedModel, Spec, codes};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, MissedTickBehavior, interval};
use vertigo::bytes::Bytes;
use vertigo::task::{Cure, Failure, numbered, role};
use vertigo_engine::device;
use vertigo_serving::{Intake, Server, Settings};

/// How long answers may take to end once the process is told to. The supervisor waits a little longer.
const PATIENCE: Duration = Duration::from_secs(25);

/// Between two signs of life.
const PULSE: Duration = Duration::from_secs(60);

/// Between two reports of what it has done: a service goes on for months, and each stays in the journal.
const REPORT: Duration = Duration::from_secs(10 * 60);

/// What is asked of a service.
#[derive(Debug)]
pub struct Options<'a> {
    /// In the order of their inputs.
    pub models: &'a [ServedModel],
    /// Memory for contexts.
    pub cache: Option<Bytes>,
    /// Where it listens.
    pub listen: SocketAddr,
}

/// Serves.
///
/// # Errors
/// Always, since a service does not end by itself: what was wrong, or that it was told to end.
pub fn run(
    spec: &Spec,
    options: &Options<'_>,
    news: Receiver<News>,
    say: &mut dyn FnMut(Event),
) -> Result<(), Failure> {
    say(Event::begun());
    // Models have threads of their own: this one waits.
    tokio::runtime::Handle::current().block_on(serve(spec, options, news, say))
}

async fn serve(
    spec: &Spec,
    options: &Options<'_>,
    news: Receiver<News>,
    say: &mut dyn FnMut(Event),
) -> Result<(), Failure> {
    let here = |problem: String| Failure::new(Cure::AnotherMachine, codes::THIS_MACHINE, problem);
    let mut terminate = signal(SignalKind::terminate()).map_err(|error| here(error.to_string()))?;
    let settings = Settings {
        listen: options.listen,
        limits: vertigo_port::Limits::of_process().map_err(|error| here(error.to_string()))?,
        intake: Intake::default(),
        patience: PATIENCE,
    };
    let server = Server::listen(settings).await.map_err(|error| here(error.to_string()))?;
    let names = Arc::new(Names::default());
    let mut groups = Groups::new(names.clone(), spec.reserved, options.cache);
    groups.lead_to(wanted(options.models, &spec.inputs)?).await?;
    let url = format!("http://{}", server.address());
    let stop = async move {
        terminate.recv().await;
    };
    // Nobody hurries a service: the daemon ends the child where its answers take too long.
    let mut serving = tokio::spawn(server.run(names, stop, std::future::pending()));
    say(Event::Serving { url: url.clone(), models: options.models.iter().map(|model| model.name.clone()).collect() });
    let (mut news, mut pulse) = (forwarded(news), interval(PULSE));
    pulse.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut told: (u64, Option<Instant>) = (0, None);
    loop {
        tokio::select! {
            ended = &mut serving => {
                let why = if ended.is_ok() { "the service was told to end" } else { "the service's server panicked" };
                groups.end().await;
                return Err(Failure::new(Cure::Later, codes::TRANSIENT, why));
            }
            Some(News { inputs }) = news.recv() => {
                if let Some(problem) = groups.lead_to(wanted(options.models, &inputs)?).await? {
                    let text = format!("a name has moved, and its requests still go where they went: {problem}");
                    say(Event::Warning { text });
                }
            }
            _ = pulse.tick() => {
                let made = groups.tokens_made();
                if made > told.0 && told.1.is_none_or(|at| at.elapsed() >= REPORT) {
                    told = (made, Some(Instant::now()));
                    let peak_bytes = device::peak_memory().map_or(0, |peak| peak.0);
                    say(Event::Progress { done: made, total: 0, unit: "tokens".to_owned(), peak_bytes });
                } else if groups.are_well() {
                    // One that makes nothing of what it is asked for says nothing, and is ended as any other child that hangs.
                    say(Event::Alive);
                }
            }
        }
    }
}

/// What each name is to lead to.
fn wanted(models: &[ServedModel], inputs: &BTreeMap<String, Input>) -> Result<Vec<Wanted>, Failure> {
    let wanted = |(n, model): (usize, &ServedModel)| {
        let missing = || format!("the service has no input `{}`", numbered(role::MODEL, n + 1));
        Wanted::of(&model.name, n + 1, inputs).ok_or_else(|| Failure::new(Cure::Never, codes::BAD_INPUT, missing()))
    };
    models.iter().enumerate().map(wanted).collect()
}

/// News for whoever waits for more than news.
fn forwarded(news: Receiver<News>) -> tokio::sync::mpsc::Receiver<News> {
    let (sender, receiver) = tokio::sync::mpsc::channel(1);
    std::thread::spawn(move || news.into_iter().try_for_each(|news| sender.blocking_send(news)));
    receiver
}
