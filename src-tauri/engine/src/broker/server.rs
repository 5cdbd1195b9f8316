//! The local broker's listeners. In: options and a directory for certificates. Out: MQTT 3.1.1 and 5 on
//! mqtt, mqtts, ws and wss, on loopback only, until it is stopped. Sessions, retained messages and queues are
//! kept in memory, never on disk.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use mqtt5::broker::auth::{AuthProvider, AuthResult};
use mqtt5::broker::client_handler::ClientHandler;
use mqtt5::broker::router::MessageRouter;
use mqtt5::broker::storage::QueueLimits;
use mqtt5::broker::sys_topics::{BrokerStats, SysTopicsProvider};
use mqtt5::broker::transport::BrokerTransport;
use mqtt5::broker::{
    BrokerConfig, DynamicStorage, MemoryBackend, ResourceLimits, ResourceMonitor, StorageBackend,
};
use mqtt5::packet::connect::ConnectPacket;
use mqtt5::protocol::v5::reason_codes::ReasonCode;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::broadcast;
use tokio_rustls::TlsAcceptor;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::http::{HeaderValue, StatusCode, header::SEC_WEBSOCKET_PROTOCOL};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::certificates::{ServerFiles, certificates};
use super::stream::{ClientStream, binary_frames};
use super::{BrokerFiles, BrokerOptions, BrokerStatus};
use crate::endpoint::Scheme;
use crate::error::{Error, ErrorCode, ErrorReason, Result};
use crate::secret::Secret;

/// The path of the WebSocket listeners.
const PATH: &str = "/mqtt";
/// The largest packet there is: a remaining length of 268,435,455 bytes and its header (MQTT 5, 1.5.5).
const MAX_PACKET: usize = 268_435_455 + 5;
/// Messages that wait for one client: QoS 0 while it is slow, the others also while it is away.
const QUEUE: usize = 100_000;
const QUEUE_BYTES: usize = 512 * 1024 * 1024;
const MAX_CLIENTS: usize = 10_000;
const HANDSHAKE_BOUND: Duration = Duration::from_secs(10);
const STOP_BOUND: Duration = Duration::from_secs(3);
const SWEEP_EVERY: Duration = Duration::from_secs(60);
const LISTENERS: [Scheme; 4] = [Scheme::Mqtt, Scheme::Mqtts, Scheme::Ws, Scheme::Wss];

/// A broker that runs in this process. Dropping it stops it too, without waiting.
pub struct LocalBroker {
    urls: Vec<String>,
    files: BrokerFiles,
    options: BrokerOptions,
    core: Arc<Core>,
    tasks: TaskTracker,
}

impl LocalBroker {
    /// Starts the four listeners, with certificates from `dir` (made on first start).
    ///
    /// With a user name in `options`, clients need it and `password` (none or an empty one when `None`).
    ///
    /// # Errors
    /// A port cannot be had (`broker`; `details.port` and `details.listener` say which), or the certificates
    /// cannot be kept (`file`).
    pub async fn start(dir: &Path, options: &BrokerOptions, password: Option<Secret>) -> Result<Self> {
        let ports = [options.ports.mqtt, options.ports.mqtts, options.ports.ws, options.ports.wss];
        distinct(ports)?;
        let owned_dir = dir.to_path_buf();
        let files = tokio::task::spawn_blocking(move || certificates(&owned_dir))
            .await
            .map_err(|e| Error::new(ErrorCode::Internal, format!("Certificates could not be made: {e}")))??;
        let tls = tls_acceptor(&ServerFiles::of(dir), options.require_client_certificate)?;

        let mut bound = Vec::with_capacity(LISTENERS.len());
        for (scheme, port) in LISTENERS.into_iter().zip(ports) {
            bound.push((scheme, bind(scheme, port).await?));
        }

        let login = Login { username: options.username.clone(), password };
        let core = Arc::new(Core::new(login, tls));
        core.router.initialize().await.map_err(|error| {
            let message = format!("The local broker could not start: {error}");
            Error::because(ErrorCode::Broker, ErrorReason::BrokerFailed, message)
                .with("error", error.to_string())
        })?;
        let tasks = TaskTracker::new();
        let mut urls = Vec::with_capacity(bound.len());
        for (scheme, listeners) in bound {
            let port = listeners.first().and_then(|l| l.local_addr().ok()).map_or(0, |a| a.port());
            urls.push(url(scheme, port));
            for listener in listeners {
                tasks.spawn(accept(listener, scheme, Arc::clone(&core), tasks.clone()));
            }
        }
        tasks.spawn(sweep(Arc::clone(&core)));
        tasks.spawn(system_topics(Arc::clone(&core)));
        Ok(Self { urls, files, options: options.clone(), core, tasks })
    }

    /// The URL of each listener, in the order mqtt, mqtts, ws, wss.
    pub fn urls(&self) -> &[String] {
        &self.urls
    }

    /// Its certificates.
    pub fn files(&self) -> &BrokerFiles {
        &self.files
    }

    /// What it is doing, for the window.
    pub fn status(&self) -> BrokerStatus {
        BrokerStatus {
            running: true,
            urls: self.urls.clone(),
            error: None,
            files: Some(self.files.clone()),
            options: self.options.clone(),
            password_place: None,
        }
    }

    /// Tells clients that it goes (MQTT 5: DISCONNECT, Server shutting down), closes their connections and frees
    /// the ports. Returns when that is done, within a few seconds.
    pub async fn stop(self) {
        self.tasks.close();
        self.core.begin_stop();
        if tokio::time::timeout(STOP_BOUND, self.tasks.wait()).await.is_err() {
            self.core.abort.cancel();
            self.tasks.wait().await;
        }
    }
}

impl Drop for LocalBroker {
    fn drop(&mut self) {
        self.core.begin_stop();
        self.core.abort.cancel();
    }
}

/// What all connections share.
struct Core {
    config: Arc<BrokerConfig>,
    router: Arc<MessageRouter>,
    storage: Arc<DynamicStorage>,
    auth: Arc<dyn AuthProvider>,
    stats: Arc<BrokerStats>,
    resources: Arc<ResourceMonitor>,
    tls: TlsAcceptor,
    /// Ends sessions politely.
    shutdown: broadcast::Sender<()>,
    /// Ends listeners, and connections that have no session yet.
    stopping: CancellationToken,
    /// Ends everything at once.
    abort: CancellationToken,
}

impl Core {
    fn new(login: Login, tls: TlsAcceptor) -> Self {
        let limits = QueueLimits { max_messages: QUEUE, max_bytes: QUEUE_BYTES };
        let storage = Arc::new(DynamicStorage::Memory(MemoryBackend::with_queue_limits(limits)));
        let config = BrokerConfig::default()
            .with_bind_addresses(Vec::new())
            .with_max_packet_size(MAX_PACKET)
            .with_max_clients(MAX_CLIENTS)
            .with_client_channel_capacity(QUEUE);
        Self {
            config: Arc::new(config),
            router: Arc::new(
                MessageRouter::with_storage(Arc::clone(&storage)).with_fallback_queue_limits(limits),
            ),
            storage,
            auth: Arc::new(login),
            stats: Arc::new(BrokerStats::new()),
            resources: Arc::new(ResourceMonitor::new(ResourceLimits {
                max_connections: MAX_CLIENTS,
                max_connections_per_ip: MAX_CLIENTS,
                max_message_rate_per_client: 0,
                max_bandwidth_per_client: 0,
                max_connection_rate: u32::MAX,
                rate_limit_window: Duration::from_secs(1),
            })),
            tls,
            shutdown: broadcast::channel(1).0,
            stopping: CancellationToken::new(),
            abort: CancellationToken::new(),
        }
    }

    fn begin_stop(&self) {
        self.stopping.cancel();
        // Nobody listens when there is no client: that is no failure.
        self.shutdown.send(()).ok();
    }
}

fn distinct(ports: [u16; 4]) -> Result<()> {
    for (index, port) in ports.into_iter().enumerate().filter(|(_, port)| *port != 0) {
        if let Some(earlier) = ports[..index].iter().position(|other| *other == port) {
            let (first, second) = (name(LISTENERS[earlier]), name(LISTENERS[index]));
            let message = format!(
                "The listeners {first} and {second} of the local broker cannot share port {port}: \
                 choose another port for one of them, or 0 for a free one"
            );
            return Err(
                broker_error(ErrorReason::PortsShared, message, LISTENERS[index], port).with("other", first)
            );
        }
    }
    Ok(())
}

/// 127.0.0.1 and, where the machine has it, ::1, on the same port.
async fn bind(scheme: Scheme, port: u16) -> Result<Vec<TcpListener>> {
    const ATTEMPTS: usize = 20;
    let mut last = io::Error::from(io::ErrorKind::AddrInUse);
    for _ in 0..ATTEMPTS {
        match bind_both(port).await {
            Ok(listeners) => return Ok(listeners),
            Err(error) => last = error,
        }
        // A free port of one address may be taken on the other: only then is it worth another try.
        if port != 0 || last.kind() != io::ErrorKind::AddrInUse {
            break;
        }
    }
    let listener = name(scheme);
    let message = match last.kind() {
        io::ErrorKind::AddrInUse => format!(
            "Port {port} for the {listener} listener of the local broker is in use by another program: \
             stop that program, choose another port, or 0 for a free one"
        ),
        io::ErrorKind::PermissionDenied => format!(
            "Port {port} for the {listener} listener of the local broker is reserved by the system: \
             choose one above 1023, or 0 for a free one"
        ),
        _ => format!("Port {port} for the {listener} listener of the local broker cannot be opened: {last}"),
    };
    let reason = match last.kind() {
        io::ErrorKind::AddrInUse => ErrorReason::PortTaken,
        io::ErrorKind::PermissionDenied => ErrorReason::PortReserved,
        _ => ErrorReason::PortFailed,
    };
    Err(broker_error(reason, message, scheme, port).with("error", last.to_string()))
}

async fn bind_both(port: u16) -> io::Result<Vec<TcpListener>> {
    let first = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
    let port = first.local_addr()?.port();
    match TcpListener::bind((Ipv6Addr::LOCALHOST, port)).await {
        Ok(second) => Ok(vec![first, second]),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => Err(error),
        // No IPv6 on this machine.
        Err(_) => Ok(vec![first]),
    }
}

fn broker_error(reason: ErrorReason, message: String, scheme: Scheme, port: u16) -> Error {
    Error::because(ErrorCode::Broker, reason, message).with("listener", name(scheme)).with("port", port)
}

fn name(scheme: Scheme) -> &'static str {
    match scheme {
        Scheme::Mqtt => "mqtt",
        Scheme::Mqtts => "mqtts",
        Scheme::Ws => "ws",
        Scheme::Wss => "wss",
    }
}

fn url(scheme: Scheme, port: u16) -> String {
    let path = if is_websocket(scheme) { PATH } else { "" };
    format!("{}://localhost:{port}{path}", name(scheme))
}

fn is_websocket(scheme: Scheme) -> bool {
    matches!(scheme, Scheme::Ws | Scheme::Wss)
}

fn is_tls(scheme: Scheme) -> bool {
    matches!(scheme, Scheme::Mqtts | Scheme::Wss)
}

fn tls_acceptor(files: &ServerFiles, require_client_certificate: bool) -> Result<TlsAcceptor> {
    let unusable = |what: &dyn std::fmt::Display| {
        let message = format!("The local broker's certificates cannot be used: {what}");
        Error::because(ErrorCode::Broker, ErrorReason::BrokerCertificates, message)
            .with("error", what.to_string())
    };
    let read = |path: &Path| {
        CertificateDer::pem_file_iter(path)
            .and_then(Iterator::collect::<std::result::Result<Vec<_>, _>>)
            .map_err(|e| unusable(&e).with("path", path.to_string_lossy().into_owned()))
    };
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut roots = rustls::RootCertStore::empty();
    for ca in read(&files.ca)? {
        roots.add(ca).map_err(|e| unusable(&e))?;
    }
    let verifier =
        rustls::server::WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
    let verifier = if require_client_certificate { verifier } else { verifier.allow_unauthenticated() };
    let key = PrivateKeyDer::from_pem_file(&files.key)
        .map_err(|e| unusable(&e).with("path", files.key.to_string_lossy().into_owned()))?;
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| unusable(&e))?
        .with_client_cert_verifier(verifier.build().map_err(|e| unusable(&e))?)
        .with_single_cert(read(&files.cert)?, key)
        .map_err(|e| unusable(&e))?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

async fn accept(listener: TcpListener, scheme: Scheme, core: Arc<Core>, tasks: TaskTracker) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = core.stopping.cancelled() => return,
        };
        match accepted {
            Ok((stream, peer)) => {
                let core = Arc::clone(&core);
                tasks.spawn(async move {
                    tokio::select! {
                        () = serve(stream, peer, scheme, &core) => {}
                        () = core.abort.cancelled() => {}
                    }
                });
            }
            // Out of file descriptors, as a rule: give connections time to end instead of spinning.
            Err(error) => {
                tracing::warn!(listener = name(scheme), %error, "local broker: accept failed");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

async fn serve(stream: TcpStream, peer: SocketAddr, scheme: Scheme, core: &Core) {
    if !core.resources.can_accept_connection(peer.ip()).await {
        return;
    }
    // Latency only; a socket that refuses it works.
    stream.set_nodelay(true).ok();
    let handshake = tokio::select! {
        outcome = tokio::time::timeout(HANDSHAKE_BOUND, handshake(stream, scheme, core)) => outcome,
        () = core.stopping.cancelled() => return,
    };
    let transport = match handshake {
        Ok(Ok(transport)) => transport,
        Ok(Err(error)) => {
            return tracing::debug!(listener = name(scheme), %peer, %error, "local broker: handshake failed");
        }
        Err(_) => {
            return tracing::debug!(listener = name(scheme), %peer, "local broker: handshake took too long");
        }
    };
    let handler = ClientHandler::new(
        transport,
        peer,
        Arc::clone(&core.config),
        Arc::clone(&core.router),
        Arc::clone(&core.auth),
        Some(Arc::clone(&core.storage)),
        Arc::clone(&core.stats),
        Arc::clone(&core.resources),
        core.shutdown.subscribe(),
    );
    if let Err(error) = handler.run().await {
        tracing::debug!(listener = name(scheme), %peer, %error, "local broker: connection ended");
    }
}

async fn handshake(stream: TcpStream, scheme: Scheme, core: &Core) -> io::Result<BrokerTransport> {
    match (is_tls(scheme), is_websocket(scheme)) {
        (false, false) => Ok(transport(stream, core)),
        (true, false) => Ok(transport(core.tls.accept(stream).await?, core)),
        (false, true) => Ok(transport(upgrade(stream).await?, core)),
        (true, true) => Ok(transport(upgrade(core.tls.accept(stream).await?).await?, core)),
    }
}

fn transport<S>(stream: S, core: &Core) -> BrokerTransport
where
    S: AsyncRead + AsyncWrite + Send + Sync + Unpin + 'static,
{
    BrokerTransport::WebSocket(Box::new(ClientStream::new(stream, core.stopping.clone())))
}

async fn upgrade<S>(stream: S) -> io::Result<impl AsyncRead + AsyncWrite + Send + Sync + Unpin + 'static>
where
    S: AsyncRead + AsyncWrite + Send + Sync + Unpin + 'static,
{
    let config =
        WebSocketConfig::default().max_message_size(Some(MAX_PACKET)).max_frame_size(Some(MAX_PACKET));
    let socket = tokio_tungstenite::accept_hdr_async_with_config(stream, answer, Some(config))
        .await
        .map_err(io::Error::other)?;
    Ok(binary_frames(socket))
}

#[allow(clippy::result_large_err, reason = "the library's signature")]
fn answer(request: &Request, mut response: Response) -> std::result::Result<Response, ErrorResponse> {
    if request.uri().path() != PATH {
        let text = format!("The WebSocket path of this broker is {PATH}\n");
        let mut refusal = ErrorResponse::new(Some(text));
        *refusal.status_mut() = StatusCode::NOT_FOUND;
        return Err(refusal);
    }
    let offered = request
        .headers()
        .get_all(SEC_WEBSOCKET_PROTOCOL)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|protocol| protocol.trim().eq_ignore_ascii_case("mqtt"));
    if offered {
        response.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static("mqtt"));
    }
    Ok(response)
}

/// Ends sessions and retained messages whose time is over.
async fn sweep(core: Arc<Core>) {
    let mut ticks = tokio::time::interval(SWEEP_EVERY);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = core.stopping.cancelled() => return,
        }
        if let Err(error) = core.storage.cleanup_expired().await {
            tracing::warn!(%error, "local broker: clean-up failed");
        }
        core.router.sweep_sessions().await;
        core.resources.cleanup_expired_windows().await;
    }
}

async fn system_topics(core: Arc<Core>) {
    let task = SysTopicsProvider::new(Arc::clone(&core.router), Arc::clone(&core.stats)).start();
    core.stopping.cancelled().await;
    task.abort();
}

/// Who may connect. There is no limit on attempts: a person who mistypes a password on their own machine
/// must not be locked out.
struct Login {
    username: String,
    password: Option<Secret>,
}

impl Login {
    fn admits(&self, username: Option<&str>, password: Option<&[u8]>) -> bool {
        if self.username.is_empty() {
            return true;
        }
        let expected = self.password.as_ref().map_or(&[][..], Secret::expose);
        let same_user = username == Some(self.username.as_str());
        same_user & same_bytes(expected, password.unwrap_or_default())
    }
}

/// In a time that does not tell where they differ.
fn same_bytes(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |differences, (x, y)| differences | (x ^ y)) == 0
}

type Answer<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

impl AuthProvider for Login {
    fn authenticate<'a>(
        &'a self,
        connect: &'a ConnectPacket,
        _client_addr: SocketAddr,
    ) -> Answer<'a, mqtt5::Result<AuthResult>> {
        let admitted = self.admits(connect.username.as_deref(), connect.password.as_deref());
        let result = if admitted {
            AuthResult::success()
        } else {
            AuthResult::fail(ReasonCode::BadUsernameOrPassword)
        };
        Box::pin(std::future::ready(Ok(result)))
    }

    fn authorize_publish<'a>(
        &'a self,
        _client_id: &str,
        _user_id: Option<&'a str>,
        _topic: &'a str,
    ) -> Answer<'a, bool> {
        Box::pin(std::future::ready(true))
    }

    fn authorize_subscribe<'a>(
        &'a self,
        _client_id: &str,
        _user_id: Option<&'a str>,
        _topic_filter: &'a str,
    ) -> Answer<'a, bool> {
        Box::pin(std::future::ready(true))
    }
}
