//! What every page of ours has around its content: for a browser without network, in any width, in the light and in the dark.
//!
//! Promise: the page loads nothing, and no script runs on it but the one that is given here, which its policy names by its hash.

use super::text::line;
use base64::prelude::{BASE64_STANDARD, Engine};
use maud::{DOCTYPE, Markup, PreEscaped, html};
use vertigo::id::Digest;

/// How pages of ours look.
pub const STYLE: &str = include_str!("page.css");

/// A page but for its content.
#[derive(Debug, Clone, Copy)]
pub struct Frame<'p> {
    /// The page's title and its first heading. It may come from outside.
    pub title: &'p str,
    /// The style sheet.
    pub style: &'p str,
    /// What runs on the page; nothing where it is empty.
    pub script: &'p str,
    /// A link for those who go by keyboard: where it leads, and what it says.
    pub skip: (&'p str, &'p str),
}

impl Frame<'_> {
    /// The whole page.
    pub fn around(&self, content: &Markup) -> String {
        let Frame { title, style, script, skip: (to, skip) } = *self;
        let page = html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta http-equiv="Content-Security-Policy" content=(self.policy());
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta name="color-scheme" content="light dark";
                    meta name="referrer" content="no-referrer";
                    title { (line(title)) }
                    style { (PreEscaped(style)) }
                }
                body {
                    a.skip href=(to) { (skip) }
                    header { h1 { (line(title)) } }
                    main { (content) }
                    @if !script.is_empty() { script { (PreEscaped(script)) } }
                }
            }
        };
        page.into_string()
    }

    /// What the page may do: be styled, and run what stands in it.
    pub fn policy(&self) -> String {
        // The hash of what stands between the tags, byte by byte.
        let hash = |text: &str| match text {
            "" => "'none'".to_owned(),
            text => format!("'sha256-{}'", BASE64_STANDARD.encode(Digest::of(text.as_bytes()).as_bytes())),
        };
        let (style, script) = (hash(self.style), hash(self.script));
        format!("default-src 'none'; style-src {style}; script-src {script}; base-uri 'none'; form-action 'none'")
    }
}
