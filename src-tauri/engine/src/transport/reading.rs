//! Streams that change only what is read: a [`Reader`] over the stream beneath it. What is written passes as it is.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::wire::{BoxedStream, ByteStream};

/// Reads from a stream in its own way.
pub(crate) trait Reader<S = BoxedStream>: Send + Sync + Unpin + 'static {
    /// As [`AsyncRead::poll_read`], from `inner`.
    fn poll_read(
        &mut self,
        inner: &mut S,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>>;
}

/// A stream that is read by a reader.
pub(crate) struct Reading<R, S = BoxedStream> {
    inner: S,
    reader: R,
}

impl<R: Reader<S>, S: ByteStream> Reading<R, S> {
    pub(crate) fn new(inner: S, reader: R) -> Self {
        Self { inner, reader }
    }
}

impl<R: Reader<S>, S: ByteStream> AsyncRead for Reading<R, S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Self { inner, reader } = &mut *self;
        reader.poll_read(inner, cx, buf)
    }
}

impl<R: Reader<S>, S: ByteStream> AsyncWrite for Reading<R, S> {
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
