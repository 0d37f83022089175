//! Text from outside on its way into the page.
//!
//! Promise: whatever a text has in it, the page shows it as text. `<`, `>`, `&` and quotes are escaped; what HTML does not
//! allow (control characters, code points that are no characters) stands as a picture of itself; marks that turn the
//! direction of writing around, with which code can be made to look like other code, are named.

use maud::{Escaper, Render};
use std::fmt::Write;

/// A text as the page shows it, in at most so many bytes.
pub struct Said<'t> {
    text: &'t str,
    bytes_max: usize,
}

/// Names and messages of one line.
const LINE_BYTES_MAX: usize = 2_000;

/// A name, or a message of about a line.
pub fn line(text: &str) -> Said<'_> {
    text_of(text, LINE_BYTES_MAX)
}

/// A text of at most so many bytes; what is more is cut, and the page says so.
pub fn text_of(text: &str, bytes_max: usize) -> Said<'_> {
    Said { text, bytes_max }
}

/// The part of a text that the page has room for.
pub fn beginning(text: &str, bytes_max: usize) -> &str {
    &text[..text.floor_char_boundary(bytes_max)]
}

/// What stands where a text was cut, with how much of it is not there.
pub fn rest_said(text: &str, bytes_max: usize) -> Option<String> {
    let rest = text.len() - beginning(text, bytes_max).len();
    (rest > 0).then(|| format!("… {rest} more bytes are not on this page; the report has them."))
}

impl Render for Said<'_> {
    fn render_to(&self, out: &mut String) {
        escape(beginning(self.text, self.bytes_max), out);
        if let Some(rest) = rest_said(self.text, self.bytes_max) {
            escape(&format!(" {rest}"), out);
        }
    }
}

/// Appends a text to HTML, as text.
pub fn escape(text: &str, out: &mut String) {
    let mut plain = 0;
    for (at, c) in text.char_indices() {
        let Some(picture) = picture(c) else { continue };
        put(&text[plain..at], out);
        out.push_str(&picture);
        plain = at + c.len_utf8();
    }
    put(&text[plain..], out);
}

fn put(text: &str, out: &mut String) {
    // Writing to a string does not fail.
    let _ = Escaper::new(out).write_str(text);
}

/// What stands for a character that the page cannot or must not have.
fn picture(c: char) -> Option<String> {
    match c {
        '\t' | '\n' | ' '..='~' => None,
        // Unicode has pictures of the control characters of ASCII, in their order.
        '\0'..='\u{1f}' => char::from_u32(0x2400 + u32::from(c)).map(String::from),
        '\u{7f}' => Some('\u{2421}'.to_string()),
        // Control characters beyond ASCII, and marks of direction.
        '\u{80}'..='\u{9f}'
        | '\u{200e}'
        | '\u{200f}'
        | '\u{61c}'
        | '\u{202a}'..='\u{202e}'
        | '\u{2066}'..='\u{2069}' => Some(format!("⟨U+{:04X}⟩", u32::from(c))),
        '\u{fdd0}'..='\u{fdef}' => Some('\u{fffd}'.to_string()),
        // The last two code points of each plane are no characters.
        c if u32::from(c) & 0xfffe == 0xfffe => Some('\u{fffd}'.to_string()),
        _ => None,
    }
}

/// The id of a task's place in the page, and what links to it: letters of any kind that an address has as they are, all
/// others as `%` and the hexadecimal digits of their bytes.
pub(super) fn anchor(task: &str) -> String {
    let mut out = "task-".to_owned();
    for byte in task.bytes() {
        if byte.is_ascii_alphanumeric() || b"._-/".contains(&byte) {
            out.push(char::from(byte));
        } else {
            // Writing to a string does not fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}
