//! What is kept of earlier requests, by the tokens that it was computed of: a tree in which every node goes on from its parent.
//!
//! A gated delta state cannot be cut back to fewer tokens, so something is known only where it was kept: at borders. A node holds what
//! its own tokens add (their keys and values) and the states after them; what comes before is its parents', once for all that share it.
//!
//! Promise: what is found was computed of just these tokens with this adapter. The least recently used goes first, and nothing that
//! something kept goes on from. Pure: `T` is whatever is kept.

use super::request::AdapterId;
use std::collections::BTreeMap;

/// A node's name. Never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct NodeId(u64);

struct Node<T> {
    parent: Option<NodeId>,
    /// Of nodes without a parent: the adapter that all of the tree was computed with.
    adapter: Option<AdapterId>,
    tokens: Vec<u32>,
    children: Vec<NodeId>,
    value: T,
    bytes: u64,
    /// The time of its last use, by this tree's own count.
    used: u64,
}

/// The tree, or rather the trees: one for each adapter and beginning.
pub(super) struct Kept<T> {
    nodes: BTreeMap<NodeId, Node<T>>,
    roots: Vec<NodeId>,
    bytes: u64,
    /// Counts uses and nodes.
    count: u64,
}

impl<T> Default for Kept<T> {
    fn default() -> Kept<T> {
        Kept { nodes: BTreeMap::new(), roots: Vec::new(), bytes: 0, count: 0 }
    }
}

impl<T> Kept<T> {
    /// Bytes of all that is kept.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The node that knows the most of the first tokens of `tokens`, and how many it knows. It and what it goes on from are used by that.
    pub(super) fn longest(&mut self, adapter: Option<AdapterId>, tokens: &[u32]) -> Option<(NodeId, usize)> {
        let best = self.find(adapter, tokens);
        if let Some((id, _)) = best {
            self.touch(id);
        }
        best
    }

    /// The same, and nothing is used by that.
    pub(super) fn find(&self, adapter: Option<AdapterId>, tokens: &[u32]) -> Option<(NodeId, usize)> {
        let mut best: Option<(NodeId, usize)> = None;
        let mut open: Vec<(NodeId, usize)> =
            self.roots.iter().filter(|id| self.nodes[id].adapter == adapter).map(|&id| (id, 0)).collect();
        while let Some((id, start)) = open.pop() {
            let node = &self.nodes[&id];
            if !tokens[start..].starts_with(&node.tokens) {
                continue;
            }
            let end = start + node.tokens.len();
            if best.is_none_or(|(_, most)| end > most) {
                best = Some((id, end));
            }
            open.extend(node.children.iter().map(|&child| (child, end)));
        }
        best
    }

    /// The values from the first tokens on to those of `id`, and none where that has gone.
    pub(super) fn path(&self, id: NodeId) -> Vec<&T> {
        let mut values: Vec<&T> = self.line(id).iter().map(|id| &self.nodes[id].value).collect();
        values.reverse();
        values
    }

    /// The tokens that `id` knows.
    pub(super) fn line_tokens(&self, id: NodeId) -> usize {
        self.line(id).iter().map(|id| self.nodes[id].tokens.len()).sum()
    }

    /// The bytes of `id` and of all that it goes on from.
    fn line_bytes(&self, id: NodeId) -> u64 {
        self.line(id).iter().map(|id| self.nodes[id].bytes).sum()
    }

    /// Lets go of nodes until all that is kept takes `bytes` at the most, and of none where that cannot be without `spared` and what it
    /// goes on from. Whether it could be done.
    pub(super) fn shrink(&mut self, bytes: u64, spared: Option<NodeId>) -> bool {
        if spared.map_or(0, |id| self.line_bytes(id)) > bytes {
            return false;
        }
        // What is left in the end is what is spared, which is little enough.
        while self.bytes > bytes && self.evict(spared) {}
        true
    }

    /// The same for a `line` that somebody has a copy of: where it is too large itself, its own last nodes go, and before those of others.
    /// What is still kept of the line.
    pub(super) fn shrink_with(&mut self, bytes: u64, line: NodeId) -> Option<NodeId> {
        let line = self.line(line);
        let left = line.iter().copied().find(|&id| self.line_bytes(id) <= bytes);
        // Whatever goes on from a node that is too large is too large as well.
        if let Some(&first) = line.iter().take_while(|id| Some(**id) != left).last() {
            self.remove(first);
        }
        self.shrink(bytes, left);
        left
    }

    /// Whether `id` is still there.
    pub(super) fn has(&self, id: NodeId) -> bool {
        self.nodes.contains_key(&id)
    }

    /// Keeps `value` of `tokens` after those of `parent`, which is there. What is known already stays as it is, and is used by that.
    pub(super) fn insert(
        &mut self,
        parent: Option<NodeId>,
        adapter: Option<AdapterId>,
        tokens: Vec<u32>,
        value: T,
        bytes: u64,
    ) -> NodeId {
        self.count += 1;
        let siblings = parent.map_or(&self.roots, |parent| &self.nodes[&parent].children);
        let same =
            |id: &&NodeId| self.nodes[id].tokens == tokens && (parent.is_some() || self.nodes[id].adapter == adapter);
        if let Some(&id) = siblings.iter().find(same) {
            self.touch(id);
            return id;
        }
        let id = NodeId(self.count);
        let node = Node { parent, adapter, tokens, children: Vec::new(), value, bytes, used: 0 };
        self.bytes += bytes;
        self.nodes.insert(id, node);
        match parent.and_then(|parent| self.nodes.get_mut(&parent)) {
            Some(parent) => parent.children.push(id),
            None => self.roots.push(id),
        }
        self.touch(id);
        id
    }

    /// Lets go of the least recently used node that nothing goes on from, but `spared` and what that goes on from. `false` where there is
    /// none.
    fn evict(&mut self, spared: Option<NodeId>) -> bool {
        let spared: Vec<NodeId> = spared.map_or(Vec::new(), |id| self.line(id));
        let leaves = self.nodes.iter().filter(|(id, node)| node.children.is_empty() && !spared.contains(id));
        let Some((&id, _)) = leaves.min_by_key(|(_, node)| node.used) else { return false };
        self.remove(id);
        true
    }

    /// Lets go of all that was computed with `adapter`.
    pub(super) fn forget(&mut self, adapter: AdapterId) {
        let is_its = |id: &NodeId| self.nodes[id].adapter == Some(adapter);
        let its: Vec<NodeId> = self.roots.iter().copied().filter(is_its).collect();
        its.into_iter().for_each(|id| self.remove(id));
    }

    /// Lets go of `id` and of all that goes on from it.
    fn remove(&mut self, id: NodeId) {
        let parent = self.nodes.get(&id).and_then(|node| node.parent);
        match parent.and_then(|parent| self.nodes.get_mut(&parent)) {
            Some(parent) => parent.children.retain(|child| *child != id),
            None => self.roots.retain(|root| *root != id),
        }
        let mut open = vec![id];
        while let Some(node) = open.pop().and_then(|id| self.nodes.remove(&id)) {
            self.bytes -= node.bytes;
            open.extend(node.children);
        }
    }

    /// `id` and what it goes on from, from the last to the first.
    fn line(&self, id: NodeId) -> Vec<NodeId> {
        let known = self.has(id).then_some(id);
        std::iter::successors(known, |id| self.nodes[id].parent).collect()
    }

    fn touch(&mut self, id: NodeId) {
        self.count += 1;
        for id in self.line(id) {
            if let Some(node) = self.nodes.get_mut(&id) {
                node.used = self.count;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Keeps all of `tokens` at each of `borders`, as a reader of prompts does; a node's value is its tokens from the first on.
    fn keep(kept: &mut Kept<Vec<u32>>, adapter: Option<AdapterId>, tokens: &[u32], borders: &[usize]) {
        let (mut parent, mut start) = match kept.longest(adapter, tokens) {
            Some((id, end)) => (Some(id), end),
            None => (None, 0),
        };
        for &border in borders.iter().filter(|&&border| border <= tokens.len()) {
            if border > start {
                let segment = tokens[start..border].to_vec();
                let bytes = segment.len() as u64;
                parent = Some(kept.insert(parent, adapter, segment, tokens[..border].to_vec(), bytes));
                start = border;
            }
        }
    }

    #[test]
    fn what_was_used_last_stays_longest_and_a_parent_outlives_its_children() {
        let mut kept = Kept::default();
        keep(&mut kept, None, &[1, 2, 3, 4], &[2, 4]);
        keep(&mut kept, None, &[1, 2, 5], &[2, 3]);
        assert_eq!(kept.bytes(), 5);
        assert_eq!(kept.longest(None, &[1, 2, 3, 4, 9]).unwrap().1, 4);
        assert!(kept.evict(None));
        assert_eq!(kept.longest(None, &[1, 2, 5]).unwrap().1, 2, "the branch that was used longest ago has gone");
        assert!(kept.evict(None) && kept.evict(None) && !kept.evict(None));
        assert_eq!(kept.bytes(), 0);
    }

    #[test]
    fn another_adapter_knows_nothing_of_it() {
        let mut kept = Kept::default();
        keep(&mut kept, Some(AdapterId(1)), &[1, 2], &[2]);
        assert_eq!(kept.longest(None, &[1, 2, 3]), None);
        assert_eq!(kept.longest(Some(AdapterId(2)), &[1, 2, 3]), None);
        kept.forget(AdapterId(1));
        assert_eq!((kept.longest(Some(AdapterId(1)), &[1, 2, 3]), kept.bytes()), (None, 0));
    }

    #[test]
    fn what_could_not_make_room_lets_go_of_nothing() {
        let mut kept = Kept::default();
        keep(&mut kept, None, &[1, 2, 3, 4], &[2, 4]);
        keep(&mut kept, None, &[7, 8], &[2]);
        let (line, _) = kept.longest(None, &[1, 2, 3, 4]).unwrap();
        assert!(!kept.shrink(3, Some(line)));
        assert_eq!(kept.bytes(), 6);
        assert!(kept.shrink(4, Some(line)));
        assert_eq!((kept.bytes(), kept.find(None, &[7, 8])), (4, None));
    }

    #[test]
    fn a_line_that_is_too_large_goes_from_its_end_and_before_others() {
        let mut kept = Kept::default();
        keep(&mut kept, None, &[7], &[1]);
        keep(&mut kept, None, &[1, 2, 3, 4, 5, 6], &[2, 4, 6]);
        let (line, _) = kept.longest(None, &[1, 2, 3, 4, 5, 6]).unwrap();
        let left = kept.shrink_with(5, line).unwrap();
        assert_eq!((kept.line_tokens(left), kept.bytes()), (4, 5), "what others have stays");
        let left = kept.shrink_with(4, left).unwrap();
        assert_eq!((kept.line_tokens(left), kept.bytes()), (4, 4));
        assert_eq!(kept.shrink_with(1, left), None);
        assert_eq!(kept.bytes(), 0);
    }

    /// Tokens, the borders at which they are kept, and whether something goes then.
    fn step() -> impl Strategy<Value = (Vec<u32>, Vec<usize>, bool)> {
        (prop::collection::vec(0u32..3, 1..8), prop::collection::vec(1usize..8, 0..4), any::<bool>())
    }

    proptest! {
        /// Against a list of all that was ever kept: what is found is a beginning of the tokens, with the value of just that beginning,
        /// and the longest as long as nothing was let go.
        #[test]
        fn what_is_found_is_the_longest_beginning_that_was_kept(
            steps in prop::collection::vec(step(), 1..40)
        ) {
            let mut kept: Kept<Vec<u32>> = Kept::default();
            let mut all: Vec<Vec<u32>> = Vec::new();
            let mut evicted = false;
            for (tokens, mut borders, evicts) in steps {
                borders.sort_unstable();
                borders.dedup();
                let longest = all.iter().filter(|known| tokens.starts_with(known)).map(Vec::len).max();
                let found = kept.longest(None, &tokens);
                if let Some((id, end)) = found {
                    prop_assert_eq!(&kept.path(id).last().unwrap()[..], &tokens[..end]);
                    prop_assert!(longest.is_some_and(|longest| end <= longest));
                }
                if !evicted {
                    prop_assert_eq!(found.map(|(_, end)| end), longest);
                }
                keep(&mut kept, None, &tokens, &borders);
                // A reader goes on from what was found, and comes by no border before that.
                let read = found.map_or(0, |(_, end)| end) + 1..=tokens.len();
                all.extend(borders.iter().filter(|&border| read.contains(border)).map(|&b| tokens[..b].to_vec()));
                if evicts {
                    evicted |= kept.evict(None);
                }
                let held: u64 = kept.nodes.values().map(|node| node.bytes).sum();
                prop_assert_eq!(kept.bytes(), held);
            }
            while kept.evict(None) {}
            prop_assert_eq!(kept.bytes(), 0);
            prop_assert!(kept.nodes.is_empty() && kept.roots.is_empty());
        }
    }
}
