//! A recording: what one program said to another and what it heard, in the order in which it was said, as bytes; and the blobs that went
//! along. It is text, so that git shows what changed: a step is a line of JSON.

use base64::DecodeError;
use base64::prelude::{BASE64_STANDARD as STANDARD, Engine};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use vertigo::id::Digest;

/// One thing that went one way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Step {
    /// A call of gRPC begins.
    Calls { call: u64, path: String },
    /// Whoever called says this.
    Says { call: u64, message: Message },
    /// It has no more to say.
    Falls { call: u64 },
    /// It hears this.
    Hears { call: u64, message: Message },
    /// The call is over: gRPC's number for how.
    Ends { call: u64, status: String },
    /// A request over HTTP and its answer, both whole.
    Fetches(Fetch),
}

/// A request over HTTP and its answer. Bodies are blobs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Fetch {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) sent: Option<Digest>,
    pub(crate) status: u16,
    pub(crate) answered: BTreeMap<String, String>,
    pub(crate) received: Option<Digest>,
}

/// A message's bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct Message(pub(crate) Bytes);

impl TryFrom<String> for Message {
    type Error = DecodeError;

    fn try_from(text: String) -> Result<Message, DecodeError> {
        Ok(Message(STANDARD.decode(text)?.into()))
    }
}

impl From<Message> for String {
    fn from(message: Message) -> String {
        STANDARD.encode(message.0)
    }
}

/// All of a session.
#[derive(Debug, Clone, Default)]
pub(crate) struct Recording {
    pub(crate) steps: Vec<Step>,
    pub(crate) blobs: BTreeMap<Digest, Bytes>,
}

impl Recording {
    /// Keeps a body, and says what it is called.
    pub(crate) fn keep(&mut self, body: Bytes) -> Option<Digest> {
        let digest = Digest::of(&body);
        let is_something = !body.is_empty();
        is_something.then(|| {
            self.blobs.insert(digest, body);
            digest
        })
    }

    /// Writes `steps.jsonl` and the blobs into `folder`, in place of those there.
    pub(crate) fn write(&self, folder: &Path) {
        let blobs = folder.join("blobs");
        if blobs.exists() {
            fs::remove_dir_all(&blobs).expect("the recording's folder can be written");
        }
        fs::create_dir_all(&blobs).expect("the recording's folder can be written");
        let line = |step| serde_json::to_string(step).expect("a step is JSON") + "\n";
        let lines: String = self.steps.iter().map(line).collect();
        fs::write(folder.join("steps.jsonl"), lines).expect("the recording's folder can be written");
        for (digest, bytes) in &self.blobs {
            fs::write(blobs.join(digest.hex()), bytes).expect("the recording's folder can be written");
        }
    }

    /// What was written into `folder`.
    pub(crate) fn read(folder: &Path) -> Recording {
        let lines = fs::read_to_string(folder.join("steps.jsonl")).expect("the recording is checked in");
        let step = |line: &str| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        let steps = lines.lines().map(step).collect();
        let listed = fs::read_dir(folder.join("blobs")).expect("the recording is checked in");
        let bytes = listed.map(|entry| Bytes::from(fs::read(entry.expect("a file").path()).expect("a file")));
        Recording { steps, blobs: bytes.map(|bytes| (Digest::of(&bytes), bytes)).collect() }
    }
}
