//! The record of one attempt to connect, stage by stage, for people and machines. In: facts, from the code
//! that gathered them. Out: a serialisable trace, live while it grows. Never holds a secret.

mod hide;
mod lines;
mod note;
mod remark;
mod timing;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use serde::{Deserialize, Serialize};
use ts_rs::TS;

use lines::Line;
pub use note::LogNote;
pub use remark::{IdentityRemark, TrustRule};
pub use timing::TimingRemark;

use crate::failure::Failure;
use crate::identity::CertificateInfo;
use crate::message::{Clock, UnixMicros};
use crate::profile::{MqttVersion, UserProperty};
use crate::secret::Mask;

/// The stages, in the order in which they run. With a proxy, `proxy` comes after `tcp`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
#[ts(export)]
pub enum Stage {
    /// Certificates and keys.
    Identity,
    /// Name lookup.
    Dns,
    /// TCP.
    Tcp,
    /// Proxy.
    Proxy,
    /// TLS.
    Tls,
    /// WebSocket.
    Websocket,
    /// CONNECT and CONNACK.
    Mqtt,
}

/// How a stage ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
#[ts(export)]
pub enum Outcome {
    /// Under way.
    Running,
    /// Done.
    Ok,
    /// Failed.
    Failed,
    /// Not part of this attempt, or not reached.
    Skipped,
}

/// One attempt to connect.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, TS)]
#[ts(export)]
pub struct Trace {
    /// 1 for the first, more for reconnects.
    pub attempt: u32,
    /// The exact URL, without user name and password.
    pub url: String,
    /// When it began.
    pub started_at: UnixMicros,
    /// Stages so far, in order of start. At the end all seven are there: those that the attempt did not need,
    /// or did not reach, are skipped.
    pub stages: Vec<StageReport>,
    /// Timestamped lines, finer than the stages.
    pub log: Vec<LogLine>,
    /// The end; `None` while it runs.
    pub verdict: Option<Verdict>,
    /// Where the time went, the weightiest first; empty while it runs.
    #[serde(default)]
    pub timing: Vec<TimingRemark>,
    /// How the connection that it led to ended; `None` while that stands, or when there was none.
    #[serde(default)]
    pub end: Option<ConnectionEnd>,
}

/// How a connection ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, TS)]
#[ts(export)]
pub struct ConnectionEnd {
    /// When.
    pub at: UnixMicros,
    /// How long it stood, in microseconds.
    pub lasted_micros: u64,
    /// Why it was lost; `None` when it ended as asked.
    pub failure: Option<Failure>,
}

/// One stage of an attempt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, TS)]
#[ts(export)]
pub struct StageReport {
    /// Which stage, and what it recorded: `{"stage":…,"detail":{…}}`.
    #[serde(flatten)]
    pub detail: StageDetail,
    /// How it ended.
    pub outcome: Outcome,
    /// Microseconds from the start of the attempt.
    pub start_micros: u64,
    /// Its duration in microseconds.
    pub micros: u64,
}

/// What a stage recorded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, TS)]
#[serde(tag = "stage", content = "detail", rename_all = "snake_case")]
#[ts(export)]
#[allow(clippy::large_enum_variant, reason = "a handful a trace")]
pub enum StageDetail {
    /// Certificates and keys.
    Identity(IdentityDetail),
    /// Name lookup.
    Dns(DnsDetail),
    /// TCP.
    Tcp(TcpDetail),
    /// Proxy.
    Proxy(ProxyDetail),
    /// TLS.
    Tls(TlsDetail),
    /// WebSocket.
    Websocket(WebsocketDetail),
    /// MQTT.
    Mqtt(MqttDetail),
}

impl StageDetail {
    /// Which stage this is of.
    pub fn stage(&self) -> Stage {
        match self {
            Self::Identity(_) => Stage::Identity,
            Self::Dns(_) => Stage::Dns,
            Self::Tcp(_) => Stage::Tcp,
            Self::Proxy(_) => Stage::Proxy,
            Self::Tls(_) => Stage::Tls,
            Self::Websocket(_) => Stage::Websocket,
            Self::Mqtt(_) => Stage::Mqtt,
        }
    }
}

/// Per file: what was found in it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, TS)]
#[ts(export)]
pub struct IdentityDetail {
    /// Every file that was read: client certificate, key, CA files.
    pub files: Vec<IdentityFile>,
    /// Whether the key belongs to the certificate; `None` without a client certificate.
    pub key_matches: Option<bool>,
    /// What deserves a look, in words: expired, wrong purpose, chain incomplete.
    pub warnings: Vec<String>,
    /// The same as facts; of traces that an earlier version kept there are none.
    #[serde(default)]
    pub remarks: Vec<IdentityRemark>,
}

impl IdentityDetail {
    /// Adds what deserves a look.
    pub(crate) fn remark(&mut self, remarks: impl IntoIterator<Item = IdentityRemark>) {
        for remark in remarks {
            self.warnings.push(remark.words());
            self.remarks.push(remark);
        }
    }
}

/// A certificate or key file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, TS)]
#[ts(export)]
pub struct IdentityFile {
    /// What it was given as: `certificate`, `key`, `ca` or `crl`.
    pub role: String,
    /// Its path.
    pub path: String,
    /// `pem`, `der` or `pkcs12`.
    pub format: String,
    /// What was found in it, e.g. `2 certificates, 1 private key (PKCS#8)`.
    pub found: String,
    /// Its certificates.
    pub certificates: Vec<CertificateInfo>,
    /// Type of its private key, e.g. `ECDSA P-256`.
    pub key_type: Option<String>,
    /// How many revocation lists it holds.
    #[serde(default)]
    pub revocation_lists: usize,
}

/// Name lookup.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, TS)]
#[ts(export)]
pub struct DnsDetail {
    /// The name asked for; empty when the host is an address.
    pub name: String,
    /// Addresses, in the order in which they are tried.
    pub addresses: Vec<String>,
    /// Who looked it up: `system`, `proxy`, or `none` when the host is an address.
    pub resolver: String,
}

/// TCP.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, TS)]
#[ts(export)]
pub struct TcpDetail {
    /// Every address with its result.
    pub attempts: Vec<TcpAttempt>,
    /// Our address.
    pub local: Option<String>,
    /// The peer's address.
    pub remote: Option<String>,
}

/// One address.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, TS)]
#[ts(export)]
pub struct TcpAttempt {
    /// Address and port.
    pub address: String,
    /// `connected`, or the failure in words, or `abandoned` when another one won.
    pub result: String,
    /// The operating system's error number.
    pub errno: Option<i32>,
    /// Microseconds from the start of the attempt.
    pub start_micros: u64,
    /// Its duration.
    pub micros: u64,
}

/// Proxy.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, TS)]
#[ts(export)]
pub struct ProxyDetail {
    /// `http`, `https` or `socks5`; empty when none is set.
    pub kind: String,
    /// Host and port of the proxy.
    pub address: String,
    /// What it was asked to reach.
    pub target: String,
    /// Whether it asked for credentials.
    pub asked_credentials: bool,
    /// Whether we sent any.
    pub sent_credentials: bool,
    /// Its answer: a status line, or a SOCKS reply by name.
    pub answer: Option<String>,
}

/// TLS.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, TS)]
#[ts(export)]
pub struct TlsDetail {
    /// E.g. `TLS 1.3`.
    pub version: Option<String>,
    /// E.g. `TLS13_AES_256_GCM_SHA384`.
    pub cipher_suite: Option<String>,
    /// E.g. `X25519`.
    pub key_exchange: Option<String>,
    /// Names offered.
    pub alpn_offered: Vec<String>,
    /// Name chosen.
    pub alpn_chosen: Option<String>,
    /// The name asked for; `None` for an address.
    pub sni: Option<String>,
    /// The chain the server presented, leaf first.
    pub server_chain: Vec<CertificateInfo>,
    /// How it was trusted, in words, e.g. `system roots`, `CA file ca.pem`, `pinned`, `not verified`.
    pub trust: String,
    /// The same as facts; of traces that an earlier version kept there are none.
    #[serde(default)]
    pub trust_rule: Option<TrustRule>,
    /// Whether it was accepted; `None` when it never came to that.
    pub verified: Option<bool>,
    /// Whether the server asked for a client certificate.
    pub client_cert_asked: bool,
    /// Which issuers it named.
    pub client_cert_issuers: Vec<String>,
    /// Whether it named an issuer of the chain that was sent; `None` when it named none at all or nothing was sent.
    pub client_cert_issuer_named: Option<bool>,
    /// Which certificate was sent.
    pub client_cert_sent: Option<CertificateInfo>,
    /// Whether an earlier session was resumed.
    pub resumed: bool,
    /// The alert the server sent, by name.
    pub alert: Option<String>,
}

/// WebSocket.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, TS)]
#[ts(export)]
pub struct WebsocketDetail {
    /// E.g. `GET /mqtt HTTP/1.1`.
    pub request: String,
    /// Headers sent, secrets masked.
    pub request_headers: Vec<HttpHeader>,
    /// HTTP status.
    pub status: Option<u16>,
    /// The status line's text.
    pub reason: Option<String>,
    /// Headers received.
    pub response_headers: Vec<HttpHeader>,
    /// The subprotocol chosen.
    pub subprotocol: Option<String>,
    /// The first 512 bytes of an unexpected body, as text with escapes.
    pub body: Option<String>,
}

/// A header.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[ts(export)]
pub struct HttpHeader {
    /// Name.
    pub name: String,
    /// Value.
    pub value: String,
}

/// CONNECT and CONNACK.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, TS)]
#[ts(export)]
pub struct MqttDetail {
    /// Protocol version.
    pub version: MqttVersion,
    /// Client identifier sent.
    pub client_id: String,
    /// Clean Start or Clean Session.
    pub clean_start: bool,
    /// Keep alive sent, in seconds.
    pub keep_alive_s: u16,
    /// Whether a user name was sent.
    pub username_sent: bool,
    /// Whether a password was sent.
    pub password_sent: bool,
    /// Whether a will was sent.
    pub will_sent: bool,
    /// CONNACK; `None` when there was none.
    pub connack: Option<Connack>,
}

/// CONNACK (MQTT 5, 3.2), 3.1.1 return codes mapped to the same names.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, TS)]
#[ts(export)]
pub struct Connack {
    /// Reason code (5) or return code (3.1.1).
    pub code: u8,
    /// By name, e.g. `Success`, `Not authorized`.
    pub reason: String,
    /// Session Present.
    pub session_present: bool,
    /// Session Expiry Interval in seconds.
    pub session_expiry_s: Option<u32>,
    /// Receive Maximum.
    pub receive_maximum: Option<u16>,
    /// Maximum QoS.
    pub maximum_qos: Option<u8>,
    /// Retain Available.
    pub retain_available: Option<bool>,
    /// Maximum Packet Size in bytes.
    pub maximum_packet_size: Option<u32>,
    /// Assigned Client Identifier.
    pub assigned_client_id: Option<String>,
    /// Topic Alias Maximum.
    pub topic_alias_maximum: Option<u16>,
    /// Reason String.
    pub reason_string: Option<String>,
    /// User properties.
    pub user_properties: Vec<UserProperty>,
    /// Wildcard Subscription Available.
    pub wildcard_available: Option<bool>,
    /// Subscription Identifiers Available.
    pub subscription_ids_available: Option<bool>,
    /// Shared Subscription Available.
    pub shared_available: Option<bool>,
    /// Server Keep Alive in seconds.
    pub server_keep_alive_s: Option<u16>,
    /// Response Information.
    pub response_information: Option<String>,
    /// Server Reference.
    pub server_reference: Option<String>,
    /// Authentication Method.
    pub authentication_method: Option<String>,
}

/// A line of the trace's log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[ts(export)]
pub struct LogLine {
    /// Microseconds from the start of the attempt.
    pub micros: u64,
    /// Its stage.
    pub stage: Stage,
    /// What happened.
    pub text: String,
    /// The same as facts; lines in a protocol's own words have none.
    #[serde(default)]
    pub note: Option<LogNote>,
}

impl LogLine {
    fn note(micros: u64, stage: Stage, note: LogNote) -> Self {
        Self { micros, stage, text: note.words(), note: Some(note) }
    }
}

/// How the attempt ended. The flat object that `helio trace --json` prints last.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, TS)]
#[ts(export)]
pub struct Verdict {
    /// Connected or failed.
    pub outcome: VerdictOutcome,
    /// The failure; `None` when connected.
    pub failure: Option<Failure>,
    /// The exact URL, without user name and password.
    pub url: String,
    /// The whole attempt in microseconds.
    pub micros: u64,
}

/// How the attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
#[ts(export)]
pub enum VerdictOutcome {
    /// CONNACK said success.
    Connected,
    /// It did not come to that.
    Failed,
}

/// Grows one [`Trace`] and tells whoever watches, in order, after every change. Clones share the trace.
#[derive(Clone)]
pub struct TraceRecorder(Arc<Recording>);

struct Recording {
    trace: Mutex<Trace>,
    began: Instant,
    on_change: Box<dyn Fn(&Trace) + Send + Sync>,
    mask: Mask,
}

impl TraceRecorder {
    /// Starts the clock. `url` is without user name and password. `on_change` is called with the trace held:
    /// it must be quick, and not call back into this recorder.
    pub fn new(
        url: impl Into<String>,
        attempt: u32,
        on_change: impl Fn(&Trace) + Send + Sync + 'static,
    ) -> Self {
        Self::hiding(Mask::default(), url, attempt, on_change)
    }

    /// As [`Self::new`]; secrets of `mask` that a server sends back are hidden.
    pub fn hiding(
        mask: Mask,
        url: impl Into<String>,
        attempt: u32,
        on_change: impl Fn(&Trace) + Send + Sync + 'static,
    ) -> Self {
        let trace = Trace {
            attempt,
            url: url.into(),
            started_at: Clock::start().now(),
            stages: Vec::new(),
            log: Vec::new(),
            verdict: None,
            timing: Vec::new(),
            end: None,
        };
        Self(Arc::new(Recording {
            trace: Mutex::new(trace),
            began: Instant::now(),
            on_change: Box::new(on_change),
            mask,
        }))
    }

    /// The stage of `detail` is under way.
    pub fn begin(&self, detail: StageDetail) {
        self.change(|trace, now| {
            note(trace, detail.stage(), lines::begun(&detail), now);
            put(trace, detail, Outcome::Running, now);
        });
    }

    /// More is known about the stage of `detail`, which goes on.
    pub fn update(&self, detail: StageDetail) {
        self.change(|trace, now| {
            let outcome = outcome(trace, detail.stage()).unwrap_or(Outcome::Running);
            put(trace, detail, outcome, now);
        });
    }

    /// The stage of `detail` is done.
    pub fn ok(&self, detail: StageDetail) {
        self.change(|trace, now| {
            note(trace, detail.stage(), lines::ended(&detail, Outcome::Ok), now);
            put(trace, detail, Outcome::Ok, now);
        });
    }

    /// The stage of `detail` failed.
    pub fn failed(&self, detail: StageDetail) {
        self.change(|trace, now| {
            note(trace, detail.stage(), lines::ended(&detail, Outcome::Failed), now);
            put(trace, detail, Outcome::Failed, now);
        });
    }

    /// The stage of `detail` is not for us to do.
    pub fn skip(&self, detail: StageDetail) {
        self.change(|trace, now| put(trace, detail, Outcome::Skipped, now));
    }

    /// A line finer than the stages.
    pub fn log(&self, stage: Stage, note: LogNote) {
        self.change(|trace, micros| trace.log.push(LogLine::note(micros, stage, note)));
    }

    /// The trace so far.
    pub fn snapshot(&self) -> Trace {
        self.lock().clone()
    }

    /// CONNACK said success.
    pub fn finish_connected(&self) {
        self.change(|trace, micros| {
            end_running(trace, Outcome::Ok, micros);
            trace.verdict = Some(Verdict {
                outcome: VerdictOutcome::Connected,
                failure: None,
                url: trace.url.clone(),
                micros,
            });
            trace.timing = timing::remarks(trace);
        });
    }

    /// The connection that the attempt led to has ended, as asked or by a failure.
    pub fn end(&self, failure: Option<Failure>) {
        self.change(|trace, micros| {
            let attempt = trace.verdict.as_ref().map_or(micros, |verdict| verdict.micros);
            let lasted_micros = micros.saturating_sub(attempt);
            let note = match &failure {
                Some(failure) => LogNote::Lost { message: failure.message.clone() },
                None => LogNote::Ended,
            };
            trace.log.push(LogLine::note(micros, Stage::Mqtt, note));
            trace.end = Some(ConnectionEnd { at: Clock::start().now(), lasted_micros, failure });
        });
    }

    /// The attempt failed: what was under way failed with it, and what would have come is marked skipped.
    pub fn finish_failed(&self, failure: Failure) {
        self.change(|trace, micros| {
            end_running(trace, Outcome::Failed, micros);
            put_late_alert(trace, &failure);
            for detail in every_stage() {
                let ended = match detail.stage() == failure.seen_during {
                    true => Outcome::Failed,
                    false => Outcome::Skipped,
                };
                if outcome(trace, detail.stage()).is_none() {
                    put(trace, detail, ended, micros);
                }
            }
            trace.verdict = Some(Verdict {
                outcome: VerdictOutcome::Failed,
                failure: Some(failure),
                url: trace.url.clone(),
                micros,
            });
            trace.timing = timing::remarks(trace);
        });
    }

    fn change(&self, edit: impl FnOnce(&mut Trace, u64)) {
        let now = u64::try_from(self.0.began.elapsed().as_micros()).unwrap_or(u64::MAX);
        let mut trace = self.lock();
        edit(&mut trace, now);
        hide::hide(&mut trace, &self.0.mask);
        (self.0.on_change)(&trace);
    }

    fn lock(&self) -> MutexGuard<'_, Trace> {
        self.0.trace.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Microseconds since the attempt began.
    pub fn elapsed_micros(&self) -> u64 {
        u64::try_from(self.0.began.elapsed().as_micros()).unwrap_or(u64::MAX)
    }
}

fn note(trace: &mut Trace, stage: Stage, lines: impl IntoIterator<Item = Line>, micros: u64) {
    trace.log.extend(lines.into_iter().map(|line| match line {
        Line::Wire(text) => LogLine { micros, stage, text, note: None },
        Line::Note(note) => LogLine::note(micros, stage, note),
    }));
}

fn outcome(trace: &Trace, stage: Stage) -> Option<Outcome> {
    trace.stages.iter().find(|s| s.detail.stage() == stage).map(|s| s.outcome)
}

fn put(trace: &mut Trace, detail: StageDetail, outcome: Outcome, now: u64) {
    match trace.stages.iter_mut().find(|s| s.detail.stage() == detail.stage()) {
        Some(report) => {
            if report.outcome == Outcome::Running {
                report.micros = now.saturating_sub(report.start_micros);
            }
            report.detail = detail;
            report.outcome = outcome;
        }
        None => trace.stages.push(StageReport { detail, outcome, start_micros: now, micros: 0 }),
    }
}

fn end_running(trace: &mut Trace, outcome: Outcome, now: u64) {
    for report in trace.stages.iter_mut().filter(|s| s.outcome == Outcome::Running) {
        report.outcome = outcome;
        report.micros = now.saturating_sub(report.start_micros);
    }
}

/// An alert that came after its handshake belongs to TLS all the same.
fn put_late_alert(trace: &mut Trace, failure: &Failure) {
    let alert = failure.evidence.get("alert").and_then(serde_json::Value::as_str);
    for report in &mut trace.stages {
        if let (StageDetail::Tls(detail), Some(alert)) = (&mut report.detail, alert) {
            detail.alert = Some(alert.to_owned());
        }
    }
}

/// All stages, with nothing recorded, in the order in which they run.
fn every_stage() -> [StageDetail; 7] {
    [
        StageDetail::Identity(IdentityDetail::default()),
        StageDetail::Dns(DnsDetail::default()),
        StageDetail::Tcp(TcpDetail::default()),
        StageDetail::Proxy(ProxyDetail::default()),
        StageDetail::Tls(TlsDetail::default()),
        StageDetail::Websocket(WebsocketDetail::default()),
        StageDetail::Mqtt(MqttDetail::default()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::FailureCode;

    #[test]
    fn stages_leave_lines_in_the_log() {
        let recorder = TraceRecorder::new("mqtt://broker.test:1883", 1, |_| {});
        let dns = DnsDetail { name: "broker.test".into(), ..DnsDetail::default() };
        recorder.begin(StageDetail::Dns(dns.clone()));
        recorder.ok(StageDetail::Dns(DnsDetail { addresses: vec!["192.0.2.1".into()], ..dns }));
        recorder.failed(StageDetail::Mqtt(MqttDetail::default()));
        let log = recorder.snapshot().log;
        let lines: Vec<_> = log.iter().map(|line| (line.stage, line.text.as_str())).collect();
        let dns = Stage::Dns;
        assert_eq!(lines, [(dns, "query broker.test"), (dns, "192.0.2.1"), (Stage::Mqtt, "failed")]);
    }

    #[test]
    fn a_failure_ends_what_runs_and_skips_what_is_left() {
        let seen = Arc::new(Mutex::new(0));
        let count = Arc::clone(&seen);
        let recorder = TraceRecorder::new("wss://broker.test:443/mqtt", 1, move |_| {
            *count.lock().expect("count") += 1;
        });
        recorder.skip(StageDetail::Dns(DnsDetail::default()));
        recorder.begin(StageDetail::Tcp(TcpDetail::default()));
        recorder.finish_failed(Failure::new(Stage::Tcp, FailureCode::ConnectionRefused, "refused"));
        let trace = recorder.snapshot();
        let outcomes: Vec<_> = trace.stages.iter().map(|s| (s.detail.stage(), s.outcome)).collect();
        assert_eq!(
            outcomes,
            [
                (Stage::Dns, Outcome::Skipped),
                (Stage::Tcp, Outcome::Failed),
                (Stage::Identity, Outcome::Skipped),
                (Stage::Proxy, Outcome::Skipped),
                (Stage::Tls, Outcome::Skipped),
                (Stage::Websocket, Outcome::Skipped),
                (Stage::Mqtt, Outcome::Skipped),
            ]
        );
        assert_eq!(trace.verdict.map(|v| v.outcome), Some(VerdictOutcome::Failed));
        assert_eq!(*seen.lock().expect("count"), 3);
    }
}
