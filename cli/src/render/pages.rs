//! Lists that come in pages: each is shown when it is there, so that a long list neither waits nor is held in memory.

use crate::error::{CliError, Result};
use crate::render::output::Output;
use crate::render::safe;
use serde_json::Value;

/// Rows that are asked for at a time: a table's columns are as wide as its page needs.
const PAGE_ITEMS: u32 = 500;

/// What can be shown of a kind of list.
pub(crate) struct Shown<T> {
    /// An item for scripts.
    pub(crate) json: fn(&T) -> Value,
    /// A table of some items; without any, what to do about it.
    pub(crate) table: Table<T>,
}

/// A table of a page's items.
type Table<T> = Box<dyn Fn(&[T]) -> String>;

/// Shows a list of at most `limit` items, or all. `fetch` is given how many to ask for and the token of the page, and gives the items
/// and the token of the next one. With `--json` the list is one document, an item a line.
///
/// # Errors
/// What `fetch` says; pages that do not come to an end.
pub(crate) async fn show<T>(
    output: Output,
    limit: Option<u32>,
    mut fetch: impl AsyncFnMut(u32, String) -> Result<(Vec<T>, String)>,
    shown: Shown<T>,
) -> Result<()> {
    let mut left = limit.unwrap_or(u32::MAX);
    let mut document = Document::begin();
    let (mut items, mut token) = fetch(left.min(PAGE_ITEMS), String::new()).await?;
    let mut first = true;
    loop {
        items.truncate(left as usize);
        left -= items.len() as u32;
        if output.is_json() {
            items.iter().for_each(|item| document.item(output, &(shown.json)(item)));
        } else if first || !items.is_empty() {
            output.styled(&(shown.table)(&items));
        }
        if left == 0 || token.is_empty() {
            break;
        }
        let (next, then) = fetch(left.min(PAGE_ITEMS), token.clone()).await?;
        if then == token {
            return Err(CliError::refused("the coordinator's list does not come to an end"));
        }
        (items, token, first) = (next, then, false);
    }
    if output.is_json() {
        document.end(output);
    } else if !token.is_empty() {
        output.note("there are more; --limit N shows more of them");
    }
    Ok(())
}

/// A JSON list that is written as it comes. An item waits for the next, because a comma stands between them.
struct Document {
    opened: bool,
    waiting: Option<String>,
}

impl Document {
    fn begin() -> Document {
        Document { opened: false, waiting: None }
    }

    /// Nothing is written before the first page is there: a call that fails leaves stdout empty.
    fn open(&mut self, output: Output) {
        if !std::mem::replace(&mut self.opened, true) {
            output.line("[");
        }
    }

    fn item(&mut self, output: Output, item: &Value) {
        self.open(output);
        if let Some(before) = self.waiting.replace(safe::json(&item.to_string())) {
            output.line(&format!("{before},"));
        }
    }

    fn end(mut self, output: Output) {
        self.open(output);
        if let Some(last) = self.waiting.take() {
            output.line(&last);
        }
        output.line("]");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Color;
    use std::cell::RefCell;

    /// What was asked for, over a list of `total` numbers in pages of at most `most`.
    async fn asked(total: u32, most: u32, limit: Option<u32>) -> Vec<(u32, String)> {
        let asked = RefCell::new(Vec::new());
        let fetch = async |size: u32, token: String| {
            asked.borrow_mut().push((size, token.clone()));
            let begin: u32 = token.parse().unwrap_or(0);
            let end = total.min(begin + size.min(most));
            let next = if end < total { end.to_string() } else { String::new() };
            Ok(((begin..end).collect::<Vec<_>>(), next))
        };
        let shown = Shown { json: |n: &u32| (*n).into(), table: Box::new(|_| String::new()) };
        show(Output::new(true, Color::Never), limit, fetch, shown).await.unwrap();
        asked.into_inner()
    }

    #[tokio::test]
    async fn pages_are_asked_for_until_the_list_or_the_limit_ends() {
        let token = |n: u32| if n == 0 { String::new() } else { n.to_string() };
        let calls = |list: &[(u32, u32)]| list.iter().map(|(size, n)| (*size, token(*n))).collect::<Vec<_>>();
        assert_eq!(asked(0, 500, None).await, calls(&[(500, 0)]));
        assert_eq!(asked(1200, 500, None).await, calls(&[(500, 0), (500, 500), (500, 1000)]));
        assert_eq!(asked(1200, 500, Some(501)).await, calls(&[(500, 0), (1, 500)]));
        assert_eq!(asked(9, 4, Some(8)).await, calls(&[(8, 0), (4, 4)]));
        assert_eq!(asked(9, 500, Some(20)).await, calls(&[(20, 0)]));
    }

    #[tokio::test]
    async fn a_list_that_repeats_itself_is_an_error() {
        let fetch = async |_: u32, _: String| Ok((vec![1], "again".to_owned()));
        let shown = Shown { json: |n: &i32| (*n).into(), table: Box::new(|_| String::new()) };
        let answer = show(Output::new(true, Color::Never), None, fetch, shown).await;
        assert!(answer.unwrap_err().message.contains("does not come to an end"));
    }
}
