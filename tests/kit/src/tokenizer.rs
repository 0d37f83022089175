//! A tokenizer: each byte is a token, and two special tokens come after them.

use serde_json::{Map, Value, json};
use std::fs;
use std::path::Path;

const CHATML: &str = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}\
                      {% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";

/// Writes it, with a chat template, into a base's folder.
///
/// # Panics
/// Where the folder cannot be written.
pub fn write(folder: &Path) {
    // GPT-2's names of the bytes: those that print stand for themselves, the others follow from U+0100.
    let mut others = 0x100..;
    let name = |byte: u8| {
        let shown = matches!(byte, b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff);
        let code = if shown { u32::from(byte) } else { others.next().unwrap() };
        char::from_u32(code).unwrap().to_string()
    };
    let vocabulary: Map<String, Value> = (0..=255).map(name).zip((0..=255).map(Value::from)).collect();
    let special = |id: u32, content: &str| {
        json!({"id": id, "content": content, "special": true, "single_word": false, "lstrip": false, "rstrip": false,
               "normalized": false})
    };
    let bytes = json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true});
    let tokenizer = json!({"version": "1.0", "normalizer": null, "pre_tokenizer": bytes, "post_processor": null,
        "decoder": bytes, "truncation": null, "padding": null,
        "added_tokens": [special(256, "<|im_start|>"), special(257, "<|im_end|>")],
        "model": {"type": "BPE", "vocab": vocabulary, "merges": []}});
    let config = json!({"eos_token": "<|im_end|>", "chat_template": CHATML});
    fs::write(folder.join("tokenizer.json"), tokenizer.to_string()).unwrap();
    fs::write(folder.join("tokenizer_config.json"), config.to_string()).unwrap();
}
