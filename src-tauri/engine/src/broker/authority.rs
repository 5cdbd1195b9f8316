//! The development CA in a person's hands: make one, issue certificates for servers and clients, say which lines make
//! a broker use them. It is the local broker's CA where the folder is the same. In: what is wanted. Out: files, never
//! over existing ones. For development: its key lies on disk, readable for its owner.

use std::io::Write as _;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rcgen::string::Ia5String;
use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, KeyPair, KeyUsagePurpose, SanType};
use serde::{Deserialize, Serialize};
use ts_rs::TS;

use super::certificates::{self, Authority, DAY};
use super::configuration::{self, BrokerLines};
use crate::error::{Error, ErrorCode, ErrorReason, Result};
use crate::identity::{self, CertificateInfo};
use crate::secret::Secret;
use crate::whole_file;

/// The longest life of what is issued here, in days.
const LONGEST_LIFE: u32 = 3650;

/// A development CA.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
#[ts(export)]
pub struct DevelopmentCa {
    /// Its folder.
    pub folder: String,
    /// Its certificate, PEM.
    pub file: String,
    /// What the certificate says.
    pub certificate: CertificateInfo,
}

/// A certificate that is wanted.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, TS)]
#[ts(export)]
pub struct CertificateRequest {
    /// For whom.
    pub purpose: CertificatePurpose,
    /// Common name. A server's is also its first name.
    pub common_name: String,
    /// Subject alternative names: host names, addresses, URIs and mail addresses, told by their looks or by a prefix
    /// `DNS:`, `IP:`, `URI:` or `email:`.
    pub names: Vec<String>,
    /// Days until it ends, 1 to 3650.
    pub days: u32,
    /// How it is written down.
    pub format: CertificateFormat,
    /// Where the files go; the CA's folder when empty.
    pub folder: String,
}

/// What a certificate is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
#[ts(export)]
pub enum CertificatePurpose {
    /// A broker or proxy.
    Server,
    /// A client that shows it to a server.
    Client,
}

/// How certificate and key are written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
#[ts(export)]
pub enum CertificateFormat {
    /// Two PEM files; the key is encrypted when there is a passphrase.
    Pem,
    /// One PKCS#12 bundle with the chain.
    Pkcs12,
}

/// What was issued.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
#[ts(export)]
pub struct IssuedCertificate {
    /// What it says.
    pub certificate: CertificateInfo,
    /// The certificate with its chain, or the bundle.
    pub file: String,
    /// The key; empty when it is in the bundle.
    pub key_file: String,
    /// The CA's certificate, for the other side.
    pub ca_file: String,
    /// For a server: what makes brokers use it.
    pub configuration: Vec<BrokerLines>,
}

/// The CA in a folder; `None` when there is none.
pub fn development_ca(folder: &Path) -> Option<DevelopmentCa> {
    let authority = certificates::kept_authority(folder, SystemTime::now())?;
    described(folder, &authority)
}

/// Makes a CA in a folder.
///
/// # Errors
/// `invalid_input` when there is one, or something is wrong with the name or the days. `file`.
pub fn create_development_ca(folder: &Path, name: &str, days: u32) -> Result<DevelopmentCa> {
    let name = checked_name(name)?;
    let life = checked_life(days)?;
    std::fs::create_dir_all(folder).map_err(|error| certificates::file_error(folder, &error))?;
    let _lock = certificates::locked(folder)?;
    for file in ["ca.pem", "ca.key"] {
        let path = folder.join(file);
        if path.exists() {
            let message =
                format!("There is a CA at {} already: use it, or choose another folder", path.display());
            return Err(Error::invalid("folder", ErrorReason::CaExists, message)
                .with("path", path.display().to_string()));
        }
    }
    let authority = certificates::make_authority(folder, name, life, SystemTime::now())?;
    described(folder, &authority)
        .ok_or_else(|| Error::new(ErrorCode::Internal, "The new CA certificate cannot be read"))
}

/// Issues a certificate by the CA in `folder`.
///
/// # Errors
/// `not_found` without a CA, `invalid_input` for a name or number that cannot be used and for files that exist,
/// `file`.
pub fn issue_certificate(
    folder: &Path,
    request: &CertificateRequest,
    passphrase: Option<&Secret>,
) -> Result<IssuedCertificate> {
    let common_name = checked_name(&request.common_name)?;
    let life = checked_life(request.days)?;
    let passphrase = passphrase.filter(|secret| !secret.expose().is_empty());
    let authority = certificates::kept_authority(folder, SystemTime::now()).ok_or_else(|| {
        let message = format!("There is no usable CA in {}: create one first", folder.display());
        Error::because(ErrorCode::NotFound, ErrorReason::NoCa, message)
            .with("path", folder.display().to_string())
    })?;
    let target = match request.folder.trim() {
        "" => folder.to_owned(),
        other => PathBuf::from(other),
    };
    let params = params(request, common_name, life)?;
    let key = KeyPair::generate().map_err(|error| certificates::making(&error))?;
    let certificate =
        params.signed_by(&key, &authority.issuer).map_err(|error| certificates::making(&error))?;
    let (name, key_der) = (file_name(common_name), key.serialize_der());
    let path = |ending: &str| target.join(format!("{name}.{ending}"));
    std::fs::create_dir_all(&target).map_err(|error| certificates::file_error(&target, &error))?;
    let (file, key_file) = match request.format {
        CertificateFormat::Pem => {
            let [file, key_file] = [path("pem"), path("key")];
            let pem = match passphrase {
                Some(secret) => identity::encrypted_key_pem(&key_der, secret)?,
                None => key.serialize_pem(),
            };
            absent(&[&file, &key_file])?;
            write(&key_file, pem.as_bytes(), 0o600)?;
            write(&file, format!("{}{}", certificate.pem(), authority.pem).as_bytes(), 0o644)?;
            (file, Some(key_file))
        }
        CertificateFormat::Pkcs12 => {
            let file = path("p12");
            let none = Secret::new("");
            let chain = [certificate.der().as_ref(), authority.der.as_ref()];
            let bundle = identity::pkcs12_bundle(&chain, &key_der, passphrase.unwrap_or(&none))?;
            absent(&[&file])?;
            write(&file, &bundle, 0o600)?;
            (file, None)
        }
    };
    let text = |path: &Path| path.to_string_lossy().into_owned();
    let ca_file = text(&folder.join("ca.pem"));
    let (file, key_file) = (text(&file), key_file.map(|path| text(&path)).unwrap_or_default());
    let configuration = match request.purpose {
        CertificatePurpose::Server => configuration::lines(&ca_file, &file, &key_file, passphrase.is_some()),
        CertificatePurpose::Client => Vec::new(),
    };
    let certificate = identity::describe(certificate.der())
        .map_err(|_| Error::new(ErrorCode::Internal, "The new certificate cannot be read"))?;
    Ok(IssuedCertificate { certificate, file, key_file, ca_file, configuration })
}

fn described(folder: &Path, authority: &Authority) -> Option<DevelopmentCa> {
    Some(DevelopmentCa {
        folder: folder.to_string_lossy().into_owned(),
        file: folder.join("ca.pem").to_string_lossy().into_owned(),
        certificate: identity::describe(&authority.der).ok()?,
    })
}

fn params(request: &CertificateRequest, common_name: &str, life: Duration) -> Result<CertificateParams> {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, common_name);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.use_authority_key_identifier_extension = true;
    let mut names = request.names.iter().map(|name| name.trim()).filter(|name| !name.is_empty());
    match request.purpose {
        CertificatePurpose::Server => {
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
            let own = std::iter::once(common_name).filter(|_| subject_name(common_name).is_ok());
            for name in own.chain(names) {
                let name = subject_name(name)?;
                if !params.subject_alt_names.contains(&name) {
                    params.subject_alt_names.push(name);
                }
            }
            if params.subject_alt_names.is_empty() {
                let message = "A server's certificate needs the host names or addresses it is reached by";
                return Err(Error::invalid("names", ErrorReason::NamesMissing, message));
            }
        }
        CertificatePurpose::Client => {
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
            params.subject_alt_names = names.try_fold(Vec::new(), |mut all, name| {
                all.push(subject_name(name)?);
                Ok::<_, Error>(all)
            })?;
        }
    }
    certificates::set_validity(&mut params, SystemTime::now(), life);
    Ok(params)
}

/// A subject alternative name (RFC 5280, 4.2.1.6), by its prefix or its looks.
fn subject_name(text: &str) -> Result<SanType> {
    let wrong = |what: &str| {
        let message = format!("`{text}` is not {what}");
        Error::invalid("names", ErrorReason::NameInvalid, message).with("value", text)
    };
    let ascii = |value: &str, what| Ia5String::try_from(value).map_err(|_| wrong(what));
    let (kind, value) = match text.split_once(':') {
        Some((kind @ ("DNS" | "IP" | "URI" | "email"), value)) => (kind, value.trim()),
        _ if text.parse::<IpAddr>().is_ok() => ("IP", text),
        _ if text.contains("://") || text.starts_with("urn:") => ("URI", text),
        _ if text.contains('@') => ("email", text),
        _ => ("DNS", text),
    };
    match kind {
        "IP" => value.parse().map(SanType::IpAddress).map_err(|_| wrong("an IP address")),
        "URI" if value.contains(':') => Ok(SanType::URI(ascii(value, "a URI")?)),
        "URI" => Err(wrong("a URI")),
        "email" if value.contains('@') => Ok(SanType::Rfc822Name(ascii(value, "a mail address")?)),
        "email" => Err(wrong("a mail address")),
        _ => {
            let host = idna::domain_to_ascii(value.strip_prefix("*.").unwrap_or(value))
                .map_err(|_| wrong("a host name"))?;
            let label = |part: &str| {
                (1..=63).contains(&part.len())
                    && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
            };
            if host.len() > 253 || !host.split('.').all(label) {
                return Err(wrong("a host name"));
            }
            let host = if value.starts_with("*.") { format!("*.{host}") } else { host };
            Ok(SanType::DnsName(ascii(&host, "a host name")?))
        }
    }
}

fn checked_name(name: &str) -> Result<&str> {
    let wrong = |reason, message: &str| Error::invalid("common_name", reason, message);
    match name.trim() {
        "" => Err(wrong(ErrorReason::CommonNameMissing, "The name is missing")),
        name if name.chars().count() > 64 => Err(wrong(
            ErrorReason::CommonNameTooLong,
            "A common name has at most 64 characters (RFC 5280, appendix A)",
        )),
        name if name.chars().any(char::is_control) => {
            Err(wrong(ErrorReason::CommonNameControl, "The name contains control characters"))
        }
        name => Ok(name),
    }
}

fn checked_life(days: u32) -> Result<Duration> {
    match days {
        1..=LONGEST_LIFE => Ok(DAY * days),
        _ => {
            Err(Error::invalid("days", ErrorReason::LifeInvalid, format!("Choose 1 to {LONGEST_LIFE} days"))
                .with("most", LONGEST_LIFE))
        }
    }
}

/// A name that every file system takes.
fn file_name(common_name: &str) -> String {
    let plain = |c: char| if c.is_alphanumeric() || c == '-' || c == '.' { c } else { '-' };
    let name: String = common_name.chars().map(plain).collect();
    match name.trim_matches(['.', '-']) {
        "" | "ca" => "certificate".to_owned(),
        name => name.to_lowercase(),
    }
}

fn absent(paths: &[&Path]) -> Result<()> {
    match paths.iter().find(|path| path.exists()) {
        Some(path) => Err(Error::invalid(
            "folder",
            ErrorReason::FileExists,
            format!("{} exists already: choose another name or folder", path.display()),
        )
        .with("path", path.display().to_string())),
        None => Ok(()),
    }
}

fn write(path: &Path, content: &[u8], mode: u32) -> Result<()> {
    whole_file::replace(path, Some(mode), |file| file.write_all(content))
        .map_err(|error| certificates::file_error(path, &error))
}
