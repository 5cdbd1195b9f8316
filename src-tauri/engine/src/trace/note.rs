//! Lines of a trace's log that are sentences: as facts, for whoever says them in words of their own, and in English.
//! Lines that are the protocols' own (`ClientHello`, a request, a status) have no note: they read the same everywhere.

use serde::{Deserialize, Serialize};
use ts_rs::TS;

use super::remark::{IdentityRemark, TrustRule};

/// What a line of the log says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(tag = "note", rename_all = "snake_case")]
#[ts(export)]
pub enum LogNote {
    /// A name is looked up.
    LookUp {
        /// The name.
        name: String,
    },
    /// The proxy's name is looked up.
    LookUpProxy {
        /// The name.
        name: String,
    },
    /// A file was read.
    File {
        /// Its path.
        path: String,
        /// How many certificates it holds.
        certificates: usize,
        /// Type of its private key.
        key_type: Option<String>,
        /// How many revocation lists it holds.
        #[serde(default)]
        revocation_lists: usize,
        /// What was found in it, in English.
        found: String,
    },
    /// Something about the files deserves a look.
    Remark {
        /// What.
        remark: IdentityRemark,
    },
    /// An address was tried.
    Tried {
        /// It.
        address: String,
        /// What came of it, in the words of [`super::TcpAttempt`].
        result: String,
    },
    /// `TCP_NODELAY` could not be set.
    Delayed {
        /// Why, in the system's words.
        error: String,
    },
    /// The proxy is asked for the broker.
    Tunnel {
        /// What kind of proxy.
        kind: String,
        /// The broker.
        target: String,
    },
    /// The server asked for a client certificate.
    Asked {
        /// How many issuers it named.
        issuers: usize,
    },
    /// The server presented its chain.
    Chain {
        /// How many certificates.
        certificates: usize,
    },
    /// A client certificate was sent.
    Sent {
        /// Its subject.
        subject: String,
    },
    /// The server's certificate was accepted.
    Accepted {
        /// By which rule.
        rule: Option<TrustRule>,
        /// The same in English.
        by: String,
    },
    /// The server chose no WebSocket subprotocol.
    NoSubprotocol {
        /// What was offered.
        offered: String,
    },
    /// CONNECT was sent.
    Connect {
        /// As whom.
        client_id: String,
    },
    /// The client identifier was made up.
    MadeUp {
        /// It.
        client_id: String,
    },
    /// The stage failed.
    Failed,
    /// The connection was lost; the trace's end says why.
    Lost {
        /// What happened, in English.
        message: String,
    },
    /// The connection ended as asked.
    Ended,
}

impl LogNote {
    /// The same in English.
    pub fn words(&self) -> String {
        match self {
            Self::LookUp { name } => format!("query {name}"),
            Self::LookUpProxy { name } => format!("Looking up the proxy {name}"),
            Self::File { path, found, .. } => format!("{path}: {found}"),
            Self::Remark { remark } => remark.words(),
            Self::Tried { address, result } => format!("{address} {result}"),
            Self::Delayed { error } => format!("TCP_NODELAY could not be set: {error}"),
            Self::Tunnel { kind, target } => format!("{kind} to {target}"),
            Self::Asked { issuers } => format!("CertificateRequest, {issuers} issuers"),
            Self::Chain { certificates } => format!("server chain, {certificates} certificates"),
            Self::Sent { subject } => format!("sent {subject}"),
            Self::Accepted { by, .. } => format!("accepted: {by}"),
            Self::NoSubprotocol { offered } => format!(
                "The server chose no subprotocol, though `{offered}` was offered; MQTT 5, 6.0 wants it to"
            ),
            Self::Connect { client_id } => format!("CONNECT as {client_id}"),
            Self::MadeUp { client_id } => format!("The client id is empty: {client_id} stands in for it"),
            Self::Failed => "failed".to_owned(),
            Self::Lost { message } => format!("lost: {message}"),
            Self::Ended => "disconnected as asked".to_owned(),
        }
    }
}
