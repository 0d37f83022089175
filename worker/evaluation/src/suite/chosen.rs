//! Some tasks of a suite, by patterns of their ids.

use super::Suite;

impl Suite {
    /// The suite with those of its tasks alone whose ids one of `patterns` is all of, where `*` is any text; of no pattern, all.
    ///
    /// # Errors
    /// A pattern that no task has, with the id that was likely meant.
    pub fn only(mut self, patterns: &[String]) -> Result<Suite, String> {
        let ids = || self.tasks.iter().map(|task| task.id.as_str());
        if let Some(stranger) = patterns.iter().find(|pattern| !ids().any(|id| is_of(pattern, id))) {
            let near = vertigo::spelling::nearest(stranger, ids());
            let meant = near.map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
            return Err(format!("`{stranger}` is no task of the suite {}{meant}", self.about.name));
        }
        self.tasks.retain(|task| patterns.is_empty() || patterns.iter().any(|pattern| is_of(pattern, &task.id)));
        Ok(self)
    }
}

/// Whether a pattern, in which `*` is any text, is all of `text`.
fn is_of(pattern: &str, text: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(mut left) = text.strip_prefix(first) else { return false };
    let mut parts: Vec<&str> = rest.split('*').collect();
    // A split has one part at least.
    let last = parts.pop().unwrap_or_default();
    for part in parts {
        match left.split_once(part) {
            Some((_, after)) => left = after,
            None => return false,
        }
    }
    left.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::suite::ours;

    #[test]
    fn a_star_is_any_text() {
        for (pattern, text, is) in [
            ("a.b", "a.b", true),
            ("a.b", "a.bc", false),
            ("a.*", "a.b", true),
            ("a.*", "ab", false),
            ("*", "", true),
            ("*-x", "a-x", true),
            ("a*b*c", "a1b2b3c", true),
            ("a*b*c", "a1c", false),
            ("ab*b", "ab", false),
        ] {
            assert_eq!(is_of(pattern, text), is, "{pattern} {text}");
        }
    }

    #[test]
    fn a_pattern_that_no_task_has_is_named_with_what_was_meant() {
        let suite = Suite::parse(&ours()).unwrap();
        let first = suite.tasks[0].id.clone();
        let one = suite.clone().only(std::slice::from_ref(&first)).unwrap();
        assert_eq!(one.tasks.len(), 1);
        assert_eq!(suite.clone().only(&[]).unwrap(), suite);
        let error = suite.only(&[format!("{first}x")]).unwrap_err();
        assert!(error.contains("is no task of the suite luau") && error.contains(&first), "{error}");
    }
}
