//! Who speaks, by the first bytes. In: what came before anything was agreed on. Out: the protocol, when its
//! first bytes are its own. Pure.

use crate::failure::Failure;

/// A protocol that was recognised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Peer {
    Tls,
    Http,
    Mqtt,
    Ssh,
    Smtp,
    /// Our own bytes came back.
    Echo,
    /// Another one, by name.
    Other(&'static str),
}

impl Peer {
    /// Its name for a sentence and as evidence.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Tls => "TLS",
            Self::Http => "HTTP",
            Self::Mqtt => "MQTT",
            Self::Ssh => "SSH",
            Self::Smtp => "SMTP",
            Self::Echo => "echo",
            Self::Other(name) => name,
        }
    }

    /// What it is for, in a sentence that begins with how it showed.
    pub(super) fn story(self) -> String {
        match self {
            Self::Ssh => "It greeted with an SSH banner: this is a remote login server.".to_owned(),
            Self::Smtp => "It greeted like a mail server (SMTP).".to_owned(),
            Self::Echo => "It sent back what it was sent: this is an echo service.".to_owned(),
            Self::Http => "Its answer is HTTP: this is a web server.".to_owned(),
            Self::Tls => "Its answer is a TLS record.".to_owned(),
            Self::Mqtt => "Its answer is an MQTT packet.".to_owned(),
            Self::Other(name) => format!("Its first bytes are those of {name}."),
        }
    }

    /// The protocol as a fact.
    pub(super) fn fact(self, failure: Failure) -> Failure {
        failure.fact("peer", self.name())
    }
}

/// Text protocols, by how their first line begins.
const TEXTS: [(&[u8], Peer); 30] = [
    (b"HTTP/", Peer::Http),
    (b"SSH-", Peer::Ssh),
    (b"AMQP", Peer::Other("AMQP")),
    (b"RFB 0", Peer::Other("VNC")),
    (b"INFO {", Peer::Other("NATS")),
    (b"* OK", Peer::Other("IMAP")),
    (b"* BYE", Peer::Other("IMAP")),
    (b"* PREAUTH", Peer::Other("IMAP")),
    (b"+OK", Peer::Other("POP3")),
    (b"+PONG", Peer::Other("Redis")),
    (b"-ERR", Peer::Other("Redis")),
    (b"-DENIED", Peer::Other("Redis")),
    (b"-NOAUTH", Peer::Other("Redis")),
    (b"-LOADING", Peer::Other("Redis")),
    (b"-MISCONF", Peer::Other("Redis")),
    (b"RTSP/", Peer::Other("RTSP")),
    (b"SIP/", Peer::Other("SIP")),
    (b"@RSYNCD:", Peer::Other("rsync")),
    (b"<?xml", Peer::Other("XMPP")),
    (b"<stream:", Peer::Other("XMPP")),
    (b"EFATAL:", Peer::Other("PostgreSQL")),
    (b"ERROR\r\n", Peer::Other("memcached")),
    (b"CLIENT_ERROR", Peer::Other("memcached")),
    (b"ERROR\n", Peer::Other("STOMP")),
    (b"ERRF", Peer::Other("OPC UA")),
    (b"ACKF", Peer::Other("OPC UA")),
    (b":irc", Peer::Other("IRC")),
    (b"NOTICE ", Peer::Other("IRC")),
    (b"( success", Peer::Other("Subversion")),
    (b"GET ", Peer::Echo),
];

/// Recognises a peer.
pub(super) fn recognise(bytes: &[u8]) -> Option<Peer> {
    if let Some((_, peer)) = TEXTS.iter().find(|(begin, _)| bytes.starts_with(begin)) {
        return Some(*peer);
    }
    match bytes {
        // ClientHello is what a client says.
        [0x16, 3, 0..=4, _, _, 1, ..] => Some(Peer::Echo),
        [0x15 | 0x16, 3, 0..=4, ..] => Some(Peer::Tls),
        // CONNACK: its acknowledge flags have one bit (MQTT 5, 3.2.2.1).
        [0x20, 2..=255, 0 | 1, ..] => Some(Peer::Mqtt),
        // DISCONNECT from a broker that was not greeted with CONNECT.
        [0xe0, 0..=2, ..] if bytes.len() <= 4 => Some(Peer::Mqtt),
        // CONNECT is what a client says.
        [0x10, _, 0, 4, b'M', b'Q', b'T', b'T', ..] => Some(Peer::Echo),
        // A mail or file server says three digits first (RFC 5321, 4.2; RFC 959, 4.2).
        [b'2', b'2', b'0', b' ' | b'-', ..]
        | [b'4', b'2', b'1', b' ' | b'-', ..]
        | [b'5', b'5', b'4', b' ' | b'-', ..] => {
            let says = |word: &[u8]| bytes.windows(word.len()).any(|part| part.eq_ignore_ascii_case(word));
            Some(if (says(b"ftp") || says(b"filezilla")) && !says(b"smtp") {
                Peer::Other("FTP")
            } else {
                Peer::Smtp
            })
        }
        // ErrorResponse: a length, then fields, the severity first (PostgreSQL, 55.7).
        [b'E', 0, 0, _, _, b'S', ..] => Some(Peer::Other("PostgreSQL")),
        // A packet of number 0 with protocol version 10, or an error (MySQL, client/server protocol).
        [_, _, 0, 0, 0x0a, b'0'..=b'9', ..] | [_, 0, 0, 0, 0xff, _, 4, ..] => Some(Peer::Other("MySQL")),
        // IAC with an option (RFC 854).
        [0xff, 0xfb..=0xfe, ..] => Some(Peer::Other("Telnet")),
        // SETTINGS on stream 0 (RFC 9113, 6.5).
        [0, 0, length, 4, 0 | 1, 0, 0, 0, 0, ..] if length % 6 == 0 => Some(Peer::Http),
        [5, 0 | 0xff] | [0, 0x5a..=0x5d, 0, 0, 0, 0, 0, 0] => Some(Peer::Other("SOCKS")),
        // LDAPMessage, an answer in an ASN.1 sequence with a message number (RFC 4511, 4.1.1).
        [0x30, _, 2, 1, ..] | [0x30, 0x84, _, _, _, _, 2, 1, ..] => Some(Peer::Other("LDAP")),
        // TPKT (RFC 1006).
        [3, 0, 0, _, _, 0xd0 | 0x80, ..] => Some(Peer::Other("RDP")),
        _ => None,
    }
}

/// Whether the bytes can be the beginning of a TLS record that a server sends.
pub(super) fn may_be_tls(bytes: &[u8]) -> bool {
    let fits = [
        bytes.first().is_none_or(|kind| matches!(kind, 0x14..=0x17)),
        bytes.get(1).is_none_or(|major| *major == 3),
        bytes.get(2).is_none_or(|minor| *minor <= 4),
    ];
    fits == [true; 3]
}

/// The name of a whole and well-formed MQTT control packet (MQTT 5, 2.1) at the beginning, other than CONNACK.
pub(super) fn mqtt_packet(bytes: &[u8]) -> Option<&'static str> {
    let (&first, rest) = bytes.split_first()?;
    let length_bytes = rest.iter().take(4).position(|byte| byte & 0x80 == 0)? + 1;
    let length =
        rest[..length_bytes].iter().rev().fold(0_usize, |sum, byte| sum << 7 | usize::from(byte & 0x7f));
    let body = rest.get(length_bytes..length_bytes + length)?;
    let topic = || {
        let length = usize::from(u16::from_be_bytes([*body.first()?, *body.get(1)?]));
        let text = std::str::from_utf8(body.get(2..2 + length)?).ok()?;
        (!text.is_empty() && text.chars().all(|c| !c.is_control() && c != '#' && c != '+')).then_some(())
    };
    match (first >> 4, first & 15, length) {
        (3, flags, 3..) if flags >> 1 & 3 != 3 => topic().map(|()| "PUBLISH"),
        (4, 0, 2..) => Some("PUBACK"),
        (5, 0, 2..) => Some("PUBREC"),
        (6, 2, 2..) => Some("PUBREL"),
        (7, 0, 2..) => Some("PUBCOMP"),
        (9, 0, 3..) => Some("SUBACK"),
        (11, 0, 2..) => Some("UNSUBACK"),
        (12, 0, 0) => Some("PINGREQ"),
        (13, 0, 0) => Some("PINGRESP"),
        (14, 0, _) => Some("DISCONNECT"),
        (15, 0, _) => Some("AUTH"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peers_are_known_by_their_first_bytes() {
        let table: [(&[u8], Option<Peer>); 20] = [
            (b"\x15\x03\x01\x00\x02\x02\x46", Some(Peer::Tls)),
            (b"\x16\x03\x03\x00\x7a", Some(Peer::Tls)),
            (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc", Some(Peer::Echo)),
            (b"HTTP/1.0 403 Forbidden\r\n", Some(Peer::Http)),
            (b"\0\0\x12\x04\0\0\0\0\0\0\x03", Some(Peer::Http)),
            (b"SSH-2.0-OpenSSH_9.2p1\r\n", Some(Peer::Ssh)),
            (b"220 mail ESMTP\r\n", Some(Peer::Smtp)),
            (b"220-mail here\r\n", Some(Peer::Smtp)),
            (b"220 ProFTPD ready\r\n", Some(Peer::Other("FTP"))),
            (b"\x20\x02\x00\x05", Some(Peer::Mqtt)),
            (b"\x20\x03\x00\x84\x00", Some(Peer::Mqtt)),
            (b"AMQP\0\0\x09\x01", Some(Peer::Other("AMQP"))),
            (b"-ERR unknown command\r\n", Some(Peer::Other("Redis"))),
            (b"E\0\0\0\x8bSFATAL\0", Some(Peer::Other("PostgreSQL"))),
            (b"\x4a\0\0\0\x0a8.0.36\0", Some(Peer::Other("MySQL"))),
            (b"\xff\xfd\x18", Some(Peer::Other("Telnet"))),
            (b"\0\0\0\0\0\0\0\0\0\0", None),
            (b"hello", None),
            (b"2", None),
            (b"", None),
        ];
        for (bytes, peer) in table {
            assert_eq!(recognise(bytes), peer, "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn packets_are_known_when_they_are_whole() {
        let table: [(&[u8], Option<&str>); 8] = [
            (b"\xd0\x00", Some("PINGRESP")),
            (b"\x30\x05\x00\x01ahi", Some("PUBLISH")),
            (b"\x30\x03\x00\x01a", Some("PUBLISH")),
            (b"\x90\x03\x00\x01\x00", Some("SUBACK")),
            (b"\x30\x05\x00\x09ahi", None),
            (b"\xd0\x01", None),
            (b"220 mail.example", None),
            (b"\x30\xff\xff\xff\xff\x01", None),
        ];
        for (bytes, name) in table {
            assert_eq!(mqtt_packet(bytes), name, "{}", bytes.escape_ascii());
        }
    }
}
