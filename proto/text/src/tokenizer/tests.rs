//! Tokenization against mlx-lm's rules, on a tokenizer made here and, where they are, on the shared fixtures.

use super::*;
use std::path::PathBuf;
use tempfile::TempDir;
use vertigo_model::dataset::jsonl_files;
use vertigo_testkit::skipped;

const CHATML: &str = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}\
                      {% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";

/// What matters in Qwen3.5's: it walks over arguments, and opens a thought in the generation prompt.
const QWEN: &str = "\
{%- if tools %}{{- '<|im_start|>system\\n' }}{%- for tool in tools %}{{- tool | tojson }}{%- endfor %}{{- '<|im_end|>\\n' }}{%- endif %}
{%- for message in messages %}
    {{- '<|im_start|>' + message.role + '\\n' + (message.content or '') }}
    {%- for call in message.tool_calls or [] %}
        {%- for name, value in call.function.arguments|items %}
            {{- '<' + name + '=' + (value | tojson if value is mapping else value | string) + '>' }}
        {%- endfor %}
    {%- endfor %}
    {{- '<|im_end|>\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
    {%- if enable_thinking is defined and enable_thinking is false %}
        {{- '<think>\\n\\n</think>\\n\\n' }}
    {%- else %}
        {{- '<think>\\n' }}
    {%- endif %}
{%- endif %}
";

/// A tokenizer of bytes (token = byte) with special tokens after them, and `template`.
fn folder(template: &str, specials: &[&str]) -> TempDir {
    let dir = tempfile::tempdir().expect("a temporary folder");
    // GPT-2's names of the bytes: those that print stand for themselves, the others follow from U+0100.
    let mut others = 0x100..;
    let vocabulary: Map<String, Value> = (0..=255u8)
        .map(|byte| {
            let shown = matches!(byte, b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff);
            let code = if shown { Some(u32::from(byte)) } else { others.next() };
            (code.and_then(char::from_u32).expect("below the surrogates").to_string(), byte.into())
        })
        .collect();
    let added: Vec<Value> = specials
        .iter()
        .enumerate()
        .map(|(n, token)| {
            json!({"id": 256 + n, "content": token, "special": true, "single_word": false, "lstrip": false,
                   "rstrip": false, "normalized": false})
        })
        .collect();
    let bytes = json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true});
    let tokenizer = json!({"version": "1.0", "added_tokens": added, "normalizer": null, "pre_tokenizer": bytes,
        "post_processor": null, "decoder": bytes, "truncation": null, "padding": null,
        "model": {"type": "BPE", "vocab": vocabulary, "merges": []}});
    let config = json!({"eos_token": {"content": "<|im_end|>"}, "bos_token": null, "chat_template": template});
    fs::write(dir.path().join("tokenizer.json"), tokenizer.to_string()).expect("written");
    fs::write(dir.path().join("tokenizer_config.json"), config.to_string()).expect("written");
    dir
}

const PLAIN: [&str; 2] = ["<|im_start|>", "<|im_end|>"];
const THINKS: [&str; 4] = ["<|im_start|>", "<|im_end|>", "<think>", "</think>"];

fn load(template: &str, specials: &[&str]) -> ChatTokenizer {
    ChatTokenizer::load(folder(template, specials).path()).unwrap()
}

/// The tokens as one reads them: bytes as text, special tokens by name.
fn shown(tokenizer: &ChatTokenizer, ids: &[u32]) -> String {
    tokenizer.tokenizer.decode(ids, false).unwrap()
}

#[test]
fn text_is_ended_once() {
    let tokenizer = load(CHATML, &PLAIN);
    assert_eq!(tokenizer.eos(), 257);
    for text in ["hi ü", "hi ü<|im_end|>"] {
        let tokens = tokenizer.tokenize(&Example::Text(text.to_owned()), true).unwrap();
        assert_eq!((shown(&tokenizer, &tokens.ids).as_str(), tokens.prompt), ("hi ü<|im_end|>", 0));
        assert_eq!(tokenizer.decode(&tokens.ids).unwrap(), "hi ü");
    }
}

#[test]
fn masks_all_up_to_the_answer() {
    let tokenizer = load(CHATML, &PLAIN);
    let example = Example::Completion { prompt: "1+1".to_owned(), completion: "2".to_owned() };
    let tokens = tokenizer.tokenize(&example, true).unwrap();
    assert_eq!(
        shown(&tokenizer, &tokens.ids[..tokens.prompt]),
        "<|im_start|>user\n1+1<|im_end|>\n<|im_start|>assistant\n"
    );
    assert_eq!(shown(&tokenizer, &tokens.ids[tokens.prompt..]), "2<|im_end|>\n");
    let whole = tokenizer.tokenize(&example, false).unwrap();
    assert_eq!((whole.ids, whole.prompt), (tokens.ids, 0));
}

#[test]
fn what_the_prompt_and_the_conversation_do_not_share_is_not_masked() {
    // The generation prompt opens a thought that the conversation does not have: mlx-lm masks as many tokens of the answer.
    let tokenizer = load(QWEN, &THINKS);
    let example = Example::Completion { prompt: "1+1".to_owned(), completion: "it is 2".to_owned() };
    let read = tokenizer.read(&example, true).unwrap();
    assert!(!read.prompt_is_shared);
    let (prompt, learned) = read.tokens.ids.split_at(read.tokens.prompt);
    assert_eq!(shown(&tokenizer, prompt), "<|im_start|>user\n1+1<|im_end|>\n<|im_start|>assistant\n");
    assert_eq!(shown(&tokenizer, learned), "it is 2<|im_end|>\n");
    let whole = tokenizer.read(&example, false).unwrap();
    assert!(whole.prompt_is_shared && whole.tokens.prompt == 0, "nothing is masked, so nothing is masked wrongly");
    let shared = load(CHATML, &PLAIN).read(&example, true).unwrap();
    assert!(shared.prompt_is_shared);
}

#[test]
fn a_token_across_the_border_is_learned() {
    // `\n` and `\n\n` are tokens of their own, as in Qwen3.5's vocabulary: the prompt's last token is not in the conversation.
    let dir = folder(
        "{% for m in messages %}{{ m.content }}{% endfor %}{% if add_generation_prompt %}{{ '\n' }}{% endif %}",
        &PLAIN,
    );
    let path = dir.path().join("tokenizer.json");
    let mut tokenizer: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    tokenizer["model"]["vocab"]["ĊĊ"] = json!(258);
    tokenizer["model"]["merges"] = json!([["Ċ", "Ċ"]]);
    fs::write(&path, tokenizer.to_string()).unwrap();
    let tokenizer = ChatTokenizer::load(dir.path()).unwrap();
    let example = Example::Completion { prompt: "ab".to_owned(), completion: "\n\n".to_owned() };
    let read = tokenizer.read(&example, true).unwrap();
    let ids = |text: &str| tokenizer.encode(text).unwrap();
    assert_eq!(read.tokens.ids, ids("ab\n\n"));
    assert_eq!((read.tokens.prompt, read.prompt_is_shared), (2, false), "{read:?}");
}

#[test]
fn only_an_assistant_as_the_last_one_has_a_generation_prompt() {
    let tokenizer = load(CHATML, &PLAIN);
    let messages = vec![json!({"role": "user", "content": "a"}), json!({"role": "user", "content": "b"})];
    let tokens = tokenizer.tokenize(&Example::Chat { messages, tools: None }, true).unwrap();
    assert_eq!(shown(&tokenizer, &tokens.ids[tokens.prompt..]), "<|im_start|>user\nb<|im_end|>\n");
}

#[test]
fn thinking_is_enabled_for_bases_that_know_its_tokens() {
    let user = [json!({"role": "user", "content": "a"})];
    let prompt = |specials: &[&str]| load(QWEN, specials).render(&user, None, true).unwrap();
    assert!(prompt(&THINKS).ends_with("<|im_start|>assistant\n<think>\n"));
    assert!(prompt(&PLAIN).ends_with("<|im_start|>assistant\n<think>\n\n</think>\n\n"));
}

#[test]
fn arguments_stay_text_unless_the_template_refuses_it() {
    let call = |arguments: Value| json!({"role": "assistant", "content": null, "tool_calls": [{"function": {"name": "f", "arguments": arguments}}]});
    let text = [call(json!(r#"{"b": true, "a": {"n": 1}}"#))];
    let expected = "<|im_start|>assistant\n<b=True><a={\"n\": 1}><|im_end|>\n";
    assert_eq!(load(QWEN, &THINKS).render(&text, None, false).unwrap(), expected);
    let verbatim = load("{{ messages[0].tool_calls[0].function.arguments }}", &PLAIN);
    assert_eq!(verbatim.render(&text, None, false).unwrap(), r#"{"b": true, "a": {"n": 1}}"#);
    let error = load(QWEN, &THINKS).render(&[call(json!("no JSON"))], None, false).unwrap_err().to_string();
    assert!(error.starts_with("chat_template: "), "{error}");
}

#[test]
fn messages_reach_the_template_as_hugging_face_hands_them_over() {
    let tokenizer =
        load("{% for m in messages %}[{{ m.content }}{{ m.thinking }}{{ m.reasoning_content }}]{% endfor %}", &PLAIN);
    let messages =
        [json!({"role": "assistant", "content": null, "reasoning": "r"}), json!({"role": "user", "content": "u"})];
    assert_eq!(tokenizer.render(&messages, None, false).unwrap(), "[rr][u]");
}

#[test]
fn a_template_file_goes_before_the_configuration() {
    let dir = folder(CHATML, &PLAIN);
    fs::write(dir.path().join("chat_template.jinja"), "{{ eos_token }}{{ bos_token is defined }}{{ tools is none }}")
        .unwrap();
    let tokenizer = ChatTokenizer::load(dir.path()).unwrap();
    assert_eq!(tokenizer.render(&[], None, false).unwrap(), "<|im_end|>FalseTrue");
}

#[test]
fn says_which_file_is_wrong() {
    let problem = |dir: &TempDir| ChatTokenizer::load(dir.path()).err().expect("refused").to_string();
    let dir = folder(CHATML, &PLAIN);
    let config = dir.path().join("tokenizer_config.json");
    fs::write(&config, r#"{"eos_token": "<nope>"}"#).unwrap();
    assert!(problem(&dir).contains("tokenizer_config.json: eos_token `<nope>` is not in the vocabulary"));
    fs::write(&config, "{}").unwrap();
    assert!(problem(&dir).contains("tokenizer_config.json: has no eos_token"));
    fs::write(&config, r#"{"eos_token": "<|im_end|>", "chat_template": "{% for"}"#).unwrap();
    assert!(problem(&dir).contains("chat_template: "));
    fs::write(&config, r#"{"eos_token": "<|im_end|>"}"#).unwrap();
    let error = ChatTokenizer::load(dir.path()).unwrap().render(&[], None, false).unwrap_err().to_string();
    assert!(error.contains("no chat_template"), "{error}");
    fs::remove_file(dir.path().join("tokenizer.json")).unwrap();
    assert!(problem(&dir).contains("tokenizer.json"));
}

/// A folder beside the repository that holds what is too large or not ours to keep in it.
fn shared(path: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared").join(path);
    if path.exists() {
        return Some(path);
    }
    skipped(&format!("{} is absent", path.display()));
    None
}

#[test]
fn the_shared_data_tokenizes() {
    let (Some(fixtures), Some(data)) = (shared("fixtures"), shared("data/vertigo/raw")) else { return };
    let fixture = ChatTokenizer::load(&fixtures.join("f32")).unwrap();
    let qwen = load(QWEN, &THINKS);
    for file in jsonl_files(&data).unwrap() {
        for (n, line) in fs::read_to_string(&file).unwrap().lines().enumerate() {
            let example = Example::parse(line).unwrap();
            for tokenizer in [&fixture, &qwen] {
                let tokens = tokenizer
                    .tokenize(&example, true)
                    .unwrap_or_else(|error| panic!("{}:{}: {error}", file.display(), n + 1));
                let shown = shown(tokenizer, &tokens.ids);
                assert!(shown.ends_with("<|im_end|>\n"), "{}:{}: {shown}", file.display(), n + 1);
            }
        }
    }
}

#[test]
fn the_repositorys_own_data_tokenizes() {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/luau");
    let (chatml, qwen) = (load(CHATML, &PLAIN), load(QWEN, &THINKS));
    let mut examples = 0;
    for file in jsonl_files(&data).unwrap() {
        for (n, line) in fs::read_to_string(&file).unwrap().lines().enumerate() {
            let example = Example::parse(line).unwrap_or_else(|e| panic!("{}:{}: {e}", file.display(), n + 1));
            for tokenizer in [&chatml, &qwen] {
                let tokens = tokenizer.tokenize(&example, true).unwrap();
                let place = format!("{}:{}", file.display(), n + 1);
                assert!(tokens.prompt > 0 && tokens.prompt < tokens.ids.len(), "{place}");
                let prompt = shown(tokenizer, &tokens.ids[..tokens.prompt]);
                assert!(prompt.contains("<|im_start|>assistant\n"), "{place}: {prompt}");
                assert!(shown(tokenizer, &tokens.ids).ends_with("<|im_end|>\n"), "{place}");
            }
            examples += 1;
        }
    }
    assert!(examples >= 50, "only {examples} examples");
}
