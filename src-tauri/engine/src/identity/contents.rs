//! What is in a certificate or key file. In: a path, or bytes, and a passphrase when there is one. Out:
//! certificates, private keys, and the names of other things found, so that a wrong file can be named. What
//! stays encrypted says why. Never judges.

use std::io::Read as _;
use std::path::Path;

use base64::Engine as _;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use x509_parser::prelude::{FromDer, X509Certificate, X509CertificationRequest};
use zeroize::Zeroizing;

use super::der::{self, BIT_STRING, INTEGER, OBJECT_IDENTIFIER, OCTET_STRING, SEQUENCE, element};
use super::encryption::{self, Budget, Locked, Passphrase};
use super::{IdentityError, pkcs12, quoted};
use crate::failure::FailureCode;
use crate::secret::Secret;

/// No certificate or key file is larger than this, in bytes.
const LARGEST_FILE: u64 = 4 * 1024 * 1024;

/// What was found in a file.
#[derive(Default)]
pub(super) struct Contents {
    /// Whether it is PEM text; DER otherwise.
    pub pem: bool,
    /// Certificates, in the file's order.
    pub certificates: Vec<CertificateDer<'static>>,
    /// Private keys, in the file's order.
    pub keys: Vec<FoundKey>,
    /// Revocation lists, which also stand among the other things.
    pub revocation_lists: Vec<CertificateRevocationListDer<'static>>,
    /// Other things.
    pub others: Vec<Other>,
    /// A PKCS#12 bundle; what is in it stands among the certificates and keys once it is open.
    pub bundle: Option<FoundBundle>,
}

/// A PKCS#12 bundle.
pub(super) struct FoundBundle {
    der: Zeroizing<Vec<u8>>,
    /// Whether it needs a passphrase.
    pub encrypted: bool,
    /// Why it is not open.
    pub locked: Option<Locked>,
}

impl FoundBundle {
    fn of(der: Zeroizing<Vec<u8>>) -> Self {
        Self { der, encrypted: false, locked: None }
    }
}

/// A private key as it stands in a file.
pub(super) struct FoundKey {
    /// How it is written down.
    pub encoding: KeyEncoding,
    /// Its bytes, in the clear unless it is locked.
    pub der: Zeroizing<Vec<u8>>,
    /// The header `DEK-Info` of encrypted PEM.
    dek_info: String,
    /// How it is written down once it is decrypted.
    inner: KeyEncoding,
    /// Why it could not be decrypted.
    pub locked: Option<Locked>,
}

/// How a private key is written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum KeyEncoding {
    Pkcs8,
    Pkcs1,
    Sec1,
    EncryptedPkcs8,
    /// PEM with `Proc-Type: 4,ENCRYPTED` (RFC 1421).
    EncryptedPem,
    OpenSsh,
    Dsa,
}

/// Something that is neither a certificate nor a private key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Other {
    Pkcs7,
    CertificateRequest,
    PublicKey,
    RevocationList,
    SshPublicKey,
    PuttyKey,
    JavaKeyStore,
    /// A PEM block by its label.
    Block(String),
    /// A PEM block that cannot be read, and why.
    Broken(String, &'static str),
}

impl FoundKey {
    /// Whether a passphrase is needed.
    pub fn encrypted(&self) -> bool {
        matches!(self.encoding, KeyEncoding::EncryptedPkcs8 | KeyEncoding::EncryptedPem)
    }

    fn of(encoding: KeyEncoding, der: Zeroizing<Vec<u8>>) -> Self {
        Self { encoding, der, dek_info: String::new(), inner: encoding, locked: None }
    }

    /// Decrypts it, or notes why that cannot be.
    fn unlock(&mut self, passphrase: Option<&Secret>, budget: &mut Budget) {
        if !self.encrypted() {
            return;
        }
        let given = passphrase.filter(|secret| !secret.expose().is_empty()).map(Passphrase::of);
        let opened = match (given, self.encoding) {
            (None, _) => Err(Locked::Required),
            (Some(given), KeyEncoding::EncryptedPem) => {
                encryption::open_pem(&self.dek_info, &self.der, &given).map(|der| (self.inner, der))
            }
            (Some(given), _) => {
                encryption::open_pkcs8(&self.der, &given, budget).map(|der| (KeyEncoding::Pkcs8, der))
            }
        };
        match opened {
            Ok((inner, der)) => (self.inner, self.der) = (inner, der),
            Err(locked) => self.locked = Some(locked),
        }
    }

    /// The public key (SubjectPublicKeyInfo, DER) of one that TLS can use.
    pub fn public_key(&self) -> Option<Vec<u8>> {
        let key = aws_lc_rs::sign::any_supported_type(&self.private_key()?).ok()?;
        key.public_key().map(|spki| spki.to_vec())
    }

    /// The key as PKCS#8 (RFC 5208), decrypted; `spki` is its public key, which names the algorithm.
    pub fn pkcs8(&self, spki: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        if self.locked.is_none() && self.inner == KeyEncoding::Pkcs8 {
            return Some(self.der.clone());
        }
        self.private_key()?;
        let (body, _) = der::expect(spki, SEQUENCE)?;
        let (algorithm, _) = der::expect(body, SEQUENCE)?;
        let algorithm = der::encode(SEQUENCE, &[algorithm]);
        let key = Zeroizing::new(der::encode(OCTET_STRING, &[&self.der]));
        Some(Zeroizing::new(der::encode(SEQUENCE, &[&der::encode_number(0), &algorithm, &key])))
    }

    /// The key in the form rustls takes; `None` for those it cannot take.
    pub fn private_key(&self) -> Option<PrivateKeyDer<'_>> {
        let der = self.der.as_slice();
        if self.locked.is_some() {
            return None;
        }
        match self.inner {
            KeyEncoding::Pkcs8 => Some(PrivateKeyDer::Pkcs8(der.into())),
            KeyEncoding::Pkcs1 => Some(PrivateKeyDer::Pkcs1(der.into())),
            KeyEncoding::Sec1 => Some(PrivateKeyDer::Sec1(der.into())),
            _ => None,
        }
    }
}

impl KeyEncoding {
    pub fn name(self) -> &'static str {
        match self {
            Self::Pkcs8 => "PKCS#8",
            Self::Pkcs1 => "PKCS#1",
            Self::Sec1 => "SEC1",
            Self::EncryptedPkcs8 => "PKCS#8, encrypted",
            Self::EncryptedPem => "PEM, encrypted",
            Self::OpenSsh => "OpenSSH",
            Self::Dsa => "DSA",
        }
    }
}

impl Other {
    /// What it is, with an article.
    pub fn name(&self) -> String {
        match self {
            Self::Pkcs7 => "a PKCS#7 bundle (.p7b)".into(),
            Self::CertificateRequest => "a certificate signing request".into(),
            Self::PublicKey => "a public key".into(),
            Self::RevocationList => "a certificate revocation list".into(),
            Self::SshPublicKey => "an SSH public key".into(),
            Self::PuttyKey => "a PuTTY key".into(),
            Self::JavaKeyStore => "a Java keystore".into(),
            Self::Block(label) => format!("a PEM block “{label}”"),
            Self::Broken(label, why) => format!("a damaged PEM block “{label}” ({why})"),
        }
    }

    /// How to get on from here, with the file's path put into a command.
    pub fn advice(&self, path: &str) -> String {
        let path = quoted(path);
        match self {
            Self::Pkcs7 => format!(
                "Convert it to PEM (add -inform DER if it is binary): openssl pkcs7 -in {path} -print_certs -out certificates.pem"
            ),
            Self::CertificateRequest => {
                "A request becomes a certificate when a CA signs it: choose the certificate that the CA gave back".into()
            }
            Self::PublicKey => {
                "A public key is neither: choose the certificate made for it, and the private key".into()
            }
            Self::RevocationList => "A revocation list says which certificates are withdrawn; choose a certificate".into(),
            Self::SshPublicKey | Self::PuttyKey => "Keys for SSH are not used by TLS: choose files made for TLS".into(),
            Self::JavaKeyStore => format!(
                "Convert it with keytool -importkeystore -srckeystore {path} -destkeystore identity.p12 -deststoretype PKCS12, \
                 and choose identity.p12"
            ),
            Self::Block(_) => "Choose a file with a block “CERTIFICATE” or “PRIVATE KEY”".into(),
            Self::Broken(..) => "The file was cut or changed in copying: copy it again".into(),
        }
    }
}

impl Contents {
    /// Reads a file, and opens what is encrypted in it.
    pub fn of_file(path: &str, passphrase: Option<&Secret>) -> Result<Self, IdentityError> {
        let bytes = read_bounded(path)?;
        let mut contents = Self::of_bytes(&bytes);
        contents.unlock(passphrase);
        Ok(contents)
    }

    /// Opens what is encrypted in it, or notes why that cannot be.
    pub fn unlock(&mut self, passphrase: Option<&Secret>) {
        let mut budget = Budget::default();
        self.keys.iter_mut().for_each(|key| key.unlock(passphrase, &mut budget));
        let Some(bundle) = &mut self.bundle else { return };
        match pkcs12::open(&bundle.der, passphrase) {
            Ok(opened) => {
                bundle.encrypted = opened.encrypted;
                let certificates = opened.certificates.into_iter();
                let whole = certificates.filter(|der| X509Certificate::from_der(der).is_ok());
                self.certificates.extend(whole.map(CertificateDer::from));
                self.keys.extend(opened.keys.into_iter().map(|der| FoundKey::of(KeyEncoding::Pkcs8, der)));
            }
            Err(locked) => {
                bundle.encrypted = matches!(locked, Locked::Required | Locked::Wrong);
                bundle.locked = Some(locked);
            }
        }
    }

    /// Its format, for people.
    pub fn format(&self) -> &'static str {
        match (&self.bundle, self.pem) {
            (Some(_), _) => "PKCS#12",
            (None, true) => "PEM",
            (None, false) => "DER",
        }
    }

    /// Recognises what the bytes are.
    pub fn of_bytes(bytes: &[u8]) -> Self {
        match text_of(bytes) {
            Some(text) if text.contains("-----BEGIN ") => Self::of_pem(&text),
            Some(text) => {
                let mut contents = Self { pem: true, ..Self::default() };
                contents.others.extend(other_text(&text));
                contents
            }
            None => Self::of_der(bytes),
        }
    }

    /// Whether a passphrase is needed to use what is in it.
    pub fn encrypted(&self) -> bool {
        self.keys.first().is_some_and(FoundKey::encrypted)
            || self.bundle.as_ref().is_some_and(|b| b.encrypted)
    }

    /// In words, e.g. `2 certificates, 1 private key (PKCS#8)`.
    pub fn found(&self, key_type: Option<&str>) -> String {
        let mut parts = Vec::new();
        match self.certificates.len() {
            0 => {}
            1 => parts.push("1 certificate".to_owned()),
            n => parts.push(format!("{n} certificates")),
        }
        if let Some(key) = self.keys.first() {
            let plural = if self.keys.len() == 1 { "" } else { "s" };
            let kind = key_type.map(|kind| format!(", {kind}")).unwrap_or_default();
            parts.push(format!("{} private key{plural} ({}{kind})", self.keys.len(), key.encoding.name()));
        }
        if self.bundle.as_ref().is_some_and(|bundle| bundle.locked.is_some()) {
            parts.push("a bundle that is not open".to_owned());
        }
        parts.extend(self.others.iter().filter(|o| !parameters(o)).map(Other::name));
        if parts.is_empty() { "no certificate and no key".into() } else { parts.join(", ") }
    }

    fn of_pem(text: &str) -> Self {
        let mut contents = Self { pem: true, ..Self::default() };
        for block in pem_blocks(text) {
            contents.take(block);
        }
        contents
    }

    fn take(&mut self, block: PemBlock<'_>) {
        let key = |encoding| match block.encrypted {
            true => KeyEncoding::EncryptedPem,
            false => encoding,
        };
        let encoding = match block.label {
            "PRIVATE KEY" => Some(key(KeyEncoding::Pkcs8)),
            "RSA PRIVATE KEY" => Some(key(KeyEncoding::Pkcs1)),
            "EC PRIVATE KEY" => Some(key(KeyEncoding::Sec1)),
            "DSA PRIVATE KEY" => Some(key(KeyEncoding::Dsa)),
            "ENCRYPTED PRIVATE KEY" => Some(KeyEncoding::EncryptedPkcs8),
            "OPENSSH PRIVATE KEY" => Some(KeyEncoding::OpenSsh),
            _ => None,
        };
        let der = match block.der {
            Ok(der) => der,
            Err(why) => return self.others.push(Other::Broken(block.label.to_owned(), why)),
        };
        if let Some(encoding) = encoding {
            let inner = match block.label {
                "RSA PRIVATE KEY" => KeyEncoding::Pkcs1,
                "EC PRIVATE KEY" => KeyEncoding::Sec1,
                "DSA PRIVATE KEY" => KeyEncoding::Dsa,
                _ => encoding,
            };
            let dek_info = block.dek_info.to_owned();
            return self.keys.push(FoundKey { dek_info, inner, ..FoundKey::of(encoding, der) });
        }
        match block.label {
            "PKCS12" => self.bundle = Some(FoundBundle::of(der)),
            "CERTIFICATE" | "X509 CERTIFICATE" | "TRUSTED CERTIFICATE" => {
                match X509Certificate::from_der(&der) {
                    // OpenSSL's trusted certificates have more after the certificate.
                    Ok((_, certificate)) => self.certificates.push(certificate.as_raw().to_vec().into()),
                    Err(_) => {
                        self.others.push(Other::Broken(block.label.to_owned(), "not a certificate in DER"))
                    }
                }
            }
            "CERTIFICATE REQUEST" | "NEW CERTIFICATE REQUEST" => self.others.push(Other::CertificateRequest),
            "PUBLIC KEY" | "RSA PUBLIC KEY" => self.others.push(Other::PublicKey),
            "SSH2 PUBLIC KEY" => self.others.push(Other::SshPublicKey),
            "X509 CRL" => self.take_revocation_list(&der),
            "PKCS7" | "CMS" => self.others.push(Other::Pkcs7),
            label => self.others.push(Other::Block(label.to_owned())),
        }
    }

    fn take_revocation_list(&mut self, der: &[u8]) {
        if x509_parser::parse_x509_crl(der).is_ok() {
            self.revocation_lists.push(der.to_vec().into());
            self.others.push(Other::RevocationList);
        } else {
            self.others.push(Other::Broken("X509 CRL".to_owned(), "not a revocation list in DER"));
        }
    }

    fn of_der(bytes: &[u8]) -> Self {
        let mut contents = Self::default();
        if let Ok((_, certificate)) = X509Certificate::from_der(bytes) {
            contents.certificates.push(certificate.as_raw().to_vec().into());
        } else if let Some(encoding) = der_key(bytes) {
            contents.keys.push(FoundKey::of(encoding, Zeroizing::new(bytes.to_vec())));
        } else if pkcs12::begins_as_one(bytes) {
            let der = Zeroizing::new(bytes.to_vec());
            contents.bundle = Some(FoundBundle::of(der));
        } else {
            match other_der(bytes) {
                Some(Other::RevocationList) => contents.take_revocation_list(bytes),
                other => contents.others.extend(other),
            }
        }
        contents
    }
}

/// Blocks that stand beside keys and mean nothing on their own.
fn parameters(other: &Other) -> bool {
    matches!(other, Other::Block(label) if label.ends_with("PARAMETERS"))
}

fn read_bounded(path: &str) -> Result<Zeroizing<Vec<u8>>, IdentityError> {
    let fail = |code, message: String, cause: &str| IdentityError::new(code, path, message, cause);
    let from_io = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory => {
            fail(FailureCode::FileNotFound, format!("There is no file {path}"), &missing_because(path))
        }
        std::io::ErrorKind::PermissionDenied => fail(
            FailureCode::FileUnreadable,
            format!("{path} may not be read"),
            "The operating system denied the access: change the file's owner or mode, or choose a copy",
        ),
        _ => fail(FailureCode::FileUnreadable, format!("{path} cannot be read"), &error.to_string()),
    };
    let about = std::fs::metadata(path).map_err(from_io)?;
    if about.is_dir() {
        let cause = "A folder is given where a file is needed: choose the file in it";
        return Err(fail(FailureCode::FileUnreadable, format!("{path} is a folder"), cause));
    }
    if !about.is_file() {
        let cause = "Only ordinary files are read; a pipe or a device could block or never end";
        return Err(fail(FailureCode::FileUnreadable, format!("{path} is not an ordinary file"), cause));
    }
    let mut bytes = Zeroizing::new(Vec::new());
    let file = std::fs::File::open(path).map_err(from_io)?;
    file.take(LARGEST_FILE + 1).read_to_end(&mut bytes).map_err(from_io)?;
    if bytes.len() as u64 > LARGEST_FILE {
        let message = format!("{path} is larger than 4 MiB");
        return Err(fail(
            FailureCode::FileUnreadable,
            message,
            "No file of certificates or keys is that large",
        ));
    }
    if bytes.iter().all(u8::is_ascii_whitespace) || matches!(bytes.as_slice(), [0xef, 0xbb, 0xbf]) {
        let cause = format!("The file has {} bytes, and none of them is data", bytes.len());
        return Err(fail(FailureCode::FileEmpty, format!("{path} is empty"), &cause));
    }
    Ok(bytes)
}

fn missing_because(path: &str) -> String {
    let folder = Path::new(path).parent().filter(|folder| !folder.as_os_str().is_empty());
    match folder {
        Some(folder) if !folder.exists() => format!("The folder {} does not exist either", folder.display()),
        Some(folder) => format!("The folder {} has no such file", folder.display()),
        None => "The current folder has no such file".into(),
    }
}

/// Text of UTF-8, or of UTF-16 with a byte order mark as Windows tools write it; `None` for binary.
fn text_of(bytes: &[u8]) -> Option<Zeroizing<String>> {
    let utf16 = |bytes: &[u8], unit: fn([u8; 2]) -> u16| {
        let units = bytes.chunks_exact(2).map(|pair| unit([pair[0], pair[1]]));
        char::decode_utf16(units).collect::<Result<String, _>>().ok()
    };
    let text = match bytes {
        [0xff, 0xfe, rest @ ..] => utf16(rest, u16::from_le_bytes),
        [0xfe, 0xff, rest @ ..] => utf16(rest, u16::from_be_bytes),
        [0x30, 0x80..=0x84, ..] => None,
        bytes if memory_contains(bytes, b"-----BEGIN ") => Some(String::from_utf8_lossy(bytes).into_owned()),
        bytes => std::str::from_utf8(bytes).ok().filter(|t| !t.contains('\0')).map(str::to_owned),
    };
    text.map(|text| Zeroizing::new(text.replace('\u{feff}', "")))
}

fn memory_contains(bytes: &[u8], wanted: &[u8]) -> bool {
    bytes.windows(wanted.len()).any(|window| window == wanted)
}

struct PemBlock<'t> {
    label: &'t str,
    encrypted: bool,
    dek_info: &'t str,
    der: Result<Zeroizing<Vec<u8>>, &'static str>,
}

/// PEM blocks (RFC 7468, and RFC 1421 for headers) wherever they stand in the text, indented or not.
fn pem_blocks(text: &str) -> Vec<PemBlock<'_>> {
    let mut blocks = Vec::new();
    let mut lines = text.lines().map(str::trim).peekable();
    while let Some(line) = lines.next() {
        let Some(label) = line.strip_prefix("-----BEGIN ").and_then(|rest| rest.strip_suffix("-----")) else {
            continue;
        };
        let (mut encrypted, mut dek_info) = (false, "");
        let mut base64 = Zeroizing::new(String::new());
        let mut ended = false;
        while let Some(line) = lines.next_if(|line| !line.starts_with("-----BEGIN ")) {
            if line.starts_with("-----END ") {
                ended = true;
                break;
            }
            if line.contains(':') {
                encrypted |= line.starts_with("Proc-Type:") && line.contains("ENCRYPTED");
                dek_info = line.strip_prefix("DEK-Info:").unwrap_or(dek_info);
            } else {
                base64.extend(line.chars().filter(|c| !c.is_whitespace()));
            }
        }
        let der = if !ended {
            Err("its end is missing")
        } else if base64.is_empty() {
            Err("it is empty")
        } else {
            let decoded = base64::engine::general_purpose::STANDARD.decode(base64.as_bytes());
            decoded.map(Zeroizing::new).map_err(|_| "its base64 text is not valid")
        };
        blocks.push(PemBlock { label, encrypted, dek_info, der });
    }
    blocks
}

fn other_text(text: &str) -> Option<Other> {
    let text = text.trim_start();
    if text.starts_with("ssh-") || text.starts_with("ecdsa-sha2-") {
        Some(Other::SshPublicKey)
    } else if text.starts_with("PuTTY-User-Key-File") {
        Some(Other::PuttyKey)
    } else if text.starts_with("---- BEGIN SSH2 PUBLIC KEY") {
        Some(Other::SshPublicKey)
    } else {
        None
    }
}

/// Tells the structures of private keys apart by their first members (RFC 5958, 8017, 5915).
fn der_key(bytes: &[u8]) -> Option<KeyEncoding> {
    let (SEQUENCE, body, []) = element(bytes)? else { return None };
    let (first, value, rest) = element(body)?;
    let (second, ..) = element(rest)?;
    match (first, value, second) {
        (INTEGER, [0 | 1], SEQUENCE) => Some(KeyEncoding::Pkcs8),
        (INTEGER, [1], OCTET_STRING) => Some(KeyEncoding::Sec1),
        (INTEGER, [0], INTEGER) => match integers(rest) {
            8.. => Some(KeyEncoding::Pkcs1),
            5 => Some(KeyEncoding::Dsa),
            _ => None,
        },
        (SEQUENCE, algorithm, OCTET_STRING) if element(algorithm)?.0 == OBJECT_IDENTIFIER => {
            Some(KeyEncoding::EncryptedPkcs8)
        }
        _ => None,
    }
}

fn integers(mut rest: &[u8]) -> usize {
    let mut count = 0;
    while let Some((INTEGER, _, after)) = element(rest) {
        count += 1;
        rest = after;
    }
    count
}

fn other_der(bytes: &[u8]) -> Option<Other> {
    if bytes.starts_with(&[0xfe, 0xed, 0xfe, 0xed]) || bytes.starts_with(&[0xce, 0xce, 0xce, 0xce]) {
        return Some(Other::JavaKeyStore);
    }
    let (SEQUENCE, body, _) = element(bytes)? else { return None };
    let (first, value, rest) = element(body)?;
    let second = element(rest)?.0;
    // 1.2.840.113549.1.7: the content types of PKCS#7
    let pkcs7 = value.starts_with(&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07]);
    match (first, second) {
        (OBJECT_IDENTIFIER, _) if pkcs7 => Some(Other::Pkcs7),
        (SEQUENCE, BIT_STRING) => Some(Other::PublicKey),
        (INTEGER, INTEGER) => Some(Other::PublicKey),
        _ if X509CertificationRequest::from_der(bytes).is_ok() => Some(Other::CertificateRequest),
        (SEQUENCE, SEQUENCE) if x509_parser::parse_x509_crl(bytes).is_ok() => Some(Other::RevocationList),
        _ => None,
    }
}
