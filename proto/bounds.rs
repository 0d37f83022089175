//! How large the things are that the parts of Vertigo hand one another.

use std::borrow::Cow;

/// The largest message that the coordinator takes and gives.
pub const MESSAGE_BYTES_MAX: usize = 32 << 20;

/// The largest manifest, as JSON: a message has it and room for the rest. A quarter of a million files with short paths fit.
pub const MANIFEST_BYTES_MAX: usize = MESSAGE_BYTES_MAX - (1 << 20);

/// The largest report: one that carries a manifest. A batch of them begins with at most a quarter of a MiB of others.
pub const REPORT_BYTES_MAX: usize = MANIFEST_BYTES_MAX + (64 << 10);

/// The largest recipe.
pub const RECIPE_BYTES_MAX: usize = 256 << 10;

/// The largest config of a curation.
pub const CURATION_BYTES_MAX: usize = 256 << 10;

/// What names a job or an artifact: a tag, a digest, an id, or a beginning of one.
pub const REFERENCE_BYTES_MAX: usize = 200;

/// Why a tag is moved, in characters.
pub const REASON_CHARACTERS_MAX: usize = 2000;

/// Artifacts that a move of a tag was decided by.
pub const EVIDENCE_MAX: usize = 64;

/// The decision by which a tag is moved, as JSON.
pub const DECISION_BYTES_MAX: usize = 64 << 10;

/// Inputs of one role, where there may be several.
pub const NUMBERED_MAX: usize = 8;

/// Models that a service answers with.
pub const SERVED_MAX: usize = NUMBERED_MAX;

/// What requests call a model: `BASE@ADAPTER` at the longest.
pub const SERVED_NAME_BYTES_MAX: usize = 2 * REFERENCE_BYTES_MAX + 1;

/// Where a service is: `http://`, a host and a port.
pub const URL_BYTES_MAX: usize = 300;

/// Items that a page of a list has where the caller names no number.
pub const PAGE_ITEMS: u32 = 100;

/// The most items that a page has, whatever the caller names.
pub const PAGE_ITEMS_MAX: u32 = 1000;

/// Bytes of why a worker takes no attempts.
pub const AWAY_BYTES_MAX: usize = 300;

/// `text` in at most `bytes_max` bytes: what is too much goes from the middle, where an ellipsis then stands. The beginning says what it
/// is, and the end is where errors are.
pub fn shorten(text: &str, bytes_max: usize) -> Cow<'_, str> {
    const ELLIPSIS: &str = "…";
    if text.len() <= bytes_max {
        return Cow::Borrowed(text);
    }
    let room = bytes_max.saturating_sub(ELLIPSIS.len());
    let head = text.floor_char_boundary(room / 2);
    let tail = text.ceil_char_boundary(text.len() - (room - head));
    let ellipsis = if bytes_max < ELLIPSIS.len() { "" } else { ELLIPSIS };
    Cow::Owned([&text[..head], ellipsis, &text[tail..]].concat())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_beginning_and_the_end_stay() {
        assert_eq!(shorten("Apple M5 Max", 12), "Apple M5 Max");
        assert_eq!(shorten("Apple M5 Max", 11), "Appl… Max");
        assert_eq!(shorten("Apple M5 Max", 2), "");
    }

    proptest! {
        #[test]
        fn nothing_is_longer_than_its_bound(text in "\\PC{0,60}", bytes_max in 0usize..80) {
            let short = shorten(&text, bytes_max);
            prop_assert!(short.len() <= bytes_max);
            prop_assert!(text.len() > bytes_max || short == text);
        }
    }
}
