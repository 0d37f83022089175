//! How much memory a child may hold, MLX's and all else.
//!
//! The second line of defence: the engine bounds what a template may make, and MLX's own peak is compared with what the machine
//! offers. What is left is a process that grows for another reason, and a machine that would be taken down with it.
//!
//! The bound must not end a run that is well. What MLX holds is within what the worker offers, or the run is ended for that; MLX's
//! cache gives way to what is in use. So the rest has to have room of its own, and examples are the one part of it that grows.

use std::fs;
use std::path::Path;
use vertigo::bytes::Bytes;

/// Room for what is not MLX's and does not grow with the data: code, tokenizer, buffers, the allocator's slack.
pub const BESIDE_MLX_BYTES: Bytes = Bytes::gib(4);

/// Memory for a byte of examples: their text and lines, each key and value of a short message as an object of its own, tokens.
const BYTES_PER_EXAMPLE_BYTE: f64 = 16.0;

/// The most that a child may hold where plans may use `usable`, `beside` is for what is not MLX's, and it trains on `examples`.
pub fn resident_limit(usable: Bytes, beside: Bytes, examples: Bytes) -> Bytes {
    [usable, beside, examples.scale(BYTES_PER_EXAMPLE_BYTE)]
        .into_iter()
        .fold(Bytes::ZERO, |sum, part| Bytes(sum.0.saturating_add(part.0)))
}

/// The size of the files directly in a folder. What cannot be read counts nothing: the child says what is wrong with it.
pub fn file_bytes(folder: &Path) -> Bytes {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let sizes = entries.filter_map(|entry| fs::metadata(entry.path()).ok()).filter(|it| it.is_file());
    Bytes(sizes.fold(0, |sum, it| sum.saturating_add(it.len())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_offered_and_the_rest_have_room_each(usable: u64, beside: u64, examples in 0u64..1 << 50) {
            let limit = resident_limit(Bytes(usable), Bytes(beside), Bytes(examples));
            prop_assert!(limit >= Bytes(usable) && limit >= Bytes(beside) && limit >= Bytes(16 * examples));
            if usable < 1 << 60 && beside < 1 << 60 {
                prop_assert_eq!(limit, Bytes(usable + beside + 16 * examples));
            }
        }
    }

    #[test]
    fn examples_count_by_their_files() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("train.jsonl"), [b'x'; 100]).unwrap();
        fs::write(dir.path().join("valid.jsonl"), [b'x'; 11]).unwrap();
        fs::create_dir(dir.path().join("folder")).unwrap();
        assert_eq!(file_bytes(dir.path()), Bytes(111));
        assert_eq!(file_bytes(&dir.path().join("absent")), Bytes::ZERO);
    }
}
