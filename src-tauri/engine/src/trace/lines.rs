//! The log's lines for a stage that begins or ends. In: what the stage recorded. Out: lines without secrets, since a
//! trace holds none.

use super::{LogNote, Outcome, StageDetail};

/// A line of the log.
pub(super) enum Line {
    /// In a protocol's own words.
    Wire(String),
    /// A sentence.
    Note(LogNote),
}

/// What a stage sets out to do; `None` where there is nothing to say beforehand.
pub(super) fn begun(detail: &StageDetail) -> Option<Line> {
    match detail {
        StageDetail::Dns(dns) if !dns.name.is_empty() => {
            Some(Line::Note(LogNote::LookUp { name: dns.name.clone() }))
        }
        StageDetail::Proxy(proxy) => {
            Some(Line::Note(LogNote::Tunnel { kind: proxy.kind.clone(), target: proxy.target.clone() }))
        }
        StageDetail::Tls(tls) => {
            let name = tls.sni.as_ref().map(|sni| format!(", SNI {sni}")).unwrap_or_default();
            let alpn = if tls.alpn_offered.is_empty() { "" } else { ", ALPN " };
            Some(Line::Wire(format!("ClientHello{name}{alpn}{}", tls.alpn_offered.join(" "))))
        }
        StageDetail::Websocket(ws) if !ws.request.is_empty() => Some(Line::Wire(ws.request.clone())),
        StageDetail::Mqtt(mqtt) => Some(Line::Note(LogNote::Connect { client_id: mqtt.client_id.clone() })),
        _ => None,
    }
}

/// What came of a stage; several lines where several things did.
pub(super) fn ended(detail: &StageDetail, outcome: Outcome) -> Vec<Line> {
    let mut lines = facts(detail);
    if outcome == Outcome::Failed {
        lines.push(Line::Note(LogNote::Failed));
    }
    lines
}

fn facts(detail: &StageDetail) -> Vec<Line> {
    let wire = |text: String| if text.is_empty() { Vec::new() } else { vec![Line::Wire(text)] };
    match detail {
        StageDetail::Identity(identity) => {
            let note = |file: &super::IdentityFile| LogNote::File {
                path: file.path.clone(),
                certificates: file.certificates.len(),
                key_type: file.key_type.clone(),
                revocation_lists: file.revocation_lists,
                found: file.found.clone(),
            };
            identity.files.iter().map(note).map(Line::Note).collect()
        }
        StageDetail::Dns(dns) => wire(dns.addresses.join(", ")),
        StageDetail::Tcp(tcp) => {
            let note = |attempt: &super::TcpAttempt| LogNote::Tried {
                address: attempt.address.clone(),
                result: attempt.result.clone(),
            };
            tcp.attempts.iter().map(note).map(Line::Note).collect()
        }
        StageDetail::Proxy(proxy) => wire(proxy.answer.clone().unwrap_or_default()),
        StageDetail::Tls(tls) => {
            let parameters = [&tls.version, &tls.cipher_suite, &tls.key_exchange];
            let mut lines = wire(parameters.into_iter().flatten().cloned().collect::<Vec<_>>().join(", "));
            let mut note = |note: LogNote| lines.push(Line::Note(note));
            if tls.client_cert_asked {
                note(LogNote::Asked { issuers: tls.client_cert_issuers.len() });
            }
            if !tls.server_chain.is_empty() {
                note(LogNote::Chain { certificates: tls.server_chain.len() });
            }
            if let Some(sent) = &tls.client_cert_sent {
                note(LogNote::Sent { subject: sent.subject.clone() });
            }
            if tls.verified == Some(true) {
                note(LogNote::Accepted { rule: tls.trust_rule.clone(), by: tls.trust.clone() });
            }
            lines.extend(tls.alert.iter().map(|alert| Line::Wire(format!("alert {alert}"))));
            lines
        }
        StageDetail::Websocket(ws) => {
            let status = ws.status.map(|status| {
                let protocol =
                    ws.subprotocol.as_ref().map(|name| format!(", subprotocol {name}")).unwrap_or_default();
                format!("{status} {}{protocol}", ws.reason.as_deref().unwrap_or_default())
            });
            wire(status.unwrap_or_default())
        }
        StageDetail::Mqtt(mqtt) => {
            let connack = mqtt.connack.as_ref().map(|connack| {
                let resumed = if connack.session_present { ", session present" } else { "" };
                format!("CONNACK 0x{:02x} {}{resumed}", connack.code, connack.reason)
            });
            wire(connack.unwrap_or_default())
        }
    }
}
