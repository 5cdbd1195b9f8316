//! WebSocket frames before the broker has answered. In: the stream under the WebSocket library. Out: the same
//! bytes, or `InvalidData` for a frame that no server may send, or one that says it is longer than any answer
//! to CONNECT: the library would wait for it, and make room for as much as a stranger's length field says.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::answer::Answered;
use super::wire::BoxedStream;

/// The longest frame until the broker has answered.
const LARGEST_FRAME: u64 = 2 << 20;

/// Follows frames until the answer has come.
pub(crate) struct FrameGuard {
    inner: BoxedStream,
    answered: Answered,
    frames: Frames,
}

impl FrameGuard {
    pub(crate) fn new(inner: BoxedStream, answered: Answered, frames: Frames) -> Self {
        Self { inner, answered, frames }
    }
}

/// Where one frame ends and the next begins (RFC 6455, 5.2).
#[derive(Default)]
pub(crate) struct Frames {
    head: Vec<u8>,
    left: u64,
}

impl Frames {
    /// After what was read with the HTTP answer.
    pub(crate) fn after(rest: &[u8]) -> io::Result<Self> {
        let mut frames = Self::default();
        frames.follow(rest)?;
        Ok(frames)
    }

    fn follow(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            if self.left > 0 {
                let passed = usize::try_from(self.left).unwrap_or(usize::MAX).min(bytes.len());
                self.left -= passed as u64;
                bytes = &bytes[passed..];
                continue;
            }
            self.head.push(bytes[0]);
            bytes = &bytes[1..];
            // No extension was agreed on, so no reserved bits (5.2), and a server never masks (5.1).
            if self.head[0] & 0x70 != 0 || self.head.get(1).is_some_and(|second| second & 0x80 != 0) {
                return Err(invalid("a WebSocket frame with bits that a server must not set"));
            }
            let Some(length) = self.length() else { continue };
            if length > LARGEST_FRAME {
                return Err(invalid("a WebSocket frame longer than any answer to CONNECT"));
            }
            self.left = length;
            self.head.clear();
        }
        Ok(())
    }

    /// The length of the payload, once the head is whole.
    fn length(&self) -> Option<u64> {
        let second = *self.head.get(1)?;
        Some(match second {
            126 => u64::from(u16::from_be_bytes(self.head.get(2..4)?.try_into().ok()?)),
            127 => u64::from_be_bytes(self.head.get(2..10)?.try_into().ok()?),
            short => u64::from(short),
        })
    }
}

fn invalid(text: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text)
}

impl AsyncRead for FrameGuard {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.inner).poll_read(cx, buf))?;
        if !self.answered.yet()
            && let Err(error) = self.frames.follow(&buf.filled()[before..])
        {
            buf.set_filled(before);
            return Poll::Ready(Err(error));
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for FrameGuard {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_followed_wherever_they_are_cut() {
        let mut bytes = vec![0x82, 3, 1, 2, 3, 0x89, 0, 0x82, 126, 1, 0];
        bytes.extend([0xff; 256]);
        bytes.extend([0x82, 127, 0, 0, 0, 0, 0, 0x20, 0, 1]);
        for cut in 0..bytes.len() {
            let mut frames = Frames::default();
            let first = frames.follow(&bytes[..cut]);
            assert!(first.is_ok(), "cut at {cut}");
            assert!(frames.follow(&bytes[cut..]).is_err(), "cut at {cut}");
        }
    }
}
