//! Lists of variants, one for all jobs that are to do the same.
//!
//! A long queue is mostly the same few things to do: a list takes kilobytes, and a share of one eight bytes. Whoever changes a job's list
//! (`Arc::make_mut`) has one of its own from then on.

use super::Variant;
use std::collections::HashSet;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// Lists that are kept in any case before it is looked whether somebody still has them.
const KEPT_MIN: usize = 1024;

/// The lists that jobs share.
#[derive(Debug, Default)]
pub(super) struct Shared {
    lists: HashSet<List>,
    /// At how many lists those are dropped that nobody has any more.
    full: usize,
}

impl Shared {
    /// The list that is like this one, which may be this one.
    pub(super) fn of(&mut self, variants: Arc<Vec<Variant>>) -> Arc<Vec<Variant>> {
        let list = List(variants);
        if let Some(known) = self.lists.get(&list) {
            return Arc::clone(&known.0);
        }
        if self.lists.len() >= self.full {
            self.lists.retain(|list| Arc::strong_count(&list.0) > 1);
            // So that a look at all of them is paid for by as many that came.
            self.full = KEPT_MIN.max(self.lists.len() * 2);
        }
        let variants = Arc::clone(&list.0);
        self.lists.insert(list);
        variants
    }
}

/// A list by what it says.
#[derive(Debug)]
struct List(Arc<Vec<Variant>>);

impl PartialEq for List {
    fn eq(&self, other: &List) -> bool {
        // Most often it is the same one, which a comparison of all that it says would find out later.
        Arc::ptr_eq(&self.0, &other.0) || self.0 == other.0
    }
}

/// A factor is a ratio of sizes, and never a NaN.
impl Eq for List {}

impl Hash for List {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::variant;
    use super::*;

    #[test]
    fn lists_that_say_the_same_are_one_and_one_that_nobody_has_goes() {
        let mut shared = Shared::default();
        let list = |n| Arc::new(vec![variant("v", n)]);
        let (first, again, other) = (shared.of(list(1)), shared.of(list(1)), shared.of(list(2)));
        assert!(Arc::ptr_eq(&first, &again) && !Arc::ptr_eq(&first, &other));
        for n in 0..10 * KEPT_MIN as u64 {
            shared.of(list(n));
        }
        assert!(shared.lists.len() <= KEPT_MIN + 2);
        assert!(Arc::ptr_eq(&first, &shared.of(list(1))), "what somebody has stays");
    }
}
