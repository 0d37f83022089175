//! Rows whose code is the same but for its names, numbers, texts and comments.
//!
//! Promise: any text has a shape or none. What is shorter than [`TOKENS_MIN`] tokens has none: short programs are alike by chance.

use crate::row::Body;
use luau_syntax::allocator::AstArena;
use luau_syntax::ast_names::AstNameTable;
use luau_syntax::lexer::Lexer;
use vertigo::id::Digest;
use vertigo_luau::blocks;

/// Tokens from which on the same shape says that one program was written after the other.
pub const TOKENS_MIN: usize = 60;

/// What the lexer calls the end of a source.
const END: &str = "end of input";

/// The shape of all code that a row's answers hold, block after block.
pub(crate) fn shape(body: &Body) -> Option<Digest> {
    let mut tokens = Vec::new();
    for answer in body.answers() {
        for block in blocks::of(answer) {
            push(&block.source, &mut tokens);
            tokens.push("\n");
        }
    }
    (tokens.len() >= TOKENS_MIN).then(|| Digest::of(tokens.join(" ").as_bytes()))
}

/// The tokens of a source, each by its kind.
fn push(source: &str, tokens: &mut Vec<&'static str>) {
    let arena = AstArena::new();
    let mut names = AstNameTable::new(&arena);
    let mut lexer = Lexer::new(source.as_bytes(), &mut names);
    // Every token but the end is at least a byte of the source.
    for _ in 0..=source.len() {
        match lexer.next_lexeme(true).token.name() {
            END => return,
            token => tokens.push(token),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::row::{Message, Role};
    use proptest::prelude::*;

    const PROGRAM: &str = "
        --!strict
        local Scores = {}
        function Scores.add(board, player, points)
            local before = board[player.Name] or 0
            if points > 100 then warn(\"too many\") return before end
            board[player.Name] = before + points -- kept
            return board[player.Name]
        end
        function Scores.best(board)
            local name, most = nil, -1
            for who, points in pairs(board) do if points > most then name, most = who, points end end
            return name, most
        end
        return Scores";

    fn of(code: &str) -> Option<Digest> {
        let messages = vec![Message::new(Role::Assistant, format!("Here:\n```luau\n{code}\n```\nDone."))];
        shape(&Body::Chat { messages, tools: None })
    }

    #[test]
    fn names_numbers_texts_and_comments_make_no_difference_and_what_is_done_does() {
        let renamed = PROGRAM.replace("Scores", "Bank").replace("points", "coins").replace("100", "5.5");
        let renamed = renamed.replace("\"too many\"", "'no'").replace("-- kept", "").replace("        ", "\t");
        assert!(of(PROGRAM).is_some());
        assert_eq!(of(PROGRAM), of(&renamed));
        assert_ne!(of(PROGRAM), of(&PROGRAM.replace("before + points", "before - points")));
        assert_eq!(of("return 1 + 2"), None, "what is short is alike by chance");
    }

    #[test]
    fn prose_and_the_persons_code_have_no_shape() {
        let prose = Message::new(Role::Assistant, "Scores are kept in a table by name. ".repeat(20));
        let asked = Message::new(Role::User, format!("```luau\n{PROGRAM}\n```"));
        assert_eq!(shape(&Body::Chat { messages: vec![asked, prose], tools: None }), None);
    }

    proptest! {
        #[test]
        fn any_text_is_read_to_its_end(text in any::<String>(), luau in "[`{}\"'\\[\\]=\\-\\\\a0 \n]{0,40}") {
            push(&text, &mut Vec::new());
            push(&luau, &mut Vec::new());
        }
    }
}
