//! The engine behind [`Generate`]: who is read, who is answered, what is kept, within a bound of bytes.
//!
//! Prompts are read in the order of admission and in pieces, a few at a time that take turns: a long prompt does not hold up a short one.
//! Between two pieces all answers under way get a token: no token is delayed by more than one piece. A prompt that begins as one that is
//! being read waits until that has come to the border they share, and others pass it: what prompts that arrive together begin with is
//! read once.

use super::Generate;
use super::adapters::Adapter;
use super::answer::Answer;
use super::batch::{self, Pasts};
use super::forward::{Engine, Wanted};
use super::kept::{Kept, NodeId};
use super::request::{AdapterId, Load, Produced, Request, RequestId};
use super::room::{Limits, Room};
use crate::error::{EngineError, Result};
use crate::model::Model;
use mlx_rs::transforms::eval;
use std::collections::VecDeque;
use std::path::Path;

/// Tokens of a prompt that are read at once. What a piece takes while it is computed grows with it; its keys and values do anyway.
const PIECE_TOKENS: usize = 512;

/// Prompts that are read at the same time. Each takes as many times as long as they are.
const READING_MAX: usize = 3;

/// Requests at the head of the queue of which one may begin: those before it wait for what others are reading.
const PASSED_MAX: usize = 64;

/// Where a sequence goes on from: a node of what is kept, and how many tokens that knows.
type Origin = Option<(NodeId, usize)>;

/// Makes tokens of prompts with a model, for as many requests at the same time as there is room for.
///
/// MLX computes on a stream of the thread that calls it, so a generator is made on the thread that steps it, and stays there:
///
/// ```no_run,standalone_crate
/// use vertigo_engine::Model;
/// use vertigo_engine::generate::{Generate, Generator, Limits, Produced, Request, RequestId, Sampling};
/// # fn run(prompt: Vec<u32>) -> Result<(), vertigo_engine::EngineError> {
/// let model = Model::load("models/qwen3.5-4b-4bit".as_ref())?;
/// let mut generator = Generator::new(model, Limits { bytes: 8 << 30, answers_max: 32 })?;
/// let sampling = Sampling::default();
/// let request = Request {
///     prompt, borders: vec![], adapter: None, sampling, tokens_max: 64, ends: vec![], logprobs: None, thought: None,
/// };
/// generator.admit(RequestId(1), request)?;
/// while !generator.is_idle() {
///     for (id, produced) in generator.step()? {
///         println!("{id:?}: {produced:?}");
///     }
/// }
/// # Ok(()) }
/// ```
pub struct Generator {
    engine: Engine,
    limits: Limits,
    room: Room,
    waiting: VecDeque<Answer>,
    /// Prompts that are read, from the one whose turn is next.
    reading: VecDeque<Reading>,
    /// Answers under way, sorted by adapter.
    rows: Vec<Row>,
    /// Their caches, row by row.
    pasts: Pasts,
    kept: Kept<Pasts>,
    /// Whether the last step read a piece, so that the next one makes tokens.
    has_just_read: bool,
    /// Why the next step fails: a request could not be taken out of the batch.
    failed: Option<EngineError>,
    tokens_read: u64,
    tokens_reused: u64,
    tokens_made: u64,
}

/// A prompt that is being read.
struct Reading {
    answer: Answer,
    pasts: Pasts,
    /// Tokens of the prompt that are in the caches.
    read: usize,
    reused: usize,
    origin: Origin,
}

/// An answer under way.
struct Row {
    answer: Answer,
    /// How many of its tokens the model has read; the last one it reads next.
    fed: usize,
    origin: Origin,
}

impl Generator {
    /// Lays `model` out for answers, which takes the place of how it was.
    ///
    /// # Errors
    /// MLX's.
    pub fn new(model: Model, limits: Limits) -> Result<Generator> {
        let engine = Engine::new(model)?;
        Ok(Generator {
            room: engine.room(),
            engine,
            limits,
            waiting: VecDeque::new(),
            reading: VecDeque::new(),
            rows: Vec::new(),
            pasts: Pasts::new(),
            kept: Kept::default(),
            has_just_read: false,
            failed: None,
            tokens_read: 0,
            tokens_reused: 0,
            tokens_made: 0,
        })
    }

    /// Loads a low-rank adapter, in mlx-lm's two files, to be used beside the model's weights.
    ///
    /// # Errors
    /// [`EngineError::Input`] where it holds full weights, which have to be fused, or does not fit the model; both say what to do.
    pub fn add_adapter(&mut self, folder: &Path) -> Result<AdapterId> {
        let adapter = Adapter::read(folder, self.engine.shape())?;
        self.engine.add_adapter(adapter)
    }

    /// Lets go of an adapter, and of all that was kept of requests with it.
    ///
    /// # Errors
    /// [`EngineError::Input`] where there is no such adapter, or a request with it has not ended.
    pub fn remove_adapter(&mut self, id: AdapterId) -> Result<()> {
        if self.answers().any(|answer| answer.request.adapter == Some(id)) {
            return Err(EngineError::input(format!(
                "adapter {} is in use: cancel its requests first, or wait for them",
                id.0
            )));
        }
        if !self.engine.adapters.remove(id) {
            return Err(EngineError::input(format!("there is no adapter {}", id.0)));
        }
        self.kept.forget(id);
        Ok(())
    }

    /// All requests that have not ended.
    fn answers(&self) -> impl Iterator<Item = &Answer> {
        self.waiting.iter().chain(self.running())
    }

    /// Those that are read or answered.
    fn running(&self) -> impl Iterator<Item = &Answer> {
        self.reading.iter().map(|reading| &reading.answer).chain(self.rows.iter().map(|row| &row.answer))
    }

    /// What a request's caches take when it has all its tokens.
    fn bytes_of(&self, request: &Request) -> u64 {
        self.room.bytes(request.prompt.len().saturating_add(request.tokens_max))
    }

    fn running_bytes(&self) -> u64 {
        self.running().map(|answer| self.bytes_of(&answer.request)).fold(0, u64::saturating_add)
    }

    fn check(&self, id: RequestId, request: &Request) -> std::result::Result<(), String> {
        if self.answers().any(|answer| answer.id == id) {
            return Err(format!("request {} is under way already", id.0));
        }
        if request.prompt.is_empty() {
            return Err("the prompt has no token".to_owned());
        }
        let vocab = self.engine.shape().vocab;
        if let Some(token) = request.prompt.iter().find(|&&token| u64::from(token) >= vocab) {
            return Err(format!("the prompt's token {token} is beyond the vocabulary of {vocab}"));
        }
        if let Some(id) = request.adapter.filter(|&id| self.engine.adapters.get(id).is_none()) {
            return Err(format!("there is no adapter {}", id.0));
        }
        let (tokens, bytes) = (request.prompt.len().saturating_add(request.tokens_max), self.bytes_of(request));
        if bytes > self.limits.bytes || i32::try_from(tokens).is_err() {
            return Err(format!(
                "{} tokens of prompt and {} of answer need {bytes} bytes of caches, and there are {} in all: ask for a shorter answer, or \
                 give the model more memory",
                request.prompt.len(),
                request.tokens_max,
                self.limits.bytes
            ));
        }
        Ok(())
    }

    /// Whether another prompt that is being read will be kept farther on from here than anything is yet that `request` begins with.
    fn waits_for_another(&self, request: &Request) -> bool {
        let prompt = &request.prompt[..request.prompt.len() - 1];
        let known = self.kept.find(request.adapter, prompt).map_or(0, |(_, tokens)| tokens);
        self.reading.iter().any(|reading| {
            let other = &reading.answer.request;
            let shared = prompt.iter().zip(&other.prompt).take_while(|(ours, theirs)| ours == theirs).count();
            let is_ahead = |&border: &usize| border > reading.read.max(known) && border <= shared;
            other.adapter == request.adapter && other.borders.iter().any(is_ahead)
        })
    }

    /// Begins to read the request that has waited longest and need not wait for what another one reads, where there is room for all that
    /// it may need. Whether it did.
    fn start(&mut self) -> Result<bool> {
        let answers = self.reading.len() + self.rows.len();
        if self.reading.len() >= READING_MAX || answers >= self.limits.answers_max.max(1) {
            return Ok(false);
        }
        let mut first = self.waiting.iter().take(PASSED_MAX);
        let Some(at) = first.position(|answer| !self.waits_for_another(&answer.request)) else { return Ok(false) };
        let next = &self.waiting[at];
        let room = self.limits.bytes.saturating_sub(self.running_bytes());
        let need = self.bytes_of(&next.request);
        if need > room {
            return Ok(false);
        }
        // The last token is always read, because what the model says after it is not kept.
        let prompt = &next.request.prompt;
        let known = self.kept.longest(next.request.adapter, &prompt[..prompt.len() - 1]);
        let parts = known.map_or(Vec::new(), |(node, _)| self.kept.path(node).into_iter().cloned().collect());
        // What there is no room for beside its own copy moves into the request, and is kept again where the answer ends.
        let origin = match known {
            Some((node, _)) => self.kept.shrink_with(room - need, node),
            None => {
                self.kept.shrink(room - need, None);
                None
            }
        };
        let origin = origin.map(|node| (node, self.kept.line_tokens(node)));
        let pasts = if parts.is_empty() { self.engine.empty()? } else { batch::whole(parts)? };
        let Some(answer) = self.waiting.remove(at) else { return Ok(false) };
        let reused = known.map_or(0, |(_, tokens)| tokens);
        self.tokens_reused += reused as u64;
        self.reading.push_back(Reading { answer, pasts, read: reused, reused, origin });
        Ok(true)
    }

    /// Reads the next piece of a prompt.
    fn read_piece(&mut self, mut reading: Reading) -> Result<Vec<(RequestId, Produced)>> {
        let Request { prompt, borders, adapter, .. } = &reading.answer.request;
        let (start, length) = (reading.read, prompt.len());
        let border = borders.iter().copied().find(|&border| border > start).unwrap_or(length);
        let end = (start + PIECE_TOKENS).min(border).min(length);
        let wanted = match end == length {
            false => Wanted::Nothing,
            true if reading.answer.asks_for_logits() => Wanted::Logits,
            true => Wanted::Best,
        };
        let says = self.engine.read(&mut reading.pasts, &prompt[start..end], *adapter, wanted)?;
        self.tokens_read += (end - start) as u64;
        reading.read = end;
        if end == border && borders.contains(&border) {
            let tokens = prompt[..end].to_vec();
            // Its own caches are there while it is not back in its place.
            let beside = self.bytes_of(&reading.answer.request);
            reading.origin = self.keep(beside, reading.origin, *adapter, tokens, reading.pasts.clone())?;
        }
        let Some(says) = says else {
            self.reading.push_back(reading);
            return Ok(Vec::new());
        };
        let Reading { mut answer, pasts, reused, origin, .. } = reading;
        let id = answer.id;
        let mut produced = vec![Produced::Read { reused }];
        produced.extend(answer.take(says.best[0], says.row(0)));
        self.count(&produced);
        let row = Row { answer, fed: 0, origin };
        if matches!(produced.last(), Some(Produced::Ended(_))) {
            self.keep_answer(0, &row, pasts)?;
        } else {
            let at = self.rows.partition_point(|other| other.answer.request.adapter <= row.answer.request.adapter);
            batch::join(&mut self.pasts, pasts, at)?;
            self.rows.insert(at, row);
        }
        Ok(produced.into_iter().map(|produced| (id, produced)).collect())
    }

    /// Makes the next token of every answer under way.
    fn make_tokens(&mut self) -> Result<Vec<(RequestId, Produced)>> {
        let asks = self.rows.iter().any(|row| row.answer.asks_for_logits());
        let wanted = if asks { Wanted::Logits } else { Wanted::Best };
        let last = |row: &Row| row.answer.made.last().copied().unwrap_or_default();
        let tokens: Vec<u32> = self.rows.iter().map(last).collect();
        let runs = batch::runs(self.rows.iter().map(|row| row.answer.request.adapter));
        let says = self.engine.next(&mut self.pasts, &tokens, &runs, wanted)?;
        let mut all = Vec::new();
        let mut staying = Vec::with_capacity(self.rows.len());
        for (at, row) in self.rows.iter_mut().enumerate() {
            row.fed = row.answer.made.len();
            let logits = if row.answer.asks_for_logits() { says.row(at) } else { None };
            let produced = row.answer.take(says.best[at], logits);
            if !matches!(produced.last(), Some(Produced::Ended(_))) {
                staying.push(at);
            }
            all.extend(produced.into_iter().map(|produced| (row.answer.id, produced)));
        }
        self.count(all.iter().map(|(_, produced)| produced));
        if staying.len() < self.rows.len() {
            self.end_others(&staying)?;
        }
        Ok(all)
    }

    /// Takes out the rows that are not `staying`, and keeps their caches for the next turn.
    fn end_others(&mut self, staying: &[usize]) -> Result<()> {
        let leaving = (0..self.rows.len()).filter(|at| !staying.contains(at));
        let pasts: Vec<Pasts> = leaving.map(|at| batch::take_row(&mut self.pasts, at)).collect::<Result<_>>()?;
        batch::keep_rows(&mut self.pasts, staying)?;
        eval(batch::arrays(&self.pasts))?;
        let (mut rows, mut ended) = (Vec::with_capacity(staying.len()), Vec::with_capacity(pasts.len()));
        for (at, row) in self.rows.drain(..).enumerate() {
            if staying.contains(&at) { rows.push(row) } else { ended.push(row) }
        }
        self.rows = rows;
        let mut left: u64 = ended.iter().map(|row| self.bytes_of(&row.answer.request)).sum();
        for (row, pasts) in ended.iter().zip(pasts) {
            left -= self.bytes_of(&row.answer.request);
            self.keep_answer(left, row, pasts)?;
        }
        Ok(())
    }

    /// Keeps what is known at the end of an answer, whose caches these were.
    fn keep_answer(&mut self, beside: u64, row: &Row, pasts: Pasts) -> Result<()> {
        let Answer { request, made, .. } = &row.answer;
        let tokens = [&request.prompt, &made[..row.fed]].concat();
        self.keep(beside, row.origin, request.adapter, tokens, pasts)?;
        Ok(())
    }

    /// Keeps the caches of `tokens`, where there is room beside the running requests and `beside` more bytes once what was used longer ago
    /// has gone. Where to go on from.
    fn keep(
        &mut self,
        beside: u64,
        origin: Origin,
        adapter: Option<AdapterId>,
        tokens: Vec<u32>,
        pasts: Pasts,
    ) -> Result<Origin> {
        let origin = origin.filter(|(node, _)| self.kept.has(*node));
        let (node, start) = (origin.map(|(node, _)| node), origin.map_or(0, |(_, tokens)| tokens));
        let taken = self.running_bytes().saturating_add(beside).saturating_add(self.room.exactly(tokens.len() - start));
        let room = self.limits.bytes.checked_sub(taken);
        if start == tokens.len() || !room.is_some_and(|room| self.kept.shrink(room, node)) {
            return Ok(origin);
        }
        let kept = batch::without_room(pasts, start as i32)?;
        let (end, bytes) = (tokens.len(), batch::bytes(&kept));
        let node = self.kept.insert(node, adapter, tokens[start..].to_vec(), kept, bytes);
        Ok(Some((node, end)))
    }

    fn count<'a>(&mut self, produced: impl IntoIterator<Item = &'a Produced>) {
        let tokens = produced.into_iter().filter(|produced| matches!(produced, Produced::Token(_)));
        self.tokens_made += tokens.count() as u64;
    }

    fn advance(&mut self) -> Result<Vec<(RequestId, Produced)>> {
        while self.start()? {}
        let is_turn_to_read = !self.has_just_read || self.rows.is_empty();
        let reading = if is_turn_to_read { self.reading.pop_front() } else { None };
        self.has_just_read = reading.is_some();
        match reading {
            Some(reading) => self.read_piece(reading),
            None if self.rows.is_empty() => Ok(Vec::new()),
            None => self.make_tokens(),
        }
    }
}

impl Generate for Generator {
    fn admit(&mut self, id: RequestId, mut request: Request) -> Result<()> {
        self.check(id, &request).map_err(EngineError::Input)?;
        let length = request.prompt.len();
        request.borders.retain(|border| (1..=length).contains(border));
        request.borders.sort_unstable();
        self.waiting.push_back(Answer::new(id, request));
        Ok(())
    }

    fn cancel(&mut self, id: RequestId) {
        if self.failed.is_some() {
            // The next step says so and lets go of everything: what is in the caches may be half of something.
            return;
        }
        self.waiting.retain(|answer| answer.id != id);
        self.reading.retain(|reading| reading.answer.id != id);
        let staying: Vec<usize> = (0..self.rows.len()).filter(|&at| self.rows[at].answer.id != id).collect();
        if staying.len() < self.rows.len() {
            self.failed = self.end_others(&staying).err();
        }
    }

    fn step(&mut self) -> Result<Vec<(RequestId, Produced)>> {
        let produced = self.failed.take().map_or_else(|| self.advance(), Err);
        if produced.is_err() {
            // Half a step may lie in the caches. What is kept goes too: for want of memory is why most steps fail.
            self.waiting.clear();
            self.reading.clear();
            self.rows.clear();
            self.pasts.clear();
            self.kept = Kept::default();
        }
        produced
    }

    fn load(&self) -> Load {
        Load {
            waiting: self.waiting.len(),
            running: self.running().count(),
            running_bytes: self.running_bytes(),
            kept_bytes: self.kept.bytes(),
            tokens_read: self.tokens_read,
            tokens_reused: self.tokens_reused,
            tokens_made: self.tokens_made,
        }
    }
}

#[cfg(test)]
mod tests;
