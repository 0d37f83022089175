//! What a person types, line by line: with an editor on a terminal, as it comes from a pipe.

use crate::error::{CliError, Result};
use rustyline::error::ReadlineError;
use rustyline::history::MemHistory;
use rustyline::{Config, Editor};
use std::sync::mpsc as blocking;
use std::thread;
use tokio::sync::mpsc;

/// The most that is taken of one message.
const MESSAGE_BYTES_MAX: usize = 256 << 10;

/// What came of a prompt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Typed {
    Line(String),
    /// Ctrl-C at a prompt: whatever stood there is gone.
    Nothing,
    /// Ctrl-D, or the end of the pipe.
    End,
}

/// Lines that are asked for. The editor waits in a thread of its own, and so that nothing else does: it knows no async.
pub(super) struct Lines {
    prompts: blocking::Sender<String>,
    typed: mpsc::Receiver<rustyline::Result<Typed>>,
}

impl Lines {
    pub(super) fn new() -> Result<Lines> {
        let config = Config::builder().auto_add_history(true).build();
        let editor = Editor::<(), MemHistory>::with_history(config, MemHistory::new());
        let mut editor = editor.map_err(|error| CliError::refused(format!("cannot read what is typed: {error}")))?;
        let (prompts, asked) = blocking::channel::<String>();
        let (sender, typed) = mpsc::channel(1);
        thread::spawn(move || {
            while let Ok(prompt) = asked.recv() {
                let typed = match editor.readline(&prompt) {
                    Ok(line) => Ok(Typed::Line(line)),
                    Err(ReadlineError::Interrupted) => Ok(Typed::Nothing),
                    Err(ReadlineError::Eof) => Ok(Typed::End),
                    Err(error) => Err(error),
                };
                if sender.blocking_send(typed).is_err() {
                    return;
                }
            }
        });
        Ok(Lines { prompts, typed })
    }

    /// What is typed at a prompt. A line that ends with a backslash goes on in the next one.
    pub(super) async fn next(&mut self, prompt: &str) -> Result<Typed> {
        let mut message = String::new();
        loop {
            let line = match self.one(if message.is_empty() { prompt } else { "… " }).await? {
                Typed::Line(line) => line,
                other => return Ok(other),
            };
            if message.len() + line.len() > MESSAGE_BYTES_MAX {
                return Err(CliError::refused(format!("a message of more than {MESSAGE_BYTES_MAX} bytes")));
            }
            match line.strip_suffix('\\') {
                Some(part) => {
                    message.push_str(part);
                    message.push('\n');
                }
                None => return Ok(Typed::Line(message + &line)),
            }
        }
    }

    async fn one(&mut self, prompt: &str) -> Result<Typed> {
        // Where the thread is gone, so is what it read from.
        if self.prompts.send(prompt.to_owned()).is_err() {
            return Ok(Typed::End);
        }
        match self.typed.recv().await {
            None => Ok(Typed::End),
            Some(typed) => typed.map_err(|error| CliError::refused(format!("cannot read what is typed: {error}"))),
        }
    }
}
