//! The bug that Heliograph answers: somebody asked for `wss` with a client certificate, and got TLS without
//! WebSocket, since the certificate had changed the transport. Here a server writes down what it is sent: for
//! every way to authenticate, the same endpoint is dialled with the same bytes, but for what is random.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use heliograph_engine::endpoint::{Endpoint, Scheme};
use heliograph_engine::profile::{ClientCertificate, Login, Profile, ProfileId, Settings, TrustMode};
use heliograph_engine::secret::{Secret, SecretField, Secrets};
use heliograph_engine::session::{self, SessionConfig};
use heliograph_engine::trace::{Outcome, Stage, StageDetail, TlsDetail, Trace, TraceRecorder};
use heliograph_engine::transport::{dial, plan};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use rustls_pki_types::PrivatePkcs8KeyDer;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::Role;

/// What a server was sent, by layer.
#[derive(Debug, Default)]
struct Heard {
    /// The first three bytes on the socket.
    first: Vec<u8>,
    /// The HTTP request.
    request: String,
    /// The certificate that the client sent, DER.
    client_certificate: Option<Vec<u8>>,
    /// The first MQTT packet; empty when the client only dialled.
    packet: Vec<u8>,
}

/// A listener that takes TLS or plain connections with or without WebSocket, as the scheme says, and asks for
/// a client certificate without insisting.
async fn listen(scheme: Scheme, config: Arc<ServerConfig>) -> (u16, mpsc::Receiver<Heard>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let port = listener.local_addr().expect("address").port();
    let (told, heard) = mpsc::channel(8);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (told, config) = (told.clone(), Arc::clone(&config));
            tokio::spawn(async move {
                let mut heard = Heard::default();
                // With plain MQTT the client is silent until CONNECT, which is not part of dialling.
                if scheme != Scheme::Mqtt {
                    heard.first = first_bytes(&stream).await;
                }
                if scheme.tls() {
                    let stream = TlsAcceptor::from(config).accept(stream).await.expect("TLS");
                    let sent = stream.get_ref().1.peer_certificates();
                    heard.client_certificate = sent.and_then(|chain| chain.first()).map(|der| der.to_vec());
                    listen_inside(stream, scheme, &mut heard).await;
                } else {
                    listen_inside(stream, scheme, &mut heard).await;
                }
                told.send(heard).await.expect("told");
            });
        }
    });
    (port, heard)
}

/// WebSocket, if it is to be, and the first MQTT packet, if the client sends one.
async fn listen_inside<S>(mut stream: S, scheme: Scheme, heard: &mut Heard)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    if !scheme.websocket() {
        let mut packet = [0; 1024];
        let count = stream.read(&mut packet).await.unwrap_or(0);
        heard.packet = packet[..count].to_vec();
        return;
    }
    heard.request = upgrade(&mut stream).await;
    let mut frames = WebSocketStream::from_raw_socket(stream, Role::Server, None).await;
    if let Some(Ok(Message::Binary(packet))) = frames.next().await {
        heard.packet = packet.to_vec();
    }
}

async fn first_bytes(stream: &TcpStream) -> Vec<u8> {
    let mut bytes = [0; 3];
    while stream.peek(&mut bytes).await.expect("peek") < bytes.len() {
        tokio::task::yield_now().await;
    }
    bytes.to_vec()
}

async fn upgrade(stream: &mut (impl AsyncReadExt + AsyncWriteExt + Unpin)) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.expect("an HTTP request"));
    }
    let head = String::from_utf8(head).expect("text");
    let key = header(&head, "Sec-WebSocket-Key").expect("key");
    let accept = tokio_tungstenite::tungstenite::handshake::derive_accept_key(key.as_bytes());
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n"
    );
    stream.write_all(answer.as_bytes()).await.expect("answer");
    stream.flush().await.expect("flush");
    head
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

/// The request without its random key.
fn shape(request: &str) -> String {
    request.lines().filter(|line| !line.starts_with("Sec-WebSocket-Key")).collect::<Vec<_>>().join("\n")
}

fn authority(name: &str) -> (Issuer<'static, KeyPair>, rcgen::Certificate) {
    let key = KeyPair::generate().expect("key");
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let certificate = params.self_signed(&key).expect("authority");
    (Issuer::new(params, key), certificate)
}

fn write_files(folder: &Path) -> Arc<ServerConfig> {
    let (issuer, ca) = authority("Plant CA");
    let issue = |name: &str| {
        let key = KeyPair::generate().expect("key");
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).expect("params");
        params.distinguished_name.push(DnType::CommonName, name);
        (params.signed_by(&key, &issuer).expect("certificate"), key)
    };
    let (client, client_key) = issue("device-42");
    std::fs::write(folder.join("ca.pem"), ca.pem()).expect("ca");
    std::fs::write(folder.join("client.pem"), client.pem()).expect("client");
    std::fs::write(folder.join("client.key"), client_key.serialize_pem()).expect("key");
    let (server, server_key) = issue("server");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(ca.der().clone()).expect("root");
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
        .allow_unauthenticated()
        .build()
        .expect("verifier");
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_client_cert_verifier(verifier)
        .with_single_cert(
            vec![server.der().clone()],
            PrivatePkcs8KeyDer::from(server_key.serialize_der()).into(),
        )
        .expect("server");
    Arc::new(config)
}

/// Every combination of authentication: nothing, login, certificate, both.
fn authentications(folder: &Path) -> Vec<(bool, Settings, Secrets)> {
    let text = |name: &str| folder.join(name).to_string_lossy().into_owned();
    let mut all = Vec::new();
    for (login, certificate) in [(false, false), (true, false), (false, true), (true, true)] {
        let mut settings = Settings::default();
        settings.trust.mode = TrustMode::CaOnly;
        settings.trust.ca_files = vec![text("ca.pem")];
        settings.login = Login { enabled: login, username: "ann".into() };
        settings.client_certificate = ClientCertificate {
            enabled: certificate,
            cert_file: text("client.pem"),
            key_file: text("client.key"),
            ..ClientCertificate::default()
        };
        let mut secrets = Secrets::default();
        secrets.put(SecretField::Password, login.then(|| Secret::new("canary")));
        all.push((certificate, settings, secrets));
    }
    all
}

async fn attempt(url: &str, settings: Settings, secrets: &Secrets) -> Trace {
    let endpoint = Endpoint::parse_url(url, Scheme::Mqtt).expect("url").endpoint;
    let profile = Profile { id: ProfileId::random(), name: String::new(), endpoint, settings };
    let plan = plan(&profile, secrets).expect("plan");
    assert_eq!(plan.url(), url);
    let trace = TraceRecorder::new(plan.url(), 1, |_| {});
    let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
    dial(&plan, &trace, deadline).await.expect("connected");
    trace.snapshot()
}

fn tls_of(trace: &Trace) -> Option<TlsDetail> {
    trace.stages.iter().find_map(|report| match &report.detail {
        StageDetail::Tls(detail) => Some(detail.clone()),
        _ => None,
    })
}

#[tokio::test]
async fn wss_with_a_client_certificate_is_wss() {
    let folder = tempfile::tempdir().expect("folder");
    let config = write_files(folder.path());
    let (port, mut heard) = listen(Scheme::Wss, config).await;
    let (_, settings, secrets) = authentications(folder.path()).pop().expect("login and certificate");
    let trace = attempt(&format!("wss://localhost:{port}/plant/north"), settings, &secrets).await;
    let heard = heard.recv().await.expect("heard");
    assert_eq!(heard.first[..2], [0x16, 3], "a TLS handshake record, ClientHello inside");
    assert!(heard.request.starts_with("GET /plant/north HTTP/1.1\r\n"), "{}", heard.request);
    assert_eq!(header(&heard.request, "Upgrade"), Some("websocket"));
    assert_eq!(header(&heard.request, "Sec-WebSocket-Protocol"), Some("mqtt"));
    assert_eq!(header(&heard.request, "Host"), Some(format!("localhost:{port}").as_str()));
    let sent = heard.client_certificate.expect("the certificate is sent over wss too");
    assert!(sent.windows(9).any(|part| part == b"device-42"));
    let detail = tls_of(&trace).expect("tls");
    assert!(detail.client_cert_asked);
    assert_eq!(detail.client_cert_sent.and_then(|c| c.common_name).as_deref(), Some("device-42"));
    assert_eq!(detail.client_cert_issuers, ["CN=Plant CA"]);
}

#[tokio::test]
async fn authentication_never_changes_the_transport() {
    let folder = tempfile::tempdir().expect("folder");
    let config = write_files(folder.path());
    for scheme in [Scheme::Mqtt, Scheme::Mqtts, Scheme::Ws, Scheme::Wss] {
        let (port, mut heard) = listen(scheme, Arc::clone(&config)).await;
        let path = if scheme.websocket() { "/mqtt" } else { "" };
        let url = format!("{scheme}://localhost:{port}{path}");
        let mut shapes = Vec::new();
        for (certificate, settings, secrets) in authentications(folder.path()) {
            let trace = attempt(&url, settings, &secrets).await;
            let heard = heard.recv().await.expect("heard");
            assert_eq!(heard.client_certificate.is_some(), certificate && scheme.tls(), "{url}");
            let stages: Vec<_> = trace
                .stages
                .iter()
                .filter(|report| report.outcome == Outcome::Ok && report.detail.stage() != Stage::Identity)
                .map(|report| report.detail.stage())
                .collect();
            assert_eq!(stages.contains(&Stage::Tls), scheme.tls(), "{url}");
            assert_eq!(stages.contains(&Stage::Websocket), scheme.websocket(), "{url}");
            assert!(!serde_json::to_string(&trace).expect("json").contains("canary"));
            // The second and third byte of a TLS record are its version; a request begins with `GET`.
            shapes.push((stages, heard.first, shape(&heard.request)));
        }
        assert!(shapes.windows(2).all(|pair| pair[0] == pair[1]), "{url}: {shapes:#?}");
    }
}

/// The whole way, as the window and the command line go it: CONNECT stands where the transport puts it.
#[tokio::test]
async fn connect_travels_in_the_transport_that_was_asked() {
    let folder = tempfile::tempdir().expect("folder");
    let config = write_files(folder.path());
    for scheme in [Scheme::Mqtt, Scheme::Mqtts, Scheme::Ws, Scheme::Wss] {
        let (port, mut heard) = listen(scheme, Arc::clone(&config)).await;
        let path = if scheme.websocket() { "/mqtt" } else { "" };
        let url = format!("{scheme}://localhost:{port}{path}");
        for (certificate, mut settings, secrets) in authentications(folder.path()) {
            settings.session.client_id = "helio-test".into();
            let login = settings.login.enabled;
            let endpoint = Endpoint::parse_url(&url, Scheme::Mqtt).expect("url").endpoint;
            let profile = Profile { id: ProfileId::random(), name: String::new(), endpoint, settings };
            let config = SessionConfig { profile, secrets, keep_trying: false };
            let trace = session::test(config, Arc::new(|_| {})).await;
            let heard = heard.recv().await.expect("heard");
            assert_eq!(heard.packet.first(), Some(&0x10), "{url}: CONNECT");
            assert_eq!(heard.packet.get(2..8), Some(&b"\x00\x04MQTT"[..]), "{url}");
            let holds = |text: &[u8]| heard.packet.windows(text.len()).any(|part| part == text);
            assert_eq!((holds(b"ann"), holds(b"canary")), (login, login), "{url}");
            assert_eq!(heard.client_certificate.is_some(), certificate && scheme.tls(), "{url}");
            assert!(
                trace.verdict.is_some_and(|verdict| verdict.failure.is_some()),
                "the server never answers"
            );
        }
    }
}
