//! What Python's `re`, `str` and `round` do, where the pipeline's scores depend on it.
//!
//! Promise: equal to CPython 3.11 for every text of Unicode 14; characters that later versions of Unicode added are whatever they
//! are now.

mod pattern;
mod rewriting;

pub use pattern::{Case, PATTERN_BYTES_MAX, Pattern, PatternError};

use std::sync::LazyLock;

/// Whether Python's `str.isspace` holds: Unicode's white space and the four separators of ASCII, which Unicode does not count to
/// it.
pub fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\x1c'..='\x1f').contains(&c)
}

/// `str.strip()`.
pub fn strip(text: &str) -> &str {
    text.trim_matches(is_space)
}

/// Whether `\w` matches: letters, numbers of any kind and the underscore. Not marks, which Rust counts to the alphabet.
pub fn is_word(c: char) -> bool {
    // A letter or number of any script, looked up in Unicode's tables by the same class that patterns are rewritten to.
    static WORD: LazyLock<Option<Pattern>> = LazyLock::new(|| Pattern::new(r"\w", Case::Told).ok());
    if c.is_ascii() {
        return c.is_ascii_alphanumeric() || c == '_';
    }
    let mut bytes = [0; 4];
    WORD.as_ref().is_some_and(|word| word.is_in(c.encode_utf8(&mut bytes)).unwrap_or(false))
}

/// How near to the middle between two decimals a value may be before its exact digits are asked, as a part of their distance. The
/// product below is off by less than 2⁻⁵² of itself.
const MIDDLE: f64 = 1e-6;

/// The largest product that is rounded by itself: below it, what the product is off by is nothing beside [`MIDDLE`].
const PRODUCT_MAX: f64 = 1e9;

/// `round(value, digits)`: the decimal nearest to the exact value of the float, and of two equally near ones the even.
pub fn round(value: f64, digits: u8) -> f64 {
    let scale = 10f64.powi(i32::from(digits));
    let product = value * scale;
    if product.abs() < PRODUCT_MAX && (product.fract().abs() - 0.5).abs() > MIDDLE {
        // A whole number over a power of ten that is exact: the division gives the float nearest to the decimal, as reading it does.
        return product.round() / scale;
    }
    let digits = usize::from(digits);
    // Rust writes a float's exact value rounded half to even, as CPython's own conversion does. What was just written reads back.
    format!("{value:.digits$}").parse().unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ties_go_to_the_even_digit_and_only_exact_values_are_ties() {
        for (value, rounded) in
            [(0.0625, 0.062), (0.1875, 0.188), (0.3125, 0.312), (0.5625, 0.562), (2.675, 2.675), (1.0005, 1.0)]
        {
            assert_eq!(round(value, 3), rounded, "{value}");
        }
        assert_eq!(round(2.675, 2), 2.67);
        assert_eq!(round(82.85, 1), 82.8);
        assert_eq!(round(0.25, 1), 0.2);
    }

    proptest::proptest! {
        #[test]
        fn the_short_way_to_round_gives_what_the_exact_digits_do(
            whole in -2_000_000i64..2_000_000, off in -4i64..4, other in -1e12..1e12f64, digits in 0u8..5,
        ) {
            // The middle between two decimals, and the floats around it.
            let middle = whole as f64 / 10f64.powi(i32::from(digits)) / 2.0;
            let around = f64::from_bits(middle.to_bits().wrapping_add_signed(off));
            for value in [middle, around, other, other / 1e12] {
                if value.is_finite() {
                    let exact: f64 = format!("{value:.0$}", usize::from(digits)).parse().unwrap();
                    proptest::prop_assert_eq!(round(value, digits), exact, "{} to {}", value, digits);
                }
            }
        }
    }

    #[test]
    fn space_and_words_are_pythons() {
        assert_eq!(strip("\u{1c}\u{3000} a\u{85}"), "a");
        assert_eq!(strip("\u{200b}a\u{feff}"), "\u{200b}a\u{feff}", "neither is a space");
        for (c, is) in
            [('é', true), ('²', true), ('Ⅷ', true), ('一', true), ('\u{301}', false), ('\u{200d}', false), ('·', false)]
        {
            assert_eq!(is_word(c), is, "{c:?}");
        }
    }
}
