//! `vertigo doctor`: what is wrong on this machine, and the command that cures it.

use crate::error::{CliError, Result};
use crate::render::output::{Hue, Output, bold, dimmed, style, wrap};
use crate::render::safe;
use anstyle::Style;
use serde_json::Value;
use vertigo_daemon::ThisMachine;
use vertigo_daemon::doctor::{Check, Verdict, checks, look};

/// Columns before what is said of a check.
const INDENT: usize = 2;

pub(crate) fn run(output: Output) -> Result<()> {
    let checks = checks(&look(&ThisMachine));
    output.show(|| document(&checks), || render(&checks));
    match checks.iter().filter(|check| check.verdict == Verdict::Bad).count() {
        0 => Ok(()),
        1 => Err(CliError::refused("one thing is wrong on this machine")),
        wrong => Err(CliError::refused(format!("{wrong} things are wrong on this machine"))),
    }
}

fn document(checks: &[Check]) -> Value {
    serde_json::to_value(checks).unwrap_or_default()
}

fn render(checks: &[Check]) -> String {
    let mut text = String::new();
    for check in checks {
        let (color, mark) = match check.verdict {
            Verdict::Good => (style(Hue::Green), "good"),
            Verdict::Note => (Style::new().bold(), "note"),
            Verdict::Bad => (style(Hue::Red), "bad "),
        };
        text += &format!("{color}{mark}{color:#} {}\n", bold(&check.name));
        text += &wrap(&check.said, INDENT);
        if let Some(cure) = &check.cure {
            // On one line, however long it is: it is there to be copied.
            text += &format!("  {} {}\n", dimmed("cure:"), safe::text(cure));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::output::plain;

    fn check(name: &str, verdict: Verdict, cure: Option<&str>) -> Check {
        Check { name: name.to_owned(), verdict, said: format!("{name} is like this"), cure: cure.map(str::to_owned) }
    }

    #[test]
    fn each_check_is_shown_with_its_verdict_and_its_cure() {
        let checks = [
            check("sleep", Verdict::Good, None),
            check("vertigo-worker: folder", Verdict::Bad, Some("sudo chmod 0700 /var/lib/vertigo/worker")),
            check("hostile \u{1b}[31m", Verdict::Note, Some("rm \u{1b}[2J")),
        ];
        let text = render(&checks);
        assert_eq!(crate::render::safe::styled(&text), text, "it has our own styles alone");
        let expected = [
            "good sleep",
            "  sleep is like this",
            "bad  vertigo-worker: folder",
            "  vertigo-worker: folder is like this",
            "  cure: sudo chmod 0700 /var/lib/vertigo/worker",
            "note hostile \\u{1b}[31m",
            "  hostile \\u{1b}[31m is like this",
            "  cure: rm \\u{1b}[2J",
        ];
        assert_eq!(plain(&text).lines().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn json_has_one_object_a_check() {
        let said = document(&[check("sleep", Verdict::Note, Some("sudo pmset -c sleep 0"))]);
        assert_eq!(said[0]["verdict"], "note");
        assert_eq!(
            (said[0]["name"].as_str(), said[0]["cure"].as_str()),
            (Some("sleep"), Some("sudo pmset -c sleep 0"))
        );
    }
}
