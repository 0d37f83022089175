//! One of a request's answers, from its tokens to what is sent.

use super::{Delta, Finish, Logprob};
use crate::answer::{Answer, Part, Reading};
use std::collections::VecDeque;
use vertigo_engine::generate::End;

/// An answer under way.
#[derive(Debug)]
pub(crate) struct Choice {
    index: usize,
    answer: Answer,
    /// Probabilities of tokens that a stop string may still take away, with where in the text their tokens begin.
    waiting: VecDeque<(usize, Logprob)>,
    tokens: usize,
    thought_tokens: usize,
    has_called: bool,
    is_over: bool,
}

impl Choice {
    pub(crate) fn new(index: usize, reading: Reading) -> Choice {
        Choice {
            index,
            answer: Answer::new(reading),
            waiting: VecDeque::new(),
            tokens: 0,
            thought_tokens: 0,
            has_called: false,
            is_over: false,
        }
    }

    /// A token has come. The last piece has a reason to end, where a stop string has come with it.
    pub(crate) fn token(&mut self, bytes: &[u8], logprob: Option<Logprob>) -> Delta {
        let begin = self.answer.bytes();
        self.tokens += 1;
        self.thought_tokens += usize::from(self.answer.is_within_thought());
        self.waiting.extend(logprob.map(|logprob| (begin, logprob)));
        let parts = self.answer.push(bytes);
        if self.answer.is_over() { self.finish(parts, Finish::Stop) } else { self.delta(parts, None) }
    }

    /// The model has ended the answer.
    pub(crate) fn end(&mut self, end: End) -> Delta {
        let finish = match end {
            End::Stop => Finish::Stop,
            End::Length => Finish::Length,
        };
        self.finish(Vec::new(), finish)
    }

    fn finish(&mut self, mut parts: Vec<Part>, finish: Finish) -> Delta {
        parts.extend(self.answer.finish());
        self.is_over = true;
        let called = self.has_called || parts.iter().any(|part| matches!(part, Part::Call(_)));
        let finish = if called && finish == Finish::Stop { Finish::ToolCalls } else { finish };
        self.delta(parts, Some(finish))
    }

    fn delta(&mut self, parts: Vec<Part>, finish: Option<Finish>) -> Delta {
        self.has_called |= parts.iter().any(|part| matches!(part, Part::Call(_)));
        // Tokens without text, such as the first bytes of a character, are certain only when what follows them is.
        let settled = if self.is_over && !self.answer.is_over() { usize::MAX } else { self.answer.settled() };
        let certain = self.waiting.iter().take_while(|(begin, _)| *begin < settled).count();
        let logprobs = self.waiting.drain(..certain).map(|(_, logprob)| logprob).collect();
        Delta { index: self.index, parts, logprobs, finish }
    }

    /// Whether it has ended.
    pub(crate) fn is_over(&self) -> bool {
        self.is_over
    }

    /// Tokens that were made.
    pub(crate) fn tokens(&self) -> usize {
        self.tokens
    }

    /// Those of them that are of the thought.
    pub(crate) fn thought_tokens(&self) -> usize {
        self.thought_tokens
    }

    /// Calls that could not be read.
    pub(crate) fn broken_calls(&self) -> u64 {
        self.answer.broken_calls()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn logprob(token: &str) -> Option<Logprob> {
        Some(Logprob { token: token.to_owned(), bytes: token.as_bytes().to_vec(), logprob: -1.0, top: Vec::new() })
    }

    fn told(choice: &mut Choice, tokens: &[&str]) -> Vec<Vec<String>> {
        let told = |delta: Delta| delta.logprobs.into_iter().map(|logprob| logprob.token).collect();
        tokens.iter().map(|token| told(choice.token(token.as_bytes(), logprob(token)))).collect()
    }

    #[test]
    fn a_stop_string_does_not_leak_through_probabilities() {
        let mut choice = Choice::new(0, Reading { stops: vec!["STOP".to_owned()], ..Reading::default() });
        let expected: [&[&str]; 5] = [&["a"], &[], &["S", "x"], &[], &[]];
        assert_eq!(told(&mut choice, &["a", "S", "x", "ST", "OP b"]), expected);
        assert!(choice.is_over());
    }

    #[test]
    fn what_was_held_back_is_told_at_the_end() {
        let mut choice = Choice::new(0, Reading { stops: vec!["STOP".to_owned()], ..Reading::default() });
        told(&mut choice, &["a", "ST"]);
        let last = choice.end(End::Length);
        assert_eq!((last.finish, last.parts), (Some(Finish::Length), vec![Part::Text("ST".to_owned())]));
        assert_eq!(last.logprobs.len(), 1);
    }

    #[test]
    fn tokens_of_the_thought_are_counted() {
        let reading = Reading { tags: Some(("<think>", "</think>")), is_within_thought: true, ..Reading::default() };
        let mut choice = Choice::new(0, reading);
        told(&mut choice, &["hm", "m", "</think>", "\n\n", "Yes"]);
        assert_eq!((choice.tokens(), choice.thought_tokens()), (5, 3));
    }
}
