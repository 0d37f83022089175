//! Tags and their moves: where each is, how it came there, and where it goes back to.
//!
//! A tag moves by a [`Move`] and in no other way, and every move is kept, for ever, by whoever keeps the core's effects. The core
//! itself remembers the newest [`REMEMBERED`] of each tag: what a rollback may lead to, and so what collection must not take.
//!
//! A tag's way is a path and not a list. A move goes on to somewhere; a rollback goes back along the path and takes what lay
//! behind it off. So the next rollback goes further back, and after a new move it leads to where that move began. What is
//! remembered of the path is its end: a rollback reaches less far than the whole history would, and never somewhere else.

use super::{Core, Refusal};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use vertigo::id::{Digest, JobId, Millis, MoveId};
use vertigo::principal::PrincipalName;
use vertigo::spelling;

/// The newest moves of a tag that the core remembers. What they name stays.
pub const REMEMBERED: usize = 20;

/// A move of a tag, as it is kept. It never changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Move {
    /// The tag.
    pub tag: String,
    /// Counts the tag's moves, from 1.
    pub number: u64,
    /// What its caller called it, where somebody asked for it.
    pub id: Option<MoveId>,
    /// When it was made; `None` where nobody knows.
    pub at: Option<Millis>,
    /// What the tag was on before.
    pub from: Option<Digest>,
    /// What it is on since.
    pub to: Digest,
    /// What moved it.
    pub by: Mover,
    /// Who asked for it, where a person did; `None` where a job moved it, or nobody knows.
    pub person: Option<PrincipalName>,
    /// Why.
    pub grounds: Grounds,
}

/// What moves a tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mover {
    /// Whoever, before moves were kept.
    Earlier,
    /// A person, onwards.
    Person,
    /// A person, back.
    Rollback,
    /// A job of the tag's name, by its success.
    Job(JobId),
    /// The registration of an artifact.
    Import,
}

/// Why a person moves a tag, for whoever reads the history.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Grounds {
    /// In words; may be empty.
    pub reason: String,
    /// Whether a gate did not hold.
    pub is_forced: bool,
    /// The artifacts that it was decided by.
    pub evidence: Vec<Digest>,
    /// The decision as it was shown, as JSON.
    pub decision: Option<String>,
}

/// A move that a person asks for.
#[derive(Debug, Clone)]
pub struct MoveTag {
    /// Chosen by the caller. A move of this id that is kept already stays as it is.
    pub id: MoveId,
    /// The tag, valid by [`Index::check_tag`](super::Index::check_tag).
    pub tag: String,
    /// Where to.
    pub target: Target,
    /// What it has to be on.
    pub expected: Expected,
    /// Why.
    pub grounds: Grounds,
    /// Who asks.
    pub by: PrincipalName,
}

/// Where a tag is to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// On, to this artifact.
    To(Digest),
    /// Back to what it was on before the present.
    Back,
    /// Further back, to the last time that it was on this one.
    BackTo(Digest),
}

/// What a tag has to be on for a move.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// Whatever it is on.
    Whatever,
    /// Nothing: there is no such tag.
    Nothing,
    /// This artifact.
    On(Digest),
}

impl Expected {
    fn allows(self, on: Option<Digest>) -> bool {
        match self {
            Expected::Whatever => true,
            Expected::Nothing => on.is_none(),
            Expected::On(digest) => on == Some(digest),
        }
    }
}

/// What the core remembers of a move.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remembered {
    /// As in [`Move`].
    pub number: u64,
    /// As in [`Move`].
    pub from: Option<Digest>,
    /// As in [`Move`].
    pub to: Digest,
    /// Whether it went back.
    pub is_rollback: bool,
    /// As in [`Grounds`].
    pub evidence: Vec<Digest>,
}

impl Remembered {
    fn named(&self) -> impl Iterator<Item = Digest> {
        self.from.into_iter().chain([self.to]).chain(self.evidence.iter().copied())
    }
}

impl From<&Move> for Remembered {
    fn from(it: &Move) -> Remembered {
        let is_rollback = it.by == Mover::Rollback;
        Remembered { number: it.number, from: it.from, to: it.to, is_rollback, evidence: it.grounds.evidence.clone() }
    }
}

/// The tags, and the newest moves of each.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Tags {
    /// The newest last. None is empty.
    moves: BTreeMap<String, VecDeque<Remembered>>,
    /// Tags by what they are on.
    on: BTreeMap<Digest, BTreeSet<String>>,
    /// How often remembered moves name what they name.
    named: BTreeMap<Digest, usize>,
}

impl Tags {
    /// Takes note of the next move of a tag.
    pub fn note(&mut self, tag: &str, moved: Remembered) {
        if let Some(before) = self.on(tag)
            && let Some(tags) = self.on.get_mut(&before)
        {
            tags.remove(tag);
            // Two that say the same are the same, however they came to be.
            if tags.is_empty() {
                self.on.remove(&before);
            }
        }
        self.on.entry(moved.to).or_default().insert(tag.to_owned());
        moved.named().for_each(|digest| *self.named.entry(digest).or_default() += 1);
        let moves = self.moves.entry(tag.to_owned()).or_default();
        moves.push_back(moved);
        let forgotten = if moves.len() > REMEMBERED { moves.pop_front() } else { None };
        for digest in forgotten.iter().flat_map(Remembered::named) {
            if let Some(count) = self.named.get_mut(&digest) {
                *count -= 1;
                if *count == 0 {
                    self.named.remove(&digest);
                }
            }
        }
    }

    /// What a tag is on.
    pub fn on(&self, tag: &str) -> Option<Digest> {
        self.newest(tag).map(|moved| moved.to)
    }

    /// The newest move of a tag.
    pub fn newest(&self, tag: &str) -> Option<&Remembered> {
        self.moves.get(tag)?.back()
    }

    /// All tags, and what each is on.
    pub fn all(&self) -> impl Iterator<Item = (&str, Digest)> {
        self.moves.iter().filter_map(|(tag, moves)| Some((tag.as_str(), moves.back()?.to)))
    }

    /// Tags on an artifact, in order.
    pub fn of(&self, digest: Digest) -> impl Iterator<Item = &str> {
        self.on.get(&digest).into_iter().flatten().map(String::as_str)
    }

    /// Tags that are spelt like `tag`, nearest first, among those that are on something that fits.
    pub fn near(&self, tag: &str, fits: impl Fn(Digest) -> bool) -> Vec<&str> {
        spelling::near(tag, self.all().filter(|(_, digest)| fits(*digest)).map(|(name, _)| name))
    }

    /// Whether a tag is on an artifact, or was within its newest moves, or was moved for its sake.
    pub fn names(&self, digest: Digest) -> bool {
        self.named.contains_key(&digest)
    }

    /// Where a rollback of a tag leads, to `wanted` or one step.
    fn back(&self, tag: &str, wanted: Option<Digest>) -> Result<Digest, Refusal> {
        let moves = self.moves.get(tag).ok_or_else(|| self.no_tag(tag))?;
        let (path, tag) = (path(moves), tag.to_owned());
        let Some((on, before)) = path.split_last() else { return Err(Refusal::NothingBefore(tag)) };
        match wanted {
            None => before.last().copied().ok_or(Refusal::NothingBefore(tag)),
            // It may have been on it before as well; a move that changes nothing would not show that it went back.
            Some(digest) if digest == *on => Err(Refusal::OnItAlready { tag, digest }),
            Some(digest) if before.contains(&digest) => Ok(digest),
            Some(digest) => Err(Refusal::NotOnTheWay { tag, digest }),
        }
    }

    /// That there is no such tag, and which is spelt like it.
    pub fn no_tag(&self, tag: &str) -> Refusal {
        let near = self.near(tag, |_| true).first().map(|near| (*near).to_owned());
        Refusal::NoTag { tag: tag.to_owned(), near }
    }
}

/// The way by which a tag came to where it is, oldest first, as far as these moves tell it. They are its newest, oldest first.
fn path<'a>(moves: impl IntoIterator<Item = &'a Remembered>) -> Vec<Digest> {
    let mut path: Vec<Digest> = Vec::new();
    for moved in moves {
        if path.is_empty() {
            path.extend(moved.from);
        }
        match path.iter().rposition(|digest| *digest == moved.to) {
            Some(at) if moved.is_rollback => path.truncate(at + 1),
            // It went back to before the oldest of these.
            None if moved.is_rollback => path = vec![moved.to],
            Some(at) if at + 1 == path.len() => {}
            Some(_) | None => path.push(moved.to),
        }
    }
    path
}

/// A move that will be made, but for where it begins.
struct Asked {
    tag: String,
    to: Digest,
    by: Mover,
    person: Option<PrincipalName>,
    id: Option<MoveId>,
    grounds: Grounds,
}

impl Core {
    /// Moves a tag for a person.
    pub(super) fn move_tag(&mut self, now: Millis, asked: MoveTag) -> Result<(), Refusal> {
        let MoveTag { id, tag, target, expected, grounds, by: person } = asked;
        if self.effects.moves.iter().any(|moved| moved.id == Some(id)) || self.archive.has_move(id)? {
            return Ok(());
        }
        let tags = self.index.tags();
        let on = tags.on(&tag);
        if !expected.allows(on) {
            return Err(Refusal::TagMoved { tag, on });
        }
        let (to, by) = match target {
            Target::To(digest) => (digest, Mover::Person),
            Target::Back => (tags.back(&tag, None)?, Mover::Rollback),
            Target::BackTo(digest) => (tags.back(&tag, Some(digest))?, Mover::Rollback),
        };
        let absent = [to].iter().chain(&grounds.evidence).find(|digest| self.index.get(digest).is_none()).copied();
        match absent {
            Some(digest) => Err(Refusal::NoArtifact(digest)),
            None => {
                self.note_move(now, Asked { tag, to, by, person: Some(person), id: Some(id), grounds });
                Ok(())
            }
        }
    }

    /// Moves a tag to what was made or imported, unless it is there already.
    pub(super) fn tag(&mut self, now: Millis, tag: &str, to: Digest, by: Mover, person: Option<&PrincipalName>) {
        if self.index.tagged(tag) != Some(to) {
            let (tag, person, grounds) = (tag.to_owned(), person.cloned(), Grounds::default());
            self.note_move(now, Asked { tag, to, by, person, id: None, grounds });
        }
    }

    /// The one place where a tag moves.
    fn note_move(&mut self, now: Millis, asked: Asked) {
        let Asked { tag, to, by, person, id, grounds } = asked;
        let before = self.index.tags().newest(&tag);
        let (number, from) = before.map_or((1, None), |before| (before.number + 1, Some(before.to)));
        let moved = Move { tag, number, id, at: Some(now), from, to, by, person, grounds };
        self.index.note_move(&moved);
        self.effects.moves.push(moved);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn digest(n: u8) -> Digest {
        Digest::of(&[n])
    }

    /// A tag that moves where it is told to, and back where there is no number; and the whole of its path, kept by hand.
    fn history(acts: &[Option<u8>]) -> (Vec<Remembered>, Vec<Digest>) {
        let (mut moves, mut whole): (Vec<Remembered>, Vec<Digest>) = (Vec::new(), Vec::new());
        for act in acts {
            let from = moves.last().map(|moved: &Remembered| moved.to);
            let (to, is_rollback) = match act {
                Some(n) => (digest(*n), false),
                None if whole.len() < 2 => continue,
                None => (whole[whole.len() - 2], true),
            };
            match is_rollback {
                true => drop(whole.pop()),
                false if from != Some(to) => whole.push(to),
                false => {}
            }
            let number = moves.len() as u64 + 1;
            moves.push(Remembered { number, from, to, is_rollback, evidence: Vec::new() });
        }
        (moves, whole)
    }

    #[test]
    fn a_second_rollback_goes_further_back_and_after_a_move_it_leads_to_where_that_began() {
        let (a, b, c, d) = (digest(0), digest(1), digest(2), digest(3));
        let (mut moves, _) = history(&[Some(0), Some(1), Some(2)]);
        assert_eq!(path(&moves), [a, b, c]);
        let go = |moves: &mut Vec<Remembered>, to, is_rollback| {
            let from = moves.last().map(|moved| moved.to);
            moves.push(Remembered { number: 0, from, to, is_rollback, evidence: Vec::new() });
            path(&*moves)
        };
        assert_eq!(go(&mut moves, b, true), [a, b]);
        assert_eq!(go(&mut moves, a, true), [a], "and not to c");
        assert_eq!(go(&mut moves, d, false), [a, d]);
        assert_eq!(go(&mut moves, d, false), [a, d], "said again, it is no step");
        assert_eq!(go(&mut moves, a, false), [a, d, a], "a move to where it was is a move on");
        assert_eq!(go(&mut moves, d, true), [a, d]);
    }

    proptest! {
        /// What the newest moves tell of the way is the end of the whole of it, and the tag stands at its end.
        #[test]
        fn what_is_remembered_of_a_way_is_its_end(
            acts in prop::collection::vec(prop::option::weighted(0.6, 0u8..4), 1..80),
            remembered in 1usize..30,
        ) {
            let (moves, whole) = history(&acts);
            prop_assert_eq!(&path(&moves), &whole);
            let end = path(&moves[moves.len().saturating_sub(remembered)..]);
            prop_assert!(whole.ends_with(&end), "{end:?} of {whole:?}");
            prop_assert_eq!(end.last(), moves.last().map(|moved| &moved.to));
        }

        /// What is named is what the newest moves of all tags name, and each tag is where it was moved last.
        #[test]
        fn tags_are_where_they_were_moved_last_and_name_what_their_newest_moves_do(
            acts in prop::collection::vec((0usize..3, 0u8..40, any::<bool>(), prop::option::of(0u8..40)), 0..120),
        ) {
            let (mut tags, mut all) = (Tags::default(), [(); 3].map(|()| Vec::<Remembered>::new()));
            for (tag, to, is_rollback, evidence) in acts {
                let (moves, evidence) = (&mut all[tag], evidence.map(digest).into_iter().collect());
                let (number, from) = (moves.len() as u64 + 1, moves.last().map(|moved| moved.to));
                moves.push(Remembered { number, from, to: digest(to), is_rollback, evidence });
                tags.note(&tag.to_string(), moves[moves.len() - 1].clone());
            }
            let newest = all.iter().flat_map(|moves| moves.iter().rev().take(REMEMBERED));
            let named: BTreeSet<Digest> = newest.flat_map(Remembered::named).collect();
            prop_assert!((0..40).map(digest).all(|digest| tags.names(digest) == named.contains(&digest)));
            for (tag, moves) in all.iter().enumerate() {
                prop_assert_eq!(tags.newest(&tag.to_string()), moves.last());
            }
            for digest in (0..40).map(digest) {
                let on = |(_, moves): &(usize, &Vec<Remembered>)| moves.last().is_some_and(|moved| moved.to == digest);
                let expected: Vec<String> = all.iter().enumerate().filter(on).map(|(tag, _)| tag.to_string()).collect();
                prop_assert_eq!(tags.of(digest).collect::<Vec<_>>(), expected);
            }
        }
    }
}
