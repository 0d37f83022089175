//! The key of a server elsewhere: found on this machine, sent in a header, and struck out of whatever comes back.
//!
//! Promise: it stands in no error. What is kept or said of a server's texts has it in none of the forms in which servers repeat what they
//! were sent: as it is, in addresses, in JSON, in base64 and in hexadecimal digits.

use super::super::codes;
use base64::prelude::{BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE_NO_PAD, Engine};
use reqwest::header::HeaderValue;
use std::fmt::Write as _;
use std::fs;
use std::io::Read;
use std::path::Path;
use vertigo::task::{Cure, Failure};

/// A key is a line: more than this is none.
const KEY_BYTES_MAX: u64 = 8 << 10;

/// A shorter key is no secret but a word that a server of one's own wants, such as `none`, and answers may well have it.
const SECRET_BYTES_MIN: usize = 8;

/// What stands where the key did.
const STRUCK: &str = "[the server's key]";

/// A key that is no line, or none at all. What it is stands in no message.
const NO_KEY: &str = "the server's key is empty, or has characters that no header may";

/// A server's key.
pub(super) struct Key {
    text: String,
    /// How it may come back, the longest first; none of a key that is no secret.
    forms: Vec<String>,
}

impl Key {
    /// The key that is found at a place, `env:NAME` or `file:PATH`; `None` where there is none to find.
    ///
    /// # Errors
    /// It is not there, or is empty or too long.
    pub(super) fn find(place: &str) -> Result<Option<Key>, Failure> {
        let here = |problem: String| Failure::new(Cure::AnotherMachine, codes::THIS_MACHINE, problem);
        let found = if let Some(name) = place.strip_prefix("env:") {
            std::env::var(name)
                .map_err(|_| here(format!("the worker's environment has no {name} for the server's key")))?
        } else if let Some(path) = place.strip_prefix("file:") {
            let mut text = String::new();
            let file = fs::File::open(Path::new(path));
            let read = file.and_then(|file| file.take(KEY_BYTES_MAX + 1).read_to_string(&mut text));
            read.map_err(|error| here(format!("the server's key, {path}: {error}")))?;
            text
        } else {
            return Ok(None);
        };
        match found.trim() {
            "" => Err(here(format!("{place}: {NO_KEY}"))),
            key if key.len() as u64 > KEY_BYTES_MAX => {
                Err(here(format!("{place}: the server's key has more than {KEY_BYTES_MAX} bytes, so it is none")))
            }
            key => Ok(Some(Key::new(key))),
        }
    }

    /// A key that was found.
    pub(super) fn new(text: &str) -> Key {
        let mut forms = if text.len() < SECRET_BYTES_MIN { Vec::new() } else { forms(text) };
        forms.sort_by_key(|form| std::cmp::Reverse(form.len()));
        Key { text: text.to_owned(), forms }
    }

    /// What it is, for who sends it in another way.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// The header that it is sent in.
    ///
    /// # Errors
    /// It cannot be one.
    pub(super) fn header(&self) -> Result<HeaderValue, String> {
        // Its error would tell nothing, and must not tell the key.
        let header = HeaderValue::from_str(&format!("Bearer {}", self.text));
        let mut header = header.map_err(|_| NO_KEY.to_owned())?;
        header.set_sensitive(true);
        Ok(header)
    }

    /// A text without the key.
    pub(super) fn struck(&self, text: String) -> String {
        self.forms.iter().filter(|form| !form.is_empty()).fold(text, |text, form| {
            if text.contains(form.as_str()) { text.replace(form.as_str(), STRUCK) } else { text }
        })
    }
}

/// How a key comes back from servers that repeat it.
fn forms(key: &str) -> Vec<String> {
    let bytes = key.as_bytes();
    // Within quotes, with and without the slash that some writers escape.
    let json = serde_json::Value::from(key).to_string();
    let json = json[1..json.len() - 1].to_owned();
    let mut forms = vec![key.to_owned(), json.replace('/', "\\/"), json, hex::encode(bytes), hex::encode_upper(bytes)];
    for lower in [false, true] {
        // Addresses have letters, digits and these as they are, and writers differ in what else they leave.
        for left in ["-_.~", "-_.~!$&'()*+,;=:@/", ""] {
            forms.push(percent(bytes, left, lower));
        }
    }
    for before in 0..3 {
        forms.extend(in_base64(bytes, before));
    }
    forms.dedup();
    forms
}

/// A key as it stands in addresses.
fn percent(bytes: &[u8], left: &str, lower: bool) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let c = char::from(*byte);
        // Writing to a string does not fail.
        let _ = match byte.is_ascii_alphanumeric() || left.contains(c) && byte.is_ascii() {
            true => write!(text, "{c}"),
            false if lower => write!(text, "%{byte:02x}"),
            false => write!(text, "%{byte:02X}"),
        };
        text
    })
}

/// The digits in base64 that a key alone decides, after so many bytes, such as `Bearer ` or a user's name, in the same text.
fn in_base64(key: &[u8], before: usize) -> [String; 2] {
    let bytes: Vec<u8> = std::iter::repeat_n(0, before).chain(key.iter().copied()).collect();
    // A digit is six bits: the first ones may be shared with what stands before, the last one with what follows.
    let digits = (before * 8).div_ceil(6)..bytes.len() * 8 / 6;
    [BASE64_STANDARD_NO_PAD.encode(&bytes), BASE64_URL_SAFE_NO_PAD.encode(&bytes)]
        .map(|text| text.get(digits.clone()).unwrap_or_default().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE};
    use proptest::prelude::*;

    fn all(key: &str) -> Vec<String> {
        let basic = format!("user:{key}");
        let bearer = format!("Bearer {key}, and more");
        vec![
            key.to_owned(),
            format!("you sent {key}{key}"),
            BASE64_STANDARD.encode(key),
            BASE64_URL_SAFE.encode(key),
            BASE64_STANDARD.encode(&basic),
            BASE64_URL_SAFE.encode(&bearer),
            percent(key.as_bytes(), "", true),
            percent(key.as_bytes(), "-_.~", false),
            serde_json::json!({"key": key}).to_string().replace('/', "\\/"),
            hex::encode(key),
        ]
    }

    #[test]
    fn a_key_is_struck_out_however_a_server_repeats_it_and_all_else_stays() {
        let key = "sk-proj/Ab+9=\"x~y_z%41";
        let struck = |text: &str| Key::new(key).struck(text.to_owned());
        assert_eq!(struck(&format!("no such key: {key}.")), format!("no such key: {STRUCK}."));
        for text in all(key) {
            assert!(struck(&text).contains(STRUCK), "{text}");
        }
        let other = "no such key: sk-proj/Ab, and Basic dXNlcjpub25l";
        assert_eq!(struck(other), other);
    }

    #[test]
    fn a_word_is_no_secret_and_answers_keep_it() {
        for word in ["EMPTY", "none", "ollama", "x"] {
            assert_eq!(Key::new(word).struck(format!("an {word} one")), format!("an {word} one"));
        }
    }

    #[test]
    fn a_key_that_is_none_is_not_sent_and_not_said() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        let find = |text: &str| {
            fs::write(&path, text).unwrap();
            Key::find(&format!("file:{}", path.display()))
        };
        assert_eq!(find(" sk-secret\n").unwrap().unwrap().text, "sk-secret");
        for none in ["", " \n", &"k".repeat(9 << 10)] {
            let failure = find(none).err().unwrap();
            assert!(failure.message.contains("key") && !failure.message.contains("kkk"), "{}", failure.message);
        }
        let failure = find("sk-one\nsk-two").unwrap().unwrap().header().unwrap_err();
        assert!(!failure.contains("sk-"), "{failure}");
        assert!(Key::find("env:VERTIGO_NO_SUCH_KEY").is_err() && Key::find("").unwrap().is_none());
    }

    proptest! {
        #[test]
        fn no_form_of_a_key_is_left(key in "[!-~]{8,60}", around in "[a-z]{0,5}") {
            let struck = Key::new(&key);
            for text in all(&key) {
                let left = struck.struck(format!("{around}{text}{around}"));
                prop_assert!(left.contains(STRUCK), "{text} is left as {left}");
                prop_assert!(!left.contains(&key), "{left}");
            }
        }
    }
}
