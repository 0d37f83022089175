//! Moves of tags, for people: the one that was just made, and all that there were.

use crate::render::output::{age, bold, pairs, short_id, table};
use crate::render::who;
use vertigo::v1;
use vertigo_view::tag_mover;

/// A move that was just made.
pub(crate) fn render_moved(moved: &v1::TagMove) -> String {
    let tag = bold(&moved.tag);
    let (from, to) = (short_id(&moved.from), short_id(&moved.to));
    let is_back = moved.by() == v1::TagMover::Rollback;
    let (what, back) = match (from, is_back) {
        ("", _) => (format!("{tag} is new, and is on {to}"), String::new()),
        (from, _) if from == to => (format!("{tag} stays on {to}"), String::new()),
        (_, true) => (format!("{tag} is back on {to}"), format!("vertigo rollback {}", moved.tag)),
        (_, false) => (format!("{tag} is on {to} now"), format!("vertigo rollback {}", moved.tag)),
    };
    let was_on = if from == to { String::new() } else { from.to_owned() };
    // What was left by a rollback is no step back from it.
    let again = if is_back { format!("vertigo tag {from} {}", moved.tag) } else { String::new() };
    let rows = [
        ("kept as", format!("move {}", moved.number)),
        ("it was on", was_on),
        (if is_back { "further back" } else { "back" }, back),
        ("there again", again),
    ];
    format!("{what}\n{}", pairs(rows))
}

/// A tag's moves.
pub(crate) fn render_history(moves: &[v1::TagMove], now: u64) -> String {
    let row = |moved: &v1::TagMove| {
        [
            moved.number.to_string(),
            if moved.at_ms == 0 { String::new() } else { age(now, moved.at_ms) },
            short_id(&moved.to).to_owned(),
            mover(moved),
            why(moved),
        ]
    };
    // Where a move began is where the one below it ended.
    table(["MOVE", "AGE", "TO", "BY", "WHY"], &[0, 1], moves.iter().map(row).collect())
}

/// A person by name, where that is known, and what it did where that was no plain move.
fn mover(moved: &v1::TagMove) -> String {
    match (who::told(&moved.by_name), moved.by()) {
        ("", by) => tag_mover(by).to_owned(),
        (name, v1::TagMover::Person) => name.to_owned(),
        (name, by) => format!("{name} ({})", tag_mover(by)),
    }
}

fn why(moved: &v1::TagMove) -> String {
    let reason = match moved.job_id.as_str() {
        "" if moved.forced => format!("forced: {}", moved.reason),
        "" => moved.reason.clone(),
        job => format!("job {} succeeded", short_id(job)),
    };
    let evidence: Vec<&str> = moved.evidence.iter().map(|digest| short_id(digest)).collect();
    let evidence = if evidence.is_empty() { String::new() } else { format!("by {}", evidence.join(", ")) };
    [reason, evidence].into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::output::plain;
    use vertigo::id::Digest;

    fn moved(number: u64, from: &str, to: &str, by: v1::TagMover) -> v1::TagMove {
        let digest = |text: &str| if text.is_empty() { String::new() } else { Digest::of(text.as_bytes()).to_string() };
        v1::TagMove {
            tag: "production".to_owned(),
            number,
            at_ms: 1_000_000 * number,
            from: digest(from),
            to: digest(to),
            by: by.into(),
            ..v1::TagMove::default()
        }
    }

    #[test]
    fn a_history_is_a_table_that_says_who_and_why() {
        let forced = v1::TagMove {
            reason: "the gate's suite was wrong, and every answer was read by hand".to_owned(),
            forced: true,
            evidence: vec![Digest::of(b"report").to_string()],
            ..moved(4, "b", "c", v1::TagMover::Person)
        };
        let job = v1::TagMove {
            job_id: "0190163d-8694-739b-aea5-966c26f8ad91".to_owned(),
            ..moved(3, "a", "b", v1::TagMover::Job)
        };
        let back = v1::TagMove { reason: "prose".to_owned(), ..moved(5, "c", "b", v1::TagMover::Rollback) };
        let earlier = v1::TagMove { at_ms: 0, ..moved(1, "", "a", v1::TagMover::Earlier) };
        let moves = [back, forced, job, moved(2, "a", "a", v1::TagMover::Import), earlier];
        let text = plain(&render_history(&moves, 5_065_000));
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        insta::assert_snapshot!(text, @r"
        MOVE      AGE  TO            BY        WHY
           5    1m 5s  3e23e8160039  rollback  prose
           4  17m 45s  2e7d2c03a950  person    forced: the gate's suite was wrong, and
                                               every answer was read by hand; by
                                               845e91831319
           3  34m 25s  3e23e8160039  job       job 0190163d-8694 succeeded
           2   51m 5s  ca978112ca1b  import
           1           ca978112ca1b  earlier
        ");
    }

    #[test]
    fn a_history_names_whoever_has_a_name() {
        let by = |name: &str, by| {
            let moved = v1::TagMove { by_name: name.to_owned(), ..moved(1, "", "a", by) };
            plain(&render_history(&[moved], 1_000_000))
        };
        assert!(by("mac-laptop", v1::TagMover::Person).contains("  mac-laptop"));
        assert!(by("mac-laptop", v1::TagMover::Rollback).contains("  mac-laptop (rollback)"));
        assert!(by("local", v1::TagMover::Import).contains("  import"));
    }

    #[test]
    fn a_move_says_where_the_tag_is_and_how_to_go_back() {
        let text = |moved: &v1::TagMove| plain(&render_moved(moved));
        insta::assert_snapshot!(text(&moved(1, "", "a", v1::TagMover::Person)), @r"
        production is new, and is on ca978112ca1b
          kept as  move 1
        ");
        insta::assert_snapshot!(text(&moved(2, "a", "b", v1::TagMover::Person)), @r"
        production is on 3e23e8160039 now
          kept as    move 2
          it was on  ca978112ca1b
          back       vertigo rollback production
        ");
        insta::assert_snapshot!(text(&moved(3, "b", "a", v1::TagMover::Rollback)), @r"
        production is back on ca978112ca1b
          kept as       move 3
          it was on     3e23e8160039
          further back  vertigo rollback production
          there again   vertigo tag 3e23e8160039 production
        ");
        insta::assert_snapshot!(text(&moved(4, "a", "a", v1::TagMover::Person)), @r"
        production stays on ca978112ca1b
          kept as  move 4
        ");
    }
}
