//! The one error that leaves the engine: a stable code, a sentence for a person, and facts for the window.

use serde::Serialize;
use serde_json::{Map, Value};
use ts_rs::TS;

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
    /// An error without further facts.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), details: Map::new() }
    }

    /// Adds a fact.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.details.insert(name.to_owned(), value.into());
        self
    }

    /// `invalid_input` on a named field.
    pub fn invalid(field: &str, message: impl Into<String>) -> Self {
        Self::new(ErrorCode::InvalidInput, message).with("field", field)
    }

    /// `not_found`.
    pub fn not_found(what: &str) -> Self {
        Self::new(ErrorCode::NotFound, format!("{what} is not there any more"))
    }
}

/// The engine's result.
pub type Result<T> = std::result::Result<T, Error>;
