//! What was seen on the wire. In: the bytes that pass. Out: a handle on the evidence that [`crate::diagnosis`]
//! reads: the first bytes of each layer, how the stream ended, what TLS and WebSocket noted. Never keeps more
//! than a fixed number of bytes, and never looks at what they mean.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use rustls::AlertDescription;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

use super::tls::TlsFacts;

/// How many received bytes a tap keeps.
const KEPT: usize = 1024;

/// How long a write may make no progress on the finished stream.
pub(crate) const WRITE_TIMEOUT: Duration = Duration::from_secs(20);

/// How long a peer that turned out to speak another protocol is listened to, to tell which.
pub(crate) const LISTENING: Duration = Duration::from_millis(250);

/// A shorter time without a byte is not remembered.
const SILENCE_MS: u64 = 1_000;

/// What comes in a shorter time than this came at once.
const AT_ONCE: Duration = Duration::from_millis(100);

/// Bytes that come within this time of each other at two layers came together.
const TOGETHER: Duration = Duration::from_millis(10);

/// How many bytes of it are enough.
pub(crate) const LISTENED: usize = 64;

/// Whether what was heard of a peer tells who it is as well as more of it would.
pub(crate) fn tells_enough(heard: &[u8]) -> bool {
    heard.len() >= LISTENED || heard.contains(&b'\n')
}

/// Listens to a peer that speaks another protocol, for a moment and not for much: a greeting may come in pieces.
pub(crate) async fn listen(stream: &mut BoxedStream, heard: &mut Vec<u8>) {
    let listening = async {
        while !tells_enough(heard) && matches!(stream.read_buf(heard).await, Ok(count) if count > 0) {}
    };
    let _ = tokio::time::timeout(LISTENING, listening).await;
}

/// Anything that bytes pass through in both directions.
pub trait ByteStream: AsyncRead + AsyncWrite + Send + Sync + Unpin + 'static {}
impl<S: AsyncRead + AsyncWrite + Send + Sync + Unpin + 'static> ByteStream for S {}

/// A connected stream, whatever lies beneath it.
pub type BoxedStream = Box<dyn ByteStream>;

/// The evidence of one attempt, shared with the stream that it is about.
#[derive(Clone, Default)]
pub struct Wire {
    /// Between TCP (or the proxy's tunnel) and TLS.
    pub(crate) socket: Tap,
    /// Between TLS and WebSocket.
    pub(crate) http: Tap,
    /// What MQTT sees.
    pub(crate) mqtt: Tap,
    pub(crate) tls: Shared<TlsFacts>,
    pub(crate) websocket: Shared<WebsocketFacts>,
    /// The MQTT packet and the WebSocket frame under way.
    pub(crate) packet: Arriving,
    pub(crate) frame: Arriving,
}

impl Wire {
    /// The first bytes received after the last handshake, at most 1 KiB: CONNACK, or what stood in its place.
    pub fn first_bytes(&self) -> Vec<u8> {
        self.mqtt.first_bytes()
    }

    /// How long no byte has passed after the last handshake, in either direction.
    pub(crate) fn idle(&self) -> Duration {
        let state = &self.mqtt.0;
        state.born.elapsed().saturating_sub(Duration::from_millis(state.last_ms.load(Ordering::Relaxed)))
    }

    /// The longest time without a byte that lasts, or has just ended: this side may speak before it hears that
    /// nobody listens any more.
    pub(crate) fn silence(&self) -> Duration {
        const JUST_NOW: Duration = Duration::from_secs(5);
        let (state, idle) = (&self.mqtt.0, self.idle());
        let ended = Duration::from_millis(state.silence_ended_ms.load(Ordering::Relaxed));
        match state.born.elapsed().saturating_sub(ended) < JUST_NOW {
            true => idle.max(Duration::from_millis(state.silence_ms.load(Ordering::Relaxed))),
            false => idle,
        }
    }

    /// When the last byte came of something that is not all there yet: an MQTT packet, a WebSocket frame, a TLS record.
    /// Bytes of whole ones tell of themselves further up, and a WebSocket ping may be from somebody between.
    pub(crate) fn heard(&self) -> Option<Instant> {
        let above = self.http.heard().max(self.mqtt.heard());
        let record = self.socket.heard().filter(|heard| above.is_none_or(|above| *heard > above + TOGETHER));
        self.packet.heard().max(self.frame.heard()).max(record)
    }

    /// What has come of the packet under way, if one is.
    pub(crate) fn part(&self) -> Option<Part> {
        match (self.packet.part(), self.frame.part()) {
            (Some(packet), Some(frame)) => {
                let arrived = (packet.arrived + frame.arrived).min(packet.length);
                Some(Part { arrived, last: packet.last.max(frame.last), ..packet })
            }
            (packet, frame) => packet.or(frame),
        }
    }

    /// Bytes received after the last handshake.
    pub fn bytes_received(&self) -> u64 {
        self.mqtt.0.received.load(Ordering::Relaxed)
    }

    /// Bytes sent after the last handshake.
    pub fn bytes_sent(&self) -> u64 {
        self.mqtt.0.sent.load(Ordering::Relaxed)
    }

    /// Whether the server asked for a client certificate.
    pub fn client_certificate_asked(&self) -> bool {
        self.tls.read().asked
    }

    /// Whether a client certificate was sent.
    pub fn client_certificate_sent(&self) -> bool {
        !self.tls.read().sent.is_empty()
    }
}

/// What the WebSocket layer noted after its handshake.
#[derive(Debug, Clone, Default)]
pub(crate) struct WebsocketFacts {
    /// Status code and reason of the peer's close frame.
    pub(crate) closed: Option<(u16, String)>,
    /// The beginning of a text frame: MQTT is binary (MQTT 5, 6.0).
    pub(crate) text_frame: Option<String>,
    /// Frames broke the rules of RFC 6455.
    pub(crate) broken: bool,
}

/// A value that the stream's side writes and the diagnosis reads.
#[derive(Debug, Default)]
pub(crate) struct Shared<T>(Arc<Mutex<T>>);

impl<T> Clone for Shared<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> Shared<T> {
    pub(crate) fn read(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn edit(&self, change: impl FnOnce(&mut T)) {
        change(&mut self.read());
    }
}

/// How much of a packet or frame has come. One without its whole head has no length yet and is not told.
#[derive(Clone, Default)]
pub(crate) struct Arriving(Arc<ArrivingState>);

struct ArrivingState {
    born: Instant,
    /// Nothing is under way when it is 0.
    length: AtomicU64,
    arrived: AtomicU64,
    /// When its first and its last byte came, in milliseconds after `born`.
    began_ms: AtomicU64,
    last_ms: AtomicU64,
}

impl Default for ArrivingState {
    fn default() -> Self {
        Self {
            born: Instant::now(),
            length: AtomicU64::default(),
            arrived: AtomicU64::default(),
            began_ms: AtomicU64::default(),
            last_ms: AtomicU64::default(),
        }
    }
}

/// A packet of which a part has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Part {
    /// Its length with its head, in bytes.
    pub(crate) length: u64,
    /// How much of that has come.
    pub(crate) arrived: u64,
    pub(crate) began: Instant,
    pub(crate) last: Instant,
}

impl Part {
    /// In bytes a second, from its first byte to its last; what came at once has none.
    pub(crate) fn rate(&self) -> Option<u64> {
        let took = Some(self.last - self.began).filter(|took| *took >= AT_ONCE)?;
        (u128::from(self.arrived) * 1000 / took.as_millis()).try_into().ok()
    }
}

impl Arriving {
    /// So much has come of the unit that begins with the last head.
    pub(crate) fn note(&self, length: u64, arrived: u64) {
        let state = &self.0;
        if arrived >= length {
            return state.length.store(0, Ordering::Relaxed);
        }
        let now = millis(state.born.elapsed());
        let same = state.length.swap(length, Ordering::Relaxed) == length;
        if !same || state.arrived.load(Ordering::Relaxed) > arrived {
            state.began_ms.store(now, Ordering::Relaxed);
        }
        state.arrived.store(arrived, Ordering::Relaxed);
        state.last_ms.store(now, Ordering::Relaxed);
    }

    fn part(&self) -> Option<Part> {
        let state = &self.0;
        let at = |moment: &AtomicU64| state.born + Duration::from_millis(moment.load(Ordering::Relaxed));
        let length = Some(state.length.load(Ordering::Relaxed)).filter(|length| *length > 0)?;
        let arrived = state.arrived.load(Ordering::Relaxed).min(length);
        Some(Part { length, arrived, began: at(&state.began_ms), last: at(&state.last_ms) })
    }

    fn heard(&self) -> Option<Instant> {
        self.part().map(|part| part.last)
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// How a stream ended.
#[derive(Debug, Clone)]
pub(crate) enum Ended {
    /// The peer closed it in order.
    Closed,
    /// An error, by kind and the operating system's number.
    Error { kind: io::ErrorKind, errno: Option<i32>, alert: Option<AlertDescription> },
}

impl Ended {
    pub(crate) fn of(error: &io::Error) -> Self {
        let alert = match tls_error(error) {
            Some(rustls::Error::AlertReceived(alert)) => Some(*alert),
            _ => None,
        };
        Self::Error { kind: error.kind(), errno: error.raw_os_error(), alert }
    }
}

/// The TLS error inside an I/O error, however deep.
pub(crate) fn tls_error(error: &io::Error) -> Option<&rustls::Error> {
    let mut inner: &(dyn std::error::Error + 'static) = error.get_ref()?;
    loop {
        if let Some(found) = inner.downcast_ref::<rustls::Error>() {
            return Some(found);
        }
        inner = match inner.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(deeper) => deeper,
            None => inner.source()?,
        };
    }
}

/// The first received bytes, counters, and the end.
#[derive(Clone, Default)]
pub(crate) struct Tap(Arc<TapState>);

struct TapState {
    born: Instant,
    /// When the last byte passed in either direction, in milliseconds after `born`.
    last_ms: AtomicU64,
    /// How long the last silence of a second or more was, and when it ended, in milliseconds.
    silence_ms: AtomicU64,
    silence_ended_ms: AtomicU64,
    received: AtomicU64,
    /// When the last byte was received, in milliseconds after `born`; 0 is never.
    heard_ms: AtomicU64,
    sent: AtomicU64,
    full: AtomicBool,
    first: Mutex<Vec<u8>>,
    ended: Mutex<Option<Ended>>,
}

impl Default for TapState {
    fn default() -> Self {
        Self {
            born: Instant::now(),
            last_ms: AtomicU64::default(),
            silence_ms: AtomicU64::default(),
            silence_ended_ms: AtomicU64::default(),
            received: AtomicU64::default(),
            heard_ms: AtomicU64::default(),
            sent: AtomicU64::default(),
            full: AtomicBool::default(),
            first: Mutex::default(),
            ended: Mutex::default(),
        }
    }
}

impl TapState {
    /// A byte passes; says when.
    fn passed(&self) -> u64 {
        let now = millis(self.born.elapsed());
        let silence = now.saturating_sub(self.last_ms.load(Ordering::Relaxed));
        self.last_ms.store(now, Ordering::Relaxed);
        if silence >= SILENCE_MS {
            self.silence_ms.store(silence, Ordering::Relaxed);
            self.silence_ended_ms.store(now, Ordering::Relaxed);
        }
        now
    }
}

impl Tap {
    pub(crate) fn first_bytes(&self) -> Vec<u8> {
        self.0.first.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn heard(&self) -> Option<Instant> {
        let heard = Some(self.0.heard_ms.load(Ordering::Relaxed)).filter(|heard| *heard > 0)?;
        Some(self.0.born + Duration::from_millis(heard))
    }

    pub(crate) fn ended(&self) -> Option<Ended> {
        self.0.ended.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn received(&self, bytes: &[u8]) {
        self.0.received.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        let now = self.0.passed();
        self.0.heard_ms.store(now.max(1), Ordering::Relaxed);
        if self.0.full.load(Ordering::Relaxed) {
            return;
        }
        let mut first = self.0.first.lock().unwrap_or_else(PoisonError::into_inner);
        let room = KEPT - first.len();
        first.extend_from_slice(&bytes[..bytes.len().min(room)]);
        self.0.full.store(first.len() == KEPT, Ordering::Relaxed);
    }

    /// Notes the end; an alert is never forgotten for the plain error that follows it.
    pub(crate) fn end(&self, end: Ended) {
        let mut ended = self.0.ended.lock().unwrap_or_else(PoisonError::into_inner);
        let telling = matches!(end, Ended::Error { alert: Some(_), .. });
        if ended.is_none() || telling {
            *ended = Some(end);
        }
    }
}

/// A stream with a tap on it, and on demand a bound on how long a write may stand still.
pub(crate) struct Tapped {
    inner: BoxedStream,
    tap: Tap,
    outermost: Option<Stall>,
}

/// What only the outermost stream does.
struct Stall {
    bound: Duration,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Tapped {
    pub(crate) fn new(inner: BoxedStream, tap: Tap) -> Self {
        Self { inner, tap, outermost: None }
    }

    /// The stream that leaves this module: a write or flush that makes no progress for `bound` fails with
    /// `TimedOut`.
    pub(crate) fn outermost(inner: BoxedStream, tap: Tap, bound: Duration) -> Self {
        Self { inner, tap, outermost: Some(Stall { bound, timer: None }) }
    }

    fn sent(&self, result: &Poll<io::Result<usize>>) {
        if let Poll::Ready(Ok(count)) = result {
            self.tap.0.sent.fetch_add(*count as u64, Ordering::Relaxed);
            self.tap.0.passed();
        }
    }

    fn wrote<T>(&mut self, cx: &mut Context<'_>, result: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        match result {
            Poll::Ready(Ok(value)) => {
                if let Some(stall) = &mut self.outermost {
                    stall.timer = None;
                }
                Poll::Ready(Ok(value))
            }
            Poll::Ready(Err(error)) => {
                self.tap.end(Ended::of(&error));
                if self.outermost.is_some() {
                    self.read_last_words(cx);
                }
                Poll::Ready(Err(error))
            }
            Poll::Pending => {
                let Some(stall) = &mut self.outermost else { return Poll::Pending };
                let timer = stall.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(stall.bound)));
                std::task::ready!(timer.as_mut().poll(cx));
                stall.timer = None;
                let error = io::Error::from(io::ErrorKind::TimedOut);
                self.tap.end(Ended::of(&error));
                Poll::Ready(Err(error))
            }
        }
    }

    /// A peer that refuses us says why and closes; our write may meet the closed end before anybody read the
    /// words. They are evidence.
    fn read_last_words(&mut self, cx: &mut Context<'_>) {
        let mut space = [0; KEPT];
        let mut buf = ReadBuf::new(&mut space);
        let _ = Pin::new(&mut *self).poll_read(cx, &mut buf);
    }
}

impl AsyncRead for Tapped {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let result = std::task::ready!(Pin::new(&mut self.inner).poll_read(cx, buf));
        match &result {
            Ok(()) if buf.filled().len() > before => self.tap.received(&buf.filled()[before..]),
            Ok(()) if buf.remaining() > 0 => self.tap.end(Ended::Closed),
            Ok(()) => {}
            Err(error) => self.tap.end(Ended::of(error)),
        }
        Poll::Ready(result)
    }
}

impl AsyncWrite for Tapped {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.inner).poll_write(cx, bytes);
        self.sent(&result);
        self.wrote(cx, result)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.inner).poll_flush(cx);
        self.wrote(cx, result)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.inner).poll_shutdown(cx);
        self.wrote(cx, result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.inner).poll_write_vectored(cx, slices);
        self.sent(&result);
        self.wrote(cx, result)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncWriteExt;

    #[tokio::test]
    async fn a_write_without_progress_times_out() {
        let (ours, _theirs) = tokio::io::duplex(16);
        let bound = Duration::from_millis(50);
        let mut stream = Tapped::outermost(Box::new(ours), Tap::default(), bound);
        let error = stream.write_all(&[0; 64]).await.expect_err("nobody reads");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn only_the_first_bytes_are_kept() {
        let tap = Tap::default();
        let (ours, mut theirs) = tokio::io::duplex(64 * 1024);
        let mut stream = Tapped::new(Box::new(ours), tap.clone());
        theirs.write_all(&[7; 5000]).await.expect("write");
        drop(theirs);
        let mut all = Vec::new();
        tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut all).await.expect("read");
        assert_eq!((all.len(), tap.first_bytes().len()), (5000, KEPT));
        assert!(matches!(tap.ended(), Some(Ended::Closed)));
    }
}
