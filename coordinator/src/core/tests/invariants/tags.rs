//! Tags in random histories: by imports, by jobs of a tag's name, and by people who are sometimes wrong about where a tag is.

use super::*;
use vertigo::id::MoveId;

/// Jobs are called as the first.
const TAGS: [&str; 2] = ["tag", "other"];

/// What happens to a tag.
#[derive(Debug, Clone)]
pub(crate) enum Act {
    /// A dataset is imported with the last tag, or with all.
    Import { content: u8, is_all: bool },
    /// A person moves it so often, each time to the next artifact, by another.
    On { tag: usize, artifact: usize, times: usize, expects: Expects },
    /// A person moves it back, one step or to an artifact.
    Back { tag: usize, artifact: Option<usize> },
    /// The last call of these comes again.
    Again,
}

/// What a person takes a tag to be on.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Expects {
    Whatever,
    Nothing,
    What,
    Artifact(usize),
}

pub(super) fn act() -> impl Strategy<Value = Act> {
    let (tag, artifact) = (0..TAGS.len(), 0usize..8);
    let expects = prop_oneof![
        2 => Just(Expects::Whatever),
        1 => Just(Expects::Nothing),
        3 => Just(Expects::What),
        1 => artifact.clone().prop_map(Expects::Artifact),
    ];
    prop_oneof![
        2 => (0u8..4, prop::bool::weighted(0.2)).prop_map(|(content, is_all)| Act::Import { content, is_all }),
        4 => (tag.clone(), artifact.clone(), 1usize..9, expects)
            .prop_map(|(tag, artifact, times, expects)| Act::On { tag, artifact, times, expects }),
        3 => (tag, prop::option::weighted(0.3, artifact)).prop_map(|(tag, artifact)| Act::Back { tag, artifact }),
        1 => Just(Act::Again),
    ]
}

impl World {
    pub(super) fn tag(&mut self, act: Act) {
        match act {
            Act::Import { content, is_all } => {
                let tags = if is_all { &TAGS[..] } else { &TAGS[1..] };
                let tags = tags.iter().map(|tag| (*tag).to_owned()).collect();
                self.bench
                    .apply(Command::Register { manifest: dataset(&content.to_string()), tags, by: person() })
                    .unwrap();
            }
            Act::On { tag, artifact, times, expects } => {
                let before = self.bench.disk.moves().len();
                let moved = (artifact..artifact + times).filter(|n| self.move_on(tag, *n, expects)).count();
                self.bench.settle();
                let after = self.bench.disk.moves().len();
                assert_eq!(after, before + moved, "what a person asks for is kept, also where it changes nothing");
            }
            Act::Back { tag, artifact } => {
                let target = match artifact {
                    None => Target::Back,
                    Some(n) => self.artifact(n).map_or(Target::Back, Target::BackTo),
                };
                let before = self.bench.core.index.tags().newest(TAGS[tag]).cloned();
                let asked = self.asking(tag, target, Expected::Whatever, Vec::new());
                match self.bench.apply(Command::MoveTag(asked)) {
                    Ok(()) => {
                        let now = self.bench.core.index.tagged(TAGS[tag]).unwrap();
                        assert_ne!(now, before.unwrap().to, "back is elsewhere");
                        assert!(target == Target::Back || target == Target::BackTo(now));
                    }
                    Err(Refusal::NoTag { .. }) => assert_eq!(before, None),
                    Err(Refusal::NothingBefore(_)) => assert_eq!(target, Target::Back),
                    Err(Refusal::OnItAlready { digest, .. }) => assert_eq!(digest, before.unwrap().to),
                    Err(refusal) => assert!(matches!(refusal, Refusal::NotOnTheWay { .. }), "{refusal}"),
                }
            }
            Act::Again => {
                let Some(asked) = self.asked.clone() else { return };
                let before = self.bench.disk.moves().len();
                let (id, was_kept) = (asked.id, self.bench.disk.moves().iter().any(|moved| moved.id == Some(asked.id)));
                let answer = self.bench.apply(Command::MoveTag(asked));
                assert!(!was_kept || answer.is_ok());
                let moves = self.bench.disk.moves();
                assert_eq!(moves.len(), before + usize::from(!was_kept && answer.is_ok()));
                assert!(moves.iter().filter(|moved| moved.id == Some(id)).count() <= 1);
            }
        }
    }

    /// One of the newest artifacts.
    fn artifact(&self, n: usize) -> Option<Digest> {
        let newest: Vec<Digest> = self.bench.core.index.list(None, None).map(|(digest, _)| digest).take(8).collect();
        newest.get(n % newest.len().max(1)).copied()
    }

    /// Moves a tag on within a batch, in which the call comes twice. Whether it moved.
    fn move_on(&mut self, tag: usize, n: usize, expects: Expects) -> bool {
        let (Some(to), Some(by)) = (self.artifact(n), self.artifact(n + 1)) else { return false };
        let on = self.bench.core.index.tagged(TAGS[tag]);
        let (expected, is_right) = match (expects, on) {
            (Expects::Whatever, _) => (Expected::Whatever, true),
            (Expects::Nothing, _) | (Expects::What, None) => (Expected::Nothing, on.is_none()),
            (Expects::What, Some(on)) => (Expected::On(on), true),
            (Expects::Artifact(n), _) => {
                let guess = self.artifact(n).unwrap_or(to);
                (Expected::On(guess), on == Some(guess))
            }
        };
        let asked = self.asking(tag, Target::To(to), expected, vec![by]);
        let wrong = Refusal::TagMoved { tag: TAGS[tag].to_owned(), on };
        let answer = self.bench.carry_out(Command::MoveTag(asked.clone()));
        assert_eq!(answer, if is_right { Ok(()) } else { Err(wrong) });
        if is_right {
            assert_eq!(self.bench.carry_out(Command::MoveTag(asked)), Ok(()), "it is kept, or about to be");
        }
        is_right
    }

    fn asking(&mut self, tag: usize, target: Target, expected: Expected, evidence: Vec<Digest>) -> MoveTag {
        let (reason, decision) = ("because".to_owned(), (tag == 0).then(|| "{}".to_owned()));
        let grounds = Grounds { reason, is_forced: tag == 1, evidence, decision };
        let (id, tag, by) = (MoveId::new(), TAGS[tag].to_owned(), person());
        let asked = MoveTag { id, tag, target, expected, grounds, by };
        self.asked = Some(asked.clone());
        asked
    }

    /// What the newest moves of all tags name.
    pub(super) fn named_by_tags(&self) -> BTreeSet<Digest> {
        let moves = self.bench.disk.moves();
        let newest = |tag| moves.iter().rev().filter(move |moved| moved.tag == tag).take(REMEMBERED);
        let named = |moved: &Move| {
            let evidence = moved.grounds.evidence.iter().copied();
            moved.from.into_iter().chain([moved.to]).chain(evidence).collect::<Vec<_>>()
        };
        TAGS.into_iter().flat_map(newest).flat_map(named).collect()
    }

    /// 14 and 15.
    pub(super) fn check_tags(&self) {
        let (core, moves) = (&self.bench.core, self.bench.disk.moves());
        for tag in TAGS {
            let (mut number, mut on) = (0, None);
            for moved in moves.iter().filter(|moved| moved.tag == tag) {
                assert_eq!((moved.number, moved.from), (number + 1, on), "{moved:?}");
                (number, on) = (moved.number, Some(moved.to));
            }
            assert_eq!(core.index.tagged(tag), on, "{tag}");
        }
        assert!(core.index.tags().all().all(|(tag, _)| TAGS.contains(&tag)));
        drop(moves);
        assert!(
            self.named_by_tags().iter().all(|digest| core.index.get(digest).is_some()),
            "what a tag may go back to is there"
        );
    }
}
