//! A stand-in for the engine, a model around it, and a server in front.
//!
//! What it answers stands in the question: `say TEXT` gives the text, a byte a token; `forever` never ends; `panic`, `fail` and `refuse`
//! do what they say; `choke` fails as it is read.

use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use vertigo_engine::EngineError;
use vertigo_engine::generate::{Chosen, End, Generate, Load, Produced, Request, RequestId};
use vertigo_engine::text::ChatTokenizer;
use vertigo_port::Limits;
use vertigo_serving::{Bounds, Facts, Intake, Model, Served, Server, Settings, Shelf};
use vertigo_testkit::tokenizer;

/// Qwen3.5's as far as it matters: tools before the conversation, and a thought that the generation prompt opens.
const TEMPLATE: &str = "\
{%- if tools %}{{- '<|im_start|>system\\n' + (tools | tojson) + '<|im_end|>\\n' }}{%- endif %}
{%- for m in messages %}{{- '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>\\n' }}{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
    {%- if enable_thinking %}{{- '<think>\\n' }}{%- else %}{{- '<think>\\n\\n</think>\\n\\n' }}{%- endif %}
{%- endif %}";

/// The tokenizer's token that ends a turn.
const EOS: u32 = 257;

/// What a stand-in is asked, and what it may do.
#[derive(Debug, Default)]
pub(crate) struct World {
    /// All requests that were admitted.
    pub(crate) asked: Mutex<Vec<Request>>,
    /// Those that are under way.
    pub(crate) running: AtomicUsize,
    /// How often it was made.
    pub(crate) made: AtomicUsize,
    /// How many of them are alive.
    pub(crate) alive: AtomicUsize,
    /// Whether it reads no prompt, so that requests wait.
    pub(crate) is_closed: AtomicBool,
    /// Steps that it may make; `None`: all.
    steps: Mutex<Option<usize>>,
    more: Condvar,
}

impl World {
    /// From now on every step has to be allowed.
    pub(crate) fn pause(&self) {
        *self.steps.lock().unwrap() = Some(0);
    }

    pub(crate) fn allow(&self, steps: usize) {
        let mut left = self.steps.lock().unwrap();
        *left = left.map(|left| left + steps);
        self.more.notify_all();
    }

    pub(crate) fn go_on(&self) {
        *self.steps.lock().unwrap() = None;
        self.more.notify_all();
    }

    /// Waits a moment for leave to make a step: commands have to be heard meanwhile.
    fn may_step(&self) -> bool {
        let left = self.steps.lock().unwrap();
        let (mut left, _) =
            self.more.wait_timeout_while(left, Duration::from_millis(5), |left| *left == Some(0)).unwrap();
        match &mut *left {
            Some(0) => false,
            Some(left) => {
                *left -= 1;
                true
            }
            None => true,
        }
    }
}

struct Under {
    request: Request,
    is_read: bool,
    made: usize,
    answer: Option<Vec<u8>>,
}

struct StandIn {
    world: Arc<World>,
    requests: BTreeMap<RequestId, Under>,
    /// Beginnings of prompts up to their borders.
    kept: BTreeSet<Vec<u32>>,
}

impl Drop for StandIn {
    fn drop(&mut self) {
        self.world.running.fetch_sub(self.requests.len(), Ordering::SeqCst);
        self.world.alive.fetch_sub(1, Ordering::SeqCst);
    }
}

/// The last question of a prompt, whose tokens are bytes and tags.
fn question(prompt: &[u32]) -> String {
    let mut bytes = Vec::new();
    for id in prompt {
        match id {
            258 => bytes.extend(b"<think>"),
            259 => bytes.extend(b"</think>"),
            // The others that are no byte stand between messages.
            id => bytes.push(u8::try_from(*id).unwrap_or(0)),
        }
    }
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let question = text.rsplit_once("user\n").map_or(text.clone(), |(_, question)| question.to_owned());
    question.split('\0').next().unwrap().to_owned()
}

impl StandIn {
    /// A step has failed: what was under way is lost.
    fn lose(&mut self) -> EngineError {
        self.world.running.fetch_sub(self.requests.len(), Ordering::SeqCst);
        self.requests.clear();
        EngineError::Input("as it was told".to_owned())
    }
}

impl Generate for StandIn {
    fn admit(&mut self, id: RequestId, request: Request) -> Result<(), EngineError> {
        let question = question(&request.prompt);
        assert_ne!(question, "panic", "as it was told");
        if question == "refuse" {
            return Err(EngineError::Input("there could never be room for it".to_owned()));
        }
        self.world.asked.lock().unwrap().push(request.clone());
        self.world.running.fetch_add(1, Ordering::SeqCst);
        let answer = question.strip_prefix("say ").map(|text| text.as_bytes().to_vec());
        self.requests.insert(id, Under { request, is_read: false, made: 0, answer });
        Ok(())
    }

    fn cancel(&mut self, id: RequestId) {
        if self.requests.remove(&id).is_some() {
            self.world.running.fetch_sub(1, Ordering::SeqCst);
        }
    }

    fn step(&mut self) -> Result<Vec<(RequestId, Produced)>, EngineError> {
        if !self.world.may_step() {
            return Ok(Vec::new());
        }
        let mut produced = Vec::new();
        let mut ended = Vec::new();
        for (id, under) in &mut self.requests {
            if !under.is_read {
                if self.world.is_closed.load(Ordering::SeqCst) {
                    continue;
                }
                if question(&under.request.prompt) == "choke" {
                    return Err(self.lose());
                }
                under.is_read = true;
                let Request { prompt, borders, .. } = &under.request;
                let known = self.kept.iter().filter(|kept| prompt.starts_with(kept)).map(Vec::len).max();
                self.kept.extend(borders.iter().map(|border| prompt[..*border].to_vec()));
                produced.push((*id, Produced::Read { reused: known.unwrap_or(0) }));
                continue;
            }
            if question(&under.request.prompt) == "fail" {
                return Err(self.lose());
            }
            let next = match &under.answer {
                Some(answer) => answer.get(under.made).copied(),
                None => Some(b'x'),
            };
            let end = match next {
                None => Some(End::Stop),
                Some(_) if under.made == under.request.tokens_max => Some(End::Length),
                Some(byte) => {
                    let top = under.request.logprobs.unwrap_or(0);
                    let top = [(u32::from(byte), -0.5), (EOS, -1.5)].into_iter().take(top).collect();
                    let logprob = under.request.logprobs.map(|_| -0.5);
                    produced.push((*id, Produced::Token(Chosen { id: byte.into(), logprob, top })));
                    under.made += 1;
                    None
                }
            };
            if let Some(end) = end {
                produced.push((*id, Produced::Ended(end)));
                ended.push(*id);
            }
        }
        ended.into_iter().for_each(|id| self.cancel(id));
        Ok(produced)
    }

    fn load(&self) -> Load {
        let running = self.requests.values().filter(|under| under.is_read).count();
        Load { running, running_bytes: 1000 * running as u64, kept_bytes: self.kept.len() as u64, ..Load::default() }
    }
}

/// The testkit's tokenizer of bytes, with a thought's tags and the template.
pub(crate) fn text() -> Arc<ChatTokenizer> {
    let dir = tempfile::tempdir().unwrap();
    tokenizer::write(dir.path());
    let change = |file: &str, change: fn(&mut Value)| {
        let path = dir.path().join(file);
        let mut value: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        change(&mut value);
        std::fs::write(path, value.to_string()).unwrap();
    };
    change("tokenizer.json", |tokenizer| {
        let added = tokenizer["added_tokens"].as_array_mut().unwrap();
        for (id, tag) in [(258, "<think>"), (259, "</think>")] {
            added.push(json!({"id": id, "content": tag, "special": false, "single_word": false, "lstrip": false,
                              "rstrip": false, "normalized": false}));
        }
    });
    change("tokenizer_config.json", |config| config["chat_template"] = TEMPLATE.into());
    Arc::new(ChatTokenizer::load(dir.path()).unwrap())
}

/// A model that the stand-in plays in `world`.
pub(crate) async fn model(world: &Arc<World>, bounds: Bounds) -> Arc<Model> {
    let world = Arc::clone(world);
    let build = move || {
        world.made.fetch_add(1, Ordering::SeqCst);
        world.alive.fetch_add(1, Ordering::SeqCst);
        let stand_in = StandIn { world: Arc::clone(&world), requests: BTreeMap::new(), kept: BTreeSet::new() };
        Ok(Box::new(stand_in) as Box<dyn Generate>)
    };
    let served = Served::start("stand-in", Box::new(build), bounds).await.unwrap();
    let facts = Facts::of(&json!({"max_position_embeddings": 2_000_000}), &json!({}));
    Arc::new(Model { served, adapter: None, text: text(), facts })
}

/// A server with the model `tiny`.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    pub(crate) world: Arc<World>,
    pub(crate) shelf: Arc<Shelf>,
    stop: Option<oneshot::Sender<()>>,
    hurry: Option<oneshot::Sender<()>>,
    pub(crate) task: JoinHandle<()>,
}

pub(crate) fn settings() -> Settings {
    Settings {
        listen: (Ipv4Addr::LOCALHOST, 0).into(),
        limits: Limits::of_descriptors(512).unwrap(),
        intake: Intake::default(),
        patience: Duration::from_secs(60),
    }
}

impl Running {
    pub(crate) async fn new() -> Running {
        Running::with(settings(), Bounds::default()).await
    }

    pub(crate) async fn with(settings: Settings, bounds: Bounds) -> Running {
        let (world, shelf) = (Arc::<World>::default(), Arc::<Shelf>::default());
        shelf.put("tiny", model(&world, bounds).await);
        let server = Server::listen(settings).await.unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let (hurry, hurried) = oneshot::channel::<()>();
        let (address, catalog) = (server.address(), Arc::clone(&shelf));
        let wait = |said: oneshot::Receiver<()>| async {
            let _ = said.await;
        };
        let task = tokio::spawn(server.run(catalog, wait(stopped), wait(hurried)));
        Running { address, world, shelf, stop: Some(stop), hurry: Some(hurry), task }
    }

    pub(crate) fn stop(&mut self) {
        let _ = self.stop.take().unwrap().send(());
    }

    pub(crate) fn hurry(&mut self) {
        let _ = self.hurry.take().unwrap().send(());
    }

    pub(crate) fn running(&self) -> usize {
        self.world.running.load(Ordering::SeqCst)
    }
}
