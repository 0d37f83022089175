//! Text from outside (names, paths, reasons, log lines) made safe to show.
//!
//! A terminal obeys what it is sent: an escape sequence clears the screen or writes to the clipboard, a carriage return overwrites a
//! line, a bidi control shows a name backwards. Here such characters become visible and lose their power; letters of every script and
//! emoji stay as they are.
//!
//! Promise: [`text`] gives nothing that a terminal obeys but newlines and tabs; [`line`] not even those; [`styled`] lets only our own
//! four styles through.

use std::borrow::Cow;

/// What [`crate::output`] switches styles with: plain, bold, dim, red. They colour and do no more.
const STYLES: [&str; 4] = ["\u{1b}[0m", "\u{1b}[1m", "\u{1b}[2m", "\u{1b}[31m"];

/// Whether a terminal obeys the character, or it changes how others are seen without being seen itself.
fn is_harmful(c: char) -> bool {
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

/// Text of any number of lines.
pub(crate) fn text(text: &str) -> Cow<'_, str> {
    escaped(text, |c| is_harmful(c) && !matches!(c, '\n' | '\t'))
}

/// Text that stays within its line.
pub(crate) fn line(text: &str) -> Cow<'_, str> {
    escaped(text, is_harmful)
}

/// Text that our own styles are in.
pub(crate) fn styled(styled: &str) -> String {
    let mut safe = String::with_capacity(styled.len());
    let mut rest = styled;
    while let Some(at) = rest.find('\u{1b}') {
        safe += &text(&rest[..at]);
        rest = &rest[at..];
        let known = STYLES.iter().find(|style| rest.starts_with(**style));
        let (head, tail) = rest.split_at(known.map_or(1, |style| style.len()));
        if known.is_some() {
            safe += head
        } else {
            safe += &text(head)
        }
        rest = tail;
    }
    safe + &text(rest)
}

/// A JSON document with what terminals obey written as JSON's own escapes. Outside of strings JSON has only ASCII, so the document
/// says the same.
pub(crate) fn json(document: &str) -> String {
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
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    /// Text with what terminals obey in it.
    pub(crate) fn hostile() -> impl Strategy<Value = String> {
        let sequences = [
            "\u{1b}[2J",
            "\u{1b}]52;c;YQ==\u{7}",
            "\u{9b}31m",
            "\r",
            "\u{202e}",
            "\u{2066}",
            "\u{7f}",
            "\u{2028}",
            "\u{feff}",
            "\u{e0041}",
            "\u{1b}[8m",
            "\u{1b}[0;31m",
            "Привет",
            "👩‍💻",
            "名前",
        ];
        let part = prop_oneof![
            prop::sample::select(sequences.to_vec()).prop_map(str::to_owned),
            any::<String>(),
            "[ -~]{0,9}"
        ];
        prop::collection::vec(part, 0..8).prop_map(|parts| parts.concat())
    }

    /// Whether nothing is left that a terminal obeys, but for newlines, tabs and our own styles.
    pub(crate) fn is_harmless(shown: &str) -> bool {
        let unstyled = STYLES.iter().fold(shown.to_owned(), |text, style| text.replace(style, ""));
        !unstyled.contains(|c| is_harmful(c) && !matches!(c, '\n' | '\t'))
    }

    proptest! {
        #[test]
        fn nothing_that_a_terminal_obeys_is_left(outside in hostile()) {
            prop_assert!(is_harmless(&styled(&outside)));
            prop_assert!(!text(&outside).contains(|c: char| is_harmful(c) && !matches!(c, '\n' | '\t')));
            prop_assert!(!line(&outside).contains(is_harmful));
        }

        #[test]
        fn a_json_document_says_the_same(outside in hostile()) {
            let document = json!({"name": outside, outside.as_str(): [1]});
            for written in [document.to_string(), format!("{document:#}")] {
                let safe = super::json(&written);
                prop_assert_eq!(serde_json::from_str::<Value>(&safe).unwrap(), document.clone());
                prop_assert!(is_harmless(&safe));
            }
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
