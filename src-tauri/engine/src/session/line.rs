//! The dialled stream on its way into the MQTT library, which takes it from a slot that is filled once a
//! dial, so that it can never connect behind us. In: a [`BoxedStream`]. Out: the same bytes, and the stream
//! itself when the library is done with it, so that it can be closed in an orderly way.
//!
//! It keeps the connection alive as well ([`KeepAlive`]): the library's own keep alive is off after CONNACK, since it
//! hears packets only when they are whole. And it steps back from reading before a DISCONNECT, an error or the end: the
//! library throws away what it has read in the batch that ends the connection, so these come in a batch of their
//! own. For that it follows packet boundaries. An error of a write waits for the reads for the same reason: a QoS 2
//! message thrown away would never come again, since the library remembers its packet identifier.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::sync::oneshot;
use tokio::time::{Instant, Sleep};

use super::keep_alive::KeepAlive;
use crate::transport::{BoxedStream, Wire};

/// The first byte of DISCONNECT (MQTT 5, 3.14.1).
const DISCONNECT: u8 = 0xe0;
/// The first byte of PINGRESP (3.13.1).
const PINGRESP: u8 = 0xd0;
/// PINGREQ (3.12).
const PINGREQ: [u8; 2] = [0xc0, 0];
/// How long the peer may take to close its half after our DISCONNECT.
const CLOSING: Duration = Duration::from_secs(1);

/// Where the library finds the stream of the next connection.
#[derive(Clone, Default)]
pub(super) struct Slot(Arc<Mutex<Option<Line>>>);

impl Slot {
    /// Puts a freshly dialled stream in; `wire` tells of packets that have not come whole.
    pub(super) fn fill(&self, stream: BoxedStream, wire: Wire) -> Ends {
        let shared = Arc::new(Told::default());
        let unwritable = Unwritable::default();
        let (give_back, returned) = oneshot::channel();
        let line = Line {
            stream: Some(stream),
            give_back: Some(give_back),
            wire,
            told: shared.clone(),
            ping: &[],
            unflushed: false,
            timer: None,
            framing: Framing::default(),
            held: None,
            stepped_back: false,
            write_error: None,
            unwritable: unwritable.clone(),
        };
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(line);
        Ends { returned, told: shared, unwritable }
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
    told: Arc<Told>,
    unwritable: Unwritable,
}

/// What the line and its [`Ends`] tell each other.
#[derive(Default)]
struct Told {
    keep_alive: Mutex<KeepAlive>,
    last_words: Mutex<Vec<u8>>,
    given_up: AtomicBool,
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
    /// Begins to keep the connection alive, as was agreed on; 0 is off.
    pub(super) fn keep_alive(&self, seconds: u16) {
        *lock(&self.told.keep_alive) = KeepAlive::every(seconds, Instant::now());
    }

    /// How long the PINGREQ took that was answered last; told once.
    pub(super) fn round_trip(&self) -> Option<Duration> {
        lock(&self.told.keep_alive).round_trip()
    }

    /// Whether the stream was ended because nobody answered PINGREQ.
    pub(super) fn given_up(&self) -> bool {
        self.told.given_up.load(Ordering::Acquire)
    }

    /// Whether writing has failed, now and later.
    pub(super) fn unwritable(&self) -> Unwritable {
        self.unwritable.clone()
    }

    /// The server's DISCONNECT, as far as it came.
    pub(super) fn last_words(&self) -> Vec<u8> {
        lock(&self.told.last_words).clone()
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

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A stream that is kept alive and steps back at the right moments.
pub(super) struct Line {
    stream: Option<BoxedStream>,
    give_back: Option<oneshot::Sender<BoxedStream>>,
    wire: Wire,
    told: Arc<Told>,
    /// What is left to write of a PINGREQ, and whether it has to be flushed.
    ping: &'static [u8],
    unflushed: bool,
    timer: Option<Pin<Box<Sleep>>>,
    framing: Framing,
    held: Option<Held>,
    stepped_back: bool,
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
                lock(&self.told.last_words).extend(bytes);
                self.held = (!rest.is_empty()).then_some(Held::Disconnect(rest));
            }
        }
        Poll::Ready(Ok(()))
    }

    fn remember(&mut self, write_error: io::Error) {
        self.write_error = Some(write_error);
        self.unwritable.0.store(true, Ordering::Release);
    }

    /// Begins a PINGREQ when one is due. The library reads only between the packets that it writes, so here it never
    /// stands inside another.
    fn ask(&mut self) {
        if self.ping.is_empty() && lock(&self.told.keep_alive).ask(Instant::now()) {
            self.ping = &PINGREQ;
        }
    }

    /// Writes what is left of a PINGREQ.
    fn poll_ping(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.ping.is_empty() {
            let ping = self.ping;
            let written = ready!(self.stream()?.poll_write(cx, ping))?;
            self.ping = &ping[written.min(ping.len())..];
            self.unflushed = true;
        }
        if self.unflushed {
            ready!(self.stream()?.poll_flush(cx))?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }

    fn keep_asking(&mut self, cx: &mut Context<'_>) {
        self.ask();
        if self.unwritable.is_set() {
            return;
        }
        if let Poll::Ready(Err(error)) = self.poll_ping(cx) {
            self.remember(error);
        }
    }

    /// Nothing is to be read: waits for what the keep alive wants next. Ready when the peer is given up.
    fn poll_patience(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        loop {
            let next = {
                let mut keep_alive = lock(&self.told.keep_alive);
                // A part of a packet that is held back further down is as good a sign of life.
                keep_alive.heard(self.wire.heard().map(Instant::from_std));
                if keep_alive.is_over(Instant::now()) {
                    self.told.given_up.store(true, Ordering::Release);
                    return Poll::Ready(io::ErrorKind::TimedOut.into());
                }
                match keep_alive.next() {
                    None => return Poll::Pending,
                    Some(next) => next,
                }
            };
            // Set once and looked at again when it fires: setting it for each read would cost more.
            let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(next)));
            if timer.deadline() > next {
                timer.as_mut().reset(next);
            }
            ready!(timer.as_mut().poll(cx));
            self.timer = None;
            self.keep_asking(cx);
        }
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
        self.keep_asking(cx);
        let before = buf.filled().len();
        let result = match self.stream()?.poll_read(cx, buf) {
            Poll::Pending if self.write_error.is_some() => Ok(()),
            Poll::Pending => Err(ready!(self.poll_patience(cx))),
            Poll::Ready(result) => result,
        };
        let new = &buf.filled()[before..];
        if result.is_err() || new.is_empty() {
            let result = self.write_error.take().map_or(result, Err);
            self.held = Some(Held::End(result));
            return self.release(cx, buf);
        }
        let passed = self.framing.follow(new);
        {
            let mut keep_alive = lock(&self.told.keep_alive);
            let now = Instant::now();
            keep_alive.heard(Some(now));
            (0..passed.pingresps).for_each(|_| keep_alive.answered(now));
        }
        let harmless = passed.before_disconnect;
        if harmless < new.len() {
            self.held = Some(Held::Disconnect(new[harmless..].to_vec()));
            buf.set_filled(before + harmless);
        }
        if harmless == 0 { self.release(cx, buf) } else { Poll::Ready(Ok(())) }
    }
}

impl AsyncWrite for Line {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if self.unwritable.is_set() {
            return Poll::Ready(Ok(buf.len()));
        }
        let written = match ready!(self.poll_ping(cx)) {
            Ok(()) => ready!(self.stream()?.poll_write(cx, buf)),
            Err(error) => Err(error),
        };
        match written {
            Ok(written) => {
                lock(&self.told.keep_alive).wrote(Instant::now());
                Poll::Ready(Ok(written))
            }
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

/// What the framing saw in some bytes.
#[derive(Debug, PartialEq, Eq)]
struct Passed {
    /// How many of them come before a DISCONNECT.
    before_disconnect: usize,
    /// How many PINGRESP began in those.
    pingresps: usize,
}

impl Framing {
    fn follow(&mut self, bytes: &[u8]) -> Passed {
        let (mut at, mut pingresps) = (0, 0);
        while let Some(&byte) = bytes.get(at) {
            if self.left > 0 {
                let passed = self.left.min(bytes.len() - at);
                self.left -= passed;
                at += passed;
                continue;
            }
            match self.length.take() {
                None if byte == DISCONNECT => break,
                None => {
                    pingresps += usize::from(byte == PINGRESP);
                    self.length = Some((0, 0));
                }
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
        Passed { before_disconnect: at, pingresps }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disconnect_is_found_between_packets_only() {
        // PUBLISH with 0xe0 in its payload, then DISCONNECT.
        let bytes = [0x30, 5, 0, 1, b'a', 0xe0, 0xe0, 0xe0, 2, 0x8e, 0];
        let before_disconnect = |framing: &mut Framing, bytes: &[u8]| framing.follow(bytes).before_disconnect;
        assert_eq!(before_disconnect(&mut Framing::default(), &bytes), 7);
        for cut in 0..7 {
            let mut framing = Framing::default();
            assert_eq!(before_disconnect(&mut framing, &bytes[..cut]), cut);
            assert_eq!(before_disconnect(&mut framing, &bytes[cut..]), 7 - cut, "cut at {cut}");
        }
        let mut long = vec![0x30, 0xe0, 0x01];
        long.extend([0xe0; 224]);
        long.push(0xe0);
        assert_eq!(before_disconnect(&mut Framing::default(), &long), 227);
        let lying = [0x30, 0xff, 0xff, 0xff, 0xff, 0xe0, 0xe0];
        assert_eq!(before_disconnect(&mut Framing::default(), &lying), lying.len());
        // PINGRESP, PUBLISH with a PINGRESP in its payload, PINGRESP.
        let answers = [0xd0, 0, 0x30, 5, 0, 1, b'a', 0xd0, 0, 0xd0, 0];
        assert_eq!(Framing::default().follow(&answers), Passed { before_disconnect: 11, pingresps: 2 });
    }

    #[tokio::test]
    async fn the_end_comes_after_a_pause_and_nothing_is_lost() {
        let (near, mut far) = tokio::io::duplex(64);
        let slot = Slot::default();
        let ends = slot.fill(Box::new(near), Wire::default());
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
        let ends = slot.fill(Box::new(near), Wire::default());
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
