//! What an evaluation has so far, on this machine's disk and in checkpoints that outlive it.

use super::super::{Event, Spec, codes};
use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use vertigo::files::{AtPath, FileError};
use vertigo::task::{Cure, Failure};
use vertigo_evaluation::report::{AnswerLine, Facts, Kept, Line, Times};

/// The file of lines, here and in checkpoints.
const FILE: &str = "answers.jsonl";

/// A checkpoint is due after so many answers,
const ANSWERS_DUE: u64 = 16;

/// or with the first answer after this.
const TIME_DUE: Duration = Duration::from_secs(30);

/// Lines as they come, and checkpoints of them now and then.
pub(super) struct Keeping {
    kept: Kept,
    file: File,
    path: PathBuf,
    out: PathBuf,
    answers_since: u64,
    last: Instant,
}

impl Keeping {
    /// Begins with what the checkpoint has, where there is one and its answers are of the same evaluation and the same engine.
    ///
    /// # Errors
    /// This machine's disk.
    pub(super) fn open(spec: &Spec, facts: &Facts, say: &mut dyn FnMut(Event)) -> Result<Keeping, Failure> {
        let path = spec.out.join(FILE);
        let before = spec.checkpoint.as_deref().map(|folder| read(&folder.join(FILE), facts)).transpose();
        let before = before.unwrap_or_else(|problem| {
            let text = format!("the evaluation begins anew: {problem}");
            tracing::warn!("{text}");
            say(Event::Warning { text });
            None
        });
        let (before, kept) = before.unwrap_or_default();
        let begin = || -> io::Result<File> {
            fs::create_dir_all(&spec.out)?;
            fs::write(&path, &before)?;
            OpenOptions::new().append(true).open(&path)
        };
        let file = begin().at(&path).map_err(here)?;
        let mut keeping = Keeping { kept, file, path, out: spec.out.clone(), answers_since: 0, last: Instant::now() };
        if keeping.kept.facts.is_none() {
            keeping.add(&Line::Facts(Box::new(facts.clone())))?;
        }
        Ok(keeping)
    }

    /// Whether an answer is there.
    pub(super) fn has(&self, task: &str, sample: u32) -> bool {
        self.kept.answers.contains_key(&(task.to_owned(), sample))
    }

    /// All answers.
    pub(super) fn answers(&self) -> impl Iterator<Item = &AnswerLine> {
        self.kept.answers.values()
    }

    /// All of it.
    pub(super) fn kept(&self) -> &Kept {
        &self.kept
    }

    /// How long answers took, as JSON.
    pub(super) fn times(&self) -> String {
        serde_json::to_string_pretty(&Times::of(&self.kept)).unwrap_or_default() + "\n"
    }

    /// Keeps a line.
    ///
    /// # Errors
    /// This machine's disk.
    pub(super) fn add(&mut self, line: &Line) -> Result<(), Failure> {
        self.file.write_all(line.to_text().as_bytes()).at(&self.path).map_err(here)?;
        self.answers_since += u64::from(matches!(line, Line::Answer(_)));
        self.kept.add(line.clone()).map_err(|error| Failure::new(Cure::Never, codes::BAD_INPUT, error.to_string()))
    }

    /// Makes a checkpoint where one is due. One that cannot be made is no reason to lose what is under way.
    pub(super) fn checkpoint_if_due(&mut self, done: u64, say: &mut dyn FnMut(Event)) {
        if self.answers_since == 0 || self.answers_since < ANSWERS_DUE && self.last.elapsed() < TIME_DUE {
            return;
        }
        self.checkpoint_at(done, say);
    }

    /// Makes a checkpoint, numbered `done`.
    pub(super) fn checkpoint_at(&mut self, done: u64, say: &mut dyn FnMut(Event)) {
        (self.answers_since, self.last) = (0, Instant::now());
        // In a folder of their own, where nothing but checkpoints is removed when they are outdated.
        let folder = self.out.join("checkpoints").join(format!("{done:08}"));
        match self.checkpoint(&folder) {
            Ok(()) => say(Event::Checkpoint { iter: done, folder, facts: BTreeMap::new() }),
            Err(error) => say(Event::Warning { text: format!("no checkpoint at {done} answers: {error}") }),
        }
    }

    fn checkpoint(&self, folder: &Path) -> Result<(), FileError> {
        self.file.sync_data().at(&self.path)?;
        fs::create_dir_all(folder).at(folder)?;
        fs::copy(&self.path, folder.join(FILE)).at(folder)?;
        Ok(())
    }
}

/// The whole lines of a checkpoint of the same evaluation, and what they say. There is no verdict of the room's among them: those are
/// added once all answers are there, after the last checkpoint.
fn read(path: &Path, facts: &Facts) -> Result<(String, Kept), String> {
    let mut text = fs::read_to_string(path).at(path).map_err(|error| error.to_string())?;
    let mut kept = Kept::read(&text).map_err(|error| error.to_string())?;
    let before = kept.facts.replace(facts.clone()).ok_or("its checkpoint does not say of what its answers are")?;
    // Answers of another engine are thrown away and not mixed with this one's: they might not be those that it gives to the same seeds.
    if let Some(unlike) = facts.unlike(&before) {
        return Err(format!("the answers of its checkpoint are {unlike}"));
    }
    text.truncate(kept.whole_bytes);
    if before != *facts {
        // Only who judges them is another: answers took their time, or cost money, and verdicts are made anew all the same.
        let is_answer = |line: &&str| !matches!(serde_json::from_str(line), Ok(Line::Facts(_)));
        text = Line::Facts(Box::new(facts.clone())).to_text()
            + &text.split_inclusive('\n').filter(is_answer).collect::<String>();
    }
    Ok((text, kept))
}

fn here(error: FileError) -> Failure {
    Failure::new(Cure::AnotherMachine, codes::THIS_MACHINE, error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use vertigo::id::Digest;
    use vertigo_evaluation::answer::{Answer, Ending};
    use vertigo_evaluation::report::Tokens;

    fn facts(room: &str, engine: &str) -> Facts {
        let facts = serde_json::json!({
            "format": 1, "suite": "s", "suite_digest": Digest::of(b"s"), "tools_in": "request",
            "room": room, "engine": engine,
            "model": {"kind": "base", "name": "m", "base": Digest::of(b"m")},
            "sampling": {"temperature": 1.0, "top_p": 1.0, "samples": 1, "seed": 0},
        });
        serde_json::from_value(facts).unwrap()
    }

    #[test]
    fn answers_of_another_engine_are_thrown_away_and_those_that_another_room_judged_are_not() {
        let answer = AnswerLine {
            task: "a".to_owned(),
            sample: 0,
            seed: 0,
            prompt: Digest::of(b"p"),
            answer: Answer::of(Ending::Answered, "x", None, Vec::new()),
            tokens: Tokens::default(),
            time: None,
        };
        let before = facts("room 1", "MLX 1");
        let lines = [Line::Facts(Box::new(before.clone())), Line::Answer(Box::new(answer))];
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(FILE);
        fs::write(&path, lines.iter().map(Line::to_text).collect::<String>() + "{\"line\":\"ans").unwrap();
        assert_eq!(read(&path, &before).unwrap().1.answers.len(), 1);
        let problem = read(&path, &facts("room 1", "MLX 2")).unwrap_err();
        assert!(problem.contains("by MLX 1, and this is MLX 2"), "{problem}");
        // What goes on under the new room's facts reads back as theirs, once more.
        let judged_anew = facts("room 2", "MLX 1");
        let (text, kept) = read(&path, &judged_anew).unwrap();
        assert_eq!((kept.answers.len(), kept.facts.as_ref()), (1, Some(&judged_anew)));
        fs::write(&path, text).unwrap();
        assert_eq!(read(&path, &judged_anew).unwrap().1.answers, kept.answers);
        fs::write(&path, "").unwrap();
        assert!(read(&path, &before).is_err(), "answers of nobody knows what");
    }
}
