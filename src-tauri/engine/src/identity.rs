//! Certificates and keys: reads what people have, describes it, and checks that it belongs together,
//! before anything is dialled. In: paths. Out: descriptions and rustls identities.

use serde::Serialize;
use ts_rs::TS;

use crate::message::UnixMicros;

/// What is worth knowing about a certificate (RFC 5280).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
#[ts(export)]
pub struct CertificateInfo {
    /// Distinguished name, e.g. `CN=device-42, O=Plant North`.
    pub subject: String,
    /// Common name, if there is one.
    pub common_name: Option<String>,
    /// Distinguished name of the issuer.
    pub issuer: String,
    /// Subject alternative names, e.g. `DNS:localhost`, `IP:127.0.0.1`, `URI:…`.
    pub sans: Vec<String>,
    /// Serial number in hex.
    pub serial: String,
    /// Not before, Unix microseconds.
    pub not_before: UnixMicros,
    /// Not after, Unix microseconds.
    pub not_after: UnixMicros,
    /// E.g. `ECDSA P-256`, `RSA 2048`, `Ed25519`.
    pub key_type: String,
    /// Key usages and extended key usages by name, e.g. `digitalSignature`, `clientAuth`.
    pub usages: Vec<String>,
    /// Basic constraints say CA.
    pub is_ca: bool,
    /// Subject equals issuer and the signature verifies with its own key.
    pub self_signed: bool,
    /// SHA-256 of the DER, lower-case hex.
    pub sha256: String,
    /// SHA-1 of the DER, lower-case hex.
    pub sha1: String,
    /// The DER in base64, so that it can be saved or pinned.
    pub der_base64: String,
}
