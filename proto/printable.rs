//! Text from outside (names, paths, reasons, log lines) made safe to show.
//!
//! A terminal obeys what it is sent: an escape sequence clears the screen or writes to the clipboard, a carriage return overwrites a
//! line, a mark of direction shows a name backwards. Here such characters become visible and lose their power; letters of every script
//! and emoji stay as they are.
//!
//! Promise: [`text`] gives nothing that a terminal obeys but newlines and tabs; [`line()`] not even those.

use std::borrow::Cow;

/// Whether a terminal obeys the character, or it changes how others are seen without being seen itself.
pub fn is_harmful(c: char) -> bool {
    c.is_control()
        || matches!(c,
            // Directions: marks, embeddings, overrides and isolates.
            '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
            // Line and paragraph separators.
            | '\u{2028}' | '\u{2029}'
            // Unseen: zero-width space, word joiner and invisible operators, shaping controls, byte order mark, annotations, tags. The
            // joiners U+200C and U+200D stay: scripts and emoji are written with them.
            | '\u{200b}' | '\u{2060}'..='\u{2064}' | '\u{206a}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}')
}

/// Text of any number of lines.
pub fn text(text: &str) -> Cow<'_, str> {
    escaped(text, |c| is_harmful(c) && !matches!(c, '\n' | '\t'))
}

/// Text that stays within its line.
pub fn line(text: &str) -> Cow<'_, str> {
    escaped(text, is_harmful)
}

/// `text` with each character that `is_harmful` says written as `\u{…}`.
fn escaped(text: &str, is_harmful: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.contains(&is_harmful) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if is_harmful(c) { safe.extend(c.escape_unicode()) } else { safe.push(c) }
    }
    Cow::Owned(safe)
}

/// A JSON document with what terminals obey written as JSON's own escapes. Outside of strings JSON has only ASCII, so the document
/// says the same.
pub fn json(document: &str) -> String {
    let mut safe = String::with_capacity(document.len());
    for c in document.chars() {
        if is_harmful(c) && c != '\n' {
            let mut units = [0; 2];
            c.encode_utf16(&mut units).iter().for_each(|unit| safe += &format!("\\u{unit:04x}"));
        } else {
            safe.push(c);
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn nothing_that_a_terminal_obeys_is_left(outside in any::<String>(), odd in "[\u{7f}-\u{9f}\u{2000}-\u{206f}\r\n\t\u{1b}]{0,4}") {
            let outside = outside + &odd;
            prop_assert!(!text(&outside).contains(|c: char| is_harmful(c) && !matches!(c, '\n' | '\t')));
            prop_assert!(!line(&outside).contains(is_harmful));
        }
    }

    #[test]
    fn words_of_every_script_and_emoji_stay() {
        for harmless in ["mac-36gb", "Привет", "名前", "ürün", "👩‍💻", "می‌خواهم", "±½"] {
            assert_eq!(line(harmless), harmless);
        }
        assert_eq!(line("a\u{1b}[2Jb\r\u{202e}"), "a\\u{1b}[2Jb\\u{d}\\u{202e}");
    }
}
