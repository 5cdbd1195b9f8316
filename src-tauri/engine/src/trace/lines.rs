//! The log's words for a stage that begins or ends. In: what the stage recorded. Out: one line, without
//! secrets, since a trace holds none.

use super::{Outcome, StageDetail};

/// What a stage sets out to do; `None` where there is nothing to say beforehand.
pub(super) fn begun(detail: &StageDetail) -> Option<String> {
    match detail {
        StageDetail::Dns(dns) if !dns.name.is_empty() => Some(format!("query {}", dns.name)),
        StageDetail::Proxy(proxy) => Some(format!("{} to {}", proxy.kind, proxy.target)),
        StageDetail::Tls(tls) => {
            let name = tls.sni.as_ref().map(|sni| format!(", SNI {sni}")).unwrap_or_default();
            let alpn = if tls.alpn_offered.is_empty() { "" } else { ", ALPN " };
            Some(format!("ClientHello{name}{alpn}{}", tls.alpn_offered.join(" ")))
        }
        StageDetail::Websocket(ws) if !ws.request.is_empty() => Some(ws.request.clone()),
        StageDetail::Mqtt(mqtt) => Some(format!("CONNECT as {}", mqtt.client_id)),
        _ => None,
    }
}

/// What came of a stage; several lines where several things did.
pub(super) fn ended(detail: &StageDetail, outcome: Outcome) -> Vec<String> {
    let mut lines = facts(detail);
    if outcome == Outcome::Failed {
        lines.push("failed".to_owned());
    }
    lines
}

fn facts(detail: &StageDetail) -> Vec<String> {
    match detail {
        StageDetail::Identity(identity) => {
            identity.files.iter().map(|file| format!("{}: {}", file.path, file.found)).collect()
        }
        StageDetail::Dns(dns) => non_empty(dns.addresses.join(", ")),
        StageDetail::Tcp(tcp) => {
            tcp.attempts.iter().map(|attempt| format!("{} {}", attempt.address, attempt.result)).collect()
        }
        StageDetail::Proxy(proxy) => proxy.answer.iter().cloned().collect(),
        StageDetail::Tls(tls) => {
            let mut lines = Vec::new();
            let parameters = [&tls.version, &tls.cipher_suite, &tls.key_exchange];
            lines.extend(non_empty(parameters.into_iter().flatten().cloned().collect::<Vec<_>>().join(", ")));
            if tls.client_cert_asked {
                lines.push(format!("CertificateRequest, {} issuers", tls.client_cert_issuers.len()));
            }
            if !tls.server_chain.is_empty() {
                lines.push(format!("server chain, {} certificates", tls.server_chain.len()));
            }
            lines.extend(tls.client_cert_sent.iter().map(|sent| format!("sent {}", sent.subject)));
            lines.extend(
                tls.verified.filter(|&verified| verified).map(|_| format!("accepted: {}", tls.trust)),
            );
            lines.extend(tls.alert.iter().map(|alert| format!("alert {alert}")));
            lines
        }
        StageDetail::Websocket(ws) => {
            let status = ws.status.map(|status| {
                let protocol =
                    ws.subprotocol.as_ref().map(|name| format!(", subprotocol {name}")).unwrap_or_default();
                format!("{status} {}{protocol}", ws.reason.as_deref().unwrap_or_default())
            });
            status.into_iter().collect()
        }
        StageDetail::Mqtt(mqtt) => {
            let connack = mqtt.connack.as_ref().map(|connack| {
                let resumed = if connack.session_present { ", session present" } else { "" };
                format!("CONNACK 0x{:02x} {}{resumed}", connack.code, connack.reason)
            });
            connack.into_iter().collect()
        }
    }
}

fn non_empty(line: String) -> Vec<String> {
    if line.is_empty() { Vec::new() } else { vec![line] }
}
