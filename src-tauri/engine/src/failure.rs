//! The typed failure of a connection attempt: `contracts` name these codes, and the window, the command
//! line, tests and translations key on them. Pure data; [`crate::diagnosis`] makes them.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use ts_rs::TS;

use crate::endpoint::Scheme;
use crate::profile::{MqttVersion, TrustMode};
use crate::secret::Mask;
use crate::trace::Stage;

/// Why an attempt failed, for machines. Serialised in snake case. Adding is welcome, renaming is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
#[ts(export)]
#[allow(missing_docs, reason = "the names are the documentation; docs/failures lists them in words")]
pub enum FailureCode {
    // the plan: nothing was dialled
    InvalidSettings,
    Cancelled,
    // identity
    FileNotFound,
    FileUnreadable,
    FileEmpty,
    NotACertificate,
    NotAPrivateKey,
    NotAPkcs12,
    NotACrl,
    FilesSwapped,
    PassphraseRequired,
    PassphraseWrong,
    KeyMismatch,
    PrivateKeyMissing,
    CertificateMissing,
    UnsupportedKey,
    TokenModuleUnusable,
    TokenNotFound,
    TokenKeyNotFound,
    TokenPinRequired,
    TokenPinWrong,
    TokenPinLocked,
    TokenMechanismUnsupported,
    TokenTimeout,
    TokenFailed,
    // dns
    NameNotFound,
    DnsFailed,
    DnsTimeout,
    // tcp
    ConnectionRefused,
    ConnectTimeout,
    NetworkUnreachable,
    HostUnreachable,
    PermissionDenied,
    TcpFailed,
    // proxy
    ProxyUnreachable,
    ProxyAuthRequired,
    ProxyAuthRejected,
    ProxyDenied,
    ProxyTargetUnreachable,
    ProxyProtocolError,
    // tls: the server's certificate
    ServerCertExpired,
    ServerCertNotYetValid,
    ServerCertNameMismatch,
    ServerCertNoSan,
    ServerCertUnknownIssuer,
    ServerCertSelfSigned,
    ServerCertChainIncomplete,
    ServerCertWrongPurpose,
    ServerCertRevoked,
    ServerCertInvalid,
    ServerCertPinMismatch,
    // tls: ours
    ClientCertRequired,
    ClientCertUnknownCa,
    ClientCertExpired,
    ClientCertWrongPurpose,
    ClientCertChainIncomplete,
    ClientCertRejected,
    // tls: the wire
    TlsVersionUnsupported,
    TlsNoSharedParameters,
    AlpnRefused,
    PeerIsNotTls,
    PeerSpeaksHttp,
    PeerSpeaksMqtt,
    PeerSpeaksSsh,
    PeerSpeaksSmtp,
    ClosedDuringTls,
    TlsTimeout,
    TlsFailed,
    // websocket
    WsNotFound,
    WsUnauthorized,
    WsForbidden,
    WsRedirected,
    WsNotUpgraded,
    WsRejected,
    WsServerError,
    WsHandshakeInvalid,
    WsSubprotocolRefused,
    PeerIsNotHttp,
    PeerSpeaksTls,
    ClosedDuringWebsocket,
    WsTimeout,
    // mqtt: CONNACK
    UnsupportedProtocolVersion,
    ClientIdRejected,
    BadCredentials,
    NotAuthorized,
    ServerUnavailable,
    ServerBusy,
    Banned,
    BadAuthenticationMethod,
    PacketTooLarge,
    QuotaExceeded,
    UseAnotherServer,
    ServerMoved,
    ConnectionRateExceeded,
    UnspecifiedError,
    ProtocolError,
    ImplementationSpecificError,
    TopicNameInvalid,
    PayloadFormatInvalid,
    RetainNotSupported,
    QosNotSupported,
    // mqtt: the wire
    PeerIsNotMqtt,
    MalformedPacket,
    WsTextFrame,
    WsClosed,
    ClosedBeforeConnack,
    ConnackTimeout,
    // after CONNACK
    ConnectionClosed,
    KeepAliveTimeout,
    ServerDisconnected,
    SessionTakenOver,
    WriteTimeout,
    ClientIdDuel,
    IdleTimeout,
    NetworkLost,
    TlsAlert,
    ReceiveMaximumExceeded,
    MessageRateTooHigh,
    ServerShuttingDown,
    AdministrativeAction,
    MaximumConnectTime,
}

/// A failed attempt (or a lost connection), named.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, TS)]
#[ts(export)]
pub struct Failure {
    /// The stage in which the cause lies.
    pub stage: Stage,
    /// Stable name.
    pub code: FailureCode,
    /// One sentence, naming the host, port, file or certificate concerned.
    pub message: String,
    /// Why it is so, from evidence.
    pub cause: String,
    /// The stage in which it showed.
    pub seen_during: Stage,
    /// Raw facts: bytes seen, alert name, HTTP status, errno.
    #[ts(type = "Record<string, unknown>")]
    pub evidence: Map<String, Value>,
    /// What would help, likeliest first.
    pub fixes: Vec<Fix>,
    /// Whether trying again without a change can end differently.
    pub retryable: bool,
}

impl Failure {
    /// A failure that showed in the stage where it lies, and that trying again could end.
    pub fn new(stage: Stage, code: FailureCode, message: impl Into<String>) -> Self {
        Self {
            stage,
            code,
            message: message.into(),
            cause: String::new(),
            seen_during: stage,
            evidence: Map::new(),
            fixes: Vec::new(),
            retryable: true,
        }
    }

    /// Hides secrets in what came from elsewhere.
    pub fn hide(&mut self, mask: &Mask) {
        mask.hide(&mut self.message);
        mask.hide(&mut self.cause);
        self.evidence.values_mut().for_each(|value| mask.hide_in(value));
        self.fixes.iter_mut().for_each(|fix| mask.hide(&mut fix.label));
    }

    /// Says why.
    #[must_use]
    pub fn because(mut self, cause: impl Into<String>) -> Self {
        self.cause = cause.into();
        self
    }

    /// It showed in a later stage than the one in which its cause lies.
    #[must_use]
    pub fn seen_during(mut self, stage: Stage) -> Self {
        self.seen_during = stage;
        self
    }

    /// Adds a raw fact.
    #[must_use]
    pub fn fact(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.evidence.insert(name.to_owned(), value.into());
        self
    }

    /// Adds a fix, less likely to help than those before it.
    #[must_use]
    pub fn fix(mut self, label: impl Into<String>, action: FixAction) -> Self {
        self.fixes.push(Fix { label: label.into(), action });
        self
    }

    /// Only a change by a person can end it.
    #[must_use]
    pub fn permanent(mut self) -> Self {
        self.retryable = false;
        self
    }
}

/// A change that would help.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, TS)]
#[ts(export)]
pub struct Fix {
    /// What it does, in words, saying exactly what it changes.
    pub label: String,
    /// The kind, and the change itself where one click can do it.
    #[serde(flatten)]
    pub action: FixAction,
}

/// What a fix does. Serialised as `{"kind":…,"change":{…}}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, TS)]
#[serde(tag = "kind", content = "change", rename_all = "snake_case")]
#[ts(export)]
pub enum FixAction {
    /// Another transport, and the port that goes with it when the present one is the old transport's usual.
    SetTransport {
        /// The transport.
        transport: Scheme,
        /// The port, when it changes too.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[ts(optional)]
        port: Option<u16>,
    },
    /// Another port.
    SetPort {
        /// The port; `None` when the person has to say.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[ts(optional)]
        port: Option<u16>,
    },
    /// Another WebSocket path.
    SetPath {
        /// Path and query.
        path: String,
    },
    /// Trust something more: a CA file to be chosen, or the presented certificate to be pinned.
    AddTrust {
        /// The rule to switch to.
        mode: TrustMode,
        /// The fingerprint, for `pinned`.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[ts(optional)]
        pinned_sha256: Option<String>,
        /// The certificate to be pinned, DER in base64, for `pinned`.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[ts(optional)]
        pinned_certificate: Option<String>,
        /// `false` accepts a name mismatch and nothing else.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[ts(optional)]
        verify_host_name: Option<bool>,
    },
    /// Choose other certificate or key files.
    ChooseIdentity {
        /// Exchange the two files that are named.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        #[ts(optional, as = "Option<bool>")]
        swap: bool,
        /// Switch the client certificate off.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        #[ts(optional, as = "Option<bool>")]
        disable: bool,
    },
    /// Type the passphrase of the key.
    EnterPassphrase {},
    /// Another MQTT version.
    SetVersion {
        /// The version.
        version: MqttVersion,
    },
    /// Type user name and password, for the broker or the proxy, or the PIN of the token.
    SetCredentials {
        /// Whose.
        target: CredentialTarget,
    },
    /// Another server.
    SetServer {
        /// Host and perhaps port, as the broker named it; `None` when the person has to say.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[ts(optional)]
        server: Option<String>,
    },
    /// A client identifier of its own.
    SetClientId {
        /// The identifier.
        client_id: String,
    },
    /// Another keep alive.
    SetKeepAlive {
        /// In seconds.
        keep_alive_s: u16,
    },
    /// Larger packets are taken.
    SetMaximumPacketSize {
        /// In bytes.
        bytes: u32,
    },
    /// Find out what the port speaks.
    ProbePort {},
    /// Try again as it is.
    Retry {},
}

/// Whose credentials.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
#[ts(export)]
pub enum CredentialTarget {
    /// The MQTT broker.
    Broker,
    /// The proxy.
    Proxy,
    /// The HTTP server in front of the broker.
    Http,
    /// The token that holds the private key: its PIN.
    Token,
}
