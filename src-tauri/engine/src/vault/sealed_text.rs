//! An export with secrets, sealed under a passphrase, as text. In: an export, the secrets of its connections, a
//! passphrase. Out: JSON that names its format, version and key derivation, with everything else sealed; or, back, the
//! export and the secrets. Never derives a key by parameters that would keep the machine busy.
//!
//! ```text
//! key      Argon2id of the passphrase, by the parameters and the salt that stand in the open
//! bound    format, version and those parameters: what is sealed opens only beside them
//! sealed   nonce and XChaCha20-Poly1305 of a random key, under the key of the passphrase: opens for the right
//!          passphrase alone
//! content  the same of the export with its secrets, under that random key
//! sha256   over all of it: damage is told from a wrong passphrase before any key is derived
//! ```

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::check_passphrase;
use super::key::{Kdf, Key, NONCE, SALT};
use crate::error::{Error, ErrorCode, ErrorReason, Result};
use crate::profile::ProfileId;
use crate::secret::{Secret, SecretField, Secrets};

/// What the text says it is.
pub(crate) const FORMAT: &str = "heliograph-sealed-connections";
/// The version that is written. Earlier ones are read for ever.
const VERSION: u64 = 1;
/// Four times the memory and passes that are written today; more than that is no file of ours.
const MAX_MEMORY_KIB: u32 = 256 * 1024;
const MAX_PASSES: u32 = 12;

#[derive(Serialize, Deserialize)]
struct SealedText {
    format: String,
    version: u64,
    argon2id: Derivation,
    sealed: String,
    content: String,
    sha256: String,
}

#[derive(Serialize, Deserialize)]
struct Derivation {
    memory_kib: u32,
    passes: u32,
    lanes: u32,
    salt: String,
}

/// An export with everything that belongs to it.
#[derive(Debug, Default)]
pub(crate) struct WholeExport {
    /// The export without secrets.
    pub export: String,
    /// The secrets of its connections; private keys by their own names, as the vault files them.
    pub secrets: Vec<(ProfileId, Secrets)>,
    /// Certificates of files that are ours, as PEM, by the path that connections name.
    pub certificates: BTreeMap<String, String>,
}

/// What is sealed. Wiped when dropped, as far as serde lets it.
#[derive(Serialize, Deserialize)]
struct Content {
    export: String,
    secrets: Vec<ContentSecret>,
    #[serde(default)]
    certificates: BTreeMap<String, String>,
}

#[derive(Serialize, Deserialize)]
struct ContentSecret {
    profile: ProfileId,
    field: String,
    value: Zeroizing<String>,
}

/// Seals an export with its secrets.
///
/// # Errors
/// `invalid_input`: the passphrase is too short; `internal`.
pub(crate) fn seal_export(whole: WholeExport, passphrase: &Secret) -> Result<String> {
    check_passphrase(passphrase)?;
    let WholeExport { export, secrets, certificates } = whole;
    let all = secrets.iter().flat_map(|(id, secrets)| {
        secrets.set_fields().into_iter().filter_map(|field| {
            let value = Zeroizing::new(STANDARD.encode(secrets.get(&field)?.expose()));
            Some(ContentSecret { profile: *id, field: field.key(), value })
        })
    });
    let content = Content { export, secrets: all.collect(), certificates };
    let internal = |_| Error::new(ErrorCode::Internal, "The export cannot be written");
    let content = Zeroizing::new(serde_json::to_vec(&content).map_err(internal)?);
    let kdf = Kdf::fresh()?;
    let bound = bound_to(VERSION, &kdf);
    let key = Key::random()?;
    let sealed = joined(kdf.derive(passphrase)?.seal(&bound, key.expose())?);
    let content = joined(key.seal(&bound, &content)?);
    let text = SealedText {
        format: FORMAT.to_owned(),
        version: VERSION,
        argon2id: Derivation {
            memory_kib: kdf.memory,
            passes: kdf.passes,
            lanes: kdf.lanes,
            salt: STANDARD.encode(kdf.salt),
        },
        sha256: digest(&bound, &sealed, &content),
        sealed: STANDARD.encode(sealed),
        content: STANDARD.encode(content),
    };
    let mut text = serde_json::to_string_pretty(&text).map_err(internal)?;
    text.push('\n');
    Ok(text)
}

/// The export and the secrets that [`seal_export`] sealed. Secrets that only a later version knows are left out.
///
/// # Errors
/// `invalid_input` with `details.reason`: `damaged`, `unknown_version`, `passphrase_needed`; `passphrase_wrong`.
pub(crate) fn open_export(text: &str, passphrase: Option<&Secret>) -> Result<WholeExport> {
    let SealedText { version, argon2id, sealed, content, sha256, .. } =
        serde_json::from_str(text).map_err(|_| damaged())?;
    if version != VERSION {
        let message = format!(
            "The export has version {version}, this Heliograph reads up to {VERSION}: use a newer Heliograph. \
             Nothing was added"
        );
        return Err(refuse(ErrorReason::UnknownVersion, message).with("version", version));
    }
    let bytes = |text: &str| STANDARD.decode(text).map_err(|_| damaged());
    let salt: [u8; SALT] = bytes(&argon2id.salt)?.try_into().map_err(|_| damaged())?;
    let kdf = Kdf { memory: argon2id.memory_kib, passes: argon2id.passes, lanes: argon2id.lanes, salt };
    let (sealed, content) = (bytes(&sealed)?, bytes(&content)?);
    let bound = bound_to(version, &kdf);
    let bearable = kdf.is_sane() && kdf.memory <= MAX_MEMORY_KIB && kdf.passes <= MAX_PASSES;
    if !bearable || digest(&bound, &sealed, &content) != sha256 {
        return Err(damaged());
    }
    let Some(passphrase) = passphrase else {
        let message = "The export is sealed: type its passphrase";
        return Err(refuse(ErrorReason::PassphraseNeeded, message));
    };
    let wrong = || Error::new(ErrorCode::PassphraseWrong, "This is not the passphrase of the export");
    let key = open(&kdf.derive(passphrase)?, &bound, &sealed).ok_or_else(wrong)?;
    let key = Key::from_bytes(&key).ok_or_else(damaged)?;
    let content = open(&key, &bound, &content).ok_or_else(damaged)?;
    let Content { export, secrets, certificates } =
        serde_json::from_slice(&content).map_err(|_| damaged())?;
    let mut all: Vec<(ProfileId, Secrets)> = Vec::new();
    for ContentSecret { profile, field, value } in secrets {
        let Some(field) = SecretField::from_key(&field) else { continue };
        let value = Secret::new(bytes(&value)?);
        match all.iter_mut().find(|(id, _)| *id == profile) {
            Some((_, known)) => known.put(field, Some(value)),
            None => {
                let mut first = Secrets::default();
                first.put(field, Some(value));
                all.push((profile, first));
            }
        }
    }
    Ok(WholeExport { export, secrets: all, certificates })
}

fn bound_to(version: u64, kdf: &Kdf) -> Vec<u8> {
    let mut bound = FORMAT.as_bytes().to_vec();
    bound.extend_from_slice(&version.to_le_bytes());
    for number in [kdf.memory, kdf.passes, kdf.lanes] {
        bound.extend_from_slice(&number.to_le_bytes());
    }
    bound.extend_from_slice(&kdf.salt);
    bound
}

fn joined((nonce, sealed): ([u8; NONCE], Vec<u8>)) -> Vec<u8> {
    [&nonce[..], &sealed].concat()
}

fn open(key: &Key, bound: &[u8], joined: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let (nonce, sealed) = joined.split_first_chunk::<NONCE>()?;
    key.open(bound, nonce, sealed).ok()
}

fn digest(bound: &[u8], sealed: &[u8], content: &[u8]) -> String {
    let mut hash = Sha256::new();
    for part in [bound, sealed, content] {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    hex::encode(hash.finalize())
}

fn damaged() -> Error {
    refuse(ErrorReason::Damaged, "The sealed export is damaged, or somebody changed it. Nothing was added")
}

fn refuse(reason: ErrorReason, message: impl Into<String>) -> Error {
    Error::invalid("import", reason, message)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn passphrase() -> Secret {
        Secret::new("correct horse")
    }

    fn sealed() -> (String, ProfileId) {
        let id = ProfileId::random();
        let mut secrets = Secrets::default();
        secrets.put(SecretField::Password, Some(Secret::new(vec![0, 159, 146, 150])));
        secrets.put(SecretField::WebsocketHeader("x-token".into()), Some(Secret::new("canary")));
        let whole = WholeExport {
            export: "{\"the\": \"export\"}".into(),
            secrets: vec![(id, secrets)],
            certificates: BTreeMap::from([("/a.pem".into(), "the certificate".into())]),
        };
        (seal_export(whole, &passphrase()).expect("sealed"), id)
    }

    fn reason(text: &str, passphrase: Option<&Secret>) -> String {
        let error = open_export(text, passphrase).map(drop).expect_err("refused");
        assert!(!error.message.contains("canary"), "{error}");
        match error.code {
            ErrorCode::PassphraseWrong => "passphrase_wrong".into(),
            _ => error.details["reason"].as_str().unwrap_or_default().to_owned(),
        }
    }

    #[test]
    fn what_was_sealed_opens_with_its_passphrase_alone() {
        let (text, id) = sealed();
        assert!(!text.contains("canary") && !text.contains("the"));
        let WholeExport { export, secrets, certificates } =
            open_export(&text, Some(&passphrase())).expect("opened");
        assert_eq!(certificates["/a.pem"], "the certificate");
        assert_eq!(export, "{\"the\": \"export\"}");
        assert_eq!((secrets.len(), secrets[0].0), (1, id));
        let value = secrets[0].1.get(&SecretField::Password).map(Secret::expose);
        assert_eq!(value, Some(&[0, 159, 146, 150][..]));
        assert_eq!(reason(&text, None), "passphrase_needed");
        assert_eq!(reason(&text, Some(&Secret::new("correct horsf"))), "passphrase_wrong");
        assert_eq!(
            seal_export(WholeExport::default(), &Secret::new("short")).expect_err("short").code,
            ErrorCode::InvalidInput
        );
    }

    #[test]
    fn damage_is_told_from_a_wrong_passphrase() {
        let (text, _) = sealed();
        let value: serde_json::Value = serde_json::from_str(&text).expect("json");
        let change = |change: &dyn Fn(&mut serde_json::Value)| {
            let mut value = value.clone();
            change(&mut value);
            value.to_string()
        };
        for name in ["sealed", "content", "sha256"] {
            let flipped = change(&|value| {
                let text = value[name].as_str().expect("text").to_owned();
                let first = if text.starts_with('A') { "B" } else { "A" };
                value[name] = format!("{first}{}", &text[1..]).into();
            });
            assert_eq!(reason(&flipped, Some(&passphrase())), "damaged", "{name}");
            assert_eq!(reason(&change(&|value| value[name] = 7.into()), Some(&passphrase())), "damaged");
            assert_eq!(reason(&change(&|value| value[name] = "§".into()), Some(&passphrase())), "damaged");
        }
        for cut in [0, 1, text.len() / 2, text.len() - 3] {
            assert_eq!(reason(&text[..cut], Some(&passphrase())), "damaged", "{cut}");
        }
        assert_eq!(reason(&change(&|value| value["version"] = 2.into()), None), "unknown_version");
    }

    /// Whoever sends such a file cannot keep the machine busy: nothing is derived.
    #[test]
    fn hostile_parameters_cost_nothing() {
        let (text, _) = sealed();
        let value: serde_json::Value = serde_json::from_str(&text).expect("json");
        let started = std::time::Instant::now();
        for (name, number) in [
            ("memory_kib", u32::MAX),
            ("memory_kib", MAX_MEMORY_KIB + 1),
            ("memory_kib", 0),
            ("passes", u32::MAX),
            ("passes", MAX_PASSES + 1),
            ("passes", 0),
            ("lanes", u32::MAX),
            ("lanes", 0),
        ] {
            let mut value = value.clone();
            value["argon2id"][name] = number.into();
            let text = value.to_string();
            // Also with a digest that fits, as somebody would write it on purpose.
            let parts: SealedText = serde_json::from_str(&text).expect("parts");
            let salt = STANDARD.decode(&parts.argon2id.salt).expect("salt").try_into().expect("salt");
            let kdf = Kdf {
                memory: parts.argon2id.memory_kib,
                passes: parts.argon2id.passes,
                lanes: parts.argon2id.lanes,
                salt,
            };
            let bytes = |text: &str| STANDARD.decode(text).expect("base64");
            let sha256 = digest(&bound_to(VERSION, &kdf), &bytes(&parts.sealed), &bytes(&parts.content));
            let text = serde_json::to_string(&SealedText { sha256, ..parts }).expect("text");
            assert_eq!(reason(&text, Some(&passphrase())), "damaged", "{name} {number}");
        }
        assert!(started.elapsed() < std::time::Duration::from_secs(5), "{:?}", started.elapsed());
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in any::<String>(), fields in any::<[String; 4]>(), number in any::<u32>()) {
            let _ = open_export(&text, None);
            let [salt, sealed, content, sha256] = fields;
            let argon2id = Derivation { memory_kib: number, passes: number, lanes: number, salt };
            let parts = SealedText { format: FORMAT.into(), version: 1, argon2id, sealed, content, sha256 };
            let _ = open_export(&serde_json::to_string(&parts).expect("text"), Some(&passphrase()));
        }
    }
}
