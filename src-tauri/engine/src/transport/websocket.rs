//! WebSocket (RFC 6455). In: a connected stream and what to ask for. Out: a byte stream over binary frames,
//! or the HTTP answer that stood in its place, whole. Large writes go out as several messages; fragmented
//! frames come in as one run of bytes, since MQTT does not care where a frame ends (MQTT 5, 6.0).

use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use futures_util::{Sink, Stream};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::time::Instant;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error as WsError, Message, error::ProtocolError};

use super::frames::Frames;
use super::plan::WebsocketPlan;
use super::reading::Reading;
use super::whole::Whole;
use super::wire::{BoxedStream, Shared, WebsocketFacts, Wire, listen};
use crate::endpoint::{Endpoint, Host};
use crate::trace::{HttpHeader, WebsocketDetail};

/// The largest MQTT packet is 256 MiB (MQTT 5, 2.1.4) and may come in one message, with others beside it.
const LARGEST_MESSAGE: usize = 288 << 20;

/// Bytes of a write that go into one message.
const LARGEST_WRITE: usize = 64 << 10;

/// Longest answer head, in bytes.
const LARGEST_HEAD: usize = 64 << 10;

/// How much of an unexpected body is kept.
const BODY_KEPT: usize = 512;

/// How long we wait for the rest of an unexpected body.
const BODY_WAIT: Duration = Duration::from_secs(1);

/// How long before the end of the attempt we stop waiting for it.
const BODY_MARGIN: Duration = Duration::from_millis(100);

/// Why there is no WebSocket.
#[derive(Debug)]
pub(crate) enum WebsocketProblem {
    /// The stream failed.
    Io(io::Error),
    /// The peer closed it without an answer.
    Closed,
    /// The answer does not begin like HTTP.
    NotHttp(Vec<u8>),
    /// An HTTP answer, but not `101 Switching Protocols`.
    Answer(HttpAnswer),
    /// `101`, but the handshake that follows from it is wrong; what, in words.
    Invalid(&'static str, HttpAnswer),
    /// Another subprotocol than one that we offered.
    Subprotocol { offered: String, chosen: String },
    /// No answer in time.
    Timeout,
}

impl From<io::Error> for WebsocketProblem {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Self::Closed,
            _ => Self::Io(error),
        }
    }
}

/// An HTTP answer.
#[derive(Debug, Clone, Default)]
pub(crate) struct HttpAnswer {
    pub(crate) status: u16,
    pub(crate) reason: String,
    pub(crate) headers: Vec<HttpHeader>,
    /// The first bytes of its body.
    pub(crate) body: Vec<u8>,
}

impl HttpAnswer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|h| h.name.eq_ignore_ascii_case(name)).map(|h| h.value.as_str())
    }
}

/// The request as it goes out, and as it may be shown.
pub(crate) struct Request {
    bytes: zeroize::Zeroizing<Vec<u8>>,
    key: String,
    /// What the WebSocket stage begins with.
    pub(crate) detail: WebsocketDetail,
}

/// The Host header: without the usual port (RFC 9110, 7.2), and without a zone, which means nothing to anybody
/// but this computer (RFC 6874, 4).
fn host(endpoint: &Endpoint) -> String {
    let name = match endpoint.host() {
        Host::Address(IpAddr::V6(address)) => format!("[{address}]"),
        host => host.to_string(),
    };
    match (endpoint.tls(), endpoint.port()) {
        (false, 80) | (true, 443) => name,
        (_, port) => format!("{name}:{port}"),
    }
}

/// Writes the request.
pub(crate) fn request(endpoint: &Endpoint, plan: &WebsocketPlan) -> Request {
    let key = generate_key();
    let host = host(endpoint);
    let mut bytes = zeroize::Zeroizing::new(Vec::new());
    let mut shown = Vec::new();
    let line = format!("GET {} HTTP/1.1", endpoint.path());
    bytes.extend_from_slice(line.as_bytes());
    bytes.extend_from_slice(b"\r\n");
    let mut put = |name: &str, value: &[u8], masked: bool| {
        bytes.extend_from_slice(name.as_bytes());
        bytes.extend_from_slice(b": ");
        bytes.extend_from_slice(value);
        bytes.extend_from_slice(b"\r\n");
        let value = if masked { "(hidden)".into() } else { String::from_utf8_lossy(value).into_owned() };
        shown.push(HttpHeader { name: name.to_owned(), value });
    };
    if !plan.headers.iter().any(|header| header.name.eq_ignore_ascii_case("host")) {
        put("Host", host.as_bytes(), false);
    }
    put("Connection", b"Upgrade", false);
    put("Upgrade", b"websocket", false);
    put("Sec-WebSocket-Version", b"13", false);
    put("Sec-WebSocket-Key", key.as_bytes(), false);
    if !plan.subprotocol.is_empty() {
        put("Sec-WebSocket-Protocol", plan.subprotocol.as_bytes(), false);
    }
    for header in &plan.headers {
        put(&header.name, header.value.expose(), header.masked);
    }
    bytes.extend_from_slice(b"\r\n");
    let detail = WebsocketDetail { request: line, request_headers: shown, ..WebsocketDetail::default() };
    Request { bytes, key, detail }
}

/// Asks for the upgrade. Fills `detail` with the answer, also when it is not the one hoped for.
pub(crate) async fn connect(
    mut stream: BoxedStream,
    request: &Request,
    plan: &WebsocketPlan,
    wire: &Wire,
    detail: &mut WebsocketDetail,
    deadline: Instant,
) -> Result<BoxedStream, WebsocketProblem> {
    let sent = async {
        stream.write_all(&request.bytes).await?;
        stream.flush().await
    };
    // A peer that has refused us already may have closed its side: what it said is still there to be read.
    let sent = sent.await;
    let (mut answer, rest) = match (read_head(&mut stream).await, sent) {
        (Err(WebsocketProblem::Closed), Err(error)) => return Err(error.into()),
        (read, _) => read?,
    };
    detail.status = Some(answer.status);
    detail.reason = Some(answer.reason.clone());
    detail.response_headers = answer.headers.clone();
    if answer.status != 101 {
        // The bound of the attempt must not swallow an answer whose body is slow.
        let until = deadline.checked_sub(BODY_MARGIN).unwrap_or(deadline).min(Instant::now() + BODY_WAIT);
        answer.body = read_body(&mut stream, rest, &answer, until).await;
        detail.body = Some(answer.body.escape_ascii().to_string());
        return Err(WebsocketProblem::Answer(answer));
    }
    let lists = |name: &str, item: &str| {
        answer.header(name).is_some_and(|value| value.split(',').any(|v| v.trim().eq_ignore_ascii_case(item)))
    };
    let wrong = if !lists("upgrade", "websocket") {
        Some("`Upgrade: websocket` is missing")
    } else if !lists("connection", "upgrade") {
        Some("`Connection: Upgrade` is missing")
    } else if answer.header("sec-websocket-accept") != Some(&derive_accept_key(request.key.as_bytes())) {
        Some("`Sec-WebSocket-Accept` does not answer our key")
    } else if answer.header("sec-websocket-extensions").is_some_and(|value| !value.is_empty()) {
        Some("it uses an extension that we did not offer")
    } else {
        None
    };
    if let Some(wrong) = wrong {
        return Err(WebsocketProblem::Invalid(wrong, answer));
    }
    if let Some(chosen) = answer.header("sec-websocket-protocol") {
        detail.subprotocol = Some(chosen.to_owned());
        if !plan.subprotocol.split(',').any(|offered| offered.trim() == chosen) {
            let chosen = chosen.to_owned();
            return Err(WebsocketProblem::Subprotocol { offered: plan.subprotocol.clone(), chosen });
        }
    }
    let config = WebSocketConfig::default()
        .max_message_size(Some(LARGEST_MESSAGE))
        .max_frame_size(Some(LARGEST_MESSAGE));
    let whole = Whole::new(Frames::default(), LARGEST_MESSAGE as u64, wire.frame.clone());
    let Ok(whole) = whole.after(&rest) else {
        let wrong = "what follows is no frame that a server may send";
        return Err(WebsocketProblem::Invalid(wrong, answer));
    };
    let stream: BoxedStream = Box::new(Reading::new(stream, whole));
    let inner = WebSocketStream::from_partially_read(stream, rest, Role::Client, Some(config)).await;
    Ok(Box::new(BinaryFrames {
        inner,
        received: Bytes::new(),
        ended: false,
        closing: false,
        facts: wire.websocket.clone(),
    }))
}

/// Reads up to the end of the head; what was read beyond it is handed back.
async fn read_head(stream: &mut BoxedStream) -> Result<(HttpAnswer, Vec<u8>), WebsocketProblem> {
    let mut read = Vec::with_capacity(1024);
    loop {
        let count = stream.read_buf(&mut read).await?;
        let begins_like_http = b"HTTP/1.".iter().zip(&read).all(|(wanted, seen)| wanted == seen);
        if !begins_like_http {
            listen(stream, &mut read).await;
            return Err(WebsocketProblem::NotHttp(read));
        }
        if count == 0 {
            return Err(WebsocketProblem::Closed);
        }
        let mut headers = [httparse::EMPTY_HEADER; 128];
        let mut head = httparse::Response::new(&mut headers);
        match head.parse(&read) {
            Ok(httparse::Status::Complete(length)) => {
                let answer = HttpAnswer {
                    status: head.code.unwrap_or_default(),
                    reason: head.reason.unwrap_or_default().to_owned(),
                    headers: head
                        .headers
                        .iter()
                        .map(|h| HttpHeader {
                            name: h.name.to_owned(),
                            value: String::from_utf8_lossy(h.value).trim().to_owned(),
                        })
                        .collect(),
                    body: Vec::new(),
                };
                let rest = read.split_off(length);
                return Ok((answer, rest));
            }
            Ok(httparse::Status::Partial) if read.len() < LARGEST_HEAD => {}
            _ => return Err(WebsocketProblem::NotHttp(read)),
        }
    }
}

async fn read_body(
    stream: &mut BoxedStream,
    mut body: Vec<u8>,
    answer: &HttpAnswer,
    until: Instant,
) -> Vec<u8> {
    let length = answer.header("content-length").and_then(|text| text.parse().ok()).unwrap_or(BODY_KEPT);
    let wanted = length.min(BODY_KEPT);
    let rest = async {
        while body.len() < wanted {
            if !matches!(stream.read_buf(&mut body).await, Ok(count) if count > 0) {
                break;
            }
        }
    };
    // What has come by then is kept; the status line has said the most already.
    let _ = tokio::time::timeout_at(until, rest).await;
    body.truncate(BODY_KEPT);
    body
}

/// Bytes over binary messages.
struct BinaryFrames {
    inner: WebSocketStream<BoxedStream>,
    received: Bytes,
    ended: bool,
    closing: bool,
    facts: Shared<WebsocketFacts>,
}

impl AsyncRead for BinaryFrames {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            if !self.received.is_empty() {
                let count = self.received.len().min(buf.remaining());
                buf.put_slice(&self.received[..count]);
                self.received.advance(count);
                if self.received.is_empty() {
                    // An empty view of a large message would keep all of it.
                    self.received = Bytes::new();
                }
                return Poll::Ready(Ok(()));
            }
            if self.ended {
                return Poll::Ready(Ok(()));
            }
            match ready!(Pin::new(&mut self.inner).poll_next(cx)) {
                Some(Ok(Message::Binary(bytes))) => self.received = bytes,
                Some(Ok(Message::Text(text))) => {
                    let shown = text.chars().take(256).collect();
                    return Poll::Ready(Err(self.text_frame(shown)));
                }
                Some(Ok(Message::Close(frame))) => {
                    let told = frame.map_or((1005, String::new()), |f| (f.code.into(), f.reason.to_string()));
                    self.facts.edit(|f| f.closed = Some(told));
                    self.ended = true;
                    // Our half of the closing handshake; the peer may be gone, and then nobody misses it.
                    let _ = Pin::new(&mut self.inner).poll_flush(cx);
                }
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
                Some(Err(WsError::Protocol(ProtocolError::ResetWithoutClosingHandshake))) | None => {
                    self.ended = true;
                }
                Some(Err(WsError::Utf8(_))) => {
                    return Poll::Ready(Err(self.text_frame("(not UTF-8)".to_owned())));
                }
                Some(Err(error)) => {
                    let error = io_error(error);
                    if error.kind() == io::ErrorKind::InvalidData {
                        self.ended = true;
                        self.facts.edit(|f| f.broken = true);
                    }
                    return Poll::Ready(Err(error));
                }
            }
        }
    }
}

impl BinaryFrames {
    fn text_frame(&mut self, shown: String) -> io::Error {
        self.ended = true;
        self.facts.edit(|f| f.text_frame = Some(shown));
        io::Error::new(io::ErrorKind::InvalidData, "a WebSocket text frame, where MQTT is binary")
    }
}

impl AsyncWrite for BinaryFrames {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if bytes.is_empty() {
            return Poll::Ready(Ok(0));
        }
        ready!(Pin::new(&mut self.inner).poll_ready(cx)).map_err(io_error)?;
        let count = bytes.len().min(LARGEST_WRITE);
        let message = Message::Binary(Bytes::copy_from_slice(&bytes[..count]));
        Pin::new(&mut self.inner).start_send(message).map_err(io_error)?;
        Poll::Ready(Ok(count))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx).map_err(io_error)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.closing {
            ready!(Pin::new(&mut self.inner).poll_close(cx)).map_err(io_error)?;
            self.closing = true;
        }
        Pin::new(self.inner.get_mut()).poll_shutdown(cx)
    }
}

fn io_error(error: WsError) -> io::Error {
    match error {
        WsError::Io(error) => error,
        WsError::ConnectionClosed
        | WsError::AlreadyClosed
        | WsError::Protocol(ProtocolError::SendAfterClosing) => io::ErrorKind::BrokenPipe.into(),
        other => io::Error::new(io::ErrorKind::InvalidData, other),
    }
}
