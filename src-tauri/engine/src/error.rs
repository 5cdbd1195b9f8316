//! The one error that leaves the engine: a stable code, a sentence for a person, and facts for the window.

mod reason;

use std::path::Path;

use serde::Serialize;
use serde_json::{Map, Value};
use ts_rs::TS;

use crate::endpoint::EndpointError;
use crate::topic::TopicError;
pub use reason::ErrorReason;

/// What kind of thing went wrong, by stable name; the window keys its words on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, TS)]
#[serde(rename_all = "snake_case")]
#[ts(export)]
pub enum ErrorCode {
    /// Text given by a person cannot be understood; `details.field` names where.
    InvalidInput,
    /// The profile, folder, message or view is not there (any more).
    NotFound,
    /// The connection is not connected, so the request has nobody to go to.
    NotConnected,
    /// The connection is already connected or connecting.
    AlreadyConnected,
    /// The connection attempt failed; `details.failure` is the whole failure.
    ConnectFailed,
    /// The broker refused a request; `details.reason_code` and `details.reason` say why.
    Refused,
    /// The broker's or the protocol's limits do not allow the request.
    LimitExceeded,
    /// The connection was lost before the broker answered.
    ConnectionLost,
    /// A file could not be read or written; `details.path` names it.
    File,
    /// The database could not be read or written.
    Storage,
    /// The local broker could not do what was asked.
    Broker,
    /// A password or another secret was set before and must be typed again; `details.fields` lists which.
    SecretNeeded,
    /// A secret is in the vault and the vault cannot be opened; `details.state` says why, `details.fields` lists which.
    VaultLocked,
    /// The passphrase given does not open the vault.
    PassphraseWrong,
    /// The person cancelled.
    Cancelled,
    /// A fault in Heliograph itself.
    Internal,
}

/// An error at the engine's edge.
#[derive(Debug, Clone, PartialEq, Serialize, TS, thiserror::Error)]
#[error("{message}")]
#[ts(export)]
pub struct Error {
    /// Stable name.
    pub code: ErrorCode,
    /// One sentence a person understands, saying what to do where something can be done.
    pub message: String,
    /// Facts, by name.
    #[ts(type = "Record<string, unknown>")]
    pub details: Map<String, Value>,
}

impl Error {
    /// An error without further facts, for codes that say enough.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), details: Map::new() }
    }

    /// Adds a fact.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.details.insert(name.to_owned(), value.into());
        self
    }

    /// An error that has a reason: the window has words for it, with the facts that are added.
    pub fn because(code: ErrorCode, reason: ErrorReason, message: impl Into<String>) -> Self {
        let reason = serde_json::to_value(reason).unwrap_or_default();
        Self::new(code, message).with("reason", reason)
    }

    /// `invalid_input` on a named field.
    pub fn invalid(field: &str, reason: ErrorReason, message: impl Into<String>) -> Self {
        Self::because(ErrorCode::InvalidInput, reason, message).with("field", field)
    }

    /// `invalid_input` on a field that holds a topic, or a filter, called `what`.
    pub fn topic(field: &str, what: &str, error: TopicError) -> Self {
        Self::invalid(field, error.into(), format!("{what} is not valid: {error}"))
    }

    /// An endpoint that cannot be dialled, as an error of this field: its reason is among [`EndpointReason`].
    ///
    /// [`EndpointReason`]: crate::endpoint::EndpointReason
    pub fn endpoint(field: &str, error: EndpointError) -> Self {
        let reason = serde_json::to_value(error.reason).unwrap_or_default();
        Self::new(ErrorCode::InvalidInput, error.message)
            .with("field", field)
            .with("reason", reason)
            .with("value", error.value)
    }

    /// A file that cannot be read.
    pub(crate) fn unreadable(path: &Path, error: &std::io::Error) -> Self {
        use std::io::ErrorKind as Kind;
        let reason = match error.kind() {
            Kind::NotFound | Kind::NotADirectory => ErrorReason::NoFile,
            Kind::PermissionDenied => ErrorReason::NoPermission,
            Kind::IsADirectory => ErrorReason::NotAFile,
            _ => ErrorReason::Failed,
        };
        let name = path.display().to_string();
        Self::because(ErrorCode::File, reason, format!("{name} cannot be read: {error}"))
            .with("path", name)
            .with("error", error.to_string())
            .with("reading", true)
    }

    /// `not_found`.
    pub fn not_found(what: &str) -> Self {
        Self::new(ErrorCode::NotFound, format!("{what} is not there any more"))
    }
}

/// The engine's result.
pub type Result<T> = std::result::Result<T, Error>;
