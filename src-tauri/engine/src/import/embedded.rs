//! Certificates and keys inside the settings of another client, as base64 or PEM text. In: the value. Out: files to
//! be written, whose paths stand in the settings already. What is no certificate or key is not written.

use std::path::Path;

use base64::Engine as _;
use zeroize::Zeroizing;

use super::Found;
use super::remarks::RemarkCode;
use crate::identity;
use crate::kept::KeptFile;
use crate::secret::Secret;

/// What was embedded, in base64 as it stands there. Each comes with the name of its field.
#[derive(Default)]
pub(super) struct Embedded<'a> {
    pub authority: Option<(&'a str, &'a str)>,
    pub certificate: Option<(&'a str, &'a str)>,
    pub key: Option<(&'a str, &'a str)>,
}

impl Embedded<'_> {
    /// Puts files in the place of what is embedded.
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
            let (certificates, has_key) = parts(&bytes);
            if certificates.is_empty() && !has_key {
                found.remarks.push(RemarkCode::Unreadable, field, "", "");
            } else {
                let own = &mut found.settings.client_certificate;
                own.enabled = true;
                if has_key {
                    key_inside = Some(Secret::new(bytes.to_vec()));
                }
                // A locked bundle shows its certificates only once it is open: it is its own certificate file.
                if !certificates.is_empty() {
                    let file = KeptFile::of_certificates(folder, &certificates);
                    own.cert_file = path(&file);
                    found.files.push(file);
                }
            }
        }
        let key = self.key.and_then(|(field, text)| {
            let bytes = decoded(text);
            let is_key = parts(&bytes).1;
            if !is_key {
                found.remarks.push(RemarkCode::Unreadable, field, "", "");
            }
            is_key.then(|| Secret::new(bytes.to_vec()))
        });
        if let Some(key) = key.or(key_inside) {
            let file = KeptFile::of_private_key(folder, key);
            let own = &mut found.settings.client_certificate;
            own.enabled = true;
            match own.cert_file.is_empty() {
                true => own.cert_file = path(&file),
                false => own.key_file = path(&file),
            }
            found.files.push(file);
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
