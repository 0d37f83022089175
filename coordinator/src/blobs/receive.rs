//! An upload's bytes on their way to the staging folder: hashed and written as they come, by a thread of their own.
//!
//! The thread that reads the connection neither hashes nor waits for the disk, and nothing is read again: when the last byte is there,
//! so is the digest. Of an upload that goes on, what is kept is hashed first. Full pieces are handed to the disk while others come, so
//! that making the whole durable in the end takes no longer than the last of them.

use super::CHUNK;
use crate::private;
use bytes::Bytes as Chunk;
use sha2::{Digest as _, Sha256};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use vertigo::id::Digest;

/// Chunks that wait for the thread: with hyper's, of at most half a MiB, they bound the memory of an upload.
const WAITING: usize = 16;

/// After so many bytes the disk is told to take what it has.
const FLUSH_BYTES: u64 = 32 << 20;

/// What an upload writes to.
#[derive(Debug)]
pub(super) struct Receiver {
    chunks: mpsc::Sender<Chunk>,
    written: JoinHandle<io::Result<Received>>,
}

/// What has been written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Received {
    /// All bytes of the file.
    pub(super) kept: u64,
    /// Of all of them.
    pub(super) digest: Digest,
}

impl Receiver {
    /// Opens the file at `path`, which is made if need be, and cuts it to `start`, from where it goes on.
    pub(super) fn open(path: &Path, start: u64) -> Receiver {
        let (chunks, waiting) = mpsc::channel(WAITING);
        let path = path.to_owned();
        let written = tokio::task::spawn_blocking(move || write(&path, start, waiting));
        Receiver { chunks, written }
    }

    /// Hands on a chunk. `false` where the thread has ended by an error, which [`end`](Self::end) tells.
    pub(super) async fn take(&self, chunk: Chunk) -> bool {
        self.chunks.send(chunk).await.is_ok()
    }

    /// Waits until all that was handed on is written.
    pub(super) async fn end(self) -> io::Result<Received> {
        drop(self.chunks);
        self.written.await.map_err(io::Error::other)?
    }
}

fn write(path: &Path, start: u64, mut waiting: mpsc::Receiver<Chunk>) -> io::Result<Received> {
    private::file(path)?;
    let mut file = File::options().read(true).write(true).open(path)?;
    file.set_len(start)?;
    let mut hasher = Sha256::new();
    hash_kept(&mut file, start, &mut hasher)?;
    file.seek(SeekFrom::Start(start))?;
    let (mut kept, mut flushed) = (start, start);
    // Most blobs are small, and need none.
    let mut flusher = None;
    while let Some(chunk) = waiting.blocking_recv() {
        hasher.update(&chunk);
        file.write_all(&chunk)?;
        kept += chunk.len() as u64;
        if kept - flushed >= FLUSH_BYTES {
            flushed = kept;
            let flusher = match &mut flusher {
                Some(flusher) => flusher,
                none => none.insert(Flusher::start(&file)?),
            };
            flusher.tell();
        }
    }
    Ok(Received { kept, digest: Digest::from_hasher(hasher) })
}

/// Adds the first `bytes` bytes of a file to a hash.
fn hash_kept(file: &mut File, bytes: u64, hasher: &mut Sha256) -> io::Result<()> {
    let (mut kept, mut chunk) = (Read::take(file, bytes), vec![0; CHUNK]);
    loop {
        match kept.read(&mut chunk)? {
            0 => return Ok(()),
            n => hasher.update(&chunk[..n]),
        }
    }
}

/// The digest of a file that is whole already; of none, that of no bytes, and then there is one.
pub(super) fn digest(path: &Path) -> io::Result<Digest> {
    private::file(path)?;
    Ok(Digest::of_reader(File::open(path)?)?.0)
}

/// Has the disk take what is written, beside the writing. It ends with the upload.
struct Flusher(std::sync::mpsc::SyncSender<()>);

impl Flusher {
    fn start(file: &File) -> io::Result<Flusher> {
        let (told, waiting) = std::sync::mpsc::sync_channel::<()>(1);
        let file = file.try_clone()?;
        let flush = move || {
            while waiting.recv().is_ok() {
                // Only for speed: what is to be durable is made so when the blob takes its place, and what is wrong shows then.
                let _ = file.sync_data();
            }
        };
        std::thread::Builder::new().name("flush".to_owned()).spawn(flush)?;
        Ok(Flusher(told))
    }

    /// Does nothing while the disk is at it still.
    fn tell(&self) {
        let _ = self.0.try_send(());
    }
}
