//! What there is to say about the vault: where secrets are kept, whether it is open, and if not, why.

use serde::{Deserialize, Serialize};
use ts_rs::TS;

use super::keyring::KeyringError;
use crate::error::{Error, ErrorCode};
use crate::secret::SecretField;

/// Where a person wants secrets kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
#[ts(export)]
pub enum Keep {
    /// In the vault, whose key is in the system's keyring; in memory where there is no keyring.
    #[default]
    Keyring,
    /// In the vault, whose key opens with a passphrase.
    Passphrase,
    /// In memory until Heliograph ends.
    Session,
    /// Not at all: a secret is forgotten as soon as a connection took it.
    Never,
}

/// The state of the vault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, TS)]
#[serde(rename_all = "snake_case")]
#[ts(export)]
pub enum VaultState {
    /// There is none, by choice.
    Off,
    /// There is none yet: the first secret makes it.
    Empty,
    /// There is one; its key was not asked for in this run.
    Closed,
    /// It is open.
    Open,
    /// The keyring is locked, or the passphrase was not given.
    Locked,
    /// There is no keyring here, or none that runs.
    NoService,
    /// The keyring, or the system, does not let us.
    Denied,
    /// The keyring has not answered yet; it may be asking for its password.
    Silent,
    /// The keyring works but does not have the vault's key.
    KeyMissing,
    /// What the keyring has is not a key.
    KeyCorrupt,
    /// The keyring's key is not the one that this vault was sealed with.
    KeyWrong,
    /// The vault was written by a later version of Heliograph.
    NewerVersion,
    /// The file cannot be read.
    Unreadable,
    /// The keyring failed in a way that is none of these.
    Failed,
}

impl From<KeyringError> for VaultState {
    fn from(error: KeyringError) -> Self {
        match error {
            KeyringError::NoEntry => Self::KeyMissing,
            KeyringError::NoService => Self::NoService,
            KeyringError::Locked => Self::Locked,
            KeyringError::Denied => Self::Denied,
            KeyringError::Silent => Self::Silent,
            KeyringError::Failed => Self::Failed,
        }
    }
}

impl VaultState {
    /// Why a secret in the vault cannot be used, and what to do, as `vault_locked`.
    pub(super) fn error(self, keep: Keep, fields: &[SecretField]) -> Error {
        let message = match self {
            Self::Locked if keep == Keep::Passphrase => {
                "The vault is locked: unlock it with its passphrase, then try again"
            }
            Self::Locked => "The system's keyring is locked: unlock it, then try again",
            Self::NoService => "The system's keyring does not run: start it and log in to it, then try again",
            Self::Denied => "The system's keyring refuses Heliograph: allow it there, then try again",
            Self::Silent => "The system's keyring has not answered: answer what it asks, then try again",
            Self::KeyMissing => "The vault's key is not in the system's keyring any more",
            Self::KeyCorrupt => "What the system's keyring has for the vault is not a key",
            Self::KeyWrong => "The key in the system's keyring does not fit the vault",
            Self::NewerVersion => {
                "The vault was written by a newer version of Heliograph, and was left untouched: use that version"
            }
            Self::Unreadable => "The vault's file cannot be read: check its permissions",
            Self::Failed => "The system's keyring failed",
            Self::Off | Self::Empty | Self::Closed | Self::Open => "The vault is not open",
        };
        let value = |value: serde_json::Result<serde_json::Value>| value.unwrap_or_default();
        Error::new(ErrorCode::VaultLocked, message)
            .with("state", value(serde_json::to_value(self)))
            .with("keep", value(serde_json::to_value(keep)))
            .with("fields", value(serde_json::to_value(fields)))
    }
}

/// The vault as the window shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
#[ts(export)]
pub struct VaultStatus {
    /// Where secrets are kept, or would be if the vault were open.
    pub keep: Keep,
    /// Its state.
    pub state: VaultState,
    /// Its file, whether or not it is there.
    pub path: String,
    /// How many secrets are in the file.
    pub stored: u32,
    /// How many are in memory alone: for this run, or until the vault opens.
    pub in_memory: u32,
    /// A secret was given, there is no keyring, and the person never said what to do then.
    pub choice_needed: bool,
    /// Minutes without use after which a vault with a passphrase locks itself; 0 is never.
    pub auto_lock_minutes: u32,
    /// Where a damaged vault was put that was found in this run.
    pub set_aside: Option<String>,
}

/// Where a secret that is set is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, TS)]
#[serde(rename_all = "snake_case")]
#[ts(export)]
pub enum SecretPlace {
    /// In the vault, whose key is in the keyring.
    Keyring,
    /// In the vault, whose key opens with a passphrase.
    Passphrase,
    /// In memory until Heliograph ends, or until the vault opens.
    Session,
    /// In memory until a connection takes it.
    Once,
}

/// A secret that is set. Never its value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
#[ts(export)]
pub struct StoredSecret {
    /// Which.
    pub field: SecretField,
    /// Where it is.
    pub place: SecretPlace,
}
