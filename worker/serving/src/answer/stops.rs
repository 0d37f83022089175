//! Strings that end an answer, and are no part of it.
//!
//! Promise: nothing of a stop string is ever passed on, however it is spread over pieces; which one ends the answer, and where, does not
//! depend on how the text was cut into pieces: the one that is whole first, and of two that end together the longer one.

use super::held_from;

/// Looks for strings that end the answer.
#[derive(Debug)]
pub(crate) struct Stops {
    strings: Vec<String>,
    /// What may be the beginning of one.
    held: String,
    is_over: bool,
}

impl Stops {
    /// `strings` are not empty.
    pub(crate) fn new(strings: Vec<String>) -> Stops {
        Stops { strings, held: String::new(), is_over: false }
    }

    /// What of the text so far can be no part of a stop string. Nothing once one has come.
    pub(crate) fn push(&mut self, text: &str) -> String {
        if self.is_over {
            return String::new();
        }
        if self.strings.is_empty() {
            return text.to_owned();
        }
        self.held.push_str(text);
        let ends = |stop: &String| self.held.find(stop.as_str()).map(|start| (start + stop.len(), start));
        if let Some((_, start)) = self.strings.iter().filter_map(ends).min() {
            self.is_over = true;
            // What is cut off stays, so that `unsettled` knows how much it is.
            let cut = self.held.split_off(start);
            return std::mem::replace(&mut self.held, cut);
        }
        let from = self.strings.iter().map(|stop| held_from(&self.held, stop)).min().unwrap_or(self.held.len());
        let rest = self.held.split_off(from);
        std::mem::replace(&mut self.held, rest)
    }

    /// What is left where the answer ends without one.
    pub(crate) fn finish(&mut self) -> String {
        if self.is_over { String::new() } else { std::mem::take(&mut self.held) }
    }

    /// Whether one has come.
    pub(crate) fn is_over(&self) -> bool {
        self.is_over
    }

    /// Bytes at the end of the text so far that were not passed on.
    pub(crate) fn unsettled(&self) -> usize {
        self.held.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// As the promise says it, one character after the other.
    fn cut<'a>(text: &'a str, stops: &[String]) -> &'a str {
        for end in (0..=text.len()).filter(|end| text.is_char_boundary(*end)) {
            let ending = stops.iter().filter(|stop| text[..end].ends_with(stop.as_str()));
            if let Some(longest) = ending.map(String::len).max() {
                return &text[..end - longest];
            }
        }
        text
    }

    proptest! {
        #[test]
        fn stops_never_leak_however_the_text_comes(
            pieces in proptest::collection::vec("[abé]{0,3}", 0..20),
            stops in proptest::collection::vec("[abé]{1,4}", 0..4),
        ) {
            let mut looking = Stops::new(stops.clone());
            let whole = pieces.concat();
            let mut seen = String::new();
            for piece in &pieces {
                seen += &looking.push(piece);
                prop_assert!(cut(&whole, &stops).starts_with(&seen));
            }
            prop_assert_eq!(looking.is_over(), cut(&whole, &stops).len() < whole.len() && !stops.is_empty());
            seen += &looking.finish();
            prop_assert_eq!(seen, cut(&whole, &stops));
        }
    }

    #[test]
    fn only_what_may_be_a_beginning_waits() {
        let mut stops = Stops::new(vec!["STOP".to_owned(), "\n\n".to_owned()]);
        let seen: Vec<String> = ["a S", "T", "x ", "\n", "b", "ST", "OP!", "c"].map(|piece| stops.push(piece)).into();
        assert_eq!(seen, ["a ", "", "STx ", "", "\nb", "", "", ""]);
        assert_eq!((stops.is_over(), stops.unsettled(), stops.finish()), (true, 5, String::new()));
    }
}
