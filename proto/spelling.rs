//! What a person most likely meant to write.
//!
//! Promise: what is proposed is one of what there is, and spelt much like what was written; where nothing is, nothing is proposed.

/// Below this likeness two words are two words, and not one that was mistyped.
const LIKENESS_MIN: f64 = 0.75;

/// How alike two words are spelt, from 0 to 1, whatever the case of what was `written`.
pub fn likeness(written: &str, known: &str) -> f64 {
    strsim::jaro_winkler(&written.to_lowercase(), known)
}

/// Those of `known` that `written` may have been meant for, the likeliest first, and of equally likely ones in the alphabet's order.
pub fn near<'k>(written: &str, known: impl IntoIterator<Item = &'k str>) -> Vec<&'k str> {
    let scored = known.into_iter().map(|name| (likeness(written, name), name));
    let mut near: Vec<(f64, &str)> = scored.filter(|(likeness, _)| *likeness > LIKENESS_MIN).collect();
    near.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(b.1)));
    near.into_iter().map(|(_, name)| name).collect()
}

/// The likeliest of `known`, where one is likely.
pub fn nearest<'k>(written: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    near(written, known).first().copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYS: [&str; 4] = ["learning_rate", "iters", "seed", "lr_schedule"];

    #[test]
    fn a_slip_finds_its_word_whatever_its_case() {
        for (written, meant) in [("lerning_rate", "learning_rate"), ("Itters", "iters"), ("SEED", "seed")] {
            assert_eq!(nearest(written, KEYS), Some(meant), "{written}");
        }
        assert_eq!(nearest("temperature", KEYS), None);
        assert_eq!(nearest("", KEYS), None);
        assert_eq!(nearest("seed", []), None);
    }

    #[test]
    fn the_likeliest_comes_first() {
        assert_eq!(near("luau", ["luau-2", "luau", "base", "luau-1"]), ["luau", "luau-1", "luau-2"]);
    }
}
