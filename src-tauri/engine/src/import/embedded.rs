//! Certificates and keys inside the settings of another client, as base64 or PEM text. In: the value. Out: certificates
//! as files to be written, whose paths stand in the settings already, and the private key for the vault. What is no
//! certificate or key is left out.

use std::path::Path;

use base64::Engine as _;
use zeroize::Zeroizing;

use super::Found;
use super::remarks::RemarkCode;
use crate::identity::{self, LooseKey};
use crate::kept::KeptFile;

/// What was embedded, in base64 as it stands there. Each comes with the name of its field.
#[derive(Default)]
pub(super) struct Embedded<'a> {
    pub authority: Option<(&'a str, &'a str)>,
    pub certificate: Option<(&'a str, &'a str)>,
    pub key: Option<(&'a str, &'a str)>,
}

impl Embedded<'_> {
    /// Puts files, and the name of a key in the vault, in the place of what is embedded.
    pub fn keep(&self, folder: &Path, found: &mut Found) {
        let path = |file: &KeptFile| file.path.to_string_lossy().into_owned();
        if let Some((field, text)) = self.authority {
            let (certificates, _) = parts(&decoded(text));
            match certificates.is_empty() {
                true => found.remarks.push(RemarkCode::Unreadable, field, "", ""),
                false => {
                    let file = KeptFile::of_certificates(folder, &certificates);
                    found.trust_only(path(&file));
                    found.files.push(file);
                }
            }
        }
        let mut key_inside = None;
        if let Some((field, text)) = self.certificate {
            let bytes = decoded(text);
            key_inside = identity::loose_key(&bytes);
            let certificates = match &mut key_inside {
                Some(key) => std::mem::take(&mut key.certificates),
                None => parts(&bytes).0,
            };
            if certificates.is_empty() && key_inside.is_none() {
                found.remarks.push(RemarkCode::Unreadable, field, "", "");
            } else {
                let own = &mut found.settings.client_certificate;
                own.enabled = true;
                // A locked bundle shows its certificates only once it is open: it is its own certificate file.
                if !certificates.is_empty() {
                    let file = KeptFile::of_certificates(folder, &certificates);
                    own.cert_file = path(&file);
                    found.files.push(file);
                }
            }
        }
        let key = self.key.and_then(|(field, text)| {
            let key = identity::loose_key(&decoded(text));
            if key.is_none() {
                found.remarks.push(RemarkCode::Unreadable, field, "", "");
            }
            key
        });
        if let Some(LooseKey { name, key, certificates }) = key.or(key_inside) {
            let own = &mut found.settings.client_certificate;
            own.enabled = true;
            own.key_file = name.to_string();
            if own.cert_file.is_empty() && !certificates.is_empty() {
                let file = KeptFile::of_certificates(folder, &certificates);
                own.cert_file = path(&file);
                found.files.push(file);
            }
            found.key = Some((name, key));
        }
    }
}

fn parts(bytes: &[u8]) -> (Vec<Vec<u8>>, bool) {
    identity::certificates_in_bytes(bytes)
}

/// Base64, or PEM as it is; nothing when it is neither.
fn decoded(text: &str) -> Zeroizing<Vec<u8>> {
    if text.contains("-----BEGIN") {
        return Zeroizing::new(text.as_bytes().to_vec());
    }
    let compact = Zeroizing::new(text.split_whitespace().collect::<String>());
    Zeroizing::new(base64::engine::general_purpose::STANDARD.decode(compact.as_bytes()).unwrap_or_default())
}
