//! What passes on the wire, in words, a line a packet. In: the stream on its way to the library, the bytes of
//! which it passes on untouched. Out: lines for a person who debugs. Secrets are masked, payloads are counted,
//! and of a packet no more than its beginning is kept.

use std::fmt::Write as _;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::diagnosis::reason_name;
use crate::message::Direction;
use crate::profile::MqttVersion;
use crate::transport::BoxedStream;

/// How much of a packet is kept to describe it, in bytes.
const KEPT: usize = 8 * 1024;
/// How much of a text is shown, in characters.
const SHOWN: usize = 200;

/// Is told every packet, with its direction. Returns at once.
pub type PacketObserver = Arc<dyn Fn(Direction, String) + Send + Sync>;

/// A stream whose packets are told.
pub(super) struct Watched {
    inner: BoxedStream,
    tell: PacketObserver,
    version: MqttVersion,
    incoming: Packets,
    outgoing: Packets,
}

impl Watched {
    pub(super) fn new(inner: BoxedStream, version: MqttVersion, tell: PacketObserver) -> Self {
        Self { inner, tell, version, incoming: Packets::default(), outgoing: Packets::default() }
    }

    fn wrote(&mut self, bytes: &[u8]) {
        let (tell, version) = (&self.tell, self.version);
        self.outgoing.pass(bytes, |packet| tell(Direction::Out, packet.describe(version)));
    }
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let result = ready!(Pin::new(&mut self.inner).poll_read(cx, buf));
        let Self { tell, version, incoming, .. } = &mut *self;
        incoming.pass(&buf.filled()[before..], |packet| tell(Direction::In, packet.describe(*version)));
        Poll::Ready(result)
    }
}

impl AsyncWrite for Watched {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let result = ready!(Pin::new(&mut self.inner).poll_write(cx, bytes));
        if let Ok(count) = result {
            self.wrote(&bytes[..count.min(bytes.len())]);
        }
        Poll::Ready(result)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

/// Cuts one direction into packets.
#[derive(Default)]
struct Packets {
    packet: Packet,
    /// How many bytes of the fixed header have passed; where the next seven bits of the length go.
    header: u32,
    left: usize,
    lost: bool,
}

/// The beginning of a packet.
#[derive(Default)]
struct Packet {
    first: u8,
    length: usize,
    body: Vec<u8>,
}

impl Packets {
    fn pass(&mut self, mut bytes: &[u8], mut tell: impl FnMut(&Packet)) {
        while let [byte, rest @ ..] = bytes {
            if self.lost {
                return;
            }
            if self.left > 0 {
                let (now, later) = bytes.split_at(self.left.min(bytes.len()));
                let room = KEPT - self.packet.body.len();
                self.packet.body.extend_from_slice(&now[..now.len().min(room)]);
                self.left -= now.len();
                bytes = later;
            } else {
                bytes = rest;
                match self.header {
                    0 => self.packet = Packet { first: *byte, ..Packet::default() },
                    // Four bytes are the most (MQTT 5, 1.5.5): this is no MQTT.
                    5.. => self.lost = true,
                    at => self.packet.length |= usize::from(byte & 0x7f) << (7 * (at - 1)),
                }
                self.header += 1;
                if self.header == 1 || byte & 0x80 != 0 {
                    continue;
                }
                self.header = 0;
                self.left = self.packet.length;
            }
            if self.left == 0 {
                tell(&self.packet);
            }
        }
    }
}

impl Packet {
    fn describe(&self, version: MqttVersion) -> String {
        let mut words = Words { text: String::new(), rest: &self.body, v5: version == MqttVersion::V5 };
        let name = match self.first >> 4 {
            1 => "CONNECT",
            2 => "CONNACK",
            3 => "PUBLISH",
            4 => "PUBACK",
            5 => "PUBREC",
            6 => "PUBREL",
            7 => "PUBCOMP",
            8 => "SUBSCRIBE",
            9 => "SUBACK",
            10 => "UNSUBSCRIBE",
            11 => "UNSUBACK",
            12 => "PINGREQ",
            13 => "PINGRESP",
            14 => "DISCONNECT",
            15 => "AUTH",
            _ => "reserved packet type 0",
        };
        // A packet that is cut or malformed is described as far as it can be read.
        let whole = match self.first >> 4 {
            1 => words.connect(),
            2 => words.connack(),
            3 => words.publish(self.first, self.length),
            4..=7 => words.acknowledgement(),
            8 => words.subscribe(),
            9 | 11 => words.granted(name == "SUBACK"),
            10 => words.unsubscribe(),
            14 | 15 if !self.body.is_empty() => words.reason().and_then(|()| words.properties()),
            _ => Some(()),
        };
        let cut = if whole.is_none() { " …" } else { "" };
        let bytes = if self.length == 1 { "byte" } else { "bytes" };
        match self.length {
            0 => name.to_owned(),
            length => format!("{name}{}{cut} ({length} {bytes})", words.text),
        }
    }
}

/// Reads a packet's body and writes it down. `None`: there is no more to read.
struct Words<'a> {
    text: String,
    rest: &'a [u8],
    v5: bool,
}

impl<'a> Words<'a> {
    fn connect(&mut self) -> Option<()> {
        self.block()?;
        let level = self.byte()?;
        let flags = self.byte()?;
        let keep_alive = self.two()?;
        let version = match level {
            5 => "5".to_owned(),
            4 => "3.1.1".to_owned(),
            other => format!("level {other}"),
        };
        self.v5 = level == 5;
        self.say(format_args!("MQTT {version}, keep alive {keep_alive} s"));
        if flags & 0x02 != 0 {
            self.say(format_args!("{}", if self.v5 { "clean start" } else { "clean session" }));
        }
        self.properties()?;
        let client_id = shown(self.block()?);
        self.say(format_args!("client id {client_id}"));
        if flags & 0x04 != 0 {
            self.say(format_args!("will"));
            self.properties()?;
            let topic = shown(self.block()?);
            let length = self.block()?.len();
            let retain = if flags & 0x20 != 0 { " retain" } else { "" };
            let qos = flags >> 3 & 3;
            self.say(format_args!("will topic {topic} qos {qos}{retain}, will payload {length} bytes"));
        }
        if flags & 0x80 != 0 {
            let username = shown(self.block()?);
            self.say(format_args!("user name {username}"));
        }
        if flags & 0x40 != 0 {
            self.block()?;
            self.say(format_args!("password masked"));
        }
        Some(())
    }

    fn connack(&mut self) -> Option<()> {
        let present = self.byte()? & 1 != 0;
        let code = self.byte()?;
        match (self.v5, code) {
            (true, code) => self.say(format_args!("{} (0x{code:02x})", reason_name(code))),
            (false, 0) => self.say(format_args!("Connection accepted")),
            (false, code) => self.say(format_args!("return code {code}")),
        }
        if present {
            self.say(format_args!("session present"));
        }
        self.properties()
    }

    fn publish(&mut self, first: u8, length: usize) -> Option<()> {
        let qos = first >> 1 & 3;
        let before = self.rest.len();
        let topic = shown(self.block()?);
        self.say(format_args!("{topic} qos {qos}"));
        if qos > 0 {
            self.id()?;
        }
        for (bit, word) in [(1, "retain"), (8, "dup")] {
            if first & bit != 0 {
                self.say(format_args!("{word}"));
            }
        }
        self.properties()?;
        let payload = length.checked_sub(before - self.rest.len())?;
        self.say(format_args!("payload {payload}"));
        Some(())
    }

    fn acknowledgement(&mut self) -> Option<()> {
        self.id()?;
        if self.rest.is_empty() {
            return Some(());
        }
        self.reason()?;
        if self.rest.is_empty() { Some(()) } else { self.properties() }
    }

    fn subscribe(&mut self) -> Option<()> {
        self.id()?;
        self.properties()?;
        while !self.rest.is_empty() {
            let filter = shown(self.block()?);
            let options = self.byte()?;
            self.say(format_args!("{filter} qos {}", options & 3));
            if options & 0x04 != 0 {
                self.say(format_args!("no local"));
            }
            if options & 0x08 != 0 {
                self.say(format_args!("retain as published"));
            }
            if options & 0x30 != 0 {
                self.say(format_args!("retain handling {}", options >> 4 & 3));
            }
        }
        Some(())
    }

    fn unsubscribe(&mut self) -> Option<()> {
        self.id()?;
        self.properties()?;
        while !self.rest.is_empty() {
            let filter = shown(self.block()?);
            self.say(format_args!("{filter}"));
        }
        Some(())
    }

    fn granted(&mut self, suback: bool) -> Option<()> {
        self.id()?;
        self.properties()?;
        while let Some(code) = self.byte() {
            let name = if suback && code == 0 { "Granted QoS 0" } else { reason_name(code) };
            self.say(format_args!("{name} (0x{code:02x})"));
        }
        Some(())
    }

    fn reason(&mut self) -> Option<()> {
        let code = self.byte()?;
        self.say(format_args!("{} (0x{code:02x})", reason_name(code)));
        Some(())
    }

    /// MQTT 5, 2.2.2. A packet may end before them.
    fn properties(&mut self) -> Option<()> {
        if !self.v5 || self.rest.is_empty() {
            return Some(());
        }
        let length = self.variable()?;
        let whole = self.rest.len() >= length;
        let (own, rest) = self.rest.split_at(length.min(self.rest.len()));
        self.rest = own;
        while !self.rest.is_empty() {
            self.property()?;
        }
        self.rest = rest;
        whole.then_some(())
    }

    fn property(&mut self) -> Option<()> {
        let id = self.byte()?;
        let name = PROPERTIES.iter().find(|(known, _)| *known == id)?.1;
        let value = match id {
            0x01 | 0x17 | 0x19 | 0x24 | 0x25 | 0x28 | 0x29 | 0x2a => self.byte()?.to_string(),
            0x13 | 0x21 | 0x22 | 0x23 => self.two()?.to_string(),
            0x02 | 0x11 | 0x18 | 0x27 => {
                let (high, low) = (self.two()?, self.two()?);
                (u32::from(high) << 16 | u32::from(low)).to_string()
            }
            0x0b => self.variable()?.to_string(),
            0x09 => hex::encode(self.block()?.iter().take(SHOWN / 2).copied().collect::<Vec<_>>()),
            0x16 => {
                self.block()?;
                "masked".to_owned()
            }
            0x26 => {
                let (key, value) = (self.block()?, self.block()?);
                format!("{} = {}", shown(key), shown(value))
            }
            _ => shown(self.block()?),
        };
        self.say(format_args!("{name} {value}"));
        Some(())
    }

    fn id(&mut self) -> Option<()> {
        let id = self.two()?;
        self.say(format_args!("id {id}"));
        Some(())
    }

    fn say(&mut self, words: std::fmt::Arguments<'_>) {
        let before = if self.text.is_empty() { " " } else { ", " };
        let _ = write!(self.text, "{before}{words}");
    }

    fn byte(&mut self) -> Option<u8> {
        let (byte, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*byte)
    }

    fn two(&mut self) -> Option<u16> {
        Some(u16::from_be_bytes([self.byte()?, self.byte()?]))
    }

    fn variable(&mut self) -> Option<usize> {
        let mut value = 0;
        for shift in [0, 7, 14, 21] {
            let byte = self.byte()?;
            value |= usize::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    /// Text or binary data with its length in front.
    fn block(&mut self) -> Option<&'a [u8]> {
        let length = usize::from(self.two()?);
        let (block, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        Some(block)
    }
}

/// Text in quotation marks, not too much of it.
fn shown(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{:?}…", &text[..end]),
        None => format!("{text:?}"),
    }
}

/// MQTT 5, 2.2.2.2.
const PROPERTIES: &[(u8, &str)] = &[
    (0x01, "payload format"),
    (0x02, "message expiry"),
    (0x03, "content type"),
    (0x08, "response topic"),
    (0x09, "correlation data"),
    (0x0b, "subscription id"),
    (0x11, "session expiry"),
    (0x12, "assigned client id"),
    (0x13, "server keep alive"),
    (0x15, "authentication method"),
    (0x16, "authentication data"),
    (0x17, "request problem information"),
    (0x18, "will delay"),
    (0x19, "request response information"),
    (0x1a, "response information"),
    (0x1c, "server reference"),
    (0x1f, "reason string"),
    (0x21, "receive maximum"),
    (0x22, "topic alias maximum"),
    (0x23, "topic alias"),
    (0x24, "maximum qos"),
    (0x25, "retain available"),
    (0x26, "user property"),
    (0x27, "maximum packet size"),
    (0x28, "wildcard subscription available"),
    (0x29, "subscription ids available"),
    (0x2a, "shared subscription available"),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(bytes: &[u8], version: MqttVersion) -> Vec<String> {
        let mut whole = Vec::new();
        Packets::default().pass(bytes, |packet| whole.push(packet.describe(version)));
        // However the bytes are cut, the packets are the same.
        let (mut packets, mut single) = (Packets::default(), Vec::new());
        for byte in bytes.chunks(1) {
            packets.pass(byte, |packet| single.push(packet.describe(version)));
        }
        assert_eq!(whole, single);
        whole
    }

    #[test]
    fn a_login_is_shown_without_its_password() {
        let mut connect =
            b"\x10\x00\0\x04MQTT\x05\xc2\0\x3c\x05\x11\0\0\0\x0a\0\x02id\0\x02me\0\x06canary".to_vec();
        connect[1] = u8::try_from(connect.len() - 2).expect("short");
        let said = lines(&connect, MqttVersion::V5);
        assert_eq!(
            said,
            ["CONNECT MQTT 5, keep alive 60 s, clean start, session expiry 10, client id \"id\", \
              user name \"me\", password masked (32 bytes)"]
        );
    }

    #[test]
    fn packets_are_told_in_words() {
        let v5 = [
            &b"\x20\x06\x01\x00\x03\x21\0\x14"[..],
            b"\x82\x07\0\x01\0\0\x01#\x05",
            b"\x90\x05\0\x01\0\0\x87",
            b"\x3b\x0a\0\x01t\0\x09\0body",
            b"\x40\x03\0\x09\x10",
            b"\xc0\0\xd0\0",
            b"\xe0\x02\x8e\0",
        ]
        .concat();
        assert_eq!(
            lines(&v5, MqttVersion::V5),
            [
                "CONNACK Success (0x00), session present, receive maximum 20 (6 bytes)",
                "SUBSCRIBE id 1, \"#\" qos 1, no local (7 bytes)",
                "SUBACK id 1, Granted QoS 0 (0x00), Not authorized (0x87) (5 bytes)",
                "PUBLISH \"t\" qos 1, id 9, retain, dup, payload 4 (10 bytes)",
                "PUBACK id 9, No matching subscribers (0x10) (3 bytes)",
                "PINGREQ",
                "PINGRESP",
                "DISCONNECT Session taken over (0x8e) (2 bytes)",
            ]
        );
        let v311 = [&b"\x20\x02\0\x05"[..], b"\x30\x05\0\x01ahi", b"\x50\x02\0\x07"].concat();
        assert_eq!(
            lines(&v311, MqttVersion::V311),
            [
                "CONNACK return code 5 (2 bytes)",
                "PUBLISH \"a\" qos 0, payload 2 (5 bytes)",
                "PUBREC id 7 (2 bytes)",
            ]
        );
    }

    #[test]
    fn nothing_from_the_wire_hurts() {
        assert_eq!(lines(b"\x10\x03\0\x04M", MqttVersion::V5), ["CONNECT … (3 bytes)"]);
        assert_eq!(lines(b"\x30\xff\xff\xff\xff\xff\x01rest", MqttVersion::V5), [""; 0]);
        let mut big = vec![0x30, 0x80, 0x80, 0x04, 0, 1, b't', 0];
        big.resize(4 + 0x10000, 7);
        big.extend([0xd0, 0]);
        let said = lines(&big, MqttVersion::V5);
        assert_eq!(said, ["PUBLISH \"t\" qos 0, payload 65532 (65536 bytes)", "PINGRESP"]);
        for first in 0..=255u8 {
            for length in 0..40u8 {
                let mut packet = vec![first, length];
                packet.extend((0..length).map(|at| at.wrapping_mul(first)));
                lines(&packet, MqttVersion::V5);
                lines(&packet, MqttVersion::V311);
            }
        }
    }
}
