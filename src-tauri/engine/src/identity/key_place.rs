//! Where the private key of a client certificate is. In: what stands in `key_file`: nothing, a path, `vault:` and the
//! key's name, or a `pkcs11:` URI (RFC 7512). Out: a value that says which. Never holds a PIN: one that stands in a
//! URI is handed back beside it.

use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::secret::Secret;

const VAULT: &str = "vault:";
const PKCS11: &str = "pkcs11:";
/// The version of the names of keys that are kept encrypted.
const LOCKED: usize = 5;

/// Where a private key is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyPlace {
    /// In the file of the certificate, or nowhere yet.
    WithCertificate,
    /// In a file of its own.
    File(String),
    /// In the vault.
    Vault(VaultKey),
    /// On a token, which it never leaves.
    Token(TokenKey),
}

/// Names a private key in the vault: by its public key, so that one key is kept once; one that is kept encrypted, whose
/// public key nobody can tell, by its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct VaultKey(pub(crate) Uuid);

/// A private key on a PKCS#11 token, as a URI names it. Empty parts match everything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TokenKey {
    /// The library that speaks to the token (`module-path`).
    pub module: String,
    /// The token's label.
    pub token: String,
    /// The token's serial number.
    pub serial: String,
    /// The token's manufacturer.
    pub manufacturer: String,
    /// The token's model.
    pub model: String,
    /// The key's label (`object`, CKA_LABEL).
    pub label: String,
    /// The key's identifier (CKA_ID).
    pub id: Vec<u8>,
}

impl KeyPlace {
    /// Reads `key_file`.
    ///
    /// # Errors
    /// One sentence: it begins as a URI and is none, or has a PIN in it.
    pub fn of(key_file: &str) -> Result<Self, String> {
        let text = key_file.trim();
        if let Some(name) = text.strip_prefix(VAULT)
            && let Ok(id) = Uuid::try_parse(name)
        {
            return Ok(Self::Vault(VaultKey(id)));
        }
        if is_token(text) {
            let (key, pin) = TokenKey::parse(text)?;
            return match pin {
                None => Ok(Self::Token(key)),
                Some(_) => Err("A PIN does not belong into the URI: it is kept with the secrets".to_owned()),
            };
        }
        Ok(if text.is_empty() { Self::WithCertificate } else { Self::File(text.to_owned()) })
    }

    /// The name of the key in the vault, if it is there.
    pub fn in_vault(key_file: &str) -> Option<VaultKey> {
        match Self::of(key_file) {
            Ok(Self::Vault(key)) => Some(key),
            _ => None,
        }
    }
}

/// Whether `key_file` names a key on a token.
pub fn is_token(key_file: &str) -> bool {
    let head = key_file.trim_start().get(..PKCS11.len());
    head.is_some_and(|head| head.eq_ignore_ascii_case(PKCS11))
}

/// `key_file` without what a `pkcs11:` URI says of the PIN.
pub(crate) fn without_pin(key_file: &str) -> String {
    let (path, query) = match key_file.split_once('?') {
        Some(parts) if is_token(key_file) => parts,
        _ => return key_file.to_owned(),
    };
    let kept: Vec<_> = query.split('&').filter(|part| !part.starts_with("pin-")).collect();
    format!("{path}?{}", kept.join("&"))
}

impl VaultKey {
    /// The name of the key with this public key (SubjectPublicKeyInfo, DER).
    pub(super) fn of(spki: &[u8]) -> Self {
        let mut name = [0; 16];
        name.copy_from_slice(&Sha256::digest(spki)[..16]);
        Self(uuid::Builder::from_custom_bytes(name).into_uuid())
    }

    /// The name of a key that is kept as it came, encrypted.
    pub(super) fn of_locked(bytes: &[u8]) -> Self {
        let mut name = [0; 16];
        name.copy_from_slice(&Sha256::digest(bytes)[..16]);
        Self(uuid::Builder::from_sha1_bytes(name).into_uuid())
    }

    /// Whether the key is kept encrypted, and wants its passphrase when it is used: the two kinds of name have
    /// different versions (RFC 9562, 4.2), so that it can be told without opening the vault.
    pub(crate) fn wants_passphrase(self) -> bool {
        self.0.get_version_num() == LOCKED
    }
}

impl std::fmt::Display for VaultKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{VAULT}{}", self.0)
    }
}

impl TokenKey {
    /// Reads a `pkcs11:` URI; a PIN in it (`pin-value`) stands beside.
    ///
    /// # Errors
    /// What is wrong with it, in one sentence. Never repeats a PIN.
    pub fn parse(uri: &str) -> Result<(Self, Option<Secret>), String> {
        let rest = uri.trim();
        let rest =
            rest.get(PKCS11.len()..).filter(|_| is_token(uri)).ok_or("It does not begin with pkcs11:")?;
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        let mut key = Self::default();
        let mut pin = None;
        for part in path.split(';').filter(|part| !part.is_empty()) {
            let (name, value) = attribute(part)?;
            let place = match name {
                "token" => &mut key.token,
                "serial" => &mut key.serial,
                "manufacturer" => &mut key.manufacturer,
                "model" => &mut key.model,
                "object" => &mut key.label,
                "id" => {
                    key.id = value;
                    continue;
                }
                "type" if value == b"private" => continue,
                "type" => return Err("type is private: the key is what signs".to_owned()),
                // They narrow down modules and slots, which module-path and token say here.
                "library-manufacturer"
                | "library-description"
                | "library-version"
                | "slot-manufacturer"
                | "slot-description"
                | "slot-id" => continue,
                _ if name.starts_with("x-") => continue,
                other => return Err(format!("`{other}` is not an attribute of pkcs11: URIs (RFC 7512)")),
            };
            *place = utf8(name, value)?;
        }
        for part in query.split('&').filter(|part| !part.is_empty()) {
            let (name, value) = attribute(part)?;
            match name {
                "module-path" => key.module = utf8(name, value)?,
                "pin-value" => pin = Some(Secret::new(value)),
                "pin-source" => {
                    return Err("pin-source is not read here: the PIN is asked for, or kept".to_owned());
                }
                "module-name" => {
                    return Err(
                        "module-name is not read here: give the library's file as module-path".to_owned()
                    );
                }
                _ => {}
            }
        }
        if key.module.is_empty() {
            return Err("The library of the token is missing: ?module-path=/path/to/library.so".to_owned());
        }
        Ok((key, pin))
    }

    /// The URI.
    pub fn uri(&self) -> String {
        let mut parts = Vec::new();
        let named = [
            ("token", &self.token),
            ("serial", &self.serial),
            ("manufacturer", &self.manufacturer),
            ("model", &self.model),
            ("object", &self.label),
        ];
        for (name, value) in named {
            if !value.is_empty() {
                parts.push(format!("{name}={}", escape(value.as_bytes(), "")));
            }
        }
        if !self.id.is_empty() {
            let id: String = self.id.iter().map(|byte| format!("%{byte:02X}")).collect();
            parts.push(format!("id={id}"));
        }
        let module = escape(self.module.as_bytes(), "/");
        format!("{PKCS11}{}?module-path={module}", parts.join(";"))
    }

    /// The key in a few words: its label, else its identifier.
    pub fn name(&self) -> String {
        match (self.label.is_empty(), self.id.is_empty()) {
            (false, _) => self.label.clone(),
            (true, false) => hex::encode(&self.id),
            (true, true) => "any".to_owned(),
        }
    }
}

fn attribute(part: &str) -> Result<(&str, Vec<u8>), String> {
    let (name, value) = part.split_once('=').ok_or("A pkcs11: URI has the form pkcs11:token=…;object=…")?;
    Ok((name, unescape(value).ok_or_else(|| format!("The value of {name} has a % without two digits"))?))
}

fn utf8(name: &str, value: Vec<u8>) -> Result<String, String> {
    String::from_utf8(value).map_err(|_| format!("The value of {name} is not UTF-8"))
}

fn escape(bytes: &[u8], also: &str) -> String {
    let mut text = String::new();
    for &byte in bytes {
        let plain =
            byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) || also.as_bytes().contains(&byte);
        if plain {
            text.push(char::from(byte));
        } else {
            let _ = write!(text, "%{byte:02X}");
        }
    }
    text
}

fn unescape(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        rest = after;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let digits = after.get(..2)?;
        bytes.extend(hex::decode(digits).ok()?);
        rest = &after[2..];
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_file_says_where_the_key_is() {
        let id = Uuid::from_u128(7);
        assert_eq!(KeyPlace::of(" "), Ok(KeyPlace::WithCertificate));
        assert_eq!(KeyPlace::of("/a/b.key"), Ok(KeyPlace::File("/a/b.key".into())));
        assert_eq!(KeyPlace::of(&VaultKey(id).to_string()), Ok(KeyPlace::Vault(VaultKey(id))));
        for (name, locked) in [(VaultKey::of(b"key"), false), (VaultKey::of_locked(b"key"), true)] {
            assert_eq!(KeyPlace::in_vault(&name.to_string()), Some(name));
            assert_eq!(name.wants_passphrase(), locked);
        }
        // A file may be called so.
        assert_eq!(KeyPlace::of("vault:key.pem"), Ok(KeyPlace::File("vault:key.pem".into())));
        assert!(KeyPlace::of("pkcs11:token=a").expect_err("no module").contains("module-path"));
    }

    #[test]
    fn uris_go_there_and_back() {
        let key = TokenKey {
            module: "/usr/lib/my module/libsofthsm2.so".into(),
            token: "Plant; north=1?".into(),
            serial: "a1b2".into(),
            label: "Schlüssel & 50 %".into(),
            id: vec![0, 0xff],
            ..TokenKey::default()
        };
        let (again, pin) = TokenKey::parse(&key.uri()).expect("a URI");
        assert_eq!((again, pin.is_none()), (key, true));
    }

    #[test]
    fn a_uri_of_the_standard_is_read() {
        let uri = "PKCS11:token=The%20Software%20PKCS%2311%20Softtoken;manufacturer=Snake%20Oil,%20Inc.;\
                   model=1.0;object=my-certificate;type=private;id=%69%95;x-vendor=1?module-path=/l.so&pin-value=1234";
        let (key, pin) = TokenKey::parse(uri).expect("a URI");
        assert_eq!(key.token, "The Software PKCS#11 Softtoken");
        assert_eq!((key.label.as_str(), key.id.as_slice()), ("my-certificate", &[0x69, 0x95][..]));
        assert_eq!(pin.expect("a PIN").expose(), b"1234");
        assert!(!KeyPlace::of(uri).expect_err("a PIN").contains("1234"));
    }

    #[test]
    fn what_is_no_uri_is_said() {
        for (uri, says) in [
            ("pkcs11:tokn=a?module-path=/l", "tokn"),
            ("pkcs11:token?module-path=/l", "token=…"),
            ("pkcs11:token=%2?module-path=/l", "two digits"),
            ("pkcs11:token=%ff?module-path=/l", "UTF-8"),
            ("pkcs11:type=cert?module-path=/l", "private"),
            ("pkcs11:?module-name=p11", "module-path"),
            ("pkcs11:?module-path=/l&pin-source=file:/etc/pin", "PIN"),
        ] {
            let error = TokenKey::parse(uri).expect_err(uri);
            assert!(error.contains(says), "{uri}: {error}");
        }
    }
}
