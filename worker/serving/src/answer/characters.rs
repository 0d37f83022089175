//! Bytes of tokens to whole characters.

/// What has come of a character that is not whole yet.
#[derive(Debug, Default)]
pub(crate) struct Characters {
    /// Three bytes at the most.
    open: Vec<u8>,
}

impl Characters {
    /// The characters that `bytes` completes. Bytes that can be part of none become replacement characters, as where all is decoded at
    /// once; half a character waits for its other half.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> String {
        self.open.extend_from_slice(bytes);
        let (mut text, mut done) = (String::with_capacity(self.open.len()), 0);
        for chunk in self.open.utf8_chunks() {
            text.push_str(chunk.valid());
            done += chunk.valid().len();
            let invalid = chunk.invalid();
            let is_last = done + invalid.len() == self.open.len();
            if invalid.is_empty() || (is_last && is_begun(invalid)) {
                break;
            }
            text.push(char::REPLACEMENT_CHARACTER);
            done += invalid.len();
        }
        self.open.drain(..done);
        text
    }
}

/// Whether more bytes could make a character of these.
fn is_begun(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_err_and(|error| error.error_len().is_none())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Bytes of text, now and then broken.
    fn bytes() -> impl Strategy<Value = Vec<u8>> {
        let part = prop_oneof![
            4 => any::<char>().prop_map(|c| c.to_string().into_bytes()),
            1 => proptest::collection::vec(any::<u8>(), 1..3),
        ];
        proptest::collection::vec(part, 0..20).prop_map(|parts| parts.concat())
    }

    proptest! {
        #[test]
        fn however_bytes_come_the_text_is_that_of_all_at_once(all in bytes(), sizes in proptest::collection::vec(1usize..4, 60)) {
            let (mut characters, mut text, mut rest) = (Characters::default(), String::new(), &all[..]);
            let whole = String::from_utf8_lossy(&all).into_owned();
            for size in sizes.into_iter().cycle() {
                if rest.is_empty() {
                    break;
                }
                let (now, later) = rest.split_at(size.min(rest.len()));
                text += &characters.push(now);
                prop_assert!(whole.starts_with(&text) && characters.open.len() <= 3);
                rest = later;
            }
            prop_assert_eq!(text + &String::from_utf8_lossy(&characters.open), whole);
        }
    }

    #[test]
    fn half_a_character_is_never_seen() {
        let mut characters = Characters::default();
        let seen: Vec<String> = "a€😀".bytes().map(|byte| characters.push(&[byte])).collect();
        assert_eq!(seen, ["a", "", "", "€", "", "", "", "😀"]);
    }
}
