//! CONNECT to CONNACK.

use std::io;

use rustls::{AlertDescription, Error as TlsError};

use super::certificates::{self, Sign};
use super::peer::{Peer, mqtt_packet, recognise};
use super::{
    how_it_closed, other_path, other_port, probe, retry, switch_transport, switch_transport_here, with_bytes,
    with_end,
};
use crate::endpoint::Scheme;
use crate::failure::{CredentialTarget, Failure, FailureCode, FixAction};
use crate::profile::MqttVersion;
use crate::trace::{Connack, Stage};
use crate::transport::{Ended, Plan, Wire, tls_error};

const STAGE: Stage = Stage::Mqtt;

/// Why CONNECT did not lead to a session.
#[derive(Debug)]
pub enum MqttProblem {
    /// CONNACK says no.
    Refused(Connack),
    /// The peer closed the connection in order.
    Closed,
    /// The stream failed.
    Io(io::Error),
    /// What came is not a valid packet; what is wrong, in words.
    Malformed(String),
    /// No CONNACK in time.
    Timeout,
}

/// A CONNECT that failed. Looks at the wire first: foreign protocols, late alerts, text frames.
pub fn before_connack(plan: &Plan, wire: &Wire, problem: MqttProblem) -> Failure {
    if let MqttProblem::Refused(connack) = &problem {
        return refused(plan, connack);
    }
    if let Some(failure) = told_by_wire(plan, wire, problem_error(&problem)) {
        return failure;
    }
    let bytes = wire.first_bytes();
    if let Some(failure) = recognise(&bytes).and_then(|peer| foreign(plan, peer)) {
        return with_bytes(failure, &bytes);
    }
    // CONNACK, AUTH and DISCONNECT are all that a broker may begin with (MQTT 5, 3.1.4 and 4.12).
    let foreign = bytes.first().is_some_and(|first| !matches!(first, 0x20 | 0xf0 | 0xe0));
    let failure = match problem {
        MqttProblem::Malformed(what) => malformed(plan, &bytes, &what),
        MqttProblem::Closed | MqttProblem::Io(_) | MqttProblem::Timeout if foreign => {
            malformed(plan, &bytes, "the first byte begins no packet that may answer CONNECT")
        }
        MqttProblem::Io(error) if error.kind() == io::ErrorKind::InvalidData => {
            malformed(plan, &bytes, "its length is one that no answer to CONNECT has")
        }
        MqttProblem::Timeout => connack_timeout(plan, &bytes),
        MqttProblem::Io(error) => closed(plan, wire, &Ended::of(&error)),
        MqttProblem::Closed | MqttProblem::Refused(_) => closed(plan, wire, &Ended::Closed),
    };
    with_bytes(failure, &bytes)
}

/// The name of a code that has none.
pub(crate) const UNKNOWN_REASON: &str = "Unknown reason code";

/// The name of a reason code (MQTT 5, 2.4). Codes of MQTT 3.1.1 are mapped to those of 5 before.
pub fn reason_name(code: u8) -> &'static str {
    match code {
        0x00 => "Success",
        0x01 => "Granted QoS 1",
        0x02 => "Granted QoS 2",
        0x04 => "Disconnect with Will Message",
        0x10 => "No matching subscribers",
        0x11 => "No subscription existed",
        0x18 => "Continue authentication",
        0x19 => "Re-authenticate",
        0x80 => "Unspecified error",
        0x81 => "Malformed Packet",
        0x82 => "Protocol Error",
        0x83 => "Implementation specific error",
        0x84 => "Unsupported Protocol Version",
        0x85 => "Client Identifier not valid",
        0x86 => "Bad User Name or Password",
        0x87 => "Not authorized",
        0x88 => "Server unavailable",
        0x89 => "Server busy",
        0x8a => "Banned",
        0x8b => "Server shutting down",
        0x8c => "Bad authentication method",
        0x8d => "Keep Alive timeout",
        0x8e => "Session taken over",
        0x8f => "Topic Filter invalid",
        0x90 => "Topic Name invalid",
        0x91 => "Packet Identifier in use",
        0x92 => "Packet Identifier not found",
        0x93 => "Receive Maximum exceeded",
        0x94 => "Topic Alias invalid",
        0x95 => "Packet too large",
        0x96 => "Message rate too high",
        0x97 => "Quota exceeded",
        0x98 => "Administrative action",
        0x99 => "Payload format invalid",
        0x9a => "Retain not supported",
        0x9b => "QoS not supported",
        0x9c => "Use another server",
        0x9d => "Server moved",
        0x9e => "Shared Subscriptions not supported",
        0x9f => "Connection rate exceeded",
        0xa0 => "Maximum connect time",
        0xa1 => "Subscription Identifiers not supported",
        0xa2 => "Wildcard Subscriptions not supported",
        _ => UNKNOWN_REASON,
    }
}

fn problem_error(problem: &MqttProblem) -> Option<&io::Error> {
    match problem {
        MqttProblem::Io(error) => Some(error),
        _ => None,
    }
}

/// What the layers beneath MQTT noted: a text frame, an alert, a close frame.
pub(super) fn told_by_wire(plan: &Plan, wire: &Wire, error: Option<&io::Error>) -> Option<Failure> {
    let at = plan.address();
    let websocket = wire.websocket.read().clone();
    if let Some(text) = websocket.text_frame {
        return Some(
            Failure::new(STAGE, FailureCode::WsTextFrame, format!("{at} sent text over the WebSocket, which MQTT never does"))
                .because("MQTT packets come in binary frames (MQTT 5, 6.0): something else than a broker listens at this path.")
                .fact("first_bytes_text", text)
                .fix("Use another path", FixAction::SetPath { path: "/mqtt".to_owned() })
                .permanent(),
        );
    }
    if let Some(alert) = late_alert(wire, error) {
        return Some(super::tls::alert(plan, wire, alert, STAGE));
    }
    if websocket.broken {
        let message = format!("{at} sent WebSocket frames that are not valid");
        let failure = Failure::new(STAGE, FailureCode::MalformedPacket, message)
            .because(
                "What came after the WebSocket handshake breaks RFC 6455: a proxy that does not really pass \
                 WebSocket on, or another service at this path.",
            )
            .permanent();
        let failure = with_bytes(failure, &wire.http.first_bytes());
        return Some(retry(probe(other_path(failure, plan.endpoint().path()), plan)));
    }
    let (status, reason) = websocket.closed?;
    let failure = Failure::new(STAGE, FailureCode::WsClosed, format!("{at} closed the WebSocket"))
        .because(match status {
            1002 | 1003 | 1007 => "Its close frame says that it did not understand what was sent.",
            1008 => "Its close frame speaks of a policy: the broker does not want this client.",
            1009 => "Its close frame says that a message was too large.",
            1000 | 1001 | 1012 => {
                "Its close frame gives no fault: the server is going away, or ended the session."
            }
            _ => "It sent a close frame instead of an MQTT packet.",
        })
        .fact("close_status", status)
        .fact("close_reason", reason);
    Some(retry(failure))
}

pub(super) fn late_alert(wire: &Wire, error: Option<&io::Error>) -> Option<AlertDescription> {
    if let Some(TlsError::AlertReceived(alert)) = error.and_then(tls_error) {
        return Some(*alert);
    }
    match wire.mqtt.ended() {
        Some(Ended::Error { alert, .. }) => alert,
        _ => None,
    }
}

fn foreign(plan: &Plan, peer: Peer) -> Option<Failure> {
    let at = plan.address();
    let endpoint = plan.endpoint();
    let new =
        |code, message: String, cause: &str| Failure::new(STAGE, code, message).because(cause).permanent();
    let failure = match peer {
        Peer::Mqtt => return None,
        Peer::Http => {
            let cause =
                "It answered CONNECT with an HTTP response: a web server, perhaps with MQTT over WebSocket.";
            let failure = new(FailureCode::PeerSpeaksHttp, format!("{at} speaks HTTP, not MQTT"), cause);
            let failure = match endpoint.websocket() {
                true => failure,
                false => switch_transport_here(failure, plan, Scheme::of(true, endpoint.tls())),
            };
            // A web server may answer in plain words that it wants TLS.
            let failure = match endpoint.tls() {
                true => failure,
                false => switch_transport_here(failure, plan, Scheme::Wss),
            };
            probe(failure, plan)
        }
        Peer::Tls => {
            let failure = new(
                FailureCode::PeerSpeaksTls,
                format!("{at} speaks TLS, and was spoken to without"),
                "It answered CONNECT with a TLS record.",
            );
            let failure = match endpoint.tls() {
                true => failure,
                false => switch_transport_here(failure, plan, Scheme::of(endpoint.websocket(), true)),
            };
            probe(failure, plan)
        }
        Peer::Ssh => other_port(
            new(FailureCode::PeerSpeaksSsh, format!("{at} speaks SSH, not MQTT"), &peer.story()),
            plan,
        ),
        Peer::Smtp | Peer::Echo | Peer::Other(_) => {
            let message = match peer {
                Peer::Echo => format!("{at} does not speak MQTT"),
                peer => format!("{at} speaks {}, not MQTT", peer.name()),
            };
            probe(other_port(new(FailureCode::PeerIsNotMqtt, message, &peer.story()), plan), plan)
        }
    };
    Some(peer.fact(failure))
}

fn malformed(plan: &Plan, bytes: &[u8], what: &str) -> Failure {
    let at = plan.address();
    let instead = mqtt_packet(bytes);
    // A CONNACK whatever its reserved flags, or a whole packet of another kind.
    let is_mqtt =
        matches!(bytes.first(), Some(0x20..=0x2f | 0xf0 | 0xe0)) && !is_text(bytes) || instead.is_some();
    let failure = match is_mqtt || bytes.is_empty() {
        true => Failure::new(
            STAGE,
            FailureCode::MalformedPacket,
            format!("{at} answered CONNECT with a packet that is not valid"),
        )
        .because("It begins like MQTT, but breaks its rules: a broker with a fault, or one of another MQTT version."),
        false => Failure::new(STAGE, FailureCode::PeerIsNotMqtt, format!("{at} does not speak MQTT"))
            .because("What came back to CONNECT is no MQTT packet, and no protocol that Heliograph knows."),
    };
    let failure = match instead {
        Some(name) => failure.fact("packet", name),
        None => failure,
    };
    let failure = failure.fact("detail", what).permanent();
    match is_mqtt {
        true => other_version(failure, plan),
        false => probe(failure, plan),
    }
}

/// A line of printable text, which no packet is.
fn is_text(bytes: &[u8]) -> bool {
    bytes.len() >= 8 && bytes.iter().all(|byte| matches!(byte, b' '..=b'~' | b'\r' | b'\n' | b'\t'))
}

fn other_version(failure: Failure, plan: &Plan) -> Failure {
    let (version, name) = match plan.version {
        MqttVersion::V5 => (MqttVersion::V311, "3.1.1"),
        MqttVersion::V311 => (MqttVersion::V5, "5"),
    };
    failure.fix(format!("Speak MQTT {name}"), FixAction::SetVersion { version })
}

fn closed(plan: &Plan, wire: &Wire, end: &Ended) -> Failure {
    if let Some(failure) = certificates::client(plan, &wire.tls.read(), STAGE, Sign::Closed) {
        return with_end(failure, Some(end));
    }
    let at = plan.address();
    let endpoint = plan.endpoint();
    let how = how_it_closed(Some(end));
    let sent_certificate = !wire.tls.read().sent.is_empty();
    let cause = match (endpoint.websocket(), endpoint.tls()) {
        (false, false) => {
            "Not one byte came back to CONNECT. Likeliest this port wants TLS, or WebSocket; a broker that does not \
             speak this MQTT version, or does not want this client, may close in silence too."
        }
        (false, true) if sent_certificate => {
            "TLS stands, and then nothing came back to CONNECT. The broker may not want this client certificate, \
             user or MQTT version; or a web server listens here, which wants WebSocket."
        }
        (false, true) => {
            "TLS stands, and then nothing came back to CONNECT. Likeliest a web server listens here, which wants \
             WebSocket; a broker that does not want this user or MQTT version may close in silence too."
        }
        (true, _) => {
            "The WebSocket stands, and then nothing came back to CONNECT. The broker behind it may be down, or not \
             want this user or MQTT version."
        }
    };
    let cause = match plan.proxy {
        Some(_) => {
            format!("{cause} Or the proxy had let us through before it knew whether it can reach {at}.")
        }
        None => cause.to_owned(),
    };
    let failure = with_end(
        Failure::new(
            STAGE,
            FailureCode::ClosedBeforeConnack,
            format!("{at} {how} before it answered CONNECT"),
        )
        .because(cause),
        Some(end),
    );
    let failure = match (endpoint.websocket(), endpoint.tls()) {
        (false, false) => switch_transport(switch_transport(failure, plan, Scheme::Mqtts), plan, Scheme::Ws),
        (false, true) => switch_transport(failure, plan, Scheme::Wss),
        (true, _) => failure,
    };
    let failure = probe(failure, plan)
        .fix("Set user name and password", FixAction::SetCredentials { target: CredentialTarget::Broker });
    retry(other_version(failure, plan))
}

fn connack_timeout(plan: &Plan, bytes: &[u8]) -> Failure {
    let at = plan.address();
    let endpoint = plan.endpoint();
    let failure =
        Failure::new(STAGE, FailureCode::ConnackTimeout, format!("{at} did not answer CONNECT in time"));
    let failure = match bytes.is_empty() {
        true => failure.because(
            "The connection stands, but nothing came back. Likeliest something else than an MQTT broker listens \
             there and waits for more; or the broker is overloaded.",
        ),
        false => failure.because("Something came back, but no whole CONNACK."),
    };
    let failure = match (endpoint.websocket(), endpoint.tls()) {
        (false, false) => switch_transport(failure, plan, Scheme::Mqtts),
        (false, true) => switch_transport(failure, plan, Scheme::Wss),
        (true, _) => failure,
    };
    retry(probe(failure, plan))
}

fn refused(plan: &Plan, connack: &Connack) -> Failure {
    use FailureCode as C;
    let at = plan.address();
    let code = match connack.code {
        0x80 => C::UnspecifiedError,
        0x81 => C::MalformedPacket,
        0x82 => C::ProtocolError,
        0x83 => C::ImplementationSpecificError,
        0x84 => C::UnsupportedProtocolVersion,
        0x85 => C::ClientIdRejected,
        0x86 => C::BadCredentials,
        0x87 => C::NotAuthorized,
        0x88 => C::ServerUnavailable,
        0x89 => C::ServerBusy,
        0x8a => C::Banned,
        0x8c => C::BadAuthenticationMethod,
        0x90 => C::TopicNameInvalid,
        0x95 => C::PacketTooLarge,
        0x97 => C::QuotaExceeded,
        0x99 => C::PayloadFormatInvalid,
        0x9a => C::RetainNotSupported,
        0x9b => C::QosNotSupported,
        0x9c => C::UseAnotherServer,
        0x9d => C::ServerMoved,
        0x9f => C::ConnectionRateExceeded,
        _ => C::UnspecifiedError,
    };
    let (message, cause) = match code {
        C::UnsupportedProtocolVersion => {
            (format!("{at} does not speak this version of MQTT"), "The broker refused the protocol version.")
        }
        C::ClientIdRejected => (
            format!("{at} does not accept the client identifier"),
            "It may be empty, too long, of characters that the broker does not take, or not allowed for this user.",
        ),
        C::BadCredentials => (
            format!("{at} did not accept the user name or password"),
            "The broker compared them, and they are not right.",
        ),
        C::NotAuthorized => (
            format!("{at} does not allow this client to connect"),
            "Likeliest user name and password are missing or wrong: MQTT 3.1.1 brokers answer so for both. Or they \
             are right, and the user, certificate or client identifier has no permission.",
        ),
        C::ServerUnavailable => {
            (format!("The broker at {at} is not available now"), "It answers, but says that it cannot serve.")
        }
        C::ServerBusy => (format!("The broker at {at} is busy"), "It asks to be tried again later."),
        C::Banned => {
            (format!("{at} has banned this client"), "Only the broker's administrator can change that.")
        }
        C::TopicNameInvalid => (
            format!("{at} does not accept the topic of the will"),
            "The will is the only topic in CONNECT, and the broker does not take its name.",
        ),
        C::PacketTooLarge => (
            format!("{at} found CONNECT too large"),
            "It exceeds the broker's Maximum Packet Size: likely the will or a user property is long.",
        ),
        C::PayloadFormatInvalid => (
            format!("{at} does not accept the payload of the will"),
            "Its Payload Format Indicator says text, and the broker does not find it to be UTF-8.",
        ),
        C::RetainNotSupported => (
            format!("{at} keeps no retained messages"),
            "The will is set to be retained, which this broker does not support.",
        ),
        C::QosNotSupported => (
            format!("{at} does not support the QoS of the will"),
            "The will asks for a higher QoS than this broker has.",
        ),
        C::UseAnotherServer => (
            format!("{at} asks to use another server for now"),
            "The broker hands its clients on for a while.",
        ),
        C::ServerMoved => {
            (format!("{at} has moved to another server"), "The broker hands its clients on for good.")
        }
        C::ConnectionRateExceeded => (
            format!("{at} takes no more connections at this rate"),
            "Too many connections came in a short time.",
        ),
        C::QuotaExceeded => {
            (format!("{at} says that a quota is used up"), "A limit that the administrator set is reached.")
        }
        C::BadAuthenticationMethod => (
            format!("{at} does not accept the authentication method"),
            "Enhanced authentication (MQTT 5, 4.12) is expected, or another method of it.",
        ),
        _ => (
            format!("{at} refused the connection: {}", reason_name(connack.code)),
            "CONNACK carries this reason code.",
        ),
    };
    let mut failure = Failure::new(STAGE, code, message)
        .because(match &connack.reason_string {
            Some(words) => format!("{cause} The broker says: {words}"),
            None => cause.to_owned(),
        })
        .fact("packet", "CONNACK")
        .fact("reason_code", connack.code)
        .fact("reason", reason_name(connack.code));
    if let Some(words) = &connack.reason_string {
        failure = failure.fact("reason_string", words.clone());
    }
    if let Some(server) = &connack.server_reference {
        failure = failure.fact("server_reference", server.clone());
    }
    let credentials = |failure: Failure| {
        failure.fix(
            "Type user name and password for the broker",
            FixAction::SetCredentials { target: CredentialTarget::Broker },
        )
    };
    match code {
        C::UnsupportedProtocolVersion => other_version(failure, plan).permanent(),
        C::BadCredentials => credentials(failure).permanent(),
        C::NotAuthorized => {
            let failure = credentials(failure).permanent();
            match plan.endpoint().tls() {
                true => failure.fix(
                    "Choose another client certificate and key",
                    FixAction::ChooseIdentity { swap: false, disable: false },
                ),
                false => failure,
            }
        }
        C::UseAnotherServer | C::ServerMoved => other_server(failure, connack.server_reference.as_deref()),
        C::ServerUnavailable | C::ServerBusy | C::ConnectionRateExceeded | C::QuotaExceeded => retry(failure),
        C::UnspecifiedError => retry(other_version(failure, plan)),
        C::ProtocolError | C::MalformedPacket | C::ImplementationSpecificError => {
            retry(other_version(failure, plan)).permanent()
        }
        C::Banned | C::BadAuthenticationMethod => retry(credentials(failure)).permanent(),
        other => {
            let label = match other {
                C::ClientIdRejected => "Try again, with another client identifier",
                C::TopicNameInvalid => "Try again, with another topic for the will",
                C::PacketTooLarge => "Try again, with a smaller will",
                C::PayloadFormatInvalid => "Try again, with another payload format of the will",
                C::RetainNotSupported => "Try again, with a will that is not retained",
                C::QosNotSupported => "Try again, with a lower QoS of the will",
                _ => "Try again",
            };
            failure.fix(label, FixAction::Retry {}).permanent()
        }
    }
}

pub(super) fn other_server(failure: Failure, server: Option<&str>) -> Failure {
    let label = match server {
        Some(server) => format!("Use {server}"),
        None => "Use another server".to_owned(),
    };
    failure.fix(label, FixAction::SetServer { server: server.map(str::to_owned) }).permanent()
}

#[cfg(test)]
mod tests {
    use super::super::planned;
    use super::*;

    #[test]
    fn what_answers_connect_is_known_by_its_first_bytes() {
        use FailureCode as C;
        let table: [(&str, &[u8], C); 7] = [
            ("mqtt", b"HTTP/1.1 400 Bad Request\r\n", C::PeerSpeaksHttp),
            ("mqtt", b"\x15\x03\x01\x00\x02\x02\x46", C::PeerSpeaksTls),
            ("mqtt", b"SSH-2.0-OpenSSH_9.2\r\n", C::PeerSpeaksSsh),
            ("mqtt", b"220 mail ESMTP\r\n", C::PeerIsNotMqtt),
            ("mqtts", b"* OK IMAP4rev1\r\n", C::PeerIsNotMqtt),
            ("wss", b"\x20\x09", C::ClosedBeforeConnack),
            ("ws", b"", C::ClosedBeforeConnack),
        ];
        for (scheme, bytes, code) in table {
            let wire = Wire::default();
            wire.mqtt.received(bytes);
            let failure =
                before_connack(&planned(&format!("{scheme}://broker.test")), &wire, MqttProblem::Closed);
            assert_eq!(failure.code, code, "{}", bytes.escape_ascii());
            assert!(failure.message.contains("broker.test:"), "{}", failure.message);
            assert!(!failure.cause.is_empty() && !failure.fixes.is_empty());
        }
    }

    #[test]
    fn an_usual_port_changes_with_the_transport() {
        let wire = Wire::default();
        let failure = before_connack(&planned("mqtt://broker.test"), &wire, MqttProblem::Closed);
        let first = serde_json::to_value(&failure.fixes[0]).expect("json");
        let wanted = serde_json::json!({
            "label": "Switch to mqtts, port 8883",
            "kind": "set_transport",
            "change": { "transport": "mqtts", "port": 8883 },
        });
        assert_eq!(first, wanted);
    }

    #[test]
    fn refusals_have_the_names_of_the_contract() {
        use FailureCode as C;
        let table = [
            (0x84, C::UnsupportedProtocolVersion, false),
            (0x86, C::BadCredentials, false),
            (0x87, C::NotAuthorized, false),
            (0x89, C::ServerBusy, true),
            (0x9c, C::UseAnotherServer, false),
        ];
        for (code, name, retryable) in table {
            let connack =
                Connack { code, server_reference: Some("b.test:1883".into()), ..Connack::default() };
            let failure =
                before_connack(&planned("mqtt://a.test"), &Wire::default(), MqttProblem::Refused(connack));
            assert_eq!((failure.code, failure.retryable), (name, retryable));
        }
    }
}
