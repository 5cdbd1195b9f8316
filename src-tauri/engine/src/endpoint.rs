//! Where a connection goes: transport × TLS, host, port, path. URL text ⇄ [`Endpoint`] is this file alone.
//! In: URLs and form fields. Out: a value that can be dialled. Never looks at authentication: a user name
//! or a password found in a URL is handed back beside the endpoint, not in it, and never repeated in errors.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};
use ts_rs::TS;

use crate::secret::Secret;

/// The path of a WebSocket request when none is given.
pub const DEFAULT_PATH: &str = "/mqtt";

/// An endpoint as typed into the form: three texts and two switches.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(default)]
#[ts(export)]
pub struct EndpointParts {
    /// WebSocket on.
    pub websocket: bool,
    /// TLS on.
    pub tls: bool,
    /// Host as typed.
    pub host: String,
    /// Port as typed; the transport's usual one when empty.
    pub port: String,
    /// Path and query as typed; `/mqtt` when empty. Only used with WebSocket.
    pub path: String,
}

/// The four transports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, TS)]
#[serde(rename_all = "lowercase")]
#[ts(export)]
pub enum Scheme {
    /// MQTT over TCP.
    Mqtt,
    /// MQTT over TLS.
    Mqtts,
    /// MQTT over WebSocket.
    Ws,
    /// MQTT over WebSocket over TLS.
    Wss,
}

/// An endpoint that can be dialled.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, TS)]
#[serde(try_from = "EndpointParts", into = "EndpointParts")]
#[ts(export, as = "EndpointParts")]
pub struct Endpoint {
    websocket: bool,
    tls: bool,
    host: Host,
    scope: Option<String>,
    port: u16,
    path: String,
}

/// A host to dial. The zone of an IPv6 address is [`Endpoint::scope`].
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Host {
    /// A name, in lower-case ASCII (IDNA).
    Name(String),
    /// An address.
    Address(IpAddr),
}

/// Why text is not an endpoint. `field` is `url`, `scheme`, `host`, `port` or `path`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct EndpointError {
    /// Which part.
    pub field: &'static str,
    /// What is wrong with it.
    pub reason: EndpointReason,
    /// The text that it is about, shortened; empty when that goes without saying, or might hold a secret.
    pub value: String,
    /// One sentence that says what to do.
    pub message: String,
}

impl EndpointError {
    pub(crate) fn new(field: &'static str, reason: EndpointReason, message: impl Into<String>) -> Self {
        Self { field, reason, value: String::new(), message: message.into() }
    }

    fn about(self, text: &str) -> Self {
        Self { value: shorten(text), ..self }
    }
}

/// What can be wrong with an endpoint; the window has words for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
#[ts(export)]
pub enum EndpointReason {
    /// Nothing is typed.
    UrlEmpty,
    /// It begins with `://`.
    SchemeMissing,
    /// `value` is no transport.
    SchemeUnknown,
    /// A URL of a broker has no `#` part.
    UrlFragment,
    /// A slash or question mark in user name or password has to be encoded.
    LoginCharacters,
    /// The user name is not UTF-8.
    UsernameNotUtf8,
    /// The bracket after an IPv6 address is missing.
    BracketMissing,
    /// Something else than a port stands after it.
    AfterBracket,
    /// In a URL an IPv6 address stands in brackets.
    BracketsNeeded,
    /// There is no host.
    HostMissing,
    /// A whole URL stands where the host belongs.
    HostIsUrl,
    /// A port stands where the host belongs.
    HostWithPort,
    /// `value` is no IPv6 address.
    NotIpv6,
    /// What stands after `%` is no zone.
    ZoneInvalid,
    /// The host has a space in it.
    HostSpace,
    /// The host has characters that names cannot have.
    HostCharacters,
    /// The host has nothing between two dots.
    HostEmptyPart,
    /// The host is too long.
    HostTooLong,
    /// The host ends in a number and is no IPv4 address.
    NotIpv4,
    /// `value` is no port.
    PortInvalid,
    /// The path has a `#` part.
    PathFragment,
    /// The path has a control character.
    PathControl,
    /// The path is too long.
    PathTooLong,
    /// Only WebSocket has a path, not `value`.
    PathWithoutWebsocket,
    /// It is no URL of a proxy.
    ProxyUrl,
}

/// What a URL says: the endpoint, and the login that stood in it.
#[derive(Debug, Clone)]
pub struct ParsedUrl {
    /// Where to connect.
    pub endpoint: Endpoint,
    /// User name, percent-decoded; `None` when absent or empty.
    pub username: Option<String>,
    /// Password, percent-decoded; `None` when absent or empty.
    pub password: Option<Secret>,
}

/// A URL taken apart, its host, port and path not looked at yet.
#[derive(Debug, Clone)]
pub struct SplitUrl {
    /// Transport, and the texts as they stood in the URL; a missing port or path is empty.
    pub parts: EndpointParts,
    /// User name, percent-decoded; `None` when absent or empty.
    pub username: Option<String>,
    /// Password, percent-decoded; `None` when absent or empty.
    pub password: Option<Secret>,
}

impl Scheme {
    /// All four, in the order in which people list them.
    pub const ALL: [Self; 4] = [Self::Mqtt, Self::Mqtts, Self::Ws, Self::Wss];

    /// The transport of two switches.
    pub fn of(websocket: bool, tls: bool) -> Self {
        match (websocket, tls) {
            (false, false) => Self::Mqtt,
            (false, true) => Self::Mqtts,
            (true, false) => Self::Ws,
            (true, true) => Self::Wss,
        }
    }

    /// Reads a scheme, whatever its case: the four, and the names that other tools use for them.
    pub fn from_name(name: &str) -> Option<Self> {
        match name.to_ascii_lowercase().as_str() {
            "mqtt" | "tcp" => Some(Self::Mqtt),
            "mqtts" | "ssl" | "tls" | "mqtt+ssl" => Some(Self::Mqtts),
            "ws" | "http" => Some(Self::Ws),
            "wss" | "https" => Some(Self::Wss),
            _ => None,
        }
    }

    /// `mqtt`, `mqtts`, `ws` or `wss`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Mqtt => "mqtt",
            Self::Mqtts => "mqtts",
            Self::Ws => "ws",
            Self::Wss => "wss",
        }
    }

    /// The port when none is given: 1883, 8883, 80, 443.
    pub fn default_port(self) -> u16 {
        match self {
            Self::Mqtt => 1883,
            Self::Mqtts => 8883,
            Self::Ws => 80,
            Self::Wss => 443,
        }
    }

    /// Whether WebSocket is on.
    pub fn websocket(self) -> bool {
        matches!(self, Self::Ws | Self::Wss)
    }

    /// Whether TLS is on.
    pub fn tls(self) -> bool {
        matches!(self, Self::Mqtts | Self::Wss)
    }
}

impl std::fmt::Display for Scheme {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Endpoint {
    /// Reads `mqtt://`, `mqtts://`, `ws://`, `wss://` `[user[:password]@]host[:port][/path]`.
    /// Also `tcp`, `ssl`, `tls`, `mqtt+ssl`, `http`, `https` as people's other tools write them; and
    /// `host`, `host:port` without a scheme, with the given default scheme.
    ///
    /// # Errors
    /// The part that cannot be understood.
    pub fn parse_url(text: &str, default: Scheme) -> Result<ParsedUrl, EndpointError> {
        let SplitUrl { parts, username, password } = split_url(text, default)?;
        Ok(ParsedUrl { endpoint: Self::from_url_parts(parts)?, username, password })
    }

    /// The endpoint of a URL taken apart: a path without WebSocket is an error here, since it was meant.
    ///
    /// # Errors
    /// The part that cannot be understood.
    pub fn from_url_parts(parts: EndpointParts) -> Result<Self, EndpointError> {
        let path_without_websocket = !parts.websocket && !matches!(parts.path.as_str(), "" | "/");
        let path = if parts.websocket { parts.path } else { String::new() };
        let endpoint = Self::try_from(EndpointParts { path, ..parts })?;
        if path_without_websocket {
            let (plain, web) = (endpoint.scheme(), Scheme::of(true, endpoint.tls));
            let message =
                format!("{plain}:// has no path: remove it, or use {web}:// for MQTT over WebSocket");
            let error = EndpointError::new("path", EndpointReason::PathWithoutWebsocket, message);
            return Err(error.about(plain.as_str()));
        }
        Ok(endpoint)
    }

    /// The transport; a function of the two switches alone.
    pub fn scheme(&self) -> Scheme {
        Scheme::of(self.websocket, self.tls)
    }

    /// Whether WebSocket is on.
    pub fn websocket(&self) -> bool {
        self.websocket
    }

    /// Whether TLS is on.
    pub fn tls(&self) -> bool {
        self.tls
    }

    /// The host.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// The zone of a link-local IPv6 address (RFC 4007), e.g. `eth0` or `2`.
    pub fn scope(&self) -> Option<&str> {
        self.scope.as_deref()
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Path and query of the WebSocket request, starting with `/`; empty without WebSocket.
    pub fn path(&self) -> &str {
        if self.websocket { &self.path } else { "" }
    }

    /// Host and port as they stand in a URL, IPv6 in brackets, port always written.
    pub fn authority(&self) -> String {
        match (&self.host, &self.scope) {
            (Host::Address(IpAddr::V6(address)), Some(scope)) => {
                format!("[{address}%25{scope}]:{}", self.port)
            }
            (Host::Address(IpAddr::V6(address)), None) => format!("[{address}]:{}", self.port),
            (host, _) => format!("{host}:{}", self.port),
        }
    }

    /// The exact URL, port always written.
    pub fn url(&self) -> String {
        format!("{}://{}{}", self.scheme(), self.authority(), self.path())
    }
}

impl TryFrom<EndpointParts> for Endpoint {
    type Error = EndpointError;
    fn try_from(parts: EndpointParts) -> Result<Self, EndpointError> {
        let (host, scope) = read_host(parts.host.trim())?;
        let port = match parts.port.trim() {
            "" => Scheme::of(parts.websocket, parts.tls).default_port(),
            text => read_port(text)?,
        };
        // Without WebSocket the path is not used, only kept for the day it is switched on again.
        let path = if parts.websocket { read_path(parts.path.trim())? } else { parts.path };
        Ok(Self { websocket: parts.websocket, tls: parts.tls, host, scope, port, path })
    }
}

impl From<Endpoint> for EndpointParts {
    fn from(endpoint: Endpoint) -> Self {
        Self {
            websocket: endpoint.websocket,
            tls: endpoint.tls,
            host: match &endpoint.scope {
                Some(scope) => format!("{}%{scope}", endpoint.host),
                None => endpoint.host.to_string(),
            },
            port: endpoint.port.to_string(),
            path: endpoint.path,
        }
    }
}

impl std::fmt::Display for Host {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Address(address) => address.fmt(f),
        }
    }
}

/// Takes a URL apart without judging host, port and path, so that single parts can be replaced.
/// Text without `://` is `[user[:password]@]host[:port][/path]` with the given scheme.
///
/// # Errors
/// The scheme is not known, or the parts cannot be told from each other.
pub fn split_url(text: &str, default: Scheme) -> Result<SplitUrl, EndpointError> {
    let text = text.trim();
    if text.is_empty() {
        return Err(EndpointError::new(
            "url",
            EndpointReason::UrlEmpty,
            "Type a URL, for example mqtt://broker.example.com",
        ));
    }
    let (scheme, rest) = match text.split_once("://") {
        Some((name, rest)) if !name.contains(['/', '@', '?', '#', ':']) => match Scheme::from_name(name) {
            Some(scheme) => (scheme, rest),
            None if name.is_empty() => {
                return Err(EndpointError::new(
                    "scheme",
                    EndpointReason::SchemeMissing,
                    "Begin the URL with mqtt://, mqtts://, ws:// or wss://",
                ));
            }
            None => {
                let known = "use mqtt, mqtts, ws or wss";
                let message = format!("“{}” is not a transport: {known}", shorten(name));
                return Err(EndpointError::new("scheme", EndpointReason::SchemeUnknown, message).about(name));
            }
        },
        _ => (default, text),
    };
    let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let (login, address) = match authority.rsplit_once('@') {
        Some((login, address)) => (login, address),
        None => ("", authority),
    };
    if path.contains('#') {
        return Err(EndpointError::new(
            "path",
            EndpointReason::UrlFragment,
            "A URL of a broker has no # part: write # as %23, or remove it",
        ));
    }
    let (host, port) = split_address(address)?;
    if login.is_empty() && path.contains('@') && !port.bytes().all(|byte| byte.is_ascii_digit()) {
        // Most likely a password with a slash in it; it must not come back as a wrong port.
        return Err(EndpointError::new(
            "url",
            EndpointReason::LoginCharacters,
            "In a user name or password, write / as %2F and ? as %3F",
        ));
    }
    let (username, password) = match login.split_once(':') {
        Some((username, password)) => (username, Some(percent_decoded(password))),
        None => (login, None),
    };
    let username = String::from_utf8(percent_decoded(username)).map_err(|_| {
        EndpointError::new(
            "url",
            EndpointReason::UsernameNotUtf8,
            "The user name in the URL is not UTF-8 text",
        )
    })?;
    Ok(SplitUrl {
        parts: EndpointParts {
            websocket: scheme.websocket(),
            tls: scheme.tls(),
            host: host.to_owned(),
            port: port.to_owned(),
            path: path.to_owned(),
        },
        username: Some(username).filter(|name| !name.is_empty()),
        password: password.filter(|bytes| !bytes.is_empty()).map(Secret::new),
    })
}

/// `host`, `host:port`, `[address]` or `[address]:port` to host (brackets kept) and port.
fn split_address(text: &str) -> Result<(&str, &str), EndpointError> {
    if text.starts_with('[') {
        let end = text.find(']').ok_or_else(|| {
            EndpointError::new(
                "host",
                EndpointReason::BracketMissing,
                "The ] after the IPv6 address is missing",
            )
        })?;
        let (host, rest) = text.split_at(end + 1);
        return match rest.strip_prefix(':') {
            Some(port) => Ok((host, port)),
            None if rest.is_empty() => Ok((host, "")),
            None => Err(EndpointError::new(
                "port",
                EndpointReason::AfterBracket,
                "After the ] of an IPv6 address comes :PORT or nothing",
            )),
        };
    }
    match text.split_once(':') {
        Some((_, port)) if port.contains(':') => Err(EndpointError::new(
            "host",
            EndpointReason::BracketsNeeded,
            "Write an IPv6 address in a URL in brackets: [::1] or [::1]:1883",
        )),
        Some((host, port)) => Ok((host, port)),
        None => Ok((text, "")),
    }
}

fn read_host(text: &str) -> Result<(Host, Option<String>), EndpointError> {
    if text.is_empty() {
        return Err(EndpointError::new(
            "host",
            EndpointReason::HostMissing,
            "The host is missing: type a name or an address",
        ));
    }
    if text.contains("://") {
        return Err(EndpointError::new(
            "host",
            EndpointReason::HostIsUrl,
            "The host is the name or address alone: put a whole URL into the URL field",
        ));
    }
    if let Some(inside) = text.strip_prefix('[') {
        let address = inside.strip_suffix(']').ok_or_else(|| {
            EndpointError::new(
                "host",
                EndpointReason::HostWithPort,
                "The host is the address alone: the port goes into the port field",
            )
        })?;
        // In a URL the % before the zone is written %25 (RFC 6874); people write it plainly as well.
        let (address, scope) = match address.split_once('%') {
            Some((address, scope)) => match scope.strip_prefix("25") {
                Some(rest) if !rest.is_empty() => (address, Some(rest)),
                _ => (address, Some(scope)),
            },
            None => (address, None),
        };
        return read_ipv6(address, scope);
    }
    match text.split(':').count() {
        1 => {}
        2 => {
            return Err(EndpointError::new(
                "host",
                EndpointReason::HostWithPort,
                "The host is the name alone: the port goes into the port field",
            ));
        }
        _ => {
            return match text.split_once('%') {
                Some((address, scope)) => read_ipv6(address, Some(scope)),
                None => read_ipv6(text, None),
            };
        }
    }
    read_name(text).map(|host| (host, None))
}

fn read_ipv6(address: &str, scope: Option<&str>) -> Result<(Host, Option<String>), EndpointError> {
    let parsed: Ipv6Addr = address.parse().map_err(|_| {
        let message = format!("“{}” is not an IPv6 address", shorten(address));
        EndpointError::new("host", EndpointReason::NotIpv6, message).about(address)
    })?;
    let zone_byte = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    match scope {
        Some(scope) if scope.is_empty() || scope.len() > 64 || !scope.bytes().all(zone_byte) => {
            Err(EndpointError::new(
                "host",
                EndpointReason::ZoneInvalid,
                "After the % of an IPv6 address comes the name of a network interface, as in fe80::1%eth0",
            ))
        }
        scope => Ok((Host::Address(parsed.into()), scope.map(str::to_owned))),
    }
}

fn read_name(text: &str) -> Result<Host, EndpointError> {
    use idna::uts46::{AsciiDenyList, DnsLength, Hyphens, Uts46};
    let wrong = |reason, why: &str| {
        let message = format!("“{}” is not a host name: {why}", shorten(text));
        EndpointError::new("host", reason, message).about(text)
    };
    if text.contains(char::is_whitespace) {
        return Err(wrong(EndpointReason::HostSpace, "it has a space in it"));
    }
    let name = Uts46::new()
        .to_ascii(text.as_bytes(), AsciiDenyList::URL, Hyphens::Allow, DnsLength::Ignore)
        .map_err(|_| wrong(EndpointReason::HostCharacters, "it has characters that names cannot have"))?;
    if let Ok(address) = name.parse::<Ipv4Addr>() {
        return Ok(Host::Address(address.into()));
    }
    let labels = name.strip_suffix('.').unwrap_or(&name);
    if labels.split('.').any(str::is_empty) {
        return Err(wrong(EndpointReason::HostEmptyPart, "it has an empty part between dots"));
    }
    if labels.len() > 253 || labels.split('.').any(|label| label.len() > 63) {
        return Err(wrong(
            EndpointReason::HostTooLong,
            "names have at most 253 characters, and 63 between dots",
        ));
    }
    let last = labels.rsplit('.').next().unwrap_or_default();
    if last.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(wrong(
            EndpointReason::NotIpv4,
            "it ends in a number and is not an IPv4 address such as 192.0.2.1 either",
        ));
    }
    Ok(Host::Name(name.into_owned()))
}

fn read_port(text: &str) -> Result<u16, EndpointError> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse::<u16>() {
        Ok(port) if digits && port > 0 => Ok(port),
        _ => {
            let message = format!("“{}” is not a port: type a number from 1 to 65535", shorten(text));
            Err(EndpointError::new("port", EndpointReason::PortInvalid, message).about(text))
        }
    }
}

/// Path and query as they go into the request line (RFC 9112, 3.2.1), other characters percent-encoded.
fn read_path(text: &str) -> Result<String, EndpointError> {
    if text.contains('#') {
        return Err(EndpointError::new(
            "path",
            EndpointReason::PathFragment,
            "A WebSocket path has no # part: write # as %23, or remove it",
        ));
    }
    if text.contains(char::is_control) {
        return Err(EndpointError::new(
            "path",
            EndpointReason::PathControl,
            "The path has a control character in it",
        ));
    }
    let (path, query) = text.split_at(text.find('?').unwrap_or(text.len()));
    let mut target = String::with_capacity(text.len() + 1);
    match path {
        "" => target.push_str(DEFAULT_PATH),
        path if path.starts_with('/') => {}
        _ => target.push('/'),
    }
    for byte in path.bytes().chain(query.bytes()) {
        if byte.is_ascii_graphic() && !b"\"<>\\^`{|}".contains(&byte) {
            target.push(char::from(byte));
        } else {
            target.push_str(&format!("%{byte:02X}"));
        }
    }
    if target.len() > 8_192 {
        return Err(EndpointError::new(
            "path",
            EndpointReason::PathTooLong,
            "The path is longer than 8,192 characters",
        ));
    }
    Ok(target)
}

/// Decodes `%41`; a `%` that begins no such pair stands for itself, since people forget to encode it.
fn percent_decoded(text: &str) -> Vec<u8> {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let mut pair = [0];
        match bytes.get(at + 1..at + 3) {
            Some(digits) if byte == b'%' && hex::decode_to_slice(digits, &mut pair).is_ok() => {
                decoded.push(pair[0]);
                at += 3;
            }
            _ => {
                decoded.push(byte);
                at += 1;
            }
        }
    }
    decoded
}

fn shorten(text: &str) -> String {
    match text.char_indices().nth(60) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn url(text: &str) -> String {
        match Endpoint::parse_url(text, Scheme::Mqtt) {
            Ok(parsed) => parsed.endpoint.url(),
            Err(error) => format!("{}: {}", error.field, error.message),
        }
    }

    fn parts(scheme: Scheme, host: &str, port: &str, path: &str) -> EndpointParts {
        EndpointParts {
            websocket: scheme.websocket(),
            tls: scheme.tls(),
            host: host.into(),
            port: port.into(),
            path: path.into(),
        }
    }

    #[test]
    fn urls_are_read_as_people_write_them() {
        for (text, want) in [
            ("mqtt://localhost", "mqtt://localhost:1883"),
            ("mqtts://localhost", "mqtts://localhost:8883"),
            ("ws://localhost", "ws://localhost:80/mqtt"),
            ("wss://localhost", "wss://localhost:443/mqtt"),
            ("  WSS://Broker.Example.COM:8084  ", "wss://broker.example.com:8084/mqtt"),
            ("tcp://a", "mqtt://a:1883"),
            ("ssl://a", "mqtts://a:8883"),
            ("TLS://a", "mqtts://a:8883"),
            ("mqtt+ssl://a", "mqtts://a:8883"),
            ("http://a/", "ws://a:80/"),
            ("https://a/b", "wss://a:443/b"),
            ("a", "mqtt://a:1883"),
            ("a:1884", "mqtt://a:1884"),
            ("u:p@a:1884", "mqtt://a:1884"),
            ("mqtt://a/", "mqtt://a:1883"),
            ("mqtt://a:", "mqtt://a:1883"),
            ("mqtt://exa_mple", "mqtt://exa_mple:1883"),
            ("mqtt://a.example.", "mqtt://a.example.:1883"),
            ("mqtt://bücher.example", "mqtt://xn--bcher-kva.example:1883"),
            ("mqtt://127.0.0.1", "mqtt://127.0.0.1:1883"),
            ("mqtt://１２７.0.0.1", "mqtt://127.0.0.1:1883"),
            ("mqtt://[::1]", "mqtt://[::1]:1883"),
            ("mqtt://[::1]:2", "mqtt://[::1]:2"),
            ("mqtt://[fe80::1%eth0]", "mqtt://[fe80::1%25eth0]:1883"),
            ("mqtt://[fe80::1%25eth0]", "mqtt://[fe80::1%25eth0]:1883"),
            ("mqtt://[fe80::1%2525]", "mqtt://[fe80::1%2525]:1883"),
            ("ws://a/x y?q=ü{1}", "ws://a:80/x%20y?q=%C3%BC%7B1%7D"),
            ("ws://a?token=1", "ws://a:80/mqtt?token=1"),
            ("ws://a/p?u=http://b", "ws://a:80/p?u=http://b"),
            ("ws://a/@b", "ws://a:80/@b"),
        ] {
            assert_eq!(url(text), want, "{text}");
        }
    }

    #[test]
    fn what_is_wrong_is_said_where_it_is() {
        for (text, field) in [
            ("", "url"),
            ("mqtt://", "host"),
            ("mqtt:///mqtt", "host"),
            ("://a", "scheme"),
            ("ftp://a", "scheme"),
            ("mqtt://a b", "host"),
            ("mqtt://a%20b", "host"),
            ("mqtt://a..b", "host"),
            ("mqtt://.", "host"),
            ("mqtt://256.0.0.1", "host"),
            ("mqtt://127.1", "host"),
            ("mqtt://::1", "host"),
            ("mqtt://[::1", "host"),
            ("mqtt://[::g]", "host"),
            ("mqtt://[fe80::1%]", "host"),
            ("mqtt://[::1]x", "port"),
            ("mqtt://a:0", "port"),
            ("mqtt://a:65536", "port"),
            ("mqtt://a:12x", "port"),
            ("mqtt://a:+12", "port"),
            ("mqtt://a/topic", "path"),
            ("mqtts://a?x", "path"),
            ("ws://a/#frag", "path"),
            ("mqtt://a#frag", "path"),
            ("ws://a/x\u{7}y", "path"),
            ("mqtt://%ff@a", "url"),
        ] {
            let error = Endpoint::parse_url(text, Scheme::Mqtt).expect_err(text);
            assert_eq!(error.field, field, "{text}: {error}");
            assert!(error.message.len() > 15, "{text}: {error}");
        }
        let long = format!("mqtt://{}.example", "a".repeat(64));
        assert_eq!(Endpoint::parse_url(&long, Scheme::Mqtt).expect_err("long label").field, "host");
        assert!(url("mqtts://a/b").contains("wss://"));
    }

    #[test]
    fn host_fields_take_addresses_without_brackets_and_nothing_more() {
        let url = |host: &str| Endpoint::try_from(parts(Scheme::Mqtt, host, "", "")).map(|e| e.url());
        assert_eq!(url("::1").as_deref(), Ok("mqtt://[::1]:1883"));
        assert_eq!(url("fe80::1%25").as_deref(), Ok("mqtt://[fe80::1%2525]:1883"));
        for bad in ["a:1883", "mqtt://a", "[::1]:1883", "", "  ", "a/b", "u@a"] {
            assert_eq!(url(bad).expect_err(bad).field, "host", "{bad}");
        }
    }

    #[test]
    fn a_path_waits_while_websocket_is_off() {
        let endpoint = Endpoint::try_from(parts(Scheme::Mqtt, "a", "", "/b#?")).expect("tcp");
        assert_eq!((endpoint.path(), endpoint.url().as_str()), ("", "mqtt://a:1883"));
        assert_eq!(EndpointParts::from(endpoint).path, "/b#?");
        let endpoint = Endpoint::try_from(parts(Scheme::Ws, "a", "", "b")).expect("ws");
        assert_eq!(endpoint.path(), "/b");
    }

    #[test]
    fn the_login_stands_beside_the_endpoint() {
        let parsed = Endpoint::parse_url("wss://us%40er:p%3Aä%ff%zz@a", Scheme::Mqtt).expect("url");
        assert_eq!(parsed.username.as_deref(), Some("us@er"));
        let password = parsed.password.as_ref().map(Secret::expose);
        assert_eq!(password, Some(&b"p:\xc3\xa4\xff%zz"[..]));
        let again = Endpoint::parse_url("wss://a", Scheme::Mqtt).expect("url");
        assert_eq!(parsed.endpoint, again.endpoint);
        let none = Endpoint::parse_url("mqtt://:@a", Scheme::Mqtt).expect("url");
        assert!(none.username.is_none() && none.password.is_none());
        for text in
            ["mqtt://u:canary/x@a", "mqtt://u:canary?@a", "mqtt://u:p#canary@a", "mqtt://u:canary@a:x"]
        {
            let error = Endpoint::parse_url(text, Scheme::Mqtt).expect_err(text);
            assert!(!error.message.contains("canary"), "{error}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_text_never_panics(text in any::<String>(), host in any::<String>(), port in any::<String>()) {
            let _ = Endpoint::parse_url(&text, Scheme::Ws);
            let _ = Endpoint::parse_url(&format!("wss://{text}"), Scheme::Ws);
            let _ = Endpoint::try_from(parts(Scheme::Wss, &host, &port, &text));
        }

        #[test]
        fn near_urls_never_panic_and_round_trip_when_read(
            text in "(mqtt|mqtts|ws|wss|tcp)://([a-zü]{1,3}(:[%a-f0-9]{0,4})?@)?[\\[\\]a-z0-9:%._-]{0,12}(:[0-9]{0,5})?([/?][ -~ü]{0,12})?",
        ) {
            if let Ok(parsed) = Endpoint::parse_url(&text, Scheme::Mqtt) {
                let again = Endpoint::parse_url(&parsed.endpoint.url(), Scheme::Mqtt).expect("its own URL");
                prop_assert_eq!(&again.endpoint, &parsed.endpoint);
                let parts = EndpointParts::from(parsed.endpoint.clone());
                prop_assert_eq!(Endpoint::try_from(parts).expect("its own parts"), parsed.endpoint);
            }
        }

        #[test]
        fn parts_come_back_as_they_were(
            scheme in prop::sample::select(&Scheme::ALL[..]),
            host in prop::sample::select(&["a", "a.example", "x_y", "10.0.0.1", "::1", "fe80::2%en0", "fe80::2%25"][..]),
            port in 1..=u16::MAX,
            path in "/[a-z0-9/._~%-]{0,9}(\\?[a-z=&]{0,9})?",
        ) {
            let given = parts(scheme, host, &port.to_string(), &path);
            let endpoint = Endpoint::try_from(given.clone()).expect("valid parts");
            prop_assert_eq!(endpoint.scheme(), scheme);
            prop_assert_eq!(EndpointParts::from(endpoint.clone()), given);
            let read = Endpoint::parse_url(&endpoint.url(), Scheme::Mqtt).expect("its own URL");
            prop_assert_eq!(read.endpoint.url(), endpoint.url());
        }
    }
}
