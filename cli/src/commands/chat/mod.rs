//! `vertigo chat`: a conversation with a model that a service answers with, in the terminal or for a script.

mod lines;
mod place;
mod service;
mod stream;
mod talk;

use crate::bounded;
use crate::cli::{ChatArgs, Switch};
use crate::coordinator::Coordinator;
use crate::error::{CliError, Exit, Result};
use crate::render::output::{Output, dimmed};
use lines::{Lines, Typed};
use serde_json::json;
use service::Service;
use std::path::Path;
use stream::{Answer, Call, Piece};
use talk::{HELP, Line, Talk};

/// The largest file of tools.
const TOOLS_BYTES_MAX: u64 = 1 << 20;

pub(crate) async fn run(args: &ChatArgs, coordinator: &Coordinator, output: Output) -> Result<()> {
    let endpoint = match &args.url {
        Some(url) => {
            place::parse_url(url).map_err(|problem| CliError::new(Exit::Usage, format!("--url: {problem}")))?
        }
        None => place::find(&args.model, coordinator).await?,
    };
    let tools = args.tools.as_deref().map(tools_of).transpose()?.unwrap_or_default();
    let talk = Talk {
        model: args.model.clone(),
        system: args.system.clone().unwrap_or_default(),
        tools,
        thinks: args.think.map(|switch| switch == Switch::On),
        tokens_max: args.max_tokens,
        temperature: args.temperature,
        ..Talk::default()
    };
    let service = Service::new(endpoint);
    match &args.message {
        Some(message) => once(talk, message, &service, output).await,
        None if output.is_json() => Err(CliError::new(Exit::Usage, "--json needs a --message to answer")),
        None => Session { talk, service, output }.converse().await,
    }
}

/// One message and its answer, for scripts: the answer's text alone, or all that is known of it.
async fn once(mut talk: Talk, message: &str, service: &Service, output: Output) -> Result<()> {
    talk.say(message);
    let mut answer = Answer::default();
    service.answer(&talk, &mut answer, |_| {}).await?;
    let document = || {
        json!({
            "url": service.url(),
            "model": answer.model,
            "answer": answer.text,
            "thought": answer.thought,
            "tool_calls": answer.calls.iter().map(talk::call_json).collect::<Vec<_>>(),
            "finish_reason": answer.finish,
            "usage": answer.usage.map(|it| json!({
                "prompt_tokens": it.prompt_tokens,
                "completion_tokens": it.completion_tokens,
            })),
        })
    };
    if output.is_json() {
        output.show(document, String::new);
        return Ok(());
    }
    if !answer.text.is_empty() || answer.calls.is_empty() {
        output.line(&answer.text);
    }
    answer.calls.iter().for_each(|call| output.line(&call_line(call)));
    Ok(())
}

/// A conversation in a terminal.
struct Session {
    talk: Talk,
    service: Service,
    output: Output,
}

impl Session {
    async fn converse(mut self) -> Result<()> {
        let mut lines = Lines::new()?;
        self.output.note(&format!("{} at {}; /help lists commands, Ctrl-D ends", self.talk.model, self.service.url()));
        loop {
            let line = match lines.next("> ").await? {
                Typed::Line(line) => line,
                Typed::Nothing => continue,
                Typed::End => return Ok(()),
            };
            match Line::read(&line) {
                Line::Say(text) => {
                    self.talk.say(&text);
                    self.answer(&mut lines).await?;
                }
                Line::Quit => return Ok(()),
                line => self.set(line),
            }
        }
    }

    /// Carries out a command that asks the model nothing.
    fn set(&mut self, line: Line) {
        let note = |text: &str| self.output.note(text);
        match line {
            Line::System(text) => {
                note(if text.is_empty() {
                    "nothing is told before all else any more"
                } else {
                    "told before all else from now on"
                });
                self.talk.system = text;
            }
            Line::Tools(file) if file.is_empty() => {
                note("no tools any more");
                self.talk.tools.clear();
            }
            Line::Tools(file) => match tools_of(Path::new(&file)) {
                Ok(tools) => {
                    note(&format!("{} tools from now on", tools.len()));
                    self.talk.tools = tools;
                }
                Err(error) => note(&error.message),
            },
            Line::Think(thinks) => {
                note(if thinks { "it thinks before it answers" } else { "it answers without thinking" });
                self.talk.thinks = Some(thinks);
            }
            Line::Clear => {
                note("the conversation is forgotten");
                self.talk.clear();
            }
            Line::Help => note(HELP),
            Line::Wrong(problem) => note(&problem),
            Line::Say(_) | Line::Quit | Line::Empty => {}
        }
    }

    /// Has the model answer, and go on with what its tools gave, for as long as it calls any.
    async fn answer(&mut self, lines: &mut Lines) -> Result<()> {
        loop {
            let mut answer = Answer::default();
            let mut shown = Shown::new(self.output);
            let ended = tokio::select! {
                ended = self.service.answer(&self.talk, &mut answer, |piece| shown.piece(&piece)) => Some(ended),
                interrupt = tokio::signal::ctrl_c() => {
                    interrupt.map_err(CliError::refused)?;
                    None
                }
            };
            shown.end();
            match ended {
                Some(Ok(())) => {}
                Some(Err(error)) => {
                    // What was said stays unanswered; it can be said again.
                    self.output.error(&error);
                    self.talk.unsay();
                    return Ok(());
                }
                None => {
                    self.output.note("stopped");
                    answer.calls.clear();
                }
            }
            if answer.finish.as_deref() == Some("length") {
                self.output.note("the answer is as long as it may be");
            }
            let results = self.results(&answer.calls, lines).await?;
            let Some(results) = results else {
                // A call that nobody answered is no part of the conversation.
                answer.calls.clear();
                self.talk.hear(&answer);
                return Ok(());
            };
            self.talk.hear(&answer);
            if results.is_empty() {
                return Ok(());
            }
            answer.calls.iter().zip(&results).for_each(|(call, result)| self.talk.tell(call, result));
        }
    }

    /// Shows calls, and asks for what each tool gives. `None` where somebody leaves one unanswered.
    async fn results(&self, calls: &[Call], lines: &mut Lines) -> Result<Option<Vec<String>>> {
        let mut results = Vec::new();
        calls.iter().for_each(|call| self.output.line(&call_line(call)));
        for call in calls {
            let name = vertigo::printable::line(&call.name).into_owned();
            match lines.next(&format!("what {name} gives (empty: leave it)> ")).await? {
                Typed::Line(result) if !result.trim().is_empty() => results.push(result),
                Typed::Line(_) | Typed::Nothing | Typed::End => return Ok(None),
            }
        }
        Ok(Some(results))
    }
}

/// An answer on the terminal, as far as it has come: thoughts are dimmed.
struct Shown {
    output: Output,
    is_thinking: bool,
    is_begun: bool,
}

impl Shown {
    fn new(output: Output) -> Shown {
        Shown { output, is_thinking: false, is_begun: false }
    }

    fn piece(&mut self, piece: &Piece) {
        match piece {
            Piece::Thought(text) => {
                self.output.piece(&dimmed(text));
                self.is_thinking = true;
            }
            Piece::Text(text) => {
                // The white space between a thought and its answer is neither's.
                let text = if std::mem::take(&mut self.is_thinking) {
                    format!("\n{}", text.trim_start())
                } else {
                    text.clone()
                };
                self.output.piece(&vertigo::printable::text(&text));
            }
        }
        self.is_begun = true;
    }

    fn end(&self) {
        if self.is_begun {
            self.output.piece("\n");
        }
    }
}

fn call_line(call: &Call) -> String {
    format!("calls {}({})", call.name, call.arguments)
}

fn tools_of(file: &Path) -> Result<Vec<serde_json::Value>> {
    let wrong = |problem: String| CliError::new(Exit::Usage, format!("tools {}: {problem}", file.display()));
    let text = bounded::read(file, TOOLS_BYTES_MAX).map_err(|error| wrong(error.to_string()))?;
    talk::read_tools(&text).map_err(wrong)
}

#[cfg(test)]
mod tests;
