//! Which of two models is better, in the words of `vertigo compare`.

use super::figures::count;
use super::side::Side;
use super::text::line;
use crate::compare::{Comparison, compare, sentences};
use crate::report::alongside;
use crate::statistics::{Resampling, TaskId};
use maud::{Markup, html};
use std::collections::BTreeSet;

/// A comparison of two sides by their letters, and the tasks that it leaves out.
fn compared(sides: &[Side]) -> Result<(Comparison, BTreeSet<TaskId>), String> {
    let (mut all, mut left_out) = (Vec::new(), BTreeSet::new());
    for side in sides {
        let (one, out) = side.report.side(side.letter).map_err(|error| format!("{}: {error}", side.letter))?;
        all.push(one);
        left_out.extend(out);
    }
    let digest = sides.first().map(|side| side.report.facts.suite_digest.to_string()).unwrap_or_default();
    left_out.extend(alongside(&mut all, &digest));
    Ok((compare(&all, Resampling::default()).map_err(|error| error.to_string())?, left_out))
}

/// The comparison of two sides; nothing of one alone.
pub(super) fn comparison(sides: &[Side]) -> Markup {
    if sides.len() < 2 {
        return html! {};
    }
    let said = match compared(sides) {
        Ok((comparison, left_out)) => {
            let pairs = comparison.pairs.iter().map(|pair| sentences(&comparison, pair));
            let mut said = pairs.collect::<Vec<_>>().join(" ");
            said += &format!(" {} in this suite.", comparison.reach);
            if !left_out.is_empty() {
                let tasks = count(left_out.len(), "task");
                said += &format!(" Without {tasks} that not every answer could be judged in.");
            }
            said
        }
        Err(why) => format!("They are not compared. {why}."),
    };
    html! {
        section {
            h2 { "Which is better" }
            p { (line(&said)) }
        }
    }
}
