//! A stream whose other end has to read.
//!
//! Promise: a write that the other end takes nothing of for so long is an error, by which the connection ends. What is read has its
//! bounds elsewhere, and a connection on which nothing is to be written may be silent for ever.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

/// A stream that fails where a write makes no progress.
#[derive(Debug)]
pub(crate) struct Progressing<S> {
    stream: S,
    patience: Duration,
    /// Runs while a write waits for the other end.
    overdue: Option<Pin<Box<Sleep>>>,
}

impl<S: AsyncWrite + Unpin> Progressing<S> {
    pub(crate) fn new(stream: S, patience: Duration) -> Progressing<S> {
        Progressing { stream, patience, overdue: None }
    }

    /// What it writes to.
    pub(crate) fn inner(&mut self) -> &mut S {
        &mut self.stream
    }

    /// Does what may have to wait for the other end, but not for longer than there is patience for.
    fn poll<T>(
        &mut self,
        context: &mut Context<'_>,
        act: impl FnOnce(Pin<&mut S>, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if let Poll::Ready(done) = act(Pin::new(&mut self.stream), context) {
            self.overdue = None;
            return Poll::Ready(done);
        }
        let patience = self.patience;
        let overdue = self.overdue.get_or_insert_with(|| Box::pin(sleep(patience)));
        ready!(overdue.as_mut().poll(context));
        let seconds = patience.as_secs();
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, format!("nothing was read for {seconds} s"))))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Progressing<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll(context, |stream, context| stream.poll_write(context, bytes))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll(context, |stream, context| stream.poll_write_vectored(context, slices))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        // A socket is flushed at once, which is no word of the other end: it ends no wait of a write.
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll(context, |stream, context| stream.poll_shutdown(context))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Progressing<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, into)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
    use tokio::time::timeout;

    const LONG: Duration = Duration::from_secs(30);

    #[tokio::test]
    async fn a_write_that_nobody_reads_fails() {
        let (near, _far) = duplex(64);
        let mut stream = Progressing::new(near, Duration::from_millis(20));
        let written = timeout(LONG, stream.write_all(&[0; 1000])).await.expect("an end of patience");
        assert_eq!(written.unwrap_err().kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn a_write_that_is_read_slowly_goes_on() {
        let (near, mut far) = duplex(1);
        let mut stream = Progressing::new(near, Duration::from_millis(500));
        let read = async {
            let mut all = Vec::new();
            while all.len() < 40 {
                tokio::time::sleep(Duration::from_millis(20)).await;
                all.push(far.read_u8().await.unwrap());
            }
            all
        };
        let (written, read) =
            timeout(LONG, async { tokio::join!(stream.write_all(&[7; 40]), read) }).await.expect("an end");
        written.unwrap();
        assert_eq!(read, [7; 40]);
    }
}
