//! The key of a server elsewhere: where a worker finds it, and what of a server's texts may be kept that has seen it.
//!
//! A job says where a key is found, and never what it is. Promise: a [`ServerKey`] prints nothing of itself; what it has struck out of a
//! text stands there in none of the forms in which servers repeat what they were sent: as it is, in addresses, in JSON, in base64 and in
//! hexadecimal digits.

use base64::prelude::{BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE_NO_PAD, Engine};
use std::collections::BTreeSet;
use std::fmt::{self, Write as _};
use std::str::FromStr;

/// A shorter key is no secret but a word that a server of one's own wants, such as `none`, and answers may well have it.
const SECRET_BYTES_MIN: usize = 8;

/// What stands where the key did.
pub const STRUCK: &str = "[the server's key]";

/// Where on a worker a key is found.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum KeyPlace {
    /// `env:NAME`: in its environment.
    Environment(String),
    /// `file:PATH`: on its disk.
    File(String),
}

/// What is no place. It does not say what it was instead: that may be the key itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a key is found by `env:NAME` or `file:PATH` on the worker, and is not told itself")]
pub struct KeyPlaceError;

impl FromStr for KeyPlace {
    type Err = KeyPlaceError;

    fn from_str(text: &str) -> Result<KeyPlace, KeyPlaceError> {
        let after = |way: &str| text.strip_prefix(way).filter(|rest| !rest.trim().is_empty()).map(str::to_owned);
        let place = after("env:").map(KeyPlace::Environment).or_else(|| after("file:").map(KeyPlace::File));
        place.filter(|_| !text.contains(char::is_control)).ok_or(KeyPlaceError)
    }
}

impl fmt::Display for KeyPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            KeyPlace::Environment(name) => write!(f, "env:{name}"),
            KeyPlace::File(path) => write!(f, "file:{path}"),
        }
    }
}

/// Where in its environment a worker's child reads which keys it may have: a [`KeyRule`] in lines. Where it is not set, any.
pub const ALLOWED_KEYS: &str = "VERTIGO_ALLOWED_KEYS";

/// Which places a machine's owner lets jobs name. Who queues a job says to which server a key goes: without this they could have any file
/// of the worker's sent anywhere.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum KeyRule {
    /// Any: who queues jobs here could read them anyway.
    #[default]
    Any,
    /// These, and no other.
    Only(BTreeSet<KeyPlace>),
}

impl KeyRule {
    /// Whether a job may have the key that is there.
    pub fn allows(&self, place: &KeyPlace) -> bool {
        match self {
            KeyRule::Any => true,
            KeyRule::Only(places) => places.contains(place),
        }
    }

    /// In one line for another process of ours. No place has a line's end in it.
    pub fn to_lines(&self) -> Option<String> {
        match self {
            KeyRule::Any => None,
            KeyRule::Only(places) => Some(places.iter().map(|place| format!("{place}\n")).collect()),
        }
    }

    /// Reads [`to_lines`](KeyRule::to_lines). What is no place allows none.
    pub fn of_lines(lines: Option<&str>) -> KeyRule {
        match lines {
            None => KeyRule::Any,
            Some(lines) => KeyRule::Only(lines.lines().filter_map(|line| line.parse().ok()).collect()),
        }
    }
}

/// A server's key.
#[derive(Clone)]
pub struct ServerKey {
    text: String,
    /// How it may come back, the longest first; none of a key that is no secret.
    forms: Vec<String>,
}

impl fmt::Debug for ServerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerKey").finish_non_exhaustive()
    }
}

impl ServerKey {
    /// A key that was found.
    pub fn new(text: &str) -> ServerKey {
        let mut forms = if text.len() < SECRET_BYTES_MIN { Vec::new() } else { forms(text) };
        forms.sort_by_key(|form| std::cmp::Reverse(form.len()));
        ServerKey { text: text.to_owned(), forms }
    }

    /// What it is, for who sends it.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// A text without the key.
    pub fn struck(&self, text: String) -> String {
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
        let struck = |text: &str| ServerKey::new(key).struck(text.to_owned());
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
            assert_eq!(ServerKey::new(word).struck(format!("an {word} one")), format!("an {word} one"));
        }
    }

    #[test]
    fn a_key_is_said_by_where_it_is_found() {
        assert_eq!("env:NAME".parse(), Ok(KeyPlace::Environment("NAME".to_owned())));
        assert_eq!("file:/a b".parse(), Ok(KeyPlace::File("/a b".to_owned())));
        for none in ["", "env:", "file: ", "sk-secret", "ENV:NAME", "env:A\nB"] {
            assert_eq!(none.parse::<KeyPlace>(), Err(KeyPlaceError), "{none:?}");
        }
        assert_eq!(format!("{:?}", ServerKey::new("sk-secret")), "ServerKey { .. }");
    }

    #[test]
    fn only_what_is_allowed_may_be_named_and_the_rule_reads_back() {
        let place = |text: &str| text.parse::<KeyPlace>().unwrap();
        let rule = KeyRule::Only([place("env:OPENAI_API_KEY"), place("file:/etc/vertigo/key")].into());
        for rule in [KeyRule::Any, rule.clone(), KeyRule::Only(BTreeSet::new())] {
            assert_eq!(KeyRule::of_lines(rule.to_lines().as_deref()), rule);
        }
        assert!(rule.allows(&place("env:OPENAI_API_KEY")) && !rule.allows(&place("env:AWS_SECRET_ACCESS_KEY")));
        assert!(!rule.allows(&place("file:/etc/shadow")) && !rule.allows(&place("file:/etc/vertigo/../vertigo/key")));
        assert!(KeyRule::Any.allows(&place("file:/etc/shadow")));
        assert!(!KeyRule::of_lines(Some("nonsense")).allows(&place("env:X")));
    }

    proptest! {
        #[test]
        fn no_form_of_a_key_is_left(key in "[!-~]{8,60}", around in "[a-z]{0,5}") {
            let struck = ServerKey::new(&key);
            for text in all(&key) {
                let left = struck.struck(format!("{around}{text}{around}"));
                prop_assert!(left.contains(STRUCK), "{text} is left as {left}");
                prop_assert!(!left.contains(&key), "{left}");
            }
        }
    }
}
