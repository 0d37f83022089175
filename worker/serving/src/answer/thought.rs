//! The thought that an answer may begin with, told apart from the answer.
//!
//! Promise: however the text is cut into pieces, the thought is what stands between the tags without the line breaks around it, the answer
//! what comes after without those before it, and neither has a part of a tag. Where there is no thought the answer is the whole text.

use super::held_from;

/// What begins and ends a thought.
pub(crate) type Tags = (&'static str, &'static str);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Nothing but white space has come, and perhaps the beginning of a tag.
    Before,
    /// Within the thought, of which `has_begun` says whether a letter has come.
    Within { has_begun: bool },
    /// After the thought, where line breaks are left out.
    Between,
    /// In the answer.
    After,
}

/// Tells thought and answer apart.
#[derive(Debug)]
pub(crate) struct Thought {
    tags: Tags,
    place: Place,
    held: String,
}

/// A piece of either; one may be empty.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Parted {
    pub(crate) thought: String,
    pub(crate) answer: String,
}

impl Thought {
    /// Of a model that thinks between `tags`; without, all is answer. `is_open`: the prompt has opened the thought.
    pub(crate) fn new(tags: Option<Tags>, is_open: bool) -> Thought {
        let place = match tags {
            None => Place::After,
            Some(_) if is_open => Place::Within { has_begun: false },
            Some(_) => Place::Before,
        };
        Thought { tags: tags.unwrap_or_default(), place, held: String::new() }
    }

    /// Whether what comes next is thought.
    pub(crate) fn is_within(&self) -> bool {
        matches!(self.place, Place::Within { .. })
    }

    /// What is certain of the text so far.
    pub(crate) fn push(&mut self, text: &str) -> Parted {
        let mut parted = Parted::default();
        if self.place == Place::After {
            parted.answer.push_str(text);
            return parted;
        }
        self.held.push_str(text);
        while self.advance(&mut parted) {}
        parted
    }

    /// One place further in what is held, if there is enough of it.
    fn advance(&mut self, parted: &mut Parted) -> bool {
        let (start, end) = self.tags;
        match self.place {
            Place::Before => {
                let begun = self.held.trim_start();
                if let Some(rest) = begun.strip_prefix(start) {
                    self.held = rest.to_owned();
                    self.place = Place::Within { has_begun: false };
                } else if start.starts_with(begun) {
                    return false;
                } else {
                    // There is no thought, and the answer begins as it began.
                    parted.answer = std::mem::take(&mut self.held);
                    self.place = Place::After;
                }
            }
            Place::Within { has_begun } => {
                if !has_begun {
                    let blank = self.held.len() - self.held.trim_start_matches('\n').len();
                    self.held.drain(..blank);
                }
                if let Some(at) = self.held.find(end) {
                    parted.thought.push_str(self.held[..at].trim_end_matches('\n'));
                    self.held.drain(..at + end.len());
                    self.place = Place::Between;
                    return true;
                }
                let certain = self.held[..held_from(&self.held, end)].trim_end_matches('\n').len();
                parted.thought.extend(self.held.drain(..certain));
                self.place = Place::Within { has_begun: has_begun || certain > 0 };
                return false;
            }
            Place::Between => {
                let answer = self.held.trim_start_matches('\n');
                if answer.is_empty() {
                    self.held.clear();
                    return false;
                }
                parted.answer.push_str(answer);
                self.held = String::new();
                self.place = Place::After;
            }
            Place::After => return false,
        }
        true
    }

    /// What is left where the text ends.
    pub(crate) fn finish(&mut self) -> Parted {
        let held = std::mem::take(&mut self.held);
        match self.place {
            Place::Within { .. } => Parted { thought: held, answer: String::new() },
            _ => Parted { thought: String::new(), answer: held },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TAGS: Option<Tags> = Some(("<think>", "</think>"));

    fn part(pieces: &[String], is_open: bool) -> (String, String) {
        let (mut thought, mut parts) = (Thought::new(TAGS, is_open), (String::new(), String::new()));
        let mut add = |parted: Parted| {
            parts.0 += &parted.thought;
            parts.1 += &parted.answer;
        };
        for piece in pieces {
            add(thought.push(piece));
        }
        add(thought.finish());
        parts
    }

    fn pieces(text: &str, sizes: &[usize]) -> Vec<String> {
        let (mut pieces, mut characters) = (Vec::new(), text.chars().peekable());
        let mut sizes = sizes.iter().cycle();
        while characters.peek().is_some() {
            pieces.push(characters.by_ref().take(*sizes.next().unwrap()).collect());
        }
        pieces
    }

    proptest! {
        #[test]
        fn thought_and_answer_do_not_depend_on_the_pieces(
            parts in proptest::collection::vec("[a<\n]{0,2}|<think>|</think>|</thi", 0..8),
            sizes in proptest::collection::vec(1usize..9, 1..6),
            is_open: bool,
        ) {
            let text = parts.concat();
            let whole = part(std::slice::from_ref(&text), is_open);
            prop_assert_eq!(part(&pieces(&text, &sizes), is_open), whole.clone());
            let begins = is_open || text.trim_start().starts_with("<think>");
            let expected = match (begins, text.find("</think>")) {
                (false, _) => (String::new(), text.clone()),
                (true, Some(at)) => {
                    let inner = if is_open { &text[..at] } else { text[..at].trim_start().strip_prefix("<think>").unwrap() };
                    (inner.trim_matches('\n').to_owned(), text[at + 8..].trim_start_matches('\n').to_owned())
                }
                (true, None) => return Ok(()),
            };
            prop_assert_eq!(whole, expected);
        }
    }

    #[test]
    fn a_thought_is_passed_on_as_it_comes() {
        let mut thought = Thought::new(TAGS, true);
        let mut push = |text: &str| thought.push(text);
        assert_eq!(push("\nLet me").thought, "Let me");
        assert_eq!(push(" see\n").thought, " see");
        assert_eq!(push("</th").thought, "");
        assert_eq!(push("ink>\n"), Parted::default());
        assert_eq!(push("\nYes").answer, "Yes");
        assert_eq!(push("\n</think>").answer, "\n</think>");
    }

    #[test]
    fn a_thought_that_does_not_end_is_no_answer() {
        assert_eq!(part(&["never ends </thin".to_owned()], true), ("never ends </thin".to_owned(), String::new()));
        let mut plain = Thought::new(None, false);
        assert_eq!(plain.push("<think>x").answer, "<think>x");
    }
}
