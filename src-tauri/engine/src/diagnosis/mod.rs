//! From evidence to a named failure: what is wrong, why it is so, what would help. In: typed errors, TLS
//! alerts, operating system numbers, HTTP answers, the first bytes that were seen. Out: a [`Failure`]. Pure;
//! never reads the text of a library's error. Where the wire gives two readings, both are said.

mod certificates;
mod losses;
mod mqtt;
mod network;
mod peer;
mod tls;
mod websocket;

use rustls::AlertDescription;

pub use losses::{LossReason, Pattern, after_sleep, after_standstill, lost, repeated};
pub(crate) use mqtt::UNKNOWN_REASON;
pub use mqtt::{MqttProblem, before_connack, reason_name};
pub(crate) use network::{dns, files_too_slow, identity, proxy, tcp, tcp_words};
pub(crate) use tls::{tls, tls_unusable};
pub(crate) use websocket::websocket;

use peer::recognise;

use crate::endpoint::Scheme;
use crate::failure::{Failure, FailureCode, FixAction};
use crate::profile::{Trust, TrustMode};
use crate::trace::Stage;
use crate::transport::{Ended, Plan};

/// A fault of our own, not of the network.
pub(crate) fn internal(stage: Stage) -> Failure {
    let code = match stage {
        Stage::Identity => FailureCode::FileUnreadable,
        Stage::Dns => FailureCode::DnsFailed,
        _ => FailureCode::TlsFailed,
    };
    Failure::new(stage, code, "A part of Heliograph stopped while it was working on this attempt")
        .because("A worker thread ended early; this is a fault of Heliograph.")
        .fact("internal", true)
        .fix("Try again", FixAction::Retry {})
}

/// An alert by its name in RFC 8446, 6, e.g. `unknown_ca`.
pub(crate) fn alert_name(alert: AlertDescription) -> String {
    if let AlertDescription::Unknown(number) = alert {
        return format!("unknown_alert_{number}");
    }
    if alert == AlertDescription::UnrecognisedName {
        return "unrecognized_name".to_owned();
    }
    let camel = format!("{alert:?}");
    let letters: Vec<char> = camel.chars().collect();
    let mut name = String::new();
    for (index, letter) in letters.iter().enumerate() {
        let after_lower = index > 0 && letters[index - 1].is_ascii_lowercase();
        let before_lower = index > 0 && letters.get(index + 1).is_some_and(char::is_ascii_lowercase);
        if letter.is_ascii_uppercase() && (after_lower || before_lower) {
            name.push('_');
        }
        name.push(letter.to_ascii_lowercase());
    }
    name
}

/// The first bytes as facts.
fn with_bytes(failure: Failure, bytes: &[u8]) -> Failure {
    if bytes.is_empty() {
        return failure;
    }
    let shown = &bytes[..bytes.len().min(64)];
    failure
        .fact("first_bytes_hex", hex::encode(shown))
        .fact("first_bytes_text", shown.escape_ascii().to_string())
}

/// The end of a stream as facts.
fn with_end(failure: Failure, end: Option<&Ended>) -> Failure {
    match end {
        None => failure,
        Some(Ended::Closed) => failure.fact("ended", "closed"),
        Some(Ended::Error { kind, errno, alert }) => {
            let mut failure = failure.fact("ended", format!("{kind:?}"));
            if let Some(errno) = errno {
                failure = failure.fact("errno", *errno);
            }
            if let Some(alert) = alert {
                failure = failure.fact("alert", alert_name(*alert));
            }
            failure
        }
    }
}

fn reset(end: Option<&Ended>) -> bool {
    matches!(end, Some(Ended::Error { kind: std::io::ErrorKind::ConnectionReset, .. }))
}

/// `closed the connection`, or `reset` it.
fn how_it_closed(end: Option<&Ended>) -> &'static str {
    if reset(end) { "reset the connection" } else { "closed the connection" }
}

/// Switches the transport where nothing says what the present port speaks: an usual port changes with it.
fn switch_transport(failure: Failure, plan: &Plan, transport: Scheme) -> Failure {
    let endpoint = plan.endpoint();
    let usual = endpoint.port() == endpoint.scheme().default_port();
    let port = Some(transport.default_port()).filter(|port| usual && *port != endpoint.port());
    let label = match port {
        Some(port) => format!("Switch to {transport}, port {port}"),
        None => format!("Switch to {transport}, still on port {}", endpoint.port()),
    };
    failure.fix(label, FixAction::SetTransport { transport, port })
}

/// Switches the transport to what this very port was heard to speak.
fn switch_transport_here(failure: Failure, plan: &Plan, transport: Scheme) -> Failure {
    let label = format!("Switch to {transport}, still on port {}", plan.endpoint().port());
    failure.fix(label, FixAction::SetTransport { transport, port: None })
}

fn probe(failure: Failure, plan: &Plan) -> Failure {
    let label = format!("Find out what port {} speaks", plan.endpoint().port());
    failure.fix(label, FixAction::ProbePort {})
}

fn retry(failure: Failure) -> Failure {
    failure.fix("Try again", FixAction::Retry {})
}

fn other_port(failure: Failure, plan: &Plan) -> Failure {
    let usual = plan.endpoint().scheme().default_port();
    let port = Some(usual).filter(|port| *port != plan.endpoint().port());
    let label = match port {
        Some(port) => format!("Use port {port}, the usual one for {}", plan.endpoint().scheme()),
        None => "Use another port".to_owned(),
    };
    failure.fix(label, FixAction::SetPort { port })
}

/// Where brokers usually have their WebSocket.
fn other_path(failure: Failure, path: &str) -> Failure {
    let usual = ["/mqtt", "/ws", "/"];
    usual.iter().filter(|other| **other != path).fold(failure, |failure, other| {
        failure.fix(format!("Use the path {other}"), FixAction::SetPath { path: (*other).to_owned() })
    })
}

/// The present trust with another rule, for a fix.
pub(crate) fn trust(mode: TrustMode) -> FixAction {
    FixAction::AddTrust { mode, pinned_sha256: None, pinned_certificate: None, verify_host_name: None }
}

fn planned_trust(plan: &Plan) -> Option<&Trust> {
    plan.tls.as_ref().map(|tls| &tls.trust)
}

/// The plan of a connection that sets nothing but its URL.
#[cfg(test)]
fn planned(url: &str) -> Plan {
    use crate::profile::{Profile, ProfileId, Settings};
    let endpoint = crate::endpoint::Endpoint::parse_url(url, Scheme::Mqtt).expect("url").endpoint;
    let profile =
        Profile { id: ProfileId::random(), name: String::new(), endpoint, settings: Settings::default() };
    crate::transport::plan(&profile, &crate::secret::Secrets::default()).expect("plan")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alerts_have_the_names_of_the_rfc() {
        let names = [
            (AlertDescription::UnknownCA, "unknown_ca"),
            (AlertDescription::CertificateRequired, "certificate_required"),
            (AlertDescription::NoApplicationProtocol, "no_application_protocol"),
            (AlertDescription::UnknownPSKIdentity, "unknown_psk_identity"),
            (AlertDescription::BadRecordMac, "bad_record_mac"),
        ];
        for (alert, name) in names {
            assert_eq!(alert_name(alert), name);
        }
    }
}
