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
                self.bench.apply(Command::Register { manifest: dataset(&content.to_string()), tags }).unwrap();
            }
            Act::On { tag, artifact, times, expects } => {
                for n in artifact..artifact + times {
                    let (Some(to), Some(by)) = (self.artifact(n), self.artifact(n + 1)) else { return };
                    let on = self.bench.core.index.tagged(TAGS[tag]);
                    let expected = match expects {
                        Expects::Whatever => Expected::Whatever,
                        Expects::Nothing => Expected::Nothing,
                        Expects::What => on.map_or(Expected::Nothing, Expected::On),
                        Expects::Artifact(n) => self.artifact(n).map_or(Expected::Nothing, Expected::On),
                    };
                    let answer = self.ask(tag, Target::To(to), expected, vec![by]);
                    let is_right = match expected {
                        Expected::Whatever => true,
                        Expected::Nothing => on.is_none(),
                        Expected::On(digest) => on == Some(digest),
                    };
                    let wrong = Refusal::TagMoved { tag: TAGS[tag].to_owned(), on };
                    assert_eq!(answer, if is_right { Ok(()) } else { Err(wrong) });
                }
            }
            Act::Back { tag, artifact } => {
                let target = match artifact {
                    None => Target::Back,
                    Some(n) => self.artifact(n).map_or(Target::Back, Target::BackTo),
                };
                let before = self.bench.core.index.tags().newest(TAGS[tag]).cloned();
                match self.ask(tag, target, Expected::Whatever, Vec::new()) {
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

    /// A person asks for a move. A call that is refused moves nothing.
    fn ask(&mut self, tag: usize, target: Target, expected: Expected, evidence: Vec<Digest>) -> Result<(), Refusal> {
        let grounds = Grounds {
            reason: "because".to_owned(),
            is_forced: tag == 1,
            evidence,
            decision: (tag == 0).then(|| "{}".to_owned()),
        };
        let asked = MoveTag { id: MoveId::new(), tag: TAGS[tag].to_owned(), target, expected, grounds };
        self.asked = Some(asked.clone());
        let before = self.bench.disk.moves().len();
        let answer = self.bench.apply(Command::MoveTag(asked));
        let after = self.bench.disk.moves().len();
        assert_eq!(
            after,
            before + usize::from(answer.is_ok()),
            "a move that a person asks for is kept, also to where it was"
        );
        answer
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
