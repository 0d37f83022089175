//! Patterns of file names, as Python's `fnmatch` reads them where case counts: `*` is any text, `?` any character, `[a-z]` one of these and
//! `[!a-z]` none of them.
//!
//! Promise: any pattern has a meaning, and is held against a name in time that is at most the product of their lengths.

/// Whether `pattern` is all of `name`.
pub fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    let (mut at, mut read) = (0, 0);
    // Where the last star stands, and how much of the name it took: what went wrong later is tried again with one character more.
    let mut star: Option<(usize, usize)> = None;
    while read < name.len() {
        if pattern.get(at) == Some(&'*') {
            star = Some((at, read));
            at += 1;
            continue;
        }
        match one(&pattern[at..], name[read]) {
            Some(width) => (at, read) = (at + width, read + 1),
            None => {
                let Some((place, taken)) = star else { return false };
                star = Some((place, taken + 1));
                (at, read) = (place + 1, taken + 1);
            }
        }
    }
    pattern[at..].iter().all(|c| *c == '*')
}

/// Whether any of `patterns` is all of `name`.
pub fn any_matches<'p>(patterns: impl IntoIterator<Item = &'p String>, name: &str) -> bool {
    patterns.into_iter().any(|pattern| matches(pattern, name))
}

/// How much of the pattern's beginning stands for this one character; `None` where it stands for another.
fn one(pattern: &[char], c: char) -> Option<usize> {
    match pattern.first()? {
        '?' => Some(1),
        '[' => match set(pattern) {
            Some((members, width)) => has(members, c).then_some(width),
            // A bracket that nothing closes is itself.
            None => (c == '[').then_some(1),
        },
        it => (*it == c).then_some(1),
    }
}

/// What stands between brackets, and how wide all of it is. A closing bracket that comes first is one of the members.
fn set(pattern: &[char]) -> Option<(&[char], usize)> {
    let first = if pattern.get(1) == Some(&'!') { 2 } else { 1 };
    let end = (first + 1..pattern.len()).find(|at| pattern[*at] == ']')?;
    Some((&pattern[1..end], end + 1))
}

fn has(members: &[char], c: char) -> bool {
    let (is_not, mut left) = match members {
        ['!', rest @ ..] => (true, rest),
        _ => (false, members),
    };
    let mut is_in = false;
    while let Some(first) = left.first() {
        let width = match left {
            [from, '-', to, ..] => {
                is_in |= (*from..=*to).contains(&c);
                3
            }
            _ => {
                is_in |= *first == c;
                1
            }
        };
        left = &left[width..];
    }
    is_in != is_not
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_are_held_against_patterns_as_python_does() {
        // What Python 3's `fnmatch.fnmatchcase` says.
        for (pattern, name, is) in [
            ("a.jsonl", "a.jsonl", true),
            ("a.jsonl", "A.jsonl", false),
            ("codebase*.jsonl", "codebase.jsonl", true),
            ("codebase*.jsonl", "codebase_types.jsonl", true),
            ("codebase*.jsonl", "codebase.jsonl.bak", false),
            ("*", "", true),
            ("", "", true),
            ("", "a", false),
            ("?", "", false),
            ("??", "\u{e9}\u{1f600}", true),
            ("*a*b", "aabab", true),
            ("*a*b", "aaba", false),
            ("[ab]c", "bc", true),
            ("[!ab]c", "bc", false),
            ("[a-c]", "b", true),
            ("[!a-c]", "d", true),
            ("[c-a]", "b", false),
            ("[]]", "]", true),
            ("[!]]", "]", false),
            ("[]-a]", "^", true),
            ("[a-]", "-", true),
            ("[", "[", true),
            ("[a", "[a", true),
            ("a[", "ab", false),
            ("[]", "[]", true),
            ("[!]", "[!]", true),
            ("a.b", "axb", false),
            ("[*]", "*", true),
            ("[*]", "a", false),
        ] {
            assert_eq!(matches(pattern, name), is, "{pattern} {name}");
        }
    }

    #[test]
    fn many_stars_take_no_time() {
        assert!(!matches(&"*a".repeat(500), &"a".repeat(499)));
        assert!(!matches(&format!("{}b", "*".repeat(1000)), &"a".repeat(2000)));
    }

    proptest! {
        #[test]
        fn a_name_without_signs_matches_itself_and_what_leaves_out_a_part(name in "[a-z.]{0,12}", cut in 0usize..12) {
            let cut = cut.min(name.len());
            prop_assert!(matches(&name, &name));
            let (before, after) = (format!("{}*", &name[..cut]), format!("*{}", &name[cut..]));
            prop_assert!(matches(&before, &name) && matches(&after, &name));
        }

        #[test]
        fn any_pattern_has_a_meaning(pattern in "[ab*?!\\[\\]-]{0,10}", name in "[ab\\[-]{0,8}") {
            let _ = matches(&pattern, &name);
        }
    }
}
