//! Why a command ended without success, and the exit status that says so.

use heliograph_engine::Error;
use heliograph_engine::error::ErrorCode;
use heliograph_engine::failure::{Failure, FailureCode};
use heliograph_engine::trace::Stage;

/// The end of a command that did not succeed. What there is to say has its exit status.
pub enum Ending {
    /// Wrong usage, or a file that cannot be used: 2.
    Usage(String),
    /// No connection, or it was lost: 3, or 2 when the cause is in a file or an option.
    Connection(Box<Failure>),
    /// The failure has been printed already.
    Shown(u8),
    /// Refused by the broker: 4.
    Refused(String),
    /// Anything else: 1.
    Other(String),
}

impl From<Error> for Ending {
    fn from(error: Error) -> Self {
        match error.code {
            ErrorCode::InvalidInput
            | ErrorCode::File
            | ErrorCode::NotFound
            | ErrorCode::VaultLocked
            | ErrorCode::PassphraseWrong => Self::Usage(error.message),
            ErrorCode::Refused | ErrorCode::LimitExceeded => Self::Refused(error.message),
            _ => Self::Other(error.message),
        }
    }
}

/// 2 for a bad identity file or setting, else 3.
pub fn status_of(failure: &Failure) -> u8 {
    if failure.stage == Stage::Identity || failure.code == FailureCode::InvalidSettings { 2 } else { 3 }
}
