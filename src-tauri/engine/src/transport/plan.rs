//! What will be dialled. In: a profile and its secrets. Out: a plan that can be carried out without asking
//! anything again. No I/O. The transport is the endpoint's and nothing else's: credentials and certificates
//! stand beside it, and no code here reads them to decide where or how to connect.

use rustls_pki_types::ServerName;

use crate::diagnosis;
use crate::endpoint::{Endpoint, Host};
use crate::failure::{Failure, FailureCode};
use crate::profile::{ClientCertificate, MqttVersion, Profile, ProxyKind, TlsVersion, Trust, TrustMode};
use crate::secret::{Secret, SecretField, Secrets};
use crate::trace::Stage;

/// One attempt to connect, ready to be carried out by [`super::dial`].
#[derive(Debug, Clone)]
pub struct Plan {
    pub(crate) endpoint: Endpoint,
    pub(crate) identity: Option<ClientCertificate>,
    /// What opens the identity's key, or is it.
    pub(crate) key_secrets: Secrets,
    pub(crate) tls: Option<TlsPlan>,
    pub(crate) websocket: Option<WebsocketPlan>,
    pub(crate) proxy: Option<ProxyPlan>,
    /// For the words of a diagnosis.
    pub(crate) version: MqttVersion,
    /// The Maximum Packet Size, in bytes; all that MQTT allows when the profile does not say.
    pub(crate) largest_packet: u32,
}

impl Plan {
    /// The exact URL, without user name and password.
    pub fn url(&self) -> String {
        self.endpoint.url()
    }

    /// Host and port for a sentence.
    pub fn address(&self) -> String {
        self.endpoint.authority()
    }

    /// The endpoint: where, and by which transport.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }
}

#[derive(Debug, Clone)]
pub(crate) struct TlsPlan {
    pub(crate) trust: Trust,
    pub(crate) pin: Option<[u8; 32]>,
    pub(crate) min_version: TlsVersion,
    pub(crate) alpn: Vec<String>,
    /// Asked for and verified.
    pub(crate) server_name: ServerName<'static>,
}

#[derive(Debug, Clone)]
pub(crate) struct WebsocketPlan {
    pub(crate) subprotocol: String,
    pub(crate) headers: Vec<PlannedHeader>,
}

#[derive(Debug, Clone)]
pub(crate) struct PlannedHeader {
    pub(crate) name: String,
    pub(crate) value: Secret,
    pub(crate) masked: bool,
}

#[derive(Debug, Clone)]
pub(crate) struct ProxyPlan {
    pub(crate) kind: ProxyKind,
    pub(crate) host: String,
    pub(crate) port: u16,
    /// User name and password; none are sent without a user name.
    pub(crate) login: Option<(String, Secret)>,
    pub(crate) resolve_locally: bool,
    /// CA files that may vouch for the proxy itself, beside the system's roots; none without TLS to it.
    pub(crate) ca_files: Vec<String>,
}

impl ProxyPlan {
    pub(crate) fn address(&self) -> String {
        host_port(&self.host, self.port)
    }
}

/// Plans an attempt.
///
/// # Errors
/// `invalid_settings`, naming the setting that no attempt could honour.
#[allow(clippy::result_large_err, reason = "one an attempt, and the caller wants all of it")]
pub fn plan(profile: &Profile, secrets: &Secrets) -> Result<Plan, Failure> {
    let settings = &profile.settings;
    let endpoint = profile.endpoint.clone();
    let identity = settings.client_certificate.enabled.then(|| settings.client_certificate.clone());
    let tls = if endpoint.tls() { Some(plan_tls(profile)?) } else { None };
    let websocket = if endpoint.websocket() { Some(plan_websocket(profile, secrets)?) } else { None };
    let proxy = plan_proxy(profile, secrets)?;
    let key_secrets = identity.as_ref().map(|_| secrets.of_the_key()).unwrap_or_default();
    let largest_packet = settings.session.maximum_packet_size.unwrap_or(u32::MAX);
    let version = settings.session.version;
    Ok(Plan { endpoint, identity, key_secrets, tls, websocket, proxy, version, largest_packet })
}

fn plan_tls(profile: &Profile) -> Result<TlsPlan, Failure> {
    let settings = &profile.settings;
    let pin = match settings.trust.mode {
        TrustMode::Pinned => Some(parse_pin(&settings.trust.pinned_sha256)?),
        _ => None,
    };
    if settings.trust.mode == TrustMode::CaOnly && settings.trust.ca_files.is_empty() {
        return Err(invalid(Stage::Tls, "Only given CA files are to be trusted, but none is given")
            .fix("Choose the CA certificate", diagnosis::trust(TrustMode::CaOnly)));
    }
    for name in &settings.tls.alpn {
        if name.is_empty() || name.len() > 255 {
            return Err(invalid(Stage::Tls, "An ALPN protocol name has 1 to 255 bytes (RFC 7301)"));
        }
    }
    let override_name = settings.tls.server_name.trim();
    let server_name = match (override_name, profile.endpoint.host()) {
        ("", Host::Address(address)) => ServerName::from(*address),
        ("", Host::Name(name)) => server_name(name)?,
        (name, _) => server_name(name)?,
    };
    Ok(TlsPlan {
        trust: settings.trust.clone(),
        pin,
        min_version: settings.tls.min_version,
        alpn: settings.tls.alpn.clone(),
        server_name,
    })
}

/// The CA files that a trust mode makes use of.
pub(crate) fn given_authorities(trust: &Trust) -> Option<&[String]> {
    matches!(trust.mode, TrustMode::SystemAndCa | TrustMode::CaOnly).then_some(&trust.ca_files[..])
}

fn server_name(name: &str) -> Result<ServerName<'static>, Failure> {
    // The dot that ends a fully qualified name is not part of what TLS asks for (RFC 6066, 3).
    let name = name.strip_suffix('.').unwrap_or(name);
    ServerName::try_from(name.to_owned())
        .map_err(|_| invalid(Stage::Tls, format!("`{name}` cannot be used as a TLS server name")))
}

fn parse_pin(text: &str) -> Result<[u8; 32], Failure> {
    let digits: String = text.chars().filter(|c| !c.is_whitespace() && *c != ':').collect();
    hex::decode(digits).ok().and_then(|bytes| bytes.try_into().ok()).ok_or_else(|| {
        invalid(Stage::Tls, "The pinned fingerprint is not a SHA-256 in hexadecimal (64 digits)")
            .fix("Verify with the operating system's roots instead", diagnosis::trust(TrustMode::System))
    })
}

fn plan_websocket(profile: &Profile, secrets: &Secrets) -> Result<WebsocketPlan, Failure> {
    let options = &profile.settings.websocket;
    let subprotocol = options.subprotocol.trim().to_owned();
    if !subprotocol.is_empty() && !subprotocol.split(',').all(|name| is_token(name.trim())) {
        return Err(invalid(Stage::Websocket, format!("`{subprotocol}` is not a WebSocket subprotocol")));
    }
    let mut headers = Vec::new();
    for header in &options.headers {
        let name = header.name.trim();
        if name.is_empty() && header.value.is_empty() {
            continue;
        }
        if !is_token(name) {
            return Err(invalid(Stage::Websocket, format!("`{name}` is not an HTTP header name")));
        }
        let lower = name.to_ascii_lowercase();
        if matches!(lower.as_str(), "connection" | "upgrade" | "content-length" | "transfer-encoding")
            || lower.starts_with("sec-websocket-")
        {
            let text = format!("The header `{name}` belongs to the WebSocket handshake itself");
            return Err(invalid(Stage::Websocket, text));
        }
        let value = if header.secret {
            let field = SecretField::WebsocketHeader(lower.clone());
            secrets.get(&field).cloned().ok_or_else(|| {
                invalid(Stage::Websocket, format!("The secret value of the header `{name}` is not set"))
            })?
        } else {
            Secret::new(header.value.as_bytes())
        };
        if value.expose().iter().any(|byte| (*byte < 0x20 && *byte != b'\t') || *byte == 0x7f) {
            let text = format!("The value of the header `{name}` contains control characters");
            return Err(invalid(Stage::Websocket, text));
        }
        let masked = header.secret || matches!(lower.as_str(), "authorization" | "cookie");
        headers.push(PlannedHeader { name: name.to_owned(), value, masked });
    }
    Ok(WebsocketPlan { subprotocol, headers })
}

fn plan_proxy(profile: &Profile, secrets: &Secrets) -> Result<Option<ProxyPlan>, Failure> {
    let proxy = &profile.settings.proxy;
    if proxy.kind == ProxyKind::None {
        return Ok(None);
    }
    let host = proxy.host.trim().trim_start_matches('[').trim_end_matches(']').to_owned();
    if host.is_empty() || proxy.port == 0 {
        return Err(invalid(Stage::Proxy, "A proxy is switched on, but its host or port is missing"));
    }
    let login = (!proxy.username.is_empty()).then(|| {
        let password = secrets.get(&SecretField::ProxyPassword).cloned();
        (proxy.username.clone(), password.unwrap_or_else(|| Secret::new("")))
    });
    if let Some((username, password)) = &login {
        let lengths = [username.len(), password.expose().len()];
        if proxy.kind == ProxyKind::Socks5 && lengths.iter().any(|length| *length > 255) {
            let text = "SOCKS 5 takes at most 255 bytes each of user name and password (RFC 1929)";
            return Err(invalid(Stage::Proxy, text));
        }
    }
    if let Some(scope) = profile.endpoint.scope() {
        let text = format!(
            "%{scope} is a network interface of this computer, where no proxy can go: leave the zone or the proxy out"
        );
        return Err(invalid(Stage::Proxy, text));
    }
    let ca_files = match (proxy.kind, given_authorities(&profile.settings.trust)) {
        (ProxyKind::Https, Some(files)) => files.to_vec(),
        _ => Vec::new(),
    };
    let resolve_locally = proxy.resolve_locally;
    Ok(Some(ProxyPlan { kind: proxy.kind, host, port: proxy.port, login, resolve_locally, ca_files }))
}

fn invalid(stage: Stage, message: impl Into<String>) -> Failure {
    Failure::new(stage, FailureCode::InvalidSettings, message)
        .because("The settings say so; nothing was dialled.")
        .permanent()
}

/// RFC 9110, 5.6.2.
fn is_token(text: &str) -> bool {
    !text.is_empty()
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

fn host_port(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}
