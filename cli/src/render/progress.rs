//! Progress of what takes more than a moment: a bar on a terminal, a few lines in a pipe, nothing beside JSON.

use crate::render::output::Output;
use crate::render::safe;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use vertigo::bytes::Bytes;

/// In a pipe, a line after each of this many parts of the whole.
const LINES: u64 = 4;

/// In a pipe, what is smaller than this needs no lines on its way.
const SMALL: u64 = 64 << 20;

/// Bytes on their way.
pub(crate) struct Moving {
    output: Output,
    what: String,
    total: u64,
    done: AtomicU64,
    bar: ProgressBar,
}

impl Moving {
    /// `what` is what happens: "uploading mini-4b".
    pub(crate) fn new(output: Output, what: impl Into<String>, total: Bytes) -> Moving {
        let (what, total) = (safe::line(&what.into()).into_owned(), total.0);
        let bar = if output.is_live() {
            ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr())
        } else {
            output.note(&format!("{what}: {}", Bytes(total)));
            ProgressBar::hidden()
        };
        let style = ProgressStyle::with_template(
            "{msg} {bar:20} {binary_bytes} of {binary_total_bytes} {binary_bytes_per_sec} {eta}",
        );
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("━╸─"));
        bar.set_message(what.clone());
        Moving { output, what, total, done: AtomicU64::new(0), bar }
    }

    /// `bytes` more have moved.
    pub(crate) fn add(&self, bytes: u64) {
        let before = self.done.fetch_add(bytes, Ordering::Relaxed);
        self.bar.inc(bytes);
        if !self.output.is_live()
            && let Some(percent) = percent_passed(before, before + bytes, self.total)
        {
            self.output.note(&format!("{}: {percent} %", self.what));
        }
    }

    /// Says something beside the bar.
    pub(crate) fn note(&self, text: &str) {
        self.bar.suspend(|| self.output.note(text));
    }

    /// All has moved.
    pub(crate) fn finish(self) {
        self.bar.finish_and_clear();
    }
}

/// The last of the parts' borders that moving from `before` to `after` has passed, in percent.
fn percent_passed(before: u64, after: u64, total: u64) -> Option<u64> {
    let part = |bytes: u64| bytes.saturating_mul(LINES) / total.max(1);
    (total >= SMALL && part(after) > part(before)).then(|| part(after) * 100 / LINES)
}

/// Something of unknown length: a spinner on a terminal, a line in a pipe.
pub(crate) fn spinner(output: Output, what: &str) -> ProgressBar {
    if !output.is_live() {
        output.note(what);
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    bar.set_style(ProgressStyle::default_spinner());
    bar.set_message(safe::line(what).into_owned());
    bar.enable_steady_tick(Duration::from_millis(100));
    bar
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pipe_gets_a_line_a_quarter_and_none_for_little() {
        let total = 100 << 20;
        let mut lines = Vec::new();
        for n in 0..100 {
            lines.extend(percent_passed(n << 20, (n + 1) << 20, total));
        }
        assert_eq!(lines, [25, 50, 75, 100]);
        assert_eq!(percent_passed(0, total, total), Some(100));
        assert_eq!(percent_passed(0, 1 << 20, 1 << 20), None);
        assert_eq!(percent_passed(0, 0, 0), None);
    }
}
