//! Fences that are opened and never closed.

use super::speech::Turn;
use vertigo_evaluation::fence::fence;

pub(super) fn seen(turns: &[Turn<'_>]) -> Option<String> {
    let (turn, line) = turns.iter().find_map(|turn| open_at(&turn.answer).map(|line| (turn.turn, line)))?;
    Some(format!("turn {turn}, line {line} of the answer"))
}

/// The line, from 1, at which a fence opens that nothing closes.
pub(super) fn open_at(answer: &str) -> Option<usize> {
    let mut open: Option<(char, usize, usize)> = None;
    for (number, line) in answer.lines().enumerate() {
        match (open, fence(line)) {
            (None, Some((mark, width, _))) => open = Some((mark, width, number + 1)),
            (Some((mark, width, _)), Some((closing, wide, ""))) if closing == mark && wide >= width => open = None,
            _ => {}
        }
    }
    open.map(|(_, _, line)| line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fence_is_closed_by_its_like() {
        for (answer, open) in [
            ("no fence", None),
            ("```lua\nx\n```", None),
            ("a\n```lua\nx", Some(2)),
            ("```lua\nx\n```\n\n```lua\ny\n", Some(5)),
            ("````md\n```lua\nx\n```\n````", None),
            ("````md\n```lua\nx\n```\n", Some(1)),
            ("~~~\nx\n```", Some(1)),
            ("`code` and ```x``` in a line", None),
            ("```lua\nx\n```lua\ny\n```", None),
        ] {
            assert_eq!(open_at(answer), open, "{answer}");
        }
    }
}
