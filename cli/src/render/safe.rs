//! What this program prints, made safe: text by [`vertigo::printable`], text with our own styles in it, and JSON.
//!
//! Promise: [`styled`] lets only our own styles through; [`json`] changes nothing that a document says.

pub(crate) use vertigo::printable::{json, line, text};

/// What [`crate::render::output`] switches styles with: plain, bold, dim, and each [`Hue`](crate::render::output::Hue). They
/// colour and do no more.
const STYLES: [&str; 7] =
    ["\u{1b}[0m", "\u{1b}[1m", "\u{1b}[2m", "\u{1b}[31m", "\u{1b}[32m", "\u{1b}[33m", "\u{1b}[36m"];

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

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::render::output::{Hue, style};
    use anstyle::Style;
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
        !unstyled.contains(|c| vertigo::printable::is_harmful(c) && !matches!(c, '\n' | '\t'))
    }

    #[test]
    fn each_style_of_ours_is_let_through() {
        let hues = [Hue::Red, Hue::Green, Hue::Yellow, Hue::Cyan].map(style);
        for style in hues.into_iter().chain([Style::new().bold(), Style::new().dimmed(), hues[0].bold()]) {
            let text = format!("{style}text{style:#}");
            assert_eq!(styled(&text), text);
        }
    }

    proptest! {
        #[test]
        fn nothing_that_a_terminal_obeys_is_left(outside in hostile()) {
            prop_assert!(is_harmless(&styled(&outside)));
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
}
