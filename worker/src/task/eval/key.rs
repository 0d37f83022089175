//! The key of a server elsewhere, found on this machine and sent in a header.
//!
//! Promise: it stands in no error.

use super::super::codes;
use reqwest::header::HeaderValue;
use std::fs;
use std::io::Read;
use std::path::Path;
use vertigo::server_key::{ALLOWED_KEYS, KeyPlace, KeyRule, ServerKey};
use vertigo::task::{Cure, Failure};

/// A key is a line: more than this is none.
const KEY_BYTES_MAX: u64 = 8 << 10;

/// A key that is no line, or none at all. What it is stands in no message.
const NO_KEY: &str = "the server's key is empty, or has characters that no header may";

/// The key that is found at a place, as [`KeyPlace`] is written; `None` where the place is empty.
///
/// # Errors
/// The place is none, or the key is not there, or is empty or too long.
pub(super) fn find(place: &str) -> Result<Option<ServerKey>, Failure> {
    if place.is_empty() {
        return Ok(None);
    }
    let here = |problem: String| Failure::new(Cure::AnotherMachine, codes::THIS_MACHINE, problem);
    let parsed = place.parse();
    if let Ok(parsed) = &parsed
        && !KeyRule::of_lines(std::env::var(ALLOWED_KEYS).ok().as_deref()).allows(parsed)
    {
        return Err(here(format!(
            "this worker's owner lets no job have the key at {parsed}: vertigo-worker --allow-key {parsed}"
        )));
    }
    let found = match parsed {
        Ok(KeyPlace::Environment(name)) => std::env::var(&name)
            .map_err(|_| here(format!("the worker's environment has no {name} for the server's key")))?,
        Ok(KeyPlace::File(path)) => {
            let mut text = String::new();
            let file = fs::File::open(Path::new(&path));
            let read = file.and_then(|file| file.take(KEY_BYTES_MAX + 1).read_to_string(&mut text));
            read.map_err(|error| here(format!("the server's key, {path}: {error}")))?;
            text
        }
        Err(error) => return Err(Failure::new(Cure::Never, codes::BAD_INPUT, error.to_string())),
    };
    match found.trim() {
        "" => Err(here(format!("{place}: {NO_KEY}"))),
        key if key.len() as u64 > KEY_BYTES_MAX => {
            Err(here(format!("{place}: the server's key has more than {KEY_BYTES_MAX} bytes, so it is none")))
        }
        key => Ok(Some(ServerKey::new(key))),
    }
}

/// The header that it is sent in.
///
/// # Errors
/// It cannot be one.
pub(super) fn header(key: &ServerKey) -> Result<HeaderValue, String> {
    // Its error would tell nothing, and must not tell the key.
    let header = HeaderValue::from_str(&format!("Bearer {}", key.text()));
    let mut header = header.map_err(|_| NO_KEY.to_owned())?;
    header.set_sensitive(true);
    Ok(header)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_is_none_is_not_sent_and_not_said() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        let found = |text: &str| {
            fs::write(&path, text).unwrap();
            find(&format!("file:{}", path.display()))
        };
        assert_eq!(found(" sk-secret\n").unwrap().unwrap().text(), "sk-secret");
        for none in ["", " \n", &"k".repeat(9 << 10)] {
            let failure = found(none).err().unwrap();
            assert!(failure.message.contains("key") && !failure.message.contains("kkk"), "{}", failure.message);
        }
        let failure = header(&found("sk-one\nsk-two").unwrap().unwrap()).unwrap_err();
        assert!(!failure.contains("sk-"), "{failure}");
        assert!(find("env:VERTIGO_NO_SUCH_KEY").is_err() && find("").unwrap().is_none());
        assert!(!find("sk-secret").unwrap_err().message.contains("sk-secret"));
    }
}
