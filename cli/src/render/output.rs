//! What commands print: results on stdout, progress and errors on stderr, JSON where it was asked for.
//!
//! Promise: with `--json`, stdout is JSON and nothing else. What comes from outside reaches no terminal but through [`safe`].
//! Nothing here fails because a reader went away; a result that could not be written whole, such as on a full disk, is a failure.

use crate::cli::Color;
use crate::error::{CliError, Exit};
use crate::render::safe;
use anstyle::{AnsiColor, Style};
use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use serde_json::Value;
use std::io::{ErrorKind, IsTerminal, Write};

/// Columns that tables and lines fit into.
pub(crate) const WIDTH: u16 = 80;

/// Where results go, and in what form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Output {
    json: bool,
}

impl Output {
    pub(crate) fn new(json: bool, color: Color) -> Output {
        match color {
            Color::Auto => {}
            Color::Always => anstream::ColorChoice::Always.write_global(),
            Color::Never => anstream::ColorChoice::Never.write_global(),
        }
        Output { json }
    }

    /// Whether JSON was asked for.
    pub(crate) fn is_json(self) -> bool {
        self.json
    }

    /// Whether what goes to stdout may be coloured.
    pub(crate) fn is_coloured(self) -> bool {
        anstream::AutoStream::choice(&std::io::stdout()) != anstream::ColorChoice::Never
    }

    /// Whether a person watches: progress may redraw itself.
    pub(crate) fn is_live(self) -> bool {
        !self.json && std::io::stderr().is_terminal()
    }

    /// The command's result: one JSON document, or text.
    pub(crate) fn show(self, json: impl FnOnce() -> Value, text: impl FnOnce() -> String) {
        if self.json {
            write_out(&safe::json(&format!("{:#}\n", json())));
        } else {
            self.styled(&text());
        }
    }

    /// One of many JSON documents, one a line.
    pub(crate) fn json_line(self, value: &Value) {
        write_out(&safe::json(&format!("{value}\n")));
    }

    /// A line of text on stdout, without styles.
    pub(crate) fn line(self, text: &str) {
        write_out(&with_newline(safe::text(text).into_owned()));
    }

    /// A piece of a line on stdout, with our styles in it: what comes next goes on behind it.
    pub(crate) fn piece(self, text: &str) {
        write_out(&safe::styled(text));
    }

    /// Text on stdout, with our styles in it.
    pub(crate) fn styled(self, text: &str) {
        write_out(&with_newline(safe::styled(text)));
    }

    /// Something for a person that is no result.
    pub(crate) fn note(self, text: &str) {
        if !self.json {
            write_err(&with_newline(safe::text(text).into_owned()));
        }
    }

    /// Why the command failed.
    pub(crate) fn error(self, error: &CliError) {
        if self.json {
            write_err(&safe::json(&format!("{}\n", error.json())));
        } else {
            write_err(&render_error(error));
        }
    }
}

fn with_newline(mut text: String) -> String {
    if !text.ends_with('\n') {
        text.push('\n');
    }
    text
}

fn write_out(text: &str) {
    let mut out = anstream::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => {}
        // `vertigo jobs | head`: whoever read has seen enough.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => std::process::exit(Exit::Done as i32),
        // Half a result that looks like a whole one is worse than none.
        Err(error) => {
            write_err(&render_error(&CliError::refused(format!("cannot write the result: {error}"))));
            std::process::exit(Exit::Refused as i32);
        }
    }
}

fn write_err(text: &str) {
    // Where stderr is gone there is nobody left to tell.
    let _ = anstream::stderr().lock().write_all(text.as_bytes());
}

fn render_error(error: &CliError) -> String {
    let (red, dim) = (style(Hue::Red).bold(), Style::new().dimmed());
    let mut text = match error.exit {
        // To leave is no error.
        Exit::Interrupted => format!("{}\n", safe::text(&error.message)),
        _ => format!("{red}error:{red:#} {}\n", safe::text(&error.message)),
    };
    if let Some(hint) = &error.hint {
        text += &format!("{dim} hint:{dim:#} {}\n", safe::text(hint));
    }
    text
}

/// What text is coloured with: [`safe::styled`] lets these through and no other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hue {
    Red,
    Green,
    Yellow,
    Cyan,
}

/// Text in a colour.
pub(crate) fn style(hue: Hue) -> Style {
    let color = match hue {
        Hue::Red => AnsiColor::Red,
        Hue::Green => AnsiColor::Green,
        Hue::Yellow => AnsiColor::Yellow,
        Hue::Cyan => AnsiColor::Cyan,
    };
    Style::new().fg_color(Some(color.into()))
}

/// Text that stands out.
pub(crate) fn bold(text: &str) -> String {
    let bold = Style::new().bold();
    format!("{bold}{}{bold:#}", safe::line(text))
}

/// Text that stands back. Each line by itself, so that a style never goes on where a line ends.
pub(crate) fn dimmed(text: &str) -> String {
    let dim = Style::new().dimmed();
    let line = |line: &str| if line.is_empty() { String::new() } else { format!("{dim}{}{dim:#}", safe::text(line)) };
    text.split('\n').map(line).collect::<Vec<_>>().join("\n")
}

/// A table of at most 80 columns without lines. Columns at `right` are numbers.
pub(crate) fn table<const N: usize>(header: [&str; N], right: &[usize], rows: Vec<[String; N]>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_width(WIDTH).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(header);
    // Made safe here and not on the way out, since what a cell shows is as wide as its escapes.
    table.add_rows(rows.into_iter().map(|row| row.map(|cell| safe::line(&cell).into_owned())));
    for (index, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, 2));
        if right.contains(&index) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    let text = table.trim_fmt();
    // Styled as a whole: an escape within a cell would count as columns.
    match text.split_once('\n') {
        Some((header, rows)) => format!("{}\n{rows}\n", bold(header)),
        None => format!("{}\n", bold(text.trim_end())),
    }
}

/// Names and values below one another; a long value goes on below itself. A command stays whole, to be copied.
pub(crate) fn pairs<'a>(pairs: impl IntoIterator<Item = (&'a str, String)>) -> String {
    let pairs: Vec<_> = pairs.into_iter().filter(|(_, value)| !value.is_empty()).collect();
    let width = pairs.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let row = |(name, value): (&str, String)| {
        let value = safe::text(&value).into_owned();
        let value = if value.starts_with("vertigo ") { value + "\n" } else { wrap(&value, width + 4) };
        format!("  {name:width$}  {}", value.trim_start())
    };
    pairs.into_iter().map(row).collect()
}

/// Text broken at spaces into lines of at most 80 columns, each after `indent` spaces.
pub(crate) fn wrap(text: &str, indent: usize) -> String {
    let mut lines = vec![String::new()];
    for word in safe::text(text).split_whitespace() {
        let last = lines.last_mut().map_or(0, |line| line.chars().count());
        if last > 0 && indent + last + 1 + word.chars().count() > usize::from(WIDTH) {
            lines.push(String::new());
        }
        if let Some(line) = lines.last_mut() {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines.iter().map(|line| format!("{:indent$}{line}\n", "")).collect()
}

/// How long ago `then` was at `now`, both in milliseconds since the epoch.
pub(crate) fn age(now: u64, then: u64) -> String {
    duration(now.saturating_sub(then))
}

/// A duration of `ms` milliseconds in its two largest units.
pub(crate) fn duration(ms: u64) -> String {
    let seconds = ms / 1000;
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m {}s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{}h {}m", seconds / 3600, seconds / 60 % 60),
        _ => format!("{}d {}h", seconds / 86_400, seconds / 3600 % 24),
    }
}

/// The part of an id that tables show, which is taken wherever an id is: of a UUIDv7 its millisecond, of a digest 48 bits.
pub(crate) fn short_id(id: &str) -> &str {
    let hex = id.strip_prefix("sha256:").unwrap_or(id);
    let length = if hex.contains('-') { 13 } else { 12 };
    hex.get(..length).unwrap_or(hex)
}

/// A count in thousands, millions or billions where it is large.
pub(crate) fn count(n: u64) -> String {
    let x = n as f64;
    match n {
        0..10_000 => n.to_string(),
        10_000..999_950 => format!("{:.1} k", x / 1e3),
        999_950..999_950_000 => format!("{:.1} M", x / 1e6),
        _ => format!("{:.1} B", x / 1e9),
    }
}

/// A loss as tables show it.
pub(crate) fn loss(value: f64) -> String {
    format!("{value:.3}")
}

/// What people read: text without its styles. For tests.
#[cfg(test)]
pub(crate) fn plain(text: &str) -> String {
    anstream::adapter::strip_str(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::safe::tests::{hostile, is_harmless};
    use proptest::prelude::*;

    #[test]
    fn tables_fit_eighty_columns_whatever_they_hold() {
        let row = |n: usize| [format!("id-{n}"), "word ".repeat(n * 20), "x".repeat(n * 30)];
        let text = plain(&table(["ID", "WORDS", "LONG"], &[], vec![row(1), row(3)]));
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        assert!(text.starts_with("ID"), "{text}");
        assert_eq!(
            plain(&table(["ID", "N"], &[1], vec![["a".into(), "7".into()], ["b".into(), "12".into()]])),
            "\
ID   N
a    7
b   12
"
        );
    }

    #[test]
    fn a_long_value_goes_on_below_itself() {
        let text = pairs([("why", "word ".repeat(30)), ("id", "x".to_owned()), ("none", String::new())]);
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        assert!(
            text.starts_with("  why  word ") && text.contains("\n       word ") && text.ends_with("\n  id   x\n"),
            "{text}"
        );
    }

    #[test]
    fn lines_break_at_spaces_and_lose_no_word() {
        let text = "one two three ".repeat(20);
        let wrapped = wrap(&text, 4);
        assert!(wrapped.lines().all(|line| line.chars().count() <= 80 && line.starts_with("    ")), "{wrapped}");
        assert!(wrapped.split_whitespace().eq(text.split_whitespace()));
        assert_eq!(wrap(&"x".repeat(100), 0), format!("{}\n", "x".repeat(100)), "a long word stays whole");
    }

    #[test]
    fn times_and_counts_are_short() {
        let shown = [0, 59_999, 61_000, 3_600_000 * 5 + 60_000, 86_400_000 * 3].map(duration);
        assert_eq!(shown, ["0s", "59s", "1m 1s", "5h 1m", "3d 0h"]);
        assert_eq!(age(5_000, 9_000), "0s", "a clock that is behind shows no age below zero");
        assert_eq!(
            [999, 65_536, 999_999, 3_000_000, 4_200_000_000].map(count),
            ["999", "65.5 k", "1.0 M", "3.0 M", "4.2 B"]
        );
    }

    #[test]
    fn short_ids_are_prefixes_that_tell_milliseconds_apart() {
        let ids = [vertigo::id::JobId::new().to_string(), vertigo::id::Digest::of(b"x").hex()];
        assert!(ids.iter().all(|id| id.starts_with(short_id(id))));
        assert_eq!(short_id("0190163d-8694-739b-aea5-966c26f8ad91"), "0190163d-8694");
        assert_eq!(short_id("sha256:0123456789abcdef"), "0123456789ab");
        assert_eq!(short_id("abc"), "abc");
    }

    proptest! {
        /// Whatever comes from outside, in whatever is shown: nothing that a terminal obeys but our own styles.
        #[test]
        fn no_text_from_outside_drives_the_terminal(outside in hostile()) {
            let rows = vec![[outside.clone(), "x".to_owned()]];
            let error = CliError::refused(outside.clone()).hint(outside.clone());
            for shown in [
                bold(&outside),
                dimmed(&outside),
                wrap(&outside, 4),
                pairs([("why", outside.clone()), ("to copy", format!("vertigo get {outside}"))]),
                table(["NAME", "X"], &[], rows),
                render_error(&error),
            ] {
                prop_assert!(is_harmless(&shown), "{shown:?}");
            }
        }
    }

    #[test]
    fn an_error_says_what_and_what_next() {
        let error = CliError::refused("no such file").hint("look elsewhere");
        assert_eq!(plain(&render_error(&error)), "error: no such file\n hint: look elsewhere\n");
        assert_eq!(error.json()["exit_code"], 1);
    }
}
