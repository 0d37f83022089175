//! Who answers: a server elsewhere, or a model of ours behind a server of our own on this machine.

use super::super::serve::{Groups, Names, Wanted};
use super::super::{Spec, codes};
use super::asking::{Manner, Server};
use super::key;
use super::{ModelServer, Options};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use vertigo::task::{Cure, Failure, role};
use vertigo_evaluation::report::Facts;
use vertigo_model::estimate::ANSWERS_MAX;
use vertigo_serving::{Intake, Settings};

/// What requests call the model.
const NAME: &str = "model";

/// Questions that a server elsewhere has at the same time.
const AT_ONCE: usize = 4;

/// Who answers.
pub(super) struct Answering {
    server: Server,
    at_once: usize,
    ours: Option<Ours>,
}

/// A model of ours, and its server.
struct Ours {
    groups: Groups,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<()>,
}

impl Answering {
    /// Loads the model, or finds the server's key.
    ///
    /// # Errors
    /// The model cannot be loaded, or the key is not where it was said to be.
    pub(super) async fn start(spec: &Spec, options: &Options, facts: &Facts) -> Result<Answering, Failure> {
        let manner = Manner {
            temperature: facts.sampling.temperature,
            top_p: options.top_p,
            top_k: options.top_k,
            // Servers elsewhere refuse what they do not know, unless a person asks for it.
            tells_thinking: options.server.is_none() || options.thinking.is_some(),
        };
        if let Some(ModelServer { url, model, key }) = &options.server {
            let server = Server::new(url.clone(), model.clone(), key::find(key)?, manner)?;
            return Ok(Answering { server, at_once: AT_ONCE, ours: None });
        }
        let (ours, address) = Ours::start(spec).await?;
        let server = Server::new(format!("http://{address}/v1"), NAME.to_owned(), None, manner)?;
        // As many as a step goes on with: the server has room for more to wait.
        Ok(Answering { server, at_once: ANSWERS_MAX as usize, ours: Some(ours) })
    }

    /// Whom to ask.
    pub(super) fn server(&self) -> &Server {
        &self.server
    }

    /// How many questions to ask at the same time.
    pub(super) fn at_once(&self) -> usize {
        self.at_once
    }

    /// Lets go of the model.
    pub(super) async fn end(self) {
        if let Some(ours) = self.ours {
            let Ours { groups, stop, serving } = ours;
            // It has ended by itself where nobody hears this.
            let _ = stop.send(());
            let _ = serving.await;
            groups.end().await;
        }
    }
}

impl Ours {
    async fn start(spec: &Spec) -> Result<(Ours, SocketAddr), Failure> {
        let here = |problem: String| Failure::new(Cure::AnotherMachine, codes::THIS_MACHINE, problem);
        let given = |role: &str| spec.inputs.get(role).cloned();
        let missing = || Failure::new(Cure::Never, codes::BAD_INPUT, "the evaluation has no input `model`");
        let model = given(role::MODEL).ok_or_else(missing)?;
        let name = NAME.to_owned();
        let wanted = match given(role::BASE) {
            Some(base) => Wanted { name, base, adapter: Some(model) },
            None => Wanted { name, base: model, adapter: None },
        };
        let names = Arc::new(Names::default());
        let mut groups = Groups::new(names.clone(), spec.reserved, None);
        groups.lead_to(vec![wanted]).await?;
        let settings = Settings {
            listen: (Ipv4Addr::LOCALHOST, 0).into(),
            limits: vertigo_port::Limits::of_process().map_err(|error| here(error.to_string()))?,
            intake: Intake::default(),
            patience: Duration::ZERO,
        };
        let server = vertigo_serving::Server::listen(settings).await.map_err(|error| here(error.to_string()))?;
        let address = server.address();
        let (stop, stopped) = oneshot::channel();
        let stopped = async move {
            let _ = stopped.await;
        };
        let serving = tokio::spawn(server.run(names, stopped, std::future::pending()));
        Ok((Ours { groups, stop, serving }, address))
    }
}
