//! The answer to CONNECT, looked at before the MQTT library reads it. In: the outermost stream. Out: the same
//! bytes, or a read that fails with `InvalidData` as soon as what comes cannot be an answer: another protocol, a
//! length that no CONNACK has. So nobody waits for the rest of a packet that was never one, and nothing is
//! made room for because a stranger says so. After the first packet has begun well it only passes bytes on.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, ReadBuf};
use tokio::time::Sleep;

use crate::profile::MqttVersion;

use super::reading::Reader;
use super::wire::{BoxedStream, LISTENED, LISTENING, tells_enough};

/// The longest first packet: far more than a CONNACK with all of its properties needs.
const LARGEST_ANSWER: usize = 1 << 20;

/// Bytes of it that are looked at: type, length, flags, code and the length of its properties.
const HEAD: usize = 1 + 4 + 2 + 4;

/// Looks at the first packet that is read.
pub(crate) struct Answer {
    /// The broker's first packet has begun well.
    answered: bool,
    /// The Remaining Length that a CONNACK has at least: 5 has properties behind its code, 3.1.1 has not.
    shortest: usize,
    head: Vec<u8>,
    foreign: Option<Foreign>,
}

/// What is heard from somebody who does not answer CONNECT; it is listened to for a moment, to tell who it is.
struct Foreign {
    heard: Vec<u8>,
    until: Pin<Box<Sleep>>,
}

impl Answer {
    pub(crate) fn to_connect(version: MqttVersion) -> Self {
        let shortest = if version == MqttVersion::V5 { 3 } else { 2 };
        Self { answered: false, shortest, head: Vec::with_capacity(HEAD), foreign: None }
    }

    /// Whether the packet that begins with the head may be the CONNACK; `None` when that cannot be said yet.
    /// DISCONNECT and AUTH may not come here (MQTT 5, 3.14 and 4.12): we never ask for enhanced authentication.
    fn judge(&self) -> Option<bool> {
        let (&first, rest) = self.head.split_first()?;
        if first != 0x20 {
            return Some(false);
        }
        let (length, body) = match variable_length(rest)? {
            Some((length, body)) if (self.shortest..=LARGEST_ANSWER).contains(&length) => (length, body),
            _ => return Some(false),
        };
        if self.shortest == 2 {
            return Some(true);
        }
        // Flags and code, then the properties, which end with the packet.
        let properties = body.get(2..)?;
        Some(match variable_length(properties)? {
            Some((inner, after)) => inner + 2 + (properties.len() - after.len()) <= length,
            None => false,
        })
    }

    fn listen(&mut self, inner: &mut BoxedStream, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(foreign) = &mut self.foreign else { return Poll::Ready(Ok(())) };
        let refusal = || io::Error::new(io::ErrorKind::InvalidData, "this is no answer to CONNECT");
        while !tells_enough(&foreign.heard) && !whole(&foreign.heard) {
            let mut space = [0; LISTENED];
            let mut buf = ReadBuf::new(&mut space);
            match Pin::new(&mut *inner).poll_read(cx, &mut buf) {
                Poll::Ready(Ok(())) if !buf.filled().is_empty() => foreign.heard.extend(buf.filled()),
                Poll::Ready(_) => break,
                Poll::Pending => {
                    ready!(foreign.until.as_mut().poll(cx));
                    break;
                }
            }
        }
        Poll::Ready(Err(refusal()))
    }
}

/// A Variable Byte Integer (MQTT 5, 1.5.5) and what follows it; `Some(None)` when it is malformed, `None` when it
/// is not all there.
fn variable_length(bytes: &[u8]) -> Option<Option<(usize, &[u8])>> {
    let mut value = 0;
    for (index, byte) in bytes.iter().take(4).enumerate() {
        value |= usize::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Some(Some((value, &bytes[index + 1..])));
        }
    }
    (bytes.len() >= 4).then_some(None)
}

/// Whether a short packet that a broker may begin with is all there.
fn whole(heard: &[u8]) -> bool {
    matches!(heard, [0x20 | 0xe0 | 0xf0, length @ ..0x80, rest @ ..] if rest.len() >= usize::from(*length))
}

impl Reader for Answer {
    fn poll_read(
        &mut self,
        inner: &mut BoxedStream,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.foreign.is_some() {
            return self.listen(inner, cx);
        }
        if self.answered {
            return Pin::new(&mut *inner).poll_read(cx, buf);
        }
        let before = buf.filled().len();
        ready!(Pin::new(&mut *inner).poll_read(cx, buf))?;
        let new = &buf.filled()[before..];
        let passed = self.head.len();
        let room = HEAD - passed;
        self.head.extend_from_slice(&new[..new.len().min(room)]);
        match self.judge() {
            None => Poll::Ready(Ok(())),
            Some(true) => {
                self.answered = true;
                Poll::Ready(Ok(()))
            }
            Some(false) => {
                let heard = [&self.head[..passed], new].concat();
                buf.set_filled(before);
                self.foreign = Some(Foreign { heard, until: Box::pin(tokio::time::sleep(LISTENING)) });
                self.listen(inner, cx)
            }
        }
    }
}
