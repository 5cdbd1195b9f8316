//! What a person saved about a connection. In: forms, URLs, imports. Out: values the planner can trust.
//! Never holds a secret: those are in [`crate::secret`], by profile and field.

use serde::{Deserialize, Serialize};
use ts_rs::TS;
use uuid::Uuid;

use crate::endpoint::{Endpoint, EndpointError, EndpointParts, EndpointReason, Scheme, SplitUrl, split_url};
use crate::secret::Secret;

/// Names a profile for ever, also across export and import.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, TS)]
#[serde(transparent)]
#[ts(export, type = "string")]
pub struct ProfileId(pub Uuid);

impl ProfileId {
    /// A new random id.
    pub fn random() -> Self {
        Self(Uuid::new_v4())
    }
}

impl std::fmt::Display for ProfileId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// A saved connection. Its endpoint alone says the transport; nothing in `settings` can change that.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, TS)]
#[ts(export)]
pub struct Profile {
    /// Its id.
    pub id: ProfileId,
    /// What the person calls it.
    pub name: String,
    /// Where and how to connect.
    pub endpoint: Endpoint,
    /// Everything else.
    pub settings: Settings,
}

/// A connection as it stands in the editor: the endpoint may not be valid yet.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, TS)]
#[ts(export)]
pub struct ProfileDraft {
    /// The id it has, or will have once saved.
    pub id: ProfileId,
    /// What the person calls it.
    pub name: String,
    /// The endpoint as typed.
    pub endpoint: EndpointParts,
    /// Everything else.
    pub settings: Settings,
}

/// How to authenticate, whom to trust, and how to speak. Switched-off parts keep their values.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, TS)]
#[serde(default)]
#[ts(export)]
pub struct Settings {
    /// User name and (in the secrets) password.
    pub login: Login,
    /// The client certificate.
    pub client_certificate: ClientCertificate,
    /// Whose server certificates are accepted.
    pub trust: Trust,
    /// TLS details.
    pub tls: TlsOptions,
    /// WebSocket details.
    pub websocket: WebsocketOptions,
    /// The proxy to go through.
    pub proxy: Proxy,
    /// CONNECT.
    pub session: SessionOptions,
    /// The last will.
    pub will: Will,
    /// Time bounds and retries.
    pub timing: Timing,
    /// What to subscribe to after each connect.
    pub subscriptions: Vec<Subscription>,
    /// How much is kept of its messages, when not what is set for all.
    pub retention: Option<Retention>,
}

/// How much is kept of a connection's messages and events. Beyond, the oldest go, and their room in the file a thousand or
/// so at a time; the newest always stays. So do pinned messages and the newest retained one of each topic, which count for
/// nothing here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(default)]
#[ts(export)]
pub struct Retention {
    /// The most bytes that they may take in the file.
    pub max_bytes: Option<u64>,
    /// The most rows.
    pub max_rows: Option<u64>,
    /// How old a row may be, in seconds.
    pub max_age_s: Option<u64>,
}

impl Default for Retention {
    fn default() -> Self {
        Self { max_bytes: Some(2_000_000_000), max_rows: None, max_age_s: None }
    }
}

impl Retention {
    /// The time before which rows are too old.
    pub(crate) fn oldest(&self, now: i64) -> Option<i64> {
        let age = i64::try_from(self.max_age_s?).ok()?;
        Some(now.saturating_sub(age.saturating_mul(1_000_000)))
    }

    /// The same, and `over` bytes less than the `bytes` there are.
    pub(crate) fn without(self, over: u64, bytes: u64) -> Self {
        let most = bytes.saturating_sub(over);
        let max_bytes =
            if over > 0 { Some(self.max_bytes.map_or(most, |own| own.min(most))) } else { self.max_bytes };
        Self { max_bytes, ..self }
    }
}

/// User name and password. The password is a secret and not here.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(default)]
#[ts(export)]
pub struct Login {
    /// Whether they are sent.
    pub enabled: bool,
    /// The user name.
    pub username: String,
}

/// A certificate and key on disk. The passphrase of an encrypted key or bundle is a secret and not here.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(default)]
#[ts(export)]
pub struct ClientCertificate {
    /// Whether it is offered to the server.
    pub enabled: bool,
    /// PEM, DER or PKCS#12; PEM and PKCS#12 may hold the chain, and the key too.
    pub cert_file: String,
    /// PEM, DER or PKCS#12; empty when the key is in `cert_file`.
    pub key_file: String,
    /// Whether `cert_file` was given as PKCS#12, so that anything else in it is a mistake. Never saved: the file's own
    /// contents say what it is.
    #[serde(skip)]
    #[ts(skip)]
    pub pkcs12: bool,
}

/// Whose server certificates are accepted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(default)]
#[ts(export)]
pub struct Trust {
    /// Which rule.
    pub mode: TrustMode,
    /// Files with CA certificates, PEM bundles or DER.
    pub ca_files: Vec<String>,
    /// SHA-256 in lower-case hex of the accepted server certificate (DER) or of its public key
    /// (SubjectPublicKeyInfo, RFC 7469, 2.4), which outlives a renewal with the same key; used by `pinned`.
    pub pinned_sha256: String,
    /// The certificate that was pinned, DER in base64, when it is known: only to say what differs when another one
    /// is presented.
    pub pinned_certificate: String,
    /// Files with revocation lists (RFC 5280, 5), PEM or DER. What they list is refused; what they do not cover is
    /// judged as without them. Not used by `pinned` and `insecure`.
    pub crl_files: Vec<String>,
    /// Whether the certificate must name the host. Off only accepts that mismatch, nothing else.
    pub verify_host_name: bool,
}

impl Default for Trust {
    fn default() -> Self {
        Self {
            mode: TrustMode::System,
            ca_files: Vec::new(),
            pinned_sha256: String::new(),
            pinned_certificate: String::new(),
            crl_files: Vec::new(),
            verify_host_name: true,
        }
    }
}

/// The rule by which a server certificate is accepted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
#[ts(export)]
pub enum TrustMode {
    /// The roots of the operating system.
    #[default]
    System,
    /// The roots of the operating system and the given CA files.
    SystemAndCa,
    /// The given CA files alone.
    CaOnly,
    /// One certificate, by its fingerprint, whatever it says.
    Pinned,
    /// Anything. Insecure; said on every use.
    Insecure,
}

/// TLS details.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(default)]
#[ts(export)]
pub struct TlsOptions {
    /// The lowest version to speak.
    pub min_version: TlsVersion,
    /// Protocol names to offer, in order (RFC 7301); none when empty.
    pub alpn: Vec<String>,
    /// The name to ask for and to verify, instead of the host; the host when empty.
    pub server_name: String,
}

/// A TLS version.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, TS)]
#[ts(export)]
pub enum TlsVersion {
    /// TLS 1.2.
    #[default]
    #[serde(rename = "1.2")]
    V1_2,
    /// TLS 1.3.
    #[serde(rename = "1.3")]
    V1_3,
}

/// WebSocket details.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(default)]
#[ts(export)]
pub struct WebsocketOptions {
    /// `Sec-WebSocket-Protocol`; none is offered when empty.
    pub subprotocol: String,
    /// Extra request headers.
    pub headers: Vec<Header>,
}

impl Default for WebsocketOptions {
    fn default() -> Self {
        Self { subprotocol: "mqtt".into(), headers: Vec::new() }
    }
}

/// A request header.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(default)]
#[ts(export)]
pub struct Header {
    /// Its name.
    pub name: String,
    /// Its value; empty when `secret`, since it is then among the secrets.
    pub value: String,
    /// Whether the value is kept with the secrets and masked everywhere.
    pub secret: bool,
}

/// The proxy to go through. Its password is a secret and not here.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(default)]
#[ts(export)]
pub struct Proxy {
    /// Which protocol the proxy speaks.
    pub kind: ProxyKind,
    /// Its host.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// User name for it; none when empty.
    pub username: String,
    /// Whether we look the broker's name up ourselves and give the proxy an address.
    pub resolve_locally: bool,
}

impl Proxy {
    /// Reads `http://`, `https://`, `socks5://` (names are looked up here) or `socks5h://`
    /// `[user[:password]@]host[:port]`. The password stands beside the proxy, not in it.
    ///
    /// # Errors
    /// What cannot be understood.
    pub fn parse_url(text: &str) -> Result<(Self, Option<Secret>), EndpointError> {
        let wrong = || {
            let message = "A proxy is http://, https://, socks5:// or socks5h:// and host:port";
            EndpointError::new("proxy", EndpointReason::ProxyUrl, message)
        };
        let (scheme, rest) = text.split_once("://").ok_or_else(wrong)?;
        let (kind, port, resolve_locally) = match scheme.to_ascii_lowercase().as_str() {
            "http" => (ProxyKind::Http, 80, false),
            "https" => (ProxyKind::Https, 443, false),
            "socks5" => (ProxyKind::Socks5, 1080, true),
            "socks5h" => (ProxyKind::Socks5, 1080, false),
            _ => return Err(wrong()),
        };
        let SplitUrl { mut parts, username, password } = split_url(rest, Scheme::Mqtt)?;
        if parts.port.is_empty() {
            parts.port = port.to_string();
        }
        let endpoint = Endpoint::from_url_parts(parts)?;
        let (host, port) = (endpoint.host().to_string(), endpoint.port());
        Ok((Self { kind, host, port, username: username.unwrap_or_default(), resolve_locally }, password))
    }
}

/// Kinds of proxy.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
#[ts(export)]
pub enum ProxyKind {
    /// Straight to the broker.
    #[default]
    None,
    /// HTTP CONNECT (RFC 9110, 9.3.6).
    Http,
    /// HTTP CONNECT inside TLS to the proxy.
    Https,
    /// SOCKS 5 (RFC 1928, 1929).
    Socks5,
}

/// MQTT versions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, TS)]
#[ts(export)]
pub enum MqttVersion {
    /// MQTT 3.1.1.
    #[serde(rename = "3.1.1")]
    V311,
    /// MQTT 5.
    #[default]
    #[serde(rename = "5")]
    V5,
}

/// What goes into CONNECT (MQTT 5, 3.1). Fields that 3.1.1 does not know are not sent by it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(default)]
#[ts(export)]
pub struct SessionOptions {
    /// Protocol version.
    pub version: MqttVersion,
    /// Client identifier; empty lets the broker choose one.
    pub client_id: String,
    /// Clean Start (5) or Clean Session (3.1.1).
    pub clean_start: bool,
    /// Seconds; 0 turns it off.
    pub keep_alive_s: u16,
    /// Seconds; `None` ends the session with the connection, 4294967295 never. MQTT 5.
    pub session_expiry_s: Option<u32>,
    /// How many QoS 1 and 2 messages we take unacknowledged. MQTT 5.
    pub receive_maximum: Option<u16>,
    /// Bytes; the largest packet we accept. 268435456 when `None`. Told to the broker by MQTT 5.
    pub maximum_packet_size: Option<u32>,
    /// How many topic aliases the broker may use. MQTT 5.
    pub topic_alias_maximum: Option<u16>,
    /// Ask for Response Information. MQTT 5.
    pub request_response_information: bool,
    /// Allow reason strings and user properties on other packets. MQTT 5.
    pub request_problem_information: bool,
    /// User properties. MQTT 5.
    pub user_properties: Vec<UserProperty>,
}

impl Default for SessionOptions {
    fn default() -> Self {
        Self {
            version: MqttVersion::V5,
            client_id: String::new(),
            clean_start: true,
            keep_alive_s: 60,
            session_expiry_s: None,
            receive_maximum: None,
            maximum_packet_size: None,
            topic_alias_maximum: None,
            request_response_information: false,
            request_problem_information: true,
            user_properties: Vec::new(),
        }
    }
}

/// A name and value pair (MQTT 5, 3.1.2.11.8). Names may repeat; order is kept.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, TS)]
#[ts(export)]
pub struct UserProperty {
    /// Name.
    pub name: String,
    /// Value.
    pub value: String,
}

/// The message the broker publishes when this client disappears (MQTT 5, 3.1.2.5 and 3.1.3.2).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(default)]
#[ts(export)]
pub struct Will {
    /// Whether one is sent.
    pub enabled: bool,
    /// Topic name, no wildcards.
    pub topic: String,
    /// Payload.
    pub payload: PayloadText,
    /// Quality of service.
    pub qos: Qos,
    /// Whether it is retained.
    pub retain: bool,
    /// Seconds between the loss and the publication. MQTT 5.
    pub delay_s: Option<u32>,
    /// Properties. MQTT 5.
    pub properties: PublishProperties,
}

/// Bytes, written as text by a person.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(default)]
#[ts(export)]
pub struct PayloadText {
    /// The text.
    pub text: String,
    /// How it stands for bytes.
    pub encoding: PayloadEncoding,
}

/// How text stands for the bytes of a payload.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
#[ts(export)]
pub enum PayloadEncoding {
    /// The text itself.
    #[default]
    Utf8,
    /// Base64, standard alphabet.
    Base64,
    /// Hexadecimal; white space is ignored.
    Hex,
    /// The text is the path of a file whose bytes are the payload.
    File,
}

/// Quality of service (MQTT 5, 4.3). Serialised as 0, 1 or 2.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, TS)]
#[serde(try_from = "u8", into = "u8")]
#[ts(export, type = "0 | 1 | 2")]
pub enum Qos {
    /// 0
    #[default]
    AtMostOnce,
    /// 1
    AtLeastOnce,
    /// 2
    ExactlyOnce,
}

impl TryFrom<u8> for Qos {
    type Error = String;
    fn try_from(value: u8) -> std::result::Result<Self, String> {
        match value {
            0 => Ok(Self::AtMostOnce),
            1 => Ok(Self::AtLeastOnce),
            2 => Ok(Self::ExactlyOnce),
            other => Err(format!("QoS is 0, 1 or 2, not {other}")),
        }
    }
}

impl From<Qos> for u8 {
    fn from(qos: Qos) -> u8 {
        qos as u8
    }
}

/// Properties of a message that a person can set (MQTT 5, 3.3.2.3).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(default)]
#[ts(export)]
pub struct PublishProperties {
    /// Payload Format Indicator: 1 says UTF-8.
    pub payload_format_utf8: Option<bool>,
    /// Message Expiry Interval in seconds.
    pub message_expiry_s: Option<u32>,
    /// Content Type.
    pub content_type: Option<String>,
    /// Response Topic.
    pub response_topic: Option<String>,
    /// Correlation Data.
    pub correlation_data: Option<PayloadText>,
    /// Topic Alias; only in publishing.
    pub topic_alias: Option<u16>,
    /// User properties.
    pub user_properties: Vec<UserProperty>,
}

/// Time bounds and retries.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(default)]
#[ts(export)]
pub struct Timing {
    /// Seconds for a whole attempt, DNS to CONNACK.
    pub connect_timeout_s: u16,
    /// Whether a lost connection is made again.
    pub reconnect: bool,
    /// Seconds before the first retry; doubled after each, with jitter.
    pub reconnect_initial_s: u16,
    /// Seconds that a wait never exceeds.
    pub reconnect_max_s: u16,
    /// How many retries; no limit when `None`.
    pub reconnect_attempts: Option<u32>,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            connect_timeout_s: 10,
            reconnect: true,
            reconnect_initial_s: 1,
            reconnect_max_s: 60,
            reconnect_attempts: None,
        }
    }
}

/// A topic filter to subscribe to, with its options (MQTT 5, 3.8.3.1).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(default)]
#[ts(export)]
pub struct Subscription {
    /// The topic filter; it identifies the subscription within its profile.
    pub filter: String,
    /// What the person calls it; may be empty.
    pub label: String,
    /// Index of its series colour, 0 to 7.
    pub color: u8,
    /// Whether it is sent after connecting.
    pub enabled: bool,
    /// The highest QoS wanted.
    pub qos: Qos,
    /// No Local. MQTT 5.
    pub no_local: bool,
    /// Retain As Published. MQTT 5.
    pub retain_as_published: bool,
    /// Retain Handling: 0 send retained messages, 1 only for a new subscription, 2 never. MQTT 5.
    pub retain_handling: u8,
    /// Whether messages that only come for subscriptions like this one are shown and not stored.
    pub live_only: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_read_from_nothing_are_the_defaults() {
        let settings: Settings = serde_json::from_str("{}").expect("empty settings");
        assert_eq!(settings, Settings::default());
        assert!(settings.trust.verify_host_name);
        assert_eq!(settings.websocket.subprotocol, "mqtt");
    }
}
