//! The lines of an answer between which its code stands.

/// Spaces before a fence, beyond which it is text. Models indent blocks below list items, so more than Markdown's three.
const INDENT_MAX: usize = 12;

/// A fence's mark, its width and the first word after it; `None` of any other line.
pub fn fence(line: &str) -> Option<(char, usize, &str)> {
    let inner = line.trim_start_matches([' ', '\t']);
    let mark = inner.chars().next().filter(|c| ['`', '~'].contains(c))?;
    let rest = inner.trim_start_matches(mark);
    let width = inner.len() - rest.len();
    // A fence of backticks has none in what follows: that is code within a line.
    let is_inline = mark == '`' && rest.contains('`');
    let is_fence = width >= 3 && line.len() - inner.len() <= INDENT_MAX && !is_inline;
    is_fence.then(|| (mark, width, rest.split_whitespace().next().unwrap_or_default()))
}
