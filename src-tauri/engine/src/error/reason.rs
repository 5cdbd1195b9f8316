//! Why the engine refuses, by stable name: what a person did or has to do, in `details.reason`, with its facts beside
//! it. The window has words for each; a new one fails its type check until it has.

use serde::Serialize;
use ts_rs::TS;

use crate::topic::TopicError;

/// Why a request is refused. What stands in brackets is in the details.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, TS)]
#[serde(rename_all = "snake_case")]
#[ts(export)]
pub enum ErrorReason {
    // Topics, of `field`.
    /// It is empty.
    TopicEmpty,
    /// It contains a null character.
    TopicNull,
    /// It is longer than 65,535 bytes.
    TopicTooLong,
    /// A topic to publish to has a wildcard.
    TopicWildcard,
    /// `#` is not alone in the last level.
    TopicMultiLevel,
    /// `+` is not alone in its level.
    TopicSingleLevel,
    /// It is no `$share/NAME/FILTER`.
    TopicShare,

    // Messages and filters.
    /// It is no regular expression (`error`).
    RegexInvalid,
    /// The regular expression takes too much memory.
    RegexTooBig,
    /// A condition (`value`) does not begin with a path.
    ConditionNoPath,
    /// Nothing stands behind an `operator`.
    ConditionNoValue,
    /// The `value` before the operator is no JSON path (`error`).
    ConditionPath,
    /// Messages that are live only cannot be exported.
    LiveNotExported,
    /// The payload is not pairs of hexadecimal digits.
    PayloadNotHex,
    /// The payload is not base64.
    PayloadNotBase64,
    /// A text is longer than MQTT can send.
    TextTooLong,
    /// A topic alias is 1 or more.
    TopicAliasZero,
    /// Retain Handling is 0, 1 or 2.
    RetainHandlingInvalid,
    /// No Local on a shared subscription.
    SharedNoLocal,
    /// The speed is not between `slowest` and `fastest`.
    SpeedInvalid,

    // Limits of the broker (`value`) and of ours (`most`).
    /// The broker takes messages up to QoS `value`.
    MaximumQos,
    /// The broker takes no retained messages.
    RetainAvailable,
    /// The broker takes topic aliases up to `value`, 0 for none.
    TopicAliasMaximum,
    /// The broker takes packets of `value` bytes, this one has `bytes`.
    MaximumPacketSize,
    /// MQTT allows packets of `value` bytes, this one has `bytes`.
    RemainingLength,
    /// The broker has no shared subscriptions.
    SharedAvailable,
    /// The broker has no subscriptions with wildcards.
    WildcardAvailable,
    /// `most` views are open.
    TooManyViews,
    /// `most` files are being read or written.
    TooManyTransfers,
    /// The vault is as long as it can be.
    VaultFull,

    // Imports.
    /// It is no export of ours.
    NotAnExport,
    /// It is of a version that is not known (`version`).
    UnknownVersion,
    /// The export, or the saved connection, is damaged (`place`, `line`, `column`).
    Damaged,
    /// It is sealed: its passphrase is missing.
    PassphraseNeeded,
    /// It is nothing that can be imported.
    NotKnown,
    /// It is not text.
    NotText,
    /// There are too many connections in it.
    TooMany,
    /// There is no connection in it.
    Empty,

    // Certificates.
    /// The file `path` cannot be used: `failure` is the code that a connection would fail with.
    FileUnusable,
    /// There is a private key in the text.
    KeyInText,
    /// There is no certificate in the text.
    NoCertificateInText,
    /// It is no certificate.
    NotACertificate,
    /// A file with a private key needs a passphrase.
    PassphraseMissing,
    /// A connection uses the certificate.
    CertificateInUse,
    /// The file to use instead is not named.
    ReplacementMissing,
    /// There is a CA in that folder already (`path`).
    CaExists,
    /// There is no CA in that folder (`path`).
    NoCa,
    /// A server's certificate has no names.
    NamesMissing,
    /// A name (`value`) cannot be in a certificate.
    NameInvalid,
    /// The common name is missing.
    CommonNameMissing,
    /// The common name is longer than 64 characters.
    CommonNameTooLong,
    /// The common name has control characters.
    CommonNameControl,
    /// The days are not between 1 and `most`.
    LifeInvalid,
    /// There is such a file already (`path`).
    FileExists,

    // Secrets and the vault.
    /// The vault cannot be left: there are private keys in it.
    VaultHoldsKeys,
    /// Keys cannot be imported: there is no vault.
    NoVaultForKeys,
    /// A vault with a passphrase needs one.
    VaultPassphraseMissing,
    /// The passphrase has less than `least` characters.
    PassphraseTooShort,
    /// More than a day.
    AutoLockTooLong,
    /// The secret is longer than 1 MiB.
    SecretTooLong,
    /// The secret is not of its `encoding`.
    SecretNotText,
    /// Another program changes the vault all the time (`path`).
    VaultBusy,

    // Files and databases, at `path`; `error` is what the system says.
    /// There is no room left.
    Full,
    /// The system does not allow it.
    NoPermission,
    /// The folder is not there.
    NoFolder,
    /// The file is not there.
    NoFile,
    /// Something else is wrong.
    Failed,
    /// It is not an ordinary file.
    NotAFile,
    /// It is longer than 256 MiB.
    TooLong,
    /// There is no message in it; `line` is the first that is none, 0 where it is empty.
    NoRecording,
    /// It was moved or deleted while it was written.
    RecordingGone,
    /// It is damaged, or not a database of ours.
    NotADatabase,
    /// It is of a newer version.
    NewerVersion,
    /// Another program uses it.
    Locked,
    /// Messages in it are damaged.
    DamagedMessages,
    /// The file was damaged, and what can be read of it is there.
    Mended,
    /// The file was damaged, could not be written any more, and was renamed; `aside` says to what.
    SetAside,

    // The local broker's ports.
    /// The listeners `other` and `listener` share a `port`.
    PortsShared,
    /// The `port` of a `listener` is in use.
    PortTaken,
    /// The `port` of a `listener` is the system's.
    PortReserved,
    /// The `port` of a `listener` cannot be opened (`error`).
    PortFailed,
    /// Its certificates cannot be used (`error`).
    BrokerCertificates,
    /// It does not start (`error`).
    BrokerFailed,
}

impl From<TopicError> for ErrorReason {
    fn from(error: TopicError) -> Self {
        match error {
            TopicError::Empty => Self::TopicEmpty,
            TopicError::Null => Self::TopicNull,
            TopicError::TooLong => Self::TopicTooLong,
            TopicError::Wildcard => Self::TopicWildcard,
            TopicError::MultiLevel => Self::TopicMultiLevel,
            TopicError::SingleLevel => Self::TopicSingleLevel,
            TopicError::Share => Self::TopicShare,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    /// The sources under a folder, without tests.
    fn sources(folder: &Path, found: &mut Vec<(String, String)>) {
        for entry in std::fs::read_dir(folder).expect("sources").flatten() {
            let path = entry.path();
            if path.is_dir() {
                sources(&path, found);
            } else if path.extension().is_some_and(|end| end == "rs") && !path.ends_with("tests.rs") {
                let text = std::fs::read_to_string(&path).expect("source");
                let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
                found.push((path.display().to_string(), code.to_owned()));
            }
        }
    }

    /// What a person can do something about has a reason, and so words in every language of the window. The other
    /// kinds have words by their code alone.
    #[test]
    fn what_a_person_can_act_on_has_a_reason() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut all = Vec::new();
        for folder in ["src", "../src"] {
            sources(&root.join(folder), &mut all);
        }
        assert!(all.len() > 100, "{} sources", all.len());
        for code in ["InvalidInput", "LimitExceeded", "File", "Storage", "Broker"] {
            let spoken = format!("Error::new(ErrorCode::{code}");
            for (path, text) in all.iter().filter(|(path, _)| !path.ends_with("src/error.rs")) {
                let flat: String = text.split_whitespace().collect();
                assert!(!flat.contains(&spoken), "{path}: {spoken}…) has no reason: use Error::because");
            }
        }
    }
}
