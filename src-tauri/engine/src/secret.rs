//! The type that secrets live in: it cannot be printed, compared by accident, or serialised.

use base64::Engine as _;
use serde::{Deserialize, Serialize};
use ts_rs::TS;
use zeroize::Zeroizing;

use crate::error::{Error, Result};

/// Bytes nobody may see: passwords, passphrases, proxy credentials, header values. Wiped when dropped.
#[derive(Clone)]
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// Wraps the bytes.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Self(Zeroizing::new(bytes.into()))
    }

    /// The bytes, for the wire only. Every call is a place to look at twice.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// The text, where a protocol wants text.
    ///
    /// # Errors
    /// The secret is not UTF-8.
    pub fn expose_text(&self) -> std::result::Result<&str, std::str::Utf8Error> {
        std::str::from_utf8(&self.0)
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Which secret of a profile.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, TS)]
#[serde(tag = "kind", content = "name", rename_all = "snake_case")]
#[ts(export)]
pub enum SecretField {
    /// The MQTT password (MQTT 5, 3.1.3.6: binary data).
    Password,
    /// The passphrase of the private key.
    KeyPassphrase,
    /// The password of the proxy.
    ProxyPassword,
    /// The value of a WebSocket request header marked secret, by the header's name in lower case.
    WebsocketHeader(String),
}

/// A change of one secret, from the window or the command line. Fields that are not named stay as they are.
#[derive(Clone, Deserialize, TS)]
#[ts(export)]
pub struct SecretEdit {
    /// Which one.
    pub field: SecretField,
    /// The new value; `null` clears it.
    #[ts(type = "string | null")]
    value: Option<SecretText>,
    /// How the text stands for bytes.
    #[serde(default)]
    encoding: SecretEncoding,
}

/// How the text of a secret stands for its bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
#[ts(export)]
pub enum SecretEncoding {
    /// The text itself.
    #[default]
    Utf8,
    /// Base64 with the standard alphabet.
    Base64,
    /// Hexadecimal; white space is ignored.
    Hex,
}

#[derive(Clone, Deserialize)]
struct SecretText(Zeroizing<String>);

impl SecretEdit {
    /// Sets `field` to `bytes`.
    pub fn set(field: SecretField, text: String) -> Self {
        Self { field, value: Some(SecretText(Zeroizing::new(text))), encoding: SecretEncoding::Utf8 }
    }

    /// The new value, decoded; `None` clears.
    ///
    /// # Errors
    /// The text is not of its encoding. The message never repeats it.
    pub fn decode(&self) -> Result<Option<Secret>> {
        let Some(SecretText(text)) = &self.value else { return Ok(None) };
        let wrong = |what| Error::invalid("secret", format!("The secret is not valid {what}"));
        let bytes = match self.encoding {
            SecretEncoding::Utf8 => text.as_bytes().to_vec(),
            SecretEncoding::Base64 => {
                base64::engine::general_purpose::STANDARD.decode(text.trim()).map_err(|_| wrong("base64"))?
            }
            SecretEncoding::Hex => {
                let digits = Zeroizing::new(text.split_whitespace().collect::<String>());
                hex::decode(digits.as_bytes()).map_err(|_| wrong("hexadecimal"))?
            }
        };
        Ok(Some(Secret::new(bytes)))
    }
}

impl std::fmt::Debug for SecretEdit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SecretEdit").field("field", &self.field).finish_non_exhaustive()
    }
}

/// The secrets of one profile, in memory.
#[derive(Debug, Clone, Default)]
pub struct Secrets(std::collections::BTreeMap<SecretField, Secret>);

impl Secrets {
    /// The secret, if it is set.
    pub fn get(&self, field: &SecretField) -> Option<&Secret> {
        self.0.get(field)
    }

    /// Sets or clears one.
    pub fn put(&mut self, field: SecretField, value: Option<Secret>) {
        match value {
            Some(secret) => self.0.insert(field, secret),
            None => self.0.remove(&field),
        };
    }

    /// Applies edits in order.
    ///
    /// # Errors
    /// The first edit whose text is not of its encoding; nothing is changed then.
    pub fn apply(&mut self, edits: &[SecretEdit]) -> Result<()> {
        let decoded = edits.iter().map(|e| Ok((e.field.clone(), e.decode()?))).collect::<Result<Vec<_>>>()?;
        for (field, value) in decoded {
            self.put(field, value);
        }
        Ok(())
    }

    /// Which are set.
    pub fn set_fields(&self) -> Vec<SecretField> {
        self.0.keys().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_nothing() {
        let mut secrets = Secrets::default();
        secrets.put(SecretField::Password, Some(Secret::new("canary")));
        let edit = SecretEdit::set(SecretField::Password, "canary".into());
        assert!(!format!("{secrets:?} {edit:?}").contains("canary"));
    }

    #[test]
    fn a_bad_edit_changes_nothing_and_is_not_repeated() {
        let mut secrets = Secrets::default();
        let edits: Vec<SecretEdit> = serde_json::from_str(
            r#"[{"field":{"kind":"password"},"value":"00ff","encoding":"hex"},
                {"field":{"kind":"key_passphrase"},"value":"zz-canary","encoding":"hex"}]"#,
        )
        .expect("edits");
        let error = secrets.apply(&edits).expect_err("not hex");
        assert!(!error.message.contains("canary"));
        assert!(secrets.set_fields().is_empty());
        secrets.apply(&edits[..1]).expect("hex");
        assert_eq!(secrets.get(&SecretField::Password).map(Secret::expose), Some(&[0u8, 255][..]));
    }
}
