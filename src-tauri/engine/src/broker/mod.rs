//! The local broker: MQTT 3.1.1 and 5 on mqtt, mqtts, ws and wss listeners on loopback, with its own CA,
//! server and client certificates, made on first start and kept.

mod authority;
mod certificates;
mod configuration;
pub mod devices;
mod server;
mod stream;

use serde::{Deserialize, Serialize};
use ts_rs::TS;

use crate::error::Error;
use crate::vault::SecretPlace;

pub use authority::{
    CertificateFormat, CertificatePurpose, CertificateRequest, DevelopmentCa, IssuedCertificate,
    create_development_ca, development_ca, issue_certificate,
};
pub use certificates::{certificates, existing_certificates};
pub use configuration::BrokerLines;
pub use server::LocalBroker;

/// How to run the local broker.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(default)]
#[ts(export)]
pub struct BrokerOptions {
    /// Port of each listener: mqtt, mqtts, ws, wss; 0 takes a free one.
    pub ports: BrokerPorts,
    /// Whether mqtts and wss demand a client certificate; they accept one anyway.
    pub require_client_certificate: bool,
    /// User name; anybody may connect when empty. The password is a secret and not here.
    pub username: String,
}

/// A port for each listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(default)]
#[ts(export)]
pub struct BrokerPorts {
    /// MQTT over TCP.
    pub mqtt: u16,
    /// MQTT over TLS.
    pub mqtts: u16,
    /// MQTT over WebSocket.
    pub ws: u16,
    /// MQTT over WebSocket over TLS.
    pub wss: u16,
}

impl Default for BrokerPorts {
    fn default() -> Self {
        Self { mqtt: 1883, mqtts: 8883, ws: 8083, wss: 8084 }
    }
}

/// What the local broker is doing.
#[derive(Debug, Clone, Default, PartialEq, Serialize, TS)]
#[ts(export)]
pub struct BrokerStatus {
    /// Whether it runs.
    pub running: bool,
    /// The URL of each listener that runs, in the order mqtt, mqtts, ws, wss.
    pub urls: Vec<String>,
    /// Why it does not run, when it was asked to.
    pub error: Option<Error>,
    /// Where its certificates are; `None` before its first start.
    pub files: Option<BrokerFiles>,
    /// The options it runs with, or would run with.
    pub options: BrokerOptions,
    /// Where the password for its user name is kept, if it is.
    pub password_place: Option<SecretPlace>,
}

/// Certificates of the local broker, PEM.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
#[ts(export)]
pub struct BrokerFiles {
    /// The CA certificate, to be trusted by clients.
    pub ca: String,
    /// A client certificate with its chain.
    pub client_cert: String,
    /// Its key (mode 0600).
    pub client_key: String,
}
