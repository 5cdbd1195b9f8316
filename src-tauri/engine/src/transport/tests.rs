//! Scripted servers on loopback: each misbehaves in one way, and the attempt must name it.

use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use rustls::ServerConfig;
use rustls::server::WebPkiClientVerifier;
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

mod reach;

use super::*;
use crate::diagnosis::{MqttProblem, before_connack};
use crate::endpoint::{Endpoint, Scheme};
use crate::failure::FixAction;
use crate::profile::{ClientCertificate, Header, Profile, ProfileId, Proxy, Settings};
use crate::secret::{Secret, SecretField, Secrets};
use crate::trace::Outcome;

fn profile(url: &str) -> Profile {
    let endpoint = Endpoint::parse_url(url, Scheme::Mqtt).expect("url").endpoint;
    Profile { id: ProfileId::random(), name: String::new(), endpoint, settings: Settings::default() }
}

async fn attempt(
    profile: &Profile,
    secrets: &Secrets,
    millis: u64,
) -> (Result<Dialled, Failure>, crate::trace::Trace) {
    let plan = plan(profile, secrets).expect("plan");
    let trace = TraceRecorder::new(plan.url(), 1, |_| {});
    let result = dial(&plan, &trace, Instant::now() + Duration::from_millis(millis)).await;
    (result, trace.snapshot())
}

async fn dialled(profile: &Profile) -> Dialled {
    attempt(profile, &Secrets::default(), 5000).await.0.expect("connected")
}

async fn code_of(profile: &Profile) -> FailureCode {
    attempt(profile, &Secrets::default(), 5000).await.0.expect_err("must fail").code
}

/// Serves every connection with `script`; ends with the test's runtime.
async fn serve<F, Fut>(script: F) -> u16
where
    F: Fn(TcpStream) -> Fut + Send + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let port = listener.local_addr().expect("address").port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(script(stream));
        }
    });
    port
}

/// Reads what the client begins with, answers, and closes in order.
async fn answering(answer: &'static [u8]) -> u16 {
    serve(move |mut stream| async move {
        let mut begin = [0; 4096];
        let _ = stream.read(&mut begin).await;
        let _ = stream.write_all(answer).await;
        let _ = stream.shutdown().await;
        while matches!(stream.read(&mut begin).await, Ok(count) if count > 0) {}
    })
    .await
}

async fn read_head(stream: &mut (impl AsyncReadExt + Unpin)) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        if stream.read(&mut byte).await.unwrap_or(0) == 0 {
            break;
        }
        head.push(byte[0]);
    }
    String::from_utf8_lossy(&head).into_owned()
}

fn accept_of(head: &str) -> String {
    let key = head.lines().find_map(|line| line.strip_prefix("Sec-WebSocket-Key: ")).expect("key");
    tokio_tungstenite::tungstenite::handshake::derive_accept_key(key.trim().as_bytes())
}

#[tokio::test]
async fn foreign_peers_are_named_during_tls() {
    use FailureCode as C;
    let table: [(&'static [u8], C); 7] = [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", C::PeerSpeaksHttp),
        (b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n", C::PeerSpeaksSsh),
        (b"220 mail.example ESMTP\r\n", C::PeerSpeaksSmtp),
        (b"\x20\x02\x00\x01", C::PeerSpeaksMqtt),
        (b"what is this, and why does it go on?", C::PeerIsNotTls),
        (b"", C::ClosedDuringTls),
        (b"\x15\x03\x03\x00\x02\x02\x46", C::TlsVersionUnsupported),
    ];
    for (answer, code) in table {
        let port = answering(answer).await;
        let profile = profile(&format!("mqtts://127.0.0.1:{port}"));
        let (result, trace) = attempt(&profile, &Secrets::default(), 5000).await;
        let failure = result.expect_err("not TLS");
        assert_eq!(failure.code, code, "{}: {failure:?}", answer.escape_ascii());
        assert!(failure.message.contains(&format!("127.0.0.1:{port}")), "{}", failure.message);
        assert!(!failure.fixes.is_empty());
        assert_eq!(trace.stages.last().map(|s| s.outcome), Some(Outcome::Failed));
    }
}

#[tokio::test]
async fn the_bound_holds_and_is_named_by_stage() {
    let port = serve(|stream| async move {
        let _open = stream;
        std::future::pending::<()>().await;
    })
    .await;
    for (scheme, code) in [("mqtts", FailureCode::TlsTimeout), ("ws", FailureCode::WsTimeout)] {
        let began = std::time::Instant::now();
        let profile = profile(&format!("{scheme}://127.0.0.1:{port}"));
        let failure = attempt(&profile, &Secrets::default(), 200).await.0.expect_err("silence");
        assert_eq!(failure.code, code);
        assert!(failure.retryable);
        assert!(began.elapsed() < Duration::from_secs(3));
    }
}

#[tokio::test]
async fn dropping_the_attempt_closes_the_connection() {
    let (told, mut seen) = tokio::sync::mpsc::channel(1);
    let port = serve(move |mut stream| {
        let told = told.clone();
        async move {
            let mut all = Vec::new();
            let _ = told.send(false).await;
            let _ = stream.read_to_end(&mut all).await;
            let _ = told.send(true).await;
        }
    })
    .await;
    let profile = profile(&format!("mqtts://127.0.0.1:{port}"));
    let task = tokio::spawn(async move { attempt(&profile, &Secrets::default(), 60_000).await.1 });
    assert_eq!(seen.recv().await, Some(false));
    task.abort();
    let closed = tokio::time::timeout(Duration::from_secs(5), seen.recv()).await;
    assert_eq!(closed, Ok(Some(true)));
}

#[tokio::test]
async fn refused_and_unknown_hosts_are_named() {
    let port = TcpListener::bind("127.0.0.1:0").await.expect("bind").local_addr().expect("address").port();
    let refused = profile(&format!("mqtt://127.0.0.1:{port}"));
    assert_eq!(code_of(&refused).await, FailureCode::ConnectionRefused);
    let unknown = profile("mqtt://no-such-host.invalid");
    assert_eq!(code_of(&unknown).await, FailureCode::NameNotFound);
}

#[tokio::test]
async fn http_answers_are_named_and_kept() {
    use FailureCode as C;
    let table: [(&'static [u8], C); 12] = [
        (b"HTTP/1.1 404 Not Found\r\nServer: t\r\nContent-Length: 4\r\n\r\nnope", C::WsNotFound),
        (b"HTTP/1.1 401 Unauthorized\r\n\r\n", C::WsUnauthorized),
        (b"HTTP/1.0 403 Forbidden\r\n\r\n", C::WsForbidden),
        (b"HTTP/1.1 301 Moved\r\nLocation: https://other.test/mqtt\r\n\r\n", C::WsRedirected),
        (b"HTTP/1.1 200 OK\r\n\r\n<html>", C::WsNotUpgraded),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", C::WsRejected),
        (b"HTTP/1.1 426 Upgrade Required\r\n\r\n", C::WsRejected),
        (b"HTTP/1.1 503 Service Unavailable\r\n\r\n", C::WsServerError),
        (b"\x20\x02\x00\x01", C::PeerSpeaksMqtt),
        (b"\x15\x03\x01\x00\x02\x02\x46", C::PeerSpeaksTls),
        (b"SSH-2.0-x\r\n", C::PeerIsNotHttp),
        (b"", C::ClosedDuringWebsocket),
    ];
    for (answer, code) in table {
        let port = answering(answer).await;
        let (result, trace) =
            attempt(&profile(&format!("ws://127.0.0.1:{port}/a")), &Secrets::default(), 5000).await;
        let failure = result.expect_err("no WebSocket");
        assert_eq!(failure.code, code, "{}", answer.escape_ascii());
        assert_eq!(failure.retryable, matches!(code, C::WsServerError | C::ClosedDuringWebsocket));
        if code == C::WsNotFound {
            let Some(StageDetail::Websocket(detail)) = trace.stages.last().map(|s| s.detail.clone()) else {
                unreachable!("the websocket stage")
            };
            assert_eq!((detail.status, detail.body.as_deref()), (Some(404), Some("nope")));
            assert!(matches!(&failure.fixes[0].action, FixAction::SetPath { path } if path == "/mqtt"));
        }
    }
}

#[tokio::test]
async fn a_wrong_handshake_is_named() {
    let answers = [
        ("Sec-WebSocket-Accept: AAAA", FailureCode::WsHandshakeInvalid),
        ("Sec-WebSocket-Accept: {}\r\nSec-WebSocket-Protocol: chat", FailureCode::WsSubprotocolRefused),
    ];
    for (headers, code) in answers {
        let port = serve(move |mut stream| async move {
            let head = read_head(&mut stream).await;
            let headers = headers.replace("{}", &accept_of(&head));
            let text =
                format!("HTTP/1.1 101 S\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n{headers}\r\n\r\n");
            let _ = stream.write_all(text.as_bytes()).await;
            let _ = read_head(&mut stream).await;
        })
        .await;
        assert_eq!(code_of(&profile(&format!("ws://127.0.0.1:{port}"))).await, code);
    }
}

async fn upgrade(stream: &mut TcpStream) -> String {
    let head = read_head(stream).await;
    let text = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {}\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n",
        accept_of(&head)
    );
    stream.write_all(text.as_bytes()).await.expect("upgrade");
    head
}

#[tokio::test]
async fn large_and_fragmented_messages_pass_both_ways() {
    const SIZE: usize = 20 << 20;
    let port = serve(|mut stream| async move {
        upgrade(&mut stream).await;
        // The library beneath is only let at what follows an answer to CONNECT.
        stream.write_all(&[0x82, 5, 0x20, 3, 0, 0, 0]).await.expect("CONNACK");
        // 20 MiB in one message of fragments of 1 MiB, with a ping between them; sent as raw frames.
        let total = SIZE >> 20;
        for index in 0..total {
            let opcode = if index == 0 { 2 } else { 0 } | if index + 1 == total { 0x80 } else { 0 };
            let mut frame = vec![opcode, 127];
            frame.extend((1u64 << 20).to_be_bytes());
            frame.resize(frame.len() + (1 << 20), index as u8);
            if index == 3 {
                stream.write_all(&[0x89, 0]).await.expect("ping");
            }
            stream.write_all(&frame).await.expect("fragment");
        }
        let config = tokio_tungstenite::tungstenite::protocol::WebSocketConfig::default();
        let mut socket = tokio_tungstenite::WebSocketStream::from_raw_socket(
            stream,
            tokio_tungstenite::tungstenite::protocol::Role::Server,
            Some(config),
        )
        .await;
        let (mut bytes, mut pongs, mut sum) = (0, 0, 0u64);
        while bytes < SIZE {
            use futures_util::StreamExt;
            use tokio_tungstenite::tungstenite::Message;
            match socket.next().await {
                Some(Ok(Message::Binary(part))) => {
                    bytes += part.len();
                    sum += part.iter().map(|byte| u64::from(*byte)).sum::<u64>();
                }
                Some(Ok(Message::Pong(_))) => pongs += 1,
                other => unreachable!("{other:?}"),
            }
        }
        use futures_util::SinkExt;
        let told = format!("{bytes} {pongs} {sum}");
        socket.send(told.into_bytes().into()).await.expect("summary");
        socket.close(None).await.expect("close");
    })
    .await;
    let mut connection = dialled(&profile(&format!("ws://127.0.0.1:{port}"))).await;
    let mut connack = [0; 5];
    connection.stream.read_exact(&mut connack).await.expect("CONNACK");
    let mut received = vec![0; SIZE];
    connection.stream.read_exact(&mut received).await.expect("read");
    assert!(received.chunks(1 << 20).enumerate().all(|(index, part)| part.iter().all(|b| *b == index as u8)));
    connection.stream.write_all(&vec![1; SIZE]).await.expect("write");
    connection.stream.flush().await.expect("flush");
    let mut told = String::new();
    connection.stream.read_to_string(&mut told).await.expect("summary");
    assert_eq!(told, format!("{SIZE} 1 {SIZE}"));
    assert_eq!(connection.wire.websocket.read().closed.as_ref().map(|(status, _)| *status), Some(1005));
}

#[tokio::test]
async fn a_text_frame_is_named() {
    let port = serve(|mut stream| async move {
        upgrade(&mut stream).await;
        stream.write_all(b"\x81\x05hello").await.expect("text frame");
        let _ = read_head(&mut stream).await;
    })
    .await;
    let profile = profile(&format!("ws://127.0.0.1:{port}"));
    let plan = plan(&profile, &Secrets::default()).expect("plan");
    let mut connection = dialled(&profile).await;
    let error = connection.stream.read_u8().await.expect_err("text is not MQTT");
    let failure = before_connack(&plan, &connection.wire, MqttProblem::Io(error));
    assert_eq!(failure.code, FailureCode::WsTextFrame);
}

#[tokio::test]
async fn secret_headers_go_out_and_stay_hidden() {
    let (told, mut seen) = tokio::sync::mpsc::channel(1);
    let port = serve(move |mut stream| {
        let told = told.clone();
        async move {
            let head = upgrade(&mut stream).await;
            let _ = told.send(head).await;
            let _ = read_head(&mut stream).await;
        }
    })
    .await;
    let mut profile = profile(&format!("ws://127.0.0.1:{port}/mqtt?a=b"));
    profile.settings.websocket.headers =
        vec![Header { name: "X-Token".into(), value: String::new(), secret: true }];
    let mut secrets = Secrets::default();
    secrets.put(SecretField::WebsocketHeader("x-token".into()), Some(Secret::new("canary")));
    let (result, trace) = attempt(&profile, &secrets, 5000).await;
    result.expect("connected");
    let head = seen.recv().await.expect("head");
    assert!(head.starts_with("GET /mqtt?a=b HTTP/1.1\r\n"));
    assert!(head.contains("X-Token: canary\r\n"));
    assert!(head.contains(&format!("Host: 127.0.0.1:{port}\r\n")));
    let shown = serde_json::to_string(&trace).expect("json");
    assert!(shown.contains("X-Token") && !shown.contains("canary"));
}

#[tokio::test]
async fn http_proxies_are_spoken_to_and_named() {
    use FailureCode as C;
    let table: [(&'static [u8], bool, Option<C>); 6] = [
        (b"HTTP/1.1 200 OK\r\n\r\n", true, None),
        (b"HTTP/1.1 407 Auth\r\n\r\n", false, Some(C::ProxyAuthRequired)),
        (b"HTTP/1.1 407 Auth\r\n\r\n", true, Some(C::ProxyAuthRejected)),
        (b"HTTP/1.1 403 No\r\n\r\n", false, Some(C::ProxyDenied)),
        (b"HTTP/1.1 502 Bad\r\n\r\n", false, Some(C::ProxyTargetUnreachable)),
        (b"SSH-2.0-x\r\n", false, Some(C::ProxyProtocolError)),
    ];
    for (answer, login, code) in table {
        let port = answering(answer).await;
        let profile = proxied(crate::profile::ProxyKind::Http, port, login);
        let (result, trace) = attempt(&profile, &Secrets::default(), 5000).await;
        assert_eq!(result.err().map(|failure| failure.code), code);
        assert!(!serde_json::to_string(&trace).expect("json").contains("Basic"));
    }
}

fn proxied(kind: crate::profile::ProxyKind, port: u16, login: bool) -> Profile {
    let mut profile = profile("mqtt://broker.example:1883");
    let username = if login { "ann".to_owned() } else { String::new() };
    profile.settings.proxy = Proxy { kind, host: "127.0.0.1".into(), port, username, resolve_locally: false };
    profile
}

#[tokio::test]
async fn socks_proxies_resolve_names_and_check_passwords() {
    for (status, reply, code) in [
        (0, 0, None),
        (1, 0, Some(FailureCode::ProxyAuthRejected)),
        (0, 2, Some(FailureCode::ProxyDenied)),
        (0, 5, Some(FailureCode::ProxyTargetUnreachable)),
    ] {
        let port = serve(move |mut stream| async move {
            let mut greeting = [0; 4];
            stream.read_exact(&mut greeting).await.expect("greeting");
            assert_eq!(greeting, [5, 2, 0, 2]);
            stream.write_all(&[5, 2]).await.expect("method");
            let mut login = [0; 1 + 1 + 3 + 1 + 3];
            stream.read_exact(&mut login).await.expect("login");
            assert_eq!(&login, b"\x01\x03ann\x03pwd");
            stream.write_all(&[1, status]).await.expect("status");
            let mut request = [0; 4 + 1 + 14 + 2];
            if stream.read_exact(&mut request).await.is_ok() {
                assert_eq!(&request, b"\x05\x01\x00\x03\x0ebroker.example\x07\x5b");
                stream.write_all(&[5, reply, 0, 1, 0, 0, 0, 0, 0, 0, 0x20]).await.expect("reply");
            }
        })
        .await;
        let mut secrets = Secrets::default();
        secrets.put(SecretField::ProxyPassword, Some(Secret::new("pwd")));
        let profile = proxied(crate::profile::ProxyKind::Socks5, port, true);
        match (attempt(&profile, &secrets, 5000).await.0, code) {
            (Ok(mut connection), None) => {
                assert_eq!(connection.stream.read_u8().await.expect("the tunnel's first byte"), 0x20);
            }
            (result, code) => assert_eq!(result.err().map(|failure| failure.code), code),
        }
    }
}

/// An authority, and what it issues.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    der: CertificateDer<'static>,
    pem: String,
}

impl Authority {
    fn new(name: &str) -> Self {
        let key = KeyPair::generate().expect("key");
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let cert = params.self_signed(&key).expect("CA");
        let (der, pem) = (cert.der().clone(), cert.pem());
        Self { issuer: Issuer::new(params, key), der, pem }
    }

    fn issue(
        &self,
        change: impl FnOnce(&mut CertificateParams),
    ) -> (CertificateDer<'static>, String, KeyPair) {
        let key = KeyPair::generate().expect("key");
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).expect("params");
        params.distinguished_name.push(DnType::CommonName, "leaf");
        change(&mut params);
        let cert = params.signed_by(&key, &self.issuer).expect("leaf");
        (cert.der().clone(), cert.pem(), key)
    }
}

fn private(key: &KeyPair) -> PrivateKeyDer<'static> {
    PrivatePkcs8KeyDer::from(key.serialize_der()).into()
}

fn server_config(
    chain: Vec<CertificateDer<'static>>,
    key: &KeyPair,
    clients: Option<&Authority>,
    versions: &[&'static rustls::SupportedProtocolVersion],
) -> Arc<ServerConfig> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(versions)
        .expect("versions");
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(authority) => {
            let mut roots = rustls::RootCertStore::empty();
            roots.add(authority.der.clone()).expect("root");
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            builder.with_client_cert_verifier(verifier.build().expect("verifier"))
        }
    };
    let mut config = builder.with_single_cert(chain, private(key)).expect("server");
    config.alpn_protocols = vec![b"mqtt".to_vec()];
    Arc::new(config)
}

async fn serve_tls(config: Arc<ServerConfig>) -> u16 {
    serve(move |stream| {
        let acceptor = TlsAcceptor::from(Arc::clone(&config));
        async move {
            if let Ok(mut stream) = acceptor.accept(stream).await {
                let mut space = [0; 1024];
                while matches!(stream.read(&mut space).await, Ok(count) if count > 0) {}
            }
        }
    })
    .await
}

const BOTH: [&rustls::SupportedProtocolVersion; 2] = [&rustls::version::TLS13, &rustls::version::TLS12];

/// A profile that trusts the given PEM file alone.
fn trusting(port: u16, ca: &std::path::Path) -> Profile {
    let mut profile = profile(&format!("mqtts://localhost:{port}"));
    profile.settings.trust.mode = TrustMode::CaOnly;
    profile.settings.trust.ca_files = vec![ca.to_string_lossy().into_owned()];
    profile
}

#[tokio::test]
async fn server_certificates_are_judged_and_named() {
    use FailureCode as C;
    let folder = tempfile::tempdir().expect("folder");
    let root = Authority::new("Test Root CA");
    let ca = folder.path().join("ca.pem");
    std::fs::write(&ca, &root.pem).expect("ca");
    let other = Authority::new("Nobody's CA");
    let day = |year| rcgen::date_time_ymd(year, 1, 1);
    let middle = {
        let key = KeyPair::generate().expect("key");
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "Test Intermediate CA");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let cert = params.signed_by(&key, &root.issuer).expect("intermediate");
        Authority { der: cert.der().clone(), pem: cert.pem(), issuer: Issuer::new(params, key) }
    };
    let own_key = KeyPair::generate().expect("key");
    let mut own = CertificateParams::new(vec!["localhost".to_owned()]).expect("params");
    own.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let own = own.self_signed(&own_key).expect("self-signed");
    let self_signed = (own.der().clone(), own.pem(), own_key);

    let table = [
        ("good", root.issue(|_| {}), None),
        ("expired", root.issue(|p| p.not_after = day(2020)), Some(C::ServerCertExpired)),
        ("early", root.issue(|p| p.not_before = day(2090)), Some(C::ServerCertNotYetValid)),
        (
            "name",
            root.issue(|p| {
                p.subject_alt_names = vec![rcgen::SanType::DnsName("x.test".try_into().expect("name"))]
            }),
            Some(C::ServerCertNameMismatch),
        ),
        ("no san", root.issue(|p| p.subject_alt_names.clear()), Some(C::ServerCertNoSan)),
        ("unknown", other.issue(|_| {}), Some(C::ServerCertUnknownIssuer)),
        ("incomplete", middle.issue(|_| {}), Some(C::ServerCertChainIncomplete)),
        (
            "purpose",
            root.issue(|p| p.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth]),
            Some(C::ServerCertWrongPurpose),
        ),
        ("self-signed", self_signed, Some(C::ServerCertSelfSigned)),
    ];
    for (what, (der, pem, key), code) in table {
        let port = serve_tls(server_config(vec![der.clone()], &key, None, &BOTH)).await;
        let mut profile = trusting(port, &ca);
        profile.settings.tls.alpn = vec!["mqtt".into()];
        let (result, trace) = attempt(&profile, &Secrets::default(), 5000).await;
        let failure = result.err();
        assert_eq!(failure.as_ref().map(|failure| failure.code), code, "{what}");
        let tls = trace.stages.iter().rfind(|report| report.outcome != Outcome::Skipped);
        let Some(StageDetail::Tls(detail)) = tls.map(|report| report.detail.clone()) else {
            unreachable!("the tls stage")
        };
        assert_eq!((detail.server_chain.len(), detail.verified), (1, Some(code.is_none())), "{what}");
        assert_eq!(detail.trust, "CA file ca.pem");
        if let Some(failure) = &failure {
            assert!(!failure.retryable || what == "early", "{what}");
            let insecure = |fix: &crate::failure::Fix| {
                matches!(fix.action, FixAction::AddTrust { mode: TrustMode::Insecure, .. })
            };
            assert!(!insecure(&failure.fixes[0]), "{what}");
        } else {
            assert_eq!(detail.alpn_chosen.as_deref(), Some("mqtt"));
            assert_eq!(detail.version.as_deref(), Some("TLS 1.3"));
            assert!(detail.cipher_suite.is_some() && detail.key_exchange.is_some());
        }

        // What can be let through, is: a pin everything, the name switch its mismatch alone.
        profile.settings.trust.verify_host_name = false;
        let by_name = attempt(&profile, &Secrets::default(), 5000).await.0;
        let named = matches!(code, None | Some(C::ServerCertNameMismatch | C::ServerCertNoSan));
        assert_eq!(by_name.is_ok(), named, "{what} without its name");
        profile.settings.trust.mode = TrustMode::Pinned;
        profile.settings.trust.pinned_sha256 = hex::encode(Sha256::digest(&der));
        dialled(&profile).await;
        profile.settings.trust.pinned_sha256 = "00".repeat(32);
        assert_eq!(code_of(&profile).await, C::ServerCertPinMismatch);
        if what == "self-signed" {
            let file = folder.path().join("own.pem");
            std::fs::write(&file, pem).expect("pem");
            dialled(&trusting(port, &file)).await;
        }
    }
}

#[tokio::test]
async fn client_certificates_are_refused_by_name_however_late() {
    use FailureCode as C;
    let folder = tempfile::tempdir().expect("folder");
    let root = Authority::new("Server CA");
    let clients = Authority::new("Client CA");
    let strangers = Authority::new("Strangers CA");
    let path = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    let ca = folder.path().join("ca.pem");
    std::fs::write(&ca, &root.pem).expect("ca");
    let client = |name: &str, authority: &Authority, year: i32| {
        let (_, pem, key) = authority.issue(|p| p.not_after = rcgen::date_time_ymd(year, 1, 1));
        std::fs::write(path(name), format!("{pem}{}", key.serialize_pem())).expect("client");
        Some(ClientCertificate {
            enabled: true,
            cert_file: path(name),
            key_file: String::new(),
            ..ClientCertificate::default()
        })
    };
    let table = [
        ("none", None, Some(C::ClientCertRequired)),
        ("good", client("good.pem", &clients, 2090), None),
        ("stranger", client("stranger.pem", &strangers, 2090), Some(C::ClientCertUnknownCa)),
        ("expired", client("expired.pem", &clients, 2020), Some(C::ClientCertExpired)),
    ];
    let (der, _, key) = root.issue(|_| {});
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let port = serve_tls(server_config(vec![der.clone()], &key, Some(&clients), &[version])).await;
        for scheme in ["mqtts", "wss"] {
            for (what, certificate, code) in &table {
                if scheme == "wss" && code.is_none() {
                    continue; // This server never upgrades.
                }
                let mut profile = trusting(port, &ca);
                profile.endpoint = self::profile(&format!("{scheme}://localhost:{port}")).endpoint;
                profile.settings.client_certificate = certificate.clone().unwrap_or_default();
                let plan = plan(&profile, &Secrets::default()).expect("plan");
                let failure = match attempt(&profile, &Secrets::default(), 5000).await.0 {
                    Err(failure) => Some(failure),
                    Ok(_) if code.is_none() => None,
                    Ok(mut connection) => {
                        let error = connection.stream.read_u8().await.expect_err("refused");
                        Some(before_connack(&plan, &connection.wire, MqttProblem::Io(error)))
                    }
                };
                let seen = failure.as_ref().map(|failure| failure.code);
                assert_eq!(seen, *code, "{what} over {scheme}: {failure:?}");
                assert!(failure.is_none_or(|failure| failure.stage == Stage::Tls && !failure.retryable));
            }
        }
    }
}
