//! An answer that has begun: events of its generator to pieces of its text, and what is counted and logged of it.

use super::App;
use crate::api::{ApiError, Asked};
use crate::catalog::now;
use crate::metrics::{Metrics, OneModel};
use crate::model::{Model, Work};
use crate::reply::{self, Choice, Delta, Form, Head, Logprob, Usage};
use crate::served::{Event, Line, NotTaken};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;
use vertigo_engine::generate::{Chosen, Produced};
use vertigo_engine::text::ChatTokenizer;

/// An answer under way. Dropping it lets go of what is not finished.
pub(super) struct Begun {
    head: Head,
    is_streamed: bool,
    text: Arc<ChatTokenizer>,
    line: Line,
    /// What came while others of its requests were still being admitted.
    early: VecDeque<(usize, Event)>,
    choices: Vec<Choice>,
    /// How many of them answer one prompt.
    choices_of_prompt: usize,
    ledger: Ledger,
    ended: CancellationToken,
}

/// What is counted of an answer. It is told when the answer is dropped, whichever way it went.
#[derive(Debug)]
struct Ledger {
    metrics: Arc<Metrics>,
    counted: OneModel,
    model: String,
    began: Instant,
    first: Option<Instant>,
    /// When each choice's latest token came.
    latest: Vec<Option<Instant>>,
    usage: Usage,
    broken_calls: u64,
    /// How it ended, where it did.
    outcome: Option<&'static str>,
}

impl Ledger {
    fn token(&mut self, index: usize) {
        let now = Instant::now();
        if self.first.is_none() {
            self.first = Some(now);
            self.counted.first_token.observe((now - self.began).as_secs_f64());
        }
        if let Some(before) = self.latest[index].replace(now) {
            self.counted.token.observe((now - before).as_secs_f64());
        }
        self.counted.answer_tokens.inc();
    }
}

impl Drop for Ledger {
    fn drop(&mut self) {
        let outcome = self.outcome.unwrap_or("cancelled");
        self.metrics.ended(&self.model, outcome);
        self.counted.broken_calls.inc_by(self.broken_calls);
        let Usage { prompt, cached, answer, .. } = self.usage;
        let seconds = self.began.elapsed().as_secs_f32();
        let first = self.first.map(|first| (first - self.began).as_secs_f32());
        tracing::info!(model = self.model, prompt, cached, answer, first, seconds, outcome, "answered");
    }
}

impl Begun {
    /// Hands the work over and waits until it is taken.
    ///
    /// # Errors
    /// The line is full, the model has failed, or it can never answer this.
    pub(super) async fn new(
        app: &App,
        form: Form,
        asked: Asked,
        model: Arc<Model>,
        work: Work,
        began: Instant,
    ) -> Result<Begun, ApiError> {
        let counted = app.metrics.of(&asked.model, &model.served);
        let number = work.requests.len();
        let mut line = model.served.ask(work.requests).map_err(|error| match error {
            NotTaken::LineIsFull(_) => ApiError::line_is_full(error.to_string()),
            NotTaken::Gone => ApiError::unavailable(error.to_string()),
        })?;
        let early = admitted(&mut line, number).await?;
        counted.prompt_tokens.inc_by(work.prompt_tokens as u64);
        let usage = Usage { prompt: work.prompt_tokens, ..Usage::default() };
        let prefix = if form == Form::Chat { "chatcmpl" } else { "cmpl" };
        Ok(Begun {
            head: Head {
                form,
                id: format!("{prefix}-{}", Uuid::now_v7().simple()),
                created: now(),
                model: asked.model.clone(),
                includes_usage: asked.includes_usage,
            },
            is_streamed: asked.is_streamed,
            text: Arc::clone(&model.text),
            line,
            early,
            choices_of_prompt: asked.choices.max(1),
            choices: work.readings.into_iter().enumerate().map(|(n, reading)| Choice::new(n, reading)).collect(),
            ledger: Ledger {
                metrics: Arc::clone(&app.metrics),
                counted,
                model: asked.model,
                began,
                first: None,
                latest: vec![None; number],
                usage,
                broken_calls: 0,
                outcome: None,
            },
            ended: app.ended.clone(),
        })
    }

    pub(super) fn is_streamed(&self) -> bool {
        self.is_streamed
    }

    /// What all pieces have in common.
    pub(super) fn head(&self) -> &Head {
        &self.head
    }

    /// How many answers there are.
    pub(super) fn choices(&self) -> usize {
        self.choices.len()
    }

    /// The next piece of one of the answers. `None` once all have ended.
    pub(super) async fn next(&mut self) -> Option<Result<Delta, ApiError>> {
        loop {
            let event = match self.early.pop_front() {
                Some(event) => Some(event),
                None => tokio::select! {
                    biased;
                    event = self.line.next() => event,
                    () = self.ended.cancelled() => return Some(Err(self.fail("the server is stopping"))),
                },
            };
            match event {
                None if self.choices.iter().all(Choice::is_over) => return None,
                None => return Some(Err(self.fail("the answer was dropped: it was not read as fast as it came"))),
                Some((_, Event::Admitted)) => {}
                Some((_, Event::Refused(problem) | Event::Failed(problem))) => return Some(Err(self.fail(&problem))),
                Some((_, Event::Broken(problem))) => {
                    self.ledger.outcome = Some("failed");
                    return Some(Err(ApiError::failed(problem)));
                }
                Some((index, Event::Produced(produced))) => {
                    if let Some(delta) = self.produced(index, produced) {
                        return Some(Ok(delta));
                    }
                }
            }
        }
    }

    fn fail(&mut self, problem: &str) -> ApiError {
        self.ledger.outcome = Some("failed");
        ApiError::unavailable(problem)
    }

    fn produced(&mut self, index: usize, produced: Produced) -> Option<Delta> {
        let choice = self.choices.get_mut(index).filter(|choice| !choice.is_over())?;
        let delta = match produced {
            // The others go on from what the first of their prompt has read; the prompt is counted once, and so is what was known of it.
            Produced::Read { .. } if !index.is_multiple_of(self.choices_of_prompt) => return None,
            Produced::Read { reused } => {
                self.ledger.usage.cached += reused;
                self.ledger.counted.cached_tokens.inc_by(reused as u64);
                return None;
            }
            Produced::Token(chosen) => {
                self.ledger.token(index);
                let bytes = self.text.bytes(chosen.id).unwrap_or_default();
                choice.token(&bytes, logprob(&self.text, &chosen))
            }
            Produced::Ended(end) => choice.end(end),
        };
        if let Some(finish) = delta.finish {
            self.ledger.broken_calls += choice.broken_calls();
            // A stop string is ours to see: the generator would go on.
            self.line.cancel(index);
            self.ledger.outcome = self.line.is_empty().then_some(finish.name());
        }
        Some(delta)
    }

    /// The tokens so far.
    pub(super) fn usage(&mut self) -> Usage {
        let usage = &mut self.ledger.usage;
        usage.answer = self.choices.iter().map(Choice::tokens).sum();
        usage.thought = self.choices.iter().map(Choice::thought_tokens).sum();
        *usage
    }

    /// All answers at once.
    pub(super) async fn whole(mut self) -> Result<String, ApiError> {
        let empty = |index| Delta { index, parts: Vec::new(), logprobs: Vec::new(), finish: None };
        let mut answers: Vec<Delta> = (0..self.choices.len()).map(empty).collect();
        while let Some(delta) = self.next().await {
            let delta = delta?;
            reply::add(&mut answers[delta.index], delta);
        }
        let usage = self.usage();
        Ok(self.head.whole(answers, usage))
    }
}

/// Waits until all requests of a line are admitted; gives what came meanwhile.
async fn admitted(line: &mut Line, number: usize) -> Result<VecDeque<(usize, Event)>, ApiError> {
    let (mut missing, mut early) = (number, VecDeque::new());
    while missing > 0 {
        match line.next().await {
            Some((_, Event::Admitted)) => missing -= 1,
            Some((_, Event::Refused(problem))) => return Err(ApiError::invalid(problem)),
            Some((_, Event::Failed(problem))) => return Err(ApiError::unavailable(problem)),
            Some((_, Event::Broken(problem))) => return Err(ApiError::failed(problem)),
            Some(event) => early.push_back(event),
            None => return Err(ApiError::unavailable("the model dropped the request; ask again")),
        }
    }
    Ok(early)
}

/// A token's probability as it is told.
fn logprob(text: &ChatTokenizer, chosen: &Chosen) -> Option<Logprob> {
    let one = |id: u32, logprob: f32| {
        let bytes = text.bytes(id).unwrap_or_default();
        let token = match std::str::from_utf8(&bytes) {
            // Special tokens have a name and no text.
            Ok("") => text.name(id).unwrap_or_default(),
            Ok(text) => text.to_owned(),
            // Part of a character, as OpenAI writes it.
            Err(_) => bytes.iter().fold("bytes:".to_owned(), |token, byte| format!("{token}\\x{byte:02x}")),
        };
        Logprob { token, bytes, logprob, top: Vec::new() }
    };
    let top = chosen.top.iter().map(|(id, logprob)| one(*id, *logprob)).collect();
    chosen.logprob.map(|logprob| Logprob { top, ..one(chosen.id, logprob) })
}
