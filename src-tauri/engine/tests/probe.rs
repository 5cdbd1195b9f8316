//! "What does this port speak?", asked of real servers and of scripted ones.

#![allow(clippy::panic, reason = "a wrong answer says so")]

#[path = "../../../tests/brokers/mod.rs"]
mod brokers;

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use brokers::{Mosquitto, MosquittoOptions, Nginx, NginxOptions, Pki, free_port};
use heliograph_engine::endpoint::{Endpoint, Scheme};
use heliograph_engine::failure::FailureCode;
use heliograph_engine::probe::{ProbeAnswer, ProbeAttempt, ProbeConfig, ProbeReport, probe};
use heliograph_engine::profile::{Header, MqttVersion, Profile, ProfileId, Settings, TrustMode};
use heliograph_engine::secret::{Secret, SecretField, Secrets};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

fn config(url: &str) -> ProbeConfig {
    let endpoint = Endpoint::parse_url(url, Scheme::Mqtt).expect("url").endpoint;
    let profile =
        Profile { id: ProfileId::random(), name: String::new(), endpoint, settings: Settings::default() };
    ProbeConfig { profile, secrets: Secrets::default(), timeout_s: 10 }
}

async fn ask(config: ProbeConfig) -> ProbeReport {
    let seen = Mutex::new(Vec::new());
    let report = probe(config, |attempt| seen.lock().expect("seen").push(attempt.url.clone())).await;
    let mut seen = seen.into_inner().expect("seen");
    let mut urls: Vec<_> = report.attempts.iter().map(|attempt| attempt.url.clone()).collect();
    seen.sort();
    urls.sort();
    assert_eq!(seen, urls, "each attempt is told of once");
    report
}

fn best(report: &ProbeReport) -> &ProbeAttempt {
    &report.attempts[report.best.unwrap_or_else(|| panic!("nothing answered: {report:#?}"))]
}

fn answering(report: &ProbeReport) -> Vec<(&str, ProbeAnswer)> {
    let silent = [ProbeAnswer::Other, ProbeAnswer::Silent];
    let attempts = report.attempts.iter().filter(|attempt| !silent.contains(&attempt.answer));
    attempts.map(|attempt| (attempt.transport.as_str(), attempt.answer)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_listener_of_mosquitto_is_found_out() {
    let dir = tempfile::tempdir().expect("directory");
    let pki = Pki::make(dir.path());
    for password in [false, true] {
        let broker = Mosquitto::start(&pki, &MosquittoOptions { password, ..MosquittoOptions::default() });
        let wanted = if password { ProbeAnswer::Refused } else { ProbeAnswer::Accepted };
        for scheme in ["mqtt", "mqtts", "ws", "wss"] {
            // What the connection says now does not matter.
            let mut config = config(&format!("mqtt://localhost:{}", broker.port(scheme)));
            config.profile.settings.trust.mode = TrustMode::CaOnly;
            config.profile.settings.trust.ca_files = vec![pki.ca.display().to_string()];
            let started = Instant::now();
            let report = ask(config).await;
            println!("{scheme}, login {password}: {:?}", started.elapsed());
            let found = best(&report);
            assert_eq!((found.transport.as_str(), found.answer), (scheme, wanted), "{report:#?}");
            assert!(answering(&report).iter().all(|(found, _)| *found == scheme), "{report:#?}");
            assert_eq!(found.version, MqttVersion::V5);
            assert_eq!(found.connack.as_deref(), Some(if password { "Not authorized" } else { "Success" }));
            assert_eq!(found.certificate.is_some(), found.transport.tls());
            assert_eq!(
                report.trust.as_ref().map(|trust| trust.trusted),
                found.transport.tls().then_some(true)
            );
            if found.transport.websocket() {
                assert_eq!(found.path, "/mqtt");
            }
            assert!(started.elapsed() < Duration::from_secs(5), "it does not wait for its whole bound");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_demands_a_client_certificate_is_told_and_so_is_an_unknown_issuer() {
    let dir = tempfile::tempdir().expect("directory");
    let pki = Pki::make(dir.path());
    let broker = Mosquitto::start(
        &pki,
        &MosquittoOptions { require_certificate: true, ..MosquittoOptions::default() },
    );
    let gate = Nginx::start(&pki, broker.ws, &NginxOptions::default());
    for (port, transport) in [(broker.mqtts, "mqtts"), (broker.wss, "mqtts"), (gate.port, "wss")] {
        let report = ask(config(&format!("ws://localhost:{port}"))).await;
        let found = best(&report);
        assert_eq!(
            (found.transport.as_str(), found.answer),
            (transport, ProbeAnswer::ClientCertificate),
            "{report:#?}"
        );
        assert!(found.client_certificate_asked && found.certificate.is_some(), "{found:#?}");
        let trust = report.trust.as_ref().expect("a certificate was presented");
        assert!(!trust.trusted);
        assert!(
            trust
                .failure
                .as_ref()
                .is_some_and(|failure| failure.code == FailureCode::ServerCertUnknownIssuer),
            "{trust:#?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_protocols_are_named_and_closed_ports_too() {
    let ssh = scripted(|mut stream| async move {
        let _ = stream.write_all(b"SSH-2.0-OpenSSH_9.9\r\n").await;
        let _ = stream.read(&mut [0; 64]).await;
    })
    .await;
    let report = ask(config(&format!("mqtt://127.0.0.1:{ssh}"))).await;
    assert_eq!(report.best, None);
    assert_eq!(
        report.telling.as_ref().map(|failure| failure.code),
        Some(FailureCode::PeerSpeaksSsh),
        "{report:#?}"
    );

    let web = scripted(|mut stream| async move {
        let mut request = vec![0; 1024];
        let _ = stream.read(&mut request).await;
        let _ = stream
            .write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            .await;
    })
    .await;
    let report = ask(config(&format!("mqtt://127.0.0.1:{web}"))).await;
    assert_eq!(report.best, None);
    assert_eq!(
        report.telling.as_ref().map(|failure| failure.code),
        Some(FailureCode::WsNotFound),
        "{report:#?}"
    );

    let report = ask(config(&format!("mqtt://127.0.0.1:{}", free_port()))).await;
    assert!(report.attempts.iter().all(|attempt| attempt.answer == ProbeAnswer::Unreachable), "{report:#?}");
    assert_eq!(report.telling.map(|failure| failure.code), Some(FailureCode::ConnectionRefused));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_of_3_1_1_alone_is_found_on_its_path() {
    let broker = scripted(|mut stream| async move {
        let mut connect = vec![0; 256];
        let Ok(count) = stream.read(&mut connect).await else { return };
        // Its level stands behind the protocol name (3.1.2.2).
        let answer: &[u8] = match connect.get(..count) {
            Some([0x10, _, 0, 4, b'M', b'Q', b'T', b'T', 4, ..]) => &[0x20, 2, 0, 0],
            Some([0x10, _, 0, 4, b'M', b'Q', b'T', b'T', _, ..]) => &[0x20, 2, 0, 1],
            _ => return,
        };
        let _ = stream.write_all(answer).await;
        let _ = stream.read(&mut connect).await;
    })
    .await;
    let report = ask(config(&format!("wss://127.0.0.1:{broker}"))).await;
    let found = best(&report);
    assert_eq!(
        (found.transport, found.version, found.answer),
        (Scheme::Mqtt, MqttVersion::V311, ProbeAnswer::Accepted)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silence_ends_at_the_bound_and_dropping_ends_at_once() {
    let open = Arc::new(Mutex::new(0_i32));
    let counted = open.clone();
    let silent = scripted(move |mut stream| {
        let open = counted.clone();
        async move {
            *open.lock().expect("open") += 1;
            while matches!(stream.read(&mut [0; 1024]).await, Ok(1..)) {}
            *open.lock().expect("open") -= 1;
        }
    })
    .await;
    let bounded = ProbeConfig { timeout_s: 1, ..config(&format!("mqtt://127.0.0.1:{silent}")) };
    let started = Instant::now();
    let report = ask(bounded).await;
    assert!(report.attempts.iter().all(|attempt| attempt.answer == ProbeAnswer::Silent), "{report:#?}");
    assert!(started.elapsed() < Duration::from_secs(3), "{:?}", started.elapsed());

    let endless = ProbeConfig { timeout_s: 60, ..config(&format!("mqtt://127.0.0.1:{silent}")) };
    let probing = tokio::spawn(async move { probe(endless, |_| {}).await });
    until(|| *open.lock().expect("open") >= 8).await;
    probing.abort();
    until(|| *open.lock().expect("open") == 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_credential_reaches_the_port() {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let listening = heard.clone();
    let ear = scripted(move |mut stream| {
        let heard = listening.clone();
        async move {
            let mut bytes = vec![0; 4096];
            while let Ok(count @ 1..) = stream.read(&mut bytes).await {
                heard.lock().expect("heard").extend_from_slice(&bytes[..count]);
            }
        }
    })
    .await;
    let mut config = ProbeConfig { timeout_s: 1, ..config(&format!("ws://127.0.0.1:{ear}/own")) };
    let settings = &mut config.profile.settings;
    settings.login.enabled = true;
    settings.login.username = "canary-name".into();
    settings.session.client_id = "canary-client".into();
    settings.websocket.headers =
        vec![Header { name: "Authorization".into(), value: "canary-header".into(), secret: false }];
    config.secrets.put(SecretField::Password, Some(Secret::new("canary-password")));
    ask(config).await;
    let heard = String::from_utf8_lossy(&heard.lock().expect("heard")).into_owned();
    assert!(heard.contains("GET /own") && heard.contains("GET /mqtt") && heard.contains("MQTT"), "{heard:?}");
    assert!(!heard.contains("canary"), "{heard:?}");
}

/// A server whose every connection does the same.
async fn scripted<F: Future<Output = ()> + Send + 'static>(
    play: impl Fn(TcpStream) -> F + Send + 'static,
) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("listener");
    let port = listener.local_addr().expect("address").port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(play(stream));
        }
    });
    port
}

async fn until(done: impl Fn() -> bool) {
    let bound = tokio::time::Instant::now() + Duration::from_secs(20);
    while !done() {
        assert!(tokio::time::Instant::now() < bound, "it never came to that");
        tokio::task::yield_now().await;
    }
}
