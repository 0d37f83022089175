//! A gate's decision, for people: every rule, and why it held or did not.

use crate::render::output::{Hue, bold, style, wrap};
use crate::render::report::red;
use vertigo_evaluation::gate::{Decision, Reason};

/// Columns before what a rule says.
const INDENT: usize = 4;

/// Every rule in lines of at most 80 columns, those that did not hold in red.
pub(crate) fn render(decision: &Decision) -> String {
    let reason = |reason: &Reason| {
        let head = if reason.held {
            let green = style(Hue::Green);
            format!("{green}  holds{green:#} {}\n", bold(&reason.rule))
        } else {
            format!("{} {}\n", red("  fails"), bold(&reason.rule))
        };
        head + &wrap(&reason.said, INDENT)
    };
    decision.reasons.iter().map(reason).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::output::plain;

    #[test]
    fn every_rule_says_whether_it_held_and_why() {
        let reason = |rule: &str, held, said: &str| Reason { rule: rule.to_owned(), held, said: said.to_owned() };
        let reasons = vec![
            reason("luau.floors.overall", true, "66.7 points; 60.0 are asked"),
            reason("luau.better.power", false, &"30 tasks at 1 sample show an improvement of 31.8 points. ".repeat(2)),
        ];
        let text = plain(&render(&Decision { held: false, reasons }));
        insta::assert_snapshot!(text, @r"
          holds luau.floors.overall
            66.7 points; 60.0 are asked
          fails luau.better.power
            30 tasks at 1 sample show an improvement of 31.8 points. 30 tasks at 1
            sample show an improvement of 31.8 points.
        ");
    }
}
