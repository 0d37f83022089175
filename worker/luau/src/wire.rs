//! What the room and its children say to one another: JSON, each message behind its length, with a bound in both directions.

use crate::run::{Limits, Program, Verdict};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::io::{self, Read, Write};

/// Bytes of a message. A program and a verdict stay below it by their own bounds, even where every character is escaped.
const MESSAGE_BYTES_MAX: usize = 64 << 20;

/// Bytes that are taken at once of a message, so that a length alone reserves nothing.
const PIECE_BYTES: u64 = 1 << 20;

/// The first message to a child: what every program of its life may take.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Opening {
    pub(crate) limits: Limits,
}

/// A child's first message: it is ready.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Hello {
    pub(crate) walls: Walls,
}

/// What keeps a child in, besides limits on memory, time and files that every system has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Walls {
    /// Linux: the few calls of the system that computing needs, and no other.
    Seccomp,
    /// macOS: the profile for pure computation.
    Sandbox,
    /// Nothing else: this system has no wall, or refused to put it up.
    LimitsOnly,
}

/// A program for a child.
pub(crate) type Order = Program;

/// A child's verdict.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Reply {
    pub(crate) verdict: Verdict,
    /// The child takes no other program: it is to be ended.
    pub(crate) is_last: bool,
}

/// Writes one message.
pub(crate) fn send<T: Serialize>(to: &mut impl Write, message: &T) -> io::Result<()> {
    let json = serde_json::to_vec(message)?;
    if json.len() > MESSAGE_BYTES_MAX {
        return Err(io::Error::other(format!("a message of {} bytes; the bound is {MESSAGE_BYTES_MAX}", json.len())));
    }
    let length = u32::try_from(json.len()).map_err(io::Error::other)?;
    to.write_all(&length.to_le_bytes())?;
    to.write_all(&json)?;
    to.flush()
}

/// Reads one message; none where the other end has closed between messages.
pub(crate) fn receive<T: DeserializeOwned>(from: &mut impl Read) -> io::Result<Option<T>> {
    let mut length = [0; 4];
    let mut known = 0;
    while known < length.len() {
        match from.read(&mut length[known..])? {
            0 if known == 0 => return Ok(None),
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            some => known += some,
        }
    }
    let length = u64::from(u32::from_le_bytes(length));
    if length > MESSAGE_BYTES_MAX as u64 {
        return Err(io::Error::other(format!("a message of {length} bytes; the bound is {MESSAGE_BYTES_MAX}")));
    }
    let mut json = Vec::new();
    while (json.len() as u64) < length {
        let piece = (length - json.len() as u64).min(PIECE_BYTES);
        if from.by_ref().take(piece).read_to_end(&mut json)? as u64 != piece {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(Some(serde_json::from_slice(&json)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::Outcome;
    use proptest::prelude::*;

    #[test]
    fn a_message_arrives_as_it_was_and_an_end_between_messages_is_no_error() {
        let reply = Reply { verdict: Verdict::bare(Outcome::OutOfTime), is_last: true };
        let mut bytes = Vec::new();
        send(&mut bytes, &reply).unwrap();
        let mut from = &bytes[..];
        assert_eq!(receive::<Reply>(&mut from).unwrap().unwrap().verdict, reply.verdict);
        assert!(receive::<Reply>(&mut from).unwrap().is_none());
        for cut in 1..bytes.len() {
            assert!(receive::<Reply>(&mut &bytes[..cut]).is_err(), "{cut}");
        }
    }

    proptest! {
        #[test]
        fn rubbish_is_an_error_and_reserves_nothing(bytes in proptest::collection::vec(any::<u8>(), 1..64)) {
            prop_assert!(receive::<Reply>(&mut &bytes[..]).is_err());
        }
    }
}
