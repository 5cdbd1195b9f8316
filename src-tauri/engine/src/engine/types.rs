//! What the root tells and is asked, as the window sees it. Data only.

use serde::{Deserialize, Serialize};
use ts_rs::TS;

use super::TransferStatus;
use crate::broker::BrokerStatus;
use crate::endpoint::EndpointParts;
use crate::error::Error;
use crate::history::{ViewCount, ViewId};
use crate::identity::{CertificateInfo, RevocationListInfo};
use crate::profile::{PayloadText, ProfileId, PublishProperties, Qos, Retention};
use crate::session::{Phase, SubscriptionStatus};
use crate::trace::Trace;
use crate::vault::VaultStatus;

/// A connection as the window shows it.
#[derive(Debug, Clone, PartialEq, Serialize, TS)]
#[ts(export)]
pub struct ConnectionStatus {
    /// Whose.
    pub id: ProfileId,
    /// What it is doing.
    pub phase: Phase,
    /// Counters and rates.
    pub counters: Counters,
    /// Its subscriptions, in the profile's order.
    pub subscriptions: Vec<SubscriptionStatus>,
    /// Whether the saved profile differs from the one that is connected.
    pub stale: bool,
}

/// Counters of a connection, since the engine started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, TS)]
#[ts(export)]
pub struct Counters {
    /// Messages received.
    pub received: u64,
    /// Messages sent.
    pub sent: u64,
    /// Messages that could not be kept.
    pub dropped: u64,
    /// Rows stored for this profile.
    pub stored: u64,
    /// Rows of this profile that limits of what is kept have let go of.
    pub let_go: u64,
    /// Messages that were shown and not stored, since their subscriptions say so.
    pub live_only: u64,
    /// Messages received in the last second.
    pub received_per_s: f64,
    /// Messages sent in the last second.
    pub sent_per_s: f64,
    /// Latest round trip of PINGREQ and PINGRESP, or of a QoS 1 publication, in microseconds.
    pub rtt_micros: Option<u64>,
    /// Bytes of payload received.
    pub received_bytes: u64,
}

/// What the engine tells, unasked. Nothing is told per message.
#[derive(Debug, Clone, PartialEq, Serialize, TS)]
#[serde(tag = "event", rename_all = "snake_case")]
#[ts(export)]
#[allow(clippy::large_enum_variant, reason = "few a second")]
pub enum EngineEvent {
    /// The saved connections changed, here or in another process: ask for the tree again.
    LibraryChanged,
    /// A connection's phase or subscriptions changed.
    Connection(ConnectionStatus),
    /// Counters moved; at most one a display frame for all connections together.
    Pulse {
        /// Those that moved.
        connections: Vec<PulseEntry>,
    },
    /// An attempt to connect went on or ended.
    Trace {
        /// Whose; for a test of a draft, the draft's id.
        id: ProfileId,
        /// Whether it is a test, not a connection.
        test: bool,
        /// The trace so far.
        trace: Trace,
    },
    /// The local broker started, stopped or failed.
    Broker(BrokerStatus),
    /// The vault opened, locked, failed or was changed.
    Vault(VaultStatus),
    /// An export, a recording, an import or a replay went on, or ended: then it is told once and is gone.
    Transfer(TransferStatus),
    /// Something that the person must know, e.g. that messages cannot be kept.
    Notice {
        /// Stable name.
        code: NoticeCode,
        /// What went wrong, when something did.
        error: Option<Error>,
    },
}

/// Counters of one connection.
#[derive(Debug, Clone, PartialEq, Serialize, TS)]
#[ts(export)]
pub struct PulseEntry {
    /// Whose.
    pub id: ProfileId,
    /// Counters now.
    pub counters: Counters,
    /// Received per subscription, in the profile's order.
    pub subscription_counts: Vec<u64>,
}

/// What a notice is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, TS)]
#[serde(rename_all = "snake_case")]
#[ts(export)]
pub enum NoticeCode {
    /// The database cannot be written; messages are shown, not kept.
    StorageFailing,
    /// The database can be written again.
    StorageRecovered,
    /// The database was damaged beyond rows that say so: mended, or set aside.
    StorageDamaged,
}

/// A publication as asked for by a person.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(default)]
#[ts(export)]
pub struct PublishRequest {
    /// Topic name.
    pub topic: String,
    /// Payload.
    pub payload: PayloadText,
    /// Quality of service.
    pub qos: Qos,
    /// RETAIN.
    pub retain: bool,
    /// MQTT 5 properties.
    pub properties: PublishProperties,
}

/// What the editor shows while a person types: computed from the draft, nothing is dialled.
#[derive(Debug, Clone, Default, PartialEq, Serialize, TS)]
#[ts(export)]
pub struct DraftReport {
    /// The exact URL, when the endpoint is valid.
    pub url: Option<String>,
    /// What is wrong or deserves a look, by field.
    pub problems: Vec<Problem>,
    /// What was found in the client certificate and key files.
    pub identity: Option<IdentityReport>,
    /// What was found in the CA files.
    pub authorities: Vec<FileReport>,
    /// What was found in the files of revocation lists.
    pub revocation_lists: Vec<FileReport>,
    /// The pinned certificate, when the profile knows it.
    pub pinned: Option<CertificateInfo>,
}

/// A remark on a draft.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
#[ts(export)]
pub struct Problem {
    /// Path of the field, e.g. `endpoint.host`, `settings.client_certificate.key_file`, `settings.subscriptions.0.filter`.
    pub field: String,
    /// How bad.
    pub severity: Severity,
    /// Stable name, for translations.
    pub code: String,
    /// One sentence.
    pub message: String,
}

/// How bad a problem is. None of them blocks saving, except an endpoint that cannot be dialled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, TS)]
#[serde(rename_all = "snake_case")]
#[ts(export)]
pub enum Severity {
    /// It cannot work.
    Error,
    /// It may not work.
    Warning,
}

/// What was found in the client certificate and key files.
#[derive(Debug, Clone, Default, PartialEq, Serialize, TS)]
#[ts(export)]
pub struct IdentityReport {
    /// The certificate file.
    pub cert: Option<FileReport>,
    /// The key file.
    pub key: Option<FileReport>,
    /// Whether key and certificate belong together; `None` when one is missing.
    pub key_matches: Option<bool>,
    /// What is sent, leaf first, each signed by the next; empty when it cannot be used yet.
    pub chain: Vec<CertificateInfo>,
    /// Certificates in the files that are no part of that chain; they are not sent.
    pub unused: Vec<CertificateInfo>,
}

/// What was found in one file.
#[derive(Debug, Clone, Default, PartialEq, Serialize, TS)]
#[ts(export)]
pub struct FileReport {
    /// Its path.
    pub path: String,
    /// In words, e.g. `PEM, 2 certificates, 1 private key (PKCS#8, ECDSA P-256)`.
    pub found: String,
    /// Its certificates, leaf first.
    pub certificates: Vec<CertificateInfo>,
    /// Type of its private key.
    pub key_type: Option<String>,
    /// Whether a passphrase is needed to use what is in it.
    pub key_encrypted: bool,
    /// Whether it is a PKCS#12 bundle.
    pub bundle: bool,
    /// Its revocation lists, when it was given as a file of those.
    pub revocation_lists: Vec<RevocationListInfo>,
    /// What is wrong with it.
    pub error: Option<FileError>,
}

/// What is wrong with a file.
#[derive(Debug, Clone, PartialEq, Serialize, TS)]
#[ts(export)]
pub struct FileError {
    /// The failure code a connection would give.
    pub code: crate::failure::FailureCode,
    /// One sentence.
    pub message: String,
}

/// A URL taken apart for the form.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
#[ts(export)]
pub struct ParsedEndpoint {
    /// The endpoint's parts.
    pub endpoint: EndpointParts,
    /// The exact URL, without user name and password.
    pub url: String,
    /// The user name that stood in the text.
    pub username: Option<String>,
    /// The password that stood in the text, so that the form can send it back as a secret.
    pub password: Option<String>,
}

/// A view that was just opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, TS)]
#[ts(export)]
pub struct OpenView {
    /// Its id.
    pub view: ViewId,
    /// Its counts at that moment.
    pub count: ViewCount,
}

/// Facts about this installation, for the settings page and reports.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
#[ts(export)]
pub struct AppInfo {
    /// Version of Heliograph.
    pub version: String,
    /// `linux`, `macos` or `windows`.
    pub platform: String,
    /// Where profiles and messages are kept.
    pub data_dir: String,
    /// Bytes that the stored messages take.
    pub history_bytes: u64,
}

/// How much is kept of messages and events.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(default)]
#[ts(export)]
pub struct Keeping {
    /// Of each connection that has no limits of its own.
    pub each: Retention,
    /// The most bytes of all connections together; beyond, the oldest of all go.
    pub max_bytes_in_all: Option<u64>,
}
