//! Streams that change only what is read: a [`Reader`] over the stream beneath it. What is written passes as it is.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::wire::BoxedStream;

/// Reads from a stream in its own way.
pub(crate) trait Reader: Send + Sync + Unpin + 'static {
    /// As [`AsyncRead::poll_read`], from `inner`.
    fn poll_read(
        &mut self,
        inner: &mut BoxedStream,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>>;
}

/// A stream that is read by a reader.
pub(crate) struct Reading<R> {
    inner: BoxedStream,
    reader: R,
}

impl<R: Reader> Reading<R> {
    pub(crate) fn new(inner: BoxedStream, reader: R) -> Self {
        Self { inner, reader }
    }
}

impl<R: Reader> AsyncRead for Reading<R> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Self { inner, reader } = &mut *self;
        reader.poll_read(inner, cx, buf)
    }
}

impl<R: Reader> AsyncWrite for Reading<R> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }
}
