//! Where a connection goes: transport × TLS, host, port, path. URL text ⇄ [`Endpoint`] is this file alone.
//! In: URLs and form fields. Out: a value that can be dialled. Never looks at authentication: a user name
//! or a password found in a URL is handed back beside the endpoint, not in it.

use serde::{Deserialize, Serialize};
use ts_rs::TS;

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
    port: u16,
    path: String,
}

/// A host to dial.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Host {
    /// A name, in lower-case ASCII (IDNA).
    Name(String),
    /// An address; an IPv6 one may carry a zone in `scope`.
    Address(std::net::IpAddr),
}

/// Why text is not an endpoint. `field` is `url`, `scheme`, `host`, `port` or `path`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct EndpointError {
    /// Which part.
    pub field: &'static str,
    /// One sentence that says what to do.
    pub message: String,
}

/// What a URL says: the endpoint, and the login that stood in it.
#[derive(Debug, Clone)]
pub struct ParsedUrl {
    /// Where to connect.
    pub endpoint: Endpoint,
    /// User name, percent-decoded.
    pub username: Option<String>,
    /// Password, percent-decoded.
    pub password: Option<crate::secret::Secret>,
}

impl Endpoint {
    /// Reads `mqtt://`, `mqtts://`, `ws://`, `wss://` `[user[:password]@]host[:port][/path]`.
    /// Also `tcp`, `ssl`, `tls`, `mqtt+ssl`, `http`, `https` as people's other tools write them; and
    /// `host`, `host:port` without a scheme, with the given default scheme.
    ///
    /// # Errors
    /// The part that cannot be understood.
    pub fn parse_url(text: &str, default: Scheme) -> Result<ParsedUrl, EndpointError> {
        let _ = (text, default);
        Err(EndpointError { field: "url", message: String::new() })
    }

    /// The transport; a function of the two switches alone.
    pub fn scheme(&self) -> Scheme {
        match (self.websocket, self.tls) {
            (false, false) => Scheme::Mqtt,
            (false, true) => Scheme::Mqtts,
            (true, false) => Scheme::Ws,
            (true, true) => Scheme::Wss,
        }
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

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Path and query of the WebSocket request, starting with `/`.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The exact URL, port always written.
    pub fn url(&self) -> String {
        String::new()
    }
}

impl TryFrom<EndpointParts> for Endpoint {
    type Error = EndpointError;
    fn try_from(parts: EndpointParts) -> Result<Self, EndpointError> {
        let _ = parts;
        Err(EndpointError { field: "host", message: String::new() })
    }
}

impl From<Endpoint> for EndpointParts {
    fn from(endpoint: Endpoint) -> Self {
        Self {
            websocket: endpoint.websocket,
            tls: endpoint.tls,
            host: endpoint.host.to_string(),
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
