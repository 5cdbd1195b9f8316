//! The transport you choose is the transport you get: every transport with every way to authenticate and both
//! protocol versions, against real servers. Each cell connects, sends and receives with every QoS, retained
//! and large, and holds the trace to what was asked for.

#![allow(clippy::panic, reason = "a failed cell says so")]

#[path = "../../../tests/brokers/mod.rs"]
mod brokers;

use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use brokers::{
    Identity, Mosquitto, MosquittoOptions, Nginx, NginxOptions, PASSWORD, Pki, Rabbit, RabbitOptions, USER,
};
use bytes::Bytes;
use heliograph_engine::broker::{BrokerOptions, BrokerPorts, LocalBroker};
use heliograph_engine::endpoint::{Endpoint, Scheme};
use heliograph_engine::message::{Direction, Item, Message, MessageSink};
use heliograph_engine::profile::{
    ClientCertificate, Header, Login, MqttVersion, Profile, ProfileId, Qos, Settings, Subscription, Trust,
    TrustMode,
};
use heliograph_engine::secret::{Secret, SecretField, Secrets};
use heliograph_engine::session::{
    self, Phase, Publication, SessionConfig, SessionEvent, SessionHandle, SubscriptionState,
};
use heliograph_engine::trace::{Outcome, Stage, StageDetail, Trace, VerdictOutcome};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;

/// For one step of one cell, on a busy machine.
const BOUND: Duration = Duration::from_secs(30);
const WHOLE_BOUND: Duration = Duration::from_secs(60);
const SCHEMES: [&str; 4] = ["mqtt", "mqtts", "ws", "wss"];
const VERSIONS: [MqttVersion; 2] = [MqttVersion::V311, MqttVersion::V5];
const ALL_QOS: &[Qos] = &[Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce];
const LARGE: usize = 1024 * 1024;

/// How a client says who it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Authentication {
    None,
    Password,
    Certificate,
    Both,
}

impl Authentication {
    const ALL: [Self; 4] = [Self::None, Self::Password, Self::Certificate, Self::Both];

    fn password(self) -> bool {
        matches!(self, Self::Password | Self::Both)
    }

    fn certificate(self) -> bool {
        matches!(self, Self::Certificate | Self::Both)
    }
}

/// One combination, and the server it is tried on.
#[derive(Debug, Clone)]
struct Cell {
    url: String,
    authentication: Authentication,
    version: MqttVersion,
    ca: String,
    client: Identity,
    login: (&'static str, &'static str),
    headers: Vec<Header>,
    levels: &'static [Qos],
    /// Whether the server asks for a client certificate on its TLS listeners.
    server_asks: bool,
}

impl Cell {
    fn new(
        url: String,
        authentication: Authentication,
        version: MqttVersion,
        ca: &Path,
        client: &Identity,
    ) -> Self {
        Self {
            url,
            authentication,
            version,
            ca: ca.to_string_lossy().into_owned(),
            client: client.clone(),
            login: (USER, PASSWORD),
            headers: Vec::new(),
            levels: ALL_QOS,
            server_asks: authentication.certificate(),
        }
    }

    fn config(&self) -> SessionConfig {
        let endpoint = Endpoint::parse_url(&self.url, Scheme::Mqtt).expect("a URL").endpoint;
        let mut settings = Settings {
            login: Login { enabled: self.authentication.password(), username: self.login.0.into() },
            client_certificate: ClientCertificate {
                enabled: self.authentication.certificate(),
                cert_file: self.client.cert.to_string_lossy().into_owned(),
                key_file: self.client.key.to_string_lossy().into_owned(),
                ..ClientCertificate::default()
            },
            trust: Trust { mode: TrustMode::CaOnly, ca_files: vec![self.ca.clone()], ..Trust::default() },
            ..Settings::default()
        };
        settings.session.version = self.version;
        settings.websocket.headers = self.headers.clone();
        settings.timing.connect_timeout_s = 30;
        let mut secrets = Secrets::default();
        secrets.put(SecretField::Password, Some(Secret::new(self.login.1)));
        let name = format!("{self:?}");
        SessionConfig {
            profile: Profile { id: ProfileId::random(), name, endpoint, settings },
            secrets,
            keep_trying: false,
        }
    }

    /// Connects, sends, receives, and checks what the trace says.
    async fn prove(self) {
        let mut line = Line::connect(&self).await;
        self.check_trace(&line.trace());
        let topic = format!("matrix/{}", uuid::Uuid::new_v4());

        for qos in self.levels {
            let topic = format!("{topic}/{}", *qos as u8);
            line.subscribe(&topic, *qos).await;
            line.publish(&topic, Bytes::from("Grüße, 你好"), *qos, true).await;
            let got = line.next().await;
            assert_eq!(
                (got.topic.as_str(), &got.payload[..]),
                (topic.as_str(), "Grüße, 你好".as_bytes()),
                "{self:?}"
            );
            assert_eq!(got.qos, *qos, "{self:?}");

            // A new subscription gets what was retained.
            line.session.unsubscribe(&topic).await.expect("UNSUBACK");
            line.subscribe(&topic, *qos).await;
            let kept = line.next().await;
            assert!(kept.retain && kept.payload == "Grüße, 你好", "{self:?}: {kept:?}");
            line.publish(&topic, Bytes::new(), *qos, true).await;
            assert!(line.next().await.payload.is_empty(), "{self:?}");
        }

        let large = Bytes::from((0..LARGE).map(|at| (at * 31 % 251) as u8).collect::<Vec<_>>());
        let topic = format!("{topic}/large");
        line.subscribe(&topic, Qos::AtLeastOnce).await;
        line.publish(&topic, large.clone(), Qos::AtLeastOnce, false).await;
        assert!(line.next().await.payload == large, "{self:?}");
        timeout(BOUND, line.session.disconnect(0)).await.expect("a clean end");
    }

    fn check_trace(&self, trace: &Trace) {
        let verdict = trace.verdict.as_ref().expect("a verdict");
        assert_eq!(verdict.outcome, VerdictOutcome::Connected, "{self:?}");
        let scheme = self.url.split_once("://").expect("a scheme").0;
        assert!(trace.url.starts_with(&format!("{scheme}://localhost:")), "{self:?}: {}", trace.url);
        assert!(!trace.url.contains(PASSWORD) && verdict.url == trace.url, "{self:?}");

        let (tls, websocket) = (matches!(scheme, "mqtts" | "wss"), matches!(scheme, "ws" | "wss"));
        // A stage that is not part of the transport is skipped or not there at all.
        let ran =
            |stage| trace.stages.iter().any(|s| s.detail.stage() == stage && s.outcome != Outcome::Skipped);
        assert_eq!((ran(Stage::Tls), ran(Stage::Websocket)), (tls, websocket), "{self:?}: {trace:#?}");
        assert!(ran(Stage::Tcp) && ran(Stage::Mqtt), "{self:?}");
        let failed = trace.stages.iter().any(|s| !matches!(s.outcome, Outcome::Ok | Outcome::Skipped));
        assert!(!failed, "{self:?}: {trace:#?}");

        for stage in trace.stages.iter().filter(|stage| stage.outcome == Outcome::Ok) {
            match &stage.detail {
                StageDetail::Tls(detail) => {
                    assert_eq!(detail.client_cert_asked, self.server_asks, "{self:?}");
                    let sent = detail.client_cert_sent.is_some();
                    assert_eq!(sent, self.server_asks && self.authentication.certificate(), "{self:?}");
                }
                StageDetail::Websocket(detail) => assert_eq!(detail.status, Some(101), "{self:?}"),
                StageDetail::Mqtt(detail) => {
                    assert_eq!(detail.version, self.version, "{self:?}");
                    assert_eq!(detail.username_sent, self.authentication.password(), "{self:?}");
                    assert_eq!(detail.password_sent, self.authentication.password(), "{self:?}");
                }
                _ => {}
            }
        }
    }
}

/// A session, and what arrives.
struct Line {
    session: SessionHandle,
    messages: mpsc::UnboundedReceiver<Message>,
    traces: Arc<Mutex<Option<Trace>>>,
    phases: watch::Receiver<Phase>,
    name: String,
}

impl Line {
    async fn connect(cell: &Cell) -> Self {
        let (sender, messages) = mpsc::unbounded_channel();
        let traces = Arc::new(Mutex::new(None));
        let (phase, mut phases) = watch::channel(Phase::Idle);
        let newest = Arc::clone(&traces);
        let events = Arc::new(move |event| match event {
            SessionEvent::Phase(now) => {
                phase.send_replace(now);
            }
            SessionEvent::Trace(trace) => *newest.lock().expect("trace") = Some(trace),
            _ => {}
        });
        let session = session::spawn(cell.config(), Arc::new(Sink(sender)), events);
        let settled = |phase: &Phase| !matches!(phase, Phase::Idle | Phase::Connecting { .. });
        let phase =
            timeout(BOUND, phases.wait_for(settled)).await.expect("in time").expect("a phase").clone();
        assert!(matches!(phase, Phase::Connected { .. }), "{cell:?}: {phase:#?}");
        Self { session, messages, traces, phases, name: format!("{cell:?}") }
    }

    fn trace(&self) -> Trace {
        self.traces.lock().expect("trace").clone().expect("a trace")
    }

    async fn subscribe(&self, filter: &str, qos: Qos) {
        let subscription =
            Subscription { filter: filter.into(), enabled: true, qos, ..Subscription::default() };
        let state = timeout(BOUND, self.session.subscribe(subscription)).await.expect("in time");
        assert_eq!(state.expect("SUBACK"), SubscriptionState::Granted { qos });
    }

    async fn publish(&self, topic: &str, payload: Bytes, qos: Qos, retain: bool) {
        let publication = Publication { topic: topic.into(), payload, qos, retain, ..Publication::default() };
        let outcome = timeout(BOUND, self.session.publish(publication)).await.expect("in time");
        let outcome = outcome.unwrap_or_else(|e| panic!("{}: {e:?}\n{:?}", self.name, self.phases.borrow()));
        assert!(outcome.code.is_none_or(|code| code < 0x80), "{outcome:?}");
    }

    async fn next(&mut self) -> Message {
        timeout(BOUND, self.messages.recv()).await.expect("in time").expect("a message")
    }
}

/// Keeps what comes from the broker.
struct Sink(mpsc::UnboundedSender<Message>);

impl MessageSink for Sink {
    fn try_accept(&self, item: Item) -> Result<(), Item> {
        if let Item::Message(message) = item
            && message.direction == Direction::In
        {
            self.0.send(message).ok();
        }
        Ok(())
    }

    fn room(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(std::future::ready(()))
    }

    fn dropped(&self, item: Item) {
        panic!("a message was dropped: {item:?}");
    }
}

async fn prove_all(cells: Vec<Cell>) {
    let started = Instant::now();
    let mut running: JoinSet<()> = cells.into_iter().map(Cell::prove).collect();
    let mut failures = Vec::new();
    while let Some(ended) = running.join_next().await {
        failures.extend(ended.err().map(|error| error.to_string()));
    }
    assert!(failures.is_empty(), "{} cells failed:\n{}", failures.len(), failures.join("\n"));
    assert!(started.elapsed() < WHOLE_BOUND, "{:?}", started.elapsed());
}

fn url(scheme: &str, port: u16, path: &str) -> String {
    let path = if matches!(scheme, "ws" | "wss") { path } else { "" };
    format!("{scheme}://localhost:{port}{path}")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_transport_with_every_authentication_through_mosquitto() {
    let dir = tempfile::tempdir().expect("directory");
    let pki = Pki::make(dir.path());
    let mut servers = Vec::new();
    let mut cells = Vec::new();
    for authentication in Authentication::ALL {
        let options = MosquittoOptions {
            password: authentication.password(),
            require_certificate: authentication.certificate(),
            ..MosquittoOptions::default()
        };
        // wss has a server of its own: in 2.0.11 the end of a wss connection leaves an error in OpenSSL's queue
        // ("application data after close notify"), for which mosquitto then closes whichever mqtts connection
        // it serves next.
        for schemes in [&SCHEMES[..3], &SCHEMES[3..]] {
            let server = Mosquitto::start(&pki, &options);
            for scheme in schemes {
                for version in VERSIONS {
                    let url = url(scheme, server.port(scheme), "/mqtt");
                    cells.push(Cell::new(url, authentication, version, &pki.ca, &pki.client));
                }
            }
            servers.push(server);
        }
    }
    assert_eq!(cells.len(), 32);
    let _turning: Vec<_> = servers.iter().map(Mosquitto::keep_turning).collect();
    prove_all(cells).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wss_with_client_certificates_through_nginx() {
    let dir = tempfile::tempdir().expect("directory");
    let pki = Pki::make(dir.path());
    let mut servers = Vec::new();
    let mut cells = Vec::new();
    for authentication in [Authentication::Certificate, Authentication::Both] {
        let options = MosquittoOptions { password: authentication.password(), ..MosquittoOptions::default() };
        let broker = Mosquitto::start(&pki, &options);
        let nginx = Nginx::start(&pki, broker.ws, &NginxOptions::default());
        for version in VERSIONS {
            let url = url("wss", nginx.port, "/mqtt");
            let mut cell = Cell::new(url, authentication, version, &pki.ca, &pki.client);
            cell.headers = vec![Header { name: "X-Plant".into(), value: "north-3".into(), secret: false }];
            cells.push(cell);
        }
        servers.push((broker.keep_turning(), broker, nginx));
    }
    prove_all(cells).await;
    for (_, _, nginx) in &mut servers {
        nginx.process.wait_for_line("\"GET /mqtt HTTP/1.1\" 101").expect("upgraded by nginx");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn client_certificates_through_rabbitmq_over_mqtts_and_wss() {
    let dir = tempfile::tempdir().expect("directory");
    let pki = Pki::make(dir.path());
    let rabbit = Rabbit::start(&pki, &RabbitOptions::default());
    let mut cells = Vec::new();
    for scheme in ["mqtts", "wss"] {
        for authentication in [Authentication::Certificate, Authentication::Both] {
            let url = url(scheme, rabbit.port(scheme), Rabbit::PATH);
            let mut cell = Cell::new(url, authentication, MqttVersion::V311, &pki.ca, &pki.client);
            cell.login = ("guest", "guest");
            // It takes QoS 2 as QoS 1, and says so in the SUBACK.
            cell.levels = &[Qos::AtMostOnce, Qos::AtLeastOnce];
            cells.push(cell);
        }
    }
    prove_all(cells).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_transport_with_every_authentication_through_the_local_broker() {
    let mut servers = Vec::new();
    let mut cells = Vec::new();
    for authentication in Authentication::ALL {
        let dir = tempfile::tempdir().expect("directory");
        let options = BrokerOptions {
            ports: BrokerPorts { mqtt: 0, mqtts: 0, ws: 0, wss: 0 },
            require_client_certificate: authentication.certificate(),
            username: if authentication.password() { USER.into() } else { String::new() },
        };
        let server = LocalBroker::start(dir.path(), &options, Some(Secret::new(PASSWORD)));
        let server = server.await.expect("the broker starts");
        let files = server.files().clone();
        let client = Identity { cert: files.client_cert.into(), key: files.client_key.into() };
        for url in server.urls() {
            for version in VERSIONS {
                let mut cell = Cell::new(url.clone(), authentication, version, files.ca.as_ref(), &client);
                // It accepts a client certificate in any case, so it always asks.
                cell.server_asks = true;
                cells.push(cell);
            }
        }
        servers.push((server, dir));
    }
    assert_eq!(cells.len(), 32);
    prove_all(cells).await;
    for (server, _dir) in servers {
        server.stop().await;
    }
}
