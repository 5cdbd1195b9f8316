//! What is printed. In: traces, failures, messages. Out: lines for people, or JSON for machines. Text that came
//! from a network never steers the terminal.

use std::io::{ErrorKind, Write as _};
use std::sync::OnceLock;

use anstyle::{AnsiColor, Style};
use heliograph_engine::failure::Failure;
use heliograph_engine::identity::CertificateInfo;
use heliograph_engine::message::{Direction, Message, UnixMicros};
use heliograph_engine::recording::{self, rfc3339};
use heliograph_engine::trace::{Outcome, StageDetail, StageReport, TimingRemark, Verdict, VerdictOutcome};
use serde::Serialize;
use serde_json::{Value, json};

pub const GOOD: Style = AnsiColor::Green.on_default();
pub const BAD: Style = AnsiColor::Red.on_default().bold();
pub const CARE: Style = AnsiColor::Yellow.on_default().bold();
pub const QUIET: Style = Style::new().dimmed();

/// The first reason why standard output took no more.
static UNPRINTED: OnceLock<String> = OnceLock::new();

/// Prints to standard output, with colours where they are wanted. When whoever read has gone, as `head` does,
/// the rest is not printed, which is no failure; any other reason is kept, see [`unprinted`].
pub fn print(text: &str) {
    let mut out = anstream::stdout().lock();
    if let Err(error) = out.write_all(text.as_bytes()).and_then(|()| out.flush())
        && error.kind() != ErrorKind::BrokenPipe
    {
        let _ = UNPRINTED.set(error.to_string());
    }
}

/// As [`print`], with a line feed.
pub fn line(text: &str) {
    print(&format!("{text}\n"));
}

/// Why standard output took no more, if it did not.
pub fn unprinted() -> Option<&'static str> {
    UNPRINTED.get().map(String::as_str)
}

/// To standard error. There is nobody left to tell when that fails.
pub fn print_error(text: &str) {
    let _ = anstream::stderr().lock().write_all(text.as_bytes());
}

/// A remark on standard error.
pub fn warn(text: &str) {
    print_error(&format!("{CARE}warning:{CARE:#} {}\n", printable(text)));
}

/// What ended the command, on standard error.
pub fn error(text: &str) {
    print_error(&format!("{BAD}error:{BAD:#} {}\n", printable(text)));
}

/// A remark of `--debug`, on standard error.
pub fn debug(text: &str) {
    print_error(&format!("{QUIET}{}{QUIET:#}\n", printable(text)));
}

/// A packet, for `--debug`.
pub fn packet(direction: Direction, text: &str) {
    let arrow = match direction {
        Direction::In => "←",
        Direction::Out => "→",
    };
    debug(&format!("  {arrow} {text}"));
}

/// A failure on standard error: what, why, and what would help.
pub fn failure(failure: &Failure) {
    error(&failure.message);
    print_error(&why_and_fixes(failure));
}

/// `1 message`, `2 messages`.
pub fn count(number: impl TryInto<u64>, one: &str, many: &str) -> String {
    let number = number.try_into().unwrap_or(u64::MAX);
    if number == 1 { format!("1 {one}") } else { format!("{number} {many}") }
}

/// A line of JSON.
pub fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

/// A stage that has ended, as a line of JSON.
pub fn stage_json(stage: &StageReport) -> String {
    let whole = serde_json::to_value(stage).unwrap_or_default();
    json!({
        "stage": whole.get("stage"), "outcome": whole.get("outcome"),
        "micros": stage.micros, "start_micros": stage.start_micros, "detail": whole.get("detail"),
    })
    .to_string()
}

/// The verdict, flat, as the last line of JSON, with where the time went.
pub fn verdict_json(verdict: &Verdict, timing: &[TimingRemark]) -> String {
    let failure = verdict.failure.as_ref();
    json!({
        "outcome": verdict.outcome,
        "stage": failure.map(|f| f.stage),
        "code": failure.map(|f| f.code),
        "message": failure.map(|f| &f.message),
        "cause": failure.map(|f| &f.cause),
        "seen_during": failure.map(|f| f.seen_during),
        "evidence": failure.map(|f| &f.evidence),
        "fixes": failure.map(|f| &f.fixes),
        "url": verdict.url,
        "micros": verdict.micros,
        "timing": timing,
    })
    .to_string()
}

/// Where the time went, for people.
pub fn timing_text(remark: &TimingRemark) -> String {
    match remark {
        TimingRemark::MostIn { stage, percent, micros } => {
            format!("{percent} % of it, {}, in {}", duration(*micros), name_of(stage))
        }
        TimingRemark::SlowDns { micros } => format!("the name server took {}", duration(*micros)),
        TimingRemark::AddressesBefore { address, result, count, micros, ipv6_first } => {
            let micros = duration(*micros);
            match ipv6_first {
                true => format!("IPv6 was tried first: {address} ({result}) cost {micros} before IPv4 held"),
                false => {
                    format!("{count} before the one that held, first {address} ({result}), cost {micros}")
                }
            }
        }
        TimingRemark::RoundTrip { micros } => format!("a round trip takes {}", duration(*micros)),
        TimingRemark::TlsRoundTrips { round_trips, micros, beyond_micros } => format!(
            "TLS took {}: {round_trips} round trip{}, and {} for certificates and computing",
            duration(*micros),
            if *round_trips == 1 { "" } else { "s" },
            duration(*beyond_micros),
        ),
        TimingRemark::FullHandshake {} => {
            "no session ticket is used, so each attempt shows the certificates in full".to_owned()
        }
        TimingRemark::ServerThinks { stage, micros } => {
            format!(
                "the server took {} beyond a round trip to answer in {}",
                duration(*micros),
                name_of(stage)
            )
        }
    }
}

/// A stage that has ended, for people.
pub fn stage_text(stage: &StageReport) -> String {
    let (sign, style) = match stage.outcome {
        Outcome::Ok => ("✓", GOOD),
        Outcome::Failed => ("✗", BAD),
        Outcome::Running | Outcome::Skipped => ("–", QUIET),
    };
    let name = name_of(&stage.detail.stage());
    if stage.outcome == Outcome::Skipped {
        return format!("{QUIET}  {sign} {name:<10}{QUIET:#}\n");
    }
    let (summary, lines) = describe(&stage.detail);
    let micros = duration(stage.micros);
    let mut text = format!("{style}  {sign}{style:#} {name:<10} {micros:>9}  {}\n", printable(&summary));
    for (label, value) in lines {
        text.push_str(&format!("{QUIET}{:25}{label:<14}{QUIET:#} {}\n", "", printable(&value)));
    }
    text
}

/// The verdict, for people.
pub fn verdict_text(verdict: &Verdict, timing: &[TimingRemark]) -> String {
    let timing =
        timing.iter().map(|remark| format!("{QUIET}  {}{QUIET:#}\n", printable(&timing_text(remark))));
    verdict_words(verdict) + &timing.collect::<String>()
}

fn verdict_words(verdict: &Verdict) -> String {
    let micros = duration(verdict.micros);
    match (&verdict.failure, verdict.outcome) {
        (Some(failure), _) => format!(
            "{BAD}Failed{BAD:#} after {micros} in {} ({})\n  {}\n{}",
            name_of(&failure.stage),
            name_of(&failure.code),
            printable(&failure.message),
            why_and_fixes(failure)
        ),
        (None, VerdictOutcome::Connected) => format!("{GOOD}Connected{GOOD:#} in {micros}\n"),
        (None, VerdictOutcome::Failed) => format!("{BAD}Failed{BAD:#} after {micros}\n"),
    }
}

pub fn why_and_fixes(failure: &Failure) -> String {
    let mut text = String::new();
    if !failure.cause.is_empty() {
        text.push_str(&format!("  {}\n", printable(&failure.cause)));
    }
    for fix in &failure.fixes {
        text.push_str(&format!("  {CARE}→{CARE:#} {}\n", printable(&fix.label)));
    }
    text
}

type Lines = Vec<(&'static str, String)>;

pub fn describe(detail: &StageDetail) -> (String, Lines) {
    let mut lines = Lines::new();
    let mut add = |label, value: Option<String>| {
        lines.extend(value.filter(|value| !value.is_empty()).map(|value| (label, value)));
    };
    let summary = match detail {
        StageDetail::Identity(identity) => {
            for file in &identity.files {
                add("file", Some(format!("{}: {} ({}, {})", file.role, file.path, file.format, file.found)));
                file.certificates.iter().for_each(|info| add("certificate", Some(certificate(info))));
            }
            identity.warnings.iter().for_each(|warning| add("warning", Some(warning.clone())));
            match identity.key_matches {
                Some(true) => "the key belongs to the certificate".into(),
                Some(false) => "the key does not belong to the certificate".into(),
                None => count(identity.files.len(), "file", "files"),
            }
        }
        StageDetail::Dns(dns) => format!("{} → {}", dns.name, dns.addresses.join(", ")),
        StageDetail::Tcp(tcp) => {
            for attempt in &tcp.attempts {
                add("address", Some(format!("{} {}", attempt.address, attempt.result)));
            }
            tcp.remote.clone().unwrap_or_default()
        }
        StageDetail::Proxy(proxy) => {
            add("answer", proxy.answer.clone());
            format!("{} {} → {}", proxy.kind, proxy.address, proxy.target)
        }
        StageDetail::Tls(tls) => {
            add("key exchange", tls.key_exchange.clone());
            add("asked for", tls.sni.clone());
            add("ALPN", tls.alpn_chosen.clone());
            tls.server_chain.iter().for_each(|info| add("certificate", Some(certificate(info))));
            add("trust", Some(tls.trust.clone()));
            let sent = tls.client_cert_sent.as_ref().map(certificate);
            let asked = tls.client_cert_asked.then(|| sent.unwrap_or_else(|| "asked for, none sent".into()));
            add("client", asked);
            add("alert", tls.alert.clone());
            [tls.version.clone(), tls.cipher_suite.clone()]
                .into_iter()
                .flatten()
                .collect::<Vec<_>>()
                .join(" ")
        }
        StageDetail::Websocket(websocket) => {
            add("subprotocol", websocket.subprotocol.clone());
            for header in &websocket.request_headers {
                add("sent", Some(format!("{}: {}", header.name, header.value)));
            }
            for header in &websocket.response_headers {
                add("received", Some(format!("{}: {}", header.name, header.value)));
            }
            add("body", websocket.body.clone());
            let status = websocket.status.map(|status| format!(" → {status}")).unwrap_or_default();
            format!("{}{status} {}", websocket.request, websocket.reason.clone().unwrap_or_default())
        }
        StageDetail::Mqtt(mqtt) => {
            add("client id", Some(mqtt.client_id.clone()));
            add("clean start", Some(mqtt.clean_start.to_string()));
            add(
                "login",
                mqtt.username_sent.then(|| match mqtt.password_sent {
                    true => "user name and password".into(),
                    false => "user name".into(),
                }),
            );
            let connack = serde_json::to_value(&mqtt.connack).unwrap_or_default();
            for (name, value) in connack.as_object().into_iter().flatten() {
                let boring = value.is_null() || matches!(value, Value::Array(list) if list.is_empty());
                if !boring && !matches!(name.as_str(), "code" | "reason") {
                    add("connack", Some(format!("{name} {value}")));
                }
            }
            let version = serde_json::to_value(mqtt.version).unwrap_or_default();
            let answer = mqtt.connack.as_ref().map_or("no CONNACK", |connack| connack.reason.as_str());
            format!("MQTT {} {answer}", version.as_str().unwrap_or_default())
        }
    };
    (summary, lines)
}

pub fn certificate(info: &CertificateInfo) -> String {
    let (from, until) = (date(info.not_before), date(info.not_after));
    let names = if info.sans.is_empty() { String::new() } else { format!(", {}", info.sans.join(" ")) };
    format!(
        "{}{names}, {}, {from} to {until}, issuer {}, SHA-256 {}",
        info.subject, info.key_type, info.issuer, info.sha256
    )
}

fn date(time: UnixMicros) -> String {
    rfc3339(time).get(..10).unwrap_or_default().to_owned()
}

/// The contract's name of a stage or a code.
pub fn name_of(value: &impl serde::Serialize) -> String {
    serde_json::to_value(value).ok().and_then(|name| name.as_str().map(str::to_owned)).unwrap_or_default()
}

pub fn duration(micros: u64) -> String {
    match micros {
        0..1_000 => format!("{micros} µs"),
        1_000..1_000_000 => format!("{:.1} ms", micros as f64 / 1e3),
        _ => format!("{:.2} s", micros as f64 / 1e6),
    }
}

/// A message by the letters of `--format`.
pub fn message_formatted(message: &Message, format: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut letters = format.chars();
    while let Some(letter) = letters.next() {
        let mut put = |text: &str| out.extend_from_slice(text.as_bytes());
        match letter {
            '\\' => match letters.next() {
                Some('n') => put("\n"),
                Some('t') => put("\t"),
                other => put(&other.map(String::from).unwrap_or_default()),
            },
            '%' => match letters.next() {
                Some('t') => put(&message.topic),
                Some('p') => out.extend_from_slice(&message.payload),
                Some('x') => {
                    for byte in &message.payload {
                        let _ = write!(out, "{byte:02x}");
                    }
                }
                Some('l') => put(&message.payload.len().to_string()),
                Some('q') => put(&u8::from(message.qos).to_string()),
                Some('r') => put(if message.retain { "1" } else { "0" }),
                Some('d') => put(if message.dup { "1" } else { "0" }),
                Some('I') => put(&rfc3339(message.time)),
                Some('j') => out.extend_from_slice(&recording::line(message)),
                other => put(&other.map(String::from).unwrap_or_default()),
            },
            other => put(other.encode_utf8(&mut [0; 4])),
        }
    }
    out
}

/// Text that somebody else wrote, without control characters but line feeds and tabs.
pub fn printable(text: &str) -> String {
    let steers = |c: char| c.is_control() && !matches!(c, '\n' | '\t');
    text.chars().map(|c| if steers(c) { char::REPLACEMENT_CHARACTER } else { c }).collect()
}
