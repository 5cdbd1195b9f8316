//! The dialled stream on its way into the MQTT library, which takes it from a slot that is filled once a
//! dial, so that it can never connect behind us. In: a [`BoxedStream`]. Out: the same bytes, and the stream
//! itself when the library is done with it, so that it can be closed in an orderly way.
//!
//! It also steps back from reading at two moments, because of how the library polls. When a keep alive is
//! due: the library looks at its timer only while there is nothing to read. And before a DISCONNECT, an error
//! or the end: the library throws away what it has read in the batch that ends the connection, so these come
//! in a batch of their own. For that it follows packet boundaries; it looks at nothing else. An error of a write
//! waits for the reads for the same reason: a QoS 2 message thrown away would never come again, since the
//! library remembers its packet identifier.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::sync::oneshot;

use crate::transport::BoxedStream;

/// How often a read steps back in a row for a keep alive that is due. The library's timer has fired by then.
const PAUSES: u8 = 32;
/// The first byte of DISCONNECT (MQTT 5, 3.14.1).
const DISCONNECT: u8 = 0xe0;
/// How long the peer may take to close its half after our DISCONNECT.
const CLOSING: Duration = Duration::from_secs(1);

/// Where the library finds the stream of the next connection.
#[derive(Clone, Default)]
pub(super) struct Slot(Arc<Mutex<Option<Line>>>);

impl Slot {
    /// Puts a freshly dialled stream in.
    pub(super) fn fill(&self, stream: BoxedStream) -> Ends {
        let keep_alive_ms = Arc::new(AtomicU64::new(0));
        let last_words = Arc::new(Mutex::new(Vec::new()));
        let unwritable = Unwritable::default();
        let (give_back, returned) = oneshot::channel();
        let line = Line {
            stream: Some(stream),
            give_back: Some(give_back),
            keep_alive_ms: keep_alive_ms.clone(),
            written: Instant::now(),
            pauses: 0,
            framing: Framing::default(),
            held: None,
            stepped_back: false,
            last_words: last_words.clone(),
            write_error: None,
            unwritable: unwritable.clone(),
        };
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(line);
        Ends { returned, keep_alive_ms, last_words, unwritable }
    }

    /// Takes the stream out, once.
    pub(super) fn take(&self) -> io::Result<Line> {
        let line = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        line.ok_or_else(|| io::Error::new(io::ErrorKind::NotConnected, "nothing was dialled"))
    }
}

/// What remains with us of a stream that the library has.
pub(super) struct Ends {
    returned: oneshot::Receiver<BoxedStream>,
    keep_alive_ms: Arc<AtomicU64>,
    last_words: Arc<Mutex<Vec<u8>>>,
    unwritable: Unwritable,
}

/// Whether writing to a stream has failed: what the library was told is written since then is not.
#[derive(Clone, Default)]
pub(super) struct Unwritable(Arc<AtomicBool>);

impl Unwritable {
    pub(super) fn is_set(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

impl Ends {
    /// Tells the keep alive that was agreed on; 0 is off.
    pub(super) fn keep_alive(&self, seconds: u16) {
        self.keep_alive_ms.store(u64::from(seconds) * 1000, Ordering::Relaxed);
    }

    /// Whether writing has failed, now and later.
    pub(super) fn unwritable(&self) -> Unwritable {
        self.unwritable.clone()
    }

    /// The server's DISCONNECT, as far as it came.
    pub(super) fn last_words(&self) -> Vec<u8> {
        self.last_words.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Closes the stream after DISCONNECT: says that nothing follows, then reads until the peer is done, so
    /// that unread data does not turn the close into a reset which could overtake the DISCONNECT.
    pub(super) async fn close(mut self) {
        let Ok(mut stream) = self.returned.try_recv() else { return };
        let _ = tokio::time::timeout(CLOSING, async {
            stream.shutdown().await?;
            let mut unread = vec![0; 16 * 1024];
            while stream.read(&mut unread).await? > 0 {}
            io::Result::Ok(())
        })
        .await;
    }
}

/// A stream that steps back at the right moments.
pub(super) struct Line {
    stream: Option<BoxedStream>,
    give_back: Option<oneshot::Sender<BoxedStream>>,
    keep_alive_ms: Arc<AtomicU64>,
    written: Instant,
    pauses: u8,
    framing: Framing,
    held: Option<Held>,
    stepped_back: bool,
    last_words: Arc<Mutex<Vec<u8>>>,
    /// Told by a read, once there is nothing left to read.
    write_error: Option<io::Error>,
    unwritable: Unwritable,
}

/// What was read but has to come in a batch of its own.
enum Held {
    /// A DISCONNECT, and what follows it.
    Disconnect(Vec<u8>),
    /// The end or an error.
    End(io::Result<()>),
}

impl Line {
    fn stream(&mut self) -> io::Result<Pin<&mut BoxedStream>> {
        self.stream.as_mut().map(Pin::new).ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    /// Steps back once, so that the batch under way ends, and then lets go of what is held.
    fn release(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if !std::mem::replace(&mut self.stepped_back, true) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        match self.held.take() {
            None => {}
            Some(Held::End(result)) => return Poll::Ready(result),
            Some(Held::Disconnect(mut bytes)) => {
                let rest = bytes.split_off(bytes.len().min(buf.remaining()));
                buf.put_slice(&bytes);
                self.last_words.lock().unwrap_or_else(PoisonError::into_inner).extend(bytes);
                self.held = (!rest.is_empty()).then_some(Held::Disconnect(rest));
            }
        }
        Poll::Ready(Ok(()))
    }

    fn remember(&mut self, write_error: io::Error) {
        self.write_error = Some(write_error);
        self.unwritable.0.store(true, Ordering::Release);
    }

    fn keep_alive_is_due(&self) -> bool {
        let keep_alive = self.keep_alive_ms.load(Ordering::Relaxed);
        keep_alive > 0 && self.written.elapsed() > Duration::from_millis(keep_alive)
    }
}

impl AsyncRead for Line {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.held.is_some() {
            return self.release(cx, buf);
        }
        if self.pauses < PAUSES && self.keep_alive_is_due() {
            self.pauses += 1;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.pauses = 0;
        let before = buf.filled().len();
        let result = match self.stream()?.poll_read(cx, buf) {
            Poll::Pending if self.write_error.is_some() => Ok(()),
            result => ready!(result),
        };
        let new = &buf.filled()[before..];
        if result.is_err() || new.is_empty() {
            let result = self.write_error.take().map_or(result, Err);
            self.held = Some(Held::End(result));
            return self.release(cx, buf);
        }
        let harmless = self.framing.before_disconnect(new);
        if harmless < new.len() {
            self.held = Some(Held::Disconnect(new[harmless..].to_vec()));
            buf.set_filled(before + harmless);
        }
        if harmless == 0 { self.release(cx, buf) } else { Poll::Ready(Ok(())) }
    }
}

impl AsyncWrite for Line {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.written = Instant::now();
        if self.unwritable.is_set() {
            return Poll::Ready(Ok(buf.len()));
        }
        match ready!(self.stream()?.poll_write(cx, buf)) {
            Ok(written) => Poll::Ready(Ok(written)),
            Err(error) => {
                self.remember(error);
                Poll::Ready(Ok(buf.len()))
            }
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.unwritable.is_set() {
            return Poll::Ready(Ok(()));
        }
        if let Err(error) = ready!(self.stream()?.poll_flush(cx)) {
            self.remember(error);
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream()?.poll_shutdown(cx)
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        if let (Some(stream), Some(give_back)) = (self.stream.take(), self.give_back.take()) {
            let _ = give_back.send(stream);
        }
    }
}

/// Follows packet boundaries (MQTT 5, 2.1.1 and 2.1.4).
#[derive(Default)]
struct Framing {
    /// Bytes left of the packet under way.
    left: usize,
    /// The Remaining Length under way, and where its next seven bits go.
    length: Option<(usize, u32)>,
}

impl Framing {
    /// How many of the next bytes come before a DISCONNECT.
    fn before_disconnect(&mut self, bytes: &[u8]) -> usize {
        let mut at = 0;
        while let Some(&byte) = bytes.get(at) {
            if self.left > 0 {
                let passed = self.left.min(bytes.len() - at);
                self.left -= passed;
                at += passed;
                continue;
            }
            match self.length.take() {
                None if byte == DISCONNECT => return at,
                None => self.length = Some((0, 0)),
                Some((value, shift)) => {
                    let value = value | usize::from(byte & 0x7f) << shift;
                    match byte & 0x80 {
                        0 => self.left = value,
                        // Longer than MQTT allows: the library will say so, and nothing is held from there on.
                        _ if shift == 21 => self.left = usize::MAX,
                        _ => self.length = Some((value, shift + 7)),
                    }
                }
            }
            at += 1;
        }
        at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disconnect_is_found_between_packets_only() {
        // PUBLISH with 0xe0 in its payload, then DISCONNECT.
        let bytes = [0x30, 5, 0, 1, b'a', 0xe0, 0xe0, 0xe0, 2, 0x8e, 0];
        assert_eq!(Framing::default().before_disconnect(&bytes), 7);
        for cut in 0..7 {
            let mut framing = Framing::default();
            assert_eq!(framing.before_disconnect(&bytes[..cut]), cut);
            assert_eq!(framing.before_disconnect(&bytes[cut..]), 7 - cut, "cut at {cut}");
        }
        let mut long = vec![0x30, 0xe0, 0x01];
        long.extend([0xe0; 224]);
        long.push(0xe0);
        assert_eq!(Framing::default().before_disconnect(&long), 227);
        let lying = [0x30, 0xff, 0xff, 0xff, 0xff, 0xe0, 0xe0];
        assert_eq!(Framing::default().before_disconnect(&lying), lying.len());
    }

    #[tokio::test]
    async fn the_end_comes_after_a_pause_and_nothing_is_lost() {
        let (near, mut far) = tokio::io::duplex(64);
        let slot = Slot::default();
        let ends = slot.fill(Box::new(near));
        let mut line = slot.take().expect("filled");
        assert!(slot.take().is_err(), "a stream is taken once");

        far.write_all(&[0xd0, 0, 0xe0, 2, 0x8b, 0]).await.expect("written");
        drop(far);
        let mut bytes = [0; 64];
        assert_eq!(line.read(&mut bytes).await.expect("PINGRESP"), 2);
        assert_eq!(line.read(&mut bytes).await.expect("DISCONNECT"), 4);
        assert_eq!(ends.last_words(), [0xe0, 2, 0x8b, 0]);
        assert_eq!(line.read(&mut bytes).await.expect("the end"), 0);
    }

    #[tokio::test]
    async fn an_error_of_a_write_waits_until_all_is_read() {
        let (near, mut far) = tokio::io::duplex(64);
        let slot = Slot::default();
        let ends = slot.fill(Box::new(near));
        let mut line = slot.take().expect("filled");
        far.write_all(&[0xd0, 0]).await.expect("written");
        drop(far);
        line.write_all(&[0x50, 2, 0, 1]).await.expect("told later");
        line.flush().await.expect("told later");
        assert!(ends.unwritable().is_set());
        let mut bytes = [0; 64];
        assert_eq!(line.read(&mut bytes).await.expect("PINGRESP"), 2);
        let error = line.read(&mut bytes).await.expect_err("the write's");
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    }
}
