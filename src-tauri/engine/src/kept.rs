//! Certificates that have no file of their own, because they came as text, from a server or inside another program's
//! settings: written as files into a folder of the data directory, where connections name them. In: DER. Out: paths of
//! files that their owner alone can read. Never overwrites a file with something else: names are made of what is in
//! it. Private keys are never here: the vault has them.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::error::Result;
use crate::identity::{self, CertificateInfo};
use crate::library::Library;
use crate::whole_file;

/// The folder in the data directory.
pub fn folder(data_dir: &Path) -> PathBuf {
    data_dir.join("certificates")
}

/// Key of [`Library::value`] for the paths of certificates that are listed without a connection.
const LISTED: &str = "engine.certificates.added";

/// The certificates that are listed whether or not a connection names them: added by hand, or with a key in the vault.
///
/// # Errors
/// `storage`.
pub fn listed(library: &Library) -> Result<Vec<String>> {
    let listed = library.value(LISTED)?.unwrap_or(Value::Null);
    Ok(serde_json::from_value(listed).unwrap_or_default())
}

/// Lists these, and no others.
///
/// # Errors
/// `storage`.
pub fn list(library: &Library, paths: &[String]) -> Result<()> {
    library.set_value(LISTED, Value::from(paths.to_vec()))
}

/// A file that is to be written, and where.
#[derive(Debug, Clone)]
pub struct KeptFile {
    /// Its place, known before it is written.
    pub path: PathBuf,
    content: String,
}

impl KeptFile {
    /// Certificates, DER, as one PEM file.
    pub fn of_certificates(folder: &Path, certificates: &[Vec<u8>]) -> Self {
        let mut hash = Sha256::new();
        certificates.iter().for_each(|der| hash.update(der));
        let first = certificates.first().and_then(|der| identity::describe(der).ok());
        let name = first.map(|info| file_name(&info)).unwrap_or_default();
        let text: String = certificates.iter().map(|der| identity::certificate_pem(der)).collect();
        Self { path: named(folder, &name, hash, "pem"), content: text }
    }

    /// Writes it. Says whether it was not there before.
    ///
    /// # Errors
    /// `file`.
    pub fn write(&self) -> Result<bool> {
        let fail = |error: std::io::Error| whole_file::refused(&self.path, &error);
        let new = !self.path.exists();
        if let Some(folder) = self.path.parent() {
            std::fs::create_dir_all(folder).map_err(fail)?;
        }
        whole_file::replace(&self.path, Some(0o600), |file| file.write_all(self.content.as_bytes()))
            .map_err(fail)?;
        Ok(new)
    }
}

fn named(folder: &Path, name: &str, hash: Sha256, extension: &str) -> PathBuf {
    let digits = hex::encode(hash.finalize());
    folder.join(format!("{name}-{}.{extension}", &digits[..8]))
}

/// A name that every file system takes.
fn file_name(certificate: &CertificateInfo) -> String {
    let name = certificate.short_name().chars().take(40);
    let plain = name.map(|c| if c.is_alphanumeric() || c == '.' || c == '-' { c } else { '-' });
    plain.collect::<String>().trim_matches(['-', '.']).to_lowercase()
}
