//! What is asked of a model, and what comes of it: tokens in, tokens out. Text, templates and tools are for whoever asks.

/// A request in the batch, as whoever made it names it. Never used twice in one process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// An adapter that was loaded beside the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AdapterId(pub u32);

/// A prompt to go on from.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// The prompt's tokens, of which there is at least one.
    pub prompt: Vec<u32>,
    /// Counts of the prompt's first tokens after which another prompt may go on otherwise: the ends of the system prompt and of each
    /// turn, ascending. What was computed up to there is kept for requests that begin with the same tokens.
    pub borders: Vec<usize>,
    /// The adapter to use; the model alone without one.
    pub adapter: Option<AdapterId>,
    /// How a token is chosen.
    pub sampling: Sampling,
    /// Tokens of the answer at the most.
    pub tokens_max: usize,
    /// Tokens that end the answer. The one that did is not part of it.
    pub ends: Vec<u32>,
    /// How many of the most probable tokens are told beside each token and its own probability; `None`: no probability is told.
    pub logprobs: Option<usize>,
    /// Where the answer begins within a thought: how long that may be.
    pub thought: Option<ThoughtBudget>,
}

/// A bound on the thought that an answer begins with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ThoughtBudget {
    /// Tokens of the thought at the most. When it has had them and has not ended, `closing` is its next tokens, whatever the model says.
    pub tokens_max: usize,
    /// The token that ends a thought.
    pub end: u32,
    /// What ends a thought that was too long: the tokens of `\n</think>\n\n`, say.
    pub closing: Vec<u32>,
}

/// How a token is chosen. The names, ranges and meanings are those of OpenAI's API and of mlx-lm's server.
#[derive(Debug, Clone, PartialEq)]
pub struct Sampling {
    /// 0: the most probable token. Above, logits are divided by it.
    pub temperature: f32,
    /// The most probable tokens that together reach this probability are kept; 1 keeps all.
    pub top_p: f32,
    /// So many of the most probable tokens are kept; 0 keeps all.
    pub top_k: usize,
    /// Tokens at least this times as probable as the most probable one are kept; 0 keeps all.
    pub min_p: f32,
    /// A logit of a token that was seen lately, prompt and answer, is divided by this where positive and multiplied where negative; 1: no
    /// penalty.
    pub repetition_penalty: f32,
    /// Taken from the logit of each token that the answer has.
    pub presence_penalty: f32,
    /// Taken from the logit of a token once for each time that the answer has it.
    pub frequency_penalty: f32,
    /// Added to logits.
    pub logit_bias: Vec<(u32, f32)>,
    /// Everything random about an answer follows from this and the token's position, and nothing from what else is in the batch. The
    /// logits that it is drawn from have the same bits wherever the prompt's tokens were computed in the same pieces: read anew, or from
    /// a border where the reading anew would stop as well. A prompt that goes on from the end of an earlier answer, or whose borders are
    /// others than those that were kept, has logits that differ by rounding, and a draw that is close falls the other way now and then.
    pub seed: u64,
}

impl Default for Sampling {
    /// The most probable token, always.
    fn default() -> Sampling {
        Sampling {
            temperature: 0.0,
            top_p: 1.0,
            top_k: 0,
            min_p: 0.0,
            repetition_penalty: 1.0,
            presence_penalty: 0.0,
            frequency_penalty: 0.0,
            logit_bias: Vec::new(),
            seed: 0,
        }
    }
}

/// A token of an answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Chosen {
    /// The token.
    pub id: u32,
    /// The natural logarithm of its probability before temperature and filters, where that was asked for.
    pub logprob: Option<f32>,
    /// The most probable tokens with theirs, from the most probable on.
    pub top: Vec<(u32, f32)>,
}

/// What a step made of a request.
#[derive(Debug, Clone, PartialEq)]
pub enum Produced {
    /// Its prompt has been read; `reused` of its tokens were known from earlier requests.
    Read {
        /// Tokens that were not computed again.
        reused: usize,
    },
    /// The answer's next token.
    Token(Chosen),
    /// The answer has ended. Nothing comes after.
    Ended(End),
}

/// Why an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The model said so, by one of [`Request::ends`].
    Stop,
    /// It has [`Request::tokens_max`] tokens.
    Length,
}

/// What is in memory and under way, for those who watch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Load {
    /// Requests that wait for room.
    pub waiting: usize,
    /// Requests that are being read or answered.
    pub running: usize,
    /// Bytes of the caches of running requests.
    pub running_bytes: u64,
    /// Bytes of what is kept of earlier requests.
    pub kept_bytes: u64,
    /// Prompt tokens that were computed, since the start.
    pub tokens_read: u64,
    /// Prompt tokens that were known from earlier requests, since the start.
    pub tokens_reused: u64,
    /// Tokens of answers, since the start.
    pub tokens_made: u64,
}
