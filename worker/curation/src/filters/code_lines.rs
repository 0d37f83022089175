//! How much Luau a row has that compiles.

use super::speech;
use crate::row::{Body, Role};
use vertigo_luau::{blocks, compile};

/// Arguments of calls in which tools get their code.
const CODE_ARGUMENTS: [&str; 4] = ["code", "luau", "script", "source"];

/// Lines of Luau that compile and are not blank, in what the model says: its blocks, and code that it calls tools with. A row that is a
/// text counts as if the model said it.
pub fn code_lines(body: &Body) -> usize {
    let assistant = body.messages().iter().filter(|message| message.role == Role::Assistant);
    let given = assistant.flat_map(|message| &message.calls).flat_map(|call| &call.arguments);
    let given = given.filter(|(name, _)| CODE_ARGUMENTS.contains(&name.as_str())).filter_map(|(_, code)| code.as_str());
    let in_calls: usize = given.filter(|code| compile::check(code).is_ok()).map(lines).sum();
    let said: usize = body.answers().map(|content| in_blocks(&speech::split(content).answer)).sum();
    said + in_calls
}

fn in_blocks(answer: &str) -> usize {
    let blocks = blocks::of(answer).into_iter();
    blocks.filter(|block| compile::check(&block.source).is_ok()).map(|block| lines(&block.source)).sum()
}

fn lines(code: &str) -> usize {
    code.lines().filter(|line| !line.trim().is_empty()).count()
}

/// How many there are, where these are too few.
pub(super) fn fewer_than(least: u32, body: &Body) -> Option<String> {
    let count = code_lines(body);
    (count < least as usize).then(|| format!("{count} of {least}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::row::{Call, Message};
    use serde_json::{Value, json};

    fn said(content: &str) -> Body {
        let messages =
            vec![Message::new(Role::User, "```lua\nlocal a = 1\n```"), Message::new(Role::Assistant, content)];
        Body::Chat { messages, tools: None }
    }

    #[test]
    fn lines_count_that_the_model_says_and_that_compile() {
        for (content, count) in [
            ("```luau\nlocal a = 1\n\nreturn a\n```", 2),
            ("```lua\nlocal a = 1\n```\n```luau\nlocal = 1\n```", 1),
            ("```\nlocal a = 1\n```", 1),
            ("```python\nx = 1\n```", 0),
            ("local a = 1\nreturn a", 2),
            ("<think>\n```luau\nlocal a = 1\n```\n</think>\nNo.", 0),
            ("No code at all.", 0),
            ("```luau\nlocal a = 1", 1),
            ("", 0),
        ] {
            assert_eq!(code_lines(&said(content)), count, "{content}");
        }
        assert_eq!(code_lines(&Body::Text("local a = 1\n".to_owned())), 1);
        assert_eq!(fewer_than(2, &said("```lua\nlocal a = 1\n```")), Some("1 of 2".to_owned()));
        assert_eq!(fewer_than(1, &said("```lua\nlocal a = 1\n```")), None);
    }

    #[test]
    fn code_that_tools_are_called_with_counts() {
        let mut body = said("");
        let Value::Object(arguments) = json!({"code": "local a = 1\nreturn a", "path": "x = 1", "source": "no code"})
        else {
            unreachable!()
        };
        body.messages_mut()[1].calls = vec![Call { id: None, name: "run".into(), arguments }];
        assert_eq!(code_lines(&body), 2);
    }
}
