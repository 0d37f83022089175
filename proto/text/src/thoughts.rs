//! What a model thinks before it answers: taken out of messages, and found where a template wrote none.

use crate::tokenizer::THINKING;
use serde_json::Value;

/// The keys that a message may have its thought under.
const THOUGHT_KEYS: [&str; 3] = ["reasoning_content", "thinking", "reasoning"];

/// The messages without the assistant's thoughts, those under keys of their own and those within the content.
pub(crate) fn stripped(messages: &[Value]) -> Vec<Value> {
    let mut messages = messages.to_vec();
    for message in messages.iter_mut().filter(|message| message["role"] == "assistant") {
        let Some(fields) = message.as_object_mut() else { continue };
        fields.retain(|key, _| !THOUGHT_KEYS.contains(&key.as_str()));
        match fields.get_mut("content") {
            Some(Value::String(text)) => *text = without_thoughts(text),
            Some(Value::Array(parts)) => {
                for part in parts.iter_mut().filter_map(|part| part.get_mut("text")) {
                    if let Value::String(text) = part {
                        *text = without_thoughts(text);
                    }
                }
            }
            _ => {}
        }
    }
    messages
}

/// The text without what stands between a thought's marks, and without the space that sets the rest off from it. A thought that does not
/// end is left: what of it would be the answer, nobody can say.
fn without_thoughts(text: &str) -> String {
    let mut text = text.to_owned();
    for (open, close) in THINKING {
        while let Some(begin) = text.find(open) {
            let Some(length) = text[begin..].find(close) else { break };
            let rest = text[begin + length + close.len()..].trim_start().to_owned();
            text.truncate(begin);
            text += &rest;
        }
    }
    text
}

/// Whether a thought of nothing but space is anywhere in the text.
pub(crate) fn has_empty(text: &str, marks: &[(&str, &str)]) -> bool {
    marks.iter().any(|(open, close)| text.split(open).skip(1).any(|after| after.trim_start().starts_with(close)))
}

/// The byte that an empty thought ends before, with the space after it, where the turn that ends before `end` begins with one: at the
/// byte `content`, or before that, where the generation prompt has opened it already.
pub(crate) fn empty_at(text: &str, content: usize, end: usize, marks: &[(&str, &str)]) -> Option<usize> {
    marks.iter().find_map(|(open, close)| {
        let reach = text.floor_char_boundary((content + open.len()).min(end));
        let inside = text[..reach].rfind(open)? + open.len();
        let turn = text.get(inside..end)?;
        let rest = turn.trim_start().strip_prefix(close)?;
        // One that the generation prompt has ended as well is prompt.
        (end - rest.len() > content).then(|| end - rest.trim_start().len())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const MARKS: [(&str, &str); 1] = [("<think>", "</think>")];

    #[test]
    fn thoughts_are_taken_out_wherever_they_are_kept() {
        let messages = [
            json!({"role": "user", "content": "<think>mine</think> stays"}),
            json!({"role": "assistant", "content": "<think>\na\n</think>\n\nb <think>c</think>d", "reasoning": "e"}),
            json!({"role": "assistant", "content": [{"text": "<think>f</think>g"}, {"image": 1}], "thinking": "h"}),
            json!({"role": "assistant", "content": "i <think>j", "reasoning_content": "k"}),
        ];
        let expected = [
            messages[0].clone(),
            json!({"role": "assistant", "content": "b d"}),
            json!({"role": "assistant", "content": [{"text": "g"}, {"image": 1}]}),
            json!({"role": "assistant", "content": "i <think>j"}),
        ];
        assert_eq!(stripped(&messages), expected);
    }

    #[test]
    fn an_empty_thought_is_found_where_an_answer_begins_and_nowhere_else() {
        let empty = |text: &str, content: usize| empty_at(text, content, text.len(), &MARKS);
        let whole = "a:<think>\n\n</think>\n\nü";
        assert_eq!(empty(whole, 2), Some(whole.len() - 2), "it begins the answer");
        assert_eq!(empty(whole, 10), Some(whole.len() - 2), "the prompt has opened it");
        assert_eq!(empty(whole, 21), None, "the prompt has ended it");
        assert_eq!(empty("a:<think>\nso\n</think>\n\nü", 2), None, "it is not empty");
        assert_eq!(empty("a:ü<think></think>", 2), None, "the answer begins otherwise");
        assert_eq!(empty("a:ü", 2), None);
        assert!(has_empty(whole, &MARKS) && !has_empty("<think>x</think>", &MARKS) && !has_empty(whole, &[]));
    }
}
