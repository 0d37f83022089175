//! Luau in colours: which parts of a text are keywords, strings, comments, numbers and types.
//!
//! A look at the words and not at the grammar, so that it has something to say about code that does not parse. What is a
//! type is told by what stands before it. Promise: any text is taken, in time that is linear in its length, and its tokens
//! are the whole text in order.

/// What a part of the code is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Names, signs and space.
    Plain,
    /// `local`, `function`; and `type` and `continue` where they are meant as such.
    Keyword,
    /// Any form of string.
    Text,
    /// Any form of comment.
    Comment,
    /// A number.
    Number,
    /// A name where a type stands.
    Type,
}

const KEYWORDS: [&str; 21] = [
    "and", "break", "do", "else", "elseif", "end", "false", "for", "function", "if", "in", "local", "nil", "not", "or",
    "repeat", "return", "then", "true", "until", "while",
];

/// The parts of a code in their order, each with what it is.
pub(super) fn tokens(source: &str) -> Vec<(Kind, &str)> {
    let mut reader = Reader { rest: source, before: "", braces: Vec::new() };
    let mut tokens: Vec<(Kind, &str)> = Vec::new();
    let mut at = 0;
    // The plain text since the last token of another kind.
    let mut plain = 0;
    while let Some((kind, length)) = reader.next() {
        if kind != Kind::Plain {
            if plain < at {
                tokens.push((Kind::Plain, &source[plain..at]));
            }
            tokens.push((kind, &source[at..at + length]));
            plain = at + length;
        }
        at += length;
    }
    if plain < source.len() {
        tokens.push((Kind::Plain, &source[plain..]));
    }
    tokens
}

struct Reader<'s> {
    rest: &'s str,
    /// The last token that is neither space nor comment.
    before: &'s str,
    /// For each interpolated string that the code at hand stands in, how many braces are open since.
    braces: Vec<u32>,
}

impl Reader<'_> {
    /// The next token's kind and its length in bytes, at least one.
    fn next(&mut self) -> Option<(Kind, usize)> {
        let first = self.rest.chars().next()?;
        let (kind, length) = match first {
            '-' if self.rest.starts_with("--") => (Kind::Comment, comment(self.rest)),
            '"' | '\'' => (Kind::Text, quoted(self.rest, first)),
            '[' => long(self.rest).map_or((Kind::Plain, 1), |length| (Kind::Text, length)),
            '`' => (Kind::Text, self.interpolated(1)),
            '{' | '}' => self.brace(first),
            '0'..='9' => (Kind::Number, number(self.rest)),
            '.' if self.rest[1..].starts_with(|c: char| c.is_ascii_digit()) => (Kind::Number, number(self.rest)),
            c if is_in_name(c) => {
                let length = length_while(self.rest, is_in_name);
                (self.name(&self.rest[..length], &self.rest[length..]), length)
            }
            c if c.is_whitespace() => (Kind::Plain, length_while(self.rest, char::is_whitespace)),
            _ => {
                let sign = ["::", "->", ".."].into_iter().find(|sign| self.rest.starts_with(sign));
                (Kind::Plain, sign.map_or(first.len_utf8(), str::len))
            }
        };
        if kind != Kind::Comment && !first.is_whitespace() {
            self.before = &self.rest[..length];
        }
        self.rest = &self.rest[length..];
        Some((kind, length))
    }

    fn brace(&mut self, brace: char) -> (Kind, usize) {
        match (brace, self.braces.last_mut()) {
            ('}', Some(0)) => {
                self.braces.pop();
                return (Kind::Text, self.interpolated(1));
            }
            ('}', Some(open)) => *open -= 1,
            (_, Some(open)) => *open += 1,
            (_, None) => {}
        }
        (Kind::Plain, 1)
    }

    /// The length of an interpolated string up to its next expression or its end, where `from` bytes of it were read.
    fn interpolated(&mut self, from: usize) -> usize {
        let mut chars = self.rest[from..].char_indices();
        while let Some((at, c)) = chars.next() {
            match c {
                '\\' => drop(chars.next()),
                '`' => return from + at + 1,
                '\n' => return from + at,
                '{' => {
                    self.braces.push(0);
                    return from + at + 1;
                }
                _ => {}
            }
        }
        self.rest.len()
    }

    fn name(&self, name: &str, after: &str) -> Kind {
        let after = after.trim_start_matches([' ', '\t']);
        let is_word_after = after.starts_with(is_in_name);
        match name {
            _ if [".", ":"].contains(&self.before) && after.starts_with(['(', '"', '\'', '{', '[']) => Kind::Plain,
            _ if self.before == "." => Kind::Plain,
            _ if KEYWORDS.contains(&name) => Kind::Keyword,
            "type" | "export" if is_word_after => Kind::Keyword,
            "continue" if !after.starts_with(['=', '(', '.', ':', '[', ',']) => Kind::Keyword,
            _ if [":", "::", "->", "type"].contains(&self.before) => Kind::Type,
            "number" | "string" | "boolean" | "any" | "unknown" | "never" if is_in_type(self.before, after) => {
                Kind::Type
            }
            _ => Kind::Plain,
        }
    }
}

/// Whether a name that types have stands among types: `{ [string]: any }?`, `number | string`.
fn is_in_type(before: &str, after: &str) -> bool {
    ["|", "&", "<", ",", "[", "{", "("].contains(&before) && after.starts_with(['|', '&', '>', ',', ']', '}', ')', '?'])
}

fn is_in_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

fn length_while(text: &str, holds: impl Fn(char) -> bool) -> usize {
    text.find(|c| !holds(c)).unwrap_or(text.len())
}

fn comment(rest: &str) -> usize {
    long(&rest[2..]).map_or_else(|| length_while(rest, |c| c != '\n'), |length| 2 + length)
}

/// The length of `[[…]]` or `[==[…]==]`; one without its end is all that there is.
fn long(rest: &str) -> Option<usize> {
    let level = length_while(rest.strip_prefix('[')?, |c| c == '=');
    rest[1 + level..].strip_prefix('[')?;
    let close = format!("]{}]", "=".repeat(level));
    Some(rest.find(&close).map_or(rest.len(), |at| at + close.len()))
}

/// The length of a string in quotes; one without its end goes to the end of its line.
fn quoted(rest: &str, quote: char) -> usize {
    let mut chars = rest.char_indices().skip(1);
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => drop(chars.next()),
            '\n' => return at,
            c if c == quote => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

fn number(rest: &str) -> usize {
    let is_hex = rest.starts_with("0x") || rest.starts_with("0X");
    let bytes = rest.as_bytes();
    let mut at = 1;
    while at < bytes.len() {
        let is_part = match bytes[at] {
            b'.' => bytes.get(at + 1) != Some(&b'.') && bytes[at - 1] != b'.',
            b'+' | b'-' => !is_hex && matches!(bytes[at - 1], b'e' | b'E'),
            byte => byte.is_ascii_alphanumeric() || byte == b'_',
        };
        if !is_part {
            break;
        }
        at += 1;
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The tokens that are not plain, each after the sign of its kind.
    fn seen(source: &str) -> String {
        let sign = |kind| match kind {
            Kind::Plain => "",
            Kind::Keyword => "k:",
            Kind::Text => "s:",
            Kind::Comment => "c:",
            Kind::Number => "n:",
            Kind::Type => "t:",
        };
        let coloured = tokens(source).into_iter().filter(|(kind, _)| *kind != Kind::Plain);
        coloured.map(|(kind, text)| format!("{}{text}", sign(kind))).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn words_are_told_apart_by_what_stands_around_them() {
        for (source, colours) in [
            ("local x: number = 0x1F -- so", "k:local t:number n:0x1F c:-- so"),
            ("export type A = { [string]: any }?", "k:export k:type t:A t:string t:any"),
            ("return part:type() .. self.end", "k:return"),
            ("function f(a: Vector3): string?", "k:function t:Vector3 t:string"),
            ("for i = 1..2 do", "k:for n:1 n:2 k:do"),
            ("x = 1.5e-3_0 continue", "n:1.5e-3_0 k:continue"),
            ("s = [==[ ]] ]==] .. \"a\\\"b\" .. 'open\nend", "s:[==[ ]] ]==] s:\"a\\\"b\" s:'open k:end"),
            ("print(`a {f({1})} b \\` c`)", "s:`a { n:1 s:} b \\` c`"),
            ("--[[ a\nb ]] nil", "c:--[[ a\nb ]] k:nil"),
            ("--[[ without its end\n", "c:--[[ without its end\n"),
            ("obj:Method(1)", "n:1"),
        ] {
            assert_eq!(seen(source), colours, "{source}");
        }
    }

    proptest! {
        #[test]
        fn tokens_are_the_whole_text(source in "([-\\[\\]=\"'`{}:.\\\\\n 0-9a-z<é猫]|--|\\[\\[|local|type){0,60}") {
            let whole: String = tokens(&source).into_iter().map(|(_, text)| text).collect();
            prop_assert_eq!(whole, source);
        }
    }
}
