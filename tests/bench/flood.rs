//! A server that floods whoever subscribes: pre-encoded PUBLISH packets, as many as it is told and as fast as the
//! socket takes them, then silence. In: CONNECT, SUBSCRIBE, PINGREQ and acknowledgements. Out: answers, and the
//! flood, whose payloads begin with their sequence number. Never looks at what it is not told above, so that it
//! needs much less of the machine than any client. MQTT 3.1.1 and 5, plain, or over `wss` with client certificates.

#![allow(dead_code, clippy::panic, reason = "not every user needs all of it; figures and tests may panic")]

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use heliograph_engine::broker::devices;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

/// QoS 1 and 2 messages that may be unacknowledged at once; below the Receive Maximum that clients have unless they
/// say otherwise (MQTT 5, 3.1.2.11.3).
const WINDOW: u64 = 10_000;
/// Messages written at a time at most.
pub const BLOCK: usize = 1_000;

/// What a subscriber gets.
#[derive(Debug, Clone, Copy)]
pub struct Flood {
    /// How many, over [`Self::topics`] topics in turn.
    pub messages: u64,
    pub qos: u8,
    pub topics: usize,
    /// Bytes, at least the eight of the sequence number.
    pub payload: usize,
    /// Messages a second; 0: as many as the socket takes. A paced flood writes [`Self::block`] messages at a time, and
    /// its payloads are JSON that says when they were written ([`STAMPED`]).
    pub rate: u64,
    /// Whether payloads are the JSON of the demo's devices instead, without a sequence number. QoS 0, plain.
    pub telemetry: bool,
}

/// The payload of a paced flood; the digits are its number, and Unix microseconds.
pub const STAMPED: &str = r#"{"n":0000000000,"t":0000000000000000,"temp_c":21.5,"ok":true}   "#;
const NUMBER_AT: usize = 5;
const TIME_AT: usize = 20;

impl Flood {
    /// Of 64 bytes over 1,000 topics.
    pub fn of(messages: u64, qos: u8) -> Self {
        Self { messages, qos, topics: 1_000, payload: 64, rate: 0, telemetry: false }
    }

    /// So many messages a second.
    pub fn paced(messages: u64, rate: u64) -> Self {
        Self { rate, ..Self::of(messages, 0) }
    }

    /// Messages written at a time: of a paced flood those of 10 ms.
    fn block(&self) -> u64 {
        if self.rate == 0 { BLOCK as u64 } else { (self.rate / 100).clamp(1, BLOCK as u64) }
    }

    /// What a thousand devices say: no two payloads are alike.
    pub fn telemetry(messages: u64) -> Self {
        Self { telemetry: true, ..Self::of(messages, 0) }
    }
}

/// A certificate with its key, and the CA that clients must be of; PEM files.
#[derive(Debug, Clone)]
pub struct ServerTls {
    pub cert: std::path::PathBuf,
    pub key: std::path::PathBuf,
    pub ca: std::path::PathBuf,
}

/// A listening flood, gone when dropped.
pub struct FloodServer {
    pub address: SocketAddr,
    written: Arc<AtomicU64>,
    accepting: tokio::task::JoinHandle<()>,
}

impl FloodServer {
    /// Listens on a free loopback port; with `tls` it speaks `wss`, else `mqtt`.
    pub async fn start(flood: Flood, tls: Option<ServerTls>) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
        let address = listener.local_addr().expect("its address");
        let acceptor = tls.map(|tls| TlsAcceptor::from(Arc::new(server_config(&tls))));
        let written = Arc::new(AtomicU64::new(0));
        let count = written.clone();
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(connection(stream, acceptor.clone(), flood, count.clone()));
            }
        });
        Self { address, written, accepting }
    }

    /// PUBLISH packets written, to all subscribers.
    pub fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }
}

impl Drop for FloodServer {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// The sequence number of a message of a flood, from 0.
pub fn sequence(payload: &[u8]) -> u64 {
    u64::from_be_bytes(payload[..8].try_into().expect("eight bytes"))
}

fn server_config(tls: &ServerTls) -> ServerConfig {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(&tls.ca).expect("a CA")).expect("a root");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let clients = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone());
    let chain = vec![CertificateDer::from_pem_file(&tls.cert).expect("a certificate")];
    ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_client_cert_verifier(clients.build().expect("a verifier"))
        .with_single_cert(chain, PrivateKeyDer::from_pem_file(&tls.key).expect("a key"))
        .expect("a certificate with its key")
}

async fn connection(stream: TcpStream, tls: Option<TlsAcceptor>, flood: Flood, written: Arc<AtomicU64>) {
    let _ = stream.set_nodelay(true);
    // However it ends, the client's counts tell whether it got everything.
    let _ = match tls {
        None => serve(stream, false, flood, written).await,
        Some(acceptor) => match acceptor.accept(stream).await {
            Ok(stream) => serve(stream, true, flood, written).await,
            Err(error) => Err(error),
        },
    };
}

/// What the reading side tells the writing side.
enum Told {
    Reply(Vec<u8>),
    /// Begin to flood.
    Subscribed {
        v5: bool,
    },
    Acknowledged(u64),
}

async fn serve<S>(stream: S, websocket: bool, flood: Flood, written: Arc<AtomicU64>) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Send + 'static,
{
    tokio::pin!(stream);
    if websocket {
        upgrade(&mut stream).await?;
    }
    let (reading, writing) = tokio::io::split(stream);
    let (tell, told) = mpsc::unbounded_channel();
    tokio::select! {
        ended = read(reading, websocket, tell) => ended,
        ended = write(writing, websocket, flood, told, &written) => ended,
    }
}

/// The server's side of the WebSocket handshake (RFC 6455, 4.2.2).
async fn upgrade(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    let text = String::from_utf8_lossy(&head);
    let key = text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("sec-websocket-key").then(|| value.trim().to_owned())
    });
    let accept = derive_accept_key(key.unwrap_or_default().as_bytes());
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n"
    );
    stream.write_all(answer.as_bytes()).await
}

async fn read(
    mut stream: impl AsyncRead + Unpin,
    websocket: bool,
    tell: mpsc::UnboundedSender<Told>,
) -> io::Result<()> {
    let mut frames = websocket.then(Frames::default);
    let (mut raw, mut mqtt) = (vec![0; 64 * 1024], Vec::new());
    let mut v5 = false;
    loop {
        let count = stream.read(&mut raw).await?;
        if count == 0 {
            return Ok(());
        }
        match &mut frames {
            None => mqtt.extend_from_slice(&raw[..count]),
            Some(frames) => frames.unmask(&raw[..count], &mut mqtt),
        }
        let (mut at, mut acknowledged, mut reply) = (0, 0, Vec::new());
        while let Some((first, body)) = packet(&mqtt[at..]) {
            let packet = &mqtt[at + body.start..at + body.end];
            match first >> 4 {
                1 => {
                    // The protocol level stands behind the protocol name.
                    v5 = packet.get(6) == Some(&5);
                    reply.extend_from_slice(if v5 { &[0x20, 3, 0, 0, 0] } else { &[0x20, 2, 0, 0] });
                }
                4 | 7 => acknowledged += 1,
                5 => reply.extend_from_slice(&[0x62, 2, packet[0], packet[1]]),
                8 => {
                    // One filter a SUBSCRIBE, granted as asked.
                    let granted = packet.last().map_or(0, |options| options & 3);
                    let head: &[u8] = if v5 { &[0x90, 4] } else { &[0x90, 3] };
                    reply.extend_from_slice(head);
                    reply.extend_from_slice(&packet[..2]);
                    reply.extend_from_slice(if v5 { &[0] } else { &[] });
                    reply.push(granted);
                    let _ = tell.send(Told::Reply(std::mem::take(&mut reply)));
                    let _ = tell.send(Told::Subscribed { v5 });
                }
                12 => reply.extend_from_slice(&[0xd0, 0]),
                14 => return Ok(()),
                _ => {}
            }
            at += body.end;
        }
        mqtt.drain(..at);
        if !reply.is_empty() {
            let _ = tell.send(Told::Reply(reply));
        }
        if acknowledged > 0 {
            let _ = tell.send(Told::Acknowledged(acknowledged));
        }
    }
}

/// The first byte of the packet in front, and where its body is, once it is whole.
fn packet(bytes: &[u8]) -> Option<(u8, std::ops::Range<usize>)> {
    let (first, mut at, mut length) = (*bytes.first()?, 1, 0);
    loop {
        let byte = usize::from(*bytes.get(at)?);
        length |= (byte & 0x7f) << (7 * (at - 1));
        at += 1;
        if byte & 0x80 == 0 {
            break;
        }
    }
    (bytes.len() >= at + length).then_some((first, at..at + length))
}

async fn write(
    mut stream: impl AsyncWrite + Unpin,
    websocket: bool,
    flood: Flood,
    mut told: mpsc::UnboundedReceiver<Told>,
    written: &AtomicU64,
) -> io::Result<()> {
    let mut block = None;
    let (mut sent, mut acknowledged) = (0_u64, 0_u64);
    let mut began = tokio::time::Instant::now();
    loop {
        let next = match &block {
            Some(_) if sent < flood.messages => {
                let next = (flood.messages - sent).min(flood.block());
                (flood.qos == 0 || sent + next <= acknowledged + WINDOW).then_some(next)
            }
            _ => None,
        };
        let news = match next {
            Some(_) => told.try_recv().ok(),
            None => match told.recv().await {
                Some(news) => Some(news),
                None => return Ok(()),
            },
        };
        match news {
            Some(Told::Reply(bytes)) => {
                if websocket {
                    stream.write_all(&frame_head(bytes.len())).await?;
                }
                stream.write_all(&bytes).await?;
                stream.flush().await?;
            }
            Some(Told::Subscribed { v5 }) => {
                block = Some(Packets::new(flood, v5, websocket));
                began = tokio::time::Instant::now();
            }
            Some(Told::Acknowledged(count)) => acknowledged += count,
            None => {}
        }
        if let (Some(next), Some(block)) = (next, &mut block) {
            stream.write_all(block.fill(sent, next as usize)).await?;
            stream.flush().await?;
            sent += next;
            written.fetch_add(next, Ordering::Relaxed);
            // Sockets that are never full would keep the reading side, and with it PINGREQ, from its turn.
            tokio::task::yield_now().await;
            if let Some(micros) = (sent * 1_000_000).checked_div(flood.rate) {
                tokio::time::sleep_until(began + std::time::Duration::from_micros(micros)).await;
            }
        }
    }
}

/// What is written: the same packets over and over, or telemetry.
enum Packets {
    Numbered(Block),
    Telemetry(Vec<Block>),
}

/// Blocks of telemetry before the first one comes again; a client never sees two of them together.
const ROUND: usize = 64;

impl Packets {
    fn new(flood: Flood, v5: bool, websocket: bool) -> Self {
        if !flood.telemetry {
            return Self::Numbered(Block::new(flood, v5, websocket));
        }
        let mut devices: Vec<_> = (0..flood.topics as u64).map(devices::telemetry).collect();
        let mut next = || {
            Block::of(flood, v5, websocket, |n| devices[n % flood.topics].next().expect("endless").to_vec())
        };
        Self::Telemetry((0..ROUND).map(|_| next()).collect())
    }

    fn fill(&mut self, first: u64, count: usize) -> &[u8] {
        match self {
            Self::Numbered(block) => block.fill(first, count),
            Self::Telemetry(blocks) => {
                let place = (first / BLOCK as u64) as usize % ROUND;
                let block = &blocks[place];
                &block.bytes[..block.packets[count - 1].2]
            }
        }
    }
}

/// Packets that are encoded once; only packet identifiers and sequence numbers change.
pub struct Block {
    bytes: Vec<u8>,
    /// Where the packets begin; before it there is room for a WebSocket frame's head.
    begin: usize,
    /// For each packet where its identifier is (0 when it has none), its payload begins, and it ends.
    packets: Vec<(usize, usize, usize)>,
    websocket: bool,
    stamped: bool,
}

/// The longest head of a WebSocket frame that a server sends.
const FRAME_HEAD: usize = 10;

impl Block {
    pub fn new(flood: Flood, v5: bool, websocket: bool) -> Self {
        let payload: Vec<u8> = if flood.rate > 0 {
            STAMPED.bytes().chain(std::iter::repeat(b' ')).take(flood.payload).collect()
        } else {
            vec![b'x'; flood.payload]
        };
        Self::of(flood, v5, websocket, |_| payload.clone())
    }

    fn of(flood: Flood, v5: bool, websocket: bool, mut payload: impl FnMut(usize) -> Vec<u8>) -> Self {
        let begin = if websocket { FRAME_HEAD } else { 0 };
        let (mut bytes, mut packets) = (vec![0; begin], Vec::with_capacity(BLOCK));
        for n in 0..BLOCK {
            let topic = format!("plant/line/{}/temperature", n % flood.topics);
            let identifier = if flood.qos > 0 { 2 } else { 0 };
            let payload = payload(n);
            let length = 2 + topic.len() + identifier + usize::from(v5) + payload.len();
            bytes.push(0x30 | flood.qos << 1);
            remaining_length(length, &mut bytes);
            bytes.extend(u16::try_from(topic.len()).expect("short").to_be_bytes());
            bytes.extend(topic.as_bytes());
            let id_at = if identifier > 0 { bytes.len() } else { 0 };
            bytes.extend(std::iter::repeat_n(0, identifier + usize::from(v5)));
            let payload_at = bytes.len();
            bytes.extend(payload);
            packets.push((id_at, payload_at, bytes.len()));
        }
        Self { bytes, begin, packets, websocket, stamped: flood.rate > 0 }
    }

    /// The packets of the messages from `first` on. Topics are in turn as long as `first` is a multiple of a block.
    pub fn fill(&mut self, first: u64, count: usize) -> &[u8] {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        for (sequence, &(id_at, payload_at, _)) in (first..).zip(&self.packets[..count]) {
            if id_at > 0 {
                let id = u16::try_from(sequence % 65_535 + 1).expect("in range");
                self.bytes[id_at..id_at + 2].copy_from_slice(&id.to_be_bytes());
            }
            if self.stamped {
                digits(sequence, &mut self.bytes[payload_at + NUMBER_AT..][..10]);
                digits(now.as_micros() as u64, &mut self.bytes[payload_at + TIME_AT..][..16]);
            } else {
                self.bytes[payload_at..payload_at + 8].copy_from_slice(&sequence.to_be_bytes());
            }
        }
        let end = self.packets[count - 1].2;
        if !self.websocket {
            return &self.bytes[..end];
        }
        let head = frame_head(end - self.begin);
        let start = self.begin - head.len();
        self.bytes[start..self.begin].copy_from_slice(&head);
        &self.bytes[start..end]
    }
}

fn digits(mut number: u64, to: &mut [u8]) {
    for place in to.iter_mut().rev() {
        *place = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

fn remaining_length(mut length: usize, bytes: &mut Vec<u8>) {
    loop {
        let byte = (length % 128) as u8;
        length /= 128;
        bytes.push(if length > 0 { byte | 0x80 } else { byte });
        if length == 0 {
            return;
        }
    }
}

/// Of one whole binary frame (RFC 6455, 5.2).
fn frame_head(length: usize) -> Vec<u8> {
    let mut head = vec![0x82];
    match length {
        0..126 => head.push(length as u8),
        126..0x1_0000 => {
            head.push(126);
            head.extend((length as u16).to_be_bytes());
        }
        _ => {
            head.push(127);
            head.extend((length as u64).to_be_bytes());
        }
    }
    head
}

/// Takes masked frames of a client apart. All of them are taken for data: a client that says goodbye closes the
/// stream next.
#[derive(Default)]
struct Frames {
    head: Vec<u8>,
    left: usize,
    at: usize,
}

impl Frames {
    fn unmask(&mut self, bytes: &[u8], to: &mut Vec<u8>) {
        for &byte in bytes {
            if self.left > 0 {
                let mask = &self.head[self.head.len() - 4..];
                to.push(byte ^ mask[self.at % 4]);
                self.at += 1;
                self.left -= 1;
                continue;
            }
            if self.at > 0 {
                self.head.clear();
                self.at = 0;
            }
            self.head.push(byte);
            let Some(second) = self.head.get(1) else { continue };
            let (length, head) = match second & 0x7f {
                126 if self.head.len() >= 4 => (u16::from_be_bytes([self.head[2], self.head[3]]).into(), 8),
                126 | 127 => (0, 14),
                short => (usize::from(short), 6),
            };
            if self.head.len() == head {
                self.left = length;
                if length == 0 {
                    self.head.clear();
                }
            }
        }
    }
}
