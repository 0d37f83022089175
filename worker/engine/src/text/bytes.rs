//! The bytes that a token stands for, where the tokenizer is made of bytes.
//!
//! Decoding tokens one by one gives half characters as replacement characters. Their bytes can be put together as they come.

use tokenizers::Tokenizer;
use tokenizers::decoders::DecoderWrapper;

/// The bytes of a token; none of a special one. `None` where there is no such token, or the tokenizer is of another kind.
pub(super) fn of_token(tokenizer: &Tokenizer, id: u32) -> Option<Vec<u8>> {
    if !matches!(tokenizer.get_decoder(), Some(DecoderWrapper::ByteLevel(_))) {
        return None;
    }
    let name = tokenizer.id_to_token(id)?;
    if tokenizer.get_added_vocabulary().is_special_token(&name) {
        return Some(Vec::new());
    }
    // A token that was added is its own name, unless all of that could be names of bytes: the decoder sees it so, too.
    let bytes: Option<Vec<u8>> = name.chars().map(byte).collect();
    Some(bytes.unwrap_or_else(|| name.into_bytes()))
}

/// The byte that GPT-2's alphabet writes as `c`: bytes that print stand for themselves, the others follow from U+0100.
fn byte(c: char) -> Option<u8> {
    let code = u32::from(c);
    match code {
        0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff => u8::try_from(code).ok(),
        0x100..=0x120 => u8::try_from(code - 0x100).ok(),
        0x121..=0x142 => u8::try_from(code - 0x121 + 0x7f).ok(),
        0x143 => Some(0xad),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use tokenizers::pre_tokenizers::byte_level::ByteLevel;

    #[test]
    fn every_byte_has_one_letter_of_the_alphabet() {
        let mut bytes: Vec<u8> = ByteLevel::alphabet().into_iter().map(|c| byte(c).unwrap()).collect();
        bytes.sort_unstable();
        assert_eq!(bytes, (0..=255).collect::<Vec<u8>>());
        assert_eq!(byte('名'), None);
    }

    proptest! {
        #[test]
        fn the_bytes_of_tokens_are_the_text_that_they_decode_to(ids in proptest::collection::vec(0u32..260, 0..40)) {
            let dir = tempfile::tempdir().unwrap();
            vertigo_testkit::tokenizer::write(dir.path());
            let tokenizer = Tokenizer::from_file(dir.path().join("tokenizer.json")).unwrap();
            let bytes: Vec<u8> = ids.iter().filter_map(|id| of_token(&tokenizer, *id)).flatten().collect();
            prop_assert_eq!(String::from_utf8_lossy(&bytes), tokenizer.decode(&ids, true).unwrap());
        }
    }
}
