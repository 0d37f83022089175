//! How a row begins, kept from when it was read, for the examples of a report: a row that is left out is gone by then.
//!
//! Promise: at most 120 bytes each of question and answer, on one line, with secrets struck out.

use crate::row::{Body, Role, Row};
use crate::secrets;

/// Bytes of a question or an answer that are shown.
const BYTES_MAX: usize = 120;

/// Looked through for secrets: more than is shown, so that none is cut in two and stays.
const READ_BYTES_MAX: usize = 4 * BYTES_MAX;

/// How the row begins.
pub(crate) fn of(row: &Row) -> Box<str> {
    let said = |role: Role| row.body.messages().iter().find(|message| message.role == role).map(|it| it.text());
    let begins = match &row.body {
        Body::Text(text) => short(text),
        Body::Chat { .. } => {
            let (question, answer) = (short(said(Role::User).unwrap_or_default()), said(Role::Assistant).map(short));
            [Some(question), answer]
                .into_iter()
                .flatten()
                .filter(|text| !text.is_empty())
                .collect::<Vec<_>>()
                .join(" → ")
        }
    };
    begins.into()
}

fn short(text: &str) -> String {
    let mut line = String::new();
    for word in text.split_whitespace() {
        // A word that is longer than all that is read is cut far behind what is shown; any other is there whole or not at all.
        let fits = line.len() + word.len() < READ_BYTES_MAX;
        if !fits && !line.is_empty() {
            break;
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(&word[..word.floor_char_boundary(READ_BYTES_MAX)]);
    }
    let line = secrets::redacted(&line).unwrap_or(line);
    let end = line.floor_char_boundary(BYTES_MAX);
    if end < line.len() { format!("{}…", &line[..end]) } else { line }
}
