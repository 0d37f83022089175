//! A text as its words, and words as numbers.
//!
//! A word is a run of letters, digits and underscores, in small letters: what stands between words makes no difference. Scripts that put
//! no spaces between words have what stands between two marks for one.
//!
//! Promise: the same text has the same numbers on any machine and in any version.

/// What a word's number begins with, and what each of its bytes multiplies it by: FNV-1a's.
const BEGIN: u64 = 0xCBF2_9CE4_8422_2325;
const TIMES: u64 = 0x0000_0100_0000_01B3;

/// The words' numbers, in their order.
pub fn words(text: &str) -> Vec<u64> {
    let mut words = Vec::new();
    push_words(text, &mut words);
    words
}

/// The same, behind those that are there.
pub fn push_words(text: &str, words: &mut Vec<u64>) {
    // Most texts are ASCII, where a byte says all that is asked of a character.
    let mut hash = None;
    let mut bytes = text.as_bytes().iter().enumerate();
    while let Some((at, byte)) = bytes.next() {
        if byte.is_ascii_alphanumeric() || *byte == b'_' {
            hash = Some(next(hash.unwrap_or(BEGIN), byte.to_ascii_lowercase()));
        } else if byte.is_ascii() {
            words.extend(hash.take().map(mixed));
        } else {
            // A word may begin in ASCII and go on otherwise: from here on, the slow way.
            let begin = text.as_bytes()[..at].iter().rposition(|byte| !is_word(*byte)).map_or(0, |before| before + 1);
            let end = text.as_bytes()[at..].iter().position(|byte| byte.is_ascii() && !is_word(*byte));
            let end = end.map_or(text.len(), |end| at + end);
            hash = None;
            push_any_words(&text[begin..end], words);
            if end > at + 1 {
                bytes.nth(end - at - 2);
            }
        }
    }
    words.extend(hash.map(mixed));
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

fn push_any_words(text: &str, words: &mut Vec<u64>) {
    let all = text.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty());
    // What is ASCII is so in small letters too, and they are the same as above.
    words.extend(all.map(|word| mixed(word.to_lowercase().bytes().fold(BEGIN, next))));
}

fn next(hash: u64, byte: u8) -> u64 {
    (hash ^ u64::from(byte)).wrapping_mul(TIMES)
}

/// Spreads a number over all its bits, without two that become one: what murmur3 ends with.
pub fn mixed(mut hash: u64) -> u64 {
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xFF51_AFD7_ED55_8CCD);
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xC4CE_B9FE_1A85_EC53);
    hash ^ (hash >> 33)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn slowly(text: &str) -> Vec<u64> {
        let mut words = Vec::new();
        push_any_words(text, &mut words);
        words
    }

    #[test]
    fn a_words_number_is_the_same_everywhere_and_its_marks_and_capitals_are_nothing() {
        assert_eq!(words("local x_1 = 5"), words("LOCAL, x_1: (5)"));
        assert_eq!(words("local x_1 = 5").len(), 3);
        // A number that changes would make datasets of other digests.
        assert_eq!(words("local"), [4_657_621_987_950_548_190]);
        assert!(words("--- !").is_empty());
    }

    proptest! {
        #[test]
        fn the_quick_way_reads_what_the_slow_one_does(text in "[aZ0_ ,é日Ⅷ\u{0130}\u{0301}]{0,24}") {
            prop_assert_eq!(words(&text), slowly(&text));
        }

        #[test]
        fn and_so_it_does_with_any_text(text in any::<String>()) {
            prop_assert_eq!(words(&text), slowly(&text));
        }
    }
}
