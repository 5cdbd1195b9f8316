//! What ends a connection after CONNACK: what the broker said, what the network did, and what it means when the
//! same thing happens again and again.

use std::io;
use std::time::Duration;

use rustls::AlertDescription;

use super::certificates::{self, Sign};
use super::mqtt::{late_alert, other_server, reason_name, told_by_wire};
use super::{alert_name, how_it_closed, retry, with_end};
use crate::failure::{Failure, FailureCode, FixAction};
use crate::trace::Stage;
use crate::transport::{Ended, Part, Plan, Wire};

const STAGE: Stage = Stage::Mqtt;

/// Why a session ended that nobody asked to end.
#[derive(Debug)]
pub enum LossReason {
    /// The peer closed the connection in order, without DISCONNECT.
    Closed,
    /// The stream failed.
    Io(io::Error),
    /// What came is not a valid packet; what is wrong, in words.
    Malformed(String),
    /// What came is larger than we take: its size and our limit in bytes.
    TooLarge {
        /// The packet's size.
        size: usize,
        /// Our Maximum Packet Size.
        limit: u32,
    },
    /// No PINGRESP in time, nor anything else.
    KeepAlive {
        /// The keep alive of the connection.
        keep_alive_s: u16,
    },
    /// DISCONNECT from the broker (MQTT 5, 3.14).
    ServerDisconnect {
        /// Reason code.
        code: u8,
        /// The broker's own words.
        reason_string: Option<String>,
        /// Another server to use.
        server_reference: Option<String>,
    },
    /// A write made no progress.
    WriteTimeout,
}

/// What repeated losses say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pattern {
    /// Two clients with one client identifier push each other out. `certain` when the broker said so.
    Duel {
        /// Whether it is certain.
        certain: bool,
        /// How often this connection was pushed out.
        rounds: usize,
    },
    /// Connections end after they were idle for this long, each time.
    Idle {
        /// The time without a byte.
        after: Duration,
        /// How often.
        times: usize,
    },
    /// Each connection ends as soon as it stands.
    AtOnce {
        /// How often.
        times: usize,
    },
}

/// A session that was lost.
pub fn lost(plan: &Plan, wire: &Wire, reason: LossReason) -> Failure {
    let at = plan.address();
    let error = match &reason {
        LossReason::Io(error) => Some(error),
        _ => None,
    };
    if !matches!(reason, LossReason::ServerDisconnect { .. } | LossReason::TooLarge { .. }) {
        if let Some(alert) = late_alert(wire, error) {
            return ended_by_alert(plan, wire, alert);
        }
        if let Some(failure) = told_by_wire(plan, wire, error) {
            return failure;
        }
    }
    match reason {
        LossReason::Closed => retry(amid_packet(
            wire,
            with_end(
                new(
                    FailureCode::ConnectionClosed,
                    format!("{at} closed the connection"),
                    "It gave no reason. A broker that restarts does this, and so does one to which another client \
                     has connected with the same client identifier.",
                ),
                Some(&Ended::Closed),
            ),
        )),
        // The library's and our own bound have no number; the operating system's has one.
        LossReason::Io(error)
            if error.kind() == io::ErrorKind::TimedOut && error.raw_os_error().is_none() =>
        {
            write_timeout(plan)
        }
        LossReason::Io(error) => retry(amid_packet(wire, broke(plan, &error))),
        LossReason::Malformed(what) => retry(
            new(
                FailureCode::MalformedPacket,
                format!("{at} sent something that is not a valid MQTT packet"),
                "The broker, or something between, broke the protocol; nothing after that could be trusted.",
            )
            .fact("detail", what),
        ),
        LossReason::TooLarge { size, limit } => too_large(plan, size, limit),
        LossReason::KeepAlive { keep_alive_s } => match wire.part() {
            Some(part) => stopped_amid_packet(plan, part, keep_alive_s),
            None => retry(new(
                FailureCode::KeepAliveTimeout,
                format!("{at} stopped answering"),
                "No answer came to PINGREQ in time: the network is gone, or the broker hangs.",
            )),
        },
        LossReason::WriteTimeout => write_timeout(plan),
        LossReason::ServerDisconnect { code, reason_string, server_reference } => {
            disconnected(plan, code, reason_string.as_deref(), server_reference.as_deref())
        }
    }
}

/// A loss that is one of several alike. `client_id` and the keep alive in seconds are those of the connection.
#[must_use]
pub fn repeated(
    plan: &Plan,
    failure: Failure,
    pattern: Pattern,
    client_id: &str,
    keep_alive_s: u16,
) -> Failure {
    let at = plan.address();
    match pattern {
        Pattern::Duel { certain, rounds } => {
            let cause = match certain {
                true => format!(
                    "The broker ended this connection {rounds} times in a row because another client had connected as \
                     `{client_id}`. Connecting again would push that one out in turn, for ever, so this client stops. \
                     Give each its own client identifier."
                ),
                false => format!(
                    "The broker ended this connection {rounds} times in a row without a reason, soon after it stood, \
                     and let it connect again each time. Likeliest another client connects as `{client_id}` too, and \
                     the two push each other out; it may be that something between ends the connections. The next \
                     attempt waits as long as the settings allow."
                ),
            };
            let own = format!("{client_id}-{}", &uuid::Uuid::new_v4().simple().to_string()[..4]);
            let message = format!("Another client keeps connecting to {at} as `{client_id}`");
            let duel =
                Failure { message, cause, code: FailureCode::ClientIdDuel, fixes: Vec::new(), ..failure }
                    .fact("client_id", client_id)
                    .fact("certain", certain)
                    .fact("rounds", rounds)
                    .fix(
                        format!("Use a client identifier of its own: {own}"),
                        FixAction::SetClientId { client_id: own },
                    );
            if certain { retry(duel).permanent() } else { retry(duel) }
        }
        Pattern::Idle { after, times } => {
            let seconds = after.as_secs_f64();
            let message = format!("Connections to {at} end after {seconds:.0} s without traffic");
            let cause = format!(
                "The last {times} connections ended when nothing had been sent or received for {seconds:.1} s, each \
                 time the same. A proxy, a load balancer or a firewall between ends connections that are idle for so \
                 long; a shorter keep alive keeps them busy.",
            );
            let shorter = u16::try_from((after.as_secs() * 2 / 3).clamp(1, 65_535)).unwrap_or(u16::MAX);
            let idle =
                Failure { message, cause, code: FailureCode::IdleTimeout, fixes: Vec::new(), ..failure }
                    .fact("idle_s", (seconds * 10.0).round() / 10.0)
                    .fact("keep_alive_s", keep_alive_s)
                    .fact("times", times);
            let idle = match keep_alive_s == 0 || shorter < keep_alive_s {
                true => idle.fix(
                    format!("Set the keep alive to {shorter} s"),
                    FixAction::SetKeepAlive { keep_alive_s: shorter },
                ),
                false => idle,
            };
            retry(idle)
        }
        Pattern::AtOnce { times } => {
            let cause = format!(
                "It has done so {times} times in a row, each time as soon as the connection stood, and gave no reason. \
                 Likeliest it does not allow something that this client does first: a subscription, or its last will. \
                 Or another client connects as `{client_id}` too.",
            );
            Failure { cause, ..failure }.fact("client_id", client_id).fact("times", times)
        }
    }
}

/// A loss without a reason after nothing was sent for longer than the broker waits for a keep alive: this program
/// stood still, or it would have sent one. Any other loss stays what it is.
#[must_use]
pub fn after_standstill(plan: &Plan, failure: Failure, silence: Duration, keep_alive_s: u16) -> Failure {
    // A broker waits for one and a half times the keep alive (MQTT 5, 3.1.2.10).
    let patience = Duration::from_secs(keep_alive_s.into()) * 3 / 2;
    if failure.code != FailureCode::ConnectionClosed || keep_alive_s == 0 || silence < patience {
        return failure;
    }
    let seconds = silence.as_secs();
    let message = format!("{} heard nothing from this client in time", plan.address());
    let cause = format!(
        "This program stood still for {seconds} s, as when a computer sleeps or a process is stopped, and sent no keep \
         alive, which is due every {keep_alive_s} s. The broker gave the connection up meanwhile."
    );
    Failure { message, cause, code: FailureCode::KeepAliveTimeout, ..failure }
        .fact("silent_s", seconds)
        .fact("keep_alive_s", keep_alive_s)
}

/// A loss around which the computer's clock and its uptime drifted apart.
#[must_use]
pub fn after_sleep(failure: Failure, slept: Duration) -> Failure {
    let seconds = slept.as_secs();
    let cause = format!("{} This computer slept for about {seconds} s meanwhile.", failure.cause);
    Failure { cause, ..failure }.fact("slept_s", seconds)
}

fn new(code: FailureCode, message: String, cause: &str) -> Failure {
    Failure::new(STAGE, code, message).because(cause)
}

/// Silence that begins in the middle of a packet: the network is slow, or gone.
fn stopped_amid_packet(plan: &Plan, part: Part, keep_alive_s: u16) -> Failure {
    let Part { length, arrived, .. } = part;
    let silent = part.last.elapsed().as_secs();
    let message = format!("{} stopped in the middle of a packet of {length} bytes", plan.address());
    let cause = format!(
        "{arrived} bytes of it came{}. Then nothing came for {silent} s, neither the rest nor an answer to PINGREQ: the \
         network is gone, or it is so slow that a longer keep alive is needed.",
        pace(part)
    );
    let failure = with_part(new(FailureCode::KeepAliveTimeout, message, &cause), part)
        .fact("silent_s", silent)
        .fact("keep_alive_s", keep_alive_s);
    let longer = keep_alive_s.saturating_mul(4).max(60);
    retry(match longer > keep_alive_s {
        true => failure.fix(
            format!("Set the keep alive to {longer} s"),
            FixAction::SetKeepAlive { keep_alive_s: longer },
        ),
        false => failure,
    })
}

/// Says of a connection that ended in the middle of a packet how much of it was there.
fn amid_packet(wire: &Wire, failure: Failure) -> Failure {
    let Some(part) = wire.part() else { return failure };
    let Part { length, arrived, .. } = part;
    let cause = format!(
        "{} It ended in the middle of a packet: {arrived} of {length} bytes had come{}.",
        failure.cause,
        pace(part)
    );
    with_part(Failure { cause, ..failure }, part)
}

/// How fast a part of a packet came, behind how much it was.
fn pace(part: Part) -> String {
    part.rate().map_or_else(|| " at once".to_owned(), |rate| format!(", {rate} bytes a second"))
}

fn with_part(failure: Failure, part: Part) -> Failure {
    let failure = failure.fact("packet_bytes", part.length).fact("arrived_bytes", part.arrived);
    match part.rate() {
        Some(rate) => failure.fact("bytes_per_second", rate),
        None => failure,
    }
}

fn broke(plan: &Plan, error: &io::Error) -> Failure {
    use io::ErrorKind as K;
    let at = plan.address();
    let end = Ended::of(error);
    let failure = match error.kind() {
        K::TimedOut | K::NetworkUnreachable | K::NetworkDown | K::HostUnreachable | K::ConnectionAborted => {
            new(
                FailureCode::NetworkLost,
                format!("The network to {at} is gone"),
                "This computer's own network said so: it changed, was switched off, or lost its way to the broker.",
            )
        }
        _ => new(
            FailureCode::ConnectionClosed,
            format!("{at} {}", how_it_closed(Some(&end))),
            "It gave no reason. The broker or something between ended the connection without a goodbye.",
        ),
    };
    with_end(failure, Some(&end))
}

fn ended_by_alert(plan: &Plan, wire: &Wire, alert: AlertDescription) -> Failure {
    if let Some(failure) = certificates::client(plan, &wire.tls.read(), STAGE, Sign::Alert(alert)) {
        return failure;
    }
    let name = alert_name(alert);
    let message = format!("{} ended the encrypted connection with the alert `{name}`", plan.address());
    retry(
        Failure::new(Stage::Tls, FailureCode::TlsAlert, message)
            .because("TLS stood, and then the server, or something between that ends TLS for it, gave it up.")
            .fact("alert", name)
            .seen_during(STAGE),
    )
}

fn too_large(plan: &Plan, size: usize, limit: u32) -> Failure {
    let at = plan.address();
    let failure = new(
        FailureCode::PacketTooLarge,
        format!("{at} sent a packet of {size} bytes; this connection takes {limit}"),
        "Its Maximum Packet Size is set to that. Until it is larger, the same message ends the connection again.",
    )
    .fact("size", size)
    .fact("limit", limit);
    let failure = match u32::try_from(size.next_power_of_two().max(1024)) {
        Ok(bytes) if bytes <= 268_435_456 => failure
            .fix(format!("Take packets of up to {bytes} bytes"), FixAction::SetMaximumPacketSize { bytes }),
        _ => failure,
    };
    retry(failure)
}

fn write_timeout(plan: &Plan) -> Failure {
    retry(
        Failure::new(
            STAGE,
            FailureCode::WriteTimeout,
            format!("{} stopped taking what was sent", plan.address()),
        )
        .because("Nothing could be written for 20 seconds: the network is gone, or the broker hangs."),
    )
}

fn disconnected(plan: &Plan, code: u8, words: Option<&str>, server: Option<&str>) -> Failure {
    use FailureCode as C;
    let at = plan.address();
    let name = reason_name(code);
    let (kind, message, cause) = match code {
        0x8e => (
            C::SessionTakenOver,
            format!("Another client has taken over this session at {at}"),
            "It connected with the same client identifier. If it does so again, the two push each other out: give each \
             its own.",
        ),
        0x8d => (
            C::KeepAliveTimeout,
            format!("{at} heard nothing from this client in time"),
            "The broker says that the keep alive ran out: likely the network stood still, or the computer slept.",
        ),
        0x8b => (
            C::ServerShuttingDown,
            format!("The broker at {at} is shutting down"),
            "It says so itself. It will take connections again when it is back.",
        ),
        0x93 => (
            C::ReceiveMaximumExceeded,
            format!("{at} received more unacknowledged messages than it takes at once"),
            "The broker's Receive Maximum was exceeded.",
        ),
        0x96 => (
            C::MessageRateTooHigh,
            format!("{at} receives messages at too high a rate"),
            "The broker limits how many messages a client may send in a time.",
        ),
        0x98 => (
            C::AdministrativeAction,
            format!("An administrator ended the connection at {at}"),
            "The broker says that this was an administrative action.",
        ),
        0xa0 => (
            C::MaximumConnectTime,
            format!("{at} ends connections after a time that it sets"),
            "The broker's maximum connect time for this client is over.",
        ),
        0x87 => (
            C::NotAuthorized,
            format!("{at} no longer allows this client"),
            "The broker took its permission away.",
        ),
        0x89 => {
            (C::ServerBusy, format!("The broker at {at} is busy"), "It ended the connection to save itself.")
        }
        0x95 => (
            C::PacketTooLarge,
            format!("{at} received a packet that is too large for it"),
            "The broker's Maximum Packet Size was exceeded.",
        ),
        0x97 => (
            C::QuotaExceeded,
            format!("{at} says that a quota is used up"),
            "A limit that the administrator set is reached.",
        ),
        0x81 => (
            C::MalformedPacket,
            format!("{at} could not read what was sent"),
            "The broker met a malformed packet.",
        ),
        0x82 => (
            C::ProtocolError,
            format!("{at} says that the protocol was broken"),
            "The broker met a packet that the rules do not allow.",
        ),
        0x9c => (
            C::UseAnotherServer,
            format!("{at} asks to use another server for now"),
            "The broker hands its clients on.",
        ),
        0x9d => (
            C::ServerMoved,
            format!("{at} has moved to another server"),
            "The broker hands its clients on for good.",
        ),
        0x9f => (
            C::ConnectionRateExceeded,
            format!("{at} takes no more connections at this rate"),
            "Too many connections came in a short time.",
        ),
        _ => (
            C::ServerDisconnected,
            format!("{at} ended the connection: {name}"),
            "The broker sent DISCONNECT with this reason.",
        ),
    };
    let mut failure = Failure::new(STAGE, kind, message)
        .because(match words {
            Some(words) => format!("{cause} The broker says: {words}"),
            None => cause.to_owned(),
        })
        .fact("packet", "DISCONNECT")
        .fact("reason_code", code)
        .fact("reason", name);
    if let Some(words) = words {
        failure = failure.fact("reason_string", words);
    }
    if let Some(server) = server {
        failure = failure.fact("server_reference", server);
    }
    match kind {
        C::UseAnotherServer | C::ServerMoved => other_server(failure, server),
        C::NotAuthorized => failure.permanent(),
        _ => retry(failure),
    }
}

#[cfg(test)]
mod tests {
    use super::super::planned;
    use super::*;

    fn disconnect(code: u8) -> LossReason {
        LossReason::ServerDisconnect { code, reason_string: Some("so it is".into()), server_reference: None }
    }

    #[test]
    fn every_loss_has_its_name() {
        use FailureCode as C;
        let os = |errno| LossReason::Io(io::Error::from_raw_os_error(errno));
        let table = [
            (disconnect(0x8d), C::KeepAliveTimeout),
            (disconnect(0x8e), C::SessionTakenOver),
            (disconnect(0x8b), C::ServerShuttingDown),
            (disconnect(0x93), C::ReceiveMaximumExceeded),
            (disconnect(0x95), C::PacketTooLarge),
            (disconnect(0x96), C::MessageRateTooHigh),
            (disconnect(0x97), C::QuotaExceeded),
            (disconnect(0x98), C::AdministrativeAction),
            (disconnect(0x9d), C::ServerMoved),
            (disconnect(0xa0), C::MaximumConnectTime),
            (disconnect(0x81), C::MalformedPacket),
            (LossReason::TooLarge { size: 70_000, limit: 1_024 }, C::PacketTooLarge),
            (LossReason::Malformed("x".into()), C::MalformedPacket),
            (LossReason::KeepAlive { keep_alive_s: 60 }, C::KeepAliveTimeout),
            (LossReason::WriteTimeout, C::WriteTimeout),
            (LossReason::Io(io::ErrorKind::TimedOut.into()), C::WriteTimeout),
            (LossReason::Closed, C::ConnectionClosed),
            #[cfg(target_os = "linux")]
            (os(110), C::NetworkLost),
            #[cfg(target_os = "linux")]
            (os(101), C::NetworkLost),
            #[cfg(target_os = "linux")]
            (os(104), C::ConnectionClosed),
        ];
        for (reason, code) in table {
            let said = format!("{reason:?}");
            let failure = lost(&planned("mqtt://a.test"), &Wire::default(), reason);
            assert_eq!(failure.code, code, "{said}");
            assert!(failure.message.contains("a.test:1883") && !failure.cause.is_empty(), "{failure:?}");
            if said.contains("so it is") {
                assert!(failure.cause.contains("so it is"), "{failure:?}");
            }
        }
    }

    #[test]
    fn a_program_that_stood_still_knows_why_it_was_given_up() {
        let plan = planned("mqtt://a.test");
        let closed = || lost(&plan, &Wire::default(), LossReason::Closed);
        let after = |failure, seconds, keep_alive_s| {
            after_standstill(&plan, failure, Duration::from_secs(seconds), keep_alive_s).code
        };
        assert_eq!(after(closed(), 90, 60), FailureCode::KeepAliveTimeout);
        assert_eq!(after(closed(), 89, 60), FailureCode::ConnectionClosed);
        assert_eq!(after(closed(), 90, 0), FailureCode::ConnectionClosed, "none was due");
        let moved = lost(&plan, &Wire::default(), disconnect(0x9d));
        assert_eq!(after(moved, 90, 60), FailureCode::ServerMoved, "the broker's own reason counts");
    }

    #[test]
    fn a_packet_that_was_under_way_is_told_with_how_much_of_it_came() {
        let wire = Wire::default();
        wire.packet.note(5_000_000, 120_000);
        let slow = LossReason::KeepAlive { keep_alive_s: 30 };
        let failure = lost(&planned("mqtt://a.test"), &wire, slow);
        assert_eq!(failure.code, FailureCode::KeepAliveTimeout);
        assert!(failure.message.contains("a packet of 5000000 bytes"), "{failure:?}");
        assert!(failure.cause.contains("120000 bytes of it came"), "{failure:?}");
        for (fact, value) in [("packet_bytes", 5_000_000), ("arrived_bytes", 120_000), ("keep_alive_s", 30)] {
            assert_eq!(failure.evidence[fact], value, "{fact}");
        }
        assert_eq!(failure.fixes[0].action, FixAction::SetKeepAlive { keep_alive_s: 120 });

        let cut = lost(&planned("mqtt://a.test"), &wire, LossReason::Closed);
        assert!(cut.cause.contains("120000 of 5000000 bytes had come"), "{cut:?}");
        assert_eq!(cut.fixes.last().map(|fix| &fix.action), Some(&FixAction::Retry {}));
        wire.packet.note(5_000_000, 5_000_000);
        let whole = lost(&planned("mqtt://a.test"), &wire, LossReason::Closed);
        assert!(!whole.evidence.contains_key("packet_bytes"), "{whole:?}");
    }

    #[test]
    fn an_alert_in_mid_stream_is_named() {
        let wire = Wire::default();
        let alert = Some(AlertDescription::InternalError);
        wire.mqtt.end(Ended::Error { kind: io::ErrorKind::InvalidData, errno: None, alert });
        let failure = lost(&planned("mqtts://a.test"), &wire, LossReason::Closed);
        assert_eq!((failure.code, failure.stage), (FailureCode::TlsAlert, Stage::Tls));
        assert_eq!(failure.evidence["alert"], "internal_error");
    }

    #[test]
    fn what_repeats_itself_is_named_with_its_fix() {
        let plan = planned("mqtt://a.test");
        let closed = || lost(&plan, &Wire::default(), LossReason::Closed);
        let duel = repeated(&plan, closed(), Pattern::Duel { certain: true, rounds: 2 }, "press-7", 60);
        assert_eq!((duel.code, duel.retryable), (FailureCode::ClientIdDuel, false));
        assert!(duel.message.contains("press-7"));
        let FixAction::SetClientId { client_id } = &duel.fixes[0].action else { unreachable!("{duel:?}") };
        assert!(client_id.starts_with("press-7-"));
        let likely = repeated(&plan, closed(), Pattern::Duel { certain: false, rounds: 2 }, "press-7", 60);
        assert!(likely.retryable && likely.cause.contains("Likeliest"));

        let idle = Pattern::Idle { after: Duration::from_secs(60), times: 2 };
        let idle_failure = repeated(&plan, closed(), idle, "press-7", 0);
        assert_eq!(idle_failure.code, FailureCode::IdleTimeout);
        assert_eq!(idle_failure.fixes[0].action, FixAction::SetKeepAlive { keep_alive_s: 40 });
        assert_eq!(repeated(&plan, closed(), idle, "press-7", 10).fixes[0].action, FixAction::Retry {});
        let large = lost(&plan, &Wire::default(), LossReason::TooLarge { size: 70_000, limit: 1_024 });
        assert_eq!(large.fixes[0].action, FixAction::SetMaximumPacketSize { bytes: 131_072 });
    }
}
