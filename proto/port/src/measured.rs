//! A stream of which only so much is read.
//!
//! Promise: whoever reads past the allowance gets an error instead of bytes, until the allowance is lifted.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A stream with an allowance of bytes.
#[derive(Debug)]
pub(crate) struct Measured<S> {
    stream: S,
    /// Bytes that may still be read; `None` where there is no bound.
    left: Option<usize>,
}

impl<S> Measured<S> {
    pub(crate) fn new(stream: S, bytes_max: usize) -> Measured<S> {
        Measured { stream, left: Some(bytes_max) }
    }

    /// Reads without a bound from here on.
    pub(crate) fn lift(&mut self) {
        self.left = None;
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Measured<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = into.filled().len();
        if self.left == Some(0) {
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::FileTooLarge, "more bytes than a handshake has")));
        }
        ready!(Pin::new(&mut self.stream).poll_read(context, into))?;
        let read = into.filled().len() - before;
        // What was read past the allowance is handed on: it is at most one buffer of the reader's own.
        self.left = self.left.map(|left| left.saturating_sub(read));
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Measured<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use tokio::io::AsyncReadExt;

    proptest! {
        #[test]
        fn no_more_is_read_than_allowed_but_for_one_buffer(
            allowed in 1usize..200, sent in 0usize..400, buffer in 1usize..50,
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let bytes = vec![7; sent];
            let (read, ended) = runtime.block_on(async {
                let mut stream = Measured::new(&bytes[..], allowed);
                let (mut read, mut into) = (0, vec![0; buffer]);
                loop {
                    match stream.read(&mut into).await {
                        Ok(0) => return (read, Ok(())),
                        Ok(n) => read += n,
                        Err(error) => return (read, Err(error)),
                    }
                }
            });
            prop_assert!(read < allowed + buffer);
            // Whoever stays within it notices nothing.
            prop_assert_eq!(ended.is_ok(), sent < allowed);
            prop_assert!(ended.is_err() || read == sent);
        }
    }

    #[tokio::test]
    async fn a_lifted_bound_is_none() {
        let mut stream = Measured::new(&[7; 100][..], 10);
        stream.read_exact(&mut [0; 10]).await.unwrap();
        stream.lift();
        assert_eq!(stream.read_to_end(&mut Vec::new()).await.unwrap(), 90);
    }
}
