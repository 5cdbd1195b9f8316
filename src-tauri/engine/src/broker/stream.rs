//! What stands between a client's socket and the broker library: MQTT packets as a plain byte stream. In: a
//! TCP, TLS or WebSocket connection. Out: a stream the library reads and writes. Takes away the user
//! properties that the library adds to each PUBLISH (MQTT 5, 3.3.2.3.7: the server forwards them unaltered)
//! and what 3.1.1 does not know; gives the library a stand-in for client identifiers that it would refuse.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use futures_util::{SinkExt, StreamExt};
use sha2::{Digest, Sha256};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_util::io::{CopyToBytes, SinkWriter, StreamReader};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// How much of a large packet is taken at a time; also the largest WebSocket frame that is sent.
const CHUNK: usize = 64 * 1024;

/// The longest identifier, and room for properties.
const LONGEST_CONNECT_HEAD: usize = 256 * 1024;

/// Marks what the library adds.
const ADDED_PROPERTIES: [&[u8]; 2] = [b"x-mqtt-client-id", b"x-mqtt-sender"];

/// A client's connection, as the broker library sees it.
pub(super) struct ClientStream<S> {
    inner: S,
    incoming: Incoming,
    outgoing: Outgoing,
    pending: BytesMut,
    /// Ends a connection that the broker's stop finds before its CONNACK; the library ends the others.
    stopping: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl<S> ClientStream<S> {
    pub(super) fn new(inner: S, stopping: CancellationToken) -> Self {
        Self {
            inner,
            incoming: Incoming::Connect(BytesMut::new()),
            outgoing: Outgoing::default(),
            pending: BytesMut::new(),
            stopping: Box::pin(stopping.cancelled_owned()),
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Send + Sync + Unpin> mqtt5::broker::transport::WebSocketTransport
    for ClientStream<S>
{
    fn peer_addr(&self) -> mqtt5::Result<std::net::SocketAddr> {
        Err(mqtt5::MqttError::InvalidState("known to the listener".into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for ClientStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.outgoing.version == Version::Unknown && self.stopping.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Ok(()));
        }
        let this = &mut *self;
        loop {
            match &mut this.incoming {
                Incoming::Passing => return Pin::new(&mut this.inner).poll_read(cx, buf),
                Incoming::Waiting(bytes) => {
                    let count = bytes.len().min(buf.remaining());
                    buf.put_slice(&bytes.split_to(count));
                    if bytes.is_empty() {
                        this.incoming = Incoming::Passing;
                    }
                    return Poll::Ready(Ok(()));
                }
                Incoming::Connect(bytes) => {
                    let mut chunk = [0; 2048];
                    let mut read = ReadBuf::new(&mut chunk);
                    ready!(Pin::new(&mut this.inner).poll_read(cx, &mut read))?;
                    bytes.extend_from_slice(read.filled());
                    let ended = read.filled().is_empty() || bytes.len() > LONGEST_CONNECT_HEAD;
                    if with_accepted_id(bytes) || ended {
                        this.incoming = Incoming::Waiting(bytes.split());
                    }
                }
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> ClientStream<S> {
    fn poll_pending(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.pending.is_empty() {
            let written = ready!(Pin::new(&mut self.inner).poll_write(cx, &self.pending))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.pending.advance(written);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for ClientStream<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        ready!(this.poll_pending(cx))?;
        let taken = &buf[..buf.len().min(CHUNK)];
        this.outgoing.push(taken, &mut this.pending);
        if let Poll::Ready(Err(error)) = this.poll_pending(cx) {
            return Poll::Ready(Err(error));
        }
        Poll::Ready(Ok(taken.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_pending(cx))?;
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_pending(cx))?;
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

/// The bytes inside the binary frames of a WebSocket (MQTT 5, 6.0).
pub(super) fn binary_frames<S>(
    socket: WebSocketStream<S>,
) -> impl AsyncRead + AsyncWrite + Send + Sync + Unpin + 'static
where
    S: AsyncRead + AsyncWrite + Send + Sync + Unpin + 'static,
{
    let (sink, stream) = socket.split();
    let incoming = stream.filter_map(|frame| {
        std::future::ready(match frame {
            Ok(Message::Binary(bytes)) => Some(Ok(bytes)),
            Ok(Message::Text(_)) => Some(Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "MQTT packets are sent in binary frames, not in text frames",
            ))),
            Ok(_) => None,
            Err(error) => Some(Err(io::Error::other(error))),
        })
    });
    let outgoing = sink
        .sink_map_err(io::Error::other)
        .with(|bytes: Bytes| std::future::ready(Ok::<_, io::Error>(Message::Binary(bytes))));
    tokio::io::join(StreamReader::new(incoming), SinkWriter::new(CopyToBytes::new(outgoing)))
}

/// What comes from a client.
enum Incoming {
    /// The beginning of its CONNECT, up to the client identifier.
    Connect(BytesMut),
    /// Bytes to be read before those on the wire.
    Waiting(BytesMut),
    /// Everything as it comes.
    Passing,
}

/// The library keeps to identifiers that could be file names; MQTT knows no such limit (MQTT 5, 3.1.3.1), so it
/// gets a digest instead of the others. Nobody sees that: no packet tells a client its own identifier.
///
/// Returns whether `bytes` was judged; `false` while more is needed.
fn with_accepted_id(bytes: &mut BytesMut) -> bool {
    let Some(found) = connect_client_id(bytes) else { return false };
    let Some(id) = found else { return true };
    let Ok(text) = std::str::from_utf8(&bytes[id.text.clone()]) else { return true };
    if mqtt5::is_path_safe_client_id(text) && !text.starts_with("cert:") {
        return true;
    }
    let stand_in = format!("id-{}", hex::encode(Sha256::digest(text)));
    let remaining = id.remaining - id.text.len() + stand_in.len();
    let mut replaced = BytesMut::with_capacity(bytes.len() + stand_in.len());
    replaced.put_u8(bytes[0]);
    put_variable_byte_integer(remaining, &mut replaced);
    replaced.extend_from_slice(&bytes[id.body..id.text.start - 2]);
    replaced.put_u16(stand_in.len() as u16);
    replaced.extend_from_slice(stand_in.as_bytes());
    replaced.extend_from_slice(&bytes[id.text.end..]);
    *bytes = replaced;
    true
}

/// Where the client identifier of a CONNECT stands.
struct ClientId {
    remaining: usize,
    body: usize,
    text: std::ops::Range<usize>,
}

/// `None` while more is needed; `Some(None)` when this is no CONNECT that could be understood.
fn connect_client_id(bytes: &[u8]) -> Option<Option<ClientId>> {
    if *bytes.first()? != 0x10 {
        return Some(None);
    }
    let mut at = 1;
    let remaining = variable_byte_integer(bytes, &mut at)?;
    let body = at;
    let header = bytes.get(body..body + 10)?;
    if !header.starts_with(b"\0\x04MQTT") {
        return Some(None);
    }
    at += 10;
    if header[6] == 5 {
        let length = variable_byte_integer(bytes, &mut at)?;
        at += length;
    }
    let length = u16::from_be_bytes([*bytes.get(at)?, *bytes.get(at + 1)?]);
    let text = at + 2..at + 2 + usize::from(length);
    bytes.get(text.clone())?;
    Some((text.end <= body + remaining).then_some(ClientId { remaining, body, text }))
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Version {
    /// Nothing was sent yet.
    #[default]
    Unknown,
    V311,
    V5,
}

/// Follows the packets to a client and takes out what does not belong there.
#[derive(Default)]
struct Outgoing {
    version: Version,
    /// The beginning of a packet that is not whole enough to be judged.
    head: BytesMut,
    /// How much of the present packet is passed on as it is.
    rest: usize,
}

/// The beginning of a packet, judged.
struct Head {
    /// Bytes of input it stands for.
    length: usize,
    /// What is sent instead; `None` leaves it as it is.
    replacement: Option<BytesMut>,
    /// Bytes of the packet that follow.
    rest: usize,
}

impl Outgoing {
    fn push(&mut self, input: &[u8], out: &mut BytesMut) {
        if self.head.is_empty() {
            self.pass(input, out);
        } else {
            self.head.extend_from_slice(input);
            let joined = self.head.split();
            self.pass(&joined, out);
        }
    }

    fn pass(&mut self, mut input: &[u8], out: &mut BytesMut) {
        while !input.is_empty() {
            if self.rest > 0 {
                let count = self.rest.min(input.len());
                out.extend_from_slice(&input[..count]);
                self.rest -= count;
                input.advance(count);
            } else if let Some(head) = self.judge(input) {
                match &head.replacement {
                    Some(replacement) => out.extend_from_slice(replacement),
                    None => out.extend_from_slice(&input[..head.length]),
                }
                self.rest = head.rest;
                input.advance(head.length);
            } else {
                self.head.extend_from_slice(input);
                return;
            }
        }
    }

    /// `None` while more is needed.
    fn judge(&mut self, input: &[u8]) -> Option<Head> {
        let (kind, mut at) = (*input.first()?, 1);
        let remaining = variable_byte_integer(input, &mut at)?;
        let as_is = Head { length: at, replacement: None, rest: remaining };
        match kind >> 4 {
            // CONNACK has properties in MQTT 5 only: two bytes are flags and code.
            2 if self.version == Version::Unknown => {
                self.version = if remaining > 2 { Version::V5 } else { Version::V311 };
                Some(as_is)
            }
            // The library tells a client that was taken over; 3.1.1 knows no DISCONNECT from a server.
            14 if self.version == Version::V311 => {
                input.get(at..at + remaining)?;
                Some(Head { length: at + remaining, replacement: Some(BytesMut::new()), rest: 0 })
            }
            3 if self.version == Version::V5 => {
                let body = at;
                at += 2 + usize::from(u16::from_be_bytes([*input.get(at)?, *input.get(at + 1)?]));
                at += if kind & 0b110 == 0 { 0 } else { 2 };
                let before_properties = at;
                let length = variable_byte_integer(input, &mut at)?;
                let properties = input.get(at..at + length)?;
                let Some(kept) = without_added(properties) else { return Some(as_is) };
                let rest = remaining.checked_sub(at + length - body)?;

                let variable = &input[body..before_properties];
                let mut replacement = BytesMut::with_capacity(at + length);
                let mut kept_length = BytesMut::with_capacity(4);
                put_variable_byte_integer(kept.len(), &mut kept_length);
                replacement.put_u8(kind);
                put_variable_byte_integer(
                    variable.len() + kept_length.len() + kept.len() + rest,
                    &mut replacement,
                );
                replacement.extend_from_slice(variable);
                replacement.extend_from_slice(&kept_length);
                replacement.extend_from_slice(&kept);
                Some(Head { length: at + length, replacement: Some(replacement), rest })
            }
            _ => Some(as_is),
        }
    }
}

/// The properties of a PUBLISH without the added ones; `None` when nothing is to be taken away.
fn without_added(properties: &[u8]) -> Option<Vec<u8>> {
    let mut kept = Vec::with_capacity(properties.len());
    let mut at = 0;
    while at < properties.len() {
        let start = at;
        let id = properties[at];
        at += 1;
        let skip_text = |at: &mut usize| -> Option<(usize, usize)> {
            let length = u16::from_be_bytes([*properties.get(*at)?, *properties.get(*at + 1)?]);
            let begins = *at + 2;
            *at = begins + usize::from(length);
            Some((begins, *at))
        };
        let mut added = false;
        match id {
            0x01 => at += 1,
            0x23 => at += 2,
            0x02 => at += 4,
            0x0B => {
                variable_byte_integer(properties, &mut at)?;
            }
            0x03 | 0x08 | 0x09 => {
                skip_text(&mut at)?;
            }
            0x26 => {
                let (begins, ends) = skip_text(&mut at)?;
                added = ADDED_PROPERTIES.contains(&properties.get(begins..ends)?);
                skip_text(&mut at)?;
            }
            _ => return None,
        }
        let property = properties.get(start..at)?;
        if !added {
            kept.extend_from_slice(property);
        }
    }
    (kept.len() < properties.len()).then_some(kept)
}

/// MQTT 5, 1.5.5. `None` while more is needed.
fn variable_byte_integer(bytes: &[u8], at: &mut usize) -> Option<usize> {
    let mut value = 0;
    for shift in [0, 7, 14, 21] {
        let byte = *bytes.get(*at)?;
        *at += 1;
        value |= usize::from(byte & 0x7F) << shift;
        if byte & 0x80 == 0 {
            break;
        }
    }
    Some(value)
}

#[allow(clippy::cast_possible_truncation, reason = "masked")]
fn put_variable_byte_integer(mut value: usize, out: &mut BytesMut) {
    loop {
        let byte = (value & 0x7F) as u8;
        value >>= 7;
        out.put_u8(if value == 0 { byte } else { byte | 0x80 });
        if value == 0 {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONNACK_5: &[u8] = &[0x20, 3, 0, 0, 0];
    const CONNACK_311: &[u8] = &[0x20, 2, 0, 0];

    fn text(value: &[u8]) -> Vec<u8> {
        let mut bytes = u16::try_from(value.len()).expect("short").to_be_bytes().to_vec();
        bytes.extend_from_slice(value);
        bytes
    }

    fn user_property(name: &[u8], value: &[u8]) -> Vec<u8> {
        [vec![0x26], text(name), text(value)].concat()
    }

    fn publish(qos: u8, properties: &[u8], payload: &[u8]) -> Vec<u8> {
        let mut body = text("plant/line-3/温度".as_bytes());
        if qos > 0 {
            body.extend_from_slice(&[0, 7]);
        }
        let mut length = BytesMut::new();
        put_variable_byte_integer(properties.len(), &mut length);
        body.extend_from_slice(&length);
        body.extend_from_slice(properties);
        body.extend_from_slice(payload);
        let mut packet = BytesMut::from(&[0x30 | (qos << 1)][..]);
        put_variable_byte_integer(body.len(), &mut packet);
        packet.extend_from_slice(&body);
        packet.to_vec()
    }

    fn sent(chunks: impl IntoIterator<Item = Vec<u8>>) -> Vec<u8> {
        let (mut outgoing, mut out) = (Outgoing::default(), BytesMut::new());
        for chunk in chunks {
            outgoing.push(&chunk, &mut out);
        }
        out.to_vec()
    }

    #[test]
    fn added_properties_are_taken_away_and_others_stay_wherever_the_bytes_are_cut() {
        let own = [
            vec![0x01, 1],
            vec![0x02, 0, 0, 0, 9],
            [vec![0x03], text(b"application/json")].concat(),
            user_property(b"unit", "°C".as_bytes()),
            vec![0x0B, 0x80, 0x01],
        ]
        .concat();
        let with_added = [
            own.clone(),
            user_property(b"x-mqtt-client-id", &[b'c'; 60]),
            user_property(b"x-mqtt-sender", b"me"),
        ]
        .concat();
        let payload = vec![0x30; 300];
        let input = [
            CONNACK_5.to_vec(),
            publish(1, &with_added, &payload),
            vec![0xD0, 0],
            publish(0, &with_added, b""),
            publish(2, &own, &payload),
        ]
        .concat();
        let expected = [
            CONNACK_5.to_vec(),
            publish(1, &own, &payload),
            vec![0xD0, 0],
            publish(0, &own, b""),
            publish(2, &own, &payload),
        ]
        .concat();
        for size in [1, 2, 3, 7, 50, 129, input.len()] {
            assert_eq!(sent(input.chunks(size).map(<[u8]>::to_vec)), expected, "cut at {size}");
        }
    }

    fn connect(version: u8, properties: &[u8], id: &str) -> Vec<u8> {
        let mut body = [&b"\0\x04MQTT"[..], &[version, 0xC2, 0, 60]].concat();
        if version == 5 {
            body.push(u8::try_from(properties.len()).expect("short"));
            body.extend_from_slice(properties);
        }
        body.extend([text(id.as_bytes()), text(b"user"), text(b"password")].concat());
        let mut packet = BytesMut::from(&[0x10][..]);
        put_variable_byte_integer(body.len(), &mut packet);
        [&packet[..], &body].concat()
    }

    #[tokio::test]
    async fn unusual_client_ids_get_a_stand_in_wherever_the_bytes_are_cut() {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let long = "x".repeat(200);
        for (id, replaced) in
            [("press-07", false), ("", false), ("plant/press-07", true), (&long, true), ("cert:a", true)]
        {
            let stand_in = format!("id-{}", hex::encode(Sha256::digest(id)));
            for version in [4, 5] {
                let properties = [0x11, 0, 0, 0, 60];
                let expected = connect(version, &properties, if replaced { &stand_in } else { id });
                for size in [1, 5, 1000] {
                    let (mut client, server) = tokio::io::duplex(size);
                    let mut stream = ClientStream::new(server, CancellationToken::new());
                    let sent = [connect(version, &properties, id), vec![0xC0, 0]].concat();
                    let sending = tokio::spawn(async move { client.write_all(&sent).await });
                    let mut got = Vec::new();
                    stream.read_to_end(&mut got).await.expect("read");
                    sending.await.expect("its task").expect("sent");
                    assert_eq!(got, [expected.clone(), vec![0xC0, 0]].concat(), "{id}, {size} at a time");
                }
            }
        }
    }

    #[tokio::test]
    async fn what_is_no_connect_passes_untouched() {
        use tokio::io::AsyncReadExt;
        for bytes in
            [&b"GET / HTTP/1.1\r\n\r\n"[..], b"\x10\x0a\0\x06MQIsdp\x03\x02", b"\x10\x7f\0\x04MQTT", b""]
        {
            let mut stream =
                ClientStream::new(std::io::Cursor::new(bytes.to_vec()), CancellationToken::new());
            let mut got = Vec::new();
            stream.read_to_end(&mut got).await.expect("read");
            assert_eq!(got, bytes);
        }
    }

    #[test]
    fn mqtt_3_1_1_passes_untouched() {
        let looks_like_properties = user_property(b"x-mqtt-client-id", b"payload");
        let input = [CONNACK_311.to_vec(), publish(1, &looks_like_properties, b"x")].concat();
        assert_eq!(sent([input.clone()]), input);
    }

    #[test]
    fn mqtt_3_1_1_gets_no_disconnect() {
        let input = [CONNACK_311, &[0xE0, 2, 0x8E, 0], &[0xD0, 0]].concat();
        assert_eq!(sent(input.chunks(1).map(<[u8]>::to_vec)), [CONNACK_311, &[0xD0, 0]].concat());
        let input = [CONNACK_5, &[0xE0, 1, 0x8E]].concat();
        assert_eq!(sent([input.clone()]), input);
    }

    #[test]
    fn malformed_properties_pass_untouched() {
        let input = [CONNACK_5.to_vec(), publish(0, &[0x26, 0, 200, 1], b"x")].concat();
        assert_eq!(sent([input.clone()]), input);
    }
}
