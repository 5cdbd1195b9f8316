//! Large units of a stream, MQTT packets or WebSocket frames, wait here until they are all there: the library that
//! reads them makes room for as much as a length field says, before a byte of it has come. In: the stream beneath
//! the library. Out: the same bytes, in the same order. What waits takes as much room as what has come, rounded up
//! to a chunk; small units pass at once, so that a read costs no more than following their heads.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BufMut, BytesMut};
use tokio::io::{AsyncRead, ReadBuf};
use tokio_util::io::poll_read_buf;

use super::reading::Reader;
use super::wire::{Arriving, BoxedStream};

/// The longest unit, in bytes, that the library may make room for before it has come.
const LARGE: u64 = 1 << 20;

/// In how large steps room is made for what waits, in bytes.
const CHUNK: usize = 256 << 10;

/// Reads the heads of units, byte by byte.
pub(crate) trait Heads: Send + Sync + Unpin + 'static {
    /// Takes the next byte of a head; with its last one, how many bytes follow before the next head.
    ///
    /// # Errors
    /// No peer may send this head.
    fn take(&mut self, byte: u8) -> io::Result<Option<u64>>;
}

/// Fixed headers (MQTT 5, 2.1.1). One that is malformed is passed on with all that follows: the library says so.
#[derive(Default)]
pub(crate) struct Packets {
    /// How many bytes of the header have passed.
    passed: u32,
    length: u64,
}

impl Heads for Packets {
    fn take(&mut self, byte: u8) -> io::Result<Option<u64>> {
        if self.passed == 0 {
            *self = Self { passed: 1, length: 0 };
            return Ok(None);
        }
        self.length |= u64::from(byte & 0x7f) << (7 * (self.passed - 1));
        self.passed += 1;
        let length = match byte & 0x80 {
            0 => self.length,
            _ if self.passed > 4 => u64::MAX,
            _ => return Ok(None),
        };
        self.passed = 0;
        Ok(Some(length))
    }
}

/// Lets large units through when they are whole.
pub(crate) struct Whole<H> {
    heads: H,
    /// What is longer than this waits for nobody: the library will not take it.
    limit: u64,
    /// Tells others how much of the unit under way has come.
    arriving: Arriving,
    /// How long the head under way is so far.
    head: u64,
    /// The unit under way with its head.
    length: u64,
    /// Bytes left of the small unit under way.
    left: u64,
    /// Bytes that have not come yet of the large unit under way.
    missing: u64,
    held: VecDeque<BytesMut>,
}

impl<H: Heads> Whole<H> {
    /// `limit` is the longest unit that the library takes.
    pub(crate) fn new(heads: H, limit: u64, arriving: Arriving) -> Self {
        Self { heads, limit, arriving, head: 0, length: 0, left: 0, missing: 0, held: VecDeque::new() }
    }

    /// After what the library has got already.
    ///
    /// # Errors
    /// No peer may send that.
    pub(crate) fn after(mut self, already: &[u8]) -> io::Result<Self> {
        self.follow(already)?;
        Ok(self)
    }

    /// Follows heads. Says where a large unit begins whose end has not come yet.
    fn follow(&mut self, bytes: &[u8]) -> io::Result<Option<usize>> {
        let (mut at, mut begin) = (0, 0);
        while let Some(byte) = bytes.get(at) {
            if self.left > 0 {
                let passed = usize::try_from(self.left).unwrap_or(usize::MAX).min(bytes.len() - at);
                self.left -= passed as u64;
                at += passed;
                begin = at;
                continue;
            }
            at += 1;
            self.head += 1;
            let Some(length) = self.heads.take(*byte)? else { continue };
            self.length = length.saturating_add(std::mem::take(&mut self.head));
            let here = (bytes.len() - at) as u64;
            if length > LARGE.max(here) && length <= self.limit {
                self.missing = length - here;
                return Ok(Some(begin));
            }
            self.left = length;
            begin = at;
        }
        Ok(None)
    }

    /// Waits until the large unit under way is all there. When the stream ends before, nobody needs the rest.
    fn gather(&mut self, inner: &mut BoxedStream, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.missing > 0 {
            let missing = usize::try_from(self.missing).unwrap_or(usize::MAX);
            let chunk = match self.held.pop_back() {
                Some(chunk) if chunk.len() < chunk.capacity() => chunk,
                full => {
                    self.held.extend(full);
                    BytesMut::with_capacity(missing.min(CHUNK))
                }
            };
            let room = missing.min(chunk.capacity() - chunk.len());
            let mut space = chunk.limit(room);
            let read = poll_read_buf(Pin::new(&mut *inner), cx, &mut space);
            self.held.push_back(space.into_inner());
            match ready!(read)? {
                0 => {
                    self.missing = 0;
                    self.held.clear();
                    break;
                }
                count => self.missing -= count as u64,
            }
            self.arriving.note(self.length, self.length - self.missing);
        }
        Poll::Ready(Ok(()))
    }
}

impl<H: Heads> Reader for Whole<H> {
    fn poll_read(
        &mut self,
        inner: &mut BoxedStream,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.missing == 0 && self.held.is_empty() {
            let before = buf.filled().len();
            ready!(Pin::new(&mut *inner).poll_read(cx, buf))?;
            match self.follow(&buf.filled()[before..]) {
                Ok(None) => {
                    if buf.filled().len() > before {
                        self.arriving.note(self.length, self.length - self.left);
                    }
                    return Poll::Ready(Ok(()));
                }
                Ok(Some(begin)) => {
                    self.arriving.note(self.length, self.length - self.missing);
                    self.held.push_back(BytesMut::from(&buf.filled()[before + begin..]));
                    buf.set_filled(before + begin);
                    if begin > 0 {
                        return Poll::Ready(Ok(()));
                    }
                }
                Err(error) => {
                    buf.set_filled(before);
                    return Poll::Ready(Err(error));
                }
            }
        }
        ready!(self.gather(inner, cx))?;
        if let Some(mut chunk) = self.held.pop_front() {
            let count = chunk.len().min(buf.remaining());
            buf.put_slice(&chunk[..count]);
            chunk.advance(count);
            if !chunk.is_empty() {
                self.held.push_front(chunk);
            }
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::super::reading::Reading;
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    const BIG: usize = (1 << 20) + 70_000;

    /// A PUBLISH with a body of that length, all of one byte.
    fn packet(length: usize, byte: u8) -> Vec<u8> {
        let mut bytes = vec![0x30];
        let mut rest = length;
        while rest > 0x7f {
            bytes.push(u8::try_from(rest & 0x7f).expect("seven bits") | 0x80);
            rest >>= 7;
        }
        bytes.push(u8::try_from(rest).expect("seven bits"));
        bytes.resize(bytes.len() + length, byte);
        bytes
    }

    fn over(limit: u64) -> (Reading<Whole<Packets>>, tokio::io::DuplexStream) {
        let (near, far) = tokio::io::duplex(8 << 20);
        let whole = Whole::new(Packets::default(), limit, Arriving::default());
        (Reading::new(Box::new(near), whole), far)
    }

    #[tokio::test]
    async fn bytes_come_in_order_wherever_they_are_cut() {
        let all = [packet(3, 1), packet(BIG, 0x30), packet(0, 0), packet(200, 2), packet(BIG, 0xff)].concat();
        for cut in [1, 4, 5, 6, 7, 8, 9, 5000, BIG, BIG + 9, BIG + 11, all.len() - 1] {
            let (mut whole, mut far) = over(u64::MAX);
            let mut read = Vec::new();
            far.write_all(&all[..cut]).await.expect("written");
            let early = tokio::time::timeout(std::time::Duration::ZERO, whole.read_buf(&mut read)).await;
            assert!(!matches!(early, Ok(Ok(0) | Err(_))), "{early:?}, cut at {cut}");
            far.write_all(&all[cut..]).await.expect("written");
            drop(far);
            whole.read_to_end(&mut read).await.expect("read");
            assert!(read == all, "{} of {}, cut at {cut}", read.len(), all.len());
        }
    }

    #[tokio::test]
    async fn a_large_packet_waits_for_its_end_and_one_that_is_too_large_does_not() {
        let all = [packet(3, 1), packet(BIG, 2)].concat();
        let mut space = vec![0; 4096];
        let (mut whole, mut far) = over(u64::MAX);
        far.write_all(&all[..all.len() - 1]).await.expect("written");
        assert_eq!(whole.read(&mut space).await.expect("the small one"), 5);
        let early = tokio::time::timeout(std::time::Duration::from_millis(50), whole.read(&mut space)).await;
        assert!(early.is_err(), "{early:?}");
        drop(far);
        assert_eq!(whole.read(&mut space).await.expect("the end"), 0);

        let (mut whole, mut far) = over(BIG as u64 - 1);
        far.write_all(&all[..100]).await.expect("written");
        assert_eq!(whole.read(&mut space).await.expect("all of it"), 100);
    }
}
