//! One request's answer as it grows: the token that is taken of what the model says, what ends it, and what a thought may be.

use super::request::{Chosen, End, Produced, Request, RequestId, ThoughtBudget};
use super::sampling::{Counts, Logprobs, choose, most_probable, penalize};
use std::borrow::Cow;

/// A request under way.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) id: RequestId,
    pub(super) request: Request,
    /// The tokens made so far.
    pub(super) made: Vec<u32>,
    /// How often it has each of them, where that is asked for.
    counts: Counts,
    thought: Option<Thought>,
}

impl Answer {
    pub(super) fn new(id: RequestId, mut request: Request) -> Answer {
        let thought = request.thought.take().map(Thought::new);
        Answer { id, request, made: Vec::new(), counts: Counts::new(), thought }
    }

    /// Whether more has to be known of the logits than which is the largest.
    pub(super) fn asks_for_logits(&self) -> bool {
        self.request.logprobs.is_some() || !self.request.sampling.is_plain()
    }

    /// Takes the next token: of all `logits` where it asks for them, else the `best` one. What came of it, in the order in which it did.
    pub(super) fn take(&mut self, best: u32, logits: Option<&[f32]>) -> Vec<Produced> {
        if self.request.tokens_max == 0 {
            return vec![Produced::Ended(End::Length)];
        }
        let chosen = self.chosen(best, logits);
        if self.request.ends.contains(&chosen.id) {
            return vec![Produced::Ended(End::Stop)];
        }
        if let Some(thought) = &mut self.thought {
            thought.saw(chosen.id);
        }
        self.made.push(chosen.id);
        if self.request.sampling.changes_logits() {
            *self.counts.entry(chosen.id).or_default() += 1;
        }
        let token = Produced::Token(chosen);
        if self.made.len() < self.request.tokens_max { vec![token] } else { vec![token, Produced::Ended(End::Length)] }
    }

    fn chosen(&self, best: u32, logits: Option<&[f32]>) -> Chosen {
        let forced = self.thought.as_ref().and_then(Thought::forced);
        let Some(logits) = logits else { return Chosen { id: forced.unwrap_or(best), logprob: None, top: Vec::new() } };
        let Request { sampling, prompt, .. } = &self.request;
        let mut logits = Cow::Borrowed(logits);
        if sampling.changes_logits() {
            penalize(logits.to_mut(), sampling, prompt, &self.made, &self.counts);
        }
        let id = forced.unwrap_or_else(|| choose(&logits, sampling, self.made.len()));
        let Some(count) = self.request.logprobs else { return Chosen { id, logprob: None, top: Vec::new() } };
        let logprobs = Logprobs::of(&logits);
        let logprob = logits.get(id as usize).map(|&logit| logprobs.of_logit(logit));
        Chosen { id, logprob, top: most_probable(&logits, &logprobs, count) }
    }
}

/// A thought and what is left of its budget.
#[derive(Debug)]
struct Thought {
    budget: ThoughtBudget,
    state: ThoughtState,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ThoughtState {
    /// It has so many tokens.
    Open(usize),
    /// So many tokens of what closes it have come.
    Closing(usize),
    Over,
}

impl Thought {
    fn new(budget: ThoughtBudget) -> Thought {
        let mut thought = Thought { budget, state: ThoughtState::Open(0) };
        thought.close_where_full();
        thought
    }

    /// The next token, where the model has no say in it.
    fn forced(&self) -> Option<u32> {
        match self.state {
            ThoughtState::Closing(at) => self.budget.closing.get(at).copied(),
            ThoughtState::Open(_) | ThoughtState::Over => None,
        }
    }

    fn saw(&mut self, token: u32) {
        self.state = match self.state {
            ThoughtState::Open(_) if token == self.budget.end => ThoughtState::Over,
            ThoughtState::Open(tokens) => ThoughtState::Open(tokens + 1),
            ThoughtState::Closing(at) if at + 1 < self.budget.closing.len() => ThoughtState::Closing(at + 1),
            ThoughtState::Closing(_) | ThoughtState::Over => ThoughtState::Over,
        };
        self.close_where_full();
    }

    fn close_where_full(&mut self) {
        if matches!(self.state, ThoughtState::Open(tokens) if tokens >= self.budget.tokens_max) {
            let nothing_closes = self.budget.closing.is_empty();
            self.state = if nothing_closes { ThoughtState::Over } else { ThoughtState::Closing(0) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::request::Sampling;
    use super::*;

    fn request(tokens_max: usize, thought: Option<ThoughtBudget>) -> Request {
        let sampling = Sampling::default();
        Request {
            prompt: vec![1],
            borders: vec![],
            adapter: None,
            sampling,
            tokens_max,
            ends: vec![9],
            logprobs: None,
            thought,
        }
    }

    /// What is made of an answer to whom the model always says `says`.
    fn tokens(request: Request, says: u32) -> (Vec<u32>, End) {
        let mut answer = Answer::new(RequestId(1), request);
        loop {
            if let Some(Produced::Ended(end)) = answer.take(says, None).last() {
                return (answer.made, *end);
            }
        }
    }

    #[test]
    fn a_thought_that_is_too_long_is_closed_and_the_answer_goes_on() {
        let budget = ThoughtBudget { tokens_max: 2, end: 7, closing: vec![6, 7, 8] };
        assert_eq!(tokens(request(7, Some(budget.clone())), 5), (vec![5, 5, 6, 7, 8, 5, 5], End::Length));
        assert_eq!(tokens(request(4, Some(ThoughtBudget { tokens_max: 0, ..budget })), 5).0, vec![6, 7, 8, 5]);
    }

    #[test]
    fn a_thought_that_ends_by_itself_is_left_alone() {
        let budget = ThoughtBudget { tokens_max: 2, end: 5, closing: vec![6] };
        assert_eq!(tokens(request(4, Some(budget)), 5).0, vec![5, 5, 5, 5]);
    }

    #[test]
    fn an_answer_ends_at_its_length_or_at_a_token_that_is_no_part_of_it() {
        assert_eq!(tokens(request(3, None), 5), (vec![5, 5, 5], End::Length));
        assert_eq!(tokens(request(3, None), 9), (vec![], End::Stop));
        assert_eq!(tokens(request(0, None), 5), (vec![], End::Length));
    }

    #[test]
    fn what_is_taken_for_repetition_grows_with_what_the_answer_has() {
        // Token 1 leads until there are three of it; from then on each token that is taken falls behind another.
        let sampling = Sampling { presence_penalty: 0.5, frequency_penalty: 1.0, ..Sampling::default() };
        let mut answer = Answer::new(RequestId(1), Request { sampling, ..request(8, None) });
        while !matches!(answer.take(0, Some(&[0.25, 3.25, 0.0])).last(), Some(Produced::Ended(_))) {}
        assert_eq!(answer.made, [1, 1, 1, 0, 2, 1, 0, 1]);
    }

    #[test]
    fn probabilities_are_told_where_they_are_asked_for() {
        let mut answer = Answer::new(RequestId(1), Request { logprobs: Some(2), ..request(1, None) });
        let Some(Produced::Token(chosen)) = answer.take(0, Some(&[0.0, 1.0, 0.0])).first().cloned() else { panic!() };
        let expected = -(1.0 + 2.0 * (-1.0f32).exp()).ln();
        assert_eq!(chosen.id, 1);
        assert!((chosen.logprob.unwrap() - expected).abs() < 1e-6);
        assert_eq!(chosen.top.iter().map(|top| top.0).collect::<Vec<_>>(), [1, 0]);
    }
}
