//! The dialled stream on its way into the MQTT library, which takes it from a slot that is filled once a
//! dial, so that it can never connect behind us. In: a [`BoxedStream`]. Out: the same bytes. It makes room
//! for the library's keep alive while data pours in, and comes back when the library is done with it, so that
//! it can be closed in an orderly way. Never looks at the bytes.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::sync::oneshot;

use crate::transport::BoxedStream;

/// How often a read steps back in a row for a keep alive that is due. The library's timer has fired by then.
const PAUSES: u8 = 32;
/// How long the peer may take to close its half after our DISCONNECT.
const CLOSING: Duration = Duration::from_secs(1);

/// Where the library finds the stream of the next connection.
#[derive(Clone, Default)]
pub(super) struct Slot(Arc<Mutex<Option<Line>>>);

impl Slot {
    /// Puts a freshly dialled stream in.
    pub(super) fn fill(&self, stream: BoxedStream) -> Ends {
        let keep_alive_ms = Arc::new(AtomicU64::new(0));
        let (give_back, returned) = oneshot::channel();
        let line = Line {
            stream: Some(stream),
            give_back: Some(give_back),
            keep_alive_ms: keep_alive_ms.clone(),
            written: Instant::now(),
            pauses: 0,
        };
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(line);
        Ends { returned, keep_alive_ms }
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
}

impl Ends {
    /// Tells the keep alive that was agreed on; 0 is off.
    pub(super) fn keep_alive(&self, seconds: u16) {
        self.keep_alive_ms.store(u64::from(seconds) * 1000, Ordering::Relaxed);
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

/// A stream that lets the library's keep alive through.
pub(super) struct Line {
    stream: Option<BoxedStream>,
    give_back: Option<oneshot::Sender<BoxedStream>>,
    keep_alive_ms: Arc<AtomicU64>,
    written: Instant,
    pauses: u8,
}

impl Line {
    fn stream(&mut self) -> io::Result<Pin<&mut BoxedStream>> {
        self.stream.as_mut().map(Pin::new).ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    /// The library looks at its keep-alive timer only when no data is there to be read.
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
        if self.pauses < PAUSES && self.keep_alive_is_due() {
            self.pauses += 1;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.pauses = 0;
        self.stream()?.poll_read(cx, buf)
    }
}

impl AsyncWrite for Line {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.written = Instant::now();
        self.stream()?.poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream()?.poll_flush(cx)
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
