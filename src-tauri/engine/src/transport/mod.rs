//! `plan` then `dial`: stage by stage from a profile to a connected byte stream, with the trace growing beside
//! it. In: a [`Plan`], a recorder, a time bound. Out: the stream that MQTT then uses, or the named failure.
//! Every caller goes this one way, and nothing here asks how a person authenticates to decide where to go.
//! Dropping the future ends the attempt at any moment.

mod answer;
mod dns;
mod frames;
mod plan;
mod proxy;
mod reading;
mod staple;
mod tcp;
mod tls;
mod websocket;
mod whole;
mod wire;

use std::net::SocketAddr;
use std::sync::Arc;

use rustls::sign::CertifiedKey;
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer, ServerName};
use tokio::time::{Instant, timeout_at};

use answer::Answer;
pub(crate) use dns::DnsProblem;
pub(crate) use plan::ProxyPlan;
pub use plan::{Plan, plan};
pub(crate) use proxy::{ProxyProblem, Target};
pub(crate) use tcp::TcpProblem;
pub(crate) use tls::{
    TlsFacts, issued_by, issuer_hints, name_parts_of, name_words, only_called_as_issuer, subject,
    version_words,
};
pub(crate) use websocket::{HttpAnswer, WebsocketProblem};
pub use wire::{BoxedStream, ByteStream, Wire};
pub(crate) use wire::{Ended, Part, tls_error};

use crate::diagnosis;
use crate::endpoint::Host;
use crate::failure::{Failure, FailureCode};
use crate::identity;
use crate::message::Clock;
use crate::profile::{ProxyKind, Trust, TrustMode};
use crate::trace::{
    DnsDetail, IdentityDetail, IdentityRemark, LogNote, ProxyDetail, Stage, StageDetail, TcpDetail,
    TlsDetail, TraceRecorder, WebsocketDetail,
};
use reading::Reading;
use whole::{Packets, Whole};
use wire::{Tapped, WRITE_TIMEOUT};

/// A connected stream and the evidence about it.
pub struct Dialled {
    /// What MQTT reads from and writes to. A write without progress for 20 s fails with `TimedOut`.
    pub stream: BoxedStream,
    /// What was and will be seen on it.
    pub wire: Wire,
}

impl std::fmt::Debug for Dialled {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Dialled").finish_non_exhaustive()
    }
}

/// Carries out a plan until the stream is ready for CONNECT. Stages are recorded in `trace`; its verdict is
/// the caller's to set, once CONNACK has come or this has failed. Dropping the future cancels.
///
/// # Errors
/// The failure, named. `deadline` bounds everything together.
pub async fn dial(plan: &Plan, trace: &TraceRecorder, deadline: Instant) -> Result<Dialled, Failure> {
    let wire = Wire::default();
    let credentials = load_identity(plan, trace, deadline).await?;
    let stream = reach(plan, trace, deadline, &credentials.authorities).await?;
    let stream = start_tls(plan, trace, deadline, &wire, credentials, stream).await?;
    let stream = start_websocket(plan, trace, deadline, &wire, stream).await?;
    let stream: BoxedStream = Box::new(Tapped::outermost(stream, wire.mqtt.clone(), WRITE_TIMEOUT));
    let stream: BoxedStream = Box::new(Reading::new(stream, Answer::to_connect(plan.version)));
    let whole = Whole::new(Packets::default(), plan.largest_packet.into(), wire.packet.clone());
    let stream = Box::new(Reading::new(stream, whole));
    Ok(Dialled { stream, wire })
}

/// What was read from files before anything was dialled.
#[derive(Default)]
struct Credentials {
    key: Option<Arc<CertifiedKey>>,
    authorities: Vec<CertificateDer<'static>>,
    revocation_lists: Vec<CertificateRevocationListDer<'static>>,
}

async fn load_identity(
    plan: &Plan,
    trace: &TraceRecorder,
    deadline: Instant,
) -> Result<Credentials, Failure> {
    let proxy = plan.proxy.iter().flat_map(|proxy| &proxy.ca_files);
    let wanted: Vec<String> = match &plan.tls {
        Some(tls) => plan::given_authorities(&tls.trust).unwrap_or_default().to_vec(),
        None => proxy.cloned().collect(),
    };
    let unused = plan.tls.is_none() && plan.identity.is_some();
    let mut detail = IdentityDetail::default();
    if unused {
        let remark = IdentityRemark::NotSent { url: plan.url() };
        trace.log(Stage::Identity, LogNote::Remark { remark: remark.clone() });
        detail.remark([remark]);
    }
    let client = plan.identity.clone().filter(|_| !unused);
    let lists = match &plan.tls {
        Some(tls) if !matches!(tls.trust.mode, TrustMode::Pinned | TrustMode::Insecure) => {
            tls.trust.crl_files.clone()
        }
        _ => Vec::new(),
    };
    if client.is_none() && wanted.is_empty() && lists.is_empty() {
        trace.skip(StageDetail::Identity(detail));
        return Ok(Credentials::default());
    }
    let secrets = plan.key_secrets.clone();
    trace.begin(StageDetail::Identity(IdentityDetail::default()));
    let loaded = tokio::task::spawn_blocking(move || {
        let result = load_files(client.as_ref(), &secrets, &wanted, &lists, &mut detail);
        (detail, result)
    });
    // A file on a network drive that is gone takes as long as it likes.
    let Ok(loaded) = timeout_at(deadline, loaded).await else {
        return Err(diagnosis::files_too_slow(plan));
    };
    let (detail, result) = loaded.map_err(|_| diagnosis::internal(Stage::Identity))?;
    let detail = StageDetail::Identity(detail);
    match result {
        Ok(credentials) => {
            trace.ok(detail);
            Ok(credentials)
        }
        Err(error) => {
            trace.failed(detail);
            Err(diagnosis::identity(plan, &error))
        }
    }
}

fn load_files(
    client: Option<&crate::profile::ClientCertificate>,
    secrets: &crate::secret::Secrets,
    authorities: &[String],
    revocation_lists: &[String],
    detail: &mut IdentityDetail,
) -> Result<Credentials, identity::IdentityError> {
    let mut credentials = Credentials::default();
    if let Some(client) = client {
        let loaded = identity::load_client(client, secrets, &mut detail.files).inspect_err(|error| {
            if error.code == FailureCode::KeyMismatch {
                detail.key_matches = Some(false);
            }
        })?;
        detail.key_matches = loaded.key_matches;
        detail.remark(identity::remarks(&loaded.presented, Clock::start().now()));
        credentials.key = Some(loaded.key);
    }
    if !authorities.is_empty() {
        credentials.authorities = identity::load_authorities(authorities, &mut detail.files)?;
    }
    credentials.revocation_lists = identity::load_revocation_lists(revocation_lists, &mut detail.files)?;
    Ok(credentials)
}

/// DNS, TCP and the proxy: a stream to the broker's port.
async fn reach(
    plan: &Plan,
    trace: &TraceRecorder,
    deadline: Instant,
    authorities: &[CertificateDer<'static>],
) -> Result<BoxedStream, Failure> {
    match &plan.proxy {
        None => {
            let addresses = resolve(plan, trace, deadline).await?;
            trace.begin(StageDetail::Tcp(TcpDetail::default()));
            let stream = tcp::connect(&addresses, trace, deadline)
                .await
                .map_err(|problem| diagnosis::tcp(plan, &problem))?;
            trace.skip(StageDetail::Proxy(ProxyDetail::default()));
            Ok(Box::new(Reading::new(stream, tcp::Acknowledged)))
        }
        Some(proxy) => through_proxy(plan, proxy, trace, deadline, authorities).await,
    }
}

/// The broker's addresses, as the `dns` stage.
async fn resolve(plan: &Plan, trace: &TraceRecorder, deadline: Instant) -> Result<Vec<SocketAddr>, Failure> {
    let endpoint = &plan.endpoint;
    let name = match (endpoint.host(), endpoint.scope()) {
        (Host::Name(name), _) => name.clone(),
        // The zone of a link-local address is a name that only the operating system can tell the number of.
        (Host::Address(address), Some(scope)) => format!("{address}%{scope}"),
        (Host::Address(address), None) => {
            let address = SocketAddr::new(*address, endpoint.port());
            let detail = DnsDetail {
                name: String::new(),
                addresses: vec![address.ip().to_string()],
                resolver: "none".to_owned(),
            };
            trace.skip(StageDetail::Dns(detail));
            return Ok(vec![address]);
        }
    };
    let mut detail = DnsDetail { name: name.clone(), addresses: Vec::new(), resolver: "system".to_owned() };
    trace.begin(StageDetail::Dns(detail.clone()));
    let found = timeout_at(deadline, dns::lookup(&name, endpoint.port())).await;
    match found.unwrap_or(Err(DnsProblem::Timeout)) {
        Ok(addresses) => {
            detail.addresses = addresses.iter().map(|address| address.ip().to_string()).collect();
            trace.ok(StageDetail::Dns(detail));
            Ok(addresses)
        }
        Err(problem) => {
            trace.failed(StageDetail::Dns(detail));
            Err(diagnosis::dns(plan, &name, &problem))
        }
    }
}

async fn through_proxy(
    plan: &Plan,
    proxy: &ProxyPlan,
    trace: &TraceRecorder,
    deadline: Instant,
    authorities: &[CertificateDer<'static>],
) -> Result<BoxedStream, Failure> {
    let endpoint = &plan.endpoint;
    let target = match endpoint.host() {
        Host::Name(_) if proxy.resolve_locally => {
            let addresses = resolve(plan, trace, deadline).await?;
            let first = addresses.first().ok_or_else(|| diagnosis::internal(Stage::Dns))?;
            Target::Address(first.ip(), first.port())
        }
        Host::Name(name) => {
            let detail =
                DnsDetail { name: name.clone(), addresses: Vec::new(), resolver: "proxy".to_owned() };
            trace.skip(StageDetail::Dns(detail));
            Target::Name(name.clone(), endpoint.port())
        }
        Host::Address(address) => {
            let addresses = vec![address.to_string()];
            let resolver = "none".to_owned();
            trace.skip(StageDetail::Dns(DnsDetail { name: String::new(), addresses, resolver }));
            Target::Address(*address, endpoint.port())
        }
    };
    let stream = connect_to_proxy(plan, proxy, trace, deadline).await?;
    let mut detail = ProxyDetail {
        kind: match proxy.kind {
            ProxyKind::None => String::new(),
            ProxyKind::Http => "http".to_owned(),
            ProxyKind::Https => "https".to_owned(),
            ProxyKind::Socks5 => "socks5".to_owned(),
        },
        address: proxy.address(),
        target: target.to_string(),
        ..ProxyDetail::default()
    };
    trace.begin(StageDetail::Proxy(detail.clone()));
    // Whether the proxy has been told where to go: until then silence is its own.
    let mut asked = false;
    let tunnelled = async {
        let mut stream = match proxy.kind {
            ProxyKind::Https => tls_to_proxy(stream, proxy, authorities.to_vec()).await?,
            _ => stream,
        };
        proxy::tunnel(&mut stream, proxy, &target, &mut detail, &mut asked).await?;
        Ok(stream)
    };
    let tunnelled = match timeout_at(deadline, tunnelled).await {
        Ok(tunnelled) => tunnelled,
        Err(_) if asked => Err(ProxyProblem::Timeout),
        Err(_) => Err(ProxyProblem::Silent),
    };
    match tunnelled {
        Ok(stream) => {
            trace.ok(StageDetail::Proxy(detail));
            Ok(stream)
        }
        Err(problem) => {
            let failure = diagnosis::proxy(plan, proxy, &target, &problem, detail.answer.as_deref());
            trace.failed(StageDetail::Proxy(detail));
            Err(failure)
        }
    }
}

/// TCP to the proxy. That it cannot be reached is a failure of the proxy, though it shows in TCP.
async fn connect_to_proxy(
    plan: &Plan,
    proxy: &ProxyPlan,
    trace: &TraceRecorder,
    deadline: Instant,
) -> Result<BoxedStream, Failure> {
    trace.begin(StageDetail::Tcp(TcpDetail::default()));
    let unreachable = |why: String, errno| {
        let target = Target::Name(plan.endpoint.host().to_string(), plan.endpoint.port());
        let problem = ProxyProblem::Unreachable(why, errno);
        diagnosis::proxy(plan, proxy, &target, &problem, None).seen_during(Stage::Tcp)
    };
    let addresses = match dns::literal(&proxy.host) {
        Some(address) => vec![SocketAddr::new(address, proxy.port)],
        None => {
            trace.log(Stage::Tcp, LogNote::LookUpProxy { name: proxy.host.clone() });
            let found = timeout_at(deadline, dns::lookup(&proxy.host, proxy.port)).await;
            found.unwrap_or(Err(DnsProblem::Timeout)).map_err(|problem| {
                let why = match problem {
                    DnsProblem::NotFound { .. } => "its name does not exist",
                    DnsProblem::Failed { .. } => "its name could not be looked up",
                    DnsProblem::Timeout => "looking up its name took too long",
                };
                unreachable(why.to_owned(), None)
            })?
        }
    };
    let stream = tcp::connect(&addresses, trace, deadline).await.map_err(|problem| {
        let (why, errno) = diagnosis::tcp_words(&problem);
        unreachable(why.to_owned(), errno)
    })?;
    Ok(Box::new(Reading::new(stream, tcp::Acknowledged)))
}

/// The proxy is judged by the system's roots and the given CA files; it never gets our certificate.
async fn tls_to_proxy(
    stream: BoxedStream,
    proxy: &ProxyPlan,
    authorities: Vec<CertificateDer<'static>>,
) -> Result<BoxedStream, ProxyProblem> {
    let server_name = ServerName::try_from(proxy.host.clone())
        .map_err(|_| ProxyProblem::Tls("its host is not a TLS server name".to_owned()))?;
    let plan = plan::TlsPlan {
        trust: Trust { mode: TrustMode::SystemAndCa, ..Trust::default() },
        pin: None,
        min_version: crate::profile::TlsVersion::V1_2,
        alpn: Vec::new(),
        server_name: server_name.clone(),
    };
    let facts = wire::Shared::<TlsFacts>::default();
    let filled = facts.clone();
    let config = tokio::task::spawn_blocking(move || tls::configure(&plan, authorities, &[], None, &filled))
        .await
        .map_err(|error| ProxyProblem::Tls(error.to_string()))?
        .map_err(|error| ProxyProblem::Tls(error.to_string()))?;
    tls::connect(stream, &server_name, config, &facts, &mut TlsDetail::default())
        .await
        .map_err(|(error, _)| ProxyProblem::Tls(error.to_string()))
}

async fn start_tls(
    plan: &Plan,
    trace: &TraceRecorder,
    deadline: Instant,
    wire: &Wire,
    credentials: Credentials,
    stream: BoxedStream,
) -> Result<BoxedStream, Failure> {
    let Some(tls) = &plan.tls else {
        trace.skip(StageDetail::Tls(TlsDetail::default()));
        return Ok(stream);
    };
    let mut detail = tls::planned_detail(tls);
    trace.begin(StageDetail::Tls(detail.clone()));
    let stream: BoxedStream = Box::new(Tapped::new(stream, wire.socket.clone()));
    let (planned, facts) = (tls.clone(), wire.tls.clone());
    let configured = tokio::task::spawn_blocking(move || {
        let Credentials { key, authorities, revocation_lists } = credentials;
        tls::configure(&planned, authorities, &revocation_lists, key, &facts)
    });
    let config = match timeout_at(deadline, configured).await {
        Ok(Ok(Ok(config))) => config,
        Ok(Ok(Err(error))) => {
            trace.failed(StageDetail::Tls(detail));
            return Err(diagnosis::tls_unusable(plan, &error));
        }
        Ok(Err(_)) => return Err(diagnosis::internal(Stage::Tls)),
        Err(_) => {
            trace.failed(StageDetail::Tls(detail));
            return Err(diagnosis::tls(plan, wire, None));
        }
    };
    let handshake = tls::connect(stream, &tls.server_name, config, &wire.tls, &mut detail);
    let problem = match timeout_at(deadline, handshake).await {
        Ok(Ok(stream)) => {
            trace.ok(StageDetail::Tls(detail));
            return Ok(stream);
        }
        Ok(Err((error, mut stream))) => {
            if let Some(rustls::Error::InvalidMessage(_)) = tls_error(&error) {
                // The tap beneath keeps what comes.
                wire::listen(&mut stream, &mut wire.socket.first_bytes()).await;
            }
            Some(error)
        }
        Err(_) => {
            wire.tls.read().fill(&mut detail);
            None
        }
    };
    if let Some(rustls::Error::AlertReceived(alert)) = problem.as_ref().and_then(tls_error) {
        detail.alert = Some(diagnosis::alert_name(*alert));
    }
    trace.failed(StageDetail::Tls(detail));
    Err(diagnosis::tls(plan, wire, problem))
}

async fn start_websocket(
    plan: &Plan,
    trace: &TraceRecorder,
    deadline: Instant,
    wire: &Wire,
    stream: BoxedStream,
) -> Result<BoxedStream, Failure> {
    let Some(websocket) = &plan.websocket else {
        trace.skip(StageDetail::Websocket(WebsocketDetail::default()));
        return Ok(stream);
    };
    let request = websocket::request(&plan.endpoint, websocket);
    let mut detail: WebsocketDetail = request.detail.clone();
    trace.begin(StageDetail::Websocket(detail.clone()));
    let stream: BoxedStream = Box::new(Tapped::new(stream, wire.http.clone()));
    let upgraded = websocket::connect(stream, &request, websocket, wire, &mut detail, deadline);
    match timeout_at(deadline, upgraded).await.unwrap_or(Err(WebsocketProblem::Timeout)) {
        Ok(stream) => {
            if !websocket.subprotocol.is_empty() && detail.subprotocol.is_none() {
                let offered = websocket.subprotocol.clone();
                trace.log(Stage::Websocket, LogNote::NoSubprotocol { offered });
            }
            trace.ok(StageDetail::Websocket(detail));
            Ok(stream)
        }
        Err(problem) => {
            trace.failed(StageDetail::Websocket(detail));
            Err(diagnosis::websocket(plan, wire, problem))
        }
    }
}

#[cfg(test)]
mod tests;
