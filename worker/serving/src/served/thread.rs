//! The thread that owns a generator.

use super::{Build, Command, Event, Events, Shared};
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, TryRecvError};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;
use vertigo_engine::EngineError;
use vertigo_engine::generate::{Generate, Produced, RequestId};

/// After a generator could not be made, requests are told so for this long before it is tried again.
const PAUSE: Duration = Duration::from_secs(5);

/// Steps that may fail one after the other before the generator is made anew.
const FAILURES_MAX: usize = 3;

/// A request under way.
struct Request {
    events: Events,
    is_waiting: bool,
}

pub(super) struct Thread {
    build: Build,
    commands: Receiver<Command>,
    shared: Arc<Shared>,
    generator: Option<Box<dyn Generate>>,
    requests: HashMap<RequestId, Request>,
    /// Steps that have failed since one succeeded.
    failures: usize,
    /// When the generator could not be made, and why.
    failed: Option<(Instant, String)>,
}

impl Thread {
    pub(super) fn new(build: Build, commands: Receiver<Command>, shared: Arc<Shared>) -> Thread {
        Thread { build, commands, shared, generator: None, requests: HashMap::new(), failures: 0, failed: None }
    }

    /// Makes the generator, says so, and works until every handle has gone.
    pub(super) fn run(mut self, built: oneshot::Sender<Result<(), String>>) {
        let made = self.make();
        let is_made = made.is_ok();
        if built.send(made).is_err() || !is_made {
            return;
        }
        while self.obey_all() {
            self.step();
        }
    }

    fn make(&mut self) -> Result<(), String> {
        match guarded(|| (self.build)()) {
            Ok(generator) => {
                self.generator = Some(generator);
                (self.failed, self.failures) = (None, 0);
                self.publish();
                Ok(())
            }
            Err(problem) => {
                self.failed = Some((Instant::now(), problem.clone()));
                Err(problem)
            }
        }
    }

    /// Does what was said; where nothing is under way, waits for it. False once every handle has gone.
    fn obey_all(&mut self) -> bool {
        if self.requests.is_empty() {
            match self.commands.recv() {
                Ok(command) => self.obey(command),
                Err(_) => return false,
            }
        }
        loop {
            match self.commands.try_recv() {
                Ok(command) => self.obey(command),
                Err(TryRecvError::Empty) => return true,
                // Every request holds a handle, so that none is under way any more.
                Err(TryRecvError::Disconnected) => return false,
            }
        }
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Cancel(id) => self.cancel(id),
            Command::Ask(id, request, events) => {
                self.requests.insert(id, Request { events, is_waiting: true });
                if let Err(problem) = self.revive() {
                    return self.say(id, Event::Failed(problem));
                }
                let Some(generator) = &mut self.generator else { return };
                let admitted = catch_unwind(AssertUnwindSafe(|| generator.admit(id, *request)));
                match admitted {
                    Ok(Ok(())) => self.say(id, Event::Admitted),
                    Ok(Err(EngineError::Input(problem))) => self.say(id, Event::Refused(problem)),
                    Ok(Err(error)) => self.fail(&error.to_string()),
                    Err(panic) => self.fail(&words(&*panic)),
                }
                self.publish();
            }
        }
    }

    /// Makes the generator where there is none, unless that has just failed.
    fn revive(&mut self) -> Result<(), String> {
        match (&self.generator, &self.failed) {
            (Some(_), _) => Ok(()),
            (None, Some((when, problem))) if when.elapsed() < PAUSE => Err(problem.clone()),
            (None, _) => self.make(),
        }
    }

    fn step(&mut self) {
        let Some(generator) = self.generator.as_mut().filter(|_| !self.requests.is_empty()) else { return };
        match catch_unwind(AssertUnwindSafe(|| generator.step())) {
            Ok(Ok(produced)) => {
                self.failures = 0;
                produced.into_iter().for_each(|(id, produced)| self.say(id, Event::Produced(produced)));
            }
            Ok(Err(error)) => self.step_failed(&error),
            Err(panic) => self.fail(&words(&*panic)),
        }
        self.publish();
    }

    /// Tells a request's reader. One that has gone, or is too far behind, loses its request.
    fn say(&mut self, id: RequestId, event: Event) {
        let Some(request) = self.requests.get_mut(&id) else { return };
        let is_last = match event {
            Event::Admitted | Event::Produced(Produced::Read { .. } | Produced::Token(_)) => false,
            Event::Produced(Produced::Ended(_)) | Event::Refused(_) | Event::Failed(_) | Event::Broken(_) => true,
        };
        if !matches!(event, Event::Admitted) && std::mem::take(&mut request.is_waiting) {
            self.shared.waiting.fetch_sub(1, Ordering::Relaxed);
        }
        let is_heard = request.events.try_send((id, event)).is_ok();
        if is_last {
            self.requests.remove(&id);
        } else if !is_heard {
            tracing::debug!(id = id.0, "nobody reads this answer any more");
            self.cancel(id);
        }
    }

    fn cancel(&mut self, id: RequestId) {
        let Some(request) = self.requests.remove(&id) else { return };
        if request.is_waiting {
            self.shared.waiting.fetch_sub(1, Ordering::Relaxed);
        }
        if let Some(generator) = &mut self.generator
            && let Err(panic) = catch_unwind(AssertUnwindSafe(|| generator.cancel(id)))
        {
            self.fail(&words(&*panic));
        }
        self.publish();
    }

    /// MLX has failed, for want of memory, say: what was under way is lost, and the generator has let go of it. It goes on, so that one
    /// prompt that is too much costs nobody the time to load the model. Who has waited longest was being read; told to ask again it
    /// would come back with the same.
    fn step_failed(&mut self, error: &EngineError) {
        self.failures += 1;
        if self.failures >= FAILURES_MAX {
            return self.fail(&error.to_string());
        }
        tracing::error!(%error, "a step of the model has failed");
        let read = self.requests.iter().filter(|(_, request)| request.is_waiting).map(|(id, _)| *id).min();
        if let Some(id) = read {
            self.say(id, Event::Broken(format!("the model has failed over this request: {error}")));
        }
        let problem = format!("the model has failed and has lost this answer; ask again. {error}");
        let ids: Vec<RequestId> = self.requests.keys().copied().collect();
        for id in ids {
            self.say(id, Event::Failed(problem.clone()));
        }
    }

    /// The generator is not to be trusted any more: everybody is told, and it is made anew.
    fn fail(&mut self, problem: &str) {
        tracing::error!(problem, "the model has failed; it is loaded anew");
        let problem = format!("the model has failed and is loaded anew; ask again. {problem}");
        // What panicked once may panic as it is dropped.
        let generator = self.generator.take();
        let _ = catch_unwind(AssertUnwindSafe(|| drop(generator)));
        let ids: Vec<RequestId> = self.requests.keys().copied().collect();
        for id in ids {
            self.say(id, Event::Failed(problem.clone()));
        }
        // At once, so that the next request need not wait for it.
        if let Err(problem) = self.make() {
            tracing::error!(problem, "the model cannot be loaded anew; the next request tries again");
        }
    }

    fn publish(&self) {
        let told = |generator: &dyn Generate| catch_unwind(AssertUnwindSafe(|| generator.load())).ok();
        // Whoever watches is not worth a model: one that cannot tell its load has none.
        let load = self.generator.as_deref().and_then(told).unwrap_or_default();
        *self.shared.load.lock().unwrap_or_else(PoisonError::into_inner) = load;
    }
}

/// Does what may fail or panic.
fn guarded<T>(act: impl FnOnce() -> Result<T, EngineError>) -> Result<T, String> {
    match catch_unwind(AssertUnwindSafe(act)) {
        Ok(result) => result.map_err(|error| error.to_string()),
        Err(panic) => Err(words(&*panic)),
    }
}

/// What a panic says.
fn words(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied().or(panic.downcast_ref::<String>().map(String::as_str));
    format!("panic: {}", text.unwrap_or("without words"))
}
