//! A pattern of Python's, written again for fancy-regex.
//!
//! One pass over the characters, without recursion: whatever is written, the time is linear and the stack flat. What is kept as
//! it is (alternatives, groups, repetitions) means the same in both languages; the engine refuses what neither takes.

use std::iter::Peekable;
use std::str::Chars;

/// What the text to be searched is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Alphabet {
    /// ASCII alone: classes are short and the engine needs one pass.
    Ascii,
    /// Any character.
    Unicode,
}

/// The small and capital forms of one letter to Python, beyond what Unicode folds: both of the Turkish ones are an i.
const LETTERS_I: [char; 4] = ['i', 'I', 'İ', 'ı'];

/// What is in force at a place of the pattern.
#[derive(Clone, Copy)]
struct Flags {
    ignores_case: bool,
    is_multiline: bool,
    dot_takes_all: bool,
}

/// The pattern for fancy-regex, or what is wrong with it.
pub(super) fn rewrite(pattern: &str, ignores_case: bool, alphabet: Alphabet) -> Result<String, String> {
    let flags = Flags { ignores_case, is_multiline: false, dot_takes_all: false };
    let mut writer =
        Writer { rest: pattern.chars().peekable(), out: String::new(), alphabet, flags, outer: Vec::new() };
    writer.begin()?;
    while let Some(c) = writer.rest.next() {
        writer.piece(c)?;
    }
    Ok(writer.out)
}

struct Writer<'p> {
    rest: Peekable<Chars<'p>>,
    out: String,
    alphabet: Alphabet,
    flags: Flags,
    /// The flags outside each group that is open.
    outer: Vec<Flags>,
}

impl Writer<'_> {
    /// Flags for the whole pattern stand at its beginning, as `(?is)`.
    fn begin(&mut self) -> Result<(), String> {
        loop {
            let mut ahead = self.rest.clone();
            let is_flags = ahead.next() == Some('(') && ahead.next() == Some('?');
            let letters: String = ahead.clone().take_while(|c| c.is_ascii_alphabetic()).collect();
            let ends = ahead.nth(letters.len()) == Some(')');
            if !is_flags || letters.is_empty() || !ends {
                return Ok(());
            }
            self.rest.nth(letters.len() + 2);
            self.set(&letters, true)?;
            if self.flags.ignores_case {
                self.out.push_str("(?i)");
            }
        }
    }

    fn set(&mut self, letters: &str, on: bool) -> Result<(), String> {
        for letter in letters.chars() {
            match letter {
                'i' => self.flags.ignores_case = on,
                'm' => self.flags.is_multiline = on,
                's' => self.flags.dot_takes_all = on,
                // Text is Unicode unless something else is said.
                'u' if on => {}
                _ => return Err(format!("the flag `{letter}` is not supported; i, m and s are")),
            }
        }
        Ok(())
    }

    fn piece(&mut self, c: char) -> Result<(), String> {
        match c {
            '\\' => self.escape(),
            '[' => self.class(),
            '(' => self.group(),
            ')' => {
                self.flags = self.outer.pop().ok_or("a `)` closes nothing")?;
                self.out.push(')');
                Ok(())
            }
            '{' => {
                self.braces();
                Ok(())
            }
            '.' => self.write(if self.flags.dot_takes_all { "(?s:.)" } else { r"[^\n]" }),
            '^' => self.write(if self.flags.is_multiline { "(?m:^)" } else { r"\A" }),
            // Before a last line's end as well, which `$` is not elsewhere.
            '$' => self.write(if self.flags.is_multiline { "(?m:$)" } else { r"(?=\n?\z)" }),
            '*' | '+' | '?' | '|' => {
                self.out.push(c);
                Ok(())
            }
            _ => {
                self.literal(c);
                Ok(())
            }
        }
    }

    fn write(&mut self, text: &str) -> Result<(), String> {
        self.out.push_str(text);
        Ok(())
    }

    /// A character that stands for itself.
    fn literal(&mut self, c: char) {
        if self.flags.ignores_case && LETTERS_I.contains(&c) && (self.alphabet == Alphabet::Unicode || !c.is_ascii()) {
            self.out.push_str("[iIİı]");
        } else {
            push_escaped(&mut self.out, c);
        }
    }

    /// `{` repeats only where a count is written; elsewhere it stands for itself.
    fn braces(&mut self) {
        let mut ahead = self.rest.clone();
        let inside: String = ahead.by_ref().take_while(|c| *c != '}').take(12).collect();
        let is_closed = self.rest.clone().nth(inside.chars().count()) == Some('}');
        let (low, high) = inside.split_once(',').unwrap_or((&inside, &inside));
        let is_count = |text: &str| text.chars().all(|c| c.is_ascii_digit());
        if !is_closed || inside.is_empty() || !is_count(low) || !is_count(high) {
            self.out.push_str(r"\{");
            return;
        }
        // What was looked at is ASCII digits and at most a comma.
        self.rest.nth(inside.len());
        let low = if low.is_empty() { "0" } else { low };
        let count = if inside.contains(',') { format!("{{{low},{high}}}") } else { format!("{{{low}}}") };
        self.out.push_str(&count);
    }

    fn group(&mut self) -> Result<(), String> {
        self.outer.push(self.flags);
        if self.rest.peek() != Some(&'?') {
            return self.write("(");
        }
        self.rest.next();
        match self.rest.next() {
            Some(c @ (':' | '=' | '!' | '>')) => self.write(&format!("(?{c}")),
            Some('<') => match self.rest.next() {
                Some(c @ ('=' | '!')) => self.write(&format!("(?<{c}")),
                _ => Err("a group's name is written `(?P<name>…)`".to_owned()),
            },
            Some('P') => self.named(),
            Some('#') => {
                self.outer.pop();
                self.rest.by_ref().find(|c| *c == ')').map(drop).ok_or_else(|| "a comment has no end".to_owned())
            }
            Some(c) if c.is_ascii_alphabetic() || c == '-' => self.flagged(c),
            _ => Err("a group begins in a way that is not supported".to_owned()),
        }
    }

    fn named(&mut self) -> Result<(), String> {
        match self.rest.next() {
            Some('<') => {
                let name = self.name('>')?;
                self.write(&format!("(?P<{name}>"))
            }
            Some('=') => {
                self.outer.pop();
                let name = self.name(')')?;
                self.write(&format!("(?P={name})"))
            }
            _ => Err("`(?P` goes on with `<name>` or `=name`".to_owned()),
        }
    }

    fn name(&mut self, end: char) -> Result<String, String> {
        let name: String = self.rest.by_ref().take_while(|c| *c != end).collect();
        let is_name = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if is_name { Ok(name) } else { Err(format!("`{name}` names no group")) }
    }

    /// A group with flags of its own: `(?i:…)`, `(?-i:…)`.
    fn flagged(&mut self, first: char) -> Result<(), String> {
        let mut letters = String::from(first);
        while let Some(c) = self.rest.next_if(|c| c.is_ascii_alphabetic() || *c == '-') {
            letters.push(c);
        }
        if self.rest.next() != Some(':') {
            return Err("flags for the whole pattern stand at its beginning".to_owned());
        }
        let (on, off) = letters.split_once('-').unwrap_or((&letters, ""));
        self.set(on, true)?;
        self.set(off, false)?;
        self.write(if self.flags.ignores_case { "(?i:" } else { "(?-i:" })
    }

    fn escape(&mut self) -> Result<(), String> {
        let c = self.rest.next().ok_or("it ends in a backslash")?;
        match c {
            'A' => self.write(r"\A"),
            'Z' => self.write(r"\z"),
            'b' | 'B' => {
                let boundary = self.boundary(c == 'b');
                self.write(&boundary)
            }
            // A reference to a group; as many digits as two, unless they are three of an octal number.
            '1'..='9' => self.reference(c),
            _ => match self.class_escape(c) {
                Some(class) => self.write(&format!("[{class}]")),
                None => {
                    let character = self.character(c)?;
                    self.literal(character);
                    Ok(())
                }
            },
        }
    }

    fn boundary(&self, is_boundary: bool) -> String {
        match (self.alphabet, is_boundary) {
            (Alphabet::Ascii, true) => r"\b".to_owned(),
            // In an empty text there is no place that is none.
            (Alphabet::Ascii, false) => r"(?:(?!\A\z)\B)".to_owned(),
            (Alphabet::Unicode, true) => format!("(?:(?<={WORD})(?!{WORD})|(?<!{WORD})(?={WORD}))"),
            (Alphabet::Unicode, false) => format!("(?:(?<={WORD})(?={WORD})|(?<!{WORD})(?!{WORD}))"),
        }
    }

    fn reference(&mut self, first: char) -> Result<(), String> {
        let digits: String = [first].into_iter().chain(self.rest.clone().take(2)).collect();
        let is_octal = |c: char| ('0'..='7').contains(&c);
        if digits.chars().count() == 3 && digits.chars().all(is_octal) {
            let c = u32::from_str_radix(&digits, 8).ok().filter(|c| *c <= 0o377).and_then(char::from_u32);
            self.rest.nth(1);
            self.literal(c.ok_or("an octal number is above \\377")?);
            return Ok(());
        }
        let number: String = digits.chars().take(2).take_while(char::is_ascii_digit).collect();
        if number.len() == 2 {
            self.rest.next();
        }
        // Apart from a digit that may follow.
        self.write(&format!(r"(?:\{number})"))
    }

    /// What of a class an escape stands for, where it is one of several characters.
    fn class_escape(&self, c: char) -> Option<&'static str> {
        Some(match (self.alphabet, c) {
            (Alphabet::Ascii, 'd') => "0-9",
            (Alphabet::Ascii, 'D') => "[^0-9]",
            (Alphabet::Ascii, 'w') => "0-9A-Za-z_",
            (Alphabet::Ascii, 'W') => "[^0-9A-Za-z_]",
            (Alphabet::Unicode, 'd') => r"\p{Nd}",
            (Alphabet::Unicode, 'D') => r"\P{Nd}",
            (Alphabet::Unicode, 'w') => r"\p{L}\p{N}_",
            (Alphabet::Unicode, 'W') => r"[^\p{L}\p{N}_]",
            (_, 's') => r"\s\x1c-\x1f",
            (_, 'S') => r"[^\s\x1c-\x1f]",
            _ => return None,
        })
    }

    /// The one character that an escape stands for.
    fn character(&mut self, c: char) -> Result<char, String> {
        Ok(match c {
            'n' => '\n',
            't' => '\t',
            'r' => '\r',
            'f' => '\x0c',
            'v' => '\x0b',
            'a' => '\x07',
            'x' => self.hexadecimal(2)?,
            'u' => self.hexadecimal(4)?,
            'U' => self.hexadecimal(8)?,
            '0' => {
                let digits = self.octal_digits();
                // At most 0o77, which is a character.
                char::from_u32(u32::from_str_radix(&digits, 8).unwrap_or(0)).unwrap_or('\0')
            }
            _ if c.is_ascii_alphanumeric() => return Err(format!("`\\{c}` means nothing here")),
            _ => c,
        })
    }

    /// At most two more digits of an octal number.
    fn octal_digits(&mut self) -> String {
        let mut digits = String::new();
        while digits.len() < 2
            && let Some(digit) = self.rest.next_if(|c| ('0'..='7').contains(c))
        {
            digits.push(digit);
        }
        digits
    }

    fn hexadecimal(&mut self, digits: usize) -> Result<char, String> {
        let written: String = self.rest.by_ref().take(digits).collect();
        let is_whole = written.len() == digits && written.chars().all(|c| c.is_ascii_hexdigit());
        let c = u32::from_str_radix(&written, 16).ok().filter(|_| is_whole).and_then(char::from_u32);
        c.ok_or_else(|| format!("`{written}` is no character in {digits} hexadecimal digits"))
    }

    /// A class in brackets. Brackets, `&&`, `~~` and `--` within it are characters to Python.
    fn class(&mut self) -> Result<(), String> {
        let is_negated = self.rest.next_if_eq(&'^').is_some();
        self.out.push_str(if is_negated { "[^" } else { "[" });
        let mut has_i = false;
        let mut is_first = true;
        loop {
            let c = self.rest.next().ok_or("a class has no end")?;
            if c == ']' && !is_first {
                break;
            }
            is_first = false;
            let Some(low) = self.member(c)? else { continue };
            let mut high = low;
            let mut ahead = self.rest.clone();
            if ahead.next() == Some('-') && ahead.next().is_some_and(|end| end != ']') {
                self.rest.next();
                let end = self.rest.next().ok_or("a class has no end")?;
                high = self.member(end)?.ok_or("a range ends in a class")?;
                if high < low {
                    return Err(format!("the range {low}-{high} is empty"));
                }
            }
            has_i |= LETTERS_I.iter().any(|i| (low..=high).contains(i));
            push_escaped(&mut self.out, low);
            if high != low {
                self.out.push('-');
                push_escaped(&mut self.out, high);
            }
        }
        if has_i && self.flags.ignores_case {
            self.out.push_str("iIİı");
        }
        self.out.push(']');
        Ok(())
    }

    /// A member of a class that begins with `c`: a character, or `None` for several, which are then written.
    fn member(&mut self, c: char) -> Result<Option<char>, String> {
        if c != '\\' {
            return Ok(Some(c));
        }
        let c = self.rest.next().ok_or("a class has no end")?;
        if let Some(class) = self.class_escape(c) {
            self.out.push_str(class);
            return Ok(None);
        }
        match c {
            'b' => Ok(Some('\x08')),
            '1'..='7' => {
                let digits = self.octal_digits();
                let number = u32::from_str_radix(&format!("{c}{digits}"), 8).ok().filter(|n| *n <= 0o377);
                number.and_then(char::from_u32).map(Some).ok_or_else(|| "an octal number is above \\377".to_owned())
            }
            _ => self.character(c).map(Some),
        }
    }
}

/// What `\w` matches in Unicode.
const WORD: &str = r"[\p{L}\p{N}_]";

/// A character that stands for itself in a pattern, and in a class.
fn push_escaped(out: &mut String, c: char) {
    match c {
        '\n' => out.push_str(r"\n"),
        _ if c.is_ascii() && !c.is_ascii_alphanumeric() && c != '_' => {
            // Written by its number: escapes of punctuation differ between the languages.
            out.push_str(&format!(r"\x{:02X}", u32::from(c)));
        }
        _ => out.push(c),
    }
}
