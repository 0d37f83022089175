//! A job on the terminal, with a bar that moves, or line by line in a pipe.

use crate::render::narrator::Told;
use crate::render::output::Output;
use crate::render::safe;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::time::Duration;

/// The terminal, or the pipe.
pub(crate) struct Screen {
    output: Output,
    bar: ProgressBar,
}

impl Screen {
    pub(crate) fn new(output: Output) -> Screen {
        if !output.is_live() {
            return Screen { output, bar: ProgressBar::hidden() };
        }
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        bar.set_style(ProgressStyle::default_spinner());
        bar.enable_steady_tick(Duration::from_millis(120));
        Screen { output, bar }
    }

    pub(crate) fn show(&self, told: Option<Told>) {
        match told {
            None => {}
            Some(Told::Line(line)) => self.line(&line),
            Some(Told::Waiting(line)) => {
                self.line(&line);
                self.bar.set_style(ProgressStyle::default_spinner());
                // What is waited for is in the first line.
                self.bar.set_message(safe::line(line.lines().next().unwrap_or_default()).into_owned());
            }
            Some(Told::Progress { at, text }) if self.output.is_live() => {
                let style = ProgressStyle::with_template("{bar:16} {pos}/{len} {msg}");
                self.bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("━╸─"));
                self.bar.set_length(at.total);
                self.bar.set_position(at.done);
                self.bar.set_message(safe::line(&text).into_owned());
            }
            Some(Told::Progress { at, text }) => self.output.line(&format!("{at}  {text}")),
        }
    }

    /// A line that stays, above the bar where there is one.
    pub(crate) fn line(&self, line: &str) {
        self.bar.suspend(|| self.output.line(line));
    }

    /// Something that is no event of the job, likewise.
    pub(crate) fn note(&self, line: &str) {
        self.bar.suspend(|| self.output.note(line));
    }

    pub(crate) fn clear(&self) {
        self.bar.finish_and_clear();
    }
}
