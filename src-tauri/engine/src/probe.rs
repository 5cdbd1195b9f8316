//! "What does this port speak?" In: a connection, of which only the way to the port counts. Out: which
//! combinations of TLS, WebSocket, path and MQTT version answer there, and the certificates presented.
//! Runs only when asked for, side by side and within one time bound; dropping the future ends it. Every
//! combination is planned and dialled like any connection, with no credentials of the broker: no user name, no
//! client certificate, no headers. TLS is not verified for it, since nothing is entrusted to the peer; whether the
//! certificate would be accepted is asked beside it, with the connection's own rules.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;
use ts_rs::TS;

use crate::endpoint::{Endpoint, EndpointParts, Scheme};
use crate::failure::{Failure, FailureCode, FixAction};
use crate::identity::CertificateInfo;
use crate::profile::{MqttVersion, Profile, ProfileId, SessionOptions, Settings, Timing, TrustMode};
use crate::secret::{SecretField, Secrets};
use crate::session::{self, SessionConfig};
use crate::trace::{Stage, StageDetail, TlsDetail, Trace, TraceRecorder, VerdictOutcome};
use crate::transport;

/// The paths that are tried over WebSocket, after the connection's own.
pub const PATHS: [&str; 3] = ["/mqtt", "/ws", "/"];

/// The bound for everything together when nobody says otherwise, in seconds.
pub const TIMEOUT_S: u16 = 5;

/// Once something has answered, how much longer the others may take than it did.
const PATIENCE: u32 = 4;
/// And the least that they may.
const LEAST_PATIENCE: Duration = Duration::from_millis(300);
/// How long DISCONNECT may take after all have answered.
const GOODBYE: Duration = Duration::from_millis(250);

/// What is to be probed.
#[derive(Debug, Clone)]
pub struct ProbeConfig {
    /// Host, port, proxy, trust and TLS details of this connection are used, and its path is tried first.
    pub profile: Profile,
    /// Of these only the proxy's password is used.
    pub secrets: Secrets,
    /// One bound for everything together, in whole seconds.
    pub timeout_s: u16,
}

/// What a port was found to speak.
#[derive(Debug, Clone, PartialEq, Serialize, TS)]
#[ts(export)]
pub struct ProbeReport {
    /// Host and port.
    pub address: String,
    /// Every combination that was tried, in a fixed order; when it was given up, those that were decided.
    pub attempts: Vec<ProbeAttempt>,
    /// Which of them to use: its index. `None` when nothing there speaks MQTT.
    pub best: Option<usize>,
    /// What the connection's own trust says of the server's certificate; `None` when none was presented.
    pub trust: Option<ProbeTrust>,
    /// The failure that says most about the port when nothing there speaks MQTT.
    pub telling: Option<Failure>,
    /// Whether it was given up before everything was decided.
    pub cancelled: bool,
    /// The whole probe in microseconds.
    pub micros: u64,
}

/// One combination.
#[derive(Debug, Clone, PartialEq, Serialize, TS)]
#[ts(export)]
pub struct ProbeAttempt {
    /// The exact URL.
    pub url: String,
    /// Its transport.
    pub transport: Scheme,
    /// Its path; empty without WebSocket.
    pub path: String,
    /// The MQTT version that was spoken: 5, or 3.1.1 where 5 was not understood.
    pub version: MqttVersion,
    /// What came of it.
    pub answer: ProbeAnswer,
    /// CONNACK's reason by name, where there was one.
    pub connack: Option<String>,
    /// Why there is no connection.
    pub failure: Option<Failure>,
    /// Whether the server asked for a client certificate.
    pub client_certificate_asked: bool,
    /// The certificate it presented.
    pub certificate: Option<CertificateInfo>,
    /// How long it took in microseconds.
    pub micros: u64,
}

/// What came of a combination.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, TS)]
#[serde(rename_all = "snake_case")]
#[ts(export)]
pub enum ProbeAnswer {
    /// A broker, which lets anybody in.
    Accepted,
    /// A broker, which refused this: likeliest it wants a login.
    Refused,
    /// It demands a client certificate, so that nothing more can be seen without one.
    ClientCertificate,
    /// Not this combination; the failure says what was heard instead.
    Other,
    /// Nothing came in time.
    Silent,
    /// It was never reached: the failure is of the name, the network or the proxy.
    Unreachable,
}

/// What the connection's own trust says of the certificate.
#[derive(Debug, Clone, PartialEq, Serialize, TS)]
#[ts(export)]
pub struct ProbeTrust {
    /// Whether it is accepted.
    pub trusted: bool,
    /// How it was judged, in words, e.g. `system roots`.
    pub by: String,
    /// Why it is not accepted.
    pub failure: Option<Failure>,
}

/// Tries every combination. `observer` sees each attempt that is decided.
pub async fn probe(config: ProbeConfig, observer: impl Fn(&ProbeAttempt) + Send) -> ProbeReport {
    probe_until(config, observer, std::future::pending()).await
}

/// As [`probe`]. When `stop` ends, the report is of what was decided by then.
pub async fn probe_until(
    config: ProbeConfig,
    observer: impl Fn(&ProbeAttempt) + Send,
    stop: impl Future<Output = ()>,
) -> ProbeReport {
    let started = Instant::now();
    let deadline = started + Duration::from_secs(config.timeout_s.max(1).into());
    let ways = ways(&config.profile.endpoint);
    let mut tasks = JoinSet::new();
    // Two versions a way, and the verdict on the certificate.
    let (told, mut heard) = mpsc::channel(2 * ways.len() + 1);
    for (index, way) in ways.iter().enumerate() {
        tasks.spawn(walk(index, way.clone(), config.clone(), told.clone()));
    }
    let judging = tokio::spawn(judge(config.clone(), deadline));
    let judging = AbortOnDrop(judging);
    drop(told);

    let mut attempts: Vec<Option<ProbeAttempt>> = vec![None; ways.len()];
    let mut cut = deadline;
    let mut cancelled = false;
    tokio::pin!(stop);
    while attempts.iter().any(Option::is_none) {
        let told = tokio::select! {
            biased;
            told = tokio::time::timeout_at(cut, heard.recv()) => told,
            () = &mut stop => {
                cancelled = true;
                break;
            }
        };
        let Ok(Some((index, version, trace))) = told else { break };
        if version == MqttVersion::V5 && wants_older_version(&trace) {
            continue;
        }
        let attempt = read(&ways[index], version, &trace);
        if is_mqtt(attempt.answer) {
            let patience = (started.elapsed() * (PATIENCE - 1)).max(LEAST_PATIENCE);
            cut = cut.min(Instant::now() + patience);
        }
        observer(&attempt);
        attempts[index] = Some(attempt);
    }
    let attempts: Vec<_> = attempts
        .into_iter()
        .zip(&ways)
        // Whoever is not waited for is not silent.
        .filter(|(attempt, _)| attempt.is_some() || !cancelled)
        .map(|(attempt, way)| {
            attempt.unwrap_or_else(|| {
                let silent = silent(way, started.elapsed());
                observer(&silent);
                silent
            })
        })
        .collect();
    let patient = if cancelled { Instant::now() } else { cut.max(Instant::now() + LEAST_PATIENCE) };
    let trust = judging.finished_by(patient.min(deadline)).await;
    let micros = micros(started.elapsed());
    if cancelled {
        tasks.abort_all();
    }
    let _ = tokio::time::timeout(GOODBYE, async { while tasks.join_next().await.is_some() {} }).await;
    let best = best(&attempts, config.profile.endpoint.path());
    let telling = if best.is_none() { telling(&attempts) } else { None };
    let address = config.profile.endpoint.authority();
    ProbeReport { address, attempts, best, trust, telling, cancelled, micros }
}

/// Every transport at this port, over WebSocket with every path.
fn ways(endpoint: &Endpoint) -> Vec<Endpoint> {
    let parts = EndpointParts::from(endpoint.clone());
    let mut paths = vec![];
    if endpoint.websocket() {
        paths.push(endpoint.path().to_owned());
    }
    for path in PATHS {
        if !paths.iter().any(|known| known == path) {
            paths.push(path.to_owned());
        }
    }
    let mut ways = Vec::new();
    for (websocket, tls) in [(false, false), (false, true), (true, false), (true, true)] {
        for path in if websocket { &paths[..] } else { &paths[..1] } {
            let parts = EndpointParts {
                websocket,
                tls,
                host: parts.host.clone(),
                port: endpoint.port().to_string(),
                path: path.clone(),
            };
            ways.extend(Endpoint::try_from(parts));
        }
    }
    ways
}

type Told = mpsc::Sender<(usize, MqttVersion, Trace)>;

/// MQTT 5, and 3.1.1 where 5 was not understood. Tells each attempt as it ends, before its DISCONNECT.
async fn walk(index: usize, way: Endpoint, config: ProbeConfig, told: Told) {
    for version in [MqttVersion::V5, MqttVersion::V311] {
        let (profile, secrets) = stranger(&config, way.clone(), version);
        let told = told.clone();
        let observer = Arc::new(move |trace: Trace| {
            if trace.verdict.is_some() {
                // There is room for every attempt.
                let _ = told.try_send((index, version, trace));
            }
        });
        let trace = session::test(SessionConfig { profile, secrets, keep_trying: false }, observer).await;
        if !wants_older_version(&trace) {
            return;
        }
    }
}

/// The connection as somebody without credentials would make it.
fn stranger(config: &ProbeConfig, endpoint: Endpoint, version: MqttVersion) -> (Profile, Secrets) {
    let given = &config.profile.settings;
    let mut settings = Settings {
        tls: given.tls.clone(),
        proxy: given.proxy.clone(),
        session: SessionOptions { version, ..SessionOptions::default() },
        timing: Timing { connect_timeout_s: config.timeout_s.max(1), ..Timing::default() },
        ..Settings::default()
    };
    settings.trust.mode = TrustMode::Insecure;
    settings.websocket.subprotocol.clone_from(&given.websocket.subprotocol);
    let mut secrets = Secrets::default();
    secrets.put(SecretField::ProxyPassword, config.secrets.get(&SecretField::ProxyPassword).cloned());
    (Profile { id: ProfileId::random(), name: String::new(), endpoint, settings }, secrets)
}

/// A TLS handshake by the connection's own rules, and what they say of the certificate.
async fn judge(config: ProbeConfig, deadline: Instant) -> Option<ProbeTrust> {
    let parts = EndpointParts {
        websocket: false,
        tls: true,
        port: config.profile.endpoint.port().to_string(),
        ..config.profile.endpoint.clone().into()
    };
    let (mut profile, secrets) = stranger(&config, Endpoint::try_from(parts).ok()?, MqttVersion::V5);
    profile.settings.trust = config.profile.settings.trust.clone();
    let recorder = TraceRecorder::new(profile.endpoint.url(), 1, |_| {});
    let plan = transport::plan(&profile, &secrets).ok()?;
    let failure = transport::dial(&plan, &recorder, deadline).await.err();
    let trace = recorder.snapshot();
    let tls = tls_of(&trace)?;
    Some(ProbeTrust {
        trusted: tls.verified?,
        by: tls.trust.clone(),
        failure: failure.filter(|_| tls.verified == Some(false)),
    })
}

/// A task that ends with whoever waits for it.
struct AbortOnDrop(tokio::task::JoinHandle<Option<ProbeTrust>>);

impl AbortOnDrop {
    async fn finished_by(mut self, deadline: Instant) -> Option<ProbeTrust> {
        tokio::time::timeout_at(deadline, &mut self.0).await.ok()?.ok()?
    }
}

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Whether MQTT 5 was refused or met silence of a kind that 3.1.1 may not meet.
fn wants_older_version(trace: &Trace) -> bool {
    let Some(failure) = trace.verdict.as_ref().and_then(|verdict| verdict.failure.as_ref()) else {
        return false;
    };
    use FailureCode as C;
    failure.stage == Stage::Mqtt
        && matches!(
            failure.code,
            C::UnsupportedProtocolVersion
                | C::MalformedPacket
                | C::ProtocolError
                | C::UnspecifiedError
                | C::ClosedBeforeConnack
                | C::WsClosed
        )
}

fn read(way: &Endpoint, version: MqttVersion, trace: &Trace) -> ProbeAttempt {
    let failure = trace.verdict.as_ref().and_then(|verdict| verdict.failure.clone());
    let connected = trace.verdict.as_ref().is_some_and(|v| v.outcome == VerdictOutcome::Connected);
    let connack = trace.stages.iter().find_map(|report| match &report.detail {
        StageDetail::Mqtt(mqtt) => mqtt.connack.as_ref().map(|connack| connack.reason.clone()),
        _ => None,
    });
    let tls = tls_of(trace);
    let answer = match &failure {
        None if connected => ProbeAnswer::Accepted,
        None => ProbeAnswer::Silent,
        Some(_) if connack.is_some() => ProbeAnswer::Refused,
        Some(failure) => answer_of(failure),
    };
    ProbeAttempt {
        answer,
        connack,
        failure,
        version,
        client_certificate_asked: tls.is_some_and(|tls| tls.client_cert_asked),
        certificate: tls.and_then(|tls| tls.server_chain.first().cloned()),
        micros: trace.verdict.as_ref().map_or(0, |verdict| verdict.micros),
        ..silent(way, Duration::ZERO)
    }
}

fn answer_of(failure: &Failure) -> ProbeAnswer {
    use FailureCode as C;
    match (failure.stage, failure.code) {
        (_, C::ClientCertRequired | C::ClientCertRejected) => ProbeAnswer::ClientCertificate,
        (_, C::TlsTimeout | C::WsTimeout | C::ConnackTimeout) => ProbeAnswer::Silent,
        (Stage::Identity | Stage::Dns | Stage::Tcp | Stage::Proxy, _) => ProbeAnswer::Unreachable,
        _ => ProbeAnswer::Other,
    }
}

fn silent(way: &Endpoint, elapsed: Duration) -> ProbeAttempt {
    ProbeAttempt {
        url: way.url(),
        transport: way.scheme(),
        path: if way.websocket() { way.path().to_owned() } else { String::new() },
        version: MqttVersion::V5,
        answer: ProbeAnswer::Silent,
        connack: None,
        failure: None,
        client_certificate_asked: false,
        certificate: None,
        micros: micros(elapsed),
    }
}

fn tls_of(trace: &Trace) -> Option<&TlsDetail> {
    trace.stages.iter().find_map(|report| match &report.detail {
        StageDetail::Tls(tls) => Some(tls),
        _ => None,
    })
}

fn is_mqtt(answer: ProbeAnswer) -> bool {
    matches!(answer, ProbeAnswer::Accepted | ProbeAnswer::Refused)
}

/// A broker's answer before a demand for a certificate, TLS before none, the connection's own path before others.
fn best(attempts: &[ProbeAttempt], path: &str) -> Option<usize> {
    let rank = |attempt: &ProbeAttempt| {
        let answer = match attempt.answer {
            ProbeAnswer::Accepted | ProbeAnswer::Refused => 0,
            ProbeAnswer::ClientCertificate => 1,
            _ => return None,
        };
        let preferred = attempt.path.is_empty() || attempt.path == path;
        Some((answer, !attempt.transport.tls(), attempt.transport.websocket(), !preferred))
    };
    let ranked = attempts.iter().enumerate().filter_map(|(index, attempt)| Some((rank(attempt)?, index)));
    ranked.min().map(|(_, index)| index)
}

/// What was heard says more than how it closed, and that more than silence.
fn telling(attempts: &[ProbeAttempt]) -> Option<Failure> {
    use FailureCode as C;
    let rank = |failure: &Failure| match failure.code {
        C::PeerSpeaksSsh | C::PeerSpeaksSmtp => 0,
        C::WsNotFound | C::WsUnauthorized | C::WsForbidden | C::WsRedirected | C::WsNotUpgraded => 1,
        C::WsRejected | C::WsServerError | C::WsHandshakeInvalid | C::WsSubprotocolRefused => 1,
        C::PeerSpeaksHttp => 2,
        C::PeerSpeaksTls | C::PeerIsNotMqtt | C::PeerIsNotHttp | C::PeerIsNotTls => 3,
        C::ClosedDuringTls | C::ClosedDuringWebsocket | C::ClosedBeforeConnack => 5,
        C::TlsTimeout | C::WsTimeout | C::ConnackTimeout => 6,
        _ => 4,
    };
    let failures = attempts.iter().filter_map(|attempt| attempt.failure.as_ref());
    let mut failure = failures.min_by_key(|failure| rank(failure))?.clone();
    // That has just been done, and every transport was tried with it.
    failure.fixes.retain(|fix| {
        !matches!(fix.action, FixAction::ProbePort {} | FixAction::SetTransport { port: None, .. })
    });
    Some(failure)
}

fn micros(elapsed: Duration) -> u64 {
    u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(url: &str) -> Endpoint {
        Endpoint::parse_url(url, Scheme::Mqtt).expect("url").endpoint
    }

    #[test]
    fn every_transport_is_tried_at_this_port_and_the_own_path_first() {
        let urls: Vec<_> = ways(&endpoint("wss://b.test:9001/own?k=v")).iter().map(Endpoint::url).collect();
        assert_eq!(urls[..2], ["mqtt://b.test:9001", "mqtts://b.test:9001"]);
        assert_eq!(urls[2..4], ["ws://b.test:9001/own?k=v", "ws://b.test:9001/mqtt"]);
        assert_eq!(urls.len(), 2 + 2 * 4);
        let usual: Vec<_> = ways(&endpoint("mqtt://[fe80::1]:1883")).iter().map(Endpoint::url).collect();
        assert_eq!(usual.len(), 2 + 2 * 3, "{usual:?}");
        assert!(usual.iter().all(|url| url.contains("[fe80::1]:1883")), "{usual:?}");
    }

    #[test]
    fn a_stranger_has_no_credentials_but_the_proxys() {
        let mut settings = Settings::default();
        settings.login.enabled = true;
        settings.login.username = "canary-user".into();
        settings.client_certificate.enabled = true;
        settings.websocket.headers =
            vec![crate::profile::Header { name: "X".into(), value: "canary-header".into(), secret: false }];
        settings.session.client_id = "canary-id".into();
        settings.will.enabled = true;
        let profile = Profile {
            id: ProfileId::random(),
            name: String::new(),
            endpoint: endpoint("mqtt://b"),
            settings,
        };
        let mut secrets = Secrets::default();
        secrets.put(SecretField::Password, Some(crate::secret::Secret::new("canary-password")));
        secrets.put(SecretField::ProxyPassword, Some(crate::secret::Secret::new("proxy")));
        let config = ProbeConfig { profile, secrets, timeout_s: 1 };
        let (profile, secrets) = stranger(&config, endpoint("wss://b/x"), MqttVersion::V5);
        assert!(!format!("{profile:?}").contains("canary"), "{profile:?}");
        assert!(!profile.settings.client_certificate.enabled && !profile.settings.will.enabled);
        assert!(secrets.get(&SecretField::Password).is_none());
        assert!(secrets.get(&SecretField::ProxyPassword).is_some());
    }

    #[test]
    fn tls_and_the_own_path_are_preferred() {
        let attempt = |url: &str, answer| ProbeAttempt { answer, ..silent(&endpoint(url), Duration::ZERO) };
        let attempts = [
            attempt("mqtt://b:1", ProbeAnswer::Accepted),
            attempt("wss://b:1/mqtt", ProbeAnswer::Accepted),
            attempt("wss://b:1/own", ProbeAnswer::Refused),
            attempt("mqtts://b:1", ProbeAnswer::ClientCertificate),
        ];
        assert_eq!(best(&attempts, "/own"), Some(2));
        assert_eq!(best(&attempts[3..], "/own"), Some(0));
        assert_eq!(best(&[attempt("mqtt://b:1", ProbeAnswer::Other)], "/"), None);
    }
}
