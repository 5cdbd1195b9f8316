//! The type that secrets live in: it cannot be printed, compared by accident, or serialised.

use base64::Engine as _;
use serde::{Deserialize, Serialize};
use ts_rs::TS;
use zeroize::Zeroizing;

use crate::error::{Error, ErrorReason, Result};

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
    /// The private key itself, when it was imported into the vault: PKCS#8 in DER.
    PrivateKey,
    /// The PIN of the token that holds the private key.
    TokenPin,
    /// The password of the proxy.
    ProxyPassword,
    /// The value of a WebSocket request header marked secret, by the header's name in lower case.
    WebsocketHeader(String),
}

impl SecretField {
    /// Its name where secrets are filed. A name never changes its meaning: vaults are read by later versions.
    pub fn key(&self) -> String {
        match self {
            Self::Password => "password".into(),
            Self::KeyPassphrase => "key_passphrase".into(),
            Self::PrivateKey => "private_key".into(),
            Self::TokenPin => "token_pin".into(),
            Self::ProxyPassword => "proxy_password".into(),
            Self::WebsocketHeader(name) => format!("{HEADER_KEY}{}", name.to_ascii_lowercase()),
        }
    }

    /// The field of [`Self::key`]; `None` for a name of a later version.
    pub fn from_key(key: &str) -> Option<Self> {
        match key {
            "password" => Some(Self::Password),
            "key_passphrase" => Some(Self::KeyPassphrase),
            "private_key" => Some(Self::PrivateKey),
            "token_pin" => Some(Self::TokenPin),
            "proxy_password" => Some(Self::ProxyPassword),
            other => Some(Self::WebsocketHeader(other.strip_prefix(HEADER_KEY)?.to_owned())),
        }
    }
}

const HEADER_KEY: &str = "websocket_header:";

/// Whether the value of a request header of this name is most likely a secret.
pub fn is_secret_header(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    ["auth", "token", "key", "secret", "cookie"].iter().any(|word| lower.contains(word))
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

/// A secret on its way in, as text. Cannot be printed either.
#[derive(Clone, Deserialize)]
pub struct SecretText(Zeroizing<String>);

impl From<SecretText> for Secret {
    fn from(SecretText(text): SecretText) -> Self {
        Self::new(text.as_bytes())
    }
}

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
        let wrong = |what: &str| {
            let message = format!("The secret is not valid {what}");
            Error::invalid("secret", ErrorReason::SecretNotText, message).with("encoding", what)
        };
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

    /// What hides these where a server sends them back. Keys and PINs are shown to no server, and a PIN is short
    /// enough to be a part of anything.
    pub fn mask(&self) -> Mask {
        let mut mask = Mask::default();
        let sent = self
            .0
            .iter()
            .filter(|(field, _)| !matches!(field, SecretField::PrivateKey | SecretField::TokenPin));
        sent.for_each(|(_, secret)| mask.add(secret.expose()));
        mask
    }

    /// Those that open a client's private key, or are one.
    pub fn of_the_key(&self) -> Self {
        use SecretField as F;
        let fields = [F::KeyPassphrase, F::PrivateKey, F::TokenPin].into_iter();
        Self(fields.filter_map(|field| Some((field.clone(), self.get(&field)?.clone()))).collect())
    }

    /// Which are set.
    pub fn set_fields(&self) -> Vec<SecretField> {
        self.0.keys().cloned().collect()
    }
}

/// Hides secrets in text that came from elsewhere: a server, a proxy or a broker may send back what it was sent,
/// and what it said is shown, stored and exported.
#[derive(Clone, Default)]
pub struct Mask(Vec<Zeroizing<String>>);

/// What stands where a secret stood.
pub const HIDDEN: &str = "(hidden)";
/// A shorter secret would hide parts of ordinary words.
const SHORTEST_MASKED: usize = 4;

impl Mask {
    /// Hides these bytes too, in every form in which text may hold them.
    pub fn add(&mut self, bytes: &[u8]) {
        if bytes.len() < SHORTEST_MASKED {
            return;
        }
        let hex = Zeroizing::new(hex::encode(bytes));
        let spaced: Vec<_> = hex.as_bytes().chunks(2).map(|pair| String::from_utf8_lossy(pair)).collect();
        let forms = [
            String::from_utf8_lossy(bytes).into_owned(),
            bytes.escape_ascii().to_string(),
            spaced.join(" "),
            hex.to_ascii_uppercase(),
            base64::engine::general_purpose::STANDARD.encode(bytes),
        ];
        self.0.extend(forms.into_iter().map(Zeroizing::new));
        self.0.push(hex);
        // The longest first: one secret may be a part of another.
        self.0.sort_by_key(|form| std::cmp::Reverse(form.len()));
    }

    /// Replaces every secret in `text`.
    pub fn hide(&self, text: &mut String) {
        for form in &self.0 {
            if text.contains(form.as_str()) {
                *text = text.replace(form.as_str(), HIDDEN);
            }
        }
    }

    /// Replaces every secret in every text of a value.
    pub fn hide_in(&self, value: &mut serde_json::Value) {
        match value {
            serde_json::Value::String(text) => self.hide(text),
            serde_json::Value::Array(items) => items.iter_mut().for_each(|item| self.hide_in(item)),
            serde_json::Value::Object(map) => map.values_mut().for_each(|item| self.hide_in(item)),
            _ => {}
        }
    }
}

impl std::fmt::Debug for Mask {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Mask(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Compiles only while none of these can be serialised: with `Serialize` there would be two ways to read it.
    #[test]
    fn nothing_that_holds_a_secret_can_be_serialised() {
        trait OneWay<Way> {
            fn seen() {}
        }
        struct Serialised;
        impl<T: ?Sized> OneWay<()> for T {}
        impl<T: ?Sized + Serialize> OneWay<Serialised> for T {}
        <Secret as OneWay<_>>::seen();
        <Secrets as OneWay<_>>::seen();
        <SecretText as OneWay<_>>::seen();
        <SecretEdit as OneWay<_>>::seen();
        <Mask as OneWay<_>>::seen();
    }

    #[test]
    fn debug_shows_nothing() {
        let mut secrets = Secrets::default();
        secrets.put(SecretField::Password, Some(Secret::new("canary")));
        let edit = SecretEdit::set(SecretField::Password, "canary".into());
        assert!(!format!("{secrets:?} {edit:?}").contains("canary"));
    }

    #[test]
    fn what_is_sent_back_is_hidden_in_every_form() {
        let mut secrets = Secrets::default();
        secrets.put(SecretField::Password, Some(Secret::new("canary§")));
        secrets.put(SecretField::ProxyPassword, Some(Secret::new("canary§-longer")));
        secrets.put(SecretField::KeyPassphrase, Some(Secret::new("key")));
        let mask = secrets.mask();
        for (said, shown) in [
            ("no canary§ here: canary§", "no (hidden) here: (hidden)"),
            ("canary§-longer", "(hidden)"),
            ("63 61 6e 61 72 79 c2 a7 00", "(hidden) 00"),
            ("63616e617279c2a7", "(hidden)"),
            ("63616E617279C2A7", "(hidden)"),
            (r"GET canary\xc2\xa7", "GET (hidden)"),
            ("Y2FuYXJ5wqc=", "(hidden)"),
            ("a key of three letters", "a key of three letters"),
        ] {
            let mut text = said.to_owned();
            mask.hide(&mut text);
            assert_eq!(text, shown);
        }
        let mut value = serde_json::json!({ "a": ["canary§", 1, { "b": "x canary§" }] });
        mask.hide_in(&mut value);
        assert_eq!(value, serde_json::json!({ "a": [HIDDEN, 1, { "b": "x (hidden)" }] }));
        assert!(!format!("{mask:?}").contains("canary"));
    }

    #[test]
    fn a_field_has_one_name() {
        let header = |name: &str| SecretField::WebsocketHeader(name.into());
        for field in [
            SecretField::Password,
            SecretField::KeyPassphrase,
            SecretField::ProxyPassword,
            SecretField::PrivateKey,
            SecretField::TokenPin,
            header("x-token"),
            header("password"),
            header(""),
        ] {
            assert_eq!(SecretField::from_key(&field.key()), Some(field));
        }
        assert_eq!(header("X-Token").key(), header("x-token").key());
        assert_eq!(SecretField::from_key("of_a_later_version"), None);
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
