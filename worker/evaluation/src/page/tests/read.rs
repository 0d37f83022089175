//! A page as a browser's tokenizer reads it.

use html5gum::{DefaultEmitter, Token, Tokenizer};

/// What a page consists of.
#[derive(Debug, Default)]
pub(super) struct Read {
    /// The elements in their order: name, and attributes with values.
    pub(super) elements: Vec<(String, Vec<(String, String)>)>,
    /// The text of all elements, but for scripts and styles.
    pub(super) text: String,
    /// What stands in scripts.
    pub(super) scripts: Vec<String>,
    /// What stands in styles.
    pub(super) styles: Vec<String>,
}

/// Elements without an end.
const VOID: [&str; 2] = ["meta", "input"];

/// Reads a page, and panics where it is no HTML: a parse error of the standard's, a tag without its end.
pub(super) fn read(page: &str) -> Read {
    let mut emitter = DefaultEmitter::default();
    emitter.naively_switch_states(true);
    let mut read = Read::default();
    let mut open: Vec<String> = Vec::new();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    for token in Tokenizer::new_with_emitter(page, emitter) {
        match token.unwrap() {
            Token::StartTag(tag) => {
                let name = text(&tag.name);
                let attributes = tag.attributes.iter().map(|(name, value)| (text(name), text(value)));
                read.elements.push((name.clone(), attributes.collect()));
                match name.as_str() {
                    "script" => read.scripts.push(String::new()),
                    "style" => read.styles.push(String::new()),
                    _ => {}
                }
                if !VOID.contains(&name.as_str()) {
                    open.push(name);
                }
            }
            Token::EndTag(tag) => assert_eq!(open.pop(), Some(text(&tag.name))),
            Token::String(said) => {
                let of = match open.last().map(String::as_str) {
                    Some("script") => read.scripts.last_mut().unwrap(),
                    Some("style") => read.styles.last_mut().unwrap(),
                    _ => &mut read.text,
                };
                of.push_str(&text(&said));
            }
            Token::Doctype(doctype) => assert_eq!(text(&doctype.name), "html"),
            Token::Comment(said) => panic!("a comment: {said:?}"),
            Token::Error(error) => panic!("no HTML: {error:?}"),
        }
    }
    assert!(open.is_empty(), "{open:?}");
    read
}

impl Read {
    /// The elements with the names of their attributes, but for the colours of code, which depend on the code.
    pub(super) fn skeleton(&self) -> Vec<(&str, Vec<&str>)> {
        let is_colour = |name: &str| ["b", "q", "i", "u", "em"].contains(&name);
        let elements = self.elements.iter().filter(|(name, _)| !is_colour(name));
        elements.map(|(name, of)| (name.as_str(), of.iter().map(|(name, _)| name.as_str()).collect())).collect()
    }

    /// The values of an attribute, wherever it stands.
    pub(super) fn values(&self, attribute: &str) -> Vec<&str> {
        let all = self.elements.iter().flat_map(|(_, attributes)| attributes);
        all.filter(|(name, _)| name == attribute).map(|(_, value)| value.as_str()).collect()
    }
}
