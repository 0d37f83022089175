//! Lists in pages: however much there is, an answer stays small.

use prost::Message;
use vertigo::api_error::ApiError;
use vertigo::bounds::{PAGE_ITEMS, PAGE_ITEMS_MAX};

/// A page ends at the item with which it would pass this, so that any client takes it: gRPC's own bound is 4 MiB, and no single item comes
/// near 2 MiB.
const PAGE_BYTES_MAX: usize = 2 << 20;

/// How many items a page has where a caller names `asked`.
pub(super) fn size(asked: u32) -> usize {
    let size = if asked == 0 { PAGE_ITEMS } else { asked };
    size.min(PAGE_ITEMS_MAX) as usize
}

/// A token that no page of ours ended with.
pub(super) fn foreign_token() -> ApiError {
    ApiError::invalid("page_token is not one that this list gave")
}

/// A page that is being filled.
pub(super) struct Page<M> {
    size: usize,
    shown: Vec<M>,
    bytes: usize,
    /// The token of the last item.
    last: String,
}

impl<M: Message> Page<M> {
    /// An empty page of at most `size` items.
    pub(super) fn new(size: usize) -> Page<M> {
        Page { size, shown: Vec::new(), bytes: 0, last: String::new() }
    }

    /// Shows an item, or says that the page is full.
    pub(super) fn push(&mut self, item: M, token: impl FnOnce() -> String) -> Result<(), Full> {
        self.bytes += item.encoded_len();
        if self.shown.len() == self.size || (self.bytes > PAGE_BYTES_MAX && !self.shown.is_empty()) {
            return Err(Full);
        }
        self.shown.push(item);
        self.last = token();
        Ok(())
    }

    /// The items, and the token of the next page where there are more.
    pub(super) fn end(self, has_more: bool) -> (Vec<M>, String) {
        (self.shown, if has_more { self.last } else { String::new() })
    }
}

/// An item has no room on this page: the next one begins with it.
#[derive(Debug)]
pub(super) struct Full;

/// As many of `items` as a page has, and the token of the next page: that of the last item shown, where there are more.
pub(super) fn page<T, M: Message>(
    items: impl Iterator<Item = T>,
    size: usize,
    view: impl Fn(&T) -> M,
    token: impl Fn(&T) -> String,
) -> (Vec<M>, String) {
    let mut page = Page::new(size);
    for item in items {
        if page.push(view(&item), || token(&item)).is_err() {
            return page.end(true);
        }
    }
    page.end(false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use vertigo::v1::LogLine;

    proptest! {
        /// Page after page, everything comes once and in order, and no page is larger than it may be.
        #[test]
        fn pages_hold_everything_once(lengths in prop::collection::vec(0usize..400_000, 0..40), size in 1usize..50) {
            let view = |(n, length): &(usize, usize)| LogLine { text: format!("{n} {}", "x".repeat(*length)) };
            let items: Vec<_> = lengths.into_iter().enumerate().collect();
            let (mut seen, mut begin) = (Vec::new(), 0);
            loop {
                let (shown, next) = page(items[begin..].iter().copied(), size, view, |(n, _)| n.to_string());
                prop_assert!(shown.len() <= size);
                prop_assert!(shown.iter().map(Message::encoded_len).sum::<usize>() <= PAGE_BYTES_MAX);
                seen.extend(shown);
                if next.is_empty() {
                    break;
                }
                begin = next.parse::<usize>().unwrap() + 1;
                prop_assert_eq!(seen.len(), begin);
            }
            prop_assert_eq!(seen, items.iter().map(view).collect::<Vec<_>>());
        }
    }

    #[test]
    fn one_item_is_shown_however_large_it_is_and_a_size_has_its_bounds() {
        let text = "x".repeat(PAGE_BYTES_MAX + 1);
        let (shown, next) = page([1, 2].into_iter(), 9, |_| LogLine { text: text.clone() }, |n| n.to_string());
        assert_eq!((shown.len(), next.as_str()), (1, "1"));
        assert_eq!([0, 1, 1000, u32::MAX].map(size), [100, 1, 1000, 1000]);
    }
}
