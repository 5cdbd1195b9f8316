//! Certificates and keys: reads what people have, describes it, and checks that it belongs together,
//! before anything is dialled. In: paths, and a passphrase when there is one; or a key from the vault, or where one is
//! on a token. Out: descriptions and rustls identities. Never asks for a passphrase or a PIN: that one is needed is an
//! error with its own code. A token is spoken to by an attempt to connect and by [`token::list`], never while a person
//! types: a PIN that is half typed would cost a try.

mod contents;
mod der;
mod describe;
mod encryption;
mod key_place;
mod pkcs12;
pub mod token;

use std::sync::Arc;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer};
use rustls::sign::{CertifiedKey, SigningKey};
use serde::{Deserialize, Serialize};
use ts_rs::TS;
use x509_parser::prelude::{FromDer, X509Certificate};

use self::contents::{Contents, FoundKey, KeyEncoding};
use self::encryption::Locked;
use self::token::OpenToken;
use crate::engine::{FileError, FileReport, IdentityReport};
use crate::error::{Error, ErrorCode};
use crate::failure::FailureCode;
use crate::message::UnixMicros;
use crate::profile::ClientCertificate;
use crate::secret::{Secret, SecretField, Secrets};
use crate::trace::{IdentityFile, IdentityRemark};

pub(crate) use self::key_place::without_pin;
pub use self::key_place::{KeyPlace, TokenKey, VaultKey, is_token};

/// Fourteen days, in microseconds: a certificate that ends sooner deserves a remark.
const ENDS_SOON: i64 = 14 * DAY;
const DAY: i64 = 86_400_000_000;

/// What is worth knowing about a certificate (RFC 5280).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
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
    /// SHA-256 of the public key (SubjectPublicKeyInfo), lower-case hex: the same after a renewal with the same key.
    pub spki_sha256: String,
    /// The DER in base64, so that it can be saved or pinned.
    pub der_base64: String,
}

/// What is worth knowing about a revocation list (RFC 5280, 5).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
#[ts(export)]
pub struct RevocationListInfo {
    /// Distinguished name of the issuer.
    pub issuer: String,
    /// When it was made, Unix microseconds.
    pub this_update: UnixMicros,
    /// When the next one is due, Unix microseconds, if it says so.
    pub next_update: Option<UnixMicros>,
    /// How many certificates it takes back.
    pub revoked: usize,
}

/// Why certificates and keys cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct IdentityError {
    /// Stable name.
    pub code: FailureCode,
    /// The file concerned; empty when none is named.
    pub path: String,
    /// One sentence, naming the file.
    pub message: String,
    /// Why it is so, and what to do.
    pub cause: String,
}

/// A client certificate with its key, ready for TLS.
#[derive(Debug, Clone)]
pub struct ClientIdentity {
    /// Chain and key as rustls wants them, leaf first.
    pub key: Arc<CertifiedKey>,
    /// Whether the key was seen to be the certificate's; a token may not tell.
    pub key_matches: Option<bool>,
    /// The certificates.
    pub presented: Presented,
}

/// The certificates of a client.
#[derive(Debug, Clone, Default)]
pub struct Presented {
    /// What is sent, leaf first, each signed by the next.
    pub chain: Vec<CertificateInfo>,
    /// Certificates in the files that do not belong to that chain; they are not sent.
    pub unused: Vec<CertificateInfo>,
}

/// Describes a certificate in DER.
///
/// # Errors
/// It is not one (`not_a_certificate`, without a path).
pub fn describe(der: &[u8]) -> Result<CertificateInfo, IdentityError> {
    describe::describe(der).ok_or_else(|| {
        let message = "This is not an X.509 certificate";
        IdentityError::new(FailureCode::NotACertificate, "", message, "Its DER structure cannot be read")
    })
}

/// The certificates (DER) in PEM text, and whether there is a private key as well.
pub(crate) fn certificates_in_text(text: &str) -> (Vec<Vec<u8>>, bool) {
    certificates_in_bytes(text.as_bytes())
}

/// The certificates (DER) in the bytes of a file of any format, and whether there is a private key as well.
pub(crate) fn certificates_in_bytes(bytes: &[u8]) -> (Vec<Vec<u8>>, bool) {
    let contents = Contents::of_bytes(bytes);
    let certificates = contents.certificates.iter().map(|der| der.to_vec()).collect();
    (certificates, !contents.keys.is_empty() || contents.bundle.is_some())
}

/// The certificates (DER) in a file; none when it cannot be read.
pub(crate) fn certificates_in_file(path: &str) -> Vec<Vec<u8>> {
    let certificates = ReadFile::of(path, None).certificates().unwrap_or_default();
    certificates.iter().map(|der| der.to_vec()).collect()
}

/// A private key that came as bytes, without a file of its own, as the vault keeps it.
pub(crate) struct LooseKey {
    /// Its name in the vault.
    pub name: VaultKey,
    /// PKCS#8 in DER, in the clear; or the bytes as they came, when only a passphrase opens them.
    pub key: Secret,
    /// The certificates that came with it, as far as they can be seen.
    pub certificates: Vec<Vec<u8>>,
}

/// No private key is larger, in bytes, with the certificates that may stand beside it.
const LARGEST_KEY: usize = 256 * 1024;

/// The private key in the bytes of a file of any format. What opens without a passphrase is opened; `None` when there
/// is no key in it, or it is larger than keys are.
pub(crate) fn loose_key(bytes: &[u8]) -> Option<LooseKey> {
    if bytes.len() > LARGEST_KEY {
        return None;
    }
    let mut contents = Contents::of_bytes(bytes);
    contents.unlock(None);
    let certificates = contents.certificates.iter().map(|der| der.to_vec()).collect();
    let open = contents.keys.iter().find_map(|key| {
        let spki = key.public_key()?;
        Some((VaultKey::of(&spki), key.pkcs8(&spki)?))
    });
    if let Some((name, der)) = open {
        return Some(LooseKey { name, key: Secret::new(der.to_vec()), certificates });
    }
    let something = !contents.keys.is_empty() || contents.bundle.is_some();
    something.then(|| LooseKey { name: VaultKey::of_locked(bytes), key: Secret::new(bytes), certificates })
}

/// A certificate in DER as PEM.
pub fn certificate_pem(der: &[u8]) -> String {
    pem("CERTIFICATE", der)
}

fn pem(label: &str, der: &[u8]) -> String {
    use base64::Engine as _;
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    let lines: Vec<_> = text.as_bytes().chunks(64).map(String::from_utf8_lossy).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

/// Reads certificate and key, decrypts what is encrypted, asks the token when the key is on one, puts the chain in
/// order, and checks that the key is the certificate's. What was found is pushed to `files`, also when it fails.
///
/// # Errors
/// Which file, key or token is wrong, and why.
pub fn load_client(
    cert: &ClientCertificate,
    secrets: &Secrets,
    files: &mut Vec<IdentityFile>,
) -> Result<ClientIdentity, IdentityError> {
    let mut read = ReadIdentity::of(cert, secrets);
    if let Some(OnToken { key, opened }) = &mut read.token {
        *opened = Some(token::open(key, secrets.get(&SecretField::TokenPin)));
    }
    files.extend(read.cert.as_ref().map(|file| file.trace("certificate")));
    files.extend(read.key.as_ref().map(|file| file.trace("key")));
    files.extend(read.token.as_ref().map(OnToken::trace));
    read.identity().map_err(|(_, error)| error)
}

/// A client certificate with its key taken out of its files, to be kept elsewhere.
pub(crate) struct TakenIdentity {
    /// The chain, leaf first, and what else was in the files.
    pub certificates: Vec<Vec<u8>>,
    /// The key, PKCS#8 in DER, in the clear.
    pub key: Secret,
    /// Its name in the vault.
    pub name: VaultKey,
}

/// Takes a key and its certificates out of their files, decrypted.
///
/// # Errors
/// Which file is wrong, and why; `unsupported_key` for a key on a token, which it never leaves.
pub(crate) fn take(cert: &ClientCertificate, secrets: &Secrets) -> Result<TakenIdentity, IdentityError> {
    let read = ReadIdentity::of(cert, secrets);
    let identity = read.identity().map_err(|(_, error)| error)?;
    let elsewhere = || {
        let message = "The private key cannot be taken";
        IdentityError::new(FailureCode::UnsupportedKey, "", message, "It is on a token, and never leaves it")
    };
    let file =
        read.key.as_ref().or(read.cert.as_ref()).filter(|_| read.token.is_none()).ok_or_else(elsewhere)?;
    let contents = file.contents.as_ref().map_err(Clone::clone)?;
    let spki = identity.key.key.public_key().ok_or_else(elsewhere)?;
    let same = |key: &&FoundKey| key.public_key().is_some_and(|own| own == spki.as_ref());
    let key = contents.keys.iter().find(same).ok_or_else(elsewhere)?;
    let der = key.pkcs8(spki.as_ref()).ok_or_else(elsewhere)?;
    let name = VaultKey::of(spki.as_ref());
    let others = identity.presented.unused.iter().map(CertificateInfo::der);
    let sent = identity.key.cert.iter().map(|der| der.to_vec());
    Ok(TakenIdentity { certificates: sent.chain(others).collect(), key: Secret::new(der.to_vec()), name })
}

/// The name that the key of the first certificate in a file has in the vault, if it is there.
pub(crate) fn vault_key_for(path: &str) -> Option<VaultKey> {
    let certificates = ReadFile::of(path, None).certificates().ok()?;
    let (_, first) = X509Certificate::from_der(certificates.first()?).ok()?;
    Some(VaultKey::of(first.public_key().raw))
}

/// A PKCS#12 bundle of the certificates in a file, its first one's chain, and a key that was imported.
///
/// # Errors
/// Which of them is wrong, and why.
pub(crate) fn bundle(
    cert: &ClientCertificate,
    secrets: &Secrets,
    passphrase: &Secret,
) -> Result<Result<Vec<u8>, Error>, IdentityError> {
    let taken = take(cert, secrets)?;
    let chain: Vec<_> = taken.certificates.iter().map(Vec::as_slice).collect();
    Ok(pkcs12_bundle(&chain, taken.key.expose(), passphrase))
}

/// Reads CA certificates. What was found is pushed to `files`, also when it fails; blank paths are passed over.
///
/// # Errors
/// The first file that cannot be read or holds no certificate.
pub fn load_authorities(
    paths: &[String],
    files: &mut Vec<IdentityFile>,
) -> Result<Vec<CertificateDer<'static>>, IdentityError> {
    let mut authorities = Vec::new();
    for path in paths.iter().filter(|path| !path.trim().is_empty()) {
        let file = ReadFile::of(path, None);
        files.push(file.trace("ca"));
        authorities.extend(file.certificates()?);
    }
    Ok(authorities)
}

/// A PKCS#12 bundle (AES-256, PBKDF2) of a chain, leaf first, and the leaf's key in PKCS#8.
///
/// # Errors
/// The operating system gives no random numbers.
pub fn pkcs12_bundle(chain: &[&[u8]], key: &[u8], passphrase: &Secret) -> Result<Vec<u8>, Error> {
    pkcs12::write(chain, key, passphrase).map_err(|_| no_random_numbers())
}

/// A private key (PKCS#8) encrypted with a passphrase (PBES2: AES-256, PBKDF2), as PEM.
///
/// # Errors
/// The operating system gives no random numbers.
pub fn encrypted_key_pem(key: &[u8], passphrase: &Secret) -> Result<String, Error> {
    let der = encryption::encrypt_pkcs8(key, passphrase).map_err(|_| no_random_numbers())?;
    Ok(pem("ENCRYPTED PRIVATE KEY", &der))
}

fn no_random_numbers() -> Error {
    Error::new(ErrorCode::Internal, "The operating system gives no random numbers")
}

/// Reads revocation lists. What was found is pushed to `files`, also when it fails; blank paths are passed over.
///
/// # Errors
/// The first file that cannot be read or holds no revocation list (`not_a_crl`).
pub fn load_revocation_lists(
    paths: &[String],
    files: &mut Vec<IdentityFile>,
) -> Result<Vec<CertificateRevocationListDer<'static>>, IdentityError> {
    let mut lists = Vec::new();
    for path in paths.iter().filter(|path| !path.trim().is_empty()) {
        let file = ReadFile::of(path, None);
        files.push(file.trace("crl"));
        lists.extend(file.revocation_lists()?);
    }
    Ok(lists)
}

/// What deserves a look though nothing forbids it: validity, purpose, certificates that are not sent.
pub fn remarks(presented: &Presented, now: UnixMicros) -> Vec<IdentityRemark> {
    let mut remarks = Vec::new();
    for (index, certificate) in presented.chain.iter().enumerate() {
        let (leaf, name) = (index == 0, certificate.short_name().to_owned());
        let from_now = |time: UnixMicros| IdentityRemark::days(time.saturating_sub(now).saturating_abs());
        if certificate.not_after < now {
            remarks.push(IdentityRemark::Expired { name, leaf, days: from_now(certificate.not_after) });
        } else if certificate.not_before > now {
            remarks.push(IdentityRemark::NotYetValid { name, leaf, days: from_now(certificate.not_before) });
        } else if certificate.not_after.saturating_sub(now) < ENDS_SOON {
            remarks.push(IdentityRemark::EndsSoon { name, leaf, days: from_now(certificate.not_after) });
        }
    }
    if let Some(leaf) = presented.chain.first() {
        if !leaf.allows("clientAuth") {
            remarks.push(IdentityRemark::NotForClients { name: leaf.short_name().to_owned() });
        }
        if leaf.is_ca {
            remarks.push(IdentityRemark::IsAuthority { name: leaf.short_name().to_owned() });
        }
    }
    if !presented.unused.is_empty() {
        let names = presented.unused.iter().map(|unused| unused.short_name().to_owned()).collect();
        remarks.push(IdentityRemark::Unused { names });
    }
    remarks
}

/// What is in the files of a client certificate, for the editor.
pub fn report_client(cert: &ClientCertificate, secrets: &Secrets) -> IdentityReport {
    inspect_client(cert, secrets).0
}

/// The same, with what is presented to the server or whose fault it is that nothing can be. Of a key on a token, only
/// the certificate is looked at; `None` when that is on the token too.
pub(crate) fn inspect_client(
    cert: &ClientCertificate,
    secrets: &Secrets,
) -> (IdentityReport, Result<Option<Presented>, (Role, IdentityError)>) {
    let read = ReadIdentity::of(cert, secrets);
    let mut report = IdentityReport {
        cert: read.cert.as_ref().map(ReadFile::report),
        key: read.key.as_ref().map(ReadFile::report),
        key_matches: None,
        chain: Vec::new(),
        unused: Vec::new(),
    };
    let identity = match &read.token {
        Some(_) => read.certificates_alone(),
        None => read.identity().map(|identity| {
            report.key_matches = Some(true);
            Some(identity.presented)
        }),
    };
    match &identity {
        Ok(presented) => {
            let presented = presented.clone().unwrap_or_default();
            report.chain = presented.chain;
            report.unused = presented.unused;
        }
        Err((role, error)) => {
            if error.code == FailureCode::KeyMismatch {
                report.key_matches = Some(false);
            }
            let file = match role {
                Role::Certificate => report.cert.as_mut(),
                Role::Key => report.key.as_mut().or(report.cert.as_mut()),
            };
            if let Some(file) = file {
                file.error = Some(error.clone().into());
            }
        }
    }
    (report, identity)
}

/// What a token shows of a key to somebody who has no PIN, with its certificate when that is on it.
pub(crate) fn report_on_token(uri: &str) -> (IdentityReport, Option<IdentityError>) {
    let mut report =
        IdentityReport { cert: None, key: None, key_matches: None, chain: Vec::new(), unused: Vec::new() };
    let found = match KeyPlace::of(uri) {
        Ok(KeyPlace::Token(key)) => token::look(&key, token::PATIENCE_OF_A_LIST),
        Ok(_) => return (report, None),
        Err(cause) => Err(not_a_token_uri(cause)),
    };
    let mut file = FileReport { path: uri.to_owned(), ..FileReport::default() };
    let error = match found {
        Ok(token::Shown { certificates, key_type }) => {
            report.chain = presented(&certificates, 0).0.chain;
            file.key_type = key_type;
            None
        }
        Err(error) => {
            file.error = Some(error.clone().into());
            Some(error)
        }
    };
    report.key = Some(file);
    (report, error)
}

fn not_a_token_uri(cause: String) -> IdentityError {
    let message = "The key is not where a pkcs11: URI could name it";
    IdentityError::new(FailureCode::TokenNotFound, "pkcs11:", message, cause)
}

/// What is in one file of certificates, keys or both.
pub fn report_file(path: &str, passphrase: Option<&Secret>) -> FileReport {
    let file = ReadFile::of(path, passphrase);
    let mut report = file.report();
    if let Ok(contents) = &file.contents {
        let nothing = contents.certificates.is_empty() && contents.keys.is_empty();
        let locked = contents.keys.iter().find_map(|key| key.locked.as_ref());
        report.error = match locked {
            Some(locked) => Some(file.locked_key(locked).into()),
            None if nothing => file.certificates().err().map(FileError::from),
            None => None,
        };
    }
    report
}

/// What is in one file of CA certificates.
pub(crate) fn report_authority(path: &str) -> FileReport {
    let file = ReadFile::of(path, None);
    let mut report = file.report();
    report.error = file.certificates().err().map(FileError::from);
    report
}

/// What is in one file of revocation lists.
pub(crate) fn report_revocation_lists(path: &str) -> FileReport {
    let file = ReadFile::of(path, None);
    let mut report = file.report();
    report.error = file.revocation_lists().err().map(FileError::from);
    report
}

impl IdentityError {
    fn new(code: FailureCode, path: &str, message: impl Into<String>, cause: impl Into<String>) -> Self {
        Self { code, path: path.to_owned(), message: message.into(), cause: cause.into() }
    }
}

impl From<IdentityError> for FileError {
    fn from(error: IdentityError) -> Self {
        Self { code: error.code, message: format!("{}. {}", error.message, error.cause) }
    }
}

/// A file, read or not.
struct ReadFile {
    path: String,
    contents: Result<Contents, IdentityError>,
}

/// The files of a client certificate, read once.
struct ReadIdentity {
    cert: Option<ReadFile>,
    key: Option<ReadFile>,
    /// Where the key is instead.
    token: Option<OnToken>,
    /// Whether the certificate's file has to be PKCS#12.
    pkcs12: bool,
}

/// A key on a token, asked or not.
struct OnToken {
    key: TokenKey,
    opened: Option<Result<OpenToken, IdentityError>>,
}

impl OnToken {
    fn trace(&self) -> IdentityFile {
        let found = match &self.opened {
            Some(Ok(token)) => token.name.clone(),
            Some(Err(error)) => error.message.clone(),
            None => String::new(),
        };
        let kind = self.opened.as_ref().and_then(|token| token.as_ref().ok()?.keys.first()?.1.clone());
        IdentityFile {
            role: "key".to_owned(),
            path: self.key.uri(),
            format: "pkcs11".to_owned(),
            found,
            certificates: Vec::new(),
            key_type: kind,
            revocation_lists: 0,
        }
    }
}

/// A private key that TLS can use.
struct UsableKey {
    key: Arc<dyn SigningKey>,
    /// Its type, e.g. `ECDSA P-256`.
    kind: String,
}

/// Whose fault an error is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// The certificate file's.
    Certificate,
    /// The key file's.
    Key,
}

impl ReadFile {
    fn of(path: &str, passphrase: Option<&Secret>) -> Self {
        let path = path.trim();
        Self { path: path.to_owned(), contents: Contents::of_file(path, passphrase) }
    }

    /// A private key that was imported; a passphrase opens one that is kept encrypted.
    fn of_vault(name: VaultKey, key: Option<&Secret>, passphrase: Option<&Secret>) -> Self {
        let path = name.to_string();
        let read = |key: &Secret| {
            let mut contents = Contents::of_bytes(key.expose());
            contents.unlock(passphrase);
            contents
        };
        let contents = key.map(read).ok_or_else(|| {
            let message = "The private key is not in the vault";
            let cause = "It was imported into a vault that is not the one in use: import it again, or choose its file";
            IdentityError::new(FailureCode::PrivateKeyMissing, &path, message, cause)
        });
        Self { path, contents }
    }

    fn report(&self) -> FileReport {
        let contents = match &self.contents {
            Ok(contents) => contents,
            Err(error) => {
                let error = Some(error.clone().into());
                return FileReport { path: self.path.clone(), error, ..FileReport::default() };
            }
        };
        let key_type = contents.keys.first().and_then(key_type);
        let found = contents.found(key_type.as_deref());
        FileReport {
            path: self.path.clone(),
            found: format!("{}, {found}", contents.format()),
            certificates: contents.certificates.iter().filter_map(|der| describe::describe(der)).collect(),
            key_type,
            key_encrypted: contents.encrypted(),
            bundle: contents.bundle.is_some(),
            revocation_lists: contents
                .revocation_lists
                .iter()
                .filter_map(|der| describe::describe_crl(der))
                .collect(),
            error: None,
        }
    }

    fn trace(&self, role: &str) -> IdentityFile {
        let report = self.report();
        let (format, found) = match &self.contents {
            Ok(contents) => match contents.format() {
                _ if self.is_in_vault() => ("vault", contents.found(None)),
                "PKCS#12" => ("pkcs12", contents.found(None)),
                "PEM" => ("pem", contents.found(None)),
                _ => ("der", contents.found(None)),
            },
            Err(error) => ("", error.message.clone()),
        };
        IdentityFile {
            role: role.to_owned(),
            path: report.path,
            format: format.to_owned(),
            found,
            certificates: report.certificates,
            key_type: report.key_type,
            revocation_lists: report.revocation_lists.len(),
        }
    }

    /// The certificates; an error names what is there instead.
    fn certificates(&self) -> Result<Vec<CertificateDer<'static>>, IdentityError> {
        let contents = self.contents.as_ref().map_err(Clone::clone)?;
        if !contents.certificates.is_empty() {
            return Ok(contents.certificates.clone());
        }
        if let Some(locked) = contents.bundle.as_ref().and_then(|bundle| bundle.locked.as_ref()) {
            return Err(self.locked_bundle(locked));
        }
        if contents.bundle.is_none() && self.is_called_a_bundle() && contents.keys.is_empty() {
            return Err(self.no_bundle(contents));
        }
        let wrong = |message: String, cause: String| {
            Err(IdentityError::new(FailureCode::NotACertificate, &self.path, message, cause))
        };
        match (contents.keys.first(), contents.others.first()) {
            (Some(_), _) => wrong(
                format!("{} is a private key, not a certificate", self.path),
                "Choose the certificate that belongs to it (often .crt, .cer or .pem)".into(),
            ),
            (None, Some(other)) => wrong(
                format!("{} is {}, not a certificate", self.path, other.name()),
                other.advice(&self.path),
            ),
            (None, None) => wrong(
                format!("{} is not a certificate", self.path),
                "Neither a PEM block “CERTIFICATE”, nor a certificate in DER, nor a PKCS#12 bundle was found in it"
                    .into(),
            ),
        }
    }

    /// The revocation lists; an error names what is there instead.
    fn revocation_lists(&self) -> Result<Vec<CertificateRevocationListDer<'static>>, IdentityError> {
        let contents = self.contents.as_ref().map_err(Clone::clone)?;
        if contents.revocation_lists.is_empty() {
            let message = format!("{} holds no revocation list", self.path);
            let cause = format!(
                "Neither a PEM block “X509 CRL” nor a revocation list in DER was found in it, but {}",
                contents.found(None)
            );
            return Err(IdentityError::new(FailureCode::NotACrl, &self.path, message, cause));
        }
        Ok(contents.revocation_lists.clone())
    }

    /// The private keys that can be used; an error names what is there instead.
    fn keys(&self) -> Result<Vec<UsableKey>, IdentityError> {
        let contents = self.contents.as_ref().map_err(Clone::clone)?;
        let fail =
            |code, message: String, cause: String| Err(IdentityError::new(code, &self.path, message, cause));
        let usable: Vec<_> = contents
            .keys
            .iter()
            .filter_map(|key| aws_lc_rs::sign::any_supported_type(&key.private_key()?).ok())
            .map(|key| {
                let kind = key.public_key().and_then(|spki| describe::key_type_of_spki(&spki));
                UsableKey { key, kind: kind.unwrap_or_default() }
            })
            .collect();
        if !usable.is_empty() {
            return Ok(usable);
        }
        if let Some(locked) = contents.keys.iter().find_map(|key| key.locked.as_ref()) {
            return Err(self.locked_key(locked));
        }
        if let Some(locked) = contents.bundle.as_ref().and_then(|bundle| bundle.locked.as_ref()) {
            return Err(self.locked_bundle(locked));
        }
        match (contents.keys.first(), contents.others.first()) {
            (Some(key), _) => fail(
                FailureCode::UnsupportedKey,
                format!("The private key in {} cannot be used for TLS", self.path),
                unsupported_because(key, &self.path),
            ),
            (None, _) if !contents.certificates.is_empty() => fail(
                FailureCode::NotAPrivateKey,
                format!("{} is a certificate, not a private key", self.path),
                "Choose the private key that belongs to the certificate (often .key or .pem)".into(),
            ),
            (None, Some(other)) => fail(
                FailureCode::NotAPrivateKey,
                format!("{} is {}, not a private key", self.path, other.name()),
                other.advice(&self.path),
            ),
            (None, None) => fail(
                FailureCode::NotAPrivateKey,
                format!("{} is not a private key", self.path),
                "Neither a PEM block “PRIVATE KEY” nor a key in DER (PKCS#8, PKCS#1, SEC1) was found in it"
                    .into(),
            ),
        }
    }
}

impl ReadFile {
    fn is_called_a_bundle(&self) -> bool {
        let extension = std::path::Path::new(&self.path).extension().unwrap_or_default();
        ["p12", "pfx"].iter().any(|name| extension.eq_ignore_ascii_case(name))
    }

    fn is_in_vault(&self) -> bool {
        KeyPlace::in_vault(&self.path).is_some()
    }

    /// A private key that stays encrypted.
    fn locked_key(&self, locked: &Locked) -> IdentityError {
        let (path, place) = match self.is_in_vault() {
            true => ("key.pem", "the vault"),
            false => (self.path.as_str(), self.path.as_str()),
        };
        let damaged = "The file was cut or changed in copying: copy it again";
        let (code, message, cause) = match locked {
            Locked::Required => (
                FailureCode::PassphraseRequired,
                format!("The private key in {place} is encrypted"),
                "Its passphrase is needed to use it".to_owned(),
            ),
            Locked::Wrong => (
                FailureCode::PassphraseWrong,
                format!("The passphrase does not open the private key in {place}"),
                "Decrypting with it gives no key. Upper and lower case and the keyboard's layout matter"
                    .to_owned(),
            ),
            Locked::Damaged(why) => (
                FailureCode::NotAPrivateKey,
                format!("The private key in {place} is damaged: {why}"),
                damaged.to_owned(),
            ),
            Locked::Unsupported(what) => (
                FailureCode::UnsupportedKey,
                format!("The private key in {place} is encrypted in a way that is not read here: {what}"),
                format!("Encrypt it anew: openssl pkcs8 -topk8 -in {} -out key-new.pem", quoted(path)),
            ),
            Locked::TooCostly(why) => (
                FailureCode::UnsupportedKey,
                format!("The private key in {place} cannot be opened: {why}"),
                format!(
                    "If the file is yours, encrypt it anew: openssl pkcs8 -topk8 -in {} -out key-new.pem",
                    quoted(path)
                ),
            ),
        };
        IdentityError::new(code, &self.path, message, cause)
    }

    /// What was given as PKCS#12 and is something else.
    fn no_bundle(&self, contents: &Contents) -> IdentityError {
        if contents.certificates.is_empty() && contents.keys.is_empty() {
            return self.locked_bundle(&Locked::Damaged("it does not begin as one"));
        }
        let message = format!("{} is not a PKCS#12 bundle", self.path);
        let cause = format!("It holds {}: give it as certificate and key instead", contents.found(None));
        IdentityError::new(FailureCode::NotAPkcs12, &self.path, message, cause)
    }

    /// A PKCS#12 bundle that stays closed.
    fn locked_bundle(&self, locked: &Locked) -> IdentityError {
        let (path, place) = match self.is_in_vault() {
            true => ("bundle.p12", "in the vault"),
            false => (self.path.as_str(), self.path.as_str()),
        };
        let anew = format!(
            "Write it anew: openssl pkcs12 -in {0} -nodes -legacy | openssl pkcs12 -export -out new.p12",
            quoted(path)
        );
        let (code, message, cause) = match locked {
            Locked::Required => (
                FailureCode::PassphraseRequired,
                format!("The PKCS#12 bundle {place} is encrypted"),
                "Its passphrase is needed to open it".to_owned(),
            ),
            Locked::Wrong => (
                FailureCode::PassphraseWrong,
                format!("The passphrase does not open the PKCS#12 bundle {place}"),
                "The bundle was made with another one. Upper and lower case and the keyboard's layout matter"
                    .to_owned(),
            ),
            Locked::Damaged(why) => (
                FailureCode::NotAPkcs12,
                format!("{path} is not a PKCS#12 bundle, or a damaged one: {why}"),
                "The file was cut or changed in copying, or is something else: copy it again".to_owned(),
            ),
            Locked::Unsupported(what) => (
                FailureCode::UnsupportedKey,
                format!("The PKCS#12 bundle {place} is sealed in a way that is not read here: {what}"),
                anew,
            ),
            Locked::TooCostly(why) => (
                FailureCode::UnsupportedKey,
                format!("The PKCS#12 bundle {place} cannot be opened: {why}"),
                format!("If the file is yours: {anew}"),
            ),
        };
        IdentityError::new(code, &self.path, message, cause)
    }
}

impl ReadIdentity {
    fn of(cert: &ClientCertificate, secrets: &Secrets) -> Self {
        let passphrase = secrets.get(&SecretField::KeyPassphrase);
        let mut read = Self { cert: None, key: None, token: None, pkcs12: cert.pkcs12 };
        if !cert.cert_file.trim().is_empty() {
            read.cert = Some(ReadFile::of(&cert.cert_file, passphrase));
        }
        match KeyPlace::of(&cert.key_file) {
            Ok(KeyPlace::WithCertificate) => {}
            Ok(KeyPlace::File(path)) => read.key = Some(ReadFile::of(&path, passphrase)),
            Ok(KeyPlace::Vault(name)) => {
                let key = ReadFile::of_vault(name, secrets.get(&SecretField::PrivateKey), passphrase);
                let bundle = key.contents.as_ref().is_ok_and(|contents| contents.bundle.is_some());
                match read.cert {
                    // A bundle is its own certificate file, in the vault as well.
                    None if bundle => read.cert = Some(key),
                    _ => read.key = Some(key),
                }
            }
            Ok(KeyPlace::Token(key)) => read.token = Some(OnToken { key, opened: None }),
            Err(cause) => {
                let contents = Err(not_a_token_uri(cause));
                read.key = Some(ReadFile { path: "pkcs11:".to_owned(), contents });
            }
        }
        read
    }

    fn identity(&self) -> Result<ClientIdentity, (Role, IdentityError)> {
        let of_key = |error| (Role::Key, error);
        if let Some(OnToken { opened: Some(token), .. }) = &self.token {
            return self.identity_on(token.as_ref().map_err(|error| of_key(error.clone()))?);
        }
        let cert = self.certificate_file()?;
        let mut certificates = self.own_certificates()?;
        let key_file = self.key.as_ref().unwrap_or(cert);
        if let Some(key) = &self.key {
            certificates
                .extend(key.contents.iter().flat_map(|contents| contents.certificates.iter().cloned()));
        } else if cert.contents.as_ref().is_ok_and(|contents| contents.keys.is_empty()) {
            let message = format!("The private key for {} is missing", cert.path);
            let cause = "The file holds certificates only: choose the file with the private key as well";
            return Err(of_key(IdentityError::new(
                FailureCode::PrivateKeyMissing,
                &cert.path,
                message,
                cause,
            )));
        }
        let keys = key_file.keys().map_err(of_key)?;
        let pair = keys
            .iter()
            .find_map(|UsableKey { key, .. }| Some((key, leaf_of(&key.public_key()?, &certificates)?)));
        let Some((key, leaf)) = pair else {
            return Err(of_key(mismatch(cert, key_file, &keys)));
        };
        sendable(&certificates, leaf, (key, Some(true)), &cert.path)
    }

    /// With a key on a token, whose certificate is in a file or on the token as well.
    fn identity_on(&self, token: &OpenToken) -> Result<ClientIdentity, (Role, IdentityError)> {
        let mut certificates = if self.cert.is_some() { self.own_certificates()? } else { Vec::new() };
        // The token's complete the chain; its own certificate is the leaf when no file names one.
        certificates.extend(token.certificates.iter().cloned());
        let path = self.cert.as_ref().map_or(token.name.as_str(), |file| file.path.as_str());
        let Some(first) = certificates.first() else {
            return Err((
                Role::Certificate,
                IdentityError::new(
                    FailureCode::CertificateMissing,
                    "",
                    format!("There is no certificate for the {}", token.name),
                    "There is none on the token: choose the certificate's file",
                ),
            ));
        };
        let pair =
            token.keys.iter().find_map(|(key, _)| Some((key, leaf_of(&key.public_key()?, &certificates)?)));
        let chosen = match (pair, &token.keys[..]) {
            (Some((key, leaf)), _) => Some((key, leaf, true)),
            // A token that does not tell the public key: the server will say whether they belong together.
            (None, [(key, _), ..]) if key.public_key().is_none() => Some((key, 0, false)),
            _ => None,
        };
        let Some((key, leaf, seen)) = chosen else {
            let name = describe::describe(first).map(|info| info.short_name().to_owned()).unwrap_or_default();
            let kind = token.keys.first().and_then(|(_, kind)| kind.clone()).unwrap_or_default();
            return Err((
                Role::Key,
                IdentityError::new(
                    FailureCode::KeyMismatch,
                    &token.name,
                    format!("The {} does not belong to the certificate {name} in {path}", token.name),
                    format!(
                        "It is an {kind} key, and the public key of the certificate is another one's. Choose the \
                         certificate that was made for it"
                    ),
                ),
            ));
        };
        sendable(&certificates, leaf, (key, seen.then_some(true)), path)
    }

    /// What can be said of the certificates without the key.
    fn certificates_alone(&self) -> Result<Option<Presented>, (Role, IdentityError)> {
        if self.cert.is_none() {
            return Ok(None);
        }
        Ok(Some(presented(&self.own_certificates()?, 0).0))
    }

    fn certificate_file(&self) -> Result<&ReadFile, (Role, IdentityError)> {
        self.cert.as_ref().ok_or_else(|| {
            let message = "No certificate file is given";
            let cause = "A client certificate needs a certificate and its private key";
            (Role::Certificate, IdentityError::new(FailureCode::CertificateMissing, "", message, cause))
        })
    }

    fn own_certificates(&self) -> Result<Vec<CertificateDer<'static>>, (Role, IdentityError)> {
        let cert = self.certificate_file()?;
        if self.pkcs12
            && let Ok(contents) = &cert.contents
            && contents.bundle.is_none()
        {
            return Err((Role::Certificate, cert.no_bundle(contents)));
        }
        let certificates = cert.certificates();
        certificates.map_err(|error| (Role::Certificate, self.without_certificate(error)))
    }

    /// No certificate in the certificate file: perhaps the two files are exchanged, or one is missing.
    fn without_certificate(&self, error: IdentityError) -> IdentityError {
        let has_key = |file: &ReadFile| file.contents.as_ref().is_ok_and(|c| !c.keys.is_empty());
        let has_certificate =
            |file: &ReadFile| file.contents.as_ref().is_ok_and(|c| !c.certificates.is_empty());
        match (&self.cert, &self.key) {
            _ if error.code == FailureCode::NotAPkcs12 => error,
            (Some(cert), Some(key)) if has_key(cert) && has_certificate(key) => IdentityError::new(
                FailureCode::FilesSwapped,
                &cert.path,
                format!("Certificate and key are exchanged: {} is the key", cert.path),
                format!("{} holds the certificate. Exchange the two files", key.path),
            ),
            (Some(cert), None) if has_key(cert) => IdentityError::new(
                FailureCode::CertificateMissing,
                &cert.path,
                format!("The certificate for the private key in {} is missing", cert.path),
                "The file holds a private key only: choose it as key file, and the certificate as certificate file",
            ),
            _ => error,
        }
    }
}

/// The certificate with this public key (SubjectPublicKeyInfo).
fn leaf_of(spki: &[u8], certificates: &[CertificateDer<'static>]) -> Option<usize> {
    certificates
        .iter()
        .position(|der| X509Certificate::from_der(der).is_ok_and(|(_, leaf)| leaf.public_key().raw == spki))
}

/// The identity of a key and the certificates that stand above its own.
fn sendable(
    certificates: &[CertificateDer<'static>],
    leaf: usize,
    (key, key_matches): (&Arc<dyn SigningKey>, Option<bool>),
    path: &str,
) -> Result<ClientIdentity, (Role, IdentityError)> {
    let (presented, sent) = presented(certificates, leaf);
    if presented.chain.is_empty() {
        return Err((Role::Certificate, cert_unreadable(path)));
    }
    let key = Arc::new(CertifiedKey::new(sent, Arc::clone(key)));
    Ok(ClientIdentity { key, key_matches, presented })
}

/// The certificates in the order in which they are sent, from this one upwards, and those that are not.
fn presented(
    certificates: &[CertificateDer<'static>],
    leaf: usize,
) -> (Presented, Vec<CertificateDer<'static>>) {
    let parsed: Vec<_> =
        certificates.iter().filter_map(|der| Some((der, X509Certificate::from_der(der).ok()?.1))).collect();
    if leaf >= parsed.len() {
        return Default::default();
    }
    let order = chain_from(leaf, &parsed);
    let info = |index: &usize| parsed.get(*index).and_then(|(der, _)| describe::describe(der));
    let unused = (0..parsed.len()).filter(|index| {
        // The same certificate in both files is not worth a word.
        !order.iter().any(|used| parsed[*used].0 == parsed[*index].0)
    });
    let unused = unused.filter_map(|index| info(&index)).collect();
    let sent = order.iter().map(|index| parsed[*index].0.clone()).collect();
    (Presented { chain: order.iter().filter_map(info).collect(), unused }, sent)
}

fn cert_unreadable(path: &str) -> IdentityError {
    let cause = "Its DER structure cannot be read";
    IdentityError::new(FailureCode::NotACertificate, path, format!("{path} is not a certificate"), cause)
}

fn mismatch(cert: &ReadFile, key: &ReadFile, keys: &[UsableKey]) -> IdentityError {
    let certificate = cert.report().certificates.into_iter().next();
    let key_type = keys.first().map(|key| key.kind.clone()).unwrap_or_default();
    let (name, cause) = match certificate {
        Some(info) if info.key_type != key_type => (
            info.short_name().to_owned(),
            format!(
                "The certificate was made for an {} key, the file holds an {key_type} key",
                info.key_type
            ),
        ),
        Some(info) => (
            info.short_name().to_owned(),
            format!("Both are {key_type}, but the certificate's public key is of another private key"),
        ),
        None => (String::new(), String::new()),
    };
    IdentityError::new(
        FailureCode::KeyMismatch,
        &key.path,
        format!("The private key in {} does not belong to the certificate {name} in {}", key.path, cert.path),
        format!("{cause}. Choose the key that the certificate was requested with"),
    )
}

fn unsupported_because(key: &FoundKey, path: &str) -> String {
    match key.encoding {
        KeyEncoding::OpenSsh => format!(
            "It is written in OpenSSH's own format. If it is meant for TLS, convert a copy of it: \
             ssh-keygen -p -N '' -m PKCS8 -f {}",
            quoted(path)
        ),
        KeyEncoding::Dsa => {
            "DSA keys are not used by TLS 1.2 and 1.3 any more: make an ECDSA or RSA key".into()
        }
        _ => match key_type(key) {
            Some(kind) => format!(
                "It is {}: RSA from 2048 to 8192 bits, ECDSA P-256, P-384, P-521 and Ed25519 can be used",
                match kind.as_str() {
                    "RSA" => "an RSA key of an unsuitable size, or damaged".to_owned(),
                    kind => format!("an {kind} key, of a kind that TLS here does not know, or damaged"),
                }
            ),
            None => "Its structure cannot be read: the file may be damaged".into(),
        },
    }
}

/// The type of a private key as far as it can be told without a passphrase.
fn key_type(key: &FoundKey) -> Option<String> {
    let private = key.private_key()?;
    if let Ok(signing) = aws_lc_rs::sign::any_supported_type(&private) {
        return describe::key_type_of_spki(&signing.public_key()?);
    }
    match key.encoding {
        KeyEncoding::Pkcs1 => Some("RSA".into()),
        _ => describe::key_type_of_private(&key.der),
    }
}

/// From the leaf upwards, each certificate's issuer next, as TLS wants it (RFC 5246, 7.4.2).
fn chain_from(leaf: usize, parsed: &[(&CertificateDer<'static>, X509Certificate<'_>)]) -> Vec<usize> {
    let mut order = vec![leaf];
    let mut current = leaf;
    loop {
        let certificate = &parsed[current].1;
        if certificate.issuer().as_raw() == certificate.subject().as_raw() {
            return order;
        }
        let issuer = parsed.iter().enumerate().find(|(index, (_, candidate))| {
            !order.contains(index)
                && candidate.subject().as_raw() == certificate.issuer().as_raw()
                && describe::signed_by(certificate, candidate)
        });
        match issuer {
            Some((index, _)) => order.push(index),
            None => return order,
        }
        current = order.last().copied().unwrap_or(current);
    }
}

/// A path as it stands in a command for a shell.
pub(crate) fn quoted(path: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@".contains(c);
    if !path.is_empty() && path.chars().all(plain) {
        path.to_owned()
    } else {
        format!("'{}'", path.replace('\'', "'\\''"))
    }
}

#[cfg(test)]
mod tests;
